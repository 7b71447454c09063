"""Facts about logs: which were read, and the lines in them that the catalogue knows."""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import size, span
from rbdiag.model import Fact

# What a line says. First what a server writes about itself, then about its clients, then what clients write.
LogKind = Literal[
    "ready", "starting", "shutdown", "aborting", "signal", "fatal", "recovery", "unknown-option",
    "bad-option-file", "bad-value", "port-taken", "address-missing", "socket-path", "datadir-permission",
    "datadir-locked", "uninitialised",
    "disk-full", "tmpdir-full", "fs-readonly", "too-many-files", "no-memory", "table-crashed", "corruption",
    "missing-tablespace", "tls-key", "plugin-load", "slow-io",
    "access-denied", "no-db-access", "idle-closed", "killed", "aborted", "unauthenticated", "packet", "unresolved",
    "deadlock", "replica-io", "replica-sql", "lock-wait", "out-of-threads",
    "too-many-connections", "user-limit", "host-not-allowed", "host-blocked", "account-locked", "auth-plugin",
    "tls-required", "tls-failed", "unknown-database", "privilege", "read-only", "statement-timeout", "interrupted",
    "gone-away", "lost-connection", "pool-exhausted", "no-server", "socket-failed", "unknown-host",
]  # fmt: skip


class LogRead(Fact):
    """A log that was read; the subject is its path, or `journal of UNIT`.

    `since` is the first time inside the window that was read, None where it holds no line of the window.
    `last_at` is the time of its last line. `side` says whose log it is: the server's, or a client's.
    """

    side: Literal["server", "client"]
    lines: int
    bytes: int
    since: float | None
    last_at: float | None
    cut: bool = False

    def __str__(self) -> str:
        cut = ", its beginning left out" if self.cut else ""
        return f"{self.lines:,} lines ({size(self.bytes)}) of {self.subject} inside the window{cut}"


class LogEvent(Fact):
    """Lines of one kind in one log that the catalogue knows; the subject is the log.

    `happened_at` is the time of the last of them, `first_at` of the first; None where lines carry no time. `text` is
    the last line, redacted. `number` is the error number in it (MySQL's, or errno for file errors, or the signal),
    `name` what it is about: the option, file, table, host, account, or port it names (of a start the process), ""
    where it names none. Events of a server's last start come after those before it, in the order of their first lines.
    """

    side: Literal["server", "client"]
    kind: LogKind
    happened_at: float | None
    first_at: float | None
    count: int
    text: str
    number: int | None = None
    name: str = ""

    def __str__(self) -> str:
        return self.text + (f" ({self.count:,} such lines)" if self.count > 1 else "")


# How bad a line says it is, in the writer's own words; `none` where it says nothing of that.
LogLevel = Literal["fatal", "error", "warning", "info", "debug", "none"]


# From so many seconds on it is worth saying that nothing more was written.
_SILENT = 300.0


class LogWindow(Fact):
    """What of one log the answer is about; the subject is the log: a path, `journal of UNIT`, `standard input`.

    `how` says what bounds the window: its times, `tail` where lines tell none and only the last bytes were taken,
    `whole` where they tell none and all was taken, `new` what was written since the last run. `since` and `until` are
    its bounds, `first_at` and `last_at` the times of its first and last line. `baseline_since` is where the baseline
    begins that is really there, None for none. `form` names how the log writes the time, "" for not at all. `parts`
    are the files that were read, oldest first. `moved` says that nothing was written in the window that was asked for,
    so that it ends with the last line instead; `cut` that less was taken than was asked for. `zone_shift` was added to
    its times, because its writer lives in another zone; by `ahead` seconds its last line lies in the future; `back` is
    the largest step back that its times make, both 0 where there is none to speak of. `owner` is the unit or process
    whose log it is.
    """

    how: Literal["time", "tail", "whole", "new"]
    form: str
    since: float | None
    until: float | None
    first_at: float | None
    last_at: float | None
    bytes: int
    baseline_since: float | None = None
    baseline_bytes: int = 0
    parts: tuple[str, ...] = ()
    moved: bool = False
    cut: bool = False
    zone_shift: float = 0.0
    ahead: float = 0.0
    back: float = 0.0
    owner: str = ""
    alone: bool = False

    def __str__(self) -> str:
        if not self.bytes:
            return f"{self.subject}: nothing {'new' if self.how == 'new' else 'written in the window'}"
        what = {
            "time": f"{size(self.bytes)} inside the window", "whole": f"all {size(self.bytes)}, without times",
            "tail": f"the last {size(self.bytes)}, without times", "new": f"{size(self.bytes)} since the last run",
        }[self.how]  # fmt: skip
        rest = [f"compared with {size(self.baseline_bytes)} before" if self.baseline_bytes else ""]
        rest.append("nothing was written since, so the window ends with its last line" if self.moved else "")
        silent = self.until - self.last_at if self.until and self.last_at and not self.moved else 0.0
        rest.append(f"the last line {span(silent)} ago" if silent >= _SILENT else "")
        rest.append("its beginning left out" if self.cut else "")
        rest.append(f"its clock is {self.zone_shift / 3600:+g} h off ours" if self.zone_shift else "")
        rest.append(f"its last line lies {span(self.ahead)} in the future" if self.ahead else "")
        rest.append(f"its times step back by {span(self.back)}" if self.back else "")
        return ", ".join([f"{self.subject}: {what}", *(part for part in rest if part)])


class LogKnown(Fact):
    """Lines in one log that say something the catalogue knows; the subject is the log.

    `pattern` is the pattern's name, `title` what it means in a few words. `codes` are what it may speak for, the
    likeliest first; none for what only marks a moment. `role`: `failure` speaks for its codes by itself, `ordinary`
    does so only where it is new or much more frequent than before (healthy services write it now and then), `evidence`
    supports other evidence only, `start` and `stop` mark a good start and an orderly end. `name` is what it is about:
    an upstream, a host, a file, a unit, an account, "" for nothing. `count` is the number of such lines in the window,
    `before` in the baseline. `happened_at` is the last of them, `first_at` the first; `text` the last line, redacted.
    `started_at` is the time of the last good start in the same log after the last of them, None for none. `covered` and
    `covered_before` are the seconds of window and baseline that were really read, None where that is not known.
    `severity` is what the settings say of a pattern of their own, "" for any other. `of_all` is the number of lines of
    this pattern about whatever, in the window and in the baseline.
    """

    pattern: str
    title: str
    codes: tuple[str, ...]
    role: Literal["failure", "ordinary", "evidence", "start", "stop"]
    name: str
    count: int
    before: int
    first_at: float | None
    happened_at: float | None
    text: str
    started_at: float | None = None
    severity: Literal["", "warning", "critical"] = ""
    covered: float | None = None
    covered_before: float | None = None
    of_all: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.text + (f" ({self.count:,} such lines)" if self.count > 1 else "")


class LogTemplate(Fact):
    """Lines of one shape whose number is news; the subject is the log.

    `word`: `new` where the baseline has none (an error also where there is no baseline), `more` where they became much
    more frequent, `fewer` where much less, `rare` where there is no baseline and such lines are few among many.
    `template` is the shape, with * for what varies. `count` in the window, `before` in the baseline; `rate` and
    `rate_before` are per second, None without times. `sample` is the last such line, redacted. `code` is what the
    catalogue knows of it, "" for nothing. `rank` orders them: 1 is what to read first. `broken` says that such a line,
    though its writer calls it a warning or less, tells in strong words that something failed, died or is unreachable.
    """

    word: Literal["new", "more", "fewer", "rare", "same"]
    template: str
    level: LogLevel
    count: int
    before: int
    rate: float | None
    rate_before: float | None
    first_at: float | None
    happened_at: float | None
    sample: str
    code: str = ""
    rank: int = 0
    broken: bool = False

    def __str__(self) -> str:
        word = "as before" if self.word == "same" else self.word
        return f"{word}: {self.sample}" + (f" ({self.count:,} such lines)" if self.count > 1 else "")


class LogTrace(Fact):
    """Stack traces of one kind; the subject is the log.

    One kind are those with the same exception type, shape of message, and deepest own frame. `language` is the runtime
    that wrote it. `exception` is the type (of a chain the root cause), `message` its message, redacted. `frame` is the
    deepest frame of the user's own code as `file:line in function`, "" where all are of libraries; `top` is the
    deepest of all. `head` is the template of the record's first line. `count` in the window, `before` in the baseline
    (None where there is none). `code` is what the catalogue knows of its message, "" for nothing.
    `level` is how bad that first line says it is: what a program caught and told as `info` it may well live with.
    """

    language: Literal["python", "java", "node", "go", "ruby", "php", "dotnet", "other"]
    exception: str
    message: str
    frame: str
    top: str
    head: str
    count: int
    before: int | None
    first_at: float | None
    happened_at: float | None
    code: str = ""
    level: LogLevel = "none"

    def __str__(self) -> str:
        where = f" at {self.frame or self.top}" if self.frame or self.top else ""
        what = f"{self.exception}: {self.message}" if self.message else self.exception
        return f"{what}{where}" + (f" ({self.count:,} times)" if self.count > 1 else "")


class LogTraffic(Fact):
    """The requests in one access log; the subject is the log, or `requests in LOG` where other lines stand between.

    `statuses` are (HTTP status, count) of the window, `before` of the baseline, of which `covered` and
    `covered_before` are the seconds. `failing` are (path template, answers of 5xx, all requests) of the worst paths.
    Response times in seconds, None where the log has none: `p50`, `p95`, `p99`, `p95_before`; `slow` are (path
    template, p95, requests) of the slowest. `first_failed_at` and `last_failed_at` are of answers of 5xx.

    What changed, and when. `failed_lately` are (answers of 5xx, all requests) from the moment on at which their share
    rose, `failed_lately_at` its time; (0, 0) for no such moment. `refused_lately` are (answers of 4xx, all requests,
    the status of most of them) likewise. `newest` are (answers of 5xx, all requests) of the newest few requests.
    `slices` are (seconds, requests, 4xx, 5xx) of each slice of the baseline, the nearest first, `end` (seconds,
    requests) of the last sixth of the window. `turned` are paths that fail more than before: (path template,
    answers of 5xx, all requests, since they do so, and both of before). `p95_sixths` are of each sixth of the
    window, the newest first, with at least 50 requests, `p95_slices` of each slice before; `slower` are paths of
    the last third of the window: (path template, p95, p95 before, median, median before, requests).
    """

    requests: int
    requests_before: int
    covered: float | None
    covered_before: float | None
    statuses: tuple[tuple[int, int], ...]
    before: tuple[tuple[int, int], ...]
    failing: tuple[tuple[str, int, int], ...]
    slow: tuple[tuple[str, float, int], ...]
    p50: float | None
    p95: float | None
    p99: float | None
    p95_before: float | None
    first_failed_at: float | None
    last_failed_at: float | None
    failed_lately: tuple[int, int] = (0, 0)
    failed_lately_at: float | None = None
    refused_lately: tuple[int, int, int] = (0, 0, 0)
    refused_lately_at: float | None = None
    newest: tuple[int, int] = (0, 0)
    slices: tuple[tuple[float, int, int, int], ...] = ()
    end: tuple[float, int] | None = None
    turned: tuple[tuple[str, int, int, int, int], ...] = ()
    p95_sixths: tuple[float | None, ...] = ()
    p95_slices: tuple[float | None, ...] = ()
    slower: tuple[tuple[str, float, float, float, float, int], ...] = ()

    @property
    def log(self) -> str:
        """The log in which the requests stand."""
        return self.subject.removeprefix("requests in ")

    def share(self, family: int, *, before: bool = False) -> float:
        """Which part (0 to 1) of the requests was answered with a status of this hundred."""
        counts = self.before if before else self.statuses
        total = sum(count for _, count in counts)
        return sum(count for status, count in counts if status // 100 == family) / total if total else 0.0

    def __str__(self) -> str:
        families = ", ".join(f"{self.share(f):.1%} {f}xx" for f in range(1, 6) if self.share(f))
        slow = "" if self.p95 is None else f", 95 % within {self.p95:.3g} s"
        return f"{self.requests:,} requests: {families}{slow}"

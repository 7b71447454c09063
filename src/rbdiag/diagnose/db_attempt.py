"""How the server's own log tells its last start: what it failed of, or what happened since it was ready.

What stands in a log before the last start that succeeded is history: it is over. A log is read as its order tells, for
many lines bear the same second.
"""

from __future__ import annotations

from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.facts.db import Greeting, Login
from rbdiag.facts.logs import LogEvent, LogKind
from rbdiag.facts.sessions import ServerInfo
from rbdiag.frozen import Record
from rbdiag.model import Fact, Facts, Severity, Step

# What a server that cannot start, or has died, makes of everything that builds on it.
DOWN = ("db.service-down", "svc.not-running", "svc.crash-loop")
# What ends a start. The first of them in an attempt is its reason, what follows are consequences.
FATAL: frozenset[LogKind] = frozenset(
    (
        "unknown-option", "bad-option-file", "bad-value", "address-missing", "no-memory", "port-taken", "datadir-permission",
        "socket-path", "uninitialised", "datadir-locked", "disk-full", "tmpdir-full", "fs-readonly", "too-many-files",
        "out-of-threads", "table-crashed", "corruption", "tls-key", "signal", "fatal",
    )
)  # fmt: skip
# Two logs tell of one attempt if they end within this many seconds of each other.
_TOGETHER = 60.0
# Between a process's own start and the first line it writes.
_SOON = 5.0


class Attempt(Record):
    """What one log says since the server was last started, in the order of the lines."""

    log: str
    events: tuple[LogEvent, ...]

    @property
    def began(self) -> float | None:
        """When it began, None where the log tells no beginning."""
        return next((e.first_at for e in self.events if e.kind == "starting"), None)

    @property
    def pid(self) -> int | None:
        """The process that tried, as it says itself."""
        return next((int(e.name) for e in self.events if e.kind == "starting" and e.name.isdigit()), None)

    @property
    def newest(self) -> float:
        return max((e.happened_at for e in self.events if e.happened_at is not None), default=0.0)

    @property
    def ready(self) -> LogEvent | None:
        return next((e for e in self.events if e.kind == "ready"), None)

    @property
    def asked_to_stop(self) -> bool:
        return any(e.kind == "shutdown" for e in self.events)

    @property
    def reason(self) -> LogEvent | None:
        """The first line that can end a start, None where there is none, or the server became ready."""
        if self.ready is not None or self.asked_to_stop:
            return None
        return next((e for e in self.events if e.kind in FATAL and not _of_a_table(e)), None)

    def of(self, *kinds: LogKind) -> tuple[LogEvent, ...]:
        return tuple(e for e in self.events if e.kind in kinds)


def _of_a_table(event: LogEvent) -> bool:
    """Whether the damage is of one table, which keeps no server from starting."""
    return event.kind == "table-crashed" and bool(event.name) and "aria_log" not in event.name


def attempts(facts: Facts) -> tuple[Attempt, ...]:
    """The last attempt of each of the server's logs."""
    logs: dict[str, list[LogEvent]] = {}
    for event in facts.of(LogEvent):
        if event.side == "server":
            since = logs.setdefault(event.subject, [])
            if event.kind == "starting":
                since.clear()
            since.append(event)
    return tuple(Attempt(log, tuple(events)) for log, events in logs.items())


def last(facts: Facts) -> Attempt | None:
    """The last attempt: where two logs tell of it, the one that says why it failed."""
    found = sorted(attempts(facts), key=lambda a: -a.newest)
    late = [a for a in found if a.newest >= found[0].newest - _TOGETHER]
    return next((a for a in late if a.reason is not None), late[0] if late else None)


def answers(facts: Facts) -> bool:
    """Whether somebody who speaks MySQL answers at the target."""
    return any(g.word in ("mysql", "error") for g in facts.of(Greeting)) or any(i.word == "ok" for i in facts.of(Login))


def up(facts: Facts) -> bool:
    """Whether the target's server runs: its process is here, or it answers from elsewhere."""
    return db_view.server(facts) is not None or answers(facts)


def down(facts: Facts) -> bool:
    """Whether the server is this host's, and does not run."""
    found = db_view.target(facts)
    return found is not None and (found.local or db_view.config(facts) is not None) and not up(facts)


def started_at(facts: Facts) -> float | None:
    """When the server that runs was started."""
    process, info = db_view.server(facts), facts.last(ServerInfo)
    if process is not None and process.seen_at is not None:
        return process.seen_at - process.age
    if info is not None and info.seen_at is not None:
        return info.seen_at - info.uptime
    return None


class Failure(Record):
    """A start that failed: the line that says why, and all lines of it. `second` is an attempt beside a running server."""

    reason: LogEvent
    attempt: Attempt
    second: bool


def failure(facts: Facts) -> Failure | None:
    """The last start, if it failed: of a server that does not run, or beside one that runs already."""
    attempt = last(facts)
    if attempt is None or (reason := attempt.reason) is None:
        return None
    if not up(facts):
        return Failure(reason, attempt, second=False)
    began, started = attempt.began, started_at(facts)
    if began is None or started is None or began < started - _SOON:
        return None  # it is older than the server that runs now
    if _is_of_the_running(attempt, facts):
        # it is not ready yet, and says what it waits for
        return None if answers(facts) else Failure(reason, attempt, second=False)
    return Failure(reason, attempt, second=True)


def _is_of_the_running(attempt: Attempt, facts: Facts) -> bool:
    """Whether it is the server that runs which tells this: by its pid, else by the time at which it was started."""
    process, started = db_view.server(facts), started_at(facts)
    if process is not None and not process.container and attempt.pid is not None:
        return attempt.pid == process.pid
    return attempt.began is not None and started is not None and attempt.began <= started + _SOON


def since_start(facts: Facts, *kinds: LogKind) -> tuple[LogEvent, ...]:
    """Lines of these kinds that the server which runs (or ran last) wrote since it was started."""
    if (started := started_at(facts)) is None:
        return tuple(e for attempt in attempts(facts) for e in attempt.of(*kinds))
    return tuple(e for e in in_window(facts, *kinds) if e.happened_at is None or e.happened_at >= started - _SOON)


def by_clients(facts: Facts, *kinds: LogKind) -> tuple[LogEvent, ...]:
    """Lines of these kinds in the clients' logs."""
    return tuple(e for e in facts.of(LogEvent) if e.side == "client" and e.kind in kinds)


def in_window(facts: Facts, *kinds: LogKind) -> tuple[LogEvent, ...]:
    """Lines of these kinds in the server's logs, whatever was started in between."""
    return tuple(e for e in facts.of(LogEvent) if e.side == "server" and e.kind in kinds)


def age(event: LogEvent) -> float | None:
    """Seconds since the last such line, None where it bears no time."""
    return None if event.happened_at is None or event.seen_at is None else event.seen_at - event.happened_at


def severity(failure: Failure) -> Severity:
    """A start beside a server that runs is only that; nobody is without a database."""
    return Severity.WARNING if failure.second else Severity.CRITICAL


def evidence(failure: Failure, *more: Fact) -> tuple[Fact, ...]:
    """The line that says why, others of its kind, and the server's giving up."""
    others = [e for e in failure.attempt.events if e.kind == failure.reason.kind and e is not failure.reason][:3]
    return (failure.reason, *others, *failure.attempt.of("aborting"), *more)


def read_log(log: str, facts: Facts) -> Step:
    """How to read this log, which may be the journal of a unit."""
    if log.startswith("journal of "):
        return Step("read what it said", f"journalctl -u {quote(log.removeprefix('journal of '))} -n 50 --no-pager")
    return Step("read what it said", f"{steps.sudo(facts)}tail -n 50 {quote(log)}")

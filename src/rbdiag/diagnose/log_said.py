"""What the catalogue knows of a log's lines, as findings of the codes that they speak for: "a log says so".

Only where logs are what the run is about. In the other runbooks they support what was seen directly, and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rbdiag.diagnose import log_steps, log_view, log_words
from rbdiag.diagnose.log_words import Voice
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.frozen import Record, replace
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec

# Said by the one who must know, and by nothing else: a server of its own settings, files, limits and accounts, a program of
# its own bind, the kernel of its own deed and tables, a client of the dates and names in a certificate it was shown.
_DIRECT = frozenset((
    "address-taken", "certificate-expired", "certificate-other-host", "conntrack-full", "db-account-limit", "db-account-locked",
    "db-command-denied", "db-crashed", "db-datadir-locked", "db-host-blocked", "db-host-not-allowed", "db-option-file-broken",
    "db-option-unknown", "db-packet-too-large", "db-password-expired", "db-read-only", "db-table-crashed", "db-tls-demanded",
    "db-too-many-connections", "db-too-many-files", "db-unknown-database", "filesystem-read-only", "oom-cgroup", "oom-kill",
    "pids-limit", "proxy-bind-failed", "proxy-config-invalid", "proxy-file-forbidden", "proxy-too-many-files",
    "server-address-taken", "server-queue-full", "too-many-files", "unit-environment-missing", "unit-exec-failed",
    "workers-exhausted",
))  # fmt: skip
# Guesses, and said to be: the manager of the workers sees that one was killed, and not by whom.
_GUESSES = frozenset(("worker-killed",))
# The last words of a program, or a state that stays: silence after them says nothing. Only a good start does.
_STAYS = frozenset((
    "api.boot-failure", "api.proxy-misconfigured", "change.bad-deploy", "change.dependency-version", "change.env-missing",
    "db.config-invalid", "db.crashed", "db.datadir-locked", "db.datadir-permission", "db.innodb-corruption", "db.oom-killed",
    "db.port-in-use", "db.replica-stopped", "db.table-crashed", "host.fs-readonly", "svc.crash-loop",
    "svc.dependency-not-ready", "svc.exec-failed", "svc.port-in-use", "tls.client-cert-or-key",
))  # fmt: skip
# Of these a service that is back has died all the same, or has not got rid of it: a good start makes them less bad, no more.
_OUTLIVES = frozenset((
    "db.crashed", "db.innodb-corruption", "db.oom-killed", "db.table-crashed", "host.disk-io", "host.fs-readonly", "host.hung-tasks",
    "host.oom-cgroup", "host.oom-kill", "svc.crash-loop", "svc.watchdog-killed", "api.upstream-reset",
))  # fmt: skip
# One line is one request or one connection: a single one may be anybody's bad luck.
_EACH = ("api.upstream", "api.wrong", "api.static", "timeout.", "net.", "dns.", "tls.", "db.access", "db.unknown", "db.host-n",
         "db.privilege", "db.too-many-c", "db.tls", "db.auth", "db.account", "db.hung", "db.service-down", "svc.not-running")  # fmt: skip
# What any caller from outside can bring about: it counts where it lasts, for a tenth of the window or five minutes.
_CALLERS = (
    "api.route-missing",
    "api.static-permission",
    "api.rate-limited",
    "api.size-limit",
    "timeout.budget-inverted",
)
_LASTS, _LASTS_PART = 300.0, 0.1
# One event writes its lines within a minute; so many at once are no longer one event.
_EVENT, _MANY = 60.0, 20
_FEW = 3
_SHOWN, _JOINED, _SUPPORT = 5, 3, 2
# What makes a proxy answer with 5xx.
_ANSWERED = ("api.", "timeout.", "net.", "dns.", "tls.", "svc.", "host.")


class Said(Record):
    """All that one writer says in one log of one code; `lines` with the most frequent first."""

    spec: Spec
    log: str
    voice: Voice
    lines: tuple[LogKnown, ...]
    settled: bool
    support: tuple[LogKnown, ...] = ()
    joined: tuple[Fact, ...] = ()

    @property
    def codes(self) -> set[str]:
        """Every code that these lines may speak for."""
        return {self.spec.code, *(code for line in self.lines for code in line.codes)}

    @property
    def names(self) -> tuple[str, ...]:
        """What it is about, the most frequent first."""
        return tuple(dict.fromkeys(log_words.short_name(line.name) for line in self.lines if line.name))


def said(facts: Facts) -> list[Said]:
    """What the logs say that the run is about, one entry a code, writer and log, with all facts that speak of the same lines."""
    windows = log_view.windows(facts)
    alone = [k for k in facts.of(LogKnown) if k.subject in windows and windows[k.subject].alone]
    if not alone:
        return []
    from rbdiag.diagnose import catalogue

    seen = catalogue()
    speaks = [k for k in alone if k.role in ("failure", "ordinary") and any(c in seen for c in k.codes)]
    voices = Counter(key for key, _ in {(_key(k, code), k.pattern) for k in speaks for code in k.codes})
    told: dict[tuple[str, str, str, str], list[LogKnown]] = {}
    for known in speaks:
        codes = [c for c in known.codes if c in seen]
        # Of several codes the one that other lines of this writer speak for as well, unless that plays it down.
        fit = [c for c in codes if seen[c].severity >= seen[codes[0]].severity or _is_temporary(known, c)]
        code = max(fit, key=lambda c: voices[_key(known, c)])
        told.setdefault(_key(known, code), []).append(known)
    found = []
    for (log_name, _, code, _), lines in told.items():
        lines.sort(key=lambda k: (len(k.codes) == 1, k.count), reverse=True)
        one = Said(
            seen[code],
            log_name,
            log_words.voice(log_name, lines[0].text),
            tuple(lines),
            all(k.started_at is not None for k in lines),
        )
        one = replace(one, support=_support(one, alone), joined=tuple(_joined(one, facts)))
        if _severity(one, windows[log_name]) > Severity.NOTE:
            one = replace(one, joined=(*one.joined, *_failed_by(one, facts, windows)))
        found.append(one)
    return list(_by_their_messages(found))


def _by_their_messages(found: list[Said]) -> Iterator[Said]:
    """Without the lines that only say that there was an exception, where its message says which: they support that."""
    for one in found:
        traces = {
            id(fact) for fact in one.joined if isinstance(fact, LogTrace) and fact.code and fact.code not in one.codes
        }
        if not any(traces & {id(fact) for fact in other.joined} for other in found if other is not one):
            heads = [k for other in found if other is not one and _heads(one, other) for k in other.lines]
            yield replace(one, support=(*heads, *one.support))


def _heads(one: Said, other: Said) -> bool:
    """Whether the lines of the other are the heads of traces whose message this one knows."""
    known = {id(fact) for fact in one.joined if isinstance(fact, LogTrace) and fact.code in one.codes}
    return bool(known & {id(f) for f in other.joined if isinstance(f, LogTrace) and f.code not in other.codes})


def _is_temporary(known: LogKnown, code: str) -> bool:
    """Whether a file that could not be written may be one of the temporary folder: those of the data are named from there."""
    return code == "db.tmpdir-full" and known.name.startswith("/")


def _key(known: LogKnown, code: str) -> tuple[str, str, str, str]:
    """Lines with the same key are one finding: the manager of services speaks of many, and each is one of its own."""
    program = log_words.voice(known.subject, known.text).program
    return known.subject, program, code, known.name if program == "systemd" else ""


def _support(one: Said, alone: Iterable[LogKnown]) -> tuple[LogKnown, ...]:
    """Lines of the same writer that prove nothing by themselves, and go with these."""
    return tuple(
        k for k in alone
        if k.role == "evidence" and k.subject == one.log and one.spec.code in k.codes
        and log_words.voice(k.subject, k.text).program == one.voice.program
    )  # fmt: skip


def _joined(one: Said, facts: Facts) -> Iterator[Fact]:
    """What other checks found in these very lines."""
    for template in facts.of(LogTemplate):
        same = template.code in one.codes or any(log_words.same_line(template, line) for line in one.lines)
        if template.subject == one.log and same:
            yield template
    for trace in facts.of(LogTrace):
        same = trace.code in one.codes or any(
            trace.head and log_words.shaped(trace.head, line.text) for line in one.lines
        )
        if trace.subject == one.log and same:
            yield trace


def _failed_by(one: Said, facts: Facts, windows: dict[str, LogWindow]) -> Iterator[LogTraffic]:
    """The requests that fail of what these lines say."""
    if one.spec.code.startswith(_ANSWERED) and one.spec.code not in _CALLERS:
        yield from (traffic for traffic in facts.of(LogTraffic) if _same_requests(one, traffic, windows))


def _same_requests(one: Said, traffic: LogTraffic, windows: dict[str, LogWindow]) -> bool:
    """Whether a log of requests is of those that these lines are about: by its unit, or by a path that both name."""
    ours, theirs = windows.get(one.log), windows.get(traffic.subject)
    if ours is not None and theirs is not None and ours.owner and ours.owner == theirs.owner:
        return True
    paths = [path for line in one.lines for path in log_words.requested(line.text)]
    return any(log_words.like(template, path) for template, _, _ in traffic.failing for path in paths)


def a_log_says_so(facts: Facts) -> Iterator[Finding]:
    everything, windows = said(facts), log_view.windows(facts)
    causes = {code for one in everything for code in one.spec.explains}
    present = {one.spec.code for one in everything}
    for one in everything:
        window = windows.get(one.log)
        # Roots of one rank are ordered by what they could explain, though nothing says yet that they do.
        impact = 0.3 if one.spec.code in causes else 0.9 if present & set(one.spec.explains) else 0.6
        confidence = _confidence(one)
        if all(log_view.is_old(line.happened_at, window) for line in one.lines):
            # It happened, and may have nothing to do with what goes on now.
            confidence, impact = min(confidence, Confidence.LIKELY), 0.1
        yield Finding(
            one.spec, _severity(one, window), confidence, (one.names or (one.voice.token,))[0], _summary(one, window),
            evidence=_evidence(one),
            resolution=tuple(log_steps.of(one.spec, one.log, one.lines, window, facts)),
            about=_about(one, window), impact=impact,
        )  # fmt: skip


def _evidence(one: Said) -> tuple[Fact, ...]:
    """The lines, and what else speaks of them, but for templates that would only repeat a line."""
    lines = one.lines[:_SHOWN]
    texts = {line.text for line in lines}
    more = [fact for fact in one.joined if not isinstance(fact, LogTemplate) or fact.sample not in texts]
    return (*lines, *more[:_JOINED], *one.support[:_SUPPORT])


def _confidence(one: Said) -> Confidence:
    clear = [line.pattern for line in one.lines if len(line.codes) == 1 and line.pattern not in _GUESSES]
    if any(pattern in _DIRECT for pattern in clear):
        return Confidence.CERTAIN
    # Two kinds of line that have only this in common are as good as one that means nothing else.
    return Confidence.LIKELY if clear or len({line.pattern for line in one.lines}) > 1 else Confidence.POSSIBLE


# What was there all the time before is known noise below one line a minute; above it, an outage that lasts.
_NOISE = 1 / 60


def _severity(one: Said, window: LogWindow | None) -> Severity:
    """As bad as the catalogue says, where it goes on; less where it is over or a single line; a note where it always was so."""
    given = [Severity[line.severity.upper()] for line in one.lines if line.severity]
    worst = max(given, default=one.spec.severity)
    if _is_handled(one):
        return Severity.NOTE
    rates = [
        rate
        if (rate := log_view.rate_of(line, window)).risen and line.count >= _MANY
        else log_view.rate_of_all(line, window)
        for line in one.lines
    ]
    if all(line.role == "ordinary" for line in one.lines) and not _is_news(one, window):
        return Severity.NOTE
    code, count = one.spec.code, sum(line.count for line in one.lines)
    if one.settled and code not in _OUTLIVES:
        return Severity.NOTE  # history: it started well after that
    # A client that lost its connection says nothing of how its server is by now.
    stays = code in _STAYS and (code != "db.crashed" or any(len(line.codes) == 1 for line in one.lines))
    over = not stays and all(log_view.is_over(line.happened_at, window) for line in one.lines)
    usual = all(rate.usual and not rate.risen for rate in rates)
    if usual and code not in _STAYS and count < _NOISE * log_view.seconds(window):
        return Severity.NOTE
    guess = all(line.pattern in _GUESSES for line in one.lines)
    lower = (one.settled or over) + usual + guess + (count < _FEW and code.startswith(_EACH))
    return Severity(max(Severity.NOTE, worst - lower))


def _is_handled(one: Said) -> bool:
    """Whether these lines are of exceptions that their writer tells for information: it has dealt with them."""
    calm = [fact for fact in one.joined if isinstance(fact, LogTrace) and fact.level in ("info", "debug")]
    return bool(calm) and sum(fact.count for fact in calm) >= sum(line.count for line in one.lines)


def is_alarm(one: Said, window: LogWindow | None) -> bool:
    """Whether it is more than a note."""
    return _severity(one, window) > Severity.NOTE


def _is_news(one: Said, window: LogWindow | None) -> bool:
    """Whether lines that a healthy service writes now and then are much more than that, or come with a trace that is new."""
    for trace in one.joined:
        if (
            isinstance(trace, LogTrace)
            and not trace.before
            and (trace.count >= _FEW or log_view.is_last(trace.happened_at, window))
        ):
            return True
    return any(
        _lasts(line, one, window) and (rate.risen or (not rate.known and _is_much(line, one, window)))
        for line in one.lines
        if (rate := log_view.rate_of(line, window))
    )


def _is_much(line: LogKnown, one: Said, window: LogWindow | None) -> bool:
    """Where there is nothing to compare with: whether it is more than a healthy service writes in such a time."""
    if one.spec.code in (*_CALLERS, "db.access-denied") or window is None:  # whoever can connect can fail to log in
        return False
    begin, end = window.first_at, window.last_at
    covered = end - begin if begin is not None and end is not None else log_view.seconds(window)
    return line.count >= max(_MANY, _NOISE * covered)


def _lasts(line: LogKnown, one: Said, window: LogWindow | None) -> bool:
    """Whether it is more than one event that wrote several lines, or than a scanner that passes by."""
    from_outside = one.spec.code in _CALLERS
    if from_outside and not line.name:
        return False  # each asks for something else
    if line.first_at is None or line.happened_at is None:
        return True
    lasted = line.happened_at - line.first_at
    if from_outside:
        return lasted >= min(_LASTS, _LASTS_PART * log_view.seconds(window))
    return lasted >= _EVENT or line.count >= _MANY


def _about(one: Said, window: LogWindow | None) -> frozenset[str]:
    """Its writer in this log, the unit whose log it is, and whatever the lines name that another log may name as well.

    What the manager of services says of one unit concerns that unit, and no other that it speaks of in the same log.
    """
    names = {word for line in one.lines for word in log_words.subjects(line.name, line.text)}
    if one.voice.program == "systemd":
        return frozenset(names or {one.voice.token})
    programs = {one.voice.program} - {"", "kernel"}
    owner = {window.owner, window.owner.removesuffix(".service")} - {""} if window is not None else set()
    return frozenset({one.voice.token} | names | programs | owner)


def _summary(one: Said, window: LogWindow | None) -> str:
    first, count, names = one.lines[0], sum(line.count for line in one.lines), one.names
    # The title of a line that only one program writes begins with that program.
    program, _, title = first.title.rpartition(": ")
    who = program or log_words.speaker(one.log, first.text, window)
    about = f": {names[0]}" if names and names[0] not in title else ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    trace = next((f": {log_words.told(j)}" for j in one.joined if isinstance(j, LogTrace) and not names), "")
    where = "" if who == one.log else f" in {one.log}"
    since = "; it has started well since" if one.settled else ""
    said_by = "" if title.startswith(f"{who} ") else f"{who}: "
    ago = "" if one.settled else log_view.since_last(max(k.happened_at or 0.0 for k in one.lines) or None, window)
    return f"{said_by}{title}{about}{more}{trace} ({log_words.times_written(count)}{where}{ago}){since}"


def supported(findings: Iterable[Finding], facts: Facts) -> list[Finding]:
    """The findings, those about a service with what its log says of the same code. It supports, and never outweighs.

    For the runbooks that look at the service itself; a log belongs to what its owner names.
    """
    windows = log_view.windows(facts)
    quiet = [k for k in facts.of(LogKnown) if k.codes and k.subject in windows and not windows[k.subject].alone]
    return [_with_lines(finding, quiet, windows) for finding in findings] if quiet else list(findings)


def _with_lines(finding: Finding, quiet: list[LogKnown], windows: dict[str, LogWindow]) -> Finding:
    about = finding.about | {finding.subject}
    lines = [
        k for k in quiet
        if finding.code in k.codes and {k.subject, windows[k.subject].owner} & about and k not in finding.evidence
    ][:_SUPPORT]  # fmt: skip
    return replace(finding, evidence=(*finding.evidence, *lines)) if lines else finding


RULES = (a_log_says_so,)

"""The log answer: what is known, what is new, what was thrown, how requests went; a few rows of each, on one grid.

The same for all formats for people: which facts are shown and what each says of itself. A row says how often, since
when, and how that compares with before, because that is what is asked at three in the morning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rbdiag.facts import number, percent, size, span
from rbdiag.facts.logs import LogKnown, LogLevel, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.frozen import Record, replace
from rbdiag.model import Fact, Facts, Mark, Report, Severity
from rbdiag.render.when import clock

# Of so many logs each has its line; of more, they are summed.
_NAMED = 3
# So many paths fit on a line.
_PATHS = 3
# A rate within this factor is the same as before, for a person.
_SAME = 1.5
# Of fewer lines no rate is told: one line more or less would double it.
_FEW = 5

# What a line begins with before it says anything: times, in whatever form, and the brackets around them.
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"
_TIMES = re.compile(
    rf"""(?x) (?: [\s\[(<|]* (?:
        \d{{4}}[-/.]\d\d[-/.]\d\d (?: [T ]{{1,2}}{_CLOCK} (?:\ ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)(?![\w:]))? )?
      | \d{{1,2}}[/-]{_MONTH}[/-]\d{{4}}[: ]{_CLOCK}(?:\ [+-]\d{{4}})?
      | (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\ )? {_MONTH}\ {{1,2}}\d{{1,2}},?\ (?:\d{{4}}\ )?{_CLOCK}(?:\ \d{{4}})?
      | {_CLOCK} | 1\d{{9}}(?:\d{{3}})?(?:\.\d+)?
    ) [\])>|,]* (?=\s|:\s|$) :? )+ \s*"""
)
_LEVEL = re.compile(
    r"(?i)[\s\[<(|:-]*(?:fatal|crit(?:ical)?|emerg|alert|error|err|warn(?:ing)?|notice|info|debug|trace)\b[\])>|:]*"
    r"\s*(?:\d+#\d+:[ ](?:\*\d+[ ])?)?"  # nginx: process, thread and connection
)
_MARKS: dict[Severity, Mark] = {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
# Where the message stands in a line of JSON, and in one of name=value pairs.
_MESSAGE = re.compile(
    r"""(?x) (?:^|[\s{,]) "?(?:message|msg|event|error|err|exception)"? \s?[:=]\s? "((?:[^"\\]|\\.)+)" """
)
# What an access log says, and how such a line is told as a shape.
_REQUEST = re.compile(r"""[^"]{3,400}"([A-Z]{3,10} [^" ]+)(?: HTTP/[\d.]+)?" (\d{3})\b""")
_REQUESTS = re.compile(r"[A-Z]{3,10} \S+ \d{3}")


class Row(Record):
    """One line of the answer: its mark, how often, how that compares with before, first and last time, and what."""

    mark: Mark
    count: str
    change: str
    first: str
    last: str
    what: str
    log: str


class Section(Record):
    """Rows of one kind, and how many more there are. `log` is whose they all are, "" where that is plain or differs."""

    title: str
    log: str
    rows: tuple[Row, ...]
    more: int


def windows(facts: Facts) -> list[str]:
    """What of which logs was read; of many logs their number and the one that was read most."""
    found = facts.of(LogWindow)
    if len(found) <= _NAMED:
        return [str(window) for window in found]
    empty = sum(not window.bytes for window in found)
    before = sum(window.baseline_bytes for window in found)
    compared = f", compared with {size(before)} before" if before else ""
    silent = f"; nothing was written in {empty} of them" if empty else ""
    return [f"{len(found)} logs: {size(sum(window.bytes for window in found))} read{compared}{silent}"]


def sections(report: Report, top: int, offset: int, everything: bool = False) -> list[Section]:
    """The sections that have something to say, each with its first `top` rows.

    `offset` is what to add to UTC, in seconds. `everything` shows all rows, and lines that are as they always were too.
    """
    facts, marks = report.facts, _marks(report)
    spans = {window.subject: window for window in facts.of(LogWindow)}

    def row(fact: LogKnown | LogTemplate | LogTrace, change: str, what: str) -> Row:
        times = ["" if t is None else _moment(t, offset, report.started_at) for t in (fact.first_at, fact.happened_at)]
        return Row(
            marks.get(fact, "note"), number(fact.count), change, times[0], times[1], what, short(fact.subject, spans)
        )

    known = [f for f in facts.of(LogKnown) if everything or f.role == "failure" or f in marks]
    news = [f for f in facts.of(LogTemplate) if everything or not _said(f, known, facts)]
    traces = list(facts.of(LogTrace))
    if known or news or traces:  # a start is no news by itself, but it is where there is trouble
        known += [f for f in facts.of(LogKnown) if f.role in ("start", "stop") and f not in known]
    known.sort(key=lambda f: (-_rank(f, marks), f.role in ("start", "stop"), -f.count))
    news.sort(key=lambda f: (f.rank, f.subject))
    traces.sort(key=lambda f: (-_rank(f, marks), f.before not in (0, None), -f.count))
    kinds = {
        "KNOWN": [row(f, _since_before(f, spans), _meaning(f)) for f in known],
        "NEW OR CHANGED": [row(f, _changed(f), _shown(f)) for f in news],
        "EXCEPTIONS": [row(f, _since_before(f, spans), _thrown(f)) for f in traces],
    }
    most = None if everything else top
    return [
        Section(title, *_whose(rows[:most], len(spans)), len(rows) - len(rows[:most]))
        for title, rows in kinds.items()
        if rows
    ]


def requests(report: Report, offset: int, everything: bool = False) -> list[str]:
    """A line on the requests of each access log, and on the paths that fail and those that are slow."""
    lines, marks = [], _marks(report)
    for t in report.facts.of(LogTraffic):
        logs = [window.subject for window in report.facts.of(LogWindow)]
        log = f"{short(t.subject, logs)}: " if len(logs) > 1 else ""
        said = [f"{number(t.requests)} requests"]
        if t.requests:
            was = f" (before {percent(t.share(5, before=True))})" if t.requests_before else ""
            since = f" from {_moment(t.first_failed_at, offset, report.started_at)} on" if t.first_failed_at else ""
            said.append(f"{percent(t.share(5))} answered 5xx{since}{was}")
            if t.share(4):
                was = f" (before {percent(t.share(4, before=True))})" if t.requests_before else ""
                said.append(f"{percent(t.share(4))} 4xx{was}")
        if t.p95 is not None:
            was = "" if t.p95_before is None else f" (before {span(t.p95_before)})"
            said.append(f"95 % within {span(t.p95)}{was}")
        lines.append(log + ", ".join(said))
        if failing := [f"{path} {number(bad)} of {number(all_)}" for path, bad, all_ in t.failing[:_PATHS]]:
            lines.append("failing: " + ", ".join(failing))
        # Some path always is the slowest; which is of interest where something was found.
        if slow := [f"{path} {span(p95)}" for path, p95, _ in t.slow[:_PATHS] if t in marks or everything]:
            lines.append("slow: " + ", ".join(slow))
    return lines


def short(log: str, among: Iterable[str] = ()) -> str:
    """The name of a log without its folders, but for as many as tell it from each of those that are called the same."""
    name = log.rpartition("/")[2] or log
    others = [other for other in among if other != log]
    folders = log.removesuffix(name).split("/")[:-1]
    while folders and any(f"/{other}".endswith(f"/{name}") for other in others):
        name = f"{folders.pop()}/{name}"
    return name


def body(text: str) -> str:
    """What a line says, without the time before it: of JSON and name=value pairs the message, of a request it alone."""
    if request := _REQUEST.match(text):
        return f"{request[1]} {request[2]}"
    rest = text[found.end() :] if (found := _TIMES.match(text)) else text
    structured = rest.startswith("{") or re.match(r"[\w.-]+=\S", rest)
    if structured and (message := _MESSAGE.search(rest)):
        return message[1]
    return rest or text


def leveled(level: LogLevel, text: str) -> str:
    """What a line says, after its level in one word."""
    said = body(text)
    if level == "none":
        return said
    return f"{level}: {said[found.end() :] if (found := _LEVEL.match(said)) else said}"


def _whose(rows: list[Row], logs: int) -> tuple[str, tuple[Row, ...]]:
    """The log that all these rows are of; where they are of several, each names its own."""
    names = {row.log for row in rows}
    if logs < 2 or len(names) == 1:
        return (names.pop() if logs > 1 else ""), tuple(rows)
    return "", tuple(replace(row, what=f"{row.log}: {row.what}") for row in rows)


def _shown(shape: LogTemplate) -> str:
    """The last line of a shape, or the shape, where it is one of requests."""
    return shape.template if _REQUESTS.fullmatch(shape.template) else leveled(shape.level, shape.sample)


def _thrown(trace: LogTrace) -> str:
    """The exception and where it came from; then its message, which may be cut."""
    where = f" at {trace.frame or trace.top}" if trace.frame or trace.top else ""
    return f"{trace.exception}{where}" + (f": {trace.message}" if trace.message else "")


def _meaning(known: LogKnown) -> str:
    """What the lines mean, and what of."""
    return f"{known.title}: {known.name}" if known.name else known.title


def _marks(report: Report) -> dict[Fact, Mark]:
    """How each fact is marked that a finding is built on: as the worst of those."""
    marks: dict[Fact, Mark] = {}
    for finding in sorted(report.findings, key=lambda f: f.severity):
        marks |= dict.fromkeys(finding.evidence, _MARKS[finding.severity])
    return marks


def _rank(fact: Fact, marks: dict[Fact, Mark]) -> int:
    return list(_MARKS.values()).index(marks[fact]) if fact in marks else -1


def _said(shape: LogTemplate, known: list[LogKnown], facts: Facts) -> bool:
    """Whether a row on what is known, on an exception or on requests says the same of the same log already."""
    same = [f for f in known if f.subject == shape.subject]
    if any(shape.sample == f.text or (shape.code and shape.code in f.codes) for f in same):
        return True
    if any(f.head == shape.template for f in facts.of(LogTrace) if f.subject == shape.subject):
        return True
    failed = _REQUESTS.fullmatch(shape.template) and shape.template.rpartition(" ")[2].startswith("5")
    return bool(failed) and any(f.failing for f in facts.of(LogTraffic) if f.subject == shape.subject)


def _changed(shape: LogTemplate) -> str:
    if shape.word in ("new", "rare"):
        return shape.word
    ratio = shape.rate / shape.rate_before if shape.rate and shape.rate_before else 0.0
    return _times(ratio) if ratio else _times(1.0) if shape.word == "same" else shape.word


def _since_before(fact: LogKnown | LogTrace, spans: dict[str, LogWindow]) -> str:
    """How much more often than before: `new`, `x10`, `1/3`, `as before`, or nothing where there is nothing to say."""
    window = spans.get(fact.subject)
    moment = isinstance(fact, LogKnown) and fact.role in ("start", "stop")
    if fact.before is None or window is None or moment:
        return ""
    if window.baseline_since is None and not window.baseline_bytes:
        return ""
    if not fact.before:
        return "new"
    if window.since is None or window.until is None or window.baseline_since is None:
        return ""
    now, then = window.until - window.since, window.since - window.baseline_since
    if now <= 0 or then <= 0:
        return ""
    expected = fact.before / then * now
    return _times(fact.count / expected) if max(expected, fact.count) >= _FEW else ""


def _times(ratio: float) -> str:
    if ratio >= _SAME:
        return f"x{ratio:.0f}" if ratio >= 9.5 else f"x{ratio:.1f}".removesuffix(".0")
    return f"1/{1 / ratio:.0f}" if ratio <= 1 / _SAME else "as before"


def _moment(seconds: float, offset: int, today: float) -> str:
    """The time of day; of another day the day, and the time to the minute."""
    return shown[5:16] if " " in (shown := clock(seconds, offset, today)) else shown

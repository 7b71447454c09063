"""What is news in a log: what no known line speaks of already, and is no chatter of a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rbdiag.diagnose import log_said, log_view, log_words
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.model import Facts, Severity

# An error that was written once or twice in hours is news for a reader, not for a pager; unless the log ends with it.
FEW = 3
# So many of a kind stand in a finding's evidence.
SHOWN = 6
# The levels of which lines are errors.
BAD = ("fatal", "error")
# So long after a good start its own chatter lasts: what it says of others that are not there yet.
_CHATTER = 60.0
# So much of a message is enough to know it again where another check has cut it short, or masked its end.
_SAME = 30

F = TypeVar("F", LogTemplate, LogTrace)


def news(facts: Facts, kind: type[F]) -> dict[str, list[F]]:
    """The facts of this type, by their log, but for those that another finding has as evidence."""
    told = {id(fact) for one in log_said.said(facts) for fact in one.joined}
    found: dict[str, list[F]] = {}
    for fact in facts.of(kind):
        if id(fact) not in told:
            found.setdefault(fact.subject, []).append(fact)
    return found


def templates(facts: Facts) -> dict[str, list[LogTemplate]]:
    """The templates that speak for themselves: not what the catalogue knows, though it may prove nothing by itself; not the
    heads of traces, nor requests, which are told as such."""
    known = [k for k in facts.of(LogKnown) if not k.pattern.startswith("settings:")]
    traces = facts.of(LogTrace)
    requests = {traffic.subject for traffic in facts.of(LogTraffic)}
    return {
        log_name: sorted(
            (
                t for t in found
                if not (log_name in requests and t.level == "none") and not _is_of(t, traces) and not _is_known(t, known)
            ),
            key=lambda t: (t.rank, -t.count),
        )
        for log_name, found in news(facts, LogTemplate).items()
    }  # fmt: skip


def _is_of(template: LogTemplate, traces: Sequence[LogTrace]) -> bool:
    """Whether lines of this shape belong to traces: as their first line, or as the one that names the exception."""
    return any(
        trace.subject == template.subject and (trace.head == template.template or _names(template.sample, trace))
        for trace in traces
    )


def _names(sample: str, trace: LogTrace) -> bool:
    """Whether a line is about this exception: it begins with its type, or has both its type and its message."""
    if log_words.body(sample).startswith(f"{trace.exception}:"):
        return True
    return bool(trace.message) and trace.exception in sample and trace.message[:_SAME] in sample


def _is_known(template: LogTemplate, known: list[LogKnown]) -> bool:
    return any(log_words.same_line(template, line) for line in known)


def is_chatter(fact: LogTemplate | LogTrace, window: LogWindow | None, facts: Facts) -> bool:
    """Whether it belongs to a start that ended well: the last of such lines lies before, or just after, the last one."""
    if log_view.is_last(fact.happened_at, window):
        return False  # it started well, and this is what it says now
    text = fact.sample if isinstance(fact, LogTemplate) else ""
    starts = log_view.starts_of(fact.subject, text, window, facts)
    return bool(starts) and fact.happened_at is not None and fact.happened_at <= max(starts) + _CHATTER


def beside(severity: Severity, window: LogWindow | None) -> Severity:
    """The severity, where logs are what the run is about; a note beside what was seen directly."""
    return severity if window is not None and window.alone else Severity.NOTE


def about(log_name: str, window: LogWindow | None) -> frozenset[str]:
    return frozenset({log_name, window.owner} - {""} if window is not None else {log_name})

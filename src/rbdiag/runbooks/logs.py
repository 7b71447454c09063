"""The log runbook: what the named logs say that matters, whatever program writes them.

The logs are found and their windows bounded once; each check then makes its own pass over the same spans, so that any
of them can be left out, and a bug in one leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbdiag.deadline import Deadline
from rbdiag.facts import size
from rbdiag.facts.logs import LogWindow
from rbdiag.frozen import replace
from rbdiag.model import Fact
from rbdiag.runbooks import Plan
from rbdiag.runner import Job

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from rbdiag.collect.log_patterns import Pattern
    from rbdiag.collect.log_state import State
    from rbdiag.settings import PatternEntry

# Less is the program itself.
_WORTH_SAYING = 32 << 20

CHECKS = ("logs.find", "logs.known", "logs.new", "logs.traces", "logs.requests")


def plan(
    *,
    files: tuple[str, ...],
    unit: str,
    pid: int | None,
    since: float,
    asked: bool,
    baseline: float,
    patterns: Iterable[PatternEntry] = (),
    state: State | None = None,
) -> Plan:
    """The checks of one run.

    `files` are paths, globs and `-` for standard input, `unit` a service whose logs are meant ("" for none), `pid` a
    process. `since` is seconds since the epoch, and `asked` whether somebody said so: else the window of a log that
    was written to last before that may end with its last line. `baseline` is how many times the window's length is
    compared with it. `patterns` are the user's own; with a `state` only what was written since it was committed
    last is read.
    """
    from rbdiag.collect import log_known, log_new, log_patterns, log_traces, log_traffic
    from rbdiag.collect.log_sources import Wanted
    from rbdiag.collect.log_window import Spans

    spans = Spans(Wanted(files, unit, pid), since, asked=asked, baseline=baseline, state=state)
    own = own_patterns(patterns)
    matcher = log_patterns.Matcher(own)

    def find(deadline: Deadline) -> Iterator[Fact]:
        for fact in spans.find(deadline):
            # Nothing else is looked at here, so the logs have to answer alone.
            yield replace(fact, alone=True) if isinstance(fact, LogWindow) else fact

    target = named(files, unit, pid)
    found = ("logs.find",)
    jobs = (
        Job("logs.find", target, lambda d, _: find(d), decides=True),
        Job("logs.known", target, lambda d, _: log_known.known(spans, d, own), after=found, decides=True),
        Job("logs.new", target, lambda d, _: log_new.changes(spans, d, matcher), after=found),
        Job("logs.traces", target, lambda d, _: log_traces.traces(spans, d, matcher), after=found),
        Job("logs.requests", target, lambda d, _: log_traffic.traffic(spans, d), after=found),
    )
    begun = _read_by_us()

    def doing() -> str:
        read = _read_by_us() - begun
        return f"{size(read)} read" if read >= _WORTH_SAYING else ""

    return Plan("logs", target, jobs, close=spans.close, doing=doing)


def _read_by_us() -> int:
    """The bytes that this process has read from anywhere, 0 where the kernel does not tell."""
    try:
        with open("/proc/self/io", "rb") as file:
            return int(file.readline().split()[1])  # rchar, see proc(5)
    except (OSError, ValueError, IndexError):
        return 0


def own_patterns(entries: Iterable[PatternEntry]) -> tuple[Pattern, ...]:
    """The patterns of the settings file, ready for use; their names say where they are from."""
    from rbdiag.collect.log_patterns_own import pattern_from_settings

    return tuple(
        pattern_from_settings(f"settings:{p.name}", p.regex, p.title, (p.code,) if p.code else (), p.severity)
        for p in entries
    )


def remembered(folder: os.PathLike[str]) -> State:
    """What was told by the last run with `--new-only`, kept in this folder. To be committed and closed."""
    from rbdiag.collect.log_state import State

    return State(folder)


def named(files: tuple[str, ...], unit: str, pid: int | None) -> str:
    """What is looked at, in words."""
    names = ["standard input" if file == "-" else file for file in files]
    names += [unit] if unit else []
    names += [f"pid {pid}"] if pid else []
    return ", ".join(names)

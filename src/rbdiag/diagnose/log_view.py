"""What the rules about logs read together: the window and its baseline, what is more than before, and what is over."""

from __future__ import annotations

from math import log

from rbdiag.diagnose import log_words
from rbdiag.facts import span
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogWindow
from rbdiag.frozen import Record, replace
from rbdiag.model import Facts

# A rate is news from three times the former one on: hours of one day differ by two (a normal rhythm is not news) ...
_TIMES = 3.0
# ... and only where chance alone would make it once in a thousand logs: a log has some ten kinds of lines worth telling.
_CHANCE = 1e-3
# Over less than this (seconds) nothing is frequent or rare.
_MOMENT = 1e-3
# What was silent for the second half of the window, while the log went on, is over.
_QUIET = 0.5
# Seconds without a line after which a log may have ended.
_ENDED = 10.0
# So many lines before, at half the rate of now or more, are the usual state of this log.
_USUAL, _LIKE_NOW = 3, 0.5


class Rate(Record):
    """How often lines were written in the window and in its baseline, and over how long (seconds, else bytes read)."""

    count: int
    before: int
    covered: float
    covered_before: float

    @property
    def known(self) -> bool:
        """Whether there is anything to compare with."""
        return min(self.covered, self.covered_before) >= _MOMENT

    @property
    def times(self) -> float:
        """The rate as a multiple of the former one; of none at all, as if there had been one line."""
        return (self.count / self.covered) / (max(self.before, 1) / self.covered_before) if self.known else 1.0

    @property
    def risen(self) -> bool:
        """Whether there are much more than before, and more than chance makes of small numbers.

        Of all lines in both, the part that falls into the window is binomial if nothing changed; Chernoff's bound says
        how unlikely this part is, without a sum over millions of terms.
        """
        total = self.count + self.before
        if not self.known or not total or self.times < _TIMES:
            return False
        expected, seen = self.covered / (self.covered + self.covered_before), self.count / total
        if seen <= expected:
            return False
        rest = (1 - seen) * log((1 - seen) / (1 - expected)) if seen < 1 else 0.0
        return total * (seen * log(seen / expected) + rest) >= -log(_CHANCE)

    @property
    def usual(self) -> bool:
        """Whether they were there before at much the same rate."""
        return (
            self.known
            and self.before >= _USUAL
            and self.before / self.covered_before >= _LIKE_NOW * self.count / self.covered
        )


def windows(facts: Facts) -> dict[str, LogWindow]:
    """The logs that were read, by their names."""
    return {window.subject: window for window in facts.of(LogWindow)}


def seconds(window: LogWindow | None) -> float:
    """How long the window is; 0 where that is not known."""
    if window is None:
        return 0.0
    begin = window.since if window.since is not None else window.first_at
    end = window.until if window.until is not None else window.last_at
    return max(0.0, end - begin) if begin is not None and end is not None else 0.0


def seconds_before(window: LogWindow | None) -> float:
    """How much of a baseline is really there; 0 for none."""
    if window is None or window.baseline_since is None or window.since is None:
        return 0.0
    return max(0.0, window.since - window.baseline_since)


def rate_of(fact: LogKnown | LogTemplate | LogTrace, window: LogWindow | None) -> Rate:
    """How often such lines were written now and before."""
    now, before = seconds(window), seconds_before(window)
    if isinstance(fact, LogKnown) and fact.covered is not None and fact.covered_before is not None:
        now, before = fact.covered, fact.covered_before
    elif not now and window is not None:
        now, before = float(window.bytes), float(window.baseline_bytes)
    elif before < now and window is not None and isinstance(fact, LogKnown) and not fact.before:
        now, before = _since_the_first(fact, window, before)
    return Rate(fact.count, fact.before or 0, now, before)


def rate_of_all(known: LogKnown, window: LogWindow | None) -> Rate:
    """The same of all lines of its pattern, about whatever: a service that always fails to reach somebody fails to reach
    somebody else each time."""
    if known.of_all is None:
        return rate_of(known, window)
    return rate_of(replace(known, count=known.of_all[0], before=known.of_all[1]), window)


def _since_the_first(known: LogKnown, window: LogWindow, before: float) -> tuple[float, float]:
    """How long such lines have been written, and how long the log was without them until then.

    What a log with next to no baseline can be compared with is its own beginning: had they been as frequent all the time,
    the first of so many would hardly come so late.
    """
    begin, end, first = window.first_at, window.last_at, known.first_at
    if begin is None or end is None or first is None:
        return seconds(window), before
    return max(0.0, end - first), before + max(0.0, first - begin)


def is_over(happened_at: float | None, window: LogWindow | None) -> bool:
    """Whether such lines ended while the log went on for most of the window. A log that ends with them is not over."""
    last = window.last_at if window is not None else None
    whole = seconds(window)
    return last is not None and happened_at is not None and whole > 0 and last - happened_at > _QUIET * whole


def is_old(happened_at: float | None, window: LogWindow | None) -> bool:
    """Whether such lines ended in the older half of the window, whether the log went on or not."""
    until, whole = window.until if window is not None else None, seconds(window)
    return until is not None and happened_at is not None and whole > 0 and until - happened_at > _QUIET * whole


def since_last(happened_at: float | None, window: LogWindow | None) -> str:
    """In words how long ago such lines ended, where that is worth saying; "" else."""
    until = window.until if window is not None else None
    if until is None or happened_at is None or not is_old(happened_at, window):
        return ""
    return f", the last of them {span(until - happened_at)} ago"


def is_last(happened_at: float | None, window: LogWindow | None) -> bool:
    """Whether the log ends with this line (or it cannot be told): what a program says before it dies. A log that was
    written to a moment ago goes on."""
    last = window.last_at if window is not None else None
    if window is None or last is None or happened_at is None:
        return True
    ended = window.moved or window.until is None or window.until - last >= _ENDED
    return ended and last - happened_at < 1.0


def starts_of(log_name: str, text: str, window: LogWindow | None, facts: Facts) -> list[float]:
    """When the one who wrote this line started well. In a log of many writers another's start says nothing of him: it must
    be his own word, or that of the manager of services about the unit whose log it is."""
    owner = window.owner if window is not None else ""
    names = {log_words.voice(log_name, text).program, _plain(owner), _plain(log_name.removeprefix("journal of "))}
    names -= {"", "systemd", "kernel"}
    return [
        start.happened_at
        for start in facts.of(LogKnown)
        if start.role == "start" and start.subject == log_name and start.happened_at is not None
        and (not (by := log_words.voice(log_name, start.text).program) or {by, _plain(start.name)} & names)
    ]  # fmt: skip


def _plain(name: str) -> str:
    """A unit or a process by its bare name."""
    return name.removesuffix(".service").partition("[")[0]

"""Whether a kind of line became more or less frequent: a test that small counts, bursts and rhythms do not set off.

A log breathes: by day it writes several times as much as by night, not every kind of line to the same degree; jobs
write all their lines at once. So the window is compared with the busiest slice before it (for less, with the
quietest), after taking out by how much the other kinds grew, and on the way up with where the rise was heading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import Literal, NamedTuple

# Kinds with at least so many lines tell how the traffic as a whole grew.
_COMMON = 20
# More: so many times the busiest slice, and the mean; less: this part of the quietest. Over hours a daily rhythm
# changes by 2 to 4.
MORE, MORE_OF_MEAN, LESS = 4.0, 5.0, 1 / 8
# So many lines there must be, or have been expected.
_LEAST, _LEAST_BAD, _EXPECTED = 20, 10, 40.0
# A burst: for a part of the window so many lines, and so many times the busiest such part of the time before.
_BURST_LEAST, BURST = 50, 5.0
# How far from what was expected, in standard deviations of a count whose slices vary as this one's do.
_SURE = 5.0
# A rise (fall) goes on as before, but not faster than this; and so far a fall of the others is believed in.
_RISE, _FALL = 2.0, 0.4


class Change(NamedTuple):
    """A rate that changed: `times` as much as expected (less than 1 for fewer)."""

    word: Literal["more", "fewer"]
    times: float


def growths(counts: Iterable[Sequence[int]], seconds: Sequence[float]) -> list[list[float]]:
    """For each slice by how much the kinds of lines that were common in it grew until the window, sorted."""
    found: list[list[float]] = [[] for _ in seconds[1:]]
    for count in counts:
        for zone in range(1, len(seconds)):
            if count[zone] >= _COMMON and seconds[zone] and seconds[0]:
                found[zone - 1].append(count[0] / seconds[0] / (count[zone] / seconds[zone]))
    return [sorted(of_slice) for of_slice in found]


def of_the_others(found: Sequence[Sequence[float]], counts: Sequence[int], seconds: Sequence[float]) -> list[float]:
    """For each slice by how much the other common kinds grew: the median without this kind; 1 where there is none."""
    told = []
    for of_slice, own in zip(found, growths([counts], seconds), strict=True):
        others = list(of_slice)
        if own and own[0] in others:
            others.remove(own[0])
        told.append(median_low(others) if others else 1.0)
    return told


def changed(counts: Sequence[int], seconds: Sequence[float], growth: Sequence[float], bad: bool) -> Change | None:
    """Whether a kind of line is more or less frequent in the window (zone 0) than in the slices before it.

    `seconds` are those covered of each zone; slices of which nothing was covered tell nothing. `growth` is that of the
    others since each slice, `bad` says that its level is a warning or worse, so that fewer lines are enough.
    """
    slices = [zone for zone in range(1, len(seconds)) if seconds[zone] > 0]
    if not slices or seconds[0] <= 0:
        return None
    now, window = counts[0], seconds[0]
    usual = [counts[zone] / seconds[zone] * window for zone in slices]
    spread = _spread(usual)
    trend = 1.0
    if len(slices) > 1 and min(counts[zone] for zone in slices[:2]) >= _COMMON / 4:
        trend = usual[0] / usual[1]
    expected = [count * max(growth[zone - 1], _FALL) for count, zone in zip(usual, slices, strict=True)]
    most = max(*expected, usual[0] * min(max(trend, 1.0), _RISE))
    mean = sum(expected) / len(expected)
    if now >= (_LEAST_BAD if bad else _LEAST) and now >= max(MORE * most, MORE_OF_MEAN * mean):
        return Change("more", now / max(mean, 0.5)) if now - most > _SURE * (most * spread + 1) ** 0.5 else None
    expected = [count * min(growth[zone - 1], 1.0) for count, zone in zip(usual, slices, strict=True)]
    least = min(*expected, usual[0] * max(min(trend, 1.0), 1 / _RISE))
    if least >= _EXPECTED and now <= LESS * least and least - now > _SURE * (least * spread + 1) ** 0.5:
        return Change("fewer", now / (sum(usual) / len(usual)))
    return None


def _spread(expected: Sequence[float]) -> float:
    """By how much the slices vary more than chance alone would have them (1 for not more)."""
    mean = sum(expected) / len(expected)
    if len(expected) < 2 or mean <= 0:
        return 1.0
    variance = sum((one - mean) ** 2 for one in expected) / (len(expected) - 1)
    return max(1.0, variance / mean)


def burst(counts: Sequence[int], seconds: Sequence[float], parts: int, growths_of_parts: Sequence[float]) -> float:
    """How many times as frequent as ever before a kind of line was for a part of the window; 0 for no burst.

    `counts` and `seconds` are of all parts, the window's own `parts` first. `growths_of_parts` are, for each of those,
    by how much the other kinds grew then.
    """
    before = [count / length for count, length in zip(counts[parts:], seconds[parts:], strict=True) if length > 0]
    if not before:
        return 0.0
    usual = max(before)
    worst = 0.0
    for count, length, growth in zip(counts, seconds, growths_of_parts, strict=False):
        if length > 0 and count >= _BURST_LEAST and count >= BURST * usual * length * max(growth, 1.0):
            worst = max(worst, count / max(usual * length * max(growth, 1.0), 0.5))
    return worst

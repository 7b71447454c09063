"""What of each log an answer is about: its window, what was before it to compare with, and reading both in blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.collect import log_sources
from rbdiag.collect.log_holes import holes, is_hole
from rbdiag.collect.log_seek import Place, Seeker
from rbdiag.collect.log_sources import Log, Wanted
from rbdiag.collect.log_times import Form, form_of
from rbdiag.collect.log_wanted import gap_of
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts import span as words
from rbdiag.facts.logs import LogWindow
from rbdiag.model import CannotLook, Fact, Gap

if TYPE_CHECKING:
    from rbdiag.collect.log_state import State

# So much is read at a time; a record that is longer than this is cut.
BLOCK, RECORD = 512 << 10, 256 << 10
# Of a log whose lines tell no time so much is taken, its end.
TAIL = 64 << 20
# The baseline is told in so many slices, each as long as the window; of one that the log covers in part so much counts.
SLICES, _PART = 4, 0.25
# What a sample of a log is: so much at its beginning, in its middle, and at its end.
_SAMPLES = 16 << 10, 128 << 10
# A run that is repeated at once has a window no shorter than this.
_SHORTEST = 60.0
# From here on the clock of a writer is ahead of ours; less is the network's, or rounding.
_AHEAD = 60.0
_LINE = 8192
# So many logs that cannot be read are named, the others counted.
_GAPS = 5


class Block(NamedTuple):
    """Whole records, as they stand in the log. `zone` 0 is the window, 1 the baseline's nearest slice, and so on."""

    data: bytes
    place: Place
    zone: int


class Span:
    """One log, its window and its baseline. `bounds` are the places where they end and begin, the newest first.

    `seconds` is how much time the window covers, `slices` each slice of the baseline, the nearest first; None and
    0.0 where lines tell no time.
    """

    def __init__(
        self, log: Log, window: LogWindow, form: Form | None, seeker: Seeker | None, bounds: tuple[Place, ...],
        edges: tuple[float, ...], seconds: float | None, slices: tuple[float, ...],
    ) -> None:  # fmt: skip
        self.name, self.parts = log.name, log.parts
        self.window, self.form, self.seeker = window, form, seeker
        self.bounds, self.edges = bounds, edges
        self.seconds, self.slices = seconds, slices

    def read(self, deadline: Deadline, share: float = 0.8) -> Reading:
        """Read it all, newest first, for at most this share of the time that is left."""
        return Reading(self, deadline, share)

    def time_at(self, place: Place) -> float | None:
        """The time of the record at this place, or of the last before it that tells one."""
        return None if self.seeker is None else self.seeker.at(place)

    def line_at(self, place: Place) -> bytes:
        """The line that begins at this place, without its end, no longer than 8 KiB."""
        return self.parts[place.part].read(place.offset, _LINE).partition(b"\n")[0].rstrip(b"\r")


class Reading:
    """The blocks of a window and its baseline, the newest first, as far as the time allows."""

    def __init__(self, span: Span, deadline: Deadline, share: float) -> None:
        self._span, self._deadline, self._share = span, deadline, share
        self._zone, self._place = 0, span.bounds[0]
        # whether all of it was read
        self.whole = False

    def __iter__(self) -> Iterator[Block]:
        span = self._span
        until = time.monotonic() + self._deadline.left() * self._share
        for zone in range(len(span.bounds) - 1):
            self._zone, self._place = zone, span.bounds[zone]
            for block in _blocks(span, span.bounds[zone], span.bounds[zone + 1], zone):
                if time.monotonic() > until:
                    return
                if block.data:
                    yield block
                self._place = block.place
        self._zone = len(span.bounds) - 1
        self.whole = True

    @property
    def reached(self) -> float | None:
        """The time down to which it was read; None where lines tell none."""
        span = self._span
        if not span.edges:
            return None
        edge = span.edges[self._zone]
        if self.whole or self._place == span.bounds[self._zone]:
            return edge
        at = span.time_at(self._place)
        return edge if at is None else min(edge, max(at, span.edges[self._zone + 1]))

    @property
    def zones(self) -> tuple[float, ...]:
        """How many seconds of the window and of each slice were read."""
        lengths = [self._span.seconds or 0.0, *self._span.slices]
        if not self.whole:
            reached = self.reached
            part = 0.0 if reached is None else min(self._span.edges[self._zone] - reached, lengths[self._zone])
            lengths[self._zone :] = [part] + [0.0] * (len(lengths) - self._zone - 1)
        return tuple(lengths)

    @property
    def inside(self) -> bool:
        """Whether the time ended inside the window, not only in what was before it."""
        return not self.whole and self._zone == 0

    def gap(self) -> Gap | None:
        """What there was no time for, once it was read; None where all was."""
        if self.whole:
            return None
        span, unlock = self._span, "give it more time: --deadline SECONDS"
        if self._zone == 0:
            total = "" if span.seconds is None else f" ({words(span.seconds)})"
            read = f"last {words(self.zones[0])}" if self.zones[0] else "end"
            return Gap("deadline", f"{span.name}: only the {read} of the window{total} was read", unlock)
        read = words(sum(self.zones[1:])) if any(self.zones[1:]) else "nothing"
        return Gap("deadline", f"{span.name}: {read} of what was before the window was read to compare with", unlock)


def _blocks(span: Span, newest: Place, oldest: Place, zone: int) -> Iterator[Block]:
    """The bytes between two places, in blocks of whole records, the newest first; of a hole of NULs empty ones."""
    for number in range(newest.part, oldest.part - 1, -1):
        part = span.parts[number]
        unwritten = holes(part)
        floor = oldest.offset if number == oldest.part else 0
        end = newest.offset if number == newest.part else part.size
        while end > floor:
            end = next((max(floor, begin) for begin, stop in unwritten if begin < end <= stop), end)
            start = max(floor, end - BLOCK)
            before = min(start - floor, 1)
            data = part.read(start - before, end - start + before)
            if is_hole(data):
                yield Block(b"", Place(number, start), zone)
                end = start
                continue
            skip = before + (_first(span.form, data[:RECORD], before) if start > floor else 0)
            if block := data[skip:]:
                yield Block(block, Place(number, start - before + skip), zone)
            end = start - before + skip if skip < len(data) else start


def _first(form: Form | None, data: bytes, before: int) -> int:
    """How much stands before the first record that begins in these bytes, else before the first line, else nothing."""
    if form is not None:
        for found in form.starts.finditer(data):
            if found.start() >= before:
                return found.start() - before
    return max(0, data.find(b"\n") + 1 - before)


# Bounds.


def span_of(log: Log, since: float, now: float, asked: bool, baseline: float = SLICES) -> Span:
    """One log with its window from `since` to `now`, which moves back to the last line unless it was asked for."""
    form = form_of_log(log, now)
    seeker = None if form is None else Seeker(log.parts, form, now)
    if seeker is None or form is None or (last := seeker.last()) is None:
        return _untimed(log, since, asked)
    last_at = seeker.time(last[1], last[0])
    until, moved = max(now, last_at), False
    if log.new_from is not None:
        start = Place(*log.new_from)
        first_at = seeker.first_time(start)
        since = until - _SHORTEST if first_at is None else min(first_at, until - _SHORTEST)
    else:
        start = seeker.first_at(since)
        if moved := start == seeker.end and not asked:
            until, since = last_at, last_at - (now - since)
            start = seeker.first_at(since)
        first_at = seeker.first_time(start)
    begins_at = seeker.first_time(Place(0, 0))
    bounds, edges = [seeker.end, start], [until, since]
    seconds = until - since
    if begins_at is not None and begins_at > since:  # the log is younger than the window
        seconds = max(until - begins_at, 1.0)
    elif begins_at is not None and start > Place(0, 0):
        _add_slices(seeker, bounds, edges, begins_at, baseline)
    slices = tuple(newer - older for newer, older in pairwise(edges[1:]))
    window = LogWindow(
        subject=log.name, how="time" if log.new_from is None else "new", form=form.name, since=since, until=until,
        first_at=first_at, last_at=last_at if start < seeker.end else None, bytes=_bytes(log, start, seeker.end),
        baseline_since=edges[-1] if slices else None, baseline_bytes=_bytes(log, bounds[-1], start),
        parts=tuple(part.name for part in log.parts[bounds[-1].part :]), moved=moved,
        cut=start == Place(0, 0) and log.parts[0].dropped > 0, zone_shift=seeker.shift,
        ahead=last_at - now if last_at > now + _AHEAD else 0.0, back=seeker.back(bounds[-1]), owner=log.owner,
    )  # fmt: skip
    return Span(log, window, form, seeker, tuple(bounds), tuple(edges), seconds, slices)


def _add_slices(seeker: Seeker, bounds: list[Place], edges: list[float], begins_at: float, count: float) -> None:
    """Add the places and times where the slices of the baseline begin, the nearest first, as far as the log goes."""
    length = edges[0] - edges[1]
    for _ in range(round(count)):
        edge = max(edges[-1] - length, begins_at)
        if edges[-1] - edge < _PART * length:
            return
        bounds.append(Place(0, 0) if edge == begins_at else min(bounds[-1], seeker.first_at(edge, 0)))
        edges.append(edge)


def form_of_log(log: Log, now: float) -> Form | None:
    """How a log writes its times, from few of its lines, or more where those tell none."""
    written = log.parts[-1].written_at
    latest = now if written is None else min(now, written)
    for size in _SAMPLES:
        if (form := form_of(_sample(log, size), latest, written)) is not None:
            return form
    return None


def _untimed(log: Log, since: float, asked: bool) -> Span:
    """A log whose lines tell no time: what was written since, by the times of its files, and no more than a budget."""
    parts = log.parts
    end = Place(len(parts) - 1, parts[-1].size)
    recent = [number for number, part in enumerate(parts) if part.written_at is None or part.written_at >= since]
    moved = not recent and not asked
    start = Place(recent[0], 0) if recent else Place(len(parts) - 1, 0) if moved else end
    if log.new_from is not None:
        start, moved = Place(*log.new_from), False
    tail = _back(log, end, TAIL)
    cut = tail > start
    start = max(start, tail)
    bounds, slices = [end, start], tuple[float, ...]()
    if log.new_from is not None and not cut and (before := _back(log, start, TAIL)) < start:
        bounds.append(before)
        slices = (0.0,)
    window = LogWindow(
        subject=log.name, how="new" if log.new_from is not None else "tail" if cut else "whole", form="", since=None,
        until=None, first_at=None, last_at=None, bytes=_bytes(log, start, end),
        baseline_bytes=_bytes(log, bounds[-1], start), parts=tuple(part.name for part in parts[bounds[-1].part :]),
        moved=moved, cut=cut, owner=log.owner,
    )  # fmt: skip
    return Span(log, window, None, None, tuple(bounds), (), None, slices)


def _back(log: Log, place: Place, size: int) -> Place:
    """The beginning of the first line that is at most so many bytes before a place."""
    for number in range(place.part, -1, -1):
        stop = place.offset if number == place.part else log.parts[number].size
        if stop > size:
            data = log.parts[number].read(stop - size - 1, RECORD)
            return Place(number, stop - size - 1 + data.find(b"\n") + 1 if b"\n" in data else stop - size)
        size -= stop
    return Place(0, 0)


def _bytes(log: Log, start: Place, end: Place) -> int:
    return sum(part.size for part in log.parts[start.part : end.part]) + end.offset - start.offset


def _sample(log: Log, size: int) -> Iterator[bytes]:
    """Lines of the beginning, the middle and the end of a log's newest parts, in their order."""
    parts = list(log.parts[-2:])
    while len(parts) < min(8, len(log.parts)) and sum(part.size for part in parts) < size:
        parts.insert(0, log.parts[-1 - len(parts)])
    for part in parts:
        done = 0
        for place in (0, part.size // 2 - size, part.size - size):
            start = max(done, place)
            lines = part.read(start, size).split(b"\n")
            whole = start + size >= part.size
            yield from lines[1 if start else 0 : None if whole else -1]
            done = start + size


class Spans:
    """The logs of one run, which its checks share: found once, then read by each."""

    def __init__(
        self, wanted: Wanted, since: float, *, asked: bool, baseline: float = SLICES, state: State | None = None
    ) -> None:
        self._wanted, self._since, self._asked, self._baseline, self._state = wanted, since, asked, baseline, state
        self.all: list[Span] = []

    def find(self, deadline: Deadline) -> Iterator[Fact]:
        """The check `logs.find`: each log and its window; what could not be opened is raised at the end."""
        now = time.time()
        oldest = self._since - self._baseline * (now - self._since)
        failed: list[Gap] = []
        for log in log_sources.opened(self._wanted, oldest, deadline, self._state):
            if isinstance(log, Gap):
                failed.append(log)
                continue
            try:
                deadline.left()
                span = span_of(log, self._since, now, self._asked, self._baseline)
            except (OSError, CannotLook, OutOfTime) as error:
                for part in log.parts:
                    part.close()
                failed.append(gap_of(log.name, error))
                continue
            self.all.append(span)
            yield span.window
        if failed:
            more = len(failed) - _GAPS
            details = [gap.detail for gap in failed[:_GAPS]] + ([f"and {more} more"] if more > 0 else [])
            raise CannotLook(Gap(failed[0].reason, "; ".join(details), failed[0].unlock))

    def close(self) -> None:
        """Let go of all files. Reading after that fails."""
        for span in self.all:
            for part in span.parts:
                part.close()

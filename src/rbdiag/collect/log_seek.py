"""Finding places in a log by their time: by bisection, so that the cost follows what is looked for and not the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from rbdiag.collect.log_holes import holes
from rbdiag.collect.log_parts import Part
from rbdiag.collect.log_shapes import Stamp, writers_offset
from rbdiag.collect.log_times import Form

# Threads write side by side: so far before the place that was found the records are read one by one.
NEAR = 64 << 10
# A probe reads so much, and more where no line tells a time; the times of so many records stand for it, so that one
# that is far off does not lead astray.
_PROBES, _MEDIAN = (8 << 10, 64 << 10, 1 << 20), 5
# Where a time is looked for in the line of a record; few are longer than the second.
_LINE, _AFTER = 32 << 10, 2 << 10
# So much at a time is read where backwards no line tells a time.
_FARTHEST = 8 << 20
# A stretch of so many bytes without the beginning of a line (a line without an end, a hole of NULs) is remembered.
_HOLE = 1 << 20
# Clocks that differ by less are not set back, and a log is probed at so many places for those that were.
_STEP, _PLACES = 60.0, 32


_Clock = Callable[[Stamp, "Place"], float]


class Place(NamedTuple):
    """Where something stands in a log: in which of its parts, and how many bytes from that part's beginning."""

    part: int
    offset: int


class Record(NamedTuple):
    """Where a record begins, and its time as it stands there; None where it tells none."""

    offset: int
    stamp: Stamp | None


class Seeker:
    """One log of a known form, as its parts were when they were opened.

    `shift` is what was added to the times that tell no zone, because their writer lives in another than we.
    """

    def __init__(self, parts: Sequence[Part], form: Form, now: float) -> None:
        self.parts, self.form, self.now = parts, form, now
        self.end = Place(len(parts) - 1, parts[-1].size)
        self.shift = 0.0
        self._offset: float | None = None
        self._turns: dict[tuple[float, float], Place] = {}
        self._holes = [(number, *hole) for number, part in enumerate(parts) for hole in holes(part)]
        if (last := self.last()) is not None:
            self._find_zone(*last)

    # Times.

    def time(self, stamp: Stamp, place: Place | None = None) -> float:
        """What a time means in this log, at this place: the same hour comes twice when clocks are set back."""
        if stamp.zoned:
            return stamp.at
        if self._offset is not None:
            return stamp.wall - self._offset
        if stamp.later != stamp.at and place is not None and place >= self._turn(stamp):
            return stamp.later
        return stamp.at

    def _find_zone(self, place: Place, stamp: Stamp) -> None:
        """Find out whether the writer lives in another zone: its last line was written when the file was."""
        written = self.parts[place.part].written_at
        if written is None or stamp.zoned or place.part != self.end.part:
            return
        found = writers_offset(stamp, written)
        if found is not None:
            self._offset = found
            self.shift = stamp.wall - found - stamp.at

    def _turn(self, stamp: Stamp) -> Place:
        """Where the second of two hours of the same name begins; the end where only the first is there."""
        for (first, second), turn in self._turns.items():
            if first <= stamp.at < second:
                return turn
        first, second = _hours(stamp)
        low, high = self._search(first, _as_read), self._search(second, _as_read)
        found = self._step_between(low, high)
        if found is None:
            # nothing shows which of the two it is, but that the file was last written in one of them
            written, last = self.parts[-1].written_at, self.last()
            late = False
            if written is not None and last is not None and last[1].at < second:
                late = abs(last[1].later - written) < abs(last[1].at - written)
            found = low if late else self.end
        self._turns[first, second] = found
        return found

    def _step_between(self, low: Place, high: Place) -> Place | None:
        """The place between two others before which times, as they stand there, step back the most; None for none."""
        best, place, before = _STEP, None, None
        total = sum(part.size for part in self.parts[low.part : high.part]) + high.offset - low.offset
        stride = 0 if total <= _HOLE else total // _PLACES
        for number in range(low.part, high.part + 1):
            start = low.offset if number == low.part else 0
            stop = high.offset if number == high.part else self.parts[number].size
            for found in self._every(number, start, stop, stride):
                here = Place(number, found.offset)
                if found.stamp is None:
                    continue
                if before is not None and before[1] - found.stamp.at > best:
                    best = before[1] - found.stamp.at
                    place = (before[0], here)
                before = here, found.stamp.at
        if place is None:
            return None
        return self._step_between(*place) or place[1] if stride else place[1]

    def _every(self, part: int, start: int, stop: int, stride: int) -> Iterator[Record]:
        """The records in these bytes; with a stride only the first behind each."""
        if not stride:
            yield from self.records(part, start, stop)
            return
        for at in range(start, stop, stride):
            yield from self._timed(part, at, stop, 1)

    def _latest(self, part: int) -> float:
        """The latest that the lines of a part can be of."""
        written = self.parts[part].written_at
        return self.now if written is None else min(self.now, written)

    # Records.

    def records(self, part: int, start: int, stop: int) -> Iterator[Record]:
        """The records that begin in these bytes of a part."""
        at, size = start, self.parts[part].size
        while (at := self._behind_hole(part, at)) < stop:
            before, wanted = min(at, 1), min(NEAR, stop - at)
            data = self.parts[part].read(at - before, before + wanted + _AFTER)
            if len(data) <= before:
                return
            if data.find(b"\n", before + wanted) < 0:
                data = self.parts[part].read(at - before, before + wanted + _LINE)
            if at and _line_after(data) < 0:
                at = self._next_end(part, at, at - before + len(data))
                continue
            whole = at - before + len(data) >= size
            until = min(len(data), before + wanted)
            for found, stamp in self._in(data, part, before, whole):
                if found >= min(until, stop - at + before):
                    break
                yield Record(at - before + found, stamp)
            at += until - before

    def _next_end(self, part: int, start: int, at: int) -> int:
        """Where the first line ends after bytes in which none does; the end of the part where there is none."""
        while data := self.parts[part].read(at := self._behind_hole(part, at), _HOLE):
            if (found := _line_after(data)) >= 0:
                at += found
                break
            at += len(data)
        if at - start >= _HOLE:
            self._holes.append((part, start, at))
        return at

    def _behind_hole(self, part: int, at: int) -> int:
        """This place, or where the stretch ends that has no end of a line and holds it."""
        return max((end for number, start, end in self._holes if number == part and start <= at < end), default=at)

    def _in(self, data: bytes, part: int, before: int, whole: bool) -> Iterator[tuple[int, Stamp | None]]:
        starts = (found.start() for found in self.form.starts.finditer(data) if found.start() >= before)
        for start, following in pairwise(chain(starts, (len(data),))):
            yield start, self._stamp_in(data, part, start, following, whole)

    def _stamp_in(self, data: bytes, part: int, start: int, stop: int, whole: bool) -> Stamp | None:
        """The time of the first line of a record that tells one. A line that was cut by reading tells none."""
        while start < stop:
            end = data.find(b"\n", start, start + _LINE)
            if end < 0:
                if not whole and len(data) - start < _LINE:
                    return None
                end = min(len(data), start + _LINE)
            if (stamp := self.form.stamp(data[start:end], self._latest(part))) is not None:
                return stamp
            start = end + 1
        return None

    def _timed(self, part: int, start: int, stop: int, count: int = _MEDIAN) -> list[Record]:
        """The first records that begin in these bytes and tell a time, so many; of a long stretch without any none."""
        for size in _PROBES:
            found: list[Record] = []
            for record in self.records(part, start, min(stop, start + size)):
                if record.stamp is not None:
                    found.append(record)
                if len(found) == count:
                    return found
            if found or start + size >= stop:
                return found
        return []

    def _backwards(self, place: Place, count: int = 1) -> list[tuple[Place, Stamp]]:
        """The last records before this place that tell a time, in their order: so many, or as many as are near."""
        for number in range(place.part, -1, -1):
            stop = place.offset if number == place.part else self.parts[number].size
            size = _PROBES[0]
            while stop > 0:
                start = max(0, stop - size)
                found = [(Place(number, r.offset), r.stamp) for r in self.records(number, start, stop) if r.stamp]
                if found:
                    return found[-count:]
                stop, size = start, min(size * 4, _FARTHEST)
        return []

    # Search.

    def first_at(self, since: float, near: int | None = None) -> Place:
        """Where the first record begins that is not older than `since`; the end where there is none.

        What tells no time belongs to the record before it; at the log's very beginning to the one behind it. So far
        before what is found in a log in order (64 KiB) it is looked for a record that is out of order.
        """
        return self._search(since, self.time, NEAR if near is None else near)

    def _search(self, since: float, time: _Clock, near: int = 0) -> Place:
        best, oldest = self.end, -1
        for number in reversed(range(len(self.parts))):
            head = self._look(0, number, self.parts[number].size)[1]
            if not head:
                continue  # nothing here tells a time: it belongs to what stands before
            oldest = number
            found = self._within(number, since, time, near)
            if found is None:
                return best
            best = Place(number, found)
            if _middle(self._times(number, head, time)) < since:
                return best
        # what stands before the very first record has no other to belong to
        whole = best.part == oldest and best.offset == self._within(oldest, float("-inf"), time)
        return Place(0, 0) if whole else best

    def _times(self, part: int, records: list[Record], time: _Clock) -> list[float]:
        return [time(record.stamp, Place(part, record.offset)) for record in records if record.stamp]

    def _within(self, part: int, since: float, time: _Clock, near: int = 0) -> int | None:
        """Where in a part the first record begins that is not older; None where there is none."""
        size = self.parts[part].size
        low, high = 0, size
        while high - low > _PROBES[0]:
            at, found = self._look((low + high) // 2, part, high)
            if not found:
                high = (low + high) // 2
            elif _middle(self._times(part, found, time)) >= since:
                high = at
            else:
                low = at
        sane, odd = self._latest(part) + 2 * 86400, None
        for record in self.records(part, max(0, low - near), size):
            stamp = record.stamp
            if stamp is None or time(stamp, Place(part, record.offset)) < since:
                continue
            if stamp.at <= sane:
                return record.offset
            # far ahead: either this line, or the clock of all that follow
            odd = record.offset if odd is None else odd
            if record.offset - odd > NEAR:
                break
        return odd

    def _look(self, start: int, part: int, stop: int) -> tuple[int, list[Record]]:
        """The first records behind a place that tell a time; where long none does, some of those behind."""
        at, step = self._behind_hole(part, start), _PROBES[-1]
        while at < stop:
            if found := self._timed(part, at, stop):
                return at, found
            at, step = self._behind_hole(part, at + step), step * 2
        # few that tell one may stand behind many that do not: they are looked for from the end, as far as they go
        at, found, size = stop, [], _PROBES[0]
        while stop - size > start and (farther := self._timed(part, stop - size, stop)):
            at, found, size = stop - size, farther, size * 2
        return at, found

    def last(self) -> tuple[Place, Stamp] | None:
        """The last record that tells a time: of the last few the latest, for one may be far off."""
        found = self._backwards(self.end, _MEDIAN)
        if not found:
            return None
        middle = sorted(stamp.at for _, stamp in found)[len(found) // 2]
        return max((f for f in found if abs(f[1].at - middle) < 86400), key=lambda f: f[1].at)

    def at(self, place: Place) -> float | None:
        """The time of the record at this place, or of the last before it that tells one."""
        # mostly one begins just here
        here = next(self.records(place.part, place.offset, place.offset + 1), None)
        if here is not None and here.offset == place.offset and here.stamp is not None:
            return self.time(here.stamp, place)
        found = self._backwards(place._replace(offset=place.offset + 1))
        return self.time(found[0][1], found[0][0]) if found else None

    def first_time(self, start: Place) -> float | None:
        """The time of the first record from a place on; where that is far off, of what follows it."""
        for number in range(start.part, self.end.part + 1):
            offset = start.offset if number == start.part else 0
            if found := self._look(offset, number, self.parts[number].size)[1]:
                times = self._times(number, found, self.time)
                return times[0] if abs(times[0] - _middle(times)) < 86400 else _middle(times)
        return None

    def back(self, start: Place) -> float:
        """By how much times step back from this place on, as far as some of them show; 0 where that is little."""
        latest, most = float("-inf"), 0.0
        for number in range(start.part, self.end.part + 1):
            first, size = start.offset if number == start.part else 0, self.parts[number].size
            for at in range(first, size, max(1, (size - first) // _PLACES)):
                times = self._times(number, self._timed(number, at, size), self.time)
                if len(times) == _MEDIAN:
                    most = max(most, latest - _middle(times))
                    latest = max(latest, _middle(times))
        return most if most > _STEP else 0.0


def _line_after(data: bytes) -> int:
    """Where in these bytes stands what a line may begin behind, an end of line or a hole of NULs; -1 for nowhere."""
    found = data.find(b"\n")
    hole = data.find(b"\0", 0, found if found >= 0 else len(data))
    if hole >= 0 and (rest := data[hole:].lstrip(b"\0")):
        return len(data) - len(rest) - 1
    return found


def _as_read(stamp: Stamp, _: Place) -> float:
    return stamp.at


def _middle(times: list[float]) -> float:
    return sorted(times)[(len(times) - 1) // 2]


def _hours(stamp: Stamp) -> tuple[float, float]:
    """When the first of two hours of the same name begins, and when it ends, which is when clocks are set back."""
    from datetime import datetime

    low, high = int(stamp.at), int(stamp.later)
    before = datetime.fromtimestamp(low).astimezone().utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle).astimezone().utcoffset() == before:
            low = middle
        else:
            high = middle
    return high - (stamp.later - stamp.at), high

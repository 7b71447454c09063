"""The window and the slices of its baseline in finer parts, so that a burst that fills a part of the window is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbdiag.collect.log_window import Block, Span

# Each zone is told in so many parts, the newest first.
PARTS = 6
# A line that tells no time is followed by one that does, within so many lines; this is looked at of each.
_LOOKED, _LINE = 64, 8192


def seconds(covered: Sequence[float], whole: Sequence[float]) -> list[float]:
    """How much time of each part was read, given that of each zone, which are read the newest first."""
    return [
        min(max(0.0, read - part * length / PARTS), length / PARTS)
        for read, length in zip(covered, whole, strict=True)
        for part in range(PARTS)
    ]


class Parted:
    """Cuts the blocks of a log into the parts of its zones; of a log without times each zone is one part."""

    def __init__(self, span: Span) -> None:
        zones = 1 + len(span.slices)
        self._span = span
        self._edges = span.edges if span.seeker is not None and len(span.edges) > zones else ()
        self.window = PARTS if self._edges else 1
        self.count = zones * self.window

    def of(self, block: Block) -> Iterator[Block]:
        """The pieces of a block, the newest first; `zone` is then the number of the part."""
        if not self._edges:
            yield block
            return
        first, last = self._part(block, 0, block.zone), self._latest(block)
        end = len(block.data)
        for part in range(last, first):
            start = self._begin(block, part, end)
            if start < end:
                yield self._piece(block, start, end, part)
                end = start
        if end:
            yield self._piece(block, 0, end, first)

    def _piece(self, block: Block, start: int, end: int, part: int) -> Block:
        place = block.place._replace(offset=block.place.offset + start)
        data = block.data if end - start == len(block.data) else block.data[start:end]
        return block._replace(data=data, place=place, zone=part)

    def _bounds(self, zone: int) -> tuple[float, float]:
        return self._edges[zone], self._edges[zone + 1]

    def _latest(self, block: Block) -> int:
        """The part that the block's last line with a time is of."""
        end = len(block.data)
        for _ in range(_LOOKED):
            start = block.data.rfind(b"\n", 0, max(end - 1, 0)) + 1
            if (at := self._at(block.data[start : start + _LINE])) is not None:
                return self._number(at, block.zone)
            if start == 0:
                break
            end = start
        return block.zone * PARTS

    def _part(self, block: Block, offset: int, zone: int) -> int:
        found = self._timed(block.data, offset)
        return zone * PARTS + PARTS - 1 if found is None else self._number(found[1], zone)

    def _number(self, at: float, zone: int) -> int:
        newest, oldest = self._bounds(zone)
        length = max(newest - oldest, 1e-9)
        return zone * PARTS + min(PARTS - 1, max(0, int((newest - at) / length * PARTS)))

    def _begin(self, block: Block, part: int, end: int) -> int:
        """Where the records of this part, or a newer one, begin in the block, before `end`; found by bisection."""
        low, high = 0, end
        while low < high:
            middle = (low + high) // 2
            line = block.data.rfind(b"\n", 0, middle) + 1
            found = self._timed(block.data, line)
            if found is None or found[0] >= high or self._number(found[1], block.zone) <= part:
                high = line
            else:
                low = self._after(block.data, found[0], end)
        return low

    def _after(self, data: bytes, offset: int, end: int) -> int:
        """Where the record that begins here ends."""
        form = self._span.form
        following = data.find(b"\n", offset) + 1
        while form is not None and 0 < following < end:
            if form.starts.match(data, following):
                return following
            following = data.find(b"\n", following) + 1
        return end

    def _timed(self, data: bytes, offset: int) -> tuple[int, float] | None:
        """The next line from here that tells a time: where it begins, and the time."""
        for _ in range(_LOOKED):
            if (at := self._at(data[offset : offset + _LINE])) is not None:
                return offset, at
            offset = data.find(b"\n", offset) + 1
            if offset == 0:
                return None
        return None

    def _at(self, data: bytes) -> float | None:
        span = self._span
        if span.seeker is None or span.form is None:
            return None
        stamp = span.form.stamp(data.partition(b"\n")[0], span.seeker.now)
        return None if stamp is None else span.seeker.time(stamp)

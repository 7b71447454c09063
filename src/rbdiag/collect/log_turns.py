"""When requests began to fail: counts over the pieces of a window, and where the share of failures turned.

A share over a whole window says little of what began three minutes ago. So the window is counted in pieces, and the
moment is looked for that parts it best into a time with few failures and one with many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_window import Block, Span

# The window is counted in so many pieces, four to each sixth of it.
SIXTHS = 6
PIECES = 4 * SIXTHS
# A share turned if chance alone would part a log so well once in a thousand.
_SURE = math.log(1e3)


class Kind:
    """Answers of one kind in one piece: how many, and the place of the first; from there on were `since` requests."""

    __slots__ = ("count", "first", "since")

    def __init__(self) -> None:
        self.count = self.since = 0
        self.first: Place | None = None


class Piece:
    """A piece of the window: its requests, which of them failed (5xx), and which were refused (4xx)."""

    __slots__ = ("failed", "refused", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.failed, self.refused = Kind(), Kind()


class Turn(NamedTuple):
    """So many answers of a kind among all requests from a place on."""

    failed: int
    requests: int
    first: Place | None


def edges(span: Span) -> tuple[Place, ...]:
    """Where the pieces of the window end, the newest first: parted by time; by bytes where lines tell none."""
    newest, oldest = span.bounds[:2]
    places = [newest]
    if span.seeker is not None and span.seconds and span.edges:
        step = span.seconds / PIECES
        for number in range(1, PIECES):
            place = span.seeker.first_at(span.edges[0] - number * step, 0)
            places.append(max(oldest, min(places[-1], place)))
        return tuple(places)
    length = sum(span.parts[part].size for part in range(oldest.part, newest.part)) + newest.offset - oldest.offset
    for number in range(1, PIECES):
        places.append(_back(span, newest, length * number // PIECES))
    return tuple(places)


def _back(span: Span, place: Place, size: int) -> Place:
    """The place so many bytes before another."""
    part, offset = place
    while size > offset and part > 0:
        size, part = size - offset, part - 1
        offset = span.parts[part].size
    return place._replace(part=part, offset=max(0, offset - size))


def cut(block: Block, ends: Sequence[Place]) -> Iterator[tuple[int, int, int]]:
    """What of a block of the window belongs to which piece: the piece's number, and where it begins and ends."""
    size, low = len(block.data), 0
    for number in range(len(ends) - 1, -1, -1):
        end = ends[number]
        if end <= block.place and number:
            continue
        high = size
        if number and end.part == block.place.part and end.offset - block.place.offset < size:
            # a line that was begun belongs to the older piece
            at = end.offset - block.place.offset
            high = at if block.data[at - 1 : at] == b"\n" else block.data.find(b"\n", at) + 1 or size
        if high > low:
            yield number, low, high
            low = high
        if low >= size:
            return


def turn_of(
    pieces: Sequence[tuple[int, int, int]], before: tuple[int, int], firsts: Sequence[Place | None]
) -> Turn | None:
    """From where on so many more fail than until then; None where nothing turned, or all fail ever since.

    `pieces` are (failures, requests since the first of them, all requests), the newest first; `before` are failures
    and requests of the time before the window.
    """
    total, requests = before[0] + sum(p[0] for p in pieces), before[1] + sum(p[2] for p in pieces)
    found, best = None, _SURE
    failed = seen = 0
    for number, (count, since, all_of_it) in enumerate(pieces):
        failed += count
        if count and failed * requests > total * (seen + since):
            rest = _likely(total - failed, requests - seen - since) - _likely(total, requests)
            if (gain := _likely(failed, seen + since) + rest) > best:
                found, best = Turn(failed, seen + since, firsts[number]), gain
        seen += all_of_it
    return found


def _likely(count: int, total: int) -> float:
    """The logarithm of how likely so many of a total are, if that is their share."""
    return sum(n * math.log(n / total) for n in (count, total - count) if n > 0)

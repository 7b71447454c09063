"""How a part of a log is known again in the next run, and what of it is new then.

By what stands at its beginning and right before the place up to which it was told, wherever rotation has carried it:
under another name, into another file or packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rbdiag.collect.log_parts import HEAD, Part, Piece

# So many of the newest parts of a log are known again.
_MARKS = 16
# A line without its end is still being written where its file changed within the last so many seconds.
_SETTLE = 3.0
# An unfinished line longer than this is told in pieces.
_TOO_LONG = 1 << 20
_BLOCK = 64 << 10


class Mark(NamedTuple):
    """How far a part was told: `offset` bytes of the `seen` it had; and how it is known again.

    `head` and `tail` are fingerprints of its first `head_length` bytes, and of the `tail_length` before `offset`.
    """

    offset: int
    seen: int
    head_length: int
    head: str
    tail_length: int
    tail: str


class Told(NamedTuple):
    """What the last run left of one log: `at` is the last change of what it saw, `cursor` its place in the journal."""

    at: float = 0.0
    marks: tuple[Mark, ...] = ()
    cursor: str = ""


class News(NamedTuple):
    """The parts of a log up to where they are told now; where among them begins what is new (None in the first run);
    and what is to be kept of it."""

    parts: tuple[Part, ...]
    new_from: tuple[int, int] | None
    told: Told


def news(told: Told | None, parts: Sequence[Part], now: float) -> News:
    """What is new in the parts, the oldest first, since the last run; None for none.

    A last line without its end is left for the next run, unless it has been like this since the last one.
    """
    last = told or Told()
    known = _recognised(last.marks, parts)
    ends = [_end(part, known.get(n), now, newest=n == len(parts) - 1) for n, part in enumerate(parts)]
    made = tuple(_mark(part, end) for part, end in zip(parts, ends, strict=True) if part.size)
    at = max([part.written_at or 0.0 for part in parts], default=last.at)
    keep = Told(at, made[-_MARKS:] or last.marks)
    cut: list[tuple[Part, int]] = []
    for part, end, begin in zip(parts, ends, _begins(parts, known, last), strict=True):
        if end or (part is parts[-1] and not cut):
            cut.append((part if end == part.size else Piece(part, 0, end), min(begin, end)))
        else:  # nothing but a line that is still being written
            part.close()
    if told is None:
        return News(tuple(part for part, _ in cut), None, keep)
    return News(*_arranged([part for part, _ in cut], [begin for _, begin in cut]), keep)


def _fingerprint(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def _mark(part: Part, end: int) -> Mark:
    head, tail = part.head, part.read(max(0, end - HEAD), min(HEAD, end))
    offset, seen = part.dropped + end, part.dropped + part.size
    return Mark(offset, seen, len(head), _fingerprint(head), len(tail), _fingerprint(tail))


def _recognised(marks: Sequence[Mark], parts: Sequence[Part]) -> dict[int, Mark]:
    """Which part is which of those that were told, by content: an inode is soon another file's.

    Both stand in the order of their age. Logs that all begin with the same lines look alike where little was told of
    one: the oldest that may be it is taken, so that lines are rather repeated than lost.
    """
    known: dict[int, Mark] = {}
    after = 0
    for mark in marks:
        found = next((number for number in range(after, len(parts)) if _is(mark, parts[number])), None)
        if found is not None:
            known[found] = mark
            after = found + 1
    return known


def _is(mark: Mark, part: Part) -> bool:
    end = mark.offset - part.dropped
    if end > part.size or _fingerprint(part.head[: mark.head_length]) != mark.head:
        return False
    # What was dropped cannot be compared; then its head must do.
    begin = end - mark.tail_length
    return begin < 0 or _fingerprint(part.read(begin, mark.tail_length)) == mark.tail


def _begins(parts: Sequence[Part], known: dict[int, Mark], told: Told) -> list[int]:
    """Where in each part begins what is new."""
    if not known:
        first = next((n for n, part in enumerate(parts) if (part.written_at or 0.0) >= told.at), len(parts))
    else:
        first = min(known)
    begins = []
    for number, part in enumerate(parts):
        if number in known:
            begins.append(max(0, known[number].offset - part.dropped))
        else:
            begins.append(part.size if number < first else 0)
    return begins


def _arranged(parts: Sequence[Part], begins: Sequence[int]) -> tuple[tuple[Part, ...], tuple[int, int]]:
    """What was told before what is new. A part that grew although there are newer ones is taken apart for that."""
    first = next((n for n, begin in enumerate(begins) if begin < parts[n].size), len(parts) - 1)
    if not any(begins[first + 1 :]):
        return tuple(parts), (first, begins[first]) if parts else (0, 0)
    old = [Piece(part, 0, begin) for part, begin in zip(parts, begins, strict=True) if begin]
    new = [Piece(part, begin, part.size) for part, begin in zip(parts, begins, strict=True) if begin < part.size]
    return (*old, *new), (len(old), 0)


def _end(part: Part, mark: Mark | None, now: float, *, newest: bool) -> int:
    """Up to where a part is told: to its end, or to the end of its last whole line."""
    if not part.size or part.written_at is None or part.read(part.size - 1, 1) == b"\n":
        return part.size
    stayed = mark is not None and mark.seen == part.dropped + part.size
    if now - part.written_at > _SETTLE and (stayed or not newest):
        return part.size
    at = part.size
    while at > max(0, part.size - _TOO_LONG):
        begin = max(0, at - _BLOCK)
        if (found := part.read(begin, at - begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        at = begin
    return 0 if part.size <= _TOO_LONG else part.size

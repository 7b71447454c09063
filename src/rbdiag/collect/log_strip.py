"""A block of a log without what varies: its lines then are as many as there are kinds of them, or nearly.

Digits go always, but for those that a line announces as a status, an error, or an exit code. Where letters vary too
(hex numbers, accounts), what varies is taken out first; what that is is found out on a sample, once for a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from rbdiag.collect.log_merge import Holes
from rbdiag.collect.log_templates import ANNOUNCED

# A block with more different lines than this part of all is looked through for what to take out of it.
_TOO_MANY, _SAMPLE, _WORTH = 0.03, 400_000, 0.85
# So many lines of it are learnt from. What makes no more of them different than this part is let go again.
_LEARN, _LITTLE = 3000, 0.05
_DIGITS = b"0123456789"
# The digits that stay are written as bytes that occur in no UTF-8.
_AWAY = bytes.maketrans(_DIGITS, bytes(range(0xF5, 0xFF)))
_ANNOUNCED = tuple((literal.encode(), re.compile(pattern.encode())) for literal, pattern in ANNOUNCED)
# What may be taken out of a whole block: parameters that `shaped` masks wherever they stand.
_TAKEN_OUT = tuple(
    re.compile(pattern)
    for pattern in (
        rb"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
        rb"\b[0-9a-f]{8,}+\b",
        rb"(?<![A-Za-z0-9_])[A-Za-z_]*+\d++[A-Za-z_]\w*+",
        rb"[ \"'=]/(?:[\w.@%+~=-]++/?)+",
        rb"[ \"'<=(][\w.+-]++@[\w-]++\.[\w.-]*\w",
    )
)
# What names a fault is never taken out, whatever stands in its place on other lines.
_BUT = rb"(?!\w*(?i:fail|err|refus|denied|timeout|lost|crash|kill|abort|fatal|panic|exception))"
# So many of a log's own parameters are taken out of its blocks.
_OWN = 32


class Stripper:
    """Takes out of the blocks of one log what varies."""

    def __init__(self) -> None:
        self.chosen = False
        self._out: list[re.Pattern[bytes]] = []

    def strip(self, data: bytes) -> bytes:
        """A block without what varies, line by line the same."""
        for literal, pattern in _ANNOUNCED:
            if literal in data:
                data = pattern.sub(_kept, data)
        for out in self._out:
            data = out.sub(b" ", data)
        return data.translate(None, _DIGITS)

    def choose(self, data: bytes, learn: Callable[[Iterable[bytes]], Holes]) -> None:
        """Find out what to take out, on some lines of a block. `learn` tells of lines which of their words vary."""
        self.chosen = True
        sample = data[: data.find(b"\n", min(len(data) - 1, _SAMPLE)) + 1] or data
        few = _TOO_MANY * sample.count(b"\n")
        before = self._different(sample)
        if before <= few:
            return
        self._out = [pattern for pattern in _TAKEN_OUT if pattern.search(sample)]
        if self._different(sample) > few:
            # what letters vary in no known form: the words that differ between the lines themselves
            keys = self.strip(sample).split(b"\n")
            lines = dict(zip(keys, sample.split(b"\n"), strict=True)).values()
            own = islice(_own(learn(islice(lines, _LEARN))), _OWN)
            self._out += [pattern for pattern in own if pattern.search(sample)]
        best = self._different(sample)
        if best > _WORTH * before:
            self._out = []
            return
        for pattern in tuple(self._out):
            self._out.remove(pattern)
            if self._different(sample) > max(few / 2, best * (1 + _LITTLE)):
                self._out.append(pattern)

    def _different(self, sample: bytes) -> int:
        return len(set(self.strip(sample).split(b"\n")))


def _kept(found: re.Match[bytes]) -> bytes:
    return found[1] + found[2].translate(_AWAY)


def _own(holes: Holes) -> Iterator[re.Pattern[bytes]]:
    """What a log's own parameters look like in its lines: values of keys, words between two that stay."""
    for key in sorted(holes.keys):
        name = re.escape(key.rpartition(".")[2].encode())
        yield re.compile(rb'"' + name + rb'" ?: ?"[^"\\\n]*+"')
        yield re.compile(name + rb"=" + _BUT + rb"[^ ,;\"\n]++")
    frames = [frame for of_length in holes.frames.values() for frame in of_length]
    between = {(left, right) for frame in (*holes.places, *frames) for left, right in _neighbours(frame)}
    for left, right in sorted(between):
        if len(left) > 2 and left.isalpha() and (right.isalpha() or not right):
            after = rb"(?= " + right.encode() + rb"\b)" if right else rb"$"
            yield re.compile(rb"(?m)\b" + left.encode() + rb" " + _BUT + rb"[^ \n]++" + after)


def _neighbours(frame: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The words before and behind each open place, "" for the end."""
    for place, word in enumerate(frame):
        if not word and place:
            yield frame[place - 1], frame[place + 1] if place + 1 < len(frame) else ""

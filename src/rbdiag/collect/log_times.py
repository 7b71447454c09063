"""How one log writes its times: found out from some of its lines, then used for all of them.

A line tells a time only in the form of its log, for what looks like a date in a message is none of the line's own.
Where no form stands for enough lines, or its times do not go forward, the log has no times: better none than
wrong ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from rbdiag.collect import log_shapes as shapes
from rbdiag.collect.log_shapes import Stamp, compiled, told

# So much of a line is looked at: of one with keys more, for some write the time last.
LINE, _KEYED_LINE, _HEAD = 8192, 32768, 320


class Way(NamedTuple):
    """One way to write a time: what leads to it, and its shape. `literal` is what a line with a key must hold."""

    shape: str
    lead: str
    regex: re.Pattern[bytes]
    literal: bytes = b""
    loose: int = 0
    utc: bool = False

    def stamp(self, line: bytes, now: float) -> Stamp | None:
        if not self.literal:
            found = self.regex.match(line[:_HEAD])
            stamp = told(found, now) if found else None
        else:
            stamp = self._keyed(line[:_KEYED_LINE], now)
        return stamp if stamp is None or not self.utc or stamp.zoned else _in_utc(stamp)

    def end(self, line: bytes) -> int:
        """Where what looks like the time ends, 0 for none: quicker, for it is not asked what it means."""
        if not self.literal:
            found = self.regex.match(line[:_HEAD])
            return found.end() if found else 0
        at = line.find(self.literal)
        while at >= 0:
            if found := self.regex.match(line, at):
                return found.end()
            at = line.find(self.literal, at + 1)
        return 0

    def _keyed(self, line: bytes, now: float) -> Stamp | None:
        at = line.find(self.literal)
        while at >= 0:
            if (found := self.regex.match(line, at)) and (stamp := told(found, now)):
                return stamp
            at = line.find(self.literal, at + 1)
        return None


def _in_utc(stamp: Stamp) -> Stamp:
    """What was read as this host's time, but is UTC."""
    return Stamp(stamp.wall, stamp.end, True, stamp.wall, stamp.wall)


class Form:
    """How one log writes its times, and where its records begin.

    `zoned` says that every time tells its zone. `starts` finds where a line that begins a record begins: one with a
    time, or with what a record with a time begins with (of a slow log the line before). What it finds in a line that
    was cut may be wrong.
    """

    def __init__(self, ways: tuple[Way, ...], zoned: bool, unit: str = "") -> None:
        self.ways = ways
        name = _NAMES.get(ways[0].lead) or _NAMES.get(ways[0].shape) or ways[0].shape
        name += f" {unit}" if name == "epoch" and unit else ""
        self.name = f"{name} in {ways[0].lead.partition(' ')[0]}" if ways[0].literal else name
        self.zoned = zoned
        self.starts = compiled(_BEGINS + b"(?:" + b"|".join(dict.fromkeys(_start(way) for way in ways)) + b")")

    def __repr__(self) -> str:
        return f"Form({self.name!r}: {', '.join(f'{way.lead}/{way.shape}' for way in self.ways)})"

    def stamp(self, line: bytes, now: float) -> Stamp | None:
        """The time of a line as it stands there, without a zone read as this host's."""
        hole = len(line) - len(line.lstrip(b"\0")) if line[:1] == b"\0" else 0
        for way in self.ways:
            if (stamp := way.stamp(line[hole:] if hole else line, now)) is not None:
                return stamp._replace(end=stamp.end + hole) if hole else stamp
        return None

    def at(self, line: bytes, now: float) -> float | None:
        """The time of a line in seconds since the epoch, or None where it tells none."""
        stamp = self.stamp(line, now)
        return None if stamp is None else stamp.at

    def head(self, line: bytes) -> int:
        """The length of the time and of what stands before it, 0 for none."""
        if line[:1] == b"\0":
            rest = line.lstrip(b"\0")
            return len(line) - len(rest) + self.head(rest) if rest else 0
        return next((end for way in self.ways if (end := way.end(line))), 0)


_NAMES = {
    "slow log": "slow query log", "access": "access log", "audit": "audit", "kernel": "kernel ring buffer",
    "epoch, exponent": "epoch",
}  # fmt: skip
_UNITS = {10: "seconds", 13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}


# A line begins behind the end of another, or behind the hole of NULs that a crash left.
_BEGINS = rb"(?m)(?:^(?!\x00)|(?<=\x00)(?!\x00))"


def _start(way: Way) -> bytes:
    """A regex for what a record begins with, without names, so that several can stand beside each other."""
    if way.lead == "slow log":
        # in a slow log the time may stand before the record's first line, or two lines below it
        after_time = b"".join(rb"(?<!# Time: .{%d}\n)" % width for width in (15, 27, 32))
        return rb"(?:# Time: \d|" + after_time + rb"# User@Host: )"
    if way.literal and way.lead == "logfmt":
        return rb"(?:[^\n]{0,512}?[ \t])??" + _nameless(way.regex.pattern)
    if way.literal:
        return rb"\{" if way.lead == "JSON" else rb"[^\n{]{1,160}\{"
    return _nameless(way.regex.pattern)


def _nameless(regex: bytes) -> bytes:
    return re.sub(rb"\(\?P<\w+>", b"(?:", regex)


def _plain(shape: str, lead: str, utc: bool = False) -> Way:
    about = shapes.lead(lead)
    return Way(shape, lead, compiled(about.regex + shapes.SHAPES[shape]), b"", about.loose, utc)


def _keyed(shape: str, lead: str, literal: bytes, regex: bytes) -> Way:
    return Way(shape, lead, compiled(regex + shapes.SHAPES[shape]), literal, 1)


# Finding out.

# A form that is only led by words must stand in this part of the lines that begin at the margin.
_SHARE = 0.25
# Threads write side by side: such steps back, and so many greater ones, are no disorder.
_SLACK, _DISORDER = 300.0, 0.15
# What else is written in a log with times may be off by as much as zones can differ.
_ZONES_APART = 26 * 3600.0
# At most so many ways make up the form of one log.
_WAYS = 4


class _Candidate(NamedTuple):
    way: Way
    rank: tuple[int, int]
    hits: dict[int, Stamp]


def form_of(sample_lines: Iterable[bytes], now: float, written_at: float | None = None) -> Form | None:
    """How a log writes its times, from lines of its head, middle and tail in their order; None for not at all.

    `now` is the latest that they can be of: a year that is not written is the last one up to then. `written_at`, the
    time of the file's last change, tells whether times since the start of the kernel are of this start.
    """
    lines = [line.rstrip(b"\r\n").lstrip(b"\0")[:_KEYED_LINE] for line in sample_lines]
    lines = [line for line in lines if line.strip()]
    utc = any(line.startswith((b"#Software: Microsoft", b"#Fields: ")) for line in lines[:40])
    candidates = [c for c in _candidates(lines, now, utc) if _in_order(list(c.hits.items()), _SLACK)]
    if written_at is not None and written_at < shapes.booted_at():
        candidates = [c for c in candidates if c.way.shape != "kernel"]
    margin = sum(not line[:1].isspace() for line in lines)
    candidates = [c for c in candidates if c.way.loose < 3 or len(c.hits) >= max(min(2, margin), _SHARE * margin)]
    candidates.sort(key=lambda c: (-len(c.hits), c.rank))
    chosen: list[_Candidate] = []
    while candidates and len(chosen) < _WAYS:
        most = len(candidates[0].hits)
        # of those that stand for nearly as many lines the surest one
        best = min((c for c in candidates if len(c.hits) >= 0.95 * most), key=lambda c: c.rank)
        chosen.append(best)
        covered = {index: stamp for c in chosen for index, stamp in c.hits.items()}
        rest = (c._replace(hits={i: s for i, s in c.hits.items() if i not in covered}) for c in candidates)
        candidates = [
            c for c in rest
            if len(c.hits) >= (1 if c.way.loose == 0 else 2) and c.way.loose < 2
            and _fits(c.hits, covered)
        ]  # fmt: skip
        candidates.sort(key=lambda c: (-len(c.hits), c.rank))
    if not chosen:
        return None
    ways = tuple(c.way for c in chosen)
    index, stamp = next(iter(chosen[0].hits.items()))
    number = re.search(rb"(\d+)(?:\.\d+)?\Z", lines[index][: stamp.end])
    unit = _UNITS.get(len(number[1]), "") if number else ""
    return Form(ways + _siblings(ways), all(stamp.zoned for c in chosen for stamp in c.hits.values()), unit)


def _siblings(ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """Ways that the same program uses now and then: MariaDB when it dies, a slow log between its records."""
    have = {(way.shape, way.lead) for way in ways}
    also: list[tuple[str, str]] = []
    if ways[0][:2] == ("ISO 8601", "begin"):
        also = [("MySQL, old", "begin")]
    elif any(way.lead == "slow log" for way in ways):
        also = [("epoch", "slow log"), ("MySQL, old", "slow log"), ("ISO 8601", "slow log")]
    return tuple(_plain(shape, lead) for shape, lead in also if (shape, lead) not in have)


def _candidates(lines: list[bytes], now: float, utc: bool) -> list[_Candidate]:
    found: dict[tuple[str, str, bytes], _Candidate] = {}
    refused: set[tuple[str, str, bytes]] = set()
    order = {shape: number for number, shape in enumerate(shapes.SHAPES)}
    sure: dict[Way, None] = {}
    for index, line in enumerate(lines):
        # what is sure needs no other candidate beside it
        known = next((way for way in sure if way.stamp(line, now) is not None), None)
        for way in [known] if known else [*_plain_ways(line, utc), *_keyed_ways(line)]:
            name = (way.shape, way.lead, way.literal)
            stamp = way.stamp(line, now)
            if stamp is None:
                if way.shape in shapes.AMBIGUOUS:
                    refused.add(name)
                continue
            rank = (way.loose, order[way.shape] if not way.literal else _key_rank(way))
            candidate = found.setdefault(name, _Candidate(way, rank, {}))
            candidate.hits.setdefault(index, stamp)
            if way.loose == 0 and way.shape not in shapes.AMBIGUOUS:
                sure[way] = None
    kept = {name: candidate for name, candidate in found.items() if name not in refused}
    # whether the day or the month comes first must show
    unclear = {name for name in kept if name[0] in shapes.AMBIGUOUS and (_swapped(name) in kept)}
    return [candidate for name, candidate in kept.items() if name not in unclear]


def _swapped(name: tuple[str, str, bytes]) -> tuple[str, str, bytes]:
    one, other = shapes.AMBIGUOUS
    return (other if name[0] == one else one, *name[1:])


def _key_rank(way: Way) -> int:
    key = way.literal.strip(b'\\"=').lower()
    return 100 * way.literal.count(b"\\") + shapes.KEYS.index(key)


# Every shape has one of these.
_HAS_TIME = rb"\d:[0-5]\d:|\d{8}T\d|(?<!\d)[12]\d{9}|[12]\.\d{6}|\d\.\d{6}\]|@40000000"


def _plain_ways(line: bytes, utc: bool = False) -> Iterable[Way]:
    head = line[:_HEAD]
    if head.startswith(b"{") or not compiled(_HAS_TIME).search(head):
        return
    for shape, regex in shapes.SHAPES.items():
        found = compiled(regex).search(head)
        if found and (lead := shapes.lead_of(head[: found.start()], shape)) is not None:
            yield _plain(shape, lead, utc)


_KEY = rb"|(?:^|(?<=[ \t]))(?P<name>[a-z_]{1,10})=\"?"


def _keyed_ways(line: bytes) -> Iterable[Way]:
    braces = b'":' in line or b'" :' in line
    if not braces and b"=" not in line:
        return
    for found in compiled(shapes.KEYED + _KEY).finditer(line):
        name = found["name"]
        if name is not None:
            if name not in shapes.LOGFMT_KEYS:
                continue
            literal, regex, lead = name + b"=", rb"(?:(?<=[ \t])|(?<![^\n]))" + name + rb"=\"?", "logfmt"
        elif found["key"].lower() in shapes.KEYS:
            literal = found["quote"] + found["key"] + found["quote"]
            regex = rb"(?<!\\)" + re.escape(literal) + shapes.VALUE
            lead = "JSON" if line.startswith(b"{") else "JSON behind words"
        else:
            continue
        for shape in shapes.KEYED_SHAPES:
            if compiled(shapes.SHAPES[shape]).match(line, found.end()):
                yield _keyed(shape, lead, literal, regex)
                break


def _in_order(hits: list[tuple[int, Stamp]], slack: float) -> bool:
    """Whether these times go forward, but for what threads and a clock that is put right make of them."""
    times = [stamp.at for _, stamp in hits]
    back = sum(later < earlier - slack for earlier, later in pairwise(times))
    return back <= max(1, _DISORDER * len(times)) and (len(times) != 2 or back == 0)


def _fits(hits: dict[int, Stamp], others: dict[int, Stamp]) -> bool:
    """Whether times of one form lie between those of the lines around them, which another form tells."""
    from bisect import bisect

    lines = sorted(others)
    out = 0
    for line, stamp in hits.items():
        place = bisect(lines, line)
        before, after = lines[max(0, place - 1)], lines[min(place, len(lines) - 1)]
        low, high = sorted((others[before].at, others[after].at))
        # before the first and behind the last of them anything later or earlier will do
        out += (place > 0 and stamp.at < low - _ZONES_APART) or (place < len(lines) and stamp.at > high + _ZONES_APART)
    return out <= _DISORDER * len(hits)


# Lines of which nothing else is known.


def stamp_of(line: bytes, now: float) -> Stamp | None:
    """The time of a single line: in any form that is sure by itself."""
    found = _sure(line, now)
    return None if found is None else found[1]


class Stamps:
    """The times of lines that come one by one; what told the last one is asked first."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._last: Way | None = None

    def of(self, line: bytes) -> Stamp | None:
        if self._last is not None and (stamp := self._last.stamp(line, self._now)) is not None:
            return stamp
        if (found := _sure(line, self._now)) is None:
            return None
        self._last, stamp = found
        return stamp


def _sure(line: bytes, now: float) -> tuple[Way, Stamp] | None:
    for way in (way for ways in (_plain_ways, _keyed_ways) for way in ways(line)):
        if way.shape not in shapes.AMBIGUOUS and (stamp := way.stamp(line, now)) is not None:
            return way, stamp
    return None

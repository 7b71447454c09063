"""How often each shape of line occurs in a log, counted a block at a time.

A block is stripped of its digits in one go, its lines are counted as they then are, and only lines that look new then
are made into shapes. So a line costs a fraction of a microsecond, and a shape some twenty. Where letters vary too (hex
numbers, accounts), what varies is taken out of the whole block first; what to take out is found out on a block.
Shapes are few; where they are not (beyond `_MOST`), they are merged, and what is still beyond is counted together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from rbdiag.collect.log_levels import level
from rbdiag.collect.log_merge import Holes, merged
from rbdiag.collect.log_strip import Stripper
from rbdiag.collect.log_templates import shaped
from rbdiag.collect.log_visits import Visits, are_visits
from rbdiag.facts.logs import LogLevel

if TYPE_CHECKING:
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_times import Form
    from rbdiag.collect.log_window import Block

# So many shapes, and so many different lines (without their digits), are kept.
_MOST, _LINES = 12_000, 40_000
_LINE = 8192
# So much of a log shows whether it is an access log.
_LOOKED = 64 << 10
# A block with more lines shows what varies in a log.
_ENOUGH = 1000
_BLANK = (b" ", b"\t")
# A time that ends later has more before it than its key: it stands last, as some write it with keys.
_STAMP = 48
_STATED = re.compile(r"(?:SEVERE|WARNING|ERROR|FATAL|CRITICAL|PANIC|INFO|CONFIG|FINE(?:R|ST)?): ")


class Row:
    """Lines of one shape: how many in each zone, and where the first and the last of them stand."""

    __slots__ = ("counts", "first", "last", "level", "shape")

    def __init__(self, shape: str, level: LogLevel, zones: int) -> None:
        self.shape, self.level = shape, level
        self.counts = [0] * zones
        self.first: Place | None = None
        self.last: Place | None = None

    def meet(self, first: Place, last: Place, inside: bool) -> None:
        """Lines of it stand there; of those outside of the window only the last is remembered."""
        if inside and (self.first is None or first < self.first):
            self.first = first
        if self.last is None or last > self.last:
            self.last = last

    def take(self, other: Row) -> None:
        """Count another's lines as this one's."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        places = [place for place in (self.first, other.first) if place is not None]
        self.first = min(places, default=None)
        places = [place for place in (self.last, other.last) if place is not None]
        self.last = max(places, default=None)


class Tally:
    """Counts the lines of one log, block by block, newest first.

    The first `window` of the zones are the window: of those it is told where the first line of a kind stands.
    """

    def __init__(self, zones: int, form: Form | None, window: int = 1) -> None:
        self._window = window
        self.zones, self.form = zones, form
        self.rows: dict[tuple[str, LogLevel], Row] = {}
        self.lines = [0] * zones
        self.beyond = 0
        self._shrink_at = _MOST
        self.visits: Visits | None = None
        self._unlooked = True
        self._holes = Holes()
        self._seen: dict[bytes, Row | None] = {}
        self._levels: dict[tuple[str, str], LogLevel] = {}
        self._stripper = Stripper()

    def feed(self, block: Block) -> None:
        """Count the lines of a block."""
        if self.visits is None and self._unlooked:
            self._look(block.data)
        if self.visits is not None:
            self._count_visits(self.visits, block)
            return
        if not self._stripper.chosen and block.data.count(b"\n") > _ENOUGH:
            self._stripper.choose(block.data, self._learn)
            self._seen.clear()
        keys = self._stripper.strip(block.data).split(b"\n")
        self._count(block, keys, Counter(keys))

    def _look(self, data: bytes) -> None:
        """Find out whether this is an access log."""
        self._unlooked = False
        if are_visits(data[:_LOOKED].split(b"\n")[:-1]):
            self.visits = Visits()

    def _count_visits(self, visits: Visits, block: Block) -> None:
        firsts: dict[str, int] = {}
        lasts: dict[str, int] = {}
        counts: Counter[str] = Counter()
        for shape, offset in visits.of(block.data):
            counts[shape] += 1
            lasts[shape] = offset
            firsts.setdefault(shape, offset)
        for shape, count in counts.items():
            row = self._kept_row(self._holes.fill(shape), "none")
            row.counts[block.zone] += count
            row.meet(_line_at(block, firsts[shape]), _line_at(block, lasts[shape]), block.zone < self._window)
        self.lines[block.zone] += counts.total()
        if len(self.rows) > self._shrink_at:
            self._shrink()

    def _learn(self, lines: Iterable[bytes]) -> Holes:
        """Which words of these lines are parameters."""
        for line in lines:
            self._row(line)
        self.merge()
        return self._holes

    def _count(self, block: Block, keys: Sequence[bytes], counts: Counter[bytes]) -> None:
        seen, zone = self._seen, block.zone
        unknown = [key for key in counts if key not in seen]
        lines: list[bytes] = []
        lasts: dict[bytes, int] = {}
        if unknown:
            lines = block.data.split(b"\n")
            lasts = dict(zip(keys, range(len(keys)), strict=True))
        fresh: set[int] = set()
        for key in unknown:
            row = self._row(lines[lasts[key]])
            seen[key] = row
            if row is not None and row.last is None:
                fresh.add(id(row))
        inside = zone < self._window
        firsts = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True)) if inside else lasts
        starts = _starts(lines or block.data.split(b"\n"), block.place.offset) if inside or fresh else []
        at = block.place._replace
        total = 0
        for key, count in counts.items():
            row = seen[key]
            if row is None:
                continue
            row.counts[zone] += count
            total += count
            if id(row) in fresh:
                row.meet(at(offset=starts[firsts[key]]), at(offset=starts[lasts[key]]), inside)
            elif inside:
                row.meet(first := at(offset=starts[firsts[key]]), first, inside)
        self.lines[zone] += total
        if len(seen) > _LINES:
            seen.clear()
        if len(self.rows) > self._shrink_at:
            self._shrink()

    def _row(self, line: bytes) -> Row | None:
        """The row of a line, None for one that begins no record."""
        if not line or line.isspace():
            return None
        text = line[:_LINE].decode("utf-8", "backslashreplace").rstrip("\r")
        head = 0
        if self.form is not None:
            if self.form.starts.match(line):
                head = self.form.head(line)
                head = 0 if text[:1] == "{" or head > _STAMP else head
            elif line.startswith(_BLANK) or not self._speaks(line, text):
                return None
        elif line.startswith(_BLANK) or is_continuation(line):
            return None
        shape = shaped(text[head:])
        before = text[:head].translate(_NO_DIGITS)
        said = self._levels.get((before, shape))
        if said is None:
            if len(self._levels) > _LINES:
                self._levels.clear()
            said = self._levels[before, shape] = level(text, head)
        if self._holes.keys or self._holes.lengths:
            shape = self._holes.fill(shape)
        return self._kept_row(shape, said)

    def _speaks(self, line: bytes, text: str) -> bool:
        """Whether a line without a time is one to tell all the same: it states a level or bad news by itself."""
        if _STATED.match(text):
            return True
        return not is_continuation(line) and level(text) in ("error", "fatal")

    def _kept_row(self, shape: str, said: LogLevel) -> Row:
        row = self.rows.get((shape, said))
        if row is None:
            if len(self.rows) >= 2 * _MOST:
                self.beyond += 1
                shape = "*"
                if (row := self.rows.get((shape, said))) is not None:
                    return row
            row = self.rows[shape, said] = Row(shape, said, self.zones)
        return row

    def _shrink(self) -> None:
        """Merge shapes until they are few again; where that does not help it is not tried twice."""
        for many in (10, 4):
            self.merge(many)
            if len(self.rows) <= _MOST // 2:
                break
        else:
            self._shrink_at = 3 * _MOST  # which there never are
        self._seen.clear()

    def merge(self, many: int = 10) -> None:
        """Merge the shapes that differ by their parameters only."""
        templates = merged({shape for shape, _ in self.rows}, many, self._holes)
        rows: dict[tuple[str, LogLevel], Row] = {}
        for (shape, said), row in self.rows.items():
            if not any(row.counts):
                continue  # it was made to learn from
            template = templates[shape]
            if (there := rows.get((template, said))) is None:
                row.shape = template
                rows[template, said] = row
            else:
                there.take(row)
        self.rows = rows


def _line_at(block: Block, offset: int) -> Place:
    """The place of the line that this offset of a block is in."""
    return block.place._replace(offset=block.place.offset + block.data.rfind(b"\n", 0, offset) + 1)


def _starts(lines: Sequence[bytes], offset: int) -> list[int]:
    """Where the lines of a block that begins there begin."""
    return list(accumulate((len(line) + 1 for line in lines), initial=offset))


_NO_DIGITS = {ord(str(digit)): None for digit in range(10)}


def is_continuation(line: bytes) -> bool:
    from rbdiag.collect import log_traces

    return log_traces.is_continuation(line)

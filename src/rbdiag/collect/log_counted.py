"""The requests of one access log, counted block by block: how answered, how fast, which paths, and when that turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rbdiag.collect.log_access import Layout, seconds_of
from rbdiag.collect.log_paths import Paths
from rbdiag.collect.log_seek import Place
from rbdiag.collect.log_turns import PIECES, SIXTHS, Piece, Turn, cut, turn_of

if TYPE_CHECKING:
    from rbdiag.collect.log_window import Block

# Times are counted in buckets of which each is 2 % wider than the one before: so no quantile is off by more than 1 %.
_GROWTH = math.log(1.02)
# Of fewer requests no time is told.
LEAST = 20
# The first figure of a status: 5xx, 4xx.
_FAILED, _REFUSED = 0x35, 0x34
# The slices of a baseline, if nobody says so.
_SLICES = 4
# Of so many blocks of the baseline the paths are counted, and of one in so many beyond: what is asked are shares.
_PATHS_OF, _ONE_OF = 32, 8


class Counted:
    """The requests of one access log, counted block by block, the newest first."""

    def __init__(self, layout: Layout, ends: Sequence[Place] = (), slices: int = _SLICES) -> None:
        self._layout = layout
        groups = layout.request.groupindex
        self._at = (groups["path"], groups["status"], groups["time"])
        self._ends = ends or (Place(0, 0),)
        self._buckets: dict[bytes, int | None] = {}
        self.paths = Paths()
        self.pieces = [Piece() for _ in range(PIECES)]
        # of each zone, and of each sixth of the window
        self.statuses: list[dict[int, int]] = [{} for _ in range(slices + 1)]
        self.times: list[dict[int, int]] = [{} for _ in range(slices + 1)]
        self.recent: list[dict[int, int]] = [{} for _ in range(SIXTHS)]
        self._blocks = 0
        self.first_failed: Place | None = None
        self.last_failed: Place | None = None

    def add(self, block: Block) -> None:
        """Count the requests of a block."""
        statuses: dict[bytes, int] = {}
        if block.zone:
            self._count_before(block, statuses)
        else:
            parts = list(cut(block, self._ends))
            for number, low, high in reversed(parts):
                self._count(block, number, low, high, statuses)
        counts = self.statuses[block.zone]
        for word, count in statuses.items():
            counts[int(word)] = counts.get(int(word), 0) + count

    def _count(self, block: Block, number: int, low: int, high: int, statuses: dict[bytes, int]) -> None:
        """Count what of a block belongs to a piece of the window."""
        piece, sixth = self.pieces[number], number * SIXTHS // PIECES
        times, of_sixth = self.times[0], self.recent[sixth]
        known, timed, add = self._buckets, self._layout.seconds is not None, self.paths.add
        path_at, status_at, time_at = self._at
        # of 5xx and of 4xx: how many, of the first its place and how many requests stand before it
        found_at: dict[int, list[int]] = {}
        last_failed = n = 0
        for n, found in enumerate(self._layout.request.finditer(block.data, low, high), 1):
            path, status, took = found.group(path_at, status_at, time_at)
            statuses[status] = statuses.get(status, 0) + 1
            bucket = None
            if timed and took:
                bucket = known[took] if took in known else self._bucket(took)
                if bucket is not None:
                    times[bucket] = times.get(bucket, 0) + 1
                    of_sixth[bucket] = of_sixth.get(bucket, 0) + 1
            kind = status[0]
            if kind >= _REFUSED:
                found_at.setdefault(kind, [0, found.start(), n - 1])[0] += 1
                if kind == _FAILED:
                    last_failed = found.start()
            add(path or b"", kind == _FAILED, bucket, sixth)
        for kind, (count, at, stood) in found_at.items():
            of_kind = piece.failed if kind == _FAILED else piece.refused
            of_kind.count += count
            of_kind.since = piece.requests + n - stood
            of_kind.first = block.place._replace(offset=block.place.offset + at)
            if kind == _FAILED:
                self.first_failed = of_kind.first
                last = block.place._replace(offset=block.place.offset + last_failed)
                self.last_failed = self.last_failed or last
        piece.requests += n

    def _count_before(self, block: Block, statuses: dict[bytes, int]) -> None:
        """Count a block of the baseline; its paths not of all blocks, where they are many."""
        self._blocks += 1
        if self._blocks > _PATHS_OF and self._blocks % _ONE_OF:
            self._count_few(block, statuses)
            return
        times, known = self.times[block.zone], self._buckets
        timed, add = self._layout.seconds is not None, self.paths.add_before
        path_at, status_at, time_at = self._at
        for found in self._layout.request.finditer(block.data):
            path, status, took = found.group(path_at, status_at, time_at)
            statuses[status] = statuses.get(status, 0) + 1
            bucket = None
            if timed and took:
                bucket = known[took] if took in known else self._bucket(took)
                if bucket is not None:
                    times[bucket] = times.get(bucket, 0) + 1
            add(path or b"", status[0] == _FAILED, bucket)

    def _count_few(self, block: Block, statuses: dict[bytes, int]) -> None:
        """The same without the paths."""
        times, known, timed = self.times[block.zone], self._buckets, self._layout.seconds is not None
        status_at, time_at = self._at[1:]
        for found in self._layout.request.finditer(block.data):
            status, took = found.group(status_at, time_at)
            statuses[status] = statuses.get(status, 0) + 1
            if timed and took:
                bucket = known[took] if took in known else self._bucket(took)
                if bucket is not None:
                    times[bucket] = times.get(bucket, 0) + 1

    def family(self, zone: int, family: int) -> int:
        """How many answers of a zone have a status of this hundred."""
        return sum(count for status, count in self.statuses[zone].items() if status // 100 == family)

    def turn(self, kind: Literal["failed", "refused"]) -> Turn | None:
        """From where on more requests fail, or are refused, than before."""
        kinds = [(getattr(piece, kind), piece.requests) for piece in self.pieces]
        before = range(1, len(self.statuses))
        bad = sum(self.family(zone, 5 if kind == "failed" else 4) for zone in before)
        total = sum(sum(self.statuses[zone].values()) for zone in before)
        rows = [(of.count, of.since, requests) for of, requests in kinds]
        return turn_of(rows, (bad, total), [of.first for of, _ in kinds])

    def _bucket(self, took: bytes) -> int | None:
        if len(self._buckets) >= 50_000:
            self._buckets.clear()
        seconds = seconds_of(took, self._layout.seconds or 0.0)
        # a server that has not waited writes 0, one that was not asked a negative number
        told = seconds >= 0 and math.isfinite(seconds)
        bucket = math.floor(math.log(max(seconds, 1e-6)) / _GROWTH) if told else None
        self._buckets[took] = bucket
        return bucket


def quantile(times: dict[int, int], share: float, least: int = LEAST, wide: int = 1) -> float | None:
    """The time that this share of requests did not exceed, in seconds; None of too few. Buckets may be `wide`."""
    total = sum(times.values())
    if total < least:
        return None
    rank, below = math.ceil(share * total), 0
    for bucket in sorted(times):
        below += times[bucket]
        if below >= rank:
            seconds = math.exp((bucket + 0.5) * wide * _GROWTH)
            return 0.0 if seconds < 2e-6 else float(f"{seconds:.4g}")
    raise AssertionError("unreachable")

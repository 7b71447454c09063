"""Paths of requests by their shape, counted in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rbdiag.collect.log_turns import SIXTHS

# So many shapes are kept; when they are more, shapes with many siblings become one, then the rarest are let go.
_SHAPES, _SIBLINGS, _TOLD = 4000, 24, 12
_KNOWN = 20_000
# Of what times are compared with, a quantile need not be better than 8 %.
COARSE = 8
_LONGEST = 200
_HEX = re.compile(r"(?=[a-f0-9-]*\d)[a-f0-9]{8,}(?:-[a-f0-9]{4,})*", re.IGNORECASE)
_ID = re.compile(r"(?=[^\d]*\d)(?=.*[A-Za-z])[\w=~-]{20,}")
_NUMBER = re.compile(r"(?<![A-Za-z])\d+|\d{3,}")
_VERSION = re.compile(r"v\d{1,3}(?:\.\d{1,3})?")


def shape(path: str) -> str:
    """A path with what varies masked: its query, numbers, and ids. `/users/17?x=1` is `/users/*`."""
    plain = path[: 4 * _LONGEST].partition("?")[0].partition("#")[0].partition(";")[0]
    plain = re.sub(r"^https?://[^/]*", "", plain)
    return "/".join(_masked(part) for part in plain.split("/"))[:_LONGEST] or "/"


def _masked(part: str) -> str:
    if not any(c.isdigit() for c in part) or _VERSION.fullmatch(part):
        return part
    return "*" if _ID.fullmatch(part) else _NUMBER.sub("*", _HEX.sub("*", part))


class Row:
    """One shape: all requests, those that failed, and how many took how long, in the window and before it.

    `sixths` are (requests, failed) of each sixth of the window, the newest first, one after the other. `recent` are
    the times of the last third of the window; they and those before are kept in buckets `COARSE` times as wide.
    """

    __slots__ = ("before", "failed", "failed_before", "recent", "requests", "sixths", "times", "times_before")

    def __init__(self) -> None:
        self.requests = self.failed = self.before = self.failed_before = 0
        self.sixths = [0] * (2 * SIXTHS)
        self.times: dict[int, int] = {}
        self.recent: dict[int, int] = {}
        self.times_before: dict[int, int] = {}

    def take(self, other: Row) -> None:
        """Count what another has as well."""
        self.requests += other.requests
        self.failed += other.failed
        self.before += other.before
        self.failed_before += other.failed_before
        self.sixths = [a + b for a, b in zip(self.sixths, other.sixths, strict=True)]
        for ours, theirs in (
            (self.times, other.times), (self.recent, other.recent), (self.times_before, other.times_before),
        ):  # fmt: skip
            for bucket, count in theirs.items():
                ours[bucket] = ours.get(bucket, 0) + count


class Paths:
    """Counts of requests by shape of path."""

    def __init__(self) -> None:
        self._known: dict[bytes, Row] = {}
        self._rows: dict[str, Row] = {}

    def add(self, path: bytes, failed: bool, bucket: int | None, sixth: int = 0) -> None:
        """Count one request of the window; `bucket` is of the time it took."""
        if (row := self._known.get(path)) is None:
            row = self._new(path)
        row.requests += 1
        row.sixths[2 * sixth] += 1
        if failed:
            row.failed += 1
            row.sixths[2 * sixth + 1] += 1
        if bucket is not None:
            row.times[bucket] = row.times.get(bucket, 0) + 1
            if sixth < 2:
                row.recent[bucket // COARSE] = row.recent.get(bucket // COARSE, 0) + 1

    def add_before(self, path: bytes, failed: bool, bucket: int | None) -> None:
        """Count one request of the time before the window."""
        if (row := self._known.get(path)) is None:
            row = self._new(path)
        row.before += 1
        if failed:
            row.failed_before += 1
        if bucket is not None:
            row.times_before[bucket // COARSE] = row.times_before.get(bucket // COARSE, 0) + 1

    def _new(self, path: bytes) -> Row:
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if len(self._rows) >= _SHAPES:
            self._rows = dict(_joined(self._rows, _SIBLINGS))
            worth = sorted(self._rows.items(), key=lambda item: (-item[1].failed, -item[1].requests - item[1].before))
            self._rows = dict(worth[: _SHAPES // 2])
            self._known.clear()
        key = shape(path.decode("utf-8", "backslashreplace"))
        row = self._known[path] = self._rows.setdefault(key, Row())
        return row

    def _inside(self) -> dict[str, Row]:
        return {path: row for path, row in self._rows.items() if row.requests}

    def failing(self, most: int) -> tuple[tuple[str, int, int], ...]:
        """Shape, answers of 5xx, all requests; the worst first."""
        rows = [(path, row.failed, row.requests) for path, row in _joined(self._inside(), _TOLD) if row.failed]
        return tuple(sorted(rows, key=lambda row: (-row[1], -row[1] / row[2], row[0]))[:most])

    def timed(self, least: int) -> list[tuple[str, dict[int, int]]]:
        """Shapes with so many times at least, and their times."""
        rows = [(path, row.times) for path, row in _joined(self._inside(), _TOLD) if row.times]
        return [(path, times) for path, times in rows if sum(times.values()) >= least]

    def each(self) -> Iterator[tuple[str, Row]]:
        """Every shape by itself, then those that were made one of many."""
        yield from self._rows.items()
        yield from ((path, row) for path, row in _joined(self._rows, _TOLD) if path not in self._rows)


def _joined(rows: dict[str, Row], most: int) -> Iterator[tuple[str, Row]]:
    """The same with shapes that differ in their last part alone made one, where they are more than so many."""
    children: dict[str, int] = {}
    for path in rows:
        parent = path.rpartition("/")[0]
        children[parent] = children.get(parent, 0) + 1
    joined: dict[str, Row] = {}
    for path, row in rows.items():
        parent = path.rpartition("/")[0]
        if children[parent] <= most or not parent:
            joined[path] = row
            continue
        one = joined.setdefault(f"{parent}/*", Row())
        one.take(row)
    yield from joined.items()

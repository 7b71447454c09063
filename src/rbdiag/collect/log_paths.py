"""Paths of requests by their shape, counted in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

# So many shapes are kept; when they are more, shapes with many siblings become one, then the rarest are let go.
_SHAPES, _SIBLINGS, _TOLD = 4000, 24, 12
_KNOWN = 20_000
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


class _Row:
    """One shape: all requests, those that failed, and how many took how long."""

    __slots__ = ("failed", "requests", "times")

    def __init__(self) -> None:
        self.requests = self.failed = 0
        self.times: dict[int, int] = {}


class Paths:
    """Counts of requests by shape of path."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Row] = {}
        self._rows: dict[str, _Row] = {}

    def add(self, path: bytes, failed: bool, bucket: int | None) -> None:
        """Count one request; `bucket` is of the time it took."""
        if (row := self._known.get(path)) is None:
            row = self._new(path)
        row.requests += 1
        if failed:
            row.failed += 1
        if bucket is not None:
            row.times[bucket] = row.times.get(bucket, 0) + 1

    def _new(self, path: bytes) -> _Row:
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if len(self._rows) >= _SHAPES:
            self._rows = dict(_joined(self._rows, _SIBLINGS))
            worth = sorted(self._rows.items(), key=lambda item: (-item[1].failed, -item[1].requests))
            self._rows = dict(worth[: _SHAPES // 2])
            self._known.clear()
        key = shape(path.decode("utf-8", "backslashreplace"))
        row = self._known[path] = self._rows.setdefault(key, _Row())
        return row

    def failing(self, most: int) -> tuple[tuple[str, int, int], ...]:
        """Shape, answers of 5xx, all requests; the worst first."""
        rows = [(path, row.failed, row.requests) for path, row in _joined(self._rows, _TOLD) if row.failed]
        return tuple(sorted(rows, key=lambda row: (-row[1], -row[1] / row[2], row[0]))[:most])

    def timed(self, least: int) -> list[tuple[str, dict[int, int]]]:
        """Shapes with so many times at least, and their times."""
        rows = [(path, row.times) for path, row in _joined(self._rows, _TOLD) if row.times]
        return [(path, times) for path, times in rows if sum(times.values()) >= least]


def _joined(rows: dict[str, _Row], most: int) -> Iterator[tuple[str, _Row]]:
    """The same with shapes that differ in their last part alone made one, where they are more than so many."""
    children: dict[str, int] = {}
    for path in rows:
        parent = path.rpartition("/")[0]
        children[parent] = children.get(parent, 0) + 1
    joined: dict[str, _Row] = {}
    for path, row in rows.items():
        parent = path.rpartition("/")[0]
        if children[parent] <= most or not parent:
            joined[path] = row
            continue
        one = joined.setdefault(f"{parent}/*", _Row())
        if one is row:
            continue
        one.requests += row.requests
        one.failed += row.failed
        for bucket, count in row.times.items():
            one.times[bucket] = one.times.get(bucket, 0) + count
    yield from joined.items()

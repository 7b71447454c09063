"""Requests in access logs: how many, how answered, which paths fail, and how long they took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rbdiag.collect.log_access import Layout, is_access, layout_of, seconds_of
from rbdiag.collect.log_paths import Paths
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.logs import LogTraffic
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_window import Block, Span, Spans

__all__ = ["is_access", "layout_of", "traffic"]

# Times are counted in buckets of which each is 2 % wider than the one before: so no quantile is off by more than 1 %.
_GROWTH = math.log(1.02)
# So many paths are told, and of fewer requests no time is.
_TOLD, _LEAST = 10, 20
# What is looked at to tell what a log is: so much of its newest block.
_SAMPLE = 128 << 10


class Counted:
    """The requests of one access log, counted block by block, the newest first."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        groups = layout.request.groupindex
        self._at = (groups["path"], groups["status"], groups["time"])
        self._buckets: dict[bytes, int | None] = {}
        self.paths = Paths()
        self.statuses: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.times: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.first_failed: Place | None = None
        self.last_failed: Place | None = None

    def add(self, block: Block) -> None:
        """Count the requests of a block."""
        before = block.zone > 0
        statuses: dict[bytes, int] = {}
        times = self.times[before]
        known, timed, add = self._buckets, self._layout.seconds is not None, self.paths.add
        path_at, status_at, time_at = self._at
        failed_at: list[int] = []
        for found in self._layout.request.finditer(block.data):
            path, status, took = found.group(path_at, status_at, time_at)
            statuses[status] = statuses.get(status, 0) + 1
            bucket = None
            if timed and took:
                bucket = known[took] if took in known else self._bucket(took)
                if bucket is not None:
                    times[bucket] = times.get(bucket, 0) + 1
            if before:
                continue
            failed = status[0] == 0x35  # "5"
            if failed:
                failed_at[1:] = [found.start()]
            add(path or b"", failed, bucket)
        counts = self.statuses[before]
        for word, count in statuses.items():
            counts[int(word)] = counts.get(int(word), 0) + count
        if failed_at:
            places = [block.place._replace(offset=block.place.offset + at) for at in (failed_at[0], failed_at[-1])]
            self.first_failed = places[0]
            self.last_failed = self.last_failed or places[-1]

    def _bucket(self, took: bytes) -> int | None:
        if len(self._buckets) >= 50_000:
            self._buckets.clear()
        seconds = seconds_of(took, self._layout.seconds or 0.0)
        # a server that has not waited writes 0, one that was not asked a negative number
        told = seconds >= 0 and math.isfinite(seconds)
        bucket = math.floor(math.log(max(seconds, 1e-6)) / _GROWTH) if told else None
        self._buckets[took] = bucket
        return bucket


def quantile(times: dict[int, int], share: float) -> float | None:
    """The time that this share of requests did not exceed, in seconds; None of too few."""
    total = sum(times.values())
    if total < _LEAST:
        return None
    rank, below = math.ceil(share * total), 0
    for bucket in sorted(times):
        below += times[bucket]
        if below >= rank:
            seconds = math.exp((bucket + 0.5) * _GROWTH)
            return 0.0 if seconds < 2e-6 else float(f"{seconds:.4g}")
    raise AssertionError("unreachable")


def traffic(spans: Spans, deadline: Deadline) -> Iterator[Fact]:
    """The check `logs.requests`: the requests of each log that is an access log.

    What there was no time for is raised at the end.
    """
    gaps: list[Gap] = []
    for number, span in enumerate(spans.all):
        reading = span.read(deadline, 0.8 / (len(spans.all) - number))
        counted: Counted | None = None
        late = False
        try:
            for block in reading:
                deadline.left()
                if counted is None:
                    layout = layout_of(_sample(block.data))
                    if layout is None:
                        break
                    counted = Counted(layout)
                counted.add(block)
        except OutOfTime:
            late = True
        if counted is None:
            continue
        yield _fact(span, counted, reading.zones)
        if (gap := reading.gap()) is not None:
            gaps.append(gap)
        elif late:
            unlock = "give it more time: --deadline SECONDS"
            gaps.append(Gap("deadline", f"{span.name}: not all of it was read", unlock))
    if gaps:
        raise CannotLook(gaps[0])


def _sample(data: bytes) -> Sequence[bytes]:
    """Lines of a block's beginning and end, with the line of field names that some forms have."""
    lines = data[:_SAMPLE].split(b"\n")
    if len(data) <= _SAMPLE:
        return lines
    return [*lines[:-1][:200], *data[-_SAMPLE:].split(b"\n")[1:][-400:]]


def _fact(span: Span, counted: Counted, zones: Sequence[float]) -> LogTraffic:
    inside, before = counted.statuses
    timed = [(path, quantile(times, 0.95), sum(times.values())) for path, times in counted.paths.timed(_LEAST)]
    slow = sorted(((path, p95, n) for path, p95, n in timed if p95), key=lambda row: (-row[1], row[0]))
    return LogTraffic(
        subject=span.name, requests=sum(inside.values()), requests_before=sum(before.values()),
        covered=zones[0] if span.seconds is not None else None,
        covered_before=sum(zones[1:]) if span.seconds is not None and span.slices else None,
        statuses=tuple(sorted(inside.items())), before=tuple(sorted(before.items())),
        failing=tuple((_plain(path), failed, n) for path, failed, n in counted.paths.failing(_TOLD)),
        slow=tuple((_plain(path), p95, n) for path, p95, n in slow[:_TOLD]),
        p50=quantile(counted.times[0], 0.5), p95=quantile(counted.times[0], 0.95), p99=quantile(counted.times[0], 0.99),
        p95_before=quantile(counted.times[1], 0.95), first_failed_at=_at(span, counted.first_failed),
        last_failed_at=_at(span, counted.last_failed),
    )  # fmt: skip


def _plain(path: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact(path))


def _at(span: Span, place: Place | None) -> float | None:
    at = None if place is None else span.time_at(place)
    return None if at is None else round(at, 3)

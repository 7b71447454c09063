"""Requests in access logs: how many, how answered, which paths fail, and how long they took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rbdiag.collect.log_access import is_access, layout_among, layout_of
from rbdiag.collect.log_counted import LEAST, Counted, quantile
from rbdiag.collect.log_paths import COARSE, Paths
from rbdiag.collect.log_turns import PIECES, SIXTHS, Piece, edges, turn_of
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.logs import LogTraffic
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_window import Block, Span, Spans

__all__ = ["is_access", "layout_of", "traffic"]

# So many paths are told.
_TOLD = 10
# What is looked at to tell what a log is: so much of its newest block.
_SAMPLE, _HEAD = 128 << 10, 8 << 10
# A sixth of the window has a time, the newest requests a share, a path a change, from so many requests on.
_TIMED, _NEWEST, _CHANGED = 50, 20, 10


def traffic(spans: Spans, deadline: Deadline) -> Iterator[Fact]:
    """The check `logs.requests`: the requests of each log that is an access log.

    What there was no time for is raised at the end.
    """
    gaps: list[Gap] = []
    for number, span in enumerate(spans.all):
        reading = span.read(deadline, 0.8 / (len(spans.all) - number))
        counted: Counted | None = None
        late, name = False, span.name
        try:
            for block in reading:
                deadline.left()
                if counted is None:
                    sample = _sample(span, block)
                    layout = layout_of(sample)
                    if layout is None and (layout := layout_among(sample)) is not None:
                        name = f"requests in {span.name}"
                    if layout is None:
                        break
                    counted = Counted(layout, edges(span), len(span.bounds) - 2)
                counted.add(block)
        except OutOfTime:
            late = True
        if counted is None:
            continue
        yield _fact(name, span, counted, reading.zones)
        if (gap := reading.gap()) is not None:
            gaps.append(gap)
        elif late:
            unlock = "give it more time: --deadline SECONDS"
            gaps.append(Gap("deadline", f"{span.name}: not all of it was read", unlock))
    if gaps:
        raise CannotLook(gaps[0])


def _sample(span: Span, block: Block) -> Sequence[bytes]:
    """Lines of a block's beginning and end, with the line of field names that some forms have at a file's beginning."""
    head = span.parts[block.place.part].read(0, _HEAD).split(b"\n") if block.place.offset else []
    fields, data = [line for line in head if line.startswith((b"#Fields: ", b"#Software: "))], block.data
    lines = data[:_SAMPLE].split(b"\n")
    if len(data) <= _SAMPLE:
        return [*fields, *lines]
    return [*fields, *lines[:-1][:200], *data[-_SAMPLE:].split(b"\n")[1:][-400:]]


def _fact(name: str, span: Span, counted: Counted, zones: Sequence[float]) -> LogTraffic:
    inside, before = counted.statuses[0], _sum(counted.statuses[1:])
    timed = [(path, quantile(times, 0.95), sum(times.values())) for path, times in counted.paths.timed(LEAST)]
    slow = sorted(((path, p95, n) for path, p95, n in timed if p95), key=lambda row: (-row[1], row[0]))
    failed, refused = counted.turn("failed"), counted.turn("refused")
    whole, sixth = span.seconds is not None and zones[0] == span.seconds, PIECES // SIXTHS
    return LogTraffic(
        subject=name, requests=sum(inside.values()), requests_before=sum(before.values()),
        covered=zones[0] if span.seconds is not None else None,
        covered_before=sum(zones[1:]) if span.seconds is not None and span.slices else None,
        statuses=tuple(sorted(inside.items())), before=tuple(sorted(before.items())),
        failing=tuple((_plain(path), failed, n) for path, failed, n in counted.paths.failing(_TOLD)),
        slow=tuple((_plain(path), p95, n) for path, p95, n in slow[:_TOLD]),
        p50=quantile(counted.times[0], 0.5), p95=quantile(counted.times[0], 0.95), p99=quantile(counted.times[0], 0.99),
        p95_before=quantile(_sum(counted.times[1:]), 0.95), first_failed_at=_at(span, counted.first_failed),
        last_failed_at=_at(span, counted.last_failed),
        failed_lately=(failed.failed, failed.requests) if failed else (0, 0),
        failed_lately_at=_at(span, failed and failed.first),
        refused_lately=(refused.failed, refused.requests, _usual(inside)) if refused else (0, 0, 0),
        refused_lately_at=_at(span, refused and refused.first), newest=_newest(counted.pieces),
        slices=tuple(
            (seconds, sum(counted.statuses[zone].values()), counted.family(zone, 4), counted.family(zone, 5))
            for zone, seconds in enumerate(zones[1:], 1) if seconds > 0
        ),
        end=(zones[0] / SIXTHS, sum(p.requests for p in counted.pieces[:sixth])) if whole else None,
        turned=_turned(counted.paths), slower=_slower(counted.paths),
        p95_sixths=tuple(quantile(times, 0.95, _TIMED) for times in counted.recent),
        p95_slices=tuple(quantile(times, 0.95) for times in counted.times[1:]),
    )  # fmt: skip


def _sum(counts: Iterable[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for of_one in counts:
        for key, count in of_one.items():
            total[key] = total.get(key, 0) + count
    return total


def _usual(statuses: dict[int, int]) -> int:
    """The status of most of the answers of 4xx."""
    return max((status for status in statuses if status // 100 == 4), key=lambda status: statuses[status], default=0)


def _newest(pieces: Sequence[Piece]) -> tuple[int, int]:
    failed = requests = 0
    for piece in pieces:
        failed, requests = failed + piece.failed.count, requests + piece.requests
        if requests >= _NEWEST:
            break
    return failed, requests


def _turned(paths: Paths) -> tuple[tuple[str, int, int, int, int], ...]:
    """The paths of which more fail than before, the worst first."""
    found: list[tuple[str, int, int, int, int]] = []
    for path, row in paths.each():
        if row.failed < _CHANGED or row.failed_before * row.requests >= row.failed * row.before:
            continue
        sixths = list(zip(row.sixths[1::2], row.sixths[::2], strict=True))
        turn = turn_of([(bad, n, n) for bad, n in sixths], (row.failed_before, row.before), [None] * SIXTHS)
        since = (turn.failed, turn.requests) if turn else (row.failed, row.requests)
        found.append((_plain(path), *since, row.failed_before, row.before))
    return tuple(sorted(found, key=lambda row: (-row[1], -row[1] / row[2], row[0]))[:_TOLD])


def _slower(paths: Paths) -> tuple[tuple[str, float, float, float, float, int], ...]:
    """The paths that answer far more slowly than before, those with the most requests first."""
    found = []
    for path, row in paths.each():
        if sum(row.times_before.values()) < 2 * _TIMED:
            continue
        told = [
            quantile(times, share, LEAST, COARSE) for share in (0.95, 0.5) for times in (row.recent, row.times_before)
        ]
        p95, p95_before, p50, p50_before = (value or 0.0 for value in told)
        if p95 > 2 * p95_before:
            found.append((_plain(path), p95, p95_before, p50, p50_before, sum(row.recent.values())))
    return tuple(sorted(found, key=lambda row: (-row[5], row[0]))[:_TOLD])


def _plain(path: str) -> str:
    return "".join(c if c.isprintable() else " " for c in redact(path))


def _at(span: Span, place: Place | None) -> float | None:
    at = None if place is None else span.time_at(place)
    return None if at is None else round(at, 3)

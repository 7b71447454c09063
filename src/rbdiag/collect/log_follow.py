"""Following logs: what is usual in each is learnt from what it held, then what is known or new is told as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_tail import Tail
from rbdiag.collect.log_watch import News, Watch
from rbdiag.collect.log_window import Spans
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook, Gap

if TYPE_CHECKING:
    from rbdiag.collect.log_patterns import Matcher
    from rbdiag.collect.log_window import Span

# To learn what is usual so much of the end of a log is read, and all logs for so many seconds at the most.
_LEARNT, _LEARNING = 1 << 20, 5.0
# Of a line that comes in pieces so much is kept.
_LONGEST = 8192


class Begun(NamedTuple):
    """A log is followed from here on; so many of its last `lines` were read to know what is usual.

    So many `errors` are among them, which are no news from here on unless they speak of a known failure.
    """

    log: str
    lines: int
    errors: int = 0


def follow(
    wanted: Wanted, since: float, matcher: Matcher, seconds: float | None = None
) -> Generator[Begun | News | Gap, None, None]:  # fmt: skip
    """What is worth telling of these logs as they are written, for so many seconds, or until all streams have ended.

    `since` is how far back a log is read to know what is usual in it.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    with Tail(wanted) as tail:
        # Whatever comes from here on is told, also what comes while we learn.
        before, gaps = _before(wanted, since, min(end, time.monotonic() + _LEARNING))
        came = tail.poll()
        told = dict.fromkeys((*gaps, *_taken(tail.gaps)))
        yield from told
        watches: dict[str, Watch] = {}
        for name, lines in before.items():
            watches[name] = Watch(name, matcher)
            usual = _without(lines, [line.rstrip(b"\r\n") for log, line in came if log == name])
            yield Begun(name, len(usual), watches[name].learn(usual))
        rest: dict[str, bytes] = {}
        for pieces in chain([came], tail.follow(stop=lambda: time.monotonic() >= end)):
            for name, lines in _whole(pieces, rest).items():
                if name not in watches:
                    watches[name] = Watch(name, matcher)
                    yield Begun(name, 0)
                yield from watches[name].add(lines)
            for watch in watches.values():
                yield from watch.rest()
            yield from _taken(tail.gaps)
        for name, watch in watches.items():
            yield from watch.add([rest[name]] if rest.get(name) else [])
            yield from watch.rest(ended=True)


def _whole(pieces: list[tuple[str, bytes]], rest: dict[str, bytes]) -> dict[str, list[bytes]]:
    """The lines of each log that these pieces end; what is not ended yet stays in `rest`."""
    lines: dict[str, list[bytes]] = {}
    for name, piece in pieces:
        # a writer that goes on where it was in a file that was emptied leaves a hole of NULs before its next line
        line = (rest.pop(name, b"") + piece).lstrip(b"\0")[:_LONGEST]
        if piece.endswith(b"\n"):
            lines.setdefault(name, []).append(line.rstrip(b"\r\n"))
        else:
            rest[name] = line
    return lines


def _taken(gaps: list[Gap]) -> Iterable[Gap]:
    taken = tuple(gaps)
    gaps.clear()
    return taken


def _before(wanted: Wanted, since: float, end: float) -> tuple[dict[str, list[bytes]], list[Gap]]:
    """The last lines of each log, the oldest first, and what could not be read."""
    found: dict[str, list[bytes]] = {}
    gaps: list[Gap] = []
    deadline = Deadline(end - time.monotonic())
    # A stream has no past, and who reads it takes it away.
    files = tuple(name for name in wanted.files if name != "-" and (os.path.isfile(name) or not os.path.exists(name)))
    spans = Spans(wanted._replace(files=files), since, asked=False, baseline=0.0)
    try:
        for _ in spans.find(deadline):
            pass
    except CannotLook as error:
        if error.gap.reason != "missing":  # what holds nothing yet, or is not there yet, has no past either
            gaps.append(error.gap)
    except OutOfTime:
        gaps.append(Gap("deadline", "there was no time to learn what is usual in all logs"))
    for span in spans.all:
        try:
            found[span.name] = _last(span, deadline)
        except (OSError, OutOfTime) as error:
            found[span.name] = []
            gaps.append(Gap("failed", f"what is usual in {span.name} is not known: {error or 'there was no time'}"))
    spans.close()
    return found, gaps


def _last(span: Span, deadline: Deadline) -> list[bytes]:
    """The lines of the last blocks of a log, the oldest first."""
    blocks: list[bytes] = []
    for block in span.read(deadline):
        blocks.append(block.data)
        if sum(map(len, blocks)) >= _LEARNT:
            break
    return [line.rstrip(b"\r") for line in b"".join(reversed(blocks))[-_LEARNT:].split(b"\n") if line]


def _without(lines: list[bytes], came: list[bytes]) -> list[bytes]:
    """The lines without those at their end that have come since as well."""
    for size in range(min(len(lines), len(came)), 0, -1):
        if lines[-size:] == came[:size]:
            return lines[:-size]
    return lines

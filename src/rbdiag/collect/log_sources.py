"""Logs, opened: the parts each is made of, as they were at one moment while they are written and rotated."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.collect import log_siblings, log_streams, log_unpack
from rbdiag.collect.log_parts import File, Part, no_file
from rbdiag.collect.log_siblings import Sibling
from rbdiag.collect.log_wanted import Source, Wanted, answered, gap_of, sources
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook, Gap

if TYPE_CHECKING:
    from rbdiag.collect.log_state import State

__all__ = ("Log", "Source", "Wanted", "distinct", "opened", "parts_of")

# A log is listed again until nothing was rotated meanwhile: so often at the most, with such a pause. Between renaming
# a file and making it anew nothing stands at its path: so long it may last.
_TRIES, _PAUSE, _ABSENT = 40, 0.005, 0.2
# Parts of one log that are opened at the most, the newest.
_PARTS = 200
# Which part of the time left goes into unpacking.
_UNPACKING = 0.4
# A copy shorter than this is told from another log's beginning only where it is the whole.
_SHORT = 64


class Log(NamedTuple):
    """A log that can be read: its parts, the oldest first; `owner` is the unit or process it was found by.

    `new_from` is the (part, offset) where begins what is new since the last run; None without a last run.
    """

    name: str
    parts: tuple[Part, ...]
    owner: str = ""
    new_from: tuple[int, int] | None = None


def opened(wanted: Wanted, since: float, deadline: Deadline, state: State | None = None) -> Iterator[Log | Gap]:
    """Every log that is wanted, or why it cannot be read. Rotated parts last written before `since` are left out.

    With a state, what is new since the last run is marked, and not a line of it left out; exhaust the iterator, for
    its last step is to write down how far it went.
    """
    found: list[Source] = []
    busy: set[str] = set()
    for source in sources(wanted, deadline):
        if isinstance(source, Gap):
            yield source
        elif source not in found:
            found.append(source)
    for key in sorted({source.key for source in found if source.key} if state else ()):
        try:
            assert state
            state.take(key, deadline)
        except CannotLook as error:
            busy.add(key)
            yield error.gap
    budget = [log_unpack.KEEP]
    missing: list[Gap] = []
    for source in found:
        if source.key in busy:
            continue
        try:
            for item in _opened(source, since, deadline, state, budget):
                if isinstance(item, Gap) and item.reason == "missing":
                    missing.append(item)  # an empty log is the least of what may be wrong
                else:
                    yield item
        except (CannotLook, OutOfTime, OSError) as error:
            yield gap_of(source.name, error)
    yield from missing
    if state:
        state.prepare()
        yield from state.gaps


def _opened(
    source: Source, since: float, deadline: Deadline, state: State | None, budget: list[int]
) -> Iterator[Log | Gap]:
    """One log. What of it cannot be read is a gap beside it."""
    told = state.told(source.key) if state and source.key else None
    reach = min(since, told.at) if told else since
    if source.journal:
        yield _journal(source, reach, deadline, state)
        return
    if source.key:
        parts, gaps = parts_of(source, reach, deadline, budget)
    else:
        part, gap = _stream(source.paths[0], source.name, deadline)
        parts, gaps = texts([part], deadline, budget)
        gaps = [gap, *gaps] if gap else gaps
    yield from gaps
    full = distinct([part for part in parts if part.size])
    if not full and source.key and parts:
        full = parts[-1:]  # nothing written is an answer; of a stream it is none, for its writer may have failed
    if not full:
        if not gaps:
            yield Gap("missing", f"{source.name} is empty", "see whether the program that was to write it failed")
        return
    new_from = None
    if state and source.key:
        kept, new_from = state.news(source.key, full, whole=all(gap.reason != "deadline" for gap in gaps))
        full = list(kept)
    yield Log(source.name, tuple(full), source.owner, new_from)


def parts_of(
    source: Source, since: float, deadline: Deadline, budget: list[int], patience: float = _ABSENT
) -> tuple[list[Part], list[Gap]]:
    """The parts of a log in files, the oldest first, as text; and what is missing of them."""
    files, gaps = answered(lambda: _snapshot(source, since, deadline, patience), source.name, deadline)
    parts, more = texts(files, deadline, budget)
    return parts, gaps + more


def _journal(source: Source, since: float, deadline: Deadline, state: State | None) -> Log:
    part = log_streams.journal(list(source.journal), source.name, since, deadline)
    new_from = None
    if state:
        if told := state.told(source.key):
            new_from = (0, part.after(told.cursor, told.at))
        state.news_of_journal(source.key, part.cursor, part.at)
    return Log(source.name, (part,), source.owner, new_from)


def _stream(path: str, name: str, deadline: Deadline) -> tuple[Part, Gap | None]:
    number = int(path.rpartition("/")[2]) if path[-1].isdigit() else 0
    return log_streams.stream(number, name, deadline)


def _snapshot(source: Source, since: float, deadline: Deadline, patience: float) -> tuple[list[Part], list[Gap]]:
    """The files of a log as they were at one moment, the oldest first, held open; and which of them cannot be read."""
    if source.paths[0].startswith("/proc/") and "/fd/" in source.paths[0]:
        return [File(source.paths[0], source.name)], []
    absent = _absent(source, patience)
    for _ in range(_TRIES):
        deadline.left()
        listed = log_siblings.beside(source.paths[0])
        files, gaps = _held_open(_chosen(listed, source.paths, since), source)
        again = log_siblings.beside(source.paths[0])
        if [(s.path, s.inode) for s in again] == [(s.path, s.inode) for s in listed] and all(f.same() for f in files):
            return [*files], gaps + absent
        for file in files:
            file.close()
        time.sleep(_PAUSE)
    raise CannotLook(Gap("failed", f"{source.name} is rotated faster than it can be opened"))


def _absent(source: Source, patience: float) -> list[Gap]:
    """What of the paths is not there, although it was rotated. Raises CannotLook for what is no log."""
    end = time.monotonic() + patience
    for path in source.paths:
        while True:
            try:
                reason = no_file(path, os.stat(path))
            except FileNotFoundError:
                if not log_siblings.beside(path):
                    raise
                if time.monotonic() < end:
                    time.sleep(_PAUSE)
                    continue
                return [Gap("missing", f"{path} is not there, only what was rotated", "see where its program writes")]
            if reason:
                raise CannotLook(reason)
            break
    return []


def _chosen(listed: list[Sibling], paths: Sequence[str], since: float) -> list[Sibling]:
    """The newest that was named, and its older siblings as far as they were written since then; the oldest first.

    Where nothing was written since, what is looked at moves back to the last line, and its baseline with it.
    """
    named = {os.path.realpath(path) for path in paths} | set(paths)
    last = max((n for n, sibling in enumerate(listed) if sibling.path in named), default=len(listed) - 1)
    listed = listed[: last + 1]
    full = [sibling for sibling in listed if sibling.size]
    if not full:
        return listed[-1:]
    back = full[-1].written_at - max(0.0, time.time() - since)
    chosen: list[Sibling] = []
    inodes = set()
    for sibling in reversed(listed):
        wanted = sibling is listed[-1] or sibling is full[-1] or sibling.written_at >= min(since, back)
        if wanted and sibling.inode not in inodes and len(chosen) < _PARTS:
            inodes.add(sibling.inode)
            chosen.append(sibling)
    return chosen[::-1]


def _held_open(chosen: list[Sibling], source: Source) -> tuple[list[File], list[Gap]]:
    """The files, opened the newest first: then no line falls between two of them."""
    files: list[File] = []
    gaps: list[Gap] = []
    names = {os.path.realpath(path): path for path in source.paths}
    for sibling in reversed(chosen):
        try:
            files.append(File(sibling.path, source.name if sibling is chosen[-1] else names.get(sibling.path, "")))
        except FileNotFoundError:
            continue  # rotated away: the next listing shows where it is
        except OSError as error:
            if sibling is chosen[-1]:
                raise
            gaps.append(gap_of(sibling.path, error))
    return files[::-1], gaps


def texts(files: Sequence[Part], deadline: Deadline, budget: list[int]) -> tuple[list[Part], list[Gap]]:
    """The parts as text, the newest unpacked first, with as much memory for all as is left in the budget."""
    parts: list[Part] = []
    gaps: list[Gap] = []
    time_for_it = Deadline(deadline.left() * _UNPACKING)
    for file in reversed(files):
        try:
            part, gap = log_unpack.readable(file, time_for_it, max(0, budget[0]))
        except CannotLook as error:
            gaps.append(error.gap)
            continue
        if part is not file:
            budget[0] -= part.size
        if gap:
            gaps.append(gap)
        parts.append(part)
    return parts[::-1], gaps


def distinct(parts: list[Part]) -> list[Part]:
    """Without copies: the same content under two names, or one that is just being made."""
    kept: list[Part] = []
    for part in reversed(parts):
        if any(_is_copy(part, other) for other in kept):
            part.close()
            continue
        for other in [other for other in kept if _is_copy(other, part)]:
            kept.remove(other)
            other.close()
        kept.append(part)
    return kept[::-1]


def _is_copy(part: Part, other: Part) -> bool:
    """Whether the other begins with all that this one holds."""
    end, whole = part.dropped + part.size, other.dropped + other.size
    if end > whole or (end < _SHORT and end < whole) or other.head[: len(part.head)] != part.head:
        return False
    length = min(part.size, 4096)
    begin = end - length - other.dropped
    return begin >= 0 and other.read(begin, length) == part.read(part.size - length, length)

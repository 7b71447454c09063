"""Reading logs of any program: backwards from the end, inside a window, so much at the most; and telling their time.

A log is outside text: whatever is no UTF-8 becomes a visible escape, and a line is cut where it would not end.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from glob import glob
from typing import NamedTuple

from rbdiag.collect.log_shapes import Stamp, zone_shift
from rbdiag.collect.log_times import LINE, Stamps, stamp_of
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap

# At most so much of one log is read, and so much of it at a time.
MOST, BLOCK = 8 << 20, 64 << 10
# Longer lines are cut here, and no more than this is kept of one while its beginning is looked for.
_LINE, _TOO_LONG = 4096, 16384
# A rotated sibling is unpacked this far at the most, for a packed file can only be read from its beginning.
_UNPACKED = 64 << 20


class Line(NamedTuple):
    """A line and its time, which it has itself or from the last line before it that has one; None where none has."""

    at: float | None
    text: str


class Extract(NamedTuple):
    """What was read of a log, oldest line first. `cut` says that the window reaches further back than was read."""

    name: str
    lines: list[Line]
    bytes: int
    cut: bool
    last_at: float | None


# Times.


def stamp(text: str, now: float) -> Stamp | None:
    """The time that a line carries. Without a zone it is this host's; without a year, the last such day up to `now`."""
    data = text[:LINE].encode("utf-8", "replace")
    found = stamp_of(data, now)
    return None if found is None else found._replace(end=len(data[: found.end].decode("utf-8", "replace")))


# Files.


def backwards(fd: int, size: int, block: int = BLOCK, most: int = MOST) -> Iterator[bytes]:
    """The whole lines in the last `most` of the first `size` bytes of a file, the last one first, read in blocks.

    Of a line that is far too long the end is left out.
    """
    floor, at, rest = max(0, size - most), size, b""
    while at > floor:
        start = max(floor, at - block)
        # a file that was emptied while we read gives less; what is gone is gone
        data = os.pread(fd, at - start, start) + rest
        if at == size:
            data = data.removesuffix(b"\n")  # the end of the last line begins no other
        rest, *lines = data.split(b"\n")
        yield from reversed(lines)
        at, rest = start, rest[:_TOO_LONG]
    if size and floor == 0:
        yield rest  # else it is the end of a line that begins before


def text(data: bytes) -> str:
    """A line as text: no longer than a line, and with every byte that is no UTF-8 made visible."""
    return data[:_LINE].decode("utf-8", "backslashreplace").rstrip("\r")


def read(
    path: str, since: float, deadline: Deadline, mark: Callable[[str], bool] | None = None, most: int = MOST
) -> Extract:
    """The lines of a log file (and of its rotated predecessor, where it has to be) that are not older than `since`.

    With a `mark` the reading goes on backwards, past `since`, until a line that bears it, so that the beginning of
    what is going on is there. Lines of a log without times are all taken, unless it was last written before `since`.
    Raises CannotLook for what is no regular file, and OSError where it cannot be read.
    """
    found = _read(path, since, deadline, mark, most)
    if found.reached or found.cut:
        return Extract(path, found.lines, found.bytes, found.cut, found.last_at)
    if found.marked:
        mark = None
    for older in _rotated(path, since if mark is None else 0.0):
        before = _read(older, since, deadline, mark, max(BLOCK, most - found.bytes))
        lines = before.lines + found.lines
        return Extract(path, lines, before.bytes + found.bytes, before.cut, found.last_at or before.last_at)
    return Extract(path, found.lines, found.bytes, False, found.last_at)


class _Part(NamedTuple):
    """What one file gave: whether the window's beginning was reached, the mark met, and the limit hit before."""

    lines: list[Line]
    bytes: int
    last_at: float | None
    reached: bool
    marked: bool
    cut: bool


def _read(path: str, since: float, deadline: Deadline, mark: Callable[[str], bool] | None, most: int) -> _Part:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise CannotLook(Gap("failed", f"{path} is no regular file", "give a log file: --log PATH"))
        lines: Iterable[bytes]
        if path.endswith(".gz"):
            lines, cut = _unpacked(path, fd, deadline, most)
        else:
            lines, cut = backwards(fd, about.st_size, most=most), about.st_size > most
        return _window(lines, about.st_mtime, since, deadline, mark, cut)
    finally:
        os.close(fd)


def _window(
    newest_first: Iterable[bytes], written_at: float, since: float, deadline: Deadline,
    mark: Callable[[str], bool] | None, cut: bool,
) -> _Part:  # fmt: skip
    """Lines, the last one first, until the window and the mark are behind us; then each with its time."""
    stamps, shift = Stamps(time.time()), None
    taken, last_at, reached, marked = 0, None, False, mark is None
    lines: list[tuple[float | None, str]] = []
    for number, raw in enumerate(newest_first):
        if number % 256 == 0:
            deadline.left()
        line, own = text(raw), None
        if (found := stamps.of(raw[:LINE])) is not None:
            if shift is None and not found.zoned:
                shift = zone_shift(found.at, written_at)
            own = found.at if found.zoned else found.at + (shift or 0.0)
            last_at = own if last_at is None else last_at
        old = own is not None and own < since
        if old and marked:
            reached = True
            break
        taken += len(raw) + 1
        lines.append((own, line))
        marked = marked or (mark is not None and mark(line))
        if old and marked:
            reached = True
            break
    if last_at is None and written_at < since and mark is None:
        return _Part([], taken, None, True, marked, False)  # no line tells a time, and none was written since
    while reached and lines and lines[-1][0] is None:
        lines.pop()  # it belongs to the line before the window
    at, kept = None, []
    for own, line in reversed(lines):
        at = at if own is None else own
        kept.append(Line(at, line))
    return _Part(kept, taken, last_at, reached, marked, cut and not reached)


def _rotated(path: str, since: float) -> Iterator[str]:
    """The log's predecessor, as log rotation names it, if it was written inside the window."""
    names = [f"{path}.1", f"{path}.1.gz", f"{path}.0", f"{path}-old", *sorted(glob(f"{path}-20[0-9]*"), reverse=True)]
    for name in names:
        if os.path.isfile(name) and os.stat(name).st_mtime >= since:
            yield name
            return


def _unpacked(path: str, fd: int, deadline: Deadline, most: int) -> tuple[list[bytes], bool]:
    """The lines in the last `most` bytes of a packed log, the last one first; and whether there was more before."""
    import gzip
    from zlib import error as broken

    data, done = b"", 0
    with os.fdopen(os.dup(fd), "rb") as raw, gzip.open(raw) as packed:
        try:
            while done < _UNPACKED and (part := packed.read(1 << 20)):
                deadline.left()
                done += len(part)
                data = (data + part)[-most:]
        except (EOFError, gzip.BadGzipFile, broken) as error:
            raise CannotLook(Gap("failed", f"{path} cannot be unpacked: {error}")) from error
    lines = data.removesuffix(b"\n").split(b"\n")
    return lines[:0:-1] if done > len(data) else lines[::-1], done > len(data)


# The journal.

# What the journal may say, and how long we listen.
_JOURNAL_BYTES, _PATIENCE = 4 << 20, 3.0


def journal(unit: str, since: float, deadline: Deadline, lines: int = 0) -> Extract:
    """What a unit wrote to the journal since then, or its last `lines` records whenever they were.

    Raises CannotLook where there is no journal or it is not ours to read.
    """
    from rbdiag.collect import programs

    program = programs.find("journalctl")
    if program is None or not os.path.isdir("/run/systemd/journal"):
        raise CannotLook(Gap("missing", "there is no journal here", "give the log file: --log PATH"))
    which = ["-n", str(lines)] if lines else ["--since", f"@{since:.0f}"]
    # --all: without it a long message comes as null
    argv = [program, "-u", unit, "-o", "json", "--all", "--no-pager", "-q", "--reverse", *which]
    done = programs.call(argv, deadline, at_most=_PATIENCE, max_bytes=_JOURNAL_BYTES)
    if done.status != 0 and not done.cut:
        why = done.stderr.decode(errors="replace").strip()[:200]
        raise CannotLook(Gap("failed", f"journalctl ended with {done.status}: {why}", "run as root"))
    found = list(parse_journal(done.stdout))
    return Extract(f"journal of {unit}", found, len(done.stdout), done.cut, found[-1].at if found else None)


def parse_journal(data: bytes) -> Iterator[Line]:
    """Lines of `journalctl -o json --reverse`, put right again. A message that is no clean text comes as a list of its
    bytes, a repeated field as a list of texts. A record that was cut off is left out."""
    import json

    for record in reversed(data.split(b"\n")):
        try:
            fields = json.loads(record)
            at = int(fields["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            continue  # an empty line, or the one that the limit cut
        message = fields.get("MESSAGE")
        if isinstance(message, list):
            whole = all(isinstance(byte, int) for byte in message)
            message = text(bytes(message)) if whole else " ".join(str(part) for part in message)
        for line in str(message or "").split("\n"):
            if line:
                yield Line(at, line[:_LINE])

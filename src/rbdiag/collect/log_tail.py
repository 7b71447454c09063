"""Following logs as they are written, through every kind of rotation.

A look compares what is there with what was given out before, as a run with --new-only does with the last run. So
renaming, copying and packing, truncation, and a new file at the same path need no case of their own.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rbdiag.collect import log_marks, log_streams, log_unpack
from rbdiag.collect.log_parts import Part
from rbdiag.collect.log_sources import distinct, parts_of
from rbdiag.collect.log_wanted import Source, Wanted, gap_of, sources
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook, Gap

if TYPE_CHECKING:
    from subprocess import Popen

# Seconds between two looks, and between two listings of what a glob, a unit or a process names.
EVERY, _LISTED = 0.2, 1.0
# After a rotation the old file is looked at for so long: its writer goes on with it until it opens the new one.
_DRAIN = 10.0
# A longer line comes in pieces of this size; and at one look come about so many bytes.
PIECE, _AT_ONCE = 64 << 10, 4 << 20
_BLOCK = 256 << 10
# One look may take so long, and of a glob so many logs are followed.
_PATIENCE, _LOGS = 5.0, 1000
# Times of change are as coarse as the kernel's tick.
_COARSE = 0.1


class Tail:
    """Lines as they are written: (name of the log, the line with its newline).

    What does not end with a newline goes on in the next piece: of a line longer than PIECE, or one that has not been
    finished for seconds. What was written before is left out. Files that are not there yet are waited for. `gaps`
    holds what cannot be followed; whoever tells them takes them out.
    """

    def __init__(self, wanted: Wanted | Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self.gaps: list[Gap] = []
        self._wanted = wanted if isinstance(wanted, Wanted) else Wanted(tuple(wanted))
        self._clock = clock
        self._began = clock() - _COARSE
        self._listed = 0.0
        self._logs: dict[str, _Files | _Stream | _Journal] = {}
        self._list(first=True)

    def poll(self) -> list[tuple[str, bytes]]:
        """The lines that came since the last call; it never waits for one."""
        if time.monotonic() - self._listed >= _LISTED:
            self._list(first=False)
        lines: list[tuple[str, bytes]] = []
        for name, log in self._logs.items():
            try:
                lines += [(name, line) for line in log.poll()]
            except (CannotLook, OutOfTime, OSError):
                continue  # between two files, or not answering: the next look finds what came meanwhile
        return lines

    def follow(
        self, every: float = EVERY, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[list[tuple[str, bytes]]]:
        """What came, look after look, be it nothing; until `stop` says so, or nothing can come any more."""
        while not stop():
            lines = self.poll()
            yield lines
            if self._logs and all(log.ended for log in self._logs.values()):
                return
            if not lines:
                time.sleep(every)

    def close(self) -> None:
        """Let go of files and programs."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list(self, *, first: bool) -> None:
        """See which logs there are by now. Those of the first time are followed from their end."""
        self._listed = time.monotonic()
        for source in sources(self._wanted, Deadline(_PATIENCE), _LOGS):
            if isinstance(source, Gap):
                self.gaps += [source] if first else []
            elif source.name not in self._logs:
                try:
                    self._logs[source.name] = self._followed(source, first)
                except (CannotLook, OutOfTime, OSError) as error:
                    self.gaps += [gap_of(source.name, error)] if first else []

    def _followed(self, source: Source, first: bool) -> _Files | _Stream | _Journal:
        if source.journal:
            return _Journal(source, self._began, self.gaps)
        if not source.key:
            return _Stream(0 if source.paths[0] in ("-", "/dev/stdin") else int(source.paths[0].rpartition("/")[2]))
        files = _Files(source, self._began, self._clock)
        if first:
            try:
                files.skip()
            except FileNotFoundError:
                self.gaps.append(Gap("missing", f"{source.name} is not there yet", "ls -l the folder"))
        return files


class _Files:
    """A log in files."""

    ended = False

    def __init__(self, source: Source, began: float, clock: Callable[[], float]) -> None:
        self._source, self._clock = source, clock
        self._told = log_marks.Told(began)
        self._seen: tuple[int, ...] = ()
        self._drain = 0.0
        self._coming: Iterator[bytes] = iter(())
        self._open: list[Part] = []

    def skip(self) -> None:
        """Leave out what is there already, but for a line that is not yet ended."""
        self._seen = _about(self._source.paths[0])
        parts = self._parts()
        self._told = log_marks.news(None, parts, self._clock()).told
        for part in parts:
            part.close()

    def poll(self) -> list[bytes]:
        lines = self._take()
        if not lines:  # nothing was left of the last look
            self._look()
            lines = self._take()
        return lines

    def _take(self) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while size < _AT_ONCE and (line := next(self._coming, None)) is not None:
            lines.append(line)
            size += len(line)
        return lines

    def _look(self) -> None:
        """See what is new, if anything can be."""
        about = _about(self._source.paths[0])
        unfinished = self._told.marks and self._told.marks[-1].offset < self._told.marks[-1].seen
        # While the new file is empty, the old one may still be written.
        if about and about[2] and about == self._seen and time.monotonic() > self._drain and not unfinished:
            return
        if about[:2] != self._seen[:2]:
            self._drain = time.monotonic() + _DRAIN
        parts = self._parts()
        news = log_marks.news(self._told, parts, self._clock())
        self._told, self._seen = news.told, about
        self.close()
        self._open = [*news.parts]
        first, offset = news.new_from or (0, 0)
        self._coming = _lines(news.parts[first:], offset)

    def _parts(self) -> list[Part]:
        found, gaps = parts_of(self._source, self._told.at, Deadline(_PATIENCE), [log_unpack.KEEP], patience=0.0)
        if late := [gap for gap in gaps if gap.reason == "deadline"]:
            for part in found:
                part.close()
            raise CannotLook(late[0])  # the next look may have the time
        return distinct([part for part in found if part.size])

    def close(self) -> None:
        for part in self._open:
            part.close()
        self._open = []
        self._coming = iter(())


def _about(path: str) -> tuple[int, ...]:
    """(device, inode, size, time of change) of a file; nothing where there is none."""
    try:
        about = os.stat(path)
    except OSError:
        return ()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


class _Splitter:
    """Blocks into lines. What does not end with a newline is kept, or given out in pieces where it is too long."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            for start in range(0, max(1, len(line)), PIECE):
                yield line[start : start + PIECE] + (b"\n" if start + PIECE >= len(line) else b"")
        while len(self._rest) > PIECE:
            yield self._rest[:PIECE]
            self._rest = self._rest[PIECE:]

    def flush(self, end: bytes = b"") -> Iterator[bytes]:
        if self._rest:
            yield self._rest + end
        self._rest = b""


def _lines(parts: Sequence[Part], offset: int) -> Iterator[bytes]:
    """The lines from there to the end of all parts. A part that others follow ends the line that it ends with."""
    for number, part in enumerate(parts):
        split = _Splitter()
        while block := part.read(offset, _BLOCK):
            offset += len(block)
            yield from split.feed(block)
        yield from split.flush(b"\n" if number < len(parts) - 1 else b"")
        offset = 0


class _Stream:
    """Standard input: all that comes from a pipe; of a file what is written to it from now on."""

    def __init__(self, fd: int) -> None:
        about = os.fstat(fd)
        self._regular = stat.S_ISREG(about.st_mode)
        if os.isatty(fd) or stat.S_ISDIR(about.st_mode):
            raise CannotLook(Gap("skipped", "standard input is a terminal", "pipe a log into it: … | rbdiag logs -f -"))
        if self._regular:
            os.lseek(fd, 0, os.SEEK_END)
        self._fd = fd
        self._split = _Splitter()
        self.ended = False

    def poll(self) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while size < _AT_ONCE and not self.ended and log_streams.is_ready(self._fd, 0.0):
            block = os.read(self._fd, _BLOCK)
            lines += self._split.feed(block)
            size += len(block)
            if not block:
                self.ended = not self._regular
                lines += self._split.flush() if self.ended else ()
                break
        return lines

    def close(self) -> None:
        """It is not ours to close."""


class _Journal:
    """What comes to the journal, from a journalctl that is ended with us."""

    def __init__(self, source: Source, began: float, gaps: list[Gap]) -> None:
        from rbdiag.collect import programs

        argv = [*log_streams.journalctl(), *source.journal, "--follow", "--no-tail", "--since", f"@{int(began)}"]
        self._name, self._began, self._gaps = source.name, began, gaps
        self._child: Popen[bytes] = programs.begin(argv, Deadline(_PATIENCE))
        assert self._child.stdout
        os.set_blocking(self._child.stdout.fileno(), False)
        self._rest = b""
        self.ended = False

    def poll(self) -> list[bytes]:
        assert self._child.stdout
        size = 0
        while size < _AT_ONCE and not self.ended:
            try:
                block = os.read(self._child.stdout.fileno(), _BLOCK)
            except BlockingIOError:
                break
            if not block:
                self.ended = True
                self._gaps.append(Gap("failed", f"the {self._name} cannot be followed any more", "start it again"))
            size += len(block)
            self._rest += block
        *lines, self._rest = self._rest.split(b"\n")
        split = _Splitter()
        found = (record.line for record in log_streams.records(lines) if record.at >= self._began)
        return [piece for line in found for piece in split.feed(line)]

    def close(self) -> None:
        from rbdiag.collect import programs

        if self._child.stdout and not self._child.stdout.closed:
            programs.end(self._child)
        self.ended = True

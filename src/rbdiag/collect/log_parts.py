"""The pieces a log is made of: files that may be rotated while we read them, unpacked archives, streams.

A part is frozen at the size it had when it was opened. Its file may be renamed or deleted meanwhile, for we hold it
open; it may be copied and emptied (logrotate's copytruncate), and then we go on in the copy.
"""

from __future__ import annotations

import os
import stat
import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from rbdiag.collect import log_siblings
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap

# So many first bytes tell one log from another: the time of the first line is among them.
HEAD = 1024
# How long we look for the copy of a file that was emptied while we read it (it may have to be unpacked).
_PATIENCE = 2.0
_BLOCK = 1 << 20


class Part(ABC):
    """One piece of a log that can be read at any place.

    `size` is in bytes; `written_at` the time of the last change, None for a stream. `dropped` bytes before the
    beginning were left out because only so much is kept; `lost` bytes were taken away by the writer while we read.
    `head` are the first bytes of the whole (before anything was dropped), `inode` is (device, inode) of its file.
    """

    dropped: int = 0
    lost: int = 0

    def __init__(
        self, name: str, size: int, written_at: float | None, head: bytes = b"", inode: tuple[int, int] = (0, 0)
    ) -> None:
        self.name, self.size, self.written_at, self.head, self.inode = name, size, written_at, head, inode

    @abstractmethod
    def read(self, start: int, length: int) -> bytes:
        """So many bytes from there; fewer only at the end, or where the writer took them away."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds; it cannot be read any more."""


class Kept(Part):
    """A part whose bytes are in memory, as they came: unpacked, decoded, or read from a stream or the journal."""

    def __init__(
        self, name: str, data: bytes | Iterable[bytes | bytearray], written_at: float | None = None, *,
        dropped: int = 0, head: bytes | None = None, inode: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        self._blocks = [data] if isinstance(data, bytes) else list(data)
        *self._starts, size = accumulate(map(len, self._blocks), initial=0)
        super().__init__(name, size, written_at, b"", inode)
        self.head = self.read(0, HEAD) if head is None else head
        self.dropped = dropped

    def read(self, start: int, length: int) -> bytes:
        end = min(start + length, self.size)
        number = bisect_right(self._starts, start) - 1
        pieces = []
        while 0 <= start < end and self._blocks:
            begin = start - self._starts[number]
            pieces.append(bytes(self._blocks[number][begin : begin + end - start]))
            start += len(pieces[-1])
            number += 1
        return b"".join(pieces)

    def close(self) -> None:
        self._blocks = []


class Piece(Part):
    """A stretch of another part, from `start` up to `end`."""

    def __init__(self, whole: Part, start: int, end: int) -> None:
        super().__init__(whole.name, end - start, whole.written_at, whole.head, whole.inode)
        self.dropped = whole.dropped if start == 0 else 0
        self._whole, self._start = whole, start

    def read(self, start: int, length: int) -> bytes:
        return self._whole.read(self._start + start, min(length, self.size - start)) if start < self.size else b""

    def close(self) -> None:
        self._whole.close()


class File(Part):
    """A regular file held open. Raises OSError where it cannot be opened, CannotLook where it is no regular file.

    `name` is what it is called where that is not its path.
    """

    def __init__(self, path: str, name: str = "", fd: int | None = None) -> None:
        self.path = path
        self._fd = opened(path) if fd is None else fd
        self._copy: Part | None = None
        self._lock = threading.Lock()
        try:
            about = os.fstat(self._fd)
            if reason := no_file(path, about):
                raise CannotLook(reason)
            head = pread(self._fd, 0, min(HEAD, about.st_size))
        except BaseException:
            os.close(self._fd)
            raise
        super().__init__(name or path, about.st_size, about.st_mtime, head, (about.st_dev, about.st_ino))

    def fileno(self) -> int:
        return self._fd

    def read(self, start: int, length: int) -> bytes:
        length = min(length, self.size - start)
        if start < 0 or length <= 0:
            return b""
        if self._copy is None:
            data = pread(self._fd, start, length)
            # Asked after the read: what still begins as it did was not emptied before.
            if len(data) == length and self.same():
                return data
            with self._lock:
                self._copy = self._copy or self._find_copy() or Kept(self.name, (), dropped=self.size)
        data = self._copy.read(start - self._copy.dropped, length)
        self.lost += length - len(data)
        return data

    def same(self) -> bool:
        """Whether the file still holds what it held when it was opened (it may have grown)."""
        return os.fstat(self._fd).st_size >= self.size and pread(self._fd, 0, len(self.head)) == self.head

    def _find_copy(self) -> Part | None:
        """The sibling that holds what this file held before it was emptied."""
        deadline = Deadline(_PATIENCE)
        for sibling in reversed(log_siblings.beside(self.path)):
            try:
                copy: Part = File(sibling.path)
            except (OSError, CannotLook):
                continue  # gone or no file: then it is not the copy we look for
            if copy.inode != self.inode:
                from rbdiag.collect import log_unpack

                copy = log_unpack.readable(copy, deadline)[0] or copy
                if copy.head[: len(self.head)] == self.head and copy.dropped + copy.size >= self.size:
                    return copy
            copy.close()
        return None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._copy is not None:
            self._copy.close()


def opened(path: str) -> int:
    """A file descriptor to read from; whatever the path is, opening it neither waits nor becomes our terminal."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def pread(fd: int, start: int, length: int) -> bytes:
    """So many bytes from there, fewer only where the file ends."""
    data = os.pread(fd, length, start)
    while len(data) < length and (more := os.pread(fd, length - len(data), start + len(data))):
        data += more
    return data


def no_file(path: str, about: os.stat_result) -> Gap | None:
    """Why this is nothing that a program writes a log into; None where it is a regular file."""
    mode = about.st_mode
    if stat.S_ISDIR(mode):
        return Gap("failed", f"{path} is a directory", f"name the files in it: '{path.rstrip('/')}/*.log'")
    if stat.S_ISFIFO(mode):
        return Gap(
            "failed",
            f"{path} is a pipe: what we read from it, its reader would miss",
            "name the file that one writes",
        )
    if stat.S_ISSOCK(mode):
        return Gap("failed", f"{path} is a socket", "name the file or unit that its reader writes to")
    if not stat.S_ISREG(mode):
        return Gap("failed", f"{path} is a device", "name a file")
    if about.st_dev in _kernel_views():
        return Gap("failed", f"{path} is a view of the kernel, no log", "name a file, or pipe it in: rbdiag logs -")
    return None


def _kernel_views() -> Iterator[int]:
    """The devices whose files the kernel makes up; some of them would wait for us, or be emptied by us."""
    root = os.stat("/").st_dev
    for view in ("/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing"):
        try:
            device = os.stat(view).st_dev
        except OSError:
            continue  # not mounted, or not ours to see: then no path leads there
        if device != root:
            yield device

"""A program that writes numbered lines into a log, in a process of its own, and the log rotation that works on it."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import IO

# Writes about 10,000 lines a second; obeys words on its standard input and answers each.
_WRITER = r"""
import os, select, sys, time
path, rate = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number, going, begin, base = 0, False, 0.0, 0
while True:
    if select.select([0], [], [], 0.002 if going else None)[0]:
        word = sys.stdin.readline().strip()
        if word == "go":
            going, begin, base = True, time.monotonic(), number
        elif word == "pause":
            going = False
        elif word == "reopen":
            os.close(fd)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        print(number, flush=True)
        if word in ("stop", ""):
            break
    if going:
        due = base + int((time.monotonic() - begin) * rate)
        while number < due:
            count = min(200, due - number)
            os.write(fd, b"".join(b"2026-11-23T08:00:00Z line %08d\n" % n for n in range(number, number + count)))
            number += count
"""


class Writer:
    """The writing process. `number` lines were written when it answered last."""

    def __init__(self, path: Path, rate: int = 10_000) -> None:
        self.path, self.number = path, 0
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _WRITER, str(path), str(rate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, word: str) -> int:
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None
        assert answers is not None
        to.write(word + "\n")
        to.flush()
        self.number = int(answers.readline())
        return self.number

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(10)


def shift(path: Path) -> None:
    """As logrotate does before it rotates: `.1` becomes `.2`, and so on; packed ones stay packed."""
    for number in range(200, 0, -1):
        for end in ("", ".gz"):
            old = path.with_name(f"{path.name}.{number}{end}")
            if old.exists():
                old.rename(path.with_name(f"{path.name}.{number + 1}{end}"))


def rename(path: Path, writer: Writer | None = None) -> None:
    """Rotation by renaming: the writer goes on in the old file until it opens the new one."""
    shift(path)
    path.rename(path.with_name(f"{path.name}.1"))
    path.touch()
    if writer:
        writer.tell("reopen")


def copytruncate(path: Path, writer: Writer | None = None) -> None:
    """Rotation by copying. The writer pauses, for what is written between copying and emptying would be lost by it."""
    if writer:
        writer.tell("pause")
    shift(path)
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    if writer:
        writer.tell("go")


def compress(path: Path, number: int = 2) -> None:
    """Pack one of the rotated files, as gzip does: it keeps the time of change, and removes the file at the end."""
    old = path.with_name(f"{path.name}.{number}")
    if not old.exists():
        return
    packed = old.with_name(f"{old.name}.gz")
    about = old.stat()
    with (
        open(old, "rb") as whole,
        open(packed, "wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as to,
    ):
        shutil.copyfileobj(whole, to)
    os.utime(packed, ns=(about.st_atime_ns, about.st_mtime_ns))
    old.unlink()


def numbers(lines: Iterable[bytes] | IO[bytes]) -> list[int]:
    """The numbers of the lines, which must be whole."""
    found = []
    for line in lines:
        begin, _, number = line.rstrip(b"\n").rpartition(b" ")
        assert begin == b"2026-11-23T08:00:00Z line", line
        assert len(number) == 8, line
        found.append(int(number))
    return found


@contextmanager
def rotated(path: Path, writer: Writer, seed: int) -> Iterator[None]:
    """Let it write, and meanwhile rotate in both ways and pack, every tenth of a second or so."""
    chance, over = Random(seed), Event()

    def work() -> None:
        while not over.wait(chance.random() * 0.2):
            chance.choice([rename, copytruncate])(path, writer)
            if chance.random() < 0.7:
                compress(path, chance.choice([1, 2, 3]))

    writer.tell("go")
    worker = Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
        writer.tell("pause")

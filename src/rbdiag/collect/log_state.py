"""What was already reported of each log, so that a run by cron tells only what is new.

Each log has a file and a lock of its own in the state directory. The file is written before the report and put in its
place after it, so that a run that ends in between repeats lines and loses none.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from typing import Any

from rbdiag.collect.log_marks import Mark, Told, news
from rbdiag.collect.log_parts import HEAD, Part
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap

_VERSION = 1
_MAX_STATE = 1 << 16
# Which part of the time left we wait for another run with the same log, and how often we look.
_WAIT, _LOOK = 0.5, 0.02


class State:
    """The positions in the logs of one run. Others with the same logs wait until `close` (or the end of the process).

    Where it cannot be kept that is in `gaps`, and all that the window holds is told.
    """

    def __init__(self, directory: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        self.gaps: list[Gap] = []
        self._directory = os.fspath(directory)
        self._clock = clock
        self._usable: bool | None = None
        self._locks: list[int] = []
        self._told: dict[str, Told | None] = {}
        self._next: dict[str, Told] = {}
        self._written: dict[str, str] = {}

    def take(self, key: str, deadline: Deadline) -> None:
        """Have this log to ourselves. Take them in the order of their keys, or two runs may wait for each other.

        Raises CannotLook where another run has it and does not end in time.
        """
        if self._usable is None:
            self._usable = self._prepare_directory()
        if key in self._told or not self._usable:
            return
        path = self._path(key)
        try:
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            self._say(key, f"its lock cannot be had: {error.strerror}")
            return
        self._locks.append(lock)
        try:
            _lock(lock, key, deadline)
        except OSError as error:
            self._say(key, f"its lock cannot be had: {error.strerror}")  # not every file system has locks
            return
        try:
            self._told[key] = _load(f"{path}.json", key)
        except _Unusable as error:
            self._say(key, str(error))
            if error.ours:
                self._told[key] = None

    def told(self, key: str) -> Told | None:
        """What the last run left of this log, None where there was none."""
        return self._told.get(key)

    def news(
        self, key: str, parts: Sequence[Part], *, whole: bool = True
    ) -> tuple[tuple[Part, ...], tuple[int, int] | None]:
        """The parts, up to where they are told now, and where among them begins what is new; None in the first run.

        Where they are not `whole`, because there was no time for one of them, the next run tells them again.
        """
        found = news(self.told(key), parts, self._clock())
        if key in self._told and whole:
            self._next[key] = found.told
        return found.parts, found.new_from

    def news_of_journal(self, key: str, cursor: str, at: float) -> None:
        """Keep how far the journal was told."""
        if key in self._told and cursor:
            self._next[key] = Told(at, (), cursor)

    def prepare(self) -> None:
        """Write down where we are, beside what the last run left. What hinders that is added to `gaps`."""
        for key, told in self._next.items():
            path = f"{self._path(key)}.json"
            try:
                _write(f"{path}.new", key, told)
                self._written[f"{path}.new"] = path
            except OSError as error:
                self._say(key, f"it cannot be written: {error.strerror}")
        self._next.clear()

    def commit(self) -> Gap | None:
        """Let it count: the report was delivered. A gap where it could not be done, so that lines will be repeated."""
        gap = None
        try:
            for new, path in self._written.items():
                os.rename(new, path)
            if self._written:
                _sync(self._directory)
        except OSError as error:
            why = f"what was told cannot be kept in {self._directory}: {error.strerror}"
            gap = Gap("failed", why, "lines of this run will be told again")
        self._written.clear()
        return gap

    def close(self) -> None:
        """Let the other runs go on."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()
        self._told.clear()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, key: str) -> str:
        from hashlib import sha256

        return os.path.join(self._directory, sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24])

    def _say(self, key: str, why: str) -> None:
        self.gaps.append(Gap("failed", f"what was told of {key} is not known: {why}", f"see {self._directory}"))

    def _prepare_directory(self) -> bool:
        """Whether it is there, and nobody else's to write to."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            about = os.stat(self._directory)
        except OSError as error:
            why = f"nothing can be kept in {self._directory}: {error.strerror}"
            forbidden = isinstance(error, PermissionError)
            self.gaps.append(Gap("forbidden" if forbidden else "failed", why, "set XDG_STATE_HOME"))
            return False
        if about.st_uid not in (0, os.geteuid()) or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.gaps.append(
                Gap("failed", f"others may write to {self._directory}", f"chmod go-w {self._directory}, or own it")
            )
            return False
        return True


# Files.


class _Unusable(Exception):
    """A state that cannot be used; `ours` says that it may be replaced."""

    def __init__(self, why: str, *, ours: bool = True) -> None:
        super().__init__(why)
        self.ours = ours


def _lock(fd: int, key: str, deadline: Deadline) -> None:
    import fcntl

    end = time.monotonic() + deadline.left() * _WAIT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise CannotLook(
                    Gap("deadline", f"another run has {key} in hand", "wait for it to end, or let it start later")
                ) from None
            time.sleep(_LOOK)
        else:
            return


def _load(path: str, key: str) -> Told | None:
    """What was kept; None for nothing. Raises _Unusable."""
    import json

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror}") from error
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid not in (0, os.geteuid()) or about.st_size > _MAX_STATE:
            raise _Unusable("somebody else made it")
        data = os.read(fd, _MAX_STATE)
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    try:
        kept = json.loads(data)
        if kept["version"] > _VERSION:
            raise _Unusable("a newer rbdiag made it", ours=False)
        marks = tuple(_checked(mark) for mark in kept["marks"])
        return Told(float(kept["at"]), marks, str(kept["cursor"]))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise _Unusable("it is damaged") from error


def _checked(values: Any) -> Mark:
    """A mark as it was kept. Raises ValueError or TypeError where it is none."""
    mark = Mark(*values)
    numbers = (mark.offset, mark.seen, mark.head_length, mark.tail_length)
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise ValueError("no number")
    if not (0 < mark.head_length <= HEAD and mark.tail_length <= min(HEAD, mark.offset)):
        raise ValueError("no length")
    if not all(re.fullmatch("[0-9a-f]{64}", text) for text in (mark.head, mark.tail)):
        raise ValueError("no fingerprint")
    return mark


def _write(path: str, key: str, told: Told) -> None:
    import json
    from contextlib import suppress

    content = {"version": _VERSION, "log": key, "at": told.at, "cursor": told.cursor, "marks": told.marks}
    with suppress(FileNotFoundError):
        os.unlink(path)  # of a run that was ended before its report was delivered
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(fd)


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Calling other programs: the one place that does, so that none outlives its deadline or rbdiag itself."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.deadline import Deadline, OutOfTime

if TYPE_CHECKING:
    from subprocess import Popen

# Where cron's PATH does not look, but Debian keeps tools that read only.
_MORE = ("/usr/sbin", "/sbin", "/usr/local/sbin")
# Words are parsed, so they must be the same everywhere. No program may ask the network for debug symbols (perf and
# gdb do where the distribution sets a server), nor print a stack trace of its own (py-spy).
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "DEBUGINFOD_URLS": "", "RUST_BACKTRACE": "0"}
MAX_BYTES = 16 << 20
_MAX_ERROR_BYTES = 64 << 10
# How long a look takes at whether the program has ended: while it can speak, and after it closed its outputs.
_LOOK, _LOOK_CLOSED = 0.05, 0.002
# A killed program is gone at once, unless it hangs in the kernel; that one cannot be waited for.
_BURY = 0.2

# Group leaders that were started and not yet reaped: while a pid is here it cannot be anybody else's.
_live: set[int] = set()
_lock = threading.Lock()


class Completed(NamedTuple):
    """What a program said and how it ended: its exit status, or minus the signal that ended it.

    `cut` says that it had more to say than was allowed, and was stopped there.
    """

    stdout: bytes
    stderr: bytes
    status: int
    cut: bool = False


def find(name: str, more: Iterable[str] = ()) -> str | None:
    """The program's absolute path: from PATH, the system folders, our interpreter's own folder, then `more`.

    Relative entries of PATH are left out: a root shell's current folder is nobody's to run programs from.
    """
    own = os.path.dirname(sys.executable or "")
    for folder in (*os.environ.get("PATH", os.defpath).split(os.pathsep), *_MORE, own, *more):
        path = os.path.join(folder, name)
        if os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def call(
    argv: Sequence[str],
    deadline: Deadline,
    *,
    at_most: float | None = None,
    interrupt_after: float | None = None,
    pass_fds: Sequence[int] = (),
    max_bytes: int = MAX_BYTES,
) -> Completed:
    """Run a program to its end, with no input, in a process group of its own.

    When the deadline (or `at_most` seconds) is reached the whole group is killed and OutOfTime raised; the same
    when `stop_all` came first. `interrupt_after` seconds it is sent SIGINT, which tells a profiler to stop and write.
    Whatever it leaves behind in its group when it ends is killed too.
    Raises FileNotFoundError or PermissionError where it cannot be started.
    """
    end = time.monotonic() + deadline.left(at_most)
    child = _start(argv, pass_fds, deadline)
    try:
        stdout, stderr, cut = _listen(child, end, interrupt_after, max_bytes)
    finally:
        stopped = not _bury(child)
    if stopped:
        raise OutOfTime
    return Completed(stdout, stderr, child.returncode, cut)


def begin(argv: Sequence[str], deadline: Deadline) -> Popen[bytes]:
    """Start a program that goes on, with no input, until `end` or `stop_all`; what it complains of is lost.

    Raises FileNotFoundError or PermissionError where it cannot be started.
    """
    from subprocess import DEVNULL

    return _start(argv, (), deadline, errors=DEVNULL)


def end(child: Popen[bytes]) -> None:
    """Kill what was begun, and what it started, wherever it is by now."""
    try:
        _bury(child)
    except OutOfTime:
        return  # it hangs in the kernel, and ends as soon as that lets it


def stop_all() -> None:
    """Kill every program that still runs. Whoever waits for one gets OutOfTime."""
    with _alone():
        for pid in tuple(_live):
            _live.discard(pid)
            _kill_group(pid)


# Checks run in daemon threads: nobody else would end their programs when the interpreter goes.
atexit.register(stop_all)


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock, but do not wait for it long: a start that hangs (a program on a dead network share) must not keep
    the others from being killed."""
    held = _lock.acquire(timeout=_BURY)
    try:
        yield
    finally:
        if held:
            _lock.release()


def _start(
    argv: Sequence[str], pass_fds: Sequence[int], deadline: Deadline, errors: int | None = None
) -> Popen[bytes]:  # fmt: skip
    from subprocess import DEVNULL, PIPE, Popen

    if not _lock.acquire(timeout=deadline.left()):
        raise OutOfTime
    try:
        child = Popen(
            list(argv), stdin=DEVNULL, stdout=PIPE, stderr=PIPE if errors is None else errors, bufsize=0,
            start_new_session=True, pass_fds=tuple(pass_fds), env=os.environ | _ENVIRONMENT,
        )  # fmt: skip
        _live.add(child.pid)
        return child
    finally:
        _lock.release()


def _listen(
    child: Popen[bytes], end: float, interrupt_after: float | None, max_bytes: int
) -> tuple[bytes, bytes, bool]:
    """Everything the program says until it has ended. Raises OutOfTime at `end` (monotonic)."""
    from selectors import EVENT_READ, DefaultSelector

    interrupt = None if interrupt_after is None else time.monotonic() + interrupt_after
    said, complained = bytearray(), bytearray()
    with DefaultSelector() as ready:
        ready.register(child.stdout, EVENT_READ, said)  # type: ignore[arg-type]  # it is a pipe, as asked for
        ready.register(child.stderr, EVENT_READ, complained)  # type: ignore[arg-type]
        while True:
            # Asked before the pipes are looked at: then nothing it wrote can be missed.
            ended = _has_ended(child.pid)
            now = time.monotonic()
            if now >= end and not ended:
                raise OutOfTime
            if interrupt is not None and now >= interrupt:
                child.send_signal(signal.SIGINT)
                interrupt = None
            look = _LOOK if ready.get_map() else _LOOK_CLOSED
            wait = 0.0 if ended else max(0.0, min(look, end - now, (interrupt or end) - now))
            events = ready.select(wait)
            for key, _ in events:
                data = os.read(key.fd, 65536)
                if not data:
                    ready.unregister(key.fileobj)
                key.data.extend(data)
            del complained[_MAX_ERROR_BYTES:]
            if len(said) > max_bytes:
                return bytes(said[:max_bytes]), bytes(complained), True
            if ended and not events:
                return bytes(said), bytes(complained), False


def _has_ended(pid: int) -> bool:
    """Whether our child has ended, without reaping it: its pid stays reserved, so its group can be killed safely."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # we were started with SIGCHLD ignored, so the kernel reaped it


def _bury(child: Popen[bytes]) -> bool:
    """Kill what is left of the group, then reap the leader. False where `stop_all` had been there before."""
    from subprocess import TimeoutExpired

    with _alone():
        ours = child.pid in _live
        _kill_group(child.pid)
        _live.discard(child.pid)
    for stream in (child.stdout, child.stderr):
        if stream:
            stream.close()
    try:
        child.wait(_BURY)
    except TimeoutExpired:
        raise OutOfTime from None
    return ours


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # all have ended, or changed to a user we may not signal: there is nothing we could do

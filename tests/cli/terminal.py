"""A real terminal for the tests: a program on a pseudo-terminal, its keys and its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Sequence
from types import TracebackType


class Terminal:
    """A program whose standard streams are one terminal of 80 columns."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], columns: int = 80) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
            os.execvpe(argv[0], list(argv), env)
        self.seen = ""
        self._status: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.close(self._master)  # the program gets SIGHUP
        if self._status is None:
            os.waitpid(self.pid, 0)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, text: str, seconds: float = 20) -> str:
        """Everything written since the last call, up to where the text stands."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} never came; instead: {self.seen!r}")
        seen, self.seen = self.seen.split(text, 1)
        return seen + text

    def wait(self) -> tuple[str, int]:
        """Everything still written, and the exit status."""
        while self._read(20):
            pass
        _, status = os.waitpid(self.pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self.seen, self._status

    def _read(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

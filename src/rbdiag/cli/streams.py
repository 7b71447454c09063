"""Standard output and standard error, and the exit statuses. Imports nothing heavy: the fast answers use it too.

Text goes to the descriptor at once, past Python's buffers: what fails there fails here, where it can be told, and
not once more when the interpreter ends.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

UNKNOWN = 3
USAGE = 64
BUG = 70
SETTINGS = 78
INTERRUPTED = 130


class Stop(Exception):
    """The command ends here, with this sentence for a person and this exit status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def write(text: str) -> bool:
    """Write to standard output. A reader that has gone away had enough, so a closed pipe is no error, only False.

    Raises OSError for what is: a full disk, a stream that was closed from the start.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        _write(1, text.encode(sys.stdout.encoding, "backslashreplace"))
    except BrokenPipeError:
        return False
    return True


def deliver(text: str, status: int = 0, on_written: Callable[[], None] = lambda: None) -> int:
    """Write text that goes with this exit status, and return the status: unknown where ok could not be told.

    `on_written` is called where somebody took all of it.
    """
    try:
        written = write(text)
    except OSError as error:
        say(f"cannot write to standard output: {error.strerror}")
        return status or UNKNOWN
    if written:
        on_written()
    return status


def say(text: str, before: str = "rbdiag: ") -> None:
    """Tell a person, on standard error."""
    err(f"{before}{visible(text)}\n")


def err(text: str) -> None:
    """Write to standard error as it stands. Where that fails there is nobody left to tell."""
    try:
        _write(2, text.encode(sys.stderr.encoding if sys.stderr else "utf-8", "backslashreplace"))
    except OSError:
        return


def columns(number: int) -> int:
    """How wide the stream may be written: $COLUMNS, else the terminal's width, else 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        return max(int(asked), 40)
    try:
        return max(os.get_terminal_size(number).columns, 40)
    except OSError:
        return 80


def visible(text: str) -> str:
    """The text with everything a terminal would obey written out; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _write(number: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:  # the other end made the pipe non-blocking, and it is full
            import select

            select.select([], [number], [])

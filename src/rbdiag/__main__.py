"""The console entry. What a shell asks for at every key press is answered before Click is imported."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # type checkers take it for true; importing it from typing would cost half of `--version`
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process, and end the process with the exit status."""
    _fill_closed_streams()
    # A life of seconds has little garbage; looking for it while modules are loaded takes longer than it is worth.
    gc.set_threshold(100_000)
    try:
        status = _answer(sys.argv[1:])
    except KeyboardInterrupt:  # at any time, while modules are still being loaded as well
        from rbdiag.cli.streams import INTERRUPTED, say

        say("interrupted")
        status = INTERRUPTED
    # At once: a check that hangs in its thread must not take part in the interpreter's end, which crashes at times,
    # and that end would cost a fifth of `--help`. All output has been written past Python's buffers.
    os._exit(status)


def _answer(arguments: list[str]) -> int:
    if "_RBDIAG_COMPLETE" in os.environ:
        from rbdiag.cli.complete import answer

        return answer(arguments, os.environ)
    if arguments == ["--version"]:
        from rbdiag import __version__
        from rbdiag.cli.streams import deliver

        return deliver(f"rbdiag {__version__}\n")
    from rbdiag.cli.main import run

    return run(arguments)


def _fill_closed_streams() -> None:
    """Put /dev/null where standard input, output or error is closed.

    Else the next file that is opened takes the free number, and a child program or a message writes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()

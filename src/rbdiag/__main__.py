"""The console entry. What a shell asks for at every key press is answered before Click is imported."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line of this process and return its exit status."""
    _fill_closed_streams()
    arguments = sys.argv[1:]
    try:
        if "_RBDIAG_COMPLETE" in os.environ:
            from rbdiag.cli.complete import answer

            return answer(arguments, os.environ)
        if arguments == ["--version"]:
            from rbdiag import __version__
            from rbdiag.cli.streams import deliver

            return deliver(f"rbdiag {__version__}\n")
        from rbdiag.cli.main import run

        return run(arguments)
    except KeyboardInterrupt:  # while modules are still being loaded; later the command line itself answers it
        from rbdiag.cli.streams import INTERRUPTED, say

        say("interrupted")
        return INTERRUPTED


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
    sys.exit(main())

"""The live line on a terminal: which checks are still out, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from rbdiag.render.escape import cut, width

# Quick runs stay silent; after that the eye wants to see that something moves.
FIRST = 0.3
EVERY = 0.2


class Progress:
    """Says `waiting for X, Y (1.2 s)` in place until closed, then wipes it.

    `after` names for each planned check those it builds on: one that cannot have begun is not waited for yet.
    `doing` says how far a long check is, "" for nothing to say. Uses carriage returns and spaces only, so that any
    terminal will do.
    """

    def __init__(
        self,
        after: Mapping[str, Iterable[str]],
        columns: int,
        write: Callable[[str], None],
        doing: Callable[[], str] = lambda: "",
    ) -> None:
        self._after = {name: frozenset(names) for name, names in after.items()}
        self._done: set[str] = set()
        self._columns = columns - 1  # in the last column some terminals break the line
        self._write = write
        self._doing = doing
        self._shown = 0
        self._begin = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._closed.set()
        self._thread.join()

    def done(self, name: str) -> None:
        """This check has its row."""
        self._done.add(name)

    def line(self, seconds: float) -> str:
        """What to show after so many seconds: empty once nothing is waited for."""
        done = frozenset(self._done)
        missing = self._after.keys() - done
        out = [name for name in self._after if name in missing and not self._after[name] & missing]
        if not out:
            return ""
        doing = self._doing()
        tail = f": {doing} ({seconds:.1f} s)" if doing else f" ({seconds:.1f} s)"
        return cut(f"waiting for {', '.join(out)}", self._columns - len(tail), "...") + tail

    def _run(self) -> None:
        pause = FIRST
        while not self._closed.wait(pause):
            pause = EVERY
            self._put(self.line(time.monotonic() - self._begin))
        if self._shown:
            self._put("")

    def _put(self, text: str) -> None:
        now = width(text)
        # Spaces wipe what the last line had more; for an empty one the cursor goes back to the start.
        self._write(f"\r{text}{' ' * (self._shown - now)}" + ("" if text else "\r"))
        self._shown = now

"""How much time is left: for the checks, and a grace later for the runner that waits for them."""

from __future__ import annotations

import time

# An answer that arrives exactly at the checks' deadline still has to travel to the runner.
GRACE = 0.1


class OutOfTime(Exception):
    """The deadline has passed. The runner turns it into a gap with the reason `deadline`."""


class Deadline:
    """A point on the monotonic clock by which everything ends."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, most: float | None = None) -> float:
        """Seconds left, at most `most`. Never zero or less, because a timeout of 0 means "do not block".

        Raises OutOfTime once the deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise OutOfTime
        return left if most is None else min(left, most)

    def window(self, seconds: float) -> float:
        """How long to observe: as asked, or less where the time left would not do to tell what was seen.

        Raises OutOfTime where that leaves nothing worth observing (a tenth of a second).
        """
        fits = min(seconds, self.left() * 0.7 - 0.05)
        if fits < min(0.1, seconds):
            raise OutOfTime
        return fits

    def sleep(self, seconds: float) -> None:
        """Sleep that long. Raises OutOfTime, without sleeping, where that would end after the deadline."""
        if seconds > self.left():
            raise OutOfTime
        time.sleep(seconds)

    def waits(self) -> float:
        """Seconds the runner still waits: the checks' time plus the grace, zero when that is over."""
        return max(0.0, self._end + GRACE - time.monotonic())

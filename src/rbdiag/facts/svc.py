"""Facts about service units."""

from __future__ import annotations

from rbdiag.facts import span
from rbdiag.model import Fact


class Unit(Fact):
    """What the service manager says of a unit; the subject is the unit. `active_for` and `inactive_for` are in seconds.

    `file_state` is whether it starts at boot (enabled, disabled, masked, static), `exit_status` how its main process
    ended by itself, None where it did not.
    """

    load: str
    active: str
    sub: str
    result: str
    restarts: int
    main_pid: int
    active_for: float | None
    service_type: str = ""
    file_state: str = ""
    exit_status: int | None = None
    inactive_for: float | None = None

    def __str__(self) -> str:
        since = "" if self.active_for is None else f" for {span(self.active_for)}"
        again = f", restarted {self.restarts} times" if self.restarts else ""
        why = f", result {self.result}" if self.result not in ("", "success") else ""
        return f"{self.subject} {self.active} ({self.sub}){since}{why}{again}"

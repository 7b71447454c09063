"""Facts about service units."""

from __future__ import annotations

from rbdiag.facts import span
from rbdiag.model import Fact


class Unit(Fact):
    """What the service manager says of a unit; the subject is the unit. `active_for` is in seconds."""

    load: str
    active: str
    sub: str
    result: str
    restarts: int
    main_pid: int
    active_for: float | None
    service_type: str = ""

    def __str__(self) -> str:
        since = "" if self.active_for is None else f" for {span(self.active_for)}"
        again = f", restarted {self.restarts} times" if self.restarts else ""
        why = f", result {self.result}" if self.result not in ("", "success") else ""
        return f"{self.subject} {self.active} ({self.sub}){since}{why}{again}"

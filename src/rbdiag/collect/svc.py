"""What the service manager says of the units concerned."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from rbdiag.deadline import Deadline
from rbdiag.facts.svc import Unit
from rbdiag.model import CannotLook, Gap

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,Type,ActiveEnterTimestampMonotonic,UnitFileState,"
    "ExecMainStatus,ExecMainCode,InactiveEnterTimestampMonotonic"
)
# systemctl answers from memory; where it does not within this, the manager itself hangs, and that is worth saying.
_PATIENCE = 3.0


def parse_show(output: str, uptime: float) -> list[Unit]:
    """`systemctl show` blocks as units. Timestamps are microseconds on the monotonic clock, 0 for never."""
    units = []
    for block in output.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" not in values:
            continue
        entered = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        left = int(values.get("InactiveEnterTimestampMonotonic") or 0) / 1e6
        # CLD_EXITED is 1, sigaction(2); a process that was killed has no exit status but a signal
        exited = values.get("ExecMainCode") == "1"
        status = values.get("ExecMainStatus", "")
        units.append(
            Unit(
                subject=values["Id"],
                load=values.get("LoadState", ""),
                active=values.get("ActiveState", ""),
                sub=values.get("SubState", ""),
                result=values.get("Result", ""),
                restarts=int(values.get("NRestarts") or 0),
                main_pid=int(values.get("MainPID") or 0),
                service_type=values.get("Type", ""),
                active_for=uptime - entered if entered and values.get("ActiveState") == "active" else None,
                file_state=values.get("UnitFileState", ""),
                exit_status=int(status) if exited and status.isdigit() else None,
                inactive_for=uptime - left if left and values.get("ActiveState") in ("inactive", "failed") else None,
            )
        )
    return units


def units(names: Iterable[str], deadline: Deadline) -> Iterator[Unit]:
    """State, restarts and age of these units, in one call."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return
    if not os.path.isdir("/run/systemd/system"):
        raise CannotLook(Gap("missing", "systemd does not run here", "ask the service manager that does"))
    from rbdiag.collect import programs

    program = programs.find("systemctl")
    if program is None:
        raise CannotLook(Gap("missing", "there is no systemctl here", "install systemd's tools"))
    done = programs.call([program, "show", "-p", _PROPERTIES, "--", *wanted], deadline, at_most=_PATIENCE)
    if done.status != 0:
        raise CannotLook(
            Gap("failed", f"systemctl ended with {done.status}: {done.stderr.decode(errors='replace').strip()[:200]}")
        )
    yield from parse_show(done.stdout.decode("utf-8", "backslashreplace"), time.monotonic())

"""Pressure stall information: how much of the time tasks waited. Source: kernel documentation, accounting/psi."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from rbdiag.collect import proc
from rbdiag.deadline import Deadline
from rbdiag.facts.host import Pressure, Resource
from rbdiag.model import CannotLook, Fact, Gap

_RESOURCES: tuple[Resource, ...] = ("cpu", "memory", "io")

Stalls = dict[str, dict[str, float]]


class Reading(NamedTuple):
    """All three files at one time (monotonic seconds)."""

    at: float
    stalls: dict[Resource, Stalls]


def parse(data: bytes) -> Stalls:
    """`some avg10=… avg60=… avg300=… total=…` lines; averages in percent, total in microseconds."""
    rows = {}
    for line in proc.text(data).splitlines():
        kind, *fields = line.split()
        rows[kind] = {key: float(value) for key, _, value in (f.partition("=") for f in fields)}
    return rows


def read() -> Reading:
    """Raises CannotLook where the kernel shows no pressure."""
    try:
        stalls = {name: parse(proc.read(f"/proc/pressure/{name}", 512)) for name in _RESOURCES}
    except OSError as error:
        # EOPNOTSUPP: built in, but switched off at boot
        gap = Gap(
            "missing", f"this kernel shows no pressure ({error.strerror})", "boot with psi=1 (Linux 4.20 and later)"
        )
        raise CannotLook(gap) from error
    return Reading(time.monotonic(), stalls)


def since(before: Reading) -> Iterator[Pressure]:
    """The part of the time since that reading in which tasks waited, for each resource."""
    after = read()
    took = after.at - before.at
    for name in _RESOURCES:
        then, now = before.stalls[name], after.stalls[name]
        # `full` of cpu came with Linux 5.13
        some, full = (
            min(1.0, (now[kind]["total"] - then[kind]["total"]) / 1e6 / took) if kind in now and kind in then else 0.0
            for kind in ("some", "full")
        )
        yield Pressure(
            subject="host", resource=name, seconds=took, some=some, full=full, some_avg10=now["some"]["avg10"] / 100
        )


def stalls(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """Which part of the window tasks waited for CPU, memory and disks."""
    before = read()
    deadline.sleep(deadline.window(seconds))
    yield from since(before)

"""The high-CPU runbook: which checks, in which order, on this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import CpuThresholds, ProcessCpu, ServiceCpu, Throttle
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.runbooks import Plan, service_logs
from rbdiag.runner import Job

if TYPE_CHECKING:
    from rbdiag.collect.log_sources import Wanted

CHECKS = (
    "cpu.time",
    "cpu.processes",
    "cpu.confirm",
    "cpu.throttling",
    "cpu.frequency",
    "host.pressure",
    "host.memory",
    "host.disks",
    "host.tasks",
    "host.kernel-log",
    "svc.units",
    "cpu.requests",
    "cpu.profilers",
    "cpu.profile",
    *service_logs.CHECKS,
)
# From this many cores on, the service manager and the access log are asked about a service.
_WORTH_ASKING = 0.25
_ASKED = 3
# A unit whose process is this young (seconds) may be starting again and again.
_YOUNG = 10.0


def plan(
    *,
    top: int,
    interval: float,
    pid: int | None,
    profile: float | None,
    flame_graph: str,
    warning: float,
    critical: float,
    service: str,
    since: float,
    logs: tuple[str, ...] = (),
) -> Plan:
    """The checks of one run. Thresholds are parts (0 to 1) of the usable CPUs, `since` is seconds since the epoch.

    `service` is a unit to ask about even where it is not busy, "" for none; `profile` is how many seconds to profile
    the process at fault, None for not at all. `logs` are logs of the service, or globs; beside them those are read that
    the process at fault writes.
    """
    from rbdiag.collect import cgroup, cpu, host, pressure, requests, svc

    def unit_check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        busy = [s.unit for s in _busy_services(facts) if s.unit]
        limited = [t.unit for t in facts.of(Throttle) if t.unit and t.throttled]
        young = [p.unit for p in facts.of(ProcessCpu) if p.unit and p.age < _YOUNG]
        names = [*([service] if service else []), *busy, *limited, *young]
        for unit in svc.units(names, deadline):
            yield unit
            if unit.subject in (service, f"{service}.service") and unit.load == "not-found":
                raise CannotLook(Gap("missing", f"there is no unit {service}", "systemctl list-units --type=service"))

    def request_check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        asked = []
        for s in _busy_services(facts):
            members = [p.pid for p in _latest(facts) if p.service == s.subject]
            asked.append((s.subject, [s.root_pid, *(m for m in members if m != s.root_pid)][:8]))
        return requests.request_rates(asked, deadline)

    def profiler_check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        busiest = _at_fault(facts, pid)
        if busiest is None or (pid is None and busiest.share < _WORTH_ASKING):
            return  # nothing that anybody would want to profile
        from rbdiag.collect import profilers

        yield from profilers.tools(busiest.runtime, deadline, busiest.pid)

    def profile_check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        from rbdiag.collect import profile as profiling

        busiest = _at_fault(facts, pid)
        if busiest is None or profile is None:
            return
        yield from profiling.profile(
            busiest.pid, busiest.start_ticks, busiest.subject, busiest.runtime, profile, flame_graph, deadline
        )

    def wanted(facts: Facts) -> Wanted | None:
        from rbdiag.collect.log_sources import Wanted

        busiest = _at_fault(facts, pid)
        if busiest is None or (pid is None and busiest.share < _WORTH_ASKING):
            return Wanted(logs) if logs else None
        return Wanted(logs, busiest.unit, None if busiest.unit else busiest.pid)

    own_logs = service_logs.ServiceLogs(wanted, since)
    jobs = [
        Job("cpu.time", "host", lambda d, _: cpu.host(interval, d), decides=True),
        Job("cpu.processes", "host", lambda d, _: cpu.processes(interval, top, pid, d), decides=True),
        Job("cpu.confirm", "host", lambda d, f: cpu.confirm(top, pid, d, f), after=("cpu.processes", "cpu.time")),
        Job("cpu.throttling", "host", lambda d, _: cgroup.throttling(interval, d)),
        Job("cpu.frequency", "host", lambda d, _: host.frequency(interval, d)),
        Job("host.pressure", "host", lambda d, _: pressure.stalls(interval, d)),
        Job("host.memory", "host", lambda d, _: host.memory(interval, d)),
        Job("host.disks", "host", lambda d, _: host.disks(interval, d)),
        Job("host.tasks", "host", lambda d, _: host.tasks(interval, d)),
        Job("host.kernel-log", "host", lambda d, _: host.kernel_log(since, d)),
        Job(
            "svc.units",
            service or "the busy services",
            unit_check,
            after=("cpu.processes", "cpu.throttling"),
            decides=bool(service),
        ),
        Job("cpu.requests", "the busy services", request_check, after=("cpu.processes",)),
        Job("cpu.profilers", "host", profiler_check, after=("cpu.processes",)),
    ]
    if profile is not None:
        jobs.append(Job("cpu.profile", "the busiest process", profile_check, after=("cpu.processes", "cpu.confirm")))
    jobs += own_logs.jobs("the busiest service", after=("cpu.processes",))
    given = (CpuThresholds(subject="settings", warning=warning, critical=critical), host.standing())
    return Plan("cpu", f"pid {pid}" if pid else service or "this host", tuple(jobs), given, close=own_logs.close)


def _latest(facts: Facts) -> tuple[ProcessCpu, ...]:
    """The processes of the latest window, the busiest first."""
    seen = facts.of(ProcessCpu)
    confirmed = [p for p in seen if p.window == "confirm"]
    return tuple(sorted(confirmed or seen, key=lambda p: -p.share))


def _busy_services(facts: Facts) -> list[ServiceCpu]:
    """The services worth asking about, as the first window shows them."""
    return [s for s in facts.of(ServiceCpu) if s.window == "first" and s.share >= _WORTH_ASKING][:_ASKED]


def _at_fault(facts: Facts, pid: int | None) -> ProcessCpu | None:
    """The process to profile: the one asked for, else the busiest that is not of low priority or the kernel's own."""
    processes = _latest(facts)
    if pid is not None:
        return next((p for p in processes if p.pid == pid), None)
    return next((p for p in processes if not p.low_priority and p.runtime != "kernel"), None)

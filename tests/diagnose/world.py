"""A small healthy host as facts, and the ways to spoil it: one field at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rbdiag.facts.cpu import (
    Births,
    CoreTime,
    CpuSupply,
    CpuThresholds,
    CpuTime,
    EndedCpu,
    Frequency,
    KernelRates,
    LoadAverage,
    ProcessCpu,
    ProfilerTool,
    QuotaScan,
    RequestRate,
    ServiceCpu,
    ThreadCpu,
    Throttle,
    Window,
)
from rbdiag.facts.host import (
    BlockedTask,
    DiskUse,
    KernelEvent,
    Memory,
    Paging,
    Pressure,
    Standing,
    TaskStates,
    Zombies,
)
from rbdiag.facts.svc import Unit
from rbdiag.model import Fact, Facts

GIB = 1 << 30
NOW = 1_795_600_000.0
BOTH: tuple[Window, ...] = ("first", "confirm")


def time(window: Window = "first", cpus: int = 4, **parts: float) -> CpuTime:
    """CPU time of the host; what the named parts leave over is idle."""
    kinds = dict.fromkeys(("user", "nice", "system", "iowait", "irq", "softirq", "steal"), 0.0) | parts
    kinds.setdefault("idle", max(0.0, 1 - sum(kinds.values())))
    seconds = 1.0 if window == "first" else 2.5
    return CpuTime(subject="host", check="cpu.time", seen_at=NOW, window=window, seconds=seconds, cpus=cpus, **kinds)


def core(number: int, busy: float, window: Window = "first", **kinds: float) -> CoreTime:
    fields = dict.fromkeys(("system", "softirq", "irq", "steal"), 0.0) | kinds
    return CoreTime(subject=f"cpu{number}", window=window, busy=busy, **fields)


def rates(window: Window = "first", **changes: Any) -> KernelRates:
    fact = KernelRates(
        subject="host", window=window, context_switches=2000, forks=3, interrupts=1500, runnable=1, blocked=0
    )
    return replace(fact, **changes)


def process(name: str, pid: int, share: float, window: Window = "first", **changes: Any) -> ProcessCpu:
    """A process of user time, alone in its service, an hour old."""
    system = changes.pop("system_share", 0.0)
    fields: dict[str, Any] = {
        "seconds": 1.0 if window == "first" else 2.5, "start_ticks": pid * 10, "command": f"/usr/bin/{name} --serve",
        "user": "app", "age": 3600.0, "state": "R", "nice": 0, "background": False, "threads": 1, "wait": 0.0,
        "rss": 50 << 20, "read_rate": 0.0, "write_rate": 0.0, "allowed_cpus": 4, "parent": "systemd[1]",
        "runtime": "native", "service": f"{name}[{pid}]", "service_kind": "process", "root": f"{name}[{pid}]",
        "doing": "",
    } | changes  # fmt: skip
    return ProcessCpu(
        subject=f"{name}[{pid}]", check="cpu.processes", seen_at=NOW, window=window, pid=pid, name=name, share=share,
        user_share=share - system, system_share=system, **fields,
    )  # fmt: skip


def thread(of: ProcessCpu, tid: int, name: str, share: float, **changes: Any) -> ThreadCpu:
    fields: dict[str, Any] = {"user_share": share, "system_share": 0.0, "wait": 0.0, "of_threads": of.threads} | changes
    return ThreadCpu(subject=of.subject, window=of.window, tid=tid, name=name, share=share, **fields)


def service(of: ProcessCpu, **changes: Any) -> ServiceCpu:
    """The service of this process, alone in it unless the changes say otherwise."""
    fields: dict[str, Any] = {
        "kind": of.service_kind, "processes": 1, "busy_processes": 1, "share": of.share, "user_share": of.user_share,
        "system_share": of.system_share, "biggest": of.share, "low_priority": of.low_priority, "command": of.command,
        "doing": of.doing, "root": of.root, "root_pid": of.pid, "root_start_ticks": of.start_ticks, "unit": of.unit,
    } | changes  # fmt: skip
    return ServiceCpu(subject=of.service, window=of.window, **fields)


def alone(name: str, pid: int, share: float, windows: Iterable[Window] = BOTH, **changes: Any) -> list[Fact]:
    """One process and its service, the same in every window."""
    facts: list[Fact] = []
    for window in windows:
        p = process(name, pid, share, window, **changes)
        facts += [p, service(p)]
    return facts


def ended(window: Window = "first", **changes: Any) -> EndedCpu:
    return replace(
        EndedCpu(subject="host", window=window, seen=0.2, reaped=0.0, unseen=0.02, whole_host=True), **changes
    )


def births(parent: str, pid: int, children: tuple[str, ...], window: Window, **changes: Any) -> Births:
    fact = Births(
        subject=f"{parent}[{pid}]", window=window, parent_pid=pid, parent_start_ticks=pid * 10, doing="",
        parent_command=f"{parent} loop", children=children, hits=20, looks=25, service=f"{parent}[{pid}]",
    )  # fmt: skip
    return replace(fact, **changes)


def pressure(resource: str, some: float, full: float = 0.0, **changes: Any) -> Pressure:
    fact = Pressure(subject="host", resource=resource, seconds=1.0, some=some, full=full, some_avg10=some)  # type: ignore[arg-type]
    return replace(fact, **changes)


def throttle(**changes: Any) -> Throttle:
    fact = Throttle(
        subject="shop.service", window="first", mount="/sys/fs/cgroup", path="/system.slice/shop.service", version=2,
        seconds=1.0, periods=10, throttled=9, throttled_seconds=0.7, quota=0.2, used=0.2, members=("shop[70]",),
        unit="shop.service",
    )  # fmt: skip
    return replace(fact, **changes)


def blocked(name: str, pid: int, wait: str, wchan: str, hits: int = 4) -> BlockedTask:
    return BlockedTask(subject=f"{name}[{pid}]", pid=pid, wait=wait, wchan=wchan, hits=hits, looks=4, command=name)  # type: ignore[arg-type]


def disk(**changes: Any) -> DiskUse:
    fact = DiskUse(subject="disk sda", util=0.02, read_rate=0, write_rate=8192, wait_seconds=0.002, queue=0.0)
    return replace(fact, **changes)


def paging(**changes: Any) -> Paging:
    fact = Paging(subject="host", swap_in=0, swap_out=0, scan_direct=0, scan_kswapd=0, major_faults=1)
    return replace(fact, **changes)


def memory(available: float = 0.6, swap_used: float = 0.0) -> Memory:
    return Memory(
        subject="host", total=16 * GIB, available=int(16 * GIB * available), swap_total=4 * GIB,
        swap_free=int(4 * GIB * (1 - swap_used)),
    )  # fmt: skip


def event(kind: str, text: str, ago: float) -> KernelEvent:
    return KernelEvent(subject="host", kind=kind, happened_at=NOW - ago, text=text, seen_at=NOW)  # type: ignore[arg-type]


def unit(name: str, **changes: Any) -> Unit:
    fact = Unit(
        subject=name, load="loaded", active="active", sub="running", result="success", restarts=0, main_pid=70,
        active_for=86400.0,
    )  # fmt: skip
    return replace(fact, **changes)


def requests(service_name: str, now: float, before: float, **changes: Any) -> RequestRate:
    fact = RequestRate(
        subject=service_name, log="/var/log/shop/access.log", now=now, before=before, now_seconds=10.0,
        before_seconds=300.0, top_client="192.0.2.7", top_client_part=0.2,
    )  # fmt: skip
    return replace(fact, **changes)


def zombies(parent: str, pid: int, count: int) -> Zombies:
    return Zombies(subject=f"{parent}[{pid}]", count=count, parent_pid=pid, parent_start_ticks=pid * 10, command=parent)


def frequency(**changes: Any) -> Frequency:
    return replace(Frequency(subject="host", highest=3500, allowed=3500, current=3200, throttle_events=0), **changes)


@dataclass(frozen=True)
class Host:
    """A healthy host of four CPUs. `but` replaces the facts of the same type and adds the others."""

    facts: tuple[Fact, ...]

    def but(self, *changes: Fact | list[Fact]) -> Facts:
        new = [f for change in changes for f in (change if isinstance(change, list) else [change])]
        replaced = {type(f) for f in new} - {Pressure}
        resources = {f.resource for f in new if isinstance(f, Pressure)}
        kept = [
            f
            for f in self.facts
            if type(f) not in replaced and not (isinstance(f, Pressure) and f.resource in resources)
        ]
        return Facts((*kept, *new))


def healthy() -> Host:
    """Some web and database work, nothing near any limit; swap used and untouched, a few zombies, old quota."""
    web, database = process("nginx", 50, 0.12), process("mariadbd", 60, 0.25, threads=30, doing="database")
    return Host(
        (
            CpuThresholds(subject="settings", warning=0.8, critical=0.95),
            Standing(subject="rbdiag", root=False, sudo=True, systemd=True),
            time(user=0.2, system=0.05, iowait=0.01, softirq=0.01),
            core(0, 0.4), core(1, 0.3),
            rates(),
            LoadAverage(subject="host", load1=0.8, load5=0.9, load15=1.1, runnable=1, tasks=300),
            CpuSupply(subject="host", online=4, allowed=4, quota=None),
            web, database,
            service(web, processes=4), service(database),
            ended(),
            QuotaScan(subject="host", groups=60, limited=1, throttled=0, complete=True),
            throttle(throttled=0, throttled_seconds=0.0),
            frequency(),
            pressure("cpu", 0.02), pressure("memory", 0.0), pressure("io", 0.03, 0.01),
            memory(swap_used=0.12), paging(),
            disk(),
            TaskStates(subject="host", total=180, running=1, blocked=0, zombies=3, stopped=1, exact=True),
            zombies("sshd", 44, 3),
            unit("shop.service"),
            requests("nginx[50]", 40, 35),
            ProfilerTool(subject="perf", state="ready", path="/usr/bin/perf", detail=""),
        )
    )  # fmt: skip


def full(user: float = 0.97, **parts: float) -> list[Fact]:
    """All CPUs busy in both windows, and tasks waiting for them."""
    return [time(w, user=user, **parts) for w in BOTH] + [pressure("cpu", 0.6)]


def one_core_busy(**parts: float) -> list[Fact]:
    """One of the four CPUs busy in both windows, nobody waiting."""
    return [time(w, **(parts or {"user": 0.26})) for w in BOTH]

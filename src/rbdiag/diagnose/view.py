"""One reading of the CPU facts that all CPU rules share: what held through every window, and who is busy.

A fault must hold in the first window and in the one that confirms it: a burst shorter than both is none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TypeVar

from rbdiag.facts.cpu import (
    Births,
    CpuSupply,
    CpuThresholds,
    CpuTime,
    EndedCpu,
    KernelRates,
    ProcessCpu,
    ServiceCpu,
    ThreadCpu,
    Window,
)
from rbdiag.facts.host import Pressure, Resource
from rbdiag.frozen import Record
from rbdiag.model import Confidence, Facts, Severity

# One CPU nearly full. Less than 1, because a hypervisor and other work take their part of every window.
HOT = 0.8
# A task that spins is always running or waiting to run; together that is one core, whoever competes.
DEMAND = 0.9
# Below this a process that waits is a victim of the queue and not its cause.
DEMAND_FROM = 0.25
# A process that takes half of everything usable is the first thing to look at, whatever its threads do.
HALF = 0.5
# Catalogue A.4 asks for two samples over three seconds; under this a burst looks like a fault.
LONG_ENOUGH = 2.9
# This much of the host idle is room that a narrow affinity keeps from those who want it.
IDLE = 0.25
# One process after another uses a core at the most.
ONE_AFTER_ANOTHER = 1.05
# Tasks waiting for a CPU in this part of the time: the queue is real. PSI, as the catalogue calibrates it.
QUEUE = 0.2

# Thread names of garbage collectors, as the runtimes set them (cut at 15 characters).
_COLLECTORS = ("GC Thread", "G1 ", "G1-", "ZGC", "Shenandoah", "ParGC", "Gang worker", "Concurrent Mark", "CMS ", ".NET Server GC",
               ".NET BGC", "VM Thread", "XWorker", "ZWorker", "ZDriver")  # fmt: skip

S = TypeVar("S", ProcessCpu, ServiceCpu)


class Burner(Record):
    """A process that was hot through every window; `share` is the lowest of its shares, `thread` its hottest thread."""

    process: ProcessCpu
    share: float
    thread: ThreadCpu | None

    @property
    def spins(self) -> bool:
        """Whether one single thread of it fills a core, or would if nobody competed."""
        return self.thread is None or _hot(self.thread.share, self.thread.wait)


def _hot(share: float, wait: float | None) -> bool:
    return share >= HOT or (share >= DEMAND_FROM and share + (wait or 0.0) >= DEMAND)


class View:
    """What the rules ask. Parts are of all usable CPUs, shares are cores."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.times = facts.of(CpuTime)
        self.time = facts.last(CpuTime)
        self.rates = facts.of(KernelRates)
        self.ended = facts.of(EndedCpu)
        self.confirmed = any(t.window == "confirm" for t in self.times)
        thresholds = facts.first(CpuThresholds)
        self.warning = thresholds.warning if thresholds else 0.8
        self.critical = thresholds.critical if thresholds else 0.95

    @property
    def window(self) -> Window:
        """The latest window: its facts are the evidence."""
        return "confirm" if self.confirmed else "first"

    @cached_property
    def seconds(self) -> float:
        """How long processes were observed, all windows together."""
        windows = {p.window: p.seconds for p in self.facts.of(ProcessCpu)} or {t.window: t.seconds for t in self.times}
        return sum(windows.values())

    @cached_property
    def cpus(self) -> float:
        """Usable CPUs: those of the host, or the quota we live under."""
        supply = self.facts.first(CpuSupply)
        allowed = max((p.allowed_cpus for p in self.facts.of(ProcessCpu)), default=1)
        online = self.time.cpus if self.time else supply.online if supply else max(1, allowed)
        return min(online, supply.quota) if supply and supply.quota else online

    @cached_property
    def whole_host(self) -> bool:
        return all(e.whole_host for e in self.ended)

    @cached_property
    def busy(self) -> float:
        """The lowest busy part over the windows. Under a quota of our own, what we can see of the quota."""
        supply = self.facts.first(CpuSupply)
        if supply and supply.quota and supply.quota < supply.online and not self.whole_host and self.ended:
            return min(1.0, min(e.seen for e in self.ended) / supply.quota)
        return min((t.busy for t in self.times), default=0.0)

    def held(self, value: Callable[[CpuTime], float]) -> float:
        """The lowest of this over the windows: what held all the time."""
        return min((value(t) for t in self.times), default=0.0)

    def pressure(self, resource: Resource) -> Pressure | None:
        """The latest of this resource: of the window that confirms, where there was one."""
        rows = [p for p in self.facts.of(Pressure) if p.resource == resource]
        # by time: facts stand in the order of the checks, and the one that confirms is not the last of those
        return max(rows, key=lambda p: p.seen_at or 0.0, default=None)

    @cached_property
    def queued(self) -> bool:
        """Whether tasks really wait for a CPU. Where pressure is not shown, the run queue has to tell."""
        cpu = self.pressure("cpu")
        if cpu is not None:
            return cpu.some >= QUEUE
        return all(r.runnable > self.cpus for r in self.rates) if self.rates else False

    @property
    def severity(self) -> Severity:
        """Critical when the CPUs are full and others wait for them; else one greedy process is a warning."""
        return Severity.CRITICAL if self.busy >= self.critical and self.queued else Severity.WARNING

    @property
    def confidence(self) -> Confidence:
        """What a direct measurement is worth: a second window and time enough make it certain."""
        if self.confirmed and self.seconds >= LONG_ENOUGH:
            return Confidence.CERTAIN
        return Confidence.LIKELY

    def _through(self, kind: type[S]) -> list[tuple[S, float]]:
        """Those seen in every window, as the latest shows them, with their lowest share."""
        windows: dict[Window, dict[object, S]] = {}
        for fact in self.facts.of(kind):
            key: object = (fact.pid, fact.start_ticks) if isinstance(fact, ProcessCpu) else fact.subject
            windows.setdefault(fact.window, {})[key] = fact
        latest = windows.get(self.window, {})
        rows = []
        for key, fact in latest.items():
            if all(key in seen for seen in windows.values()):
                rows.append((fact, min(seen[key].share for seen in windows.values())))
        return sorted(rows, key=lambda r: (-r[1], r[0].subject))

    @cached_property
    def processes(self) -> list[tuple[ProcessCpu, float]]:
        return self._through(ProcessCpu)

    @cached_property
    def services(self) -> list[tuple[ServiceCpu, float]]:
        return self._through(ServiceCpu)

    def threads(self, process: ProcessCpu) -> list[ThreadCpu]:
        """The threads of a process in the latest window, the hottest first."""
        rows = [t for t in self.facts.of(ThreadCpu) if t.subject == process.subject and t.window == process.window]
        return sorted(rows, key=lambda t: (-t.share, t.tid))

    def collecting(self, process: ProcessCpu) -> float:
        """The part of a process's CPU that its garbage collector's threads use."""
        threads = self.threads(process)
        whole = sum(t.share for t in threads)
        return sum(t.share for t in threads if t.name.startswith(_COLLECTORS)) / whole if whole else 0.0

    @cached_property
    def hot(self) -> list[Burner]:
        """Every process that was hot throughout, kernel threads and low priority included."""
        rows = []
        for process, share in self.processes:
            thread = next(iter(self.threads(process)), None)
            alone = _hot(share, process.wait) if thread is None and process.threads == 1 else False
            one_thread = thread is not None and share >= DEMAND_FROM and _hot(thread.share, thread.wait)
            # under one interpreter lock the threads share what is one core for all of them
            locked = process.threads > 1 and process.runtime in ("python", "ruby") and share >= DEMAND
            wide = share >= max(HOT, HALF * self.cpus) and (
                self.busy >= self.warning or self.collecting(process) >= HALF
            )
            if alone or one_thread or locked or wide:
                rows.append(Burner(process, share, thread))
        return rows

    @cached_property
    def burners(self) -> list[Burner]:
        """The hot processes that could be at fault: not the kernel's, not of low priority, not part of a crowd or pinned."""
        crowd = {s.subject for s, _ in self.crowds}
        pinned = {b.process.subject for b in self.pinned}
        return [
            b
            for b in self.hot
            if b.process.runtime != "kernel"
            and not b.process.low_priority
            and b.process.service not in crowd
            and b.process.subject not in pinned
        ]

    @cached_property
    def crowds(self) -> list[tuple[ServiceCpu, float]]:
        """Services that are many processes, none of which dominates, and that fill most of a busy host together."""
        if self.busy < self.warning:
            return []
        used = self.busy * self.cpus
        return [
            (s, share)
            for s, share in self.services
            if s.kind != "kernel"
            and s.processes >= 3
            and not s.low_priority
            and share >= HALF * used
            and s.biggest <= HALF * s.share
        ]

    @cached_property
    def pinned(self) -> list[Burner]:
        """Processes that may use only some CPUs, all want more of those, and leave the others idle."""
        if self.time is None or self.held(lambda t: t.idle + t.iowait) < IDLE:
            return []
        rows = [
            Burner(p, share, None)
            for p, share in self.processes
            if 0 < p.allowed_cpus < self.time.cpus and p.runtime != "kernel" and p.share + (p.wait or 0.0) >= HOT
        ]
        allowed = max((b.process.allowed_cpus for b in rows), default=0)
        # more of them than CPUs they may use, and those CPUs are full
        return rows if len(rows) > max(1, allowed) and sum(b.share for b in rows) >= HOT * allowed else []

    @cached_property
    def births(self) -> Births | None:
        """The busiest parent of the service that starts most new processes, if that is a third of them or more."""
        rows = self.facts.of(Births)
        hits: dict[str, int] = {}
        for b in rows:
            hits[b.service] = hits.get(b.service, 0) + b.hits
        looks = sum({b.window: b.looks for b in rows}.values())
        best = max(hits, key=lambda service: hits[service], default="")
        if not best or hits[best] * 3 < looks:
            return None
        return max((b for b in rows if b.service == best), key=lambda b: (b.hits, b.window == self.window))

    @cached_property
    def churn(self) -> float:
        """Cores used, in every window, by processes that one known parent starts one after another. 0 for none.

        Too few forks for a storm, but the work never ends: only the processes do.
        """
        if self.births is None or self.births.doing in ("build", "pack") or self.forks < 1:
            return 0.0
        return min((max(e.share, e.reaped) for e in self.ended), default=0.0) if self.confirmed else 0.0

    @cached_property
    def side_by_side(self) -> bool:
        """Whether those that come and go use more than the one core that one after another can."""
        return max((max(e.share, e.reaped) for e in self.ended), default=0.0) > ONE_AFTER_ANOTHER

    @cached_property
    def forks(self) -> float:
        return min((r.forks for r in self.rates), default=0.0)

    @cached_property
    def ended_share(self) -> float:
        """Cores used by processes that came and went, in every window."""
        return min((e.share for e in self.ended), default=0.0) if self.whole_host else 0.0

    @cached_property
    def building(self) -> float:
        """Cores used by compilers and packers in every window, those included that came and went.

        Its processes live a second or so each: only their sum holds from window to window.
        """
        sums = []
        for ended in self.ended:
            now = [
                s.share
                for s in self.facts.of(ServiceCpu)
                if s.window == ended.window and s.doing in ("build", "pack") and not s.low_priority
            ]
            born = [b for b in self.facts.of(Births) if b.window == ended.window and b.doing in ("build", "pack")]
            sums.append(sum(now) + (ended.share if self.whole_host and (now or born) else 0.0))
        return min(sums, default=0.0)


@lru_cache(maxsize=2)
def view(facts: Facts) -> View:
    """The view of these facts, made once and shared by all rules."""
    return View(facts)

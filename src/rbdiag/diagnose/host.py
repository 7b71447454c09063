"""The host around the service: memory, disks, stuck and unreaped tasks."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.view import view
from rbdiag.facts import percent, size
from rbdiag.facts.host import BlockedTask, DiskUse, KernelEvent, Memory, Paging, TaskStates, Zombies
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.5: available memory under 5 %, and somebody really waits for memory.
_SHORT, _STALL, _SWAP_TRAFFIC = 0.05, 0.10, 100.0
# A device is saturated when it is busy all the time, slow, and every task waits for it.
_BUSY, _SLOW_SECONDS, _ALL_STALLED = 0.90, 0.05, 0.20
# A few zombies are normal; from fifty under one parent the parent does not reap at all.
_ZOMBIES = 50
# A lockup report repeats every 20 s or so while it lasts.
_RECENT = 300.0

MEMORY_PRESSURE = Spec(
    code="host.memory-pressure",
    title="little memory is available",
    severity=Severity.WARNING,
    meaning="Less than 5 % of memory can be had without swapping, and tasks wait for memory. The next step is swapping or "
    "the kernel killing a process.",
    told="MemAvailable under 5 %, together with memory stalls (PSI some over 10 %) or swap traffic.",
    not_to_be_taken_for="low free memory with a large page cache; a large virtual size; swap that is used and not touched.",
    resolution=("find who grew", "limit, restart or move it"),
    explains=("cpu.swap-thrash", "cpu.system-time"),
)


def memory_pressure(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    memory, paging, stall = facts.last(Memory), facts.last(Paging), v.pressure("memory")
    if memory is None or memory.available >= _SHORT * memory.total:
        return
    traffic = paging is not None and paging.swap_in + paging.swap_out >= _SWAP_TRAFFIC
    if not traffic and (stall is None or stall.some < _STALL):
        return
    killed = [e for e in facts.of(KernelEvent) if e.kind == "oom-kill"][-2:]
    biggest = sorted((p for p, _ in v.processes), key=lambda p: -p.rss)[:3]
    yield Finding(
        MEMORY_PRESSURE, Severity.CRITICAL if killed else Severity.WARNING, Confidence.CERTAIN, "host",
        f"only {size(memory.available)} of {size(memory.total)} memory is available, and tasks wait for it",
        evidence=(memory, *([stall] if stall else []), *([paging] if paging else []), *killed, *biggest),
        resolution=(
            Step("see who holds the memory", "ps -eo pid,rss,etimes,args --sort=-rss | head -15"),
            Step("restart or limit the one that grew", risk="disruptive"),
        ),
        about=frozenset({"host", *(p.subject for p in biggest)}), impact=1.0,
    )  # fmt: skip


DISK_IO = Spec(
    code="host.disk-io",
    title="a disk is saturated or has errors",
    severity=Severity.WARNING,
    meaning="A disk is busy all the time, every request takes long, and all tasks together stall on I/O.",
    told="Busy over 90 % of the window, over 50 ms a request, and PSI io full over 20 %.",
    not_to_be_taken_for="a busy disk that answers quickly: utilisation without saturation is no bottleneck.",
    resolution=("find who reads or writes", "limit it; look at the device's health"),
    explains=("cpu.iowait", "cpu.dstate-load", "host.hung-tasks"),
)


def disk_io(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    io = v.pressure("io")
    for d in facts.of(DiskUse):
        if d.util < _BUSY or d.wait_seconds < _SLOW_SECONDS or io is None or io.full < _ALL_STALLED:
            continue
        name = d.subject.removeprefix("disk ")
        yield Finding(
            DISK_IO, Severity.WARNING, Confidence.LIKELY, d.subject,
            f"{d.subject} is saturated: busy {percent(d.util)} of the time, {d.wait_seconds * 1000:.0f} ms a request, "
            f"and all tasks wait for it {percent(io.full)} of the time",
            evidence=(d, io),
            resolution=(
                Step("see who reads and writes (KiB/s)", "pidstat -d 1 3"),
                Step("look at the device's health", f"{steps.sudo(facts)}smartctl -H -A {quote(f'/dev/{name}')}"),
            ),
            about=frozenset({"host", d.subject}), impact=io.full,
        )  # fmt: skip


HUNG_TASKS = Spec(
    code="host.hung-tasks",
    title="tasks are stuck in the kernel",
    severity=Severity.CRITICAL,
    meaning="The kernel reports tasks that have been blocked for minutes, or a CPU that is stuck. A device or network mount "
    "that does not answer, or a fault of the kernel itself. Such tasks cannot be killed.",
    told="A hung-task line in the kernel's log and a process in state D now; or a lockup line of the last five minutes.",
    not_to_be_taken_for="a frozen control group, which is in state D by intent; lines of an event that is over.",
    resolution=("see where they are stuck", "repair the device or mount; a reboot is the last resort"),
    explains=("cpu.dstate-load",),
)


def hung_tasks(facts: Facts) -> Iterator[Finding]:
    blocked = [b for b in facts.of(BlockedTask) if b.wait not in ("freezer", "vfork") and b.hits == b.looks]
    hung = [e for e in facts.of(KernelEvent) if e.kind == "hung-task"]
    locked = [
        e for e in facts.of(KernelEvent)
        if e.kind == "soft-lockup" and e.seen_at is not None and e.seen_at - e.happened_at < _RECENT
    ]  # fmt: skip
    if not locked and not (hung and blocked):
        return
    first = locked[-1] if locked else hung[-1]
    root = steps.sudo(facts)
    yield Finding(
        HUNG_TASKS, Severity.CRITICAL, Confidence.CERTAIN if hung and blocked else Confidence.LIKELY,
        blocked[0].subject if blocked else "host",
        f"the kernel reports stuck tasks: {first.text}",
        evidence=(*locked[-3:], *hung[-3:], *blocked[:4]),
        resolution=(
            Step("see where in the kernel they are stuck", f"{root}dmesg -T | grep -A 20 -E 'blocked for more than|lockup' | tail -60"),
            *(Step(f"see the stack of {b.subject}", f"{root}cat /proc/{b.pid}/stack") for b in blocked[:2]),
            Step("repair the device or mount they wait for; only a reboot ends tasks that stay stuck", risk="disruptive"),
        ),
        about=frozenset({"host", *(b.subject for b in blocked)}), impact=0.8,
    )  # fmt: skip


ZOMBIE_FLOOD = Spec(
    code="host.zombie-flood",
    title="a process does not reap its children",
    severity=Severity.WARNING,
    meaning="A parent starts processes and never asks how they ended, so they stay as zombies. They use no CPU or memory, "
    "but each holds a pid, and pids run out.",
    told="Fifty or more zombies under one parent.",
    not_to_be_taken_for="a handful of zombies, which is normal.",
    resolution=("restart the parent; its zombies go with it", "mend its handling of children (SIGCHLD, wait)"),
)


def zombie_flood(facts: Facts) -> Iterator[Finding]:
    states = facts.last(TaskStates)
    for z in facts.of(Zombies):
        if z.count < _ZOMBIES:
            continue
        yield Finding(
            ZOMBIE_FLOOD, Severity.WARNING, Confidence.CERTAIN, z.subject,
            f"{z.subject} has {z.count} ended children that it does not reap; pids run out at the limit",
            evidence=(z, *([states] if states else [])),
            resolution=(
                Step("see them, and the limit", f"ps -o pid,stat,etimes,comm --ppid {z.parent_pid} | head; cat /proc/sys/kernel/pid_max"),
                Step(
                    "remind it to reap (some programs do)",
                    steps.guarded(z.parent_pid, z.parent_start_ticks, f"{steps.sudo(facts)}kill -CHLD {z.parent_pid}"),
                    verify=f"ps --no-headers -o stat --ppid {z.parent_pid} | grep -c Z",
                ),
                *steps.end(z.parent_pid, z.parent_start_ticks, "", z.subject, facts),
            ),
            about=frozenset({z.subject}), impact=0.1,
        )  # fmt: skip


RULES = (memory_pressure, disk_io, hung_tasks, zombie_flood)

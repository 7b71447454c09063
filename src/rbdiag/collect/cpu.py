"""Where the CPU time goes: the host by kind, every process, and what was born and died in between.

The cheap way round: one clock call a process and sample, no file. A scout sample a little after the first one
finds who moves at all, and only those are looked at closely (user and system time, threads, waiting, I/O) for
the rest of the window. On a quiet host with thousands of processes next to nothing is read.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator

from rbdiag.collect import births, pressure, proc
from rbdiag.collect.service import Owner, Owners, doing, runtime_of
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.cpu import (
    CoreTime,
    CpuSupply,
    CpuTime,
    EndedCpu,
    KernelRates,
    LoadAverage,
    ProcessCpu,
    ServiceCpu,
    ThreadCpu,
    Window,
)
from rbdiag.model import CannotLook, Fact, Facts, Gap

# The scout comes after this part of the window; what moves less than a scout can see is no hog.
_SCOUT_PART, _SCOUT_MOST = 0.25, 0.3
# How many movers are looked at closely, and of how many of those the threads. Bounds the cost on a busy host.
_CLOSE, _THREADS_READ = 200, 1024
# Checks that begin together share one listing of the processes.
_LISTING = 0.05
# Below this many cores a process's threads are not worth reading.
_THREADS_FROM = 0.1
# From this rate on we look who is being born.
_BIRTHS_FROM = 20
_CORES_SHOWN = 8
# A suspicion worth confirming: see `suspicious`.
_BUSY, _HOT, _FORKS, _SWITCHES, _ODD = 0.4, 0.6, 50, 15_000, 0.08
CONFIRM_SECONDS = 2.5
_SCHED_BATCH, _SCHED_IDLE = 3, 5


def host(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """CPU time of the whole host by kind, of its busiest CPUs, scheduler rates, load and supply."""
    before = proc.host_stat()
    deadline.sleep(deadline.window(seconds))
    yield from host_facts("first", before, proc.host_stat())
    yield load()
    yield supply()


def host_facts(window: Window, before: proc.HostStat, after: proc.HostStat) -> Iterator[Fact]:
    seconds = after.at - before.at
    user, nice, system, idle, iowait, irq, softirq, steal = proc.parts(before.total, after.total)
    yield CpuTime(
        subject="host", window=window, seconds=seconds, cpus=len(after.cores) or 1, user=user, nice=nice, system=system,
        idle=idle, iowait=iowait, irq=irq, softirq=softirq, steal=steal,
    )  # fmt: skip
    cores = []
    for name, ticks in after.cores.items():
        if name in before.cores:
            p = proc.parts(before.cores[name], ticks)
            busy = p[0] + p[1] + p[2] + p[5] + p[6]
            cores.append(
                CoreTime(subject=name, window=window, busy=busy, system=p[2], irq=p[5], softirq=p[6], steal=p[7])
            )
    yield from sorted(cores, key=lambda core: -core.busy)[:_CORES_SHOWN]
    yield KernelRates(
        subject="host", window=window, runnable=after.runnable, blocked=after.blocked,
        context_switches=(after.context_switches - before.context_switches) / seconds,
        forks=(after.forks - before.forks) / seconds,
        interrupts=(after.interrupts - before.interrupts) / seconds,
    )  # fmt: skip


def load() -> LoadAverage:
    one, five, fifteen, tasks, _ = proc.read("/proc/loadavg", 256).split()
    runnable, total = tasks.split(b"/")
    return LoadAverage(
        subject="host",
        load1=float(one),
        load5=float(five),
        load15=float(fifteen),
        runnable=int(runnable),
        tasks=int(total),
    )


def supply() -> CpuSupply:
    from rbdiag.collect.cgroup import own_quota

    return CpuSupply(
        subject="host", online=os.cpu_count() or 1, allowed=len(os.sched_getaffinity(0)), quota=own_quota()
    )


class _Base:
    """What a mover showed at the scout."""

    def __init__(self, stat: proc.Stat) -> None:
        self.stat = stat
        self.delay: int | None = None
        self.tasks: dict[int, tuple[proc.Stat, int | None]] = {}
        self.io: tuple[int, int] | None = None


def processes(seconds: float, top: int, focus: int | None, deadline: Deadline) -> Iterator[Fact]:
    """The processes by CPU over the interval, their services, and what ended inside it."""
    seen = list(_observe("first", seconds, top, focus, deadline))
    ranked = sorted((f for f in seen if isinstance(f, ProcessCpu)), key=lambda f: (f.pid != focus, -f.share))
    if focus is not None and not any(f.pid == focus for f in ranked):
        raise CannotLook(Gap("missing", f"no process {focus} here", "rbdiag cpu shows the pids in use"))
    yield from ranked
    yield from (f for f in seen if not isinstance(f, ProcessCpu | CpuTime | CoreTime | KernelRates))


def suspicious(facts: Facts) -> bool:
    """Whether the first window shows anything that a second, longer look should confirm or clear."""
    time_, rates, ended = facts.first(CpuTime), facts.first(KernelRates), facts.first(EndedCpu)
    return (
        (time_ is not None and (time_.busy > _BUSY or max(time_.steal, time_.softirq + time_.irq) > _ODD))
        or any(p.share + min(p.wait or 0, 1) > _HOT for p in facts.of(ProcessCpu))
        or (rates is not None and (rates.forks > _FORKS or rates.context_switches > _SWITCHES * (os.cpu_count() or 1)))
        or (ended is not None and ended.share > _HOT)
    )


def confirm(top: int, focus: int | None, deadline: Deadline, facts: Facts) -> Iterator[Fact]:
    """The same measurements over a longer window, where the first one raised a suspicion; else nothing.

    A burst shorter than the two windows together is no fault, and a verdict must not rest on one second.
    """
    if not suspicious(facts):
        return
    if deadline.window(CONFIRM_SECONDS) < CONFIRM_SECONDS / 2:
        raise OutOfTime  # so short a second look confirms nothing
    try:
        stalls = pressure.read()
    except CannotLook:
        stalls = None  # the check host.pressure has said so
    yield from _observe("confirm", CONFIRM_SECONDS, top, focus, deadline)
    if stalls is not None:
        yield from pressure.since(stalls)


def _observe(window: Window, seconds: float, top: int, focus: int | None, deadline: Deadline) -> Iterator[Fact]:
    seconds = deadline.window(seconds)
    sample: Callable[[float], dict[int, int]] = proc.cpu_clocks if proc.foreign_clocks_work() else proc.cpu_times
    host_before, began, born = proc.host_stat(), time.monotonic(), proc.uptime()
    first = sample(_LISTING)

    deadline.sleep(min(seconds * _SCOUT_PART, _SCOUT_MOST))
    scouted = time.monotonic()
    scout = sample(1.0)  # of those seen first; who is born in between is found in the end
    moved = {pid: now - first.get(pid, 0) for pid, now in scout.items() if now != first.get(pid, 0)}
    movers = sorted(moved, key=moved.__getitem__, reverse=True)[:_CLOSE]
    if focus is not None and focus in scout and focus not in movers:
        movers.append(focus)
    base = _close_look(movers, moved, scouted - began, top)

    forks = (proc.host_stat().forks - host_before.forks) / (scouted - began)
    watching = window == "confirm" or forks > _BIRTHS_FROM
    born_now = births.watch(began + seconds, deadline) if watching else births.Watched()
    deadline.sleep(max(0.001, began + seconds - time.monotonic()))

    last, ended_at, host_after = sample(0), time.monotonic(), proc.host_stat()
    used = {
        # a clock that went back belongs to a new process with an old pid
        pid: now - then if now >= (then := first.get(pid, 0)) else now
        for pid, now in last.items()
        if now != first.get(pid, 0)
    }
    whole = ended_at - began
    yield from host_facts(window, host_before, host_after)

    owners, me = Owners(), os.getpid()
    ranked = sorted((pid for pid in used if pid != me), key=used.__getitem__, reverse=True)
    if focus is not None and focus in last and focus not in ranked[:_CLOSE]:
        ranked.insert(0, focus)
    ranked = ranked[:_CLOSE]
    owner_of = owners.of_all(s for pid in ranked if (s := owners.stat(pid)) is not None)
    groups: dict[str, list[tuple[ProcessCpu, Owner]]] = {}
    for place, (pid, owner) in enumerate(owner_of.items()):
        fact = _process(
            window, pid, used.get(pid, 0), whole, ended_at - scouted, born, base.get(pid), owners, owner, place < top
        )
        groups.setdefault(owner.name, []).append((fact, owner))
        if place < top or fact.share >= _THREADS_FROM or pid == focus:
            yield fact
            if fact.threads > 1 and pid in base and base[pid].tasks:
                yield from _threads(fact, base[pid], ended_at - scouted)

    yield from _services(window, groups)
    reaped = sum(
        max(0, now.ended_children - b.stat.ended_children)
        for pid, b in base.items()
        if (now := proc.stat(pid)) is not None and now.start == b.stat.start
    )
    kinds = [b - a for a, b in zip(host_before.total, host_after.total, strict=True)]
    # user, nice and system; interrupts are nobody's
    counted = max(0, sum(kinds[:3])) * proc.TICK / whole
    yield EndedCpu(
        subject="host",
        window=window,
        seen=sum(used.values()) / 1e9 / whole,
        reaped=min(reaped * proc.TICK / (ended_at - scouted), counted),
        unseen=max(0.0, counted - sum(used.values()) / 1e9 / whole),
        whole_host=proc.sees_whole_host(),
    )
    yield from born_now.facts(window, owners)


def _close_look(movers: list[int], moved: dict[int, int], seconds: float, top: int) -> dict[int, _Base]:
    found: dict[int, _Base] = {}
    readable = _THREADS_READ
    for place, pid in enumerate(movers):
        stat = proc.stat(pid)
        if stat is None:
            continue
        base = found[pid] = _Base(stat)
        busy = moved.get(pid, 0) / 1e9 / seconds
        if stat.threads > 1 and readable > 0 and busy >= _THREADS_FROM / 2:
            base.tasks = _tasks(pid, readable)
            readable -= len(base.tasks)
        else:
            base.delay = proc.run_delay(f"/proc/{pid}")
        if place < top:
            base.io = _io(pid)
    return found


def _tasks(pid: int, most: int) -> dict[int, tuple[proc.Stat, int | None]]:
    """Stat and waiting time of each thread, of the first `most`."""
    tasks = {}
    try:
        names = os.listdir(f"/proc/{pid}/task")[:most]
    except OSError:
        return {}  # it has gone
    for name in names:
        path = f"/proc/{pid}/task/{name}"
        try:
            tasks[int(name)] = (proc.parse_stat(proc.read(f"{path}/stat", 4096)), proc.run_delay(path))
        except (OSError, ValueError, IndexError):
            continue  # this thread has gone
    return tasks


def _io(pid: int) -> tuple[int, int] | None:
    """Bytes a process made the disks read and write so far; None where that is not ours to know."""
    try:
        counters = proc.pairs(proc.read(f"/proc/{pid}/io", 1024))
    except OSError:
        return None
    return (counters["read_bytes"], counters["write_bytes"]) if "write_bytes" in counters else None


def _users() -> dict[int, str]:
    """Names of users from the local file only: a directory service may hang, and a number is an answer too."""
    names: dict[int, str] = {}
    try:
        for line in proc.text(proc.read("/etc/passwd", 1 << 20)).splitlines():
            part = line.split(":")
            if len(part) > 2 and part[2].isdigit():
                names.setdefault(int(part[2]), part[0])
    except OSError:
        return {}  # no such file in a bare chroot: numbers are shown
    return names


_USERS: dict[int, str] = {}


def _user(pid: int) -> str:
    if not _USERS:
        _USERS.update(_users() or {0: "root"})
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ""  # it has gone
    return _USERS.get(uid, str(uid))


def _process(
    window: Window,
    pid: int,
    nanoseconds: int,
    whole: float,
    close: float,
    born: float,
    base: _Base | None,
    owners: Owners,
    owner: Owner,
    closely: bool,
) -> ProcessCpu:
    from rbdiag.redact import redact_command

    stat = owners.stat(pid)
    assert stat is not None  # it has an owner, so it has been read; nothing is read twice
    age = max(0.0, proc.uptime() - stat.start * proc.TICK)
    if base is not None and base.stat.start != stat.start:
        base = None  # the pid was given to a new process
    share = nanoseconds / 1e9 / whole
    if base is None:
        user, system, over = stat.user, stat.system, max(min(age, whole), proc.TICK)
        if stat.start * proc.TICK < born:  # older than the window and not seen moving at the scout
            user, system = 0, 0
    else:
        user, system, over = stat.user - base.stat.user, stat.system - base.stat.system, close
    ticks = user + system
    # The clock says how much, the ticks say of which kind: a process too quick for ticks counts as user time.
    system_share = share * system / ticks if ticks else 0.0
    waited = _waited(pid, base)
    command = redact_command(list(owners.command(pid)))
    read_rate = write_rate = None
    if base is not None and base.io is not None and (io := _io(pid)) is not None:
        read_rate, write_rate = ((now - then) / close for now, then in zip(io, base.io, strict=True))
    parent = owners.stat(stat.parent) if stat.parent else None
    try:
        allowed = len(os.sched_getaffinity(pid)) if closely or share >= _THREADS_FROM else 0
    except OSError:
        allowed = 0  # it has gone; 0 is "not known"
    return ProcessCpu(
        subject=proc.subject(stat.name, pid), window=window, seconds=whole, pid=pid, start_ticks=stat.start,
        name=stat.name, command=command, user=_user(pid), age=age, state=stat.state, nice=stat.nice,
        background=stat.policy in (_SCHED_BATCH, _SCHED_IDLE), threads=stat.threads, share=share,
        user_share=share - system_share, system_share=system_share,
        wait=None if waited is None else waited / 1e9 / over, rss=stat.rss, read_rate=read_rate,
        write_rate=write_rate, allowed_cpus=allowed,
        parent=proc.subject(parent.name, parent.pid) if parent else "",
        runtime=runtime_of(stat, look_inside=share >= _HOT / 2) if closely or share >= _THREADS_FROM else "unknown",
        service=owner.name, service_kind=owner.kind, root=proc.subject(owner.root.name, owner.root.pid),
        doing=doing(stat.name), unit=owner.unit,
    )  # fmt: skip


def _waited(pid: int, base: _Base | None) -> int | None:
    """Nanoseconds the process's tasks were runnable without running since the scout."""
    if base is None:
        return None
    if base.tasks:
        return sum(
            max(0, now - then)
            for tid, (_, then) in base.tasks.items()
            if then is not None and (now := proc.run_delay(f"/proc/{pid}/task/{tid}")) is not None
        )
    now = proc.run_delay(f"/proc/{pid}")
    return None if now is None or base.delay is None else max(0, now - base.delay)


_THREADS_SHOWN = 12


def _threads(fact: ProcessCpu, base: _Base, seconds: float) -> Iterator[ThreadCpu]:
    """The busiest threads since the scout."""
    rows = []
    for tid, (now, delay) in _tasks(fact.pid, _THREADS_READ).items():
        then, old = base.tasks.get(tid, (None, None))
        user = now.user - (then.user if then else 0)
        system = now.system - (then.system if then else 0)
        if (user + system) * proc.TICK / seconds >= _THREADS_FROM / 2:
            wait = None if delay is None else (delay - (old or 0)) / 1e9 / seconds
            rows.append((user, system, wait, now))
    rows.sort(key=lambda r: -(r[0] + r[1]))
    for user, system, wait, now in rows[:_THREADS_SHOWN]:
        yield ThreadCpu(
            subject=fact.subject, window=fact.window, tid=now.pid, name=now.name, of_threads=fact.threads, wait=wait,
            share=(user + system) * proc.TICK / seconds, user_share=user * proc.TICK / seconds,
            system_share=system * proc.TICK / seconds,
        )  # fmt: skip


_SERVICES_SHOWN = 10


def _services(window: Window, groups: dict[str, list[tuple[ProcessCpu, Owner]]]) -> Iterator[ServiceCpu]:
    from rbdiag.redact import redact_command

    sums = []
    for name, rows in groups.items():
        share = sum(p.share for p, _ in rows)
        sums.append((share, name, rows))
    sums.sort(key=lambda s: -s[0])
    for share, name, rows in sums[:_SERVICES_SHOWN]:
        most, owner = max(rows, key=lambda r: r[0].share)
        works = Counter[str]()
        for p, _ in rows:
            works[p.doing] += int(p.share * 1000)
        yield ServiceCpu(
            subject=name, window=window, kind=owner.kind, processes=len(rows),
            busy_processes=sum(p.share >= 0.01 for p, _ in rows), share=share,
            user_share=sum(p.user_share for p, _ in rows), system_share=sum(p.system_share for p, _ in rows),
            biggest=most.share, low_priority=all(p.low_priority for p, _ in rows if p.share >= 0.01),
            command=redact_command(list(owner.command)), doing=works.most_common(1)[0][0],  # type: ignore[arg-type]
            root=proc.subject(owner.root.name, owner.root.pid), root_pid=owner.root.pid,
            root_start_ticks=owner.root.start, unit=owner.unit,
        )  # fmt: skip

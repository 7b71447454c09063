"""Load of other kinds: quotas, disks, interrupts, reclaim, stolen time, tasks that wait and only look like CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.view import HALF, view
from rbdiag.facts import percent
from rbdiag.facts.cpu import CoreTime, Frequency, LoadAverage, Throttle
from rbdiag.facts.host import BlockedTask, DiskUse, KernelEvent, Memory, Paging
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.4: throttled in more than a tenth of the periods; fewer than five periods are no sample.
_THROTTLED, _PERIODS = 0.10, 5
# Catalogue A.4: steal 10 %, softirq 20 % of all or 80 % of one CPU, PSI io 20 %.
_STEAL, _SOFTIRQ, _SOFTIRQ_CORE, _IO_STALL = 0.10, 0.20, 0.80, 0.20
_IOWAIT, _DISK_BUSY = 0.10, 0.80
# Catalogue A.4: 1000 pages a second in and out together, and really both ways.
_SWAPPED, _SWAPPED_EACH_WAY = 1000.0, 100.0
_MEMORY_STALL, _RECLAIM = 0.05, 1000.0
_BLOCKED = 3
_SLOWED = 0.7


CGROUP_THROTTLED = Spec(
    code="cpu.cgroup-throttled",
    title="a CPU quota throttles a service",
    severity=Severity.WARNING,
    meaning="The control group of a service has used up its CPU quota and is made to wait for the rest of each period, "
    "even where the host's CPUs idle. Requests take longer in steps of the period (100 ms).",
    told="nr_throttled over nr_periods of the group's cpu.stat within the window is over 10 %; cgroup v1 and v2.",
    not_to_be_taken_for="counters from before the window; steal, which the hypervisor takes from every CPU.",
    resolution=("raise or remove the quota: CPUQuota=, cpu.max", "or fewer threads, so that the quota lasts"),
    explains=("cpu.process-hog", "cpu.runaway-thread", "cpu.many-processes", "cpu.single-core-bound"),
)


def cgroup_throttled(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    root = steps.sudo(facts)
    for t in facts.of(Throttle):
        if t.part <= _THROTTLED or t.periods < _PERIODS:
            continue
        # twice what it has, at most the host: bounded, and the same in every place it is said
        wanted = min(float(v.time.cpus) if v.time else t.quota * 2, t.quota * 2)
        who = f" ({', '.join(t.members[:2])})" if t.members else ""
        idle = f" while {percent(v.time.idle)} of the host idles" if v.time and v.time.idle >= 0.1 else ""
        if steps.our_unit(t.unit, facts):
            raise_it = Step(
                f"raise the quota to {wanted:g} CPUs (gone after a reboot)",
                f"{root}systemctl set-property --runtime {quote(t.unit)} CPUQuota={wanted * 100:.0f}%",
                "disruptive", f"systemctl show -p CPUQuotaPerSecUSec {quote(t.unit)}; {steps.VERIFY}",
            )  # fmt: skip
        else:
            period = 100_000
            file, value = (
                ("cpu.max", f"{wanted * period:.0f} {period}")
                if t.version == 2
                else ("cpu.cfs_quota_us", f"{wanted * period:.0f}")
            )
            path = quote(f"{t.mount}{t.path.rstrip('/')}/{file}")
            raise_it = Step(
                f"raise the quota to {wanted:g} CPUs, if whoever made the group agrees",
                f"echo '{value}' | {root}tee {path}", "disruptive", f"cat {path}; {steps.VERIFY}",
            )  # fmt: skip
        yield Finding(
            CGROUP_THROTTLED, Severity.WARNING, Confidence.CERTAIN, t.subject,
            f"{t.subject}{who} is throttled in {percent(t.part)} of its periods by its quota of {t.quota:g} CPUs{idle}",
            evidence=(t, *([v.time] if v.time else [])),
            resolution=(
                Step("see the quota and how often it bites", f"cat {quote(f'{t.mount}{t.path.rstrip(chr(47))}/cpu.stat')}"),
                *steps.look_at_log(t.unit, facts),
                raise_it,
            ),
            about=frozenset({t.subject, *t.members, *([t.unit] if t.unit else [])}), impact=t.part,
        )  # fmt: skip


IOWAIT = Spec(
    code="cpu.iowait",
    title="tasks wait for a disk",
    severity=Severity.WARNING,
    meaning="The load is tasks that wait for storage, not for CPUs. iowait itself is idle time with another name and "
    "vanishes as soon as another task uses the CPU, so it is reported and never decides.",
    told="Tasks stalled on I/O in over a fifth of the window and of the last ten seconds (PSI), together with a disk that is "
    "busy, processes blocked on a disk at every look, or CPUs idle in iowait.",
    not_to_be_taken_for="tasks blocked on a network mount, FUSE, a freezer or vfork (cpu.dstate-load).",
    resolution=("find who reads or writes", "limit or move it; a faster disk"),
    explains=("cpu.dstate-load",),
)


def iowait(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    io = v.pressure("io")
    blocked = [b for b in facts.of(BlockedTask) if b.wait == "disk"]
    disks = [d for d in facts.of(DiskUse) if d.util >= _DISK_BUSY]
    waiting = v.time is not None and v.held(lambda t: t.iowait) >= _IOWAIT
    # where pressure is not shown, two blocked tasks have to do
    stalled = len(blocked) >= 2 if io is None else io.some >= _IO_STALL and io.some_avg10 >= _IO_STALL / 2
    if not stalled or not (blocked or disks or waiting):
        return
    writers = sorted(
        (p for p, _ in v.processes if (p.read_rate or 0) + (p.write_rate or 0) >= 1e5),
        key=lambda p: -((p.read_rate or 0) + (p.write_rate or 0)),
    )[:3]
    first = blocked[0].subject if blocked else writers[0].subject if writers else disks[0].subject if disks else "host"
    on = f" on {disks[0].subject}" if disks else ""
    part = f" in {percent(io.some)} of the time" if io else ""
    yield Finding(
        IOWAIT, Severity.WARNING, Confidence.CERTAIN if blocked and io else Confidence.LIKELY, first,
        f"tasks wait for storage{on}{part}, not for CPU" + (f"; {len(blocked)} blocked, such as {blocked[0].subject}" if blocked else ""),
        evidence=(*([io] if io else []), *blocked[:4], *disks, *writers, *([v.time] if v.time else [])),
        resolution=(
            Step("see who reads and writes (KiB/s)", "pidstat -d 1 3"),
            Step("see how each disk does", "iostat -x 1 3"),
            *(
                Step(
                    f"let {b.subject} have the disk only when nobody else wants it",
                    f"{steps.sudo(facts)}ionice -c 3 -p {b.pid}", verify=f"ionice -p {b.pid}; {steps.VERIFY}",
                )
                for b in blocked[:1]
            ),
        ),
        about=frozenset({"host", first, *(b.subject for b in blocked), *(d.subject for d in disks)}),
        impact=io.some if io else HALF,
    )  # fmt: skip


DSTATE_LOAD = Spec(
    code="cpu.dstate-load",
    title="the load is blocked tasks, not CPU",
    severity=Severity.WARNING,
    meaning="Linux counts tasks in uninterruptible sleep (state D) into the load average. Here the load is such tasks: "
    "they wait for a mount, a lock, a freezer or their vfork child, while the CPUs idle.",
    told="Three or more processes in state D at every look, with what they wait for by kernel function, and over half of "
    "the CPUs idle.",
    not_to_be_taken_for="tasks waiting for a local disk (cpu.iowait).",
    resolution=("see what they wait for", "repair the mount, the lock holder or the frozen group"),
)

_WAIT_TEXT = {
    "network-fs": "a network file system",
    "fuse": "a FUSE file system whose daemon does not answer",
    "freezer": "a frozen control group (somebody froze it)",
    "vfork": "a vfork child that has not gone its own way yet",
    "lock": "a kernel lock",
    "disk": "a disk",
    "other": "something in the kernel",
}


def dstate_load(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    blocked = [b for b in facts.of(BlockedTask) if b.wait != "disk" and b.hits == b.looks]
    if len(blocked) < _BLOCKED or v.time is None or v.held(lambda t: t.idle + t.iowait) < HALF:
        return
    wait, _ = Counter(b.wait for b in blocked).most_common(1)[0]
    same = [b for b in blocked if b.wait == wait]
    load = facts.last(LoadAverage)
    # a load far above the number of blocked tasks comes from something else, or from before
    high = load is not None and v.time.cpus < load.load1 <= len(blocked) + load.runnable + 1
    root = steps.sudo(facts)
    pids = ",".join(str(b.pid) for b in same[:8])
    look = {
        "network-fs": Step("see which mount hangs", "grep -E ' (nfs4?|cifs|smb3|ceph) ' /proc/mounts"),
        "fuse": Step(
            "see the FUSE mounts and whether their daemons live",
            "grep fuse /proc/mounts; ps -eo pid,stat,args | grep -iE '[f]use|[s]shfs'",
        ),
        "freezer": Step("see which group they are in", f"cat /proc/{same[0].pid}/cgroup"),
        "vfork": Step("see their children", f"ps -o pid,ppid,stat,wchan:20,args --ppid {pids}"),
    }.get(wait)
    yield Finding(
        DSTATE_LOAD, Severity.WARNING, Confidence.CERTAIN if wait != "other" else Confidence.LIKELY, same[0].subject,
        f"{len(blocked)} processes are blocked in state D"
        f"{f' and make the load {load.load1:g}' if high and load else ''}, waiting for {_WAIT_TEXT[wait]}; the CPUs are "
        f"{percent(v.time.idle)} idle",
        evidence=(*same[:5], *([load] if load else []), v.time),
        resolution=(
            Step("see where in the kernel they wait", f"ps -o pid,stat,wchan:32,etimes,args -p {pids}; {root}cat /proc/{same[0].pid}/stack"),
            *([look] if look else []),
            *(
                [Step("thaw the group, if nobody froze it on purpose (v2)", f"echo 0 | {root}tee /sys/fs/cgroup$(cut -d: -f3 /proc/{same[0].pid}/cgroup | tail -1)/cgroup.freeze", "disruptive")]
                if wait == "freezer"
                else []
            ),
        ),
        about=frozenset({"host", *(b.subject for b in blocked)}), impact=0.5,
    )  # fmt: skip


SWAP_THRASH = Spec(
    code="cpu.swap-thrash",
    title="reclaim and swap eat the CPU",
    severity=Severity.CRITICAL,
    meaning="Memory is short: pages are written to swap and read back at once, or the kernel searches in vain for pages to "
    "free. Every program slows down, and the CPU time shows as system time.",
    told="Over 1,000 pages a second through swap, both ways; or memory stalls (PSI full over 5 %) with direct reclaim or a "
    "busy kswapd.",
    not_to_be_taken_for="swap that is used and not touched (healthy); a page cache that fills free memory (healthy).",
    resolution=("find who grew", "limit or end it; add memory"),
    explains=("cpu.system-time", "cpu.iowait", "cpu.process-hog", "host.disk-io"),
)


def swap_thrash(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    paging, memory, stall = facts.last(Paging), facts.last(Memory), v.pressure("memory")
    if paging is None:
        return
    kswapd = [b.process for b in v.hot if b.process.name.startswith("kswapd")]
    swapping = (
        paging.swap_in + paging.swap_out >= _SWAPPED and min(paging.swap_in, paging.swap_out) >= _SWAPPED_EACH_WAY
    )
    stalled = stall is not None and stall.full >= _MEMORY_STALL
    reclaiming = stalled and (paging.scan_direct >= _RECLAIM or bool(kswapd))
    if not (swapping or reclaiming):
        return
    short = memory is not None and memory.available < 0.1 * memory.total
    biggest = sorted((p for p, _ in v.processes), key=lambda p: -p.rss)[:3]
    where = "" if short else "; the host has memory left, so it is the limit of one control group"
    what = (
        f"{paging.swap_in + paging.swap_out:,.0f} pages a second go through swap"
        if swapping
        else f"all tasks stall for memory in {percent(stall.full if stall else 0)} of the time, and reclaim scans in vain"
    )
    yield Finding(
        SWAP_THRASH, Severity.CRITICAL if short else Severity.WARNING,
        Confidence.CERTAIN if swapping and stalled else Confidence.LIKELY, "host",
        f"{what}: memory is short{where}",
        evidence=(paging, *([stall] if stall else []), *([memory] if memory else []), *kswapd, *biggest),
        resolution=(
            Step("see who holds the memory", "ps -eo pid,rss,args --sort=-rss | head -15"),
            Step("see which groups stall", "grep -H some /sys/fs/cgroup/*/memory.pressure /sys/fs/cgroup/*/*/memory.pressure 2>/dev/null | sort -t= -k2 -rn | head"),
            Step("restart or limit the one that grew; add memory where all of it is wanted", risk="disruptive"),
        ),
        about=frozenset({"host", *(p.subject for p in biggest)}), impact=1.0 if short else 0.6,
    )  # fmt: skip


STEAL = Spec(
    code="cpu.steal",
    title="the hypervisor takes CPU time away",
    severity=Severity.WARNING,
    meaning="The virtual CPUs wanted to run and the machine underneath ran something else: an overcommitted host, or the "
    "credit of a burstable instance used up. Nothing inside this host can mend it.",
    told="Steal time of at least 10 % of all CPUs in every window.",
    not_to_be_taken_for="a quota on a control group inside this host (cpu.cgroup-throttled).",
    resolution=("move or resize the virtual machine; ask the provider",),
    explains=("cpu.capacity",),
)


def steal(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    taken = v.held(lambda t: t.steal)
    if v.time is None or taken < _STEAL:
        return
    yield Finding(
        STEAL, Severity.WARNING, v.confidence, "host",
        f"the hypervisor takes {percent(v.time.steal)} of this machine's CPU time away",
        evidence=tuple(v.times),
        resolution=(
            Step("watch it (column st)", "vmstat 1 5"),
            Step("move or resize this virtual machine, or ask its provider; nothing inside it helps", risk="disruptive"),
        ),
        about=frozenset({"host"}), impact=taken,
    )  # fmt: skip


SOFTIRQ = Spec(
    code="cpu.softirq",
    title="interrupts saturate a CPU",
    severity=Severity.WARNING,
    meaning="The CPUs (or one of them) are busy handling interrupts, mostly network packets: a flood, a very high packet "
    "rate, or all interrupts of a device on one CPU.",
    told="Soft and hard interrupts take at least 20 % of all CPU time, or 80 % of one CPU, in every window.",
    not_to_be_taken_for="system calls (cpu.system-time).",
    resolution=(
        "see which kind and which device",
        "find and stop the flood; spread the interrupts (RSS, RPS, irqbalance)",
    ),
    explains=("cpu.single-core-bound", "cpu.system-time"),
)


def softirq(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    part = v.held(lambda t: t.softirq + t.irq)
    cores: dict[str, list[CoreTime]] = {}
    for c in facts.of(CoreTime):
        cores.setdefault(c.subject, []).append(c)
    full = [
        rows[-1] for rows in cores.values()
        if len(rows) == len(v.times) and all(c.softirq + c.irq >= _SOFTIRQ_CORE for c in rows)
    ]  # fmt: skip
    if v.time is None or (part < _SOFTIRQ and not full):
        return
    one = f", {full[0].subject} {percent(full[0].softirq + full[0].irq)} of its own" if full else ""
    busy = [p for p, share in v.processes if share >= 0.1 and p.system_share > p.user_share and not p.low_priority][:3]
    yield Finding(
        SOFTIRQ, v.severity, v.confidence, "host",
        f"interrupts take {percent(v.time.softirq + v.time.irq)} of all CPU time{one}",
        evidence=(v.time, *full, *v.rates[-1:], *busy),
        resolution=(
            Step("see which kind of interrupt runs", "cat /proc/softirqs; sleep 1; cat /proc/softirqs"),
            Step("see which interface gets the packets", "sar -n DEV 1 3"),
            Step("see who sends them", f"{steps.sudo(facts)}timeout 5 tcpdump -nn -c 200 -i any", "safe"),
            Step("stop the sender or drop its packets; spread the interrupts over the CPUs (RSS, RPS)", risk="disruptive"),
        ),
        about=frozenset({"host", *(p.subject for p in busy)}), impact=max([part, *(c.softirq + c.irq for c in full)]),
    )  # fmt: skip


FREQUENCY_LIMITED = Spec(
    code="cpu.frequency-limited",
    title="the CPUs run slower than they can",
    severity=Severity.WARNING,
    meaning="Heat or a power policy keeps the clock of the CPUs down while there is work for them.",
    told="The processor counted thermal throttling within the window, or the allowed frequency is under 70 % of the highest, "
    "and the host is at least half busy.",
    not_to_be_taken_for="an idle host, which saves power on purpose.",
    resolution=("look at temperature and fans", "set the governor or power profile to performance"),
    explains=("cpu.capacity", "cpu.many-processes"),
)


def frequency_limited(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    f = facts.last(Frequency)
    if f is None or v.time is None or v.busy < HALF:
        return
    hot, low = f.throttle_events > 0, f.allowed < _SLOWED * f.highest
    if not (hot or low):
        return
    events = [e for e in facts.of(KernelEvent) if e.kind == "thermal"][-2:]
    why = "heat slows the CPUs" if hot else "a power policy slows the CPUs"
    yield Finding(
        FREQUENCY_LIMITED, Severity.WARNING, Confidence.CERTAIN if hot else Confidence.LIKELY, "host",
        f"{why}: {f.current:.0f} MHz now, {f.allowed:.0f} allowed of {f.highest:.0f}",
        evidence=(f, *events, v.time),
        resolution=(
            Step("see temperatures and fans", "sensors; ipmitool sdr type temperature"),
            *(
                [Step("see the policy", "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor; powerprofilesctl get")]
                if low
                else []
            ),
        ),
        about=frozenset({"host"}), impact=1 - f.allowed / f.highest,
    )  # fmt: skip


RULES = (cgroup_throttled, iowait, dstate_load, swap_thrash, steal, softirq, frequency_limited)

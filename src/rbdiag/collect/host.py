"""The host around the CPUs: pressure, memory, disks, blocked tasks, frequency, the kernel's own log."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

from rbdiag.collect import proc
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import Frequency
from rbdiag.facts.host import (
    BlockedTask,
    DiskUse,
    KernelEvent,
    KernelEventKind,
    Memory,
    Paging,
    Standing,
    TaskStates,
    Wait,
    Zombies,
)
from rbdiag.frozen import replace
from rbdiag.model import CannotLook, Fact, Gap


def standing() -> Standing:
    """Known without looking long: who we are, and what is there to be spoken to."""
    path = [*os.environ.get("PATH", "").split(":"), "/usr/bin", "/bin"]
    return Standing(
        subject="rbdiag",
        root=os.geteuid() == 0,
        sudo=any(os.access(f"{folder}/sudo", os.X_OK) for folder in path if folder),
        systemd=os.path.isdir("/run/systemd/system"),  # sd_booted(3)
    )


def memory(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """Memory now, and the pages moved and scanned per second."""
    before, began = proc.pairs(proc.read("/proc/vmstat", 32768)), time.monotonic()
    deadline.sleep(deadline.window(seconds))
    after, took = proc.pairs(proc.read("/proc/vmstat", 32768)), time.monotonic() - began
    info = proc.pairs(proc.read("/proc/meminfo", 16384))
    yield Memory(
        subject="host", total=info["MemTotal"] * 1024, available=info.get("MemAvailable", info["MemFree"]) * 1024,
        swap_total=info.get("SwapTotal", 0) * 1024, swap_free=info.get("SwapFree", 0) * 1024,
    )  # fmt: skip

    def rate(name: str) -> float:
        return (after.get(name, 0) - before.get(name, 0)) / took

    yield Paging(
        subject="host", swap_in=rate("pswpin"), swap_out=rate("pswpout"), scan_direct=rate("pgscan_direct"),
        scan_kswapd=rate("pgscan_kswapd"), major_faults=rate("pgmajfault"),
    )  # fmt: skip


_NO_DISK = re.compile(r"^(?:loop|ram|zram|fd|sr|nbd)\d")
_PARTITION = re.compile(r"^(?:(?:sd|vd|xvd|hd)[a-z]+\d+|(?:nvme\d+n\d+|mmcblk\d+)p\d+)$")


def parse_disks(data: bytes) -> dict[str, tuple[int, ...]]:
    """Whole disks of /proc/diskstats with their counters. Source: kernel documentation, admin-guide/iostats."""
    rows = {}
    for line in proc.text(data).splitlines():
        _, _, name, *counters = line.split()
        if not _NO_DISK.match(name) and not _PARTITION.match(name):
            rows[name] = tuple(int(c) for c in counters[:11])
    return rows


_DISKS_SHOWN = 6


def disks(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """How busy each disk was, and how long a request took; the busiest first."""
    before, began = parse_disks(proc.read("/proc/diskstats", 1 << 20)), time.monotonic()
    if not before:
        raise CannotLook(Gap("missing", "no disk shows in /proc/diskstats", "run it on the host itself"))
    deadline.sleep(deadline.window(seconds))
    after, took = parse_disks(proc.read("/proc/diskstats", 1 << 20)), time.monotonic() - began
    rows = []
    for name, now in after.items():
        if name not in before:
            continue
        reads, _, sectors_read, ms_read, writes, _, sectors_written, ms_written, _, busy, queued = (
            max(0, b - a) for a, b in zip(before[name], now, strict=True)
        )
        done = reads + writes
        rows.append(
            DiskUse(
                subject=f"disk {name}",
                util=min(1.0, busy / 1000 / took),
                read_rate=sectors_read * 512 / took,
                write_rate=sectors_written * 512 / took,
                queue=queued / 1000 / took,
                wait_seconds=(ms_read + ms_written) / 1000 / done if done else 0.0,
            )
        )
    yield from sorted(rows, key=lambda row: (-row.util, row.subject))[:_DISKS_SHOWN]


# The kernel function a blocked task sleeps in, by prefix: what it waits for. From fs/, block/, mm/ and kernel/.
_WAITS: tuple[tuple[Wait, tuple[str, ...]], ...] = (
    ("network-fs", ("nfs", "rpc_", "cifs", "smb", "ceph", "afs", "p9_", "v9fs", "ocfs2", "gfs2")),
    ("fuse", ("fuse_", "request_wait_answer")),
    ("freezer", ("refrigerator", "do_freezer_trap", "try_to_freeze", "freezing")),
    ("vfork", ("kernel_clone", "do_fork", "wait_for_vfork")),
    ("lock", ("rwsem", "mutex", "down_", "percpu_rwsem", "sb_start")),
    (
        "disk",
        (
            "io_schedule", "iomap", "blk_", "bio_", "submit_bio", "wait_on_page", "folio_wait", "folio_lock",
            "wait_on_buffer", "jbd2", "ext4", "xfs", "xlog", "btrfs", "f2fs", "zil_", "txg_",
            "cv_wait_io", "rq_qos", "wbt_", "balance_dirty", "dm_", "md_", "raid", "throtl", "blkdev",
            "do_get_write_access", "wait_transaction", "lock_page", "filemap", "generic_file", "direct_io", "dio_",
            "swap_read", "get_request",
        ),
    ),
)  # fmt: skip
# On a larger host the states are estimated from this many processes, and all are read only where that shows need.
_ALL_UP_TO, _SAMPLE, _SUSPECT = 300, 128, 2
# Checks that begin together share one listing of the processes.
_LISTING = 0.05
_LOOKS, _BLOCKED_SHOWN = 4, 12


def wait_of(wchan: str) -> Wait:
    """What a task waits for, from the kernel function it sleeps in; leading underscores come and go between kernels."""
    name = wchan.lstrip("_")
    return next((wait for wait, prefixes in _WAITS if name.startswith(prefixes)), "other")


def tasks(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """Processes by state; those blocked (state D) most of the time, with what they wait for; zombies by parent."""
    from rbdiag.redact import redact_command

    everyone = proc.pids(_LISTING)
    chosen = everyone if len(everyone) <= _ALL_UP_TO else random.sample(everyone, _SAMPLE)
    stats = [s for pid in chosen if (s := proc.stat(pid)) is not None]
    load, _, _, runnable, _ = proc.read("/proc/loadavg", 256).split()
    odd = sum(s.state in "DZ" for s in stats)
    if len(chosen) < len(everyone) and (odd >= _SUSPECT or float(load) > 2 * (os.cpu_count() or 1)):
        chosen = everyone
        stats = [s for pid in chosen if (s := proc.stat(pid)) is not None]
    scale = len(everyone) / max(1, len(stats)) if len(chosen) < len(everyone) else 1
    states = Counter(s.state for s in stats)

    found = {s.pid: s for s in stats if s.state == "D" and not s.kernel}
    hits, wchans, looks = Counter(found.keys()), {pid: _wchan(pid) for pid in found}, 1
    while found and looks < _LOOKS:
        deadline.sleep(deadline.window(seconds / _LOOKS))
        looks += 1
        for pid, then in found.items():
            if (now := proc.stat(pid)) is not None and now.state == "D" and now.start == then.start:
                hits[pid] += 1
                wchans[pid] = _wchan(pid) or wchans[pid]
    # one that is blocked most of the time, and not just caught once
    blocked = {pid: s for pid, s in found.items() if hits[pid] * 2 > looks}

    yield TaskStates(
        subject="host", total=len(everyone), running=int(runnable.split(b"/")[0]), exact=scale == 1,
        blocked=len(blocked) if scale == 1 else round(states["D"] * scale), zombies=round(states["Z"] * scale),
        stopped=round((states["T"] + states["t"]) * scale),
    )  # fmt: skip
    for pid, s in list(blocked.items())[:_BLOCKED_SHOWN]:
        yield BlockedTask(
            subject=proc.subject(s.name, pid), pid=pid, wait=wait_of(wchans[pid]), wchan=wchans[pid], hits=hits[pid],
            looks=looks,
            command=redact_command(proc.command_line(pid)) or s.name,
        )  # fmt: skip
    for parent, count in Counter(s.parent for s in stats if s.state == "Z").most_common(3):
        if (s := proc.stat(parent)) is not None:
            yield Zombies(
                subject=proc.subject(s.name, parent), count=count, parent_pid=parent, parent_start_ticks=s.start,
                command=redact_command(proc.command_line(parent)) or s.name,
            )  # fmt: skip


def _wchan(pid: int) -> str:
    try:
        name = proc.text(proc.read(f"/proc/{pid}/wchan", 128)).strip("\0\n ")
    except OSError:
        return ""  # gone, or not ours to know
    return "" if name == "0" else name


def frequency(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """How fast the CPUs may run, and whether heat slowed them within the window."""
    base = "/sys/devices/system/cpu"
    names = [n for n in os.listdir(base) if re.fullmatch(r"cpu\d+", n)]
    rows = [f"{base}/{n}/cpufreq" for n in names if os.path.isdir(f"{base}/{n}/cpufreq")]
    heats = [f"{base}/{n}/thermal_throttle/core_throttle_count" for n in names]
    if not rows:
        raise CannotLook(
            Gap(
                "missing",
                "frequency and heat are not visible here (usual in a virtual machine)",
                "look at the machine underneath",
            )
        )
    before = sum(_integer(path) or 0 for path in heats)
    deadline.sleep(deadline.window(seconds))
    highest, allowed, current = (
        [v / 1000 for row in rows if (v := _integer(f"{row}/{name}")) is not None]
        for name in ("cpuinfo_max_freq", "scaling_max_freq", "scaling_cur_freq")
    )
    if not (highest and allowed and current):
        raise CannotLook(Gap("missing", "the frequency driver tells no frequencies", "look at the machine underneath"))
    yield Frequency(
        subject="host", highest=max(highest), allowed=max(allowed), current=max(current),
        throttle_events=max(0, sum(_integer(path) or 0 for path in heats) - before),
    )  # fmt: skip


def _integer(path: str) -> int | None:
    try:
        return int(proc.read(path, 64))
    except (OSError, ValueError):
        return None  # this CPU has no such file


# What the kernel's lines say, and, where they name a process, its `process` and `pid`. From mm/oom_kill.c,
# kernel/hung_task.c, block/blk-core.c, fs/ext4/super.c, fs/xfs/xfs_message.c, fs/btrfs/messages.c. A floppy or an empty
# drive is no disk.
_KERNEL_LINES: tuple[tuple[KernelEventKind, re.Pattern[str]], ...] = (
    ("hung-task", re.compile(r"INFO: task (?P<process>\S+):(?P<pid>\d+) blocked for more than \d+ seconds")),
    (
        "soft-lockup",
        re.compile(
            r"(?:BUG: soft lockup|rcu.*self-detected stall|hard LOCKUP)(?:.*\[(?P<process>[^\]]+):(?P<pid>\d+)\])?"
        ),
    ),
    (
        "oom-kill",
        re.compile(
            r"(?:[Oo]ut of memory(?: \([^)]*\))?: Kill(?:ed)?|Memory cgroup out of memory: Kill(?:ed)?) "
            r"process (?P<pid>\d+) \((?P<process>.*?)\)(?=[ ,]|$)"
        ),
    ),
    ("thermal", re.compile(r"temperature above threshold, cpu clock throttled|PROCHOT", re.IGNORECASE)),
    (
        "fs-readonly",
        re.compile(
            r"Remounting filesystem read-only|[Ff]orced readonly|[Ss]hutting down filesystem"
            r"|Filesystem has been shut down"
        ),
    ),
    (
        "io-error",
        re.compile(
            r"I/O error, dev (?!fd\d|sr\d)|Buffer I/O error on dev(?:ice)? (?!fd\d|sr\d)"
            r"|critical (?:medium|target) error, dev |EXT[234]-fs error \(device"
            r"|XFS \([^)]+\): (?:.*I/O [Ee]rror|.*[Cc]orruption)|BTRFS (?:error|critical) \(device"
            r"|JBD2: .*I/O error|F2FS-fs \([^)]+\): .*error"
        ),
    ),
)  # fmt: skip
_EVENTS_SHOWN = 10
# The line before a kill for memory, mm/oom_kill.c: it alone names the control group of the process.
_KILLED_IN = re.compile(r"^oom-kill:constraint=.*,task_memcg=(?P<group>[^,]*),task=.*,pid=(?P<pid>\d+)")


def parse_kernel_record(record: bytes, boot: float) -> tuple[float, str] | None:
    """One record of /dev/kmsg (`priority,sequence,microseconds,flags;text`): its time and its first line."""
    head, found, message = record.partition(b";")
    fields = head.split(b",")
    if not found or len(fields) < 3 or not fields[2].isdigit():
        return None
    return boot + int(fields[2]) / 1e6, proc.text(message.split(b"\n", 1)[0])


def kernel_event(line: str, at: float) -> KernelEvent | None:
    """What a line of the kernel's log says of trouble, and of which process; None for the many that say nothing."""
    for kind, pattern in _KERNEL_LINES:
        if (found := pattern.search(line)) is not None:
            named = found.groupdict()
            pid = named.get("pid")
            return KernelEvent(
                subject="host", kind=kind, happened_at=at, text=line, process=named.get("process") or "",
                pid=int(pid) if pid else None, cgroup=kind == "oom-kill" and line.startswith("Memory cgroup"),
            )  # fmt: skip
    return None


def kernel_log(since: float, deadline: Deadline) -> Iterator[Fact]:
    """Lines of the kernel's log since then that say the host is in trouble, the latest ten."""
    from rbdiag.redact import redact

    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CannotLook(Gap("missing", "there is no /dev/kmsg here", "run it on the host itself")) from error
    # The log's clock stands still while the machine sleeps, so after a suspend its times are too early, never too late.
    boot = time.time() - time.monotonic()
    events: list[KernelEvent] = []
    groups: dict[int | None, str] = {}
    try:
        while True:
            deadline.left()
            try:
                record = os.read(fd, 8192)
            except BlockingIOError:
                break  # that was the newest
            except BrokenPipeError:
                continue  # EPIPE: overwritten while we read; the next read goes on behind the hole
            parsed = parse_kernel_record(record, boot)
            if parsed is None or parsed[0] < since:
                continue
            at, line = parsed
            if killed := _KILLED_IN.match(line):
                groups[int(killed["pid"])] = killed["group"]
            elif (event := kernel_event(line, round(at, 3))) is not None:
                group = groups.get(event.pid, "") if event.kind == "oom-kill" else ""
                events.append(replace(event, text=redact(line), group=group))
    finally:
        os.close(fd)
    yield from latest(events)


def latest(events: list[KernelEvent]) -> list[KernelEvent]:
    """The latest ten, of which a kind that repeats itself (a dying disk) may take half: it must not hide the others."""
    taken: Counter[str] = Counter()
    chosen = []
    for event in reversed(events):
        taken[event.kind] += 1
        if taken[event.kind] <= _EVENTS_SHOWN // 2:
            chosen.append(event)
    return chosen[:_EVENTS_SHOWN][::-1]

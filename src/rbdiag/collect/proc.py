"""Reading /proc, cheaply: bytes in, records out, and the few reads everybody needs.

Source: proc(5), and for the CPU clock of another process clock_getcpuclockid(3).
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h


def read(path: str, most: int = 65536) -> bytes:
    """The first bytes of a small file, in one open, one read and one close."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def text(data: bytes) -> str:
    """Bytes from outside as text; what is no UTF-8 becomes a visible escape, so nothing is lost or hidden."""
    return data.decode("utf-8", "backslashreplace")


_listed: tuple[float, list[int]] = (0.0, [])


def pids(max_age: float = 0.0) -> list[int]:
    """Every visible process; a listing made at most `max_age` seconds ago will do, for listing costs 2 µs a process."""
    global _listed  # noqa: PLW0603 - one listing shared by checks that run side by side; replaced whole, never changed
    at, found = _listed
    if not found or time.monotonic() - at > max_age:
        found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        _listed = (time.monotonic(), found)
    return found


class Stat(NamedTuple):
    """The fields of /proc/PID/stat (or of a task's) that we use. Times are in clock ticks."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    kernel: bool
    user: int
    system: int
    ended_children: int
    nice: int
    threads: int
    start: int
    rss: int
    policy: int


def parse_stat(data: bytes) -> Stat:
    """One stat line. The name may hold anything, blanks and parentheses too, so it ends at the last `)`."""
    begin, end = data.index(b"("), data.rindex(b")")
    f = data[end + 2 :].split()
    return Stat(
        pid=int(data[:begin]),
        name=text(data[begin + 1 : end]),
        state=f[0].decode(),
        parent=int(f[1]),
        group=int(f[2]),
        session=int(f[3]),
        kernel=bool(int(f[6]) & _KERNEL_THREAD),
        user=int(f[11]),
        system=int(f[12]),
        ended_children=int(f[13]) + int(f[14]),
        nice=int(f[16]),
        threads=int(f[17]),
        start=int(f[19]),
        rss=int(f[21]) * PAGE,
        policy=int(f[38]) if len(f) > 38 else 0,
    )


def stat(pid: int) -> Stat | None:
    """The process's stat, or None where it has gone (a process may vanish at any step)."""
    try:
        return parse_stat(read(f"/proc/{pid}/stat", 4096))
    except (FileNotFoundError, ProcessLookupError, PermissionError, ValueError, IndexError):
        return None


def subject(name: str, pid: int) -> str:
    """How a process is called everywhere: as syslog does."""
    return f"{name}[{pid}]"


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty for kernel threads, zombies and those that have gone."""
    try:
        data = read(f"/proc/{pid}/cmdline", 131072)
    except OSError:
        return []  # gone, or hidden: its name is known from elsewhere
    return [text(part) for part in data.rstrip(b"\0").split(b"\0")] if data.strip(b"\0") else []


def run_delay(path: str) -> int | None:
    """Nanoseconds a task has been runnable without running. None where the kernel does not count it."""
    try:
        return int(read(f"{path}/schedstat", 128).split()[1])
    except (OSError, IndexError, ValueError):
        return None


def cpu_clocks(max_age: float = 0.0) -> dict[int, int]:
    """CPU nanoseconds of every visible process, ended threads included: one system call a process, no file.

    The clock id of another process is `~pid << 3 | 2`; a process that has gone gives EINVAL. `max_age` as for `pids`.
    """
    get, clocks = time.clock_gettime_ns, {}
    for pid in pids(max_age):
        try:
            clocks[pid] = get(~pid << 3 | 2)
        except OSError:
            continue  # it ended between the listing and the call
    return clocks


def cpu_times(max_age: float = 0.0) -> dict[int, int]:
    """The same from /proc/PID/stat, to the tick: the way for kernels and sandboxes that refuse foreign clocks."""
    times = {}
    for pid in pids(max_age):
        if (s := stat(pid)) is not None:
            times[pid] = int((s.user + s.system) * TICK * 1e9)
    return times


def foreign_clocks_work() -> bool:
    """Whether the CPU clock of another process can be read here (tried on the parent, or on process 1)."""
    for pid in (os.getppid(), 1):
        if pid > 0:
            try:
                time.clock_gettime_ns(~pid << 3 | 2)
            except OSError:
                continue
            return True
    return False


class HostStat(NamedTuple):
    """/proc/stat: ticks by kind for the host and for each CPU, and the counters of the scheduler."""

    at: float
    total: tuple[int, ...]
    cores: dict[str, tuple[int, ...]]
    context_switches: int
    interrupts: int
    forks: int
    runnable: int
    blocked: int


def parse_host_stat(data: bytes, at: float) -> HostStat:
    total: tuple[int, ...] = ()
    cores: dict[str, tuple[int, ...]] = {}
    counters = {b"ctxt": 0, b"intr": 0, b"processes": 0, b"procs_running": 0, b"procs_blocked": 0}
    for line in data.splitlines():
        key, _, rest = line.partition(b" ")
        if key.startswith(b"cpu"):
            # user nice system idle iowait irq softirq steal; guest time is already inside user
            ticks = tuple(int(v) for v in rest.split()[:8])
            ticks += (0,) * (8 - len(ticks))
            if key == b"cpu":
                total = ticks
            else:
                cores[key.decode()] = ticks
        elif key in counters:
            counters[key] = int(rest.split(b" ", 1)[0])
    if not total:
        raise ValueError("/proc/stat has no line for all CPUs")
    return HostStat(
        at, total, cores, counters[b"ctxt"], counters[b"intr"], counters[b"processes"],
        counters[b"procs_running"], counters[b"procs_blocked"],
    )  # fmt: skip


def host_stat() -> HostStat:
    return parse_host_stat(read("/proc/stat", 1 << 20), time.monotonic())


def parts(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, ...]:
    """Each kind as a part of the time between two samples. The kernel lets idle and iowait step back: never below 0."""
    moved = [max(0, b - a) for a, b in zip(before, after, strict=True)]
    whole = sum(moved) or 1
    return tuple(m / whole for m in moved)


def pairs(data: bytes) -> dict[str, int]:
    """`name value` or `name: value kB` lines as numbers, as in vmstat, cpu.stat and meminfo."""
    found = {}
    for line in data.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            found[words[0].rstrip(b":").decode()] = int(words[1])
    return found


def sees_whole_host() -> bool:
    """Whether every process of the machine shows in our /proc.

    Kernel threads show only in the first pid namespace, and with `hidepid` only to their owner: if kthreadd
    (always pid 2) is there, nothing is hidden.
    """
    try:
        return read("/proc/2/comm", 32).strip() == b"kthreadd"
    except OSError:
        return False  # which is the answer


def uptime() -> float:
    """Seconds since boot on the clock that process start times use."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

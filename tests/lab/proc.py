"""The lab's own reading of the kernel's files, so that a fault is proven without the program under test.

Most functions here return a counter; `rate` makes a measurement of one. CPU time is in seconds, so that its rate is
in cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

KTHREADD = 2  # the parent of all kernel threads
TICK = 1 / os.sysconf("SC_CLK_TCK")


def rate(counter: Callable[[], float], seconds: float = 0.5) -> float:
    """How fast a counter grows, a second."""
    begin, before = time.monotonic(), counter()
    time.sleep(seconds)
    after, end = counter(), time.monotonic()
    return (after - before) / (end - begin)


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def _stat(path: str) -> list[str]:
    """The fields of a stat file from the state on (field 3 of proc(5)); empty where the task has gone."""
    try:
        text = Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _seconds(path: str, kinds: slice) -> float:
    return sum(int(field) for field in _stat(path)[kinds]) * TICK


USER_AND_SYSTEM = slice(11, 13)
SYSTEM = slice(12, 13)


def cpu_seconds(*pids: int, kinds: slice = USER_AND_SYSTEM) -> float:
    """The CPU time these processes have used so far."""
    return sum(_seconds(f"/proc/{pid}/stat", kinds) for pid in pids)


def thread_seconds(pid: int, name: str) -> float:
    """The CPU time of the threads of this name."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text(errors="replace").strip() == name:
            total += _seconds(f"{task}/stat", USER_AND_SYSTEM)
    return total


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def children(pid: int) -> list[int]:
    """The children that the main thread of a process has now."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def states(pids: Iterable[int]) -> str:
    """One letter a process, as ps shows them; nothing for a process that has gone."""
    return "".join(fields[0] for pid in pids if (fields := _stat(f"/proc/{pid}/stat")))


def nice(pid: int) -> int:
    return int(_stat(f"/proc/{pid}/stat")[16])


_KINDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def host_seconds(*kinds: str, cpu: int | None = None) -> float:
    """CPU time of the host by the kernel's kinds, of one CPU or of all together."""
    label = "cpu" if cpu is None else f"cpu{cpu}"
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.split()[0] == label)
    values = dict(zip(_KINDS, (int(field) for field in line.split()[1:]), strict=False))
    return sum(values[kind] for kind in kinds) * TICK


def busy_seconds(cpu: int | None = None) -> float:
    """CPU time that the host spent on work."""
    return host_seconds("user", "nice", "system", "irq", "softirq", cpu=cpu)


def busy_part(seconds: float = 0.5) -> float:
    """The part of all CPUs (0 to 1) that is busy."""
    return rate(busy_seconds, seconds) / (os.cpu_count() or 1)


def stat_counter(name: str) -> float:
    """A counter of /proc/stat: `processes` for forks, `ctxt` for context switches."""
    return _keyed(Path("/proc/stat"), name)


def vmstat(name: str) -> float:
    return _keyed(Path("/proc/vmstat"), name)


def _keyed(path: Path, name: str) -> float:
    return next(float(words[1]) for line in path.read_text().splitlines() if (words := line.split())[0] == name)


def pressure_seconds(resource: str, kind: str = "some") -> float:
    """Time lost to waiting for a resource, from pressure stall information."""
    for line in Path(f"/proc/pressure/{resource}").read_text().splitlines():
        words = line.split()
        if words[0] == kind:
            return int(words[-1].removeprefix("total=")) / 1e6
    raise LookupError(f"no {kind} in /proc/pressure/{resource}")


def foreign_seconds() -> float:
    """CPU time of every process that does not descend from this one, and of the ended children they have reaped.

    Kernel threads are left out: what they do may be on account of anybody.
    """
    fields = {
        int(name): stat for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(f"/proc/{name}/stat"))
    }
    parents = {pid: int(stat[1]) for pid, stat in fields.items()}
    own = os.getpid()

    def is_foreign(pid: int) -> bool:
        while pid in parents:
            if pid == own:
                return False
            pid = parents[pid]
        return True

    return sum(
        sum(map(int, stat[11:15])) * TICK
        for pid, stat in fields.items()
        if KTHREADD not in (pid, parents[pid]) and is_foreign(pid)
    )


def load1() -> float:
    return os.getloadavg()[0]


def swap_used() -> int:
    """Bytes of swap in use."""
    kib = {line.split(":")[0]: line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()}
    return (int(kib["SwapTotal"]) - int(kib["SwapFree"])) * 1024


def cgroup_root(version: int, controller: str) -> Path | None:
    """Where groups with this controller can be made, or None where the kernel does not offer it."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if version == 1 and kind == "cgroup" and controller in options.split(","):
            return Path(where)
        if version == 2 and kind == "cgroup2":
            offered = Path(where, "cgroup.subtree_control").read_text().split()
            if controller in offered:
                return Path(where)
    return None


def group_counter(group: Path, name: str) -> float:
    """A counter of the cgroup's cpu.stat."""
    return _keyed(group / "cpu.stat", name)

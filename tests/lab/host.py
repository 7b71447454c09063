"""Faults of memory, disk and process table that show as high load or CPU."""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab import proc
from tests.lab.cpu import MASTER
from tests.lab.proc import pressure_seconds, rate, vmstat
from tests.lab.scenario import Fault, Setup, fault
from tests.lab.workbench import Lab, NotInEffect

MIB = 1024 * 1024


@fault("cpu.swap-thrash", "host.memory-pressure", needs=("root", "gcc", "mkswap", "cgroup v1 memory", "pressure"))
def swap_thrash(lab: Lab) -> Setup:
    """A process that works on 90 MiB where it may have 40: it lives on swap."""
    lab.swap(160 * MIB)
    group = lab.cgroup(1, "memory", memory_limit_in_bytes=40 * MIB)
    lab.start(lab.compiled("toucher", "cached"), "90", "forever", group=group)
    lab.prove("pages swapped in a second", lambda: rate(lambda: vmstat("pswpin"), 1), at_least=1000, within=20)
    lab.prove("pages swapped out a second", lambda: rate(lambda: vmstat("pswpout"), 1), at_least=1000)
    yield Fault(shown=("cached",))


@fault("cpu.iowait", "host.disk-io", needs=("root", "dd", "cgroup v1 blkio", "pressure"))
def disk_wait(lab: Lab) -> Setup:
    """Three readers of a disk that is slowed to a crawl."""
    device = _disk_of(lab.folder)
    lab.run("dd", "if=/dev/zero", f"of={lab.folder}/big", "bs=1M", "count=16", "conv=fsync")
    group = lab.cgroup(1, "blkio")
    lab.set(group, "blkio.throttle.read_bps_device", f"{device} {128 * 1024}")
    reader = "while :; do dd if=big of=/dev/null bs=64k iflag=direct; done"
    pids = [lab.start("sh", "-c", reader, group=group).pid for _ in range(3)]
    lab.prove(
        "readers in state D",
        lambda: proc.states(child for pid in pids for child in proc.children(pid)).count("D"),
        at_least=2,
    )
    lab.prove("part of the time some task waited for io", lambda: rate(lambda: pressure_seconds("io"), 2), at_least=0.1)
    lab.prove("part of the CPU time in iowait", _iowait, at_least=0.2, within=20)
    yield Fault(shown=("dd",))


def _iowait() -> float:
    return rate(lambda: proc.host_seconds("iowait"), 1) / (os.cpu_count() or 1)


def _disk_of(path: Path) -> str:
    """The whole disk, as major:minor, that holds a path; a throttle cannot be set on a partition."""
    number = path.stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not node.exists():
        raise NotInEffect(f"{path} is on no disk")
    real = node.resolve()
    disk = real.parent if (real / "partition").exists() else real
    return (disk / "dev").read_text().strip()


@fault("host.zombie-flood")
def zombies(lab: Lab) -> Setup:
    """A parent that never reaps its 200 ended children."""
    parent = lab.ready(lab.script("spawnd", MASTER.format(workers=200) + "os._exit(0)\n"))
    lab.prove("zombies", lambda: proc.states(proc.children(parent.pid)).count("Z"), at_least=200)
    yield Fault(("spawnd", str(parent.pid)))

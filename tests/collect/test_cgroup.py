"""CPU quotas: the two versions' files, mount tables, and a real group that is throttled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbdiag.collect.cgroup import Hierarchy, hierarchies, parse_quota, throttling
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import QuotaScan, Throttle

MOUNTS = b"""22 28 0:21 / /proc rw,nosuid - proc proc rw
31 22 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
33 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
34 22 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
35 22 0:30 / /mnt/with\\040blank rw - cgroup2 cgroup rw
"""


def test_the_trees_that_can_limit_cpu() -> None:
    assert hierarchies(MOUNTS) == [
        Hierarchy("/sys/fs/cgroup/unified", 2),
        Hierarchy("/mnt/with blank", 2),
        Hierarchy("/sys/fs/cgroup/cpu,cpuacct", 1),
    ]


@pytest.mark.parametrize(
    ("version", "limit", "period", "quota"),
    [
        (2, b"max 100000\n", b"", None),
        (2, b"20000 100000\n", b"", 0.2),
        (2, b"400000 100000\n", b"", 4.0),
        (2, b"", b"", None),
        (1, b"-1\n", b"100000\n", None),
        (1, b"50000\n", b"100000\n", 0.5),
        (1, b"5000\n", b"10000\n", 0.5),
    ],
)
def test_a_quota_in_cpus(version: int, limit: bytes, period: bytes, quota: float | None) -> None:
    assert parse_quota(version, limit, period) == quota


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A cgroup v1 group of our own with a quota of a fifth of a CPU, and a loop in it."""
    tree = next((h for h in hierarchies(Path("/proc/self/mountinfo").read_bytes()) if h.version == 1), None)
    if os.geteuid() != 0 or tree is None or not os.access(tree.mount, os.W_OK):
        pytest.skip("needs root and a writable cgroup v1 cpu tree")
    group = Path(tree.mount) / f"rbdiag-test-{os.getpid()}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text("20000")
    child = subprocess.Popen(["sh", "-c", f"echo $$ > {group}/cgroup.procs; while :; do :; done"])
    try:
        yield group
    finally:
        child.kill()
        child.wait()
        group.rmdir()


def test_a_real_group_is_seen_throttled(small_group: Path) -> None:
    facts = list(throttling(1.0, Deadline(5)))
    scan = facts[0]
    assert isinstance(scan, QuotaScan)
    assert scan.limited >= 1
    mine = next(f for f in facts if isinstance(f, Throttle) and f.path == f"/{small_group.name}")
    assert mine.version == 1
    assert mine.quota == 0.2
    assert mine.part > 0.5
    assert mine.members[0].startswith("sh[")
    assert (small_group / "cpu.stat").exists()
    assert str(small_group) == mine.mount + mine.path

"""CPU quotas of control groups, version 1 and 2.

Sources: kernel documentation, admin-guide/cgroup-v2 (cpu.max, cpu.stat) and scheduler/sched-bwc (cfs_quota_us).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Literal

from rbdiag.collect import proc
from rbdiag.collect.service import container_of, unit_of
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import QuotaScan, Throttle, Window
from rbdiag.frozen import Record
from rbdiag.model import CannotLook, Fact, Gap

# A host may have thousands of groups; beyond these we say that we stopped.
_GROUPS, _DEPTH = 4000, 10
_MEMBERS = 5


class Hierarchy(Record):
    """A mounted cgroup tree with CPU bandwidth control."""

    mount: str
    version: Literal[1, 2]


def hierarchies(mountinfo: bytes) -> list[Hierarchy]:
    """The trees that can limit CPU, from /proc/self/mountinfo. Version 2 first."""
    found = []
    for line in proc.text(mountinfo).splitlines():
        before, dash, after = line.partition(" - ")
        if not dash:
            continue
        mount = before.split(" ")[4].replace("\\040", " ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            found.append(Hierarchy(mount, 2))
        elif kind == "cgroup" and "cpu" in options.split(" ")[-1].split(","):
            found.append(Hierarchy(mount, 1))
    return sorted(found, key=lambda h: -h.version)


def parse_quota(version: int, limit: bytes, period: bytes = b"") -> float | None:
    """The quota in CPUs; None for no limit. v2: `cpu.max` is `QUOTA PERIOD` or `max PERIOD`; v1: -1 is no limit."""
    words = limit.split()
    if version == 2:
        return None if not words or words[0] == b"max" else int(words[0]) / int(words[1])
    return None if not words or int(words[0]) < 0 else int(words[0]) / int(period)


def _quota(path: str, version: int) -> float | None:
    try:
        if version == 2:
            return parse_quota(2, proc.read(f"{path}/cpu.max", 64))
        return parse_quota(1, proc.read(f"{path}/cpu.cfs_quota_us", 64), proc.read(f"{path}/cpu.cfs_period_us", 64))
    except (OSError, ValueError, IndexError):
        return None  # no bandwidth control in this group (the root has none), or it has just been removed


def own_quota() -> float | None:
    """The tightest CPU quota on the way from our own cgroup up to the root, in CPUs; None where there is none."""
    try:
        trees = hierarchies(proc.read("/proc/self/mountinfo", 1 << 20))
        lines = proc.text(proc.read("/proc/self/cgroup", 8192)).splitlines()
    except OSError:
        return None  # no cgroups here
    quotas = []
    for tree in trees:
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if (controllers == "") if tree.version == 2 else ("cpu" in controllers.split(",")):
                while True:
                    if (quota := _quota(tree.mount + path.rstrip("/"), tree.version)) is not None:
                        quotas.append(quota)
                    if path in ("/", ""):
                        break
                    path = path.rpartition("/")[0]
    return min(quotas, default=None)


class _Group(Record):
    tree: Hierarchy
    path: str
    quota: float
    stat: dict[str, int]
    used: int | None
    at: float


def throttling(seconds: float, deadline: Deadline) -> Iterator[Fact]:
    """Every group with a CPU quota that ran within the window: how often it was made to wait."""
    trees = hierarchies(proc.read("/proc/self/mountinfo", 1 << 20))
    trees = [tree for tree in trees if os.path.isdir(tree.mount)]
    if not trees:
        raise CannotLook(Gap("missing", "no cgroup tree with CPU control is mounted here", "run it on the host itself"))
    groups, looked, complete = _limited(trees)
    deadline.sleep(deadline.window(seconds))
    facts = [fact for group in groups if (fact := _throttle("first", group)) is not None]
    yield QuotaScan(
        subject="host",
        groups=looked,
        limited=len(groups),
        throttled=sum(f.throttled > 0 for f in facts),
        complete=complete,
    )
    yield from sorted(facts, key=lambda f: -f.throttled_seconds)


def _limited(trees: list[Hierarchy]) -> tuple[list[_Group], int, bool]:
    """The groups with a quota, how many groups were looked at, and whether that was all of them."""
    found: list[_Group] = []
    looked = 0
    for tree in trees:
        stack = [("", 0)]
        while stack:
            path, depth = stack.pop()
            if looked >= _GROUPS:
                return found, looked, False
            looked += 1
            full = tree.mount + path
            if (quota := _quota(full, tree.version)) is not None and (stat := _stat(full)) is not None:
                found.append(_Group(tree, path or "/", quota, stat, _used(full, tree, stat), time.monotonic()))
            if depth < _DEPTH:
                try:
                    with os.scandir(full) as entries:
                        stack += [(f"{path}/{e.name}", depth + 1) for e in entries if e.is_dir(follow_symlinks=False)]
                except OSError:
                    continue  # it was removed while we looked
    return found, looked, True


def _stat(path: str) -> dict[str, int] | None:
    try:
        return proc.pairs(proc.read(f"{path}/cpu.stat", 4096))
    except OSError:
        return None  # removed meanwhile


def _used(path: str, tree: Hierarchy, stat: dict[str, int]) -> int | None:
    """CPU nanoseconds the group has used. v1 counts them in the cpuacct tree, mounted with cpu or beside it."""
    if tree.version == 2:
        return stat["usage_usec"] * 1000 if "usage_usec" in stat else None
    for root in (tree.mount, os.path.join(os.path.dirname(tree.mount), "cpuacct")):
        try:
            return int(proc.read(root + path.removeprefix(tree.mount) + "/cpuacct.usage", 64))
        except (OSError, ValueError):
            continue  # not in this tree
    return None


def _throttle(window: Window, group: _Group) -> Throttle | None:
    full = group.tree.mount + group.path.rstrip("/")
    now, then = _stat(full), group.stat
    if now is None or "nr_periods" not in now:
        return None
    seconds = time.monotonic() - group.at
    periods = now["nr_periods"] - then["nr_periods"]
    if periods <= 0:
        return None  # nothing in it has run
    used = _used(full, group.tree, now)
    key, unit_ns = ("throttled_usec", 1000) if group.tree.version == 2 else ("throttled_time", 1)
    unit = unit_of(group.path)
    return Throttle(
        subject=unit or container_of(group.path) or f"cgroup {group.path}", unit=unit, window=window,
        mount=group.tree.mount, path=group.path, version=group.tree.version, members=_members(full),
        seconds=seconds, periods=periods, throttled=now["nr_throttled"] - then["nr_throttled"],
        throttled_seconds=(now.get(key, 0) - then.get(key, 0)) * unit_ns / 1e9, quota=group.quota,
        used=None if used is None or group.used is None else (used - group.used) / 1e9 / seconds,
    )  # fmt: skip


def _members(path: str) -> tuple[str, ...]:
    """The busiest few processes in the group and below it, by CPU time so far."""
    pids: list[int] = []
    for folder, _, files in os.walk(path):
        if "cgroup.procs" in files:
            try:
                pids += [int(p) for p in proc.read(f"{folder}/cgroup.procs", 65536).split()]
            except OSError:
                continue  # removed meanwhile, or a threaded group
    stats = [s for pid in pids[:500] if (s := proc.stat(pid)) is not None]
    stats.sort(key=lambda s: -(s.user + s.system))
    return tuple(proc.subject(s.name, s.pid) for s in stats[:_MEMBERS])

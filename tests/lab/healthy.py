"""Healthy twins: hosts that look like trouble and have none. Nothing may be said about them."""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.lab import proc
from tests.lab.cpu import MASTER, PART_TIME, SPIN, prove_cores
from tests.lab.proc import cpu_seconds, cpus, group_counter, rate, vmstat
from tests.lab.scenario import Fault, Setup, twin
from tests.lab.workbench import Lab

MIB = 1024 * 1024


def _prove_quiet(lab: Lab, within: float = 20) -> None:
    lab.prove("busy part of the host", proc.busy_part, at_most=0.12, within=within)


@twin(fast=True)
def idle_host(lab: Lab) -> Setup:
    """A host that does nothing."""
    _prove_quiet(lab)
    yield Fault()


@twin(fast=True)
def host_at_half(lab: Lab) -> Setup:
    """A host at 50 %: some workers at a quarter of a core each."""
    master = lab.ready(lab.script("webd", MASTER.format(workers=2 * cpus()) + PART_TIME.format(busy=0.025)))
    workers = proc.children(master.pid)
    lab.prove("cores used by the workers", lambda: rate(lambda: cpu_seconds(*workers), 1),
              at_least=0.4 * cpus(), at_most=0.6 * cpus())  # fmt: skip
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_least=0.4, at_most=0.65)
    yield Fault()


@twin(needs=("gcc",))
def five_thousand_sleepers(lab: Lab) -> Setup:
    """A host with 5,000 sleeping processes."""
    pid = lab.ready(lab.compiled("sleepers"), "5000").pid
    lab.prove("sleeping children", lambda: proc.states(proc.children(pid)).count("S"), at_least=5000)
    _prove_quiet(lab)
    yield Fault()


@twin(allowed=("cpu.background-batch",), fast=True)
def niced_batch(lab: Lab) -> Setup:
    """A batch job at nice 19 that takes all idle CPU."""
    source = "import os\nos.nice(19)\n" + MASTER.format(workers=cpus()) + SPIN
    workers = proc.children(lab.ready(lab.script("batchd", source)).pid)
    lab.prove("lowest nice value of the workers", lambda: min(map(proc.nice, workers)), at_least=19)
    lab.prove("part of all CPU time that is niced", _niced, at_least=0.8)
    yield Fault()


def _niced() -> float:
    return rate(lambda: proc.host_seconds("nice")) / (os.cpu_count() or 1)


@twin()
def two_second_spike(lab: Lab) -> Setup:
    """A program that takes two seconds of CPU to start, then waits for work."""
    source = "import signal, time\nwhile time.process_time() < 2:\n    sum(range(10_000))\nsignal.pause()\n"
    pid = lab.start(sys.executable, "-c", source).pid
    lab.prove("cores used", lambda: rate(lambda: cpu_seconds(pid), 0.2), at_least=0.7, within=1, lasting=False)
    yield Fault()
    lab.prove("cores used after the spike", lambda: rate(lambda: cpu_seconds(pid)), at_most=0.05, within=3)


@twin()
def load_falling(lab: Lab) -> Setup:
    """Ten busy seconds are over; only the load average still tells of them."""
    hogs = [lab.start(sys.executable, "-c", SPIN) for _ in range(8 * cpus())]
    prove_cores(lab, *(hog.pid for hog in hogs), at_least=0.7 * cpus(), lasting=False)
    lab.prove("load average while it lasts", proc.load1, at_least=1.5 * cpus(), within=30, lasting=False)
    time.sleep(8)
    for hog in hogs:
        lab.end(hog)
    _prove_quiet(lab)
    yield Fault()


@twin(needs=("root", "cgroup v1 cpu"))
def throttled_long_ago(lab: Lab) -> Setup:
    """A cgroup that met its CPU quota earlier and does not now: counters, but no difference."""
    group = lab.cgroup(1, "cpu", cpu_cfs_period_us=100_000, cpu_cfs_quota_us=10_000)
    source = "import signal, time\nwhile time.process_time() < 0.3:\n    sum(range(10_000))\nsignal.pause()\n"
    lab.start(lab.script("reportd", source), group=group)
    lab.prove("throttled periods since it began", lambda: group_counter(group, "nr_throttled"), at_least=15)
    lab.prove("throttled periods a second", lambda: rate(lambda: group_counter(group, "nr_throttled"), 1), at_most=0)
    yield Fault()


@twin(needs=("root", "gcc", "mkswap", "cgroup v1 memory"))
def cold_swap(lab: Lab) -> Setup:
    """Swap in use without traffic, three zombies, and one stopped process."""
    lab.swap(128 * MIB)
    group = lab.cgroup(1, "memory", memory_limit_in_bytes=40 * MIB)
    lab.ready(lab.compiled("toucher", "cached"), "90", "once", group=group)
    spawner = lab.ready(lab.script("spawnd", MASTER.format(workers=3) + "os._exit(0)\n"))
    stopped = lab.start("sleep", "1000")
    stopped.send_signal(signal.SIGSTOP)
    lab.prove("MiB of swap in use", lambda: proc.swap_used() / MIB, at_least=30)
    lab.prove("pages swapped a second", lambda: rate(lambda: vmstat("pswpin") + vmstat("pswpout"), 1), at_most=5)
    lab.prove("zombies", lambda: proc.states(proc.children(spawner.pid)).count("Z"), at_least=3)
    lab.prove("stopped processes", lambda: proc.states([stopped.pid]).count("T"), at_least=1)
    _prove_quiet(lab)
    yield Fault()

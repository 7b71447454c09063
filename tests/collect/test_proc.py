"""Reading /proc: recorded lines with every oddity, and the real files of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from rbdiag.collect import proc

REST = (
    b"S 7 42 42 0 -1 4194304 0 0 0 0 150 50 30 20 30 10 4 0 123456 1000000 250 0 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 3 0 0 0"
)


@pytest.mark.parametrize(
    ("comm", "name"),
    [
        (b"nginx", "nginx"),
        (b"a b) S 1 (c", "a b) S 1 (c"),
        (b")", ")"),
        (b"\x1b[2J", "\x1b[2J"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"", ""),
        (b"new\nline", "new\nline"),
    ],
)
def test_a_stat_line_is_read_whatever_the_name_holds(comm: bytes, name: str) -> None:
    stat = proc.parse_stat(b"99 (" + comm + b") " + REST + b"\n")
    assert (stat.pid, stat.name, stat.state, stat.parent, stat.group) == (99, name, "S", 7, 42)
    assert (stat.user, stat.system, stat.ended_children) == (150, 50, 50)
    assert (stat.nice, stat.threads, stat.start, stat.policy) == (10, 4, 123456, 3)
    assert stat.rss == 250 * proc.PAGE
    assert not stat.kernel


def test_a_kernel_thread_is_known_by_its_flag() -> None:
    assert proc.parse_stat(b"2 (kthreadd) S 0 0 0 0 -1 2129984 " + b"0 " * 40).kernel


def test_the_stat_of_a_process_that_has_gone_is_none() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert proc.stat(child.pid) is None
    assert proc.command_line(child.pid) == []


def test_cpu_clocks_agree_with_the_ticks_of_the_kernel() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        clock, stat = proc.cpu_clocks()[child.pid], proc.stat(child.pid)
        assert stat is not None
        assert abs(clock / 1e9 - (stat.user + stat.system) * proc.TICK) < 0.15
        assert proc.cpu_times()[child.pid] > 0
    finally:
        child.kill()
        child.wait()


def test_every_visible_process_has_a_clock() -> None:
    assert {os.getpid(), os.getppid()} <= set(proc.cpu_clocks())
    assert proc.foreign_clocks_work()


def test_arguments_keep_blanks_and_odd_bytes() -> None:
    child = subprocess.Popen(["sleep", "60"], executable="/bin/sleep")
    try:
        end = time.monotonic() + 5  # the kernel shows no arguments for a moment after the exec
        while not (command := proc.command_line(child.pid)) and time.monotonic() < end:
            time.sleep(0.01)
        assert command == ["sleep", "60"]
    finally:
        child.kill()
        child.wait()


STAT = b"""cpu  100 10 50 800 30 5 5 0 0 0
cpu0 60 5 25 400 10 0 0
cpu1 40 5 25 400 20 5 5 0 0 0
intr 123456 1 2 3
ctxt 99999
btime 1700000000
processes 4242
procs_running 3
procs_blocked 1
softirq 1 2 3
"""


def test_the_hosts_counters_are_read_by_name() -> None:
    stat = proc.parse_host_stat(STAT, 1.0)
    assert stat.total == (100, 10, 50, 800, 30, 5, 5, 0)
    assert stat.cores == {"cpu0": (60, 5, 25, 400, 10, 0, 0, 0), "cpu1": (40, 5, 25, 400, 20, 5, 5, 0)}
    assert (stat.context_switches, stat.interrupts, stat.forks, stat.runnable, stat.blocked) == (
        99999, 123456, 4242, 3, 1,
    )  # fmt: skip


def test_a_stat_file_without_its_first_line_is_refused() -> None:
    with pytest.raises(ValueError, match="no line for all CPUs"):
        proc.parse_host_stat(b"ctxt 1\n", 0.0)


def test_a_counter_that_steps_back_counts_as_nothing() -> None:
    assert proc.parts((10, 0, 0, 100, 50, 0, 0, 0), (20, 0, 0, 190, 40, 0, 0, 0)) == (0.1, 0, 0, 0.9, 0, 0, 0, 0)
    assert sum(proc.parts((1,) * 8, (1,) * 8)) == 0

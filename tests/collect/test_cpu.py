"""The sampler against real processes: what burns, what dies, what is born, and what vanishes while we look."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rbdiag.collect import cpu, proc
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.cpu import Births, CpuTime, EndedCpu, KernelRates, ProcessCpu, ServiceCpu, ThreadCpu
from rbdiag.model import CannotLook, Facts


@pytest.fixture
def start() -> Iterator:
    """Start programs, each in its own session; all are ended afterwards, by the group that is theirs."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str, settle: float = 0.3) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL)
        started.append(child)
        time.sleep(settle)
        return child

    yield begin
    for child in started:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def sample(seconds: float = 0.6, top: int = 10, focus: int | None = None) -> Facts:
    return Facts(cpu.processes(seconds, top, focus, Deadline(10)))


def of(facts: Facts, pid: int) -> ProcessCpu:
    return next(p for p in facts.of(ProcessCpu) if p.pid == pid)


def test_a_python_loop_is_seen_as_user_time(start) -> None:
    child = start(sys.executable, "-c", "while True: pass")
    seen = of(sample(), child.pid)
    assert seen.runtime == "python"
    assert seen.user_share > 5 * seen.system_share
    assert seen.share + (seen.wait or 0) > 0.7
    assert seen.allowed_cpus == len(os.sched_getaffinity(0))
    assert seen.start_ticks == proc.stat(child.pid).start  # type: ignore[union-attr]


def test_copying_byte_by_byte_is_seen_as_system_time(start) -> None:
    child = start("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "status=none")
    seen = of(sample(), child.pid)
    assert seen.system_share > seen.user_share
    assert seen.name == "dd"


def test_the_hot_thread_is_told_by_its_id(start) -> None:
    program = (
        "import threading, time\n"
        "for _ in range(5): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "while True: pass"
    )
    child = start(sys.executable, "-c", program)
    facts = sample()
    hottest = max((t for t in facts.of(ThreadCpu) if t.subject == of(facts, child.pid).subject), key=lambda t: t.share)
    assert hottest.tid == child.pid
    assert hottest.of_threads == 6


def test_low_priority_is_seen(start) -> None:
    child = start("nice", "-n", "15", sys.executable, "-c", "while True: pass")
    seen = of(sample(focus=child.pid), child.pid)
    assert seen.nice == 15
    assert seen.low_priority


def test_forked_workers_are_one_service(start) -> None:
    program = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            end = time.monotonic() + 0.02\n"
        "            while time.monotonic() < end: pass\n"
        "            time.sleep(0.08)\n"
        "time.sleep(60)"
    )
    master = start(sys.executable, "-c", program)
    facts = sample(1.0)
    service = next(s for s in facts.of(ServiceCpu) if s.root_pid == master.pid)
    assert service.processes == 4
    assert service.biggest < service.share / 2


def test_three_of_a_kind_under_one_parent_are_siblings(start) -> None:
    shell = "set -m; for i in 1 2 3; do sh -c 'while :; do :; done' & done; sleep 60"
    parent = start("bash", "-c", shell)
    try:
        facts = sample(1.0)
        service = next(s for s in facts.of(ServiceCpu) if s.root_pid == parent.pid)
        assert service.kind == "siblings"
        assert service.processes == 3
    finally:
        subprocess.run(["pkill", "-KILL", "-P", str(parent.pid)], check=False)


def test_processes_that_come_and_go_are_accounted_for(start) -> None:
    parent = start("sh", "-c", "while :; do /bin/true; done")
    facts = sample(1.0)
    ended = facts.first(EndedCpu)
    assert ended is not None
    assert ended.reaped > 0.1
    born = facts.first(Births)
    assert born is not None
    assert born.parent_pid == parent.pid
    assert born.hits > 3
    assert "true" in born.children


def test_a_process_that_is_paused_uses_nothing(start) -> None:
    child = start(sys.executable, "-c", "while True: pass")
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(0.2)
    seen = of(sample(focus=child.pid), child.pid)
    assert seen.state == "T"
    assert seen.share < 0.05


def test_processes_may_vanish_at_every_step(start) -> None:
    start("sh", "-c", "while :; do (exec sleep 0.01) & (exec sleep 0.05) & wait; done")
    for _ in range(3):
        assert sample(0.2).of(ServiceCpu)


def test_a_name_that_holds_terminal_commands_stays_as_it_is(start) -> None:
    program = "open('/proc/self/comm', 'wb').write(b'\\x1b[2J) S')\nwhile True: pass"
    child = start(sys.executable, "-c", program)
    assert of(sample(), child.pid).name == "\x1b[2J) S"


def test_a_pid_that_is_not_there_is_a_gap() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(CannotLook, match="no process"):
        sample(0.2, focus=child.pid)


def test_secrets_in_command_lines_do_not_get_in(start) -> None:
    child = start(sys.executable, "-c", "while True: pass", "--password=hunter2", "postgres://app:s3cret@db/shop")
    facts = sample()
    assert of(facts, child.pid).command
    assert not any("hunter2" in str(f) or "s3cret" in repr(f) for f in facts)


def test_the_fallback_without_foreign_clocks_sees_the_same(start, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start(sys.executable, "-c", "while True: pass")
    monkeypatch.setattr(proc, "foreign_clocks_work", lambda: False)
    assert of(sample(1.0), child.pid).share > 0.3


def test_the_window_shrinks_to_the_time_there_is() -> None:
    facts = Facts(cpu.host(5.0, Deadline(0.6)))
    seen = facts.first(CpuTime)
    assert seen is not None
    assert seen.seconds < 0.6
    assert facts.of(KernelRates)


def test_no_time_is_no_sample() -> None:
    with pytest.raises(OutOfTime):
        list(cpu.host(1.0, Deadline(0.05)))


def test_a_quiet_first_window_needs_no_second() -> None:
    assert list(cpu.confirm(10, None, Deadline(5), Facts())) == []

"""Calling real programs: that they are found, heard, and never outlive their time or us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbdiag.collect import programs
from rbdiag.collect.programs import call, find, stop_all
from rbdiag.deadline import Deadline, OutOfTime


def runs(pid: int) -> bool:
    """Whether the process still does something: a zombie that waits for its new parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Whether the process has gone, or goes within a few seconds: a signal takes its time on a busy machine."""
    for _ in range(500):
        if not runs(pid):
            return True
        time.sleep(0.01)
    return False


def number_in(path: Path) -> int:
    """The number a program wrote into a file, waited for."""
    for _ in range(500):
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    raise AssertionError(f"nothing was written to {path}")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    assert not programs._live


@pytest.mark.parametrize(
    ("script", "said", "complained", "status"),
    [
        pytest.param("echo out; echo err >&2; exit 3", b"out\n", b"err\n", 3, id="both outputs and the exit status"),
        pytest.param("kill -TERM $$", b"", b"", -signal.SIGTERM, id="ended by a signal"),
        pytest.param("echo $LC_ALL", b"C.UTF-8\n", b"", 0, id="the language is fixed"),
        pytest.param("exec >&- 2>&-; sleep 0.05; exit 4", b"", b"", 4, id="it lives on after closing its outputs"),
        pytest.param("ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$", b"", b"", 0, id="it leads a group of its own"),
    ],
)
def test_what_a_program_says_and_how_it_ends(script: str, said: bytes, complained: bytes, status: int) -> None:
    assert call(["sh", "-c", script], Deadline(20)) == (said, complained, status, False)


def test_there_is_no_input_to_wait_for() -> None:
    """Ours may be a terminal, or a pipe that nobody closes."""
    reading, writing = os.pipe()
    ours = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert call(["cat"], Deadline(5)).status == 0
    finally:
        os.dup2(ours, 0)
        for fd in (reading, writing, ours):
            os.close(fd)


@pytest.mark.parametrize("at_most", [None, 0.3], ids=["the deadline is near", "at most so long is allowed"])
def test_the_whole_group_is_killed_when_time_is_up(tmp_path: Path, at_most: float | None) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(OutOfTime):
        call(["sh", "-c", script], Deadline(20 if at_most else 0.3), at_most=at_most)
    assert ends(number_in(tmp_path / "child"))


def test_nothing_is_started_after_the_deadline(tmp_path: Path) -> None:
    deadline = Deadline(0.001)
    time.sleep(0.01)
    with pytest.raises(OutOfTime):
        call(["touch", str(tmp_path / "made")], deadline)
    assert not (tmp_path / "made").exists()


def test_what_a_program_leaves_behind_in_its_group_is_killed() -> None:
    done = call(["sh", "-c", "sleep 60 & echo $!"], Deadline(20))
    assert (done.status, ends(int(done.stdout))) == (0, True)


def test_a_child_that_fled_with_the_pipes_is_not_waited_for() -> None:
    script = "setsid sh -c 'echo $$; exec sleep 60' & sleep 0.5"
    done = call(["sh", "-c", script], Deadline(20))
    fled = int(done.stdout)
    assert (done.status, runs(fled)) == (0, True)
    os.kill(fled, signal.SIGKILL)


def test_a_program_that_says_too_much_is_stopped_there() -> None:
    done = call(["yes"], Deadline(20), max_bytes=1000)
    assert (done.stdout, done.status, done.cut) == (b"y\n" * 500, -signal.SIGKILL, True)


def test_endless_complaints_are_cut_and_the_program_goes_on() -> None:
    done = call(["sh", "-c", "yes | head -c 300000 >&2; echo end"], Deadline(20))
    assert (done.stdout, len(done.stderr), done.cut) == (b"end\n", 65536, False)


def test_an_interrupt_asks_a_program_to_stop_and_write() -> None:
    script = "trap 'echo written; exit 5' INT; while :; do sleep 0.01; done"
    done = call(["sh", "-c", script], Deadline(20), interrupt_after=0.5)
    assert (done.stdout, done.status) == (b"written\n", 5)


def test_memory_of_ours_can_be_handed_over() -> None:
    fd = os.memfd_create("test")
    try:
        assert call(["sh", "-c", f"echo kept > /proc/self/fd/{fd}"], Deadline(20), pass_fds=(fd,)).status == 0
        assert os.pread(fd, 100, 0) == b"kept\n"
    finally:
        os.close(fd)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call([str(tmp_path / "absent")], Deadline(20))


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with pytest.raises(PermissionError):
        call([str(tmp_path / "plain")], Deadline(20))


def test_stop_all_ends_what_runs_and_who_waits_for_it(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            call(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], Deadline(60))
        except OutOfTime as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    pid = number_in(tmp_path / "pid")
    stop_all()
    thread.join(10)
    assert (len(raised), ends(pid)) == (1, True)


_MAIN = """
import sys, threading, time
from rbdiag.collect.programs import call
from rbdiag.deadline import Deadline
script = f"echo $$ > {sys.argv[1]}; exec sleep 60"
threading.Thread(target=call, args=(["sh", "-c", script], Deadline(60)), daemon=True).start()
while True:
    time.sleep(0.01)
    try:
        if open(sys.argv[1]).read().endswith(chr(10)):
            break
    except FileNotFoundError:
        pass
print("ready", flush=True)
sys.stdin.read() if sys.argv[2] == "waits" else None
"""


@pytest.mark.parametrize("way", ["ends", "waits"], ids=["our end", "an interrupt"])
def test_no_program_outlives_us(tmp_path: Path, way: str) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, str(pid_file), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == b"ready\n"
        if way == "waits":
            ours.send_signal(signal.SIGINT)
        ours.wait(20)
    assert ends(number_in(pid_file))


def test_programs_are_heard_where_ended_children_are_ignored() -> None:
    code = (
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from rbdiag.collect.programs import call\nfrom rbdiag.deadline import Deadline\n"
        "print(call(['echo', 'heard'], Deadline(20)).stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert (done.stdout, done.stderr) == (b"b'heard\\n'\n", b"")


@pytest.mark.parametrize(
    ("mode", "path", "executable", "more", "found"),
    [
        pytest.param(0o755, "{here}", "/nowhere/python", (), True, id="on PATH"),
        pytest.param(0o755, "/nowhere", "{here}/python", (), True, id="beside our interpreter"),
        pytest.param(0o755, "/nowhere", "/nowhere/python", ("{here}",), True, id="in a folder named by the caller"),
        pytest.param(0o644, "{here}", "/nowhere/python", (), False, id="not executable"),
        pytest.param(0o755, "/nowhere", "/nowhere/python", (), False, id="elsewhere"),
        pytest.param(0o755, ".:", "", (), False, id="only in the current folder"),
    ],
)
def test_where_programs_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, path: str, executable: str, more: tuple[str, ...],
    found: bool,
) -> None:  # fmt: skip
    tool = tmp_path / "some-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(mode)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(here=tmp_path))
    monkeypatch.setattr(sys, "executable", executable.format(here=tmp_path))
    assert find("some-tool", [folder.format(here=tmp_path) for folder in more]) == (str(tool) if found else None)


def test_system_folders_are_searched_although_cron_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    in_sbin = next((f for f in sorted(os.listdir("/usr/sbin")) if os.access(f"/usr/sbin/{f}", os.X_OK)), None)
    if in_sbin is None:
        pytest.skip("nothing in /usr/sbin")
    assert find(in_sbin) == f"/usr/sbin/{in_sbin}"

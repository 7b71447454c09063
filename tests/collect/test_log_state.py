"""What a run with --new-only tells: each line once, whatever becomes of the files between two runs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_unpack
from rbdiag.collect.log_parts import Part
from rbdiag.collect.log_sources import Log, Wanted, opened
from rbdiag.collect.log_state import State
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap
from tests.collect import rotating

LATER = 60.0  # seconds after which nobody can be writing any more


def new_in(log: Log) -> Iterator[bytes]:
    first, offset = log.new_from or (0, 0)
    for part in log.parts[first:]:
        yield part.read(offset, part.size)
        offset = 0


class Cron:
    """Runs over the same logs, one after another."""

    def __init__(self, directory: Path, *files: Path | str) -> None:
        self.directory, self.wanted = directory, Wanted(tuple(map(str, files)))

    def run(self, *, later: float = 0.0, commit: bool = True, seconds: float = 10.0) -> tuple[list[bytes], list[Gap]]:
        lines: list[bytes] = []
        gaps: list[Gap] = []
        with State(self.directory, lambda: time.time() + later) as state:
            for found in opened(self.wanted, time.time() - 3600, Deadline(seconds), state):
                if isinstance(found, Gap):
                    gaps.append(found)
                    continue
                lines += b"".join(new_in(found)).splitlines(keepends=True)
                for part in found.parts:
                    part.close()
            if commit and (gap := state.commit()):
                gaps.append(gap)
        return lines, gaps

    def lines(self, **how: bool | float) -> list[bytes]:
        lines, gaps = self.run(**how)  # type: ignore[arg-type]
        assert gaps == []
        return lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "app.log"
    path.parent.mkdir()
    path.write_bytes(b"one\ntwo\n")
    return path


@pytest.fixture
def cron(tmp_path: Path, log: Path) -> Cron:
    return Cron(tmp_path / "state", log)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_first_run_tells_what_the_window_holds_and_the_next_what_came_since(log: Path, cron: Cron) -> None:
    assert cron.lines() == [b"one\n", b"two\n"]
    assert cron.lines() == []
    append(log, "three\n")
    assert cron.lines() == [b"three\n"]
    assert cron.lines() == []


def test_the_first_run_leaves_the_window_to_its_times(log: Path, cron: Cron) -> None:
    def places() -> list[tuple[int, int] | None]:
        with State(cron.directory) as state:
            found = [log for log in opened(cron.wanted, 0.0, Deadline(5), state) if isinstance(log, Log)]
            state.commit()
        return [log.new_from for log in found]

    assert places() == [None]
    assert places() == [(0, 8)]


def delete(path: Path) -> None:
    path.unlink()
    path.touch()


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def edit(path: Path) -> None:
    """As editors save: the same content in a new file of the same name."""
    saved = path.with_suffix(".swp")
    saved.write_bytes(path.read_bytes())
    saved.rename(path)


def packed(path: Path) -> None:
    rotating.rename(path)
    rotating.compress(path, 1)


def moved_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.touch()


def dated(path: Path) -> None:
    path.rename(path.with_name("app.log-20261123"))
    path.touch()


LOSELESS = {
    "renamed": rotating.rename, "copied and emptied": rotating.copytruncate, "packed": packed, "edited": edit,
    "renamed to a date": dated,
}  # fmt: skip
EMPTIED = {"truncated": truncate, "made anew": delete, "moved out of sight": moved_away}


@pytest.mark.parametrize("rotate", LOSELESS.values(), ids=LOSELESS)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_was_written_before_and_after_a_rotation_is_told_once(
    log: Path, cron: Cron, rotate: Callable[[Path], None], times: int
) -> None:
    cron.lines()
    expected = []
    for number in range(times):
        append(log, f"before {number}\n")
        rotate(log)
        expected.append(f"before {number}\n".encode())
        if rotate is dated:
            break
    append(log, "after\n")
    assert cron.lines() == [*expected, b"after\n"]
    assert cron.lines() == []


@pytest.mark.parametrize("rotate", EMPTIED.values(), ids=EMPTIED)
@pytest.mark.parametrize("text", ["x\n", "a line that is longer than all that was there before\n"])
def test_what_is_written_into_an_emptied_file_is_new(
    log: Path, cron: Cron, rotate: Callable[[Path], None], text: str
) -> None:
    cron.lines()
    rotate(log)
    append(log, text)
    assert cron.lines() == [text.encode()]
    assert cron.lines() == []


def test_a_writer_that_goes_on_in_the_old_file_is_heard(log: Path, cron: Cron) -> None:
    cron.lines()
    rotating.rename(log)
    append(log, "new file\n")
    assert cron.lines() == [b"new file\n"]
    append(log.with_name("app.log.1"), "old file, late\n")
    append(log, "new file again\n")
    assert cron.lines() == [b"old file, late\n", b"new file again\n"]
    assert cron.lines() == []


def test_logs_that_begin_alike_are_told_apart_by_what_follows(log: Path, cron: Cron) -> None:
    header = "# Version: 8.4\n# Fields: time user query\n"
    log.write_text(header)
    assert len(cron.lines()) == 2
    append(log, "first query\n")
    rotating.copytruncate(log)
    append(log, header + "second query\n")
    assert [line for line in cron.lines() if b"query\n" in line and line[:1] != b"#"] == [
        b"first query\n", b"second query\n",
    ]  # fmt: skip
    assert cron.lines() == []


def test_a_long_header_that_is_written_again_does_not_hide_what_follows_it(log: Path, cron: Cron) -> None:
    header = "# the same in each run of the program\n" * 40
    log.write_text(header + "first\n")
    cron.lines()
    log.write_text(header + "second, which is longer\nthird\n")
    assert b"second, which is longer\n" in cron.lines()


def test_an_unfinished_line_is_left_for_the_next_run_until_nobody_writes_it_any_more(log: Path, cron: Cron) -> None:
    append(log, "unfini")
    assert cron.lines() == [b"one\n", b"two\n"]
    append(log, "shed\n")
    assert cron.lines() == [b"unfinished\n"]
    append(log, "never ended")
    assert cron.lines(later=LATER) == []
    assert cron.lines() == []
    assert cron.lines(later=LATER) == [b"never ended"]
    assert cron.lines(later=LATER) == []


def test_a_log_of_nothing_but_an_unfinished_line_is_told_in_the_end(log: Path, cron: Cron) -> None:
    log.write_text("no end")
    assert cron.lines() == []
    assert cron.lines(later=LATER) == [b"no end"]
    assert cron.lines(later=LATER) == []


def test_a_log_that_is_empty_has_nothing_new(log: Path, cron: Cron) -> None:
    log.write_bytes(b"")
    assert cron.lines() == []
    append(log, "first\n")
    assert cron.lines() == [b"first\n"]


def test_a_new_log_of_a_glob_is_told_whole(log: Path, tmp_path: Path) -> None:
    cron = Cron(tmp_path / "state", log.parent / "*.log")
    cron.lines()
    (log.parent / "other.log").write_text("hello\n")
    append(log, "three\n")
    assert sorted(cron.lines()) == [b"hello\n", b"three\n"]
    assert cron.lines() == []


def test_a_shell_that_names_the_rotated_files_too_changes_nothing(log: Path, tmp_path: Path) -> None:
    Cron(tmp_path / "state", log).lines()
    append(log, "three\n")
    rotating.rename(log)
    append(log, "four\n")
    both = Cron(tmp_path / "state", log, log.with_name("app.log.1"))
    assert both.lines() == [b"three\n", b"four\n"]


def test_what_was_not_committed_is_told_again(log: Path, cron: Cron) -> None:
    cron.lines()
    append(log, "three\n")
    assert cron.lines(commit=False) == [b"three\n"]
    assert cron.lines() == [b"three\n"]
    assert cron.lines() == []


def test_a_part_for_which_there_was_no_time_is_told_by_the_next_run(
    log: Path, cron: Cron, monkeypatch: pytest.MonkeyPatch
) -> None:
    cron.lines()
    append(log, "three\n")
    packed(log)
    append(log, "four\n")
    readable = log_unpack.readable

    def too_slow(part: Part, *args: Any) -> Any:
        if part.name.endswith(".gz"):
            raise CannotLook(Gap("deadline", "not unpacked in time"))
        return readable(part, *args)

    monkeypatch.setattr(log_unpack, "readable", too_slow)
    lines, gaps = cron.run()
    assert lines == [b"four\n"]
    assert [gap.reason for gap in gaps] == ["deadline"]
    monkeypatch.undo()
    assert cron.lines() == [b"three\n", b"four\n"]


# Any sequence.

STEPS = st.sampled_from(
    [*LOSELESS, *EMPTIED, "write", "write", "write", "begin a line", "pack the second", "run", "run"]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=3, max_size=25))
def test_any_sequence_of_writing_rotating_and_running_tells_each_line_once(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs" / "app.log"
        path.parent.mkdir()
        path.touch()
        cron = Cron(Path(folder) / "state", path)
        written: list[bytes] = []
        told: list[bytes] = []
        unfinished = False
        for number, step in enumerate(steps):
            if step in ("write", "begin a line"):
                text = ("" if unfinished else f"line {number:06d}") + ("\n" if step == "write" or unfinished else "")
                append(path, text)
                written += [] if unfinished else [b"line %06d\n" % number]
                unfinished = not text.endswith("\n")
                continue
            if unfinished and step != "run":  # rotation between the halves of a line tears it; that is not ours
                append(path, "\n")
                unfinished = False
            if step in EMPTIED:
                told += cron.lines()  # what nobody read before it was emptied is gone
                EMPTIED[step](path)
            elif step == "renamed to a date":
                if not path.with_name("app.log-20261123").exists():
                    dated(path)
            elif step in LOSELESS:
                LOSELESS[step](path)
            elif step == "pack the second":
                rotating.compress(path, 2)
            else:
                told += cron.lines()
        if unfinished:
            append(path, "\n")
        told += cron.lines()
        assert sorted(told) == written


# Two at once, and crashes.

_RUN = """
import sys, time
from rbdiag.collect.log_sources import Log, Wanted, opened
from rbdiag.collect.log_state import State
from rbdiag.deadline import Deadline
directory, path, out = sys.argv[1:4]
with State(directory) as state:
    for log in opened(Wanted((path,)), 0.0, Deadline(20), state):
        assert isinstance(log, Log), log
        first, offset = log.new_from or (0, 0)
        data = b"".join(p.read(offset if n == 0 else 0, p.size) for n, p in enumerate(log.parts[first:]))
        time.sleep(float(sys.argv[4]))
        with open(out, "ab") as file:
            file.write(data)
    print("delivered", flush=True)
    time.sleep(float(sys.argv[4]))
    assert state.commit() is None
"""


def start(cron: Cron, out: Path, pause: float) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", _RUN, str(cron.directory), cron.wanted.files[0], str(out), str(pause)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE)


def test_two_runs_at_once_tell_each_line_once(log: Path, cron: Cron, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cron.lines()
    append(log, "three\n")
    runs = [start(cron, out, 0.2) for _ in range(3)]
    for run in runs:
        assert run.communicate(timeout=30)[0] == b"delivered\n"
        assert run.returncode == 0
    assert out.read_bytes() == b"three\n"


def test_a_run_that_cannot_wait_says_so_and_loses_nothing(log: Path, cron: Cron) -> None:
    cron.lines()
    append(log, "three\n")
    with State(cron.directory) as first:
        list(opened(cron.wanted, 0.0, Deadline(5), first))
        lines, gaps = cron.run(seconds=0.4)
        assert lines == []
        assert [gap.reason for gap in gaps] == ["deadline"]
        assert "another run" in gaps[0].detail
    assert cron.lines() == [b"three\n"]


def test_runs_that_are_killed_repeat_lines_and_lose_none(log: Path, cron: Cron, tmp_path: Path) -> None:
    chance = random.Random(4)
    out = tmp_path / "out"
    out.touch()
    log.write_bytes(b"")
    for number in range(12):
        append(log, f"{number}\n")
        run = start(cron, out, 0.02)
        if chance.random() < 0.7:
            time.sleep(chance.random() * 0.25)
            run.send_signal(signal.SIGKILL)
        run.communicate(timeout=30)
        if chance.random() < 0.4:
            chance.choice([rotating.rename, rotating.copytruncate])(log)
    start(cron, out, 0.0).communicate(timeout=30)
    told = out.read_text().split()
    assert set(told) == {str(number) for number in range(12)}
    assert [p.name for p in cron.directory.iterdir() if p.suffix not in (".json", ".lock")] == []


def test_no_line_is_lost_or_doubled_while_the_log_is_written_and_rotated(tmp_path: Path) -> None:
    path, chance = tmp_path / "app.log", random.Random(1)
    cron = Cron(tmp_path / "state", path)
    told: list[bytes] = []
    with rotating.Writer(path) as writer:
        with rotating.rotated(path, writer, seed=2):
            end = time.monotonic() + 4
            while time.monotonic() < end:
                told += cron.lines()
                time.sleep(chance.random() * 0.3)
        written = writer.tell("stop")
    told += cron.lines()
    assert rotating.numbers(told) == list(range(written))


# States that are no good.

BROKEN = {
    "empty": b"", "no JSON": b"\xff\xfe{", "a list": b"[]", "no marks": b'{"version": 1}', "nested": b"[" * 100_000,
    "wrong types": b'{"version": 1, "at": "x", "cursor": "", "marks": [[1]]}',
    "a negative offset": json.dumps(
        {"version": 1, "at": 0, "cursor": "", "marks": [[-5, 9, 1, "0" * 64, 1, "0" * 64]]}
    ).encode(),
    "infinite": b'{"version": 1, "at": 1e999, "cursor": "", "marks": 7}',
    "huge": b" " * (1 << 20),
}  # fmt: skip


def kept(cron: Cron) -> Path:
    (path,) = cron.directory.glob("*.json")
    return path


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_state_is_said_and_replaced(log: Path, cron: Cron, content: bytes) -> None:
    cron.lines()
    kept(cron).write_bytes(content)
    lines, gaps = cron.run()
    assert lines == [b"one\n", b"two\n"]
    assert [gap.reason for gap in gaps] == ["failed"]
    assert cron.lines() == []


def test_the_state_of_a_newer_version_is_left_as_it_is(log: Path, cron: Cron) -> None:
    cron.lines()
    newer = json.loads(kept(cron).read_bytes()) | {"version": 99}
    kept(cron).write_text(json.dumps(newer))
    lines, gaps = cron.run()
    assert lines == [b"one\n", b"two\n"]
    assert "newer" in gaps[0].detail
    assert json.loads(kept(cron).read_bytes()) == newer


def test_a_link_in_the_state_directory_is_not_followed(log: Path, cron: Cron, tmp_path: Path) -> None:
    cron.lines()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    path = kept(cron)
    path.unlink()
    path.symlink_to(victim)
    path.with_suffix(".json.new").symlink_to(victim)
    lines, gaps = cron.run()
    assert len(lines) == 2
    assert len(gaps) == 1
    assert victim.read_text() == "untouched"
    assert cron.lines() == []


def test_a_pipe_instead_of_the_lock_hangs_nothing(log: Path, cron: Cron) -> None:
    cron.lines()
    (lock,) = cron.directory.glob("*.lock")
    lock.unlink()
    os.mkfifo(lock)
    append(log, "three\n")
    assert cron.run()[0][-1:] == [b"three\n"]


def test_a_state_directory_that_others_may_write_to_is_not_used(log: Path, cron: Cron) -> None:
    cron.directory.mkdir()
    cron.directory.chmod(0o777)
    lines, gaps = cron.run()
    assert lines == [b"one\n", b"two\n"]
    assert "others may write" in gaps[0].detail
    assert list(cron.directory.iterdir()) == []


def test_a_state_directory_that_is_a_file_is_a_gap(log: Path, cron: Cron) -> None:
    cron.directory.write_text("")
    lines, gaps = cron.run()
    assert lines == [b"one\n", b"two\n"]
    assert len(gaps) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_file_system_that_takes_nothing_is_a_gap(log: Path, tmp_path: Path, state: str) -> None:
    """In a mount namespace of its own, so that nothing is left behind."""
    script = f"""
mkdir {tmp_path}/mounted && mount -t tmpfs -o size=64k,mode=700 none {tmp_path}/mounted || exit 77
{"head -c 1000000 /dev/zero > " + str(tmp_path) + "/mounted/fill 2>&-" if state == "full" else ""}
{"mount -o remount,ro " + str(tmp_path) + "/mounted" if state == "read-only" else ""}
exec {sys.executable} -c '
import sys
from pathlib import Path
from tests.collect.test_log_state import Cron
lines, gaps = Cron(Path("{tmp_path}/mounted/state"), "{log}").run()
assert lines == [b"one\\n", b"two\\n"], lines
assert len(gaps) == 1, gaps
print(gaps[0].detail)
'
"""
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout or "nothing can be kept" in done.stdout

"""Following logs: each line once and in its order, through every kind of rotation."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_streams, log_tail
from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_tail import PIECE, Tail
from tests.collect import rotating


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"before\n")
    return path


@pytest.fixture
def tail(log: Path) -> Iterator[Tail]:
    with Tail([str(log)]) as tail:
        yield tail


def lines_of(tail: Tail) -> list[bytes]:
    return [line for _, line in tail.poll()]


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_what_is_written_from_now_on_is_told_with_the_name_of_its_log(log: Path, tail: Tail) -> None:
    assert tail.poll() == []
    append(log, b"one\ntwo\n")
    assert tail.poll() == [(str(log), b"one\n"), (str(log), b"two\n")]
    assert tail.poll() == []


def test_a_line_is_told_when_it_is_whole(log: Path, tail: Tail) -> None:
    append(log, b"begin")
    assert lines_of(tail) == []
    append(log, b" and end\nnext")
    assert lines_of(tail) == [b"begin and end\n"]


def test_a_line_that_was_begun_before_is_told_whole(log: Path) -> None:
    append(log, b"begun")
    with Tail([str(log)]) as tail:
        append(log, b" before\n")
        assert lines_of(tail) == [b"begun before\n"]


def test_a_line_that_nobody_ends_is_told_without_its_end(log: Path) -> None:
    now = time.time()
    with Tail([str(log)], lambda: now) as tail:
        append(log, b"password? ")
        assert lines_of(tail) == []
        now += 60
        assert lines_of(tail) == [b"password? "]
        assert lines_of(tail) == []
        append(log, b"given\n")
        assert lines_of(tail) == [b"given\n"]


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 10 * PIECE + 7])
def test_a_long_line_comes_in_pieces_of_which_only_the_last_ends(log: Path, tail: Tail, length: int) -> None:
    append(log, b"x" * length + b"\nshort\n")
    *pieces, short = lines_of(tail)
    assert short == b"short\n"
    assert b"".join(pieces) == b"x" * length + b"\n"
    assert all(not piece.endswith(b"\n") for piece in pieces[:-1])
    assert max(map(len, pieces)) <= PIECE + 1


def test_much_at_once_comes_over_several_looks(log: Path, tail: Tail) -> None:
    append(log, b"".join(b"%0100d\n" % number for number in range(100_000)))
    got: list[bytes] = []
    sizes = []
    while some := lines_of(tail):
        got += some
        sizes.append(len(b"".join(some)))
    assert [int(line) for line in got] == list(range(100_000))
    assert len(sizes) > 1
    assert max(sizes) < 5 << 20


# Rotation.


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def delete(path: Path) -> None:
    path.unlink()
    path.touch()


def packed(path: Path) -> None:
    rotating.rename(path)
    rotating.compress(path, 1)


def without_new_file(path: Path) -> None:
    rotating.shift(path)
    path.rename(path.with_name("app.log.1"))


LOSELESS = {
    "renamed": rotating.rename, "copied and emptied": rotating.copytruncate, "packed": packed,
    "renamed, the new file comes later": without_new_file,
}  # fmt: skip
EMPTIED = {"truncated": truncate, "made anew": delete}


@pytest.mark.parametrize("rotate", LOSELESS.values(), ids=LOSELESS)
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("looks", [True, False], ids=["with looks between", "without a look between"])
def test_nothing_is_lost_over_a_rotation(
    log: Path, tail: Tail, rotate: Callable[[Path], None], times: int, looks: bool
) -> None:
    got, expected = [], []
    for number in range(times):
        append(log, b"before %d\n" % number)
        rotate(log)
        got += lines_of(tail) if looks else []
        append(log, b"after %d\n" % number)
        got += lines_of(tail) if looks else []
        expected += [b"before %d\n" % number, b"after %d\n" % number]
    assert got + lines_of(tail) == expected
    assert lines_of(tail) == []


@pytest.mark.parametrize("empty", EMPTIED.values(), ids=EMPTIED)
@pytest.mark.parametrize("text", [b"x\n", b"longer than all that was there before\n"])
def test_what_comes_after_emptying_is_told(log: Path, tail: Tail, empty: Callable[[Path], None], text: bytes) -> None:
    append(log, b"one\n")
    assert lines_of(tail) == [b"one\n"]
    empty(log)
    append(log, text)
    assert lines_of(tail) == [text]


def test_the_old_file_is_drained_while_its_writer_goes_on(log: Path, tail: Tail) -> None:
    rotating.rename(log)
    append(log.with_name("app.log.1"), b"old\n")
    assert lines_of(tail) == [b"old\n"]
    append(log, b"new\n")
    append(log.with_name("app.log.1"), b"old again\n")
    assert sorted(lines_of(tail)) == [b"new\n", b"old again\n"]
    append(log.with_name("app.log.1"), b"old, and the new file is quiet\n")
    assert lines_of(tail) == [b"old, and the new file is quiet\n"]


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "later.log"
    with Tail([str(path)]) as tail:
        assert [gap.reason for gap in tail.gaps] == ["missing"]
        assert lines_of(tail) == []
        path.write_bytes(b"first\n")
        assert lines_of(tail) == [b"first\n"]


def test_a_new_file_of_a_glob_is_followed_from_its_beginning(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "_LISTED", 0.0)
    with Tail([str(log.parent / "*.log")]) as tail:
        assert lines_of(tail) == []
        append(log.with_name("new.log"), b"hello\n")
        append(log, b"one\n")
        assert sorted(tail.poll()) == [(str(log), b"one\n"), (str(log.with_name("new.log")), b"hello\n")]


def test_what_is_no_log_is_a_gap_and_the_others_are_followed(log: Path) -> None:
    os.mkfifo(log.with_name("pipe"))
    with Tail([str(log.with_name("pipe")), str(log)]) as tail:
        assert ["pipe" in gap.detail for gap in tail.gaps] == [True]
        append(log, b"one\n")
        assert lines_of(tail) == [b"one\n"]


STEPS = st.sampled_from([*LOSELESS, *EMPTIED, "write", "write", "write", "begin a line", "pack the second", "look"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=3, max_size=25))
def test_any_sequence_of_writing_rotating_and_looking_tells_each_line_once(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        path.touch()
        written: list[bytes] = []
        unfinished = False
        with Tail([str(path)]) as tail:
            told: list[bytes] = []
            for number, step in enumerate(steps):
                if step in ("write", "begin a line"):
                    text = b"" if unfinished else b"line %06d" % number
                    written += [] if unfinished else [text + b"\n"]
                    text += b"\n" if step == "write" or unfinished else b""
                    append(path, text)
                    unfinished = not text.endswith(b"\n")
                    continue
                if unfinished and step != "look":  # rotation between the halves of a line tears it; that is not ours
                    append(path, b"\n")
                    unfinished = False
                if step in EMPTIED:
                    told += lines_of(tail)  # what nobody read before it was emptied is gone
                    path.touch()
                    EMPTIED[step](path)
                elif step in LOSELESS:
                    path.touch()
                    LOSELESS[step](path)
                elif step == "pack the second":
                    rotating.compress(path, 2)
                else:
                    told += lines_of(tail)
            append(path, b"\n" if unfinished else b"")
            told += lines_of(tail)
        assert told == written


def test_no_line_is_lost_or_doubled_while_the_log_is_written_and_rotated(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.touch()
    told: list[bytes] = []
    with Tail([str(path)]) as tail, rotating.Writer(path) as writer:
        with rotating.rotated(path, writer, seed=3):
            end = time.monotonic() + 4
            for lines in tail.follow(0.1, lambda: time.monotonic() > end):
                told += [line for _, line in lines]
        written = writer.tell("stop")
        told += lines_of(tail)
    assert rotating.numbers(told) == list(range(written))


# What is no file.


def test_standard_input_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        with Tail(["-"]) as tail:
            assert tail.poll() == []
            os.write(writing, b"one\ntw")
            assert tail.poll() == [("standard input", b"one\n")]
            os.write(writing, b"o\nno end")
            os.close(writing)
            assert [lines for lines in tail.follow(0.0) if lines] == [
                [("standard input", b"two\n"), ("standard input", b"no end")]
            ]
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)


# Speaks like `journalctl --follow`: two records, then it goes on for ever.
_JOURNALCTL = """#!/bin/sh
echo "$$ $@" > {folder}/asked
at=$(date +%s)
printf '{{"__REALTIME_TIMESTAMP": "%s000000", "MESSAGE": "too old"}}\\n' $((at - 90))
printf '{{"__REALTIME_TIMESTAMP": "%s000000", "MESSAGE": "two\\\\nlines", "SYSLOG_IDENTIFIER": "web"}}\\n' $((at + 1))
printf '{{"__REALTIME_TIMESTAMP": "%s000000", "MESS' $at
exec sleep 600
"""


def test_the_journal_is_followed_by_a_program_that_ends_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "journalctl"
    program.write_text(_JOURNALCTL.format(folder=tmp_path))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(log_streams, "_RUNS", str(tmp_path))
    with Tail(Wanted((), unit="web.service")) as tail:
        end = time.monotonic() + 10
        while not (lines := tail.poll()) and time.monotonic() < end:
            time.sleep(0.02)
        assert [name for name, _ in lines] == ["journal of web.service"] * 2
        assert lines[0][1].endswith(b" web: two\n")
        assert lines[1][1] == b"\tlines\n"
        pid, _, asked = (tmp_path / "asked").read_text().partition(" ")
        assert "-u web.service" in asked
        os.kill(int(pid), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_journal_that_ends_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(log_streams, "_RUNS", str(tmp_path))
    with Tail(Wanted((), unit="web.service")) as tail:
        assert list(tail.follow(0.01))[-1] == []
        assert [gap.reason for gap in tail.gaps] == ["failed"]

"""Finding logs and opening them: their rotated parts, packed ones, streams, the journal, and what is no log at all."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_siblings, log_sources, log_streams, log_unpack, log_wanted
from rbdiag.collect.log_sources import Log, Wanted, opened
from rbdiag.deadline import Deadline
from rbdiag.model import Gap
from tests.collect import rotating

NOW = time.time()
TEXT = b"2026-11-23T08:00:00Z a line\n"


def look(*files: Path | str, since: float = 0.0, seconds: float = 10.0, **wanted: str | int) -> list[Log | Gap]:
    return list(opened(Wanted(tuple(map(str, files)), **wanted), since, Deadline(seconds)))  # type: ignore[arg-type]


def logs(*files: Path | str, since: float = 0.0) -> list[Log]:
    """The logs, where nothing may be missing."""
    found = look(*files, since=since)
    assert [gap for gap in found if isinstance(gap, Gap)] == []
    return [log for log in found if isinstance(log, Log)]


def gap(*files: Path | str, **how: float) -> Gap:
    """The one gap, where there is no log."""
    (found,) = look(*files, **how)
    assert isinstance(found, Gap)
    return found


def content(log: Log) -> bytes:
    return b"".join(part.read(0, part.size) for part in log.parts)


def write(path: Path, data: bytes, age: float = 0.0) -> Path:
    path.write_bytes(data)
    os.utime(path, (NOW - age, NOW - age))
    return path


# Which files are parts of one log.

ROWS = {
    "logrotate": ["app.log.3.gz", "app.log.2.gz", "app.log.1", "app.log"],
    "more than nine": ["app.log.10", "app.log.9", "app.log.2", "app.log"],
    "logrotate with dates": ["app.log-20261101.gz", "app.log-20261122", "app.log-20261123", "app.log"],
    "dates with hours": ["app.log-2026112309", "app.log-2026112310", "app.log"],
    "dates as seconds": ["app.log-1795400000.gz", "app.log-1795500000", "app.log"],
    "Python's daily": ["app.log.2026-11-22", "app.log.2026-11-23", "app.log"],
    "Logback": ["app.2026-11-22.0.log.gz", "app.2026-11-22.1.log.gz", "app.2026-11-23.0.log", "app.log"],
    "Log4j": ["app-12-31-2025-1.log.gz", "app-11-22-2026-2.log.gz", "app-11-22-2026-10.log.gz", "app.log"],
    "lumberjack": ["app-2026-11-22T08-00-00.000.log.gz", "app-2026-11-23T08-00-00.000.log", "app.log"],
    "inside the name": ["app.2.log", "app.1.log", "app.log"],
    "savelog": ["app.log.1.gz", "app.log.0", "app.log"],
    "old": ["app.log.old", "app.log"],
    "Kubernetes": ["0.log.20261122-080000.gz", "0.log.20261123-080000", "0.log"],
    "X": ["Xorg.0.log.old", "Xorg.0.log"],
    "svlogd": ["@400000005f3c2b1e0a1b2c3d.s", "@400000006f3c2b1e0a1b2c3d.s", "current"],
    "without an extension": ["messages-20261101", "messages-20261122", "messages"],
}  # fmt: skip


@pytest.mark.parametrize("names", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("times", ["true", "those of copies"])
def test_rotated_files_are_parts_of_one_log_the_oldest_first(tmp_path: Path, names: list[str], times: str) -> None:
    for age, name in enumerate(random.Random(7).sample(names, len(names)) if times != "true" else names[::-1]):
        data = gzip.compress(name.encode()) if name.endswith(".gz") else name.encode()
        write(tmp_path / name, data, age * 60)
    (tmp_path / "other.log").write_bytes(TEXT)
    (log,) = logs(tmp_path / names[-1])
    assert content(log).decode() == "".join(names)
    assert [os.path.basename(part.name) for part in log.parts] == names
    assert log.name == str(tmp_path / names[-1])


def test_numbers_inside_names_that_count_up_are_put_in_the_order_of_their_times(tmp_path: Path) -> None:
    for age, name in enumerate(["app.log", "app-3.log", "app-2.log", "app-1.log"]):
        write(tmp_path / name, name.encode(), age * 60)
    (log,) = logs(tmp_path / "app.log")
    assert content(log) == b"app-1.logapp-2.logapp-3.logapp.log"


@pytest.mark.parametrize(
    "names",
    [
        ["redis-6379.log", "redis-6380.log"], ["worker.1.log", "worker.2.log"], ["gc.log.12345", "gc.log"],
        ["access.log", "access_ssl.log"], ["error.log", "error.log.conf"], ["node-01.log", "node-02.log"],
    ],
)  # fmt: skip
def test_logs_of_siblings_are_not_taken_for_older_parts(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path / name, name.encode())
    assert {content(log).decode() for log in logs(*(tmp_path / name for name in names))} == set(names)
    (log,) = logs(tmp_path / names[0])
    assert content(log).decode() == names[0]


@given(st.text(st.sampled_from("ab.-_0123456789gzlogT:@"), max_size=40))
def test_any_name_says_something(name: str) -> None:
    mark = log_siblings.mark_of(name)
    assert name.startswith(mark.series.partition(".")[0]) or mark.way == "tai"
    assert log_siblings.mark_of(name) == mark


def test_parts_last_written_before_the_baseline_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "app.log", b"new\n")
    write(tmp_path / "app.log.1", b"in the baseline\n", 3600)
    write(tmp_path / "app.log.2", b"too old\n", 7200)
    (log,) = logs(tmp_path / "app.log", since=NOW - 5000)
    assert content(log) == b"in the baseline\nnew\n"


def test_a_log_that_is_no_longer_written_takes_its_baseline_with_it(tmp_path: Path) -> None:
    write(tmp_path / "app.log", b"last\n", 90_000)
    write(tmp_path / "app.log.1", b"before\n", 91_000)
    write(tmp_path / "app.log.2", b"long before\n", 190_000)
    (log,) = logs(tmp_path / "app.log", since=NOW - 5000)
    assert content(log) == b"before\nlast\n"


def test_a_file_just_rotated_leaves_the_log_to_its_older_part(tmp_path: Path) -> None:
    write(tmp_path / "app.log", b"")
    write(tmp_path / "app.log.1", b"yesterday\n", 86_400)
    (log,) = logs(tmp_path / "app.log", since=NOW - 5000)
    assert content(log) == b"yesterday\n"


def test_an_old_part_that_is_asked_for_alone_has_nothing_newer_in_it(tmp_path: Path) -> None:
    for age, name in enumerate(["app.log", "app.log.1", "app.log.2"]):
        write(tmp_path / name, name.encode(), age * 60)
    (log,) = logs(tmp_path / "app.log.1")
    assert content(log) == b"app.log.2app.log.1"


def test_a_glob_that_matches_rotated_files_reads_none_twice(tmp_path: Path) -> None:
    for age, name in enumerate(["app.log", "app.log.1", "app.log.2.gz"]):
        data = f"{name}\n".encode()
        write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data, age * 60)
    for asked in ([tmp_path / "app.log*"], [tmp_path / "app.log", tmp_path / "app*"], sorted(tmp_path.iterdir())):
        (log,) = logs(*asked)
        assert content(log) == b"app.log.2.gz\napp.log.1\napp.log\n"


def test_copies_and_links_are_read_once(tmp_path: Path) -> None:
    write(tmp_path / "app.log", b"new line\n" * 30)
    old = write(tmp_path / "app.log.1", b"old line\n" * 30, 60)
    (tmp_path / "app.log-20261123").hardlink_to(old)
    (tmp_path / "app.log.old").symlink_to(old)
    write(tmp_path / "app.log.2", old.read_bytes(), 60)
    write(tmp_path / "app.log.3.gz", gzip.compress(old.read_bytes()), 60)
    write(tmp_path / "app.log.4", old.read_bytes()[:200], 60)  # a copy that is just being made
    (log,) = logs(tmp_path / "app.log")
    assert content(log) == b"old line\n" * 30 + b"new line\n" * 30


def test_a_link_to_a_log_brings_the_parts_beside_the_log(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "x-json.log", b"new\n")
    write(tmp_path / "real" / "x-json.log.1", b"old\n", 60)
    (tmp_path / "web.log").symlink_to(tmp_path / "real" / "x-json.log")
    (log,) = logs(tmp_path / "web.log")
    assert (log.name, content(log)) == (str(tmp_path / "web.log"), b"old\nnew\n")


def test_a_file_called_like_a_pattern_is_meant_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "app[1].log", b"itself\n")
    write(tmp_path / "app1.log", b"matches\n")
    (log,) = logs(tmp_path / "app[1].log")
    assert content(log) == b"itself\n"


def test_a_glob_gives_the_newest_logs_and_says_what_it_left_out(tmp_path: Path) -> None:
    for number in range(25):
        write(tmp_path / f"{chr(97 + number)}.log", b"x\n", number)
    (tmp_path / "folder.log").mkdir()
    found = look(tmp_path / "*.log")
    names = [os.path.basename(log.name) for log in found if isinstance(log, Log)]
    assert names == [f"{chr(97 + number)}.log" for number in range(log_wanted.LOGS)]
    assert ["25 logs" in gap.detail for gap in found if isinstance(gap, Gap)] == [True]


# Packed.

PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
LINES = b"".join(b"2026-11-23T08:00:00Z line %06d\n" % number for number in range(20_000))


@pytest.mark.parametrize("end", PACKERS)
def test_packed_parts_are_unpacked(tmp_path: Path, end: str) -> None:
    half = len(LINES) // 2
    packed = PACKERS[end](LINES[:half]) + PACKERS[end](LINES[half:])  # as `cat a.gz b.gz` makes it
    write(tmp_path / f"app.log.1.{end}", packed, 60)
    write(tmp_path / "app.log", b"new\n")
    (log,) = logs(tmp_path / "app.log")
    assert content(log) == LINES + b"new\n"
    write(tmp_path / "packed under another name", packed)
    assert content(logs(tmp_path / "packed under another name")[0]) == LINES


@pytest.mark.parametrize("end", PACKERS)
@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_what_can_be_unpacked_of_a_truncated_part_is_given_with_a_gap(tmp_path: Path, end: str, part: float) -> None:
    noise = random.Random(1).randbytes(200_000).hex().encode()
    packed = PACKERS[end](noise)
    write(tmp_path / f"x.log.{end}", packed[: int(len(packed) * part)])
    found = look(tmp_path / f"x.log.{end}")
    (why,) = [gap for gap in found if isinstance(gap, Gap)]
    assert why.reason == "failed"
    assert "damaged" in why.detail
    given_out = b"".join(content(log) for log in found if isinstance(log, Log))
    assert noise.startswith(given_out)
    assert end == "bz2" or len(given_out) > len(noise) * (part - 0.3)


def test_of_a_large_packed_part_the_end_is_kept_and_the_cut_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_unpack, "KEEP", 100_000)
    monkeypatch.setattr(log_unpack, "_BLOCK", 10_000)
    write(tmp_path / "x.log.gz", gzip.compress(LINES))
    (log,) = logs(tmp_path / "x.log.gz")
    (part,) = log.parts
    assert 100_000 <= part.size < 120_000
    assert part.dropped + part.size == len(LINES)
    assert content(log) == LINES[part.dropped :]


def test_a_packing_that_cannot_be_unpacked_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    assert "zstandard" in gap(write(tmp_path / "a.log.zst", b"\x28\xb5\x2f\xfd" + bytes(20))).unlock
    assert "zip" in gap(write(tmp_path / "a.log.zip", b"PK\x03\x04" + bytes(20))).detail


def test_zstd_is_unpacked_where_the_library_is(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(LINES) * 2
    (log,) = logs(write(tmp_path / "a.log.zst", packed))
    assert content(log) == LINES * 2


def test_unpacking_ends_with_the_time(tmp_path: Path) -> None:
    write(tmp_path / "x.log.gz", gzip.compress(bytes(1 << 30), 1))
    begin = time.monotonic()
    found = look(tmp_path / "x.log.gz", seconds=0.5)
    assert [gap.reason for gap in found if isinstance(gap, Gap)] == ["deadline"]
    assert time.monotonic() - begin < 5


# What is no log.


def test_special_files_are_gaps_and_hang_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, words in {
            tmp_path / "pipe": "a pipe", tmp_path / "socket": "a socket", tmp_path: "a directory",
            Path("/dev/null"): "a device", Path("/proc/version"): "a view of the kernel",
            tmp_path / "nothing": "not there", tmp_path / "no*": "no file matches",
        }.items():  # fmt: skip
            found = gap(path)
            assert words in found.detail
            assert found.unlock


SIGNS = {
    "an executable": Path(sys.executable).read_bytes()[:100_000], "an image": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "a database": b"SQLite format 3\0" + bytes(9000), "zeros": bytes(50_000),
    "binary": random.Random(3).randbytes(50_000),
    "binary ": (b"\7\0\0\0\x12\x34\0\0pts/0" + bytes(27) + b"root" + bytes(300)) * 99,  # as wtmp is
    "a journal file": b"LPKSHHRH" + bytes(500),
}  # fmt: skip


@pytest.mark.parametrize("words", SIGNS)
def test_a_binary_file_is_a_gap_that_says_what_it_is(tmp_path: Path, words: str) -> None:
    assert words.strip() in gap(write(tmp_path / "x.log", SIGNS[words])).detail


ODD = {
    "a hole of zeros after a crash": TEXT * 9 + bytes(70_000) + TEXT * 9,
    "zeros at the end after a crash": TEXT * 9 + bytes(70_000),
    "zeros at the beginning of a file emptied under its writer": bytes(70_000) + TEXT * 9,
    "a zero in each line": TEXT.replace(b"\n", b"\0\n") * 999, "no UTF-8": "Übergröße ÄÖÜ\n".encode("latin-1") * 99,
    "Japanese": "接続が拒否されました\n".encode("shift-jis") * 99, "CRLF": TEXT.replace(b"\n", b"\r\n") * 99,
    "colours": b"\x1b[31mERROR\x1b[0m x\n" * 99, "one long line": b"x" * 3_000_000, "no newline at the end": b"abc",
    "newlines only": b"\n" * 9000,
}  # fmt: skip


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_an_odd_text_is_a_log_byte_for_byte(tmp_path: Path, data: bytes) -> None:
    (log,) = logs(write(tmp_path / "x.log", data))
    assert content(log) == data


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_wide_text_is_decoded(tmp_path: Path, codec: str) -> None:
    text = "2026-11-23 08:00:00 Größe überschritten €\r\n" * 999
    (log,) = logs(write(tmp_path / "x.log", ("\ufeff" + text).encode(codec)))
    assert content(log).decode() == text


def test_an_empty_file_is_a_log_that_says_nothing(tmp_path: Path) -> None:
    assert [part.size for part in logs(write(tmp_path / "x.log", b""))[0].parts] == [0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_what_we_may_not_read_is_forbidden(tmp_path: Path) -> None:
    write(tmp_path / "x.log", TEXT).chmod(0)
    script = f"""
import os
from tests.collect.test_log_sources import gap
os.setgroups([]); os.setgid(65534); os.setuid(65534)
found = gap("{tmp_path}/x.log")
print(found.reason, found.unlock)
"""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "forbidden run as root\n", done.stderr


def test_a_file_system_that_does_not_answer_is_a_gap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(log_wanted, "_PATIENCE", 0.1)
    monkeypatch.setattr(log_sources, "_absent", lambda *_: hangs.wait(20))
    found = gap(write(tmp_path / "x.log", TEXT))
    hangs.set()
    assert "does not answer" in found.detail


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=3000),
        st.builds(lambda a, b: a + b, st.sampled_from([m for m, _ in log_unpack._PACKED]), st.binary(max_size=300)),
        st.builds(lambda a, n: gzip.compress(a)[:n], st.binary(max_size=300), st.integers(0, 400)),
        st.builds(lambda a: a.encode("utf-16"), st.text(max_size=300)),
    )
)
def test_any_bytes_are_a_log_or_a_gap(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x.log", "x.log.1"):
            path = Path(folder) / name
            path.write_bytes(data)
            found = look(path)
            assert found
            for log in found:
                if isinstance(log, Log):
                    content(log)
                    for part in log.parts:
                        part.close()


# While it is read.


@pytest.mark.parametrize("change", ["renamed", "deleted", "copied and emptied", "copied, packed, and written anew"])
def test_a_part_can_be_read_whatever_becomes_of_its_file(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "app.log", LINES)
    (log,) = logs(path)
    (part,) = log.parts
    assert part.read(0, 1000) == LINES[:1000]
    if change == "renamed":
        rotating.rename(path)
    elif change == "deleted":
        path.unlink()
    else:
        rotating.copytruncate(path)
    if "packed" in change:
        rotating.compress(path, 1)
        path.write_bytes(b"something else\n" * len(LINES))
    assert part.read(1000, part.size) == LINES[1000:]
    assert part.read(5, 10) == LINES[5:15]
    assert part.lost == 0


def test_what_was_emptied_without_a_copy_is_counted_as_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "app.log", LINES)
    (log,) = logs(path)
    path.write_bytes(b"something else\n" * len(LINES))
    assert log.parts[0].read(100, 1000) == b""
    assert log.parts[0].lost == 1000


def test_a_part_ends_where_it_ended_when_it_was_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "app.log", b"one\n")
    (log,) = logs(path)
    with path.open("ab") as file:
        file.write(b"two\n")
    assert log.parts[0].read(0, 100) == b"one\n"
    assert log.parts[0].read(4, 100) == b""
    assert log.parts[0].read(-1, 100) == b""


def test_no_line_is_lost_or_doubled_in_a_reading_while_the_log_is_written_and_rotated(tmp_path: Path) -> None:
    path, chance, most = tmp_path / "app.log", random.Random(5), 0
    with rotating.Writer(path) as writer:
        with rotating.rotated(path, writer, seed=6):
            time.sleep(0.1)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                for log in logs(path):
                    time.sleep(chance.random() * 0.4)  # meanwhile it is rotated
                    lines = content(log).splitlines(keepends=True)
                    found = rotating.numbers(line for line in lines if line.endswith(b"\n"))
                    assert found == list(range(len(found)))
                    assert len(found) > most
                    most = len(found)
                    for part in log.parts:
                        part.close()
        written = writer.tell("stop")
    assert rotating.numbers(content(logs(path)[0]).splitlines()) == list(range(written))


@pytest.mark.parametrize("rotate", [rotating.rename, rotating.copytruncate])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_while_a_log_is_opened_makes_it_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotate: Callable[[Path], None], when: str
) -> None:
    path = write(tmp_path / "app.log", b"one\n")
    write(tmp_path / "app.log.1", b"zero\n", 60)
    opening, calls = log_sources._held_open, []

    def rotating_meanwhile(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1 and when == "before":
            rotate(path)
        opened_then = opening(*args)
        if len(calls) == 1:
            if when == "after":
                rotate(path)
            path.write_bytes(b"two\n")
        return opened_then

    monkeypatch.setattr(log_sources, "_held_open", rotating_meanwhile)
    (log,) = logs(path)
    assert content(log) == b"zero\none\ntwo\n"
    assert len(calls) == 2


# Standard input.


@contextmanager
def standard_input(fd: int) -> Iterator[None]:
    saved = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT * 3)
    os.close(writing)
    with standard_input(reading):
        (log,) = logs("-")
    assert (log.name, content(log), log.parts[0].written_at) == ("standard input", TEXT * 3, None)


def test_a_pipe_that_does_not_end_gives_what_came() -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT)
    with standard_input(reading):
        why, log = look("/dev/stdin", seconds=2.0)
    assert isinstance(why, Gap)
    assert isinstance(log, Log)
    assert (why.reason, content(log)) == ("deadline", TEXT)
    os.close(writing)


def test_of_a_long_stream_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = LINES * 40
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin
        assert cat.stdout
        feeder = threading.Thread(target=lambda: (cat.stdin.write(lines), cat.stdin.close()))
        feeder.start()
        part, gap = log_streams.stream(cat.stdout.fileno(), "x", Deadline(20), keep=1 << 20)
        feeder.join()
    assert gap is None
    assert part.dropped + part.size == len(lines)
    assert part.size < 10 << 20
    assert part.read(0, part.size) == lines[part.dropped :]
    assert part.head == lines[: len(part.head)]


def test_a_redirected_file_and_packed_input_are_read(tmp_path: Path) -> None:
    for data in (LINES, gzip.compress(LINES)):
        with open(write(tmp_path / "x", data), "rb") as file, standard_input(file.fileno()):
            assert content(logs("-")[0]) == LINES


def test_a_terminal_and_a_closed_input_are_gaps() -> None:
    terminal, other = os.openpty()
    with standard_input(other):
        assert "a terminal" in gap("-").detail
    os.close(terminal)
    os.close(other)
    done = subprocess.run(
        [sys.executable, "-c", "from tests.collect.test_log_sources import gap; print(gap('-').reason)"],
        capture_output=True, text=True, preexec_fn=lambda: os.close(0),
    )  # fmt: skip
    assert done.stdout == "failed\n", done.stderr


# The journal.

RECORDS = [
    {"__REALTIME_TIMESTAMP": "1795518003123456", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "web", "_PID": "7",
     "MESSAGE": "two\nlines\n", "__CURSOR": "c"},
    {"__REALTIME_TIMESTAMP": "1795518002000000", "PRIORITY": "6", "_TRANSPORT": "stdout", "_COMM": "web",
     "MESSAGE": list(b"caf\xe9"), "__CURSOR": "b"},
    {"__REALTIME_TIMESTAMP": "1795518001000000", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "kernel",
     "_TRANSPORT": "kernel", "MESSAGE": ["said", "twice"], "__CURSOR": "a"},
    {"__REALTIME_TIMESTAMP": "9" * 40, "MESSAGE": "in no calendar"}, {"MESSAGE": "without a time"}, [1], None,
]  # fmt: skip
RENDERED = rb"""2026-11-24T11:00:01.000000+00:00 <warning> kernel: said twice
2026-11-24T11:00:02.000000+00:00 web: caf\xe9
2026-11-24T11:00:03.123456+00:00 <err> web[7]: two
	lines
"""


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in its place that says what is in the file beside it, and writes down what it was asked."""
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {tmp_path}/said\n')
    program.chmod(0o755)
    (tmp_path / "said").write_text("\n".join(json.dumps(record) for record in RECORDS) + '\n{"__REALT')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(log_streams, "_RUNS", str(tmp_path))
    return tmp_path


def test_records_of_the_journal_become_lines_in_their_order(journalctl: Path) -> None:
    (log,) = look(unit="web.service", since=1795510000.0)
    assert isinstance(log, Log)
    assert (log.name, log.owner, content(log)) == ("journal of web.service", "web.service", RENDERED)
    asked = (journalctl / "asked").read_text()
    assert "-u web.service" in asked
    assert "--since @1795510000" in asked
    assert "--all" in asked


def test_a_unit_that_was_silent_gives_its_last_records(journalctl: Path) -> None:
    (journalctl / "said").write_text("")
    (why,) = look(unit="web.service")
    assert isinstance(why, Gap)
    assert " -n " in (journalctl / "asked").read_text().splitlines()[-1]


def test_what_is_new_in_the_journal_begins_behind_the_last_record_that_was_told(journalctl: Path) -> None:
    from rbdiag.collect.log_state import State

    told = []
    for records in (RECORDS[1:3], RECORDS[:3], RECORDS[:3]):
        (journalctl / "said").write_text("\n".join(json.dumps(record) for record in records))
        with State(journalctl / "state") as state:
            (log,) = opened(Wanted((), "web.service"), 0.0, Deadline(5), state)
            assert isinstance(log, Log)
            _, offset = log.new_from or (0, 0)
            told.append(content(log)[offset:])
            assert state.commit() is None
    first = RENDERED.index(b"2026-11-24T11:00:03")
    assert told == [RENDERED[:first], RENDERED[first:], b""]


def test_without_a_journal_there_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_streams, "_RUNS", "/nowhere")
    (why,) = look(unit="web.service")
    assert isinstance(why, Gap)
    assert why.reason == "missing"


# What a process holds open.

_HOLDER = """
import os, sys
folder = sys.argv[1]
text = b"2026-11-23 08:00:00 a line\\n" * 9
held = {}
for name in ("app.log", "gone.log", "data", "times", "state.db"):
    held[name] = open(f"{folder}/{name}", "ab", buffering=0)
    held[name].write(b"no times here\\n" * 9 if name == "data" else text)
os.unlink(f"{folder}/gone.log")
read_only = open(f"{folder}/read.log", "rb")
os.dup2(os.open(f"{folder}/plain", os.O_WRONLY | os.O_CREAT), 2)
os.write(2, b"said\\n")
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_files_that_a_process_writes_its_log_to_are_found(tmp_path: Path) -> None:
    write(tmp_path / "read.log", TEXT)
    write(tmp_path / "app.log.1", b"rotated\n", 60)
    argv = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"ready\n"
        found = look(pid=holder.pid)
        assert holder.stdin
        holder.stdin.close()
    assert [gap for gap in found if isinstance(gap, Gap)] == []
    names = {log.name.removeprefix(f"{tmp_path}/"): log for log in found if isinstance(log, Log)}
    gone = f"gone.log (deleted, held open by process {holder.pid})"
    assert names.keys() == {"app.log", "times", "plain", gone}
    assert content(names["app.log"]).startswith(b"rotated\n2026")
    assert content(names[gone]).count(b"\n") == 9
    (owner,) = {log.owner for log in names.values()}
    assert owner.startswith("python")
    assert owner.endswith(f"[{holder.pid}]")


def test_a_process_that_is_not_there_is_a_gap() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    (why,) = look(pid=ended.pid)
    assert isinstance(why, Gap)
    assert why.reason == "missing"

"""Reading logs backwards inside a window, and telling the time of a line."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbdiag.collect import logs
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times without a zone are this host's: here UTC, so that they can be written down."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


STAMPS = {
    "MariaDB, hour of one digit": ("2026-11-23  8:29:28 0 [ERROR] x", "2026-11-23 08:29:28", " 0 [ERROR] x"),
    "MariaDB, when it dies": ("261123  9:22:33 [ERROR] got signal 6", "2026-11-23 09:22:33", " [ERROR] got signal 6"),
    "mysqld_safe": ("261123 09:22:33 mysqld_safe Starting", "2026-11-23 09:22:33", " mysqld_safe Starting"),
    "MySQL": ("2026-09-06T01:21:23.500000Z 0 [ERROR] x", "2026-09-06 01:21:23.5", " 0 [ERROR] x"),
    "MySQL in SYSTEM time": ("2026-09-06T09:21:23.5+08:00 0 [ERROR] x", "2026-09-06 01:21:23.5", " 0 [ERROR] x"),
    "syslog": ("Nov 24 11:00:01 db1 mysqld: x", "2026-11-24 11:00:01", " db1 mysqld: x"),
    "syslog of last year": ("Dec 24 11:00:01 db1 mysqld: x", "2025-12-24 11:00:01", " db1 mysqld: x"),
    "syslog, day of one digit": ("Nov  4 11:00:01 x", "2026-11-04 11:00:01", " x"),
    "Python": ("2026-11-24 11:00:01,250 ERROR root x", "2026-11-24 11:00:01.25", " ERROR root x"),
    "a level first": ("[ERROR] 2026-11-24 11:00:01 x", "2026-11-24 11:00:01", " x"),
    "gunicorn": ("[2026-11-24 11:00:01 +0200] [81] [INFO] x", "2026-11-24 09:00:01", "] [81] [INFO] x"),
    "Docker": ("db_1  | 2026-11-24 11:00:01+00:00 [Note] x", "2026-11-24 11:00:01", " [Note] x"),
    "nginx": ("2026/11/24 11:00:01 [error] 7#7: x", "2026-11-24 11:00:01", " [error] 7#7: x"),
    "an access log": ('10.0.0.9 - - [24/Nov/2026:11:00:01 +0100] "GET /"', "2026-11-24 10:00:01", '] "GET /"'),
    "PHP": ("[24-Nov-2026 11:00:01 UTC] PHP Fatal error", "2026-11-24 11:00:01", "] PHP Fatal error"),
    "uWSGI": ("Tue Nov 24 11:00:01 2026 - x", "2026-11-24 11:00:01", " - x"),
    "java.util.logging": ("Nov 24, 2026 1:00:01 PM com.example.Main", "2026-11-24 13:00:01", " com.example.Main"),
    "java.util.logging at midnight": ("Nov 24, 2026 12:00:01 AM x", "2026-11-24 00:00:01", " x"),
    "klog": ("E1124 11:00:01.500000 7 main.go:1] x", "2026-11-24 11:00:01.5", " 7 main.go:1] x"),
    "JSON": ('{"level":"info","time":"2026-11-24T11:00:01Z","msg":"x"}', "2026-11-24 11:00:01", '","msg":"x"}'),
    "JSON, epoch": ('{"level":"info","ts":1795518001.5,"msg":"x"}', "2026-11-24 11:00:01.5", ',"msg":"x"}'),
    "epoch": ("1795518001 x", "2026-11-24 11:00:01", " x"),
    "epoch in milliseconds": ("1795518001500 x", "2026-11-24 11:00:01.5", " x"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "when", "rest"), STAMPS.values(), ids=STAMPS)
def test_a_time_is_told_as_its_program_writes_it(line: str, when: str, rest: str) -> None:
    found = logs.stamp(line, NOON)
    assert found is not None
    assert found.at == pytest.approx(at(when))
    assert line[found.end :] == rest


@pytest.mark.parametrize(
    "line",
    [
        "",
        "stack_bottom = 0x0",
        '  File "app.py", line 3',
        "2026-13-24 11:00:01 no such month",
        "2026-02-30 11:00:01 no such day",
        "999999 99:99:99 x",
        "order 1795518001 was paid",
        "Buffer pool(s) load completed at 261124 11:00:01",
    ],
)
def test_what_is_no_time_is_none(line: str) -> None:
    assert logs.stamp(line, NOON) is None


FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%y%m%d %H:%M:%S", "%b %d %H:%M:%S", "[%d/%b/%Y:%H:%M:%S +0000]",
    "%Y/%m/%d %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%b %d, %Y %I:%M:%S %p", "I%m%d %H:%M:%S",
)  # fmt: skip


@given(form=st.sampled_from(FORMATS), ago=st.integers(0, 300 * 86400))
def test_every_form_gives_back_the_second_that_was_written(form: str, ago: int) -> None:
    written = datetime.fromtimestamp(NOON, UTC) - timedelta(seconds=ago)
    found = logs.stamp(written.strftime(form) + " x", NOON)
    assert found is not None
    assert found.at == written.timestamp()


@given(zone=st.integers(-14 * 4, 14 * 4), late=st.floats(-4, 4))
def test_a_writer_in_another_zone_is_found_out_by_the_files_time(zone: int, late: float) -> None:
    assert logs.zone_shift(NOON + zone * 900 + late, NOON) == -zone * 900


@pytest.mark.parametrize("apart", [20.0, 700.0, 3 * 86400.0])
def test_a_file_that_was_only_touched_says_nothing_of_zones(apart: float) -> None:
    assert logs.zone_shift(NOON - apart, NOON) == 0.0


# Reading


@given(
    data=st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b)),
    block=st.integers(1, 50),
    ended=st.booleans(),
)
def test_any_block_size_gives_the_same_lines(tmp_path_factory, data: list[bytes], block: int, ended: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks"
    whole = b"\n".join(data) + (b"\n" if ended and data else b"")
    path.write_bytes(whole)
    fd = os.open(path, os.O_RDONLY)
    try:
        read = list(logs.backwards(fd, len(whole), block=block))
    finally:
        os.close(fd)
    assert read[::-1] == (whole.removesuffix(b"\n").split(b"\n") if whole else [])


def lines_of(found: logs.Extract) -> list[str]:
    return [line.text for line in found.lines]


def log(path: Path, *lines: str, age: float = 0.0) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    now = time.time() - age
    os.utime(path, (now, now))
    return path


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_only_the_window_is_read_and_lines_without_a_time_have_the_last_ones(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", f"{ago(900)} old", "  of old", f"{ago(60)} new", "  of new", "  and more")
    found = logs.read(str(path), time.time() - 300, Deadline(5))
    assert lines_of(found) == [f"{ago(60)} new", "  of new", "  and more"]
    assert {line.at for line in found.lines} == {found.last_at}
    assert not found.cut


def test_a_mark_leads_further_back_than_the_window(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", f"{ago(9000)} begin", f"{ago(8000)} begin", f"{ago(7000)} failed")
    found = logs.read(str(path), time.time() - 300, Deadline(5), mark=lambda line: "begin" in line)
    assert [line[21:] for line in lines_of(found)] == ["begin", "failed"]
    assert lines_of(logs.read(str(path), time.time() - 300, Deadline(5))) == []


def test_a_log_without_times_is_taken_whole_unless_it_is_old(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", "one", "two")
    assert lines_of(logs.read(str(path), time.time() - 300, Deadline(5))) == ["one", "two"]
    log(path, "one", "two", age=900)
    assert lines_of(logs.read(str(path), time.time() - 300, Deadline(5))) == []


@pytest.mark.parametrize("name", ["x.log.1", "x.log.1.gz", "x.log-20261124"])
def test_a_rotated_sibling_is_read_where_the_window_reaches_back(tmp_path: Path, name: str) -> None:
    path = log(tmp_path / "x.log", f"{ago(60)} new")
    older = f"{ago(9000)} too old\n{ago(200)} before\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(older) if name.endswith(".gz") else older)
    found = logs.read(str(path), time.time() - 300, Deadline(5))
    assert [line[21:] for line in lines_of(found)] == ["before", "new"]
    assert [line[21:] for line in lines_of(logs.read(str(path), time.time() - 90, Deadline(5)))] == ["new"]


def test_a_sibling_of_before_the_window_stays_closed(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", f"{ago(60)} new")
    log(tmp_path / "x.log.1", "no time at all", age=9000)
    assert [line[21:] for line in lines_of(logs.read(str(path), time.time() - 300, Deadline(5)))] == ["new"]


def test_a_log_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", *(f"{ago(60)} {number:06}" for number in range(1000)))
    found = logs.read(str(path), time.time() - 300, Deadline(5), most=2800)
    assert found.cut
    assert lines_of(found)[-1].endswith("000999")
    assert 90 < len(found.lines) <= 100


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(ago(60).encode() + b" " + b"x" * 200_000 + b"\nlast\n")
    first, last = lines_of(logs.read(str(path), time.time() - 300, Deadline(5)))
    assert first.startswith(ago(60)[:10])
    assert len(first) <= 4096
    assert last == "last"


def test_bytes_that_are_no_text_are_made_visible(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"caf\xe9 \xff\r\n")
    assert lines_of(logs.read(str(path), time.time() - 300, Deadline(5))) == [r"caf\xe9 \xff"]


def test_times_of_another_zone_are_put_right(tmp_path: Path) -> None:
    there = datetime.fromtimestamp(time.time() + 5 * 3600, UTC).strftime("%Y-%m-%d %H:%M:%S")
    path = log(tmp_path / "x.log", f"{there} [Note] x")
    found = logs.read(str(path), time.time() - 300, Deadline(5))
    assert found.last_at == pytest.approx(time.time(), abs=30)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_never_read(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "p", "folder": tmp_path, "device": Path("/dev/zero")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(CannotLook, match="no regular file"):
        logs.read(str(path), 0.0, Deadline(5))


def test_a_broken_archive_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "x.log.gz").write_bytes(gzip.compress(b"hello\n" * 1000)[:40])
    with pytest.raises(CannotLook, match="cannot be unpacked"):
        logs.read(str(tmp_path / "x.log.gz"), 0.0, Deadline(5))


def test_reading_ends_with_the_time_that_there_is(tmp_path: Path) -> None:
    path = log(tmp_path / "x.log", "one")
    with pytest.raises(OutOfTime):
        logs.read(str(path), 0.0, Deadline(0.0))


# The journal


def test_the_journals_records_become_lines_in_order() -> None:
    records = [
        {"__REALTIME_TIMESTAMP": "1795518003000000", "MESSAGE": list(b"caf\xe9")},
        {"__REALTIME_TIMESTAMP": "1795518002000000", "MESSAGE": "two\nlines"},
        {"__REALTIME_TIMESTAMP": "1795518001000000", "MESSAGE": ["said", "twice"]},
        {"__REALTIME_TIMESTAMP": "1795518000000000", "MESSAGE": None},
        {"MESSAGE": "without a time"},
    ]
    data = "\n".join(json.dumps(record) for record in records).encode() + b'\n{"__REALTIME_TIMESTAMP": "17955'
    assert [tuple(line) for line in logs.parse_journal(data)] == [
        (1795518001.0, "said twice"), (1795518002.0, "two"), (1795518002.0, "lines"), (1795518003.0, r"caf\xe9"),
    ]  # fmt: skip


PROGRAM = """#!/bin/sh
echo "$@" > {folder}/asked
printf '%s\\n' '{{"__REALTIME_TIMESTAMP": "1795518001000000", "MESSAGE": "from the journal"}}'
"""


def test_the_journal_is_asked_for_the_unit_and_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "journalctl"
    program.write_text(PROGRAM.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(logs.os.path, "isdir", lambda path: True)
    found = logs.journal("mariadb.service", 1795510000.0, Deadline(5))
    assert lines_of(found) == ["from the journal"]
    assert found.name == "journal of mariadb.service"
    assert "-u mariadb.service" in (asked := (tmp_path / "asked").read_text())
    assert "--since @1795510000" in asked
    logs.journal("mariadb.service", 0.0, Deadline(5), lines=7)
    assert "-n 7" in (tmp_path / "asked").read_text()


def test_without_a_journal_there_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs.os.path, "isdir", lambda path: False)
    with pytest.raises(CannotLook, match="no journal"):
        logs.journal("mariadb.service", 0.0, Deadline(5))

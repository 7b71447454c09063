"""The window of a log: found by bisection as by reading everything; read in whole records, and not a byte lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_seek, log_window
from rbdiag.collect.log_holes import LEAST, holes
from rbdiag.collect.log_parts import File, Kept, Part
from rbdiag.collect.log_seek import Place
from rbdiag.collect.log_sources import Log, Wanted
from rbdiag.collect.log_window import Block, Span, Spans, span_of
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp()
DAY = 86400.0


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times without a zone are this host's: here UTC, so that they can be written down."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes by which a small log is read like a large one."""
    for name, value in {"NEAR": 256, "_LINE": 512, "_HOLE": 1024, "_PROBES": (128, 512, 1024)}.items():
        monkeypatch.setattr(log_seek, name, value)
    for name, value in {"BLOCK": 300, "RECORD": 200, "TAIL": 5000}.items():
        monkeypatch.setattr(log_window, name, value)


def log(*parts: bytes, written_at: float | None = None, new_from: tuple[int, int] | None = None) -> Log:
    return Log("x.log", tuple(Kept(f"x.log.{n}", part, written_at) for n, part in enumerate(parts)), "", new_from)


def found(parts: Sequence[bytes], since: float, *, asked: bool = True, now: float = NOW, **more: object) -> Span:
    return span_of(log(*parts, **more), since, now, asked)  # type: ignore[arg-type]


def blocks(span: Span) -> list[Block]:
    return list(span.read(Deadline(20)))


def text(span: Span, zone: int | None = None) -> bytes:
    """What was read, put in order again; of one zone or of all."""
    return b"".join(block.data for block in sorted(blocks(span), key=lambda b: b.place) if zone in (None, block.zone))


FORMS = {
    "ISO 8601": "%Y-%m-%d %H:%M:%S INFO x",
    "syslog": "%b %d %H:%M:%S db1 app: x",
    "access log": '10.0.0.9 - - [%d/%b/%Y:%H:%M:%S +0000] "GET / HTTP/1.1" 200 5',
    "ctime": "[%a %b %d %H:%M:%S %Y] [core:error] x",
    "klog": "I%m%d %H:%M:%S.000000       7 main.go:1] x",
    "MySQL, old": "%y%m%d %H:%M:%S [Note] x",
    "month's name, day, year": "%b %d, %Y %I:%M:%S %p com.example.Main run",
    "epoch": "%s x",
    "JSON": '{"level":"info","msg":"x","ts":%s}',
    "logfmt": "level=info ts=%Y-%m-%dT%H:%M:%SZ msg=x",
    "container": "db-1  | %Y-%m-%dT%H:%M:%SZ x",
}


def written(form: str, at: float) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime(FORMS[form].replace("%s", f"{at:.0f}")).encode()


class Written(NamedTuple):
    """A log that was made: its parts, and of each record its time and place."""

    parts: list[bytes]
    records: list[tuple[float, Place]]

    def first_at(self, since: float) -> Place:
        place = next(
            (place for at, place in self.records if at >= since), Place(len(self.parts) - 1, len(self.parts[-1]))
        )
        return Place(0, 0) if self.records and place == self.records[0][1] else place


def made(form: str, records: list[tuple[int, int]], cuts: set[int], end: bytes, ended: bool = True) -> Written:
    """Records so many seconds apart, with so many lines of a trace, in parts that end after some of the lines."""
    at, number = NOW - 5 * DAY, 0
    parts, places = [b""], []
    for step, trace in records:
        at += step
        places.append((at, Place(len(parts) - 1, len(parts[-1]))))
        for line in [written(form, at), *(b"    at com.example.Main.run(Main.java:%d)" % n for n in range(trace))]:
            parts[-1] += line + end
            number += 1
            if number in cuts:
                parts.append(b"")
                if places[-1][1].offset == 0 and not parts[-2]:
                    places.pop()
    if not parts[-1]:
        parts.pop()
    # a record that should begin in a part that was only just begun stands at its beginning
    if not ended:
        parts[-1] = parts[-1].removesuffix(end)
    return Written(parts, places)


LOGS = st.builds(
    made,
    form=st.sampled_from(sorted(FORMS)),
    records=st.lists(
        st.tuples(st.sampled_from((0, 0, 1, 7, 300, 4000)), st.sampled_from((0, 0, 0, 1, 30))), min_size=1, max_size=60
    ),
    cuts=st.sets(st.integers(1, 200), max_size=3),
    end=st.sampled_from((b"\n", b"\r\n")),
    ended=st.booleans(),
)


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(made=LOGS, pick=st.floats(0, 1), off=st.sampled_from((-1, 0, 0.5, 1)))
def test_bisection_finds_what_reading_everything_finds(made: Written, pick: float, off: float) -> None:
    times = [at for at, _ in made.records]
    since = times[int(pick * (len(times) - 1))] + off
    span = found(made.parts, since)
    assert span.form is not None
    assert span.bounds[0] == Place(len(made.parts) - 1, len(made.parts[-1]))
    assert span.bounds[1] == made.first_at(since)
    for edge, place in zip(span.edges[2:], span.bounds[2:], strict=True):
        assert place == made.first_at(edge)
    for at, place in made.records[-5:]:
        assert span.time_at(place) == at


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(made=LOGS, pick=st.floats(0, 1))
def test_blocks_are_the_bytes_of_window_and_baseline_and_of_whole_records(made: Written, pick: float) -> None:
    times = [at for at, _ in made.records]
    span = found(made.parts, times[int(pick * (len(times) - 1))])
    read = blocks(span)
    assert [block.place for block in read] == sorted((block.place for block in read), reverse=True)
    assert [block.zone for block in read] == sorted(block.zone for block in read)
    begin = span.bounds[-1]
    rest = [made.parts[begin.part][begin.offset :], *made.parts[begin.part + 1 :]]
    assert text(span) == b"".join(rest)
    assert sum(len(block.data) for block in read if block.zone == 0) == span.window.bytes
    assert sum(len(block.data) for block in read if block.zone) == span.window.baseline_bytes
    begins = {place for _, place in made.records} | {Place(number, 0) for number in range(len(made.parts))}
    for block in read:
        part = made.parts[block.place.part]
        assert part[block.place.offset :].startswith(block.data)
        if block.place not in begins:  # only a record that is too long is cut, and that at a line
            assert block.place.offset == 0 or part[block.place.offset - 1 : block.place.offset] == b"\n"
            before = max(p for p in begins if p < block.place)
            after = min((p.offset for p in begins if p > block.place and p.part == block.place.part), default=len(part))
            assert after - before.offset > 200


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=600),
            st.lists(
                st.sampled_from((
                    b"2026-11-24 11:59:00 x\n", b"2026-11-24 11:30:00 y\n", b"2035-01-01 00:00:00 z\n", b"\0" * 900,
                    b"x" * 2000, b"\n" * 50, b"  at a\n", b"Nov 24 11:00:00 h x\n", b'{"ts":1795521600}\n',
                    b"\xff\xfe\r\n",
                )),
                max_size=20,
            ).map(b"".join),
        ),
        min_size=1, max_size=3,
    ),
    since=st.sampled_from((NOW - 900, NOW - DAY, NOW + 5, 0.0)), asked=st.booleans(),
    late=st.sampled_from((None, 0.0, 3600.0, 1e6)), new=st.one_of(st.none(), st.floats(0, 1)),
)  # fmt: skip
def test_any_bytes_have_a_window(
    parts: list[bytes], since: float, asked: bool, late: float | None, new: float | None
) -> None:
    written_at = None if late is None else NOW - late
    new_from = None if new is None else (len(parts) - 1, int(new * len(parts[-1])))
    span = found(parts, since, asked=asked, written_at=written_at, new_from=new_from)
    assert len(span.bounds) == len(span.slices) + 2
    assert list(span.bounds) == sorted(span.bounds, reverse=True)
    begin = span.bounds[-1]
    whole = b"".join([parts[begin.part][begin.offset :], *parts[begin.part + 1 :]])
    assert text(span).replace(b"\0", b"") == whole.replace(b"\0", b""), "but for holes it is all"
    if new_from is not None:
        assert span.bounds[1] == Place(*new_from) or span.window.cut
    reading = span.read(Deadline(5))
    for block in reading:
        assert len(span.line_at(block.place)) <= 8192
        at = span.time_at(block.place)
        assert at is None or span.form is not None
    assert reading.whole
    assert reading.gap() is None
    assert str(span.window)


# What the window is.


def lines(*ago: float, form: str = "ISO 8601", now: float = NOW) -> bytes:
    return b"".join(written(form, now - seconds) + b"\n" for seconds in ago)


def test_the_baseline_is_four_windows_before_it() -> None:
    span = found([lines(*range(9000, -1, -10))], NOW - 900)
    window = span.window
    assert (window.how, window.since, window.until, window.first_at) == ("time", NOW - 900, NOW, NOW - 900)
    assert span.seconds == 900
    assert span.slices == (900, 900, 900, 900)
    assert window.baseline_since == NOW - 4500
    assert text(span, 0) == lines(*range(900, -1, -10))
    assert text(span, 1) == lines(*range(1800, 900, -10))
    assert text(span, 4) == lines(*range(4500, 3600, -10))


@pytest.mark.parametrize(("begins", "slices"), [(2350, (900, 550)), (1910, (900,)), (1200, (300,)), (1000, ())])
def test_of_the_baseline_counts_what_the_log_covers(begins: int, slices: tuple[float, ...]) -> None:
    span = found([lines(*range(begins, -1, -10))], NOW - 900)
    assert span.slices == slices
    assert sum(block.zone > 0 for block in blocks(span)) == len(slices)
    assert span.window.baseline_since == (NOW - 900 - sum(slices) if slices else None)


def test_a_log_that_is_younger_than_the_window_has_none() -> None:
    span = found([lines(300, 200, 100)], NOW - 900)
    assert span.slices == ()
    assert span.seconds == 300
    assert span.window.since == NOW - 900


def test_where_nothing_was_written_the_window_moves_unless_it_was_asked_for() -> None:
    data = lines(*range(9000, 5000, -10))
    asked = found([data], NOW - 900)
    assert (asked.window.bytes, asked.window.moved, asked.window.last_at) == (0, False, None)
    assert str(asked.window).endswith("nothing written in the window")
    moved = found([data], NOW - 900, asked=False)
    assert moved.window.moved
    assert (moved.window.since, moved.window.until) == (NOW - 5910, NOW - 5010)
    assert text(moved, 0) == lines(*range(5910, 5000, -10))
    assert moved.slices[:3] == (900, 900, 900)


def test_what_is_new_is_compared_with_what_was_before() -> None:
    before, new = lines(*range(9000, 600, -10)), lines(*range(600, -1, -10))
    span = found([before + new], NOW - 900, new_from=(0, len(before)))
    assert span.window.how == "new"
    assert text(span, 0) == new
    assert span.seconds == 600
    assert text(span, 1) == lines(*range(1200, 600, -10))
    nothing = found([before], NOW - 900, new_from=(0, len(before)))
    assert str(nothing.window) == "x.log: nothing new"


def test_a_log_without_times_is_taken_whole_or_its_end() -> None:
    whole = found([b"one\n", b"two\n"], NOW - 900)
    assert (whole.window.how, whole.window.bytes, whole.seconds, whole.slices) == ("whole", 8, None, ())
    assert (text(whole), whole.time_at(Place(0, 0)), whole.line_at(Place(1, 0))) == (b"one\ntwo\n", None, b"two")
    old = found([b"one\n"], NOW - 900, written_at=NOW - 5000)
    assert old.window.bytes == 0
    moved = found([b"one\n"], NOW - 900, written_at=NOW - 5000, asked=False)
    assert (moved.window.bytes, moved.window.moved) == (4, True)


def test_of_a_large_log_without_times_only_the_end_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_window, "TAIL", 1000)
    data = b"".join(b"line %06d\n" % number for number in range(300))
    span = found([data[:1800], data[1800:]], NOW - 900)
    assert (span.window.how, span.window.cut) == ("tail", True)
    assert data.endswith(text(span))
    assert text(span).startswith(b"line ")
    assert 980 < len(text(span)) <= 1000
    new = found([data], NOW - 900, new_from=(0, len(data) - 480))
    assert text(new, 0) == data[-480:]
    assert (new.slices, len(text(new, 1))) == ((0.0,), 996)


def test_threads_that_write_side_by_side_lose_no_line() -> None:
    ago = [3000, 2000, 902, 898, 903, 901, 899, 897, 300, 302, 301]
    span = found([lines(*ago)], NOW - 900)
    assert text(span, 0) == lines(*ago[3:])
    assert span.window.back == 0


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(late=st.lists(st.integers(0, 40), min_size=150, max_size=150))
def test_no_line_is_lost_where_many_threads_write(late: list[int]) -> None:
    """Each line is written up to 40 s after the time in it."""
    order = sorted(range(150), key=lambda number: number * 10 + late[number])
    data = [written("ISO 8601", NOW - 1500 + number * 10) + b" %d\n" % number for number in order]
    inside = text(found([b"".join(data)], NOW - 900), 0)
    first = next(at for at, number in enumerate(order) if number * 10 >= 600)
    assert inside == b"".join(data[first:])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("odd", [b"2027-06-01 00:00:00 far off\n", b"2001-01-01 00:00:00 far off\n"])
@pytest.mark.parametrize("phase", range(7))
def test_times_far_off_among_good_ones_lead_nowhere(odd: bytes, phase: int) -> None:
    good = [lines(seconds) for seconds in range(90000, -1, -10)]
    data = b"".join(odd + line if number % 7 == phase else line for number, line in enumerate(good))
    span = found([data], NOW - 900)
    start = len(data) - len(text(span, 0))
    assert abs(data.index(lines(900)) - start) <= len(odd)
    assert span.window.last_at == NOW
    assert span.window.ahead == 0


def test_a_hole_of_nuls_hides_no_line() -> None:
    before, after = lines(*range(9000, 4000, -10)), lines(*range(600, -1, -10))
    span = found([before + b"\0" * 3_000_000 + after], NOW - 500)
    assert text(span, 0) == lines(*range(500, -1, -10))
    span = found([before + b"\0" * 3_000_000 + after], NOW - 3000)
    assert text(span, 0).lstrip(b"\0") == after


@pytest.mark.parametrize(
    ("filler", "size"),
    [
        *((b"\0", size) for size in (100, 1_100_000, 2_000_000, 3_000_000, 4_100_000, 5_000_000, 12_000_000)),
        *((b"    at com.example.shop.Main.run(Main.java:7)" * 2 + b"\n", size) for size in (200_000, 3_000_000)),
    ],
    ids=lambda value: f"{value:,} of" if isinstance(value, int) else "NULs" if value == b"\0" else "lines without time",
)
def test_what_stands_before_or_behind_the_lines_hides_none(filler: bytes, size: int) -> None:
    before, after = lines(*range(9000, 4000, -10)), lines(*range(600, -1, -10))
    much = (filler * (size // len(filler) + 1))[:size]
    window = lines(*range(500, -1, -10))
    for name, data in {
        "before": much + b"\n" + after, "between": before + much + b"\n" + after, "behind": before + after + much,
    }.items():  # fmt: skip
        span = found([data], NOW - 500)
        assert text(span, 0).rstrip(b"\0").removesuffix(much) == window, name
        assert span.window.last_at == NOW, name


@pytest.mark.parametrize("where", ["before", "between", "behind"])
def test_a_hole_that_was_never_written_is_not_read(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = lines(*range(9000, 4000, -10)), lines(*range(600, -1, -10))
    path = tmp_path / "x.log"
    with path.open("wb") as file:
        for at, piece in {"before": older, "between": newer, "behind": b""}.items():
            if at == where:
                file.truncate(file.tell() + (4 << 30))
                file.seek(0, os.SEEK_END)
            file.write(piece)
    part, read = File(str(path)), []
    monkeypatch.setattr(
        File, "read", lambda self, start, length, of=File.read: read.append(length) or of(self, start, length)
    )
    span = span_of(Log("x.log", (part,)), NOW - 500, NOW, True)
    assert text(span, 0).strip(b"\0") == lines(*range(500, -1, -10))
    assert sum(read) < 64 << 20
    part.close()


def test_what_was_emptied_under_us_has_its_lines_where_a_hole_is_now(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(lines(*range(90_000, -1, -1)))
    part, size = File(str(path)), path.stat().st_size
    assert size > LEAST
    os.truncate(path, 0)
    os.truncate(path, size + 1000)
    assert holes(part) == []
    part.close()


class Endless(Part):
    """Lines, a gigabyte without an end of line, and more lines; and how much of it was read."""

    def __init__(self, before: bytes, length: int, after: bytes) -> None:
        super().__init__("x.log", len(before) + length + len(after), None)
        self.before, self.length, self.after, self.read_bytes = before, length, after, 0

    def read(self, start: int, length: int) -> bytes:
        end = min(start + length, self.size)
        self.read_bytes += max(0, end - start)
        middle = len(self.before) + self.length
        filler = max(0, min(end, middle) - max(start, len(self.before)))
        tail = self.after[max(0, start - middle) : max(0, end - middle)]
        return self.before[start:end] + b"x" * filler + tail

    def close(self) -> None:
        """It holds nothing."""


def test_a_gigabyte_without_an_end_of_line_is_stepped_over() -> None:
    part = Endless(lines(*range(9000, 4000, -10)), 1 << 30, b"\n" + lines(*range(600, -1, -10)))
    span = span_of(Log("x.log", (part,)), NOW - 500, NOW, True)
    assert text(span, 0) == lines(*range(500, -1, -10))
    assert part.read_bytes < 2.5 * (1 << 30)
    assert max(len(b.data) for b in blocks(span)) <= (1 << 20)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("behind", [2, 20, 80])
def test_a_long_stretch_without_times_hides_no_line(behind: int) -> None:
    before, after = lines(*range(9000, 6000, -10)), lines(*range(behind * 10, -1, -10))
    data = before + b"    at com.example.Main.run(Main.java:5)\n" * 900 + after
    assert text(found([data], NOW - behind * 5), 0) == lines(*range(behind * 5, -1, -10))


def test_a_line_without_an_end_comes_in_blocks() -> None:
    data = lines(300) + b"x" * 3_000_000
    span = found([data], NOW - 900)
    assert text(span) == data
    assert max(len(block.data) for block in blocks(span)) <= 1 << 20


def test_what_a_rotated_part_begins_with_belongs_to_the_record_before() -> None:
    old, new = lines(2000, 1000) + b"Traceback:\n", b'  File "a.py"\nValueError\n' + lines(500, 100)
    span = found([old, new], NOW - 900)
    assert text(span, 0) == lines(500, 100)
    assert span.time_at(Place(1, 0)) == NOW - 1000
    assert found([old, new], NOW - 1500).bounds[1] == Place(0, len(lines(2000)))


def test_what_stands_before_the_first_record_is_read_with_it() -> None:
    head = b"mariadbd, Version: 10.11.6\nTcp port: 3306\n"
    assert text(found([head + lines(500, 100)], NOW - 900), 0) == head + lines(500, 100)
    old = found([head + lines(*range(2400, -1, -10))], NOW - 900)
    assert text(old) == head + lines(*range(2400, -1, -10))
    assert old.time_at(Place(0, 0)) is None


# Clocks.


def test_a_writer_in_another_zone_is_put_right() -> None:
    data = lines(*range(9000, -1, -10), now=NOW + 5 * 3600)
    span = found([data], NOW - 900, written_at=NOW + 1)
    assert span.window.zone_shift == -5 * 3600
    assert (span.window.first_at, span.window.last_at, span.window.ahead) == (NOW - 900, NOW, 0)
    assert span.time_at(Place(0, 0)) == NOW - 9000


@pytest.mark.parametrize("apart", [20.0, 700.0, 15 * 3600.0, 900.0, 2700.0, -900.0, -2700.0])
def test_a_file_that_was_only_touched_says_nothing_of_zones(apart: float) -> None:
    """Nor does what would put its writer where no zone is."""
    span = found([lines(*range(9000, -1, -10))], NOW - 900, written_at=NOW + apart, now=NOW + apart)
    assert span.window.zone_shift == 0


def test_a_clock_that_is_ahead_is_told() -> None:
    span = found([lines(*range(3000, -1, -10), now=NOW + 1000)], NOW - 900)
    assert span.window.ahead == 1000
    assert span.window.until == NOW + 1000
    assert "in the future" in str(span.window)
    assert found([lines(*range(3000, -1, -10), now=NOW + 30)], NOW - 900).window.ahead == 0


def test_a_clock_that_is_days_ahead_is_told_too() -> None:
    span = found([lines(*range(3000, -1, -10), now=NOW + 5 * DAY)], NOW - 900)
    assert (span.window.ahead, text(span, 0)) == (5 * DAY, lines(*range(3000, -1, -10), now=NOW + 5 * DAY))


def test_a_clock_that_was_set_back_is_told() -> None:
    data = lines(*range(4000, 1000, -1)) + lines(*range(2500, 0, -1))
    assert found([data], NOW - 3900).window.back == pytest.approx(1500, abs=200)


AUTUMN = datetime(2026, 10, 25, 1, 0, 0, tzinfo=UTC).timestamp()  # in Berlin 3:00 becomes 2:00
SPRING = datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC).timestamp()  # in Berlin 2:00 becomes 3:00


def in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()


def local(*moments: float) -> bytes:
    stamps = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) for moment in moments)
    return b"".join(stamp.encode() + b" INFO x\n" for stamp in stamps)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", [AUTUMN, SPRING], ids=["set back", "set forward"])
@pytest.mark.parametrize("back", range(-9000, 9000, 900))
@pytest.mark.parametrize("cut", [None, -3000, 0, 2000])
def test_the_window_is_right_where_clocks_change(
    change: float, back: int, cut: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_berlin(monkeypatch)
    moments = [change + seconds for seconds in range(-20000, 20001, 50)]
    parts = (
        [moments]
        if cut is None
        else [[m for m in moments if m < change + cut], [m for m in moments if m >= change + cut]]
    )
    span = found([local(*part) for part in parts], change + back, now=change + 20000, written_at=change + 20000)
    inside = [m for m in moments if m >= change + back]
    assert text(span, 0) == local(*inside)
    assert (span.window.first_at, span.window.last_at) == (inside[0], change + 20000)
    assert span.window.back == 0
    assert span.window.zone_shift == 0


@pytest.mark.parametrize("late", [-1800, 1800], ids=["the first", "the second"])
def test_in_the_hour_that_comes_twice_the_files_time_tells_which(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    in_berlin(monkeypatch)
    now = AUTUMN + late
    span = found([local(now - 300, now - 200, now)], now - 250, now=now, written_at=now)
    assert (span.window.last_at, span.window.first_at) == (now, now - 200)
    assert (span.window.ahead, span.window.zone_shift) == (0, 0)


def test_a_writer_in_utc_keeps_its_hours_where_ours_change(monkeypatch: pytest.MonkeyPatch) -> None:
    in_berlin(monkeypatch)
    moments = [AUTUMN + seconds for seconds in range(-20000, 20001, 50)]
    data = b"".join(written("ISO 8601", moment) + b"\n" for moment in moments)
    span = found([data], AUTUMN - 9000, now=AUTUMN + 20000, written_at=AUTUMN + 20000)
    assert span.window.zone_shift == 3600
    assert span.window.first_at == AUTUMN - 9000
    assert span.time_at(Place(0, 0)) == AUTUMN - 20000


def test_at_new_year_the_window_reaches_into_the_year_before() -> None:
    year = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    data = lines(*range(4000, -301, -10), form="syslog", now=year)
    span = found([data], year - 600, now=year + 300, written_at=year + 300)
    assert (span.window.first_at, span.window.last_at) == (year - 600, year + 300)
    assert text(span, 0) == lines(*range(600, -301, -10), form="syslog", now=year)


# Reading.


def test_reading_stops_when_its_share_of_the_time_is_used_up() -> None:
    data = b"".join(written("ISO 8601", NOW - 3600 + second) + b" " + b"x" * 3000 + b"\n" for second in range(3601))
    span = found([data], NOW - 3600)
    reading = span.read(Deadline(0.5), share=0.2)
    read = []
    for block in reading:
        read.append(block)
        time.sleep(0.03)
    assert not reading.whole
    assert reading.reached == span.time_at(read[-1].place)
    assert 0 < reading.zones[0] < 3600
    assert reading.zones[0] == pytest.approx(NOW - (reading.reached or 0))
    gap = reading.gap()
    assert gap is not None
    assert (gap.reason, "of the window (1 h) was read" in gap.detail) == ("deadline", True)


def test_reading_that_stops_in_the_baseline_says_how_far_it_came() -> None:
    data = b"".join(written("ISO 8601", NOW - 9000 + second) + b" " + b"x" * 500 + b"\n" for second in range(9001))
    span = found([data], NOW - 900)
    reading = span.read(Deadline(0.5), share=0.5)
    for block in reading:
        if block.zone == 2:
            time.sleep(0.4)
    assert reading.zones[:2] == (900, 900)
    assert reading.zones[3:] == (0, 0)
    gap = reading.gap()
    assert gap is not None
    assert "to compare with" in gap.detail


def test_logs_are_found_once_and_the_first_gap_is_told_at_the_end(tmp_path: Path) -> None:
    now = time.time()
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(lines(3000, 100, 10, now=now))
        os.utime(tmp_path / name, (now - 10, now - 10))
    files = (str(tmp_path / "a.log"), str(tmp_path / "none.log"), str(tmp_path / "b.log"))
    spans = Spans(Wanted(files), now - 900, asked=True)
    facts = spans.find(Deadline(5))
    seen = [next(facts).subject, next(facts).subject]
    with pytest.raises(CannotLook, match=r"none\.log"):
        next(facts)
    assert seen == [files[0], files[2]] == [span.name for span in spans.all]
    assert [text(span, 0) for span in spans.all] == [lines(100, 10, now=now)] * 2
    spans.close()


class Counted(Kept):
    """A part that counts what was read of it."""

    read_bytes = 0

    def read(self, start: int, length: int) -> bytes:
        data = super().read(start, length)
        self.read_bytes += len(data)
        return data


def test_the_cost_follows_the_window_and_not_the_file() -> None:
    costs = []
    for length in (20_000, 120_000):
        moments = (NOW - length + second for second in range(length + 1))
        part = Counted("x.log", b"".join(written("ISO 8601", moment) + b" " + b"x" * 40 + b"\n" for moment in moments))
        span = span_of(Log("x.log", (part,)), NOW - 900, NOW, True)
        assert span.window.bytes == 901 * part.size // (length + 1)
        costs.append(part.read_bytes)
    assert costs[1] < 1.3 * costs[0]


@pytest.mark.parametrize("width", range(20))
def test_no_block_begins_at_a_time_within_a_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_window, "BLOCK", 300 + width)
    line = b"2026-11-24 11:50:00 " * 7 + b"\n"
    span = found([line * 40], NOW - 900)
    assert text(span) == line * 40
    assert all(block.place.offset % len(line) == 0 for block in blocks(span))

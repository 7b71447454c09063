"""Scanning blocks of logs: all engines give the same answer, and `logs.known` counts what it says it counts."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_scan
from rbdiag.collect.log_known import known
from rbdiag.collect.log_patterns import LINE, Matcher, pattern_from_settings
from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_window import Spans
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.logs import LogKnown
from rbdiag.model import CannotLook

MATCHER = Matcher()
RECORDED = [
    row.encode() for row in (Path(__file__).parent / "recorded" / "log-patterns.txt").read_text().splitlines()
    if not row.startswith(("#", "    "))
]  # fmt: skip
ENGINES: tuple[log_scan.Engine, ...] = ("hyperscan", "grep", "python")


def missing(engine: log_scan.Engine) -> str:
    if engine == "hyperscan" and log_scan._hyperscan(MATCHER) is None:
        return "hyperscan is not installed"
    if engine == "grep" and log_scan._grep() is None:
        return "there is no GNU grep"
    return ""


HERE = [engine for engine in ENGINES if not missing(engine)]


class Block(NamedTuple):
    data: bytes
    number: int


class Found(NamedTuple):
    """One known line: in which block, where, and what it says."""

    block: int
    start: int
    end: int
    pattern: str
    codes: tuple[str, ...]
    name: str


def scanned(blocks: list[bytes], engine: log_scan.Engine | None, matcher: Matcher = MATCHER) -> list[Found]:
    found = []
    given = [Block(data, number) for number, data in enumerate(blocks)]
    order = []
    for block, lines in log_scan.scan(matcher, iter(given), Deadline(60), 1 << 30, engine):
        order.append(block.number)
        for start, end, candidates in lines:
            assert candidates == matcher.candidates(block.data[start:end])
            hit = matcher.confirm(block.data[start : min(end, start + LINE)], candidates)
            if hit is not None:
                found.append(Found(block.number, start, end, hit.pattern.name, hit.codes, hit.name))
    assert order == list(range(len(blocks)))
    return found


def expected(blocks: list[bytes], matcher: Matcher = MATCHER) -> list[Found]:
    """The same by looking at each line by itself."""
    found = []
    for number, data in enumerate(blocks):
        start = 0
        for line in data.split(b"\n"):
            if (hit := matcher.match(line)) is not None:
                found.append(Found(number, start, start + len(line), hit.pattern.name, hit.codes, hit.name))
            start += len(line) + 1
    return found


def healthy(count: int, seed: int = 1) -> list[bytes]:
    dice = random.Random(seed)
    return [
        b"2026-11-24T10:00:%02dZ INFO shop: order %d stored, %d items, took %d ms, no errors"
        % (dice.randrange(60), dice.randrange(10**8), dice.randrange(9), dice.randrange(999))
        for _ in range(count)
    ]


def mixed(count: int, every: int, seed: int = 1) -> bytes:
    """Healthy lines with a recorded one among so many."""
    dice = random.Random(seed)
    lines = healthy(count, seed)
    for place in range(0, count, every):
        lines[place] = dice.choice(RECORDED)
    return b"\n".join(lines) + b"\n"


LOGS: dict[str, Callable[[], list[bytes]]] = {
    "nothing": list,
    "empty blocks": lambda: [b"", b"\n", b"\n\n"],
    "each recorded line": lambda: [b"\n".join(RECORDED)],
    "each in a block of its own": lambda: list(RECORDED),
    "a quiet log": lambda: [mixed(3000, 1000, seed) for seed in range(8)],
    "a storm": lambda: [mixed(3000, 2, seed) for seed in range(4)],
    "a storm that comes and goes": lambda: [mixed(3000, every, every) for every in (1500, 1, 1, 1500, 2, 1500, 1500)],
    "lines with several patterns": lambda: [
        b"\n".join(a + b" " + b for a, b in zip(RECORDED, RECORDED[9:], strict=False))
    ],
    "ends without a line end": lambda: [b"x\n" + line for line in RECORDED[:20]],
    "begins in the middle": lambda: [b"of nothing\n" + line + b"\n" for line in RECORDED[:20]],
    "DOS line ends": lambda: [b"\r\n".join(RECORDED) + b"\r\n"],
    "NUL bytes": lambda: [b"\0\0\0\n" + b"\0\n".join(RECORDED), b"\0" * 5000 + RECORDED[10], b"a\0b" + RECORDED[10]],
    "very long lines": lambda: [
        b"x" * 300_000 + RECORDED[10] + b"\n" + RECORDED[10] + b"y" * 300_000 + b"\n" + RECORDED[11]
    ],
    "one anchor over and over": lambda: [b"no space left on device " * 20_000, b"ENOSPC" * 10_000 + b"\nENOSPC"],
    "other cases": lambda: [
        b"\n".join(line.upper() for line in RECORDED), b"\n".join(line.lower() for line in RECORDED)
    ],
    "no UTF-8": lambda: [b"\n".join(b"\xff\xc3\xe2\x28" + line + b"\xfe" for line in RECORDED)],
    "letters that change when lowered": lambda: ["\n".join("İı" + line.decode() + "ſK" for line in RECORDED).encode()],
    "random bytes": lambda: [random.Random(seed).randbytes(200_000) for seed in range(4)],
    "more than a batch of grep's": lambda: [mixed(2500, 500, seed) for seed in range(14)],
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_finds_what_looking_at_each_line_finds(
    monkeypatch: pytest.MonkeyPatch, engine: log_scan.Engine, name: str
) -> None:
    if reason := missing(engine):
        pytest.skip(reason)
    monkeypatch.setattr(log_scan, "_BATCH", 1 << 20)
    blocks = LOGS[name]()
    assert scanned(blocks, engine) == expected(blocks)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_finds_a_user_s_pattern(engine: log_scan.Engine) -> None:
    if reason := missing(engine):
        pytest.skip(reason)
    matcher = Matcher((pattern_from_settings("stock", "(?i)stock of [0-9]+ is empty", "no stock"),))
    blocks = [b"a\n2026 STOCK of 12 is EMPTY\n" + mixed(500, 5)] * 2
    found = scanned(blocks, engine, matcher)
    assert found == expected(blocks, matcher)
    assert [f.pattern for f in found].count("stock") == 2


PIECES = st.one_of(st.sampled_from(RECORDED), st.sampled_from(MATCHER.anchors), st.binary(max_size=30),
                   st.sampled_from([b"\n", b"\r\n", b"\0", b" ", b"\n\n"]))  # fmt: skip


@given(st.lists(st.lists(PIECES, max_size=12).map(b"".join), max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
def test_engines_agree_on_anything(blocks: list[bytes]) -> None:
    answers = {engine: scanned(blocks, engine) for engine in HERE}
    assert all(answer == expected(blocks) for answer in answers.values()), answers


# Which engine, and how it ends.


def used(monkeypatch: pytest.MonkeyPatch, size: int) -> str:
    """Which engine is taken for so many bytes."""
    took: list[str] = []
    for engine, name in (("hyperscan", "_ahead"), ("grep", "_by_grep"), ("python", "_by_python")):
        monkeypatch.setattr(log_scan, name, lambda *_, engine=engine: took.append(engine) or iter(()))
    list(log_scan.scan(MATCHER, [Block(b"", 0)], Deadline(5), size))
    return took[0]


def test_small_logs_are_looked_at_by_ourselves_large_ones_by_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(log_scan.VARIABLE, raising=False)
    assert used(monkeypatch, 1000) == "python"
    if "hyperscan" in HERE:
        assert used(monkeypatch, 10 << 20) == "hyperscan"
    monkeypatch.setattr(log_scan, "_hyperscan", lambda _matcher: None)
    if "grep" in HERE:
        assert used(monkeypatch, 10 << 20) == "grep"
    monkeypatch.setattr(log_scan, "_grep", lambda: None)
    assert used(monkeypatch, 10 << 20) == "python"


@pytest.mark.parametrize("engine", HERE)
def test_a_variable_forces_an_engine(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setenv(log_scan.VARIABLE, engine)
    assert used(monkeypatch, 10) == engine


def test_a_grep_that_is_not_gnu_s_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    busy = tmp_path / "grep"
    busy.write_text("#!/bin/sh\necho 'BusyBox v1.36.1'\n")
    busy.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert log_scan._grep() is None


@pytest.mark.skipif("grep" not in HERE, reason="there is no GNU grep")
def test_where_grep_has_too_much_to_say_we_look_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_scan, "_SAID", 1000)
    blocks = LOGS["a storm"]()
    assert scanned(blocks, "grep") == expected(blocks)


@pytest.mark.skipif("grep" not in HERE, reason="there is no GNU grep")
def test_grep_ends_with_the_deadline() -> None:
    deadline = Deadline(0.02)
    time.sleep(0.03)
    with pytest.raises(OutOfTime):
        list(log_scan.scan(MATCHER, [Block(b"x", 0)], deadline, 1 << 30, "grep"))


@pytest.mark.skipif("hyperscan" not in HERE, reason="hyperscan is not installed")
def test_threads_end_when_nobody_wants_more() -> None:
    before = set(threading.enumerate())
    scan = log_scan.scan(MATCHER, (Block(mixed(100, 10), n) for n in range(50)), Deadline(60), 1 << 30, "hyperscan")
    next(scan)
    scan.close()  # type: ignore[attr-defined]  # it is a generator
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("engine", HERE)
def test_what_stops_reading_is_raised(engine: log_scan.Engine) -> None:
    def blocks() -> Iterator[Block]:
        yield Block(mixed(100, 10), 0)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        list(log_scan.scan(MATCHER, blocks(), Deadline(60), 1 << 30, engine))


# The check.

NOW = time.time()


def stamped(ago: float, text: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago)) + f" {text}\n"


def looked(tmp_path: Path, text: str, since: float = 3600, **given: object) -> list[LogKnown]:
    path = tmp_path / "app.log"
    path.write_text(text)
    spans = Spans(Wanted((str(path),)), NOW - since, asked=True)
    try:
        list(spans.find(Deadline(20)))
        return list(known(spans, Deadline(20), **given))  # type: ignore[arg-type]  # only facts of this kind
    finally:
        spans.close()


REFUSED = "ERROR shop: connect ECONNREFUSED 10.0.0.5:6379"
FULL = "ERROR shop: OSError: [Errno 28] No space left on device: '/srv/shop/spool/17'"


def test_lines_are_counted_by_what_they_say_and_what_they_are_about(tmp_path: Path) -> None:
    lines = [stamped(3000 - n, REFUSED if n % 3 else FULL) for n in range(30)]
    lines.insert(0, stamped(3500, "INFO shop: all is well"))
    found = looked(tmp_path, "".join(lines))
    assert [(fact.pattern, fact.name, fact.count, fact.before) for fact in found] == [
        ("peer-refused", "10.0.0.5:6379", 20, 0), ("disk-full", "/srv/shop/spool", 10, 0)]  # fmt: skip
    refused = found[0]
    assert refused.codes == ("svc.not-running",)
    assert refused.role == "failure"
    assert refused.first_at == pytest.approx(NOW - 2999, abs=1.1)
    assert refused.happened_at == pytest.approx(NOW - 2971, abs=1.1)
    assert refused.text == REFUSED


CAUSED = (
    "ERROR shop: order {n} failed\njava.net.ConnectException: Connection refused\n\tat shop.Stock.ask(Stock.java:41)\n"
    "Caused by: java.net.ConnectException: Connection refused\n\tat java.base/sun.nio.ch.Net.connect(Net.java:579)"
)


def test_a_record_that_says_the_same_twice_is_counted_once(tmp_path: Path) -> None:
    (fact,) = looked(tmp_path, "".join(stamped(3000 - n, CAUSED.format(n=n)) for n in range(30)))
    assert (fact.pattern, fact.count) == ("peer-refused", 30)


def test_without_times_each_line_is_counted(tmp_path: Path) -> None:
    (fact,) = looked(tmp_path, "".join(CAUSED.format(n=n) + "\n" for n in range(30)))
    assert (fact.pattern, fact.count) == ("peer-refused", 60)


def test_what_the_baseline_has_is_counted_apart(tmp_path: Path) -> None:
    before = [stamped(3600 * 4 - n, REFUSED) for n in range(7)]
    inside = [stamped(1800 - n, REFUSED) for n in range(3)]
    between = [stamped(3600 * 5 - 60 * n, "INFO shop: all is well") for n in range(290)]
    found = looked(tmp_path, "".join(sorted(before + inside + between)))
    assert [(fact.count, fact.before) for fact in found] == [(3, 7)]


def test_what_only_the_baseline_has_is_not_told(tmp_path: Path) -> None:
    lines = [stamped(3600 * 4, REFUSED)] + [stamped(3600 * 5 - 60 * n, "INFO all is well") for n in range(290)]
    assert looked(tmp_path, "".join(sorted(lines))) == []


def test_of_many_names_the_most_frequent_are_told_and_all_lines_counted(tmp_path: Path) -> None:
    lines = [stamped(3000, REFUSED.replace("0.5", f"{n // 250}.{n % 250}")) for n in range(1000)]
    lines += [stamped(2000, REFUSED)] * 5
    found = looked(tmp_path, "".join(lines))
    assert len(found) <= 12
    assert sum(fact.count for fact in found) == 1005
    assert ("10.0.0.5:6379", 6) in [(fact.name, fact.count) for fact in found]


READY = "0 [Note] mariadbd: ready for connections."
CRASH = "0 [ERROR] mariadbd: Can't create/write to file './x' (Errcode: 13 \"Permission denied\")"


@pytest.mark.parametrize(
    ("lines", "started"),
    [
        ([CRASH, READY], True),
        ([READY, CRASH], False),
        ([CRASH, READY, CRASH], False),
        ([CRASH, "0 [Note] mariadbd: Normal shutdown"], False),
        (["app-1 db[7]: " + FULL, "app-1 cache[8]: Ready to accept connections"], False),
        (["app-1 db[7]: " + FULL, "app-1 db[9]: Ready to accept connections"], True),
        (["app-1 systemd[1]: shop.service: Failed with result 'oom-kill'.",
          "app-1 systemd[1]: Started shop.service - The shop."], True),
        (["app-1 systemd[1]: shop.service: Failed with result 'oom-kill'.",
          "app-1 systemd[1]: Started other.service - Another."], False),
        (["app-1 db[7]: " + FULL, "app-1 systemd[1]: Started other.service - Another."], False),
    ],
)  # fmt: skip
def test_a_good_start_afterwards_is_told(tmp_path: Path, lines: list[str], started: bool) -> None:
    found = looked(tmp_path, "".join(stamped(3000 - 100 * n, line) for n, line in enumerate(lines)))
    failures = [fact for fact in found if fact.role == "failure"]
    assert [fact.started_at is not None for fact in failures] == [started]


def test_a_secret_in_a_line_is_not_told(tmp_path: Path) -> None:
    line = "ERROR shop: postgres://shop:hunter2secret@10.0.0.5:5432/x: connection refused password=hunter2secret"
    (fact,) = looked(tmp_path, stamped(100, line))
    assert "hunter2" not in repr(fact)
    assert fact.name == "10.0.0.5:5432"


def test_a_user_s_pattern_is_told_with_its_severity(tmp_path: Path) -> None:
    own = pattern_from_settings("stock-empty", "stock is empty", "no stock", ("api.app-exception",), "critical")
    (fact,) = looked(tmp_path, stamped(100, "INFO shop: stock is empty"), extra=(own,))
    assert (fact.pattern, fact.title, fact.codes, fact.severity) == (
        "stock-empty", "no stock", ("api.app-exception",), "critical")  # fmt: skip


def test_what_there_was_no_time_to_read_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(stamped(3000 - n % 3000, REFUSED) for n in range(3000)))
    spans = Spans(Wanted((str(path),)), NOW - 3600, asked=True)
    list(spans.find(Deadline(20)))
    deadline = Deadline(0.01)
    time.sleep(0.02)
    with pytest.raises(CannotLook) as caught:
        list(known(spans, deadline))
    assert caught.value.gap.reason == "deadline"
    spans.close()


def test_a_log_without_times_is_told_without_them(tmp_path: Path) -> None:
    (fact,) = looked(tmp_path, "starting\nError: connect ECONNREFUSED 127.0.0.1:9099\n" * 3)
    assert (fact.count, fact.first_at, fact.happened_at, fact.name) == (3, None, None, "127.0.0.1:9099")

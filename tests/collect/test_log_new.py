"""What is news in a log: kinds of lines that are new, more or less frequent, or rare; and what is none."""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from rbdiag.collect import log_new, log_rates
from rbdiag.collect.log_new import changes
from rbdiag.collect.log_patterns import Matcher
from rbdiag.collect.log_seek import Place
from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_tally import Row, Tally
from rbdiag.collect.log_window import Block, Spans
from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogTemplate
from rbdiag.model import CannotLook

HOUR = 3600.0
# A log's writer: what it writes at a time, given how far through the log that is (0 to 1).
Writer = Callable[[float], str]

SYLLABLES = "al be ce do em fi go hu ir jo ka lu mi no pa ri sa to vi xe".split()


def iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"


def written(path: Path, times: Iterable[float], say: Writer, extra: Iterable[tuple[float, str]] = ()) -> Path:
    """A log with a line at each of these times, and some more."""
    lines = sorted([(at, say(at)) for at in times] + list(extra), key=lambda line: line[0])
    path.write_text("".join(f"{text}\n" for _, text in lines))
    return path


def evenly(count: int, start: float, end: float) -> Iterator[float]:
    return (start + (end - start) * (number + 0.5) / count for number in range(count))


def news(path: Path, since: float = HOUR, baseline: float = 4.0) -> list[LogTemplate]:
    spans = Spans(Wanted((str(path),)), time.time() - since, asked=True, baseline=baseline)
    try:
        list(spans.find(Deadline(60)))
        return [fact for fact in changes(spans, Deadline(60), Matcher()) if isinstance(fact, LogTemplate)]
    finally:
        spans.close()


def told(facts: Iterable[LogTemplate]) -> list[tuple[str, str]]:
    return [(fact.word, fact.template) for fact in facts]


# How programs write, all with what varies in it: names, ids, JSON.


def _said(draw: random.Random) -> tuple[str, str, str]:
    name = "".join(draw.choices(SYLLABLES, k=3))
    what = draw.choice(["came in", "went away", "placed an order", "looked at an item", "asked for a page", "paid"])
    return name, what, f"{draw.getrandbits(64):016x}"


def plain(draw: random.Random) -> Writer:
    def say(at: float) -> str:
        name, what, key = _said(draw)
        return f"{iso(at)} INFO shop: customer {name} {what}, request {key} in {draw.randrange(900)} ms"

    return say


def unlevelled(draw: random.Random) -> Writer:
    def say(at: float) -> str:
        name, what, _ = _said(draw)
        stamp = time.strftime("%b %d %H:%M:%S", time.gmtime(at))
        return f"{stamp} web1 shop[{draw.randrange(30000)}]: customer {name} {what}"

    return say


def pino(draw: random.Random) -> Writer:
    def say(at: float) -> str:
        name, what, key = _said(draw)
        return json.dumps(
            {"level": 30, "time": int(at * 1000), "pid": 17, "msg": f"customer {what}", "user": name, "trace": key}
        )

    return say


def logfmt(draw: random.Random) -> Writer:
    def say(at: float) -> str:
        name, what, key = _said(draw)
        return f'time={iso(at)} level=info msg="customer {what}" user={name} id={key} took={draw.randrange(900)}ms'

    return say


PLANTS = {
    "plain, at INFO": (plain, "{iso} INFO shop: fraud scores now come from the fallback provider"),
    "plain, at ERROR": (plain, "{iso} ERROR shop: fraud scores are gone"),
    "plain, one word of many": (plain, "{iso} INFO shop: customer bera was banned, request 00ff00ff00ff00ff in 3 ms"),
    "plain, another level": (plain, "{iso} ERROR shop: customer bera paid, request 00ff00ff00ff00ff in 3 ms"),
    "without a level": (unlevelled, "{syslog} web1 shop[77]: replication slot lags by 12 GB"),
    "JSON, another message": (
        pino,
        '{{"level":30,"time":{ms},"pid":17,"msg":"fraud scores gone","user":"bob","trace":"ff"}}',
    ),
    "JSON, another level": (
        pino,
        '{{"level":50,"time":{ms},"pid":17,"msg":"customer paid","user":"bob","trace":"ff"}}',
    ),
    "logfmt": (logfmt, 'time={iso} level=info msg="fraud scores gone" user=bob id=ff took=3ms'),
    "logfmt, the time last": (
        lambda draw: lambda at: f'level=info msg="customer {_said(draw)[1]}" took={draw.randrange(99)}ms ts={iso(at)}',
        'level=info msg="fraud scores gone" took=3ms ts={iso}',
    ),
    "a program's last words": (plain, "Segmentation fault (core dumped)"),
}


def at_time(line: str, at: float) -> str:
    syslog = time.strftime("%b %d %H:%M:%S", time.gmtime(at))
    return line.format(iso=iso(at), ms=int(at * 1000), syslog=syslog)


@pytest.mark.parametrize("before", [4.0, 0.0], ids=["with a baseline", "without a baseline"])
@pytest.mark.parametrize(("style", "line"), PLANTS.values(), ids=PLANTS)
def test_one_other_line_among_many_is_found(tmp_path: Path, style, line: str, before: float) -> None:
    now = time.time()
    say = style(random.Random(1))
    at = now - 0.3 * HOUR
    length = 5 * HOUR if before else HOUR
    path = written(tmp_path / "log", evenly(8_000, now - length, now), say, [(at, at_time(line, at))])
    found = news(path, HOUR + 60 if not before else HOUR, before)
    assert [fact.count for fact in found] == [1], told(found)
    assert found[0].word == ("new" if before or found[0].level in ("fatal", "error") else "rare")
    assert found[0].rank == 1
    assert found[0].first_at == found[0].happened_at == pytest.approx(at, abs=3.0)


def test_one_line_among_a_million_is_among_the_first_five(tmp_path: Path) -> None:
    now, draw = time.time(), random.Random(2)
    say = plain(draw)
    at = now - 0.4 * HOUR
    block = [say(0.0)[24:] for _ in range(20_000)]
    block[7] = " ERROR shop: cannot reach the printer"  # one that always comes now and then
    with (tmp_path / "log").open("w") as log:
        for number in range(0, 1_000_000, 100):
            stamp = iso(now - 5 * HOUR + 5 * HOUR * number / 1_000_000)
            log.writelines(f"{stamp}{line}\n" for line in block[number % 20_000 :][:100])
            if number == 920_000:
                log.write(f"{iso(at)} INFO shop: fraud scores now come from the fallback provider\n")
    assert "fraud" in " ".join(fact.template for fact in news(tmp_path / "log")[:5])


def test_the_lines_of_other_days_are_no_news(tmp_path: Path) -> None:
    now = time.time()
    for style in (plain, unlevelled, pino, logfmt):
        path = written(tmp_path / style.__name__, evenly(6_000, now - 5 * HOUR, now), style(random.Random(3)))
        assert news(path) == []
        assert news(path, 6 * HOUR) == []


# Rates.


def shop(at: float) -> str:
    return f"{iso(at)} INFO shop: " + ("order 7 stored", "mail 7 sent", "cache 7 warm", "page 7 shown")[int(at) % 4]


def test_a_tenfold_burst_is_told(tmp_path: Path) -> None:
    now = time.time()
    times = list(evenly(10_000, now - 5 * HOUR, now))
    burst = [(at, f"{iso(at)} INFO shop: order 8 stored") for at in evenly(4_500, now - HOUR, now)]
    found = news(written(tmp_path / "log", times, shop, burst))
    assert told(found) == [("more", "INFO shop: order * stored")]
    assert found[0].level == "info"
    assert found[0].count == pytest.approx(5000, abs=60)
    assert found[0].rate is not None
    assert found[0].rate_before is not None
    assert found[0].rate / found[0].rate_before == pytest.approx(10, rel=0.1)


def test_a_burst_that_is_half_of_the_log_is_told(tmp_path: Path) -> None:
    now = time.time()
    times = list(evenly(4_000, now - 5 * HOUR, now))
    burst = [(at, f"{iso(at)} INFO shop: order 8 stored") for at in evenly(4_000, now - HOUR, now)]
    assert told(news(written(tmp_path / "log", times, shop, burst))) == [("more", "INFO shop: order * stored")]


def test_a_burst_in_the_last_minutes_of_the_window_is_told(tmp_path: Path) -> None:
    now = time.time()
    times = list(evenly(10_000, now - 5 * HOUR, now))
    burst = [(at, f"{iso(at)} INFO shop: order 8 stored") for at in evenly(900, now - 700, now)]
    assert told(news(written(tmp_path / "log", times, shop, burst))) == [("more", "INFO shop: order * stored")]


def test_traffic_that_grew_alike_is_no_news(tmp_path: Path) -> None:
    now = time.time()
    times = [*evenly(4_000, now - 5 * HOUR, now - HOUR), *evenly(6_000, now - HOUR, now)]
    assert news(written(tmp_path / "log", times, shop)) == []


def test_lines_that_stopped_are_told(tmp_path: Path) -> None:
    now = time.time()
    times = list(evenly(10_000, now - 5 * HOUR, now))
    beats = [(at, f"{iso(at)} INFO shop: heart beats") for at in evenly(960, now - 5 * HOUR, now - HOUR)]
    found = news(written(tmp_path / "log", times, shop, beats))
    assert told(found) == [("fewer", "INFO shop: heart beats")]
    assert (found[0].count, found[0].before) == (0, 960)
    assert found[0].happened_at == pytest.approx(now - HOUR, abs=20)


@pytest.mark.parametrize(("before", "inside"), [(1, 4), (2, 8), (8, 9), (0, 0)])
def test_small_counts_make_no_news(tmp_path: Path, before: int, inside: int) -> None:
    now = time.time()
    some = [(at, f"{iso(at)} ERROR shop: no paper") for at in evenly(before, now - 5 * HOUR, now - HOUR)]
    some += [(at, f"{iso(at)} ERROR shop: no paper") for at in evenly(inside, now - HOUR, now)]
    found = news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, some))
    assert [fact for fact in found if fact.word != "same"] == []


@pytest.mark.parametrize(
    ("before", "inside", "shown"), [(4000, 1000, 1), (12, 3, 1), (4000, 300, 0), (8, 2, 0), (0, 0, 0)]
)
def test_an_error_that_was_there_all_the_time_is_told_as_such(
    tmp_path: Path, before: int, inside: int, shown: int
) -> None:
    now = time.time()
    some = [(at, f"{iso(at)} ERROR shop: no paper") for at in evenly(before, now - 5 * HOUR, now - HOUR)]
    some += [(at, f"{iso(at)} ERROR shop: no paper") for at in evenly(inside, now - HOUR, now)]
    found = news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, some))
    same = [fact for fact in found if fact.word == "same"]
    assert [(fact.template, fact.count) for fact in same] == [("ERROR shop: no paper", inside)][:shown]
    assert all("as before: ERROR" in str(fact) for fact in same)


def test_what_strangers_try_all_the_time_is_not_told(tmp_path: Path) -> None:
    now = time.time()
    some = [
        (
            at,
            f"{iso(at)} host sshd[{int(at) % 9999}]: error: maximum authentication attempts exceeded [preauth]",
        )
        for at in evenly(900, now - 5 * HOUR, now)
    ]
    assert news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, some)) == []


def test_errors_of_old_come_behind_the_news_and_are_few(tmp_path: Path) -> None:
    now = time.time()
    old = [
        (at, f"{iso(at)} ERROR {what}")
        for what in (
            "mill: no corn",
            "shop: no paper here",
            "bank: its vault is locked",
            "well: dry since May",
            "x: y z",
        )
        for at in evenly(500, now - 5 * HOUR, now)
    ]
    new = [(at, f"{iso(at)} INFO shop: the moon came up") for at in evenly(9, now - HOUR, now)]
    found = news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, old + new))
    assert [fact.word for fact in found] == ["new", "same", "same", "same"]
    assert [fact.rank for fact in found] == [1, 2, 3, 4]


WARNINGS = [
    (True, "WARN [Producer p1] Connection to node -1 could not be established. Broker may not be available."),
    (True, "[warning] <0.3.0> memory resource limit alarm set on node rabbit@mq1."),
    (True, "[WARN ][o.e.c] master not discovered yet, this node has not previously joined a cluster"),
    (True, "WARN payments: circuit breaker db is OPEN"),
    (True, '{"level":"warn","msg":"0/3 nodes fit","reason":"FailedScheduling"}'),
    (True, "[NOTICE] (12) : backend be_app has no server available!"),
    (False, "[NOTICE] (12) : Server be_app/app1 is UP, reason: Layer4 check passed"),
    (False, "WARN shop: this option is deprecated and failed requests are counted by another"),
    (False, "WARN shop: failed=0 in the last hour"),
    (False, "[Warning] Access denied for user 'app'@'localhost' (using password: YES)"),
    (False, "WARN shop: slow request, 1200 ms"),
    (False, "WARN shop: attempt 1 failed: connection refused; retry succeeded after 20ms"),
    (False, 'WARN forum: comment blocked: "the disk failed, too many connections"'),
    (False, "INFO shop: the last request failed"),
]


@pytest.mark.parametrize(("broken", "line"), WARNINGS, ids=[line for _, line in WARNINGS])
def test_a_warning_that_something_broke_is_told_from_others(tmp_path: Path, broken: bool, line: str) -> None:
    now = time.time()
    some = [
        (at, line[:1] + f'"time":"{iso(at)}",{line[1:]}' if line[:1] == "{" else f"{iso(at)} {line}")
        for at in evenly(9, now - HOUR, now)
    ]
    found = news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, some))
    assert [fact.broken for fact in found] == [broken]


def test_without_anything_before_a_warning_is_told_where_something_broke(tmp_path: Path) -> None:
    now = time.time()
    lines = [(at, f"{iso(at)} {line}") for broken, line in WARNINGS[:4] for at in evenly(5, now - HOUR, now)]
    lines += [(at, f"{iso(at)} WARN shop: slow request, 1200 ms") for at in evenly(5, now - HOUR, now)]
    found = news(written(tmp_path / "log", [], shop, lines))
    assert [(fact.word, fact.broken) for fact in found] == [("new", True)] * 4


# What a line of JSON is told as, whatever names its keys have.
JSON = [
    ('{"short_message":"lease lost","level":3}', "lease lost"),
    ('{"PRIORITY":"3","MESSAGE":"lease lost"}', "lease lost"),
    ('{"lvl":"error","m":"lease lost"}', "lease lost"),
    ('{"severityNumber":17,"body":{"stringValue":"lease lost"}}', "lease lost"),
    ('{"severityText":"ERROR","body":"lease lost"}', "lease lost"),
    ('{"level":"error","event":"lease lost","reason":"no quorum"}', 'lease lost [reason="no quorum"]'),
    ('{"@l":"Error","@m":"lease lost"}', "lease lost"),
    ('{"severity":"ERROR","textPayload":"lease lost"}', "lease lost"),
    ('{"log":"{\\"level\\":\\"error\\",\\"msg\\":\\"lease lost\\"}\\n","stream":"stderr"}', "lease lost"),
    ('{"s":"E","msg":"Terminating","attr":{"reason":"13: denied"}}', 'Terminating [reason="13: denied"]'),
    ('{"level":"error","msg":"lease lost","err":"' + "x" * 400 + '"}', "lease lost"),
    ('{"level":"error","msg":"lease lost","stack":"' + "x" * 4000 + '"}', "lease lost"),
]


@pytest.mark.parametrize(("line", "said"), JSON, ids=[line[:60] for line, _ in JSON])
def test_of_json_the_words_are_shown(tmp_path: Path, line: str, said: str) -> None:
    now = time.time()
    some = [(at, f'{{"time":"{iso(at)}",{line[1:]}') for at in evenly(9, now - HOUR, now)]
    (fact,) = news(written(tmp_path / "log", evenly(2_000, now - 5 * HOUR, now), shop, some))
    assert (fact.level, fact.sample) == ("error", said)
    assert fact.template.startswith(said.partition(" [")[0])


def test_a_job_of_every_half_hour_is_no_news(tmp_path: Path) -> None:
    now = time.time()
    jobs = [
        (at, f"{iso(at)} INFO batch: row {n} written")
        for run in range(10)
        for n, at in enumerate(evenly(300, now - run * HOUR / 2 - 400, now - run * HOUR / 2 - 380))
    ]
    assert news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, jobs)) == []


def test_a_nightly_job_is_new_but_no_error(tmp_path: Path) -> None:
    now = time.time()
    job = [(at, f"{iso(at)} INFO backup: file {at:.0f} copied") for at in evenly(300, now - 1000, now - 400)]
    job.append((now - 390, f"{iso(now - 390)} INFO backup: done, 0 errors, 0 failed"))
    found = news(written(tmp_path / "log", evenly(5_000, now - 5 * HOUR, now), shop, job))
    assert {(fact.word, fact.level) for fact in found} == {("new", "info")}
    assert len(found) == 2


def rhythm(draw: random.Random, end: float, window: float) -> list[list[float]]:
    """How often each of some kinds of lines comes in the thirty parts of a window and its baseline.

    Each rises and falls over the day, to its own degree and with its own peak; noise of a fifth comes with it.
    """
    kinds = []
    for _ in range(30):
        often, swing, peak = 10 ** draw.uniform(-3.5, 1.3), draw.uniform(0.3, 0.95), draw.gauss(0, HOUR)
        parts = []
        for part in range(30):
            at = end - (part + 0.5) * window / 6
            rate = (
                often * (1 - swing * math.cos(2 * math.pi * (at - peak) / (24 * HOUR))) * math.exp(draw.gauss(0, 0.2))
            )
            parts.append(float(poisson(draw, rate * window / 6)))
        kinds.append(parts)
    return kinds


def poisson(draw: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    count, left = 0, draw.random()
    while left > math.exp(-mean):
        count, left = count + 1, left * draw.random()
    return count


def changed(kinds: list[list[float]], window: float) -> list[int]:
    """Which of these kinds are told as more or less frequent."""
    tally = Tally(30, None, 6)
    for number, parts in enumerate(kinds):
        row = Row(f"kind {number} of line", "info", 30)
        row.counts = [round(count) for count in parts]
        tally.rows[row.shape, "info"] = row
    tally.lines = [sum(row.counts[part] for row in tally.rows.values()) for part in range(30)]
    counts = log_new.Counts(tally, [window / 6] * 30)
    found = log_new._compared(list(tally.rows.values()), counts)
    return [int(one.row.shape.split()[1]) for one in found if one.word != "new"]


@pytest.mark.parametrize("window", [0.25 * HOUR, HOUR, 3 * HOUR, 6 * HOUR])
def test_the_rhythm_of_a_day_is_no_news_and_a_burst_in_it_is(window: float) -> None:
    draw = random.Random(window)
    bursts = 0
    for hour in range(24):
        kinds = rhythm(draw, hour * HOUR, window)
        assert changed(kinds, window) == []
        busiest = max(range(30), key=lambda kind: sum(kinds[kind]))
        kinds[busiest][:6] = [10 * count for count in kinds[busiest][:6]]
        bursts += busiest in changed(kinds, window)
    assert bursts >= 21  # the others come when it was as busy a few hours before


def test_a_change_is_compared_with_the_busiest_slice() -> None:
    seconds = [HOUR] * 5
    alike = [1.0] * 4

    def change(counts: list[int], growth: list[float] = alike) -> str:
        found = log_rates.changed(counts, seconds, growth, bad=False)
        return found.word if found else ""

    assert change([500, 50, 50, 50, 50]) == "more"
    assert change([500, 10, 10, 150, 30]) == ""
    assert change([500, 50, 50, 50, 50], [8.0] * 4) == ""
    assert change([500, 50, 100, 200, 300], [1.0, 0.5, 0.4, 0.4]) == ""
    assert change([19, 1, 0, 0, 0]) == ""
    assert change([0, 60, 60, 60, 60]) == "fewer"
    assert change([0, 60, 60, 0, 60]) == ""


# Without a baseline.


def test_a_log_that_just_began_is_not_flooded_with_its_own_start(tmp_path: Path) -> None:
    now = time.time()
    start = now - 0.9 * HOUR
    chatter = [
        (start + n / 10, f"{iso(start + n / 10)} INFO shop: module {word} loaded") for n, word in enumerate(SYLLABLES)
    ]
    path = written(tmp_path / "log", evenly(8_000, start + 10, now), shop, chatter)
    assert news(path) == []


def test_a_restart_is_told_in_a_line(tmp_path: Path) -> None:
    now = time.time()
    start = now - 0.5 * HOUR
    words = ["starting up as 17", *(f"{word} is here, all of it" for word in SYLLABLES)]
    chatter = [(start + n / 10, f"{iso(start + n / 10)} INFO boot: {word}") for n, word in enumerate(words)]
    found = news(written(tmp_path / "log", evenly(8_000, now - 5 * HOUR, now), shop, chatter))
    assert told(found) == [("new", "INFO boot: starting up as *")]


def test_a_service_that_slept_before_is_not_told_kind_by_kind(tmp_path: Path) -> None:
    now = time.time()
    beats = [(at, f"{iso(at)} INFO shop: heart beats") for at in evenly(300, now - 5 * HOUR, now)]
    path = written(
        tmp_path / "log", evenly(3_000, now - 0.8 * HOUR, now),
        lambda at: f"{iso(at)} INFO shop: {SYLLABLES[int(at) % 20]} is open, all day",
        [*beats, (now - 600, f"{iso(now - 600)} ERROR shop: no paper in any tray")],
    )  # fmt: skip
    assert told(news(path)) == [("new", "ERROR shop: no paper in any tray")]


def test_a_small_log_has_nothing_rare(tmp_path: Path) -> None:
    now = time.time()
    path = written(
        tmp_path / "log", evenly(300, now - 600, now), lambda at: f"{iso(at)} INFO {SYLLABLES[int(at) % 20]}"
    )
    assert news(path) == []


def test_another_one_of_many_is_no_news_but_another_state_is(tmp_path: Path) -> None:
    now = time.time()
    names = [f"{word}na" for word in SYLLABLES[:6]]
    extra = [(now - HOUR * n, f"{iso(now - HOUR * n)} ERROR shop: card of {names[n]} is void") for n in (4, 3, 2)]
    extra.append((now - 900, f"{iso(now - 900)} ERROR shop: card of {names[0]} is void"))
    extra += [
        (at, f"{iso(at)} INFO pump: valve is {('open', 'shut', 'slow')[int(at) % 3]} at noon")
        for at in evenly(900, now - 5 * HOUR, now)
    ]
    extra.append((now - 800, f"{iso(now - 800)} INFO pump: valve is gone at noon"))
    found = news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), shop, extra))
    assert told(found) == [("new", "INFO pump: valve is gone at noon")]


def test_of_a_log_without_anything_before_only_errors_are_told(tmp_path: Path) -> None:
    now = time.time()
    extra = [
        (now - 100, f"{iso(now - 100)} ERROR shop: no paper in any tray"),
        (now - 90, f"{iso(now - 90)} INFO ready"),
    ]
    found = news(written(tmp_path / "log", evenly(80, now - 600, now), shop, extra))
    assert told(found) == [("new", "ERROR shop: no paper in any tray")]
    (tmp_path / "log").write_text("".join(f"{text}\n" for _, text in extra))
    assert told(news(tmp_path / "log")) == [("new", "ERROR shop: no paper in any tray")]


# What is told of it.


def test_errors_come_first_and_known_ones_bear_their_code(tmp_path: Path) -> None:
    now = time.time()
    extra = [
        (now - 900, f"{iso(now - 900)} INFO shop: fraud scores now come from the fallback provider"),
        (now - 800, f"{iso(now - 800)} ERROR shop: no paper left in any tray of the printer"),
        (now - 700, f"{iso(now - 700)} ERROR shop: OSError: [Errno 28] No space left on device: '/srv/x'"),
    ]
    found = news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), shop, extra))
    assert [fact.rank for fact in found] == [1, 2, 3]
    assert [fact.level for fact in found] == ["error", "error", "info"]
    assert found[0].code == "host.disk-full"
    assert found[1].code == ""


def test_what_is_shown_holds_no_secret(tmp_path: Path) -> None:
    now = time.time()
    extra = [(now - 900, f"{iso(now - 900)} ERROR shop: login with password=hunterSecret refused by the bank")]
    found = news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), shop, extra))
    assert len(found) == 1
    assert "hunter" not in found[0].sample + found[0].template


def test_first_and_last_are_those_of_the_window(tmp_path: Path) -> None:
    now = time.time()
    times = [now - 3000.0, now - 2000.0, now - 100.0]
    extra = [(at, f"{iso(at)} ERROR shop: tray {n} is empty, says the printer") for n, at in enumerate(times)]
    found = news(written(tmp_path / "log", evenly(12_000, now - 5 * HOUR, now), shop, extra))
    assert [(fact.first_at, fact.happened_at, fact.count) for fact in found] == [
        (pytest.approx(times[0], abs=0.01), pytest.approx(times[2], abs=0.01), 3)
    ]
    assert "tray 2" in found[0].sample


# Access logs.


def visit(at: float, request: str = "", status: int = 200) -> str:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
    request = request or ("GET /", f"GET /orders/{at:.0f}", "POST /cart/9/items", "GET /login?user=x")[int(at) % 4]
    return f'10.0.{int(at) % 250}.7 - - [{stamp}] "{request} HTTP/1.1" {status} 512 "-" "curl/8.5 failed error"'


def test_an_answer_that_failed_is_told_by_its_path(tmp_path: Path) -> None:
    now = time.time()
    extra = [(now - 900, visit(now - 900, "POST /orders/17/pay", 502))]
    found = news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), visit, extra))
    assert [(fact.word, fact.template, fact.level) for fact in found] == [("new", "POST /orders/*/pay 502", "none")]
    assert "/orders/17/pay" in found[0].sample


def test_what_scanners_ask_for_is_no_news(tmp_path: Path) -> None:
    now, draw = time.time(), random.Random(4)
    scans = [
        (at, visit(at, f"GET /{''.join(draw.choices(SYLLABLES, k=3))}.php", 404))
        for at in evenly(60, now - 5 * HOUR, now)
    ]
    assert news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), visit, scans)) == []


def test_a_storm_of_scanners_is_one_news(tmp_path: Path) -> None:
    now = time.time()
    times = [*evenly(200, now - 5 * HOUR, now - HOUR), *evenly(600, now - HOUR, now)]
    scans = [(at, visit(at, f"GET /{SYLLABLES[n % 20]}.php", 404)) for n, at in enumerate(times)]
    found = news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), visit, scans))
    assert told(found) == [("more", "GET /* 404")]


def test_pages_without_end_are_no_news(tmp_path: Path) -> None:
    draw = random.Random(5)
    now = time.time()
    path = written(
        tmp_path / "log", evenly(9_000, now - 5 * HOUR, now),
        lambda at: visit(at, f"GET /shop/{'-'.join(draw.choices(SYLLABLES, k=4))}"),
    )  # fmt: skip
    assert news(path) == []


def test_some_pages_more_are_no_news(tmp_path: Path) -> None:
    now = time.time()
    extra = [(at, visit(at, f"GET /help/{SYLLABLES[n]}")) for n, at in enumerate(evenly(9, now - HOUR, now))]
    assert news(written(tmp_path / "log", evenly(9_000, now - 5 * HOUR, now), visit, extra)) == []


# Other logs.


def test_a_log_without_times_is_compared_by_what_share_of_its_lines_each_kind_is() -> None:
    tally = Tally(2, None)
    usual = [f"order {n} stored\nmail {n} sent\npage {n} shown\n" for n in range(400)]
    tally.feed(Block("".join([*usual[:100], *["disk sda is slow\n"] * 60]).encode(), Place(0, 9000), 0))
    tally.feed(Block("".join([*usual, "disk sda is slow\n" * 20]).encode(), Place(0, 0), 1))
    counts = log_new.Counts(tally, [])
    found = list(log_new._compared(list(tally.rows.values()), counts))
    assert [(one.word, one.row.shape) for one in found] == [("more", "disk sda is slow")]


def test_a_log_without_times_and_without_anything_before_tells_what_is_rare(tmp_path: Path) -> None:
    lines = [f"order {n} stored" for n in range(9000)]
    lines[4000] = "disk sda is about to die"
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    found = news(tmp_path / "log")
    assert told(found) == [("rare", "disk sda is about to die")]
    assert (found[0].rate, found[0].first_at) == (None, None)


def test_any_bytes_are_an_answer_or_a_gap(tmp_path: Path) -> None:
    draw = random.Random(6)
    read = 0
    for number in range(30):
        data = draw.randbytes(draw.choice([0, 1, 100, 5000]))
        if number % 2:
            data = b"\n".join(iso(time.time() - n).encode() + b" " + data[n : n + 50] for n in range(60, 0, -1))
        (tmp_path / "log").write_bytes(data or b"\n")
        with contextlib.suppress(CannotLook):  # it is binary, or empty
            news(tmp_path / "log")
            read += 1
    assert read >= 15


# Healthy services of some days: what each writes, and how often an hour. Of the rarest lines there is one in a day.
HEALTHY = {
    "nginx's error log": (
        "%Y/%m/%d %H:%M:%S",
        {
            "[notice] 811#811: signal 1 (SIGHUP) received from {n}, reconfiguring": 0.04,
            "[warn] 811#811: *{n} an upstream response is buffered to a temporary file /var/lib/nginx/{n}": 3,
            '[error] 811#811: *{n} open() "/www/{w}.ico" failed (2: No such file or directory), client: 10.0.0.{b}': 20,
        },
    ),
    "Spring Boot": (
        "%Y-%m-%dT%H:%M:%S.123Z",
        {
            " INFO 1 --- [nio-8080-exec-{b}] c.e.shop.OrderService : order {n} stored for {w} in {b} ms": 200,
            " INFO 1 --- [nio-8080-exec-{b}] c.e.shop.MailService : mail {x} sent, 0 errors": 50,
            " INFO 1 --- [   scheduling-1] c.e.shop.Cleanup : removed {b} rows": 1,
            " WARN 1 --- [housekeeper] c.z.hikari.pool.HikariPool : thread starvation detected (delta={b}s)": 0.1,
            "DEBUG 1 --- [nio-8080-exec-{b}] c.e.shop.ErrorController : no error page for {w}": 10,
        },
    ),
    "Django": (
        "[%d/%b/%Y %H:%M:%S +0000]",
        {
            " INFO django.server request {x} by {w} took {b} ms": 150,
            " WARNING django.request Not Found: /page/{n}": 15,
            " INFO shop.tasks task {x} succeeded in {b}s: None": 40,
            " INFO shop.tasks nightly report written, failed=0": 0.04,
        },
    ),
    "a kubelet": (
        "I%m%d %H:%M:%S.123456",
        {
            "    1 kubelet.go:2011] SyncLoop (PLEG): {w}-{x}, event: &{{ID:{x} Type:ContainerStarted}}": 30,
            '    1 prober.go:117] Liveness probe for "{w}-{x}_default({x}):{w}" succeeded': 120,
            "    1 image_gc_manager.go:300] disk usage on image filesystem is at {b}%, no need to free": 12,
        },
    ),
    "PostgreSQL": (
        "%Y-%m-%d %H:%M:%S.123 UTC",
        {
            " [{n}] LOG:  checkpoint starting: time": 12,
            " [{n}] LOG:  checkpoint complete: wrote {b} buffers ({b}.1%); write={b}.2 s, sync=0.0 s": 12,
            " [{n}] {w}@shop LOG:  duration: {n}.12 ms  statement: SELECT * FROM orders WHERE id = {n}": 60,
            ' [{n}] LOG:  automatic vacuum of table "shop.public.{w}": index scans: 0': 0.5,
            ' [{n}] {w}@shop ERROR:  duplicate key value violates unique constraint "orders_{w}_key"': 9,
        },
    ),
    "Redis": (
        "1:M %d %b %Y %H:%M:%S.123",
        {
            " * {b} changes in 300 seconds. Saving...": 12,
            " * Background saving started by pid {n}": 12,
            " * DB saved on disk": 12,
            " * Background saving terminated with success": 12,
            " - DB 0: {n} keys ({b} volatile) in {n} slots HT.": 100,
        },
    ),
    "the journal": (
        "%b %d %H:%M:%S",
        {
            " web1 CRON[{n}]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)": 6,
            " web1 sshd[{n}]: Failed password for invalid user {w} from 10.1.{b}.{b} port {n} ssh2": 60,
            " web1 sshd[{n}]: Accepted publickey for {w} from 10.1.{b}.{b} port {n} ssh2: ED25519 SHA256:{x}": 4,
            " web1 systemd[1]: session-{n}.scope: Deactivated successfully.": 4,
            " web1 systemd[1]: Starting logrotate.service - Rotate log files...": 0.04,
            " web1 systemd[1]: Finished logrotate.service - Rotate log files.": 0.04,
            " web1 systemd[1]: Started apt-daily.service - Daily apt download activities.": 0.08,
            " web1 kernel: [{n}.{n}] [UFW BLOCK] IN=eth0 OUT= SRC=10.1.{b}.{b} PROTO=TCP SPT={n}": 80,
            " web1 dhclient[{b}]: DHCPACK of 10.0.0.7 from 10.0.0.1": 0.5,
        },
    ),
}


@pytest.mark.parametrize(("stamp", "says"), HEALTHY.values(), ids=HEALTHY)
def test_nothing_in_a_healthy_log_is_alarming(tmp_path: Path, stamp: str, says: dict[str, float]) -> None:
    now = time.time()
    for night in (0, 9):
        draw = random.Random(night)
        lines = []
        for line, hourly in says.items():
            for _ in range(poisson(draw, hourly * 48)):
                at = now - 48 * HOUR * draw.random()
                if draw.random() < 0.6 - 0.4 * math.cos(2 * math.pi * (at - now + night * HOUR) / (24 * HOUR)):
                    fill = {"n": draw.randrange(1000, 99999), "b": draw.randrange(1, 99)}
                    fill |= {"x": f"{draw.getrandbits(40):010x}", "w": "".join(draw.choices(SYLLABLES, k=3))}
                    lines.append((at, time.strftime(stamp, time.localtime(at)) + line.format(**fill)))
        for hours in (1, 8):
            found = news(written(tmp_path / "log", [], shop, lines), hours * HOUR)
            changed = [fact for fact in found if fact.word != "same"]
            assert [fact for fact in changed if fact.level in ("error", "fatal") or fact.word != "new"] == []
            assert [fact for fact in found if fact.broken] == []
            assert len(found) <= 3

"""The log answer for people: what is shown, in which order, and what each row says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic
from rbdiag.model import Fact, Facts, Report
from rbdiag.render import RenderOptions, render
from rbdiag.render.log_answer import body, leveled, requests, sections, short, windows
from tests.samples import ACCESS_LOG, STARTED, after, known, logged, shape, silent, trace, traffic, window

APP = "/var/log/app.log"


def with_facts(*facts: Fact) -> Report:
    """A report on one log without a finding."""
    return replace(silent(), facts=Facts([window(APP), *(replace(fact, subject=APP) for fact in facts)]))


def rows(report: Report, **options: object) -> dict[str, list[str]]:
    """What each section's rows say."""
    return {s.title: [row.what for row in s.rows] for s in sections(report, 5, 0, **options)}  # type: ignore[arg-type]


def change(fact: LogKnown | LogTemplate | LogTrace, **window_changes: object) -> str:
    report = replace(silent(), facts=Facts([window(APP, **window_changes), replace(fact, subject=APP)]))
    return sections(report, 5, 0)[0].rows[0].change


@pytest.mark.parametrize(
    ("log", "among", "name"),
    [
        ("/var/log/app-1.5.log", (), "app-1.5.log"),
        ("/var/log/a/error.log", ("/var/log/a/error.log", "/var/log/a/access.log"), "error.log"),
        ("/var/log/a/error.log", ("/var/log/a/error.log", "/var/log/b/error.log"), "a/error.log"),
        ("/srv/a/log/error.log", ("/srv/b/log/error.log", "/srv/a/log/error.log"), "a/log/error.log"),
        ("/srv/a/my-error.log", ("/srv/b/error.log",), "my-error.log"),
        ("error.log", ("a/error.log", "error.log"), "error.log"),
        ("a/error.log", ("a/error.log", "error.log"), "a/error.log"),
        ("/error.log", ("/error.log", "error.log"), "/error.log"),
        ("standard input", ("standard input", "journal of shop.service"), "standard input"),
        ("journal of a", ("journal of a", "/a"), "journal of a"),
    ],
)  # fmt: skip
def test_a_log_is_called_so_that_it_is_no_other(log: str, among: tuple[str, ...], name: str) -> None:
    assert short(log, among) == name


def test_rows_of_two_logs_of_one_name_say_whose_they_are() -> None:
    logs = ("/srv/a/error.log", "/srv/b/error.log")
    found = [replace(trace(), subject=log) for log in logs]
    report = replace(silent(), facts=Facts([*map(window, logs), *found]))
    assert [what.partition(":")[0] for what in rows(report)["EXCEPTIONS"]] == ["a/error.log", "b/error.log"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026-11-23T08:00:00.123Z ERROR no", "ERROR no"),
        ("2026-11-23T08:00:00.123456+01:00 no", "no"),
        ("2026-11-23 08:00:00,123 - shop - ERROR - no", "- shop - ERROR - no"),
        ("[2026-11-23 08:00:00 +0000] [7] [INFO] no", "[7] [INFO] no"),
        ("2026-11-23  8:00:00 0 [ERROR] no", "0 [ERROR] no"),
        ("2026/11/23 08:00:00 [error] 7#7: no", "[error] 7#7: no"),
        ("Nov 23 08:00:00 web-3 shop[7]: no", "web-3 shop[7]: no"),
        ("Nov  3 08:00:00 web-3 shop[7]: no", "web-3 shop[7]: no"),
        ("[Mon Nov 23 08:00:00.123456 2026] [core:error] no", "[core:error] no"),
        ("08:00:00.123 [main] WARN no", "[main] WARN no"),
        ("1795420800.123 no", "no"),
        ("1795420800123 no", "no"),
        ("no time 08:00:00 at its beginning", "no time 08:00:00 at its beginning"),
        ("12345 no", "12345 no"),
        ('{"ts":"2026-11-23T08:00:00Z","level":"error","msg":"no \\"more\\"","n":1}', 'no \\"more\\"'),
        ('2026-11-23T08:00:00Z {"level":"error","message":"no"}', "no"),
        ('time=2026-11-23T08:00:00Z level=error msg="no more" n=1', "no more"),
        ('{"n": 1}', '{"n": 1}'),
        ('10.0.0.1 - - [23/Nov/2026:08:00:00 +0000] "GET /a?b=c HTTP/1.1" 502 2 "-" "curl/8"', "GET /a?b=c 502"),
        ('2026-11-23T08:00:00Z said "GET up" 3 times', 'said "GET up" 3 times'),
        ("2026-11-23 08:00:00", "2026-11-23 08:00:00"),
        ("", ""),
    ],
)
def test_a_line_is_shown_without_its_time(line: str, said: str) -> None:
    assert body(line) == said


@pytest.mark.parametrize(
    ("level", "line", "said"),
    [
        ("error", "2026/11/23 08:00:00 [error] 7#7: *9 no", "error: no"),
        ("error", "2026-11-23T08:00:00Z ERROR no", "error: no"),
        ("warning", "WARNING: no", "warning: no"),
        ("error", "everything errors here", "error: everything errors here"),
        ("error", "errors: 7", "error: errors: 7"),
        ("none", "no level", "no level"),
    ],
)
def test_a_level_is_said_once(level: str, line: str, said: str) -> None:
    assert leveled(level, line) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "before", "says"),
    [
        pytest.param(1204, 0, "new", id="never before"),
        pytest.param(100, 40, "x10", id="ten times as often: the baseline is four times as long"),
        pytest.param(60, 160, "x1.5", id="somewhat more often"),
        pytest.param(59, 160, "as before", id="no more than chance"),
        pytest.param(27, 160, "as before", id="no less than chance"),
        pytest.param(4, 160, "1/10", id="much less often"),
        pytest.param(4, 2, "", id="too few to tell"),
    ],
)
def test_a_count_is_compared_with_what_was_before(count: int, before: int, says: str) -> None:
    assert change(known(count=count, before=before)) == says
    assert change(trace(count=count, before=before)) == says


@pytest.mark.parametrize(
    "changes",
    [{"baseline_bytes": 0, "baseline_since": None}, {"since": None, "until": None, "baseline_since": None}],
    ids=["none", "without times"],
)
def test_without_a_baseline_nothing_is_compared(changes: dict[str, object]) -> None:
    assert change(known(count=100, before=40), **changes) == ""
    assert change(trace(before=None)) == ""


def test_a_log_that_was_silent_before_has_a_baseline() -> None:
    assert change(known(count=100, before=0), baseline_bytes=0) == "new"
    assert change(known(count=100, before=0), baseline_bytes=0, baseline_since=None) == ""


@pytest.mark.parametrize(
    ("word", "rates", "says"),
    [
        ("new", (1.0, 0.0), "new"),
        ("rare", (None, None), "rare"),
        ("more", (1.0, 0.1), "x10"),
        ("more", (0.26, 0.1), "x2.6"),
        ("fewer", (0.1, 1.0), "1/10"),
        ("fewer", (0.0, 1.0), "fewer"),
        ("more", (None, None), "more"),
        ("same", (1.1, 1.0), "as before"),
        ("same", (None, None), "as before"),
    ],
)
def test_a_shape_says_how_its_rate_changed(word: str, rates: tuple[float | None, float | None], says: str) -> None:
    assert change(shape(1, word=word, rate=rates[0], rate_before=rates[1])) == says


def test_shapes_stand_in_their_order_and_no_more_than_asked_for() -> None:
    shapes = [shape(rank, sample=f"line {rank}", level="none") for rank in (3, 1, 7, 2, 6, 5, 4)]
    (section,) = sections(with_facts(*shapes), 5, 0)
    assert [row.what for row in section.rows] == [f"line {rank}" for rank in (1, 2, 3, 4, 5)]
    assert section.more == 2
    assert "and 2 more: --verbose, or --top N" in render("table", with_facts(*shapes), RenderOptions(top=5))
    assert len(sections(with_facts(*shapes), 5, 0, everything=True)[0].rows) == 7


def test_requests_of_one_shape_are_shown_as_the_shape() -> None:
    sample = '10.0.0.1 - - [23/Nov/2026:08:00:00 +0000] "GET /api/cart/7 HTTP/1.1" 502 2'
    assert rows(with_facts(shape(1, template="GET /api/cart/* 502", sample=sample))) == {
        "NEW OR CHANGED": ["GET /api/cart/* 502"]
    }


def test_requests_that_fail_are_not_told_again_as_new() -> None:
    shapes = [shape(1, template="GET /api/cart 502"), shape(2, template="GET /api/cart 404")]
    assert rows(with_facts(*shapes, traffic()))["NEW OR CHANGED"] == ["GET /api/cart 404"]
    assert len(rows(with_facts(*shapes))["NEW OR CHANGED"]) == 2, "nothing else says it"


def test_what_is_known_is_not_told_again_as_new() -> None:
    same = shape(1, code="api.upstream-refused")
    assert "NEW OR CHANGED" not in rows(with_facts(known(), same))
    assert "NEW OR CHANGED" not in rows(with_facts(known(codes=()), shape(1, sample=known().text)))
    assert "NEW OR CHANGED" in rows(with_facts(known(codes=()), shape(1))), "nothing else says it"
    assert "NEW OR CHANGED" in rows(with_facts(known(), same), everything=True)
    elsewhere = replace(same, subject=ACCESS_LOG)
    assert "NEW OR CHANGED" in rows(replace(silent(), facts=Facts([window(APP), known(), elsewhere])))


def test_the_first_line_of_an_exception_is_not_told_again_as_new() -> None:
    head = shape(1, template=trace().head)
    assert list(rows(with_facts(head, trace()))) == ["EXCEPTIONS"]
    assert list(rows(with_facts(head))) == ["NEW OR CHANGED"]


def test_ordinary_lines_and_starts_are_shown_only_where_there_is_trouble() -> None:
    ordinary, start = known(role="ordinary"), known(role="start", title="a start", name="")
    assert rows(with_facts(ordinary, start)) == {}
    assert rows(with_facts(known(), start))["KNOWN"][-1] == "a start"
    assert len(rows(with_facts(ordinary, start), everything=True)["KNOWN"]) == 2
    report = logged()
    assert "a client went away" not in "".join(rows(report)["KNOWN"])


def test_what_a_finding_is_built_on_bears_its_mark_and_comes_first() -> None:
    report = logged()
    (first, last) = sections(report, 5, 0)[0].rows
    assert (first.mark, last.mark) == ("critical", "note")
    more_often = replace(known(), count=9999, name="another")
    facts = Facts([*report.facts, more_often])
    assert sections(replace(report, facts=facts), 5, 0)[0].rows[0].mark == "critical"


def test_rows_of_one_of_several_logs_name_it_once() -> None:
    section = sections(logged(), 5, 0)[0]
    assert (section.log, section.rows[1].what) == ("error.log", "systemd: a unit was started: shop.service")
    assert "  KNOWN in error.log\n" in render("table", logged())
    assert "\n## Known in `error.log`\n" in render("markdown", logged())
    assert sections(with_facts(known()), 5, 0)[0].log == "", "there is but one"


def test_rows_of_several_logs_name_theirs() -> None:
    facts = [window(APP), window(ACCESS_LOG), known(), known(subject=ACCESS_LOG)]
    report = replace(silent(), facts=Facts(facts))
    assert [row.what.partition(": ")[0] for row in sections(report, 5, 0)[0].rows] == ["error.log", "access.log"]


@pytest.mark.parametrize(
    ("at", "shown"), [(STARTED, "08:00:00"), (after(-90_000), "11-22 07:00"), (None, "")], ids=["today", "before", "no"]
)
def test_times_are_short(at: float | None, shown: str) -> None:
    report = with_facts(known(first_at=at, happened_at=at))
    assert sections(report, 5, 0)[0].rows[0].first == shown


def test_of_many_logs_the_sum_is_told() -> None:
    few = [window(f"/a/{n}") for n in range(3)]
    assert windows(Facts(few)) == [str(w) for w in few]
    many = [*few, window("/a/3", bytes=0)]
    assert windows(Facts(many)) == [
        "4 logs: 3.4 MiB read, compared with 18 MiB before; nothing was written in 1 of them"
    ]


def test_requests_say_what_fails_and_what_is_slow() -> None:
    assert requests(logged(), 0) == [
        "access.log: 10,233 requests, 12 % answered 5xx from 07:42:11 on (before 0.1 %), 2.0 % 4xx (before 2.1 %), "
        "95 % within 2.1 s (before 211 ms)",
        "failing: /api/cart 1,204 of 1,300, /api/pay 27 of 31",
        "slow: /report/* 4.2 s, /api/cart 2.0 s",
    ]


def test_requests_that_went_well_are_one_line() -> None:
    well: LogTraffic = traffic(
        statuses=((200, 10_233),), failing=(), first_failed_at=None, last_failed_at=None, p95=None
    )
    assert requests(with_facts(well), 0) == ["10,233 requests, 0 % answered 5xx (before 0.1 %)"]
    assert requests(with_facts(traffic(requests=0, requests_before=0, p95=None, failing=())), 0) == ["0 requests"]


def test_the_answer_stands_on_the_first_line() -> None:
    assert render("table", logged()).startswith("CRITICAL  nginx: the upstream refuses the connection: 127.0.0.1:9001")


def test_a_healthy_log_is_two_lines() -> None:
    assert render("table", silent()) == (
        "OK  nothing wrong\n  /var/log/app.log: 1.1 MiB inside the window, compared with 4.5 MiB before\n"
    )


def test_an_incident_in_one_log_fits_on_one_screen() -> None:
    report = logged()
    one = [f for f in report.facts if f.subject != ACCESS_LOG]
    shapes = [shape(rank, template=f"t {rank}", sample=f"line {rank} " + "x" * 200) for rank in range(6, 20)]
    first = replace(report.findings[0], evidence=(known(),))
    report = replace(report, facts=Facts([*one, *shapes]), checks=report.checks[:1], findings=(first,))
    text = render("table", report, RenderOptions(top=5))
    assert text.count("\n") <= 26, text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_what_lines_say_keeps_half_of_the_width(width: int) -> None:
    line = next(line for line in render("table", logged(), RenderOptions(width=width)).split("\n") if "KNOWN" in line)
    assert line.index("KNOWN") <= width // 2 + 12

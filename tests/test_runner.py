"""Jobs side by side until the deadline: every planned check has exactly one row, whatever happens in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.host import Standing
from rbdiag.model import CannotLook, CheckRow, Fact, Facts, Gap
from rbdiag.runner import Job, run


def fact(subject: str) -> Standing:
    return Standing(subject=subject, root=True, sudo=True, systemd=True)


def yields(*subjects: str):
    def check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        yield from map(fact, subjects)

    return check


def raises(error: BaseException, after: str = ""):
    def check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        if after:
            yield fact(after)
        raise error

    return check


def hangs(after: str = ""):
    def check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        if after:
            yield fact(after)
        threading.Event().wait(30)
        yield fact("never")

    return check


def rows(*jobs: Job, seconds: float = 5, **options) -> dict[str, CheckRow]:
    return {row.name: row for row in run(jobs, Deadline(seconds), **options).rows}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfTime(), "deadline"),
        (TimeoutError("timed out"), "deadline"),
        (PermissionError(13, "Permission denied", "/dev/kmsg"), "forbidden"),
        (FileNotFoundError(2, "No such file", "/sys"), "missing"),
        (ProcessLookupError(3, "No such process"), "missing"),
        (OSError(5, "Input/output error", "/mnt"), "failed"),
        (CannotLook(Gap("missing", "no systemd", "")), "missing"),
        (KeyError("a bug"), "failed"),
        (SystemExit(3), "failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_becomes_a_gap_by_its_type(error: BaseException, reason: str) -> None:
    row = rows(Job("a", "host", raises(error)))["a"]
    assert row.gap is not None
    assert row.gap.reason == reason


def test_a_bug_is_told_and_an_expected_error_is_not() -> None:
    outcome = run(
        [Job("a", "", raises(KeyError("x"))), Job("b", "", raises(PermissionError(13, "no", "f")))], Deadline(5)
    )
    assert [(bug.where, type(bug.error)) for bug in outcome.bugs] == [("a", KeyError)]


def test_what_was_seen_before_the_error_is_kept() -> None:
    outcome = run([Job("a", "", raises(OutOfTime(), after="seen"))], Deadline(5))
    assert [f.subject for f in outcome.facts] == ["seen"]
    assert outcome.rows[0].gap is not None


def test_facts_are_stamped_with_their_check_and_time() -> None:
    outcome = run([Job("a", "", yields("x"))], Deadline(5), clock=lambda: 1234.56789)
    seen = next(iter(outcome.facts))
    assert (seen.check, seen.seen_at) == ("a", 1234.568)


def test_the_run_ends_at_its_deadline_whatever_hangs() -> None:
    begin = time.monotonic()
    outcome = run([Job("hangs", "", hangs("seen")), Job("quick", "", yields("x"))], Deadline(0.3))
    assert time.monotonic() - begin < 5  # not 30: the hanging check holds nobody
    hung = outcome.rows[0]
    assert hung.gap is not None
    assert hung.gap.reason == "deadline"
    assert [f.subject for f in outcome.facts] == ["seen", "x"]


def test_what_builds_on_a_hanging_check_is_not_begun() -> None:
    found = rows(Job("hangs", "", hangs()), Job("after", "", yields("x"), after=("hangs",)), seconds=0.3)
    assert found["after"].gap is not None
    assert found["after"].gap.detail.startswith("not begun")


def test_a_job_gets_the_facts_of_those_it_builds_on_and_no_others() -> None:
    got: list[str] = []

    def check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        got.extend(f.subject for f in facts)
        yield fact("z")

    run(
        [Job("c", "", check, after=("a",)), Job("a", "", yields("x")), Job("b", "", yields("y"))],
        Deadline(5),
        [fact("given")],
    )
    assert got == ["given", "x"]


def test_a_job_does_not_wait_for_those_it_does_not_build_on() -> None:
    order: list[str] = []
    jobs = [Job("hangs", "", hangs()), Job("a", "", yields("x")), Job("b", "", yields("y"), after=("a",))]
    run(jobs, Deadline(0.4), on_row=lambda row: order.append(row.name))
    assert order[:2] == ["a", "b"]


def test_rows_stand_in_planned_order_and_each_exactly_once() -> None:
    jobs = [
        Job(name, "", yields(name), after=tuple(after))
        for name, after in (("c", "ab"), ("a", ""), ("b", "a"), ("d", "c"))
    ]
    assert [row.name for row in run(jobs, Deadline(5)).rows] == ["c", "a", "b", "d"]


def test_a_skipped_job_leaves_its_gap_and_holds_nobody_up() -> None:
    gap = Gap("skipped", "not asked for")
    found = rows(Job("a", "", hangs()), Job("b", "", yields("x"), after=("a",)), skip={"a": gap})
    assert found["a"].gap == gap
    assert found["b"].gap is None


def test_what_is_left_out_on_purpose_decides_nothing_and_what_had_to_be_left_out_does() -> None:
    jobs = (
        Job("a", "", raises(CannotLook(Gap("missing", "x"))), decides=True),
        Job("b", "", yields(), after=("a",), decides=True),
        Job("c", "", yields("x"), decides=True),
    )
    found = rows(*jobs, skip={"c": Gap("skipped", "left out")})
    assert (found["b"].decides, found["c"].decides) == (True, False)
    assert found["b"].gap is not None
    assert found["b"].gap.reason == "skipped"


def test_the_first_fact_is_what_the_row_says() -> None:
    assert rows(Job("a", "", yields("x", "y")))["a"].summary == str(fact("x"))
    assert rows(Job("a", "", yields()))["a"].summary == "nothing to report"


def test_a_deadline_never_gives_a_timeout_of_zero() -> None:
    deadline = Deadline(0.001)
    time.sleep(0.002)
    with pytest.raises(OutOfTime):
        deadline.left()
    assert deadline.waits() > 0  # the grace of the runner


def test_what_builds_on_a_gap_and_sees_nothing_is_a_gap_too() -> None:
    broken = raises(PermissionError(13, "no", "f"))
    found = rows(
        Job("a", "", broken),
        Job("ok", "", yields()),
        Job("b", "", yields(), after=("a", "ok")),
        Job("c", "", yields("x"), after=("a",)),
        Job("d", "", yields(), after=("ok", "a")),
    )
    assert found["b"].gap == Gap("skipped", "builds on a, which could not look")
    assert found["c"].gap is None
    assert found["d"].gap is None  # it can do without the second one

"""From rows and findings to status, exit code and summary: what may pass for health, and what may not."""

from __future__ import annotations

from typing import Any

import pytest

from rbdiag.deadline import Deadline
from rbdiag.model import CheckRow, Gap, Report, Severity, Status
from rbdiag.render import render
from rbdiag.runbooks import NAMES, Plan, cpu, db, investigate, judge, logs, service_logs
from rbdiag.runner import Bug, Job
from tests.diagnose import world
from tests.diagnose.rows import ROWS
from tests.test_runner import raises, yields

BUG = Gap("failed", "a bug in rbdiag: KeyError in this check")
LATE, SKIPPED = Gap("deadline", "not finished"), Gap("skipped", "not asked for")


def check(name: str, gap: Gap | None = None, decides: bool = False) -> CheckRow:
    return CheckRow(name, "host", "", 0.1, gap, decides)


HEALTHY = world.healthy().but()


def report(*rows: CheckRow, facts=HEALTHY) -> Report:
    return Report(
        runbook="cpu", target="this host", host="h", started_at=0.0, duration=1.0, status=Status.OK, exit_code=0,
        summary="", findings=(), checks=rows, facts=facts,
    )  # fmt: skip


HOG = next(row.facts for row in ROWS if row.first == "cpu.process-hog")


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([check("a", decides=True), check("b")], Status.OK),
        ([check("a", decides=True), check("b", LATE)], Status.OK),
        ([check("a", LATE, decides=True), check("b")], Status.UNKNOWN),
        ([check("a", LATE), check("b", LATE)], Status.UNKNOWN),
        ([check("a", SKIPPED), check("b")], Status.OK),
        ([check("a", SKIPPED), check("b", LATE)], Status.UNKNOWN),
        ([check("a", SKIPPED), check("b", SKIPPED)], Status.UNKNOWN),
        ([check("a", SKIPPED, decides=True), check("b")], Status.UNKNOWN),
        ([], Status.UNKNOWN),
    ],
    ids=[
        "everything looked at", "a gap in a check that does not decide", "a gap in one that decides",
        "nothing could be looked at", "the one asked for ran", "the one asked for has a gap",
        "everything left out", "one that decides built on what could not look", "no check at all",
    ],
)  # fmt: skip
def test_a_gap_passes_for_health_only_where_it_does_not_decide(rows: list[CheckRow], status: Status) -> None:
    judged, _ = judge(report(*rows))
    assert judged.status is status
    assert judged.exit_code == status.exit_code


def test_a_gap_never_hides_a_finding() -> None:
    judged, _ = judge(report(check("cpu.time", LATE, decides=True), facts=HOG))
    assert judged.status is Status.WARNING


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(Severity.WARNING, 1), (Severity.CRITICAL, 0), (None, 0)],
    ids=["warning", "critical", "never"],
)
def test_fail_on_raises_the_bar_of_a_warning(fail_on: Severity | None, code: int) -> None:
    assert judge(report(check("a"), facts=HOG), fail_on=fail_on)[0].exit_code == code


def test_fail_on_never_does_not_hide_that_we_cannot_tell() -> None:
    assert judge(report(check("a", LATE, decides=True)), fail_on=None)[0].exit_code == 3


@pytest.mark.parametrize(
    ("facts", "code"), [(HEALTHY, 70), (HOG, 1)], ids=["over a healthy host", "never over a finding"]
)
def test_a_bug_makes_the_exit_code(facts, code: int) -> None:
    judged, bugs = judge(report(check("a"), facts=facts), bugs=(Bug("a", KeyError("x")),))
    assert judged.exit_code == code
    assert len(bugs) == 1


def test_a_check_that_a_bug_ended_never_leaves_health() -> None:
    jobs = (Job("a", "", yields("x"), decides=True), Job("b", "", raises(ValueError("bug"))))
    made, bugs = investigate(Plan("logs", "t", jobs), Deadline(5))
    assert (made.status, made.exit_code) == (Status.UNKNOWN, 70)
    assert made.summary == "cannot tell: a bug in rbdiag: ValueError in b; nothing bad was seen by the rest"
    assert render("nagios", made).startswith("LOGS UNKNOWN - cannot tell: a bug in rbdiag: ValueError in b")
    assert judge(made)[0].status is Status.UNKNOWN, "when it was saved as well"
    assert len(bugs) == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        pytest.param(
            [check("logs.find", Gap("missing", "/var/log/x.log is not there"), True)]
            + [check(name, Gap("skipped", "builds on logs.find, which could not look"), True) for name in "ab"],
            "/var/log/x.log is not there",
            id="the others build on it",
        ),
        pytest.param(
            [check("a", LATE, True), check("b")], "a was not finished; nothing bad was seen by the rest", id="time"
        ),
        pytest.param(
            [check("a", Gap("forbidden", "not allowed to read /dev/kmsg"), True), check("b")],
            "a was not allowed to read /dev/kmsg; nothing bad was seen by the rest",
            id="rights",
        ),
        pytest.param(
            [check("a", LATE, True), check("b", Gap("missing", "no /x"), True), check("c", SKIPPED, True), check("d")],
            "a was not finished; nor can b and 1 more; nothing bad was seen by the rest",
            id="several reasons",
        ),
        pytest.param(
            [check("a", LATE, True), check("b", BUG, True), check("c")],
            "a bug in rbdiag: KeyError in b; nor can a; nothing bad was seen by the rest",
            id="a bug comes first",
        ),
        pytest.param(
            [check("a", Gap("failed", "word " * 50), True), check("b")],
            "word " * 19 + "word…; nothing bad was seen by the rest",
            id="a long detail is cut between words",
        ),
        pytest.param([check("a", SKIPPED)], "a was not asked for", id="everything left out"),
        pytest.param([], "there was no check to run", id="no check"),
    ],
)
def test_the_summary_says_why_we_cannot_tell(rows: list[CheckRow], says: str) -> None:
    assert judge(report(*rows))[0].summary == f"cannot tell: {says}"


def test_the_summary_names_the_rule_that_broke() -> None:
    judged, _ = judge(report(check("a"), check("b", LATE)), bugs=(Bug("rule cold", KeyError("x")),))
    assert judged.summary == "cannot tell: a bug in rbdiag broke rule cold; nothing bad was seen by the rest"


def test_a_row_is_marked_by_the_worst_that_its_facts_show() -> None:
    judged, _ = judge(report(check("cpu.processes"), check("other"), check("blind", LATE), facts=HOG))
    assert [row.mark for row in judged.checks] == ["warning", "ok", "gap"]


def test_judging_again_changes_nothing() -> None:
    once, _ = judge(report(check("cpu.processes"), facts=HOG))
    assert judge(once)[0] == once


def test_the_summary_counts_what_ran_where_not_everything_did() -> None:
    assert judge(report(check("a"), check("b")))[0].summary == "nothing wrong"
    assert (
        judge(report(check("a", decides=True), check("b", LATE)))[0].summary
        == "nothing wrong in the 1 of 2 checks that ran"
    )
    assert "cannot tell: b" in judge(report(check("a"), check("b", LATE, decides=True)))[0].summary


def test_the_plan_names_every_check_once_and_in_order() -> None:
    def names(profile: float | None) -> tuple[str, ...]:
        plan = cpu.plan(
            top=10, interval=1.0, pid=None, flame_graph="", warning=0.8, critical=0.95, service="", since=0.0,
            profile=profile,
        )  # fmt: skip
        return tuple(job.name for job in plan.jobs)

    assert names(1.0) == cpu.CHECKS
    assert set(cpu.CHECKS) - set(names(None)) == {"cpu.profile"}


def test_the_plan_for_a_database_names_every_check_in_order() -> None:
    def names(target: str, **options: Any) -> tuple[str, ...]:
        asked = dict.fromkeys(
            ("host", "port", "socket", "user", "database", "defaults_file", "password_file", "password", "ssl_ca")
        )
        found = db.find(target, **asked, require_tls=False, environ={})
        usual = {"service": "", "logs": (), "config": (), "check_tables": None, "since": 0.0}
        return tuple(job.name for job in db.plan(found=found, **usual | options).jobs)

    assert names("db1:3306", logs=("/var/log/shop.log",), check_tables="") == db.CHECKS
    assert set(db.CHECKS) - set(names("db1:3306")) == {"db.client-log", "db.tables", *service_logs.CHECKS}
    on_the_way = {"dns.names", "net.route", "net.ping", "net.firewall"}
    assert set(names("db1:3306")) - set(names("/run/db.sock")) == on_the_way


def test_every_runbook_is_named() -> None:
    assert NAMES == ("db", "cpu", "logs")


def test_the_plan_for_logs_names_every_check_in_order() -> None:
    asked = {"files": ("/var/log/a", "-"), "unit": "shop", "pid": 7, "since": 0.0, "asked": True, "baseline": 4.0}
    plan = logs.plan(**asked)
    assert tuple(job.name for job in plan.jobs) == logs.CHECKS
    assert plan.target == "/var/log/a, standard input, shop, pid 7"
    plan.close()


def test_while_logs_are_read_it_is_told_how_much() -> None:
    asked = {"files": ("/var/log/a",), "unit": "", "pid": None, "since": 0.0, "asked": True, "baseline": 4.0}
    plan = logs.plan(**asked)
    assert plan.doing() == ""
    with open("/dev/zero", "rb", buffering=0) as file:
        for _ in range(40):
            file.read(1 << 20)
    assert plan.doing() == "40 MiB read"
    plan.close()


def test_an_investigation_is_a_report_with_every_row() -> None:
    plan = Plan("cpu", "t", (Job("a", "", yields("x"), decides=True), Job("b", "", raises(ValueError("bug")))))
    made, bugs = investigate(plan, Deadline(5))
    assert [row.name for row in made.checks] == ["a", "b"]
    assert made.exit_code == 70
    assert [bug.where for bug in bugs] == ["b"]
    assert made.cost.cpu_seconds is not None

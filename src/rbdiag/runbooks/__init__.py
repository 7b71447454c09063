"""The runbooks: a target goes in, jobs come out; and the one way from jobs to a report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping

from rbdiag import __version__
from rbdiag.deadline import Deadline
from rbdiag.diagnose import Diagnosis, diagnose
from rbdiag.frozen import Record, replace
from rbdiag.model import (
    EXIT_BUG,
    CheckRow,
    Contact,
    Cost,
    Fact,
    Finding,
    Gap,
    Mark,
    Moment,
    Report,
    Severity,
    Status,
)
from rbdiag.runner import Bug, Job, is_bug, run

NAMES = ("db", "cpu", "logs")

# So much of why we cannot tell fits into the sentence for the pager; the whole stands with the check.
_WHY = 100


class Plan(Record):
    """What one run is going to do: the jobs in the order they are shown, and what is known beforehand.

    `count` tells at the end how many connections and queries the run cost; `close` ends what the jobs left open;
    `doing` says meanwhile how far a long check is, "" for nothing to say.
    """

    runbook: str
    target: str
    jobs: tuple[Job, ...]
    given: tuple[Fact, ...] = ()
    count: Callable[[], tuple[int, int]] = lambda: (0, 0)
    close: Callable[[], None] = lambda: None
    doing: Callable[[], str] = lambda: ""


def investigate(
    plan: Plan,
    deadline: Deadline,
    *,
    skip: Mapping[str, Gap] | None = None,
    contacts: Iterable[Contact] = (),
    fail_on: Severity | None = Severity.WARNING,
    on_row: Callable[[CheckRow], None] | None = None,
) -> tuple[Report, tuple[Bug, ...]]:
    """Run the plan until the deadline and judge what it brought.

    `fail_on` is the lowest severity that makes the exit code non-zero, None for never; it hides no exit code of
    3 and above. The bugs met on the way, in checks or in rules, are returned to be told aloud.
    """
    started, begin = round(time.time(), 3), time.monotonic()
    try:
        outcome = run(plan.jobs, deadline, plan.given, dict(skip or {}), on_row)
    finally:
        plan.close()
    report = Report(
        runbook=plan.runbook,
        target=plan.target,
        host=os.uname().nodename,
        started_at=started,
        duration=0.0,
        status=Status.UNKNOWN,
        exit_code=3,
        summary="",
        findings=(),
        checks=outcome.rows,
        facts=outcome.facts,
        contacts=tuple(contacts),
        rbdiag_version=__version__,
    )
    report, bugs = judge(report, fail_on=fail_on, bugs=outcome.bugs)
    connections, queries = plan.count()
    cost = Cost(cpu_seconds=round(time.process_time(), 3), connections=connections, queries=queries)
    return replace(report, duration=round(time.monotonic() - begin, 3), cost=cost), bugs


def judge(
    report: Report, *, fail_on: Severity | None = Severity.WARNING, bugs: tuple[Bug, ...] = ()
) -> tuple[Report, tuple[Bug, ...]]:
    """The same report with its findings, marks, status and exit code made anew from its facts and gaps."""
    diagnosis = diagnose(report.facts)
    bugs += tuple(Bug(f"rule {name}", error) for name, error in diagnosis.broken)
    rows = tuple(replace(row, mark=_mark(row, diagnosis)) for row in report.checks)
    status = _status(rows, diagnosis, bugs)
    code = _exit_code(status, diagnosis, fail_on)
    if bugs and code in (0, 3):
        code = EXIT_BUG
    judged = replace(
        report,
        status=status,
        exit_code=code,
        summary=_summary(status, rows, diagnosis, bugs),
        findings=diagnosis.findings,
        checks=rows,
        timeline=_timeline(diagnosis.findings),
    )
    return judged, bugs


def _mark(row: CheckRow, diagnosis: Diagnosis) -> Mark:
    """The worst that a finding says on the evidence of this check; a gap where there is no such finding."""
    worst = max(
        (f.severity for f in diagnosis.findings if any(e.check == row.name for e in f.evidence)),
        default=None,
    )
    if worst is not None and (worst > Severity.NOTE or row.gap is None):
        return {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}[worst]  # type: ignore[return-value]  # each is a Mark
    return "gap" if row.gap else "ok"


def _status(rows: tuple[CheckRow, ...], diagnosis: Diagnosis, bugs: tuple[Bug, ...]) -> Status:
    worst = max((f.severity for f in diagnosis.findings), default=Severity.NOTE)
    if worst > Severity.NOTE:
        return Status.CRITICAL if worst is Severity.CRITICAL else Status.WARNING
    # Where those that decide were left out on purpose, whatever was asked for decides.
    asked = [row for row in rows if row.gap is None or row.gap.reason != "skipped"]
    deciding = [row for row in rows if row.decides] or asked
    blind = any(row.gap for row in deciding) or not deciding
    return Status.UNKNOWN if blind or bugs else Status.OK


def _exit_code(status: Status, diagnosis: Diagnosis, fail_on: Severity | None) -> int:
    if status in (Status.OK, Status.UNKNOWN):
        return status.exit_code
    worst = max(f.severity for f in diagnosis.findings)
    return status.exit_code if fail_on is not None and worst >= fail_on else 0


def _summary(status: Status, rows: tuple[CheckRow, ...], diagnosis: Diagnosis, bugs: tuple[Bug, ...]) -> str:
    """The one sentence a pager can show."""
    if status in (Status.WARNING, Status.CRITICAL):
        return diagnosis.findings[0].summary
    ran = sum(row.gap is None for row in rows)
    if status is Status.UNKNOWN:
        return f"cannot tell: {_blind(rows, bugs)}" + ("; nothing bad was seen by the rest" if ran else "")
    note = f"; {diagnosis.findings[0].summary}" if diagnosis.findings else ""
    seen = "nothing wrong" if ran == len(rows) else f"nothing wrong in the {ran} of {len(rows)} checks that ran"
    return seen + note


def _blind(rows: tuple[CheckRow, ...], bugs: tuple[Bug, ...]) -> str:
    """Why we cannot tell: what stopped the first check that decides, and which others could not look either."""
    gaps = [(row.name, row.gap) for row in rows if row.gap and row.decides]
    gaps = gaps or [(row.name, row.gap) for row in rows if row.gap and not bugs]
    gaps.sort(key=lambda each: not is_bug(each[1]))
    if not gaps:
        return f"a bug in rbdiag broke {', '.join(bug.where for bug in bugs)}" if bugs else "there was no check to run"
    (name, gap), *others = gaps
    # what builds on it has the same reason, and the same words say no more of another
    also = [other for other, its in others if its.detail != gap.detail and not its.detail.startswith("builds on ")]
    more = f" and {len(also) - 1} more" if len(also) > 1 else ""
    return _why(name, gap.detail) + (f"; nor can {also[0]}{more}" if also else "")


def _why(name: str, detail: str) -> str:
    """The detail of a gap as a sentence of its own: it names the check where it names nothing else."""
    detail = detail.partition("\n")[0]
    if len(detail) > _WHY:
        detail = f"{detail[:_WHY].rpartition(' ')[0] or detail[:_WHY]}…"
    if detail.startswith(("not ", "left out ")):
        return f"{name} was {detail}"
    return f"{name} {detail}" if detail.startswith("builds on ") else detail.replace("this check", name)


def _timeline(findings: Iterable[Finding]) -> tuple[Moment, ...]:
    """Everything in the evidence that happened at a known time before the run, oldest first."""
    moments = {
        Moment(at, fact.check, str(fact))
        for finding in findings
        for fact in finding.evidence
        if (at := getattr(fact, "happened_at", None)) is not None
    }
    return tuple(sorted(moments, key=lambda m: (m.at, m.source, m.text)))

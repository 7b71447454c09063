"""The JSON report, written. Its shape is the contract and stands here once, as types.

The type checker holds `to_dict` to it, `rbdiag.record` reads by it, and `rbdiag.schema` publishes it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from rbdiag.model import CheckRow, Confidence, Fact, Finding, GapReason, Mark, Report, Risk, Severity, Status
from rbdiag.render import RenderOptions
from rbdiag.render.when import at, is_time, stamp

SCHEMA_VERSION: Literal[1] = 1

# A string with more to say: the words of an ordered scale, or a point in time.
StatusWord = Annotated[str, Status]
SeverityWord = Annotated[str, Severity]
ConfidenceWord = Annotated[str, Confidence]
Time = Annotated[str, "time"]


class CoverageDoc(TypedDict):
    """How many checks were planned and ran, and which left a gap."""

    planned: int
    ran: int
    gaps: list[str]


class VerdictDoc(TypedDict):
    """The most likely root cause in short."""

    cause: str | None
    confidence: ConfidenceWord | None
    summary: str
    coverage: CoverageDoc


class EvidenceDoc(TypedDict):
    """A fact that speaks for or against a finding, as a person reads it."""

    check: str
    at: Time | None
    text: str


class StepDoc(TypedDict):
    """One thing to do about a finding."""

    text: str
    command: str
    risk: Risk
    verify: str


class FindingDoc(TypedDict):
    """Something wrong, or worth knowing, with what shows it and what to do about it."""

    code: str
    title: str
    severity: SeverityWord
    confidence: ConfidenceWord
    subject: str
    summary: str
    evidence: list[EvidenceDoc]
    against: list[EvidenceDoc]
    explained_by: str | None
    resolution: list[StepDoc]


class GapDoc(TypedDict):
    """What could not be seen, why, and what would unlock it."""

    reason: GapReason
    detail: str
    unlock: str


class CheckDoc(TypedDict):
    """What became of one planned check."""

    name: str
    target: str
    status: Mark
    summary: str
    duration_seconds: float | None
    decides: bool
    gap: GapDoc | None


class MomentDoc(TypedDict):
    """One entry of the timeline."""

    at: Time
    source: str
    text: str


class ContactDoc(TypedDict):
    """Whom to call, and when."""

    name: str
    role: str
    contact: str
    when: str


class CostDoc(TypedDict):
    """What the run cost the host."""

    cpu_seconds: float | None
    bytes_read: int | None
    connections: int
    queries: int


class FactDoc(TypedDict):
    """What every fact has; each type adds its own fields."""

    type: str
    subject: str
    check: str
    seen_at: Time | None


class ReportDoc(TypedDict):
    """One run of rbdiag: facts, gaps, findings and verdict in their final order."""

    schema_version: Literal[1]
    rbdiag_version: str
    runbook: str
    target: str
    host: str
    started_at: Time
    duration_seconds: float
    status: StatusWord
    exit_code: int
    verdict: VerdictDoc
    findings: list[FindingDoc]
    checks: list[CheckDoc]
    timeline: list[MomentDoc]
    facts: list[FactDoc]
    contacts: list[ContactDoc]
    cost: CostDoc


def to_dict(report: Report) -> ReportDoc:
    """The report as the contract has it."""
    first = report.verdict
    return {
        "schema_version": SCHEMA_VERSION,
        "rbdiag_version": report.rbdiag_version,
        "runbook": report.runbook,
        "target": report.target,
        "host": report.host,
        "started_at": stamp(report.started_at),
        "duration_seconds": report.duration,
        "status": str(report.status),
        "exit_code": report.exit_code,
        "verdict": {
            "cause": first.code if first else None,
            "confidence": str(first.confidence) if first else None,
            "summary": report.summary,
            "coverage": {
                "planned": len(report.checks),
                "ran": len(report.checks) - len(report.gaps),
                "gaps": [row.name for row in report.gaps],
            },
        },
        "findings": [_finding(finding) for finding in report.findings],
        "checks": [check(row) for row in report.checks],
        "timeline": [{"at": stamp(m.at), "source": m.source, "text": m.text} for m in report.timeline],
        "facts": [fact_dict(fact) for fact in report.facts],
        "contacts": [{"name": c.name, "role": c.role, "contact": c.contact, "when": c.when} for c in report.contacts],
        "cost": {
            "cpu_seconds": report.cost.cpu_seconds,
            "bytes_read": report.cost.bytes_read,
            "connections": report.cost.connections,
            "queries": report.cost.queries,
        },
    }


def check(row: CheckRow) -> CheckDoc:
    """One check as the contract has it."""
    gap = row.gap
    return {
        "name": row.name,
        "target": row.target,
        "status": row.mark,
        "summary": row.summary,
        "duration_seconds": row.duration,
        "decides": row.decides,
        "gap": {"reason": gap.reason, "detail": gap.detail, "unlock": gap.unlock} if gap else None,
    }


def fact_dict(fact: Fact) -> FactDoc:
    """One fact with all its fields. Points in time are written as such; other numbers stay exact."""
    doc: dict[str, Any] = {"type": type(fact).__name__}
    for key in fact.field_names():
        value = getattr(fact, key)
        doc[key] = stamp(value) if is_time(key) and value is not None else value
    return doc  # type: ignore[return-value]  # each type adds fields that FactDoc cannot name


def _finding(finding: Finding) -> FindingDoc:
    return {
        "code": finding.code,
        "title": finding.spec.title,
        "severity": str(finding.severity),
        "confidence": str(finding.confidence),
        "subject": finding.subject,
        "summary": finding.summary,
        "evidence": [_evidence(fact) for fact in finding.evidence],
        "against": [_evidence(fact) for fact in finding.against],
        "explained_by": finding.explained_by,
        "resolution": [
            {"text": step.text, "command": step.command, "risk": step.risk, "verify": step.verify}
            for step in finding.resolution
        ],
    }


def _evidence(fact: Fact) -> EvidenceDoc:
    when = at(fact)
    return {"check": fact.check, "at": None if when is None else stamp(when), "text": str(fact)}


def dumps(doc: object, indent: int | None = None) -> str:
    """A JSON text in pure ASCII, so that no byte from outside reaches a terminal raw.

    Raises ValueError where a number is not finite: null means not measured, and NaN is a bug in a check.
    """
    import json

    return json.dumps(doc, indent=indent, ensure_ascii=True, allow_nan=False)


def render(report: Report, options: RenderOptions) -> str:
    return dumps(to_dict(report), indent=2) + "\n"

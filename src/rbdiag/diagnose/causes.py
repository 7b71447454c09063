"""Joins findings across areas: what explains what, and which comes first.

The causal knowledge is data, in the specs (`explains`). It holds between two findings only if they share a
subject: a full disk elsewhere explains nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable

from rbdiag.frozen import replace
from rbdiag.model import Finding, Severity


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Roots first: worst, then surest, then the one that accounts for most, then by code. Each is followed by
    what it explains, and is as severe as the worst of that."""
    everything = sorted(findings, key=_rank)
    below: dict[int, list[Finding]] = {}
    roots: list[Finding] = []
    for finding in everything:
        cause = _cause(finding, everything)
        (roots if cause is None else below.setdefault(id(cause), [])).append(finding)

    def family(finding: Finding, cause: str | None) -> list[Finding]:
        members = [m for other in below.get(id(finding), ()) for m in family(other, finding.code)]
        severity = max([finding.severity, *(m.severity for m in members)])
        return [replace(finding, explained_by=cause, severity=severity), *members]

    families = sorted((family(root, None) for root in roots), key=lambda members: _rank(members[0]))
    return tuple(member for members in families for member in members)


def _rank(finding: Finding) -> tuple[int, int, float, str, str]:
    return (-finding.severity, -finding.confidence, -finding.impact, finding.code, finding.subject)


def _cause(finding: Finding, everything: Iterable[Finding]) -> Finding | None:
    """The best-ranked finding that explains this one. A note explains no alarm, and nothing goes round in circles."""
    about = finding.about | {finding.subject}
    for other in everything:
        if (
            other is not finding
            and finding.code in other.spec.explains
            and other.code not in finding.spec.explains
            and about & (other.about | {other.subject})
            and not (other.severity is Severity.NOTE and finding.severity > Severity.NOTE)
        ):
            return other
    return None

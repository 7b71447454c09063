"""Joins findings across areas: what explains what, and which comes first.

The causal knowledge is data, in the specs (`explains`). It holds between two findings only if they share a
subject: a full disk elsewhere explains nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rbdiag.model import Finding, Severity


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Roots first: worst, then surest, then the one that accounts for most, then by code. Each is followed by
    what it explains. Notes come last, whatever they explain."""
    everything = sorted(findings, key=_rank)
    causes = {id(f): cause for f in everything if (cause := _cause(f, everything)) is not None}
    placed: list[Finding] = []

    def place(finding: Finding, below: str | None) -> None:
        placed.append(replace(finding, explained_by=below))
        for other in everything:
            if causes.get(id(other)) is finding:
                place(other, finding.code)

    for finding in everything:
        if id(finding) not in causes:
            place(finding, None)
    return tuple(placed)


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

"""The findings as trees: each symptom under the finding that explains it."""

from __future__ import annotations

from collections.abc import Sequence

from rbdiag.model import Finding


class Branch:
    """A finding and those that it explains, in the report's order."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        self.under: list[Branch] = []


def branches(findings: Sequence[Finding]) -> list[Branch]:
    """The roots, each with its symptoms; every finding stands in exactly one place.

    Of several causes with the code that explains a symptom, the one that concerns the same subject is taken. A
    cause stands before its symptoms in a report; one whose cause does not is shown as a root.
    """
    roots: list[Branch] = []
    placed: list[Branch] = []
    for finding in findings:
        branch = Branch(finding)
        causes = [b for b in placed if b.finding.code == finding.explained_by]
        related = [b for b in causes if _subjects(b.finding) & _subjects(finding)]
        (next(iter(related or causes)).under if causes else roots).append(branch)
        placed.append(branch)
    return roots


def _subjects(finding: Finding) -> frozenset[str]:
    return finding.about | {finding.subject}

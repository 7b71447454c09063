"""What more than one format for people says in the same words."""

from __future__ import annotations

from rbdiag.model import CheckRow, Report

# What a runbook without a target looks at.
HERE = "this host"


def elsewhere(report: Report) -> str:
    """The target, where it is something else than the host it was looked at from; else nothing."""
    return "" if report.target in ("", HERE, report.host) else report.target


def seen(row: CheckRow) -> str:
    """What the check saw; with a word on its gap where it saw a part."""
    if row.gap is None or row.summary == row.gap.detail:
        return row.summary
    return f"incomplete ({row.gap.reason}): {row.summary}"

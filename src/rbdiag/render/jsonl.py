"""One event a line: each check, then the report."""

from __future__ import annotations

from typing import Any

from rbdiag.model import CheckRow, Report
from rbdiag.render import RenderOptions
from rbdiag.render.json_ import check, dumps, to_dict


def event(row: CheckRow) -> dict[str, Any]:
    """The event that says what became of one check."""
    return {"event": "check", **check(row)}


def render(report: Report, options: RenderOptions) -> str:
    events = [event(row) for row in report.checks]
    events.append({"event": "report", **to_dict(report)})
    return "".join(dumps(each) + "\n" for each in events)

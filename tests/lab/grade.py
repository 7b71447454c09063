"""Grading: a report and what was expected of it go in, a grade comes out. Pure, so that it is tested with rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab.scenario import Fault, Scenario

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Grade:
    """How good one answer was.

    `first` and `among_three`: the root is named, with the right subject, first or among the first three findings.
    `false`: codes that stand as roots of their own above a note and are none. `wrong_and_certain`: one of the false
    ones, or the right code on the wrong subject, is called certain.
    """

    first: bool
    among_three: bool
    false: tuple[str, ...]
    wrong_and_certain: bool
    said: str
    complaints: tuple[str, ...] = ()

    def passed(self, scenario: Scenario) -> bool:
        if self.complaints or self.wrong_and_certain:
            return False
        return not self.false if scenario.healthy else self.first


def grade(scenario: Scenario, fault: Fault, report: Report, status: int) -> Grade:
    """Grade the report of a run that ended with this exit status."""
    findings: Sequence[Mapping[str, Any]] = report["findings"]
    right = [f["code"] in scenario.codes and _names(f, fault) for f in findings]
    false = [f for f in findings if f["explained_by"] is None and _is_false(f, scenario)]
    misnamed = [f for f in findings[:1] if f["code"] in scenario.codes and not _names(f, fault)]
    return Grade(
        first=any(right[:1]),
        among_three=any(right[:3]),
        false=tuple(dict.fromkeys(f["code"] for f in false)),
        wrong_and_certain=any(f["confidence"] == "certain" for f in [*false, *misnamed]),
        said=_said(report),
        complaints=tuple(_complaints(report, status)),
    )


def _is_false(finding: Mapping[str, Any], scenario: Scenario) -> bool:
    """Whether the finding is too much. What a healthy twin is allowed are notes; beside a fault any note will do."""
    is_note = finding["severity"] == "note"
    if scenario.healthy:
        return not is_note or finding["code"] not in scenario.allowed
    return not is_note and finding["code"] not in scenario.codes | scenario.allowed


def _names(finding: Mapping[str, Any], fault: Fault) -> bool:
    """Whether the finding is about the right thing, and shows what it has to."""
    headline = f"{finding['subject']}\n{finding['summary']}"
    everything = "\n".join([headline, *(item["text"] for item in finding["evidence"])])
    subject = not fault.subject or any(_word(name, headline) for name in fault.subject)
    return subject and all(_word(name, everything) for name in fault.shown)


def _word(name: str, text: str) -> bool:
    """Whether a name stands in a text as a word of its own: 123 is not in 1234."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _said(report: Report) -> str:
    verdict = report["verdict"]
    if verdict["cause"] is None:
        return f"{report['status']}: {verdict['summary']}"
    return f"{verdict['cause']} ({verdict['confidence']}): {verdict['summary']}"


def _complaints(report: Report, status: int) -> list[str]:
    """What is wrong with any report like this one, whatever the fault."""
    found = []
    first = report["findings"][0]["code"] if report["findings"] else None
    if report["verdict"]["cause"] != first:
        found.append(f"the verdict names {report['verdict']['cause']}, the first finding is {first}")
    if report["exit_code"] != status:
        found.append(f"ended with {status}, the report says {report['exit_code']}")
    if report["status"] == "unknown":
        found.append(f"cannot tell: {report['verdict']['summary']}")
    return found

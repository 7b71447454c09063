import json
from dataclasses import replace

import pytest

from rbdiag.model import CheckRow, Confidence, Cost, Facts, Gap, Severity, Status
from rbdiag.render import render
from rbdiag.render.json_ import dumps, fact_dict, to_dict
from rbdiag.render.jsonl import event
from tests.samples import SAMPLES, STARTED, critical, healthy, noted, process, row, unknown

KEYS = [
    "schema_version", "rbdiag_version", "runbook", "target", "host", "started_at", "duration_seconds", "status",
    "exit_code", "verdict", "findings", "checks", "timeline", "facts", "contacts", "cost",
]  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_key_of_the_contract_is_there_in_its_order(sample: str) -> None:
    doc = json.loads(render("json", SAMPLES[sample]()))
    assert list(doc) == KEYS
    assert list(doc["verdict"]) == ["cause", "confidence", "summary", "coverage"]
    assert list(doc["cost"]) == ["cpu_seconds", "bytes_read", "connections", "queries"]
    for check in doc["checks"]:
        assert list(check) == ["name", "target", "status", "summary", "duration_seconds", "decides", "gap"]
    for finding in doc["findings"]:
        assert list(finding) == [
            "code", "title", "severity", "confidence", "subject", "summary", "evidence", "against", "explained_by",
            "resolution",
        ]  # fmt: skip


def test_the_verdict_is_the_first_finding_and_what_was_looked_at() -> None:
    assert to_dict(critical())["verdict"] == {
        "cause": "cpu.runaway-process",
        "confidence": "likely",
        "summary": critical().summary,
        "coverage": {
            "planned": 10,
            "ran": 5,
            "gaps": ["cpu.threads", "cpu.io", "host.disk", "host.psi", "cpu.profile"],
        },
    }


def test_a_note_is_a_cause_and_no_finding_is_none() -> None:
    assert to_dict(noted())["verdict"]["cause"] == "cpu.background-batch"
    assert to_dict(healthy())["verdict"]["cause"] is None
    assert to_dict(unknown())["verdict"]["confidence"] is None


def test_evidence_is_dated_by_when_it_happened_else_by_when_it_was_seen() -> None:
    findings = to_dict(critical())["findings"]
    assert findings[0]["evidence"][0]["at"] == "2026-11-23T08:00:04.124Z"
    assert findings[3]["evidence"][0]["at"] == "2026-11-22T20:53:19.623Z"
    never = replace(critical().findings[0], evidence=(process(1, 0.5, seen_at=None),))
    assert to_dict(replace(critical(), findings=(never,)))["findings"][0]["evidence"][0]["at"] is None


def test_a_fact_has_its_type_and_all_its_fields_at_full_precision() -> None:
    doc = dict(fact_dict(process(7, 1 / 3)))
    assert list(doc)[:4] == ["type", "subject", "check", "seen_at"]
    assert doc["type"] == "ProcessCpu"
    assert doc["share"] == 1 / 3
    assert doc["read_rate"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_number_that_is_none_is_a_bug_and_is_raised(form: str, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render(form, replace(healthy(), cost=Cost(cpu_seconds=value)))
    with pytest.raises(ValueError, match="not JSON compliant"):
        render(form, replace(healthy(), facts=Facts([process(1, value)])))


@pytest.mark.parametrize("sample", SAMPLES)
def test_lines_are_an_event_a_check_and_then_the_report(sample: str) -> None:
    report = SAMPLES[sample]()
    *checks, last = [json.loads(line) for line in render("jsonl", report).splitlines()]
    assert checks == [event(row) for row in report.checks]
    assert last == {"event": "report", **json.loads(dumps(to_dict(report)))}


def test_an_event_says_what_became_of_the_check() -> None:
    gap = Gap("forbidden", "not allowed", "run as root")
    assert event(CheckRow("cpu.io", "web-3", "not allowed", None, gap, True, "gap")) == {
        "event": "check",
        "name": "cpu.io",
        "target": "web-3",
        "status": "gap",
        "summary": "not allowed",
        "duration_seconds": None,
        "decides": True,
        "gap": {"reason": "forbidden", "detail": "not allowed", "unlock": "run as root"},
    }
    assert event(row("cpu.time", "idle"))["gap"] is None


@pytest.mark.parametrize("status", Status)
def test_status_is_a_word_of_the_contract(status: Status) -> None:
    assert to_dict(replace(healthy(), status=status))["status"] in ("ok", "warning", "critical", "unknown")


def test_severity_and_confidence_are_words_of_the_contract() -> None:
    assert [str(word) for word in Severity] == ["note", "warning", "critical"]
    assert [str(word) for word in Confidence] == ["possible", "likely", "certain"]


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    doc = to_dict(critical())
    assert doc["started_at"] == "2026-11-23T08:00:00.123Z"
    assert to_dict(replace(critical(), started_at=STARTED // 1))["started_at"] == "2026-11-23T08:00:00.000Z"

"""`rbdiag diagnose`, and what a report looks like that was read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import BROKEN_RULE, BUSY, WARM, WORLD, Program


@pytest.fixture
def saved(rbdiag: Program) -> Path:
    """A report with a critical finding."""
    file = rbdiag.place / "report.json"
    assert rbdiag("cpu", "-q", "--save", str(file), plant=WORLD + BUSY).returncode == 2
    return file


def test_the_same_rules_find_the_same_byte_for_byte(rbdiag: Program, saved: Path) -> None:
    done = rbdiag("diagnose", str(saved), "--json", plant=WORLD + BUSY)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == saved.read_text()


def test_other_rules_find_something_else(rbdiag: Program, saved: Path) -> None:
    done = rbdiag("diagnose", str(saved), "--json", plant=WORLD + WARM)
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["severity"] == "warning"


def test_standard_input(rbdiag: Program, saved: Path) -> None:
    done = rbdiag("diagnose", "-", "-o", "nagios", plant=WORLD + BUSY, input=saved.read_text())
    assert done.returncode == 2
    assert done.stdout.startswith("CPU CRITICAL - three zombies")


def test_events_of_a_saved_report(rbdiag: Program, saved: Path) -> None:
    done = rbdiag("diagnose", str(saved), "-o", "jsonl", plant=WORLD + BUSY)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["check"] * 3 + ["report"]


def test_what_fails_is_decided_anew(rbdiag: Program, saved: Path) -> None:
    assert rbdiag("diagnose", str(saved), "--fail-on", "never", plant=WORLD + BUSY).returncode == 0


def test_a_broken_rule_is_a_bug_here_too(rbdiag: Program, saved: Path) -> None:
    done = rbdiag("diagnose", str(saved), plant=WORLD + BROKEN_RULE)
    assert done.returncode == 70
    assert "KeyError in rule" in done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"hello", "not JSON", id="text"),
        pytest.param(b"{}", "not an rbdiag report", id="another JSON"),
        pytest.param(b'{"schema_version": 99}', "schema_version 99", id="a later schema"),
        pytest.param(b"\xff\xfe", "not UTF-8 text (byte 0)", id="bytes"),
    ],
)
def test_what_is_no_report_is_wrong_usage(rbdiag: Program, content: bytes, why: str) -> None:
    file = rbdiag.place / "odd.json"
    file.write_bytes(content)
    done = rbdiag("diagnose", str(file))
    assert done.returncode == 64
    assert done.stdout == ""
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert rbdiag("diagnose", str(file), "-o", "nagios").returncode == 3


def test_standard_input_that_is_closed_is_an_empty_report(rbdiag: Program) -> None:
    done = rbdiag.shell("rbdiag diagnose - <&-")
    assert done.returncode == 64
    assert "not JSON" in done.stderr

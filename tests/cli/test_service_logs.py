"""The runbooks beside `logs` read what the service at fault writes; it supports what they find, no more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program

# Burns a core, and says each quarter of a second that it failed.
BURNER = """
import logging, sys, time
logging.basicConfig(filename=sys.argv[1], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
last = time.monotonic()
print("ready", flush=True)
while True:
    if time.monotonic() - last > 0.25:
        last = time.monotonic()
        try:
            raise ValueError("no such coupon")
        except ValueError:
            logging.getLogger("shop").exception("order failed")
"""


@pytest.fixture
def burner(tmp_path: Path) -> Iterator[Path]:
    """The log of a program that burns a core."""
    script, log = tmp_path / "burner.py", tmp_path / "shop.log"
    script.write_text(BURNER)
    with subprocess.Popen([sys.executable, str(script), str(log)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield log
        process.kill()


def findings(report: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in report["findings"]}


def test_cpu_reads_the_log_of_the_process_that_burns(rbdiag: Program, burner: Path) -> None:
    report = json.loads(rbdiag("cpu", "--json", "-t", "10").stdout)
    window = next(fact for fact in report["facts"] if fact["type"] == "LogWindow")
    assert (window["subject"], window["alone"]) == (str(burner), False)
    trace = next(fact for fact in report["facts"] if fact["type"] == "LogTrace")
    assert (trace["exception"], trace["message"]) == ("ValueError", "no such coupon")
    assert findings(report)["logs.exception"] == "note"
    assert report["verdict"]["cause"].startswith("cpu.")


def test_cpu_reads_the_logs_that_are_given_and_nothing_of_before_the_window(rbdiag: Program, tmp_path: Path) -> None:
    log = tmp_path / "other.log"
    log.write_text("2026-11-01 10:00:00 ERROR shop: order failed\n")
    with subprocess.Popen(["sleep", "60"]) as idle:
        report = json.loads(rbdiag("cpu", "--json", "--log", str(log), "--pid", str(idle.pid)).stdout)
        idle.kill()
    assert [fact["subject"] for fact in report["facts"] if fact["type"] == "LogWindow"] == [str(log)]
    assert "logs.new-errors" not in findings(report)

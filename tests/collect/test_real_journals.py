"""The journal: written by systemd itself in a container, or by systemd-journal-remote; read by the real journalctl."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogWindow
from tests.collect.test_real_logs import BAD, HOUR, known, report_on
from tests.lab.scenario import fault
from tests.lab.systemd import NEEDED, Container
from tests.lab.workbench import Lab, NotInEffect
from tests.servers import journal as journals
from tests.servers.journal import Entry, Journal

TRACE = """order 7 failed
Traceback (most recent call last):
  File "/srv/shop/orders.py", line 42, in price
    return order["cents"] / order["count"]
KeyError: 'count\'"""


def _there(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let `journalctl` be the first in this PATH, and a journal seem to be there."""
    is_dir = os.path.isdir
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("os.path.isdir", lambda name: name == "/run/systemd/journal" or is_dir(name))


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal in which a unit worked for five hours."""
    if reason := journals.missing():
        pytest.skip(reason)
    with Journal() as made:
        now = time.time()
        made.write(*(Entry(now - 5 * HOUR + 30 * n, f"order {n} handled in 3 ms, errors=0") for n in range(600)))
        _there(monkeypatch, made.path())
        yield made


def test_of_a_healthy_unit_nothing_is_said(journal: Journal) -> None:
    report = report_on(since=time.time() - HOUR, unit="shop.service")
    window = report.facts.first(LogWindow)
    assert window is not None
    assert window.baseline_since is not None
    assert window.owner == "shop.service"
    assert report.findings == ()


def test_records_of_several_lines_stay_together(journal: Journal) -> None:
    now = time.time()
    journal.write(*(Entry(now - 300 + 60 * n, TRACE, priority=3) for n in range(4)))
    report = report_on(since=now - HOUR, unit="shop.service")
    (trace,) = report.facts.of(LogTrace)
    assert (trace.exception, trace.count, trace.before) == ("KeyError", 4, 0)
    assert "/srv/shop/orders.py:42" in trace.frame
    assert trace.first_at == pytest.approx(now - 300, abs=1)
    assert trace.happened_at == pytest.approx(now - 120, abs=1)
    assert report.findings[0].code == "logs.exception"


def test_a_priority_is_a_level(journal: Journal) -> None:
    now = time.time()
    journal.write(*(Entry(now - 300 + 60 * n, f"the ledger of {n} is closed", priority=3) for n in range(4)))
    report = report_on(since=now - HOUR, unit="shop.service")
    (new,) = (fact for fact in report.facts.of(LogTemplate) if fact.level in BAD)
    assert (new.word, new.count) == ("new", 4)
    assert report.findings[0].code == "logs.new-errors"


def test_what_systemd_says_of_the_unit_is_known(journal: Journal) -> None:
    now = time.time()
    journal.write(
        Entry(now - 90, "shop.service: Main process exited, code=exited, status=203/EXEC", pid=1, priority=5),
        Entry(now - 90, "shop.service: Failed with result 'exit-code'.", pid=1, priority=4),
    )
    report = report_on(since=now - HOUR, unit="shop.service")
    (line,) = known(report)["unit-cannot-start"]
    assert line.happened_at == pytest.approx(now - 90, abs=1)
    assert line.name == "shop.service"
    assert report.findings[0].code == "svc.exec-failed"


# A real systemd: one container for all, because it takes seconds to boot.

UNITS = {
    "absent": ("", ["ExecStart=/srv/no/such/program"]),
    "loops": ("StartLimitIntervalSec=60\nStartLimitBurst=5",
              ["ExecStart=/bin/false", "Restart=always", "RestartSec=20ms"]),
    "mute": ("", ["Type=notify", "ExecStart=/usr/bin/sleep 100", "TimeoutStartSec=500ms"]),
    "unset": ("", ["EnvironmentFile=/srv/shop.env", "ExecStart=/usr/bin/sleep 100"]),
    "needy": ("Requires=mute.service\nAfter=mute.service", ["ExecStart=/usr/bin/sleep 100"]),
    "fine": ("", ["ExecStart=/bin/sh -c 'echo started, 0 errors; exec sleep 100'"]),
}  # fmt: skip
SAID = {
    "absent": ("unit-cannot-start", "svc.exec-failed"),
    "loops": ("unit-crash-loop", "svc.crash-loop"),
    "mute": ("unit-timed-out", "svc.watchdog-killed"),
    "unset": ("unit-environment-missing", "change.env-missing"),
    "needy": ("unit-dependency-failed", "svc.dependency-not-ready"),
}


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    scenario = fault("svc.exec-failed", needs=NEEDED)(lambda lab: iter(()))  # type: ignore[arg-type,return-value]
    if reason := scenario.missing():
        pytest.skip(reason)
    with Lab() as lab:
        try:
            made = Container(lab)
        except (NotInEffect, OSError) as error:
            pytest.skip(str(error))
        for name, (unit, service) in UNITS.items():
            lines = ["[Unit]", unit, "[Service]", *service, ""]
            (made.root / f"etc/systemd/system/{name}.service").write_text("\n".join(lines))
        made.call("systemctl", "daemon-reload")
        made.call("systemctl", "start", "--no-block", *UNITS)
        made.call("systemctl", "restart", "fine")
        deadline = time.monotonic() + 15
        while made.shown("loops", "ActiveState") != "failed" and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        yield made


def _inside(container: Container, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `journalctl` be the container's own."""
    inside = ["/usr/bin/nsenter", "-t", str(container._pid), "-a", "--", "/usr/bin/journalctl"]
    _there(monkeypatch, journals.first_in_path(folder / "bin", inside))


@pytest.mark.parametrize("unit", SAID)
def test_a_unit_that_fails_under_a_real_systemd(
    unit: str, container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _inside(container, tmp_path, monkeypatch)
    report = report_on(since=time.time() - HOUR, unit=f"{unit}.service")
    pattern, code = SAID[unit]
    found = known(report)
    assert pattern in found, [str(fact) for fact in report.facts.of(LogKnown)]
    for fact in found[pattern]:
        assert fact.happened_at is not None
        assert time.time() - 60 < fact.happened_at <= time.time()
    assert report.findings[0].code == code


def test_a_unit_that_works_under_a_real_systemd(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _inside(container, tmp_path, monkeypatch)
    report = report_on(since=time.time() - HOUR, unit="fine.service")
    assert known(report) == {}
    assert report.findings == ()

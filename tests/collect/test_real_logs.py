"""Logs that the real programs wrote, made by breaking them: right times, right records, right patterns, nothing else.

Each program gets a past first: what it writes while all is well, at times of the hours before.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.model import Report
from rbdiag.runbooks import investigate
from rbdiag.runbooks.logs import plan
from tests.collect.real_logs import Row
from tests.collect.real_logs_apps import GO, JAVA, NODE, PYTHON
from tests.collect.real_logs_mariadb import MARIADB
from tests.collect.real_logs_web import APACHE, NGINX
from tests.lab import logs_past as past
from tests.lab import logs_real as real
from tests.lab.logs_real import Written
from tests.servers.upstream import Upstream

HOUR = 3600.0
ROWS = (*NGINX, *APACHE, *MARIADB, *PYTHON, *JAVA, *NODE, *GO)
HEALTHY = (("nginx", ""), ("apache", ""), ("mariadb", ""), ("python", ""), ("python", "json"), ("java", ""),
           ("java", "line"), ("node", ""), ("node", "json"), ("go", ""))  # fmt: skip
BAD = ("error", "fatal")


def report_on(*logs: Path, since: float, unit: str = "") -> Report:
    """What the log runbook says of these logs from that time on."""
    planned = plan(files=tuple(str(log) for log in logs), unit=unit, pid=None, since=since, asked=False, baseline=4.0)
    try:
        report, bugs = investigate(planned, Deadline(30))
    finally:
        planned.close()
    assert not bugs, bugs
    assert not report.gaps, report.gaps
    return report


def usual(program: str, form: str, which: str, end: float) -> str:
    """Four hours of a healthy program up to this time."""
    written = real.healthy(program, form)
    return past.spread(_of(written, which), end - 4 * HOUR, end - 60, 600)


def _of(written: Written, which: str) -> str:
    return written.access if which == "access" else written.log


def known(report: Report) -> dict[str, list[LogKnown]]:
    """What is known of the log but for marks of a start and a stop, by the name of the pattern."""
    found: dict[str, list[LogKnown]] = {}
    for fact in report.facts.of(LogKnown):
        if fact.role not in ("start", "stop"):
            found.setdefault(fact.pattern, []).append(fact)
    return found


def _skip_without(row: Row) -> None:
    if reason := real.missing(row.program):
        pytest.skip(reason)
    if row.needs == "root" and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.mark.parametrize("form", HEALTHY, ids=lambda pair: " ".join(filter(None, pair)))
def test_the_past_of_a_program_is_written_in_its_own_form(form: tuple[str, str]) -> None:
    if reason := real.missing(form[0]):
        pytest.skip(reason)
    end = real.healthy(*form).began - HOUR
    times = [past.told(record) for record in past.records(usual(*form, "log", end))]
    assert len(times) == 600
    assert None not in times
    assert times == sorted(times, key=float)  # type: ignore[arg-type]
    assert times[0] == pytest.approx(end - 4 * HOUR, abs=30)
    assert times[-1] == pytest.approx(end - 60, abs=30)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_broken_program_wrote_is_understood(row: Row, tmp_path: Path) -> None:
    _skip_without(row)
    written = row.made()
    text = _of(written, row.which)
    log = tmp_path / f"{row.program}.log"
    log.write_text(usual(row.program, row.form, row.which, written.began - HOUR) + text)
    report = report_on(log, since=written.began - HOUR)
    told = f"{[f'{fact.pattern} {fact}' for fact in report.facts.of(LogKnown)]}\n{text[-4000:]}"

    window = report.facts.first(LogWindow)
    assert window is not None
    assert window.how == "time"
    assert window.last_at is not None
    earliest = written.began - (HOUR + 90 if row.timeless else 1.1)
    assert earliest <= window.last_at <= written.ended + 1
    assert not window.zone_shift
    assert not window.ahead
    assert not window.back

    found = known(report)
    assert set(found) - set(row.maybe) == set(row.known), told
    for name, count in row.known.items():
        assert count in (0, sum(fact.count for fact in found[name])), told
        for fact in found[name]:
            assert fact.before == 0, told
            assert fact.first_at is not None
            assert fact.happened_at is not None
            assert earliest <= fact.first_at <= fact.happened_at <= written.ended + 1

    templates = [fact for fact in report.facts.of(LogTemplate) if fact.word == "new" and fact.level in BAD]
    for text_of in row.new:
        assert any(text_of in fact.sample for fact in templates), f"{text_of}: {templates}\n{told}"

    traces = report.facts.of(LogTrace)
    if row.trace is None:
        assert not traces
    else:
        assert len(traces) == 1, traces
        trace = traces[0]
        assert trace.exception.rpartition(".")[2] == row.trace.exception
        assert row.trace.message in trace.message
        assert row.trace.frame in trace.frame
        assert (trace.count, trace.before) == (row.trace.count, 0)
        assert trace.happened_at is not None
        assert earliest <= trace.happened_at <= written.ended + 1

    if row.codes:
        assert report.findings, told
        assert report.findings[0].code in row.codes, [finding.code for finding in report.findings]


@pytest.mark.parametrize("form", HEALTHY, ids=lambda pair: " ".join(filter(None, pair)))
@pytest.mark.parametrize("hours", [0, 4], ids=["its first run", "as before"])
def test_of_a_healthy_program_nothing_is_said(form: tuple[str, str], hours: int, tmp_path: Path) -> None:
    program, kind = form
    if reason := real.missing(program):
        pytest.skip(reason)
    written = real.healthy(program, kind)
    logs = [(tmp_path / f"{program}.log", "log")]
    logs += [(tmp_path / "access.log", "access")] if written.access else []
    for path, which in logs:
        before = usual(program, kind, which, written.began - HOUR) if hours else ""
        path.write_text(before + _of(written, which))
    report = report_on(*(path for path, _ in logs), since=written.began - HOUR)

    assert known(report) == {}
    assert not report.facts.of(LogTrace)
    assert [fact for fact in report.facts.of(LogTemplate) if fact.level in BAD] == []
    assert all(not fact.share(5) for fact in report.facts.of(LogTraffic))
    assert report.findings == ()
    assert report.exit_code == 0
    windows = report.facts.of(LogWindow)
    assert len(windows) == len(logs)
    for window in windows:
        assert window.last_at is not None
        assert abs(window.last_at - written.ended) < 3


@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_the_requests_of_a_real_access_log_are_counted(kind: str, tmp_path: Path) -> None:
    if reason := real.missing(kind):
        pytest.skip(reason)
    paths = [
        *(f"/api/orders/{number}" for number in range(60)),
        *["/api/checkout/500"] * 12,
        *["/gone"] * 5,
        *["/api/slow"] * 20,
    ]
    with Upstream(slow=0.06) as upstream:
        if kind == "nginx":
            written = real.nginx(f"location /api {{ proxy_pass http://{upstream.address}; }}", *paths)
        else:
            written = real.apache(f"ProxyPass /api http://{upstream.address}/api", *paths)
    log = tmp_path / "access.log"
    log.write_text(usual(kind, "", "access", written.began - HOUR) + written.access)
    traffic = report_on(log, since=written.began - HOUR).facts.first(LogTraffic)
    assert traffic is not None
    assert dict(traffic.statuses) == {200: 80, 404: 5, 500: 12}
    assert dict(traffic.before) == {200: 600}
    assert [(path, failed) for path, failed, _ in traffic.failing] == [("/api/checkout/*", 12)]
    assert traffic.first_failed_at is not None
    assert written.began - 1.1 <= traffic.first_failed_at <= written.ended
    if kind == "apache":
        assert traffic.p50 is None
        return
    assert traffic.p50 is not None
    assert traffic.p99 is not None
    assert traffic.p50 < 0.06 <= traffic.p99
    assert traffic.slow[0][0] == "/api/slow"

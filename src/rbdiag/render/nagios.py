"""For Nagios, Icinga and their kin: a line for the pager, performance data, then the long text.

By the Monitoring Plugins Development Guidelines (2.1, 2.6 and 2.7): `SERVICE STATUS - text | performance data` in
under 80 characters, then the long text, a second bar, and the rest of the performance data. Where the text needs the
room it has all of it, and all performance data stands at the end. A bar begins performance data wherever it stands, so
no text from us may hold one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rbdiag.facts.cpu import CpuThresholds, CpuTime, LoadAverage
from rbdiag.facts.db import Login
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic
from rbdiag.facts.net import SocketAnswer, TcpAnswer
from rbdiag.facts.sessions import Connections, Replica
from rbdiag.model import Facts, Report, Step
from rbdiag.render import RenderOptions
from rbdiag.render.escape import cut, visible

_LONGEST = 79
# What the first line can do without where it would be cut: that an error is one, and an exception's packages.
_KIND = re.compile(r"(?<=: )an? (?:new )?(?:error|exception|fatal error|warning): ")
_PACKAGES = re.compile(r"\b(?:[a-z_][\w$]*\.)+(?=[A-Z]\w*\b)")


def render(report: Report, options: RenderOptions) -> str:
    data = [*_cpu(report.facts), *_db(report.facts)]
    if report.runbook == "logs":  # elsewhere logs are read beside the point, and not in every run
        data += _logs(report.facts)
    data.append(_datum("time", report.duration, "s", "", "", "0"))
    first, shown = _first(report, f" | {data[0]}")
    ran = f"{len(report.checks) - len(report.gaps)} of {len(report.checks)} checks ran"
    summary = [] if shown or _said(report) else [_safe(report.summary)]
    rest = data if " | " not in first else data[1:]
    return "\n".join([first, *summary, *_long(report), ran + (f" | {' '.join(rest)}" if rest else "")]) + "\n"


def _first(report: Report, datum: str) -> tuple[str, bool]:
    """The first line, with a datum where there is room for it, and whether the summary stands there as it is."""
    head = f"{report.runbook.upper()} {str(report.status).upper()} - "
    whole = _safe(head + report.summary)
    if len(whole + datum) <= _LONGEST:
        return whole + datum, True
    if len(whole) <= _LONGEST:
        return whole, True
    shorter = _safe(head + _PACKAGES.sub("", _KIND.sub("", report.summary, count=1)))
    return cut(shorter, _LONGEST, "..."), False


def _said(report: Report) -> bool:
    """Whether the long text says the summary anyway, as the first finding's."""
    return report.verdict is not None and report.verdict.summary == report.summary


def _long(report: Report) -> Iterator[str]:
    """All findings, each with its summary in full; what to do about the first; gaps and contacts."""
    for finding in report.findings:
        cause = f", explained by {finding.explained_by}" if finding.explained_by else ""
        yield _safe(f"{finding.severity} {finding.code} ({finding.confidence}{cause}): {finding.summary}")
    if report.verdict:
        for fact in report.verdict.evidence:
            yield _safe(f"because: {fact}")
        for fact in report.verdict.against:
            yield _safe(f"against: {fact}")
        for number, step in enumerate(report.verdict.resolution, 1):
            yield from _step(number, step)
    for row in report.gaps:
        if row.gap:
            yield _safe(f"not seen: {row.name} ({row.gap.reason}): {row.gap.detail}")
    for who in report.contacts:
        yield _safe("call: " + ", ".join(p for p in (who.name, who.role, who.contact, who.when) if p))


def _step(number: int, step: Step) -> Iterator[str]:
    yield _safe(f"fix {number} ({step.risk}): {step.text}")
    if step.command and _safe(step.command) == step.command:
        yield f"  {step.command}"
    elif step.command:
        # Changed so that it fits here, it would no longer be the same command.
        yield "  (a command that cannot be shown here: see the same report as a table)"


def _safe(text: str) -> str:
    return visible(text).replace("|", "/")


def _cpu(facts: Facts) -> Iterator[str]:
    """The host's CPU time in percent of all CPUs, over the latest window, and the load averages."""
    limits = facts.last(CpuThresholds)
    times = facts.of(CpuTime)
    time = next((t for t in reversed(times) if t.window == "confirm"), times[-1] if times else None)
    if time:
        warning, critical = (_number(limits.warning * 100), _number(limits.critical * 100)) if limits else ("", "")
        yield _datum("busy", round(time.busy * 100), "%", warning, critical, "0", "100")
        for name in ("user", "nice", "system", "iowait", "irq", "softirq", "steal"):
            yield _datum(name, getattr(time, name) * 100, "%", "", "", "0", "100")
    if load := facts.last(LoadAverage):
        for minutes, value in ((1, load.load1), (5, load.load5), (15, load.load15)):
            yield _datum(f"load{minutes}", value, "", "", "", "0")


def _db(facts: Facts) -> Iterator[str]:
    """Connections of those allowed, seconds to connect and to log in, seconds that the worst replica is behind."""
    if used := facts.last(Connections):
        yield _datum("connections", used.connected, "", "", "", "0", str(used.limit))
        yield _datum("running", used.running, "", "", "", "0")
    opened = [tcp.seconds for tcp in facts.of(TcpAnswer) if tcp.word == "open"]
    opened += [socket.seconds for socket in facts.of(SocketAnswer) if socket.word == "open"]
    if opened:
        yield _datum("connect", min(opened), "s", "", "", "0")
    if entered := next((i.seconds for i in facts.of(Login) if i.word == "ok"), None):
        yield _datum("login", entered, "s", "", "", "0")
    behind = [r.lag for r in facts.of(Replica) if r.lag is not None]
    if behind:
        yield _datum("lag", max(behind), "s", "", "", "0")


def _logs(facts: Facts) -> Iterator[str]:
    """Of all logs: lines that speak of a failure, new shapes of error lines, exceptions, requests and how they went."""
    yield _datum("failures", sum(k.count for k in facts.of(LogKnown) if k.role == "failure"), "", "", "", "0")
    bad = [t for t in facts.of(LogTemplate) if t.word == "new" and t.level in ("error", "fatal")]
    yield _datum("new", len(bad), "", "", "", "0")
    yield _datum("exceptions", sum(t.count for t in facts.of(LogTrace)), "", "", "", "0")
    if traffic := facts.of(LogTraffic):
        total = sum(t.requests for t in traffic)
        failed = sum(count for t in traffic for status, count in t.statuses if status // 100 == 5)
        yield _datum("requests", total, "", "", "", "0")
        yield _datum("5xx", failed / total * 100 if total else 0.0, "%", "", "", "0", "100")
        if slowest := [t.p95 for t in traffic if t.p95 is not None]:
            yield _datum("p95", max(slowest), "s", "", "", "0")


def _datum(label: str, value: float, unit: str, *limits: str) -> str:
    """label=value[UOM];[warn];[crit];[min];[max]. Our labels are plain words, which need no quotes."""
    return ";".join([f"{label}={_number(value, 6 if unit == 's' else 2)}{unit}", *limits])


def _number(value: float, digits: int = 2) -> str:
    """Digits and a point only: the guidelines know no exponents."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")

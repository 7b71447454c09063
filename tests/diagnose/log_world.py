"""Logs as facts: a healthy day of each kind, and the ways to spoil it."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.frozen import replace
from rbdiag.model import Fact, Facts
from tests.diagnose.world import NOW, Host

APP, NGINX, ACCESS, DB = (
    "/var/log/shop/shop.log",
    "/var/log/nginx/error.log",
    "/var/log/nginx/access.log",
    "/var/log/mysql/error.log",
)
SYSLOG, JOURNAL = "/var/log/syslog", "journal of shop.service"
MIB = 1 << 20
HOUR = 3600.0


def window(log: str = APP, **changes: Any) -> LogWindow:
    """The last hour of a log that is written to all the time, compared with the four before it."""
    fact = LogWindow(
        subject=log, check="logs.find", seen_at=NOW, how="time", form="ISO 8601", since=NOW - HOUR, until=NOW,
        first_at=NOW - HOUR + 1, last_at=NOW - 1, bytes=MIB, baseline_since=NOW - 5 * HOUR, baseline_bytes=4 * MIB, parts=(log,),
        alone=True,
    )  # fmt: skip
    return replace(fact, **changes)


def fresh(log: str = APP, **changes: Any) -> LogWindow:
    """A log without anything to compare with: it began inside the window."""
    return window(log, **({"baseline_since": None, "baseline_bytes": 0, "first_at": NOW - 600} | changes))


def timeless(log: str = APP, **changes: Any) -> LogWindow:
    """A log whose lines tell no time."""
    none = {
        "since": None,
        "until": None,
        "first_at": None,
        "last_at": None,
        "baseline_since": None,
        "baseline_bytes": 0,
    }
    return window(log, **({"how": "whole", "form": ""} | none | changes))


def known(
    pattern: str, text: str, codes: str | tuple[str, ...], *, ago: float = 30.0, since: float = 900.0, **changes: Any
) -> LogKnown:
    """Forty lines in the last quarter of an hour, the last half a minute ago, and none before the window."""
    fact = LogKnown(
        subject=APP, check="logs.known", seen_at=NOW, pattern=pattern, title=pattern.replace("-", " "),
        codes=(codes,) if isinstance(codes, str) else codes, role="failure", name="", count=40, before=0,
        first_at=NOW - max(ago, since), happened_at=NOW - ago, text=text,
    )  # fmt: skip
    return replace(fact, **changes)


def marks(role: str, text: str, ago: float, log: str = APP, **changes: Any) -> LogKnown:
    """A good start, or an orderly end."""
    return known(
        f"service-{role}", text, (), ago=ago, since=ago, **({"subject": log, "role": role, "count": 1} | changes)
    )


def template(sample: str, *, ago: float = 30.0, **changes: Any) -> LogTemplate:
    """A new kind of error, forty times in the last quarter of an hour."""
    fact = LogTemplate(
        subject=APP, check="logs.new", seen_at=NOW, word="new", template=sample, level="error", count=40, before=0, rate=40 / HOUR,
        rate_before=0.0, first_at=NOW - 900, happened_at=NOW - ago, sample=sample, rank=1,
    )  # fmt: skip
    return replace(fact, **changes)


def more(sample: str, count: int, before: int, **changes: Any) -> LogTemplate:
    """An error that was there before, so many times in this hour and in the four before it."""
    rates = {"rate": count / HOUR, "rate_before": before / (4 * HOUR)}
    return template(sample, **({"word": "more", "count": count, "before": before} | rates | changes))


def trace(exception: str = "ValueError", *, ago: float = 30.0, **changes: Any) -> LogTrace:
    """A new exception in the shop's own code, twelve times."""
    fact = LogTrace(
        subject=APP, check="logs.traces", seen_at=NOW, language="python", exception=exception, message="no such coupon",
        frame="/srv/shop/cart.py:48 in total", top="/srv/shop/cart.py:48 in total", head="ERROR while handling *", count=12, before=0,
        first_at=NOW - 900, happened_at=NOW - ago,
    )  # fmt: skip
    return replace(fact, **changes)


def traffic(
    failed: int = 20, requests: int = 36_000, failed_before: int = 80, requests_before: int = 144_000, **changes: Any
) -> LogTraffic:
    """Ten requests a second, a few of which fail, with as many of them not found as robots make."""

    def answers(bad: int, total: int) -> tuple[tuple[int, int], ...]:
        missing = total // 50
        return tuple((s, n) for s, n in ((200, total - bad - missing), (404, missing), (502, bad)) if n)

    fact = LogTraffic(
        subject=ACCESS, check="logs.requests", seen_at=NOW, requests=requests, requests_before=requests_before, covered=HOUR,
        covered_before=4 * HOUR, statuses=answers(failed, requests), before=answers(failed_before, requests_before),
        failing=(("/api/orders/*", failed, requests // 2),) if failed else (), slow=(("/api/search", 0.3, 900),), p50=0.02, p95=0.12, p99=0.3,
        p95_before=0.11, first_failed_at=NOW - 3500, last_failed_at=NOW - 60,
    )  # fmt: skip
    return replace(fact, **changes)


def lately(failed: int, requests: int, ago: float, **changes: Any) -> LogTraffic:
    """Forty requests a minute, of which none failed until so many seconds ago."""
    since = {
        "failed_lately": (failed, requests),
        "failed_lately_at": NOW - ago,
        "first_failed_at": NOW - ago,
        "newest": (failed, requests),
    }
    return traffic(failed, 2400, 0, 9600, **(since | changes))  # fmt: skip


def refusing(status: int, count: int, since: int, ago: float, **changes: Any) -> LogTraffic:
    """Forty requests a minute; since so many seconds ago so many of so many are refused."""
    usual = {
        "statuses": ((200, 2400 - count), (status, count)), "before": ((200, 9400), (404, 200)),
        "refused_lately": (count, since, status), "refused_lately_at": NOW - ago, "slices": ((HOUR, 2400, 50, 0),) * 4,
        "failing": (), "first_failed_at": None, "last_failed_at": None,
    }  # fmt: skip
    return replace(traffic(0, 2400, 0, 9600), **(usual | changes))


def world(*facts: Fact | list[Any]) -> Facts:
    """These facts, with a window for each log that has none."""
    flat = [f for fact in facts for f in (fact if isinstance(fact, list) else [fact])]
    given = {f.subject for f in flat if isinstance(f, LogWindow)}
    logs = dict.fromkeys(f.subject for f in flat if f.subject not in given)
    return Facts((*(window(log) for log in logs), *flat))


# What healthy services write now and then: a robot that guesses, a deadlock, a client that leaves.
USUAL = (
    known("proxy-file-missing", 'open() "/srv/www/wp-login.php" failed (2: No such file or directory)', "api.route-missing",
          subject=NGINX, role="ordinary", name="/srv/www/wp-login.php", count=4, before=11),
    known("db-deadlock", "[Note] InnoDB: Transactions deadlock detected", "db.deadlock", subject=DB, role="ordinary", count=1),
    known("proxy-client-gave-up", "client prematurely closed connection, so upstream connection is closed too",
          "timeout.budget-inverted", subject=NGINX, role="ordinary", count=6, before=30),
)  # fmt: skip


def healthy() -> Host:
    """A site on an ordinary day: a restart that recovers nothing, an exception that is known, a heartbeat that is quiet, robots."""
    return Host((
        window(NGINX), window(ACCESS), window(DB), window(APP),
        marks("stop", "[Note] mariadbd: Normal shutdown", 3000, DB), marks("start", "[Note] mariadbd: ready for connections.", 2990, DB),
        known("db-recovery", "[Note] Starting crash recovery", (), subject=DB, role="evidence", count=1, ago=2992, since=2992),
        traffic(),
        template("cache warmed with * entries", level="info"),
        template("GET /errors 0 errors", level="none", count=900),
        more("slow request", 30, 100, level="warning"),
        template("heartbeat", word="fewer", level="info", count=3, before=900),
        trace(count=3, before=12),
    ))  # fmt: skip

# ruff: noqa: E501 - lines stand as programs write them
"""Healthy twins of logs: what looks like trouble and is none. Nothing may be said about them above a note."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.lab import logs_past as past
from tests.lab import logs_real as real
from tests.lab.logs_file import HOUR, PAST, about, contained, log_twin, moments, packed, put, stamp, steady, usual
from tests.lab.scenario import Setup
from tests.lab.workbench import Lab
from tests.servers.mariadb import MariaDB


@log_twin(fast=True, allowed=("svc.not-running",))
def logs_noise_as_before(lab: Lab) -> Setup:
    """An application that is refused by something every five minutes, with a trace, today as yesterday."""
    now = time.time()
    failed = past.spread(real.app("python", "refused").log, now - PAST, now - 1, 66, only="failed")
    yield about(lab, put(lab, "shop.log", usual("python"), failed), holds="Connection refused", at_least=66)


@log_twin(needs=("mariadb",), fast=True)
def logs_db_started_and_stopped(lab: Lab) -> Setup:
    """A MariaDB that was started, worked, was started again and stopped in an orderly way."""
    yield about(lab, put(lab, "mariadb.err", real.healthy("mariadb").log), holds="ready for connections", at_least=2)


@log_twin(needs=("mariadb",), allowed=("db.idle-timeout-gone-away", "db.access-denied", "db.query-killed"))
def logs_db_few_aborted(lab: Lab) -> Setup:
    """A MariaDB under load, with an aborted client and a mistyped password now and then, as ever."""

    def work(server: MariaDB) -> None:
        for number in range(3):
            connection = server.connect()
            connection._sock.close()  # type: ignore[attr-defined]
            connection._force_close()
            if number == 1:
                real.refused_login(server)
        time.sleep(0.2)

    written = real.mariadb(work)
    seen = "".join(r for r in past.records(written.log) if "Aborted" in r or "Access denied" in r)
    now = time.time()
    log = put(lab, "mariadb.err", written.log, past.spread(seen, now - PAST, now - 1, 25))
    yield about(lab, log, holds="Aborted connection", at_least=15)


@log_twin(needs=("mariadb",), fast=True)
def logs_db_recovered_long_ago(lab: Lab) -> Setup:
    """A MariaDB that was killed three hours ago and started again; nothing since."""

    def killed(server: MariaDB) -> None:
        server.kill()
        server.start()
        server.sql("SELECT 1")

    now = time.time()
    crash = real.mariadb(killed).log
    began = past.told(crash) or now
    moved = "".join(past.stamped(r, now - 3 * HOUR + (past.told(r) or began) - began) for r in past.records(crash))
    last = past.spread(
        "2026-11-24 10:00:00 0 [Note] InnoDB: Dumping buffer pool(s) to /srv/ib_buffer_pool\n", now - 900, now, 1
    )
    yield about(lab, put(lab, "mariadb.err", moved, last), holds="ready for connections", at_least=2)


@log_twin(fast=True)
def logs_quoted_words(lab: Lab) -> Setup:
    """JSON lines of level info that quote the words of errors: in paths, in counts, in texts of users."""
    quotes = (
        {"msg": "request", "path": "/errors?code=ECONNREFUSED", "status": 200, "error": None, "err": ""},
        {"msg": "job done", "errors": 0, "failed": 0, "panic": False, "exception": None, "fatal_errors": 0},
        {"msg": "search", "q": "Traceback (most recent call last)", "hits": 17},
        {"msg": "comment saved", "text": "FATAL: Out of memory: Killed process 12 (java)", "user": 9},
        {"msg": "mail sent", "subject": "ERROR 1045 (28000): Access denied for user 'x'@'y' (using password: YES)"},
        {"msg": "healthcheck", "error_rate": 0.0, "last_error": "none", "upstream": "connection refused count=0"},
    )
    now, chance = time.time(), random.Random(8)

    def lines() -> Iterator[str]:
        for at in moments(now - PAST, now, steady(1 / 4)):
            # half of these kinds are said in the last hour alone
            told = chance.choice(quotes if at > now - HOUR else quotes[:3])
            when = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(at)) + f"{at % 1 * 1000:03.0f}"[:3] + "Z"
            yield json.dumps({"time": when, "level": "info", **told, "id": chance.randrange(10**9)}) + "\n"

    yield about(lab, put(lab, "app.json", "".join(lines())), holds="ECONNREFUSED", at_least=100)


@log_twin(fast=True)
def logs_debug_turned_on(lab: Lab) -> Setup:
    """An application whose log level was lowered to debug half an hour ago: much is new, and much of it says "error"."""
    now = time.time()
    said = (
        "DEBUG [urllib3.util.retry] Converted retries value: 3 -> Retry(total=3, connect=None, read=None, redirect=None)",
        "DEBUG [shop.cache] miss for key item:{n}: KeyError handled, loading from the database",
        "DEBUG [shop.pool] connection {n} checked: no error, errno=0, ConnectTimeout=5.0 ReadTimeout=30.0",
        "DEBUG [shop.http] < 404 Not Found (expected) for /stock/{n}; error handler skipped",
        "DEBUG [shop.jobs] caught StopIteration at the end of batch {n}, 0 failures",
    )
    lines = [f"{stamp(at)},400 {said[number % 5].format(n=number)}\n" for number, at in
             enumerate(moments(now - 1800, now, steady(2)))]  # fmt: skip
    yield about(lab, put(lab, "shop.log", usual("python"), "".join(lines)), holds="DEBUG", at_least=2000)


@log_twin(fast=True)
def logs_restarted_by_a_release(lab: Lab) -> Setup:
    """An application that was stopped and started by a release ten minutes ago: new words, warnings of a start, no error."""
    now = time.time()
    before, at = usual("python", until=now - 600), now - 599
    start = (
        "INFO [shop.main] stopping on signal 15, 0 errors, 0 failed requests", "INFO [shop.main] version 2.4.0 (was 2.3.7)",
        "WARNING [shop.settings] SHOP_CACHE is not set, using the default", "INFO [shop.migrate] 0042_add_error_column: done",
        "WARNING [shop.db] database not ready yet, trying again in 1 s", "INFO [shop.db] connected after 2 attempts",
        "INFO [shop.main] listening on port 8000, error pages in /srv/errors",
    )  # fmt: skip
    started = "".join(f"{stamp(at + number)},10{number} {line}\n" for number, line in enumerate(start))
    after = past.spread(real.healthy("python").log, at + 8, now - 1, 200, only="order")
    yield about(lab, put(lab, "shop.log", before, started, after), holds="version 2.4.0")


@log_twin(fast=True)
def logs_nightly_job(lab: Lab) -> Setup:
    """A job that runs once a day ran in the last hour: nothing of what it says was said in the hours before."""
    now = time.time()
    job = [f"{stamp(now - 1800 + n)},500 INFO [shop.nightly] table {n:03d}: 0 errors, 0 rows failed, {n * 17} checked\n"
           for n in range(200)]  # fmt: skip
    job.append(f"{stamp(now - 1500)},600 WARNING [shop.nightly] table 031 was slow: 1.2 s\n")
    job.append(f"{stamp(now - 1499)},600 INFO [shop.nightly] done: errors=0 failures=0 exit status 0\n")
    yield about(lab, put(lab, "shop.log", usual("python"), "".join(job)), holds="nightly", at_least=200)


@log_twin(allowed=("svc.not-running",))
def logs_rotated(lab: Lab) -> Setup:
    """A log that was rotated ten minutes ago, whose noise is as it was: what is compared stands in three files."""
    now = time.time()
    failed = real.app("python", "refused").log

    def part(begin: float, end: float) -> str:
        count = max(1, int((end - begin) / 300))
        return past.merged(
            past.spread(failed, begin, end, count, only="failed"),
            past.spread(real.healthy("python").log, begin, end, int((end - begin) / 10), only="order"),
        )

    log = put(lab, "shop.log", part(now - 600, now - 1))
    Path(f"{log}.1").write_text(part(now - 3 * HOUR, now - 600))
    packed(Path(f"{log}.2.gz"), part(now - 6 * HOUR, now - 3 * HOUR))
    for suffix, age in ((".1", 600), (".2.gz", 3 * HOUR)):
        os.utime(f"{log}{suffix}", (now - age, now - age))
    yield about(lab, log, holds="Connection refused")


@log_twin()
def logs_new_year(lab: Lab) -> Setup:
    """A syslog without years over the turn of the last one, asked about long after; its errors are as they were."""
    midnight = time.mktime((time.localtime().tm_year, 1, 1, 0, 0, 0, 0, 0, -1))
    lines = []
    for number in range(0, 6 * 3600, 20):
        at = midnight - 5.5 * HOUR + number
        when = time.strftime("%b %e %H:%M:%S", time.localtime(at))
        lines.append(f"{when} app-1 shop[812]: order {number} handled in 3.1 ms\n")
        if number % 900 == 0:
            lines.append(f"{when} app-1 shop[812]: ERROR card of customer {number} was declined\n")
    log = put(lab, "syslog", "".join(lines))
    os.utime(log, (midnight + 1800, midnight + 1800))
    yield about(lab, log, holds="Jan  1", at_least=50)


@log_twin(fast=True)
def logs_troubles_of_yesterday(lab: Lab) -> Setup:
    """A log with every kind of trouble, yesterday; since then, work as ever."""
    now = time.time()
    texts = [usual("python", lines=1000)]
    for fault in ("zero", "refused", "full", "files"):
        failed = real.app("python", fault).log
        texts.append(past.spread(failed, now - 30 * HOUR, now - 24 * HOUR, 60, only="failed"))
    yield about(lab, put(lab, "shop.log", *texts), holds="No space left", at_least=60)


@log_twin()
def logs_of_a_healthy_container(lab: Lab) -> Setup:
    """Lines of a container as Docker keeps them, all of them from its standard error, where it writes everything."""
    log = put(lab, "4f1c-json.log", contained(usual("python"), time.time() - PAST))
    yield about(lab, log, holds="stderr", at_least=1000)


@log_twin()
def logs_of_another_zone_healthy(lab: Lab) -> Setup:
    """A healthy program that writes the time of another zone without saying so."""
    asked = about(lab, put(lab, "shop.log", usual("python")), holds="order", at_least=1000)
    yield replace(asked, before=("env", "TZ=Asia/Tokyo"))


@log_twin()
def logs_new_service(lab: Lab) -> Setup:
    """A service that was installed ten minutes ago: there is nothing to compare with, and it works."""
    now = time.time()
    started = real.healthy("python").log
    log = put(lab, "shop.log", past.spread(started, now - 600, now - 1))
    yield about(lab, log, holds="listening on port")

# ruff: noqa: E501 - lines stand as programs write them
"""Healthy twins of logs that many write into: busy sites, the rhythm of a day, scanners, a whole system."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from tests.lab.logs_file import HOUR, PAST, about, log_twin, moments, put, stamp, steady
from tests.lab.scenario import Setup
from tests.lab.workbench import Lab

# What a busy site is asked for all day by people and by robots: path, status, how often.
ASKED = (
    ("/", 200, 60), ("/api/orders/4711", 200, 120), ("/static/app.9f3c.js", 304, 40), ("/login", 302, 10),
    ("/favicon.ico", 404, 6), ("/.env", 404, 3), ("/wp-login.php", 404, 4), ("/wiki/ECONNREFUSED", 200, 2),
    ("/search?q=Out+of+memory%3A+Killed+process+1234+%28java%29", 200, 2), ("/admin", 403, 2), ("/api/orders", 401, 4),
    ("/api/report", 499, 0.4), ("/api/orders/8", 502, 0.2), ("/docs/panic:-runtime-error.html", 200, 1),
)  # fmt: skip
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "curl/7.88.1", "bot/2.0 (+https://crawler.test/errors)", "-",
          "() { :;}; echo FATAL ERROR panic: segfault", "python-requests/2.31 ConnectTimeout")  # fmt: skip


def _access(at: float, chance: random.Random, slow: float = 1.0) -> str:
    path, status, _ = chance.choices(ASKED, [often for _, _, often in ASKED])[0]
    seconds = chance.lognormvariate(-4, 0.8) * slow
    when = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at))
    client = f"198.51.100.{chance.randrange(1, 250)}"
    said = f'"GET {path} HTTP/1.1" {status} {chance.randrange(100, 40000)} "-" "{chance.choice(AGENTS)}"'
    return f"{client} - - [{when}] {said} {seconds:.3f} {seconds:.3f}\n"


def _noise(at: float, chance: random.Random) -> str:
    """What nginx says of clients and robots, as errors."""
    client, number = f"client: 198.51.100.{chance.randrange(1, 250)}, server: shop.test", chance.randrange(1, 10**6)
    told = chance.choice((
        'open() "/srv/www/wp-login.php" failed (2: No such file or directory), {c}, request: "GET /wp-login.php HTTP/1.1"',
        'open() "/srv/www/favicon.ico" failed (2: No such file or directory), {c}, request: "GET /favicon.ico HTTP/1.1"',
        "SSL_do_handshake() failed (SSL: error:0A00006C:SSL routines::bad key share) while SSL handshaking, {c}",
        'access forbidden by rule, {c}, request: "GET /.git/config HTTP/1.1", host: "shop.test"',
        'client intended to send too large body: 10485761 bytes, {c}, request: "POST /api/upload HTTP/1.1"',
        'connect() failed (111: Connection refused) while connecting to upstream, {c}, upstream: "http://10.0.0.9:80/"',
    ))  # fmt: skip
    when = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(at))
    return f"{when} [error] 812#812: *{number} {told.format(c=client)}\n"


NOTED = (
    "api.route-missing",
    "api.upstream-refused",
    "api.size-limit",
    "api.static-permission",
    "timeout.budget-inverted",
)


@log_twin(fast=True, allowed=NOTED)
def logs_busy_site(lab: Lab) -> Setup:
    """nginx before a busy site: robots, scanners, impatient clients, one refused request in a while, all as ever."""
    now, chance = time.time(), random.Random(3)
    access = "".join(_access(at, chance) for at in moments(now - PAST, now, steady(2)))
    error = "".join(_noise(at, chance) for at in moments(now - PAST, now, steady(1 / 60)))
    logs = put(lab, "access.log", access), put(lab, "error.log", error)
    yield about(lab, *logs, holds="111: Connection refused", at_least=20)


def _rhythm(dawn: float) -> Callable[[float], float]:
    """Requests a second over a day, from a half at dawn to six at noon."""
    return lambda at: 0.5 * math.exp(2.5 * math.sin(min(max((at - dawn) / HOUR / 9, 0), 1) * math.pi / 2))


@log_twin(allowed=NOTED)
def logs_rhythm_of_a_day(lab: Lab) -> Setup:
    """An access log from night to noon: twelve times the traffic of dawn, with the same parts of everything."""
    now, chance = time.time(), random.Random(5)
    log = put(
        lab, "access.log", "".join(_access(at, chance) for at in moments(now - 9 * HOUR, now, _rhythm(now - 9 * HOUR)))
    )
    yield about(lab, log, holds='" 502 ', at_least=20)


@log_twin()
def logs_rhythm_of_an_application(lab: Lab) -> Setup:
    """An application's log from night to noon, whose errors grow with its work."""
    now, chance = time.time(), random.Random(6)
    lines = []
    for at in moments(now - 9 * HOUR, now, _rhythm(now - 9 * HOUR)):
        if chance.random() < 0.02:
            lines.append(
                f"{stamp(at)},100 ERROR [shop.orders] card of customer {chance.randrange(10**5)} was declined\n"
            )
        lines.append(f"{stamp(at)},200 INFO [shop.orders] order {chance.randrange(10**6)} handled in 3.2 ms\n")
    yield about(lab, put(lab, "shop.log", "".join(lines)), holds="was declined", at_least=100)


@log_twin()
def logs_system_log(lab: Lab) -> Setup:
    """A system's log over a boot and an hour of work: words such as error and failed in lines that say that all is well."""
    now = time.time()
    boot = (
        "kernel: EXT4-fs (vda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro. Quota mode: none.",
        "kernel: random: crng init done", "kernel: pcieport 0000:00:01.0: AER: enabled with IRQ 24",
        "kernel: RAS: Correctable Errors collector initialized.", "kernel: audit: type=2000 audit(1.1:1): state=initialized",
        "systemd[1]: Started rsyslog.service - System Logging Service.", "systemd[1]: Reached target multi-user.target.",
        "systemd[1]: Starting systemd-failed-boot-check.service...", "sshd[612]: Server listening on 0.0.0.0 port 22.",
        "systemd[1]: Condition check resulted in error reporting being skipped.",
        "systemd[1]: apport-autoreport.path - Process error reports when automatic reporting is enabled was skipped",
    )  # fmt: skip
    hourly = (
        "CRON[{n}]: (root) CMD (run-parts --report /etc/cron.hourly)", "systemd[1]: logrotate.service: Deactivated successfully.",
        "sshd[{n}]: Accepted publickey for deploy from 10.0.0.5 port 5{n} ssh2", "systemd[1]: Started session-{n}.scope.",
        "sshd[{n}]: Connection closed by authenticating user root 203.0.113.9 port 4{n} [preauth]",
        "postfix/smtpd[{n}]: lost connection after CONNECT from unknown[203.0.113.7]", "dhclient[{n}]: bound to 10.0.0.7",
    )  # fmt: skip
    lines = [f"{stamp(now - 3000 + n / 10, '%b %e %H:%M:%S')} app-1 {line}\n" for n, line in enumerate(boot)]
    chance = random.Random(9)
    for number, at in enumerate(moments(now - PAST, now, steady(1 / 30))):
        said = chance.choice(hourly).format(n=1000 + number)
        lines.append(f"{stamp(at, '%b %e %H:%M:%S')} app-1 {said}\n")
    lines.sort(key=lambda line: time.strptime(f"2000 {line[:15]}", "%Y %b %d %H:%M:%S"))
    yield about(lab, put(lab, "syslog", "".join(lines)), holds="EXT4-fs")


@log_twin(allowed=("logs.error-burst",))
def logs_traffic_grew(lab: Lab) -> Setup:
    """Six times the requests for twenty minutes, as after an advertisement, and errors in the same part of them."""
    now, chance = time.time(), random.Random(11)
    lines = []
    for at in moments(now - PAST, now, lambda at: 3.0 if at > now - 1200 else 0.5):
        if chance.random() < 0.02:
            lines.append(
                f"{stamp(at)},100 ERROR [shop.orders] card of customer {chance.randrange(10**5)} was declined\n"
            )
        lines.append(f"{stamp(at)},200 INFO [shop.orders] order {chance.randrange(10**6)} handled in 3.2 ms\n")
    yield about(lab, put(lab, "shop.log", "".join(lines)), holds="was declined", at_least=100)


@log_twin(allowed=NOTED)
def logs_scanned(lab: Lab) -> Setup:
    """A scanner asked a site for a thousand files that never were, twenty minutes ago: the site is as well as before."""
    now, chance = time.time(), random.Random(12)
    access = "".join(_access(at, chance) for at in moments(now - PAST, now, steady(1)))
    asked = []
    for at in moments(now - 1500, now - 1200, steady(4)):
        when = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at))
        path = f"/{chance.choice(('old', 'backup', 'admin', 'cgi-bin', 'v1'))}/{chance.randrange(10**6)}.php"
        asked.append(f'203.0.113.9 - - [{when}] "GET {path} HTTP/1.1" 404 153 "-" "scan/1.0" 0.001 -\n')
    log = put(lab, "access.log", access, "".join(asked))
    yield about(lab, log, holds="scan/1.0", at_least=800)


@log_twin()
def logs_passwords_tried(lab: Lab) -> Setup:
    """An SSH server on the internet: somebody tries passwords all day, as everywhere."""
    now, chance = time.time(), random.Random(13)
    lines = []
    for number, at in enumerate(moments(now - PAST, now, steady(1 / 20))):
        begin = f"{stamp(at, '%b %e %H:%M:%S')} app-1 sshd[{1000 + number}]:"
        client = f"203.0.113.{chance.randrange(1, 250)} port {chance.randrange(1024, 65000)}"
        lines.append(f"{begin} Failed password for invalid user admin from {client} ssh2\n")
        lines.append(f"{begin} error: maximum authentication attempts exceeded for root from {client} ssh2 [preauth]\n")
        lines.append(
            f"{begin} Disconnecting authenticating user root {client}: Too many authentication failures [preauth]\n"
        )
    yield about(lab, put(lab, "auth.log", "".join(lines)), holds="Failed password", at_least=500)

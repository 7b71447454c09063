"""What logs say: known lines, what is new in them, what became frequent; and what healthy logs say that looks like it."""

from __future__ import annotations

from typing import Any

from rbdiag.frozen import replace
from rbdiag.model import Facts
from tests.diagnose import log_world as w
from tests.diagnose import world as host
from tests.diagnose.log_world import (
    ACCESS,
    APP,
    DB,
    HOUR,
    JOURNAL,
    NGINX,
    NOW,
    SYSLOG,
    known,
    marks,
    more,
    template,
    trace,
    traffic,
    world,
)
from tests.diagnose.row import Row

UPSTREAM = "http://127.0.0.1:9001/api"
_CALLED = f'client: 10.0.0.9, server: _, request: "GET /api/orders/7 HTTP/1.1", upstream: "{UPSTREAM}", host: "127.0.0.1:8000"'
REFUSED_LINE = f"2026/11/24 18:00:01 [error] 20#20: *1 connect() failed (111: Connection refused) while connecting to upstream, {_CALLED}"


def refused(**changes: Any) -> Any:
    usual = {
        "subject": NGINX,
        "name": UPSTREAM,
        "title": "nginx: its upstream refuses connections",
        "count": 412,
        "text": REFUSED_LINE,
    }
    return known("proxy-upstream-refused", codes="api.upstream-refused", **(usual | changes))


def nginx(pattern: str, text: str, codes: str | tuple[str, ...], **changes: Any) -> Any:
    return known(pattern, f"2026/11/24 18:00:01 [error] 20#20: *1 {text}", codes, **({"subject": NGINX} | changes))


def tagged(program: str, text: str) -> str:
    """A line of the system's log."""
    return f"Nov 24 18:00:01 web1 {program}: {text}"


def kernel(pattern: str, text: str, codes: str | tuple[str, ...], **changes: Any) -> Any:
    return known(pattern, tagged("kernel", text), codes, **({"subject": SYSLOG, "count": 1} | changes))


def systemd(pattern: str, unit: str, text: str, codes: str | tuple[str, ...], **changes: Any) -> Any:
    return known(
        pattern,
        tagged("systemd[1]", f"{unit}: {text}"),
        codes,
        **({"subject": SYSLOG, "name": unit, "count": 1} | changes),
    )


BOOT = known("app-boot-failed", "[2026-11-24 18:00:01 +0000] [21] [ERROR] Reason: Worker failed to boot.", "api.boot-failure",
             title="gunicorn: the application does not start", count=3)  # fmt: skip
NO_MODULE = known("app-module-missing", "ModuleNotFoundError: No module named 'stripe'", ("change.dependency-version", "api.boot-failure"),
                  title="a module cannot be imported", count=3)  # fmt: skip
SLOW_WORKER = known("worker-timeout", "[CRITICAL] WORKER TIMEOUT (pid:21383)", ("timeout.worker-starvation", "timeout.dependency-slow"),
                    title="gunicorn: a worker takes too long")  # fmt: skip
NO_OPTION = known("db-option-unknown", "[ERROR] mariadbd: unknown variable 'innodb-flus-log=2'", "db.config-invalid", subject=DB,
                  name="innodb-flus-log", title="the database knows no such option", count=1)  # fmt: skip
SIGNAL = known("db-crashed", "261124  8:40:12 [ERROR] mariadbd got signal 6 ;", "db.crashed", subject=DB, count=1)
DENIED = known("db-access-denied", "3 [Warning] Access denied for user 'app'@'localhost' (using password: YES)", ("db.access-denied",
               "db.tls-required"), subject=DB, role="ordinary", name="app@localhost")  # fmt: skip
EXPIRED = known(
    "certificate-expired", "x509: certificate has expired or is not yet valid", "tls.expired", name="pay.test:443"
)
OOM = kernel(
    "oom-kill",
    "Out of memory: Killed process 1234 (shop) total-vm:9871236kB, anon-rss:7654321kB",
    "host.oom-kill",
    name="shop[1234]",
)
NO_DISK = known("disk-full", "OSError: [Errno 28] No space left on device: '/srv/shop/out'", ("host.disk-full", "host.inode-full"),
                name="/srv/shop/out")  # fmt: skip


def started(fact: Any, ago: float = 10.0, text: str = "[Note] mariadbd: ready for connections.") -> list[Any]:
    """The same, and a good start of the same writer after it."""
    return [replace(fact, started_at=NOW - ago), marks("start", text, ago, fact.subject)]


_OTHER_EXCEPTION = trace(
    "KeyError", message="'sku'", frame="/srv/shop/stock.py:7 in find", head="ERROR in stock", count=4
)

# A line for each code that lines of logs speak for; the first of several is what is told.
LINES: tuple[tuple[str, Any], ...] = (
    ("api.app-exception", known("app-panic", "panic: runtime error: invalid memory address or nil pointer dereference", "api.app-exception")),
    ("api.bad-content", known("settings:html", "got HTML where JSON was due", "api.bad-content", severity="warning")),
    ("api.boot-failure", BOOT),
    ("api.keepalive-race", known("settings:race", "upstream prematurely closed connection, POST", "api.keepalive-race", severity="warning")),
    ("api.no-live-upstreams", nginx("proxy-no-live-upstreams", 'no live upstreams while connecting to upstream, upstream: "http://be/api"', "api.no-live-upstreams")),
    ("api.proxy-misconfigured", nginx("proxy-config-invalid", 'unknown directive "proxy_foo" in /etc/nginx/nginx.conf:5', "api.proxy-misconfigured")),
    ("api.rate-limited", nginx("proxy-limited", 'limiting requests, excess: 0.9 by zone "a"', "api.rate-limited", role="ordinary", name="a", count=900)),
    ("api.route-missing", nginx("proxy-file-missing", 'open() "/srv/www/app.js" failed (2: No such file)', "api.route-missing", role="ordinary", name="/srv/www/app.js", count=300)),
    ("api.size-limit", nginx("proxy-header-too-big", f"upstream sent too big header while reading response header, {_CALLED}", "api.size-limit", name=UPSTREAM)),
    ("api.static-permission", nginx("proxy-file-forbidden", 'open() "/srv/www/p.html" failed (13: Permission denied)', "api.static-permission", name="/srv/www/p.html")),
    ("api.upstream-refused", refused()),
    ("api.upstream-reset", nginx("proxy-upstream-reset", f"recv() failed (104: Connection reset by peer), {_CALLED}", "api.upstream-reset", name=UPSTREAM)),
    ("api.upstream-timeout", nginx("proxy-upstream-timeout", f"upstream timed out (110: Connection timed out) while reading response header, {_CALLED}", "api.upstream-timeout", name=UPSTREAM)),
    ("api.wrong-upstream", nginx("proxy-socket-failed", "connect() to unix:/run/app.sock failed (2: No such file or directory)", ("api.wrong-upstream", "api.upstream-refused"), name="/run/app.sock")),
    ("change.bad-deploy", known("app-syntax-error", "SyntaxError: invalid syntax", "change.bad-deploy")),
    ("change.dependency-version", NO_MODULE),
    ("change.env-missing", known("app-variable-missing", "KeyError: 'DATABASE_URL'", "change.env-missing", name="DATABASE_URL")),
    ("db.access-denied", DENIED),
    ("db.config-invalid", NO_OPTION),
    ("db.crashed", SIGNAL),
    ("dns.nxdomain", known("name-unknown", "Error: getaddrinfo ENOTFOUND api.svc.test", "dns.nxdomain", name="api.svc.test")),
    ("host.disk-full", NO_DISK),
    ("host.oom-kill", OOM),
    ("host.pids-limit", known("no-more-threads", "RuntimeError: can't start new thread", "host.pids-limit")),
    ("net.no-route", nginx("proxy-upstream-unreachable", "connect() to 10.99.0.1:9001 failed (101: Network is unreachable)", "net.no-route", name="10.99.0.1:9001")),
    ("svc.dependency-not-ready", systemd("unit-dependency-failed", "shop.service", "Dependency failed for Shop.", "svc.dependency-not-ready")),
    ("svc.port-in-use", known("address-taken", "Error: listen EADDRINUSE: address already in use 127.0.0.1:9010", "svc.port-in-use", name="127.0.0.1:9010")),
    ("svc.watchdog-killed", systemd("unit-timed-out", "mariadb.service", "start operation timed out. Terminating.", "svc.watchdog-killed")),
    ("timeout.accept-queue-full", kernel("syn-flooding", "TCP: Possible SYN flooding on port 10.0.0.3:8080. Sending cookies.", "timeout.accept-queue-full", count=9)),
    ("timeout.budget-inverted", nginx("proxy-client-gave-up", "client prematurely closed connection, so upstream connection is closed too", "timeout.budget-inverted", role="ordinary", name=UPSTREAM, count=300)),
    ("timeout.dependency-slow", known("peer-slow", "requests.exceptions.ReadTimeout: Read timed out.", "timeout.dependency-slow", role="ordinary")),
    ("timeout.worker-starvation", SLOW_WORKER),
    ("tls.expired", EXPIRED),
)  # fmt: skip

ROWS = (
    *(Row(f"a log says so: {code}", world(fact), code) for code, fact in LINES),
    # healthy logs
    Row("an ordinary day of logs", w.healthy().but(), None),
    Row("robots, one deadlock, clients that leave", world(*w.USUAL), None, notes=("db.deadlock", "api.route-missing")),
    Row("an empty log", world(w.window(bytes=0, first_at=None, last_at=None)), None, never=("logs.unreadable",)),
    Row("an old log that ended well", world(w.window(moved=True, since=NOW - 9e6, until=NOW - 9e6 + HOUR, last_at=NOW - 9e6 + HOUR),
        trace(count=3, before=12, ago=9e6)), None),
    Row("only what is new, and nothing is", world(w.window(how="new", bytes=0, first_at=None, last_at=None, baseline_since=None)), None),
    Row("a server is stopped and started", world(marks("stop", "Normal shutdown", 100, DB), marks("start", "ready for connections.", 90, DB)), None),
    Row("start-up chatter: the database was not there yet", world(
        *started(known("peer-refused", "ConnectionRefusedError: [Errno 111] Connection refused", "svc.not-running", ago=60, count=5)),
        template("cannot reach the cache, trying again", ago=5)), None, notes=("svc.not-running", "logs.new-errors")),
    Row("a scanner asks for two hundred files", world(*[nginx("proxy-file-missing", f'open() "/srv/www/{i}.php" failed (2: No such file)',
        "api.route-missing", role="ordinary", name=f"/srv/www/{i}.php", count=1) for i in range(20)],
        nginx("proxy-file-missing", 'open() "/srv/www/z.php" failed (2: No such file)', "api.route-missing", role="ordinary", count=180)), None),
    Row("a flood that passes in two minutes", world(nginx("proxy-limited", 'limiting requests by zone "a"', "api.rate-limited", name="a",
        role="ordinary", count=900, since=150, ago=60)), None, notes=("api.rate-limited",)),
    Row("a flood that lasts six minutes", world(nginx("proxy-limited", 'limiting requests by zone "a"', "api.rate-limited", name="a",
        role="ordinary", count=900, since=420, ago=60)), "api.rate-limited"),
    Row("logins fail as often as before", world(known("db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied",
        role="ordinary", count=12, before=50)), None),
    Row("logins fail twice as often as before", world(known("db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied",
        role="ordinary", count=24, before=48)), None),
    Row("logins fail four times as often as before", world(known("db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied",
        role="ordinary", count=48, before=48)), "db.access-denied"),
    Row("four logins that failed, where none did before", world(known("db-access-denied", "Access denied for user 'bot'@'web'",
        "db.access-denied", role="ordinary", count=4)), None, notes=("db.access-denied",)),
    Row("five logins that failed, where none did before", world(known("db-access-denied", "Access denied for user 'bot'@'web'",
        "db.access-denied", role="ordinary", count=5)), "db.access-denied"),
    Row("nineteen logins fail within half a minute", world(known("db-access-denied", "Access denied for user 'bot'@'web'",
        "db.access-denied", role="ordinary", count=19, since=50)), None, notes=("db.access-denied",)),
    Row("twenty logins fail within half a minute", world(known("db-access-denied", "Access denied for user 'bot'@'web'",
        "db.access-denied", role="ordinary", count=20, since=50)), "db.access-denied"),
    Row("logins fail, and there is nothing to compare with", world(w.fresh(DB, first_at=NOW - 900), DENIED), None,
        notes=("db.access-denied",)),
    Row("four logins fail in the last ten of fifty minutes, which are all there is", world(w.fresh(APP, first_at=NOW - 3000), known(
        "db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied", role="ordinary", count=4, since=600)), None,
        notes=("db.access-denied",)),
    Row("five logins fail in the last ten of fifty minutes, which are all there is", world(w.fresh(APP, first_at=NOW - 3000), known(
        "db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied", role="ordinary", count=5, since=600)), "db.access-denied"),
    Row("half of the baseline was read: logins fail as before", world(known("db-access-denied", "Access denied for user 'bot'@'web'",
        "db.access-denied", role="ordinary", count=40, before=20, covered=HOUR, covered_before=HOUR)), None),
    Row("without times, of what is new: logins fail as often as in what was read before", world(w.timeless(how="new", baseline_bytes=4 * w.MIB),
        known("db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied", role="ordinary", count=12, before=50)), None),
    Row("without times, of what is new: logins fail four times as often", world(w.timeless(how="new", baseline_bytes=4 * w.MIB),
        known("db-access-denied", "Access denied for user 'bot'@'web'", "db.access-denied", role="ordinary", count=48, before=48)),
        "db.access-denied", never=("logs.unreadable",)),
    Row("an exception that is known noise", world(trace(count=50, before=190)), None, never=("logs.exception",)),
    Row("an error that is known noise", world(more("cannot render invoice *", 50, 190, word="fewer")), None),
    Row("the level was raised: many new lines, none of them an error", world(*[template(f"{n} rows of * read", level="debug", count=4000)
        for n in range(9)]), None),
    Row("traffic grew, and errors alike", world(w.window(bytes=6 * w.MIB), more("cannot render invoice *", 60, 40)), None,
        notes=("logs.error-burst",)),
    Row("requests grew, and failures alike", world(traffic(failed=200, requests=360_000, failed_before=80)), None, never=("logs.error-burst",)),
    Row("a few of many requests fail", world(traffic(failed=300)), None, never=("logs.error-burst",)),
    Row("an error without anything to compare with", world(w.fresh(), template("cannot render invoice 7", rate_before=None)), "logs.new-errors",
        says="with nothing before to compare with"),
    Row("an error that a log without a baseline has from its beginning on, here and there", world(w.fresh(first_at=NOW - 3500),
        template("cannot render invoice 7", first_at=NOW - 3400, rate_before=None)), None, notes=("logs.new-errors",)),
    Row("an error that a log without a baseline is full of from its beginning on", world(w.fresh(first_at=NOW - 3500),
        template("cannot render invoice 7", first_at=NOW - 3400, count=4000, rate_before=None)), "logs.new-errors"),
    Row("an error that began with a known failure", world(refused(), w.window(NGINX), template("still no backend", subject=NGINX, first_at=NOW - 896)),
        "api.upstream-refused", notes=("logs.new-errors",)),
    Row("an error that began long after a known failure", world(refused(), w.window(NGINX), template("no such map", subject=NGINX, first_at=NOW - 300)),
        "api.upstream-refused"),
    Row("known noise, less than a line a minute", world(w.window(NGINX), refused(count=12, before=48)), None, notes=("api.upstream-refused",)),
    Row("an ordinary line, of which a log without a baseline is full", world(w.fresh(NGINX), refused(role="ordinary", count=25)), "api.upstream-refused"),
    Row("an ordinary line, now and then in a log without a baseline", world(w.fresh(NGINX), refused(role="ordinary", count=15)), None,
        notes=("api.upstream-refused",)),
    Row("a new error between the requests of an application", world(traffic(), template("merchant account suspended", subject=ACCESS)),
        "logs.new-errors"),
    Row("a new error, twice", world(template("cannot render invoice *", count=2)), None, notes=("logs.new-errors",)),
    Row("a new exception, twice", world(trace(count=2)), None, notes=("logs.exception",)),
    Row("a single error and nothing to compare with", world(w.fresh(), template("cannot render invoice *", count=1)), None,
        notes=("logs.new-errors",)),
    Row("what was new is over", world(template("cannot render invoice *", ago=2000), trace(ago=2000)), None,
        notes=("logs.new-errors", "logs.exception")),
    Row("lines that only support others", world(known("db-client-without-login", "user: 'unauthenticated' host: 'lb'", "db.host-blocked",
        role="evidence", subject=DB)), None, never=("db.host-blocked",)),
    Row("a disk is full, as a start that failed said before the good one", world(*started(NO_DISK)), None, notes=("host.disk-full",)),
    Row("a pattern of one's own without a severity", world(known("settings:deploy", "deploy finished", ())), None, notes=("logs.watched",)),
    Row("a pattern of one's own that is ordinary, and as often as before", world(known("settings:retry", "retrying", (), role="ordinary",
        severity="critical", count=10, before=40)), None, notes=("logs.watched",)),
    Row("a log without times", world(w.timeless()), None, notes=("logs.unreadable",)),
    Row("a clock half a minute ahead", world(w.window(ahead=30.0)), None, never=("logs.unreadable",)),
    Row("a clock two hours ahead", world(w.window(ahead=7200.0)), None, notes=("logs.unreadable",)),
    Row("times that step back by an hour", world(w.window(back=3600.0)), None, notes=("logs.unreadable",)),
    # how bad it is
    Row("it was refused for ten minutes, and is over for forty", world(refused(ago=2400, since=3000)), "api.upstream-refused"),
    Row("two requests were refused, long ago", world(refused(ago=2400, since=3000, count=2)), None, notes=("api.upstream-refused",)),
    Row("the backend has been refusing since yesterday", world(refused(before=1600)), "api.upstream-refused"),
    Row("a server died, and is back", world(*started(SIGNAL)), "db.crashed"),
    Row("a server refused its settings, which were mended", world(*started(NO_OPTION)), None, notes=("db.config-invalid",)),
    Row("another service of the same log started well", world(systemd("unit-exec-failed", "shop.service",
        "Failed at step EXEC spawning /srv/shop/run", "svc.exec-failed"), marks("start", tagged("systemd[1]", "Started cron.service"), 10,
        SYSLOG), template(tagged("shop[7]", "cannot find the catalogue"), subject=SYSLOG)), "svc.exec-failed"),
    Row("the last words of a program without times", world(w.timeless(), trace(before=None, count=1, first_at=None, happened_at=None)),
        "logs.exception", notes=("logs.unreadable",)),
    # several lines, one story
    Row("a worker cannot boot for want of a module", world(BOOT, NO_MODULE), "api.boot-failure", never=("change.dependency-version",)),
    Row("a worker that took too long was killed by its manager", world(SLOW_WORKER, known("worker-died", "DAMN ! worker 1 died, killed by "
        "signal 9", ("host.oom-kill", "timeout.worker-starvation"))), "timeout.worker-starvation", never=("host.oom-kill",)),
    Row("temporary files find no room", world(known("db-tmpdir-full", "Disk got full writing '.(temporary)'", "db.tmpdir-full", subject=DB),
        known("db-disk-full", "Error writing file '/tmp/MY7' (Errcode: 28)", ("db.disk-full", "host.inode-full", "db.tmpdir-full"), subject=DB,
        name="/tmp/MY7")), "db.tmpdir-full", never=("db.disk-full",)),
    Row("data and temporary files find no room", world(known("db-tmpdir-full", "Disk got full writing '.(temporary)'", "db.tmpdir-full",
        subject=DB), known("db-disk-full", "Error writing file './shop/t.ibd' (Errcode: 28)", ("db.disk-full", "host.inode-full",
        "db.tmpdir-full"), subject=DB, name="./shop/t.ibd")), "db.disk-full"),
    Row("the backend refuses, and its requests fail", world(refused(), traffic(failed=9000)), "api.upstream-refused",
        never=("logs.error-burst",)),
    Row("other requests fail than those that are refused", world(refused(name="http://127.0.0.1:7000", text=REFUSED_LINE.replace("/api/orders/7",
        "/cart")), traffic(failed=9000)), "api.upstream-refused", says="nginx: its upstream refuses connections: http://127.0.0.1:7000"),
    Row("requests fail, and their clients leave now and then as ever", world(nginx("proxy-client-gave-up", f"client prematurely closed "
        f"connection, {_CALLED}", "timeout.budget-inverted", role="ordinary", count=6, before=30), traffic(failed=9000)), "logs.error-burst",
        notes=("timeout.budget-inverted",)),
    Row("a template that the catalogue knows is told once", world(refused(), template("connect() failed (*: Connection refused)",
        subject=NGINX, code="api.upstream-refused")), "api.upstream-refused", never=("logs.new-errors",)),
    Row("a trace that the catalogue knows is told once", world(NO_DISK, trace("OSError", message="[Errno 28]", code="host.disk-full")),
        "host.disk-full", never=("logs.exception",)),
    Row("the first line of a trace is told once", world(trace(), template("ERROR while handling *")), "logs.exception",
        never=("logs.new-errors",)),
    Row("the line of a trace that names the exception is told once", world(trace(head="ERROR *"), template("ValueError: no such coupon")),
        "logs.exception", never=("logs.new-errors",)),
    Row("the line that has an exception with its message is told once", world(trace(head="ERROR *"), template("E 7 ValueError (no such coupon)")),
        "logs.exception", never=("logs.new-errors",)),
    Row("requests that end in an exception are told with it", world(known("app-exception", "Error handling request GET /cart",
        "api.app-exception", role="ordinary", title="requests end in exceptions", count=12), trace(head="Error handling request * *")),
        "api.app-exception", never=("logs.exception",), says="ValueError: no such coupon at /srv/shop/cart.py:48"),
    Row("lines that prove nothing by themselves are not new errors either", world(known("db-another-server", "Do you already have another "
        "server running on port: 3306 ?", "db.port-in-use", subject=DB, role="evidence"), template("Do you already have another server "
        "running on port: * ?", subject=DB)), None, never=("logs.new-errors", "db.port-in-use")),
    Row("an exception that says what it lacks is told as that", world(known("app-exception", "Error handling request GET /cart",
        "api.app-exception", role="ordinary", count=12), known("name-unknown", "socket.gaierror: Name or service not known", "dns.nxdomain"),
        trace("gaierror", head="Error handling request * *", code="dns.nxdomain")), "dns.nxdomain",
        never=("api.app-exception", "logs.exception")),
    Row("it started well, and then said its last", world(w.window(last_at=NOW - 11), marks("start", "ready", 40, APP), template("ledger broken", count=1, ago=11)),
        "logs.new-errors"),
    Row("a single new error, and the log goes on", world(w.window(last_at=NOW - 9), template("ledger broken", count=1, ago=9)), None,
        notes=("logs.new-errors",)),
    Row("each time somebody else refuses, as always", world(*(refused(name=f"http://10.0.0.{n}/", count=1, of_all=(40, 160)) for n in range(9))), None,
        notes=("api.upstream-refused",)),
    Row("each time somebody else refuses, and now it is one of them", world(refused(name="http://10.0.0.9/", of_all=(452, 160)),
        *(refused(name=f"http://10.0.0.{n}/", count=1, of_all=(452, 160)) for n in range(8))), "api.upstream-refused"),
    Row("an exception told for information", world(trace(level="info")), None, notes=("logs.exception",)),
    Row("a known failure told for information, with its trace", world(NO_MODULE, trace("ModuleNotFoundError", message="No module named 'stripe'",
        code="change.dependency-version", level="info", count=3)), None, notes=("change.dependency-version",)),
    # what no other code names
    Row("a new exception", world(trace(), _OTHER_EXCEPTION), "logs.exception", APP, says="shop: new: ValueError"),
    Row("a new error", world(template("18:00:01 cannot render invoice 7")), "logs.new-errors", says="cannot render invoice 7 (40 lines, none in the 4 h"),
    Row("a fatal word, once, and there was one day to compare with", world(template("cannot open the ledger", level="fatal", count=1, ago=1000)),
        "logs.new-errors"),
    Row("last words, and nothing to compare with", world(w.fresh(last_at=NOW - 30), template("cannot open the ledger", level="fatal",
        count=1)), "logs.new-errors"),
    Row("an error ten times as often", world(more("cannot render invoice *", 100, 40)), "logs.error-burst", says="10 times as often"),
    Row("an exception ten times as often", world(trace(count=100, before=40)), "logs.error-burst", never=("logs.exception",)),
    Row("an exception twice as often", world(trace(count=100, before=200)), None, never=("logs.standing-errors",)),
    Row("an exception that goes on as before, and fills the log", world(trace(count=400, before=1600)), None,
        notes=("logs.standing-errors",)),
    Row("an error that goes on as before, here and there", world(template("cannot render invoice 7", word="same", before=160)), None,
        never=("logs.standing-errors",)),
    Row("an error that goes on as before, and fills the log", world(template("cannot render invoice 7", word="same", count=6000, before=24_000)), None,
        notes=("logs.standing-errors",)),
    Row("an error that filled the log, and is over", world(template("cannot render invoice 7", word="same", count=6000, before=24_000, ago=2400)),
        None, never=("logs.standing-errors",)),
    Row("a warning that something broke, ten times", world(template("provider timeout, order 7 set to FAILED", level="warning", broken=True, count=10)),
        "logs.new-errors", says="a new warning"),
    Row("a warning that something broke, now and then", world(template("provider timeout", level="warning", broken=True, count=9)), None,
        never=("logs.new-errors",)),
    Row("a warning that says nothing of the kind, often", world(template("cart is large", level="warning", count=400)), None,
        never=("logs.new-errors",)),
    Row("one old line that the catalogue knows, and a failure that goes on", world(w.window(NGINX),
        known("too-many-files", "open /tmp/x: too many open files", "host.fd-limit", ago=2400, since=2400, count=1),
        template("provider rejects all requests", count=400)), "logs.new-errors"),
    Row("a third of the requests fail", world(traffic(failed=12_000)), "logs.error-burst", ACCESS, says="/api/orders/*"),
    Row("requests fail, and did not an hour ago", world(traffic(failed=720)), "logs.error-burst"),
    Row("failures of requests that are over", world(traffic(failed=720, last_failed_at=NOW - 2000)), None, notes=("logs.error-burst",)),
    Row("failures that are what they always were", world(traffic(failed=3600, failed_before=14_400)), None, notes=("logs.error-burst",)),
    Row("all requests have been failing since yesterday", world(traffic(failed=35_000, failed_before=140_000)), "logs.error-burst"),
    Row("nine of forty requests fail and there are none to compare with", world(w.fresh(ACCESS), traffic(9, 40, 0, 0)), None,
        notes=("logs.error-burst",)),
    Row("ten of forty requests fail and there are none to compare with", world(w.fresh(ACCESS), traffic(10, 40, 0, 0)), "logs.error-burst"),
    Row("answers are three times as slow", world(traffic(p95=1.2, p95_before=0.4)), None, notes=("logs.error-burst",)),
    Row("answers are three times as slow, which nobody notices", world(traffic(p95=0.25, p95_before=0.08)), None, never=("logs.error-burst",)),
    Row("answers have been three times as slow for twenty minutes", world(traffic(p95=0.34, p95_before=0.114, p95_sixths=(0.39, 0.37, 0.12, 0.11, 0.11, 0.12),
        p95_slices=(0.114, 0.11))), "logs.error-burst", says="95 % within 370 ms, 114 ms before"),
    Row("answers were slow for ten minutes, and are not now", world(traffic(p95=0.34, p95_before=0.114, p95_sixths=(0.11, 0.39, 0.12, 0.11, 0.11, 0.12),
        p95_slices=(0.114, 0.11))), None, notes=("logs.error-burst",)),
    Row("answers are as slow as in one of the hours before", world(traffic(p95=1.2, p95_before=0.4, p95_sixths=(1.2,) * 6, p95_slices=(0.2, 0.2, 1.1, 0.2))),
        None, never=("logs.error-burst",)),
    Row("answers to one path are slow", world(traffic(slower=(("/search", 3.2, 0.1, 1.4, 0.05, 90),))), "logs.error-burst", says="/search"),
    Row("a few answers to one path are slow", world(traffic(slower=(("/search", 3.2, 0.1, 0.06, 0.05, 90),))), None, never=("logs.error-burst",)),
    Row("all requests of the last three minutes fail", world(w.lately(114, 114, 180)), "logs.error-burst", ACCESS,
        says="100 % of the 114 requests of the last 3 min"),
    Row("a tenth of the requests of the last ten minutes fail", world(w.lately(40, 400, 600, newest=(2, 20))), "logs.error-burst", says="10 % of the 400"),
    Row("a handful of the last requests fail", world(w.lately(8, 20, 30)), None, never=("logs.error-burst",)),
    Row("the outage of three hours fills half of what it is compared with", world(traffic(2400, 2400, 4700, 9600,
        slices=((HOUR, 2400, 0, 2400), (HOUR, 2400, 0, 2300), (HOUR, 2400, 0, 0), (HOUR, 2400, 0, 0)))), "logs.error-burst"),
    Row("one of twenty requests fails, many do, and there are none to compare with", world(w.fresh(ACCESS), traffic(20, 400, 0, 0)), "logs.error-burst"),
    Row("half of ten requests fail and there are none to compare with", world(w.fresh(ACCESS), traffic(10, 20, 0, 0)), "logs.error-burst"),
    Row("one path of many fails and did not before", world(traffic(20, 36_000, 0, 144_000, turned=(("/pay", 19, 20, 0, 2800),))), "logs.error-burst",
        says="95 % of 20 requests of /pay"),
    Row("one path fails as it always did", world(traffic(20, 36_000, 80, 144_000, turned=(("/pay", 19, 40, 300, 800),))), None, never=("logs.error-burst",)),
    Row("a path that nobody asked for before fails", world(traffic(20, 36_000, 0, 144_000, turned=(("/cgi-bin/*", 19, 20, 0, 0),))), None,
        never=("logs.error-burst",)),
    Row("all requests are refused", world(w.refusing(401, 800, 800, 1200)), "logs.error-burst", ACCESS, says="HTTP 401 for 100 % of the 800 requests"),
    Row("all clients have given up", world(w.refusing(499, 790, 800, 1200)), "logs.error-burst", says="HTTP 499"),
    Row("half of the clients are refused", world(w.refusing(429, 500, 800, 1200)), "logs.error-burst", says="HTTP 429"),
    Row("a scanner asks for what is not there, and others are served", world(w.refusing(404, 5000, 5800, 1200, requests=7400, statuses=((200, 2400), (404, 5000)))), None,
        never=("logs.error-burst",)),
    Row("a log without times ends with requests that are all refused", world(w.timeless(ACCESS), w.refusing(401, 400, 400, 0, refused_lately_at=None,
        covered=None, covered_before=None, slices=())), "logs.error-burst", says="at its end"),
    Row("a log without times ends with a scanner", world(w.timeless(ACCESS), w.refusing(404, 400, 400, 0, refused_lately_at=None,
        covered=None, covered_before=None, slices=())), None, never=("logs.error-burst",)),
    Row("hardly anybody asks any more", world(traffic(0, 1000, 0, 4800, end=(600.0, 2), slices=((HOUR, 1200, 0, 0),) * 4)), None,
        notes=("logs.error-burst",)),
    Row("by night few ask", world(traffic(0, 1000, 0, 4800, end=(600.0, 60), slices=((HOUR, 1200, 0, 0),) * 4)), None, never=("logs.error-burst",)),
    Row("requests fail between the lines of an application", world(w.window(), w.lately(114, 114, 180, subject=f"requests in {w.APP}")), "logs.error-burst",
        w.APP, says="shop: HTTP 5xx"),
    Row("a pattern of one's own", world(known("settings:ledger", "ledger out of balance", (), severity="critical", title="the ledger is off")),
        "logs.watched", says="the ledger is off"),
    # beside a runbook that looks at the service itself
    Row("a log says much beside a healthy host", Facts((*host.healthy().but(), w.window(alone=False), refused(subject=APP), trace(),
        template("cannot render invoice *"), more("cannot print *", 100, 40))), None, never=("api.upstream-refused",),
        notes=("logs.exception", "logs.new-errors", "logs.error-burst")),
    Row("a log without a window says nothing", Facts((refused(),)), None, never=("api.upstream-refused",)),
    Row("a unit's journal is read by journalctl", world(known("peer-refused", tagged("shop[7]", "connect ECONNREFUSED 127.0.0.1:9099"),
        "svc.not-running", subject=JOURNAL, name="127.0.0.1:9099"), w.window(JOURNAL, owner="shop.service")), "svc.not-running"),
)  # fmt: skip

CHAINS = (
    ("no live upstream stands under the refusal of each", world(refused(), nginx("proxy-no-live-upstreams", "no live upstreams",
        "api.no-live-upstreams", name="http://be")), "api.upstream-refused", "api.no-live-upstreams"),
    ("the port that the app cannot have is the one that the proxy is refused at", world(refused(), known("address-taken",
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:9001", "svc.port-in-use", name="127.0.0.1:9001")),
        "svc.port-in-use", "api.upstream-refused"),
    ("the kernel's kill explains what systemd says of that unit", world(OOM, systemd("unit-crash-loop", "shop.service",
        "Start request repeated too quickly.", "svc.crash-loop")), "host.oom-kill", "svc.crash-loop"),
)  # fmt: skip

"""How a log writes its times: every form by a real line, and what only looks like one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbdiag.collect import log_shapes
from rbdiag.collect.log_times import Form, Stamps, form_of

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times without a zone are this host's: here UTC, so that they can be written down."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def formed(*lines: str, now: float = NOON) -> Form:
    form = form_of([line.encode() for line in lines], now)
    assert form is not None
    return form


WHEN = "2026-11-23 08:03:11"
EXACT = "2026-11-23 08:03:11.123"
# A line, what it means, and the line without its time.
FORMS = {
    "MySQL 8": ("2026-11-23T08:03:11.123000Z 0 [System] [MY-010116] [Server] starting", EXACT, " 0 [System"),
    "MySQL 8, host's time": ("2026-11-23T16:03:11.123000+08:00 0 [Note] x", EXACT, " 0 [Note"),
    "MariaDB, hour of one digit": ("2026-11-23  8:03:11 0 [Note] InnoDB: x", WHEN, " 0 [Note"),
    "MariaDB, old": ("261123  8:03:11 [ERROR] mysqld got signal 6 ;", WHEN, " [ERROR"),
    "mysqld_safe": ("261123 08:03:11 mysqld_safe Starting mysqld daemon", WHEN, " mysqld_safe"),
    "slow log": ("# Time: 2026-11-23T08:03:11.123000Z", EXACT, ""),
    "slow log, MariaDB": ("# Time: 261123  8:03:11", WHEN, ""),
    "nginx error": ("2026/11/23 08:03:11 [error] 7#7: *1 connect() failed", WHEN, " [error"),
    "nginx and Apache access": ('10.0.0.9 - - [23/Nov/2026:09:03:11 +0100] "GET / HTTP/1.1" 200 5', WHEN, '] "GET'),
    "access, behind a virtual host": ('shop:443 ::1 - joe [23/Nov/2026:08:03:11 +0000] "GET / H"', WHEN, '] "GET'),
    "HAProxy": ("10.0.1.2:3317 [23/Nov/2026:08:03:11.123] fe be/srv1 0/0/30/69/109 200", EXACT, "] fe"),
    "werkzeug": ('127.0.0.1 - - [23/Nov/2026 08:03:11] "GET / HTTP/1.1" 200 -', WHEN, '] "GET'),
    "Apache error": ("[Mon Nov 23 08:03:11.123000 2026] [core:error] [pid 35] x", EXACT, "] [core"),
    "syslog": ("Nov 23 08:03:11 db1 sshd[42]: x", WHEN, " db1"),
    "syslog with priority": ("<34>Nov 23 08:03:11 db1 su: x", WHEN, " db1"),
    "RFC 5424": ("<165>1 2026-11-23T08:03:11.123Z db1 app 8710 - - x", EXACT, " db1"),
    "rsyslog, new": ("2026-11-23T09:03:11.123000+01:00 db1 sshd[42]: x", EXACT, " db1"),
    "Cisco": ("Nov 23 2026 08:03:11: %ASA-6-302013: Built", WHEN, ": %ASA"),
    "epoch": ("1795420991 x", WHEN, " x"),
    "squid": ("1795420991.123    45 10.0.0.1 TCP_MISS/200 5 GET http://a/", EXACT, "    45"),
    "Nagios": ("[1795420991] SERVICE ALERT: db1;x", WHEN, "] SERVICE"),
    "epoch in milliseconds": ("1795420991123 x", EXACT, " x"),
    "audit": ("type=SYSCALL msg=audit(1795420991.123:45): arch=c000003e", EXACT, ":45)"),
    "Python": ("2026-11-23 08:03:11,123 ERROR root: x", EXACT, " ERROR"),
    "Python, level first": ("ERROR:2026-11-23 08:03:11,123:root:x", EXACT, ":root"),
    "gunicorn": ("[2026-11-23 09:03:11 +0100] [81] [INFO] Booting", WHEN, "] [81"),
    "Django's server": ('[23/Nov/2026 08:03:11] "GET / HTTP/1.1" 200 5', WHEN, '] "GET'),
    "Celery": ("[2026-11-23 08:03:11,123: INFO/MainProcess] x", EXACT, ": INFO"),
    "uWSGI request": (
        "[pid: 9|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 350 bytes} [Mon Nov 23 08:03:11 2026] GET / => 5",
        WHEN, "] GET",
    ),
    "uWSGI": ("Mon Nov 23 08:03:11 2026 - *** Starting uWSGI", WHEN, " - ***"),
    "log4j": ("2026-11-23 08:03:11,123 [main] ERROR com.example.Main - x", EXACT, " [main"),
    "Spring": ("2026-11-23T09:03:11.123+01:00  INFO 7 --- [main] c.e.Main : x", EXACT, "  INFO"),
    "Cassandra": ("INFO  [main] 2026-11-23 08:03:11,123 Main.java:1 - x", EXACT, " Main"),
    "Elasticsearch": ("[2026-11-23T08:03:11,123][WARN ][o.e.x] [node] x", EXACT, "][WARN"),
    "java.util.logging": ("Nov 23, 2026 8:03:11 AM com.example.Main run", WHEN, " com.example"),
    "java.util.logging, Java 9": ("Nov 23, 2026 8:03:11\u202fAM com.example.Main run", WHEN, " com.example"),
    "Tomcat": ("23-Nov-2026 08:03:11.123 SEVERE [main] x", EXACT, " SEVERE"),
    "WildFly": ("2026-11-23 08:03:11,123 INFO  [org.jboss] (main) x", EXACT, " INFO"),
    "Go log": ("2026/11/23 08:03:11 main.go:5: x", WHEN, " main.go"),
    "Go log, microseconds": ("2026/11/23 08:03:11.123000 main.go:5: x", EXACT, " main.go"),
    "zap, console": ("2026-11-23T09:03:11.123+0100\tINFO\tmain.go:5\tx", EXACT, "\tINFO"),
    "zap, JSON": ('{"level":"info","ts":1795420991.123,"caller":"main.go:5","msg":"x"}', EXACT, ',"caller"'),
    "zap, console with exponent": ("1.795420991123e+09\tinfo\tx", EXACT, "\tinfo"),
    "logrus": ('time="2026-11-23T08:03:11Z" level=error msg=x', WHEN, '" level'),
    "logfmt": ("level=info ts=2026-11-23T08:03:11.123Z caller=main.go:5 msg=x", EXACT, " caller"),
    "logfmt, epoch": ("ts=1795420991.123 lvl=info msg=x", EXACT, " lvl"),
    "log15": ("t=2026-11-23T09:03:11+0100 lvl=info msg=x", WHEN, " lvl"),
    "pino": ('{"level":30,"time":1795420991123,"pid":7,"msg":"x"}', EXACT, ',"pid"'),
    "bunyan": ('{"name":"a","level":30,"msg":"x","time":"2026-11-23T08:03:11.123Z","v":0}', EXACT, '","v"'),
    "winston": ('{"level":"info","message":"x","timestamp":"2026-11-23T08:03:11.123Z"}', EXACT, '"}'),
    "Python, JSON": ('{"asctime": "2026-11-23 08:03:11,123", "message": "x"}', EXACT, '", "message'),
    "ECS": ('{"@timestamp":"2026-11-23T08:03:11.123Z","log.level":"ERROR","message":"x"}', EXACT, '","log.level'),
    "MongoDB": ('{"t":{"$date":"2026-11-23T09:03:11.123+01:00"},"s":"I","msg":"x"}', EXACT, '"},"s"'),
    "Serilog": ('{"@t":"2026-11-23T08:03:11.1230000Z","@mt":"x"}', EXACT, '","@mt'),
    "log4j 2, JSON": ('{"instant":{"epochSecond":1795420991,"nanoOfSecond":123},"level":"INFO"}', WHEN, ',"nano'),
    "CloudTrail": ('{"eventVersion":"1.0","eventTime":"2026-11-23T08:03:11Z","eventName":"x"}', WHEN, '","eventName'),
    "nginx, JSON": ('{"remote":"::1","time_local":"23/Nov/2026:09:03:11 +0100","status":"500"}', WHEN, '","status'),
    "Docker's file": ('{"log":"2026-11-20 x\\n","stream":"stderr","time":"2026-11-23T08:03:11.123456789Z"}',
                      "2026-11-23 08:03:11.123457", '"}'),
    "journal, JSON": ('{"__REALTIME_TIMESTAMP":"1795420991123000","MESSAGE":"x"}', EXACT, '","MESSAGE'),
    "JSON in JSON": ('{"line":"{\\"level\\":\\"info\\",\\"ts\\":\\"2026-11-23T08:03:11.123Z\\"}"}', EXACT, '\\"}"}'),
    "JSON behind words": ('Nov-app shop-1: {"level":"info","time":"2026-11-23T08:03:11Z"}', WHEN, '"}'),
    "klog": ("E1123 08:03:11.123000       7 main.go:1] x", EXACT, "       7"),
    "glog with year": ("I20261123 08:03:11.123000  7 main.cc:1] x", EXACT, "  7"),
    "dmesg -T": ("[Mon Nov 23 08:03:11 2026] Out of memory: Killed process 9", WHEN, "] Out"),
    "PHP": ("[23-Nov-2026 08:03:11 UTC] PHP Fatal error:  x", WHEN, "] PHP"),
    "PHP, host's time": ("[23-Nov-2026 08:03:11] NOTICE: fpm is running", WHEN, "] NOTICE"),
    "Ruby": ("I, [2026-11-23T08:03:11.123000 #123]  INFO -- : x", EXACT, " #123"),
    "Rails": ('Started GET "/orders?a=b" for 127.0.0.1 at 2026-11-23 09:03:11 +0100', WHEN, ""),
    "IIS": ("2026-11-23 08:03:11 10.0.0.1 GET /x - 443 - 10.0.0.2 500", WHEN, " 10.0.0.1"),
    "PostgreSQL": ("2026-11-23 08:03:11.123 UTC [81] LOG:  x", EXACT, " [81"),
    "PostgreSQL, named zone": ("2026-11-23 09:03:11.123 CET [81] LOG:  x", EXACT, " [81"),
    "PostgreSQL, zone of two digits": ("2026-11-23 11:03:11.123 +03 [81] LOG:  x", EXACT, " [81"),
    "Redis": ("7:M 23 Nov 2026 08:03:11.123 * Ready to accept connections", EXACT, " * Ready"),
    "Redis, old": ("[7] 23 Nov 08:03:11.123 * The server is now ready", EXACT, " * The"),
    "RabbitMQ": ("2026-11-23 08:03:11.123000+00:00 [info] <0.9.0> x", EXACT, " [info"),
    "RabbitMQ, old": ("=INFO REPORT==== 23-Nov-2026::08:03:11 ===", WHEN, " ==="),
    "Kafka": ("[2026-11-23 08:03:11,123] INFO x (kafka.server)", EXACT, "] INFO"),
    "Consul, old": ("    2026/11/23 08:03:11 [INFO] agent: x", WHEN, " [INFO"),
    "Envoy": ('[2026-11-23T08:03:11.123Z] "GET / HTTP/1.1" 503 UF', EXACT, '] "GET'),
    "a load balancer": ("h2 2026-11-23T08:03:11.123000Z app/lb/1 10.0.0.9:1 200", EXACT, " app"),
    "tracing, in colour": ("\x1b[2m2026-11-23T08:03:11.123000Z\x1b[0m \x1b[32m INFO\x1b[0m x", EXACT, "\x1b[0m \x1b"),
    "env_logger": ("[2026-11-23T08:03:11Z INFO  app] x", WHEN, " INFO"),
    "compose": ("shop-db-1  | 2026-11-23 08:03:11 0 [Note] x", WHEN, " 0 [Note"),
    "Kubernetes": ("2026-11-23T08:03:11.123000000Z stderr F 2026-11-20 00:00:00 x", EXACT, " stderr"),
    "kubectl": ("[pod/shop-7d/app] 2026-11-23T08:03:11Z x", WHEN, " x"),
    "runit": ("2026-11-23_08:03:11.12300 x", EXACT, " x"),
    "multilog": ("@400000006b0401090754d4c0 x", None, " x"),
    "German": ("23.11.2026 08:03:11 Fehler", WHEN, " Fehler"),
    "basic ISO": ("20261123T080311Z x", WHEN, " x"),
    "a byte order mark": ("\ufeff2026-11-23 08:03:11 x", WHEN, " x"),
    "behind a hole of NULs": ("\0" * 300 + "2026-11-23 08:03:11 x", WHEN, " x"),
    "an HTTP date": ("Mon, 23 Nov 2026 08:03:11 GMT x", WHEN, " x"),
    "a leap second": ("2016-12-31T23:59:60Z x", "2017-01-01 00:00:00", " x"),
    "a leap day": ("2024-02-29 08:03:11 x", "2024-02-29 08:03:11", " x"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "when", "rest"), FORMS.values(), ids=FORMS)
def test_a_form_is_found_out_and_tells_its_time(line: str, when: str | None, rest: str) -> None:
    raw = line.encode()
    form = formed(line, line, line)
    said = form.at(raw, NOON)
    assert said == pytest.approx(at(when) if when else 0x6B040109 - 10 + 0.123, abs=2e-6)
    assert raw[form.head(raw) :].startswith(rest.encode())
    assert form.starts.search(raw), form
    assert not form.starts.match(b"  at com.example.Main.run(Main.java:5)")


NAMES = {
    "2026-11-23 08:03:11 x": "ISO 8601",
    "Nov 23 08:03:11 db1 x": "syslog",
    "1795420991.5 x": "epoch seconds",
    "1795420991123 x": "epoch milliseconds",
    '{"level":30,"time":1795420991123}': "epoch milliseconds in JSON",
    "ts=2026-11-23T08:03:11Z msg=x": "ISO 8601 in logfmt",
    '::1 - - [23/Nov/2026:08:03:11 +0000] "GET /"': "access log",
    "type=SYSCALL msg=audit(1795420991.123:45): x": "audit",
}


@pytest.mark.parametrize(("line", "name"), NAMES.items(), ids=NAMES.values())
def test_a_form_has_a_name(line: str, name: str) -> None:
    assert formed(line).name == name


NO_TIMES = {
    "nothing": [""],
    "stack traces": ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "ValueError: 12:30:11"],
    "no such month": ["2026-13-24 11:00:01 x"],
    "no such day": ["2026-02-30 11:00:01 x", "Feb 30 11:00:01 x"],
    "no such hour": ["2026-11-23 25:00:01 x", "99:99:99 x"],
    "a number in the middle": ["order 1795518001 was paid", "order 1795518002 was paid"],
    "a telephone number": ["+491795518001 rang", "0049 1795518001 rang"],
    "ids that are no times of our day": ["1100000001 x", "1999999999 y", "2130706433 z"],
    "a longer number": ["17955180011 x", "179551800112345 x"],
    "versions": ["Version: 10.11.6-MariaDB port: 3306", "nginx/1.22.1", "1.2026.11.23 x", "release 2026.11.23"],
    "ports and addresses": ["listening on 127.0.0.1:8080:80", "10.11.12.13:14:15 x", "0:00:00 up"],
    "a day alone": ["2026-11-23 x", "23.11.2026 y", "Nov 23 z"],
    "a time of day alone": ["08:03:11 x", "[08:03:11 INF] Now listening", "08:03:11.123 [main] INFO x"],
    "in the middle of a sentence": ["the buffer pool was loaded at 261124 11:00:01", "see 261124 11:00:01"],
    "day or month first": ["03/04/2026 08:03:11 x", "03/05/2026 08:03:11 x", "04/05/2026 08:03:11 x"],
    "day and month in turn": ["03/14/2026 08:03:11 x", "14/03/2026 08:03:12 x"],
    "booking dates, in no order": [
        f"2026-{month:02}-11 10:00:00 room {room}" for room, month in enumerate((9, 2, 11, 1, 10, 3, 7, 2, 8, 1))
    ],
    "newest first": [f"2026-11-{day:02} 10:00:00 x" for day in range(23, 1, -1)],
    "years ahead": ["2031-01-01 10:00:00 expires", "2031-01-02 10:00:00 expires"],
    "a key that is about something else": ['{"level":"info","expires":"2026-12-01T00:00:00Z","msg":"x"}'],
    "a number of another key": ['{"level":"info","id":1795518001,"msg":"x"}'],
    "a duration": ['{"level":"info","time":0.0123,"msg":"x"}', '{"time":1795,"msg":"x"}', "time=12ms status=200"],
    "a dump of hex": ["00000000  17 95 51 80 01", "1795518001a x", "0x1795518001 x"],
    "a UUID": ["20261123-0803-1111-8000-000000000000 x", "17955180-01aa-bbbb x"],
    "seldom, behind a word": [
        *["a line without"] * 9, "saved 2026-11-23 08:00:00 x", *["more"] * 9, "saved 2026-11-23 09:00:00 x", "etc"
    ],
    "a path": ["/var/backups/2026-11-23/08:03:11.tar", "backup-2026-11-23 08:03:11.tar"],
    "a list of numbers": ["1795518001,1795518000,3", "1790000000,1,2", "1785000000,5,7", "1780000000,5,7"],
}  # fmt: skip


@pytest.mark.parametrize("lines", NO_TIMES.values(), ids=NO_TIMES)
def test_what_only_looks_like_a_time_is_none(lines: list[str]) -> None:
    assert form_of([line.encode() for line in lines], NOON) is None


def test_day_and_month_are_told_apart_by_a_day_that_is_no_month() -> None:
    form = formed("11/12/2026 8:03:11 AM x", "11/13/2026 8:03:11 PM x")
    assert form.at(b"11/12/2026 8:03:11 AM x", NOON) == at("2026-11-12 08:03:11")
    assert form.at(b"11/13/2026 8:03:11 PM x", NOON) == at("2026-11-13 20:03:11")
    form = formed("12/11/2026 08:03:11 x", "13/11/2026 08:03:11 x")
    assert form.at(b"12/11/2026 08:03:11 x", NOON) == at("2026-11-12 08:03:11")


def test_a_date_in_a_message_is_none_of_the_lines_own() -> None:
    form = formed("2026-11-23 08:03:11 INFO start", "2026-11-23 08:03:12 INFO until 2026-11-20 00:00:00")
    assert form.at(b"  valid until 2026-11-20 00:00:00", NOON) is None
    assert form.at(b"Caused by: job of Nov 20 00:00:00 failed", NOON) is None
    assert form.at(b"2026-11-23 08:03:12 INFO until 2026-11-20 00:00:00", NOON) == at("2026-11-23 08:03:12")


def test_a_dump_of_old_dates_in_a_log_is_no_second_form() -> None:
    dump = [f"2026-05-0{day} 10:00:00 | row" for day in range(1, 6)]
    lines = [f"Nov 23 08:03:{second:02} db1 app: x" for second in range(20)]
    form = formed(*lines[:10], *dump, *lines[10:])
    assert form.name == "syslog"
    assert form.at(dump[0].encode(), NOON) is None


def test_few_lines_with_a_time_among_many_traces_are_enough() -> None:
    trace = [f"    at com.example.Main.run(Main.java:{number})" for number in range(200)]
    assert formed(*trace[:100], "2026-11-23 08:03:11 ERROR x", *trace[100:]).name == "ISO 8601"


def test_programs_that_share_a_log_are_all_understood() -> None:
    lines = [
        "2026-11-23T08:03:10.500000Z mysqld_safe Starting mysqld daemon",
        "2026-11-23  8:03:11 0 [Note] x", "2026-11-23  8:03:12 0 [Note] x",
        '10.0.0.9 - - [23/Nov/2026:08:03:13 +0000] "GET / HTTP/1.1" 200 5',
        '10.0.0.9 - - [23/Nov/2026:08:03:14 +0000] "GET / HTTP/1.1" 200 5',
        '{"level":30,"time":1795420995000,"msg":"x"}', '{"level":30,"time":1795420996000,"msg":"x"}',
    ]  # fmt: skip
    form = formed(*lines)
    told = [form.at(line.encode(), NOON) for line in lines]
    assert told == [at("2026-11-23 08:03:10.5"), *(at(f"2026-11-23 08:03:{second}") for second in range(11, 17))]
    assert not form.zoned


def test_mariadb_tells_the_time_of_its_death_in_its_old_way() -> None:
    form = formed("2026-11-23  8:03:11 0 [Note] x", "2026-11-23  8:03:12 0 [Note] x")
    assert form.at(b"261123  8:03:13 [ERROR] mysqld got signal 6 ;", NOON) == at("2026-11-23 08:03:13")


def test_a_slow_logs_record_begins_before_its_time() -> None:
    log = (
        b"# Time: 261123  8:03:11\n# User@Host: a[a] @ x []\n# Query_time: 2\nSET timestamp=1795420991;\nselect 1;\n"
        b"# User@Host: a[a] @ x []\n# Query_time: 3\nSET timestamp=1795420991;\nselect 2;\n"
    )
    form = formed(*log.decode().splitlines())
    assert [log[found.start() :][:8] for found in form.starts.finditer(log)] == [b"# Time: ", b"# User@H"]
    assert form.at(b"SET timestamp=1795420991;", NOON) == at(WHEN)


def test_iis_writes_in_utc_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    head = "#Software: Microsoft Internet Information Services 10.0"
    form = formed(head, "#Fields: date time s-ip cs-method", "2026-11-23 08:03:11 10.0.0.1 GET /")
    assert form.at(b"2026-11-23 08:03:11 10.0.0.1 GET /", NOON) == at(WHEN)
    assert form.zoned


def test_the_kernel_counts_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shapes, "booted_at", lambda: NOON - 50000)
    line = b"[12345.678901] Out of memory: Killed process 9 (x)"
    form = form_of([b"[    0.000000] Linux version 6.1", line], NOON, NOON - 30000)
    assert form is not None
    assert form.at(line, NOON) == pytest.approx(NOON - 50000 + 12345.678901)
    assert form_of([line, line], NOON, NOON - 60000) is None, "it was written before the kernel started"


YEARLESS = {
    "today": ("Nov 24 11:00:00", "2026-11-24 12:00:00", "2026-11-24 11:00:00"),
    "last year's December at New Year": ("Dec 31 23:59:59", "2027-01-01 00:00:30", "2026-12-31 23:59:59"),
    "the first second of the year": ("Jan  1 00:00:00", "2027-01-01 00:00:30", "2027-01-01 00:00:00"),
    "a clock that is somewhat ahead": ("Jan  1 00:10:00", "2026-12-31 23:59:59", "2027-01-01 00:10:00"),
    "a leap day": ("Feb 29 10:00:00", "2028-03-01 00:00:00", "2028-02-29 10:00:00"),
    "a leap day of the year before": ("Feb 29 10:00:00", "2029-01-10 00:00:00", "2028-02-29 10:00:00"),
    "nearly a year ago": ("Nov 27 10:00:00", "2026-11-24 12:00:00", "2025-11-27 10:00:00"),
}


@pytest.mark.parametrize(("line", "now", "when"), YEARLESS.values(), ids=YEARLESS)
def test_a_year_that_is_not_written_is_the_last_one(line: str, now: str, when: str) -> None:
    assert formed(f"{line} db1 x", now=at(now)).at(line.encode() + b" db1 x", at(now)) == at(when)


ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")
ISO = "%Y-%m-%d %H:%M:%S"


@pytest.mark.parametrize("zone", ZONES)
def test_times_without_a_zone_are_this_hosts(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    for day in range(0, 365, 7):
        moment = NOON - day * 86400
        line = time.strftime(ISO, time.localtime(moment)).encode() + b" x"
        assert formed(line.decode()).at(line, NOON) == moment


def test_a_zone_by_name_or_number_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    for text in ("2026-11-23 08:03:11Z", "2026-11-23 10:03:11 +0200", "2026-11-23 09:03:11 CET", f"{WHEN} UTC"):
        form = formed(text + " x")
        assert (form.at(text.encode() + b" x", NOON), form.zoned) == (at(WHEN), True)
    assert not formed("2026-11-23 08:03:11 IST x").zoned, "three lands call theirs so"


FORMATS = {
    "ISO": "%Y-%m-%dT%H:%M:%S x", "syslog": "%b %d %H:%M:%S h x", "klog": "I%m%d %H:%M:%S.000000 1 x",
    "ctime": "[%a %b %d %H:%M:%S %Y] x", "old MySQL": "%y%m%d %H:%M:%S x", "epoch": "%s x", "JSON": '{"ts":%s}',
    "access": '1.1.1.1 - - [%d/%b/%Y:%H:%M:%S +0000] "x"', "Java": "%b %d, %Y %I:%M:%S %p x",
}  # fmt: skip


@settings(deadline=None)
@given(form=st.sampled_from(sorted(FORMATS)), ago=st.lists(st.integers(0, 300 * 86400), min_size=1, max_size=20))
def test_every_form_gives_back_the_second_that_was_written(form: str, ago: list[int]) -> None:
    moments = [datetime.fromtimestamp(NOON - seconds, UTC) for seconds in sorted(ago, reverse=True)]
    lines = [moment.strftime(FORMATS[form].replace("%s", str(int(moment.timestamp())))) for moment in moments]
    found = formed(*lines)
    assert [found.at(line.encode(), NOON) for line in lines] == [moment.timestamp() for moment in moments]


@settings(deadline=None)
@given(minutes=st.integers(-14 * 60, 14 * 60), colon=st.booleans(), ago=st.integers(0, 10**7))
def test_every_zone_by_its_number_is_understood(minutes: int, colon: bool, ago: int) -> None:
    moment = datetime.fromtimestamp(NOON - ago, timezone(timedelta(minutes=minutes)))
    text = moment.isoformat() if colon else moment.strftime("%Y-%m-%dT%H:%M:%S%z")
    assert formed(text + " x").at(text.encode() + b" x", NOON) == moment.timestamp()


ANY_LINES = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([line.encode() for line, _, _ in FORMS.values()]),
        st.from_regex(rb"[\[{<]?[\"' ]?(time|ts)?[=:]?[\d:./TZ+ -]{1,40}[\]}]?", fullmatch=True),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(lines=ANY_LINES, now=st.floats(0, 4e9))
def test_any_lines_have_a_form_or_none(lines: list[bytes], now: float) -> None:
    form = form_of(lines, now)
    stamps = Stamps(now)
    for line in lines:
        told = stamps.of(line)
        assert told is None or 0 < told.end <= len(line)
        if form is not None:
            assert form.at(line, now) is None or (form.head(line) and form.starts.search(line.rstrip(b"\r\n")))


def test_a_line_that_invites_a_runaway_is_refused_at_once() -> None:
    for line in (b"a " * 5000, b"[" * 9000, b"\\" * 9000 + b'"', b"0:00:" * 2000, b'{"a":' * 2000, b" " * 9000 + b"t="):
        assert form_of([line] * 100, NOON) is None

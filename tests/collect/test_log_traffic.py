"""Requests in access logs: every usual form, numbers against an exact computation, and any bytes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbdiag.collect.log_access import layout_among, layout_of, seconds_of
from rbdiag.collect.log_counted import Counted, quantile
from rbdiag.collect.log_paths import Paths, shape
from rbdiag.collect.log_seek import Place
from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_traffic import is_access, traffic
from rbdiag.collect.log_window import Block, Spans
from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogTraffic

HOUR = 3600.0
AT = b'10.0.0.1 - - [24/Nov/2026:10:00:00 +0000] "GET /a/1?x=2 HTTP/1.1" '
# A line of each form, with the path, the status and the seconds it tells.
FORMS = {
    "common": (AT + b"200 512", "/a/1?x=2 200 -"),
    "combined": (AT + b'404 512 "-" "curl/8.0 (x; 12)"', "/a/1?x=2 404 -"),
    "with virtual host": (b"shop.test:443 " + AT + b'200 512 "-" "curl/8.0"', "/a/1?x=2 200 -"),
    "nginx, time at the end": (AT + b'200 512 "-" "curl/8.0" 0.012', "/a/1?x=2 200 0.012"),
    "nginx, upstream's time behind": (AT + b'200 512 "-" "curl/8.0" 0.012 0.010 .', "/a/1?x=2 200 0.012"),
    "nginx, named times": (AT + b'502 512 "-" "curl/8.0" rt=0.012 uct="0.000" urt="0.011"', "/a/1?x=2 502 0.012"),
    "nginx, forwarded for, then time": (AT + b'502 512 "-" "curl/8.0" "-" "0.012"', "/a/1?x=2 502 0.012"),
    "Apache, %D": (AT + b'200 512 "-" "curl/8.0" 15012', "/a/1?x=2 200 0.015012"),
    "Apache, bytes in and out are no times": (AT + b'200 15000 "-" "curl/8.0" 512 15300', "/a/1?x=2 200 -"),
    "Apache, bytes out are no time": (AT + b'200 15000 "-" "curl/8.0" 15300', "/a/1?x=2 200 -"),
    "a small whole number says no unit": (AT + b'200 15000 "-" "curl/8.0" 3', "/a/1?x=2 200 -"),
    "HAProxy": (
        b"Nov 24 10:00:00 lb haproxy[12]: 10.0.0.1:33317 [24/Nov/2026:10:00:00.655] in static/srv1"
        b" 10/0/30/69/109 200 2750"
        b' - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"',
        "/index.html 200 0.109",
    ),
    "Envoy": (
        b'[2026-11-24T10:00:00.123Z] "GET /a HTTP/1.1" 503 UF,URX 0 91 3012 - "-" "curl/8" "id" "svc" "-"',
        "/a 503 3.012",
    ),
    "Istio": (
        b'[2026-11-24T10:00:00.123Z] "GET /a HTTP/1.1" 503 UF reset{failure} - "-" 0 91 3012 - "-" "curl/8"'
        b' "id" "svc" "-" out',
        "/a 503 3.012",
    ),
    "Traefik": (AT + b'200 12 "-" "curl" 42 "app@docker" "http://10.0.0.2:80" 23ms', "/a/1?x=2 200 0.023"),
    "Traefik as JSON": (
        b'{"DownstreamStatus":200,"Duration":2300000,"RequestPath":"/a?x=1","time":"2026-11-24T10:00:00Z"}',
        "/a?x=1 200 0.0023",
    ),
    "Caddy": (
        b'{"level":"info","ts":1700000000.1,"request":{"method":"GET","uri":"/a/1"},"duration":0.00123,"size":1,"status":200}',
        "/a/1 200 0.00123",
    ),
    "nginx as JSON": (b'{"request":"GET /a/1 HTTP/1.1","status":"200","request_time":"0.012"}', "/a/1 200 0.012"),
    "pino": (b'{"level":30,"time":1700000000000,"req":{"url":"/a"},"res":{"statusCode":200},"responseTime":12}',
    "/a 200 0.012"),
    "JSON, milliseconds by name": (b'{"path":"/a","status":500,"latency_ms":12.5}', "/a 500 0.0125"),
    "JSON, a duration with its unit": (b'{"path":"/a","status":500,"latency":"950us"}', "/a 500 0.00095"),
    "uvicorn": (b'INFO:     127.0.0.1:5000 - "GET /a/1 HTTP/1.1" 500 Internal Server Error', "/a/1 500 -"),
    "Django": (b'[24/Nov/2026 10:00:00] "GET /a HTTP/1.1" 200 512', "/a 200 -"),
    "AWS": (
        b"http 2026-11-24T10:00:00.186641Z app/lb/50dc 192.168.131.39:2817 10.0.0.1:80 0.000 0.105 0.000 200 200 34 366"
        b' "GET http://www.example.com:80/a HTTP/1.1" "curl/7.46.0" - - arn',
        "http://www.example.com:80/a 200 0.105",
    ),
    "a router's logfmt": (
        b'at=info method=GET path="/a/1" host=x dyno=web.1 connect=1ms service=12ms status=200 bytes=12',
        "/a/1 200 0.012",
    ),
    "Rails": (b"method=GET path=/a/1 format=html controller=A status=500 duration=58.33 view=40.43",
    "/a/1 500 0.05833"),
    "gin": (
        b'[GIN] 2026/11/24 - 10:00:00 | 200 |     1.234ms |       127.0.0.1 | GET      "/a"', "/a 200 0.001234",
    ),
    "fiber": (b"10:00:00 | 502 |   1.5ms |  10.0.0.9 | GET     | /a/1       | -", "/a/1 502 0.0015"),
    "chi": (b'2026/11/24 10:00:00 "GET http://shop.test/a/1 HTTP/1.1" from 10.0.0.9:5512 - 500 12B in 1.2ms',
            "http://shop.test/a/1 500 -"),
    "morgan": (b"2026-11-24T10:00:00.123Z GET /a/1?x=2 500 12.1 ms - 12", "/a/1?x=2 500 0.0121"),
    "morgan, coloured": (b"\x1b[0mGET /a/1 \x1b[31m500\x1b[0m 12.123 ms - 12\x1b[0m", "/a/1 500 0.012123"),
    "a program's own words": (b"2026-11-24 10:00:00,123 INFO app.views GET /a/1 500 12ms", "/a/1 500 0.012"),
    "Serilog": (b"[10:00:00 INF] HTTP GET /a/1 responded 500 in 12.3456 ms", "/a/1 500 0.0123456"),
    "werkzeug": (b'127.0.0.1 - - [24/Nov/2026 10:00:00] "GET /a/1 HTTP/1.1" 500 -', "/a/1 500 -"),
    "werkzeug, coloured": (
        b'127.0.0.1 - - [24/Nov/2026 10:00:00] "\x1b[35m\x1b[1mGET /a/1 HTTP/1.1\x1b[0m" 500 -', "/a/1 500 -"),
    "Django's log": (b'2026-11-24 10:00:00,123 ERROR django.server "GET /a/1 HTTP/1.1" 500 12', "/a/1 500 -"),
    "PHP's server": (b"[Tue Nov 24 10:00:00 2026] 127.0.0.1:50000 [500]: GET /a/1", "/a/1 500 -"),
    "logfmt": (b"level=info method=GET uri=/a/1 remote=10.0.0.9 status=500 duration=12.5ms", "/a/1 500 0.0125"),
    "logfmt, status first": (b"time=10:00 status=500 method=GET path=/a/1", "/a/1 500 -"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "says"), FORMS.values(), ids=FORMS)
def test_a_form(line: bytes, says: str) -> None:
    layout = layout_of([line] * 40)
    assert layout is not None
    found = layout.request.search(line)
    assert found is not None
    took = f"{seconds_of(found['time'], layout.seconds):g}" if layout.seconds and found["time"] else "-"
    assert f"{found['path'].decode()} {found['status'].decode()} {took}" == says


def test_iis() -> None:
    lines = [
        b"#Software: Microsoft Internet Information Services 10.0",
        b"#Fields: date time s-ip cs-method cs-uri-stem s-port sc-status sc-substatus sc-win32-status time-taken",
        b"2026-11-24 10:00:00 10.0.0.1 GET /a 443 500 0 0 15",
    ]
    layout = layout_of(lines)
    assert layout is not None
    assert layout.seconds == 0.001
    assert layout.request.search(lines[2]).group("path", "status", "time") == (b"/a", b"500", b"15")


OTHERS = {
    "an application's log": b'2026-11-24 10:00:00 INFO job 12 "GET it done" 200 ok',
    "JSON without requests": b'{"level":"error","msg":"no","status":500}',
    "an error log": b'2026/11/24 10:00:00 [error] 7#7: *1 connect() failed, request: "GET /a HTTP/1.1", upstream: ""',
    "sizes behind a path": b"2026-11-24 10:00:00 INFO cache GET /a/%d 512 bytes",
    "a trace": b"\tat com.shop.A.b(A.java:200)",
    "nothing": b"",
}


@pytest.mark.parametrize("line", OTHERS.values(), ids=OTHERS)
def test_what_is_no_access_log(line: bytes) -> None:
    if b"512" in line:
        lines = [line.replace(b"512", b"%d" % (n * 37 % 1000)) for n in range(100)]
        assert layout_of(lines) is layout_among(lines) is None
        return
    assert not is_access([line] * 40)
    assert not is_access([AT + b"200 5"] * 10 + [line or b"x"] * 20)


@pytest.mark.parametrize(("line", "says"), FORMS.values(), ids=FORMS)
def test_requests_between_other_lines(line: bytes, says: str) -> None:
    others = [b"2026-11-24 10:00:00 INFO job %d done" % number for number in range(30)]
    assert layout_of([line] * 10 + others) is None
    assert layout_among([line] * 5 + others) is None
    layout = layout_among([line] * 10 + others)
    assert layout is not None
    found = [hit for each in (line, *others) if (hit := layout.request.search(each)) is not None]
    assert [f"{hit['path'].decode()} {hit['status'].decode()}" for hit in found] == [says.rpartition(" ")[0]]


SHAPES = {
    "/": "/", "": "/", "/users/17?x=1": "/users/*", "/v2/users/17/orders": "/v2/users/*/orders",
    "/img_0001.jpg": "/img_*.jpg",
    "/o/3f9c1e52-aaaa-bbbb-cccc-0123456789ab": "/o/*", "/a/oauth2/token": "/a/oauth2/token", "/health": "/health",
    "http://shop.test/a": "/a", "/b/9f86d081884c7d659a2f": "/b/*", "/feedback/deadbeef": "/feedback/deadbeef",
}  # fmt: skip


@pytest.mark.parametrize(("path", "says"), SHAPES.items(), ids=SHAPES)
def test_the_shape_of_a_path(path: str, says: str) -> None:
    assert shape(path) == says


def test_paths_stay_few_and_those_that_fail_are_kept() -> None:
    paths = Paths()
    for number in range(30_000):
        word = "".join(chr(97 + number // 26**k % 26) for k in range(4))
        paths.add(f"/{word}/x".encode(), False, None)
        if number % 100 == 0:
            paths.add(b"/pay", True, None)
            paths.add(f"/product/{word}".encode(), True, None)
    assert len(paths._rows) <= 4001
    assert [row[:2] for row in paths.failing(2)] == [("/pay", 300), ("/product/*", 300)]


def read(path: Path, since: float) -> LogTraffic:
    spans = Spans(Wanted((str(path),)), since, asked=True)
    try:
        list(spans.find(Deadline(10)))
        (fact,) = traffic(spans, Deadline(20))
        assert isinstance(fact, LogTraffic)
        return fact
    finally:
        spans.close()


def test_the_numbers_are_exact(tmp_path: Path) -> None:
    rng, now = random.Random(4), int(time.time())
    lines, times, before, fails, statuses = [], [], [], {}, {}
    for number in range(30_000):
        at = now - 5900 + number // 5 * 0.98
        inside = at >= now - 1800
        status = rng.choice([200] * 60 + [301, 404, 500, 503])
        took = round(rng.lognormvariate(-3, 1), 3) * (4 if inside else 1)
        path = rng.choice(["/", f"/api/orders/{rng.randrange(999)}", "/login", "/pay"])
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
        lines.append(f'10.0.0.1 - - [{stamp}] "GET {path} HTTP/1.1" {status} 51 "-" "curl/8" {took:.3f}\n')
        if int(at) >= now - 1800:
            times.append(took)
            statuses[status] = statuses.get(status, 0) + 1
            key = shape(path)
            one = fails.setdefault(key, [0, 0])
            one[0] += status >= 500
            one[1] += 1
        else:
            before.append(took)
    log = tmp_path / "access.log"
    log.write_text("".join(lines))
    fact = read(log, now - 1800)
    assert dict(fact.statuses) == statuses
    assert (fact.requests, fact.requests_before) == (len(times), len(before))
    assert {path: [bad, n] for path, bad, n in fact.failing} == {k: v for k, v in fails.items() if v[0]}
    assert list(fact.failing) == sorted(fact.failing, key=lambda row: -row[1])
    for told, exact in (
        (fact.p50, sorted(times)[len(times) // 2]), (fact.p95, sorted(times)[int(len(times) * 0.95)]),
        (fact.p99, sorted(times)[int(len(times) * 0.99)]), (fact.p95_before, sorted(before)[int(len(before) * 0.95)]),
    ):  # fmt: skip
        assert told == pytest.approx(exact, rel=0.02)
    assert fact.covered == pytest.approx(1800, abs=5)
    assert fact.first_failed_at is not None
    assert now - 1800 <= fact.first_failed_at <= fact.last_failed_at <= now


NOW = 0


@pytest.fixture(autouse=True)
def _now() -> None:
    """The time of each test, which may run long after this file was read."""
    global NOW  # noqa: PLW0603 - one clock for the helpers of this file, set anew for each test
    NOW = int(time.time())


Answer = tuple[str, int, float]


def logged(tmp_path: Path, answer: Callable[[float, int], Answer], line: str = "", a_minute: int = 20) -> LogTraffic:
    """What is told of five hours of requests, the last of them the window; `answer` is of a minute before the end."""
    line = line or '10.0.0.1 - - [{at}] "GET {path} HTTP/1.1" {status} 51 "-" "curl/8" {took:.3f}'
    lines = []
    for number in range(300 * a_minute):
        ago = 300 - number / a_minute
        path, status, took = answer(ago, number)
        at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(NOW - ago * 60))
        iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago * 60))
        lines.append(line.format(at=at, iso=iso, path=path, status=status, took=took, number=number))
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n")
    return read(tmp_path / "access.log", NOW - HOUR)


def test_since_when_all_requests_fail(tmp_path: Path) -> None:
    fact = logged(tmp_path, lambda ago, n: (f"/a/{n}", 502 if ago <= 3 or n % 400 == 0 else 200, 0.1))
    failed, requests = fact.failed_lately
    assert (failed, requests) == (60, 60)
    assert fact.failed_lately_at == pytest.approx(NOW - 180, abs=4)
    assert fact.newest[0] == fact.newest[1] >= 20
    assert [bad for _, _, _, bad in fact.slices] == [3, 3, 3, 3]
    assert fact.refused_lately == (0, 0, 0)


@pytest.mark.parametrize(
    "line", ['INFO:     10.0.0.9:5512 - "GET {path} HTTP/1.1" {status} Words', "GET {path} {status} 1 ms - 3"]
)
def test_since_when_they_fail_without_times(tmp_path: Path, line: str) -> None:
    fact = logged(tmp_path, lambda ago, n: (f"/a/{n}", 500 if ago <= 15 else 200, 0.1), line)
    assert fact.failed_lately == (300, 300)
    assert fact.failed_lately_at is fact.covered is None


def test_since_when_they_are_refused(tmp_path: Path) -> None:
    fact = logged(tmp_path, lambda ago, n: ("/a", 401 if ago <= 20 else 404 if n % 50 == 0 else 200, 0.1))
    assert fact.refused_lately == (400, 400, 401)
    assert fact.refused_lately_at == pytest.approx(NOW - 1200, abs=4)


def test_a_steady_share_of_failures_never_turns(tmp_path: Path) -> None:
    rng = random.Random(7)
    fact = logged(
        tmp_path, lambda ago, n: ("/a", 500 if rng.random() < 0.05 else 404 if rng.random() < 0.1 else 200, 0.1)
    )
    assert fact.failed_lately == (0, 0)
    assert fact.refused_lately == (0, 0, 0)


def test_one_path_that_fails(tmp_path: Path) -> None:
    def answer(ago: float, n: int) -> Answer:
        flaky, path = n % 10 == 3, "/pay" if n % 50 == 0 else "/flaky" if n % 10 == 3 else f"/o/{n}"
        return path, 500 if (path == "/pay" and ago <= 25) or (flaky and n % 100 == 3) else 200, 0.1

    fact = logged(tmp_path, answer, a_minute=40)
    path, failed, requests, failed_before, before = fact.turned[0]
    assert (path, failed, failed_before) == ("/pay", 20, 0)
    assert failed <= requests <= failed + 4
    assert before == pytest.approx(192, abs=2)


def test_slow_answers_of_the_last_twenty_minutes(tmp_path: Path) -> None:
    rng = random.Random(3)

    def answer(ago: float, n: int) -> Answer:
        search = n % 4 == 0
        return "/search" if search else "/o", 200, rng.uniform(0.02, 0.12) * (30 if search and ago <= 20 else 1)

    fact = logged(tmp_path, answer)
    assert [p95 is not None and p95 > 1 for p95 in fact.p95_sixths] == [True, True, False, False, False, False]
    assert all(p95 == pytest.approx(0.115, rel=0.05) for p95 in fact.p95_slices)
    ((path, p95, p95_before, p50, p50_before, requests),) = fact.slower
    assert path == "/search"
    assert requests == pytest.approx(100, abs=2)
    assert p95 == pytest.approx(3.45, rel=0.1)
    assert p95_before == pytest.approx(0.115, rel=0.1)
    assert p50 / p50_before == pytest.approx(30, rel=0.2)


def test_requests_between_the_lines_of_an_application(tmp_path: Path) -> None:
    line = "{iso} INFO job {number} done\n{iso} INFO app.views GET {path} {status} 12ms\n{iso} DEBUG {number} rows"
    fact = logged(tmp_path, lambda ago, n: ("/a", 500 if ago <= 20 else 200, 0.1), line)
    assert fact.subject == f"requests in {tmp_path}/access.log"
    assert fact.log == f"{tmp_path}/access.log"
    assert fact.failed_lately == (400, 400)


def test_fields_named_at_the_beginning_of_a_file(tmp_path: Path) -> None:
    rows = [
        "#Software: Microsoft Internet Information Services 10.0",
        "#Fields: date time cs-method cs-uri-stem sc-status time-taken",
    ]
    for ago in range(20_000, 0, -2):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW - ago))
        rows.append(f"{at} GET /a {500 if ago < 600 else 200} 15")
    (tmp_path / "u_ex.log").write_text("\r\n".join(rows) + "\r\n")
    fact = read(tmp_path / "u_ex.log", NOW - HOUR)
    assert fact.failed_lately == (299, 299)
    assert fact.p95 == pytest.approx(0.015, rel=0.02)


def test_requests_that_cease(tmp_path: Path) -> None:
    fact = logged(tmp_path, lambda ago, n: ("/a", 200, 0.1))
    assert fact.end is not None
    assert fact.end[0] == pytest.approx(600, abs=30)
    assert fact.end[1] == pytest.approx(200, abs=12)
    assert all(n / seconds == pytest.approx(20 / 60, rel=0.02) for seconds, n, _, _ in fact.slices)
    few = (tmp_path / "access.log").read_text().split("\n")[:-260]
    (tmp_path / "access.log").write_text("\n".join(few) + "\n")
    ceased = read(tmp_path / "access.log", NOW - HOUR).end
    assert ceased is not None
    assert ceased[1] == 0


def test_a_log_of_something_else_has_no_traffic(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("2026-11-24 10:00:00 INFO fine\n" * 500)
    spans = Spans(Wanted((str(log),)), 0.0, asked=True)
    list(spans.find(Deadline(10)))
    assert list(traffic(spans, Deadline(10))) == []
    spans.close()


def test_a_quantile_is_within_two_percent() -> None:
    layout = layout_of([AT + b'200 5 "-" "x" 0.012'] * 40)
    assert layout is not None
    counted = Counted(layout)
    rows = [n * n / 1e4 + 0.001 for n in range(1, 2000)]
    counted.add(Block(b"".join(AT + b'200 5 "-" "x" %.4f\n' % took for took in rows), Place(0, 0), 0))
    for share in (0.01, 0.5, 0.9, 0.99):
        assert quantile(counted.times[0], share) == pytest.approx(rows[math.ceil(share * len(rows)) - 1], rel=0.011)
    assert quantile({}, 0.5) is None


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([AT, b'"', b" 200 ", b"\n"])), max_size=12),
)
def test_any_bytes_are_read(form: str, junk: list[bytes]) -> None:
    line = FORMS[form][0]
    layout_of([*junk, line])
    layout = layout_of([line] * 40)
    assert layout is not None
    counted = Counted(layout)
    counted.add(Block(b"\n".join([line, b"".join(junk), line, *junk]), Place(0, 0), 0))
    assert sum(counted.statuses[0].values()) >= 1


@pytest.mark.parametrize(
    "unit", [b'"', b" ", b'" "', b"1.0 ", b'"GET /', b"=1", b"- ", b'"status":', b" path=/a"], ids=repr
)
def test_a_long_line_takes_no_long_time(unit: bytes) -> None:
    for line, _ in FORMS.values():
        layout = layout_of([line] * 40)
        assert layout is not None
        before = time.thread_time()
        Counted(layout).add(Block((line + unit * (20_000 // len(unit)) + b"\n") * 2, Place(0, 0), 0))
        assert time.thread_time() - before < 5

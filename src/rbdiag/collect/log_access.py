"""How servers write down the requests they answered: the formats of access logs, and what each tells of a request.

A layout is learnt from some lines of a log: where the path, the status and the time it took stand, and in which unit.
A unit comes from the name beside the number. Without a name: a number with a decimal point is seconds, a whole one
of five digits and more in most lines microseconds (Apache's %D). What remains stays undecided, and such a log has no
times: small whole numbers may be seconds (%T), milliseconds, or something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """Where a line of an access log tells what. `request` has the groups path, status, time, in any order.

    `seconds` is what one of the time's units is; None where the log has no times, or their unit is not certain.
    """

    name: str
    request: re.Pattern[bytes]
    seconds: float | None = None


_METHOD = (
    rb"(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|CONNECT|TRACE|PROPFIND|PROPPATCH|REPORT|MKCOL|MOVE|COPY|LOCK|UNLOCK"
    rb"|PURGE|SEARCH|QUERY|PRI)"
)
_REQUEST = re.compile(rb'"(?:\x1b\[[\d;]{0,12}m)*' + _METHOD + rb" (?:/|\*|https?://|[\w.-]+:\d)")
# So many of a log's lines must be requests; so many of a sample are looked at; no line is looked at further than this.
_MOSTLY, _SAMPLE, _LINE = 0.8, 400, 8192

# A number, perhaps with its unit, as Go writes durations.
_AMOUNT = rb"\d+(?:\.\d+)?(?:[eE]-?\d+)?(?:(?:[mun]|\xc2\xb5|\xce\xbc)?s(?![\w]))?"
# What colours a terminal, which some write into their files.
_COLOUR = rb"(?:\x1b\[[\d;]{0,12}m)*"
_STATUS = rb"(?P<status>[1-5]\d\d)"
_URL = rb'(?P<path>[^\s"\\]{0,2000})'
# A request line in quotes, also what is none (a TLS greeting to a plain port), then the status.
_QUOTED = (
    b'"' + _COLOUR + b"(?:[A-Z]{3,12} " + _URL + rb'[^"\n]{0,6000}|[^"\n]{0,6000})"'
    rb"(?:[ ,]{1,2}| from \S{1,80} - )(?:HTTP/[\d.]{1,3} )?" + _STATUS + rb"(?=[ ,\n\r]|$)"
)  # fmt: skip
_TEXT = rb'"[^"\n]*"'
# The first of a kind in a line, and no other is tried: lines may hold a thousand. The group is closed behind it.
_FIRST = rb"^(?>[^\n]{0,4000}?"
# Forms with a time at a place of their own; _UNITS says in which unit it is.
_PLAIN: tuple[tuple[str, bytes], ...] = (
    # the third of five timers is the answer's, the last is all; then status, bytes, captures, "request"
    ("HAProxy", rb" \S+/\S+ -?\d+/-?\d+/-?\d+/-?\d+/\+?(?P<time>\d+) " + _STATUS + rb" \+?\d+ "
                rb'[^"\n]{0,2000}"[A-Z]{3,12} ' + _URL),
    # AWS: three times, -1 for none, of which the second is the target's
    ("load balancer", rb"^\S+ \d{4}-\d\d-\d\dT\S+ \S+ \S+:\d+ \S+ -?[\d.]+ (?P<time>-?\d+(?:\.\d+)?) -?[\d.]+ "
                      + _STATUS + rb' [^"\n]{0,200}"[A-Z-]{1,12} ' + _URL),
    # and Istio: bytes in, bytes out, duration, the upstream's
    ("Envoy", rb'\] "[A-Z-]{1,12} ' + _URL + rb'[^"\n]{0,2000}" ' + _STATUS + rb" [A-Z,-]+ "
              rb'(?:\S+ \S+ (?:"[^"\n]*" )?)?\d+ \d+ (?P<time>\d+) (?:\d+|-) "'),
    # a request's number, router, server, duration
    ("Traefik", _QUOTED + rb" \d+ " + _TEXT + b" " + _TEXT + rb" \d+ " + _TEXT + b" " + _TEXT + rb" (?P<time>\d+)ms"),
    ("router", _FIRST + rb'\bpath="?' + _URL + rb')"?[^\n]{0,2000}? service=(?P<time>\d+)ms status=' + _STATUS),
    ("Gin", rb"\[GIN\] [^\n|]{1,60}\|[^\n|]{0,12}?" + _STATUS + rb"[^\n|]{0,12}\|\s*(?P<time>" + _AMOUNT + rb")\s*\|"
            rb'[^\n|]{0,80}\|[^\n"]{0,40}"' + _URL),
    ("Rails", _FIRST + rb"\bpath=" + _URL + rb")[^\n]{0,2000}? status=" + _STATUS
              + rb"(?:[^\n]{0,500}? duration=(?P<time>[\d.]+))?"),
)  # fmt: skip
_DURATIONS = b"duration|elapsed|took|latency|time|request_time|response_time"
# Lines in which programs tell their own requests: no quotes, often other lines between them. A time there has its unit.
_WITH_UNIT = rb"(?P<time>\d+(?:\.\d+)? ?(?:[mun]|\xc2\xb5|\xce\xbc)?s)(?!\w)"
_BARE = rb"(?P<path>(?:https?://[^\s/\"]{1,200})?/[^\s\"\\]{0,2000})"
_TOLD: tuple[tuple[str, bytes], ...] = (
    # morgan, Serilog, and whoever writes METHOD PATH STATUS
    ("program", rb"(?:^|[\s\]|:\x22'=]|\x1b\[[\d;]{0,12}m)" + _METHOD + rb'[ \t]+"?' + _BARE
                + rb'(?: HTTP/[\d.]{1,3})?"?' + _COLOUR + rb"(?:[ \t,:;|-]|->|=>|\xe2\x86\x92){1,4}"
                rb"(?:(?:responded|returned|completed|finished|with|status|code|HTTP/[\d.]{1,3})[=: ]{1,2}){0,3}"
                + _COLOUR + _STATUS + rb"(?=[\s,;|)\]\x1b]|$)(?:[^\n]{0,60}?[\s(=|]" + _WITH_UNIT + b")?"),
    ("table", rb"\|[ \t]*" + _COLOUR + rb"[ \t]*" + _STATUS + rb"[ \t]*" + _COLOUR + rb"[ \t]*\|[ \t]*" + _WITH_UNIT
              + rb"[ \t]*\|[^\n|]{0,80}\|[^\n|]{0,20}?" + _METHOD + rb'[^\n"/]{0,20}"?' + _BARE),
    ("status first", rb"\[" + _STATUS + rb"\]:? " + _METHOD + rb" " + _BARE),
    ("key=value", _FIRST + rb"\bstatus(?:_code)?=\x22?" + _STATUS + rb")\b"
                  rb"[^\n]{0,2000}?\b(?:path|uri|url)=\x22?" + _BARE),
    ("key=value", _FIRST + rb"\b(?:path|uri|url)=\x22?" + _BARE
                  + rb")\x22?[^\n]{0,2000}?\b(?:status|status_code|code)=\x22?" + _STATUS + rb"\b"
                  rb"(?:[^\n]{0,500}?\b(?:" + _DURATIONS + rb")=\x22?" + _WITH_UNIT + b")?"),
)  # fmt: skip
_STATUSES = frozenset((
    *range(100, 104), *range(200, 209), 218, 226, *range(300, 309), *range(400, 432), 440, 444, *range(449, 452),
    *range(460, 465), *range(494, 500), *range(500, 512), *range(520, 531), 561, 598, 599,
))  # fmt: skip
# Of a log of other lines so many must be requests.
_PARTLY, _FEWEST = 0.2, 5
_UNITS = {
    "Gin": 1.0,
    "HAProxy": 1e-3,
    "load balancer": 1.0,
    "Envoy": 1e-3,
    "Traefik": 1e-3,
    "Rails": 1e-3,
    "router": 1e-3,
}

# Names of times and their units; of a name without a unit in it the form of the numbers decides.
_TIME_NAMES = (
    rb"request_time|rt|req_time|requestTime|response_time|responseTime|resp_time|request_duration|duration|latency|elapsed"
    rb"|elapsed_time|took|time_taken|time|total_time|processing_time|durationNano|Duration|response_duration|request_latency"
)
_SUFFIX = (
    rb"_?-?(?:s|sec|secs|seconds|ms|msec|msecs|millis|milliseconds|Ms|Millis|us|usec|micros|microseconds|Micros"
    rb"|ns|nanos)?"
)
_BESIDE = rb"(?P<unit>(?:[mun]|\xc2\xb5|\xce\xbc)?s)?"
_ENDING = re.compile(
    r"(?<=[a-z])_?-?(sec|secs|seconds|ms|msec|msecs|millis|milliseconds|us|usec|micros|microseconds|ns|nanos)\Z|_s\Z"
)
_KEY_VALUE = re.compile(
    rb"[\s\"',;](?P<key>(?:" + _TIME_NAMES + rb")" + _SUFFIX + rb")[=:] ?\"?(?P<value>\d+(?:\.\d+)?)" + _BESIDE
    + rb"(?![\w.:])"
)  # fmt: skip
_JSON_TIME = re.compile(
    rb'"(?P<key>(?:' + _TIME_NAMES + rb"|upstream_response_time|event\.duration)" + _SUFFIX
    + rb')" ?: ?"?(?P<value>-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)' + _BESIDE + rb'"?(?=[,}\s])'
)  # fmt: skip
_JSON_STATUS = re.compile(
    rb'"(?P<key>status|status_code|statusCode|response_status|responseStatus|response_code|code|DownstreamStatus'
    rb'|http_status|http\.response\.status_code|StatusCode|sc-status)" ?: ?"?(?P<value>[1-5]\d\d)"?(?=[,}\s])'
)
_JSON_PATH = re.compile(
    rb'"(?P<key>request_uri|uri|path|url|RequestPath|request|requestUri|http_path|url\.path|requestPath|uri_path'
    rb'|cs-uri-stem)" ?: ?"(?P<value>(?:[A-Z]{3,10} )?(?:https?://[^"/\s]*)?/[^"\s]*)'
)
_SECONDS = {
    "": None, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "msecs": 1e-3,
    "millis": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "usec": 1e-6, "micros": 1e-6, "microseconds": 1e-6,
    "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9, "nanos": 1e-9,
}  # fmt: skip
# Names whose unit their writers fixed: Traefik, ECS, pino.
_FIXED = {"Duration": 1e-9, "event.duration": 1e-9, "durationNano": 1e-9, "responseTime": 1e-3}


def layout_of(lines: Iterable[bytes]) -> Layout | None:
    """How this log writes requests, if nearly all of these lines are requests; else None."""
    sample = [line[:_LINE].rstrip(b"\r") for line, _ in zip(lines, range(4 * _SAMPLE), strict=False) if line.strip()]
    if fields := next((line for line in reversed(sample) if line.startswith(b"#Fields: ")), None):
        return _w3c(fields, any(line.startswith(b"#Software: Microsoft") for line in sample))
    sample = [line for line in sample if not line.startswith(b"#")][-_SAMPLE:]
    if not sample:
        return None
    if sum(b'":' in line or b'" :' in line for line in sample) >= _MOSTLY * len(sample):
        return _json(sample)
    for name, regex in _PLAIN:
        pattern = re.compile(b"(?m)" + regex)
        if _mostly(pattern, sample):
            return Layout(name, pattern, _UNITS[name])
    if _mostly(_REQUEST, sample) and _mostly(_compiled(_QUOTED), sample):
        return _quoted(sample)
    return next((layout for layout in _programs() if _tells(layout, sample, _MOSTLY)), None)


def layout_among(lines: Iterable[bytes]) -> Layout | None:
    """How a log of other lines writes requests among them, if they are a fifth of its records; else None."""
    sample = [line[:_LINE].rstrip(b"\r") for line, _ in zip(lines, range(4 * _SAMPLE), strict=False) if line.strip()]
    sample = [line for line in sample if not line[:1].isspace() and not line.startswith(b"#")][-_SAMPLE:]
    least = max(_FEWEST, math.ceil(_PARTLY * len(sample)))
    json = [line for line in sample if _JSON_STATUS.search(line) and _JSON_PATH.search(line)]
    if len(json) >= least:
        return _json(json)
    for name, regex in _PLAIN:
        pattern = re.compile(b"(?m)" + regex)
        if sum(pattern.search(line) is not None for line in sample) >= least:
            return Layout(name, pattern, _UNITS[name])
    found = [line for line in sample if _REQUEST.search(line) and _compiled(_QUOTED).search(line)]
    if len(found) >= least:
        return _quoted(found)
    share = least / max(1, len(sample))
    return next((layout for layout in _programs() if _tells(layout, sample, share)), None)


def _tells(layout: Layout, sample: Sequence[bytes], share: float) -> bool:
    """Whether so many lines tell requests so, and the numbers are statuses: of sizes most would be none."""
    found = [int(hit["status"]) for line in sample if (hit := layout.request.search(line)) is not None]
    return len(found) >= share * len(sample) and sum(s in _STATUSES for s in found) >= 0.95 * len(found)


def _programs() -> list[Layout]:
    return [Layout(name, _compiled(regex), 1.0 if b"<time>" in regex else None) for name, regex in _TOLD]


def is_access(lines: Sequence[bytes]) -> bool:
    """Whether these lines are of an access log: nearly all tell a request and the status it was answered with."""
    return layout_of(lines) is not None


def _compiled(regex: bytes) -> re.Pattern[bytes]:
    return re.compile(b"(?m)" + (regex if b"<time>" in regex else regex + b"(?P<time>)"))


def _mostly(pattern: re.Pattern[bytes], sample: Sequence[bytes]) -> bool:
    return sum(pattern.search(line) is not None for line in sample) >= _MOSTLY * len(sample)


def _quoted(sample: Sequence[bytes]) -> Layout:
    """nginx, Apache, and whoever writes as they do. A time may have a name, or stand alone behind all the rest."""
    pattern = _compiled(_QUOTED)
    rests = [line[found.end() :] for line in sample if (found := pattern.search(line)) is not None]
    named = [found for rest in rests if (found := _KEY_VALUE.search(rest)) is not None]
    if len(named) >= _MOSTLY * len(rests):
        key = named[0]["key"]
        seconds = _unit(key, [found["value"] for found in named], named[0]["unit"] or b"")
        if seconds is not None:
            tail = rb"[^\n]{0,6000}?[\s\"',;]" + re.escape(key) + rb"[=:] ?\"?(?P<time>" + _AMOUNT + b")"
            return Layout("combined", _compiled(_QUOTED + b"(?:" + tail + b")?"), seconds)
    # Behind the size, or behind the quoted fields, of which the last is who asked. A whole number counts only where it
    # ends the line by itself: of two, or of one that goes with the size, each may be bytes (Apache's %I and %O).
    for shape in (
        rb' (?P<size>\d+|-)(?: "[^"\n]{0,4000}"){2,4} "?(?P<time>\d+(?:\.\d+)?)"?[ \r]*$',
        rb" (?P<size>\d+|-) (?P<time>\d+(?:\.\d+)?)[ \r]*$",
        rb' (?P<size>\d+|-)(?: "[^"\n]{0,4000}"){2,4} (?:\*\*\d+/)?"?(?P<time>\d+\.\d+)"?(?=[ \r\n]|$)',
        rb'(?P<size>)(?: "[^"\n]{0,4000}"| [^ "\n]{1,200}){1,12} (?P<time>\d+\.\d+)[ \r]*$',
    ):
        timed = _compiled(_QUOTED + shape)
        hits = [found for line in sample if (found := timed.search(line)) is not None]
        if len(hits) < _MOSTLY * len(rests) or sum(_is_bytes(found) for found in hits) > len(hits) / 2:
            continue
        if (seconds := _unit(b"", [found["time"] for found in hits], b"")) is not None:
            return Layout("combined", _compiled(_QUOTED + b"(?:" + shape + b")?"), seconds)
    return Layout("combined", pattern)


def _is_bytes(found: re.Match[bytes]) -> bool:
    """Whether a whole number is the size with its headers."""
    size, value = found["size"], found["time"]
    return size.isdigit() and value.isdigit() and 0 <= int(value) - int(size) <= 2000


def _json(sample: Sequence[bytes]) -> Layout | None:
    """One object a line. Keys stand in an order that the writer keeps to; so one regex finds them."""
    status = [found for line in sample if (found := _JSON_STATUS.search(line)) is not None]
    path = [found for line in sample if (found := _JSON_PATH.search(line)) is not None]
    if min(len(status), len(path)) < _MOSTLY * len(sample):
        return None
    times = [found for line in sample if (found := _took(line)) is not None]
    before = rb'"(?:[A-Z]{3,10} )?(?:https?://[^"/\s]*)?'
    fields = [
        (status[0].start(), "status", status[0]["key"], b'"?' + _STATUS),
        (path[0].start(), "path", path[0]["key"], before + rb'(?P<path>[^"\s]{0,2000})'),
    ]
    seconds = None
    if len(times) >= _MOSTLY * len(sample) / 2:
        key = times[0]["key"]
        seconds = _unit(key, [found["value"] for found in times if found["key"] == key], times[0]["unit"] or b"")
        if seconds is not None:
            fields.append((times[0].start(), "time", key, rb'"?(?P<time>' + _AMOUNT + b")"))
    fields.sort()
    looks = [rb'[^\n]{0,8000}?"' + re.escape(key) + rb'" ?: ?' + value for _, _, key, value in fields]
    ordered = _compiled(b"^" + b"".join(looks))
    if all(ordered.search(line) for line in sample):
        return Layout("JSON", ordered, seconds)
    # each by itself, whatever the order: a writer may leave a key out, or sort them by hash
    names = [name for _, name, _, _ in fields]
    free = [b"(?:(?=" + look + b"))" + b"?" * (name == "time") for name, look in zip(names, looks, strict=True)]
    return Layout("JSON", _compiled(b"^" + b"".join(free)), seconds)


def _took(line: bytes) -> re.Match[bytes] | None:
    """The time that a request took, in a line of JSON: no time of day, and rather a name that says what it is."""
    nano = (b"Duration", b"event.duration")
    hits = [hit for hit in _JSON_TIME.finditer(line) if float(hit["value"]) < 1e9 or hit["key"] in nano]
    return next((hit for hit in hits if hit["key"] != b"time"), hits[0] if hits else None)


def seconds_of(amount: bytes, unit: float) -> float:
    """What a time of a request is in seconds: by the unit that it has itself, else by the layout's."""
    number = amount.rstrip(b"smun\xc2\xb5\xce\xbc")
    own = amount[len(number) :]
    return float(number) * ((_SECONDS.get(own.decode("utf-8", "replace")) or unit) if own else unit)


def _w3c(fields: bytes, microsofts: bool) -> Layout | None:
    """IIS and others of the W3C's form: a line of field names, values between blanks."""
    names = fields.removeprefix(b"#Fields: ").split()
    values = {b"cs-uri-stem": rb"(?P<path>\S+)", b"sc-status": _STATUS, b"time-taken": rb"(?P<time>[\d.]+)"}
    if not {b"cs-uri-stem", b"sc-status"} <= set(names):
        return None
    regex = b"^(?!#)" + b" ".join(values.get(name, rb"\S+") for name in names) + rb"\s*$"
    timed = b"time-taken" in names and (microsofts or b"sc-win32-status" in names)
    # IIS, which alone has Windows' status, writes milliseconds; of others the form's seconds are not certain
    return Layout("W3C", _compiled(regex), 1e-3 if timed else None)


def _unit(key: bytes, values: Sequence[bytes], unit: bytes) -> float | None:
    """Seconds of one unit of these numbers, by the unit beside them, by their name, else by their form."""
    name = key.decode("ascii", "replace")
    if unit:
        return _SECONDS.get(unit.decode("utf-8", "replace"))
    if name in _FIXED:
        return _FIXED[name]
    spelt = re.sub(r"(Ms|Millis|Micros)\Z", lambda found: "_" + found[1].lower(), name)
    if ending := _ENDING.search(spelt):
        return _SECONDS[ending[1] or "s"]
    if sum(b"." in value for value in values) >= 0.9 * len(values):
        numbers = sorted(float(value) for value in values)
        tiny = numbers[len(numbers) // 20] < 0.05 and numbers[len(numbers) // 2] < 1
        # nginx writes seconds; what others call a duration may be milliseconds with a fraction, of which none are tiny
        return 1.0 if not key or key in (b"request_time", b"rt", b"upstream_response_time") or tiny else None
    whole = sorted(int(value) for value in values if value.isdigit())
    if key or len(whole) < len(values):
        return None
    usual = whole[len(whole) // 4] >= 500 and whole[len(whole) // 2] >= 2500 and whole[-1] >= 10_000
    return 1e-6 if usual else None

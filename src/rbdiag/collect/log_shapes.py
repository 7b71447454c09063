"""How programs write a time: the shapes of it, what may stand before it in a line, and the second that it means.

A shape is never a guess: what two readings fit (03/04/2026), what is no date (30 February) and what no log can have
written (a number that lies years ahead) is no time at all.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_NAME = rb"(?P<b>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))[a-z]{0,6}"
_WEEKDAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = (
    rb"(?P<H>\d{1,2}):(?P<M>[0-5]\d):(?P<S>[0-5]\d|60)(?:[.,:](?P<f>\d{1,9}))?"
    rb"(?:(?: |\xe2\x80\xaf)?(?P<half>[APap][Mm])(?!\w))?(?!\d|:\d)"
)
# Names of zones that mean one thing in logs the world over. What else is written (IST, CST) is left to the host's zone.
_ZONES = {
    b"Z": 0, b"UTC": 0, b"GMT": 0, b"WET": 0, b"WEST": 60, b"CET": 60, b"CEST": 120, b"MET": 60, b"MEST": 120,
    b"EET": 120, b"EEST": 180, b"MSK": 180, b"PST": -480, b"PDT": -420, b"MDT": -360, b"EST": -300, b"EDT": -240,
    b"JST": 540, b"KST": 540, b"AEST": 600, b"AEDT": 660, b"NZST": 720, b"NZDT": 780,
}  # fmt: skip
_ZONE = (
    rb"(?:[ ]?(?P<z>" + b"|".join(sorted(_ZONES, reverse=True)) + rb"|[+-]\d\d:?\d\d|[+-]\d\d(?= ?[\[\]]))(?![\w:]))?"
)
_DAY = rb"(?P<d>[ 0]?[1-9]|[12]\d|3[01])"
# not within a word or a number, but for the end of a colour
_FREE = rb"(?:(?<![\w.+])|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm))"

# The most telling first: where two fit a line, the first one has it.
SHAPES: dict[str, bytes] = {
    # MySQL, MariaDB (two blanks), Python, Java, nginx, Go, Docker, PostgreSQL, ...
    "ISO 8601": _FREE
    + rb"(?P<Y>20\d\d)[-/.](?P<m>[01]\d)[-/.](?P<d>[0-3]\d)(?:[Tt_-]|[ \t]{1,2}|, ?)"
    + _CLOCK + _ZONE,
    "ISO 8601, compact": _FREE + rb"(?P<Y>20\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d)"
    rb"(?:[T ](?P<H>[0-2]\d):?(?P<M>[0-5]\d):?(?P<S>[0-5]\d)(?:[.,](?P<f>\d{1,9}))?(?!\d))" + _ZONE,
    # Apache's error log, uWSGI, dmesg -T, date(1)
    "ctime": _WEEKDAY + rb" " + _NAME + rb" {1,2}" + _DAY + rb" " + _CLOCK + _ZONE + rb" (?P<Y>20\d\d)(?!\d)",
    "RFC 2822": _WEEKDAY + rb", (?P<d>\d{1,2}) " + _NAME + rb" (?P<Y>20\d\d) " + _CLOCK + _ZONE,
    # access logs, PHP, Tomcat, Redis, RabbitMQ
    "day, month's name, year": rb"(?<![\w.])(?P<d>\d{1,2})[/ -]" + _NAME + rb"[/ -](?P<Y>20\d\d)(?::{1,2}| )"
    + _CLOCK + _ZONE,
    "month's name, day, year": rb"(?<!\w)" + _NAME + rb" " + _DAY + rb",? (?P<Y>20\d\d),? " + _CLOCK + _ZONE,
    "syslog": rb"(?<!\w)" + _NAME + rb" {1,2}" + _DAY + rb" " + _CLOCK,
    "day and month's name": rb"(?<![\w.])(?P<d>\d{1,2}) " + _NAME + rb" " + _CLOCK,
    "klog": rb"(?<!\w)[IWEFD](?P<Y>20\d\d)?(?P<m>[01]\d)(?P<d>[0-3]\d) " + _CLOCK,
    # mysqld_safe, and MariaDB when it dies
    "MySQL, old": _FREE + rb"(?P<Y>\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d) {1,2}" + _CLOCK,
    "day.month.year": _FREE + rb"(?P<d>[0-3]\d)\.(?P<m>[01]\d)\.(?P<Y>20\d\d),? " + _CLOCK + _ZONE,
    "month/day/year": _FREE + rb"(?P<m>[01]?\d)/(?P<d>[0-3]?\d)/(?P<Y>(?:20)?\d\d),? " + _CLOCK + _ZONE,
    "day/month/year": _FREE + rb"(?P<d>[0-3]?\d)/(?P<m>[01]?\d)/(?P<Y>(?:20)?\d\d),? " + _CLOCK + _ZONE,
    "kernel": rb"(?<=\[) {0,6}(?P<boot>\d{1,8}\.\d{6})(?=\])",
    "TAI64N": rb"(?<!\w)@40000000(?P<tai>[0-9a-f]{16})(?!\w)",
    "epoch": rb"(?<![\w.+-])(?P<epoch>[12]\d{9}(?:\d{3}){0,3}(?:\.\d{1,9})?)(?![\w.]|-\d)",
    "epoch, exponent": rb"(?<![\w.+-])(?P<epoch>[12]\.\d{6,18}[eE]\+?0?9)(?!\w)",
}  # fmt: skip
AMBIGUOUS = ("month/day/year", "day/month/year")
# Of these only those at a line's very beginning, or behind a key, are times and not numbers.
NUMBERS = ("epoch", "epoch, exponent")


class Stamp(NamedTuple):
    """A time found in a line, where it ends in it, and whether the line told its zone.

    `later` is what it would mean in the second of two hours of the same name, when clocks are set back; else `at`.
    `wall` is what the clock showed, read as if it were UTC.
    """

    at: float
    end: int
    zoned: bool
    later: float
    wall: float


@lru_cache(maxsize=256)
def compiled(regex: bytes) -> re.Pattern[bytes]:
    return re.compile(regex)


def told(found: re.Match[bytes], now: float) -> Stamp | None:
    """What a match of a shape means; None where there is no such time, or no log can have written it by `now`."""
    part = found.groupdict()
    if number := part.get("epoch"):
        digits = len(number.partition(b".")[0])
        at = float(number) / 10.0 ** max(0, digits - 10)
        # a number that lies outside is an id, an amount, a telephone number
        return Stamp(at, found.end(), True, at, at) if now - _OLDEST < at < now + _AHEAD else None
    if boot := part.get("boot"):
        at = booted_at() + float(boot)
        return Stamp(at, found.end(), True, at, at) if at < now + _AHEAD else None
    if tai := part.get("tai"):
        at = int(tai[:8], 16) - 10 + int(tai[8:], 16) / 1e9  # TAI was 10 s ahead when the form was made
        return Stamp(at, found.end(), True, at, at)
    fraction = float(b"0." + (part.pop("f", None) or b"0"))
    moment = _moment(tuple(part.items()), int(now // 86400), time.tzname)
    if moment is None:
        return None
    at, later, wall, zoned = moment
    return Stamp(at + fraction, found.end(), zoned, later + fraction, wall + fraction)


_OLDEST, _AHEAD = 15 * 366 * 86400.0, 2 * 86400.0
# A calendar's date may be further ahead than a number: a clock that is wrong by a day or a year is worth telling.
_FARTHEST = 400


@lru_cache(maxsize=4096)
def _moment(
    parts: tuple[tuple[str, bytes | None], ...], today: int, zone_names: tuple[str, str]
) -> tuple[float, float, float, bool] | None:
    """Whole seconds since the epoch, from the parts of a time; None for one that does not exist.

    Without a zone it is this host's; without a year, the last such day up to the day after `today`.
    """
    from datetime import UTC, datetime, timedelta, timezone

    part = dict(parts)
    hour, second = int(part["H"] or b"0"), int(part["S"] or b"0")
    if half := part.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[:1] in b"Pp" else 0)
    month = int(part["m"] or b"0") if "m" in part else _MONTHS[(part["b"] or b"").lower()]
    latest = datetime.fromtimestamp((today + 2) * 86400)
    known = part.get("Y")
    years = (int(known) + (2000 if len(known) < 4 else 0),) if known else (latest.year, latest.year - 1)
    leap = second == 60
    at = None
    for year in years:
        try:
            at = datetime(year, month, int(part["d"] or b"0"), hour, int(part["M"] or b"0"), min(second, 59))
        except ValueError:
            continue  # 29 February of another year, hour 25: it only looks like a time
        if at <= latest or known:
            break
    if at is None or at > latest + timedelta(days=_FARTHEST if known else 0):
        return None
    zone = part.get("z")
    if zone is None:
        first, again = at.timestamp() + leap, at.replace(fold=1).timestamp() + leap
        return first, max(first, again), at.replace(tzinfo=UTC).timestamp() + leap, False
    if zone in _ZONES:
        minutes = _ZONES[zone]
    else:
        minutes = int(zone[1:3]) * 60 + int(zone[3:].lstrip(b":") or b"0")
        minutes = -minutes if zone[:1] == b"-" else minutes
    if abs(minutes) >= 24 * 60:
        return None
    exact = at.replace(tzinfo=timezone(timedelta(minutes=minutes))).timestamp() + leap
    return exact, exact, exact, True


@lru_cache(maxsize=1)
def booted_at() -> float:
    """When the kernel started, by its own account; the epoch where it does not say."""
    try:
        with open("/proc/stat", "rb") as stat:
            found = re.search(rb"^btime (\d+)", stat.read(), re.M)
    except OSError:
        found = None
    return float(found[1]) if found else 0.0


# A log's writer may live in another zone (a container in UTC). The file was last written when its last line was: where
# both differ by whole quarters of an hour, to within this many seconds, that is the difference between the zones.
_QUARTER, _CLOSE, _WIDEST = 900.0, 5.0, 14 * 3600.0


def zone_shift(last: float, written_at: float) -> float:
    """What to add to the times of a log that tell no zone, from the time of its last line and of its last change."""
    quarters = round((written_at - last) / _QUARTER) * _QUARTER
    close = abs(written_at - last - quarters) <= _CLOSE
    return quarters if close and abs(quarters) <= _WIDEST else 0.0


# Where the world's clocks stand against UTC, in quarters of an hour.
_OFFSETS = {4 * hour for hour in range(-12, 15)} | {-38, -14, -10, 14, 18, 22, 23, 26, 35, 38, 42, 51, 55}


def writers_offset(last: Stamp, written_at: float) -> float | None:
    """How far the writer's clock is from UTC where it lives in another zone than we; None where nothing says so.

    A log's last line tells, unless it may be that of the second hour when clocks are set back.
    """
    shift = zone_shift(last.at, written_at)
    if not shift or abs(last.later - written_at) <= _QUARTER / 2:
        return None
    offset = last.wall - last.at - shift
    return offset if offset / _QUARTER in _OFFSETS else None


# What may stand before a time.

_LEVEL = (
    rb"(?i:trace|debug|info(?:rmation)?|notice|note|warn(?:ing)?|err(?:or)?|crit(?:ical)?|alert|emerg|fatal|severe"
    rb"|panic|fine[rs]?t?|config|system|[DIWEFNC])"
)
_COLOUR = rb"(?:\x1b\[[\d;]{0,12}m)*"
_OPEN = _COLOUR + rb"[\[(<\"'|]?" + _COLOUR
# Some write a byte order mark first.
_BEGIN = rb"(?:\xef\xbb\xbf)?"


class Lead(NamedTuple):
    """What stands before a time. `loose` is how little it says that a time follows: 0 for what always does."""

    regex: bytes
    loose: int


LEADS: dict[str, Lead] = {
    "begin": Lead(_BEGIN + _OPEN, 0),
    "priority": Lead(_BEGIN + rb"<\d{1,3}>(?:1 )?" + _OPEN, 0),
    "audit": Lead(_BEGIN + rb"(?:node=\S{1,64} )?type=\S{1,64} msg=audit\(", 0),
    "uWSGI": Lead(_BEGIN + rb"\[pid: [^\n]{0,256}?\[", 0),
    "slow log": Lead(_BEGIN + rb"(?:# Time: |SET timestamp=)", 0),
    "Erlang": Lead(_BEGIN + rb"=[A-Z ]{4,40} REPORT==== ", 0),
    "Rails": Lead(_BEGIN + rb"Started [A-Z]{3,8} \"[^\n]{0,256}?\" for \S{1,64} at ", 0),
    "level": Lead(
        _BEGIN + _COLOUR + rb"[\[(<]?" + _COLOUR + _LEVEL + rb"[\])>]?" + _COLOUR + rb"[:,]?[ \t]{0,8}[|-]?[ \t]{0,8}"
        rb"(?:\[[^\]\n]{0,64}\][ \t]{1,4})?" + _OPEN,
        1,
    ),
    "container": Lead(_BEGIN + _COLOUR + rb"[\w./-]{1,64} *\|" + _COLOUR + rb"[ \t]{0,4}" + _OPEN, 1),
    "pod": Lead(_BEGIN + rb"\[pod/[\w./-]{1,200}\][ \t]{1,4}" + _OPEN, 1),
    "indented": Lead(_BEGIN + rb"[ \t]{1,8}" + _OPEN, 2),
    **{f"words {n}": Lead(_BEGIN + rb"(?![{ \t])(?:\S{1,64}[ \t]{1,8}){%d}" % n + _OPEN, 3) for n in (1, 2, 3, 4)},
}
# So specific is the time of an access log that anything may stand before it.
ACCESS = Lead(_BEGIN + rb"[^\n]{0,256}?\[", 0)


def lead_of(before: bytes, shape: str) -> str | None:
    """The name of the lead that these bytes before a time are; None where nothing says that it is one."""
    names = ("begin", "priority", "audit", "slow log") if shape in NUMBERS else tuple(LEADS)
    if shape == "day, month's name, year" and before[-1:] == b"[" and len(before) > 1:
        return "access"
    return next((name for name in names if compiled(LEADS[name].regex).fullmatch(before)), None)


def lead(name: str) -> Lead:
    return ACCESS if name == "access" else LEADS[name]


# Keys that hold a line's own time, the surest first: lower case, as they are compared.
KEYS = (
    b"@timestamp", b"timestamp", b"time", b"ts", b"@t", b"t", b"asctime", b"datetime", b"date_time", b"eventtime",
    b"event_time", b"log_time", b"logtime", b"logged_at", b"time_iso8601", b"time_local", b"timestamp_ms",
    b"timemillis", b"instant", b"msec", b"__realtime_timestamp", b"date",
)  # fmt: skip
LOGFMT_KEYS = frozenset((*KEYS[:8], b"date"))
# The value may be wrapped: {"t":{"$date":"..."}} in MongoDB, {"seconds":1700000000,...} in Google's.
_Q = rb"\\{0,7}\""
VALUE = (
    rb"\s{0,2}:\s{0,2}(?:\{\s{0,2}" + _Q + rb"(?:\$date|seconds|epochSecond)" + _Q + rb"\s{0,2}:\s{0,2}"
    rb"(?:\{\s{0,2}" + _Q + rb"\$numberLong" + _Q + rb"\s{0,2}:\s{0,2})?)?(?:" + _Q + rb")?"
)
KEYED = rb"(?P<quote>\\{0,7}\")(?P<key>[\w@]{1,24})(?P=quote)" + VALUE
KEYED_SHAPES = ("ISO 8601", "ISO 8601, compact", "ctime", "RFC 2822", "day, month's name, year", *NUMBERS)

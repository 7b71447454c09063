"""A past for a log: lines that a program really wrote, written again with times of hours ago.

A log whose fault is made now has nothing before it to be compared with, and nobody waits for hours. So the lines of a
healthy run of the same program are taken, and only their times are changed, each in the form that it was written in.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import cycle, islice

Write = Callable[[re.Match[str], float], str]


def _local(form: str) -> Write:
    """Writes the local time in this form of strftime; a fraction of a second keeps its number of digits."""

    def write(match: re.Match[str], at: float) -> str:
        return _with_fraction(match, at, time.strftime(form, time.localtime(at)))

    return write


def _with_fraction(match: re.Match[str], at: float, text: str) -> str:
    fraction = match.groupdict().get("fraction")
    if not fraction:
        return text.replace("@", "")
    return text.replace("@", fraction[0] + f"{at % 1:.9f}"[2 : 1 + len(fraction)])


def _zoned(match: re.Match[str], at: float) -> str:
    """An ISO 8601 time; with Z or an offset in that zone, else in the local one."""
    zone = match["zone"] or ""
    if not zone:
        moment = datetime.fromtimestamp(at)
    elif zone == "Z":
        moment = datetime.fromtimestamp(at, UTC)
    else:
        moment = datetime.fromtimestamp(at, _offset(zone))
    text = moment.strftime(f"%Y-%m-%d{match['gap']}%H:%M:%S@")
    if match["hour"].startswith(" "):  # MariaDB pads the hour with a blank
        text = re.sub(r" 0(\d:)", r"  \1", text)
    return _with_fraction(match, at, text) + zone


def _access(match: re.Match[str], at: float) -> str:
    moment = datetime.fromtimestamp(at, _offset(match["zone"]))
    return moment.strftime("%d/%b/%Y:%H:%M:%S ") + match["zone"]


def _offset(zone: str) -> timezone:
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])))


def _epoch(match: re.Match[str], at: float) -> str:
    return f"{match['key']}{at * 1000:.0f}"


_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d:\d\d:\d\d"
# How the programs of the tests write the time, the first that is found in a line counts.
FORMS: tuple[tuple[re.Pattern[str], Write], ...] = (
    (re.compile(rf"{_DAY} {_MONTH} \d\d {_CLOCK}(?P<fraction>\.\d+)? \d{{4}}"), _local("%a %b %d %H:%M:%S@ %Y")),
    (re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d (?P<zone>[+-]\d{4})"), _access),
    (re.compile(rf"\d{{4}}/\d\d/\d\d {_CLOCK}(?P<fraction>\.\d+)?"), _local("%Y/%m/%d %H:%M:%S@")),
    (
        re.compile(
            r"\d{4}-\d\d-\d\d(?P<gap>[ T])(?P<hour>[ \d]\d):\d\d:\d\d(?P<fraction>[.,]\d+)?"
            r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
        ),
        _zoned,
    ),
    (re.compile(rf"{_MONTH} \d{{1,2}}, \d{{4}} \d{{1,2}}:\d\d:\d\d [AP]M"), _local("%b %-d, %Y %-I:%M:%S %p")),
    (re.compile(rf"^{_MONTH} [ \d]\d {_CLOCK}"), _local("%b %e %H:%M:%S")),
    (re.compile(r'(?P<key>"time":)\d{13}'), _epoch),
    (re.compile(rf"^\d{{6}}  ?{_CLOCK}"), _local("%y%m%d %H:%M:%S")),
)


def stamped(line: str, at: float) -> str:
    """The line with this time in place of its own; as it is where it has none."""
    for form, write in FORMS:
        if match := form.search(line, 0, 120):
            return line[: match.start()] + write(match, at) + line[match.end() :]
    return line


def records(text: str) -> list[str]:
    """The lines of a log, each with the lines without a time that follow it."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if found and not any(form.search(line, 0, 120) for form, _ in FORMS):
            found[-1] += line
        else:
            found.append(line)
    return found


def spread(text: str, begin: float, end: float, count: int = 0, *, only: str = "") -> str:
    """The records of this text, as often as it takes to make so many, at times evenly from begin to end.

    Without a count each is taken once. `only` takes those alone in which this is found.
    """
    chosen = [record for record in records(text) if only in record]
    assert chosen, f"no record holds {only!r}"
    count = count or len(chosen)
    step = (end - begin) / count
    taken = islice(cycle(chosen), count)
    return "".join(stamped(record, begin + step * (number + 0.5)) for number, record in enumerate(taken))


def merged(*texts: str) -> str:
    """Logs of one program made into one, in the order of their times."""
    return "".join(record for _, record in sorted(_keyed(texts), key=lambda pair: pair[0]))


def _keyed(texts: Sequence[str]) -> Iterator[tuple[float, str]]:
    for text in texts:
        at = 0.0
        for record in records(text):
            at = told(record) or at
            yield at, record


def told(line: str) -> float | None:
    """The time that a line tells, to the second; None where it has none."""
    for form, _ in FORMS:
        if match := form.search(line, 0, 120):
            return _read(match[0], match.groupdict())
    return None


def _read(text: str, groups: dict[str, str | None]) -> float:
    if (fraction := groups.get("fraction")) is not None:
        text = text.replace(fraction, "", 1)
    for form in ("%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S",
                 "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%b %d, %Y %I:%M:%S %p", "%y%m%d %H:%M:%S"):  # fmt: skip
        try:
            return datetime.strptime(re.sub(r" +", " ", text), form).timestamp()
        except ValueError:
            continue
    digits = re.search(r"\d{13}$", text)
    assert digits, f"no time that is known here: {text}"
    return int(digits[0]) / 1000

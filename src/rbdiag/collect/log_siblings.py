"""Rotated logs: which files beside a log are its older pieces, told by their names, and in what order.

Sources: logrotate(8) (`.1`, `dateext`, `dateformat`), savelog(8) and newsyslog (`.0`), Python's logging.handlers,
Logback and Log4j 2 (`app.1.log`, `app-2026-11-23.0.log`), lumberjack of Go (`app-2026-11-23T08-00-00.000.log`),
Kubernetes (`0.log.20261123-080000`), svlogd and multilog (`current`, `@400000…`).
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

PACKED = re.compile(r"\.(?:gz|bz2|xz|lzma|zst|zstd|lz4|Z|zip|lzo|br|7z)$")
_DATE = (
    r"(?P<date>(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
    r"(?:[-T_. ]?(?:[01]\d|2[0-4])(?:[-_:.h]?[0-5]\d(?:[-_:.m]?[0-5]\d(?:[.,_-]\d+)?)?)?)?Z?"
    r"|(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])-(?P<year>20\d\d)"
    r"|1\d{9})(?:[-._](?P<index>\d{1,7}))?"
)
# Each way of naming: what of the name is the mark. More than three digits would be a port or a process's number.
_WAYS = {
    "date": re.compile(rf"^(?P<stem>.+?)[-_.]{_DATE}(?P<end>\.[A-Za-z]\w*)?$"),
    "number": re.compile(r"^(?P<stem>.+)\.(?P<number>\d{1,3})$"),
    "infix": re.compile(r"^(?P<stem>.+)[-.](?P<number>\d{1,3})(?P<end>\.[A-Za-z]\w*)$"),
    "old": re.compile(r"^(?P<stem>.+)[-.](?:old|prev|previous|last|bak)$"),
    "tai": re.compile(r"^(?P<stem>)@(?P<date>[0-9a-f]{24})\.[su]$"),
}
# The ways in which a name alone says that the file is an older piece: `worker.1.log` may be the log of worker 1.
_SURE = ("date", "number", "old", "tai")


class Mark(NamedTuple):
    """What a name says: which log the file is a piece of, how that is told (`way`, "" for the log itself), and its
    place among those of the same way: the oldest is least."""

    series: str
    way: str
    order: tuple[str, int]


class Sibling(NamedTuple):
    """A file that is a piece of a log. `written_at` is its last change."""

    path: str
    mark: Mark
    inode: tuple[int, int]
    written_at: float
    size: int


def mark_of(name: str) -> Mark:
    """What the name of a file (without its folder) says about rotation."""
    plain = PACKED.sub("", name)
    for way, pattern in _WAYS.items():
        if (found := pattern.match(plain)) is None:
            continue
        part = found.groupdict()
        series = "current" if way == "tai" else part["stem"] + (part.get("end") or "")
        if (number := part.get("number")) is not None:
            return Mark(series, way, ("", -int(number)))
        date = part.get("date") or ""
        if part.get("year"):
            date = f"{part['year']}{part['month']}{part['day']}"
        digits = date if way == "tai" else re.sub(r"\D", "", date).ljust(20, "0")
        return Mark(series, way, (digits, int(part.get("index") or 0)))
    return Mark(plain, "" if plain == name else "packed", ("", 0))


def key(path: str) -> tuple[str, str]:
    """(folder, log) that a file belongs to: files with the same key are pieces of one log."""
    # a link of the kernel's leads into another root, and cannot be resolved as a path
    folder, name = os.path.split(path if path.startswith("/proc/") else os.path.realpath(path))
    mark = mark_of(name)
    if mark.way == "infix" and not os.path.exists(os.path.join(folder, mark.series)):
        return folder, name
    return folder, mark.series


def beside(path: str) -> list[Sibling]:
    """All pieces of the log that this path belongs to, itself among them, the oldest first."""
    return pieces(*key(path))


def pieces(folder: str, series: str) -> list[Sibling]:
    """All pieces of a log, the oldest first; none where the folder cannot be listed."""
    found, begins = [], series.partition(".")[0] if series != "current" else ""
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries if entry.name.startswith(begins) or entry.name[0] == "@"]
    except OSError:
        names = [series]  # a folder may be entered and not listed: the file itself can still be read
    for name in names:
        mark = mark_of(name)
        if name == series:
            mark = Mark(series, "", ("", 0))
        if mark.series != series:
            continue
        path = os.path.join(folder, name)
        try:
            about = os.stat(path)
        except OSError:
            continue  # rotated away between the listing and now
        if stat.S_ISREG(about.st_mode):
            inode = (about.st_dev, about.st_ino)
            found.append(Sibling(path, mark, inode, about.st_mtime_ns / 1e9, about.st_size))
    return ordered(found)


def ordered(found: list[Sibling]) -> list[Sibling]:
    """The oldest first; the log itself last.

    The names decide among pieces that are named in the same way, for copies have any time of change; times decide
    between the ways. Numbers inside a name count up with some programs, down with others: there times decide too.
    """
    by_time = sorted(found, key=lambda s: (s.mark.way == "", s.written_at, s.mark.order, s.path))
    for way in ("date", "number", "old", "infix", "tai", "packed"):
        places = [place for place, sibling in enumerate(by_time) if sibling.mark.way == way]
        members = sorted((by_time[place] for place in places), key=lambda s: (s.mark.order, s.path))
        times = [member.written_at for member in members]
        if way == "infix" and len(set(times)) == len(times) and times == sorted(times, reverse=True):
            members.reverse()
        for place, member in zip(places, members, strict=True):
            by_time[place] = member
    return by_time

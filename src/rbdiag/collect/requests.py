"""Request rates of a busy service, read from the end of the access log that it has open."""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rbdiag.collect import proc
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import RequestRate
from rbdiag.model import Fact

# Read from the end; at 150 bytes a line this is some 14,000 requests.
_TAIL = 2 << 20
_NOW = 10.0
# With less history before it, "more than before" means nothing.
_HISTORY = 15.0
_LOG_NAME = re.compile(r"access|request|\.log$", re.IGNORECASE)
_MONTHS = {m: i + 1 for i, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
# Common and combined log format of Apache, nginx and most servers; the client comes first, the time in brackets.
_CLF = re.compile(r'^(\S+) .*?\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\] "')


def parse_access(text: str) -> list[tuple[float, str]]:
    """Time (seconds since the epoch) and client of each request line in common or combined log format."""
    rows = []
    stamps: dict[tuple[str, ...], float] = {}
    for line in text.splitlines():
        match = _CLF.match(line)
        if match is None or match[3] not in _MONTHS:
            continue
        key = match.groups()[1:]
        if key not in stamps:
            day, month, year, hour, minute, second, zone = key
            try:
                at = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
            except ValueError:
                continue  # no such date
            offset = (int(zone[1:3]) * 60 + int(zone[3:5])) * 60 * (1 if zone[0] == "+" else -1)
            stamps[key] = at.timestamp() - offset
        rows.append((stamps[key], match[1]))
    return rows


def rate(service: str, log: str, rows: Sequence[tuple[float, str]], now: float) -> RequestRate | None:
    """Now (the last ten seconds) against before; None where the log is not alive or has too little history."""
    if not rows:
        return None
    recent = [client for at, client in rows if now - _NOW <= at <= now + 1]
    older = [at for at, _ in rows if at < now - _NOW]
    if not recent or not older or (history := now - _NOW - min(older)) < _HISTORY:
        return None
    client, most = Counter(recent).most_common(1)[0]
    return RequestRate(
        subject=service, log=log, now=len(recent) / _NOW, before=len(older) / history, now_seconds=_NOW,
        before_seconds=round(history, 3), top_client=client, top_client_part=most / len(recent),
    )  # fmt: skip


def request_rates(services: Sequence[tuple[str, Sequence[int]]], deadline: Deadline) -> Iterator[Fact]:
    """For each service (its name, its pids): the rate in the first access log that one of its processes has open."""
    for service, pids in services:
        for path in _open_logs(pids):
            deadline.left()
            found = rate(service, path, parse_access(_tail(path)), time.time())
            if found is not None:
                yield found
                break


def _open_logs(pids: Sequence[int]) -> list[str]:
    """Regular files these processes have open whose name says log; those that say access first."""
    paths = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # gone, or another user's: then its log is not ours to find
        for name in names:
            try:
                path = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue  # closed meanwhile
            if path.startswith("/") and _LOG_NAME.search(os.path.basename(path)) and not path.endswith(" (deleted)"):
                paths.add(path)
    return sorted(paths, key=lambda p: ("access" not in os.path.basename(p), p))


def _tail(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""  # not ours to read: there is another way to the same answer, or none
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return ""
        begin = max(0, info.st_size - _TAIL)
        data = os.pread(fd, _TAIL, begin)
    finally:
        os.close(fd)
    return proc.text(data[data.find(b"\n") + 1 :] if begin else data)

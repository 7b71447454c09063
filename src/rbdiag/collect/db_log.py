"""Logs of a MySQL or MariaDB server, and of programs that use one: the lines that the catalogue knows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from glob import glob

from rbdiag.collect import logs
from rbdiag.collect.db_log_lines import NOWHERE, OF_CLIENTS, Folders, Hit, Side, possible, tell
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, ServerConfig, ServerProcess
from rbdiag.facts.logs import LogEvent, LogKind, LogRead
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.redact import redact

# What stands between the time and the level: a thread's number, or its address.
_THREAD = re.compile(r"^[\s\]]*(?:\d+ (?=\[)|0x[0-9a-f]+ )?")
# What a line of a server's own log looks like.
_SERVERS = re.compile(
    r"\d (?:\d+|0x[0-9a-f]+) \[(?:Note|Warning|ERROR|System)\]"
    r"|^\d{6} {1,2}\d?\d:\d\d:\d\d (?:\[(?:Note|Warning|ERROR)\]|mysqld_safe)"
    r"|\bmysqld_safe\b|(?:mysqld|mariadbd): ready for connections"
)
_TEXT = 400
# Names shown of one kind in one log; what is beyond is counted together.
_NAMES = 12
# So many files of one glob are read, the newest.
_FILES = 20
# Where packages of servers let them write: Debian, Red Hat, MariaDB's own.
_USUAL = (
    "/var/log/mysql/error.log",
    "/var/log/mysqld.log",
    "/var/log/mariadb/mariadb.log",
    "/var/log/mysql/mysqld.log",
)
# The last attempt to start a server and what came of it fits into so many records of the journal.
_JOURNAL_LINES = 500


def events(found: logs.Extract, side: Side, since: float, now: float, folders: Folders = NOWHERE) -> Iterator[LogEvent]:
    """The lines of a log that the catalogue knows, one event for each kind and name.

    A server's last start is told apart from what was before it: first come the events before, in the order of their
    last lines, then those since, in the order of their first lines. So what an attempt to start failed of comes first.
    """
    everything = "\n".join(line.text for line in found.lines)
    phrases = possible(everything, side)
    hits: list[tuple[logs.Line, Hit]] = []
    last_start, stopping = 0, False
    for line in found.lines:
        if (hit := tell(line.text, side, folders, phrases)) is None:
            continue
        stopping = hit.kind == "shutdown" or (stopping and hit.kind != "starting")
        if hit.kind == "starting":
            last_start = len(hits)
        if not (stopping and hit.kind in OF_CLIENTS):  # a server that stops cuts everybody off
            hits.append((line, hit))
    inside = [(line, hit) for line, hit in hits[:last_start] if line.at is None or line.at >= since]
    latest = [
        (line, hit) for line, hit in hits[last_start:]
        if line.at is None or line.at >= since or (side == "server" and hit.kind not in OF_CLIENTS)
    ]  # fmt: skip
    yield from _grouped(found.name, side, inside, now, by_last=True)
    yield from _grouped(found.name, side, latest, now, by_last=False)


def _grouped(
    name: str, side: Side, hits: list[tuple[logs.Line, Hit]], now: float, *, by_last: bool
) -> Iterator[LogEvent]:
    groups: dict[tuple[LogKind, str], list[tuple[logs.Line, Hit]]] = {}
    names: dict[LogKind, set[str]] = {}
    for line, hit in hits:
        known = names.setdefault(hit.kind, set())
        shown = hit.name if hit.name in known or len(known) < _NAMES else ""
        known.add(shown)
        group = groups.setdefault((hit.kind, shown), [])
        group.append((line, hit))
        if by_last:
            groups[hit.kind, shown] = groups.pop((hit.kind, shown))
    for (kind, shown), members in groups.items():
        times = [line.at for line, _ in members if line.at is not None]
        line, hit = members[-1]
        yield LogEvent(
            subject=name, side=side, kind=kind, happened_at=round(max(times), 3) if times else None,
            first_at=round(min(times), 3) if times else None, count=len(members), text=plain(line.text, now),
            number=hit.number, name=redact(shown)[:_TEXT],
        )  # fmt: skip


def plain(line: str, now: float) -> str:
    """A line as it may be shown: without its time, which the event carries, and without secrets."""
    found = logs.stamp(line, now)
    return redact(_THREAD.sub("", line[found.end :] if found else line, count=1).strip())[:_TEXT]


def _read(found: logs.Extract, side: Side, since: float) -> LogRead:
    inside = [line for line in found.lines if line.at is None or line.at >= since]
    times = [line.at for line in inside if line.at is not None]
    return LogRead(
        subject=found.name, side=side, lines=len(inside), bytes=found.bytes, since=min(times) if times else None,
        last_at=found.last_at, cut=found.cut,
    )  # fmt: skip


def _starts(line: str) -> bool:
    return "tarting " in line and (hit := tell(line, "server")) is not None and hit.kind == "starting"


def server_log(
    target: DbTarget, paths: tuple[str, ...], facts: Facts, since: float, deadline: Deadline
) -> Iterator[Fact]:
    """The server's own log: what it really writes to, else what its files say, else where it usually is.

    Of a server that does not run the last attempt to start it is read, whenever that was.
    Raises CannotLook where the server is elsewhere, or no log of it can be found.
    """
    process = next((p for p in facts.of(ServerProcess) if p.role == "target"), None)
    config = next((c for c in facts.of(ServerConfig) if c.for_target), None)
    given = [path for path in _expanded(paths)[0] if _is_servers(path)]
    if not (target.local or process is not None or given):
        raise CannotLook(
            Gap(
                "skipped", "the server is not on this host", "run it there, or give a copy of its error log: --log PATH"
            )
        )
    folders = Folders(
        (process.datadir if process else "") or (config.datadir if config else ""),
        (process.tmpdir if process else "") or (config.tmpdir if config else ""),
    )
    unit = (process.unit if process else "") or (config.unit if config else "")
    looks: list[Callable[[], logs.Extract]] = [
        lambda path=path: logs.read(path, since, deadline, None if process else _starts)  # type: ignore[misc]  # mypy does not infer a lambda's default
        for path in _distinct([*given, *(_own_logs(process, config, folders) if target.local or process else ())])
    ]
    if unit and (target.local or process) and (process is None or not looks):
        # what it says before it has opened its log goes to the journal
        looks.append(lambda: _journal(unit, since, deadline, process is None))
    yield from _look(looks, "server", since, folders, "no error log of the server was found")


def _journal(unit: str, since: float, deadline: Deadline, down: bool) -> logs.Extract:
    found = logs.journal(unit, since, deadline)
    if down and not any(_starts(line.text) for line in found.lines):
        return logs.journal(unit, since, deadline, lines=_JOURNAL_LINES)
    return found


def _look(
    looks: Iterable[Callable[[], logs.Extract]], side: Side, since: float, folders: Folders, nothing: str
) -> Iterator[Fact]:
    """Read each; what could not be read is raised at the end, so that it hides nothing."""
    failed: Exception | None = None
    any_read = False
    for look in looks:
        try:
            found = look()
        except (CannotLook, OSError) as error:
            failed = failed or error
            continue
        any_read = True
        yield _read(found, side, since)
        yield from events(found, side, since, time.time(), folders)
    if failed is not None:
        raise failed
    if not any_read:
        raise CannotLook(Gap("missing", nothing, "give it: --log PATH"))


def _own_logs(process: ServerProcess | None, config: ServerConfig | None, folders: Folders) -> list[str]:
    """Where the server's log is: where it writes to, where its files say, or the first of the usual places.

    Where the files are of a server that does not run, while another answers in its place, both logs tell.
    """
    root = f"/proc/{process.pid}/root" if process is not None and process.container else ""
    said = [process.error_log if process else "", config.error_log if config else ""]
    places = [os.path.join(folders.datadir, path) for path in said if path]
    places = [path for path in places if os.path.isabs(path) and path != "/dev/stderr"]
    if places:
        return places if process is not None and config is not None and not config.running else places[:1]
    host = os.uname().nodename
    named = [f"{folders.datadir}/{name}.err" for name in (host, host.partition(".")[0])] if folders.datadir else []
    return [path for path in (*named, *(root + path for path in _USUAL)) if _has_lines(path)][:1]


def _has_lines(path: str) -> bool:
    return os.path.isfile(path) and os.stat(path).st_size > 0


def _distinct(paths: Iterable[str]) -> list[str]:
    """The same paths, each file once."""
    return list({os.path.realpath(path): path for path in paths}.values())


def _expanded(patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """The files that these paths and globs name (of a glob the newest), and the globs that name none."""
    paths: list[str] = []
    empty: list[str] = []
    for pattern in patterns:
        # a file that is called like a pattern is meant as it is
        if os.path.exists(pattern) or not re.search(r"[*?\[]", pattern):
            paths.append(pattern)
        elif found := [path for path in glob(pattern, recursive=True) if os.path.isfile(path)]:
            paths += sorted(found, key=os.path.getmtime, reverse=True)[:_FILES]
        else:
            empty.append(pattern)
    return paths, empty


def _is_servers(path: str) -> bool:
    """Whether this is a server's own log, by its last lines."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False  # whoever reads it as a log says why
    try:
        size = os.lseek(fd, 0, os.SEEK_END) if os.path.isfile(path) else 0
        return any(_SERVERS.search(logs.text(line)) for line in logs.backwards(fd, size, most=logs.BLOCK))
    except OSError:
        return False
    finally:
        os.close(fd)


def client_logs(patterns: tuple[str, ...], since: float, deadline: Deadline) -> Iterator[Fact]:
    """Logs of programs that use the server: files or globs. What is a server's own log is left to `server_log`.

    Raises CannotLook for a path that cannot be read or a glob that names nothing, after all others were read.
    """
    paths, empty = _expanded(patterns)
    ours = [path for path in _distinct(paths) if not _is_servers(path)]
    looks: list[Callable[[], logs.Extract]] = [lambda path=path: logs.read(path, since, deadline) for path in ours]  # type: ignore[misc]
    if looks:
        yield from _look(looks, "client", since, NOWHERE, "")
    if empty:
        raise CannotLook(Gap("missing", f"no file matches {empty[0]}", "ls -l the folder; quote the glob"))

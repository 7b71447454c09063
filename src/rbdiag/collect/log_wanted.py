"""Which logs are meant: files and globs, standard input, and what a unit or a process writes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from rbdiag.collect import log_held, log_siblings
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook, Gap

T = TypeVar("T")

# Of one glob so many logs are read, the newest; and so many names are looked at.
LOGS, _NAMES = 20, 20_000
# How long a file system may take to answer.
_PATIENCE = 3.0
_OWN_STREAM = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/\d+")


class Wanted(NamedTuple):
    """What is asked for: files (globs too, "-" is standard input), and what a unit or a process writes."""

    files: tuple[str, ...]
    unit: str = ""
    pid: int | None = None


class Source(NamedTuple):
    """One log, not yet opened: files that are parts of it, or how the journal is asked for it.

    `key` is what it is called between runs, "" for what cannot be read twice.
    """

    key: str
    name: str
    paths: tuple[str, ...] = ()
    journal: tuple[str, ...] = ()
    owner: str = ""


def sources(wanted: Wanted, deadline: Deadline, most: int = LOGS) -> Iterator[Source | Gap]:
    """The logs that are wanted, each once, at most so many of a glob; what names none is a gap."""
    paths: list[str] = []
    for pattern in dict.fromkeys(wanted.files):
        if pattern == "-" or _OWN_STREAM.fullmatch(pattern):
            yield Source("", "standard input" if pattern in ("-", "/dev/stdin") else pattern, (pattern,))
            continue
        try:
            names = answered(partial(expanded, pattern, deadline, most), pattern, deadline)
            paths += [name for name in names if isinstance(name, str)]
            yield from (name for name in names if isinstance(name, Gap))
        except (CannotLook, OutOfTime, OSError) as error:
            yield gap_of(pattern, error)
    known: set[str] = set()
    for named in grouped(paths):
        source = _source(named)
        known.add(source.key)
        yield source
    if wanted.unit or wanted.pid is not None:
        for written in _written(wanted.unit, wanted.pid, deadline):
            if isinstance(written, Gap) or written.key not in known:
                yield written


def _source(named: Sequence[str], name: str = "", owner: str = "") -> Source:
    key = os.path.join(*log_siblings.key(named[0]))
    if len(named) == 1 and log_siblings.mark_of(os.path.basename(key)).way == "":
        # an old part that is asked for alone is not the log
        way = log_siblings.mark_of(os.path.basename(named[0])).way
        key = os.path.abspath(named[0]) if way in ("number", "old", "infix") else key
    return Source(key, name or named[0], tuple(named), owner=owner)


def expanded(pattern: str, deadline: Deadline, most: int = LOGS) -> list[str | Gap]:
    """The paths that a glob names, the newest first; a file that is called like a pattern is meant as it is."""
    from glob import has_magic, iglob
    from itertools import islice

    if not has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    found: list[tuple[float, str]] = []
    for number, path in enumerate(islice(iglob(pattern, recursive=True), _NAMES)):
        if number % 256 == 0:
            deadline.left()
        try:
            about = os.stat(path)
            if not stat.S_ISDIR(about.st_mode):
                found.append((about.st_mtime, path))
        except OSError:
            found.append((0.0, path))  # why it cannot be read is told when it is opened
    if not found:
        return [Gap("missing", f"no file matches {pattern}", "ls -l the folder; quote the glob")]
    logs = grouped([path for _, path in sorted(found, reverse=True)])
    taken: list[str | Gap] = [path for named in logs[:most] for path in named]
    if len(logs) > most:
        more = Gap("skipped", f"{pattern} names {len(logs)} logs, of which the newest {most} are read", "name fewer")
        taken.append(more)
    return taken


def grouped(paths: Sequence[str]) -> list[list[str]]:
    """Paths that are parts of the same log together, in the order of their first."""
    logs: dict[tuple[str, str], list[str]] = {}
    for path in dict.fromkeys(paths):
        logs.setdefault(log_siblings.key(path), []).append(path)
    return list(logs.values())


def _written(unit: str, pid: int | None, deadline: Deadline) -> Iterator[Source | Gap]:
    """What a unit or a process writes to: files, the journal."""
    from rbdiag.collect import proc

    owner, writers, gaps = unit, [], []
    try:
        if pid is not None:
            writers = log_held.writers(pid, deadline)
            stat_of = proc.stat(pid)
            owner = owner or proc.subject(stat_of.name if stat_of else "process", pid)
        if unit:
            for number in log_held.processes_of(unit):
                writers += log_held.writers(number, deadline) if all(w.pid != number for w in writers) else []
    except CannotLook as error:
        gaps.append(error.gap)
    held = {file.path: file for writer in writers for file in writer.files}
    for file in held.values():
        yield _source([file.path], file.name, owner)
    journals = [("-u", unit)] if unit else [(f"_PID={w.pid}",) for w in writers if w.to_journal]
    for which in journals:
        name = f"journal of {unit or owner}"
        yield Source(name, name, journal=which, owner=owner)
    yield from gaps
    if not held and not journals and not gaps:
        yield Gap("missing", f"{owner} holds no file open that looks like a log", "give the file: rbdiag logs FILE")


def answered(look: Callable[[], T], what: str, deadline: Deadline) -> T:
    """What a look at files brings. A dead network share never answers, so that it is asked in a thread of its own."""
    import threading
    from queue import Empty, SimpleQueue

    results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            results.put((look(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            results.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = results.get(timeout=deadline.left(_PATIENCE))
    except Empty:
        raise CannotLook(Gap("deadline", f"{what} does not answer", "see whether its file system does: df")) from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # there was no error, so it is what the look brought


def gap_of(name: str, error: Exception) -> Gap:
    match error:
        case CannotLook():
            return error.gap
        case OutOfTime():
            return Gap("deadline", f"{name} could not be opened in time", "give it more time: --deadline SECONDS")
        case PermissionError():
            return Gap("forbidden", f"not allowed to read {error.filename or name}", "run as root")
        case FileNotFoundError() | NotADirectoryError():
            return Gap("missing", f"{name} is not there", "ls -l the folder")
        case OSError():
            return Gap("failed", f"{name} cannot be read: {error.strerror or error}")
    raise error

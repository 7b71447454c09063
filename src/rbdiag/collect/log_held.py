"""What a process writes its log to: the files that it holds open, and what stands behind its outputs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from glob import glob
from typing import NamedTuple

from rbdiag.collect import proc, service
from rbdiag.collect.log_parts import pread
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap

# A unit may have thousands of processes, a process a hundred thousand files.
_PROCESSES, _FILES = 64, 4096
_DELETED = " (deleted)"
_NAMED_LIKE_A_LOG = re.compile(r"log|out|err|trace|audit|(?:^|/)current$", re.IGNORECASE)
# Databases call their own files logs too, or write text that is no log into files of any name.
_NO_LOG = re.compile(r"/(?:ib_logfile|undo|#ib_redo)|-bin\.\d+$|\.(?:db|sqlite3?|wal|aof|rdb|lock|pid|py|js|html?)$")
_TIME = re.compile(rb"(?m)^.{0,60}?\d\d:\d\d:\d\d|\b1[5-9]\d{8}\b")
_ACCESS = 0o3  # O_ACCMODE
# Container managers hold the other end of their containers' outputs, and write what comes here.
_BY_CONTAINER = (
    "/var/lib/docker/containers/{0}*/{0}*-json.log",
    "/var/log/containers/*-{0}*.log",
    "/var/lib/containers/storage/overlay-containers/{0}*/userdata/ctr.log",
)
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


class Held(NamedTuple):
    """A file that a process writes. `path` leads to it from here (through /proc where it is deleted, or in another
    root); `name` is what to call it."""

    path: str
    name: str


class Writer(NamedTuple):
    """A process and what it writes its log to: files, and whether one of its outputs goes to the journal."""

    pid: int
    files: tuple[Held, ...]
    to_journal: bool


def processes_of(unit: str) -> list[int]:
    """The processes of a unit, the oldest first."""
    found = []
    for pid in proc.pids():
        try:
            if service.unit_of(service.cgroup_path(proc.read(f"/proc/{pid}/cgroup", 8192))) == unit:
                found.append(pid)
        except (OSError, ValueError):
            continue  # it has ended meanwhile
    return sorted(found)[:_PROCESSES]


def writers(pid: int, deadline: Deadline) -> list[Writer]:
    """A process and its children, with what each writes to.

    Raises CannotLook where there is no such process, or its files are not ours to see.
    """
    if (own := _writer(pid, deadline)) is None:
        raise CannotLook(Gap("missing", f"there is no process {pid}", "ps -e"))
    children = [child for child in proc.pids() if (s := proc.stat(child)) is not None and s.parent == pid]
    below = []
    for child in children[:_PROCESSES]:
        try:
            below.append(_writer(child, deadline))
        except CannotLook:
            continue  # of another user: the parent's files were what was asked for
    return [own, *(writer for writer in below if writer is not None)]


def _writer(pid: int, deadline: Deadline) -> Writer | None:
    """What one process writes to; None where it has ended. Raises CannotLook where we may not see it."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        raise CannotLook(Gap("forbidden", f"the files of process {pid} are not ours to see", "run as root")) from None
    except OSError:
        return None
    files: dict[tuple[int, int], Held] = {}
    to_journal = piped = False
    for number in numbers[:_FILES]:
        deadline.left()
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            output = number in ("1", "2")
            if output and target.startswith("socket:"):
                to_journal = to_journal or _is_journal(pid, target)
            piped = piped or (output and target.startswith("pipe:"))
            if target.startswith("/") and (held := _held(pid, number, target, output)) is not None:
                files.setdefault(*held)
        except OSError:
            continue  # closed, or ended, meanwhile
    if piped:
        for path in _of_container(pid):
            about = os.stat(path)
            files.setdefault((about.st_dev, about.st_ino), Held(path, path))
    return Writer(pid, tuple(files.values()), to_journal)


def _held(pid: int, number: str, target: str, output: bool) -> tuple[tuple[int, int], Held] | None:
    """A regular file that the process has open for writing and that looks like a log, by its (device, inode)."""
    link = f"/proc/{pid}/fd/{number}"
    about = os.stat(link)
    if not stat.S_ISREG(about.st_mode) or not about.st_size:
        return None
    flags = re.search(rb"flags:\s*(\d+)", proc.read(f"/proc/{pid}/fdinfo/{number}", 1024))
    if flags is None or int(flags[1], 8) & _ACCESS == os.O_RDONLY:
        return None
    plain = target.removesuffix(_DELETED)
    if not output and (_NO_LOG.search(plain) or not _looks_like_a_log(link, plain, about.st_size)):
        return None
    inode = (about.st_dev, about.st_ino)
    for path in (plain, f"/proc/{pid}/root{plain}"):
        if _inode(path) == inode:
            return inode, Held(path, path)
    # deleted, or renamed out of our sight: the descriptor is the last way to it
    return inode, Held(link, f"{plain} (deleted, held open by process {pid})")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None  # not there, seen from here
    return about.st_dev, about.st_ino


def _looks_like_a_log(link: str, path: str, size: int) -> bool:
    """By its name, or by the times in its last lines; not where it is binary."""
    fd = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        tail = pread(fd, max(0, size - 4096), 4096)
    finally:
        os.close(fd)
    text = tail.strip(b"\0")
    if b"\0" in text:
        return False
    return bool(_NAMED_LIKE_A_LOG.search(os.path.basename(path)) or len(_TIME.findall(text)) > 2)


def _is_journal(pid: int, socket: str) -> bool:
    """Whether this output leads to the journal: systemd.exec(5) says which socket does, in JOURNAL_STREAM=DEVICE:INODE.

    Raises OSError where the process is another user's; then the unit has to be named.
    """
    environment = b"\0" + proc.read(f"/proc/{pid}/environ", 1 << 20) + b"\0"
    return re.search(rb"\0JOURNAL_STREAM=\d+:%d\0" % int(socket[8:-1]), environment) is not None


def _of_container(pid: int) -> Iterator[str]:
    """The files in which a container manager keeps what this process writes to its outputs."""
    try:
        ids = _CONTAINER_ID.findall(proc.text(proc.read(f"/proc/{pid}/cgroup", 8192)))
    except OSError:
        return  # it has ended
    for pattern in _BY_CONTAINER if ids else ():
        yield from glob(pattern.format(ids[-1]))

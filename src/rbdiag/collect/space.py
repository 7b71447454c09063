"""Room where the database writes: filesystems of its folders, and what is big on one that is nearly full.

Everything here may hang (a network share whose server is gone answers no stat), so each filesystem is asked in a
thread of its own, for a bounded time.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeVar

from rbdiag.collect import proc
from rbdiag.deadline import Deadline
from rbdiag.facts.db import ServerConfig, ServerProcess
from rbdiag.facts.host import FilesystemUse, SpaceRole, SpaceUser
from rbdiag.model import CannotLook, Fact, Facts, Gap

T = TypeVar("T")

# A local filesystem answers in microseconds.
_PATIENCE = 1.0
# What is big is looked for only where it matters: under a tenth or a gibibyte left, or under a twentieth of the inodes.
_PART, _BYTES, _INODES = 0.10, 1 << 30, 0.05
# How much of a filesystem is walked: directory entries, and seconds. It is a host in trouble.
_ENTRIES, _SECONDS = 30_000, 1.0
_SHOWN = 5
# Less than this part of a filesystem is not what fills it.
_BIG = 0.01
# Where room is lost on most hosts, looked at before the rest of a filesystem.
_USUAL = ("/var/log", "/tmp", "/var/tmp", "/var/cache", "/var/spool", "/home", "/root", "/opt")  # noqa: S108 - looked at
# Binary and relay logs are numbered so; a date has eight digits, and so have Aria's own logs.
_BINARY_LOG = re.compile(r"(.+)\.\d{6,7}$")
_LOG = re.compile(r"\.(?:log|err)(?:[-.]\d+)*(?:\.(?:gz|xz|zst|bz2))?$|^(?:syslog|messages)\b")
# These are read only because they cannot be written at all.
_NEVER_WRITTEN = frozenset(("squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"))


def within(seconds: float, look: Callable[[], T]) -> T:
    """What `look` returns or raises, if that comes in time; else TimeoutError, and its thread is left to its fate."""
    answer: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            answer.put((look(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again below, in the thread that asked
            answer.put((None, error))

    Thread(target=work, daemon=True).start()
    try:
        found, error = answer.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]  # without an error it is what look returned


class Mount(NamedTuple):
    """A line of /proc/PID/mountinfo (proc(5)): `options` are the mount's own, `super_options` the filesystem's."""

    point: str
    kind: str
    source: str
    options: frozenset[str]
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or self.broken or "ro" in self.super_options

    @property
    def broken(self) -> bool:
        """Whether the kernel made it read only after an error: that flips the filesystem and not the mount. Newer
        kernels leave even that `rw` and say emergency_ro (ext4 since 6.18) or shutdown."""
        if {"emergency_ro", "shutdown"} & self.super_options:
            return True
        return "rw" in self.options and "ro" in self.super_options and self.kind not in _NEVER_WRITTEN


def parse_mounts(table: bytes) -> list[Mount]:
    """The mounts of a mountinfo table, in its order: of those on one point the last is the one that is seen."""
    mounts = []
    for line in table.splitlines():
        own, _, more = line.partition(b" - ")
        fields, rest = own.split(), more.split(b" ")
        if len(fields) >= 6 and len(rest) >= 3:
            words = (frozenset(proc.text(w).split(",")) for w in (fields[5], rest[2]))
            mounts.append(Mount(_unescaped(fields[4]), proc.text(rest[0]), _unescaped(rest[1]), *words))
    return mounts


def _unescaped(word: bytes) -> str:
    return proc.text(re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), word))


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that an absolute path without symbolic links lies on."""
    best: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


class _Place(NamedTuple):
    """A folder of the server: what for, and its path as the server has it."""

    role: SpaceRole
    path: str


def filesystems(facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """The filesystems that the target's server on this host writes to, and what is big where room is short."""
    server = next((s for s in facts.of(ServerProcess) if s.role == "target"), None)
    config = next((c for c in facts.of(ServerConfig) if c.for_target), None)
    places = [*(_of_process(server) if server else ()), *(_of_config(config) if config else ())]
    pid = server.pid if server else None
    seen: set[tuple[str, SpaceRole]] = set()
    mute: list[str] = []
    short: dict[str, tuple[FilesystemUse, list[str]]] = {}
    for place in places:
        try:
            use = within(deadline.left(_PATIENCE), lambda place=place: _use(place, pid))  # type: ignore[misc]  # bound at once
        except TimeoutError:
            mute.append(place.path)
            continue
        if use is None:
            continue
        if (use.subject, use.role) not in seen:
            seen.add((use.subject, use.role))
            yield use
        if _is_short(use) and use.subject in short:
            short[use.subject][1].append(use.path)
        elif _is_short(use):
            short[use.subject] = (use, [use.path])
    for use, paths in short.values():
        yield from _big(use, paths, pid, deadline)
    if mute:
        raise CannotLook(
            Gap(
                "failed",
                f"the filesystem of {', '.join(mute)} does not answer",
                "look at the mount: a share may be gone",
            )
        )


def _of_process(server: ServerProcess) -> Iterator[_Place]:
    inside = f"/proc/{server.pid}/root"
    yield from _folders(
        server.datadir.removeprefix(inside), server.tmpdir.removeprefix(inside), server.error_log.removeprefix(inside),
        server.sockets,
    )  # fmt: skip
    # Where its open files are: tables with a folder of their own, binary logs and redo logs elsewhere; of each
    # filesystem one folder will do.
    from rbdiag.collect.sockets import held

    mine, mounts = held(server.pid), parse_mounts(_view(server.pid)[0])
    told: set[tuple[Mount | None, SpaceRole]] = set()
    for folder, name in sorted(os.path.split(f) for f in (mine.files.values() if mine else ())):
        role, mount = _role_of(name), mount_of(folder, mounts)
        if role is not None and (mount, role) not in told and not folder.startswith(("/dev", "/proc", "/sys")):
            told.add((mount, role))
            yield _Place(role, folder)


def _role_of(name: str) -> SpaceRole | None:
    """What an open file of a server is for; None for what comes and goes: deleted files and temporary tables."""
    if name.endswith(" (deleted)") or name.startswith("#sql"):
        return None
    if _BINARY_LOG.match(name) or name.endswith(".index"):
        return "binary log"
    return "log" if _LOG.search(name) else "data"


def _of_config(config: ServerConfig) -> Iterator[_Place]:
    tmpdir = config.tmpdir or "/tmp"  # noqa: S108 - as the server falls back to it
    yield from _folders(config.datadir, tmpdir, config.error_log, (config.socket,))
    if config.pid_file:
        yield _Place("other", os.path.dirname(config.pid_file))


def _folders(datadir: str, tmpdir: str, log: str, sockets: tuple[str, ...]) -> Iterator[_Place]:
    if datadir:
        yield _Place("data", datadir)
    for path in tmpdir.split(":"):
        if path:
            yield _Place("tmp", path)
    if log and not log.startswith("/proc/"):
        yield _Place("log", os.path.dirname(log))
    for path in sockets:
        if path.startswith("/"):
            yield _Place("socket", os.path.dirname(path))


def _use(place: _Place, pid: int | None) -> FilesystemUse | None:
    """How full the filesystem of this folder is, as the server sees it; None where the folder is not there."""
    table, view = _view(pid)
    path = place.path
    try:
        numbers = os.statvfs(f"{view}{path}")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    mount = mount_of(os.path.realpath(path), parse_mounts(table))
    if mount is None:
        return None
    unit = numbers.f_frsize
    return FilesystemUse(
        subject=mount.point, role=place.role, path=path, kind=mount.kind, device=mount.source,
        total=numbers.f_blocks * unit, free=numbers.f_bfree * unit, available=numbers.f_bavail * unit,
        inodes=numbers.f_files, inodes_free=numbers.f_favail,
        read_only=mount.read_only or bool(numbers.f_flag & os.ST_RDONLY), error=mount.broken,
    )  # fmt: skip


def _view(pid: int | None) -> tuple[bytes, str]:
    """The mounts as this process sees them, and the prefix under which we see its files; our own where hidden."""
    if pid is not None:
        try:
            os.stat(f"/proc/{pid}/root/")
            with open(f"/proc/{pid}/mountinfo", "rb") as table:
                return table.read(1 << 22), f"/proc/{pid}/root"
        except OSError:
            pass  # not ours to see: our own view is what is left
    with open("/proc/self/mountinfo", "rb") as table:
        return table.read(1 << 22), ""


def _is_short(use: FilesystemUse) -> bool:
    if use.kind in _NEVER_WRITTEN or not use.total:
        return False
    few = bool(use.inodes) and use.inodes_free < _INODES * use.inodes
    return few or use.available < _PART * use.total or (use.available < _BYTES and use.available < use.total / 2)


class _Found:
    """What a walk has met: big files, groups of binary logs, folders of many or much."""

    def __init__(self, least: int) -> None:
        self.least = least
        self.files: dict[str, int] = {}
        self.groups: Counter[str] = Counter()
        self.newest: dict[str, str] = {}
        self.small: Counter[str] = Counter()
        self.count: Counter[str] = Counter()
        self.seen: set[tuple[int, int]] = set()


def _big(use: FilesystemUse, paths: list[str], pid: int | None, deadline: Deadline) -> Iterator[SpaceUser]:
    """What is big on this filesystem, the biggest first: files, groups of files, and files without a name."""
    view = _view(pid)[1]
    end = time.monotonic() + min(_SECONDS, deadline.left() / 2)
    found = _Found(max(1 << 20, int(_BIG * use.total)))
    roots = [*paths, *_USUAL, use.subject]
    # where it hangs in one folder, what it met until then is what can be said
    with suppress(TimeoutError):
        within(end - time.monotonic() + 0.2, lambda: _walk([f"{view}{p}" for p in roots], found, end))
    yield from sorted(_users(use, found, view), key=lambda u: -u.bytes)[:_SHOWN]
    if use.inodes and use.inodes_free < _INODES * use.inodes:
        for folder, count in found.count.most_common(2):
            yield SpaceUser(
                subject=folder.removeprefix(view),
                kind="folder",
                bytes=found.small[folder],
                mount=use.subject,
                files=count,
            )
    yield from _deleted(use, f"{view}{paths[0]}", found.least, end)


def _walk(roots: list[str], found: _Found, end: float) -> None:
    """Sum up what lies below these folders, on the filesystem of the first, until the time or the count is reached."""
    device = os.stat(roots[0]).st_dev
    left = _ENTRIES
    for root in roots:
        stack = [root]
        while stack and left > 0 and time.monotonic() < end:
            folder = stack.pop()
            try:
                there = os.stat(folder)
                if there.st_dev != device or (there.st_dev, there.st_ino) in found.seen:
                    continue
                found.seen.add((there.st_dev, there.st_ino))
                entries = os.scandir(folder)
            except OSError:
                continue  # gone, or not ours to see
            with entries:
                for entry in entries:
                    left -= 1
                    if left <= 0 or time.monotonic() > end:
                        return
                    _count(entry, folder, stack, device, found)


def _count(entry: os.DirEntry[str], folder: str, stack: list[str], device: int, found: _Found) -> None:
    found.count[folder] += 1
    try:
        if entry.is_dir(follow_symlinks=False):
            stack.append(entry.path)
            return
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # it has gone
    if status.st_dev != device:
        return
    used = status.st_blocks * 512  # what it takes, not how long it is: a sparse file takes little
    group = _BINARY_LOG.match(entry.name)
    if group:
        key = f"{folder}/{group[1]}"
        found.groups[key] += used
        found.newest[key] = max(found.newest.get(key, ""), entry.path)
    elif used >= found.least:
        found.files[entry.path] = used
    else:
        found.small[folder] += used


def _users(use: FilesystemUse, found: _Found, view: str) -> Iterator[SpaceUser]:
    for path, used in found.files.items():
        kind = "log" if _LOG.search(os.path.basename(path)) else "file"
        yield SpaceUser(subject=path.removeprefix(view), kind=kind, bytes=used, mount=use.subject)  # type: ignore[arg-type]  # each is a kind
    for key, used in found.groups.items():
        if used >= found.least:
            yield SpaceUser(
                subject=found.newest[key].removeprefix(view), kind="binary logs", bytes=used, mount=use.subject
            )
    for folder, used in found.small.items():
        if used >= found.least:
            yield SpaceUser(
                subject=folder.removeprefix(view),
                kind="folder",
                bytes=used,
                mount=use.subject,
                files=found.count[folder],
            )


def _deleted(use: FilesystemUse, path: str, least: int, end: float) -> Iterator[SpaceUser]:
    """Files without a name on this filesystem that processes keep open: `du` finds them nowhere."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return
    seen: set[int] = set()
    for pid in proc.pids(1.0):
        if time.monotonic() > end + _SECONDS:
            return
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # gone, or hidden from us
        for name in names:
            fd = f"/proc/{pid}/fd/{name}"
            try:
                where = os.readlink(fd)
                if not where.endswith(" (deleted)"):
                    continue
                status = os.stat(fd)
            except OSError:
                continue  # closed since the listing
            used = status.st_blocks * 512
            if status.st_dev != device or status.st_nlink or used < least or status.st_ino in seen:
                continue
            seen.add(status.st_ino)
            stat = proc.stat(pid)
            if stat is not None:
                yield SpaceUser(
                    subject=where.removesuffix(" (deleted)"), kind="deleted", bytes=used, mount=use.subject,
                    holder=proc.subject(stat.name, pid), pid=pid, start_ticks=stat.start, fd=int(name),
                )  # fmt: skip

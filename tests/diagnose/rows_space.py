"""What the host withholds from a database: room, inodes, a filesystem that can be written, descriptors, permission."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import PathAccess
from rbdiag.facts.host import FilesystemUse, KernelEvent, SpaceUser
from rbdiag.facts.logs import LogEvent
from rbdiag.model import Fact, Facts
from tests.diagnose import db_world as w
from tests.diagnose.row import Row
from tests.diagnose.rows_db import READY, answer, down, mute_socket, no_files, refused_socket

GIB, MIB = w.GIB, 1 << 20
FULL, INODES, READ_ONLY, DELETED = "host.disk-full", "host.inode-full", "host.fs-readonly", "host.deleted-open-space"
DENIED, DATA, TMP = "host.permission-denied", "/var/lib/mysql", "/srv/tmp"


def use(available: float, total: float = 50 * GIB, **changes: Any) -> FilesystemUse:
    """The filesystem of the data, with so much room left."""
    usual = {
        "subject": DATA,
        "device": "/dev/sdb1",
        "total": int(total),
        "free": int(available),
        "available": int(available),
    }
    return w.make(FilesystemUse, **(usual | changes))  # type: ignore[no-any-return]


def big(size: float, **changes: Any) -> SpaceUser:
    return w.make(SpaceUser, **({"bytes": int(size), "mount": DATA, "subject": f"{DATA}/binlog.000123"} | changes))  # type: ignore[no-any-return]


def deleted(size: float, **changes: Any) -> SpaceUser:
    """A file without a name that a program keeps open."""
    usual = {
        "kind": "deleted",
        "subject": f"{DATA}/old/app.log",
        "holder": "java[812]",
        "pid": 812,
        "start_ticks": 8120,
        "fd": 7,
    }
    return big(size, **(usual | changes))


def said(kind: str, number: int | None = None, ago: float = 30.0) -> LogEvent:
    at = w.NOW - ago
    return w.make(
        LogEvent, kind=kind, number=number, happened_at=at, first_at=at, text=f"[ERROR] {kind} (errno: {number})"
    )  # type: ignore[no-any-return]


def kernel(kind: str, text: str) -> KernelEvent:
    return w.make(KernelEvent, kind=kind, text=text, process="", pid=None)  # type: ignore[no-any-return]


def barred(**changes: Any) -> PathAccess:
    return w.make(PathAccess, **({"owner": "root", "mode": "drwx------", "usable": False} | changes))  # type: ignore[no-any-return]


def up(*changes: Fact | list[Any]) -> Facts:
    return w.beside().but(*changes)


REMOUNTED = kernel("fs-readonly", "EXT4-fs (sdb1): Remounting filesystem read-only")

ROWS: list[Row] = [
    Row("no room at all for the data", up(use(0)), FULL, DATA, never=(INODES,), says=f"{DATA} is full: 0 B of 50 GiB left"),
    Row("root's reserve is no room for the server", up(use(0, free=2 * GIB)), FULL, DATA),
    Row("under a hundredth is left", up(use(0.0099 * 50 * GIB)), FULL, DATA),
    Row("a hundredth is left", up(use(0.0101 * 50 * GIB)), None),
    Row("99 MiB of a small filesystem are left", up(use(99 * MIB, 2 * GIB)), FULL, DATA),
    Row("101 MiB of a small filesystem are left", up(use(101 * MIB, 2 * GIB)), None),
    Row("a small filesystem that is mostly empty", up(use(60 * MIB, 64 * MIB, kind="tmpfs")), None),
    Row("a hundredth of a huge filesystem is plenty", up(use(11 * GIB, 4000 * GIB)), None),
    Row("92 % used with 300 GiB left", up(use(300 * GIB, 4000 * GIB)), None),
    Row("binary logs fill it", up(use(0), [big(30 * GIB), big(GIB, kind="file", subject="/srv/dump.sql")]), FULL, DATA, says="30 GiB in"),
    Row("a log fills it", up(use(0), big(40 * GIB, kind="log", subject=f"{DATA}-logs/app.log")), FULL, DATA),
    Row("an image that is always full", up(use(0, kind="squashfs", role="other")), None),
    Row("a full filesystem keeps the server from starting", down(use(0), said("disk-full", 28)), FULL, DATA),
    Row("no inodes are left", up(use(20 * GIB, inodes_free=0), big(GIB, kind="folder", subject=f"{DATA}/sessions", files=900_000)), INODES, DATA,
        never=(FULL,), says="no inodes left"),
    Row("999 inodes are left of millions", up(use(20 * GIB, inodes_free=999)), INODES, DATA),
    Row("a thousand inodes are left of millions", up(use(20 * GIB, inodes_free=1000)), None),
    Row("a hundredth of few inodes is left", up(use(20 * GIB, inodes=50_000, inodes_free=500)), None),
    Row("a filesystem that does not count inodes", up(use(20 * GIB, kind="btrfs", inodes=0, inodes_free=0)), None),
    Row("the kernel made it read only", up(use(20 * GIB, read_only=True, error=True), REMOUNTED), READ_ONLY, DATA, never=(FULL,), says="after an error"),
    Row("it is read only and the server says so", up(use(20 * GIB, read_only=True), [READY, said("fs-readonly", 30)]), READ_ONLY, DATA),
    Row("it is read only and the server does not run", down(use(20 * GIB, read_only=True)), READ_ONLY, DATA, never=("db.service-down",)),
    Row("it is read only by design", up(use(20 * GIB, read_only=True, role="other")), None),
    Row("another filesystem is read only by design", up([use(20 * GIB), use(0, subject="/opt/image", role="other", read_only=True)]), None),
    Row("deleted files hold the room", up(use(0), deleted(20 * GIB)), DELETED, DATA, never=(FULL,), says="java[812] keeps 20 GiB"),
    Row("deleted files hold a tenth", up(use(0), deleted(5 * GIB)), DELETED, DATA),
    Row("deleted files hold less than a tenth", up(use(0), deleted(4.9 * GIB)), FULL, DATA, never=(DELETED,)),
    Row("deleted files where there is room", up(use(20 * GIB), deleted(20 * GIB)), None),
    Row("the server's own temporary files", up(use(0), deleted(20 * GIB, holder=w.SERVER, pid=60, subject=f"{DATA}/#sql-temptable-3c")), FULL, DATA,
        never=(DELETED,)),
    Row("the host is out of descriptors", up([READY, no_files(30, 23)]), "host.fd-limit", "host", never=("db.too-many-open-files",)),
    Row("the host was out of descriptors before the last start", up([no_files(90000, 23), READY]), None),
    Row("the socket may not be opened", mute_socket.but(answer("forbidden")), DENIED, w.SOCKET, never=("db.service-down",), says="permission denied"),
    Row("the data directory belongs to root", down(barred()), DENIED, DATA, never=("db.service-down",), says="belongs to root"),
    Row("the socket's folder is not there", down(barred(subject="/run/mysqld", role="socket folder", owner="", mode="", usable=None, missing=True)),
        DENIED, "/run/mysqld", says="is not there"),
    Row("the log file is not there yet", down(barred(subject=w.ERROR_LOG, role="log", owner="", mode="", usable=None, missing=True)), "db.service-down"),
    Row("nobody can tell whether the path is usable", down(barred(usable=None)), "db.service-down"),
    Row("the path looks barred, and the server runs", up(barred()), None),
]  # fmt: skip

CHAINS: list[tuple[str, Facts, str, str]] = [
    ("a full disk explains that statements fail", up(use(0), [READY, said("disk-full", 28)]), FULL, "db.disk-full"),
    ("a full disk explains that the server is down", down(use(0)), FULL, "db.service-down"),
    ("deleted files explain the full disk", up(use(0), deleted(20 * GIB)), DELETED, FULL),
    ("a read-only filesystem explains that the server is down", down(use(20 * GIB, read_only=True)), READ_ONLY, "db.service-down"),
    ("permissions explain that the server is down", down(barred()), DENIED, "db.service-down"),
    ("permissions of a folder above explain a socket that is missing",
     refused_socket.without(w.ServerProcess).but(answer("missing"), w.make(w.ServerConfig, running=False, pid=None), barred()),
     DENIED, "db.service-down"),
    ("no inodes explain that the server is down", down(use(20 * GIB, inodes_free=0)), INODES, "db.service-down"),
]  # fmt: skip

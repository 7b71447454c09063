"""What the host withholds from a database: room, inodes, a writable filesystem, memory, descriptors, permission."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.db import away
from rbdiag.diagnose.db_mute import since_ready
from rbdiag.facts import number, size
from rbdiag.facts.db import PathAccess, ServerConfig
from rbdiag.facts.host import FilesystemUse, KernelEvent, SpaceUser
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import SocketAnswer
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.5: under 1 % or under 100 MiB. A hundredth of a huge volume is plenty, and a small one that is mostly empty
# is small by design, so each threshold has a bound by the other's kind.
_PART, _PLENTY = 0.01, 10 << 30
_BYTES, _MOSTLY_USED = 100 << 20, 0.10
# The same for inodes: a hundredth of millions is plenty.
_FEW_INODES = 1000
# Deleted files are the reason where they hold a good part of the filesystem.
_HELD = 0.10
# These cannot be written at all, so they are always full.
_NEVER_WRITTEN = ("squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf")
# How the servers call the files that they make and delete at once, for sorting and for big statements.
_OWN_TEMPORARY = ("ib", "#sql", "ML", "MY", "SQ", "MLfd", "rr_", "TD", "IN", "ST")

_VICTIMS = (
    "db.disk-full", "db.tmpdir-full", "db.crashed", "db.table-crashed", "db.service-down", "db.replica-stopped",
    "svc.not-running", "svc.crash-loop",
)  # fmt: skip


def full_of_bytes(use: FilesystemUse) -> bool:
    """Whether a filesystem has too little room left for what a database does."""
    if use.kind in _NEVER_WRITTEN or use.read_only or not use.total:
        return False
    part = use.available / use.total
    return (part < _PART and use.available < _PLENTY) or (use.available < _BYTES and part < _MOSTLY_USED)


def full_of_inodes(use: FilesystemUse) -> bool:
    """Whether no more files can be made although there is room; XFS counts few inodes when it is short of room."""
    if use.kind in _NEVER_WRITTEN or use.read_only or not use.inodes or full_of_bytes(use):
        return False
    return use.inodes_free < _PART * use.inodes and use.inodes_free < _FEW_INODES


def _uses(facts: Facts) -> dict[str, list[FilesystemUse]]:
    """What lies where, by mount point."""
    found: dict[str, list[FilesystemUse]] = {}
    for use in facts.of(FilesystemUse):
        found.setdefault(use.subject, []).append(use)
    return found


def _errors(facts: Facts, *kinds: str) -> list[LogEvent]:
    return [e for e in facts.of(LogEvent) if e.side == "server" and e.kind in kinds]


DISK_FULL = Spec(
    code="host.disk-full",
    title="a filesystem that the service writes to is full",
    severity=Severity.CRITICAL,
    meaning="Nothing more can be written there: statements fail or hang, the server may end itself, and it does not start.",
    told="Under 1 % left (and under 10 GiB), or under 100 MiB of a filesystem that is nine tenths used, on the service's own "
    "mount. Root's reserve does not count: the server is not root.",
    not_to_be_taken_for="a filesystem without free inodes; one that is read only by design; 92 % used with 300 GB left; a small "
    "filesystem that is mostly empty.",
    resolution=("see what is big", "let the server purge binary logs; never delete ib* files", "grow the filesystem"),
    explains=(*_VICTIMS, "host.fs-readonly", "api.app-exception"),
)


def disk_full(facts: Facts) -> Iterator[Finding]:
    written = _errors(facts, "disk-full", "tmpdir-full")
    for mount, uses in _uses(facts).items():
        use = uses[0]
        if not full_of_bytes(use):
            continue
        roles = [u.role for u in uses]
        if set(roles) <= {"tmp", "other"} and any(e.kind == "tmpdir-full" for e in written):
            continue  # only the temporary files are short of room, and the log says so: db.tmpdir-full
        users = [u for u in facts.of(SpaceUser) if u.mount == mount]
        nothing = use.available < _PART * use.total and use.available < _BYTES
        bad = nothing or bool(written) or bool(away(facts))
        yield Finding(
            DISK_FULL, Severity.CRITICAL if bad else Severity.WARNING, Confidence.CERTAIN, mount,
            f"{mount} is full: {size(use.available)} of {size(use.total)} left for {_what(uses)}{_biggest(users)}",
            evidence=(*uses[:3], *users[:4], *written[-2:]), resolution=tuple(_make_room(use, uses, users, facts)),
            about=db_view.about(facts, mount), impact=1.0,
        )  # fmt: skip


def _what(uses: list[FilesystemUse]) -> str:
    words = {"data": "the data", "tmp": "temporary files", "log": "the log", "binary log": "binary logs", "socket": "the socket",
             "other": "the pid file"}  # fmt: skip
    said = [f"{words[u.role]} in {u.path}" for u in uses]
    return said[0] if len(said) == 1 or len(said[0]) > 40 else " and ".join(said[:2])


def _biggest(users: list[SpaceUser]) -> str:
    big = max(users, key=lambda u: u.bytes, default=None)
    return f"; {size(big.bytes)} in {big.subject}" if big is not None and len(big.subject) < 50 else ""


def _make_room(use: FilesystemUse, uses: list[FilesystemUse], users: list[SpaceUser], facts: Facts) -> Iterator[Step]:
    root, mount = steps.sudo(facts), quote(use.subject)
    last: list[Step] = []
    yield Step("see what is big there", f"{root}du -xah {mount} 2>/dev/null | sort -rh | head -20")
    own = tuple(u.path.rstrip("/") + "/" for u in uses if u.role == "data")
    for user in users:
        verify = f"df -h {mount}"
        if user.kind == "binary logs":
            yield Step(
                f"let the server purge binary logs older than three days ({size(user.bytes)} in all; replicas must have read them)",
                db_view.sql("PURGE BINARY LOGS BEFORE NOW() - INTERVAL 3 DAY", facts), "disruptive", verify,
            )  # fmt: skip
        elif user.kind == "deleted":
            continue  # host.deleted-open-space says how
        elif user.kind == "log":
            if user.subject.startswith(own):
                yield Step(f"look at {user.subject} ({size(user.bytes)})", f"{root}ls -l {quote(user.subject)}")
                continue
            text = (
                f"only if nobody needs what is in {user.subject} ({size(user.bytes)}): empty it, and its writer goes on"
            )
            last.append(Step(text, f"{root}truncate -s 0 {quote(user.subject)}", "destructive", verify))
        elif not user.subject.startswith(own) and user.kind == "file":
            yield Step(
                f"see whether {user.subject} ({size(user.bytes)}) can be moved away",
                f"{root}ls -l {quote(user.subject)}; {root}fuser -v {quote(user.subject)}",
            )
    yield Step(f"or grow the filesystem on {use.device or use.subject}", risk="disruptive", verify=f"df -h {mount}")
    yield from last[:1]  # force comes last, and of the biggest log alone


INODE_FULL = Spec(
    code="host.inode-full",
    title="a filesystem has no inodes left",
    severity=Severity.CRITICAL,
    meaning="No file can be made although there is room: the error says `No space left on device` and df shows space.",
    told="Under 1 % of the inodes are free (and fewer than 1000), while bytes are free.",
    not_to_be_taken_for="a filesystem that is full of bytes; one that does not count inodes (btrfs); a quota (errno 122).",
    resolution=("find the folder with the many small files", "remove those that nobody needs"),
    explains=(*_VICTIMS, "api.app-exception"),
)


def inode_full(facts: Facts) -> Iterator[Finding]:
    written = _errors(facts, "disk-full", "tmpdir-full")
    root = steps.sudo(facts)
    for mount, uses in _uses(facts).items():
        use = uses[0]
        if not full_of_inodes(use):
            continue
        users = sorted((u for u in facts.of(SpaceUser) if u.mount == mount and u.files), key=lambda u: -u.files)
        most = f"; {number(users[0].files)} of them in {users[0].subject}" if users else ""
        yield Finding(
            INODE_FULL, Severity.CRITICAL if not use.inodes_free or written or away(facts) else Severity.WARNING,
            Confidence.CERTAIN, mount,
            f"{mount} has {number(use.inodes_free) if use.inodes_free else 'no'} inodes left of {number(use.inodes)}, for {_what(uses)}, "
            f"and {size(use.available)} of room{most}",
            evidence=(*uses[:3], *users[:2], *written[-2:]),
            resolution=(
                Step("see which folders hold the many files", f"{root}du -x --inodes {quote(mount)} 2>/dev/null | sort -rn | head -20"),
                *(Step(f"see what they are ({number(u.files)} in {u.subject})", f"{root}ls -U {quote(u.subject)} | head -20") for u in users[:1]),
                Step("remove those that nobody needs", risk="destructive", verify=f"df -i {quote(mount)}"),
            ),
            about=db_view.about(facts, mount), impact=1.0,
        )  # fmt: skip


FS_READONLY = Spec(
    code="host.fs-readonly",
    title="a filesystem that the service writes to is read only",
    severity=Severity.CRITICAL,
    meaning="The kernel made the filesystem read only after an error on it or on its disk; or somebody mounted it so.",
    told="The kernel forced it (emergency_ro, shutdown, or read only below a mount that is not); or it is read only and the "
    "server fails for that (error 30, or it does not run).",
    not_to_be_taken_for="mounts that are read only by design while the service is well; @@read_only, which is a setting.",
    resolution=("read why: dmesg", "check the filesystem while nobody uses it", "mount it read-write again"),
    explains=(*_VICTIMS, "db.read-only", "db.datadir-permission", "api.app-exception"),
)


def fs_readonly(facts: Facts) -> Iterator[Finding]:
    events = [e for e in facts.of(KernelEvent) if e.kind in ("fs-readonly", "io-error")]
    written = _errors(facts, "fs-readonly")
    root = steps.sudo(facts)
    for mount, uses in _uses(facts).items():
        use = uses[0]
        if not use.read_only:
            continue
        device = use.device.rpartition("/")[2]
        told = [e for e in events if f"{device}" in e.text] if device else []
        failing = bool(written) or bool(away(facts))
        if not (use.error or failing):
            continue
        sure = use.error or bool(written)
        how = " after an error on it" if use.error else ""
        yield Finding(
            FS_READONLY, Severity.CRITICAL, Confidence.CERTAIN if sure else Confidence.LIKELY, mount,
            f"{mount} is read only{how}: nothing can be written to {_what(uses)}",
            evidence=(*uses[:3], *told[-3:], *written[-2:]),
            resolution=(
                Step("read what the kernel says of it", f"{root}dmesg -T | grep -E {quote(device or 'EXT4|XFS|I/O error')} | tail -20"),
                Step("see how it is meant to be mounted", f"grep -F {quote(mount)} /etc/fstab; findmnt {quote(mount)}"),
                *([Step("look at the disk's health", f"{root}smartctl -H -A {quote(use.device)}")] if use.error and use.device.startswith("/dev/") else []),
                Step("save what is on it, then check it while it is not mounted", f"{root}fsck -n {quote(use.device)}") if use.error
                else Step("mount it read-write again", f"{root}mount -o remount,rw {quote(mount)}", "disruptive", f"findmnt {quote(mount)}"),
                *([Step("mount it read-write again once it is sound", f"{root}mount -o remount,rw {quote(mount)}", "disruptive", f"findmnt {quote(mount)}")] if use.error else []),
            ),
            about=db_view.about(facts, mount), impact=1.0,
        )  # fmt: skip


DELETED_OPEN_SPACE = Spec(
    code="host.deleted-open-space",
    title="deleted files that are still open hold the room",
    severity=Severity.WARNING,
    meaning="A file was deleted while a process has it open: its room comes back when that process closes it. df counts it, du "
    "does not find it.",
    told="Files without a name, held open by processes, take a tenth or more of a filesystem that is full.",
    not_to_be_taken_for="the server's own temporary files, which never have a name; sparse files; files hidden below a mount.",
    resolution=("let the holder reopen its logs, or restart it",),
    explains=("host.disk-full", *_VICTIMS),
)


def deleted_open_space(facts: Facts) -> Iterator[Finding]:
    server = db_view.server(facts)
    root = steps.sudo(facts)
    for mount, uses in _uses(facts).items():
        use = uses[0]
        held = [
            u for u in facts.of(SpaceUser)
            if u.mount == mount and u.kind == "deleted"
            and not (server is not None and u.pid == server.pid and u.subject.rpartition("/")[2].startswith(_OWN_TEMPORARY))
        ]  # fmt: skip
        if not held or not full_of_bytes(use) or sum(u.bytes for u in held) < _HELD * use.total:
            continue
        most = max(held, key=lambda u: u.bytes)
        yield Finding(
            DELETED_OPEN_SPACE, Severity.CRITICAL, Confidence.CERTAIN, mount,
            f"{most.holder} keeps {size(sum(u.bytes for u in held if u.pid == most.pid))} of deleted files open on {mount}, which is full",
            evidence=(use, *held[:4]),
            resolution=(
                Step("see them", f"{root}ls -l /proc/{most.pid}/fd | grep -F '(deleted)'"),
                Step(f"let {most.holder} open its files anew, or restart it", risk="disruptive", verify=f"df -h {quote(mount)}"),
                *([Step(
                    f"only if what is in {most.subject} is of no use to anybody: empty it through its descriptor",
                    steps.guarded(most.pid, most.start_ticks, f"{root}truncate -s 0 /proc/{most.pid}/fd/{most.fd}"), "destructive",
                    f"df -h {quote(mount)}",
                )] if most.pid is not None and most.fd is not None else []),
            ),
            about=db_view.about(facts, mount, most.holder), impact=1.0,
        )  # fmt: skip


FD_LIMIT = Spec(
    code="host.fd-limit",
    title="a process or the host is out of file descriptors",
    severity=Severity.CRITICAL,
    meaning="All processes together hold as many open files as the kernel allows (fs.file-nr), so nobody can open another.",
    told="The server's log says error 23 (Too many open files in system) since its last start.",
    not_to_be_taken_for="error 24, which is the limit of one process.",
    resolution=("see who holds them", "raise fs.file-max", "mend the one that leaks"),
    explains=(
        "db.too-many-open-files",
        "db.hung",
        "db.service-down",
        "api.app-exception",
        "api.upstream-reset",
        "timeout.accept-queue-full",
        "dns.resolver-unreachable",
    ),
)


def fd_limit(facts: Facts) -> Iterator[Finding]:
    events = [e for e in since_ready(facts) if e.kind == "too-many-files" and e.number == 23]
    if not events:
        return
    root = steps.sudo(facts)
    yield Finding(
        FD_LIMIT, Severity.CRITICAL, Confidence.LIKELY, "host",
        "the whole host is out of file descriptors: the server's log says so (error 23)", evidence=tuple(events[-2:]),
        resolution=(
            Step("see how many are used, and the limit", "cat /proc/sys/fs/file-nr"),
            Step("see who holds most", f"{root}sh -c 'for p in /proc/[0-9]*; do echo $(ls $p/fd | wc -l) $(cat $p/comm) ${{p#/proc/}}; done' 2>/dev/null | sort -rn | head"),
            Step("raise the limit by half until the leak is mended", f"{root}sysctl fs.file-max=$(( $(cat /proc/sys/fs/file-max) * 3 / 2 ))", "disruptive", "cat /proc/sys/fs/file-nr"),
        ),
        about=db_view.about(facts, "host"), impact=0.9,
    )  # fmt: skip


PERMISSION_DENIED = Spec(
    code="host.permission-denied",
    title="permissions on a local path are in the way",
    severity=Severity.CRITICAL,
    meaning="Owner or mode of a file or folder keeps the service, or its client, from what it needs.",
    told="The client may not open the server's socket; or the server does not run, and its user cannot use a path that it needs.",
    not_to_be_taken_for="a connect over TCP that says 13, which is a route; a full or read-only filesystem.",
    resolution=("see the modes along the path: namei -l", "make the least change of owner or mode"),
    explains=(
        "db.datadir-permission",
        "db.service-down",
        "svc.not-running",
        "svc.exec-failed",
        "api.static-permission",
    ),
)


def permission_denied(facts: Facts) -> Iterator[Finding]:
    found, socket, root = db_view.target(facts), facts.first(SocketAnswer), steps.sudo(facts)
    if found is not None and socket is not None and socket.word == "forbidden":
        yield Finding(
            PERMISSION_DENIED, Severity.CRITICAL, Confidence.CERTAIN, socket.subject,
            f"the socket {socket.subject} may not be opened by this user: permission denied on it or on a folder above it",
            evidence=(socket,),
            resolution=(
                Step("see the modes along the path", f"namei -l {quote(socket.subject)}"),
                Step("try it as root", f"{root}{found.again}"),
                Step("let everybody enter the folder (the server checks passwords, not modes)", f"{root}chmod o+x {quote(_folder(socket.subject))}",
                     "disruptive", found.again),
            ),
            about=db_view.about(facts, socket.subject), impact=0.9,
        )  # fmt: skip
    if not away(facts) or db_view.server(facts) is not None or _errors(facts, "datadir-permission", "socket-path"):
        return  # the server's own log says it better: db.datadir-permission
    barred = [
        p
        for p in facts.of(PathAccess)
        if p.usable is False or (p.missing and p.role in ("datadir", "socket folder", "pid folder"))
    ]
    if not barred:
        return
    first = barred[0]
    what = (
        f"is not there, and {first.server_user} needs it"
        if first.missing
        else f"belongs to {first.owner} ({first.mode}): {first.server_user} cannot use it"
    )
    yield Finding(
        PERMISSION_DENIED, Severity.CRITICAL, Confidence.LIKELY, first.subject, f"{first.role} {first.subject} {what}",
        evidence=(*barred[:4], *(c for c in facts.of(ServerConfig) if c.for_target)),
        resolution=(Step("see the modes along the path", f"namei -l {quote(first.subject)}"), *_grant(barred, root), *db_view.start(facts)),
        about=db_view.about(facts, *(p.subject for p in barred)), impact=0.95,
    )  # fmt: skip


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _grant(barred: list[PathAccess], root: str) -> Iterator[Step]:
    done: set[str] = set()
    for p in barred:
        if p.subject in done:
            continue
        done.add(p.subject)
        user, path = quote(p.server_user), quote(p.subject)
        if p.missing:
            if p.role != "datadir":
                yield Step(
                    f"make {p.subject}", f"{root}install -d -o {user} -m 755 {path}", "disruptive", f"ls -ld {path}"
                )
        elif p.owner != p.server_user:
            deep = "-R " if p.role == "datadir" else ""
            yield Step(
                f"give {p.subject} to {p.server_user}",
                f"{root}chown {deep}{user} {path}",
                "disruptive",
                f"ls -ld {path}",
            )
        else:
            yield Step(
                f"let {p.server_user} use what is its own", f"{root}chmod u+rwX {path}", "disruptive", f"ls -ld {path}"
            )


RULES = (
    disk_full, inode_full, fs_readonly, deleted_open_space, fd_limit, permission_denied,
)  # fmt: skip

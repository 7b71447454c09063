"""A database server that has no room, has died, or whose data is damaged: as its log and the checks of tables tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from rbdiag.diagnose import db_attempt, db_view, steps
from rbdiag.facts import size, span
from rbdiag.facts.db import TableCheck
from rbdiag.facts.host import FilesystemUse, SpaceRole, SpaceUser
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.sessions import Session
from rbdiag.facts.svc import Unit
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.1, 10: full is under 1 %, or under 100 MiB of what is no small filesystem.
_FULL, _FULL_BYTES, _FULL_PART = 0.01, 100 << 20, 0.10
# Catalogue A.1, 17: after a crash a server that is back for five minutes has recovered.
_BACK = 300.0
# A server that died twice in the window does so again, if the last time was in this quarter of an hour.
_AGAIN = 900.0
# A line of a disk that was full is over once there is room, after this long.
_RECENT = 600.0


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _is_full(use: FilesystemUse) -> bool:
    """No room, or no inodes, for an ordinary user."""
    few = use.available < _FULL_BYTES and use.available < _FULL_PART * use.total
    return use.available < _FULL * use.total or few or (use.inodes > 0 and use.inodes_free == 0)


def _filesystem(path: str, roles: tuple[SpaceRole, ...], facts: Facts) -> FilesystemUse | None:
    """Where this path lies, by the longest mount point; for a relative path, what has the role."""
    uses = facts.of(FilesystemUse)
    if path.startswith("/"):
        over = [u for u in uses if f"{path}/".startswith(f"{u.subject.rstrip('/')}/")]
        if over:
            return max(over, key=lambda u: len(u.subject))
    return next((u for role in roles for u in uses if u.role == role), None)


def _make_room(use: FilesystemUse | None, facts: Facts) -> Iterator[Step]:
    """Look for what is big; binary logs by the server itself; nothing of InnoDB's is ever to be deleted."""
    root = steps.sudo(facts)
    where = use.subject if use is not None else "/"
    biggest = sorted((u for u in facts.of(SpaceUser) if u.mount == where), key=lambda u: -u.bytes)
    yield Step(f"see how full {where} is, in bytes and in inodes", f"df -h {quote(where)}; df -i {quote(where)}")
    yield Step("see what is big there", f"{root}du -xh --max-depth=2 {quote(where)} | sort -h | tail -15")
    for user in biggest[:2]:
        if user.kind == "binary logs" and db_attempt.up(facts):
            yield Step(
                f"drop binary logs older than a day, if no replica and no backup needs them ({size(user.bytes)} in all)",
                db_view.sql("PURGE BINARY LOGS BEFORE NOW() - INTERVAL 1 DAY", facts), "disruptive",
                db_view.sql("SHOW BINARY LOGS", facts),
            )  # fmt: skip
        elif user.kind == "log":
            yield Step(
                f"empty the log {user.subject}",
                f"{root}truncate -s 0 {quote(user.subject)}",
                "disruptive",
                f"ls -l {quote(user.subject)}",
            )
    yield Step(
        "move away or delete what is not the server's; never delete ib* files, they are the data", risk="disruptive"
    )


DISK_FULL = Spec(
    code="db.disk-full",
    title="the server has no room for its data",
    severity=Severity.CRITICAL,
    meaning="The filesystem of the data directory or of a log is full. Statements that write fail or wait, a rollback may end "
    "in a crash, and a start fails.",
    told="Errno 28 (or 122, a quota) in the server's log about one of its files; statements that wait for space.",
    not_to_be_taken_for="a full temporary folder, which only big sorts need; a MEMORY table at its own limit; inodes that are "
    "used up, which look the same.",
    resolution=(
        "see what is big",
        "free space, binary logs by PURGE; never delete ib* files",
        "start the server if it ended",
    ),
    explains=(
        *db_attempt.DOWN,
        "db.crashed",
        "db.table-crashed",
        "db.replica-stopped",
        "db.hung",
        "db.client-pool-exhausted",
    ),
)


def disk_full(facts: Facts) -> Iterator[Finding]:
    down, lines = _without_room(facts)
    waiting = [s for s in facts.of(Session) if s.waits_for == "space"]
    # a table that is full may be at a limit of its own: only a system error or a full filesystem proves the disk
    proven = tuple(e for e in lines if e.number != 1114)
    name = next((e.name for e in reversed(proven or lines) if e.name), "")
    use = _filesystem(name, ("data", "binary log", "log"), facts)
    full = use is not None and _is_full(use)
    if not waiting and not (proven or (lines and full)):
        return
    roomy = use is not None and not full and not waiting
    if roomy and not down and all((db_attempt.age(e) or 0.0) > _RECENT for e in lines):
        return  # there is room again, and the server runs
    where = use.subject if use is not None else "the filesystem of its data"
    left = f" ({size(use.available)} of {size(use.total)} free)" if use is not None else ""
    if waiting and not down:
        did = f"{_counted(len(waiting), 'statement waits', 'statements wait')} for room on disk"
    else:
        did = "the server does not run: it had no room on disk" if down else "the server cannot write"
    yield Finding(
        DISK_FULL, Severity.CRITICAL if down or full or waiting else Severity.WARNING,
        Confidence.CERTAIN if full or waiting else Confidence.LIKELY, use.subject if use is not None else db_view.label(facts),
        f"{did}: {where} " + (f"has room again{left}" if roomy else f"is full{left}"),
        evidence=(*(proven or lines)[-3:], *waiting[:3], *([use] if use is not None else [])),
        resolution=(*_make_room(use, facts), *(db_view.start(facts) if down else ())),
        about=db_view.about(facts, *([use.subject, use.path] if use is not None else [])), impact=1.0,
    )  # fmt: skip


def _without_room(facts: Facts) -> tuple[bool, tuple[LogEvent, ...]]:
    """Whether the server is down of it, and the lines about a full disk since it was last started."""
    failed, attempt = db_attempt.failure(facts), db_attempt.last(facts)
    if failed is not None:
        ours = failed.reason.kind == "disk-full"
        return ours and not failed.second, failed.attempt.of("disk-full") if ours else ()
    if not db_attempt.down(facts):
        return False, db_attempt.since_start(facts, "disk-full")
    if attempt is None or attempt.asked_to_stop:
        return True, ()
    return True, attempt.of("disk-full")


TMPDIR_FULL = Spec(
    code="db.tmpdir-full",
    title="the server's temporary folder is full",
    severity=Severity.WARNING,
    meaning="The folder for temporary tables and sorts has no room. Only statements that need it fail, often with error 126 "
    "or 1034, as if an index were damaged; nothing is.",
    told="Errno 28 about a temporary table or a file in tmpdir; error 126 about a table called #sql-temptable.",
    not_to_be_taken_for="damage of a real table; a full data directory.",
    resolution=(
        "see what is in it",
        "free it, or let tmpdir name a folder with room",
        "limit the statement that fills it",
    ),
    explains=(*db_attempt.DOWN, "db.table-crashed"),
)


def tmpdir_full(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    stopped = failed is not None and failed.reason.kind == "tmpdir-full" and not failed.second
    lines = failed.attempt.of("tmpdir-full") if stopped and failed is not None else (
        *db_attempt.since_start(facts, "tmpdir-full"), *db_attempt.by_clients(facts, "tmpdir-full")
    )  # fmt: skip
    if not lines or (db_attempt.down(facts) and not stopped):
        return
    process, files, root = db_view.server(facts), db_view.config(facts), steps.sudo(facts)
    tmpdir = (process.tmpdir if process else "") or (files.tmpdir if files else "") or "/tmp"  # noqa: S108 - its usual default
    use = _filesystem(tmpdir, ("tmp",), facts)
    full = use is not None and _is_full(use)
    # a statement that fails gives back what it took, so room now says nothing against it
    space = f" ({size(use.available)} of {size(use.total)} free now)" if use is not None else ""
    count = sum(e.count for e in lines)
    did = (
        "the server does not start"
        if stopped
        else f"big sorts and temporary tables fail ({_counted(count, 'line', 'lines')})"
    )
    yield Finding(
        TMPDIR_FULL, Severity.CRITICAL if stopped else Severity.WARNING,
        Confidence.CERTAIN if full else Confidence.LIKELY, tmpdir,
        f"{did}: the temporary folder {tmpdir} {'is' if full or use is None else 'was'} full{space}",
        evidence=(*lines[-4:], *([use] if use is not None else [])),
        resolution=(
            Step("see how full it is, in bytes and in inodes", f"df -h {quote(tmpdir)}; df -i {quote(tmpdir)}"),
            Step("see what fills it", f"{root}du -ah --max-depth=1 {quote(tmpdir)} | sort -h | tail -15"),
            Step("delete there what belongs to nobody that runs, or let tmpdir name a folder with more room", risk="disruptive"),
            *(db_view.start(facts) if stopped else ()),
        ),
        about=db_view.about(facts, tmpdir, *([use.subject] if use is not None else [])), impact=0.9 if stopped else 0.6,
    )  # fmt: skip


CRASHED = Spec(
    code="db.crashed",
    title="the server died of a fault of its own",
    severity=Severity.CRITICAL,
    meaning="The server ended on a signal or an assertion: it is down, in recovery, or back for a few minutes. Every "
    "connection was cut, and what was not committed is lost.",
    told="`got signal` or `[FATAL]` in its log after it was last ready, with no later start that succeeded more than five "
    "minutes ago; recovery that runs now; a core dump that the service manager saw.",
    not_to_be_taken_for="a stop that somebody asked for; kill -9 or the OOM killer, which leave no line; recovery after an "
    "unclean stop that is long over.",
    resolution=(
        "wait for recovery",
        "read the backtrace and the lines before it",
        "look at disk and memory",
        "upgrade",
    ),
    explains=(
        *db_attempt.DOWN,
        "db.table-crashed",
        "db.replica-stopped",
        "db.idle-timeout-gone-away",
        "api.app-exception",
    ),
)


def crashed(facts: Facts) -> Iterator[Finding]:
    attempt, failed = db_attempt.last(facts), db_attempt.failure(facts)
    if failed is not None and failed.reason.kind not in ("signal", "fatal"):
        return  # the start failed of what the log says first
    down = db_attempt.down(facts)
    lines = attempt.of("signal", "fatal") if attempt is not None else ()
    unready = attempt is not None and attempt.ready is None and not db_attempt.answers(facts)
    recovery = tuple(e for e in attempt.of("recovery") if not e.name) if attempt is not None and unready else ()
    dumps = [u for u in facts.of(Unit) if u.result == "core-dump" and u.subject == db_view.unit(facts)]
    if down and attempt is not None and attempt.asked_to_stop and not lines:
        return
    if down and (lines or dumps):
        what, sure = "the server died and is down", Confidence.CERTAIN if lines else Confidence.LIKELY
    elif db_attempt.up(facts) and recovery:
        what, sure = "the server recovers from an unclean end and answers nobody yet", Confidence.LIKELY
    elif db_attempt.up(facts) and not unready and (told := _back_from_crash(facts)) is not None:
        what, lines = told
        sure = Confidence.LIKELY
    else:
        return
    signal = next((e for e in reversed(lines) if e.kind == "signal" and e.number), None)
    fatal = next((e for e in lines if e.kind == "fatal" and e.name), None)
    how = ([f"signal {signal.number}"] if signal is not None else []) + ([fatal.name] if fatal is not None else [])
    yield Finding(
        CRASHED, Severity.CRITICAL if down or recovery else Severity.WARNING, sure, db_view.label(facts),
        what + (f" ({', '.join(how)})" if how else ""), evidence=(*lines[-4:], *recovery, *dumps),
        resolution=tuple(_after_crash(facts, attempt.log if attempt is not None else "", recovers=bool(recovery), down=down)),
        about=db_view.about(facts), impact=0.9 if down or recovery else 0.5,
    )  # fmt: skip


def _back_from_crash(facts: Facts) -> tuple[str, tuple[LogEvent, ...]] | None:
    """A server that died a few minutes ago or more than once, and is back; None for what is over."""
    lines = tuple(
        e
        for e in db_attempt.in_window(facts, "signal", "fatal")
        if (age := db_attempt.age(e)) is not None and age <= _AGAIN
    )
    if not lines:
        return None
    ago = min(db_attempt.age(e) or 0.0 for e in lines)
    times = sum(e.count for e in lines if e.kind == "signal")
    if ago > _BACK and times < 2:
        return None
    often = f"{times} times, last {span(ago)} ago" if times > 1 else f"{span(ago)} ago"
    return f"the server died {often}, and is back", lines


def _after_crash(facts: Facts, log: str, *, recovers: bool, down: bool) -> Iterator[Step]:
    root = steps.sudo(facts)
    if log.startswith("journal of "):
        yield db_attempt.read_log(log, facts)
    elif log:
        yield Step(
            "read the backtrace, and what came before it",
            f"{root}grep -n -B 15 -A 40 -E 'got signal|FATAL|ssertion' {quote(log)} | tail -80",
        )
    yield Step(
        "look for errors of disk and memory",
        f"{root}dmesg -T | grep -iE 'I/O error|segfault|machine check|oom' | tail -20",
    )
    if recovers:
        yield Step("let the recovery end: a restart only begins it anew", verify=db_view.again(facts))
    if down:
        yield from db_view.start(facts)


INNODB_CORRUPTION = Spec(
    code="db.innodb-corruption",
    title="InnoDB data or its redo log is damaged",
    severity=Severity.CRITICAL,
    meaning="Pages, a tablespace or the redo log are not what InnoDB wrote. Tables cannot be read, or the server does not "
    "start. A disk, a copy of files of a running server, or hands on its files are the usual cause.",
    told="Page, checksum, tablespace or redo log errors in the log since the server was started; error 1877, 1034 or 194; "
    "CHECK TABLE on an InnoDB table.",
    not_to_be_taken_for="error 126 about a temporary table: a full tmpdir; a MyISAM or Aria table; lines of before the last "
    "start that succeeded.",
    resolution=("stop writing; save the data directory as it is", "look at the disk", "restore the table, or all, from a backup",
                "innodb_force_recovery from 1 upwards, to dump what can be read, as the last resort"),
    explains=(*db_attempt.DOWN, "db.crashed", "db.table-crashed"),
)  # fmt: skip


def innodb_corruption(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    stopped = failed is not None and failed.reason.kind == "corruption" and not failed.second
    if failed is not None and not stopped:
        return
    attempt = db_attempt.last(facts)
    if stopped and failed is not None:
        lines = failed.attempt.of("corruption")
    elif db_attempt.down(facts):
        # a crash right after damage was met
        lines = attempt.of("corruption") if attempt is not None and attempt.of("signal", "fatal") else ()
    else:
        lines = db_attempt.since_start(facts, "corruption")
    missing = db_attempt.since_start(facts, "missing-tablespace") if not db_attempt.down(facts) else ()
    checked = [c for c in facts.of(TableCheck) if c.word == "damaged" and c.engine == "InnoDB"]
    clients = db_attempt.by_clients(facts, "corruption", "missing-tablespace")
    if not (lines or missing or checked or clients):
        return
    names = list(dict.fromkeys(e.name for e in (*lines, *missing, *clients) if e.name)) + [c.subject for c in checked]
    first = names[0] if names else ""
    dead = stopped or (db_attempt.down(facts) and bool(lines))
    only_missing = not lines and not checked and all(e.kind == "missing-tablespace" for e in clients)
    if only_missing:
        said = f"the file of table {first or 'a table'} is missing or cannot be read"
    else:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        said = f"InnoDB is damaged: {first or 'see the log'}{more}"
    yield Finding(
        INNODB_CORRUPTION, Severity.WARNING if only_missing else Severity.CRITICAL,
        Confidence.LIKELY if only_missing or not (lines or checked) else Confidence.CERTAIN, first or db_view.label(facts),
        f"the server does not start; {said}" if dead else said,
        evidence=(*lines[:4], *missing[:2], *checked[:4], *clients[:2]),
        resolution=tuple(_mend_innodb(facts, first, lines, dead=dead)),
        about=db_view.about(facts, *names[:8]), impact=1.0 if dead else 0.8,
    )  # fmt: skip


def _mend_innodb(facts: Facts, name: str, lines: Iterable[LogEvent], *, dead: bool) -> Iterator[Step]:
    root, files, process = steps.sudo(facts), db_view.config(facts), db_view.server(facts)
    datadir = (process.datadir if process else "") or (files.datadir if files else "") or "/var/lib/mysql"
    yield Step(
        "look for errors of the disk",
        f"{root}dmesg -T | grep -iE 'I/O error|medium error|ext4-fs error|xfs.*corrupt' | tail -20",
    )
    if "." in name and not name.startswith((".", "/")) and not dead:
        yield Step("see what still can be read", db_view.sql(f"CHECK TABLE {_table(name)}", facts))
    yield Step(
        "save the files as they are, before anything is tried",
        f"{root}cp -a {quote(datadir.rstrip('/'))} {quote(datadir.rstrip('/') + '.damaged')}",
        verify=f"{root}du -sh {quote(datadir.rstrip('/') + '.damaged')}",
    )
    yield Step(f"restore {name or 'the data'} from the last good backup, and replay the binary logs", risk="disruptive")
    yield Step(
        "only without a backup: start with innodb_force_recovery = 1, dump what can be read, and rise by one at most to 3; from 4 "
        "on it loses data for good; never delete ib* files", risk="destructive",
    )  # fmt: skip


def _table(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))


TABLE_CRASHED = Spec(
    code="db.table-crashed",
    title="a MyISAM or Aria table needs repair",
    severity=Severity.CRITICAL,
    meaning="A table of an engine without crash safety is damaged: its statements fail with 1194, 1034, 144, 145 or 176. If it "
    "is Aria's own control file or log, the server does not start.",
    told="`marked as crashed` or a broken index in a log since the server was started, not repaired since; CHECK TABLE.",
    not_to_be_taken_for="a temporary table (#sql...): a full tmpdir; a table that the server has repaired by itself.",
    resolution=("see what CHECK TABLE says", "find what broke it: a crash, a full disk", "REPAIR TABLE, or aria_chk on a stopped "
                "server, with a copy at hand"),
    explains=db_attempt.DOWN,
)  # fmt: skip


def table_crashed(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    stopped = failed is not None and failed.reason.kind == "table-crashed" and not failed.second
    if db_attempt.down(facts) and not stopped:
        return
    mended = {e.name: e.happened_at or 0.0 for e in db_attempt.since_start(facts, "recovery") if e.name}
    damaged = {e.name.rpartition(".")[2] for e in db_attempt.since_start(facts, "corruption")}
    lines = [
        e for e in (*db_attempt.since_start(facts, "table-crashed"), *db_attempt.by_clients(facts, "table-crashed"))
        if (e.name not in mended or mended[e.name] < (e.happened_at or 0.0)) and e.name.rpartition(".")[2] not in damaged - {""}
    ]  # fmt: skip
    checked = [c for c in facts.of(TableCheck) if c.word == "damaged" and c.engine != "InnoDB"]
    if stopped and failed is not None:
        lines = [failed.reason]
    if not lines and not checked:
        return
    names = list(dict.fromkeys([*(c.subject for c in checked), *(e.name for e in lines if e.name)]))
    first = names[0] if names else ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    root, files = steps.sudo(facts), db_view.config(facts)
    if stopped:
        datadir = (files.datadir if files else "") or first.rpartition("/")[0]
        said = f"the server does not start: Aria's own files are damaged ({first or 'see the log'})"
        resolution: tuple[Step, ...] = (
            Step("save the files as they are", f"{root}cp -a {quote(datadir.rstrip('/'))} {quote(datadir.rstrip('/') + '.damaged')}", verify=f"{root}ls {quote(datadir.rstrip('/') + '.damaged')}"),
            Step("check Aria's tables", f"{root}sh -c 'aria_chk --datadir={quote(datadir)} -s {quote(datadir)}/*/*.MAI'"),
            Step("or restore the folder from the last good backup", risk="disruptive"),
            Step("only with that copy at hand: let Aria begin new logs; what they held is lost", f"{root}mv {quote(datadir)}/aria_log* {quote(datadir.rstrip('/') + '.damaged')}/", "destructive", db_view.again(facts)),
        )  # fmt: skip
    else:
        said = f"table {first or 'see the log'}{more} is damaged and needs repair"
        on = _table(first) if "." in first else first
        resolution = (
            Step("see what is wrong with it", db_view.sql(f"CHECK TABLE {on}", facts) if on else "rbdiag db --check-tables"),
            Step("look for what broke it: a crash, a full disk, errors of the disk", f"{root}dmesg -T | tail -20; df -h"),
            Step(
                "with a backup at hand, repair it; rows that cannot be read are lost",
                db_view.sql(f"REPAIR TABLE {on}", facts) if on else "", "destructive", db_view.sql(f"CHECK TABLE {on}", facts) if on else "",
            ),
        )  # fmt: skip
    yield Finding(
        TABLE_CRASHED, Severity.CRITICAL, Confidence.CERTAIN if stopped or checked or any(e.side == "server" for e in lines) else Confidence.LIKELY,
        first or db_view.label(facts), said, evidence=(*lines[:4], *checked[:4]), resolution=resolution,
        about=db_view.about(facts, *names[:8]), impact=1.0 if stopped else 0.7,
    )  # fmt: skip


RULES = (disk_full, tmpdir_full, crashed, innodb_corruption, table_crashed)

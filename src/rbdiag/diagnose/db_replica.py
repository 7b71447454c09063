"""Replication that stands still or falls behind, and servers that take no writes."""

from __future__ import annotations

from collections.abc import Iterator

from rbdiag.diagnose import db_locks, db_view
from rbdiag.facts import span
from rbdiag.facts.db import ServerConfig
from rbdiag.facts.sessions import LockWait, Replica, ServerInfo, SessionGroup
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# A burst of writes is applied within seconds; from here on readers notice. An applier that waits for a lock gets
# nowhere, so that a few seconds tell as much.
_LAG, _LAG_WAITING = 10.0, 3.0

REPLICA_STOPPED = Spec(
    code="db.replica-stopped",
    title="replication stands still",
    severity=Severity.WARNING,
    meaning="The thread that fetches changes from the source (IO), or the one that applies them (SQL), does not run: this server's "
    "data is as old as that, and grows older.",
    told="A thread does not run, or the IO thread fails to connect; the error number says why.",
    not_to_be_taken_for="lag with both threads running; a thread that connects for the first time.",
    resolution=("read the error", "mend its cause", "start replication again; rebuild the replica where data differ"),
    explains=("db.replica-lag",),
)  # fmt: skip

# What an error of either thread means; from the servers' own error lists.
_CAUSES: dict[int, str] = {
    1045: "the source refuses its password", 1044: "the source refuses its account", 1130: "the source does not let this host in",
    1129: "the source has blocked this host", 1040: "the source has no connection left", 2002: "the source cannot be reached",
    2003: "the source cannot be reached", 2005: "the source's name does not resolve", 2013: "the connection to the source was lost",
    2026: "TLS to the source fails", 2061: "the account needs TLS or the source's public key", 1236: "the source no longer has the binary log it needs",
    13114: "the source no longer has the binary log it needs", 1593: "both servers have the same server_id, or may not replicate",
    13117: "both servers have the same server_id", 1062: "a row is there already: the data differ", 1032: "a row is missing: the data differ",
    1146: "a table is missing: the schemas differ", 1054: "a column is missing: the schemas differ", 1050: "a table is there already: the schemas differ",
    1049: "a schema is missing", 1007: "a schema is there already", 1008: "a schema is missing", 1396: "an account differs",
    1451: "a foreign key is in the way: the data differ", 1452: "a foreign key is in the way: the data differ",
    1594: "the relay log is damaged", 13121: "the relay log is damaged", 1595: "the relay log cannot be written", 1021: "the disk is full",
    1114: "a table or the disk is full", 1205: "a lock was waited for too long", 1213: "a deadlock", 1872: "its own settings cannot be read",
    1950: "the GTID positions do not fit", 1837: "the GTID positions do not fit", 10001: "a worker failed", 1677: "a column's type differs",
}  # fmt: skip
_DIFFER = (1062, 1032, 1146, 1054, 1050, 1049, 1007, 1008, 1396, 1451, 1452, 1677)
_UNREACHABLE = (2002, 2003, 2005, 2013)
_REFUSED = (1045, 1044, 1130, 1129, 2026, 2061)
_LOG_GONE = (1236, 13114, 1594, 13121)


def _channel(r: Replica, facts: Facts) -> str:
    if not r.channel:
        return ""
    return f" '{r.channel}'" if db_view.flavour(facts) == "MariaDB" else f" FOR CHANNEL '{r.channel}'"


def replica_stopped(facts: Facts) -> Iterator[Finding]:
    for r in facts.of(Replica):
        failing = r.io == "connecting" and r.io_errno != 0
        if r.io != "no" and r.sql != "no" and not failing:
            continue
        code = (r.sql_errno if r.sql == "no" else 0) or r.io_errno or r.sql_errno
        threads = [t for t, still in (("IO", r.io == "no" or failing), ("SQL", r.sql == "no")) if still]
        which = (
            f"the {threads[0]} thread {'fails' if failing and r.sql != 'no' else 'has stopped'}"
            if len(threads) == 1
            else "both threads have stopped"
        )
        why = f"{_CAUSES.get(code, 'error')} ({code})" if code else "without an error: somebody stopped it"
        text = r.sql_error if code == r.sql_errno and r.sql_error else r.io_error
        said = "" if code in _CAUSES or not text else f" {db_locks.cut(text)}"
        logged = db_locks.recent(facts, "replica-sql" if r.sql == "no" and r.sql_errno else "replica-io")
        yield Finding(
            REPLICA_STOPPED, Severity.WARNING, Confidence.CERTAIN, r.subject,
            f"{r.subject}: {which}, {why}{said}", evidence=(r, *logged[:2]), resolution=tuple(_restart(r, code, facts)),
            about=db_view.about(facts, r.subject), impact=0.8,
        )  # fmt: skip


def _restart(r: Replica, code: int, facts: Facts) -> Iterator[Step]:
    name, status = db_locks.words(facts)
    ours, channel = name.lower(), _channel(r, facts)
    source = r.subject.removeprefix("replication from ").partition(" ")[0]
    host, _, port = source.rpartition(":")
    look = db_view.sql(f"{status}\\G", facts)
    begin = Step("start replication again", db_view.sql(f"START {name}{channel}", facts), "disruptive", look)
    yield Step("read its state and the whole error", look)
    if code in _UNREACHABLE:
        yield Step(f"see whether {source} answers: rbdiag says where it ends", f"rbdiag db {source}")
    elif code in _REFUSED:
        yield Step(f"see what {source} says to the replication account (asks for its password)",
                   f"rbdiag db --host {host} --port {port} --user REPLICATION_USER --ask-password")  # fmt: skip
        change = "CHANGE MASTER" + (channel if db_view.flavour(facts) == "MariaDB" else "") + " TO MASTER_PASSWORD"
        change = (
            change
            if db_view.flavour(facts) == "MariaDB" or name == "SLAVE"
            else "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD"
        )
        yield Step(
            "give it the password that the source knows now (type it in the client, not on the command line)",
            db_view.client(facts) + f"  # then: STOP {name}{channel}; {change} = '...'; START {name}{channel};", "disruptive", look,
        )  # fmt: skip
    elif code in _LOG_GONE:
        yield Step(f"see what {source} still has", f"rbdiag db {source}; on it: SHOW BINARY LOGS")
        yield Step(
            "rebuild this replica from a fresh backup of the source: what it missed is gone",
            risk="destructive",
            verify=look,
        )
        return
    elif code in _DIFFER:
        yield Step("look at the row or table that the error names, here and on the source, and make them equal")
        if db_view.flavour(facts) == "MariaDB":
            yield begin
            yield Step(
                "only if that one change may be lost here: skip it",
                db_view.sql(f"SET GLOBAL sql_slave_skip_counter = 1; START {name}{channel}", facts), "destructive", look,
            )  # fmt: skip
            return
    elif code:
        yield Step("mend what the error says")
    else:
        yield Step("ask who stopped it (a backup, a migration, a switch-over)")
    yield begin if code else Step(f"start it: START {ours.upper()}", begin.command, "disruptive", look)


REPLICA_LAG = Spec(
    code="db.replica-lag",
    title="a replica falls behind its source",
    severity=Severity.WARNING,
    meaning="Both threads run, and changes are applied later and later: readers of this server see old data.",
    told="Seconds behind the source, less a delay that was asked for: ten and not falling over two looks; three where the "
    "applier waits for a lock.",
    not_to_be_taken_for="a lag that falls (it catches up); unknown lag, which is a thread that has stopped; a delayed replica.",
    resolution=("see what the applier does", "end what holds it up", "apply in parallel; write less at once"),
)  # fmt: skip


def replica_lag(facts: Facts) -> Iterator[Finding]:
    held_up = sorted((w for w in facts.of(LockWait) if w.applier), key=lambda w: -w.seconds)
    for r in facts.of(Replica):
        if r.sql != "yes" or r.lag is None:
            continue
        lag = r.lag - r.wanted_delay
        falling = r.lag_before is not None and r.lag < r.lag_before
        waits = bool(held_up) or ("lock" in r.sql_state.lower() and "waiting" in r.sql_state.lower())
        if falling or lag < (_LAG_WAITING if waits else _LAG):
            continue
        rising = r.lag_before is not None and r.lag > r.lag_before
        blocker = held_up[0] if held_up else None
        why = ""
        if blocker is not None:
            holder = db_locks.who(blocker.blocker, facts) if blocker.blocker is not None else "somebody"
            sure = "" if blocker.proven else "probably "
            why = f": it waits for a lock{f' on {blocker.table}' if blocker.table else ''} that {sure}{holder} holds"
        elif waits:
            why = f": {r.sql_state}"
        more = " and falls further" if rising else ""
        s = db_locks.sessions(facts).get(blocker.blocker or 0) if blocker else None
        name, status = db_locks.words(facts)
        workers = (
            "slave_parallel_threads" if db_view.flavour(facts) == "MariaDB" else f"{name.lower()}_parallel_workers"
        )
        yield Finding(
            REPLICA_LAG, Severity.WARNING, Confidence.CERTAIN if rising or blocker else Confidence.LIKELY, r.subject,
            f"{r.subject} is {span(lag)} behind{more}{why}",
            evidence=(r, *held_up[:2], *([s] if s else [])),
            resolution=(
                Step("see what it applies now", db_view.sql(f"{status}\\G", facts)),
                *(db_locks.end_holder(blocker, facts) if blocker else ()),
                Step("apply in parallel, where the workload allows (see both values first)",
                     db_view.sql(f"SHOW GLOBAL VARIABLES LIKE '{workers}'", facts)),
                Step("write in smaller transactions; every table needs a primary key"),
            ),
            about=db_view.about(facts, r.subject, *(w.subject for w in held_up)), impact=0.5,
        )  # fmt: skip


READ_ONLY = Spec(
    code="db.read-only",
    title="the server takes no writes",
    severity=Severity.CRITICAL,
    meaning="read_only is on: every write of an ordinary account fails with error 1290. On a replica that is right; on the server that "
    "clients write to it is what a switch-over, a restart with an old option file or a careful hand has left behind.",
    told="read_only or super_read_only is on, and the server replicates from nobody; writers that fail with 1290, or replicas "
    "that follow it, make it certain.",
    not_to_be_taken_for="a replica; a transaction or an account that is read only (1792); a read-only file system.",
    resolution=("make sure that this is the server to write to", "SET GLOBAL read_only = 0, and in the option file", "else point the writers at the primary"),
)  # fmt: skip


def read_only(facts: Facts) -> Iterator[Finding]:
    info, told = facts.last(ServerInfo), db_locks.recent(facts, "read-only")
    on = info is not None and (info.read_only or info.super_read_only)
    replica = bool(facts.of(Replica)) or (info is not None and info.is_replica)
    if not on and not told:
        return
    label, clients = db_view.label(facts), [g for g in facts.of(SessionGroup) if g.count][:3]
    if info is None or not on:
        # We saw only what clients say: they may speak of another server, or it is over.
        if sum(e.count for e in told) < db_locks.REPEATED or info is not None:
            return
        level, sure, what = (
            Severity.WARNING,
            Confidence.POSSIBLE,
            f"clients' writes fail with 1290 ({sum(e.count for e in told)} times)",
        )
    elif replica:
        if not told:
            return  # as it should be
        level, sure = Severity.WARNING, Confidence.LIKELY
        what = "clients write to a read-only replica: their writes fail with 1290"
    elif told or info.has_replicas:
        level, sure = Severity.CRITICAL, Confidence.CERTAIN if told and info.replica_known else Confidence.LIKELY
        seen = "clients' writes fail with 1290" if told else "other servers replicate from it"
        what = f"{_switch(info)} is on, and this is no replica: {seen}"
        if not info.replica_known:
            what = f"{_switch(info)} is on: {seen}"
    elif not info.replica_known:
        level, sure = Severity.NOTE, Confidence.POSSIBLE
        what = f"{_switch(info)} is on; whether it is a replica, this account may not see"
    else:
        level, sure = Severity.WARNING, Confidence.LIKELY if clients else Confidence.POSSIBLE
        what = f"{_switch(info)} is on, and this is no replica: every write fails with 1290"
    yield Finding(
        READ_ONLY, level, sure, label, what, evidence=(*([info] if info else []), *told[:2], *facts.of(Replica)[:1], *(clients if not replica else [])),
        resolution=tuple(_allow_writes(info, replica, facts)), about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


def _switch(info: ServerInfo) -> str:
    return "super_read_only" if info.super_read_only else "read_only"


def _allow_writes(info: ServerInfo | None, replica: bool, facts: Facts) -> Iterator[Step]:
    _, status = db_locks.words(facts)
    yield Step("make sure which server is the primary: one that is to be written to replicates from nobody",
               db_view.sql(f"{status}\\G; SELECT @@GLOBAL.read_only", facts))  # fmt: skip
    if replica or info is None:
        yield Step("point the writers at the primary: their configuration, or the name or address that follows it")
        return
    why = "only if this is the primary: two that take writes drift apart"
    if info.super_read_only:
        yield db_view.set_global("super_read_only", "0", why, facts)
    yield db_view.set_global("read_only", "0", why, facts)
    if facts.of(ServerConfig):
        yield from db_view.change_option("read_only", "0", "so that it stays after a restart", facts)


RULES = (replica_stopped, replica_lag, read_only)

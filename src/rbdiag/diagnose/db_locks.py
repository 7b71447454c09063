"""Sessions that keep others waiting: rows, tables, the whole server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from rbdiag.diagnose import db_view
from rbdiag.facts import span
from rbdiag.facts.db import Login
from rbdiag.facts.logs import LogEvent, LogKind
from rbdiag.facts.sessions import Connections, DbRates, Innodb, LockWait, ServerInfo, Session
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# A row lock is held for milliseconds where all is well; whoever waits a second waits for more than a busy neighbour.
_ROW = 1.0
# Catalogue A.1: two sessions for a second; or one that waits longer than any transaction of a request lasts.
_METADATA, _METADATA_MANY, _METADATA_ALONE = 1.0, 2, 5.0
# A backup takes such a lock for moments, to read a position in the binary log.
_GLOBAL = 2.0
# From so many on, or where all connections are in use, it is an outage rather than a nuisance.
_MANY = 10
# Clients' complaints older than this are history; as few as these happen to a healthy application that retries.
RECENT, REPEATED = 900.0, 3
_HOLDERS, _WAITS_SHOWN = 3, 3
_STATEMENT = 60
_ONE = "SELECT * FROM information_schema.PROCESSLIST WHERE ID = {}\\G"
_GONE = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {}"

EXPLAINS = (
    "db.too-many-connections", "db.user-connection-limit", "db.client-pool-exhausted", "db.replica-lag",
    "db.statement-timeout",
)  # fmt: skip


def sessions(facts: Facts) -> dict[int, Session]:
    """Every session that was named, by its number, as it was seen last."""
    return {s.id: s for s in facts.of(Session)}


def recent(facts: Facts, *kinds: LogKind) -> list[LogEvent]:
    """What clients and the server wrote of these kinds in the last quarter of an hour, or without a time."""
    return [
        e for e in facts.of(LogEvent)
        if e.kind in kinds
        and (e.happened_at is None or e.seen_at is None or e.seen_at - e.happened_at <= RECENT)
    ]  # fmt: skip


def blocked(facts: Facts, fits: Callable[[LockWait], bool]) -> list[list[LockWait]]:
    """The waits that fit, by holder, the most waiters first; those of a replica's applier alone are its lag's story."""
    by_holder: dict[int | None, list[LockWait]] = {}
    for wait in facts.of(LockWait):
        if fits(wait):
            by_holder.setdefault(wait.blocker, []).append(wait)
    groups = [sorted(g, key=lambda w: -w.seconds) for g in by_holder.values() if not all(w.applier for w in g)]
    return sorted(groups, key=lambda g: -count(g))[:_HOLDERS]


def count(waits: Iterable[LockWait]) -> int:
    return sum(1 + w.others for w in waits)


def severity(waits: Iterable[LockWait], facts: Facts) -> Severity:
    full = any(c.part >= 1 for c in facts.of(Connections))
    return Severity.CRITICAL if full or count(waits) >= _MANY else Severity.WARNING


def who(number: int, facts: Facts) -> str:
    """A session with its account, where it was seen."""
    s = sessions(facts).get(number)
    return f"session {number}" + (f" ({s.user}@{s.host})" if s else "")


def cut(statement: str) -> str:
    return statement if len(statement) <= _STATEMENT else f"{statement[: _STATEMENT - 1]}…"


def _does(s: Session | None, wait: LockWait) -> str:
    """What the holder is doing, as the end of a sentence that begins with its name."""
    if s is None:
        return ""
    if s.command != "Sleep":
        return f", in a statement for {span(s.seconds)}"
    if s.transaction is not None and wait.held_by == "transaction":
        return f", asleep in a transaction of {span(s.transaction)}"
    return f", asleep for {span(s.seconds)}"


def queue(waits: list[LockWait]) -> str:
    n = count(waits)
    return f"{n} session{'s wait' if n > 1 else ' waits'} up to {span(waits[0].seconds)}"


def _table(waits: Iterable[LockWait]) -> str:
    return next((f" on {w.table}" for w in waits if w.table), "")


def _evidence(waits: list[LockWait], facts: Facts) -> tuple[Fact, ...]:
    known = sessions(facts)
    holder = known.get(waits[0].blocker or 0)
    change = next((w for w in waits if w.ddl), waits[0])
    changer = known.get(change.waiter)
    shown = [w for w in waits if w is not change]
    return (*([holder] if holder else []), change, *([changer] if changer else []), *shown[: _WAITS_SHOWN - 1])


def _finding(
    spec: Spec, waits: list[LockWait], summary: str, steps: Iterable[Step], facts: Facts, *, told: bool
) -> Finding:
    first = waits[0]
    subject = f"session {first.blocker}" if first.blocker is not None else first.table or db_view.label(facts)
    sure = told and (first.proven or first.blocker is None)
    connections = facts.last(Connections)
    return Finding(
        spec, severity(waits, facts), Confidence.CERTAIN if sure else Confidence.LIKELY, subject, summary,
        evidence=(*_evidence(waits, facts), *([connections] if connections and connections.part >= 1 else [])),
        resolution=tuple(steps), about=db_view.about(facts, subject, *(w.subject for w in waits)),
        impact=min(1.0, count(waits) / _MANY),
    )  # fmt: skip


def words(facts: Facts) -> tuple[str, str]:
    """What this version calls it: REPLICA since MySQL 8.0.22 and MariaDB 10.5, else SLAVE; and the plural statement."""
    info = facts.last(ServerInfo)
    version = tuple(int(n) for n in re.findall(r"\d+", info.version)[:3]) if info else (10,)
    maria = db_view.flavour(facts) == "MariaDB"
    new = version >= ((10, 5, 1) if maria else (8, 0, 22))
    name = "REPLICA" if new else "SLAVE"
    return name, f"SHOW ALL {name}S STATUS" if maria else f"SHOW {name} STATUS"


def end_holder(wait: LockWait, facts: Facts) -> Iterator[Step]:
    """Look at the holder, then end it: the statement where one runs, else the session."""
    number, known = wait.blocker, sessions(facts)
    if wait.held_by == "prepared":
        yield Step("see the transactions that XA prepared and nobody ended", db_view.sql("XA RECOVER", facts))
        yield Step(
            "end the right one, by its id from that list: XA COMMIT or XA ROLLBACK, as its transaction manager says",
            db_view.sql("XA ROLLBACK 'ID'", facts), "destructive", db_view.again(facts),
        )  # fmt: skip
        return
    if number is None:
        yield from _find_holder(facts)
        return
    yield Step(
        f"look at {who(number, facts)} once more" + ("" if wait.proven else ": that it holds the lock is inferred"),
        db_view.sql(_ONE.format(number), facts),
    )
    s = known.get(number)
    if s is not None and s.user == "system user":
        name = words(facts)[0]
        yield Step(
            "it is this replica's own applier: wait until it has applied the change, or stop it for a while",
            db_view.sql(f"STOP {name} SQL_THREAD", facts), "disruptive", db_view.sql(f"START {name} SQL_THREAD", facts),
        )  # fmt: skip
        return
    gone = db_view.sql(_GONE.format(number), facts)
    if s is not None and s.command != "Sleep":
        yield Step(f"stop its statement: {cut(s.statement)}", db_view.sql(f"KILL QUERY {number}", facts), "disruptive",
                   db_view.again(facts))  # fmt: skip
    what = "its locks go" if wait.held_by in ("lock-tables", "global-lock") else "its transaction is rolled back"
    yield Step(f"end session {number}: {what}, its client gets an error", db_view.sql(f"KILL {number}", facts),
               "disruptive", gone)  # fmt: skip


def _find_holder(facts: Facts) -> Iterator[Step]:
    # asleep, or at work for as long as the others wait: both can hold it
    others = (
        "SELECT ID, USER, HOST, DB, COMMAND, TIME, STATE, LEFT(INFO, 60) FROM information_schema.PROCESSLIST "
        "WHERE COMMAND <> 'Daemon' AND STATE NOT LIKE 'Waiting for%' ORDER BY TIME DESC LIMIT 20"
    )
    if db_view.flavour(facts) != "MariaDB":
        yield Step("see who holds what", db_view.sql("SELECT * FROM sys.schema_table_lock_waits\\G", facts))
    yield Step("see who does not wait: one of them holds it, most likely of the first", db_view.sql(others, facts))
    if db_view.flavour(facts) == "MariaDB":
        yield Step(
            "let the server show who holds what: loads a plugin of MariaDB's own, and itself waits while the whole server "
            "is locked",
            db_view.sql(
                "SET lock_wait_timeout = 3; INSTALL SONAME 'metadata_lock_info'; "
                "SELECT * FROM information_schema.METADATA_LOCK_INFO", facts,
            ),
            "disruptive",
        )  # fmt: skip
    yield Step(
        "end the holder, by its id from that list", db_view.sql("KILL ID", facts), "disruptive", db_view.again(facts)
    )


def _no_idle_transactions(wait: LockWait, facts: Facts) -> Iterator[Step]:
    """Keep it from coming back, where a transaction was left open."""
    if wait.held_by != "transaction":
        return
    if db_view.flavour(facts) == "MariaDB":
        yield db_view.set_global(
            "idle_transaction_timeout",
            "60",
            "ends transactions that sleep for a minute; those of new sessions only",
            facts,
        )
    yield Step("in the application: commit or roll back before waiting for anything else (network, users, queues)")


ROW_LOCK_WAIT = Spec(
    code="db.row-lock-wait",
    title="a transaction holds row locks that others need",
    severity=Severity.WARNING,
    meaning="A transaction changed rows and has not ended. Whoever wants the same rows waits, up to innodb_lock_wait_timeout "
    "(50 s), then fails with error 1205. Often the holder sleeps: its application forgot it, or waits for something else.",
    told="InnoDB's lock tables name a waiting transaction and the one it waits for, for a second or longer; or clients "
    "give up with 1205 while a transaction sleeps with rows locked.",
    not_to_be_taken_for="a metadata lock, which the state names (a row wait shows as Updating); a deadlock, which ends by itself.",
    resolution=("look at the holder", "KILL it", "commit sooner; small transactions"),
    explains=(*EXPLAINS, "timeout.worker-starvation", "api.upstream-timeout"),
)  # fmt: skip


def row_lock_wait(facts: Facts) -> Iterator[Finding]:
    groups = blocked(facts, lambda w: w.kind == "row" and w.seconds >= _ROW)
    for waits in groups:
        first = waits[0]
        if first.held_by == "prepared":
            holder = "a transaction that XA prepared and nobody ended holds"
        elif first.blocker is None:
            holder = "somebody holds"
        else:
            holder = f"{who(first.blocker, facts)} holds"
        does = _does(sessions(facts).get(first.blocker or 0), first)
        yield _finding(
            ROW_LOCK_WAIT, waits, f"{holder} row locks{_table(waits)}{does}; {queue(waits)}",
            (*end_holder(first, facts), *_no_idle_transactions(first, facts)), facts, told=True,
        )  # fmt: skip
    if not groups:
        yield from _unnamed_row_waits(facts)


def _unnamed_row_waits(facts: Facts) -> Iterator[Finding]:
    """Where the lock tables are closed to us, or the waiters have given up already."""
    rates, innodb, label = facts.last(DbRates), facts.last(Innodb), db_view.label(facts)
    info, gave_up = facts.last(ServerInfo), recent(facts, "lock-wait")
    holders = [
        s for s in sessions(facts).values()
        if s.command == "Sleep" and s.rows_locked and (s.transaction or 0) >= _METADATA_ALONE
    ]  # fmt: skip
    waited = rates.row_waits_lasting if rates else 0
    if rates and waited and not any(w.kind == "row" for w in facts.of(LockWait)):
        n = f"{waited} session{'s' if waited > 1 else ''} waited"
        yield Finding(
            ROW_LOCK_WAIT, Severity.WARNING, Confidence.LIKELY, label,
            f"{n} for row locks for all of {span(rates.seconds)}; who holds them, this account may not see",
            evidence=(rates, *([innodb] if innodb else [])),
            resolution=(
                Step("see who waits for whom", db_view.sql("SHOW ENGINE INNODB STATUS\\G", facts)),
                *_grant_process(facts),
            ),
            about=db_view.about(facts), impact=0.3,
        )  # fmt: skip
    elif gave_up and (holders or sum(e.count for e in gave_up) >= REPEATED):
        oldest = max(holders, key=lambda s: s.transaction or 0, default=None)
        subject = oldest.subject if oldest else label
        told = f"clients gave up waiting for locks (1205) {sum(e.count for e in gave_up)} times"
        said = (
            f"{told}; {who(oldest.id, facts)} sleeps in a transaction with {oldest.rows_locked} rows locked"
            if oldest
            else told
        )
        probably = LockWait(subject=label, kind="row", waiter=0, blocker=oldest.id if oldest else None, table="",
                            seconds=0.0, proven=False, ddl=False, held_by="transaction" if oldest else "")  # fmt: skip
        yield Finding(
            ROW_LOCK_WAIT, Severity.WARNING, Confidence.LIKELY if oldest else Confidence.POSSIBLE, subject, said,
            evidence=(*gave_up[:2], *([oldest] if oldest else []), *([info] if info and not oldest else [])),
            resolution=(*end_holder(probably, facts), *_no_idle_transactions(probably, facts)) if oldest else (
                Step("see who holds rows now", db_view.sql("SELECT * FROM information_schema.INNODB_TRX\\G", facts)),
                Step("in the application: smaller transactions, and commit before waiting for anything else"),
            ),
            about=db_view.about(facts, subject), impact=0.2,
        )  # fmt: skip


def _grant_process(facts: Facts) -> Iterator[Step]:
    login = next((i for i in facts.of(Login) if i.word == "ok"), None)
    if login is not None:
        user, _, host = login.account.rpartition("@") if "@" in login.account else (login.user, "", "%")
        yield Step(
            "as an administrator: let this account see the sessions of others, then look again",
            db_view.sql(f"GRANT PROCESS ON *.* TO '{user}'@'{host}'", facts), "disruptive", db_view.again(facts),
        )  # fmt: skip


METADATA_LOCK = Spec(
    code="db.metadata-lock",
    title="a change of a table and open transactions block each other",
    severity=Severity.WARNING,
    meaning="Whoever has read or written a table in a transaction that is still open keeps its definition locked. A change of "
    "the table (ALTER, DROP, CREATE INDEX) waits for that, and everybody who comes later waits behind the change, readers too.",
    told="Two sessions wait for a table's metadata lock for a second or longer, or one for five; the holder is named by "
    "the server's lock tables, else it is the oldest open transaction.",
    not_to_be_taken_for="row locks (the state is Updating then); LOCK TABLES and global locks, which are a finding of their own.",
    resolution=("end the idle holder, or the waiting change", "migrations with a short lock_wait_timeout"),
    explains=(*EXPLAINS, "timeout.worker-starvation", "api.upstream-timeout"),
)  # fmt: skip


def metadata_lock(facts: Facts) -> Iterator[Finding]:
    for waits in blocked(facts, lambda w: w.kind == "metadata" and w.held_by != "lock-tables"):
        first = waits[0]
        longest = first.seconds
        if not (longest >= _METADATA_ALONE or (longest >= _METADATA and count(waits) >= _METADATA_MANY)):
            continue
        holder = f"{who(first.blocker, facts)}" if first.blocker is not None else "somebody"
        holder = f"{'' if first.proven or first.blocker is None else 'probably '}{holder}"
        does = _does(sessions(facts).get(first.blocker or 0), first)
        change = next((w for w in waits if w.ddl), None)
        yield _finding(
            METADATA_LOCK, waits, f"{holder} keeps the metadata lock{_table(waits)}{does}; {queue(waits)}"
            + (", DDL first" if change and len(waits) > 1 else ""),
            (*end_holder(first, facts), *_stop_change(change, facts), *_no_idle_transactions(first, facts)), facts, told=True,
        )  # fmt: skip


def _stop_change(change: LockWait | None, facts: Facts) -> Iterator[Step]:
    if change is None:
        return
    info = facts.last(ServerInfo)
    yield Step(
        f"or stop the change instead, and those behind it go on (session {change.waiter})",
        db_view.sql(f"KILL QUERY {change.waiter}", facts), "disruptive", db_view.again(facts),
    )  # fmt: skip
    now = f" (now {span(info.lock_wait_timeout)})" if info and info.lock_wait_timeout else ""
    yield Step(f"run migrations with a short limit, so that they give up instead of stopping everybody{now}: "
               "SET SESSION lock_wait_timeout = 5")  # fmt: skip


GLOBAL_READ_LOCK = Spec(
    code="db.global-read-lock",
    title="a session locks the whole server, or whole tables",
    severity=Severity.WARNING,
    meaning="FLUSH TABLES WITH READ LOCK, a backup's lock or LOCK TABLES is held by a session: every write (for LOCK TABLES ... "
    "WRITE every read as well) waits until it is given back. Usually a backup that hangs or that somebody forgot.",
    told="Sessions wait for the global read lock, the backup lock or a flush for two seconds or longer, or for tables that "
    "a session without an open transaction has locked.",
    not_to_be_taken_for="read_only, a setting, which makes writes fail (1290) instead of wait; a backup's lock of a moment.",
    resolution=("look at the holder: is a backup running?", "end it", "back up with --single-transaction or mariadb-backup"),
    explains=(*EXPLAINS, "timeout.worker-starvation", "api.upstream-timeout"),
)  # fmt: skip


def global_read_lock(facts: Facts) -> Iterator[Finding]:
    for waits in blocked(facts, _is_global):
        first = waits[0]
        if first.seconds < _GLOBAL:
            continue
        holder = f"{who(first.blocker, facts)}" if first.blocker is not None else "somebody"
        holder = f"{'' if first.proven or first.blocker is None else 'probably '}{holder}"
        what = {
            "lock-tables": f"holds LOCK TABLES{_table(waits)}",
            "statement": f"keeps a flush of tables{_table(waits)} waiting",
        }.get(first.held_by, "holds a read lock on the whole server")
        s = sessions(facts).get(first.blocker or 0)
        yield _finding(
            GLOBAL_READ_LOCK, waits, f"{holder} {what}{_does(s, first)}; {queue(waits)}",
            (*end_holder(first, facts),
             Step("take backups without a lock: mysqldump or mariadb-dump --single-transaction, or a hot backup")),
            facts, told=True,
        )  # fmt: skip


def _is_global(wait: LockWait) -> bool:
    return wait.kind in ("global-read", "flush") or (
        wait.kind in ("metadata", "table") and wait.held_by == "lock-tables"
    )


RULES = (row_lock_wait, metadata_lock, global_read_lock)

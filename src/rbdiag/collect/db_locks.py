"""Who waits for a lock, and who holds it: the process list and the server's lock tables.

The tables differ between versions: the same is asked in several ways. What no way can tell is inferred from the process
list, and the fact says so (`proven`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rbdiag.collect.db_sessions import LOCKS, Row, Seat, is_ddl, seats, session, table_of
from rbdiag.deadline import Deadline
from rbdiag.facts.sessions import HeldBy, LockWait
from rbdiag.frozen import Record
from rbdiag.model import CannotLook, Fact, Facts

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

_WAITS_SHOWN, _NAMED = 8, 6


class Held(Record):
    """One metadata lock. `kind` is `table` or `global`; `strong` means that it keeps others out."""

    id: int
    kind: str
    table: str
    strong: bool
    pending: bool


# Modes that many may hold together. On a table: reading, writing, preparing a change. On the whole server: statements
# that would be stopped by a global lock.
_WEAK = {
    True: re.compile(r"(?:^|_)SHARED(?:_HIGH_PRIO|_READ|_WRITE|_WRITE_LOW_PRIO|_UPGRADABLE)?$|INTENTION_EXCLUSIVE$"),
    False: re.compile(r"INTENTION_EXCLUSIVE$|BACKUP_(?:TRANS_|SYS_)?DML$|BACKUP_(?:DDL|ALTER_COPY|COMMIT)$"),
}
# Row locks: MariaDB and MySQL 5.7 list them in information_schema, MySQL 8 and later in performance_schema.
_ROW_WAITS = (
    "SELECT r.trx_mysql_thread_id AS waiter, b.trx_mysql_thread_id AS blocker, {table} AS name {source} LIMIT 5000"
)
_OLD_ROW_WAITS = _ROW_WAITS.format(
    table="l.lock_table",
    source="FROM information_schema.INNODB_LOCK_WAITS w "
    "JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id "
    "JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id "
    "LEFT JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id",
)
_NEW_ROW_WAITS = _ROW_WAITS.format(
    table="CONCAT(l.OBJECT_SCHEMA, '.', l.OBJECT_NAME)",
    source="FROM performance_schema.data_lock_waits w "
    "JOIN information_schema.INNODB_TRX r ON r.trx_id = w.REQUESTING_ENGINE_TRANSACTION_ID "
    "JOIN information_schema.INNODB_TRX b ON b.trx_id = w.BLOCKING_ENGINE_TRANSACTION_ID "
    "LEFT JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID",
)
# Metadata locks: MariaDB's plugin shows those held, performance_schema (MySQL's default) those waited for as well.
_PLUGIN = (
    "SELECT THREAD_ID AS id, LOCK_TYPE AS kind, TABLE_SCHEMA AS db, TABLE_NAME AS name, LOCK_MODE AS mode, "
    "'GRANTED' AS status FROM information_schema.METADATA_LOCK_INFO LIMIT 20000"
)
_METADATA_LOCKS = (
    "SELECT t.PROCESSLIST_ID AS id, m.OBJECT_TYPE AS kind, m.OBJECT_SCHEMA AS db, m.OBJECT_NAME AS name, "
    "m.LOCK_TYPE AS mode, m.LOCK_STATUS AS status FROM performance_schema.metadata_locks m "
    "JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID "
    "WHERE m.OBJECT_TYPE IN ('TABLE', 'GLOBAL', 'COMMIT', 'BACKUP LOCK', 'BACKUP TABLES') LIMIT 20000"
)
_LAST_STATEMENTS = (
    "SELECT t.PROCESSLIST_ID AS id, LEFT(s.SQL_TEXT, 400) AS text FROM performance_schema.threads t "
    "JOIN performance_schema.events_statements_current s ON s.THREAD_ID = t.THREAD_ID WHERE t.PROCESSLIST_ID IN ({})"
)


def parse_held(rows: Iterable[Row]) -> list[Held]:
    """Rows of either list of metadata locks, those of tables and of the whole server."""
    found = []
    for row in rows:
        kind = str(row["kind"]).lower()
        table = "table" in kind and "backup" not in kind
        if row["id"] is None or not (table or kind.split()[0] in ("global", "commit", "backup")):
            continue
        found.append(
            Held(
                int(row["id"]), "table" if table else "global", f"{row['db']}.{row['name']}" if table else "",
                not _WEAK[table].search(str(row["mode"]).upper()), str(row["status"]).upper() == "PENDING",
            )
        )  # fmt: skip
    return found


def locks(line: Line, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """Who waits for a lock, who holds it at the end of the chain, and those holders that were not named before."""
    everybody, gap = seats(line, deadline)
    waiting = [s for s in everybody if s.waits_for in LOCKS]
    rows: list[Row] = []
    held: list[Held] = []
    if any(s.waits_for == "row" for s in waiting):
        rows = _try(line, deadline, _OLD_ROW_WAITS, _NEW_ROW_WAITS)
    if any(s.waits_for != "row" for s in waiting):
        held = parse_held(_try(line, deadline, _PLUGIN, _METADATA_LOCKS))
    waits = join(everybody, rows, held)
    yield from shown(waits)
    by_id = {s.id: s for s in everybody}
    blockers = {w.blocker: by_id[w.blocker] for w in waits if w.blocker in by_id}
    last = _last_statements(line, [s.id for s in blockers.values() if s.asleep][:_NAMED], deadline)
    for seat in list(blockers.values())[:_NAMED]:
        yield session(seat, last.get(seat.id, ""))
    if gap is not None:
        raise CannotLook(gap)


def _try(line: Line, deadline: Deadline, *queries: str) -> list[Row]:
    """What the first of these that the server knows brings; nothing where it knows none or denies them.

    Then the holder is inferred from the process list, and the fact says so (`proven`).
    """
    found: list[Row] = []
    for query in queries:
        try:
            found = line.ask(query, deadline)
        except CannotLook:
            continue
        if found:
            break
    return found


def _last_statements(line: Line, ids: list[int], deadline: Deadline) -> dict[int, str]:
    from rbdiag.redact import redact_statement

    if not ids:
        return {}
    rows = _try(line, deadline, _LAST_STATEMENTS.format(", ".join(map(str, ids))))
    return {int(r["id"]): redact_statement(" ".join(str(r["text"]).split())) for r in rows if r["text"]}


def join(everybody: Iterable[Seat], rows: Iterable[Row], held: Iterable[Held]) -> list[LockWait]:
    """One wait for each session that waits, its blocker being the one at the end of the chain."""
    by_id = {s.id: s for s in everybody}
    waiting = {i: s for i, s in by_id.items() if s.waits_for in LOCKS}
    direct: dict[int, tuple[int | None, str, bool]] = {}  # the nearest blocker, the table, whether it is proven
    for row in rows:
        name = str(row["name"] or "").replace("`", "")
        waiter = int(row["waiter"])
        # several may block one: the one that itself waits for nobody is at the root
        if waiter not in direct or direct[waiter][0] in waiting:
            direct[waiter] = (int(row["blocker"] or 0), name, True)
    locks_held = list(held)
    for seat in waiting.values():
        if seat.id not in direct:
            direct[seat.id] = _holder(seat, by_id, waiting, locks_held)
    found = []
    for seat in waiting.values():
        blocker, table, proven = direct[seat.id]
        seen = {seat.id}
        while blocker in direct and blocker not in seen:
            seen.add(blocker)
            nearer, _, sure = direct[blocker]
            if nearer is None:
                break
            blocker, proven = nearer, proven and sure
        # a transaction that XA prepared and nobody ended belongs to no session
        how: HeldBy = "prepared" if blocker == 0 else _held_by(by_id.get(blocker or 0), seat, locks_held)
        found.append(
            LockWait(
                subject=f"session {seat.id}", kind=seat.waits_for, waiter=seat.id, blocker=blocker or None, table=table,
                seconds=round(seat.at_least, 3), proven=proven, ddl=is_ddl(seat.statement), held_by=how,
                applier=seat.applier,
            )
        )  # fmt: skip
    return sorted(found, key=lambda w: (-w.seconds, w.waiter))


def _held_by(holder: Seat | None, waiter: Seat, held: Iterable[Held]) -> HeldBy:
    """By what kind of act a session keeps others out."""
    if holder is None:
        return ""
    if waiter.waits_for == "global-read":
        return "global-lock"
    strong = any(h.strong and h.kind == "table" and h.id == holder.id and not h.pending for h in held)
    # LOCK TABLES locks tables and no rows; without InnoDB tables among them it opens no transaction at all.
    whole = holder.asleep and not holder.rows_locked and not holder.rows_modified
    if waiter.waits_for == "metadata" and holder.asleep and (strong or (whole and holder.tables_locked > 0)):
        return "lock-tables"
    if not holder.asleep:
        return "statement"
    return "transaction" if holder.transaction is not None else "lock-tables"


def _holder(
    seat: Seat, by_id: dict[int, Seat], waiting: dict[int, Seat], held: list[Held]
) -> tuple[int | None, str, bool]:
    """Who keeps this session waiting, on which table, and whether a lock table says so."""
    others = [s for s in by_id.values() if s.id not in waiting and s.id != seat.id and s.command != "Daemon"]
    free = {s.id: s for s in others}
    table = next((h.table for h in held if h.id == seat.id and h.pending and h.kind == "table"), "")
    table = table or _locked_table(seat, held) or table_of(seat.statement, seat.database)
    if seat.waits_for == "global-read":
        holders = [free[h.id] for h in held if h.kind == "global" and h.strong and not h.pending and h.id in free]
        if holders:
            return _oldest(holders).id, "", True
        return _idle(seat, others, waiting), "", False
    if seat.waits_for == "metadata":
        granted = [h for h in held if h.kind == "table" and h.table == table and not h.pending and h.id in free]
        strong = [free[h.id] for h in granted if h.strong]
        if granted:
            return _oldest(strong or [free[h.id] for h in granted]).id, table, True
        began = max(s.at_least for s in waiting.values() if s.waits_for == "metadata")
        older = [s for s in others if s.transaction is not None and s.transaction + 1 >= began]
        if older:
            same = [s for s in older if _names(s.statement, table)]
            return _oldest(same or older).id, table, False
        running = [s for s in others if not s.asleep and not s.background and _names(s.statement, table)]
        return (_oldest(running).id if running else _idle(seat, others, waiting)), table, False
    # A flush waits for statements that still use the tables; a table lock for one that uses this table.
    running = [s for s in others if not s.asleep and not s.background]
    same = [s for s in running if _names(s.statement, table)]
    if same or (running and seat.waits_for == "flush"):
        return _oldest(same or running).id, table, False
    return _idle(seat, others, waiting), table, False


def _idle(seat: Seat, others: Iterable[Seat], waiting: dict[int, Seat]) -> int | None:
    """Who could hold an explicit lock (LOCK TABLES, a lock on the whole server), where only one session could.

    It was taken before the first began to wait, by somebody who has done nothing since and has no transaction. Of
    several, who works on no schema, or is of another account than all that wait: a backup, a person.
    """
    alike = [s for s in waiting.values() if s.waits_for == seat.waits_for]
    longest = max(s.at_least for s in alike)
    idle = [s for s in others if s.asleep and s.transaction is None and s.seconds >= longest]
    accounts = {(s.user, s.host) for s in alike}
    for fits in (
        idle, [s for s in idle if (s.user, s.host) not in accounts], [s for s in idle if not s.database],
    ):  # fmt: skip
        if len(fits) == 1:
            return fits[0].id
    return None


def _oldest(seats: Iterable[Seat]) -> Seat:
    return max(seats, key=lambda s: (max(s.transaction or 0.0, s.seconds), -s.id))


def _names(statement: str, table: str) -> bool:
    name = table.rpartition(".")[2]
    return bool(name) and re.search(rf"\b{re.escape(name)}\b", statement) is not None


def _locked_table(seat: Seat, held: Iterable[Held]) -> str:
    """The locked table that this statement names: the plugin does not list what is waited for."""
    named = [h.table for h in held if h.kind == "table" and _names(seat.statement, h.table)]
    return next((t for t in named if t.startswith(f"{seat.database}.")), named[0] if named else "")


def shown(waits: Iterable[LockWait]) -> Iterator[LockWait]:
    """The longest waits of each holder, and always one that wants to change a table; the first counts the others."""
    from rbdiag.frozen import replace

    by_holder: dict[tuple[str, int | None], list[LockWait]] = defaultdict(list)
    for wait in waits:
        by_holder[wait.kind, wait.blocker].append(wait)
    for members in by_holder.values():
        first = members[:_WAITS_SHOWN]
        first += [w for w in members[_WAITS_SHOWN:] if w.ddl][:1] if not any(w.ddl for w in first) else []
        yield replace(first[0], others=len(members) - len(first))
        yield from first[1:]

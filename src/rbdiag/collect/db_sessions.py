"""Who is connected, and what each session does: the process list joined with InnoDB's open transactions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rbdiag.deadline import Deadline
from rbdiag.facts.sessions import Connections, Session, SessionGroup, WaitKind
from rbdiag.frozen import Record
from rbdiag.model import CannotLook, Fact, Gap

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

Row = dict[str, Any]

_GROUPS_SHOWN, _NAMED = 12, 6
# Sessions worth naming: a statement that runs longer than any of a busy web application, and a transaction older
# than any that a request keeps open.
_LONG_RUN, _OLD_TRANSACTION = 1.0, 5.0
# From here on it matters who sleeps: those could give their connections back.
_NEARLY_FULL = 0.8


class Seat(Record):
    """One session as the server lists it.

    `seconds` is how long it is in this state, `at_least` the least that this can mean (MySQL counts whole seconds). Of
    one that waits for a row, `at_least` is the time of that wait. `transaction` is the age of its transaction.
    """

    id: int
    user: str
    host: str
    database: str
    command: str
    state: str
    seconds: float
    at_least: float
    statement: str
    transaction: float | None = None
    row_wait: bool = False
    rows_locked: int | None = None
    tables_locked: int = 0
    rows_modified: int = 0

    @property
    def asleep(self) -> bool:
        return self.command == "Sleep"

    @property
    def waits_for(self) -> WaitKind:
        return "row" if self.row_wait else wait_kind(self.state)

    @property
    def background(self) -> bool:
        """The server's own threads, replication in both directions, and what dumps a whole table for a backup."""
        return (
            self.user in ("system user", "event_scheduler")
            or self.command in ("Daemon", "Slave_IO", "Slave_SQL", "Slave_worker")
            or self.command.startswith("Binlog Dump")
            or bool(_BACKUP.match(self.statement))
        )

    @property
    def applier(self) -> bool:
        """A thread of this replica that applies what its source wrote."""
        return self.user == "system user" or self.command in ("Slave_SQL", "Slave_worker")


# mysqldump and mariadb-dump mark their reads so; mydumper has a comment of its own.
_BACKUP = re.compile(r"\s*SELECT\s+/\*!40001 SQL_NO_CACHE \*/|\s*SELECT\s+/\*!40001|\s*/\* ?mydumper", re.IGNORECASE)
_DDL = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(?:ALTER|DROP|CREATE|RENAME|TRUNCATE|OPTIMIZE|REPAIR|LOCK\s+TABLES?)\b",
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip
_NAME = r"(`[^`]+`|[\w$]+)(?:\s*\.\s*(`[^`]+`|[\w$]+))?"
_TABLE = re.compile(rf"\b(?:TABLES?|INTO|FROM|UPDATE|JOIN|ON)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_NAME}", re.IGNORECASE)

# The states in which a session waits for another, from thd_proc_info and stage names of MySQL 5.7-9 and MariaDB 10-11.
_STATES: tuple[tuple[str, WaitKind], ...] = (
    ("waiting for global read lock", "global-read"), ("waiting for commit lock", "global-read"),
    ("waiting for backup lock", "global-read"), ("metadata lock", "metadata"), ("waiting for table flush", "flush"),
    ("waiting for tables", "flush"), ("waiting for table level lock", "table"), ("waiting for table", "table"),
    ("waiting for row lock", "row"), ("free space", "space"), ("writing to net", "network"),
    ("sending to client", "network"), ("receiving from client", "login"), ("reading from net", "network"),
    ("login", "login"),
)  # fmt: skip
LOCKS: frozenset[WaitKind] = frozenset(("row", "metadata", "global-read", "table", "flush"))


def wait_kind(state: str) -> WaitKind:
    """What a session in this state waits for; "" for one that works."""
    lower = state.lower()
    return next((kind for text, kind in _STATES if text in lower), "")


def is_ddl(statement: str) -> bool:
    """Whether it wants a table for itself."""
    return bool(_DDL.match(statement))


def table_of(statement: str, database: str) -> str:
    """The first table that a statement names, as `schema.table`; "" where we cannot tell."""
    found = _TABLE.search(statement)
    if found is None:
        return ""
    first, second = ((part or "").strip("`") for part in found.groups())
    return f"{first}.{second}" if second else f"{database}.{first}" if database else first


def client_host(host: str) -> str:
    """The host of `host:port` as the process list writes it, IPv6 without brackets."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and name else host


# Times of transactions are in the system's zone, whatever the session's is.
_NOW = "CONVERT_TZ(NOW(), @@session.time_zone, 'SYSTEM')"
_TRANSACTION = (
    f", t.trx_state AS trx_state, TIMESTAMPDIFF(SECOND, t.trx_started, {_NOW}) AS trx_age, "
    f"TIMESTAMPDIFF(SECOND, t.trx_wait_started, {_NOW}) AS waited, t.trx_rows_locked AS rows_locked, "
    "t.trx_tables_locked AS tables_locked, t.trx_rows_modified AS rows_modified"
)
_WITH = " LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID"
# A server in trouble may have tens of thousands of sessions; what we say of it does not need each of them.
_SEATS = (
    "SELECT p.ID AS id, p.USER AS user, p.HOST AS host, p.DB AS db, p.COMMAND AS command, {time} AS seconds, "
    "p.STATE AS state, LEFT(p.INFO, 400) AS info{more} FROM {source} p{join} LIMIT 20000"
)
# MySQL's list in information_schema is read under a lock that stops new connections; the one in performance_schema
# is not, came with 8.0.22, and is empty where that is off.
_SOURCES = {
    True: (("p.TIME_MS / 1000", "information_schema.PROCESSLIST"),),
    False: (("p.TIME", "performance_schema.processlist"), ("p.TIME", "information_schema.PROCESSLIST")),
}


def first(line: Line, deadline: Deadline, *queries: str, rows: bool = False) -> list[Row]:
    """The answer to the first of these that this server knows, and that brings rows where those are asked for.

    Raises the gap of the last one where it knows none.
    """
    from rbdiag.collect.db_connect import NotHere

    for query in queries[:-1]:
        try:
            if (found := line.ask(query, deadline)) or not rows:
                return found
        except NotHere:
            continue
    return line.ask(queries[-1], deadline)


def seats(line: Line, deadline: Deadline) -> tuple[list[Seat], Gap | None]:
    """Everybody but ourselves, and the gap that is left where the server shows us only our own account's."""
    maria, gap = line.flavour == "MariaDB", None

    def ask(more: str, join: str) -> list[Row]:
        ways = (_SEATS.format(time=t, more=more, source=s, join=join) for t, s in _SOURCES[maria])
        return first(line, deadline, *ways, rows=True)

    try:
        rows = ask(_TRANSACTION, _WITH)
    except CannotLook as denied:
        rows, gap = ask("", ""), denied.gap
    return parse_seats(rows, line.own_id, exact=maria), gap


def parse_seats(rows: Iterable[Row], own: int | None, *, exact: bool) -> list[Seat]:
    """Rows of the process list as seats, without our own. `exact` says that times have fractions of seconds."""
    from rbdiag.redact import redact_statement

    found = []
    for row in rows:
        if int(row["id"]) == own:
            continue
        seconds = max(0.0, float(row["seconds"] or 0))
        # MariaDB and MySQL both show some replication threads' times as an unsigned -1.
        seconds = 0.0 if seconds > 4e9 else seconds
        at_least = seconds if exact else max(0.0, seconds - 1)
        row_wait = row.get("trx_state") == "LOCK WAIT"
        found.append(
            Seat(
                id=int(row["id"]), user=str(row["user"] or ""), host=client_host(str(row["host"] or "")),
                database=str(row["db"] or ""), command=str(row["command"] or ""), state=str(row["state"] or ""),
                seconds=seconds, at_least=float(row["waited"] or 0) if row_wait else at_least,
                statement=redact_statement(" ".join(str(row["info"] or "").split())),
                transaction=None if row.get("trx_age") is None else max(0.0, float(row["trx_age"])),
                row_wait=row_wait, rows_locked=row.get("rows_locked"), tables_locked=int(row.get("tables_locked") or 0),
                rows_modified=int(row.get("rows_modified") or 0),
            )
        )  # fmt: skip
    return found


def sessions(line: Line, deadline: Deadline) -> Iterator[Fact]:
    """How many are connected, who they are, and those worth naming."""
    from rbdiag.collect.db_accounts import limits

    most = line.ask("SELECT @@GLOBAL.max_connections AS n, @@GLOBAL.max_user_connections AS each_account", deadline)[0]
    limit = int(most["n"])
    names = "'Threads_connected', 'Threads_running', 'Max_used_connections'"
    status = {
        r["Variable_name"]: int(r["Value"])
        for r in line.ask(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})", deadline)
    }
    everybody, gap = seats(line, deadline)
    clients = [s for s in everybody if s.command != "Daemon" and s.user not in ("system user", "event_scheduler")]
    connected = max(0, status["Threads_connected"] - 1)
    # Whoever does not sleep runs or waits; MySQL counts its own scheduler of events as well.
    running = sum(not s.asleep for s in clients) if gap is None else max(0, status["Threads_running"] - 1)
    asleep = sum(s.asleep for s in clients) if gap is None else connected - running
    yield Connections(
        subject=line.target.subject, connected=connected, running=running, limit=limit,
        peak=status["Max_used_connections"], sleeping=max(0, asleep),
        waiting=sum(s.waits_for in LOCKS for s in everybody),
    )  # fmt: skip
    yield from groups(clients, limits(line, deadline), int(most["each_account"]) or None)
    full = connected >= _NEARLY_FULL * limit
    for seat in worth_naming(everybody, full=full):
        yield session(seat)
    if gap is not None:
        raise CannotLook(gap)


def groups(clients: Iterable[Seat], limit_of: dict[tuple[str, str], int], usual: int | None) -> Iterator[SessionGroup]:
    """The sessions by account and host, the most first. `usual` is the limit of an account without one of its own."""
    from rbdiag.collect.db_accounts import best

    by_account: dict[tuple[str, str], list[Seat]] = defaultdict(list)
    for seat in clients:
        by_account[seat.user, seat.host].append(seat)
    for (user, host), members in sorted(by_account.items(), key=lambda item: (-len(item[1]), item[0]))[:_GROUPS_SHOWN]:
        waiting = [s for s in members if s.waits_for in LOCKS]
        running = [s for s in members if not s.asleep and s not in waiting and not s.background]
        yield SessionGroup(
            subject=f"{user}@{host}", count=len(members), sleeping=sum(s.asleep for s in members),
            waiting=len(waiting), running=len(running),
            longest_sleep=max((s.seconds for s in members if s.asleep), default=0.0),
            longest_run=max((s.seconds for s in running), default=0.0),
            limit=limit_of[account] if (account := best(user, host, limit_of)) else usual,
        )  # fmt: skip


def worth_naming(everybody: Iterable[Seat], *, full: bool) -> list[Seat]:
    """Who waits, runs long, or keeps a transaction open; where the server is nearly full also who sleeps longest."""
    longest = sorted(everybody, key=lambda s: (-s.seconds, s.id))
    kinds = [
        [s for s in longest if s.waits_for in LOCKS or s.waits_for == "space"],
        [s for s in longest if not s.asleep and not s.background and not s.waits_for and s.seconds >= _LONG_RUN],
        sorted((s for s in longest if (s.transaction or 0) >= _OLD_TRANSACTION), key=lambda s: -(s.transaction or 0)),
        [s for s in longest if s.asleep] if full else [],
    ]
    return list({s.id: s for kind in kinds for s in kind[:_NAMED]}.values())


def session(seat: Seat, last: str = "") -> Session:
    """The fact about a seat. `last` is the last statement of one that sleeps, where the server tells."""
    return Session(
        subject=f"session {seat.id}", id=seat.id, user=seat.user, host=seat.host, database=seat.database,
        command=seat.command, state=seat.state, seconds=round(seat.seconds, 3), statement=seat.statement or last,
        waits_for=seat.waits_for, transaction=seat.transaction, rows_locked=seat.rows_locked,
        background=seat.background, ended=bool(last and not seat.statement),
    )  # fmt: skip

"""Worlds in which the server answers, and something is wrong inside."""

from __future__ import annotations

from rbdiag.facts.db import Account, Greeting, Login, TablesChecked
from rbdiag.facts.host import Memory
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.sessions import (
    Connections,
    DbRates,
    Innodb,
    LockWait,
    Replica,
    ServerInfo,
    Session,
    SessionGroup,
)
from rbdiag.model import Fact
from tests.diagnose.db_world import LOCAL, NOW, afar, beside, by_socket, make
from tests.diagnose.row import Row


def session(number: int, **changes: object) -> Fact:
    return make(Session, subject=f"session {number}", id=number, **changes)


def sleeper(number: int, seconds: float = 35.0, **changes: object) -> Fact:
    return session(number, **{"command": "Sleep", "state": "", "seconds": seconds, "statement": "", **changes})


def waits(kind: str, *waiters: int, seconds: float = 20.0, **changes: object) -> list[Fact]:
    """One wait for each of these; the first has waited longest."""
    return [
        make(LockWait, subject=f"session {w}", kind=kind, waiter=w, seconds=seconds - 0.1 * i, **changes)
        for i, w in enumerate(waiters)
    ]


def runs(
    number: int, seconds: float, statement: str = "SELECT SUM(a.id * b.id) FROM m a, m b", **changes: object
) -> Fact:
    return session(number, seconds=seconds, statement=statement, **changes)


def full(**changes: object) -> Fact:
    return make(Connections, **{"connected": 151, "sleeping": 148, "running": 3, **changes})


IDLE = sleeper(42, transaction=35.0, rows_locked=1)
READER = sleeper(42, transaction=35.0, rows_locked=0)
ALTER = session(43, state="Waiting for table metadata lock", seconds=20.0, statement="ALTER TABLE orders ADD z INT",
                waits_for="metadata")  # fmt: skip
BACKUP = sleeper(42, user="backup", host="localhost", database="")
POOL = make(SessionGroup, count=140, sleeping=140, running=0, longest_sleep=240.0)
REFUSED = make(Login, word="too-many-connections", code=1040, text="Too many connections")
ADMIN = make(Login, attempt="admin", user="root")


def changes_behind(*waiters: int, **more: object) -> list[Fact]:
    """An ALTER behind an open transaction, and others behind it."""
    first, *others = waits("metadata", 43, *waiters, **{"held_by": "transaction", "proven": False, **more})
    return [make(LockWait, **(first.__dict__ | {"ddl": True})), *others]


def client_says(kind: str, count: int, ago: float = 30.0, **changes: object) -> Fact:
    return make(LogEvent, subject="/var/log/app.log", side="client", kind=kind, count=count, happened_at=NOW - ago,
                first_at=NOW - ago - 10, text=f"{kind} told by the application", **changes)  # fmt: skip


ROWS: list[Row] = [
    # Row locks
    Row("an idle transaction holds rows that eight want",
        beside().but(IDLE, waits("row", *range(50, 58), held_by="transaction")), "db.row-lock-wait", "session 42",
        says="session 42 (app@10.0.0.9) holds row locks on shop.orders, asleep in a transaction of 35 s; 8 sessions wait"),
    Row("the same through the socket", by_socket().but(IDLE, waits("row", 50, held_by="transaction")), "db.row-lock-wait", "session 42"),
    Row("the same seen from afar", afar().but(IDLE, waits("row", 50, held_by="transaction")), "db.row-lock-wait", "session 42"),
    Row("a running statement holds rows that others want, and is no slow query of its own",
        beside().but(runs(42, 30.0, "UPDATE orders SET v = 1", transaction=30.0), waits("row", 50, held_by="statement")),
        "db.row-lock-wait", "session 42", never=("db.slow-query",)),
    Row("a transaction that XA prepared holds rows", beside().but(waits("row", 50, blocker=None, held_by="prepared")), "db.row-lock-wait",
        "shop.orders", says="XA prepared"),
    Row("the applier of a replica holds rows", beside().but(session(42, user="system user", command="Slave_SQL", seconds=30.0, background=True), waits("row", 50, held_by="statement")), "db.row-lock-wait"),
    Row("rows are waited for a second", beside().but(IDLE, waits("row", 50, seconds=1.0)), "db.row-lock-wait"),
    Row("rows are waited for under a second", beside().but(IDLE, waits("row", 50, seconds=0.9)), None),
    Row("row waits that this account may not look into",
        afar().but(make(DbRates, row_waits_lasting=2), make(Innodb, row_waits=2)), "db.row-lock-wait", says="may not see"),
    Row("row waits that come and go", afar().but(make(DbRates, row_lock_waits=40.0), make(Innodb, row_waits=2)), None),
    Row("a client gave up once, and a transaction sleeps on its rows", beside().but(IDLE, client_says("lock-wait", 1)),
        "db.row-lock-wait", "session 42"),
    Row("clients gave up waiting three times", beside().but(client_says("lock-wait", 3)), "db.row-lock-wait"),
    Row("clients gave up waiting twice", beside().but(client_says("lock-wait", 2)), None),
    Row("clients gave up waiting an hour ago", beside().but(client_says("lock-wait", 9, ago=3600)), None),
    Row("a transaction sleeps on its rows and nobody minds", beside().but(IDLE), None),

    # Metadata locks
    Row("an ALTER behind an idle transaction, readers behind it", beside().but([READER, ALTER], changes_behind(44, 45)),
        "db.metadata-lock", "session 42", says="probably session 42 (app@10.0.0.9) keeps the metadata lock on shop.orders"),
    Row("the same, and the server names the holder", beside().but([READER, ALTER], changes_behind(44, proven=True)),
        "db.metadata-lock", "session 42", says="session 42 (app@10.0.0.9) keeps"),
    Row("the same, and nobody knows the holder", beside().but(ALTER, changes_behind(44, blocker=None)), "db.metadata-lock",
        "shop.orders", says="somebody keeps the metadata lock on shop.orders; 2 sessions wait"),
    Row("an ALTER waits alone for five seconds", beside().but([READER, ALTER], changes_behind(seconds=5.0)), "db.metadata-lock"),
    Row("an ALTER waits alone for four seconds", beside().but([READER, ALTER], changes_behind(seconds=4.0)), None),
    Row("two wait for a metadata lock for under a second", beside().but([READER, ALTER], changes_behind(44, seconds=0.9)), None),
    Row("an ALTER runs for an hour, and nobody waits", beside().but(runs(43, 3600.0, "ALTER TABLE orders ADD z INT",
        state="copy to tmp table")), None),

    # Locks on the whole server, and on whole tables
    Row("a backup holds the global read lock", beside().but(BACKUP, waits("global-read", 50, 51, held_by="global-lock", table="")),
        "db.global-read-lock", "session 42", says="session 42 (backup@localhost) holds a read lock on the whole server"),
    Row("a global read lock, nobody knows whose", beside().but(waits("global-read", 50, blocker=None, table="", proven=False)),
        "db.global-read-lock", LOCAL),
    Row("a backup's lock of a moment", beside().but(BACKUP, waits("global-read", 50, seconds=1.9, held_by="global-lock")), None),
    Row("LOCK TABLES", beside().but(BACKUP, waits("metadata", 50, held_by="lock-tables")), "db.global-read-lock", "session 42",
        never=("db.metadata-lock",), says="LOCK TABLES on shop.orders"),
    Row("a flush waits for a statement, and everybody for the flush",
        beside().but(runs(42, 60.0, "SELECT * FROM orders"), waits("flush", 50, 51, held_by="statement", proven=False)),
        "db.global-read-lock", "session 42", never=("db.slow-query",)),

    # Connections
    Row("a leak: all connections are in use and asleep", beside().but(full(), POOL, sleeper(7, 240.0)), "db.too-many-connections",
        says="all 151 connections are in use: 148 sleep, 140 are app@10.0.0.9's"),
    Row("turned away at the login, seen by the administrator", by_socket().but([REFUSED, ADMIN], full(), POOL), "db.too-many-connections"),
    Row("turned away at the login, and nothing else is seen",
        afar().without(Connections, SessionGroup, Session, DbRates, Innodb, ServerInfo).but(REFUSED), "db.too-many-connections"),
    Row("turned away before the greeting",
        afar().without(Connections, SessionGroup, Session, DbRates, Innodb, ServerInfo, Login).but(
            make(Greeting, word="error", code=1040, text="Too many connections")), "db.too-many-connections"),
    Row("others were turned away while we looked", beside().but(make(DbRates, refused_max_connections_new=3)), "db.too-many-connections"),
    Row("85 % of the connections are in use", beside().but(full(connected=129, sleeping=127)), "db.too-many-connections",
        says="129 of 151"),
    Row("84 % of the connections are in use", beside().but(full(connected=127, sleeping=125)), None),
    Row("half of the connections are in use", beside().but(full(connected=75, sleeping=70)), None),
    Row("the peak once reached the limit", beside().but(make(Connections, peak=152)), None),
    Row("clients were turned away lately", beside().but(client_says("too-many-connections", 5)), "db.too-many-connections"),
    Row("clients were turned away an hour ago", beside().but(client_says("too-many-connections", 5, ago=3600)), None),
    Row("no memory for more connections",
        beside().but(full(), POOL, make(Memory, available=32 << 20)), "db.too-many-connections"),
    Row("an account has used up its connections",
        by_socket().but([make(Login, word="user-limit", code=1226, text="User 'app' has exceeded the 'max_user_connections' resource (current value: 2)"), ADMIN],
                        make(SessionGroup, count=2, limit=2), make(Account, max_user_connections=2)), "db.user-connection-limit",
        never=("db.too-many-connections",), says="holds 2 connections"),
    Row("the limit of every account is used up",
        afar().but(make(Login, word="user-limit", code=1203, text="User app already has more than 'max_user_connections' active connections"),
                   make(ServerInfo, max_user_connections=10)), "db.user-connection-limit"),
    Row("an account has used up its connections of this hour",
        afar().but(make(Login, word="user-limit", code=1226, text="User 'app' has exceeded the 'max_connections_per_hour' resource (current value: 50)")),
        "db.user-connection-limit", says="max_connections_per_hour"),
    Row("clients met the limit of their account lately", beside().but(client_says("user-limit", 4, name="app")), "db.user-connection-limit"),
    Row("an account at its limit, and its clients are content", beside().but(make(SessionGroup, count=20, limit=20)), None),

    # Slow statements
    Row("a statement runs for twelve seconds", beside().but(runs(60, 12.0)), "db.slow-query", "session 60", says="has run for 12 s"),
    Row("a statement runs for nine seconds", beside().but(runs(60, 9.0)), None),
    Row("four statements run for two seconds", beside().but([runs(n, 2.0) for n in range(60, 64)]), "db.slow-query"),
    Row("three statements run for two seconds", beside().but([runs(n, 2.0) for n in range(60, 63)]), None),
    Row("slow statements that scan", beside().but(runs(60, 12.0), make(DbRates, rows_scanned=4e6)), "db.slow-query",
        says="4,000,000 rows/s"),
    Row("a statement keeps others out of its MyISAM table",
        beside().but(runs(60, 3.0), waits("table", 61, 62, blocker=60, table="shop.old", seconds=2.5, held_by="statement", proven=False)),
        "db.slow-query", "session 60", says="2 sessions wait"),
    Row("threads of the server, of replication and of a backup run for days",
        beside().but([session(5, user="event_scheduler", command="Daemon", seconds=9e5, statement="", background=True),
                      session(6, command="Binlog Dump", seconds=9e5, statement="", background=True),
                      session(7, user="system user", command="Slave_SQL", seconds=9e5, statement="", background=True),
                      runs(8, 4000.0, "SELECT /*!40001 SQL_NO_CACHE */ * FROM orders", background=True)]), None),
    Row("an application waits for a lock of its own", beside().but(runs(60, 300.0, "SELECT GET_LOCK('job', 600)", state="User lock")), None),
    Row("a statement waits for a row, as far as this account can see",
        afar().but(runs(60, 12.0, "UPDATE orders SET v = 1", state="Updating"), make(DbRates, row_waits_lasting=1)),
        "db.row-lock-wait", never=("db.slow-query",)),

    # Deadlocks
    Row("deadlocks while we look", beside().but(make(DbRates, deadlocks_new=3), make(Innodb, deadlock_at=NOW - 1)), "db.deadlock",
        says="3 deadlocks in 1.0 s"),
    Row("three deadlocks among thousands of statements", beside().but(make(DbRates, deadlocks_new=3, queries=3001.0), make(Innodb, deadlock_at=NOW - 1)),
        None, notes=("db.deadlock",)),
    Row("three deadlocks among three thousand", beside().but(make(DbRates, deadlocks_new=3, queries=2999.0), make(Innodb, deadlock_at=NOW - 1)),
        "db.deadlock"),
    Row("a deadlock while we look, and another half a minute before", beside().but(make(DbRates, deadlocks_new=1), make(Innodb, deadlock_at=NOW - 30)),
        "db.deadlock", says="1 deadlock in"),
    Row("a deadlock while we look, and none in the minute before", beside().but(make(DbRates, deadlocks_new=2), make(Innodb, deadlock_at=NOW - 61)),
        None, notes=("db.deadlock",)),
    Row("a deadlock half a minute ago", beside().but(make(Innodb, deadlock_at=NOW - 30)), None, notes=("db.deadlock",)),
    Row("a deadlock two minutes ago", beside().but(make(Innodb, deadlock_at=NOW - 120)), None, notes=("db.deadlock",)),
    Row("a deadlock an hour ago", beside().but(make(Innodb, deadlock_at=NOW - 3600)), None),
    Row("clients met three deadlocks", beside().but(client_says("deadlock", 3)), "db.deadlock"),
    Row("clients met two deadlocks", beside().but(client_says("deadlock", 2)), None),

    # Replication
    Row("the replica's password is refused",
        beside().but(make(Replica, io="connecting", io_errno=1045, io_error="error connecting to master: Access denied", lag=None)),
        "db.replica-stopped", "replication from db0:3306", says="the source refuses its password (1045)"),
    Row("the replica met a duplicate key", beside().but(make(Replica, sql="no", sql_errno=1062, sql_error="Duplicate entry '1'", lag=None)),
        "db.replica-stopped", says="the SQL thread has stopped, a row is there already"),
    Row("the source has purged its binary log", beside().but(make(Replica, io="no", io_errno=1236, io_error="Got fatal error 1236", lag=None)),
        "db.replica-stopped", says="no longer has the binary log"),
    Row("an error that the catalogue does not know", beside().but(make(Replica, sql="no", sql_errno=4242, sql_error="Something new", lag=None)),
        "db.replica-stopped", says="Something new"),
    Row("somebody stopped the replica", beside().but(make(Replica, io="no", sql="no", lag=None)), "db.replica-stopped", says="without an error"),
    Row("the replica connects for the first time", beside().but(make(Replica, io="connecting", lag=None)), None),
    Row("a replica falls behind", beside().but(make(Replica, lag=600.0, lag_before=599.0)), "db.replica-lag", says="10 min behind and falls further"),
    Row("a replica is ten seconds behind", beside().but(make(Replica, lag=10.0, lag_before=10.0)), "db.replica-lag"),
    Row("a replica is nine seconds behind", beside().but(make(Replica, lag=9.0, lag_before=8.0)), None),
    Row("a replica catches up", beside().but(make(Replica, lag=600.0, lag_before=640.0)), None),
    Row("a replica is delayed on purpose", beside().but(make(Replica, lag=3600.0, lag_before=3600.0, wanted_delay=3600.0)), None),
    Row("the applier waits for a table that somebody reads",
        beside().but(make(Replica, lag=5.0, lag_before=4.0, sql_state="Waiting for table metadata lock"),
                     runs(42, 6.0, "SELECT SLEEP(20)", user="report"), waits("metadata", 9, applier=True, proven=False, held_by="statement")),
        "db.replica-lag", says="it waits for a lock on shop.orders that probably session 42 (report@10.0.0.9) holds",
        never=("db.metadata-lock",)),

    Row("all tables were checked and are sound", beside().but(make(TablesChecked, checked=40, total=40)), None),

    # Read only
    Row("a read-only primary whose writers fail", beside().but(make(ServerInfo, read_only=True), client_says("read-only", 2)), "db.read-only",
        says="read_only is on, and this is no replica: clients' writes fail"),
    Row("a read-only primary with replicas", beside().but(make(ServerInfo, read_only=True, super_read_only=True, has_replicas=True)),
        "db.read-only", says="super_read_only"),
    Row("a read-only server that replicates from nobody", beside().but(make(ServerInfo, read_only=True)), "db.read-only"),
    Row("a read-only replica", beside().but(make(ServerInfo, read_only=True, is_replica=True), make(Replica)), None),
    Row("a read-only replica that clients write to",
        beside().but(make(ServerInfo, read_only=True, is_replica=True), make(Replica), client_says("read-only", 2)), "db.read-only",
        says="clients write to a read-only replica"),
    Row("read only, and we may not see whether it is a replica", afar().but(make(ServerInfo, read_only=True, replica_known=False)), None,
        notes=("db.read-only",)),
    Row("writes failed an hour ago, and the server takes them", beside().but(client_says("read-only", 9, ago=3600)), None),
]  # fmt: skip

CHAINS: list[tuple] = [  # type: ignore[type-arg]
    ("row locks fill the server up", beside().but(IDLE, full(waiting=120, sleeping=20), waits("row", 50, held_by="transaction", others=119)),
     "db.row-lock-wait", "db.too-many-connections"),
    ("a metadata lock fills the server up", beside().but([READER, ALTER], full(waiting=120), changes_behind(44, 45)),
     "db.metadata-lock", "db.too-many-connections"),
    ("a backup's lock fills the server up", beside().but(BACKUP, full(waiting=120), waits("global-read", 50, held_by="global-lock")),
     "db.global-read-lock", "db.too-many-connections"),
    ("slow statements fill the server up", beside().but(full(sleeping=10, running=141), [runs(n, 20.0) for n in range(60, 70)]),
     "db.slow-query", "db.too-many-connections"),
    ("readers hold a replica's applier and others up",
     beside().but(make(Replica, lag=60.0, lag_before=59.0), [READER, ALTER], [*changes_behind(44), *waits("metadata", 9, applier=True)]),
     "db.metadata-lock", "db.replica-lag"),
]  # fmt: skip

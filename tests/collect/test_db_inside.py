"""What a real server says of itself, while real sessions wait for each other in it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
import pytest

from rbdiag.collect import db_accounts, db_inside, db_locks, db_sessions, db_target
from rbdiag.collect.db_connect import Line
from rbdiag.deadline import Deadline
from rbdiag.diagnose import diagnose
from rbdiag.facts.db import Account, Login, TableCheck, TablesChecked
from rbdiag.facts.sessions import Connections, DbRates, Innodb, LockWait, Replica, ServerInfo, Session, SessionGroup
from rbdiag.frozen import replace
from rbdiag.model import CannotLook, Fact, Facts, Finding, Gap, Severity
from tests.diagnose.db_world import make
from tests.servers import mariadb, mysql
from tests.servers.database import Database, ends
from tests.servers.mariadb import MariaDB
from tests.servers.mysql import MySQL

# Without CHECK TABLE: what the whole of it may cost a server.
MOST_QUERIES = 26


@pytest.fixture(scope="module", params=["MariaDB", "MySQL"])
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A server with the schema `shop`: two rows in `orders` (InnoDB) and in `old` (MyISAM)."""
    kind, why = (MariaDB, mariadb.missing()) if request.param == "MariaDB" else (MySQL, mysql.missing())
    if why:
        pytest.skip(why)
    with kind() as server:
        server.start()
        fill(server)
        yield server


def fill(server: Database) -> None:
    server.sql(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB",
        "CREATE TABLE shop.old (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MyISAM",
        "INSERT INTO shop.orders VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO shop.old VALUES (1, 'a'), (2, 'b')",
    )


@contextmanager
def line_to(server: Database, user: str = "root", password: str = "") -> Iterator[Line]:
    """The one connection of a run, logged in through the socket."""
    found = db_target.find(str(server.socket), user=user, password=password, environ={})
    line = Line(found)
    deadline = Deadline(10)
    seen: list[Fact] = []
    for look in (line.open, line.greet, line.login):
        seen += look(Facts(seen), deadline)
    try:
        yield line
    finally:
        line.close()


def seen_by(look: Iterator[Fact]) -> tuple[Facts, Gap | None]:
    """The facts of a check, and the gap that it ends with."""
    facts: list[Fact] = []
    try:
        for fact in look:
            facts.append(fact)
    except CannotLook as error:
        return Facts(facts), error.gap
    return Facts(facts), None


class People:
    """Sessions of a server that hold and wait; all are ended, whatever becomes of the test."""

    def __init__(self, server: Database) -> None:
        self.server = server
        self.connections: list[Any] = []

    def does(self, *statements: str, database: str | None = "shop", **options: Any) -> int:
        """A new session runs these, and stays; its number."""
        connection = self.server.connect(database=database, **options)
        self.connections.append(connection)
        for statement in statements:
            connection.cursor().execute(statement)
        return int(connection.thread_id())

    def tries(self, statement: str, first: str = "", **options: Any) -> int:
        """A new session begins this, which does not end; its number."""
        number = self.does(*([first] if first else []), **options)
        self.goes_on(self.connections[-1], statement)
        return number

    def goes_on(self, connection: Any, statement: str) -> None:
        def work() -> None:
            with suppress(pymysql.err.Error, OSError):  # it is killed at the end
                connection.cursor().execute(statement)

        threading.Thread(target=work, daemon=True).start()

    def leave(self) -> None:
        with self.server.connect() as admin:
            for connection in self.connections:
                with suppress(pymysql.err.Error):
                    admin.cursor().execute(f"KILL {connection.thread_id()}")
                ends(connection)
        self.connections.clear()


@pytest.fixture
def people(server: Database) -> Iterator[People]:
    people = People(server)
    yield people
    people.leave()


def until(what: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def inside(server: Database, user: str = "root", password: str = "") -> tuple[Facts, dict[str, Gap]]:
    """Everything that the checks inside see, stamped as the runner does, and the gaps they leave."""
    seen: list[Fact] = []
    gaps: dict[str, Gap] = {}
    with line_to(server, user, password) as line:
        seen.append(line.target)
        for name, look in (
            ("variables", lambda d, _: db_inside.variables(line, d)),
            ("sessions", lambda d, _: db_inside.sessions(line, d)),
            ("locks", lambda d, f: db_inside.locks(line, f, d)),
            ("innodb", lambda d, _: db_inside.innodb(line, d)),
            ("replication", lambda d, f: db_inside.replication(line, f, d)),
            ("account", lambda d, f: db_inside.account(line, f, d)),
            ("rates", lambda d, _: db_inside.rates(line, d)),
        ):
            facts, gap = seen_by(look(Deadline(10), Facts(seen)))
            seen += [replace(fact, check=f"db.{name}", seen_at=time.time()) for fact in facts]
            gaps |= {name: gap} if gap else {}
        connections, queries = line.count()
    assert connections == 1
    assert queries <= MOST_QUERIES
    return Facts(seen), gaps


def told(server: Database, user: str = "root", password: str = "") -> list[str]:
    """What the rules say about it, the likeliest cause first; notes left out."""
    found = diagnose(inside(server, user, password)[0])
    assert found.broken == ()
    return [f.code for f in found.findings if f.severity > Severity.NOTE]


def until_told(server: Database, code: str, user: str = "root", password: str = "") -> list[Finding]:
    """The findings, once this is the first of them."""
    found: list[Finding] = []

    def first() -> bool:
        nonlocal found
        found = list(diagnose(inside(server, user, password)[0]).findings)
        return bool(found) and found[0].code == code

    until(first, 20)
    return found


def waits(server: Database, *waiters: int) -> dict[int, LockWait]:
    """Everybody's wait as the check sees it, once all of these wait."""
    found: dict[int, LockWait] = {}
    with line_to(server) as line:

        def all_wait() -> bool:
            nonlocal found
            facts, gap = seen_by(db_inside.locks(line, Facts(), Deadline(10)))
            assert gap is None
            found = {w.waiter: w for w in facts.of(LockWait)}
            return set(waiters) <= set(found)

        until(all_wait)
    return found


# Nothing is wrong


def test_an_idle_server_is_silent(server: Database) -> None:
    facts, gaps = inside(server)
    assert gaps == {}
    assert diagnose(facts).findings == ()
    info, rates = facts.first(ServerInfo), facts.first(DbRates)
    assert info is not None
    assert rates is not None
    assert info.version.startswith(server.sql("SELECT VERSION()")[0][0].partition("-")[0])
    assert (info.port, info.socket, info.max_connections) == (server.port, str(server.socket), 151)
    assert (info.read_only, info.is_replica, info.has_replicas) == (False, False, False)
    assert info.replica_known
    # our own questions are no load
    assert rates.queries == 0
    assert facts.first(Connections) == replace(facts.of(Connections)[0], connected=0, sleeping=0, waiting=0)


def test_a_pool_at_half_of_the_limit_is_silent(server: Database, people: People) -> None:
    for _ in range(75):
        people.does("SELECT 1")
    facts, _ = inside(server)
    (group,) = facts.of(SessionGroup)
    assert (group.subject, group.count, group.sleeping) == ("root@localhost", 75, 75)
    assert diagnose(facts).findings == ()


def test_load_is_silent_and_is_measured(server: Database) -> None:
    """Eight clients that read and write rows of a small table as fast as they can, in short transactions."""
    stop = threading.Event()

    def client(number: int) -> None:
        with server.connect(database="shop") as connection:
            cursor = connection.cursor()
            while not stop.is_set():
                with suppress(pymysql.err.OperationalError):
                    for sql in ("BEGIN", f"SELECT * FROM load_ WHERE id = {number}",
                                f"UPDATE load_ SET n = n + 1 WHERE id = {number % 4}", "COMMIT"):  # fmt: skip
                        cursor.execute(sql)

    server.sql(
        "CREATE TABLE shop.load_ (id INT PRIMARY KEY, n INT)", "INSERT INTO shop.load_ VALUES (0,0),(1,0),(2,0),(3,0)"
    )
    clients = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(3):
            facts, _ = inside(server)
            assert diagnose(facts).findings == ()
            assert all(r.queries > 100 for r in facts.of(DbRates))
    finally:
        stop.set()
        for thread in clients:
            thread.join()
        server.sql("DROP TABLE shop.load_")


# Who waits for whom


def test_the_root_of_a_chain_of_row_locks_is_named(server: Database, people: People) -> None:
    root = people.does("BEGIN", "UPDATE orders SET v = 'x' WHERE id = 1")
    middle = people.tries(
        "UPDATE orders SET v = 'y' WHERE id = 1", "UPDATE orders SET v = 'y' WHERE id = 2", autocommit=False
    )
    end = people.tries("UPDATE orders SET v = 'z' WHERE id = 2")
    found = waits(server, middle, end)
    for wait in (found[middle], found[end]):
        assert (wait.blocker, wait.table, wait.proven, wait.held_by) == (root, "shop.orders", True, "transaction")
    first = until_told(server, "db.row-lock-wait")[0]
    assert first.subject == f"session {root}"
    assert "asleep in a transaction" in first.summary


def test_a_prepared_transaction_belongs_to_nobody(server: Database, people: People) -> None:
    people.does("XA START 'a'", "UPDATE orders SET v = 'x' WHERE id = 1", "XA END 'a'", "XA PREPARE 'a'")
    ends(people.connections[-1])
    try:
        waiter = people.tries("UPDATE orders SET v = 'y' WHERE id = 1")
        wait = waits(server, waiter)[waiter]
        assert (wait.blocker, wait.held_by) == (None, "prepared")
    finally:
        people.leave()
        server.sql("XA ROLLBACK 'a'")


def test_a_change_behind_a_transaction_and_readers_behind_it(server: Database, people: People) -> None:
    reader = people.does("BEGIN", "SELECT * FROM orders")
    change = people.tries("ALTER TABLE orders ADD z INT")
    until(lambda: change in waits(server, change))
    late = people.tries("SELECT * FROM shop.orders")
    found = waits(server, change, late)
    assert {w.blocker for w in found.values()} == {reader}
    assert {w.table for w in found.values()} == {"shop.orders"}
    assert [w.ddl for w in (found[change], found[late])] == [True, False]
    # MySQL's performance schema names the holder; MariaDB has no such table unless a plugin is loaded
    assert {w.proven for w in found.values()} == {isinstance(server, MySQL)}
    assert until_told(server, "db.metadata-lock")[0].subject == f"session {reader}"


def test_a_global_read_lock(server: Database, people: People) -> None:
    holder = people.does("FLUSH TABLES WITH READ LOCK", database=None)
    for _ in range(3):
        people.does("SELECT 1")
    waiter = people.tries("INSERT INTO orders VALUES (9, 'x')")
    wait = waits(server, waiter)[waiter]
    assert (wait.blocker, wait.kind, wait.held_by) == (holder, "global-read", "global-lock")
    assert until_told(server, "db.global-read-lock")[0].subject == f"session {holder}"


def test_mariadbs_plugin_names_the_holder_among_many_alike() -> None:
    if why := mariadb.missing():
        pytest.skip(why)
    with MariaDB(plugin_load_add="metadata_lock_info") as server:
        server.start()
        fill(server)
        people = People(server)
        try:
            people.does("SELECT 1")
            holder = people.does("FLUSH TABLES WITH READ LOCK")
            waiter = people.tries("INSERT INTO orders VALUES (9, 'x')")
            people.does("SELECT 1")
            wait = waits(server, waiter)[waiter]
            assert (wait.blocker, wait.proven, wait.held_by) == (holder, True, "global-lock")
            people.leave()
            holder = people.does("BEGIN", "SELECT * FROM orders")
            people.does("BEGIN", "SELECT * FROM old")
            waiter = people.tries("DROP TABLE orders")
            wait = waits(server, waiter)[waiter]
            assert (wait.blocker, wait.table, wait.proven) == (holder, "shop.orders", True)
        finally:
            people.leave()


@pytest.mark.parametrize("statement", ["LOCK TABLES orders WRITE", "LOCK TABLES old READ"])
def test_locked_tables(server: Database, people: People, statement: str) -> None:
    holder = people.does(statement)
    waiter = people.tries(f"INSERT INTO {statement.split()[2]} VALUES (9, 'x')")
    wait = waits(server, waiter)[waiter]
    assert (wait.blocker, wait.held_by) == (holder, "lock-tables")
    assert until_told(server, "db.global-read-lock")[0].subject == f"session {holder}"


def test_a_statement_keeps_others_out_of_a_myisam_table(server: Database, people: People) -> None:
    reader = people.tries("SELECT v, SLEEP(30) FROM old")
    until(lambda: reader in {s.id for s in seats_of(server) if s.state == "User sleep"})
    waiter = people.tries("UPDATE old SET v = 'y'")
    wait = waits(server, waiter)[waiter]
    assert (wait.kind, wait.blocker, wait.held_by) == ("table", reader, "statement")
    assert until_told(server, "db.slow-query")[0].subject == f"session {reader}"


def seats_of(server: Database) -> list[db_sessions.Seat]:
    with line_to(server) as line:
        return db_sessions.seats(line, Deadline(10))[0]


def test_statements_that_run_long_at_once(server: Database, people: People) -> None:
    sleepers = {people.tries("SELECT v, SLEEP(30) FROM orders") for _ in range(4)}
    first = until_told(server, "db.slow-query")[0]
    assert {s.id for s in first.evidence if isinstance(s, Session)} == sleepers
    assert "SLEEP(30)" in first.summary


def test_deadlocks(server: Database) -> None:
    stop = threading.Event()
    # both have locked their first row before either asks for its second
    meet = threading.Barrier(2)

    def client(first: int, second: int) -> None:
        with server.connect(database="shop", autocommit=False) as connection:
            while not stop.is_set():
                with suppress(pymysql.err.OperationalError, threading.BrokenBarrierError):
                    connection.cursor().execute(f"UPDATE orders SET v = 'd' WHERE id = {first}")
                    meet.wait(5)
                    connection.cursor().execute(f"UPDATE orders SET v = 'd' WHERE id = {second}")
                connection.rollback()

    clients = [threading.Thread(target=client, args=rows) for rows in ((1, 2), (2, 1))]
    for thread in clients:
        thread.start()
    try:
        until(lambda: any(isinstance(f, DbRates) for f in until_told(server, "db.deadlock")[0].evidence))
        innodb = next(f for f in until_told(server, "db.deadlock")[0].evidence if isinstance(f, Innodb))
        assert innodb.deadlock_at is not None
        assert time.time() - innodb.deadlock_at < 60
        assert "UPDATE orders SET v = ? WHERE id = 1" in innodb.deadlock_text
    finally:
        stop.set()
        meet.abort()
        for thread in clients:
            thread.join()


# Limits and rights


def test_a_server_with_no_connection_left(server: Database) -> None:
    with type(server)(max_connections=10) as full:
        full.start()
        full.account("app", "s3cret", grant="USAGE ON *.*")
        held = [full.connect(user="app", password="s3cret") for _ in range(10)]
        try:
            first = diagnose(inside(full)[0]).findings[0]
        finally:
            for connection in held:
                ends(connection)
    assert (first.code, first.severity) == ("db.too-many-connections", Severity.CRITICAL)
    assert "10 sleep, 10 are app@localhost's" in first.summary
    kill = next(s.command for s in first.resolution if "KILL" in s.command)
    assert sum(f"KILL {connection.thread_id()}" in kill for connection in held) == 6
    assert any("max_connections = 60" in s.command for s in first.resolution)


def test_a_limit_of_an_account_is_told_with_its_sessions(server: Database) -> None:
    server.sql("CREATE USER few@localhost IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 2")
    with server.connect(user="few", password="pw"), server.connect(user="few", password="pw"):
        group = next(g for g in inside(server)[0].of(SessionGroup) if g.subject == "few@localhost")
    server.sql("DROP USER few@localhost")
    assert (group.count, group.limit) == (2, 2)


def test_an_account_without_rights_leaves_gaps_that_name_the_grant(server: Database, people: People) -> None:
    server.sql("CREATE USER low@localhost IDENTIFIED BY 'pw'", "GRANT SELECT, UPDATE ON shop.* TO low@localhost")
    try:
        people.does("BEGIN", "UPDATE orders SET v = 'x' WHERE id = 1")
        people.tries("UPDATE orders SET v = 'y' WHERE id = 1")
        time.sleep(0.3)
        facts, gaps = inside(server, "low", "pw")
        assert set(gaps) == {"sessions", "locks", "innodb", "replication"}
        assert {gap.reason for gap in gaps.values()} == {"forbidden"}
        assert all(gaps[name].unlock.startswith("GRANT PROCESS ON *.*") for name in ("sessions", "locks", "innodb"))
        assert "GRANT" in gaps["replication"].unlock
        # what it sees of others are counters: how many are connected, and that somebody waits for a row
        (connections,), (rates,), (info,) = facts.of(Connections), facts.of(DbRates), facts.of(ServerInfo)
        assert connections.connected == 2
        assert rates.row_waits_lasting == 1
        assert not info.replica_known
        assert told(server, "low", "pw") == ["db.row-lock-wait"]
    finally:
        people.leave()
        server.sql("DROP USER low@localhost")


def test_read_only(server: Database) -> None:
    server.sql("SET GLOBAL read_only = 1")
    try:
        assert told(server)[:1] == ["db.read-only"]
    finally:
        if isinstance(server, MySQL):
            server.sql("SET GLOBAL super_read_only = 0")
        server.sql("SET GLOBAL read_only = 0")


def test_the_account_that_the_server_takes_is_marked(server: Database) -> None:
    """The nearest host wins, then a name against none: the nameless account here hides the one for every host."""
    server.sql(
        "CREATE USER app@'%' IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 3", "CREATE USER ''@localhost",
        "ALTER USER app@'%' REQUIRE SSL", "ALTER USER app@'%' ACCOUNT LOCK", "ALTER USER app@'%' PASSWORD EXPIRE",
    )  # fmt: skip
    refused = Login(
        subject="x", attempt="asked", word="denied", user="app", tls=False, tls_offered=True, password=True,
        seconds=0.1, account="app@localhost",
    )  # fmt: skip
    try:
        with line_to(server) as line:
            facts, gap = seen_by(db_inside.account(line, Facts([refused]), Deadline(10)))
    finally:
        server.sql("DROP USER app@'%'", "DROP USER ''@localhost")
    assert gap is None
    found = {a.subject: a for a in facts.of(Account)}
    assert [a.matches for a in (found["'app'@'%'"], found["''@'localhost'"])] == [False, True]
    app = found["'app'@'%'"]
    assert (app.tls, app.locked, app.expired, app.max_user_connections) == ("ANY", True, True, 3)
    assert app.plugin in ("mysql_native_password", "caching_sha2_password")
    assert "pw" not in repr(facts.of(Account))
    assert "*" not in repr(facts.of(Account))


# Replication


@pytest.fixture(scope="module")
def pair(server: Database) -> Iterator[tuple[Database, Database]]:
    """A source and its replica, of the same kind as the server."""
    log = {"log_bin": "binlog"} if isinstance(server, MariaDB) else {"loose-disable-log-bin": None}
    with type(server)(server_id=1, **log) as source, type(server)(server_id=2, **log) as replica:
        source.start()
        replica.start()
        fill(source)
        source.account("repl", "pw", grant="REPLICATION SLAVE ON *.*")
        file, position = source.sql("SHOW MASTER STATUS" if isinstance(server, MariaDB) else "SHOW BINARY LOG STATUS")[
            0
        ][:2]
        fill(replica)
        change = (
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'repl', "
            "MASTER_PASSWORD = 'pw', MASTER_LOG_FILE = '{}', MASTER_LOG_POS = {}, MASTER_CONNECT_RETRY = 1"
        )
        if isinstance(server, MySQL):
            change = change.replace("CHANGE MASTER", "CHANGE REPLICATION SOURCE").replace("MASTER_", "SOURCE_")
            change += ", GET_SOURCE_PUBLIC_KEY = 1"
        replica.sql(change.format(source.port, file, position), "START REPLICA")
        until(lambda: channel(replica).io == "yes")
        yield source, replica


def channel(replica: Database) -> Replica:
    with line_to(replica) as line:
        return next(f for f in db_inside.replication(line, Facts(), Deadline(10)) if isinstance(f, Replica))


def test_a_replica_that_follows_is_silent_and_so_is_its_source(pair: tuple[Database, Database]) -> None:
    source, replica = pair
    replica.sql("SET GLOBAL read_only = 1")
    facts, gaps = inside(replica)
    (seen,), (info,) = facts.of(Replica), facts.of(ServerInfo)
    assert gaps == {}
    assert (seen.subject, seen.io, seen.sql) == (f"replication from 127.0.0.1:{source.port}", "yes", "yes")
    assert info.is_replica
    assert info.read_only
    assert diagnose(facts).findings == ()
    facts, _ = inside(source)
    assert facts.of(ServerInfo)[0].has_replicas
    assert not facts.of(ServerInfo)[0].is_replica
    assert diagnose(facts).findings == ()
    replica.sql("SET GLOBAL read_only = 0")


def test_a_replica_whose_applier_waits_for_a_reader(pair: tuple[Database, Database]) -> None:
    source, replica = pair
    people = People(replica)
    try:
        holder = people.does("LOCK TABLES orders READ")
        source.sql("INSERT INTO shop.orders VALUES (77, 'late')")
        first = until_told(replica, "db.replica-lag")[0]
    finally:
        people.leave()
    assert f"session {holder}" in first.summary
    assert any(f"KILL {holder}" in s.command for s in first.resolution)
    until(lambda: len(replica.sql("SELECT * FROM shop.orders WHERE id = 77")) == 1)


def test_a_replica_that_meets_a_row_that_is_there(pair: tuple[Database, Database]) -> None:
    source, replica = pair
    replica.sql("INSERT INTO shop.orders VALUES (78, 'mine')")
    source.sql("INSERT INTO shop.orders VALUES (78, 'theirs')")
    first = until_told(replica, "db.replica-stopped")[0]
    assert "a row is there already: the data differ (1062)" in first.summary
    replica.sql("DELETE FROM shop.orders WHERE id = 78", "START REPLICA")
    until(lambda: channel(replica).sql == "yes")


def test_a_replica_whose_password_is_refused(pair: tuple[Database, Database]) -> None:
    source, replica = pair
    source.sql("SET SESSION sql_log_bin = 0", "ALTER USER repl@'%' IDENTIFIED BY 'other'")
    replica.sql("STOP REPLICA", "START REPLICA")
    first = until_told(replica, "db.replica-stopped")[0]
    assert "the source refuses its password (1045)" in first.summary
    source.sql("SET SESSION sql_log_bin = 0", "ALTER USER repl@'%' IDENTIFIED BY 'pw'")
    until(lambda: channel(replica).io == "yes")


def test_a_replica_that_somebody_stopped(pair: tuple[Database, Database]) -> None:
    _, replica = pair
    replica.sql("STOP REPLICA")
    assert "somebody stopped it" in until_told(replica, "db.replica-stopped")[0].summary
    replica.sql("START REPLICA")
    until(lambda: channel(replica).io == "yes")


# CHECK TABLE


def test_sound_tables_are_counted(server: Database) -> None:
    with line_to(server) as line:
        facts, gap = seen_by(db_inside.check_tables(line, "shop", Deadline(10)))
    assert gap is None
    assert [str(f) for f in facts] == ["2 of 2 tables checked, 0 damaged"]


def test_no_such_schema_is_a_gap(server: Database) -> None:
    with line_to(server) as line:
        _, gap = seen_by(db_inside.check_tables(line, "shpo", Deadline(10)))
    assert gap is not None
    assert gap.reason == "missing"


def test_a_damaged_table_is_named_and_the_others_are_checked(server: Database) -> None:
    server.sql(
        "CREATE DATABASE worn", "CREATE TABLE worn.sound (id INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE worn.`it's 100%` (id INT PRIMARY KEY, v CHAR(100), KEY (v)) ENGINE=MyISAM",
        "INSERT INTO worn.`it's 100%` SELECT id, v FROM shop.old", "FLUSH TABLES",
    )  # fmt: skip
    (index,) = (server.datadir / "worn").glob("it*.MYI")
    with index.open("r+b") as file:
        file.seek(1024)  # behind the header: the pages of the indexes
        file.write(b"\xa5" * (index.stat().st_size - 1024))
    try:
        with line_to(server) as line:
            facts, gap = seen_by(db_inside.check_tables(line, "worn", Deadline(10)))
    finally:
        server.sql("DROP DATABASE worn")
    assert gap is None
    assert [(t.subject, t.word, t.engine) for t in facts.of(TableCheck)] == [("worn.it's 100%", "damaged", "MyISAM")]
    assert facts.of(TablesChecked)[0].damaged == 1


def test_what_there_was_no_time_for_is_a_gap(server: Database, people: People) -> None:
    people.does("LOCK TABLES orders WRITE, old WRITE")
    with line_to(server) as line:
        facts, gap = seen_by(db_inside.check_tables(line, "shop", Deadline(0.5)))
    assert gap is not None
    assert (gap.reason, gap.detail) == ("deadline", "checked 0 of 2 tables when the time was up")
    assert facts.of(TablesChecked)[0].checked == 0


def test_a_locked_table_is_no_damaged_one(server: Database, people: People) -> None:
    people.does("LOCK TABLES orders WRITE")
    with line_to(server) as line:
        facts, gap = seen_by(db_inside.check_tables(line, "shop", Deadline(10)))
    assert gap is not None
    assert "checked 1 of 2 tables; not shop.orders (Lock wait timeout" in gap.detail
    assert facts.of(TableCheck) == ()


# Pure


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("Waiting for table metadata lock", "metadata"), ("Waiting for schema metadata lock", "metadata"),
        ("Waiting for stored procedure metadata lock", "metadata"), ("Waiting for backup lock", "global-read"),
        ("Waiting for global read lock", "global-read"), ("Waiting for commit lock", "global-read"),
        ("Waiting for table flush", "flush"), ("Waiting for table level lock", "table"), ("login", "login"),
        ("Waiting for someone to free space", "space"), ("Writing to net", "network"), ("Sending data", ""), ("", ""),
        ("User lock", ""), ("Updating", ""),
    ],
)  # fmt: skip
def test_states_are_sorted(state: str, kind: str) -> None:
    assert db_sessions.wait_kind(state) == kind


@pytest.mark.parametrize(
    ("statement", "table", "ddl"),
    [
        ("ALTER TABLE `shop`.`orders` ADD z INT", "shop.orders", True),
        ("/* gh-ost */ alter table orders add z int", "app.orders", True),
        ("CREATE INDEX i ON orders (v)", "app.orders", True), ("DROP TABLE IF EXISTS a.b", "a.b", True),
        ("SELECT * FROM orders o JOIN x", "app.orders", False), ("UPDATE shop.orders SET v = 1", "shop.orders", False),
        ("INSERT INTO `we ird` VALUES (1)", "app.we ird", False), ("COMMIT", "", False),
    ],
)  # fmt: skip
def test_statements_name_their_table(statement: str, table: str, ddl: bool) -> None:
    assert db_sessions.table_of(statement, "app") == table
    assert db_sessions.is_ddl(statement) is ddl


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.9:51234", "10.0.0.9"),
        ("localhost", "localhost"),
        ("::1:58142", "::1"),
        ("", ""),
        ("app.test:1", "app.test"),
    ],
)
def test_hosts_lose_their_port(host: str, name: str) -> None:
    assert db_sessions.client_host(host) == name


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("%", "10.0.0.9", True), ("", "10.0.0.9", True), ("10.0.0.%", "10.0.0.9", True), ("10.0.%", "10.1.0.9", False),
        ("10.0.0.0/255.255.255.0", "10.0.0.9", True), ("10.0.0.0/24", "10.0.1.9", False),
        ("10.0.0.0/24", "app.test", False),
        ("app_.test", "app1.test", True), ("APP.test", "app.TEST", True), ("app.test", "appxtest", False),
    ],
)  # fmt: skip
def test_hosts_of_accounts(pattern: str, host: str, fits: bool) -> None:
    assert db_accounts.host_matches(pattern, host) is fits


def test_the_most_specific_account_is_taken() -> None:
    accounts = [("app", "%"), ("app", "10.%"), ("app", "10.0.%"), ("", "10.0.0.9"), ("app", "10.0.0.0/24")]
    for taken in (("", "10.0.0.9"), ("app", "10.0.0.0/24"), ("app", "10.0.%"), ("app", "10.%"), ("app", "%")):
        assert db_accounts.best("app", "10.0.0.9", accounts) == taken
        accounts.remove(taken)
    assert db_accounts.best("app", "10.0.0.9", accounts) is None


def test_deadlocks_are_dated_by_the_reports_own_clock() -> None:
    report = (
        "\n=====\n2026-11-24 13:53:55 0x7fb8 INNODB MONITOR OUTPUT\n=====\n------------------------\n"
        "LATEST DETECTED DEADLOCK\n------------------------\n2026-11-24 12:53:45 0x7fb8\n*** (1) TRANSACTION:\n"
        "TRANSACTION 5, ACTIVE 0 sec\nMySQL thread id 4, OS thread handle 1, query id 9 localhost root Updating\n"
        "UPDATE t SET password = 'hunter2' WHERE id = 1\n*** (2) TRANSACTION:\n"
        "------------\nTRANSACTIONS\n------------\n"
        "Trx id counter 9\nMySQL thread id 6, query id 10\nSELECT 1\n"
    )
    age, text = db_inside.parse_deadlock(report)
    assert age == 3610
    assert text.startswith("UPDATE t SET password = ")
    assert not re.search("hunter2|SELECT", text)
    assert db_inside.parse_deadlock(report.replace("LATEST", "NO")) == (None, "")
    assert db_inside.parse_deadlock("") == (None, "")


def test_many_waits_are_counted_and_a_change_is_kept() -> None:
    many = [
        make(LockWait, subject=f"session {n}", kind="metadata", waiter=n, seconds=99.0 - n, ddl=n == 40)
        for n in range(50)
    ]
    kept = list(db_locks.shown(many))
    assert [w.waiter for w in kept] == [*range(8), 40]
    assert (kept[0].others, kept[1].others) == (41, 0)
    assert any(w.ddl for w in kept)

"""Databases that let in, with trouble inside: locks, slow statements, damaged tables, replication."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.lab import dbs
from tests.lab.dbs import PASSWORD, USER, application, as_client, as_root, db_fault, hold, make, running, sessions
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.database import Database
from tests.servers.mariadb import MariaDB

UPDATE = "UPDATE shop.orders SET state = 'x' WHERE id = 1"


def _holder(lab: Lab, server: Database, *statements: str) -> int:
    """A session that has done these and does nothing more; its number."""
    connection = hold(lab, server.connect(user="root", database="shop"))
    for statement in statements:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.fetchall()
    return connection.thread_id()


# Locks


def row_lock(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    blocker = _holder(lab, server, "BEGIN", UPDATE)
    application(lab, server, [UPDATE], [UPDATE], forever=0)
    lab.prove("updates that wait", lambda: server.status("Innodb_row_lock_current_waits"), at_least=1)
    time.sleep(1.5 if kind is MariaDB else 3)  # MySQL counts whole seconds
    yield Fault(shown=(str(blocker),), argv=as_root(server))


@db_fault("db.row-lock-wait", fast=True)
def db_row_lock(lab: Lab) -> Setup:
    """An idle transaction holds a row that two others want to update."""
    yield from row_lock(lab, MariaDB)


@db_fault("db.row-lock-wait")
def db_row_lock_asked_by_client(lab: Lab) -> Setup:
    """The same with a SELECT FOR UPDATE on a whole table, asked with a monitoring account by TCP."""
    server = running(lab)
    server.account("monitor", PASSWORD, grant="PROCESS, REPLICATION CLIENT, SLAVE MONITOR ON *.*")
    blocker = _holder(lab, server, "BEGIN", "SELECT * FROM orders FOR UPDATE")
    application(lab, server, *[["UPDATE orders SET n = n + 1 WHERE id = 7"]] * 5, forever=0)
    lab.prove("updates that wait", lambda: server.status("Innodb_row_lock_current_waits"), at_least=1)
    time.sleep(2)
    yield Fault(shown=(str(blocker),), argv=as_client(lab, server, user="monitor"))


@db_fault("db.row-lock-wait", allowed=("db.too-many-connections",))
def db_connections_exhausted_by_locks(lab: Lab) -> Setup:
    """One transaction holds a row; every worker waits for it, until all connections are taken."""
    server = running(lab, max_connections=10)
    blocker = _holder(lab, server, "BEGIN", UPDATE)
    application(lab, server, *[[UPDATE]] * 12, forever=0)
    lab.prove("updates that wait", lambda: server.status("Innodb_row_lock_current_waits"), at_least=5, lasting=False)
    dbs.prove_code(lab, 1040, dbs.shop(server))
    time.sleep(1)
    yield Fault(shown=(str(blocker),), argv=as_root(server))


def metadata_lock(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    blocker = _holder(lab, server, "BEGIN", "SELECT * FROM orders LIMIT 1")
    application(lab, server, ["ALTER TABLE orders ADD z INT"], name="migrate", forever=9)
    waiting = partial(sessions, server, state="table metadata lock")
    lab.prove("sessions that wait", waiting, at_least=1)
    application(lab, server, *[["SELECT COUNT(*) FROM orders"]] * 3, forever=9)
    lab.prove("sessions that wait", waiting, at_least=4)
    time.sleep(1.2 if kind is MariaDB else 3)  # MySQL counts whole seconds
    yield Fault(shown=(str(blocker),), argv=as_root(server))


@db_fault("db.metadata-lock")
def db_metadata_lock(lab: Lab) -> Setup:
    """An ALTER TABLE waits for an idle transaction, and everybody else waits for the ALTER TABLE."""
    yield from metadata_lock(lab, MariaDB)


@db_fault("db.metadata-lock", "db.global-read-lock")
def db_lock_tables(lab: Lab) -> Setup:
    """A session has locked a table and forgotten it."""
    server = running(lab)
    blocker = _holder(lab, server, "LOCK TABLES orders WRITE")
    application(lab, server, *[["SELECT COUNT(*) FROM orders"]] * 4, forever=9)
    lab.prove("sessions that wait", lambda: sessions(server, state="metadata lock"), at_least=4)
    time.sleep(2)
    yield Fault(shown=(str(blocker),), argv=as_root(server))


@db_fault("db.global-read-lock")
def db_global_read_lock(lab: Lab) -> Setup:
    """A backup took the global read lock and keeps it."""
    server = running(lab)
    blocker = _holder(lab, server, "FLUSH TABLES WITH READ LOCK")
    application(lab, server, *[[UPDATE]] * 3, forever=9)
    lab.prove("sessions that wait", lambda: sessions(server, state="backup lock"), at_least=3)
    time.sleep(2)
    yield Fault(shown=(str(blocker),), argv=as_root(server))


@db_fault("db.deadlock")
def db_deadlocks(lab: Lab) -> Setup:
    """Two programs update the same two rows in opposite order, over and over."""
    server = running(lab)
    for name, first, second in (("billing", 1, 2), ("shipping", 2, 1)):
        rounds = ["BEGIN", f"UPDATE orders SET n = n + 1 WHERE id = {first}", "sleep 0.03",
                  f"UPDATE orders SET n = n + 1 WHERE id = {second}", "COMMIT"]  # fmt: skip
        application(lab, server, rounds, name=name, forever=0.001)
    begin = server.status("Innodb_deadlocks")
    lab.prove("deadlocks", lambda: server.status("Innodb_deadlocks") - begin, at_least=5)
    yield Fault(argv=as_root(server))


# Statements

CROSS = "SELECT SUM(a.n * b.n * c.n) FROM big a, big b, big c"


def _with_big_table(lab: Lab, **options: object) -> Database:
    server = running(lab, **options)
    server.sql("CREATE TABLE shop.big (id INT PRIMARY KEY, n INT) ENGINE=MyISAM",
               "USE shop", "INSERT INTO big SELECT seq, seq FROM seq_1_to_3000")  # fmt: skip
    return server


@db_fault("db.slow-query", "cpu.db-query")
def db_slow_query(lab: Lab) -> Setup:
    """A join without a condition has been running for a while."""
    server = _with_big_table(lab)
    application(lab, server, [CROSS], name="report")
    lab.prove("sessions that run it", lambda: sessions(server, command="Query", info="big a"), at_least=1)
    time.sleep(11)
    yield Fault(shown=(USER,), argv=as_root(server))


@db_fault("db.slow-query", "cpu.db-query")
def db_slow_queries(lab: Lab) -> Setup:
    """Six of them at once for some seconds, asked with the application's own account."""
    server = _with_big_table(lab)
    application(lab, server, *[[CROSS]] * 6)
    lab.prove("sessions that run it", lambda: sessions(server, command="Query", info="big a"), at_least=6)
    time.sleep(4)
    yield Fault(shown=(USER,), argv=as_client(lab, server))


@db_fault("db.statement-timeout")
def db_statement_limit(lab: Lab) -> Setup:
    """Statements may run for one second, and a report takes longer; the application's log tells."""
    server = _with_big_table(lab, max_statement_time=1)
    log = lab.folder / "report.log"
    application(lab, server, [CROSS], forever=0.2, log=log)
    lab.prove("statements cut in its log", lambda: log.read_text().count("1969"), at_least=1)
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


@db_fault("db.query-killed")
def db_sessions_killed(lab: Lab) -> Setup:
    """Somebody's job ends the application's sessions, again and again."""
    server = running(lab, log_warnings=4)
    log = lab.folder / "shop.log"
    application(lab, server, ["SELECT SLEEP(1)"], ["SELECT SLEEP(2)"], forever=0.05, log=log)
    job = (
        "BEGIN NOT ATOMIC DECLARE v INT; FOR s IN (SELECT id FROM information_schema.processlist WHERE user = 'shop') "
    )
    job += "DO KILL s.id; END FOR; END"
    for _ in range(6):
        server.sql(job)
        time.sleep(0.3)
    lab.prove("sessions lost in its log", lambda: log.read_text().count("query failed"), at_least=3)
    dbs.prove_log(lab, server, "(KILLED)")  # less talkative servers do not write it
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


# What only the application's log and the server's settings tell


@db_fault("db.idle-timeout-gone-away")
def db_idle_timeout(lab: Lab) -> Setup:
    """The server closes sessions after two idle seconds; the application's are idle for longer."""
    server = running(lab)
    server.sql("SET GLOBAL wait_timeout = 2")
    log = lab.folder / "shop.log"
    application(lab, server, ["SELECT 1", "sleep 3.5", "SELECT 2"], ["SELECT 1", "sleep 3", "SELECT 2"], log=log)
    lab.prove("failures in its log", lambda: log.read_text().count("query failed"), at_least=2)
    lab.prove("seconds that a session may be idle", lambda: float(server.variable("wait_timeout")), at_most=2)
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


@db_fault("db.packet-too-large")
def db_packet_too_large(lab: Lab) -> Setup:
    """The application sends 200 kB where the server takes 64."""
    server = running(lab)
    server.sql("SET GLOBAL max_allowed_packet = 65536")
    log = lab.folder / "shop.log"
    text = "x" * 100_000
    application(lab, server, [f"SELECT LENGTH('{text}')"], forever=0.2, log=log)
    dbs.prove_log(lab, server, "Got a packet bigger than")
    lab.prove("failures in its log", lambda: log.read_text().count("query failed"), at_least=1)
    yield Fault(argv=dbs.configured(server, as_client(lab, server, "--log", str(log))))


@db_fault("db.read-only")
def db_read_only(lab: Lab) -> Setup:
    """The primary is set read only, and the application writes."""
    server = running(lab)
    server.sql("SET GLOBAL read_only = 1")
    log = lab.folder / "shop.log"
    application(lab, server, [UPDATE], forever=0.2, log=log)
    lab.prove("number of the error", lambda: dbs.error_of(server, UPDATE), at_least=1290, at_most=1290)
    lab.prove("refused writes in its log", lambda: log.read_text().count("1290"), at_least=1)
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


POOL = """
import logging, sys, time
from sqlalchemy import create_engine, text
logging.basicConfig(filename=sys.argv[2], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
engine = create_engine(sys.argv[1], pool_size=2, max_overflow=0, pool_timeout=0.4)
leaked = [engine.connect() for _ in range(2)]
for connection in leaked:
    connection.execute(text("SELECT 1"))
print("ready", flush=True)
while True:
    try:
        engine.connect()
    except Exception:
        logging.getLogger("shop.orders").exception("order 17 not saved")
"""


@db_fault("db.client-pool-exhausted", needs=("sqlalchemy",))
def db_pool_exhausted(lab: Lab) -> Setup:
    """The application's own pool has two connections, and both are leaked; the server has room."""
    server = running(lab)
    log = lab.folder / "shop.log"
    url = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{server.port}/shop"
    lab.ready(lab.script("shopd", POOL), url, str(log))
    lab.prove("failures in its log", lambda: log.read_text().count("QueuePool limit"), at_least=2)
    lab.prove("connections", lambda: server.status("Threads_connected"), at_most=10)
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


@db_fault("db.client-pool-exhausted")
def db_pool_exhausted_java(lab: Lab) -> Setup:
    """The same as a Java service with HikariCP writes it."""
    server = running(lab)
    log = lab.folder / "app.log"
    with log.open("w") as file:
        for ago in range(50, 0, -10):
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago))
            file.write(
                f"{at}.412 ERROR 4711 --- [nio-8080-exec-{ago}] o.h.engine.jdbc.spi.SqlExceptionHelper   : "
                "HikariPool-1 - Connection is not available, request timed out after 30001ms "
                "(total=10, active=10, idle=0, waiting=24)\n"
            )
    lab.prove("connections", lambda: server.status("Threads_connected"), at_most=10)
    yield Fault(argv=as_client(lab, server, "--log", str(log)))


# Damaged tables


def _damaged_page(lab: Lab) -> Database:
    server = running(lab)
    server.stop()
    with (server.datadir / "shop/orders.ibd").open("r+b") as file:
        file.seek(3 * 16384)
        file.write(os.urandom(16384))
    server.start()
    lab.prove("number of the error", lambda: dbs.error_of(server, "SELECT * FROM shop.orders"), at_least=1030)
    return server


@db_fault("db.innodb-corruption")
def db_page_damaged(lab: Lab) -> Setup:
    """A page of a table of InnoDB is damaged; the server runs, and its log tells of it."""
    server = _damaged_page(lab)
    yield Fault(argv=as_root(server))


@db_fault("db.innodb-corruption", "db.table-crashed")
def db_page_damaged_checked(lab: Lab) -> Setup:
    """The same, looked for with CHECK TABLE."""
    server = _damaged_page(lab)
    yield Fault(shown=("shop.orders",), argv=(*as_root(server), "--check-tables", "shop"))


def _with_history(lab: Lab) -> Database:
    server = running(lab)
    table = "CREATE TABLE shop.history (id INT PRIMARY KEY, body VARCHAR(200), KEY (body)) ENGINE=MyISAM"
    rows = "INSERT INTO history SELECT seq, REPEAT(seq, 20) FROM seq_1_to_2000"
    server.sql(table, "USE shop", rows, "FLUSH TABLES")
    return server


@db_fault("db.table-crashed")
def db_table_crashed(lab: Lab) -> Setup:
    """The data file of a MyISAM table was cut; the server marked it as crashed and says so in its log."""
    server = _with_history(lab)
    os.truncate(server.datadir / "shop/history.MYD", 4000)
    read = "SELECT COUNT(body) FROM shop.history IGNORE INDEX (body, PRIMARY)"
    lab.prove("number of the error", lambda: dbs.error_of(server, read), at_least=1194, at_most=1194)
    dbs.prove_log(lab, server, "Table 'history' is marked as crashed")
    yield Fault(shown=("history",), argv=as_root(server))


@db_fault("db.table-crashed")
def db_index_cut(lab: Lab) -> Setup:
    """The index file of a MyISAM table was cut; the application's statements fail with error 126."""
    server = _with_history(lab)
    server.stop()
    os.truncate(server.datadir / "shop/history.MYI", 512)
    server.start()
    write = "INSERT INTO shop.history VALUES (5001, 'x')"
    lab.prove("number of the error", lambda: dbs.error_of(server, write), at_least=126, at_most=126)
    yield Fault(shown=("history",), argv=as_client(lab, server))


@db_fault("db.table-crashed", needs=("myisamchk",))
def db_table_crashed_checked(lab: Lab) -> Setup:
    """A part of a MyISAM table's index was overwritten; nothing failed so far, and CHECK TABLE on all tables tells."""
    server = _with_history(lab)
    server.stop()
    with (server.datadir / "shop/history.MYI").open("r+b") as file:
        file.seek(1200)
        file.write(b"\xff" * 600)
    server.start()
    # on a copy: the server would note the damage in its log
    lab.prove("keys in order", lambda: _sound(server.datadir / "shop/history.MYI"), at_most=0)
    yield Fault(shown=("shop.history",), argv=(*as_root(server), "--check-tables"))


def _sound(index: Path) -> bool:
    """Whether myisamchk finds nothing wrong with a copy of a table's files."""
    files = [index, index.with_suffix(".MYD")]
    copies = [shutil.copy(file, file.with_stem("copy")) for file in files]
    try:
        return subprocess.run(["myisamchk", "-s", "-c", str(copies[0])], capture_output=True).returncode == 0
    finally:
        for copy in copies:
            Path(copy).unlink()


# Replication


def _replicated(lab: Lab) -> tuple[Database, Database]:
    """A primary and its running replica."""
    # from 11.4 on a primary keeps its logs while no replica is connected, if nobody says otherwise
    primary = make(lab, log_bin="bin", server_id=1, loose_slave_connections_needed_for_purge=0)
    primary.start()
    dbs.fill(primary)
    primary.account("repl", PASSWORD, grant="REPLICATION SLAVE ON *.*")
    replica = make(lab, server_id=2, read_only=True, slave_net_timeout=4)
    replica.start()
    replica.sql(
        f"CHANGE MASTER TO master_host='127.0.0.1', master_port={primary.port}, master_user='repl', "
        f"master_password='{PASSWORD}', master_log_file='bin.000001', master_log_pos=4, master_connect_retry=1",
        "START SLAVE",
    )
    lab.prove("orders on the replica", lambda: _orders(replica), at_least=20, lasting=False)
    return primary, replica


def _orders(server: Database) -> float:
    found = server.sql("SELECT table_rows FROM information_schema.tables WHERE table_schema='shop'")
    return float(server.sql("SELECT COUNT(*) FROM shop.orders")[0][0]) if found else 0.0


def _state(replica: Database, name: str) -> str:
    with replica.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SLAVE STATUS")
        names = [column[0] for column in cursor.description]
        return str(dict(zip(names, cursor.fetchone(), strict=True))[name])


def _prove_stopped(lab: Lab, replica: Database, field: str, number: int) -> None:
    lab.prove(field, lambda: float(_state(replica, field)), at_least=number, at_most=number)


@db_fault("db.replica-stopped")
def db_replica_locked_out(lab: Lab) -> Setup:
    """The password of the replication account was changed on the primary."""
    primary, replica = _replicated(lab)
    primary.sql("ALTER USER repl@'%' IDENTIFIED BY 'repl-8-Fink'")
    replica.sql("STOP SLAVE", "START SLAVE")
    _prove_stopped(lab, replica, "Last_IO_Errno", 1045)
    yield Fault(argv=as_root(replica))


@db_fault("db.replica-stopped")
def db_replica_duplicate_key(lab: Lab) -> Setup:
    """Somebody wrote to the replica; the primary's row of the same key cannot be applied."""
    primary, replica = _replicated(lab)
    replica.sql("INSERT INTO shop.orders VALUES (77, 'by hand', 1)")
    primary.sql("INSERT INTO shop.orders VALUES (77, 'new', 1)")
    _prove_stopped(lab, replica, "Last_SQL_Errno", 1062)
    yield Fault(shown=("1062",), argv=as_root(replica))


@db_fault("db.replica-stopped")
def db_replica_log_purged(lab: Lab) -> Setup:
    """The primary removed binary logs that the replica had not read yet."""
    primary, replica = _replicated(lab)
    replica.sql("STOP SLAVE")
    for row in dbs.processlist(primary):
        if row[1] == "repl":  # it still reads the log that is to go
            primary.sql(f"KILL {row[0]}")
    lab.prove("replicas at the primary", lambda: sessions(primary, user="repl"), at_most=0)
    primary.sql("INSERT INTO shop.orders VALUES (78, 'new', 1)", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    purge = ("PURGE BINARY LOGS TO 'bin.000003'", "SHOW BINARY LOGS")  # it keeps those of unfinished checkpoints
    lab.prove("binary logs of the primary", lambda: len(primary.sql(*purge)), at_most=1)
    replica.sql("START SLAVE")
    _prove_stopped(lab, replica, "Last_IO_Errno", 1236)
    yield Fault(shown=("1236",), argv=as_root(replica))


@db_fault("db.replica-stopped")
def db_replica_stopped_by_hand(lab: Lab) -> Setup:
    """Somebody stopped the thread that applies changes, and forgot it."""
    _primary, replica = _replicated(lab)
    replica.sql("STOP SLAVE SQL_THREAD")
    lab.prove("it does not apply", lambda: _state(replica, "Slave_SQL_Running") == "No", at_least=1)
    yield Fault(argv=as_root(replica))


@db_fault("db.replica-lag")
def db_replica_lag(lab: Lab) -> Setup:
    """A session on the replica keeps a table locked that the primary writes to."""
    primary, replica = _replicated(lab)
    _holder(lab, replica, "LOCK TABLES orders READ")
    primary.sql("UPDATE shop.orders SET n = n + 1")
    lab.prove("seconds behind", lambda: float(_state(replica, "Seconds_Behind_Master")), at_least=4)
    yield Fault(argv=as_root(replica))

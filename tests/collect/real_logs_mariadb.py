"""MariaDB, broken: what must be understood of its error log."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pymysql

from tests.collect.real_logs import Row, Trace
from tests.lab import dbs
from tests.lab import logs_real as real
from tests.lab.logs_real import Written
from tests.lab.workbench import Lab
from tests.servers.mariadb import MariaDB


def _denied(server: MariaDB) -> None:
    for user in ("shop", "shop", "admin"):
        with suppress(pymysql.err.Error):
            server.connect(host="127.0.0.1", user=user, password="wrong")


def _no_right(server: MariaDB) -> None:
    server.sql("CREATE DATABASE shop")
    server.account("reader", "x", grant="SELECT ON shop.*")
    with suppress(pymysql.err.Error):
        server.connect(host="127.0.0.1", user="reader", password="x", database="mysql")


def _packet(server: MariaDB) -> None:
    with suppress(pymysql.err.Error, OSError):
        server.sql(f"SELECT LENGTH('{'x' * 200000}')")


def _idle(server: MariaDB) -> None:
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute("SET wait_timeout = 1")
    time.sleep(1.3)
    connection._force_close()  # type: ignore[attr-defined]


def _killed_session(server: MariaDB) -> None:
    connection = server.connect()
    server.sql(f"KILL {connection.thread_id()}")
    time.sleep(0.1)
    connection._force_close()  # type: ignore[attr-defined]


def _vanished(server: MariaDB) -> None:
    connection = server.connect()
    connection._sock.close()  # type: ignore[attr-defined]
    connection._force_close()  # type: ignore[attr-defined]
    time.sleep(0.1)


def _deadlock(server: MariaDB) -> None:
    server.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
               "INSERT INTO shop.t VALUES (1, 1), (2, 2)")  # fmt: skip
    ends = [server.connect(autocommit=False, database="shop") for _ in range(2)]

    def change(number: int, row: int) -> None:
        with suppress(pymysql.err.Error), ends[number].cursor() as cursor:
            cursor.execute(f"UPDATE t SET v = v + 1 WHERE id = {row}")

    change(0, 1)
    change(1, 2)
    other = threading.Thread(target=change, args=(0, 2))
    other.start()
    time.sleep(0.1)
    change(1, 1)
    other.join()
    for end in ends:
        end.close()


def _again(by: int) -> Callable[[MariaDB], None]:
    """Killed by a signal in the middle of its work, and started again."""

    def killed(server: MariaDB) -> None:
        server.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE=InnoDB",
                   "INSERT INTO shop.t VALUES (1)")  # fmt: skip
        server.kill(by)
        server.start()

    return killed


def _taken() -> Written:
    with socket.create_server(("127.0.0.1", 0)) as other:
        return real.mariadb_no_start(port=other.getsockname()[1])


def _not_ours(server: MariaDB) -> None:
    """The data of root, with a server of another user."""
    os.chown(server.datadir / "ibdata1", 0, 0)
    (server.datadir / "ibdata1").chmod(0o600)


def _damaged(server: MariaDB) -> None:
    """Pages of a table are overwritten, and then asked for."""
    server.sql("CREATE DATABASE shop", "USE shop", "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000)) ENGINE=InnoDB",
               "INSERT INTO t SELECT seq, REPEAT('x', 2000) FROM seq_1_to_200")  # fmt: skip
    server.stop()
    with (server.datadir / "shop/t.ibd").open("r+b") as file:
        file.seek(16384 * 5)
        file.write(os.urandom(16384 * 8))
    server.start()
    with suppress(pymysql.err.Error, OSError):
        server.sql("SELECT COUNT(*) FROM shop.t WHERE v > 'a'")


def _no_tables(server: MariaDB) -> None:
    shutil.rmtree(server.datadir / "mysql")


def _crashed_table(server: MariaDB) -> None:
    server.sql("CREATE DATABASE shop", "CREATE TABLE shop.old (id INT PRIMARY KEY, v INT) ENGINE=MyISAM",
               "INSERT INTO shop.old VALUES (1, 1), (2, 2)", "FLUSH TABLES")  # fmt: skip
    server.stop()
    index = server.datadir / "shop/old.MYI"
    index.write_bytes(index.read_bytes()[:1024] + os.urandom(1024))
    server.start()
    for statement in ("INSERT INTO shop.old VALUES (3, 3)", "SELECT * FROM shop.old WHERE id = 2"):
        with suppress(pymysql.err.Error):
            server.sql(statement)


def _full() -> Written:
    """Started on a disk on which nothing is left."""
    began = time.time()
    with Lab() as lab, MariaDB() as server:
        volume = dbs.on_volume(lab, server, "size=60m")
        server.prepare()
        dbs.fill_up(volume)
        server.fails_to_start()
        return Written(server.log(), began, time.time())


def _locked() -> Written:
    """A second server on the data of one that runs, for as long as it takes to complain."""
    began = time.time()
    with MariaDB() as first, MariaDB() as second:
        first.start()
        second.options["datadir"] = str(first.datadir)
        second.datadir = first.datadir
        second.launch()
        deadline = time.monotonic() + 10
        while "error: 11" not in second.new_log() and time.monotonic() < deadline:
            time.sleep(0.05)
        second.kill()
        return Written(second.log(), began, time.time())


def _full_server() -> Written:
    """What a client of a server that takes no more connections writes."""
    with MariaDB(max_connections=10) as server:
        server.start()
        server.account("shop", "wrong", grant="SELECT ON *.*")
        held = []
        with suppress(pymysql.err.Error):
            for _ in range(12):
                held.append(server.connect(host="127.0.0.1", user="shop", password="wrong"))
        written = real.app("python", "database", server.port)
        for end in held:
            end.close()
        return written


MARIADB = (
    Row("mariadb", "logins are refused", lambda: real.mariadb(_denied), {"db-access-denied": 3},
        codes=("db.access-denied",)),
    Row("mariadb", "an account without rights", lambda: real.mariadb(_no_right), {"db-no-database-access": 1}),
    Row("mariadb", "a packet is too big", lambda: real.mariadb(_packet, max_allowed_packet="64K"),
        {"db-packet-too-large": 2},
        codes=("db.packet-too-large",)),
    Row("mariadb", "an idle connection is closed", lambda: real.mariadb(_idle), {"db-idle-closed": 1}),
    Row("mariadb", "a session is killed", lambda: real.mariadb(_killed_session), {"db-session-killed": 1}),
    Row("mariadb", "a client vanishes", lambda: real.mariadb(_vanished), {"db-client-vanished": 0}),
    Row("mariadb", "a deadlock", lambda: real.mariadb(_deadlock, innodb_print_all_deadlocks="ON"), {"db-deadlock": 0}),
    Row("mariadb", "killed and started again", lambda: real.mariadb(_again(signal.SIGKILL)), {"db-recovery": 0}),
    Row("mariadb", "crashed and started again", lambda: real.mariadb(_again(signal.SIGSEGV)),
        {"db-crashed": 1, "db-recovery": 0}),
    Row("mariadb", "an unknown option", lambda: real.mariadb_no_start(no_such_option=1), {"db-option-unknown": 1},
        codes=("db.config-invalid",)),
    Row("mariadb", "the port is taken", _taken, {"db-bind-failed": 1, "db-another-server": 1},
        codes=("db.port-in-use",)),
    Row("mariadb", "a file that it may not write", lambda: real.mariadb_no_start(_not_ours, user="mysql"),
        {"db-file-forbidden": 0},
        codes=("db.datadir-permission",), needs="root"),
    Row("mariadb", "more memory than there is", lambda: real.mariadb_no_start(innodb_buffer_pool_size="9000G"),
        {"db-no-memory": 0}),
    Row("mariadb", "no certificate", lambda: real.mariadb_no_start(ssl_cert="/srv/a.pem", ssl_key="/srv/a.key"),
        {"db-tls-key": 0}),
    Row("mariadb", "its own tables are gone", lambda: real.mariadb_no_start(_no_tables), {"db-not-initialised": 0}),
    Row("mariadb", "damaged data", lambda: real.mariadb(_damaged), {"db-innodb-corruption": 0},
        maybe=("db-table-crashed",),
        codes=("db.innodb-corruption",)),
    Row("mariadb", "a crashed table", lambda: real.mariadb(_crashed_table), {"db-table-crashed": 0},
        codes=("db.table-crashed",)),
    Row("mariadb", "a full disk at the start", _full, {"db-disk-full": 0}, codes=("db.disk-full", "host.inode-full"),
        needs="root"),
    Row("mariadb", "a second server on its data", _locked, {"db-datadir-locked": 0}, codes=("db.datadir-locked",)),
    Row("mariadb", "a client of a full server", _full_server, {"db-too-many-connections": 3},
        trace=Trace("OperationalError", "1040", "fails", 3),
        codes=("db.too-many-connections",)),
)  # fmt: skip

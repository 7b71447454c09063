"""The core of the faults and healthy twins again, with MySQL in the place of MariaDB; see tests/servers/mysql.py."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab import db_inside, db_login, dbs, proc
from tests.lab.dbs import application, as_client, as_root, configured, make, prove_code, prove_gone, running, shop
from tests.lab.scenario import Fault, Scenario, Setup, fault, twin
from tests.lab.workbench import Lab
from tests.servers.database import free_port
from tests.servers.mysql import MySQL


def mysql_fault(*codes: str, **options: Any) -> Callable[[Callable[[Lab], Setup]], Scenario]:
    return fault(*codes, argv=(), needs=("mysql",), quiet=False, **options)


def mysql_twin(**options: Any) -> Callable[[Callable[[Lab], Setup]], Scenario]:
    return twin(argv=(), needs=("mysql",), quiet=False, **options)


@mysql_fault("db.service-down")
def mysql_killed(lab: Lab) -> Setup:
    """Killed with SIGKILL; the socket's file has stayed."""
    server = running(lab, MySQL)
    server.kill()
    prove_gone(lab, server)
    prove_code(lab, 111, server.connect)
    yield Fault((str(server.socket),), argv=configured(server, as_root(server)))


@mysql_fault("db.wrong-endpoint")
def mysql_wrong_port(lab: Lab) -> Setup:
    """The application connects to a port where nobody listens."""
    server = running(lab, MySQL)
    port = free_port()
    prove_code(lab, 111, shop(server, port=port))
    yield Fault((str(port),), shown=(str(server.port),), argv=as_client(lab, server, port=port))


@mysql_fault("db.config-invalid", "change.config-invalid")
def mysql_unknown_option(lab: Lab) -> Setup:
    """An option that MySQL no longer has."""
    server = make(lab, MySQL, query_cache_size=0)
    dbs.prove_start_fails(lab, server, "query-cache-size")
    yield Fault(argv=configured(server, as_root(server)))


@mysql_fault("db.skip-networking")
def mysql_skip_networking(lab: Lab) -> Setup:
    """TCP is switched off; the socket works."""
    server = running(lab, MySQL, skip_networking=True)
    prove_code(lab, 111, shop(server))
    yield Fault((str(server.port),), argv=configured(server, dbs.by_port(server)))


@mysql_fault("db.hung")
def mysql_hung(lab: Lab) -> Setup:
    """Stopped with SIGSTOP."""
    server = running(lab, MySQL)
    server.kill(signal.SIGSTOP)
    lab.prove("it is stopped", lambda: proc.states([server.pid]) == "T", at_least=1)
    yield Fault(shown=(str(server.pid),), argv=dbs.by_port(server))


@mysql_fault("db.crashed")
def mysql_crashed(lab: Lab) -> Setup:
    """The server died of signal 11."""
    server = running(lab, MySQL)
    server.kill(signal.SIGSEGV)
    prove_gone(lab, server)
    dbs.prove_log(lab, server, "got signal 11")
    yield Fault(argv=configured(server, as_root(server)))


@mysql_fault("db.access-denied")
def mysql_wrong_password(lab: Lab) -> Setup:
    """The application has a wrong password, with caching_sha2_password."""
    yield from db_login.wrong_password(lab, MySQL)


@mysql_fault("db.unknown-database")
def mysql_unknown_database(lab: Lab) -> Setup:
    """The application asks for a schema that does not exist."""
    yield from db_login.unknown_database(lab, MySQL)


@mysql_fault("db.account-locked")
def mysql_account_locked(lab: Lab) -> Setup:
    """The account is locked."""
    yield from db_login.account_locked(lab, MySQL)


@mysql_fault("db.user-connection-limit")
def mysql_hourly_limit(lab: Lab) -> Setup:
    """The account may log in once in an hour, and has."""
    yield from db_login.hourly_limit(lab, MySQL)


@mysql_fault("db.tls-required")
def mysql_tls_required(lab: Lab) -> Setup:
    """The server demands TLS, and the application switches it off: 3159."""
    yield from db_login.tls_required(lab, MySQL)


@mysql_fault("tls.expired", "db.tls-failed")
def mysql_tls_expired(lab: Lab) -> Setup:
    """The server's certificate has expired, and the client verifies."""
    yield from db_login.tls_expired(lab, MySQL)


@mysql_fault("db.too-many-connections")
def mysql_connection_leak(lab: Lab) -> Setup:
    """An application holds all connections there may be, asleep."""
    server = running(lab, MySQL, max_connections=10)
    application(lab, server, *[["SELECT 1"]] * 10)
    prove_code(lab, 1040, shop(server))
    yield Fault(shown=(dbs.USER,), argv=as_root(server))


@mysql_fault("db.row-lock-wait")
def mysql_row_lock(lab: Lab) -> Setup:
    """An idle transaction holds a row that two others want to update."""
    yield from db_inside.row_lock(lab, MySQL)


@mysql_fault("db.metadata-lock")
def mysql_metadata_lock(lab: Lab) -> Setup:
    """An ALTER TABLE waits for an idle transaction, and everybody else waits for the ALTER TABLE."""
    yield from db_inside.metadata_lock(lab, MySQL)


@mysql_fault("db.global-read-lock")
def mysql_global_read_lock(lab: Lab) -> Setup:
    """A backup took the global read lock and keeps it."""
    server = running(lab, MySQL)
    dbs.hold(lab, connection := server.connect())
    connection.cursor().execute("FLUSH TABLES WITH READ LOCK")
    application(lab, server, *[["UPDATE orders SET n = 0 WHERE id = 1"]] * 3, forever=9)
    lab.prove("sessions that wait", lambda: dbs.sessions(server, state="global read lock"), at_least=3)
    time.sleep(4)  # it counts whole seconds
    yield Fault(shown=(str(connection.thread_id()),), argv=as_root(server))


@mysql_twin()
def mysql_idle(lab: Lab) -> Setup:
    """A server that does nothing, asked by the socket."""
    server = running(lab, MySQL)
    yield Fault(argv=configured(server, as_root(server)))


@mysql_twin()
def mysql_application(lab: Lab) -> Setup:
    """A server with a pool of 40 connections, asked as a monitoring account by TCP."""
    server = running(lab, MySQL)
    server.account("monitor", dbs.PASSWORD, grant="PROCESS, REPLICATION CLIENT ON *.*")
    application(lab, server, *[["SELECT 1"]] * 40)
    lab.prove("sleeping sessions", lambda: dbs.sessions(server, command="Sleep"), at_least=40)
    yield Fault(argv=as_client(lab, server, user="monitor"))


@mysql_fault("db.service-down")
def mysql_stopped(lab: Lab) -> Setup:
    """Stopped in an orderly way; the socket is gone."""
    server = running(lab, MySQL)
    server.stop()
    prove_gone(lab, server)
    prove_code(lab, 2, server.connect)
    yield Fault((str(server.socket),), argv=configured(server, as_root(server)))


@mysql_fault("db.port-in-use")
def mysql_port_taken(lab: Lab) -> Setup:
    """Another MySQL has the port, so this one does not start."""
    first = running(lab, MySQL)
    second = make(lab, MySQL, port=first.port)
    dbs.prove_start_fails(lab, second, "Bind on TCP/IP port")
    dbs.prove_running(lab, first)
    yield Fault((str(first.port),), shown=(str(first.pid),), argv=configured(second, as_root(second)))


@mysql_fault("db.account-locked")
def mysql_password_expired(lab: Lab) -> Setup:
    """The password has expired, which turns clients away (1862) where nobody set anything."""
    server = running(lab, MySQL)
    server.sql(f"ALTER USER {dbs.USER}@'%' PASSWORD EXPIRE")
    prove_code(lab, 1862, shop(server))
    yield Fault(shown=(dbs.USER,), argv=as_client(lab, server))


@mysql_fault("db.read-only")
def mysql_read_only(lab: Lab) -> Setup:
    """The primary is set super_read_only, and the application writes; its log tells."""
    server = running(lab, MySQL)
    server.sql("SET GLOBAL super_read_only = 1")
    log = lab.folder / "shop.log"
    write = "UPDATE shop.orders SET n = 5 WHERE id = 1"
    application(lab, server, [write], forever=0.2, log=log)
    lab.prove("number of the error", lambda: dbs.error_of(server, write), at_least=1290, at_most=1290)
    lab.prove("refused writes in its log", lambda: log.read_text().count("1290"), at_least=1)
    yield Fault(shown=("super_read_only",), argv=as_client(lab, server, "--log", str(log)))


@mysql_fault("db.packet-too-large")
def mysql_packet_too_large(lab: Lab) -> Setup:
    """The application sends 100 kB where the server takes 64 KiB; over TLS it reads why, or sees only the line end."""
    server = running(lab, MySQL)
    server.sql("SET GLOBAL max_allowed_packet = 65536")
    log = lab.folder / "shop.log"
    application(lab, server, [f"SELECT LENGTH('{'x' * 100_000}')"], forever=0.2, again=True, log=log)
    lab.prove("failures in its log that say why", lambda: log.read_text().count("1153"), at_least=1)
    yield Fault(argv=configured(server, as_client(lab, server, "--log", str(log))))


@mysql_twin()
def mysql_on_all_addresses(lab: Lab) -> Setup:
    """A listener on [::] alone, which serves IPv4 too."""
    server = running(lab, MySQL, bind="*")
    lab.prove("listeners of IPv4", lambda: _listens(server.port, "tcp"), at_most=0)
    lab.prove("listeners of IPv6", lambda: _listens(server.port, "tcp6"), at_least=1)
    prove_code(lab, 0, shop(server))
    yield Fault(argv=configured(server, as_client(lab, server)))


def _listens(port: int, protocol: str) -> bool:
    """Whether somebody listens on the port, by the kernel's list of this protocol."""
    lines = Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)

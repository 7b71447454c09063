"""What the scenarios of databases share: servers, clients of them, and how their faults are proven.

Every scenario has a server of its own, and asks with the command line that its `Fault` bears. Proofs are the lab's own
connections, its own reading of the server's log and of the kernel's files; nothing of the program under test.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.lab.scenario import Scenario, Setup, fault, twin
from tests.lab.workbench import Lab, NotInEffect
from tests.servers.database import Database, ends
from tests.servers.mariadb import MariaDB

CLIENT = Path(__file__).parent / "dbclient.py"
USER, PASSWORD = "shop", "orders-7-Amsel"
MIB = 1024 * 1024
# What comes with a server that is not to be reached, beside whatever keeps it from running.
DOWN = ("db.service-down",)

Decorator = Callable[[Callable[[Lab], Setup]], Scenario]


def db_fault(*codes: str, needs: tuple[str, ...] = (), **options: Any) -> Decorator:
    """A fault of a database: told on a busy machine too, and asked about as the scenario says."""
    return fault(*codes, argv=(), needs=("mariadb", *needs), quiet=False, **options)


def db_twin(*, needs: tuple[str, ...] = (), **options: Any) -> Decorator:
    return twin(argv=(), needs=("mariadb", *needs), quiet=False, **options)


# Servers


def make(lab: Lab, kind: type[Database] = MariaDB, **options: Any) -> Database:
    """A server, not started; ended with the scenario."""
    server = kind(**options)
    lab.defer(server.close)
    return server


def running(lab: Lab, kind: type[Database] = MariaDB, **options: Any) -> Database:
    """A running server with the schema `shop`, its table `orders` and the account of an application."""
    server = make(lab, kind, **options)
    server.start()
    fill(server)
    return server


def fill(server: Database) -> None:
    server.sql(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id INT PRIMARY KEY, state VARCHAR(200), n INT) ENGINE=InnoDB",
        "INSERT INTO shop.orders VALUES " + ", ".join(f"({n}, 'new', {n})" for n in range(1, 21)),
        f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON shop.* TO {USER}@'%'",
    )


def on_volume(lab: Lab, server: Database, *options: str) -> Path:
    """Put the server's data on a filesystem of its own, in memory; before its first start."""
    lab.tmpfs(server.datadir.parent / "volume", *options)
    server.datadir = server.datadir.parent / "volume" / "data"
    server.options["datadir"] = str(server.datadir)
    lab.defer(server.stop)  # before the filesystem goes
    return server.datadir.parent


def fill_up(volume: Path, name: str = "core.17", leave: int = 0) -> Path:
    """Fill a filesystem with one file, but for so many bytes."""
    state = os.statvfs(volume)
    path = volume / name
    with path.open("wb") as file:
        try:
            left = state.f_bavail * state.f_frsize - leave
            while left > 0:
                left -= file.write(b"\0" * min(left, MIB))
        except OSError:
            pass  # full, as it was meant
    return path


def free_bytes(path: Path) -> float:
    state = os.statvfs(path)
    return float(state.f_bavail * state.f_frsize)


def aged(path: Path, days: float = 9) -> None:
    """Make a file look as if nobody had changed it for days."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))


# Command lines


def as_root(server: Database) -> tuple[str, ...]:
    """By the socket, as the server's root."""
    return ("db", "-S", str(server.socket), "-u", "root")


def by_port(server: Database, *more: str, host: str = "127.0.0.1") -> tuple[str, ...]:
    """By TCP and without an account."""
    return ("db", f"{host}:{server.port}", *more)


def configured(server: Database, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The same, and where the server's option file is; only /etc/mysql would be found by itself."""
    return (*argv, "-c", str(server.defaults_file))


def client_file(lab: Lab, server: Database, name: str = "client.cnf", **options: str | int | None) -> str:
    """An option file of a client: the application's account by TCP, unless the options say otherwise."""
    settings: dict[str, str | int | None] = {"host": "127.0.0.1", "port": server.port, "user": USER}
    settings |= {"password": PASSWORD, **options}
    lines = [f"{key.replace('_', '-')}={value}" for key, value in settings.items() if value is not None]
    return str(lab.write(name, "\n".join(["[client]", *lines, ""]), 0o600))


def as_client(lab: Lab, server: Database, *more: str, **options: str | int | None) -> tuple[str, ...]:
    return ("db", "--defaults-file", client_file(lab, server, **options), *more)


# Clients


def code(connect: Callable[[], Connection[Any]]) -> float:
    """How a connect ends: 0 when it works, the server's error number, or the errno where no server answered."""
    try:
        connection = connect()
    except pymysql.err.MySQLError as error:
        under = getattr(error, "original_exception", None)
        return float((isinstance(under, OSError) and under.errno) or error.args[0])
    ends(connection)
    return 0.0


def prove_code(lab: Lab, number: int, connect: Callable[[], Connection[Any]], **options: Any) -> None:
    lab.prove("number of the error at login", lambda: code(connect), at_least=number, at_most=number, **options)


def shop(server: Database, **options: Any) -> Callable[[], Connection[Any]]:
    """A login of the application by TCP."""
    return partial(server.connect, **{"host": "127.0.0.1", "user": USER, "password": PASSWORD, **options})


def hold(lab: Lab, connection: Connection[Any]) -> Connection[Any]:
    lab.defer(ends, connection)
    return connection


def error_of(server: Database, statement: str, **options: Any) -> float:
    """The number of the error that a statement ends with, 0 without one; of the application, or of root."""
    connect = partial(server.connect, **options) if options.get("user") == "root" else shop(server, **options)
    with connect() as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.err.MySQLError as error:
            return float(error.args[0])
    return 0.0


def application(
    lab: Lab,
    server: Database,
    *sessions: Sequence[str],
    name: str = "shopd",
    user: str = USER,
    password: str = PASSWORD,
    log: Path | None = None,
    before: Sequence[str] = (),
    **plan: Any,
) -> int:
    """A client program of that name, with these statements in each of its sessions; returns once all are logged in.

    What else is in the plan is told in dbclient.py.
    """
    connect = {"host": "127.0.0.1", "port": server.port, "user": user, "password": password, "database": "shop"}
    connect |= plan.pop("connect", {})
    connect = {key: value for key, value in connect.items() if value is not None}
    told = {"connect": connect, "sessions": list(sessions), "log": str(log or ""), **plan}
    script = lab.script(name, CLIENT.read_text())
    return lab.ready(*before, script, json.dumps(told)).pid


def processlist(server: Database) -> list[tuple[Any, ...]]:
    return server.sql("SELECT id, user, command, time, state, info FROM information_schema.processlist")


def sessions(server: Database, *, user: str = "", command: str = "", state: str = "", info: str = "") -> float:
    """How many sessions are of this user, do this, and are in a state and a statement with these words."""
    return float(
        sum(
            (not user or row[1] == user)
            and (not command or row[2] == command)
            and state.lower() in (row[4] or "").lower()
            and info.lower() in (row[5] or "").lower()
            for row in processlist(server)
        )
    )


def prove_log(lab: Lab, server: Database, *texts: str, lasting: bool = False) -> None:
    """Prove that the server wrote these since it was started."""
    for text in texts:
        lab.prove(f"lines of the log with {text!r}", lambda text=text: server.new_log().count(text), at_least=1,
                  lasting=lasting)  # fmt: skip


def prove_running(lab: Lab, server: Database) -> None:
    lab.prove(f"{server.program} runs", lambda: server.alive, at_least=1)


def prove_gone(lab: Lab, server: Database) -> None:
    lab.prove(f"{server.program} runs", lambda: server.alive, at_most=0)


def prove_start_fails(lab: Lab, server: Database, *texts: str, arguments: Sequence[str] = (), **options: Any) -> None:
    """Start it, and prove that the start fails with these words in the log."""
    failed = server.fails_to_start(*arguments, **options)
    lab.prove("exit status of the start", lambda: abs(failed.status), at_least=1)
    for text in texts:
        if text not in failed.log:
            raise NotInEffect(f"the log does not say {text!r}: {failed.log[-500:]}")
        lab.proofs.append(f"the log says {text!r}")


# Two hosts


def afar(namespace: str) -> tuple[str, ...]:
    """Ask from a host of its own: another network, and none of this host's processes to be seen."""
    return ("ip", "netns", "exec", namespace, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def inside(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace)


def code_from(lab: Lab, namespace: str, **connect: Any) -> float:
    """How a login from another network namespace ends; numbers as those of `code`."""
    told = json.dumps({"connect": {"user": USER, "password": PASSWORD, "connect_timeout": 3, **connect}})
    said = lab.run(*inside(namespace), sys.executable, str(CLIENT), "code", told)
    return float(said)


def far(lab: Lab, kind: type[Database] = MariaDB, **options: Any) -> tuple[Database, str, str]:
    """A running server with a network of its own, at 10.90.77.2 port 3306, and the names of the client's namespace and
    of the server's."""
    client, host = lab.namespaces()
    server = make(
        lab, kind, **{"namespace": host, "bind": "0.0.0.0", "port": 3306, "skip_name_resolve": True, **options}
    )
    server.start()
    fill(server)
    return server, client, host


def prove_far(lab: Lab, namespace: str, number: int, host: str = "10.90.77.2", **connect: Any) -> None:
    """Prove how a login from another namespace ends."""
    lab.prove(f"number of the error at {host}", lambda: code_from(lab, namespace, host=host, **connect),
              at_least=number, at_most=number)  # fmt: skip

"""What is told first where several servers run, and how many of them are told at all."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from rbdiag.collect import db_server, db_target
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, ServerProcess
from rbdiag.facts.net import Listener
from rbdiag.model import Facts
from tests.diagnose import db_world
from tests.servers import mariadb
from tests.servers.mariadb import MariaDB

pytestmark = pytest.mark.skipif(mariadb.missing() is not None, reason=str(mariadb.missing()))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MariaDB]]:
    with MariaDB() as one, MariaDB() as two:
        yield [one.start(), two.start()]


def by_port(server: MariaDB) -> DbTarget:
    return db_target.find(f"127.0.0.1:{server.port}", user="root", environ={}).target


def by_socket(server: MariaDB) -> DbTarget:
    return db_target.find(str(server.socket), user="root", environ={}).target


def seen(target: DbTarget) -> Facts:
    return Facts(db_server.look(target, (), "", Deadline(10)))


@pytest.mark.parametrize("way", [by_port, by_socket])
def test_of_several_servers_the_targets_is_told_first(
    servers: list[MariaDB], way: Callable[[MariaDB], DbTarget]
) -> None:
    for server in servers:
        processes = seen(way(server)).of(ServerProcess)
        assert (processes[0].role, processes[0].pid) == ("target", server.pid)


def test_the_targets_listener_is_told_first(servers: list[MariaDB]) -> None:
    for server in servers:
        target = by_port(server)
        listeners = Facts(db_server.listeners(target, seen(target), Deadline(10))).of(Listener)
        assert (listeners[0].port, listeners[0].pid) == (server.port, server.pid)
        assert listeners[0].backlog > 0


def test_the_limit_of_a_running_server_is_read_from_the_process(servers: list[MariaDB]) -> None:
    server = servers[0]
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        assert seen(by_port(server)).of(ServerProcess)[0].fd_limit == 200
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)


def test_of_many_other_servers_only_the_nearest_are_told() -> None:
    others = [
        db_world.make(ServerProcess, pid=100 + n, role="other", ports=(f"*:{3400 + n}",), sockets=(), age=float(n))
        for n in range(1, 31)
    ]
    own = db_world.make(ServerProcess)
    near = db_world.make(ServerProcess, pid=990, role="other", ports=("10.0.0.7:3306",), age=9e6)
    told = list(db_server._told(db_world.make(DbTarget), [*reversed(others), near, own]))
    assert [p.pid for p in told] == [60, 990, *range(101, 120)]

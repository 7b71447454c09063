"""Servers on this host, beside real ones: which is the target's, where it listens, what it would meet at a start."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rbdiag.collect import db_setup, proc, sockets
from rbdiag.collect.db_server import listeners, log_path, look, options_in
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, PathAccess, ServerConfig, ServerProcess
from rbdiag.facts.net import Listener
from rbdiag.model import Fact, Facts
from tests.diagnose.db_world import make
from tests.servers.database import free_port
from tests.servers.mariadb import MariaDB
from tests.servers.network import SERVER, network

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
NOBODY = 65534

Makes = Callable[..., MariaDB]


def by_port(port: int, host: str = "127.0.0.1", **changes: Any) -> DbTarget:
    return make(DbTarget, subject=f"{host}:{port}", host=host, port=port, **changes)  # type: ignore[no-any-return]


def by_socket(path: object) -> DbTarget:
    return make(DbTarget, subject=str(path), host="localhost", socket=str(path))  # type: ignore[no-any-return]


def seen(target: DbTarget, *config: object, service: str = "") -> Facts:
    proc.pids()  # a listing made anew: checks share one that may be older than the server of a test
    return Facts(look(target, tuple(str(c) for c in config), service, Deadline(10)))


def role_of(server: MariaDB, facts: Facts) -> str:
    return next(s.role for s in facts.of(ServerProcess) if s.pid == server.pid)


def setup(facts: Facts) -> ServerConfig:
    found = facts.first(ServerConfig)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--port=3307", "--Data-Dir=/x"], {"port": "3307", "data_dir": "/x"}),
        (["--port", "3307", "--skip-networking"], {"port": "3307", "skip_networking": ""}),
        (["-P", "3307", "-h/data", "-S", "/s"], {"port": "3307", "datadir": "/data", "socket": "/s"}),
        (["--loose-skip-grant-tables=0", "--log-error"], {"skip_grant_tables": "0", "log_error": ""}),
        (["--user="], {"user": ""}),
        ([], {}),
    ],
)
def test_the_options_of_a_command_line(arguments: list[str], options: dict[str, str]) -> None:
    assert options_in(arguments) == options


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, ""), ({"log_error": "stderr"}, ""), ({"log_error": "/var/log/e.log"}, "/var/log/e.log"),
        ({"log_error": "db"}, "/data/db.err"), ({"log_error": "./db.log"}, "/data/db.log"),
        ({"log_error": ""}, f"/data/{os.uname().nodename}.err"),
    ],
)  # fmt: skip
def test_where_an_error_log_is_said_to_be(values: dict[str, str], path: str) -> None:
    assert log_path(values, "/data") == path


def test_everything_of_a_running_server(mariadb: MariaDB) -> None:
    facts = seen(by_port(mariadb.port))
    found = next(s for s in facts.of(ServerProcess) if s.pid == mariadb.pid)
    assert (found.role, found.state, found.own_network) == ("target", "S", False)
    assert found.ports == (f"127.0.0.1:{mariadb.port}",)
    assert found.sockets == (str(mariadb.socket),)
    assert (found.datadir, found.error_log) == (str(mariadb.datadir), str(mariadb.error_log))
    assert found.option_files == (str(mariadb.defaults_file),)
    assert found.program == mariadb.command()[0]
    assert found.fds is not None
    assert 10 < found.fds < (found.fd_limit or 0)
    assert found.age < time.clock_gettime(time.CLOCK_BOOTTIME)
    config = setup(facts)
    assert (config.port, config.socket, config.datadir) == (mariadb.port, str(mariadb.socket), str(mariadb.datadir))
    assert (config.running, config.for_target, config.pid) == (True, True, mariadb.pid)
    assert facts.of(PathAccess) == ()


def test_of_two_servers_the_target_is_told_by_port_and_by_socket(own_mariadb: Makes, mariadb: MariaDB) -> None:
    other = own_mariadb().start()
    for target, chosen, left in (
        (by_port(other.port), other, mariadb),
        (by_socket(mariadb.socket), mariadb, other),
        (by_socket(f"{other.folder}/../{other.folder.name}/s.sock"), other, mariadb),
    ):
        facts = seen(target)
        assert (role_of(chosen, facts), role_of(left, facts)) == ("target", "other")
        assert setup(facts).files == (str(chosen.defaults_file),)


def test_a_server_that_listens_elsewhere_is_never_guessed_to_be_the_target(mariadb: MariaDB) -> None:
    for target in (by_port(free_port()), by_socket("/tmp/other.sock"), by_port(mariadb.port, "192.0.2.1", local=False)):
        assert role_of(mariadb, seen(target)) == "other"


def test_another_address_of_the_same_port_is_the_targets_server(mariadb: MariaDB) -> None:
    assert role_of(mariadb, seen(by_port(mariadb.port, "127.0.0.9"))) == "target"


def test_without_tcp_the_port_that_it_was_told_decides(own_mariadb: Makes) -> None:
    server = own_mariadb(skip_networking=True).start()
    facts = seen(by_port(server.port))
    found = next(s for s in facts.of(ServerProcess) if s.pid == server.pid)
    assert (found.role, found.ports, found.sockets) == ("target", (), (str(server.socket),))
    assert setup(facts).skip_networking


def test_the_command_line_wins_over_the_files(own_mariadb: Makes) -> None:
    port, server = free_port(), own_mariadb()
    server.start(f"--port={port}")
    facts = seen(by_port(port))
    assert role_of(server, facts) == "target"
    assert setup(facts).port == port


def test_a_stopped_process_is_seen_as_such(own_mariadb: Makes) -> None:
    server = own_mariadb().start()
    server.kill(signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)  # until it has stopped
    found = next(s for s in seen(by_port(server.port)).of(ServerProcess) if s.pid == server.pid)
    assert found.state == "T"


def test_one_that_has_ended_is_no_server(own_mariadb: Makes) -> None:
    server = own_mariadb().start()
    assert server.process is not None
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped: a zombie of the same name
    facts = seen(by_socket(server.socket), server.defaults_file)
    assert all(s.pid != server.pid for s in facts.of(ServerProcess))
    config = setup(facts)
    assert (config.running, config.for_target, config.pid) == (False, True, server.pid)


def test_a_log_that_was_deleted_is_read_through_its_descriptor(own_mariadb: Makes) -> None:
    server = own_mariadb().start()
    server.error_log.unlink()
    found = next(s for s in seen(by_port(server.port)).of(ServerProcess) if s.pid == server.pid)
    assert found.error_log == f"/proc/{server.pid}/fd/2"
    assert "ready for connections" in Path(found.error_log).read_text()


@pytest.mark.parametrize(
    ("argument", "servers"),
    [("--help", 0), ("--bootstrap", 0), ("--port=1", 1)],
    ids=["it prints", "it prepares", "it serves"],
)
def test_programs_that_only_print_or_prepare_are_no_servers(tmp_path: Path, argument: str, servers: int) -> None:
    link = tmp_path / "mariadbd"
    link.symlink_to("/bin/sh")
    pipe = subprocess.PIPE
    child = subprocess.Popen([str(link), "-c", "echo; read line", argument], stdin=pipe, stdout=pipe)
    assert child.stdout
    child.stdout.readline()  # before that it may not have its command line yet
    try:
        assert sum(s.pid == child.pid for s in seen(by_port(1)).of(ServerProcess)) == servers
    finally:
        child.communicate()


# Another user, another network


def as_nobody(check: Callable[[], Iterator[Fact]]) -> Facts:
    """What a check sees for a user who may read next to nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, pickle.dumps(list(check())))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        found = pickle.loads(answer.read())
    os.waitpid(child, 0)
    return Facts(found)


@needs_root
def test_what_is_hidden_from_us_is_told_by_the_configuration(own_mariadb: Makes) -> None:
    server = own_mariadb().start()
    target = by_port(server.port)
    facts = as_nobody(lambda: look(target, (), "", Deadline(10)))
    found = next(s for s in facts.of(ServerProcess) if s.pid == server.pid)
    assert (found.fds, found.role) == (None, "target")
    assert found.ports == (f"127.0.0.1:{server.port}",)
    assert found.sockets == (str(server.socket),)
    heard = as_nobody(lambda: listeners(target, facts, Deadline(10)))
    assert [(one.pid, one.process, one.backlog > 0) for one in heard.of(Listener) if one.port == server.port] == [
        (None, "", True)
    ]


def test_a_server_in_another_network_serves_its_own_addresses_only(own_mariadb: Makes) -> None:
    with network() as net:
        server = own_mariadb(namespace=net.server, bind="127.0.0.1", port=3306).start()
        found = next(
            s for s in seen(by_port(3306)).of(ServerProcess) if s.ports == ("127.0.0.1:3306",) and s.own_network
        )
        assert found.role == "other"
        assert role_of_pid(found.pid, seen(by_port(3306, SERVER, local=False))) == "target"
        assert role_of_pid(found.pid, seen(by_port(3306, "10.50.0.3", local=False))) == "other"
        server.stop()


def role_of_pid(pid: int, facts: Facts) -> str:
    return next(s.role for s in facts.of(ServerProcess) if s.pid == pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
def test_paths_that_only_the_server_sees_are_given_as_we_can_read_them(own_mariadb: Makes) -> None:
    server = own_mariadb(prefix=("unshare", "--mount", "--propagation=private", "sh", "-ec"))
    inside = server.folder / "data"
    server.prefix = (
        *server.prefix,
        f'mount -t tmpfs none {inside} && cp -a {server.template()}/. {inside} && exec "$@"',
        "sh",
    )
    server.start()
    found = next(s for s in seen(by_port(server.port)).of(ServerProcess) if s.datadir.endswith(str(inside)))
    assert found.datadir == f"/proc/{found.pid}/root{inside}"
    assert (Path(found.datadir) / "ibdata1").exists()
    assert found.error_log.endswith(str(server.error_log))  # the same for both, unless we sit in a root of our own


# Where it does not run


def test_a_server_that_may_start_is_barred_by_nothing(own_mariadb: Makes) -> None:
    server = own_mariadb().start()
    server.stop()
    facts = seen(by_port(server.port), server.defaults_file)
    config = setup(facts)
    assert (config.running, config.for_target) == (False, True)
    barred = [p for p in facts.of(PathAccess) if p.missing or p.usable is not True]
    assert barred == []
    assert {p.role for p in facts.of(PathAccess)} >= {"datadir", "socket folder", "pid folder", "log"}


@needs_root
@pytest.mark.parametrize(
    ("spoil", "role"),
    [
        (lambda s: os.chmod(s.datadir, 0o500), "datadir"),
        (lambda s: os.chown(s.datadir, 0, 0), "datadir"),
        (lambda s: os.chown(s.datadir / "ibdata1", 0, 0), "data file"),
        (lambda s: os.chown(s.datadir / "mysql", 0, 0), "data file"),
        (lambda s: [os.chown(s.folder, 0, 0), os.chmod(s.folder, 0o700)], "datadir"),
        (lambda s: s.datadir.rename(s.folder / "moved"), "datadir"),
        (lambda s: os.chown(s.error_log, 0, 0), "log"),
    ],
    ids=["mode", "owner", "one file's owner", "a schema's owner", "a folder above", "not there", "the log's owner"],
)
def test_what_keeps_it_from_starting(own_mariadb: Makes, spoil: Callable[[MariaDB], object], role: str) -> None:
    server = own_mariadb(user="mysql")
    server.prepare()
    server.error_log.touch()
    server.write_defaults()
    subprocess.run(["chown", "-R", "mysql:", str(server.folder)], check=True)
    before = seen(by_port(server.port), server.defaults_file).of(PathAccess)
    assert [p for p in before if p.missing or p.usable is not True] == []
    spoil(server)
    facts = seen(by_port(server.port), server.defaults_file)
    os.chmod(server.folder, 0o755)
    barred = [p.role for p in facts.of(PathAccess) if p.missing or p.usable is False]
    assert barred[:1] == [role]
    assert setup(facts).user == "mysql"


def test_a_configuration_of_another_server_is_not_for_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "my.cnf"
    usual.write_text("[mysqld]\nport=3399\nsocket=/tmp/rb-none.sock\n")
    monkeypatch.setattr(db_setup.option_files, "default_files", lambda *_: (str(usual),))
    assert not setup(Facts(db_setup.look(by_port(3306), (), "", [], [], Deadline(5)))).for_target
    assert setup(Facts(db_setup.look(by_port(3399), (), "", [], [], Deadline(5)))).for_target
    assert setup(Facts(db_setup.look(by_socket("/tmp/rb-none.sock"), (), "", [], [], Deadline(5)))).for_target
    assert setup(Facts(db_setup.look(by_port(1), (), "shop-db", [], [], Deadline(5)))).unit == "shop-db.service"


def test_where_nothing_is_installed_there_is_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_setup.option_files, "default_files", lambda *_: ())
    monkeypatch.setattr(db_setup, "_program", lambda values: "")
    assert list(db_setup.look(by_port(3306), (), "", [], [], Deadline(5))) == []


# Listening sockets

TCP = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000003 00:00000000 00000000   107        0 5501 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1594 1 0 100 0 0 10 0
   2: 0100007F:0CEA 0100007F:D431 01 00000000:00000000 00:00000000 00000000   107        0 5502 1 0 20 4 30 10 -1
"""
TCP6 = b"""  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0CEA 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0 100
   1: 00000000000000000000000001000000:0CEB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 78 1 0 100
   2: 0000000000000000FFFF00000100007F:0CEC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 79 1 0 100
"""  # noqa: E501
UNIX = b"""Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/my sql/mysqld.sock
0000000000000000: 00000002 00000000 00010000 0001 01 4712 @abstract
0000000000000000: 00000003 00000000 00000000 0001 03 4713 /run/connected.sock
0000000000000000: 00000003 00000000 00000000 0001 03 4714
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is of a little-endian machine")
def test_the_tables_of_listening_sockets() -> None:
    assert [(s.address, s.port, s.waiting, s.uid, s.inode) for s in sockets.parse_tcp(TCP)] == [
        ("127.0.0.1", 3306, 3, 107, 5501), ("0.0.0.0", 22, 0, 0, 1594),
    ]  # fmt: skip
    assert [(s.address, s.port) for s in sockets.parse_tcp(TCP6)] == [("::", 3306), ("::1", 3307), ("127.0.0.1", 3308)]
    assert sockets.parse_unix(UNIX) == {4711: "/run/my sql/mysqld.sock"}


@pytest.mark.parametrize(
    ("address", "written"),
    [("0.0.0.0", "*:3306"), ("::", "[::]:3306"), ("::1", "[::1]:3306"), ("10.0.0.5", "10.0.0.5:3306")],
)
def test_how_an_endpoint_is_written(address: str, written: str) -> None:
    assert sockets.endpoint(address, 3306) == written


def test_who_waits_to_be_accepted_and_how_many_may() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=2)) as door:
        port = door.getsockname()[1]
        waiting = [socket.create_connection(("127.0.0.1", port), 2) for _ in range(3)]
        found = list(listeners(by_port(port), Facts(), Deadline(5)))
        for client in waiting:
            client.close()
    assert isinstance(found[0], Listener)
    assert [(one.address, one.waiting, one.backlog, one.pid) for one in found] == [("127.0.0.1", 3, 2, os.getpid())]
    assert found[0].full


@pytest.mark.parametrize(("only", "word"), [(1, True), (0, False)])
def test_whether_an_ipv6_endpoint_takes_ipv4_is_known(only: int, word: bool) -> None:
    with closing(socket.socket(socket.AF_INET6)) as door:
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        try:
            door.bind(("::", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        door.listen(5)
        port = door.getsockname()[1]
        (found,) = listeners(by_port(port), Facts(), Deadline(5))
    assert isinstance(found, Listener)
    assert (found.subject, found.v6only) == (f"[::]:{port}", word)


def test_without_sock_diag_the_tables_tell_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise PermissionError(1, "Operation not permitted", "sock_diag")

    monkeypatch.setattr(sockets, "with_queues", refuses)
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        port = door.getsockname()[1]
        (found,) = listeners(by_port(port), Facts(), Deadline(5))
    assert isinstance(found, Listener)
    assert (found.backlog, found.full, found.pid) == (0, False, os.getpid())


def test_a_distant_target_is_none_of_our_listeners() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        target = by_port(door.getsockname()[1], "192.0.2.7", local=False)
        assert list(listeners(target, Facts(), Deadline(5))) == []

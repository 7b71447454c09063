"""Databases that do not answer where they are looked for: down, elsewhere, bound elsewhere, mute, or no database."""

from __future__ import annotations

import signal
import socket
import sys

from tests.lab import dbs, proc
from tests.lab.dbs import configured, db_fault, far, make, prove_code, prove_far, prove_gone, prove_running, running
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.database import free_port

WRONG = "db.wrong-endpoint"
REFUSED, MISSING = 111, 2


@db_fault("db.service-down", fast=True)
def db_stopped(lab: Lab) -> Setup:
    """Stopped in an orderly way; asked by TCP."""
    server = running(lab)
    server.stop()
    prove_gone(lab, server)
    prove_code(lab, REFUSED, dbs.shop(server))
    yield Fault((str(server.port),), argv=configured(server, dbs.by_port(server)))


@db_fault("db.service-down")
def db_stopped_no_socket(lab: Lab) -> Setup:
    """Stopped in an orderly way; asked by the socket, which is gone."""
    server = running(lab)
    server.stop()
    prove_gone(lab, server)
    prove_code(lab, MISSING, server.connect)
    yield Fault((str(server.socket),), argv=configured(server, dbs.as_root(server)))


@db_fault("db.service-down")
def db_killed_stale_socket(lab: Lab) -> Setup:
    """Killed with SIGKILL; the socket's file has stayed."""
    server = running(lab)
    server.kill()
    prove_gone(lab, server)
    prove_code(lab, REFUSED, server.connect)
    yield Fault((str(server.socket),), argv=configured(server, dbs.as_root(server)))


@db_fault("db.service-down")
def db_killed_by_port(lab: Lab) -> Setup:
    """Killed with SIGKILL; asked by the option file of an application, at another loopback address."""
    server = running(lab, bind="127.0.0.3")
    server.kill()
    prove_code(lab, REFUSED, dbs.shop(server, host="127.0.0.3"))
    yield Fault((str(server.port),), argv=configured(server, dbs.as_client(lab, server, host="127.0.0.3")))


@db_fault("db.service-down", WRONG)
def db_never_started(lab: Lab) -> Setup:
    """No server of ours at all, no data, no option file: only a client; where others' servers run, it may mean one."""
    port = free_port()
    lab.prove("a listener at the port", lambda: _open("127.0.0.1", port), at_most=0)
    yield Fault((str(port),), argv=("db", "-H", "127.0.0.1", "-P", str(port)))


@db_fault("db.service-down", "db.wrong-endpoint", needs=("root", "ip", "unshare"))
def db_stopped_from_afar(lab: Lab) -> Setup:
    """Stopped; asked from another host, which sees no more than a refusal."""
    server, client, _ = far(lab)
    server.stop()
    prove_far(lab, client, REFUSED)
    answer = yield Fault(("10.90.77.2:3306",), argv=("db", "10.90.77.2"), before=dbs.afar(client))
    _not_certain(lab, answer)


def _not_certain(lab: Lab, answer) -> None:  # type: ignore[no-untyped-def]
    first = answer.report["findings"][:1]
    lab.expect(all(f["confidence"] != "certain" for f in first), "nobody can be certain of that from there")


@db_fault(WRONG)
def db_wrong_socket(lab: Lab) -> Setup:
    """The application looks for a socket where none is; the server has another."""
    server = running(lab)
    other = server.folder / "mysqld.sock"
    prove_running(lab, server)
    prove_code(lab, MISSING, lambda: server.connect(unix_socket=str(other)))
    argv = ("db", "-S", str(other), "-u", "root", "-c", str(server.defaults_file))
    yield Fault((str(other),), shown=(str(server.socket),), argv=argv)


@db_fault(WRONG)
def db_wrong_socket_of_an_application(lab: Lab) -> Setup:
    """The same, from an option file that names the socket of another distribution; nobody names the server's files."""
    server = running(lab)
    other = str(lab.folder / "mysql/mysql.sock")
    prove_code(lab, MISSING, lambda: server.connect(unix_socket=other))
    argv = dbs.as_client(lab, server, host=None, port=None, socket=other)
    yield Fault((other,), shown=(str(server.socket),), argv=argv)


@db_fault(WRONG, fast=True)
def db_wrong_port(lab: Lab) -> Setup:
    """The application connects to a port where nobody listens; the server listens on another."""
    server = running(lab)
    port = free_port()
    prove_running(lab, server)
    prove_code(lab, REFUSED, dbs.shop(server, port=port))
    yield Fault((str(port),), shown=(str(server.port),), argv=configured(server, ("db", f"127.0.0.1:{port}")))


@db_fault(WRONG)
def db_wrong_port_by_option_file(lab: Lab) -> Setup:
    """The same, from an application's option file."""
    server = running(lab, bind="0.0.0.0")
    port = free_port()
    prove_code(lab, REFUSED, dbs.shop(server, port=port))
    yield Fault((str(port),), shown=(str(server.port),), argv=dbs.as_client(lab, server, port=port))


@db_fault("db.bind-loopback", needs=("root", "ip"))
def db_bound_to_loopback(lab: Lab) -> Setup:
    """Bound to 127.0.0.1, and asked for at the host's own address, beside the server."""
    server, client, host = far(lab, bind="127.0.0.1")
    prove_far(lab, client, REFUSED)
    argv = configured(server, ("db", "10.90.77.2:3306"))
    yield Fault(("10.90.77.2:3306",), shown=("127.0.0.1",), argv=argv, before=dbs.inside(host))


@db_fault("db.bind-loopback", needs=("root", "ip"))
def db_bound_to_loopback_by_include(lab: Lab) -> Setup:
    """The same on another port, by `bind_address=localhost` in a file that the option file includes."""
    client, host = lab.namespaces()
    server = make(lab, namespace=host, bind=None, port=3307)
    folder = server.folder / "conf.d"
    folder.mkdir()
    (folder / "50-server.cnf").write_text("[mysqld]\nbind_address = localhost\n")
    server.lines.append(f"!includedir {folder}/")
    server.start()
    dbs.fill(server)
    prove_far(lab, client, REFUSED, port=3307)
    argv = ("db", "mysql://shop@10.90.77.2:3307/shop", "-c", str(server.defaults_file))
    yield Fault(("10.90.77.2:3307",), argv=argv, before=dbs.inside(host))


@db_fault("db.service-down", "db.bind-loopback", "db.wrong-endpoint", needs=("root", "ip", "unshare"))
def db_bound_to_loopback_from_afar(lab: Lab) -> Setup:
    """Bound to 127.0.0.1, asked from another host: a refusal, of which nobody there can be certain."""
    server, client, _ = far(lab, bind="127.0.0.1")
    prove_running(lab, server)
    prove_far(lab, client, REFUSED)
    answer = yield Fault(
        ("10.90.77.2:3306",), argv=dbs.as_client(lab, server, host="10.90.77.2"), before=dbs.afar(client)
    )
    _not_certain(lab, answer)


@db_fault("db.skip-networking")
def db_skip_networking(lab: Lab) -> Setup:
    """TCP is switched off; the socket works."""
    server = running(lab, skip_networking=True)
    prove_code(lab, 0, server.connect)
    prove_code(lab, REFUSED, dbs.shop(server))
    yield Fault((str(server.port),), argv=configured(server, dbs.by_port(server)))


@db_fault("db.skip-networking")
def db_skip_networking_on_command_line(lab: Lab) -> Setup:
    """The same by an argument of the command line; the application's option file says 127.0.0.1."""
    server = make(lab)
    server.start("--skip-networking=1")
    dbs.fill(server)
    prove_code(lab, REFUSED, dbs.shop(server))
    yield Fault((str(server.port),), argv=configured(server, dbs.as_client(lab, server)))


@db_fault("db.port-in-use")
def db_port_taken(lab: Lab) -> Setup:
    """Another program listens on the port, so the server does not start."""
    server = make(lab)
    squatter = _listener(lab, server.port, "reportd")
    dbs.prove_start_fails(lab, server, "Bind on TCP/IP port")
    yield Fault((str(server.port),), shown=(str(squatter),), argv=configured(server, dbs.as_root(server)))


@db_fault("db.port-in-use", "db.not-mysql")
def db_port_taken_asked_by_port(lab: Lab) -> Setup:
    """The same on another address; asked at the port, where the other program answers."""
    server = make(lab, bind="127.0.0.4")
    squatter = _listener(lab, server.port, "metrics", address="127.0.0.4", says=b"220 metrics ready\r\n")
    dbs.prove_start_fails(lab, server, "Bind on TCP/IP port")
    argv = configured(server, dbs.by_port(server, host="127.0.0.4"))
    yield Fault((str(server.port),), shown=(str(squatter),), argv=argv)


@db_fault("db.not-mysql")
def db_not_mysql_web_server(lab: Lab) -> Setup:
    """A web server listens where the database should."""
    port = free_port()
    process = lab.start(sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1")
    lab.prove("it listens", lambda: _open("127.0.0.1", port), at_least=1)
    argv = ("db", f"127.0.0.1:{port}")
    yield Fault((str(port),), shown=(str(process.pid),), argv=argv)


@db_fault("db.not-mysql")
def db_not_mysql_banner(lab: Lab) -> Setup:
    """A mail server answers at the port."""
    port = free_port()
    _listener(lab, port, "smtpd", says=b"220 mx1.shop.test ESMTP ready\r\n")
    yield Fault((str(port),), shown=("ESMTP",), argv=("db", f"mysql://shop@127.0.0.1:{port}/shop"))


LISTENER = """
import signal, socket, sys, time
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
kept = []
while True:
    client = server.accept()[0]
    client.sendall(sys.argv[3].encode().decode("unicode_escape").encode("latin-1"))
    kept.append(client)
"""


def _listener(lab: Lab, port: int, name: str, *, address: str = "127.0.0.1", says: bytes = b"") -> int:
    """A program of another kind that listens, says this to everybody, and keeps the line."""
    script = lab.script(name, LISTENER)
    process = lab.ready(script, address, str(port), says.decode("latin-1").encode("unicode_escape").decode())
    lab.prove(f"{name} listens on {port}", lambda: _open(address, port), at_least=1)
    return process.pid


def _open(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


@db_fault("db.hung")
def db_hung(lab: Lab) -> Setup:
    """Stopped with SIGSTOP: it accepts and says nothing."""
    server = running(lab)
    server.kill(signal.SIGSTOP)
    _prove_hung(lab, server)
    yield Fault(shown=(str(server.pid),), argv=dbs.by_port(server))


@db_fault("db.hung")
def db_hung_by_socket(lab: Lab) -> Setup:
    """The same, asked by the socket."""
    server = running(lab)
    server.kill(signal.SIGSTOP)
    _prove_hung(lab, server)
    yield Fault(shown=(str(server.pid),), argv=dbs.as_root(server))


@db_fault("db.hung", needs=("root", "cgroup v1 freezer"))
def db_frozen(lab: Lab) -> Setup:
    """Its control group is frozen, as a container runtime would pause it."""
    group = lab.cgroup(1, "freezer")
    server = running(lab, group=group)
    lab.freeze(group)
    lab.prove("it is in uninterruptible sleep", lambda: proc.states([server.pid]) == "D", at_least=1)
    yield Fault(shown=(str(server.pid),), argv=dbs.by_port(server))


@db_fault("db.hung", needs=("root", "ip", "unshare"))
def db_hung_from_afar(lab: Lab) -> Setup:
    """Stopped with SIGSTOP, asked from another host: the kernel accepts, nobody greets."""
    server, client, _ = far(lab)
    server.kill(signal.SIGSTOP)
    lab.prove("it is stopped", lambda: proc.states([server.pid]) == "T", at_least=1)
    yield Fault(("10.90.77.2:3306",), argv=("db", "10.90.77.2"), before=dbs.afar(client))


def _prove_hung(lab: Lab, server) -> None:  # type: ignore[no-untyped-def]
    lab.prove("it is stopped", lambda: proc.states([server.pid]) == "T", at_least=1)
    lab.prove("bytes of its greeting", lambda: _greets("127.0.0.1", server.port), at_most=0)


def _greets(address: str, port: int) -> float:
    with socket.create_connection((address, port), 1) as client:
        client.settimeout(0.5)
        try:
            return len(client.recv(64))
        except TimeoutError:
            return 0


@db_fault("db.hung", "timeout.accept-queue-full")
def db_queue_full(lab: Lab) -> Setup:
    """Stopped, and its queue of waiting clients is full: a new one gets no answer at all."""
    server = running(lab, back_log=1)
    server.kill(signal.SIGSTOP)
    for _ in range(3):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", server.port))
        lab.defer(client.close)
    lab.prove("it is stopped", lambda: proc.states([server.pid]) == "T", at_least=1)
    lab.prove("a connect opens", lambda: _open("127.0.0.1", server.port), at_most=0)
    yield Fault(shown=(str(server.pid),), argv=dbs.by_port(server))


@db_fault("db.datadir-locked")
def db_second_instance(lab: Lab) -> Setup:
    """A second server on the data of one that runs: the second is asked for, on its own port and socket."""
    first = running(lab)
    second = make(lab, port=free_port(), datadir=str(first.datadir))
    second.datadir = first.datadir
    second.launch()
    lab.prove("the second one's complaints", lambda: second.new_log().count("error: 11"), at_least=1)
    yield Fault(argv=configured(second, dbs.by_port(second)))


@db_fault("db.service-down", needs=("root", "ip"))
def db_stopped_beside_the_other_namespace(lab: Lab) -> Setup:
    """Nothing listens here; a server that runs in another network namespace of this host is not meant."""
    server, client, _ = far(lab)
    prove_running(lab, server)
    prove_far(lab, client, REFUSED, host="127.0.0.1")
    yield Fault(("127.0.0.1:3306",), argv=("db", "127.0.0.1:3306"), before=dbs.inside(client))

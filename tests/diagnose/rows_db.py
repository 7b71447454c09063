"""Where the database is: down, elsewhere, on loopback, mute, another program; and the unit that should run it."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import DbTarget, Greeting, ServerProcess
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import FirewallRule, Listener, SocketAnswer, TcpAnswer
from rbdiag.facts.svc import Unit
from rbdiag.model import Fact, Facts
from tests.diagnose import db_world as w
from tests.diagnose.row import Row

OWN, OTHER_SOCKET = "10.0.0.9", "/run/mysqld/other.sock"
DOWN, WRONG, LOOPBACK, SOCKET_ONLY = "db.service-down", "db.wrong-endpoint", "db.bind-loopback", "db.skip-networking"
HUNG, STRANGER, FILES = "db.hung", "db.not-mysql", "db.too-many-open-files"
# What only a server that answers tells.
INSIDE = (
    w.Greeting, w.Login, w.TlsAnswer, w.Certificate, w.ServerInfo, w.Connections, w.SessionGroup, w.Session, w.DbRates, w.Innodb,
    w.Account,
)  # fmt: skip
refused_beside, refused_afar = w.beside().without(*INSIDE, Listener), w.afar().without(*INSIDE)
refused_socket = w.by_socket().without(*INSIDE)
mute_beside, mute_socket, mute_afar = w.beside().without(*INSIDE), refused_socket, w.afar().without(*INSIDE)


def tcp(word: str = "refused", **changes: Any) -> TcpAnswer:
    """This host's answer on the target's port."""
    return w.make(TcpAnswer, **({"word": word, "errno": 111 if word == "refused" else None, "open_tries": 0} | changes))  # type: ignore[no-any-return]


def far(word: str = "refused") -> TcpAnswer:
    return tcp(word, subject="10.0.0.5:3306", host="db1", address="10.0.0.5")


def other(pid: int = 61, **changes: Any) -> ServerProcess:
    """A server on this host that is not the target's."""
    usual = {"subject": f"mariadbd[{pid}]", "pid": pid, "role": "other", "ports": ("*:3307",), "sockets": (OTHER_SOCKET,),
             "unit": "mariadb@two.service"}  # fmt: skip
    return w.make(ServerProcess, **(usual | changes))  # type: ignore[no-any-return]


def server(**changes: Any) -> ServerProcess:
    """The target's own server."""
    return w.make(ServerProcess, **changes)  # type: ignore[no-any-return]


def config(**changes: Any) -> Fact:
    return w.make(w.ServerConfig, **({"running": False, "pid": None} | changes))  # type: ignore[no-any-return]


def unit(**changes: Any) -> Unit:
    """The database's unit, which does not run."""
    usual = {
        "active": "failed",
        "sub": "failed",
        "result": "exit-code",
        "main_pid": 0,
        "active_for": None,
        "file_state": "enabled",
    }
    return w.make(Unit, **(usual | changes))  # type: ignore[no-any-return]


def stopped(**changes: Any) -> Unit:
    """The database's unit, which somebody stopped or nobody started."""
    return unit(**({"active": "inactive", "sub": "dead", "result": "success"} | changes))


def down(*changes: Fact | list[Any]) -> Facts:
    """Nobody serves the target on this host, and the option files name it."""
    given = {type(f) for c in changes for f in (c if isinstance(c, list) else [c])}
    usual: list[Fact] = [tcp(), config(), unit()]
    return refused_beside.without(ServerProcess, LogEvent).but(*(f for f in usual if type(f) not in given), *changes)


def answer(word: str, **changes: Any) -> SocketAnswer:
    number = {"missing": 2, "stale": 111, "forbidden": 13, "full": 11}.get(word)
    return w.make(SocketAnswer, word=word, errno=number, **changes)  # type: ignore[no-any-return]


def silent(subject: str = w.LOCAL) -> Greeting:
    return w.make(Greeting, subject=subject, word="silent", seconds=4.0, version="", flavour="")  # type: ignore[no-any-return]


def greets(word: str, **changes: Any) -> Greeting:
    return w.make(Greeting, **({"word": word, "version": "", "flavour": ""} | changes))  # type: ignore[no-any-return]


def listener(process: str = w.SERVER, pid: int = 60, **changes: Any) -> Listener:
    return w.make(Listener, process=process, pid=pid, **changes)  # type: ignore[no-any-return]


def at(address: str, port: int = 3306, **changes: Any) -> Listener:
    subject = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return listener(subject=subject, address=address, port=port, **changes)


def own_address(**changes: Any) -> DbTarget:
    return w.make(DbTarget, subject=f"{OWN}:3306", host=OWN, **changes)  # type: ignore[no-any-return]


def at_own(word: str = "refused") -> TcpAnswer:
    return tcp(word, subject=f"{OWN}:3306", host=OWN, address=OWN)


def no_files(ago: float, number: int = 24, **changes: Any) -> LogEvent:
    text = f'[ERROR] mariadbd: Can\'t open file: "./shop/orders.frm" (errno: {number} "Too many open files")'
    when = w.NOW - ago
    return w.make(LogEvent, **({"kind": "too-many-files", "happened_at": when, "first_at": when, "number": number, "text": text}
                               | changes))  # type: ignore[no-any-return]  # fmt: skip


READY = w.make(LogEvent)
REFUSED_BY_RULE = w.make(FirewallRule, verdict="reject", text="tcp dport 3306 reject with tcp reset", before=0, after=1)
V6 = tcp(subject="[::1]:3306", host="localhost", address="::1", family="IPv6")
V6_OPEN = tcp("open", subject="[::1]:3306", host="localhost", address="::1", family="IPv6", open_tries=1)
PYTHON = at("0.0.0.0", process="python3[700]", pid=700, start_ticks=7000)
PROXY = at("0.0.0.0", process="haproxy[701]", pid=701, start_ticks=7010)
QUEUE = listener(waiting=81, backlog=80)

ROWS: list[Row] = [
    Row("it greets, and leaves the login unanswered", mute_beside.but(w.make(Greeting), w.make(w.Login, word="silent", code=2013, text="")),
        HUNG, w.LOCAL, says="greets, and leaves the login unanswered"),
    Row("the administrator gets in where the login was left unanswered",
        mute_beside.but(w.make(Greeting), [w.make(w.Login, word="silent"), w.make(w.Login, attempt="admin", user="root")]), None, never=(HUNG,)),
    Row("option files that cannot be read to their end, beside a server that runs",
        down(config(port=None, socket="", unit=""), other(), w.make(w.OptionProblem, subject="/srv/b/my.cnf:1", word="bad-group")),
        "db.config-invalid", never=(WRONG,)),
    # down
    Row("a failed unit behind a port that refuses", down(), DOWN, w.LOCAL, says="mariadb.service does not run (failed, exit-code)"),
    Row("a stopped unit behind a port that refuses", down(stopped()), DOWN, w.LOCAL, never=(WRONG,), says="(inactive, success)"),
    Row("no unit at all, only option files", down(config(unit="")).__class__(f for f in down(config(unit="")) if not isinstance(f, Unit)),
        DOWN, w.LOCAL, says="mariadbd does not run"),
    Row("no server is set up here", Facts(f for f in down() if type(f) not in (w.ServerConfig, Unit)), DOWN, says="no MySQL or MariaDB server is set up"),
    Row("from afar a refusal is a server that is down, perhaps", refused_afar.but(far()), DOWN, w.REMOTE, says="nothing listens on db1:3306"),
    Row("a server far away, and one of our own beside us", refused_afar.but(far(), other()), DOWN, w.REMOTE, never=(WRONG,)),
    Row("a refusal by IPv6 where IPv4 opens", w.beside().but([V6, tcp("open", open_tries=1)]), None),
    Row("the socket is not there", refused_socket.without(ServerProcess).but(answer("missing"), config(), unit()), DOWN, w.SOCKET, says="is missing"),
    Row("the socket was left behind", refused_socket.without(ServerProcess).but(answer("stale"), config(), unit()), DOWN, w.SOCKET,
        says="was left behind"),
    Row("a server that does not listen yet", refused_beside.but(tcp(), server(ports=(), sockets=(), age=20.0)), DOWN, w.LOCAL,
        never=(SOCKET_ONLY, WRONG), says="started 20 s ago and does not listen yet"),
    Row("a server whose descriptors are hidden from us", refused_beside.but(tcp(), server(ports=(), sockets=(), fds=None)), None,
        never=(SOCKET_ONLY, LOOPBACK)),
    Row("one of two servers is down, by its own files", down(other()), DOWN, w.LOCAL, never=(WRONG,)),
    Row("this host's own firewall refuses", refused_beside.but(tcp(), REFUSED_BY_RULE, listener()), "net.reject", never=(DOWN, WRONG)),
    # elsewhere
    Row("the server listens on another port", down(config(port=3307), stopped(), other()), WRONG, w.LOCAL, never=(DOWN,), says="*:3307"),
    Row("two servers listen on other ports", down(config(port=3309), stopped(), [other(), other(62, ports=("*:3308",), sockets=())]), WRONG,
        says="2 servers run here"),
    Row("the other server lives in its own network", down(config(port=3307), stopped(), other(own_network=True)), DOWN, never=(WRONG,)),
    Row("who told the wrong port is said", down(config(port=3307), stopped(), other(),
        w.make(DbTarget, origins=("user app from /root/.my.cnf:3", "port 3306 from /root/.my.cnf:4"))), WRONG, says="port 3306 from /root/.my.cnf:4"),
    Row("the server has another socket", refused_socket.but(answer("missing"), other(), config(socket=OTHER_SOCKET, running=True)), WRONG, w.SOCKET,
        never=(DOWN,), says=OTHER_SOCKET),
    Row("the socket is a file of another kind", refused_socket.but(answer("no-socket")), WRONG, w.SOCKET, says="is no socket"),
    Row("a running server has lost its socket file", refused_socket.but(answer("missing")), WRONG, w.SOCKET, never=(DOWN,), says="is gone"),
    Row("a running server's socket file is another's", refused_socket.but(answer("stale")), WRONG, w.SOCKET, never=(DOWN,), says="not its own any more"),
    Row("the server listens on another address of this host", refused_beside.but(tcp(), server(ports=(f"{OWN}:3306",))), WRONG, w.LOCAL,
        never=(DOWN, LOOPBACK), says=f"{OWN}:3306 only"),
    # on loopback, or without TCP
    Row("bound to loopback, called by another address", refused_beside.but(own_address(), at_own(), server(ports=(w.LOCAL,)), at("127.0.0.1")),
        LOOPBACK, f"{OWN}:3306", never=(DOWN, WRONG, "net.reject"), says="listens on 127.0.0.1:3306 only"),
    Row("bound to the other family's loopback", refused_beside.but(tcp(), server(ports=("[::1]:3306",))), LOOPBACK, w.LOCAL, never=(DOWN, WRONG)),
    Row("bound to loopback for a client beside it", w.beside().but(server(ports=(w.LOCAL,)), at("127.0.0.1")), None),
    Row("listens on every IPv4 address", w.beside().but(own_address(), at_own("open"), listener()), None, never=(LOOPBACK,)),
    Row("a listener for both families serves IPv4", w.beside().but(server(ports=("[::]:3306",)), at("::", v6only=False)), None, never=(LOOPBACK,)),
    Row("bound to loopback, and IPv6 of localhost refuses before IPv4 opens",
        w.beside().but([V6, tcp("open", open_tries=1)], server(ports=(w.LOCAL,)), at("127.0.0.1")), None, never=(LOOPBACK,)),
    Row("networking is switched off on the command line", refused_beside.but(tcp(), server(ports=(), command="/usr/sbin/mariadbd --skip-networking")),
        SOCKET_ONLY, w.LOCAL, never=(DOWN, WRONG, LOOPBACK), says="TCP is switched off"),
    Row("networking is switched off in a file", refused_beside.but(tcp(), server(ports=()), config(skip_networking=True, running=True, pid=60)),
        SOCKET_ONLY, w.LOCAL, never=(DOWN, WRONG)),
    Row("networking is off, and everybody comes by the socket", w.by_socket().but(server(ports=())), None, never=(SOCKET_ONLY,)),
    # mute
    Row("a stopped server", mute_beside.but(silent(), server(state="T")), HUNG, w.LOCAL, never=(DOWN, STRANGER), says="is stopped (SIGSTOP)"),
    Row("a stopped server, reached by its socket", mute_socket.but(silent(w.SOCKET), server(state="T")), HUNG, w.SOCKET),
    Row("a server held by a debugger", mute_beside.but(silent(), server(state="t")), HUNG, w.LOCAL, says="debugger"),
    Row("a server that hangs in the kernel", mute_beside.but(silent(), server(state="D")), HUNG, w.LOCAL, says="state D"),
    Row("a server that sleeps and says nothing", mute_beside.but(silent(), server()), HUNG, w.LOCAL, says="accepts and says nothing"),
    Row("a stopped server with a full queue", mute_beside.but(tcp("silent"), QUEUE, server(state="T")), HUNG, w.LOCAL, never=("net.drop",),
        says="81 clients wait"),
    Row("the queue of a socket is full", mute_socket.but(answer("full"), server(state="T")), HUNG, w.SOCKET),
    Row("a mute server elsewhere", mute_afar.but(silent(w.REMOTE)), HUNG, w.REMOTE, says="says nothing"),
    Row("a proxy behind which nothing answers", mute_beside.without(ServerProcess, w.ServerConfig).but(silent(), PROXY), HUNG, w.LOCAL,
        never=(STRANGER,), says="haproxy[701]"),
    Row("a server in state D that greets", w.beside().but(server(state="D")), None, never=(HUNG,)),
    Row("a slow greeting", w.beside().but(w.make(Greeting, seconds=0.9)), None, never=(HUNG,)),
    Row("a queue with room left", w.beside().but(listener(waiting=12)), None, never=(HUNG,)),
    # another program
    Row("a web server on the database's port", mute_beside.without(ServerProcess, w.ServerConfig).but(greets("other", text="HTTP/1.1 400 Bad Request"), PYTHON),
        STRANGER, w.LOCAL, never=(HUNG, DOWN), says="python3[700] answers HTTP/1.1"),
    Row("another program that says nothing", mute_beside.without(ServerProcess, w.ServerConfig).but(silent(), PYTHON), STRANGER, w.LOCAL, never=(HUNG,),
        says="python3[700]"),
    Row("another program elsewhere", mute_afar.but(greets("other", subject=w.REMOTE, text="SSH-2.0-OpenSSH_9.2")), STRANGER, w.REMOTE, never=(HUNG,)),
    Row("a proxy that closes: nothing is behind it", mute_beside.without(ServerProcess, w.ServerConfig).but(greets("closed"), PROXY), STRANGER, w.LOCAL,
        says="no database stands behind it"),
    Row("a proxy that a database answers through", w.beside().without(ServerProcess).but(PROXY), None, never=(STRANGER,)),
    # out of descriptors
    Row("all descriptors are used, and the log says so", w.beside().but(server(fds=1020, fd_limit=1024), [READY, no_files(30)]), FILES, w.LOCAL,
        says="1,020 of 1,024"),
    Row("all descriptors are used, and clients are dropped", mute_beside.but(server(fds=1024, fd_limit=1024), greets("closed")), FILES, w.LOCAL),
    Row("the log alone tells of the limit", w.beside().but([READY, no_files(30)]), FILES, w.LOCAL, says="its log says so"),
    Row("all descriptors are used, and nobody complains yet", w.beside().but(server(fds=1019, fd_limit=1024)), FILES, w.LOCAL),
    Row("six descriptors are left", w.beside().but(server(fds=1018, fd_limit=1024)), None),
    Row("descriptors were short before the last start", w.beside().but([no_files(90000), READY]), None),
    # the unit behind it
    Row("the unit's program cannot be run", down(unit(exit_status=203)), "svc.exec-failed", "mariadb.service", never=(DOWN,), says="203/EXEC"),
    Row("the unit's folder is not there", down(unit(exit_status=200)), "svc.exec-failed", says="200/CHDIR"),
    Row("the unit's user is not there", down(unit(exit_status=217, active="activating", sub="auto-restart", restarts=4)), "svc.exec-failed",
        never=(DOWN, "svc.crash-loop"), says="217/USER"),
    Row("the unit's program ran and failed", down(unit(exit_status=1)), DOWN),
    Row("the unit's program said 203 an hour ago and runs now", w.beside().but(w.make(Unit, exit_status=203)), None),
    Row("a unit that runs again, and no target", Facts([w.make(Unit, subject="shop.service", exit_status=203)]), None),
    Row("the unit is masked", down(stopped(file_state="masked", load="masked")), "svc.disabled-or-masked", "mariadb.service", never=(DOWN,), says="masked"),
    Row("the unit is masked for this boot only", down(stopped(file_state="masked-runtime", load="masked")), "svc.disabled-or-masked"),
    Row("the unit is disabled, and was never started", down(stopped(file_state="disabled")), "svc.disabled-or-masked", says="disabled"),
    Row("the unit is disabled, and was stopped by hand", down(stopped(file_state="disabled", inactive_for=60.0)), DOWN, never=("svc.disabled-or-masked",)),
    Row("the unit is disabled, and the server was started without it", w.beside().but(stopped(file_state="disabled")), None),
    Row("the unit is masked, and the server was started without it", w.beside().but(stopped(file_state="masked", load="masked")), None),
    Row("the unit cannot be started, and the server was started without it", w.beside().but(unit(exit_status=203)), None),
    Row("the unit of another host's database is masked here", w.afar().but(stopped(file_state="masked", load="masked")), None),
    Row("a disabled unit beside a server that listens elsewhere", down(stopped(file_state="disabled"), other()), WRONG, never=(DOWN,)),
    Row("the unit is disabled and runs", w.beside().but(w.make(Unit, file_state="disabled")), None),
    Row("the unit is static", down(stopped(file_state="static")), DOWN),
    Row("the unit starts and dies", down(unit(active="activating", sub="auto-restart", restarts=9)), "svc.crash-loop", "mariadb.service", never=(DOWN,)),
    Row("a unit that should run, and no target", Facts([unit(subject="shop.service", inactive_for=60.0, result="oom-kill")]), "svc.not-running", "shop.service"),
    Row("a unit with a failed run, and no target", Facts([unit(subject="shop.service", inactive_for=60.0)]), "svc.not-running", says="exit-code"),
    Row("a unit that somebody stopped, and no target", Facts([stopped(subject="shop.service", inactive_for=60.0)]), "svc.not-running", says="inactive for 1 min"),
    Row("an oneshot that has done its work, and no target", Facts([stopped(subject="tidy.service", service_type="oneshot")]), None),
    Row("a unit that is done after an active moment", Facts([unit(subject="tidy.service", active="active", sub="exited", result="success")]), None),
]  # fmt: skip

CHAINS: list[tuple[str, Facts, str, str]] = [
    ("a program that cannot be run explains that the server is down", down(unit(exit_status=203)), "svc.exec-failed", DOWN),
    ("a masked unit explains that the server is down", down(stopped(file_state="masked", load="masked")), "svc.disabled-or-masked", DOWN),
    ("a crash loop explains that the server is down", down(unit(active="activating", sub="auto-restart", restarts=9)), "svc.crash-loop", DOWN),
    ("a program that cannot be run explains the crash loop",
     down(unit(exit_status=203, active="activating", sub="auto-restart", restarts=9)), "svc.exec-failed", "svc.crash-loop"),
    ("a program that cannot be run explains a unit without a target", Facts([unit(subject="shop.service", exit_status=203)]),
     "svc.exec-failed", "svc.not-running"),
    ("without descriptors a server hangs", mute_beside.but(silent(), server(fds=1024, fd_limit=1024)), FILES, HUNG),
]  # fmt: skip

"""Servers that the kernel killed for their memory, and kills that concern somebody else."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import ServerConfig, ServerProcess
from rbdiag.facts.host import KernelEvent
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import Listener, TcpAnswer
from rbdiag.facts.svc import Unit
from rbdiag.model import Fact
from tests.diagnose.db_world import NOW, afar, beside, make
from tests.diagnose.row import Row

KILLED = NOW - 60


def kill(**changes: Any) -> KernelEvent:
    return make(KernelEvent, **{"happened_at": KILLED, "pid": 59} | changes)  # type: ignore[no-any-return]


def gone(pid: int | None = 59, **config: Any) -> list[Fact]:
    """The server is away; its pid file holds this pid."""
    return [
        make(TcpAnswer, word="refused", errno=111, open_tries=0),
        make(ServerConfig, **{"running": False, "pid": pid, "unit": ""} | config),
    ]


def down(*facts: Fact, pid: int | None = 59, **config: Any) -> Any:
    return beside().without(ServerProcess, Listener, Unit, *_INSIDE).but(*gone(pid, **config), *facts)


def back(age: float, *facts: Fact) -> Any:
    """The server runs, for so many seconds."""
    return beside().but(make(ServerProcess, age=age, unit=""), make(Unit, subject="other.service"), *facts)


def log(kind: str, at: float) -> LogEvent:
    return make(LogEvent, kind=kind, happened_at=at, first_at=at, text=f"[Note] {kind}")  # type: ignore[no-any-return]


_INSIDE = tuple({type(f) for f in beside().facts} & {type(f) for f in afar().facts} - {TcpAnswer})
_INSIDE = tuple(
    t for t in _INSIDE if t.__name__ in ("Greeting", "Login", "TlsAnswer", "Certificate", "ServerInfo", "Connections",
                                         "SessionGroup", "Session", "DbRates", "Innodb")
)  # fmt: skip
RECOVERED = [log("recovery", KILLED + 2), log("ready", KILLED + 3)]

ROWS: list[Row] = [
    Row("the host's memory ran out, and the pid file still holds the server that was killed", down(kill()), "host.oom-kill"),
    Row("the limit of its control group killed it", down(kill(cgroup=True)), "host.oom-cgroup"),
    Row("the group of its unit tells whose it was, whatever its pid file says",
        down(kill(group="/system.slice/mariadb.service"), pid=None, unit="mariadb.service"), "host.oom-kill"),
    Row("its unit ended so", down(make(Unit, active="failed", result="oom-kill", main_pid=0), pid=None, unit="mariadb.service"),
        "db.oom-killed", never=("host.oom-kill",)),
    Row("another server was killed: the pid file of this one holds another pid", down(kill(pid=22504)), "db.service-down",
        never=("host.oom-kill", "db.oom-killed")),
    Row("this one was stopped cleanly: its pid file is gone", down(kill(), pid=None), "db.service-down",
        never=("host.oom-kill", "db.oom-killed")),
    Row("where no pid file is known it may have been this one", down(kill(), pid=None, pid_file=""), "host.oom-kill"),
    Row("and where another server runs here it may as well have been a sibling of that",
        down(kill(), make(ServerProcess, subject="mariadbd[70]", pid=70, role="other", ports=("*:3307",), sockets=("/run/b.sock",)),
             pid=None, pid_file=""), "db.service-down", never=("host.oom-kill",)),
    Row("killed and started again at once, with a recovery", back(58, kill(), *RECOVERED), "host.oom-kill"),
    Row("it started right after a kill, but had been stopped cleanly", back(58, kill(), log("ready", KILLED + 3)), None, never=("db.oom-killed",)),
    Row("it started right after a kill, and its log cannot be read", back(58, kill()), "host.oom-kill"),
    Row("it started right after, and its last recovery is older than the kill",
        back(58, kill(), log("recovery", KILLED - 900), log("ready", KILLED + 3)), None, never=("db.oom-killed",)),
    Row("its log names the pid that was killed", down(kill(), make(LogEvent, kind="starting", name="59", text="as process 59"), pid=None),
        "host.oom-kill"),
    Row("it crashed by itself right after the kill of another",
        back(58, kill(), log("signal", KILLED + 1), *RECOVERED), "db.crashed", never=("host.oom-kill",)),
    Row("it runs since long before the kill: that was another server", back(86400, kill()), None, never=("db.oom-killed",)),
    Row("it was started a quarter of an hour after somebody's kill", back(58, kill(happened_at=NOW - 900)), None,
        never=("db.oom-killed",)),
    Row("a kill that is over for ten minutes is a note", back(598, kill(happened_at=NOW - 600), *[log("recovery", NOW - 599), log("ready", NOW - 598)]),
        None, notes=("db.oom-killed", "host.oom-kill")),
    Row("another program was killed", down(kill(process="java")), "db.service-down", never=("host.oom-kill", "db.oom-killed")),
    Row("a server on another host, and a kill here", afar().but(kill()), None),
]  # fmt: skip
CHAINS: list[tuple] = [  # type: ignore[type-arg]
    (
        "the end of its unit explains that the server is down",
        down(make(Unit, active="failed", result="oom-kill", main_pid=0), pid=None, unit="mariadb.service"),
        "db.oom-killed",
        "db.service-down",
    ),
    ("and that it was killed", down(kill()), "host.oom-kill", "db.oom-killed"),
]

"""Why a server does not start, what is damaged, and what its clients meet: as the logs tell."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.logs import LogEvent
from rbdiag.model import Fact, Facts
from tests.diagnose import db_world as w
from tests.diagnose.row import Row

APP_LOG = "/var/log/shop/app.log"
DATA = "/var/lib/mysql"


def said(kind: str, ago: float = 30.0, **changes: Any) -> LogEvent:
    """A line of the server's log, so many seconds ago."""
    at = w.NOW - ago
    return w.make(LogEvent, **({"kind": kind, "happened_at": at, "first_at": at, "text": f"[ERROR] {kind}"} | changes))  # type: ignore[no-any-return]


def client(kind: str, ago: float = 30.0, **changes: Any) -> LogEvent:
    """A line of the application's log."""
    return said(
        kind,
        ago,
        **({"subject": APP_LOG, "side": "client", "check": "db.client-log", "text": f"error: {kind}"} | changes),
    )


STARTING = said("starting", 31, text="[Note] Starting MariaDB 10.11.6 as process 60")
ABORTING = said("aborting", 29, text="[ERROR] Aborting")


def start(*lines: LogEvent) -> list[LogEvent]:
    """An attempt to start that ended with these lines."""
    return [STARTING, *lines, ABORTING]


def down(*changes: Fact | list[Any]) -> Facts:
    """The server of this host does not run: the port refuses, no process is there, the unit has failed."""
    world = w.beside().without(
        w.ServerProcess, w.Greeting, w.Login, w.TlsAnswer, w.Certificate, w.ServerInfo, w.Connections, w.SessionGroup, w.Session,
        w.DbRates, w.Innodb, w.Account, w.Listener, w.LogEvent, w.OptionProblem,
    )  # fmt: skip
    given = {type(f) for c in changes for f in (c if isinstance(c, list) else [c])}
    usual: list[Fact] = [
        w.make(w.TcpAnswer, word="refused", errno=111, open_tries=0),
        w.make(w.ServerConfig, running=False, pid=None),
        w.make(w.Unit, active="failed", sub="failed", result="exit-code", main_pid=0, active_for=None),
    ]
    return world.but(*(f for f in usual if type(f) not in given), *changes)


def up(*changes: Fact | list[Any]) -> Facts:
    return w.beside().but(*changes)


# The log of a server that was last started a day ago, with these lines since.
def running(*lines: LogEvent) -> list[LogEvent]:
    return [said("starting", 86401), said("ready", 86400), *lines]


UNKNOWN = said("unknown-option", name="innodb-flus-log", text="[ERROR] mariadbd: unknown variable 'innodb-flus-log=2'")
BROKEN_FILE = said(
    "bad-option-file",
    name="/etc/mysql/my.cnf:1",
    text="error: Wrong group definition in config file: /etc/mysql/my.cnf at line 1",
)
BAD_VALUE = said(
    "bad-value",
    name="innodb-buffer-pool-size",
    text="[ERROR] mariadbd: Error while setting value 'lots' to 'innodb-buffer-pool-size'",
)
NO_ADDRESS = said(
    "address-missing",
    number=99,
    text="[ERROR] Can't start server: Bind on TCP/IP port. Got error: 99: Cannot assign requested address",
)
NO_MEMORY = said(
    "no-memory", number=12, name="buffer_pool", text="[ERROR] InnoDB: Cannot map innodb_buffer_pool_size_max=307200000m"
)
TAKEN = [
    said(
        "port-taken",
        number=98,
        text="[ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use",
    ),
    said(
        "port-taken", number=98, name="3306", text="[ERROR] Do you already have another server running on port: 3306 ?"
    ),
]
NOT_OURS = said(
    "datadir-permission",
    number=13,
    name="./ddl_recovery.log",
    text="[ERROR] mariadbd: Can't create/write to file './ddl_recovery.log' (Errcode: 13 \"Permission denied\")",
)
NO_FOLDER = said(
    "datadir-permission",
    number=2,
    name="/run/mysqld/mysqld.pid",
    text="[ERROR] mariadbd: Can't create/write to file '/run/mysqld/mysqld.pid' (Errcode: 2)",
)
NO_SOCKET = said(
    "socket-path", name=w.SOCKET, text="[ERROR] Can't start server : Bind on unix socket: No such file or directory"
)
EMPTY = said(
    "uninitialised",
    name="mysql.plugin",
    text="[ERROR] Could not open mysql.plugin table: \"Table 'mysql.plugin' doesn't exist\"",
)
LOCKED = said(
    "datadir-locked", number=11, name=f"{DATA}/aria_log_control", text="[ERROR] mariadbd: Can't lock aria control file"
)
NO_SPACE = said(
    "disk-full",
    number=28,
    name="./ddl_recovery.log",
    text="[ERROR] mariadbd: Error writing file './ddl_recovery.log' (Errcode: 28)",
)
WAITS = said(
    "disk-full",
    number=28,
    name="./shop/orders.MYD",
    text="[Warning] mariadbd: Disk is full writing './shop/orders.MYD'. Waiting for someone to free space...",
)
TABLE_FULL = said("disk-full", number=1114, name="big", text="[ERROR] mariadbd: The table 'big' is full")
NO_TMP = said(
    "tmpdir-full",
    number=28,
    name=".(temporary)",
    text="[ERROR] mariadbd: Disk got full writing '.(temporary)' (Errcode: 28)",
)
SIGNAL = said("signal", 20, number=11, text="[ERROR] mariadbd got signal 11 ;")
FATAL = said(
    "fatal",
    21,
    name="Error (Out of disk space) in rollback",
    text="[ERROR] [FATAL] InnoDB: Error (Out of disk space) in rollback.",
)
PAGE = said(
    "corruption",
    name="shop.orders",
    text="[ERROR] InnoDB: Failed to read page 6 from file './shop/orders.ibd': Page read from tablespace is corrupted.",
)
REDO = said("corruption", name="./ib_logfile0", text="[ERROR] InnoDB: File ./ib_logfile0 is too small")
GONE_FILE = said(
    "missing-tablespace",
    name="shop.orders",
    text="[ERROR] InnoDB: Could not find a valid tablespace file for shop/orders.",
)
CRASHED_TABLE = said(
    "table-crashed",
    number=145,
    name="shop.hits",
    text="[ERROR] mariadbd: Table './shop/hits' is marked as crashed and should be repaired",
)
ARIA = said(
    "table-crashed",
    name=f"{DATA}/aria_log_control",
    text="[ERROR] mariadbd: Got error 'Missing valid id at start of file.' when trying to use aria control file",
)


def closed(count: int, **changes: Any) -> LogEvent:
    return said(
        "idle-closed",
        count=count,
        name="app@10.0.0.9",
        text="[Warning] Aborted connection 14 ... (Got timeout reading communication packets)",
        **changes,
    )


def lost(count: int, **changes: Any) -> LogEvent:
    fields = {"side": "client", "check": "db.client-log", "happened_at": w.NOW - 20, "first_at": w.NOW - 60} | changes
    return w.make(
        LogEvent,
        kind="lost-connection",
        number=2013,
        count=count,
        text="(2013, 'Lost connection during query')",
        **fields,
    )  # type: ignore[no-any-return]


def killed(count: int) -> LogEvent:
    return said("killed", count=count, name="app@10.0.0.9", text="[Warning] Aborted connection 24 ... (KILLED)")


PACKET = said(
    "packet",
    number=1153,
    name="app@10.0.0.9",
    text="[Warning] Aborted connection 9 ... (Got a packet bigger than 'max_allowed_packet' bytes)",
)
POOL = client(
    "pool-exhausted",
    name="QueuePool",
    text="sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached",
)
GONE = client("gone-away", number=2006, text='(2006, "MySQL server has gone away")')
SQUATTER = w.make(w.Listener, pid=700, start_ticks=7000, process="python3[700]")
OTHER = w.make(w.ServerProcess, subject="mariadbd[61]", pid=61, role="other")
YOUNG = w.make(w.ServerProcess, age=120.0)


def disk(available: int, **changes: Any) -> Fact:
    return w.make(
        w.FilesystemUse, **({"subject": DATA, "total": 40 * w.GIB, "free": available, "available": available} | changes)
    )  # type: ignore[no-any-return]


FULL_DISK = disk(0)
TMP = {"subject": "/tmp", "role": "tmp", "path": "/tmp"}
STOPPED = [
    said("starting", 90000),
    said("ready", 89999),
    said("shutdown", 30, text="[Note] mariadbd (initiated by: root): Normal shutdown"),
]
SECOND = [said("starting", 86401), said("ready", 86400), STARTING]
CHECKED = w.make(w.TableCheck, subject="shop.hits", word="damaged", text="Corrupt", engine="MyISAM")

_C, _P, _D, _L = "db.config-invalid", "db.port-in-use", "db.datadir-permission", "db.datadir-locked"
_F, _T, _S, _I, _B = "db.disk-full", "db.tmpdir-full", "db.crashed", "db.innodb-corruption", "db.table-crashed"
_G, _K, _Q, _N, _M = (
    "db.idle-timeout-gone-away", "db.packet-too-large", "db.query-killed", "db.client-pool-exhausted", "db.statement-timeout",
)  # fmt: skip
OURS = (_C, _P, _D, _L, _F, _T, _S, _I, _B, _G, _K, _Q, _N, _M)

ROWS: list[Row] = [
    # a start that failed
    Row("an option that the server does not know", down(start(UNKNOWN), w.make(w.OptionProblem)), _C, "/etc/mysql/my.cnf:12", says="innodb-flus-log (/etc/mysql/my.cnf:12)"),
    Row("the same, told by the log alone", down(start(UNKNOWN)), _C, "server configuration"),
    Row("the same, told by the server's own check alone", down(w.make(w.OptionProblem)), _C, "/etc/mysql/my.cnf:12"),
    Row("an option file that is broken", down(start(BROKEN_FILE)), _C, says="/etc/mysql/my.cnf:1"),
    Row("a value that the server does not take", down(start(BAD_VALUE), w.make(w.OptionValue, subject="innodb_buffer_pool_size", value="lots", line=9)), _C, "/etc/mysql/my.cnf:9"),
    Row("an address that is not this host's", down(start(NO_ADDRESS)), _C, says="address"),
    Row("more memory than there is", down(start(NO_MEMORY)), _C, says="memory"),
    Row("an unknown option in the file of a server that runs", up(w.make(w.OptionProblem)), None, never=(_C,)),
    Row("an option that was unknown before the last good start", up([said("starting", 90000), UNKNOWN, said("aborting", 89000), *running()]), None, never=OURS),
    Row("somebody listens on the port", down(start(*TAKEN), SQUATTER), _P, "port 3306", says="python3[700]"),
    Row("somebody listened on the port", down(start(*TAKEN)), _P, "port 3306", says="nobody listens there now"),
    Row("the server is started twice", up([*SECOND, *TAKEN, ABORTING]), _P, says="the server itself"),
    Row("a data directory that is not the server's own", down(start(NOT_OURS)), _D, DATA, says="mysql may not use"),
    Row("the pid file's folder is not there", down(start(NO_FOLDER)), _D, "/run/mysqld", says="is not there"),
    Row("the socket's folder is not there", down(start(NO_SOCKET)), _D, w.SOCKET, says="cannot make"),
    Row("an empty data directory", down(start(EMPTY)), _D, DATA, says="no system tables"),
    Row("a second server on the same files", up([*SECOND, LOCKED, ABORTING], [w.make(w.ServerProcess), OTHER]), _L, DATA, says="a second server"),
    Row("a second server a second after the first", up([said("starting", 33, name="60"), said("ready", 32), said("starting", 31, name="77"), LOCKED, ABORTING], w.make(w.ServerProcess, age=33.0)), _L, DATA, says="a second server"),
    Row("the newcomer that still waits for the files is not who holds them",
        down(start(LOCKED), w.make(w.ServerProcess, subject="mariadbd[88]", pid=88, role="other", age=3.0, ports=(), sockets=(), datadir=DATA), OTHER),
        _L, DATA, says="mariadbd[61] holds it"),
    Row("a server whose files are held by one that ends", down(start(LOCKED), OTHER), _L, DATA, says="mariadbd[61] holds it"),
    Row("somebody stopped the server", down(STOPPED), "db.service-down", never=OURS),
    Row("no room at the start", down(start(NO_SPACE), FULL_DISK), "host.disk-full", DATA, never=(_D, _S)),
    Row("there was no room at the start", down(start(NO_SPACE)), _F, says="has room again"),
    Row("no room for temporary files at the start", down(start(NO_TMP)), _T, "/tmp"),
    Row("Aria's own files are damaged", down(start(ARIA)), _B, f"{DATA}/aria_log_control", says="Aria"),
    Row("the redo log is damaged", down(start(REDO)), _I, "./ib_logfile0", says="does not start"),
    # a server that died
    Row("a signal", down([*running(), SIGNAL]), _S, w.LOCAL, says="signal 11"),
    Row("the service manager saw a core dump", down(w.make(w.Unit, active="failed", sub="failed", result="core-dump", active_for=None)), _S),
    Row("a signal three minutes ago, and back", up([said("starting", 9e4), said("ready", 9e4), said("signal", 180, number=6), said("starting", 121), said("ready", 120)], YOUNG), _S, says="is back"),
    Row("a signal six minutes ago, and back", up([said("starting", 9e4), said("ready", 9e4), said("signal", 360, number=6), said("starting", 121), said("ready", 120)], YOUNG), None, never=OURS),
    Row("two signals, the last six minutes ago", up([said("signal", 360, number=6, count=2), said("starting", 121), said("ready", 120)], YOUNG), _S, says="2 times"),
    Row("recovery after kill -9 an hour ago", up([said("starting", 3600), said("recovery", 3599), said("ready", 3598)], w.make(w.ServerProcess, age=3600.0)), None, never=OURS),
    Row("recovery that goes on", w.beside().without(w.Login, w.ServerInfo, w.Connections, w.SessionGroup, w.Session, w.DbRates, w.Innodb, w.Account, w.TlsAnswer, w.Certificate, w.Greeting, w.Listener).but([said("signal", 40, number=6), STARTING, said("recovery", 20, text="[Note] InnoDB: Starting crash recovery")], w.make(w.ServerProcess, age=30.0, ports=()), w.make(w.TcpAnswer, word="refused", errno=111)), _S, says="recovers"),
    # damage
    Row("a page is damaged", up(running(PAGE)), _I, "shop.orders"),
    Row("a page is damaged, and a client says 1034", up(running(PAGE, said("table-crashed", name="orders"))), _I, "shop.orders", never=(_B,)),
    Row("a page was damaged before the last start", up([said("starting", 9e4), PAGE.__class__(**(PAGE.__dict__ | {"happened_at": w.NOW - 88000, "first_at": w.NOW - 88000})), *running()]), None, never=OURS),
    Row("the file of a table is not there", up(running(GONE_FILE)), _I, "shop.orders", says="missing"),
    Row("CHECK TABLE finds a damaged InnoDB table", up(w.make(w.TableCheck, subject="shop.orders", word="damaged", text="Corrupt", engine="InnoDB")), _I, "shop.orders"),
    Row("a MyISAM table is marked as crashed", up(running(CRASHED_TABLE)), _B, "shop.hits"),
    Row("a MyISAM table that the server has repaired", up(running(CRASHED_TABLE, said("recovery", 29, name="shop.hits"))), None, never=OURS),
    Row("CHECK TABLE finds a damaged MyISAM table", up(CHECKED), _B, "shop.hits"),
    Row("CHECK TABLE finds all well", up(w.make(w.TableCheck)), None, never=OURS),
    # no room while it runs
    Row("statements wait for room", up(running(WAITS), FULL_DISK, w.make(w.Session, state="Waiting for someone to free space", waits_for="space")), "host.disk-full", DATA),
    Row("the disk is full", up(running(WAITS), FULL_DISK), "host.disk-full", DATA),
    Row("the disk was full an hour ago, and has room", up(running(said("disk-full", 3000, number=28, name="./x"))), None, never=OURS),
    Row("a MEMORY table is full", up(running(TABLE_FULL)), None, never=OURS),
    Row("a table is full, and the disk as well", up(running(TABLE_FULL), FULL_DISK), "host.disk-full"),
    Row("the temporary folder is full", up(running(NO_TMP), [disk(100 * w.GIB), w.make(w.FilesystemUse, **TMP, total=8 << 20, available=0, free=0)]), _T, "/tmp", never=(_B, _I, _F)),
    Row("the temporary folder was full when a sort failed", up(running(NO_TMP)), _T, "/tmp"),
    # what clients meet
    Row("a few idle connections closed in an hour", up(running(closed(6))), None, never=OURS),
    Row("idle connections closed at a rate", up(running(closed(40))), _G, says="app@10.0.0.9"),
    Row("a timeout of two seconds, and one line", up(running(closed(1)), w.make(w.ServerInfo, wait_timeout=2.0)), _G, says="after 2.0 s"),
    Row("a timeout of a minute, and one line", up(running(closed(1)), w.make(w.ServerInfo, wait_timeout=60.0)), None, never=OURS),
    Row("one line, and a client whose server has gone away", up([*running(closed(1)), GONE]), _G),
    Row("a client whose server has gone away, and no line", up([*running(), GONE]), None, never=OURS),
    Row("a client that was told why", up([*running(), client("gone-away", number=4031)]), _G),
    Row("a packet that is too large", up([*running(PACKET), GONE]), _K, says="max_allowed_packet (16 MiB)", never=(_G,)),
    Row("sessions killed three times", up(running(killed(3))), _Q, says="app@10.0.0.9"),
    Row("connections lost in the middle of work, and KILLs that nobody logged",
        up(lost(3), w.make(w.DbRates, kills=3)), _Q, says="given 3 KILLs"),
    Row("connections lost, and two KILLs", up(lost(3), w.make(w.DbRates, kills=2)), None, never=OURS),
    Row("two connections lost, and many KILLs", up(lost(2), w.make(w.DbRates, kills=90)), None, never=OURS),
    Row("connections lost before the server's start, and KILLs since", up(lost(3, first_at=w.NOW - 200_000), w.make(w.DbRates, kills=9)), None,
        never=OURS),
    Row("sessions killed twice", up(running(killed(2))), None, never=OURS),
    Row("a pool is empty, and the server has room", up([*running(), POOL]), _N, APP_LOG, says="80 of 151"),
    Row("a pool is empty, and the server is full", up([*running(), POOL], w.make(w.Connections, connected=151)), "db.too-many-connections", never=(_N,)),
    Row("a statement was cut just now", up([*running(), client("statement-timeout", number=1969)]), _M),
    Row("a statement was cut half an hour ago", up([*running(), client("statement-timeout", 1800, number=1969)]), None, never=OURS),
    Row("three statements were cut half an hour ago", up([*running(), client("statement-timeout", 1800, number=1969, count=3)]), _M),
    Row("the counter of cut statements rises", up(w.make(w.DbRates, statement_timeouts_new=2)), _M),
]  # fmt: skip
CHAINS: list[tuple[str, Facts, str, str]] = [
    ("no room at the start", down(start(NO_SPACE), FULL_DISK), "host.disk-full", _F),
    ("statements wait for room", up(running(WAITS), FULL_DISK), "host.disk-full", _F),
    ("a table is full, and the disk as well", up(running(TABLE_FULL), FULL_DISK), "host.disk-full", _F),
    ("the disk was full, and the server died of it", down([*running(), WAITS, FATAL, SIGNAL]), _F, _S),
    ("a damaged page kills the server", down([*running(), PAGE, SIGNAL]), _I, _S),
    *(
        (f"the server is down: {name}", facts, code, "db.service-down")
        for name, facts, code in (
            ("configuration", down(start(UNKNOWN)), _C),
            ("port", down(start(*TAKEN)), _P),
            ("folder", down(start(NO_SOCKET)), _D),
            ("lock", down(start(LOCKED)), _L),
            ("signal", down([*running(), SIGNAL]), _S),
            ("redo log", down(start(REDO)), _I),
        )
    ),
]

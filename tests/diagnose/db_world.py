"""A healthy database as facts, beside it and from afar, and the ways to spoil it: one field at a time."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import (
    Account,
    DbTarget,
    Drift,
    Greeting,
    Login,
    OptionFile,
    OptionProblem,
    OptionValue,
    PathAccess,
    ServerConfig,
    ServerProcess,
    TableCheck,
    TablesChecked,
)
from rbdiag.facts.dns import HostsEntry, NameAnswer, ResolverConfig, ServerAnswer
from rbdiag.facts.host import FilesystemUse, KernelEvent, Memory, SpaceUser, Standing
from rbdiag.facts.logs import LogEvent, LogRead
from rbdiag.facts.net import (
    Conntrack,
    FirewallRule,
    Link,
    Listener,
    LocalPorts,
    Neighbour,
    Ping,
    Route,
    SocketAnswer,
    TcpAnswer,
)
from rbdiag.facts.sessions import (
    Connections,
    DbRates,
    Innodb,
    LockWait,
    Replica,
    ServerInfo,
    Session,
    SessionGroup,
)
from rbdiag.facts.svc import Unit
from rbdiag.facts.tls import Certificate, TlsAnswer
from rbdiag.model import Fact, Facts

GIB = 1 << 30
NOW = 1_795_600_000.0
LOCAL, REMOTE, SOCKET = "127.0.0.1:3306", "db1:3306", "/run/mysqld/mysqld.sock"
SERVER = "mariadbd[60]"
ERROR_LOG = "/var/log/mysql/error.log"

# One fact of each type as it is on a healthy host, from which each test changes what it is about.
_USUAL: dict[type[Fact], dict[str, Any]] = {
    DbTarget: {"subject": LOCAL, "host": "127.0.0.1", "port": 3306, "socket": "", "user": "app", "database": "shop",
               "tls": "preferred", "password": True, "account_given": True, "local": True},
    NameAnswer: {"subject": "db1", "word": "found", "addresses": ("10.0.0.5",), "seconds": 0.002},
    ServerAnswer: {"subject": "db1.", "server": "10.0.0.2", "record": "A", "word": "found", "addresses": ("10.0.0.5",),
                   "seconds": 0.001},
    HostsEntry: {"subject": "db1", "file": "/etc/hosts", "line": 3, "address": "10.0.0.5"},
    ResolverConfig: {"subject": "resolver", "word": "ok", "servers": ("10.0.0.2",), "search": (), "sources": ("files", "dns")},
    Route: {"subject": "10.0.0.5", "word": "found", "device": "eth0", "gateway": "", "source": "10.0.0.9", "mtu": 1500},
    Link: {"subject": "eth0", "up": True, "carrier": True, "mtu": 1500},
    Neighbour: {"subject": "10.0.0.5", "device": "eth0", "state": "REACHABLE"},
    Ping: {"subject": "10.0.0.5", "word": "answered", "sent": 5, "received": 5, "least": 0.0003, "average": 0.0004, "most": 0.0006},
    TcpAnswer: {"subject": LOCAL, "host": "127.0.0.1", "address": "127.0.0.1", "port": 3306, "family": "IPv4", "word": "open",
                "errno": None, "seconds": 0.0003, "open_tries": 1},
    SocketAnswer: {"subject": SOCKET, "word": "open", "errno": None, "seconds": 0.0001},
    Listener: {"subject": "*:3306", "address": "0.0.0.0", "port": 3306, "pid": 60, "start_ticks": 600, "process": SERVER,
               "waiting": 0, "backlog": 80},
    FirewallRule: {"subject": "ip filter INPUT", "verdict": "drop", "direction": "in", "text": "tcp dport 8080 drop", "before": 0,
                   "after": 0},
    LocalPorts: {"subject": LOCAL, "low": 32768, "high": 60999, "used": 40, "time_wait": 25},
    Conntrack: {"subject": "host", "count": 4000, "limit": 262144},
    Greeting: {"subject": LOCAL, "word": "mysql", "seconds": 0.001, "version": "10.11.6-MariaDB", "flavour": "MariaDB",
               "plugin": "mysql_native_password", "tls": True},
    TlsAnswer: {"subject": LOCAL, "word": "ok", "verified": False, "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
                "detail": "", "seconds": 0.004},
    Certificate: {"subject": LOCAL, "name": "db1", "names": ("db1",), "issuer": "Our CA", "not_before": NOW - 8e6,
                  "not_after": NOW + 8e6, "self_signed": False, "chain": 2, "fingerprint": "ab:cd"},
    Login: {"subject": LOCAL, "attempt": "asked", "word": "ok", "user": "app", "tls": True, "tls_offered": True, "password": True,
            "seconds": 0.003, "database": "shop"},
    Account: {"subject": "'app'@'%'", "plugin": "mysql_native_password", "tls": "", "locked": False, "expired": False,
              "password_changed_at": NOW - 9e6, "max_user_connections": None, "limits": (), "matches": True},
    ServerProcess: {"subject": SERVER, "pid": 60, "start_ticks": 600, "role": "target", "state": "S", "user": "mysql", "age": 86400.0,
                    "command": "/usr/sbin/mariadbd", "program": "/usr/sbin/mariadbd", "unit": "mariadb.service",
                    "service": "mariadb.service", "parent": "systemd[1]", "ports": ("*:3306",), "sockets": (SOCKET,),
                    "datadir": "/var/lib/mysql", "tmpdir": "/tmp", "error_log": ERROR_LOG,
                    "option_files": ("/etc/mysql/my.cnf",), "fds": 90, "fd_limit": 32768, "rss": 400 << 20},
    ServerConfig: {"subject": "server configuration", "files": ("/etc/mysql/my.cnf",), "port": 3306, "socket": SOCKET,
                   "bind_address": "0.0.0.0", "skip_networking": False, "datadir": "/var/lib/mysql", "tmpdir": "/tmp",
                   "error_log": ERROR_LOG, "pid_file": "/run/mysqld/mysqld.pid", "user": "mysql", "unit": "mariadb.service",
                   "program": "/usr/sbin/mariadbd", "for_target": True, "running": True, "pid": 60},
    OptionFile: {"subject": "/etc/mysql/my.cnf", "happened_at": NOW - 9e6, "newer": False, "recent": False},
    OptionProblem: {"subject": "/etc/mysql/my.cnf:12", "word": "unknown-option", "option": "innodb-flus-log",
                    "file": "/etc/mysql/my.cnf", "line": 12, "text": "unknown variable 'innodb-flus-log=2'",
                    "said_by": "mariadbd --help --verbose"},
    OptionValue: {"subject": "max_connections", "written": "max_connections", "value": "151", "file": "/etc/mysql/my.cnf",
                  "line": 7, "group": "mariadbd"},
    Drift: {"subject": "max_connections", "running": "151", "configured": "500", "file": "/etc/mysql/my.cnf", "line": 7,
            "dynamic": True, "origin": "CONFIG", "file_newer": True},
    PathAccess: {"subject": "/var/lib/mysql", "role": "datadir", "owner": "mysql", "mode": "drwxr-xr-x", "usable": True,
                 "missing": False, "server_user": "mysql"},
    TableCheck: {"subject": "shop.orders", "word": "ok", "text": "OK", "engine": "InnoDB"},
    TablesChecked: {"subject": "all schemas", "checked": 10, "total": 10, "damaged": 0},
    LogRead: {"subject": ERROR_LOG, "side": "server", "lines": 4, "bytes": 400, "since": NOW - 3000, "last_at": NOW - 2000},
    LogEvent: {"subject": ERROR_LOG, "side": "server", "kind": "ready", "happened_at": NOW - 86400, "first_at": NOW - 86400,
               "count": 1, "text": "[Note] /usr/sbin/mariadbd: ready for connections."},
    ServerInfo: {"subject": LOCAL, "flavour": "MariaDB", "version": "10.11.6-MariaDB", "hostname": "db1", "uptime": 86400.0,
                 "max_connections": 151, "max_user_connections": None, "read_only": False, "super_read_only": False,
                 "skip_networking": False, "bind_address": "0.0.0.0", "port": 3306, "socket": SOCKET, "datadir": "/var/lib/mysql/",
                 "tmpdir": "/tmp", "error_log": ERROR_LOG, "pid_file": "/run/mysqld/mysqld.pid", "wait_timeout": 28800.0,
                 "max_allowed_packet": 16 << 20, "max_statement_time": None, "lock_wait_timeout": 86400.0,
                 "open_files_limit": 32768, "max_connect_errors": 100, "skip_name_resolve": False,
                 "require_secure_transport": False, "slow_log": False, "long_query_time": 10.0, "log_bin": False, "server_id": 1,
                 "has_replicas": False, "is_replica": False},
    Connections: {"subject": LOCAL, "connected": 80, "running": 2, "limit": 151, "peak": 95, "sleeping": 77, "waiting": 0},
    SessionGroup: {"subject": "app@10.0.0.9", "count": 77, "sleeping": 75, "waiting": 0, "running": 2, "longest_sleep": 240.0,
                   "longest_run": 0.2},
    Session: {"subject": "session 42", "id": 42, "user": "app", "host": "10.0.0.9", "database": "shop", "command": "Query",
              "state": "Sending data", "seconds": 0.3, "statement": "SELECT 1", "waits_for": "", "transaction": None,
              "rows_locked": None, "background": False},
    LockWait: {"subject": "session 43", "kind": "row", "waiter": 43, "blocker": 42, "table": "shop.orders", "seconds": 20.0,
               "proven": True, "ddl": False},
    DbRates: {"subject": LOCAL, "seconds": 1.0, "queries": 120.0, "aborted_connects": 0.0, "aborted_clients": 0.0,
              "refused_max_connections_new": 0, "slow_queries": 0.0, "rows_scanned": 400.0, "rows_sent": 300.0,
              "temp_tables": 2.0, "temp_tables_on_disk": 0.0, "row_lock_waits": 0.0, "deadlocks_new": 0,
              "statement_timeouts_new": 0, "log_waits": 0.0, "bytes_in": 9000.0, "bytes_out": 90000.0},
    Innodb: {"subject": LOCAL, "row_waits": 0, "pending_reads": 0, "pending_writes": 0, "pending_fsyncs": 0, "history": 12,
             "buffer_pool": 128 << 20, "dirty": 0.02, "deadlock_at": NOW - 5 * 86400},
    Replica: {"subject": "replication from db0:3306", "io": "yes", "sql": "yes", "io_errno": 0, "io_error": "", "sql_errno": 0,
              "sql_error": "", "lag": 1.0, "lag_before": 0.0, "seconds": 1.0,
              "sql_state": "Slave has read all relay log; waiting for more updates"},
    FilesystemUse: {"subject": "/", "role": "data", "path": "/var/lib/mysql", "kind": "ext4", "device": "/dev/sda1",
                    "total": 4000 * GIB, "free": 320 * GIB, "available": 300 * GIB, "inodes": 10_000_000,
                    "inodes_free": 9_000_000, "read_only": False},
    SpaceUser: {"subject": "/var/lib/mysql/binlog.000004", "kind": "binary logs", "bytes": 30 * GIB, "mount": "/"},
    KernelEvent: {"subject": "host", "kind": "oom-kill", "happened_at": NOW - 60,
                  "text": "Out of memory: Killed process 60 (mariadbd)", "process": "mariadbd", "pid": 60},
    Unit: {"subject": "mariadb.service", "load": "loaded", "active": "active", "sub": "running", "result": "success", "restarts": 0,
           "main_pid": 60, "active_for": 86400.0, "service_type": "notify"},
    Memory: {"subject": "host", "total": 8 * GIB, "available": 5 * GIB, "swap_total": GIB, "swap_free": GIB},
    Standing: {"subject": "rbdiag", "root": True, "sudo": True, "systemd": True},
}  # fmt: skip

_CHECKS: dict[type[Fact], str] = {
    DbTarget: "db.target", NameAnswer: "dns.names", ServerAnswer: "dns.names", HostsEntry: "dns.names",
    ResolverConfig: "dns.names", Route: "net.route", Link: "net.route", Neighbour: "net.route", Ping: "net.ping",
    TcpAnswer: "net.tcp", SocketAnswer: "net.tcp", LocalPorts: "net.tcp", Conntrack: "net.tcp", FirewallRule: "net.firewall",
    Listener: "db.listeners", Greeting: "db.greeting", TlsAnswer: "db.login", Certificate: "db.login", Login: "db.login",
    Account: "db.account", ServerProcess: "db.server", ServerConfig: "db.server", PathAccess: "db.server",
    OptionFile: "db.options", OptionProblem: "db.options", OptionValue: "db.options", Drift: "db.drift", TableCheck: "db.tables",
    TablesChecked: "db.tables", LogRead: "db.error-log", LogEvent: "db.error-log", ServerInfo: "db.variables",
    Connections: "db.sessions", SessionGroup: "db.sessions", Session: "db.sessions", LockWait: "db.locks", DbRates: "db.rates",
    Innodb: "db.innodb", Replica: "db.replication", FilesystemUse: "host.space", SpaceUser: "host.space",
    KernelEvent: "host.kernel-log", Unit: "svc.units", Memory: "host.memory", Standing: "",
}  # fmt: skip


def make(kind: type[Fact], /, **changes: Any) -> Any:
    """A fact of this type as a healthy host gives it, but for the changes."""
    return kind(**({"check": _CHECKS[kind], "seen_at": NOW} | _USUAL[kind] | changes))


# What is seen where the server runs on this host and is reached over TCP, and what only a client elsewhere sees.
_BESIDE: tuple[type[Fact], ...] = (
    DbTarget, NameAnswer, Route, TcpAnswer, Listener, Greeting, TlsAnswer, Certificate, Login, ServerProcess, ServerConfig,
    OptionFile, OptionValue, PathAccess, LogRead, LogEvent, ServerInfo, Connections, SessionGroup, Session, DbRates, Innodb, FilesystemUse,
    Unit, Memory, Standing, LocalPorts, Account,
)  # fmt: skip
_AFAR: tuple[type[Fact], ...] = (
    DbTarget, NameAnswer, ServerAnswer, ResolverConfig, Route, Link, Neighbour, Ping, TcpAnswer, FirewallRule, Greeting,
    TlsAnswer, Certificate, Login, ServerInfo, Connections, SessionGroup, Session, DbRates, Innodb, Memory, Standing,
    LocalPorts, Conntrack,
)  # fmt: skip


class World:
    """Facts of a healthy database. `but` replaces the facts of the same type and adds the others."""

    def __init__(self, facts: tuple[Fact, ...]) -> None:
        self.facts = facts

    def but(self, *changes: Fact | list[Fact]) -> Facts:
        new = [f for change in changes for f in (change if isinstance(change, list) else [change])]
        replaced = {type(f) for f in new}
        return Facts((*(f for f in self.facts if type(f) not in replaced), *new))

    def without(self, *kinds: type[Fact]) -> World:
        return World(tuple(f for f in self.facts if type(f) not in kinds))


def beside() -> World:
    """A healthy server on this host, reached over TCP."""
    changes: dict[type[Fact], dict[str, Any]] = {
        NameAnswer: {"subject": "127.0.0.1", "addresses": ("127.0.0.1",)},
        Route: {"subject": "127.0.0.1", "device": "lo", "local": True, "mtu": 65536},
    }
    return World(tuple(make(kind, **changes.get(kind, {})) for kind in _BESIDE))


def by_socket() -> World:
    """A healthy server on this host, reached through its socket."""
    kinds = [k for k in _BESIDE if k not in (NameAnswer, Route, TcpAnswer, LocalPorts, TlsAnswer, Certificate)]
    named: dict[str, Any] = {"subject": SOCKET}
    about_target = (DbTarget, Greeting, Login, ServerInfo, Connections, DbRates, Innodb)
    facts = [make(kind, **(named if kind in about_target else {})) for kind in kinds if kind is not DbTarget]
    target = make(DbTarget, subject=SOCKET, host="localhost", socket=SOCKET)
    return World((target, *facts, make(SocketAnswer)))


def afar() -> World:
    """A healthy server on another host: nothing is seen of it but what a client sees."""
    named: dict[type[Fact], dict[str, Any]] = {
        kind: {"subject": REMOTE}
        for kind in (Greeting, TlsAnswer, Certificate, Login, ServerInfo, Connections, DbRates, Innodb)
    }
    named[DbTarget] = {"subject": REMOTE, "host": "db1", "local": False}
    named[TcpAnswer] = {"subject": "10.0.0.5:3306", "host": "db1", "address": "10.0.0.5"}
    named[LocalPorts] = {"subject": "10.0.0.5:3306"}
    return World(tuple(make(kind, **named.get(kind, {})) for kind in _AFAR))

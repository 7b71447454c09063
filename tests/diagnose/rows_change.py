"""Worlds in which an option file was edited: wrongly, or without the server having taken it."""

from __future__ import annotations

from tests.diagnose import db_world as d
from tests.diagnose.row import Row

FILE = "/etc/mysql/my.cnf"
beside, by_socket, afar = d.beside(), d.by_socket(), d.afar()
# The same host with nothing running: what a client sees is left out, so that the files alone speak.
down = beside.without(d.ServerProcess, d.Greeting, d.Login, d.TcpAnswer, d.Listener, d.TlsAnswer, d.Certificate, d.ServerInfo,
                      d.Connections, d.SessionGroup, d.Session, d.DbRates, d.Innodb, d.Unit, d.Account)  # fmt: skip


def edited(**changes):
    return d.make(d.OptionFile, **({"happened_at": d.NOW - 600, "newer": True, "recent": True} | changes))


def drift(name="max_connections", running="151", configured="500", **changes):
    return d.make(d.Drift, subject=name, running=running, configured=configured, **changes)


def problem(word="unknown-option", **changes):
    return d.make(d.OptionProblem, word=word, **changes)


def renewed(fingerprint):
    return drift("ssl_cert", "a certificate from before the server started", f"/etc/mysql/cert.pem, valid until 2027-01-01, sha256 {fingerprint}",
                 origin="", dynamic=False)  # fmt: skip


IN_FILE = {"said_by": "the file itself", "option": ""}
WORLD_WRITABLE = {
    "line": None,
    "subject": FILE,
    "stops": False,
    "text": "everybody may write this file, so the programs pass over it",
} | IN_FILE
BRACKET = {"text": "the group [mysqld has no closing bracket"} | IN_FILE

REFUSED = d.make(d.Login, word="too-many-connections", code=1040, text="Too many connections")
FULL = d.make(d.Connections, connected=151, sleeping=149, limit=151, peak=152)

ROWS: list[Row] = [
    # an option file that is wrong
    Row("an unknown option was written into the file, and the server is down", down.but(problem(), edited(newer=None)),
        "change.config-invalid", f"{FILE}:12", says="cannot start: /etc/mysql/my.cnf:12"),
    Row("a group lost its bracket, and the server is down", down.but(problem("bad-group", **BRACKET), edited(newer=None)),
        "change.config-invalid", f"{FILE}:12", says="no closing bracket"),
    Row("an option stands before any group", down.but(problem("no-group", **IN_FILE), edited(newer=None)), "change.config-invalid"),
    Row("the file is wrong, but nobody edited it lately", down.but(problem(), d.make(d.OptionFile)), "db.config-invalid",
        never=("change.config-invalid",)),
    Row("a server that is down, and passes over the file that everybody may write",
        down.but(problem("ignored", **WORLD_WRITABLE), edited(newer=None, why="world-writable")), "change.config-invalid",
        says="passes over its option file"),
    Row("another file was edited", down.but(problem(), edited(subject="/etc/mysql/conf.d/dump.cnf")), "db.config-invalid",
        never=("change.config-invalid",)),
    Row("the server runs on, and would not start again", beside.but(problem(), edited()), "change.config-invalid", f"{FILE}:12",
        says="the next start will fail"),
    Row("the server runs, and read the wrong file at its start", beside.but(problem(), edited(newer=False)), None,
        never=("change.config-invalid",)),
    Row("a file that everybody may write since today has no effect", beside.but(problem("ignored", **WORLD_WRITABLE),
        edited(why="world-writable")), "change.config-invalid", FILE, says="without effect"),
    Row("a file that everybody may write since long", beside.but(problem("ignored", **WORLD_WRITABLE)), None,
        notes=("change.config-invalid",)),
    Row("the rest of an included file is not read", beside.but(problem("bad-group", stops=False, **BRACKET), edited()),
        "change.config-invalid", says="without effect"),
    Row("a loop of includes harms nobody", beside.but(problem("loop", stops=False, **IN_FILE), edited()), None,
        never=("change.config-invalid",)),
    Row("the clients of this host give up on their own file", afar.but(problem("no-group", side="client", file="/root/.my.cnf",
        subject="/root/.my.cnf:1", line=1, **IN_FILE)), "change.config-invalid", "/root/.my.cnf:1", says="clients give up"),
    Row("a client's file that is only passed over", afar.but(problem("ignored", side="client", stops=False, **IN_FILE)), None,
        never=("change.config-invalid",)),
    # a file that the server has not taken
    Row("the limit was raised in the file and the server not restarted", beside.but(drift(), edited()), "change.config-not-restarted",
        "max_connections", says="still 151"),
    Row("the same, reached through the socket", by_socket.but(drift(), edited()), "change.config-not-restarted", "max_connections"),
    Row("the port was changed in the file", beside.but(drift("port", "3306", "3307", origin="", dynamic=False), edited()),
        "change.config-not-restarted", "port"),
    Row("a buffer was changed in the file", beside.but(drift("sort_buffer_size", "2097152", "4M"), edited()), None,
        notes=("change.config-not-restarted",)),
    Row("several options, one of which decides", beside.but([drift("sort_buffer_size", "2097152", "4M"), drift("read_only", "OFF", "ON")],
        edited()), "change.config-not-restarted", "read_only", says="and 1 more"),
    Row("a limit set by hand is a note", beside.but(drift(running="300", configured="151", origin="SQL", file_newer=False)), None,
        notes=("change.config-not-restarted",)),
    Row("a buffer set by hand is nothing", beside.but(drift("sort_buffer_size", "2097152", "4M", origin="SQL", file_newer=False)), None,
        never=("change.config-not-restarted",)),
    Row("a difference although no file changed", beside.but(drift(file_newer=False)), None, never=("change.config-not-restarted",)),
    Row("the certificate on disk is a new one", beside.but(renewed("12:34"), edited()), "change.config-not-restarted", "ssl_cert"),
    Row("the certificate on disk was touched, and is the one shown", beside.but(renewed("AB:CD"), edited()), None,
        never=("change.config-not-restarted",)),
    Row("a limit lowered in the file explains no lack of connections", beside.but([REFUSED], FULL, drift(configured="50"), edited()),
        "db.too-many-connections"),
    Row("another port in the file explains no lack of connections", beside.but([REFUSED], FULL, drift("port", "3306", "3307"), edited()),
        "db.too-many-connections"),
    Row("a file was touched, and says what runs", beside.but(edited()), None, never=("change.config-not-restarted",)),
]  # fmt: skip

MISSING = d.make(d.SocketAnswer, word="missing", errno=2)
dead = by_socket.without(d.ServerProcess, d.Greeting, d.Login, d.Listener, d.ServerInfo, d.Connections, d.SessionGroup, d.Session,
                         d.DbRates, d.Innodb, d.Unit, d.Account)  # fmt: skip

# Symptoms under their cause: facts, cause, consequence.
CHAINS: list[tuple] = [  # type: ignore[type-arg]
    ("a limit raised in the file only explains that there are too many connections",
     beside.but([REFUSED], FULL, drift(), edited()), "change.config-not-restarted", "db.too-many-connections"),
    ("a file that was edited wrongly explains that the server refuses it",
     dead.but(MISSING, problem(), edited(newer=None), d.make(d.ServerConfig, running=False, pid=None)), "change.config-invalid",
     "db.config-invalid"),
    ("a file that nobody edited lately explains that the server is down",
     dead.but(MISSING, problem(), d.make(d.OptionFile), d.make(d.ServerConfig, running=False, pid=None)), "db.config-invalid",
     "db.service-down"),
]  # fmt: skip

"""The one connection of a run, against servers that misbehave and against a real MariaDB."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rbdiag.collect.db_connect import Line, NotHere
from rbdiag.collect.db_words import grant, parse_greeting, quoted
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.db import DbTarget, Greeting, Login, ServerProcess
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import SocketAnswer, TcpAnswer
from rbdiag.facts.tls import Certificate, TlsAnswer
from rbdiag.model import CannotLook, Fact, Facts, Gap
from tests.diagnose import db_world
from tests.servers import greetings as g
from tests.servers import mariadb, mysql
from tests.servers.greetings import Greeter
from tests.servers.mariadb import MariaDB

# What a busy machine may add to a deadline before a test says that it was not kept.
BUSY = 1.0

needs_mariadb = pytest.mark.skipif(mariadb.missing() is not None, reason=str(mariadb.missing()))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as whom the administrator's door is tried")


class Run:
    """One run of the three checks: their facts, and the gap that each left."""

    def __init__(
        self,
        port: int = 0,
        *,
        socket: str = "",
        host: str = "127.0.0.1",
        addresses: tuple[str, ...] | None = None,
        password: str = "",
        ca: str = "",
        seconds: float = 10.0,
        given: tuple[Fact, ...] = (),
        steps: tuple[str, ...] = ("open", "greet", "login"),
        **target: Any,
    ) -> None:
        settings = {"user": "app", "database": "", "tls": "preferred", "account_given": True, "local": True, **target}
        label = socket or f"{host}:{port}"
        asked = DbTarget(
            subject=label, host=host, port=port or 3306, socket=socket, password=bool(password), **settings
        )
        secret = SimpleNamespace(reveal=lambda: password or None)
        self.line = Line(SimpleNamespace(target=asked, secret=secret, ssl_ca=ca))  # type: ignore[arg-type]  # all it reads
        self.deadline = Deadline(seconds)
        self.facts: list[Fact] = list(given)
        self.gaps: dict[str, Gap] = {}
        if not socket:
            self.facts.append(NameAnswer(subject=host, word="found", addresses=addresses or (host,), seconds=0.0))
        self.seconds: dict[str, float] = {}
        for step in steps:
            begin = time.monotonic()
            try:
                for fact in getattr(self.line, step)(Facts(self.facts), self.deadline):
                    self.facts.append(fact)
            except CannotLook as error:
                self.gaps[step] = error.gap
            except OutOfTime:
                self.gaps[step] = Gap("deadline", "")
            self.seconds[step] = time.monotonic() - begin
        self.took = sum(self.seconds.values())

    def of(self, kind: type[Fact]) -> list[Any]:
        return [f for f in self.facts if isinstance(f, kind)]

    def logins(self) -> dict[str, Login]:
        return {login.attempt: login for login in self.of(Login)}

    def word(self, kind: type[Fact]) -> str:
        found = self.of(kind)
        return found[0].word if found else ""

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()


# The way to the server


def test_a_refused_port_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        run = Run(probe.getsockname()[1])
    answer = run.of(TcpAnswer)[0]
    assert (answer.word, answer.errno, answer.tries, answer.open_tries) == ("refused", 111, 1, 0)
    assert run.gaps["greet"].reason == run.gaps["login"].reason == "skipped"
    assert run.line.count() == (0, 0)


def test_the_next_address_is_tried_until_one_opens() -> None:
    with Greeter(g.silent, address="127.0.0.3") as server:
        run = Run(server.port, host="db1", addresses=("127.0.0.2", "127.0.0.3", "127.0.0.4"), steps=("open",))
        run.line.close()
    assert [(a.address, a.word, a.host) for a in run.of(TcpAnswer)] == [
        ("127.0.0.2", "refused", "db1"), ("127.0.0.3", "open", "db1"),
    ]  # fmt: skip


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    with Greeter(g.silent, address="::1") as server, Run(server.port, host="::1", steps=("open",)) as run:
        assert run.of(TcpAnswer)[0].subject == f"[::1]:{server.port}"
        assert run.of(TcpAnswer)[0].family == "IPv6"


def test_a_full_queue_of_a_port_is_silence_within_the_time_and_is_tried_twice() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        run = Run(listener.getsockname()[1], seconds=6.0, steps=("open",))
    answer = run.of(TcpAnswer)[0]
    assert (answer.word, answer.errno, answer.tries) == ("silent", None, 2)
    assert answer.seconds > 3
    assert run.took < 5 + BUSY


def test_a_short_deadline_is_kept_by_a_silent_port() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        run = Run(listener.getsockname()[1], addresses=("127.0.0.1",) * 2, seconds=1.0, steps=("open",))
    assert [a.word for a in run.of(TcpAnswer)] == ["silent"]
    assert run.took < 1 + BUSY


def test_a_name_without_an_address_is_not_tried() -> None:
    line = Run(3306, host="db1", steps=()).line
    nameless = NameAnswer(subject="db1", word="nameless", addresses=(), seconds=0.0)
    with pytest.raises(CannotLook, match="no address is known for db1"):
        list(line.open(Facts([nameless]), Deadline(1)))


def test_an_address_needs_no_name_server() -> None:
    with Greeter(g.silent) as server:
        line = Run(server.port, steps=()).line
        assert [f.word for f in line.open(Facts(), Deadline(1))] == ["open"]  # type: ignore[attr-defined]
        line.close()


@pytest.fixture
def folder() -> Iterator[Any]:
    from shutil import rmtree

    from tests.servers.database import short_folder

    made = short_folder("sk")
    yield made
    rmtree(made)


def test_a_socket_that_is_not_there(folder: Any) -> None:
    answer = Run(socket=str(folder / "s")).of(SocketAnswer)[0]
    assert (answer.word, answer.errno) == ("missing", 2)


def test_a_socket_behind_a_file_is_not_there(folder: Any) -> None:
    (folder / "f").touch()
    assert Run(socket=str(folder / "f" / "s")).word(SocketAnswer) == "missing"


def test_a_socket_on_which_nobody_listens(folder: Any) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    assert Run(socket=str(folder / "s")).word(SocketAnswer) == "stale"


def test_a_file_that_is_no_socket(folder: Any) -> None:
    (folder / "s").touch()
    assert Run(socket=str(folder / "s")).word(SocketAnswer) == "no-socket"


def test_a_path_that_is_too_long() -> None:
    assert Run(socket="/tmp/" + "x" * 200).word(SocketAnswer) == "failed"


def test_a_socket_with_a_full_queue(folder: Any) -> None:
    fillers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(0)
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(str(folder / "s"))
        run = Run(socket=str(folder / "s"))
        answer = run.of(SocketAnswer)[0]
    assert run.took < 1.0 + BUSY
    for filler in fillers:
        filler.close()
    assert (answer.word, answer.errno) == ("full", 11)


# The first word

GREETINGS = [
    ("says nothing", g.silent, "silent", ""),
    ("closes", g.closes, "closed", ""),
    ("resets", g.resets, "reset", ""),
    ("a web server waits for our word", g.HTTP, "other", "HTTP/1.1 400"),
    ("redis waits for our word", g.answers(b"-ERR unknown command\r\n"), "other", "-ERR"),
    ("takes our word for a reason to hang up", g.answers(b""), "silent", ""),
    ("an SSH server speaks first", g.SSH, "other", "SSH-2.0-OpenSSH"),
    ("bytes that are no text", g.GARBAGE, "other", "c8 c9"),
    ("one byte", g.says(b"\x0a"), "other", "\\n"),
    ("a packet that is no greeting", g.says(g.packet(b"\x0ahello\0" + bytes(60))), "other", "0a 68"),
    ("the X protocol of MySQL", g.says(bytes.fromhex("05000000 0b 08051a00")), "other", "05 00 00 00 0b"),
    ("a postgres error", g.answers(b"E\x00\x00\x00\x10SFATAL\x00\x00"), "other", "45 00"),
]  # fmt: skip


# A Unix socket knows no reset.
BOTH_WAYS = [(*row, unix) for row in GREETINGS for unix in (False, True) if not (unix and row[2] == "reset")]


@pytest.mark.parametrize(
    ("manner", "word", "text", "unix"),
    [row[1:] for row in BOTH_WAYS],
    ids=[f"{row[0]}, {'socket' if row[4] else 'tcp'}" for row in BOTH_WAYS],
)
def test_what_is_no_greeting(manner: g.Manner, word: str, text: str, unix: bool) -> None:
    with Greeter(manner, unix=unix) as server, Run(server.port, socket=server.path, seconds=1.6) as run:
        said = run.of(Greeting)[0]
        assert said.word == word
        assert text in said.text
        assert run.gaps["login"].reason == "skipped"
        assert server.clients == run.line.count()[0] == 1
    assert run.took < 1.6 + BUSY


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (1040, "too-many-connections"), (1129, "host-blocked"), (1130, "host-not-allowed"), (3168, "starting"),
        (1135, "failed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["", "08004"], ids=["without a state", "with a state"])
def test_an_error_instead_of_a_greeting(code: int, word: str, state: str) -> None:
    with Greeter(g.says(g.error(code, "Host '10.0.0.9' is something", state=state))) as server, Run(server.port) as run:
        said, login = run.of(Greeting)[0], run.of(Login)[0]
        assert (said.word, said.code, said.text) == ("error", code, "Host '10.0.0.9' is something")
        assert (login.attempt, login.word, login.code) == ("asked", word, code)
        assert server.clients == 1


def test_a_slow_greeting_is_waited_for() -> None:
    with Greeter(g.says(g.greeting(), after=1.2)) as server, Run(server.port, steps=("open", "greet")) as run:
        said = run.of(Greeting)[0]
        assert said.word == "mysql"
        assert said.seconds > 1


def test_a_greeting_that_comes_in_pieces_is_read_whole() -> None:
    hello = g.greeting("5.5.5-10.11.6-MariaDB-log", plugin="mysql_native_password", tls=True)
    with Greeter(g.says(hello, every=0.01)) as server, Run(server.port, steps=("open", "greet")) as run:
        said = run.of(Greeting)[0]
        assert (said.version, said.flavour, said.plugin, said.tls) == (
            "10.11.6-MariaDB-log", "MariaDB", "mysql_native_password", True,
        )  # fmt: skip


def test_a_proxy_that_calls_itself_mysql_is_one() -> None:
    assert parse_greeting(g.greeting("8.0.36 (ProxySQL)"))["word"] == "mysql"
    assert parse_greeting(g.greeting("5.7.22"))["flavour"] == "MySQL"
    assert parse_greeting(g.greeting("8.0.36"))["plugin"] == "caching_sha2_password"


@pytest.mark.parametrize("length", range(0, 100, 3))
def test_a_greeting_that_is_cut_off_breaks_nothing(length: int) -> None:
    assert parse_greeting(g.greeting(tls=True)[:length])["word"] in ("mysql", "other")


# The login

HELLO = g.greeting()
BROKEN = [
    ("greets and falls silent", g.says(HELLO), "silent"),
    ("greets and hangs up", g.then(HELLO, g.closes), "lost"),
    ("greets and resets", g.then(HELLO, g.resets), "lost"),
    ("answers out of turn", g.then(HELLO, g.error(1045, "no", number=9)), "failed"),
    ("answers with nothing", g.then(HELLO, g.packet(b"", 2)), "failed"),
    ("answers with half a packet", g.then(HELLO, g.packet(b"\xff\x15", 2)), "failed"),
    ("wants a plugin that nobody has", g.then(HELLO, g.switch("parsec")), "plugin"),
    ("wants a plugin that has no name", g.then(HELLO, g.packet(b"\xfe", 2)), "plugin"),
    ("turns away an account that is locked", g.then(HELLO, g.error(3118, "locked", number=2)), "locked"),
    ("turns away a password that is too old", g.then(HELLO, g.error(1862, "expired", number=2)), "expired"),
    ("wants TLS and offers none", g.then(HELLO, g.error(3159, "insecure", number=2)), "tls-required"),
    ("has a limit for this account", g.then(HELLO, g.error(1226, "limit", number=2)), "user-limit"),
    ("says what no one knows", g.then(HELLO, g.error(4999, "what", number=2)), "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("manner", "word"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_login_that_does_not_work(manner: g.Manner, word: str) -> None:
    with Greeter(manner) as server, Run(server.port, password="geheim", seconds=1.6) as run:
        login = run.logins()["asked"]
        assert login.word == word, login
        assert bool(run.gaps) is (word in ("silent", "lost", "failed", "plugin")), "neither let in nor turned away"
        assert "geheim" not in str(run.facts)
        assert server.clients == 1
        with pytest.raises(CannotLook, match="nobody is logged in"):
            run.line.ask("SELECT 1", run.deadline)
    assert run.took < 1.6 + BUSY


@pytest.mark.parametrize(
    ("plugin", "prompt"), [("mysql_clear_password", b""), ("dialog", b"\x04Password: ")], ids=["clear", "dialog"]
)
def test_a_password_never_travels_in_the_clear(plugin: str, prompt: bytes) -> None:
    heard = b""

    def manner(client: socket.socket, over: threading.Event) -> None:
        nonlocal heard
        client.sendall(HELLO)
        heard += client.recv(65536)
        client.sendall(g.packet(b"\xfe" + plugin.encode() + b"\0" + prompt, 2))
        heard += client.recv(65536)

    with Greeter(manner) as server:
        run = Run(server.port, password="geheim", seconds=3)
        assert run.logins()["asked"].word == "plugin"
        assert run.gaps["login"].reason == "failed"
    assert b"app" in heard
    assert b"geheim" not in heard


@pytest.mark.parametrize(
    ("unix", "sent"),
    [(False, b"\x02"), (True, b"ge\xffheim\0")],
    ids=["over TCP its key is asked for", "over a socket"],
)
def test_how_a_password_is_sent_that_the_server_has_not_cached(unix: bool, sent: bytes) -> None:
    """Also: a password's bytes that are no UTF-8 are sent as they are."""
    heard = b""

    def manner(client: socket.socket, over: threading.Event) -> None:
        nonlocal heard
        client.sendall(HELLO)
        client.recv(65536)
        client.sendall(g.packet(b"\x01\x04", 2))
        heard = client.recv(65536)[4:]

    with Greeter(manner, unix=unix) as server:
        Run(server.port, socket=server.path, password="ge\udcffheim", seconds=2).line.close()
    assert heard == sent


def test_a_password_that_turns_out_to_have_expired_at_the_first_question() -> None:
    def manner(client: socket.socket, over: threading.Event) -> None:
        client.sendall(HELLO)
        client.recv(65536)
        client.sendall(g.packet(b"\0\0\0\2\0\0\0", 2))
        client.recv(65536)  # SET NAMES
        client.sendall(g.packet(b"\0\0\0\2\0\0\0", 1))
        client.recv(65536)  # SET SESSION
        client.sendall(g.error(1820, "You must SET PASSWORD before executing this statement", number=1))
        over.wait()

    with Greeter(manner) as server, Run(server.port, password="x", seconds=3) as run:
        assert (run.logins()["asked"].word, run.logins()["asked"].code) == ("expired", 1820)
        with pytest.raises(CannotLook, match="nobody is logged in"):
            run.line.ask("SELECT 1", run.deadline)


def test_a_library_that_is_missing_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymysql._auth._nacl_bindings", None)
    monkeypatch.setitem(__import__("sys").modules, "nacl", None)
    with Greeter(g.then(HELLO, g.switch("client_ed25519"))) as server, Run(server.port, password="x") as run:
        login = run.logins()["asked"]
        assert login.word == "plugin"
        assert "ed25519" in login.text.lower()


def test_an_answer_that_makes_no_sense_later_is_a_gap_and_ends_the_line() -> None:
    ok = g.packet(b"\0\0\0\2\0\0\0", 2)

    def manner(client: socket.socket, over: threading.Event) -> None:
        client.sendall(HELLO)
        client.recv(65536)
        client.sendall(ok)
        for _ in range(2):  # SET NAMES, SET SESSION
            client.recv(65536)
            client.sendall(g.packet(b"\0\0\0\2\0\0\0", 1))
        client.recv(65536)
        client.sendall(g.packet(b"\x02", 1) + g.packet(b"\x03de", 2))
        over.wait()

    with Greeter(manner) as server, Run(server.port, seconds=3) as run:
        assert run.logins()["asked"].word == "failed"


def world_server(path: str) -> ServerProcess:
    return db_world.make(ServerProcess, sockets=(path,))


@needs_root
def test_the_other_door_is_tried_where_the_port_is_silent() -> None:
    with Greeter(g.silent) as server, Greeter(g.silent, unix=True) as other:
        run = Run(server.port, seconds=5, given=(world_server(other.path),))
        assert run.logins()["admin"].word == "silent"
        assert run.took < 5 + BUSY
        assert (server.clients, other.clients) == (1, 1)
        assert run.gaps["login"].reason == "skipped"


@needs_root
def test_never_more_than_three_connections() -> None:
    no = g.error(1045, "Access denied for user 'app'@'h'", number=2)
    tls_no = g.error(1045, "Access denied for user 'app'@'h'", number=3)
    trusted = __import__("trustme").CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.issue_cert("localhost").configure_cert(context)
    plain, inside = g.then(g.greeting(tls=True), no), g.encrypted(g.greeting(tls=True), context, tls_no)
    turn = iter((plain, inside))

    def in_turn(client: socket.socket, over: threading.Event) -> None:
        next(turn)(client, over)

    with (
        Greeter(in_turn) as server,
        Greeter(g.then(HELLO, no), unix=True) as other,
        Run(server.port, tls="off", password="x", given=(world_server(other.path),)) as run,
    ):
        assert {a: login.word for a, login in run.logins().items()} == dict.fromkeys(
            ("asked", "with-tls", "admin"), "denied"
        )
        assert run.line.count() == (3, 0)
        assert (server.clients, other.clients) == (2, 1)
        assert run.logins()["with-tls"].tls


# A real server


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    if why := mariadb.missing():
        pytest.skip(why)
    with MariaDB() as made:
        made.start()
        made.account("app", 'pä"s', grant="SELECT ON *.*")
        made.sql("CREATE USER little@'%' IDENTIFIED BY 'x'", "CREATE DATABASE shop", "CREATE TABLE shop.t (a INT)",
                 "CREATE USER locked@'%' IDENTIFIED BY 'x' ACCOUNT LOCK",
                 "CREATE USER old@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE",
                 "CREATE USER os@'%' IDENTIFIED VIA unix_socket",
                 "CREATE USER one@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 1")  # fmt: skip
        yield made


PASSWORD = 'pä"s'


def test_a_login_and_a_question(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        login = run.logins()["asked"]
        assert (login.word, login.account, login.tls, login.password) == ("ok", "app@%", False, True)
        assert run.line.user == "app@%"
        assert run.line.flavour == "MariaDB"
        row = run.line.ask("SELECT CONNECTION_ID() AS id, %s AS said, _binary 'a\\xff' AS raw", run.deadline, ("ü'",))[
            0
        ]
        assert (row["id"], row["said"]) == (run.line.own_id, "ü'")
        assert run.line.count() == (1, 4)
        assert PASSWORD not in repr(run.facts)


def test_bytes_that_are_no_text_break_no_answer(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        rows = run.line.ask("SELECT CONVERT(x'61ff62' USING latin1) AS a, x'61ff62' AS b, 1 AS n", run.deadline)
        assert rows == [{"a": "aÿb", "b": "a\ufffdb", "n": 1}]


def test_what_we_ask_cannot_run_or_wait_for_long(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        limits = run.line.ask(
            "SELECT @@max_statement_time AS s, @@lock_wait_timeout AS m, @@innodb_lock_wait_timeout AS r", run.deadline
        )[0]
        assert limits == {"s": 2.0, "m": 1, "r": 1}
        with pytest.raises(CannotLook, match="cut our question short: 1969"):
            run.line.ask("SELECT SLEEP(30)", run.deadline)
        assert run.line.ask("SELECT 1 AS one", run.deadline) == [{"one": 1}]


def test_a_question_that_is_not_answered_in_time_ends_the_line(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        with pytest.raises(OutOfTime):
            run.line.ask("SELECT SLEEP(1.9)", Deadline(0.3))
        with pytest.raises(CannotLook) as caught:
            run.line.ask("SELECT 1", Deadline(5))
        assert caught.value.gap.reason == "skipped"


def test_a_connection_that_is_killed_ends_the_line(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        server.sql(f"KILL {run.line.own_id}")
        for reason in ("failed", "skipped"):
            with pytest.raises(CannotLook) as caught:
                run.line.ask("SELECT 1", run.deadline)
            assert caught.value.gap.reason == reason


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nope FROM shop.t", "SELECT * FROM shop.nope", "SELECT * FROM information_schema.nope",
        "SELECT @@nope", "SHOW NOPE",
    ],
)  # fmt: skip
def test_what_this_version_does_not_have(server: MariaDB, sql: str) -> None:
    with Run(server.port, password=PASSWORD) as run:
        with pytest.raises(NotHere):
            run.line.ask(sql, run.deadline)
        assert run.line.ask("SELECT 1 AS one", run.deadline) == [{"one": 1}]


@pytest.mark.parametrize(
    ("sql", "unlock"),
    [
        ("SHOW ENGINE INNODB STATUS", "GRANT PROCESS ON *.* TO 'little'@'%'"),
        ("SHOW SLAVE STATUS", "GRANT SLAVE MONITOR ON *.* TO 'little'@'%'"),
        ("SHOW MASTER STATUS", "GRANT BINLOG MONITOR ON *.* TO 'little'@'%'"),
        ("SELECT * FROM mysql.global_priv", "GRANT SELECT ON mysql.global_priv TO 'little'@'%'"),
        ("SELECT * FROM information_schema.INNODB_TRX", "GRANT PROCESS ON *.* TO 'little'@'%'"),
    ],
)
def test_a_missing_right_names_the_grant(server: MariaDB, sql: str, unlock: str) -> None:
    with Run(server.port, user="little", password="x") as run:
        with pytest.raises(CannotLook) as caught:
            run.line.ask(sql, run.deadline)
        assert (caught.value.gap.reason, caught.value.gap.unlock) == ("forbidden", unlock)


def test_grants_of_mysqls_own_texts() -> None:
    said = "SELECT command denied to user 'mon'@'%' for table 'user'"
    assert grant(said, "mon@%", "SELECT * FROM mysql.user") == "GRANT SELECT ON mysql.user TO 'mon'@'%'"
    said = "SELECT command denied to user 'mon'@'%' for column 'a' in table 'user'"
    assert grant(said, "mon@%", "SELECT a FROM mysql.user") == "GRANT SELECT ON mysql.user TO 'mon'@'%'"
    said = "Access denied; you need (at least one of) the SUPER, REPLICATION CLIENT privilege(s) for this operation"
    assert grant(said, "mon@%", "") == "GRANT REPLICATION CLIENT ON *.* TO 'mon'@'%'"
    assert quoted("o'x@10.0.0.%") == "'o''x'@'10.0.0.%'"


@pytest.mark.parametrize(
    ("user", "password", "database", "word"),
    [
        ("app", "wrong", "", "denied"),
        ("nobody-here", "", "", "denied"),
        ("app", PASSWORD, "nodb", "unknown-database"),
        ("little", "x", "shop", "no-privilege"),
        ("little", "x", "nodb", "no-privilege"),
        ("locked", "x", "", "locked"),
        ("old", "x", "", "expired"),
        ("os", "x", "", "plugin"),
    ],
)
def test_how_a_login_fails(server: MariaDB, user: str, password: str, database: str, word: str) -> None:
    with Run(server.port, user=user, password=password, database=database) as run:
        assert run.logins()["asked"].word == word
        assert set(run.logins()) == {"asked"}


def test_an_account_may_have_as_many_connections_as_it_is_given(server: MariaDB) -> None:
    with server.connect(user="one", password="x"), Run(server.port, user="one", password="x") as run:
        assert run.logins()["asked"].word == "user-limit"


@needs_root
def test_who_is_turned_away_beside_the_server_looks_in_as_its_administrator(server: MariaDB) -> None:
    given = (world_server(str(server.socket)),)
    with Run(server.port, user="app", password="wrong", given=given) as run:
        logins = run.logins()
        assert (logins["asked"].word, logins["admin"].word, logins["admin"].user) == ("denied", "ok", "root")
        assert logins["asked"].account == "app@localhost"
        assert run.line.user == "root@localhost"
        assert run.line.count()[0] == 2
        assert not run.gaps


@needs_root
@pytest.mark.parametrize(
    ("user", "password", "database", "exists", "like"),
    [
        ("app", PASSWORD, "shopp", False, ("shop",)),
        ("app", PASSWORD, "billing", False, ()),
        ("little", "x", "shop", True, ()),
        ("little", "x", "SHOPS", False, ("shop",)),
    ],
)
def test_the_administrator_tells_whether_the_database_exists(
    server: MariaDB, user: str, password: str, database: str, exists: bool, like: tuple[str, ...]
) -> None:
    given = (world_server(str(server.socket)),)
    with Run(server.port, user=user, password=password, database=database, given=given) as run:
        admin = run.logins()["admin"]
        assert (admin.database_exists, admin.databases_like) == (exists, like)


@needs_root
def test_nobody_asked_for_an_account_and_the_administrator_gets_in(server: MariaDB) -> None:
    run = Run(server.port, user="nobody-here", account_given=False, given=(world_server(str(server.socket)),))
    run.line.close()
    assert run.logins()["admin"].word == "ok"
    assert not run.gaps


def test_nobody_asked_for_an_account_and_none_gets_in(server: MariaDB) -> None:
    with Run(server.port, user="nobody-here", account_given=False) as run:
        assert run.logins()["asked"].word == "denied"
        assert run.gaps["login"].reason == "forbidden"
        assert "--user" in run.gaps["login"].unlock


@needs_mariadb
@needs_root
@pytest.mark.parametrize("through", ["port", "socket"])
def test_a_full_server_lets_its_administrator_in(through: str) -> None:
    with MariaDB(max_connections=10) as full:
        full.start()
        full.account("app", "x", grant="SELECT ON *.*")
        held = [full.connect(user="app", password="x") for _ in range(10)]
        where = {"port": full.port} if through == "port" else {"socket": str(full.socket)}
        with Run(**where, password="x", given=(world_server(str(full.socket)),)) as run:  # type: ignore[arg-type]
            assert (run.logins()["asked"].word, run.logins()["admin"].word) == ("too-many-connections", "ok")
            assert len(run.line.ask("SHOW PROCESSLIST", run.deadline)) >= 11
        for connection in held:
            connection.close()


@needs_mariadb
@needs_root
def test_a_full_server_whose_last_seat_is_taken_for_a_moment_is_asked_again() -> None:
    with MariaDB(max_connections=10) as full:
        full.start()
        full.account("app", "x", grant="SELECT ON *.*")
        held = [full.connect(user="app", password="x") for _ in range(10)]
        last = full.connect(user="root")
        leaves = threading.Timer(0.2, last.close)
        leaves.start()
        with Run(socket=str(full.socket), user="root", given=(world_server(str(full.socket)),)) as run:
            assert [login.word for login in run.logins().values()] == ["too-many-connections", "ok"]
        leaves.join()
        for connection in held:
            connection.close()


@needs_mariadb
def test_a_stopped_server_costs_no_more_than_the_deadline_and_its_waking_finds_nobody() -> None:
    with MariaDB() as stopped:
        stopped.start()
        stopped.account("app", "x")
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            run = Run(stopped.port, password="x", seconds=2.0, given=(world_server(str(stopped.socket)),))
            run.line.close()
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        assert run.word(TcpAnswer) == "open"
        assert run.word(Greeting) == "silent"
        assert run.took < 2 + BUSY
        with Run(stopped.port, password="x") as after:
            assert after.logins()["asked"].word == "ok"


@needs_mariadb
def test_a_server_that_stops_while_it_is_asked(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD, seconds=1.5) as run:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutOfTime):
                run.line.ask("SELECT 1", run.deadline)
            begin = time.monotonic()
            run.line.close()
            assert time.monotonic() - begin < BUSY
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_one_asks_after_the_other_from_many_threads(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD) as run:
        answers: dict[int, int] = {}

        def ask(n: int) -> None:
            answers[n] = run.line.ask("SELECT %s AS n", run.deadline, (n,))[0]["n"]

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {n: n for n in range(20)}


# MySQL itself, where one can be had


@pytest.fixture(scope="module")
def oracle() -> Iterator[mysql.MySQL]:
    if why := mysql.missing():
        pytest.skip(why)
    with mysql.MySQL() as made:
        made.start()
        made.account("app", "x")
        made.sql("CREATE USER locked@'%' IDENTIFIED BY 'x' ACCOUNT LOCK",
                 "CREATE USER old@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE",
                 "CREATE USER safe@'%' IDENTIFIED BY 'x' REQUIRE SSL",
                 "CREATE USER little@'%' IDENTIFIED BY 'x'")  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("user", "password", "database", "word", "code"),
    [
        ("app", "wrong", "", "denied", 1045),
        ("app", "x", "nodb", "unknown-database", 1049),
        ("little", "x", "nodb", "no-privilege", 1044),
        ("locked", "x", "", "locked", 3118),
        ("old", "x", "", "expired", 1862),
    ],
)
def test_how_a_login_to_mysql_fails(
    oracle: mysql.MySQL, user: str, password: str, database: str, word: str, code: int
) -> None:
    with Run(oracle.port, user=user, password=password, database=database) as run:
        assert (run.logins()["asked"].word, run.logins()["asked"].code) == (word, code)


@pytest.mark.parametrize("tls", ["off", "preferred", "required"])
def test_a_login_to_mysql(oracle: mysql.MySQL, tls: str) -> None:
    with Run(oracle.port, password="x", tls=tls) as run:
        assert (run.logins()["asked"].word, run.logins()["asked"].tls) == ("ok", tls != "off")
        assert run.line.flavour == "MySQL"
        limits = run.line.ask("SELECT @@max_execution_time AS s, @@lock_wait_timeout AS m", run.deadline)
        assert limits == [{"s": 2000, "m": 1}]
        with pytest.raises(NotHere):
            run.line.ask("SHOW SLAVE STATUS", run.deadline)


def test_mysql_says_aloud_that_it_demands_tls(oracle: mysql.MySQL) -> None:
    oracle.sql("SET GLOBAL require_secure_transport=ON")
    try:
        with Run(oracle.port, password="x", tls="off") as run:
            assert (run.logins()["asked"].word, run.logins()["with-tls"].word) == ("tls-required", "ok")
    finally:
        oracle.sql("SET GLOBAL require_secure_transport=OFF")


def test_an_account_of_mysql_that_demands_tls(oracle: mysql.MySQL) -> None:
    with Run(oracle.port, user="safe", password="x", tls="off") as run:
        assert (run.logins()["asked"].word, run.logins()["with-tls"].word) == ("denied", "ok")


@pytest.mark.parametrize(
    ("sql", "unlock"),
    [
        ("SHOW ENGINE INNODB STATUS", "GRANT PROCESS ON *.* TO 'little'@'%'"),
        ("SHOW REPLICA STATUS", "GRANT REPLICATION CLIENT ON *.* TO 'little'@'%'"),
        ("SELECT * FROM mysql.user", "GRANT SELECT ON mysql.user TO 'little'@'%'"),
    ],
)
def test_a_right_that_mysql_misses_names_the_grant(oracle: mysql.MySQL, sql: str, unlock: str) -> None:
    with Run(oracle.port, user="little", password="x") as run:
        with pytest.raises(CannotLook) as caught:
            run.line.ask(sql, run.deadline)
        assert caught.value.gap.unlock == unlock


# TLS


@pytest.fixture(scope="module")
def encrypted() -> Iterator[SimpleNamespace]:
    """A real MariaDB with a certificate of our own CA for `localhost`, accounts that demand TLS, and the CA's file."""
    import trustme

    if why := mariadb.missing():
        pytest.skip(why)
    ca = trustme.CA()
    with MariaDB() as made:
        made.folder.mkdir(exist_ok=True)
        leaf = ca.issue_cert("localhost")
        ca.cert_pem.write_to_path(str(made.folder / "ca.pem"))
        leaf.private_key_pem.write_to_path(str(made.folder / "key.pem"))
        leaf.cert_chain_pems[0].write_to_path(str(made.folder / "cert.pem"))
        made.start(ssl_ca=str(made.folder / "ca.pem"), ssl_cert=str(made.folder / "cert.pem"),
                   ssl_key=str(made.folder / "key.pem"))  # fmt: skip
        made.account("app", "x", grant="SELECT ON *.*")
        made.sql("CREATE USER safe@'%' IDENTIFIED BY 'x' REQUIRE SSL",
                 "CREATE USER mutual@'%' IDENTIFIED BY 'x' REQUIRE X509")  # fmt: skip
        yield SimpleNamespace(db=made, ca=str(made.folder / "ca.pem"))


def test_tls_is_spoken_where_it_is_offered(encrypted: SimpleNamespace) -> None:
    with Run(encrypted.db.port, host="localhost", addresses=("127.0.0.1",), password="x") as run:
        answer, login = run.of(TlsAnswer)[0], run.logins()["asked"]
        assert (answer.word, answer.verified, answer.version, answer.would) == ("ok", False, "TLSv1.3", "ok")
        assert (login.word, login.tls) == ("ok", True)
        assert run.of(Certificate)[0].names == ("localhost",)
        assert run.line.ask("SHOW STATUS LIKE 'Ssl_version'", run.deadline)[0]["Value"] == "TLSv1.3"


def test_tls_is_not_spoken_where_it_is_off(encrypted: SimpleNamespace) -> None:
    with Run(encrypted.db.port, password="x", tls="off") as run:
        assert run.logins()["asked"].word == "ok"
        assert run.of(TlsAnswer) == []


@pytest.mark.parametrize("wish", ["verify-ca", "verify-identity"])
def test_a_server_that_is_who_it_says(encrypted: SimpleNamespace, wish: str) -> None:
    with Run(
        encrypted.db.port, host="localhost", addresses=("127.0.0.1",), password="x", tls=wish, ca=encrypted.ca
    ) as run:
        assert (run.of(TlsAnswer)[0].word, run.of(TlsAnswer)[0].verified) == ("ok", True)
        assert run.logins()["asked"].word == "ok"


def test_a_name_is_looked_at_only_where_it_is_asked_for(encrypted: SimpleNamespace) -> None:
    for wish, word in (("verify-ca", "ok"), ("verify-identity", "wrong-name")):
        with Run(encrypted.db.port, host="127.0.0.1", password="x", tls=wish, ca=encrypted.ca) as run:
            assert run.of(TlsAnswer)[0].word == word
            assert run.of(Certificate)[0].names == ("localhost",)
            assert run.logins()["asked"].word == ("ok" if word == "ok" else "tls-failed")


def test_a_ca_that_the_system_does_not_know(encrypted: SimpleNamespace) -> None:
    with Run(encrypted.db.port, host="localhost", addresses=("127.0.0.1",), password="x", tls="verify-ca") as run:
        assert (run.of(TlsAnswer)[0].word, run.logins()["asked"].word) == ("unknown-ca", "tls-failed")
        assert run.of(Certificate)[0].chain == 2  # the server sends its CA along
        assert set(run.logins()) == {"asked"}


def test_a_ca_file_that_is_not_there(encrypted: SimpleNamespace) -> None:
    with Run(encrypted.db.port, password="x", tls="verify-ca", ca="/nonexistent/ca.pem") as run:
        answer = run.of(TlsAnswer)[0]
        assert answer.word == "ca-file"
        assert "/nonexistent/ca.pem" in answer.detail
        assert run.logins()["asked"].word == "tls-failed"


def test_tls_is_asked_for_and_there_is_none(server: MariaDB) -> None:
    with Run(server.port, password=PASSWORD, tls="required") as run:
        assert (run.of(TlsAnswer)[0].word, run.logins()["asked"].word) == ("unavailable", "tls-failed")


def test_an_account_that_demands_tls_is_tried_with_it(encrypted: SimpleNamespace) -> None:
    with Run(encrypted.db.port, user="safe", password="x", tls="off") as run:
        logins = run.logins()
        assert (logins["asked"].word, logins["asked"].tls) == ("denied", False)
        assert (logins["with-tls"].word, logins["with-tls"].tls) == ("ok", True)
        assert run.line.ask("SELECT 1 AS one", run.deadline) == [{"one": 1}]
        assert run.line.count()[0] == 2


def test_a_server_that_demands_tls_of_everybody(encrypted: SimpleNamespace) -> None:
    encrypted.db.sql("SET GLOBAL require_secure_transport=ON")
    try:
        with Run(encrypted.db.port, user="app", password="x", tls="off") as run:
            assert run.logins()["asked"].word in ("denied", "tls-required")
            assert run.logins()["with-tls"].word == "ok"
    finally:
        encrypted.db.sql("SET GLOBAL require_secure_transport=OFF")


def test_tls_over_a_socket_is_spoken_only_where_it_is_asked_for(encrypted: SimpleNamespace) -> None:
    for wish, used in (("preferred", False), ("required", True)):
        with Run(socket=str(encrypted.db.socket), password="x", tls=wish, host="localhost") as run:
            assert (run.logins()["asked"].word, run.logins()["asked"].tls) == ("ok", used)


def test_a_server_that_falls_silent_in_the_handshake() -> None:
    with Greeter(g.then(g.greeting(tls=True), g.silent)) as server, Run(server.port, seconds=2) as run:
        assert run.logins()["asked"].word == "silent"
        assert run.of(TlsAnswer)[0].word == "failed"
    assert run.took < 2 + BUSY


def test_a_server_that_offers_tls_and_speaks_plain() -> None:
    plain = g.then(g.greeting(tls=True), g.error(1045, "what", number=1))
    with Greeter(plain) as server, Run(server.port, seconds=3) as run:
        assert run.of(TlsAnswer)[0].word == "plaintext"
        assert run.logins()["asked"].word == "tls-failed"

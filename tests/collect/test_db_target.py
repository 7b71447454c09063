"""What is to be connected to: from the command line, the client's files, the environment, or the server that runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbdiag.collect import db_running, db_target, option_files, sockets
from rbdiag.collect.db_target import TargetError, parse_target
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, OptionProblem
from rbdiag.model import CannotLook
from tests.servers.mariadb import MariaDB

PLANTED = "pl-anted#S3cret"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose ~/.my.cnf is the only option file there is, on a host where no server runs."""
    monkeypatch.setattr(option_files, "default_files", lambda environ, *_, **__: (str(tmp_path / ".my.cnf"),))
    monkeypatch.setattr(db_target, "running", list)
    monkeypatch.setattr(db_target, "SOCKETS", (str(tmp_path / "usual.sock"), str(tmp_path / "b"), str(tmp_path / "c")))
    return tmp_path


def find(
    target: str = "", files: str = "", home: Path | None = None, environ: dict[str, str] | None = None, **asked: Any
):
    if home is not None and files:
        (home / ".my.cnf").write_text(files)
        (home / ".my.cnf").chmod(0o600)
    return db_target.find(target, environ={"HOME": str(home), **(environ or {})}, **asked)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("db1", {"host": "db1"}),
        ("db1:3307", {"host": "db1", "port": "3307"}),
        (":3307", {"host": "localhost", "port": "3307"}),
        ("::1", {"host": "::1"}),
        ("[::1]", {"host": "::1"}),
        ("[2001:db8::5]:3307", {"host": "2001:db8::5", "port": "3307"}),
        ("fe80::1%eth0", {"host": "fe80::1%eth0"}),
        ("/run/mysqld/mysqld.sock", {"socket": "/run/mysqld/mysqld.sock"}),
        ("mysql://db1", {"host": "db1"}),
        ("mysql://app@db1:3307/shop", {"host": "db1", "port": "3307", "user": "app", "database": "shop"}),
        ("mariadb://a%40b@[::1]:1/x%2Fy", {"host": "::1", "port": "1", "user": "a@b", "database": "x/y"}),
        ("mysql+pymysql://app@db1/shop?charset=utf8mb4", {"host": "db1", "user": "app", "database": "shop"}),
        ("jdbc:mysql://db1/shop?user=app&useSSL=false", {"host": "db1", "user": "app", "database": "shop"}),
        ("mysql://app@/shop?unix_socket=/s.sock", {"socket": "/s.sock", "user": "app", "database": "shop"}),
        ("mysql:///shop", {"database": "shop"}),
        ("mysql://app:@db1", {"host": "db1", "user": "app"}),
    ],
)
def test_a_target_is_taken_apart(text: str, parts: dict[str, str]) -> None:
    assert parse_target(text) == parts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("db1:", "a port is a number"),
        ("db1:mysql", "a port is a number"),
        ("db1:0", "a port is a number"),
        ("db1:65536", "a port is a number"),
        ("db1:３３０６", "a port is a number"),
        ("1:2:3", "one of IPv6 with a port is written"),
        ("[db1]:3306", "no IPv6 address"),
        ("a b", "no host"),
        ("db1/shop", "no host"),
        ("-v", "no host"),
        ("x" * 300, "no host"),
        ("app@db1", "--user app"),
        ("http://db1", "begins with mysql://"),
        ("postgres://db1", "begins with mysql://"),
        ("mysql://[::1", "no address"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(TargetError, match=says.replace("[", r"\[")) as error:
        parse_target(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        f"mysql://app:{PLANTED}@db1/shop", f"mysql://app:x@{PLANTED}@db1", f"mysql://db1/?user=a&password={PLANTED}",
        f"app:{PLANTED}@db1", f"jdbc:mysql://db1/?pwd={PLANTED}", f"mysql://app:{PLANTED}@[::1",
    ],
)  # fmt: skip
def test_a_password_in_the_target_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(TargetError) as error:
        parse_target(text)
    assert PLANTED not in str(error.value)
    assert "--password-file" in str(error.value) or "no URL" in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    try:
        parts = parse_target(text)
    except TargetError:
        return
    assert set(parts) <= {"host", "port", "socket", "user", "database"}


def test_localhost_means_the_socket(home: Path) -> None:
    for target in ("", "localhost", "LOCALHOST"):
        fact = find(target, f"[client]\nsocket={home}/my.sock\n", home).target
        assert (fact.subject, fact.host, fact.socket, fact.local) == (
            f"{home}/my.sock",
            "localhost",
            f"{home}/my.sock",
            True,
        )
        assert fact.origins == (f"socket from {home}/.my.cnf:2",)


def test_127_0_0_1_means_tcp(home: Path) -> None:
    fact = find("127.0.0.1", f"[client]\nsocket={home}/my.sock\n", home).target
    assert (fact.subject, fact.socket, fact.local) == ("127.0.0.1:3306", "", True)


@pytest.mark.parametrize(
    "asked",
    [
        {"target": "localhost:3307"},
        {"port": 3307},
        {"host": "localhost", "port": "3307"},
        {"target": "localhost", "port": 3307},
    ],
)
def test_a_port_that_is_asked_for_means_tcp_and_that_is_said(asked: dict[str, Any], home: Path) -> None:
    fact = find(home=home, files=f"[client]\nsocket={home}/my.sock\n", **asked).target
    assert (fact.subject, fact.socket) == ("127.0.0.1:3307", "")
    assert any("so TCP and not the socket" in said for said in fact.origins)


def test_protocol_tcp_keeps_the_name(home: Path) -> None:
    fact = find("", f"[client]\nsocket={home}/my.sock\nprotocol=TCP\n", home).target
    assert (fact.subject, fact.socket) == ("localhost:3306", "")


def test_the_option_files_give_what_the_command_line_leaves_open(home: Path) -> None:
    files = f"[client]\nhost=db9\nport=3309\nuser=app\npassword={PLANTED!r}\n[mysql]\ndatabase=shop\n[mysqld]\nport=1\n"
    found = find("", files, home)
    fact = found.target
    assert (fact.subject, fact.user, fact.database) == ("db9:3309", "app", "shop")
    assert (fact.password, fact.account_given, fact.local) == (True, True, False)
    assert found.secret.reveal() == PLANTED
    assert f"port 3309 from {home}/.my.cnf:3" in fact.origins
    fact = find("db2", files, home, user="other", port=1, database="x").target
    assert (fact.subject, fact.user, fact.database) == ("db2:1", "other", "x")


def test_a_defaults_file_is_read_alone(home: Path) -> None:
    (home / ".my.cnf").write_text("[client]\nuser=home\nhost=db1\n")
    (home / "only.cnf").write_text("[client]\nhost=db2\n")
    fact = find(defaults_file=str(home / "only.cnf")).target
    assert (fact.host, fact.account_given) == ("db2", False)
    with pytest.raises(TargetError, match=r"none\.cnf is not there"):
        find(defaults_file=str(home / "none.cnf"))


def test_the_environment_comes_after_the_files(home: Path) -> None:
    environ = {"MYSQL_TCP_PORT": "3310", "MYSQL_UNIX_PORT": "/env.sock", "MYSQL_HOST": "ignored", "MYSQL_PWD": "pwd"}
    found = find("db1", home=home, environ=environ)
    assert (found.target.subject, found.secret.reveal()) == ("db1:3310", "pwd")
    assert find("", home=home, environ=environ).target.socket == "/env.sock"
    found = find("", "[client]\nport=1\npassword=file\n", home, environ=environ, host="db1")
    assert (found.target.subject, found.secret.reveal()) == ("db1:1", "file")
    assert find("db1", home=home / "none", environ=environ | {"RBDIAG_DB_PASSWORD": "ours"}).secret.reveal() == "file"


def test_a_files_password_is_not_that_of_another_user(home: Path) -> None:
    files, environ = "[client]\nuser=root\npassword=roots\n", {"RBDIAG_DB_PASSWORD": "apps"}
    assert find("db1", files, home, user="app", environ=environ).secret.reveal() == "apps"
    assert find("db1", files, home, environ=environ).secret.reveal() == "roots"
    assert find("db1", files, home, user="app").secret.reveal() == "roots"  # as the client does


def test_the_group_suffix_is_read(home: Path) -> None:
    files = "[client]\nport=1\n[client_two]\nport=2\n"
    assert find("db1", files, home).target.port == 1
    assert find("db1", files, home, environ={"MYSQL_GROUP_SUFFIX": "_two"}).target.port == 2


def test_without_an_account_it_is_the_users_own_and_not_a_given_one(home: Path) -> None:
    fact = find("db1", home=home).target
    assert (fact.user, fact.account_given, fact.password) == (
        subprocess.check_output(["id", "-un"], text=True).strip(),
        False,
        False,
    )
    assert find("db1", home=home, user="app").target.account_given
    assert find("db1", home=home, password="x").target.account_given


@pytest.mark.parametrize(
    ("target", "asked", "says"),
    [
        ("db1", {"host": "db2"}, "name one of them"),
        ("db1:1", {"port": 2}, "name one of them"),
        ("mysql://a@db1", {"user": "b"}, "name one of them"),
        ("/s.sock", {"host": "db1"}, "a socket is on this host"),
        ("db1", {"socket": "/s.sock"}, "a socket is on this host"),
        ("/s.sock", {"port": 3306}, "a socket has no port"),
        ("", {"socket": "s.sock"}, "absolute path"),
        ("", {"port": "x"}, "a port is a number"),
        ("db1", {"ssl_ca": "/none.pem"}, "--ssl-ca is not there"),
        ("db1", {"password_file": "/none"}, "cannot be read: no such file"),
        ("db1", {"password_file": "/"}, "cannot be read: is a directory"),
        ("db1", {"password_file": "/dev/null"}, "is empty"),
    ],
)
def test_what_does_not_go_together_is_refused(target: str, asked: dict[str, Any], says: str, home: Path) -> None:
    with pytest.raises(TargetError, match=says):
        find(target, home=home, **asked)


@pytest.mark.parametrize(("text", "says"), [("port=abc", "a port is a number"), ("host=a b", "no host")])
def test_a_file_that_makes_no_sense_is_named_with_its_line(text: str, says: str, home: Path) -> None:
    with pytest.raises(TargetError, match=rf"{says}.*\.my\.cnf:2"):
        find("" if "host" in text else "db1", f"[client]\n{text}\n", home)


def test_what_says_the_same_twice_is_no_quarrel(home: Path) -> None:
    assert find("db1:3307", home=home, host="db1", port=3307).target.subject == "db1:3307"
    assert find("", home=home, host="localhost", socket="/s.sock").target.socket == "/s.sock"


@pytest.mark.parametrize(
    ("files", "asked", "wish"),
    [
        ("", {}, "preferred"),
        ("ssl", {}, "preferred"),
        ("ssl=1", {}, "preferred"),
        ("ssl=0", {}, "off"),
        ("skip-ssl", {}, "off"),
        ("skip-ssl", {"require_tls": True}, "required"),
        ("ssl-mode=DISABLED", {}, "off"),
        ("ssl-mode=REQUIRED", {}, "required"),
        ("ssl-mode=VERIFY_CA", {"require_tls": True}, "verify-ca"),
        ("ssl_mode=verify_identity", {}, "verify-identity"),
        ("ssl-ca=/ca.pem", {}, "verify-ca"),
        ("ssl-ca=/ca.pem\nssl-verify-server-cert", {}, "verify-identity"),
        ("disable-ssl-verify-server-cert", {}, "preferred"),
        ("", {"require_tls": True}, "required"),
        ("skip-ssl", {"ssl_ca": "/etc/passwd"}, "verify-ca"),
    ],
)
def test_how_far_tls_is_wanted(files: str, asked: dict[str, Any], wish: str, home: Path) -> None:
    assert find("db1", f"[client]\n{files}\n", home, **asked).target.tls == wish


def test_the_file_of_the_authorities_is_handed_on(home: Path) -> None:
    assert find("db1", "[client]\nssl-ca=/ca.pem\n", home).ssl_ca == "/ca.pem"
    assert find("db1", "[client]\nssl-ca=/ca.pem\n", home, ssl_ca="/etc/passwd").ssl_ca == "/etc/passwd"


def test_a_password_file_gives_its_first_line(home: Path) -> None:
    (home / "p").write_bytes(PLANTED.encode() + b"\r\nsecond\n")
    assert find("db1", home=home, password_file=str(home / "p")).secret.reveal() == PLANTED
    assert find("db1", home=home, password_file=str(home / "p"), password="typed").secret.reveal() == "typed"


def test_a_login_path_wins(home: Path) -> None:
    from tests.collect.test_option_files import lock

    (home / ".mylogin.cnf").write_bytes(lock(b'[client]\nuser = "app"\npassword = "hidden"\n'))
    found = find("db1", "[client]\nuser=x\n", home)
    assert (found.target.user, found.secret.reveal()) == ("app", "hidden")
    (home / ".mylogin.cnf").write_bytes(b"spoiled")
    with pytest.raises(CannotLook, match=r"mylogin\.cnf cannot be read"):
        list(find("db1", home=home).look(Deadline(1)))


def test_no_password_shows_anywhere(home: Path) -> None:
    found = find("db1", f"[client]\nuser=app\npassword='{PLANTED}'\n", home)
    shown = [
        repr(found),
        str(found),
        repr(found.secret),
        str(found.secret),
        repr(found.target),
        json.dumps(vars(found.target)),
    ]
    shown += [str(fact) + repr(fact) for fact in found.look(Deadline(1))]
    assert not any(PLANTED in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(found.secret)
    assert not hasattr(found, "__dict__")
    assert not hasattr(found.secret, "__dict__")


def test_the_check_tells_the_target_first_and_then_what_is_wrong_with_the_files(home: Path) -> None:
    first, *rest = find("db1", "[client]\nport=1\n[mysql\n", home).look(Deadline(1))
    assert isinstance(first, DbTarget)
    assert first.port == 1
    assert [(p.word, p.side, p.line, p.stops) for p in rest if isinstance(p, OptionProblem)] == [
        ("bad-group", "client", 3, True)
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("option", ["defaults_file", "password_file"])
def test_a_file_we_may_not_read_is_a_gap_beside_the_target(option: str, home: Path) -> None:
    folder = Path(f"/tmp/rbt{os.getpid()}")
    folder.mkdir(mode=0o755)
    (folder / "secret").write_text("[client]\nuser=x\n")
    (folder / "secret").chmod(0o600)
    os.seteuid(65534)
    try:
        look = find("db1", **{option: str(folder / "secret")}).look(Deadline(1))
        seen = [type(next(look))]
        with pytest.raises(CannotLook) as error:
            next(look)
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)
    assert (seen, error.value.gap.reason) == ([DbTarget], "forbidden")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", True),
        (os.uname().nodename, True), ("192.0.2.77", False), ("2001:db8::77", False), ("no-such-host.invalid", False),
    ],
)  # fmt: skip
def test_this_host_is_known_without_asking_anybody(host: str, local: bool) -> None:
    assert db_target.is_local(host) is local


# --- the server that runs here ---


class Servers:
    """What stands in for the servers of this host."""

    def __init__(self, *found: db_running.Running) -> None:
        self.found = found

    def __call__(self) -> list[db_running.Running]:
        return list(self.found)


ONE = db_running.Running("mariadbd[60]", 60, ("/opt/one.sock",), (3307,))
TWO = db_running.Running("mysqld[70]", 70, ("/opt/two.sock",), (3306,))
BARE = db_running.Running("mysqld[80]", 80, (), (3308,))


@pytest.mark.parametrize(
    ("servers", "asked", "where"),
    [
        ((ONE,), "", "/opt/one.sock"),
        ((ONE,), "localhost", "/opt/one.sock"),
        ((BARE,), "", "127.0.0.1:3308"),
        ((ONE, TWO), "", "/opt/two.sock"),
        ((ONE, BARE), "", "/opt/one.sock"),
        ((), "", "usual.sock"),
        ((ONE,), "127.0.0.1", "127.0.0.1:3306"),
    ],
    ids=[
        "one", "one, by localhost", "one without a socket", "the one on the usual port", "the lowest port", "none",
        "tcp is asked for",
    ],
)  # fmt: skip
def test_the_server_that_runs_is_meant_where_nothing_else_is_said(
    servers: tuple[db_running.Running, ...], asked: str, where: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_target, "running", Servers(*servers))
    assert find(asked, home=home).target.subject.endswith(where)


def test_the_other_servers_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_target, "running", Servers(ONE, TWO))
    assert find("", home=home).target.origins == (
        "socket of mysqld[70], which runs here", "also here: mariadbd[60] at /opt/one.sock, 3307",
    )  # fmt: skip


def test_a_files_port_chooses_among_the_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_target, "running", Servers(ONE, TWO))
    assert find("", "[client]\nport=3307\n", home).target.socket == "/opt/one.sock"


def test_what_a_file_says_is_not_overruled_by_what_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_target, "running", Servers(ONE))
    assert find("", "[client]\nsocket=/elsewhere.sock\n", home).target.socket == "/elsewhere.sock"


def test_a_real_server_is_found_with_its_socket_and_port(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb().start()
    mine = [r for r in db_running.running() if r.pid == server.pid]
    assert [(r.sockets, r.ports) for r in mine] == [((str(server.socket),), (server.port,))]


def test_a_server_we_may_not_look_into_is_told_by_its_files(
    own_mariadb: Callable[..., MariaDB], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_mariadb().start()
    monkeypatch.setattr(sockets, "held", lambda pid: None)
    mine = [r for r in db_running.running() if r.pid == server.pid]
    assert [(r.sockets, r.ports) for r in mine] == [((str(server.socket),), (server.port,))]


def test_a_server_without_networking_has_no_port(
    own_mariadb: Callable[..., MariaDB], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_mariadb(skip_networking=True).start()
    for held in (sockets.held, lambda pid: None):
        monkeypatch.setattr(sockets, "held", held)
        assert [r.ports for r in db_running.running() if r.pid == server.pid] == [()]


def test_finding_asks_no_name_server_and_is_quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a name server is asked")

    for name in ("getaddrinfo", "gethostbyname", "getfqdn", "gethostbyaddr"):
        monkeypatch.setattr(socket, name, never)
    begin = time.process_time()
    assert find("db.example.invalid", home=home).target.local is False
    assert time.process_time() - begin < 5

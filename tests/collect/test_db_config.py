"""What the option files say about a real server, what its program says about them, and where the server differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rbdiag.collect import db_config, db_drift, db_server, db_target, db_validate, option_files, programs
from rbdiag.collect.db_connect import Line
from rbdiag.collect.db_drift import Variable, same
from rbdiag.deadline import Deadline
from rbdiag.facts.db import Drift, OptionFile, OptionProblem, OptionValue, ServerConfig
from rbdiag.facts.sessions import ServerInfo
from rbdiag.model import CannotLook, Fact, Facts
from tests.diagnose import db_world
from tests.servers import mariadb as mariadb_servers
from tests.servers.database import Database
from tests.servers.mariadb import MariaDB
from tests.servers.mysql import MySQL

PLANTED = "pl-anted#S3cret"
MARIADBD = mariadb_servers.PROGRAM or ""


def target_of(server: Database) -> db_target.Found:
    return db_target.find(str(server.socket), user="root", environ={})


def facts_of(server: Database) -> list[Fact]:
    """The server's own facts, as db.server finds them among all that run here."""
    found = target_of(server).target
    return [found, *db_server.look(found, (), "", Deadline(10))]


def options(server: Database, since: float = 0.0, *config: str) -> list[Fact]:
    facts = facts_of(server)
    return [*facts, *db_config.options(target_of(server).target, config, Facts(facts), since, Deadline(10))]


def drifts(server: Database) -> dict[str, Drift]:
    """What db.drift says of a running server, by variable."""
    facts = [f for f in options(server) if not isinstance(f, Drift)]
    version, flavour = server.variable("version"), "MariaDB" if isinstance(server, MariaDB) else "MySQL"
    facts.append(db_world.make(ServerInfo, flavour=flavour, version=version, hostname=os.uname().nodename, uptime=60.0))
    line = Line(target_of(server))
    try:
        for step in (line.open, line.greet, line.login):
            facts += step(Facts(facts), Deadline(10))
        before = line.count()[1]
        found = list(db_config.drift(line, Facts(facts), Deadline(10)))
        assert line.count()[1] - before <= 2
    finally:
        line.close()
    return {f.subject: f for f in found if isinstance(f, Drift)}


def of(kind: type[Fact], facts: list[Fact]) -> list[Any]:
    return [f for f in facts if type(f) is kind]


def add(server: Database, *lines: str) -> None:
    """Lines at the end of the server's option file, changed after it started."""
    with server.defaults_file.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
    later = time.time() + 1  # the clock of files is coarser than that of processes
    os.utime(server.defaults_file, (later, later))


# What is compared


NUMBER = {"kind": "BIGINT UNSIGNED", "least": 10, "most": 100_000, "block": 1}


@pytest.mark.parametrize(
    ("configured", "running", "more", "alike"),
    [
        ("151", "151", NUMBER, True),
        ("5", "10", NUMBER, True),
        ("1000000", "100000", NUMBER, True),
        ("500", "151", NUMBER, False),
        ("16M", "16777216", {}, True),
        ("16m", "16777217", {}, False),
        ("1000", "0", {"least": 0, "most": 1 << 30, "block": 1024}, True),
        ("16777300", "16777216", {"least": 1024, "most": 1 << 30, "block": 1024}, True),
        ("-1", "80", NUMBER, True),
        ("3307", "0", {"name": "port"}, True),
        ("100M", str(128 << 20), {"name": "innodb_buffer_pool_size"}, True),
        ("100M", str(256 << 20), {"name": "innodb_buffer_pool_size"}, False),
        ("2", "2.000000", {"kind": "DOUBLE"}, True),
        ("2", "5.000000", {"kind": "DOUBLE"}, False),
        ("1", "ON", {"kind": "BOOLEAN"}, True),
        ("", "ON", {"kind": "BOOLEAN"}, True),
        ("yes", "ON", {}, True),
        ("0", "ON", {"kind": "BOOLEAN"}, False),
        ("off", "OFF", {}, True),
        ("mysql-bin", "ON", {"name": "log_bin"}, True),
        ("mysql-bin", "OFF", {"name": "log_bin"}, False),
        ("1", "ON", {"kind": "ENUM", "words": ("OFF", "ON", "FORCE")}, True),
        ("2", "ON", {"kind": "ENUM", "words": ("OFF", "ON", "FORCE")}, False),
        ("row", "ROW", {"kind": "ENUM", "words": ("MIXED", "STATEMENT", "ROW")}, True),
        ("table", "FILE", {"kind": "SET"}, False),
        ("file,TABLE", "TABLE,FILE", {"kind": "SET"}, True),
        ("STRICT_TRANS_TABLES", "ANSI_QUOTES,STRICT_TRANS_TABLES", {"name": "sql_mode"}, False),
        ("ANSI", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI", {"name": "sql_mode"}, True),
        ("", "", {"name": "sql_mode"}, True),
        ("", "STRICT_TRANS_TABLES", {"name": "sql_mode"}, False),
        ("mrr=on", "index_merge=on,mrr=on", {"kind": "FLAGSET"}, True),
        ("mrr=on", "index_merge=on,mrr=off", {"kind": "FLAGSET"}, False),
        ("/tmp/", "/tmp", {"kind": "VARCHAR"}, True),
        ("error.log", "/var/lib/mysql/error.log", {}, True),
        ("./error.log", "/var/lib/mysql/error.log", {}, True),
        ("/var/log/a.log", "/var/log/b.log", {}, False),
        ("utf8", "utf8mb3", {}, True),
        ("0.0.0.0", "127.0.0.1", {}, False),
    ],
)
def test_a_value_is_the_same_however_it_is_written(
    configured: str, running: str, more: dict[str, Any], alike: bool
) -> None:
    assert same(configured, Variable(**{"name": "x", "value": running, **more})) is alike


@pytest.mark.parametrize(
    ("variable", "any_newer", "file_newer", "said"),
    [
        ({"origin": "CONFIG"}, True, True, True),
        ({"origin": "CONFIG"}, True, False, True),
        ({"origin": "CONFIG"}, False, False, False),
        ({"origin": "AUTO"}, True, True, False),
        ({"origin": "COMMAND-LINE"}, True, True, False),
        ({"origin": "SQL"}, False, False, True),
        ({"origin": "DYNAMIC"}, False, False, True),
        ({"origin": ""}, False, False, True),
        ({"origin": "PERSISTED", "saved": "200"}, True, True, False),
        ({"origin": "PERSISTED", "saved": "300"}, False, False, True),
    ],
    ids=[
        "file changed", "another file changed", "fitted by the server", "found out by the server", "command line",
        "SET GLOBAL", "SET GLOBAL on MySQL", "who knows", "saved, and runs", "saved for the next start",
    ],
)  # fmt: skip
def test_where_a_value_comes_from_decides_whether_it_differs(
    variable: dict[str, Any], any_newer: bool, file_newer: bool, said: bool
) -> None:
    option = db_world.make(OptionValue, value="500")
    found = db_drift._compare(
        option, Variable(**{"name": "max_connections", "value": "200", **variable}), any_newer, file_newer
    )
    assert (found is not None) is said


# Option files


def test_every_file_and_every_value_that_wins(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb(max_connections=20, lines=["skip-log-bin", "loose-skip-foo", "[client]", "port=1"])
    folder = server.folder / "conf.d"
    folder.mkdir()
    (folder / "z.cnf").write_text("[server]\nmax-connections = 30\n")
    server.lines.append(f"!includedir {folder}")
    server.start()
    facts = options(server)
    assert [f.subject for f in of(OptionFile, facts)] == [str(server.defaults_file), str(folder / "z.cnf")]
    values = {f.subject: f for f in of(OptionValue, facts)}
    assert (values["max_connections"].value, values["max_connections"].written) == ("30", "max-connections")
    assert (values["max_connections"].file, values["max_connections"].line) == (str(folder / "z.cnf"), 2)
    assert (values["log_bin"].written, values["log_bin"].value) == ("log-bin", "0")
    assert values["port"].value == str(server.port)
    assert of(OptionProblem, facts) == []


def test_a_file_is_newer_once_it_changed(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb()
    server.start()
    begin = time.time()
    assert [(f.newer, f.recent) for f in of(OptionFile, options(server, begin + 60))] == [(False, False)]
    add(server, "# a remark")
    assert [(f.newer, f.recent) for f in of(OptionFile, options(server, begin))] == [(True, True)]


def test_a_copy_that_keeps_its_time_is_still_seen_as_changed(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb()
    server.start()
    time.sleep(0.2)  # an edit within the moment of the start may have been read
    os.utime(server.defaults_file, (1_000_000_000, 1_000_000_000))
    assert [f.newer for f in of(OptionFile, options(server))] == [True]


def test_a_file_that_everybody_may_write_is_told_though_the_server_reads_it_no_more(
    own_mariadb: Callable[..., MariaDB],
) -> None:
    server = own_mariadb()
    server.start()
    server.defaults_file.chmod(0o666)
    facts = options(server)
    assert [(f.subject, f.why) for f in of(OptionFile, facts)] == [(str(server.defaults_file), "world-writable")]
    assert [(f.word, f.stops) for f in of(OptionProblem, facts)] == [("ignored", False)]


def test_no_secret_of_an_option_file_is_told(own_mariadb: Callable[..., MariaDB]) -> None:
    lines = [f"loose-wsrep_sst_auth=sst:{PLANTED}", f"loose-master-password={PLANTED}", f"loose-foo-token={PLANTED}",
             f"init-connect=\"SET PASSWORD = '{PLANTED}'\""]  # fmt: skip
    server = own_mariadb(lines=lines)
    server.start()
    add(server, f"pasword={PLANTED}", "max-conections=3")
    facts = options(server)
    assert not any(PLANTED in repr(f) + str(f) for f in facts)
    assert {f.option for f in of(OptionProblem, facts)} == {"pasword", "max-conections"}


def test_a_remote_server_has_no_files_here() -> None:
    remote = db_target.find("192.0.2.7", environ={}).target
    with pytest.raises(CannotLook) as error:
        list(db_config.options(remote, (), Facts(), 0.0, Deadline(1)))
    assert error.value.gap.reason == "skipped"


def test_files_that_are_named_are_read_wherever_the_server_is(tmp_path: Path) -> None:
    (tmp_path / "b.cnf").write_text("[mysqld]\nport=3307\n")
    (tmp_path / "c.txt").write_text("[mysqld]\nport=1\n")
    remote = db_target.find("192.0.2.7", environ={}).target
    for named in (str(tmp_path), str(tmp_path / "b.cnf")):
        facts = list(db_config.options(remote, (named,), Facts(), 0.0, Deadline(1)))
        assert [(f.subject, f.value) for f in of(OptionValue, facts)] == [("port", "3307")]
    with pytest.raises(FileNotFoundError):
        list(db_config.options(remote, (str(tmp_path / "none.cnf"),), Facts(), 0.0, Deadline(1)))


# What the program says


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], list[OptionProblem]]:
    """What is wrong with a file of a server that does not run: our own reading, and its program's."""
    if why := mariadb_servers.missing():
        pytest.skip(why)
    folder = Path(tmp_path)

    def problems(text: str) -> list[OptionProblem]:
        (folder / "my.cnf").write_text(text)
        config = db_world.make(ServerConfig, files=(str(folder / "my.cnf"),), program=MARIADBD, running=False)
        target = db_world.make(db_target.DbTarget)
        return of(OptionProblem, list(db_config.options(target, (), Facts([config]), 0.0, Deadline(10))))

    return problems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[mariadbd]\nport=3307\nmax_connections=1\nloose-foo=1\n", []),
        ("[mariadbd]\ninnodb-flus-log=2\n", [("unknown-option", 2, "innodb-flus-log")]),
        (
            "[mariadbd]\n\nmax-conections=5\n[mysqld]\nfoo_bar\n",
            [("unknown-option", 5, "foo_bar"), ("unknown-option", 3, "max-conections")],
        ),
        ("[mariadbd]\nport=abc\n", [("bad-value", 2, "port")]),
        ("[mariadbd]\nsql-mode=FOO\n", [("bad-value", 2, "sql-mode")]),
        ("[mariadbd]\ninnodb_buffer_pool_size=3Q\n", [("bad-value", 2, "innodb_buffer_pool_size")]),
        ("[mariadbd]\nport\n", [("bad-value", 2, "port")]),
        ("[client]\nfoo=1\n", []),
        ("[mariadbd\nport=1\n", [("bad-group", 1, "")]),
        ("port=1\n", [("no-group", 1, "")]),
        ("[mariadbd]\n!includedir /nonexistent\n", [("unreadable", 2, "")]),
    ],
)
def test_what_stops_the_start_is_found_with_its_line(
    text: str, found: list[tuple[str, int, str]], written: Callable[[str], list[OptionProblem]], tmp_path: Path
) -> None:
    problems = written(text)
    assert sorted((p.word, p.line, p.option) for p in problems) == sorted(found)
    assert all(p.stops and p.subject == f"{tmp_path}/my.cnf:{p.line}" for p in problems)


def test_a_misspelling_is_put_right(written: Callable[[str], list[OptionProblem]]) -> None:
    assert (
        written("[mysqld]\nmax-conections=5\n")[0].text == "unknown option 'max-conections' (is max-connections meant?)"
    )


def test_options_of_a_plugin_that_only_the_servers_tables_load_are_not_called_unknown(
    written: Callable[[str], list[OptionProblem]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "server_audit.so").touch()
    (plugins / "ha_rocksdb.so").touch()
    text = "[mysqld]\nserver_audit_logging=ON\nrocksdb-block-cache-size=1G\n"
    monkeypatch.setattr(db_validate, "_PLUGINS", ())
    assert {p.word for p in written(text)} == {"unknown-option"}
    monkeypatch.setattr(db_validate, "_PLUGINS", (str(plugins),))
    assert written(text) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_validating_touches_no_file_of_the_server(
    user: str, own_mariadb: Callable[..., MariaDB], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with strace, because a data directory looks the same when it was only opened and locked."""
    if user == "nobody" and os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    server = own_mariadb(lines=["slow-query-log", "general-log", "log-bin", "aria-log-dir-path=./", "no-such-option=1"])
    server.prepare()
    server.write_defaults()
    trace = server.folder / "trace"
    trace.touch(0o666)
    trace.chmod(0o666)
    called: list[list[str]] = []
    real = programs.call

    def traced(argv: Any, deadline: Deadline, **more: Any) -> programs.Completed:
        become = ["setpriv", "--reuid=65534", "--clear-groups", "--"] if user == "nobody" else []
        called.append(list(argv))
        return real(["strace", "-f", "-o", str(trace), "-e", "trace=%file,%network", *become, *argv], deadline, **more)

    monkeypatch.setattr(programs, "call", traced)
    files = option_files.read([str(server.defaults_file)])
    found = list(db_validate.validate(MARIADBD, "MariaDB", (str(server.defaults_file),), files.options, Deadline(20)))
    assert [p.option for p in found] == ["no-such-option"]
    assert len(called) == 1
    lines = trace.read_text().splitlines()
    assert any(str(server.defaults_file) in line for line in lines)
    assert not [line for line in lines if str(server.datadir) in line or str(server.error_log) in line]
    made = [
        line
        for line in lines
        if any(word in line for word in ("O_CREAT", "O_WRONLY", "O_RDWR", "unlink(", "mkdir(", "rename("))
    ]
    assert not [line for line in made if not line.rstrip().endswith("(No such file or directory)")]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("[ERROR] [MY-000067] [Server] unknown variable 'foo=1'.", ("unknown-option", "foo", "1")),
        ("[ERROR] [MY-000068] [Server] unknown option '--foo'.", ("unknown-option", "foo", "")),
        ("[ERROR] [MY-000077] [Server] mysqld: Error while setting value 'x' to 'port'.", ("bad-value", "port", "x")),
        ("[ERROR] [MY-010124] [Server] Fatal error: Can't change to run as user 'x' ;", ("bad-value", "user", "x")),
        ("[ERROR] mysqld: ambiguous option '--max' (max-a, max-b)", ("unknown-option", "max", "")),
        ("mysqld: Can't change to run as user 'x'.  Please check that the user exists!", ("bad-value", "user", "x")),
        ("[ERROR] mariadbd: option '--port' requires an argument", ("bad-value", "port", "")),
        ("[Warning] mariadbd: unknown variable 'loose-foo=2'", None),
        ("[Warning] option 'x': unsigned value 9 adjusted to 3", None),
        ("[ERROR] Could not open mysql.plugin table", None),
    ],
)
def test_complaints_of_both_servers_are_understood(said: str, found: tuple[str, str, str] | None) -> None:
    assert [(c.word, c.option, c.value) for c in db_validate.complaints(said)] == ([found] if found else [])


# What runs against what is written


def test_a_server_that_took_its_files_does_not_differ(own_mariadb: Callable[..., MariaDB]) -> None:
    lines = """
        sql-mode=ansi_quotes,STRICT_TRANS_TABLES skip-name-resolve log-bin=mybin tmpdir=/tmp/ sort-buffer-size=1M
        max-allowed-packet=1000000 innodb-flush-log-at-trx-commit=2 long-query-time=2 table-open-cache=500000
        open-files-limit=999999 log-output=table,file binlog-format=row thread-stack=200K key-buffer-size=1000001
        optimizer-switch=mrr=on character-set-server=utf8 innodb-buffer-pool-size=7M max-connections=1
    """.split()
    server = own_mariadb(lines=lines)
    server.start()
    assert {n: str(d) for n, d in drifts(server).items()} == {}
    add(server, "# only touched, and a comment more")
    assert {n: str(d) for n, d in drifts(server).items()} == {}
    server.sql("SET GLOBAL long_query_time = 2")
    assert drifts(server) == {}


def test_what_was_changed_in_the_file_only(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb(max_connections=20)
    server.start()
    add(
        server,
        "max-connections=500",
        "sort_buffer_size=1M",
        "skip-name-resolve",
        "slow_query_log",
        f"port={server.port}",
    )
    found = drifts(server)
    assert set(found) == {"max_connections", "sort_buffer_size", "skip_name_resolve", "slow_query_log"}
    first = found["max_connections"]
    assert (first.running, first.configured, first.dynamic, first.origin, first.file_newer) == (
        "20",
        "500",
        True,
        "CONFIG",
        True,
    )
    assert server.defaults_file.read_text().splitlines()[first.line - 1] == "max-connections=500"
    assert found["skip_name_resolve"].dynamic is False


def test_what_was_set_by_hand(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb(max_connections=20)
    server.start()
    server.sql("SET GLOBAL max_connections = 50", "SET GLOBAL wait_timeout = 10")
    found = drifts(server)
    assert [(d.subject, d.running, d.configured, d.origin, d.file_newer) for d in found.values()] == [
        ("max_connections", "50", "20", "SQL", False)
    ]


def test_the_command_line_wins_over_the_files(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb(max_connections=20)
    server.start("--max-connections=30")
    add(server, "max-connections=40")
    assert drifts(server) == {}


def test_another_port_in_the_file_is_seen_from_outside(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb()
    server.start()
    assert of(Drift, options(server)) == []
    add(server, "port=3999", "socket=/tmp/elsewhere.sock")
    found = {d.subject: d for d in of(Drift, options(server))}
    assert (found["port"].running, found["port"].configured) == (str(server.port), "3999")
    assert found["socket"].running == str(server.socket)


def test_a_certificate_that_was_renewed_on_disk(own_mariadb: Callable[..., MariaDB], tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    issued = trustme.CA().issue_cert("db1")
    pem = tmp_path / "cert.pem"
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(pem))
    server = own_mariadb(ssl_cert=str(pem), ssl_key=str(tmp_path / "key.pem"))
    server.start()
    assert of(Drift, options(server)) == []
    trustme.CA().issue_cert("db1").cert_chain_pems[0].write_to_path(str(pem))
    later = time.time() + 1
    os.utime(pem, (later, later))
    (found,) = of(Drift, options(server))
    assert found.subject == "ssl_cert"
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    shown = x509.load_pem_x509_certificate(pem.read_bytes()).fingerprint(SHA256()).hex(":")
    assert shown in found.configured


def test_files_of_another_server_are_not_compared() -> None:
    line: Any = None
    facts = Facts([db_world.make(OptionValue), db_world.make(ServerInfo, hostname="elsewhere")])
    with pytest.raises(CannotLook, match="nothing shows that these option files"):
        list(db_config.drift(line, facts, Deadline(1)))
    with pytest.raises(CannotLook, match="no option files"):
        list(db_config.drift(line, Facts(), Deadline(1)))


class Asked:
    """A line that answers as a server of another version does."""

    def __init__(self, *answers: list[dict[str, Any]] | CannotLook) -> None:
        self.answers, self.queries = list(answers), []  # type: ignore[var-annotated]

    def ask(self, sql: str, deadline: Deadline, args: tuple[object, ...] = ()) -> list[dict[str, Any]]:
        self.queries.append(sql)
        answer = self.answers.pop(0)
        if isinstance(answer, CannotLook):
            raise answer
        return answer


def test_a_version_without_the_tables_is_asked_the_plain_way() -> None:
    from rbdiag.model import Gap

    line: Any = Asked(
        CannotLook(Gap("missing", "no such table")), [{"Variable_name": "max_connections", "Value": "151"}]
    )
    facts = Facts([
        db_world.make(OptionValue, value="500"), db_world.make(OptionFile, newer=True),
        db_world.make(ServerInfo, flavour="MySQL", hostname=os.uname().nodename),
    ])  # fmt: skip
    (found,) = db_config.drift(line, facts, Deadline(1))
    assert isinstance(found, Drift)
    assert (found.running, found.origin, found.dynamic) == ("151", "", None)
    assert line.queries[1].startswith("SHOW GLOBAL VARIABLES")


@pytest.mark.parametrize(
    "text",
    [
        '{"Version": 1, "mysql_server": {"max_connections": {"Value": "500", "Metadata": {"Host": "x"}}, '
        '"mysql_server_static_options": {"port": {"Value": "3307"}}}}',
        '{"Version": 2, "mysql_dynamic_variables": {"max_connections": {"Value": "500"}}, '
        '"mysql_static_variables": {"port": {"Value": "3307"}}}',
    ],
    ids=["MySQL 8.0", "MySQL 8.4"],
)
def test_the_file_of_set_persist_is_read(text: str) -> None:
    assert option_files.persisted(text.encode()) == {"max_connections": "500", "port": "3307"}


def test_the_file_of_set_persist_may_be_spoiled() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        option_files.persisted(b"spoiled")


def test_mysql_itself(own_mysql: Callable[..., MySQL], monkeypatch: pytest.MonkeyPatch) -> None:
    server = own_mysql(max_connections=20)
    server.start()
    real = programs.call  # a MySQL from another root is started with that root's libraries
    start = server.command()[:-1]
    monkeypatch.setattr(programs, "call", lambda argv, *rest, **more: real([*start, *argv], *rest, **more))
    assert drifts(server) == {}
    add(server, "max-connections=500", "sort_buffer_size=1M")
    assert {n: (d.running, d.configured) for n, d in drifts(server).items()} == {
        "max_connections": ("20", "500"), "sort_buffer_size": ("262144", "1M"),
    }  # fmt: skip
    server.sql("SET PERSIST max_connections = 30")
    assert "max_connections" not in drifts(server)
    server.sql("SET PERSIST_ONLY back_log = 77", "SET GLOBAL max_connections = 40")
    found = drifts(server)
    assert (found["max_connections"].running, found["max_connections"].configured) == ("40", "30")
    assert found["max_connections"].origin == "SQL"
    add(server, "no_such_option=1")
    assert [p.option for p in of(OptionProblem, options(server))] == ["no_such_option"]


def test_a_program_that_cannot_be_asked_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "my.cnf").write_text("[mysqld]\nport=1\n")
    program = tmp_path / "mariadbd"
    program.write_text("#!/bin/sh\necho 'libaio.so.1: cannot open shared object file' >&2\nexit 127\n")
    program.chmod(0o755)
    look = db_validate.validate(str(program), "MariaDB", (str(tmp_path / "my.cnf"),), (), Deadline(5))
    with pytest.raises(CannotLook, match="could not read its option files for us: libaio"):
        list(look)


def test_the_program_of_mysql_says_its_version(tmp_path: Path) -> None:
    program = tmp_path / "mysqld"
    program.write_text(
        "#!/bin/sh\necho '/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)'\n"
    )
    program.chmod(0o755)
    assert db_config._kind(str(program), option_files.Files(), Deadline(5)) == ("MySQL", "8.0.36")


def test_a_versioned_group_counts_for_its_version_only(own_mariadb: Callable[..., MariaDB]) -> None:
    said = subprocess.check_output([MARIADBD, "--no-defaults", "--version"], text=True)
    version = ".".join(said.split("Ver ")[1].split(".")[:2])
    server = own_mariadb(
        max_connections=20, lines=[f"[mariadb-{version}]", "max-connections=30", "[mariadb-99.1]", "max-connections=40"]
    )
    server.start()
    assert [f.value for f in of(OptionValue, options(server)) if f.subject == "max_connections"] == ["30"]

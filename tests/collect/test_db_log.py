"""What the logs of servers and of their clients say: recorded lines, and real servers that were broken on purpose."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rbdiag.collect import db_log, logs
from rbdiag.collect.db_log_lines import PHRASES, Folders, Side, tell
from rbdiag.deadline import Deadline
from rbdiag.diagnose import diagnose
from rbdiag.facts.logs import LogEvent, LogRead
from rbdiag.model import CannotLook, Fact, Facts
from tests.diagnose import db_world as w
from tests.servers.mariadb import MariaDB
from tests.servers.mysql import MySQL

RECORDED = Path(__file__).parent / "recorded" / "db"
FOLDERS = Folders("/var/lib/mysql", "/var/tmp/mysql")


def said(event: LogEvent) -> str:
    """An event in a few words: its kind, number, name and count."""
    return " ".join(
        filter(None, (event.kind, str(event.number or ""), event.name, f"x{event.count}" if event.count > 1 else ""))
    )


def recorded() -> dict[str, tuple[str, list[str]]]:
    """What a server wrote when something was done to it, and what is to be told of that."""
    found = {}
    for server in ("mariadb", "mysql"):
        for part in (RECORDED / f"{server}.txt").read_text().split("=== ")[1:]:
            title, says, *lines = part.rstrip("\n").split("\n")
            found[f"{server}: {title}"] = (says.removeprefix("--- "), lines)
    return found


RECORDS = recorded()


def lines_of(name: str) -> dict[str, str]:
    """Single lines, each with what is to be told of it below, `-` where that is nothing."""
    rows = [row for row in (RECORDED / name).read_text().splitlines() if not row.startswith("#")]
    return {line: says.strip().removeprefix("-") for line, says in zip(rows[::2], rows[1::2], strict=True)}


def told(lines: list[str], side: Side = "server", since: float = 0.0) -> list[LogEvent]:
    extract = logs.Extract("x.log", [logs.Line(None, line) for line in lines], 0, False, None)
    return list(db_log.events(extract, side, since, time.time(), FOLDERS))


@pytest.mark.parametrize(("says", "lines"), RECORDS.values(), ids=RECORDS)
def test_what_a_server_wrote_is_told(says: str, lines: list[str]) -> None:
    assert "; ".join(said(event) for event in told(lines)) == says


def test_a_server_that_starts_and_stops_says_nothing_else() -> None:
    for server in ("mariadb", "mysql"):
        assert {e.kind for e in told(RECORDS[f"{server}: starts and stops"][1])} == {"starting", "ready", "shutdown"}


SERVER_LINES = lines_of("server-lines.txt")


@pytest.mark.parametrize(("line", "says"), SERVER_LINES.items(), ids=range(len(SERVER_LINES)))
def test_a_servers_line(line: str, says: str) -> None:
    assert "; ".join(said(event) for event in told([line])) == says


CLIENT_LINES = lines_of("client-lines.txt")


@pytest.mark.parametrize(("line", "says"), CLIENT_LINES.items(), ids=range(len(CLIENT_LINES)))
def test_a_clients_line(line: str, says: str) -> None:
    assert "; ".join(said(event) for event in told([line], "client")) == says


EXAMPLES: dict[Side, list[str]] = {
    "server": [*SERVER_LINES, *CLIENT_LINES, *(line for _, lines in RECORDS.values() for line in lines)],
    "client": [*CLIENT_LINES, *SERVER_LINES],
}


@pytest.mark.parametrize("side", ["server", "client"])
def test_every_phrase_has_an_example(side: Side) -> None:
    """What a line needs must stand in what the expression asks for, else the expression would never be tried."""
    unmet = [
        phrase for phrase in PHRASES[side]
        if not any(phrase.needs in line and re.search(phrase.regex, line) for line in EXAMPLES[side])
    ]  # fmt: skip
    assert unmet == []


def test_a_clients_log_is_not_read_as_a_servers() -> None:
    assert tell("[Note] mariadbd: ready for connections.", "client") is None


def test_times_counts_and_the_last_text_are_kept() -> None:
    lines = [
        logs.Line(at, f"x Aborted connection {n} to db: 'shop' user: 'app' host: 'h' (Got timeout reading)")
        for n, at in enumerate((100.0, 200.0, None))
    ]
    (event,) = db_log.events(logs.Extract("x.log", lines, 0, False, None), "server", 0.0, time.time())
    assert (event.kind, event.count, event.first_at, event.happened_at) == ("idle-closed", 3, 100.0, 200.0)
    assert "connection 2 " in event.text


def test_of_a_last_start_long_ago_only_what_is_the_servers_own_is_kept() -> None:
    lines = [
        logs.Line(10.0, "[ERROR] mariadbd: unknown variable 'old=1'"),
        logs.Line(50.0, "[Note] Starting MariaDB 10.11.6 as process 1"),
        logs.Line(51.0, "[Warning] Access denied for user 'app'@'h' (using password: YES)"),
        logs.Line(52.0, "[ERROR] mariadbd: unknown variable 'new=1'"),
    ]
    events = db_log.events(logs.Extract("x.log", lines, 0, False, None), "server", 1000.0, time.time())
    assert [said(event) for event in events] == ["starting 1", "unknown-option new"]


def test_who_is_cut_off_by_a_shutdown_was_not_killed() -> None:
    killed = "7 [Warning] Aborted connection 24 to db: 'shop' user: 'app' host: 'h' (KILLED)"
    stop = "[Note] mariadbd (initiated by: root[root] @ localhost []): Normal shutdown"
    assert [said(e) for e in told([killed, stop, killed])] == ["killed app@h", "shutdown root"]


def test_many_names_are_counted_together() -> None:
    lines = [f"[Warning] Access denied for user 'u{n}'@'h' (using password: YES)" for n in range(50)]
    events = told(lines)
    assert len(events) == 13
    assert sum(event.count for event in events) == 50


def test_no_secret_gets_out_of_a_log() -> None:
    lines = [
        "[ERROR] mariadbd: unknown variable 'master-password=hunter2'",
        "mysql://app:hunter2@db1/shop Too many connections",
    ]
    assert "hunter2" not in repr(told(lines)) + repr(told(lines, "client"))


# Where the log is


def local(**changes: object) -> Facts:
    """A server of this host that does not run, with these paths in its configuration."""
    return Facts([w.make(w.ServerConfig, running=False, pid=None, unit="", **changes)])


def read(facts: Facts, *paths: str, since: float = 3600.0, **target: object) -> list[Fact]:
    return list(db_log.server_log(w.make(w.DbTarget, **target), paths, facts, time.time() - since, Deadline(10)))


def test_the_log_that_the_server_writes_to_wins_over_its_files(tmp_path: Path) -> None:
    for name in ("real.log", "said.log"):
        (tmp_path / name).write_text("x")
    process = w.make(w.ServerProcess, error_log=str(tmp_path / "real.log"), unit="")
    config = w.make(w.ServerConfig, error_log=str(tmp_path / "said.log"), unit="")
    (found,) = read(Facts([process, config]))
    assert found.subject == str(tmp_path / "real.log")


def test_a_relative_name_is_below_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "db.err").write_text("x")
    (found,) = read(local(datadir=str(tmp_path), error_log="db.err"))
    assert found.subject == str(tmp_path / "db.err")


def test_without_a_name_it_is_called_after_the_host(tmp_path: Path) -> None:
    path = tmp_path / f"{os.uname().nodename}.err"
    path.write_text("x")
    (found,) = read(local(datadir=str(tmp_path), error_log=""))
    assert found.subject == str(path)


def test_a_server_elsewhere_cannot_be_looked_at_but_a_copy_of_its_log_can(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="not on this host"):
        read(Facts(), local=False)
    copy = tmp_path / "copy.log"
    copy.write_text("2026-11-24 13:00:01 0 [Note] mariadbd: ready for connections.\n")
    assert [type(fact) for fact in read(Facts(), str(copy), local=False, since=1e9)] == [LogRead, LogEvent]


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(local(error_log=str(tmp_path / "gone.log")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("x")
    (tmp_path / "x.log").chmod(0)
    with pytest.raises(PermissionError):
        read(local(error_log=str(tmp_path / "x.log")))


def client(*patterns: str) -> list[Fact]:
    return list(db_log.client_logs(patterns, time.time() - 3600, Deadline(10)))


def test_logs_of_clients_are_read_by_name_and_by_pattern(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("(1040, 'Too many connections')\n")
    facts = client(str(tmp_path / "*.log"), str(tmp_path / "a.log"))
    assert [type(fact) for fact in facts] == [LogRead, LogEvent] * 2
    assert {fact.side for fact in facts if isinstance(fact, LogRead)} == {"client"}


def test_a_servers_log_among_them_is_left_to_the_other_check(tmp_path: Path) -> None:
    (tmp_path / "error.log").write_text("2026-11-24 13:00:01 0 [Note] mariadbd: ready for connections.\n")
    assert client(str(tmp_path / "error.log")) == []


@pytest.mark.parametrize("missing", ["gone.log", "*.nothing"])
def test_what_is_missing_hides_nothing_and_is_said(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a.log").write_text("(1040, 'Too many connections')\n")
    seen: list[Fact] = []
    check = db_log.client_logs((str(tmp_path / missing), str(tmp_path / "a.log")), 0.0, Deadline(10))
    with pytest.raises((CannotLook, FileNotFoundError)):
        seen.extend(check)  # what came before the gap is kept
    assert [type(fact) for fact in seen] == [LogRead, LogEvent]


# Real servers, broken for real: read, and told


def overwritten(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(random.Random(1).randbytes(length))


def diagnosed(server: MariaDB | MySQL, *more: Fact) -> list[str]:
    """What is told of a server that does not run, by its log and its configuration alone."""
    config = w.make(
        w.ServerConfig, running=False, pid=None, unit="", datadir=str(server.datadir), error_log=str(server.error_log),
        tmpdir="", files=(str(server.defaults_file),), port=server.port, socket=str(server.socket),
        pid_file=str(server.pid_file),
    )  # fmt: skip
    target = w.make(w.DbTarget, port=server.port)
    seen = read(Facts([config]))
    now = time.time()
    stamped = [type(f)(**(f.__dict__ | {"check": "db.error-log", "seen_at": now})) for f in seen]
    return [f.code for f in diagnose(Facts([target, config, *stamped, *more])).findings if f.explained_by is None]


def taken_port(server: MariaDB) -> socket.socket:
    return socket.create_server(("127.0.0.1", server.port))


Break = Callable[[MariaDB], object]
CONTROL = "aria_log_control"
BROKEN: dict[str, tuple[str, dict[str, object], Break]] = {
    "an unknown option": ("db.config-invalid", {"innodb_flus_log": 2}, lambda s: None),
    "a bad value": ("db.config-invalid", {"innodb_flush_method": "o_dirct"}, lambda s: None),
    "a port that is taken": ("db.port-in-use", {}, taken_port),
    "no folder for the socket": ("db.datadir-permission", {"socket": "/srv/no-such-folder/s.sock"}, lambda s: None),
    "no folder for the pid file": ("db.datadir-permission", {"pid_file": "/srv/no-such-folder/pid"}, lambda s: None),
    "no temporary folder": ("db.datadir-permission", {"tmpdir": "/srv/no-such-folder"}, lambda s: None),
    "a redo log that was cut": ("db.innodb-corruption", {}, lambda s: os.truncate(s.datadir / "ib_logfile0", 100)),
    "a broken system tablespace": ("db.innodb-corruption", {}, lambda s: overwritten(s.datadir / "ibdata1", 0, 131072)),
    "a broken control of Aria": ("db.table-crashed", {}, lambda s: overwritten(s.datadir / CONTROL, 0, 40)),
}  # fmt: skip


@pytest.mark.parametrize(("code", "options", "spoil"), BROKEN.values(), ids=BROKEN)
def test_a_start_that_fails_is_explained(own_mariadb, code: str, options: dict[str, object], spoil: Break) -> None:
    server = own_mariadb(**options)
    server.prepare()
    held = spoil(server)
    server.fails_to_start()
    assert diagnosed(server) == [code]
    if isinstance(held, socket.socket):
        held.close()


def test_a_signal_is_told_and_the_start_after_it_is_history(own_mariadb) -> None:
    server = own_mariadb().start()
    server.kill(signal.SIGSEGV)
    assert diagnosed(server) == ["db.crashed"]
    server.start()
    server.stop()
    assert diagnosed(server) == []


def test_a_failed_start_before_a_good_one_is_history(own_mariadb) -> None:
    server = own_mariadb()
    server.fails_to_start("--innodb-flus-log=2")
    server.start()
    server.stop()
    assert diagnosed(server) == []


def test_a_page_that_was_damaged_is_named(own_mariadb) -> None:
    server = own_mariadb().start()
    server.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(2000))")
    server.sql("INSERT INTO shop.t VALUES " + ", ".join(f"({n}, REPEAT('x', 1500))" for n in range(200)))
    server.stop()
    overwritten(server.datadir / "shop" / "t.ibd", 16384 * 3, 16384)
    server.start()
    with pytest.raises(Exception, match="corrupt"):
        server.sql("SELECT COUNT(v) FROM shop.t")
    process = w.make(w.ServerProcess, error_log=str(server.error_log), datadir=str(server.datadir), age=30.0, unit="")
    events = [fact for fact in read(Facts([process])) if isinstance(fact, LogEvent)]
    assert ("corruption", "shop.t") in {(event.kind, event.name) for event in events}


def test_the_last_start_is_found_however_long_ago(own_mariadb) -> None:
    server = own_mariadb()
    server.fails_to_start("--innodb-flus-log=2")
    facts = read(local(datadir=str(server.datadir), error_log=str(server.error_log)), since=-3600.0)
    assert "unknown-option" in {fact.kind for fact in facts if isinstance(fact, LogEvent)}
    assert next(fact for fact in facts if isinstance(fact, LogRead)).since is None


def test_mysql_says_it_in_its_own_words(own_mysql) -> None:
    server = own_mysql()
    server.fails_to_start("--innodb-flus-log=2")
    assert diagnosed(server) == ["db.config-invalid"]
    server.start()
    server.stop()
    assert diagnosed(server) == []

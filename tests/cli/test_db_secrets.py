"""No password ever shows. Every place that can hold one holds one, each its own; then everything that comes out is
searched for all of them: every format, the saved report, errors, bug reports, and what `ps` shows meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from rbdiag.render import FORMATS
from tests.cli.program import Program
from tests.servers import mariadb
from tests.servers.database import ends
from tests.servers.mariadb import MariaDB

pytestmark = pytest.mark.skipif(mariadb.missing() is not None, reason=str(mariadb.missing()))

# The secrets by the place that holds each. None of them looks random: they must be known by where they stand.
PLACES = (
    "optionfile passwordfile environment mysqlpwd wrong wsrep passphrase report initconnect commandline identified "
    "function statement master logurl setpassword clienturl keyword json target"
)
SECRETS = {place: f"Kiwi4{place}" for place in PLACES.split()}
ERROR_LOG = (
    f"9 [Note] Slave I/O thread: connecting with CHANGE MASTER TO MASTER_PASSWORD='{SECRETS['master']}'",
    f"9 [ERROR] Slave I/O: error connecting to master 'mysql://repl:{SECRETS['logurl']}@db0:3306' - retry-time: 60  "
    "maximum-retries: 100000  message: Access denied for user 'repl'@'db0', Internal MariaDB error code: 1045",
    "10 [Warning] Access denied for user 'app'@'10.0.0.9' (using password: YES)",
    f"11 [ERROR] SET PASSWORD FOR 'app'@'%' = PASSWORD('{SECRETS['setpassword']}')",
)
CLIENT_LOG = (
    f"ERROR pool: mysql+pymysql://app:{SECRETS['clienturl']}@127.0.0.1/shop: (1040, 'Too many connections')",
    f"ERROR connect(user='app', password='{SECRETS['keyword']}'): "
    """(2003, "Can't connect to MySQL server on '127.0.0.1' (111)")""",
    f"""ERROR {{"dsn": {{"user": "app", "password": "{SECRETS["json"]}"}}, "msg": "Error 1045: Access denied"}}""",
)


def now(lines: tuple[str, ...]) -> str:
    """The lines as a log has them that was written just now."""
    return "".join(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n" for line in lines)


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """A server full of secrets."""
    lines = [
        f"wsrep_sst_auth = sst:{SECRETS['wsrep']}",
        f"report_password = {SECRETS['report']}",
        f"init_connect = \"SET @password = '{SECRETS['initconnect']}'\"",
        "[client-server]",
        f"loose-ssl-passphrase = {SECRETS['passphrase']}",
    ]
    with MariaDB(lines=lines) as database:
        database.start(f"--report-password={SECRETS['commandline']}")
        database.account("watcher", SECRETS["optionfile"], grant="PROCESS, SELECT ON *.*")
        database.account("keeper", SECRETS["passwordfile"], grant="PROCESS ON *.*")
        database.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (a INT)")
        with database.error_log.open("a") as log:
            log.write(now(ERROR_LOG))
        yield database


@pytest.fixture(scope="module")
def sessions(server: MariaDB) -> Iterator[None]:
    """One session holds the read lock; behind it, and beside it, others with statements that tell."""
    statements = (
        f"CREATE USER late IDENTIFIED BY '{SECRETS['identified']}'",
        f"INSERT INTO shop.t SELECT 1 FROM (SELECT 'mysql://a:{SECRETS['statement']}@db/x') x",
        f"SELECT SLEEP(600), PASSWORD('{SECRETS['function']}')",
    )
    # no read_timeout: the last test must find them waiting as the first did
    holder, *others = (server.connect(read_timeout=None) for _ in range(1 + len(statements)))
    holder.cursor().execute("FLUSH TABLES WITH READ LOCK")

    def run(connection: Connection[Any], statement: str) -> None:
        with suppress(pymysql.Error):  # it ends with the server
            connection.cursor().execute(statement)

    for pair in zip(others, statements, strict=True):
        threading.Thread(target=run, args=pair, daemon=True).start()
    until = time.monotonic() + 20
    # a wait of less than a second or two is nothing to speak of
    while not set(statements) <= {row[7] for row in server.sql("SHOW FULL PROCESSLIST") if row[5] and row[5] >= 3}:
        assert time.monotonic() < until
        time.sleep(0.05)
    yield
    server.kill()
    for connection in (holder, *others):
        ends(connection)


@pytest.fixture
def files(rbdiag: Program, sessions: None) -> dict[str, str]:
    """What the command lines name: option file, password file, client's log."""
    texts = {
        "options": f"[client]\nuser = watcher\npassword = {SECRETS['optionfile']}\n",
        "password": SECRETS["passwordfile"] + "\n",
        "wrong": SECRETS["wrong"] + "\n",
        "log": now(CLIENT_LOG),
    }
    paths = {}
    for name, text in texts.items():
        path = rbdiag.place / name
        path.write_text(text)
        path.chmod(0o600)
        paths[name] = str(path)
    return paths


ENVIRON = {
    "RBDIAG_DB_PASSWORD": SECRETS["environment"],
    "MYSQL_PWD": SECRETS["mysqlpwd"],
}


class Watcher:
    """What `ps` could show, again and again, of a process and all that it starts."""

    def __init__(self, pid: int) -> None:
        self.seen: set[str] = set()
        self._root, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> str:
        self._over.set()
        self._thread.join()
        return "\n".join(self.seen)

    def _watch(self) -> None:
        while not self._over.wait(0.004):
            pids = [self._root]
            for pid in pids:
                try:
                    for task in os.listdir(f"/proc/{pid}/task"):
                        pids += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
                    self.seen.add(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
                except OSError:
                    continue  # it has ended


def told(text: str) -> list[str]:
    """Where the secrets were planted that stand in this text."""
    return [where for where, secret in SECRETS.items() if secret in text]


def everything(rbdiag: Program, *arguments: str, env: dict[str, str] | None = None, plant: str = "") -> str:
    """All that comes out of a run: output, messages, what `ps` showed, and every file that was written."""
    before = {path: path.read_bytes() for path in rbdiag.place.rglob("*") if path.is_file()}
    with subprocess.Popen(
        rbdiag.argv("db", *arguments), env=rbdiag.env(plant, **(env or {})), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        watcher = Watcher(run.pid)
        out, err = run.communicate(timeout=60)
    processes = watcher.stop()
    assert "rbdiag" in processes
    written = [p.read_text() for p in rbdiag.place.rglob("*") if p.is_file() and before.get(p) != p.read_bytes()]
    return "\n".join([out, err, processes, *written])


@pytest.mark.parametrize("form", [*FORMATS, "table -v"])
@pytest.mark.parametrize("login", ["option file", "password file", "wrong password", "environment"])
def test_no_secret_comes_out(rbdiag: Program, server: MariaDB, files: dict[str, str], form: str, login: str) -> None:
    as_whom = {
        "option file": ["--defaults-file", files["options"]],
        "password file": ["-u", "keeper", "--password-file", files["password"]],
        "wrong password": ["-u", "watcher", "--password-file", files["wrong"]],
        "environment": ["-u", "watcher"],
    }[login]
    text = everything(
        rbdiag, f"127.0.0.1:{server.port}", *as_whom, "-l", files["log"], "-o", *form.split(),
        "--save", str(rbdiag.place / "saved.json"), env=ENVIRON,
    )  # fmt: skip
    assert told(text) == []
    report = json.loads((rbdiag.place / "saved.json").read_text())
    assert next(fact["word"] for fact in report["facts"] if fact["type"] == "Login") == (
        "ok" if "file" in login else "denied"
    )


def test_what_held_the_secrets_was_looked_at(rbdiag: Program, server: MariaDB, files: dict[str, str]) -> None:
    """Else the test above proves nothing: the texts themselves must come out, without the secrets."""
    text = everything(
        rbdiag, f"127.0.0.1:{server.port}", "--defaults-file", files["options"], "-l", files["log"], "-v",
        "--save", str(rbdiag.place / "saved.json"), env={"COLUMNS": "1000"},
    )  # fmt: skip
    for part in (
        "--report-password=***", "wsrep_sst_auth = ***", "report_password = ***", "SET @password = '***'",
        "ssl-passphrase = ***", "IDENTIFIED BY ?", "(SELECT ?) x", "mysql://repl:***@db0:3306",
        "mysql+pymysql://app:***@", "password='***'", '"password": "***"',
    ):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(
    "target", ["mysql://app:{}@127.0.0.1:{}/shop", "app:{}@127.0.0.1:{}", "mysql://127.0.0.1:{1}/shop?password={0}"]
)
@pytest.mark.parametrize("form", ["table", "nagios"])
def test_a_password_in_the_target_is_refused_and_not_repeated(rbdiag: Program, target: str, form: str) -> None:
    done = rbdiag("db", target.format(SECRETS["target"], 3306), "-o", form)
    assert done.returncode == (64 if form == "table" else 3)
    assert told(done.stdout + done.stderr) == []


BUG = """
import rbdiag.collect.db_connect as connect

def broken(self, facts, deadline):
    raise KeyError(f"password={self._found.secret.reveal()} of mysql://watcher:{self._found.secret.reveal()}@db")
    yield

connect.Line.login = broken
"""


def test_a_bug_report_holds_none_either(rbdiag: Program, server: MariaDB, files: dict[str, str]) -> None:
    text = everything(rbdiag, f"127.0.0.1:{server.port}", "--defaults-file", files["options"], plant=BUG)
    assert "KeyError" in text
    assert "password=***" in text
    assert told(text) == []

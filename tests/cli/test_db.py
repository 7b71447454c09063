"""`rbdiag db`: what its options mean together, its exit statuses, and that it ends in time whatever hangs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import click
import pytest

from rbdiag.cli.db import Where, again, filled_in, refuse_contradictions
from rbdiag.settings import Settings, Target
from tests.cli.program import Program
from tests.cli.terminal import Terminal
from tests.servers import mariadb
from tests.servers.database import free_port
from tests.servers.mariadb import MariaDB

needs_mariadb = pytest.mark.skipif(mariadb.missing() is not None, reason=str(mariadb.missing()))
SHOP = Target("shop", service="shop.service")
ORDERS = Target(
    "orders",
    target="db1:3307",
    runbook="db",
    user="watcher",
    database="orders",
    defaults_file="/etc/orders.cnf",
    password_file="/run/secrets/orders",
    ssl_ca="/etc/ca.pem",
)
SETTINGS = Settings(targets={"shop": SHOP, "orders": ORDERS})


# What cannot all be meant


@pytest.mark.parametrize(
    ("asked", "entry", "tables", "why"),
    [
        (Where("db1", host="db2"), None, None, "TARGET says where the database is, and so does --host: give one"),
        (Where("db1", port=3307), None, None, "TARGET says where the database is, and so does --port: give one"),
        (Where("/run/s", socket="/run/s"), None, None, "TARGET says where the database is, and so does --socket"),
        (Where("orders", port=3306), ORDERS, None, "orders of the settings file says where the database is, and so"),
        (Where(socket="/run/s", host="db1"), None, None, "--host means TCP, and --socket does not"),
        (Where(socket="/run/s", port=3307), None, None, "--port means TCP, and --socket does not"),
        (Where(ask_password=True, password_file="/p"), None, None, "--ask-password and --password-file exclude each"),
        (Where(), None, "db1:3306", "--check-tables takes a schema, and db1:3306 is none: put TARGET before it"),
        (Where(), None, "/run/mysqld.sock", "--check-tables takes a schema, and /run/mysqld.sock is none"),
        (Where(), None, "orders", "--check-tables takes a schema, and orders is none: put TARGET before it"),
    ],
)
def test_contradictions_are_refused(asked: Where, entry: Target | None, tables: str | None, why: str) -> None:
    with pytest.raises(click.UsageError, match=f"^{why}"):
        refuse_contradictions(asked, entry, tables, SETTINGS)


@pytest.mark.parametrize(
    ("asked", "entry", "tables"),
    [
        (Where(), None, None),
        (Where("db1:3307", user="a", database="b", defaults_file="c", ssl_ca="d", require_tls=True), None, ""),
        (Where(host="db1", port=3307), None, "shop_production"),
        (Where(host="localhost"), None, ""),
        (Where(socket="/run/s", ask_password=True), None, None),
        (Where("shop", port=3307), SHOP, None),
        (Where("db1"), None, "orders"),
        (Where("orders", password_file="/p", user="root"), ORDERS, "orders"),
    ],
)
def test_what_goes_together_is_not_refused(asked: Where, entry: Target | None, tables: str | None) -> None:
    refuse_contradictions(asked, entry, tables, SETTINGS)


def test_a_target_of_the_settings_file_fills_in_what_was_not_said() -> None:
    assert filled_in(Where("orders"), ORDERS) == Where(
        "db1:3307", user="watcher", database="orders", defaults_file="/etc/orders.cnf",
        password_file="/run/secrets/orders", ssl_ca="/etc/ca.pem",
    )  # fmt: skip


def test_what_was_said_wins_over_the_settings_file() -> None:
    said = Where("orders", user="root", database="", defaults_file="a.cnf", ask_password=True, ssl_ca="b.pem")
    assert filled_in(said, ORDERS) == said._replace(target="db1:3307", database="orders")
    assert filled_in(Where("orders", password_file="mine"), ORDERS).password_file == "mine"
    assert filled_in(Where("shop", host="db2", port=1), SHOP) == Where("", host="db2", port=1)


def test_the_command_that_looks_again_chooses_the_same_and_shows_the_same() -> None:
    asked = Where(
        host="db 1", port=3307, user="a", database="b", defaults_file="c", password_file="d", ssl_ca="e",
        ask_password=True, require_tls=True,
    )  # fmt: skip
    assert again("my.toml", asked, "s.service", ("l1", "l*"), ("c1",)) == (
        "rbdiag --settings my.toml db -H 'db 1' -P 3307 -u a -D b --defaults-file c --password-file d --ssl-ca e "
        "-s s.service -l l1 -l 'l*' -c c1 --ask-password --require-tls"
    )
    assert again(None, Where("orders"), "", (), ()) == "rbdiag db orders"
    assert again(None, Where(socket="/run/s"), "", (), ()) == "rbdiag db -S /run/s"


# Wrong usage, on the real program

WRONG = [
    pytest.param(["db1", "-P", "3307"], "TARGET says where", id="two places"),
    pytest.param([""], "the value of TARGET is empty", id="an empty target"),
    pytest.param([" "], "the value of TARGET is empty", id="a target of nothing but space"),
    pytest.param(["-H", ""], "the value of --host is empty", id="an empty host"),
    pytest.param(["--password-file", ""], "the value of --password-file is empty", id="an empty path"),
    pytest.param(["-P", "0"], "0 is not in the range", id="port 0"),
    pytest.param(["-P", "65536"], "65536 is not in the range", id="a port too high"),
    pytest.param(["db1:port"], "port", id="a port that is a word"),
    pytest.param(["mysql://app:hunter2@db1/shop"], "password", id="a password in the URL"),
    pytest.param(["mysql://db1/shop?password=hunter2"], "password", id="a password in the query"),
    pytest.param(["app:hunter2@db1"], "password", id="a password before the host"),
    pytest.param(["postgres://db1"], "mysql://", id="another kind of database"),
    pytest.param(["-S", "s.sock"], "absolute path", id="a relative socket"),
    pytest.param(["--defaults-file", "/nowhere/my.cnf"], "/nowhere/my.cnf is not there", id="no such option file"),
    pytest.param(["--password-file", "/nowhere/p"], "/nowhere/p cannot be read: no such file", id="no password file"),
    pytest.param(["--ssl-ca", "/nowhere/ca"], "/nowhere/ca", id="no such file of certificates"),
    pytest.param(["--ask-password"], "--ask-password needs a terminal", id="nobody to ask"),
    pytest.param(["--password", "hunter2"], "no such option", id="a password as an argument"),
    pytest.param(["--check-tables", "db1:3306"], "put TARGET before it", id="a target for a schema"),
    pytest.param(["--only", "db.logn"], "did you mean db.login", id="misspelt check"),
]


@pytest.mark.parametrize(("arguments", "hint"), WRONG)
def test_wrong_usage_is_64_and_says_what_is_wrong(rbdiag: Program, arguments: list[str], hint: str) -> None:
    done = rbdiag("db", *arguments)
    assert done.returncode == 64
    assert done.stdout == ""
    assert hint.lower() in done.stderr.lower()
    assert "hunter2" not in done.stderr
    assert done.stderr.endswith("Try 'rbdiag db --help'.\n")


def test_wrong_usage_is_no_critical_for_a_monitor(rbdiag: Program) -> None:
    done = rbdiag("db", "mysql://app:hunter2@db1/shop", "-o", "nagios")
    assert done.returncode == 3
    assert done.stdout.startswith("RBDIAG UNKNOWN - there is a password in the URL")
    assert "hunter2" not in done.stdout + done.stderr


def test_a_prompt_that_is_broken_off_is_an_interrupt(rbdiag: Program) -> None:
    with Terminal(rbdiag.argv("db", "--ask-password"), rbdiag.env(TERM="xterm")) as terminal:
        terminal.read_until("Password")
        terminal.type("\x03")
        rest, status = terminal.wait()
    assert status == 130
    assert rest.endswith("rbdiag: interrupted\r\n")


# A real server

# What this host's log tells of servers that other tests have ended is not what is asked here.
QUIET = ("--skip", "host.kernel-log")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    if reason := mariadb.missing():
        pytest.skip(reason)
    with MariaDB() as database:
        database.start()
        database.account("watcher", "right password")
        database.sql("CREATE DATABASE orders", "CREATE TABLE orders.items (id INT PRIMARY KEY) ENGINE=InnoDB")
        yield database


@pytest.fixture
def login(rbdiag: Program) -> str:
    """An option file with an account of the server."""
    file = rbdiag.place / "client.cnf"
    file.write_text("[client]\nuser=watcher\npassword=right password\n")
    file.chmod(0o600)
    return f"--defaults-file={file}"


def test_a_healthy_server_is_ok(rbdiag: Program, server: MariaDB, login: str) -> None:
    done = rbdiag("db", f"127.0.0.1:{server.port}", login, "--json", *QUIET)
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"], done.stderr) == (0, "ok", ""), report["verdict"]
    assert (report["runbook"], report["target"]) == ("db", f"127.0.0.1:{server.port}")
    assert report["cost"]["connections"] == 1
    assert 0 < report["cost"]["queries"] < 30


def test_it_is_silent_about_it_where_that_was_asked_for(rbdiag: Program, server: MariaDB, login: str) -> None:
    done = rbdiag("db", "-S", str(server.socket), login, "-q", *QUIET)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_run_costs_is_told(rbdiag: Program, server: MariaDB, login: str) -> None:
    done = rbdiag("db", f"127.0.0.1:{server.port}", login, "-v")
    head = " ".join(done.stdout.partition("\n\n")[0].split())
    assert "s of CPU spent" in head
    assert "1 connection ·" in head
    assert head.endswith("queries")


def test_a_saved_report_is_judged_the_same_byte_for_byte(rbdiag: Program, server: MariaDB) -> None:
    file = rbdiag.place / "report.json"
    done = rbdiag("db", f"127.0.0.1:{server.port}", "-u", "nobody-here", "--json", "--save", str(file), *QUIET)
    assert done.returncode == 2
    assert file.read_text() == done.stdout
    assert rbdiag("diagnose", str(file), "--json").stdout == done.stdout


def test_nothing_behind_the_port_is_critical(rbdiag: Program) -> None:
    done = rbdiag("db", f"127.0.0.1:{free_port()}", "-o", "nagios")
    assert done.returncode == 2
    assert done.stdout.startswith("DB CRITICAL - ")


def test_a_target_of_the_settings_file(rbdiag: Program, server: MariaDB) -> None:
    secret = rbdiag.place / "secret"
    secret.write_text("right password\n")
    secret.chmod(0o600)
    file = rbdiag.place / "my.toml"
    file.write_text(
        f"[targets.orders-db]\ntarget = '127.0.0.1:{server.port}'\nuser = 'watcher'\npassword_file = 'secret'\n"
        "database = 'orders'\n\n[[contacts]]\nname = 'Orders team'\ncontact = '#orders'\nservices = ['orders-db']\n"
    )
    report = json.loads(rbdiag("--settings", str(file), "db", "orders-db", "--json", *QUIET, cwd="/").stdout)
    assert report["status"] == "ok", report["verdict"]
    facts = {fact["type"]: fact for fact in report["facts"]}
    assert (facts["DbTarget"]["user"], facts["DbTarget"]["database"]) == ("watcher", "orders")
    assert facts["DbTarget"]["again"] == f"rbdiag --settings {file} db orders-db"
    assert facts["Login"]["word"] == "ok"
    assert [contact["name"] for contact in report["contacts"]] == ["Orders team"]


@pytest.mark.parametrize("quiet", [(), ("-q",)], ids=["usual", "quiet"])
def test_a_password_file_that_all_may_read_is_told_aloud_and_used(
    rbdiag: Program, server: MariaDB, quiet: tuple[str, ...]
) -> None:
    secret = rbdiag.place / "secret"
    secret.write_text("right password\nmore\n")
    secret.chmod(0o644)
    done = rbdiag("db", f"127.0.0.1:{server.port}", "-u", "watcher", "--password-file", str(secret), *QUIET, *quiet)
    assert done.returncode == 0
    told = "" if quiet else f"rbdiag: everybody on this host may read the password: chmod 600 {secret}\n"
    assert done.stderr == told


def test_a_password_that_is_typed(rbdiag: Program, server: MariaDB) -> None:
    argv = rbdiag.argv("db", f"127.0.0.1:{server.port}", "-u", "watcher", "--ask-password", "-o", "nagios", *QUIET)
    with Terminal(argv, rbdiag.env(TERM="xterm")) as terminal:
        terminal.read_until("Password")
        terminal.type("right password\n")
        seen, status = terminal.wait()
    assert status == 0
    assert "DB OK - " in seen
    assert "right" not in seen


@pytest.mark.parametrize(
    ("arguments", "checked"),
    [(["--check-tables", "orders"], "orders.items"), (["--check-tables=orders"], "orders.items")],
)
def test_tables_are_checked_where_that_was_asked_for(
    rbdiag: Program, server: MariaDB, login: str, arguments: list[str], checked: str
) -> None:
    report = json.loads(rbdiag("db", f"127.0.0.1:{server.port}", login, "--json", *QUIET, *arguments).stdout)
    assert report["status"] == "ok", report["verdict"]
    assert [f["total"] for f in report["facts"] if f["type"] == "TablesChecked"] == [1]
    assert "db.tables" in [check["name"] for check in report["checks"]]


# The deadline


HANGS = """
import time
from rbdiag.collect import db_connect
db_connect.Line.greet = lambda *args: time.sleep(60)
"""


def seconds_of(rbdiag: Program, *before: str, arguments: tuple[str, ...], plant: str = "") -> tuple[float, int]:
    """How long the program lives, from its start to its end, and its exit status: the best of three runs.

    What a busy machine adds is not what is measured; a run that waits for something would do so each time.
    """
    best, status = float("inf"), -1
    for _ in range(3):
        begin = time.monotonic()
        done = subprocess.run(
            [*before, *rbdiag.argv(*arguments)], env=rbdiag.env(plant), capture_output=True, text=True, timeout=60
        )
        best, status = min(best, time.monotonic() - begin), done.returncode
        json.loads(done.stdout)
    return best, status


@pytest.mark.parametrize("plant", ["", HANGS], ids=["as it is", "and a check that ignores the time"])
def test_a_port_that_accepts_and_stays_silent_does_not_hold_it_up(rbdiag: Program, plant: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        took, status = seconds_of(
            rbdiag, arguments=("db", f"127.0.0.1:{port}", "-t", "2", "--json", *QUIET), plant=plant
        )
    assert took <= 2.3
    assert status == (3 if plant else 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network of its own")
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip (apt install iproute2)")
def test_a_black_hole_does_not_hold_it_up(rbdiag: Program) -> None:
    space = f"rbh{os.getpid()}"
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        # Everything for that address goes out to a card that nobody has.
        for words in (
            "link set lo up",
            "link add here type veth peer name there",
            "addr add 203.0.113.2/24 dev here",
            "link set here up",
            "link set there up",
            "neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev here nud permanent",
        ):
            subprocess.run(["ip", "-n", space, *words.split()], check=True)
        took, status = seconds_of(
            rbdiag, "ip", "netns", "exec", space, arguments=("db", "203.0.113.1:3306", "-t", "2", "--json")
        )
    finally:
        subprocess.run(["ip", "netns", "del", space], check=True)
    assert took <= 2.3
    assert status == 2


def test_ctrl_c_ends_it_at_once(rbdiag: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        port = silent.getsockname()[1]
        argv = rbdiag.argv("db", f"127.0.0.1:{port}", "-t", "120")
        with subprocess.Popen(argv, env=rbdiag.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            connection, _ = silent.accept()  # it waits for a greeting now
            with connection:
                run.send_signal(signal.SIGINT)
                out, err = run.communicate(timeout=30)
    assert (run.returncode, out, err) == (130, "", "rbdiag: interrupted\n")

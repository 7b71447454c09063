"""The settings file: where it is looked for, what it says, and every mistake with its exact place."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from rbdiag import runbooks, settings
from rbdiag.model import Contact
from rbdiag.settings import (
    ContactEntry,
    PatternEntry,
    Settings,
    SettingsError,
    Target,
    Thresholds,
    contacts_for,
    key_lines,
    load,
    target_names,
)

GOOD = """\
[targets.shop]
service = "shop.service"
runbook = "cpu"

[targets."db1.example"]
service = "mariadbd"

[targets.orders]
target = "mysql://app@db1.example:3307/orders"
runbook = "db"
user = "watcher"
database = "orders"
defaults_file = "orders.cnf"
password_file = "/run/secrets/orders"
ssl_ca = "~/ca.pem"
log = ["../logs/*.log", "/var/log/orders.log"]
config = ["~/my.cnf.d"]

[[contacts]]
name = "Shop team"
role = "on-call"
contact = "+49 30 1234"
when = "day and night"
runbooks = ["cpu"]
services = ["shop.service"]

[[contacts]]
name = "Everybody"
contact = "https://status.example/page"

[thresholds.cpu]
warning = 70
critical = 90.5

[patterns.shop-cart-lost]
regex = 'cart \\d+ is lost'
title = "the shop lost a cart"
severity = "critical"
code = "db.crashed"

[patterns.stock]
regex = "(?i)no stock"
title = "sold out"
severity = "warning"
"""


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "SYSTEM_FILE", str(tmp_path / "etc.toml"))


def written(path: Path, text: str | bytes = "") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "etc" / "c.toml", GOOD)
    assert load(path, {"HOME": "/home/ada"}) == Settings(
        path=path,
        targets={
            "shop": Target("shop", service="shop.service", runbook="cpu"),
            "db1.example": Target("db1.example", service="mariadbd"),
            "orders": Target(
                "orders",
                target="mysql://app@db1.example:3307/orders",
                runbook="db",
                user="watcher",
                database="orders",
                defaults_file=str(tmp_path / "etc" / "orders.cnf"),
                password_file="/run/secrets/orders",
                ssl_ca="/home/ada/ca.pem",
                log=(str(tmp_path / "logs" / "*.log"), "/var/log/orders.log"),
                config=("/home/ada/my.cnf.d",),
            ),
        },
        contacts=(
            ContactEntry("Shop team", "+49 30 1234", "on-call", "day and night", ("cpu",), ("shop.service",)),
            ContactEntry("Everybody", "https://status.example/page"),
        ),
        thresholds=Thresholds(70.0, 90.5),
        patterns=(
            PatternEntry("shop-cart-lost", r"cart \d+ is lost", "the shop lost a cart", "critical", "db.crashed"),
            PatternEntry("stock", "(?i)no stock", "sold out", "warning"),
        ),
    )


@pytest.mark.parametrize("runbook", ["", "runbook = 'logs'"])
def test_a_target_may_be_logs_alone(tmp_path: Path, runbook: str) -> None:
    path = written(tmp_path / "c.toml", f"[targets.shop]\nlog = ['/var/log/shop.log']\n{runbook}\n")
    assert load(path, {}).targets["shop"].log == ("/var/log/shop.log",)


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path) -> None:
    path = written(tmp_path / "c.toml", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(path, {}).targets["shop"].service == "shop.service"


def test_a_relative_path_counts_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "etc" / "c.toml", "[targets.db]\ntarget = 'db'\nlog = ['a/../b.log', '~/c.log', '~ada/d']\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    # Without a home there is none; and whose home `~ada` is, only a shell knows.
    folder = tmp_path / "etc"
    logs = (f"{folder}/b.log", f"{folder}/~/c.log", f"{folder}/~ada/d")
    assert load("../etc/c.toml", {}).targets["db"].log == logs


def test_no_file_means_defaults(tmp_path: Path) -> None:
    assert load(None, {"HOME": str(tmp_path)}) == Settings(None, {}, (), Thresholds(80.0, 95.0))


class TestPlace:
    def test_the_first_that_exists_wins(self, tmp_path: Path) -> None:
        environ = {
            "RBDIAG_SETTINGS": str(tmp_path / "named.toml"),
            "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
            "HOME": str(tmp_path / "home"),
        }
        given = written(tmp_path / "given.toml")
        named = written(tmp_path / "named.toml")
        user = written(tmp_path / "xdg/rbdiag/config.toml")
        home = written(tmp_path / "home/.config/rbdiag/config.toml")
        system = written(tmp_path / "etc.toml")
        assert load(given, environ).path == given
        assert load(None, environ).path == named
        environ["RBDIAG_SETTINGS"] = ""
        assert load(None, environ).path == user
        os.remove(user)
        assert load(None, environ).path == system
        del environ["XDG_CONFIG_HOME"]
        assert load(None, environ).path == home
        assert load(None, {}).path == system

    @pytest.mark.parametrize("folder", ["", "relative", "./x"])
    def test_an_empty_or_relative_xdg_folder_is_ignored(
        self, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        written(tmp_path / folder / "rbdiag/config.toml")
        home = written(tmp_path / "home/.config/rbdiag/config.toml")
        assert load(None, {"XDG_CONFIG_HOME": folder, "HOME": str(tmp_path / "home")}).path == home

    @pytest.mark.parametrize("how", ["explicit", "environment"])
    def test_a_file_asked_for_must_be_there(self, how: str, tmp_path: Path) -> None:
        path = str(tmp_path / "missing.toml")
        with pytest.raises(SettingsError) as caught:
            load(*((path, {}) if how == "explicit" else (None, {"RBDIAG_SETTINGS": path})))
        assert str(caught.value) == f"{path}: found no such file or directory, expected a file that can be read"
        assert (caught.value.file, caught.value.line, caught.value.key) == (path, None, "")

    def test_a_folder_in_place_of_the_file_is_a_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "etc.toml").mkdir()
        with pytest.raises(SettingsError, match="found is a directory, expected a file that can be read"):
            load(None, {})

    def test_a_broken_link_is_a_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "etc.toml").symlink_to("nowhere")
        with pytest.raises(SettingsError, match="found no such file"):
            load(None, {})

    def test_a_device_that_never_ends_is_a_mistake(self) -> None:
        with pytest.raises(SettingsError, match="/dev/zero: found more than 1048576 bytes, expected a settings file"):
            load("/dev/zero", {})

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
    def test_for_another_user_an_unreadable_file_is_a_mistake_and_an_unreachable_one_is_none(
        self, tmp_path: Path
    ) -> None:
        for folder in tmp_path.parents:
            if folder.stat().st_uid == 0 and str(folder) not in ("/", "/tmp"):
                folder.chmod(0o755)
        tmp_path.chmod(0o755)
        unreadable = tmp_path / "etc.toml"
        written(unreadable)
        unreadable.chmod(0o600)
        home = tmp_path / "home"
        written(home / ".config/rbdiag/config.toml", "wrong")
        home.chmod(0o700)
        child = os.fork()
        if child == 0:  # no assertion may leave the child: its answer is the exit status
            answer = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                load(None, {"HOME": str(home)})
            except SettingsError as error:
                expected = f"{unreadable}: found permission denied, expected a file that can be read"
                answer = 0 if str(error) == expected else 2
            finally:
                os._exit(answer)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


TARGET_KEYS = "config, database, defaults_file, log, password_file, runbook, service, ssl_ca, target or user"
# The text of a file, the line of the mistake, and what is said behind the place.
MISTAKES = [
    ("unknown table", "[target.shop]\n", 1,
     "target: found an unknown key, expected contacts, patterns, targets or thresholds (did you mean targets?)"),
    ("unknown key", '\n[targets.shop]\nservice = "x"\nservise = "y"\n', 4,
     f"targets.shop.servise: found an unknown key, expected {TARGET_KEYS} (did you mean service?)"),
    ("unknown key like nothing", "[thresholds]\nzzz = 1\n", 2, "thresholds.zzz: found an unknown key, expected cpu"),
    ("unknown key in a contact", '[[contacts]]\nname="a"\ncontact="b"\n[[contacts]]\nname="c"\nmail="d"\n', 6,
     "contacts[1].mail: found an unknown key, expected contact, name, role, runbooks, services or when"),
    ("unknown key with a strange name", '[targets.shop]\nservice = "x"\n"a\\nb" = 1\n', 3,
     f"targets.shop.'a\\nb': found an unknown key, expected {TARGET_KEYS}"),
    ("neither service nor target", "# c\n[targets.shop]\nrunbook = 'cpu'\n", 2,
     "targets.shop: found neither service nor target, expected one of them or both"),
    ("neither in an inline table", "[targets]\n\nshop = {}\n", 3,
     "targets.shop: found neither service nor target, expected one of them or both"),
    ("target is empty", "[targets.shop]\ntarget = ''\n", 2,
     "targets.shop.target: found '', expected host[:port], a URL without a password, or the path of a socket"),
    ("target holds a password", "[targets.shop]\ntarget = 'mysql://app:hunter2@db1/shop'\n", 2,
     "targets.shop.target: found 'mysql://app:***@db1/shop', "
     "expected host[:port], a URL without a password, or the path of a socket"),
    ("log is no array", "[targets.shop]\nservice = 'x'\nlog = '/var/log/x'\n", 3,
     "targets.shop.log: found '/var/log/x', expected an array, each of it the path of a log, or a glob"),
    ("password file is a number", "[targets.shop]\nservice = 'x'\npassword_file = 7\n", 3,
     "targets.shop.password_file: found 7, expected the path of a file with the password on its first line"),
    ("missing contact", "[[contacts]]\nname='a'\ncontact='b'\n\n[[contacts]]\nname='c'\n", 5,
     "contacts[1].contact: found nothing, expected a phone number, a URL or a mail address"),
    ("missing name", "[[contacts]]\ncontact='b'\n", 1,
     "contacts[0].name: found nothing, expected the name of a person or a team"),
    ("service is a number", "targets.shop.service = 5\n", 1,
     "targets.shop.service: found 5, expected the name of a unit, a service or a process"),
    ("line ends of Windows", "\r\n[targets.shop]\r\nservice = 5\r\n", 3,
     "targets.shop.service: found 5, expected the name of a unit, a service or a process"),
    ("service is empty", "[targets.shop]\nservice = ' '\n", 2,
     "targets.shop.service: found ' ', expected the name of a unit, a service or a process"),
    ("service has a line break", '[targets.shop]\nservice = """a\nb"""\n', 2,
     "targets.shop.service: found 'a\\nb', expected the name of a unit, a service or a process"),
    ("runbook there is not", "[targets.shop]\nservice = 'x'\nrunbook = 'gpu'\n", 3,
     "targets.shop.runbook: found 'gpu', expected 'db' or 'cpu' or 'logs'"),
    ("runbook is a truth value", "[targets.shop]\nservice = 'x'\nrunbook = true\n", 3,
     "targets.shop.runbook: found true, expected 'db' or 'cpu' or 'logs'"),
    ("target is no table", "[targets]\nshop = 'shop.service'\n", 2,
     "targets.shop: found 'shop.service', expected a table"),
    ("targets is an array", "targets = []\n", 1, "targets: found an array, expected a table"),
    ("target name with a colon", "[targets.'db:3306']\nservice='x'\n", 1,
     "targets.'db:3306': found 'db:3306', expected a name of letters, digits, '.', '_' and '-'"),
    ("target name like an option", "[targets.-x]\nservice='x'\n", 1,
     "targets.-x: found '-x', expected a name of letters, digits, '.', '_' and '-'"),
    ("target without a name", "[targets.'']\nservice='x'\n", 1,
     "targets.'': found '', expected a name of letters, digits, '.', '_' and '-'"),
    ("contacts is a table", "[contacts]\nname = 'a'\n", 1,
     "contacts: found a table, expected an array of tables ([[contacts]])"),
    ("contact is no table", "contacts = [\n  'a',\n]\n", 2, "contacts[0]: found 'a', expected a table"),
    ("same contact twice", "[[contacts]]\nname='a'\ncontact='b'\n[[contacts]]\ncontact='b'\nname='a'\n", 4,
     "contacts[1]: found the same as contacts[0], expected every contact once"),
    ("runbooks is a word", "[[contacts]]\nname='a'\ncontact='b'\nrunbooks='cpu'\n", 4,
     "contacts[0].runbooks: found 'cpu', expected an array, each of it 'db' or 'cpu' or 'logs'"),
    ("runbooks has a wrong one", "[[contacts]]\nname='a'\ncontact='b'\nrunbooks = [\n 'cpu', # '\n 'gpu',\n]\n", 6,
     "contacts[0].runbooks[1]: found 'gpu', expected 'db' or 'cpu' or 'logs'"),
    ("services has one twice", "[[contacts]]\nname='a'\ncontact='b'\nservices=['x','y',\n'x']\n", 5,
     "contacts[0].services[2]: found 'x' again, expected every one once"),
    ("threshold is a word", "\n\n[thresholds.cpu]\nwarning = 'high'\n", 4,
     "thresholds.cpu.warning: found 'high', expected a number from 1 to 100"),
    ("threshold too low", "thresholds.cpu.critical = 0.5", 1,
     "thresholds.cpu.critical: found 0.5, expected a number from 1 to 100"),
    ("threshold too high", "thresholds = { cpu = { warning = 101 } }", 1,
     "thresholds.cpu.warning: found 101, expected a number from 1 to 100"),
    ("threshold is true", "[thresholds.cpu]\nwarning = true\n", 2,
     "thresholds.cpu.warning: found true, expected a number from 1 to 100"),
    ("threshold is no number", "[thresholds.cpu]\nwarning = nan\n", 2,
     "thresholds.cpu.warning: found nan, expected a number from 1 to 100"),
    ("threshold is a day", "[thresholds.cpu]\nwarning = 2026-11-23\n", 2,
     "thresholds.cpu.warning: found 2026-11-23, expected a number from 1 to 100"),
    ("threshold is a table", "[thresholds.cpu.warning]\nx = 1\n", 1,
     "thresholds.cpu.warning: found a table, expected a number from 1 to 100"),
    ("thresholds.cpu is a number", "thresholds.cpu = 80\n", 1, "thresholds.cpu: found 80, expected a table"),
    ("warning above critical", "[thresholds.cpu]\ncritical = 60\nwarning = 60\n", 3,
     "thresholds.cpu.warning: found 60, expected less than thresholds.cpu.critical (60)"),
    ("warning above the default", "[thresholds.cpu]\nwarning = 96\n", 2,
     "thresholds.cpu.warning: found 96, expected less than thresholds.cpu.critical (95)"),
    ("critical below the default", "[thresholds.cpu]\ncritical = 80\n", 2,
     "thresholds.cpu.critical: found 80, expected more than thresholds.cpu.warning (80)"),
    ("log alone for another runbook", "[targets.shop]\nrunbook = 'db'\nlog = ['x.log']\n", 1,
     "targets.shop: found neither service nor target, expected one of them or both"),
    ("pattern without a severity", "[patterns.p]\nregex = 'lost cart'\ntitle = 'x'\n", 1,
     "patterns.p.severity: found nothing, expected 'warning' or 'critical'"),
    ("pattern of another severity", "[patterns.p]\nregex='lost cart'\ntitle='x'\nseverity = 'note'\n", 4,
     "patterns.p.severity: found 'note', expected 'warning' or 'critical'"),
    ("pattern without a regex", "[patterns.p]\ntitle='x'\nseverity = 'warning'\n", 1,
     "patterns.p.regex: found nothing, expected a regular expression"),
    ("pattern that is no regex", "[patterns.p]\ntitle='x'\nseverity='warning'\nregex = 'lost (cart'\n", 4,
     "patterns.p.regex: found 'lost (cart' (it is no regular expression: missing ), unterminated subpattern at "
     "position 5), expected a regular expression to search every line for"),
    ("pattern that runs away", "[patterns.p]\nregex = '(a+)+b lost'\ntitle='x'\nseverity='warning'\n", 2, None),
    ("pattern with a secret", "[patterns.p]\nregex = '(password=hunter2'\ntitle='x'\nseverity='warning'\n", 2,
     "patterns.p.regex: found '(password=***' (it is no regular expression: missing ), unterminated subpattern at "
     "position 0), expected a regular expression to search every line for"),
    ("pattern for a finding there is not",
     "[patterns.p]\nregex='lost cart'\ntitle='x'\nseverity='warning'\ncode='db.crash'\n", 5,
     "patterns.p.code: found 'db.crash', expected a code that rbdiag explain lists (did you mean db.crashed?)"),
    ("pattern for a finding like nothing",
     "[patterns.p]\nregex='lost cart'\ntitle='x'\nseverity='warning'\ncode='zzz'\n", 5,
     "patterns.p.code: found 'zzz', expected a code that rbdiag explain lists"),
    ("a long value", f"targets.shop = '{'x' * 500}'\n", 1, f"targets.shop: found '{'x' * 56}..., expected a table"),
    ("no value", "\n[targets.shop]\nservice\n", 3,
     "found a syntax error at column 8 (Expected '=' after a key in a key/value pair), expected TOML"),
    ("key twice", "[targets.shop]\nservice = 'a'\nservice = 'b'\n", 3,
     "found a syntax error at column 14 (Cannot overwrite a value), expected TOML"),
    ("table twice", "[targets.a]\nservice = 'a'\n[targets.a]\n", 3,
     "found a syntax error at column 11 (Cannot declare ('targets', 'a') twice), expected TOML"),
    ("cut off", "[targets.shop]\nservice = [\n", 2,
     "found a syntax error at the end (Invalid value), expected TOML"),
    ("not UTF-8", b"# a\n[targets.shop]\nservice = '\xff'\n", 3, "found the byte 0xff, expected UTF-8"),
    ("far too deep", "a = " + "[" * 5000, None,
     "found too many brackets inside each other, expected a settings file"),
    ("a number of 5000 digits", f"thresholds.cpu.warning = {'9' * 5000}\n", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistake_is_told_with_its_place(text: str | bytes, line: int | None, said: str | None, tmp_path: Path) -> None:
    path = written(tmp_path / "config.toml", text)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    where = path if line is None else f"{path}:{line}"
    if said is not None:
        assert str(caught.value) == f"{where}: {said}"
    assert caught.value.line == line
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["targets.password = 'hunter2'", "targets.shop = 'mysql://u:hunter2@db'", "apikey = 'hunter2'",
     "[targets]\napi_token = 'hunter2'", "thresholds.cpu.warning = 'password=hunter2'", "password = hunter2",
     "password = 'hunter2"],
)  # fmt: skip
def test_a_secret_in_a_mistake_is_not_repeated(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path / "c.toml", text), {})
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


def test_a_file_with_a_strange_name_is_told_in_one_line() -> None:
    with pytest.raises(SettingsError) as caught:
        load("/no\nsuch\x1b[2J", {})
    assert str(caught.value).startswith("'/no\\nsuch\\x1b[2J': found")


class TestWhomToCall:
    everything = Settings(
        contacts=(
            ContactEntry("always", "1", "r", "w"),
            ContactEntry("cpu", "2", runbooks=("cpu",)),
            ContactEntry("db", "3", runbooks=("db",)),
            ContactEntry("shop", "4", services=("shop.service", "web")),
            ContactEntry("db of the shop", "5", runbooks=("db",), services=("shop.service",)),
        )
    )

    @pytest.mark.parametrize(
        ("runbook", "services", "names"),
        [
            ("cpu", [], ["always", "cpu"]),
            ("cpu", ["shop.service"], ["always", "cpu", "shop"]),
            ("cpu", ["shop"], ["always", "cpu", "shop"]),
            ("cpu", ["web.service", "x"], ["always", "cpu", "shop"]),
            ("cpu", ["shopping.service"], ["always", "cpu"]),
            ("db", iter(["shop.service"]), ["always", "db", "shop", "db of the shop"]),
        ],
    )
    def test_by_runbook_and_service(self, runbook: str, services: list[str], names: list[str]) -> None:
        assert [contact.name for contact in contacts_for(self.everything, runbook, services)] == names

    def test_all_that_is_known_of_a_contact(self) -> None:
        assert contacts_for(self.everything, "cpu", [])[0] == Contact("always", "r", "1", "w")


class TestTargetNames:
    def test_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        environ = {"RBDIAG_SETTINGS": written(tmp_path / "c.toml", GOOD)}
        assert target_names(environ) == ["shop", "db1.example", "orders"]

    def test_of_one_runbook(self, tmp_path: Path) -> None:
        environ = {"RBDIAG_SETTINGS": written(tmp_path / "c.toml", GOOD)}
        assert target_names(environ, "db") == ["db1.example", "orders"]

    @pytest.mark.parametrize("text", ["[targets.shop]", "=", b"\xff"])
    def test_none_and_no_error_where_the_file_is_wrong(self, text: str | bytes, tmp_path: Path) -> None:
        assert target_names({"RBDIAG_SETTINGS": written(tmp_path / "c.toml", text)}) == []

    def test_none_without_a_file(self) -> None:
        assert target_names({}) == []


TRAPS = '''\
# [targets.no] \\""" a comment that looks like a table
title = "[a] = 1 # no comment" # and = a comment
multi = """
[fake]
key = "\\""" \\
fake = 1"""
literal = \'\'\'
[[fake]]
x = 1\'\'\''
"quo\\u0074ed.key" . 'part [x]' = 1
dotted.a.b = { c = 1, "d.e" = [1, { f = 2 },
  [ "]", \'[\', """
]""" ],
], g.h = 3 }
[ a . b ]
c = 1979-05-27 07:32:00 # x
[[ list ]]
k = 1
[[list.inner]]
k = [
  1, # ]
  2
]
[[list.inner]]
[list.inner.sub]
k = 3
[[list]]
  [list.inner]
  k = 4
'''


def test_lines_are_found_in_spite_of_every_trap() -> None:
    tomllib.loads(TRAPS)
    lines = key_lines(TRAPS)
    assert {path: line for path, line in lines.items() if "fake" in path} == {}
    for path, line in [
        (("title",), 2),
        (("multi",), 3),
        (("literal",), 7),
        (("quoted.key", "part [x]"), 10),
        (("dotted", "a"), 11),
        (("dotted", "a", "b", "c"), 11),
        (("dotted", "a", "b", "d.e", 1, "f"), 11),
        (("dotted", "a", "b", "d.e", 2, 1), 12),
        (("dotted", "a", "b", "g", "h"), 14),
        (("a",), 15),
        (("a", "b", "c"), 16),
        (("list", 0), 17),
        (("list", 0, "k"), 18),
        (("list", 0, "inner", 0, "k", 1), 22),
        (("list", 0, "inner", 1), 24),
        (("list", 0, "inner", 1, "sub", "k"), 26),
        (("list", 1), 27),
        (("list", 1, "inner", "k"), 29),
    ]:
        assert lines.get(path) == line, path


def paths(value: object, here: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {here, *(path for key, item in below for path in paths(item, (*here, key)))}


def test_every_key_of_random_files_has_a_line_and_no_other_has() -> None:
    rng = random.Random(20261123)
    keys = ["a", "b-1", '"x.y"', "'q]'", "a.b", 'c . "d"']
    values = [
        "1",
        "'''\n[x]\n'''",
        '"""\n\\""" = 2"""',
        '"a = [\\""',
        "[1, [2], {k = '}'}]",
        "{ z.y = ']', w = [] }",
        "[\n]",
    ]
    seen = 0
    for _ in range(500):
        text = "".join(
            rng.choice(["[{k}]\n", "[[{k}]] # [no]\n", "{k} = {v}\n", "{k}={v} # x = 1\n", "# y = 2\n", "\n"])
            .replace("{k}", rng.choice(keys))
            .replace("{v}", rng.choice(values))
            for _ in range(rng.randint(1, 6))
        )
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        assert set(key_lines(text)) == paths(tree) - {()}, text
        seen += 1
    assert seen > 100


def test_every_setting_has_a_field_and_every_field_a_setting() -> None:
    said = {tuple(path.split(".")) for path in settings._KEYS}
    assert {p[2] for p in said if p[0] == "targets"} == {f.name for f in fields(Target)} - {"name"}
    assert {p[2] for p in said if p[0] == "contacts"} == {f.name for f in fields(ContactEntry)}
    assert {p[2] for p in said if p[0] == "patterns"} == {f.name for f in fields(PatternEntry)} - {"name"}
    assert {"_".join(p[1:]) for p in said if p[0] == "thresholds"} == {f.name for f in fields(Thresholds)}
    assert {p[0] for p in said} == {f.name for f in fields(Settings)} - {"path"}


def test_the_runbooks_that_settings_may_name_are_those_there_are() -> None:
    assert settings.RUNBOOKS == runbooks.NAMES


def test_importing_reads_no_toml_and_compares_no_words() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, rbdiag.settings; print({'tomllib', 'difflib'} & set(sys.modules))"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")

"""The rules of the house, kept by a machine: layers, pure rooms, a complete catalogue, every closed word used."""

from __future__ import annotations

import ast
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import rbdiag
from rbdiag import model
from rbdiag.diagnose import catalogue, diagnose, rules
from rbdiag.facts import cpu, db, dns, fact_types, host, logs, net, sessions, tls
from rbdiag.model import Facts, Severity
from tests.diagnose import db_world, log_world, world
from tests.diagnose.rows import ROWS

SOURCE = Path(rbdiag.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

# Each room and those below it: imports go downward only, or stay in the room.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("runbooks",),
    ("runner", "record", "settings", "schema"),
    ("collect", "diagnose", "render"),
    ("facts", "deadline", "redact", "toml_lines"),
    ("model",),
    ("frozen",),
    ("__init__",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
PURE = ("diagnose", "facts", "model", "render")
IMPURE = {"socket", "subprocess", "time", "os", "requests", "pymysql", "dns", "psutil", "click"}


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or late."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "rbdiag")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downward_only(path: Path) -> None:
    here = LEVEL[room_of(path)]
    for name in imports(path):
        if name.startswith("rbdiag."):
            there = name.split(".")[1]
            # from rbdiag import __version__ is an import of the package itself
            if there in LEVEL:
                same_room = there == room_of(path)
                assert same_room or LEVEL[there] > here, f"{path.name} ({room_of(path)}) imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) in PURE], ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_pure_room_reads_nothing_of_the_world(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE


def test_collect_and_diagnose_do_not_know_each_other() -> None:
    for path in MODULES:
        other = {"collect": "rbdiag.diagnose", "diagnose": "rbdiag.collect"}.get(room_of(path))
        assert other is None or not any(name.startswith(other) for name in imports(path)), path


def test_click_is_known_to_the_command_line_alone() -> None:
    assert {room_of(p) for p in MODULES if "click" in {name.split(".")[0] for name in imports(p)}} == {"cli"}


CODES = sorted(catalogue())


@pytest.mark.parametrize("code", CODES)
def test_every_spec_is_reached_by_a_row(code: str) -> None:
    assert any(code in {f.code for f in diagnose(row.facts).findings} for row in ROWS), f"no world says {code}"


@pytest.mark.parametrize("code", CODES)
def test_every_spec_is_told_first_or_noted_by_a_row(code: str) -> None:
    assert any(row.first == code or code in row.notes for row in ROWS)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.__name__)
def test_every_rule_is_silent_on_a_healthy_host_and_on_no_facts(rule) -> None:
    for healthy in (world.healthy(), db_world.beside(), db_world.by_socket(), db_world.afar(), log_world.healthy()):
        assert list(rule(healthy.but())) == []
    assert list(rule(Facts())) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("missing", sorted(fact_types()), ids=lambda name: f"without {name}")
def test_no_rule_needs_a_fact_that_may_be_missing(rule, missing: str) -> None:
    """Any check may leave a gap; a rule must do with what is there."""
    for row in ROWS:
        list(rule(Facts(f for f in row.facts if type(f).__name__ != missing)))


@pytest.mark.parametrize("code", CODES)
def test_every_spec_has_all_its_words(code: str) -> None:
    spec = catalogue()[code]
    for words in (spec.title, spec.meaning, spec.told, spec.not_to_be_taken_for, *spec.resolution):
        assert words.strip()
    assert not spec.title.endswith(".")
    assert spec.meaning.endswith(".")
    assert spec.area in ("cpu", "host", "svc", "db", "net", "dns", "tls", "change", "api", "timeout", "logs")


def test_alarms_have_steps_and_every_finding_has_evidence() -> None:
    for row in ROWS:
        for finding in diagnose(row.facts).findings:
            assert finding.evidence, (row.name, finding.code)
            assert finding.resolution or finding.severity is Severity.NOTE, (row.name, finding.code)


def words(fact: type[model.Fact], field: str) -> object:
    """The words that a field may hold whose type has no name."""
    return typing.get_type_hints(fact)[field]


CLOSED_WORDS = {
    "gap reason": model.GapReason, "risk": model.Risk, "mark": model.Mark, "window": cpu.Window, "runtime": cpu.Runtime,
    "service kind": cpu.ServiceKind, "doing": cpu.Doing, "tool state": cpu.ToolState, "resource": host.Resource,
    "wait": host.Wait, "kernel event": host.KernelEventKind, "space role": host.SpaceRole, "family": net.Family,
    "tcp answer": net.TcpWord, "socket answer": net.SocketWord, "route": net.RouteWord, "ping": net.PingWord,
    "firewall verdict": net.FirewallVerdict, "name answer": dns.NameWord, "name server": dns.ServerWord,
    "resolver": dns.ResolverWord, "tls answer": tls.TlsWord, "log line": logs.LogKind, "flavour": db.Flavour,
    "tls wish": db.TlsWish, "greeting": db.GreetingWord, "attempt": db.Attempt, "login": db.LoginWord,
    "option": db.OptionWord, "server role": db.ServerRole, "lock wait": sessions.WaitKind,
    "lock holder": sessions.HeldBy, "log level": logs.LogLevel,
    "log window": words(logs.LogWindow, "how"), "log role": words(logs.LogKnown, "role"),
    "log news": words(logs.LogTemplate, "word"), "trace": words(logs.LogTrace, "language"),
}  # fmt: skip


def literals_outside_types() -> set[str]:
    """Every string the source writes, but for those inside a Literal[...]."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        for child in ast.iter_child_nodes(node):
            walk(child)

    for path in MODULES:
        walk(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize(("name", "words"), CLOSED_WORDS.items(), ids=CLOSED_WORDS)
def test_every_closed_word_is_used(name: str, words: object) -> None:
    unused = set(typing.get_args(words)) - literals_outside_types()
    assert not unused, f"{name}: nothing ever says {unused}"


def test_every_fact_reads_as_a_line() -> None:
    for row in ROWS:
        for fact in row.facts:
            assert "\n" not in str(fact)
            assert "Fact(" not in str(fact)


def test_every_fact_type_stands_in_the_worlds() -> None:
    seen = {type(f).__name__ for row in ROWS for f in row.facts}
    profiles = {"Profile", "HotFunction"}  # of a profile asked for: their test is with the check that takes it
    assert set(fact_types()) - seen == profiles


def test_the_version_is_written_once() -> None:
    done = subprocess.run([sys.executable, "-m", "rbdiag", "--version"], capture_output=True, text=True, check=True)
    assert rbdiag.__version__ in done.stdout

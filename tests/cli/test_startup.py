"""What the quick answers must not import: each of these costs more than the answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rbdiag.runbooks import NAMES
from tests.cli.program import Program

HEAVY = "requests dns pymysql cryptography psutil tabulate asyncio ssl socket subprocess tomllib"
# `main` ends the process by itself, so the modules are listed at its very end; those of Python's own start are not.
LOOK = """
import os, sys
leave, before = os._exit, set(sys.modules)
def look(status):
    os.write(2, " ".join(sorted(set(sys.modules) - before)).encode())
    leave(status)
os._exit = look
sys.argv = ["rbdiag", *sys.argv[1:]]
from rbdiag.__main__ import main
main()
"""


def imported(rbdiag: Program, *arguments: str, **env: str) -> set[str]:
    """The modules that the answer took."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments], env=rbdiag.env(**env), capture_output=True, text=True, check=True
    )
    assert done.stdout
    return set(done.stderr.split())


def test_help_imports_click_and_nothing_heavy(rbdiag: Program) -> None:
    modules = imported(rbdiag, "--help")
    assert "click" in modules
    assert modules & set(HEAVY.split()) == set()


def test_the_help_of_a_runbook_imports_nothing_heavy(rbdiag: Program) -> None:
    for runbook in NAMES:
        assert imported(rbdiag, runbook, "--help") & set(HEAVY.split()) == set()


def test_help_imports_no_command(rbdiag: Program) -> None:
    mine = {name for name in imported(rbdiag, "--help") if name.startswith("rbdiag")}
    assert mine == {"rbdiag", "rbdiag.__main__", "rbdiag.cli", "rbdiag.cli.main", "rbdiag.cli.streams"}


@pytest.mark.parametrize("line", ["", "db --skip ", "cpu --only ", "explain cpu.", "cpu --output=", "diagnose "])
def test_completion_imports_neither_click_nor_anything_heavy(rbdiag: Program, line: str) -> None:
    modules = imported(rbdiag, *line.split(" "), _RBDIAG_COMPLETE="bash")
    assert modules & {"click", "rbdiag.model", "re", "typing", "dataclasses", *HEAVY.split()} == set()


def test_version_imports_nothing(rbdiag: Program) -> None:
    modules = imported(rbdiag, "--version")
    assert modules & {"click", "rbdiag.model", "re", "typing", "dataclasses", *HEAVY.split()} == set()


@pytest.mark.parametrize("arguments", [["--version"], ["--settings", "x", "--version"]], ids=["alone", "by Click"])
def test_both_ways_to_the_version_say_the_same(rbdiag: Program, arguments: list[str]) -> None:
    from rbdiag import __version__

    assert rbdiag(*arguments).stdout == f"rbdiag {__version__}\n"

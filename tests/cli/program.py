"""The real program for the tests, in a world that a test can plant: no network of mocks, one patched module."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# A runbook of one check that ends at once, so that a test takes as long as the start of Python, and one rule.
# `SEVERITY` None finds nothing; `RULE` and `CHECK` may be replaced by what a test plants.
WORLD = """
import rbdiag.diagnose as diagnose
import rbdiag.runbooks.cpu as runbook
from rbdiag.facts.host import Zombies
from rbdiag.model import CannotLook, Confidence, Finding, Gap, Severity, Spec
from rbdiag.runbooks import Plan
from rbdiag.runner import Job

SEVERITY = None
SPEC = Spec("cpu.planted", "A planted finding", Severity.WARNING, "It was planted.", "By a test.", "A real one.", ())

def check(deadline, facts):
    yield Zombies(subject="parent[7]", count=3, parent_pid=7, parent_start_ticks=1, command="parent")

def after(deadline, facts):
    return iter(())

def rule(facts):
    if SEVERITY is not None and facts.of(Zombies):
        yield Finding(SPEC, SEVERITY, Confidence.LIKELY, "parent[7]", "three zombies", facts.of(Zombies))

def plan(**asked):
    jobs = (
        Job("cpu.time", "host", lambda d, f: check(d, f), decides=True),
        Job("cpu.confirm", "host", lambda d, f: after(d, f), after=("cpu.time",)),
        Job("host.memory", "host", lambda d, f: iter(())),
    )
    return Plan("cpu", asked["service"] or "this host", jobs)

runbook.plan = plan
diagnose.rules = lambda: (lambda facts: rule(facts),)
"""
BUSY = "\nSEVERITY = Severity.CRITICAL\n"
WARM = "\nSEVERITY = Severity.WARNING\n"
BLIND = """
def check(deadline, facts):
    raise CannotLook(Gap("forbidden", "not allowed to look", "run as root"))
    yield
"""
BROKEN_CHECK = """
def check(deadline, facts):
    raise KeyError("planted in a check")
    yield
"""
BROKEN_RULE = """
def rule(facts):
    raise KeyError("planted in a rule")
    yield
"""
BROKEN_PLAN = """
def plan(**asked):
    raise KeyError("planted in the plan")

runbook.plan = plan
"""
HANGING_CHECK = """
def check(deadline, facts):
    import time
    time.sleep(60)
    yield
"""


class Program:
    """Runs rbdiag as a process of its own. State, settings and home are the test's own directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state = place / "state" / "rbdiag"

    def env(self, plant: str = "", **changes: str) -> dict[str, str]:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "HOME": str(self.place),
            "XDG_CONFIG_HOME": str(self.place),
            "XDG_STATE_HOME": str(self.place / "state"),
            "TMPDIR": str(self.place),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if plant:
            folder = self.place / "planted"
            folder.mkdir(exist_ok=True)
            (folder / "sitecustomize.py").write_text(plant)
            env["PYTHONPATH"] = f"{folder}{os.pathsep}{env['PYTHONPATH']}"
        return env | changes

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "rbdiag", *arguments]

    def __call__(
        self, *arguments: str, plant: str = "", env: Mapping[str, str] | None = None, **how: Any
    ) -> subprocess.CompletedProcess[str]:
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | how
        if "input" in how:
            del how["stdin"]
        return subprocess.run(self.argv(*arguments), env=self.env(plant, **(env or {})), text=True, timeout=60, **how)

    def shell(self, line: str, plant: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line of bash in which `rbdiag` is the program."""
        command = f'rbdiag() {{ "{sys.executable}" -m rbdiag "$@"; }}\n{line}'
        return subprocess.run(["bash", "-c", command], env=self.env(plant), capture_output=True, text=True, timeout=60)

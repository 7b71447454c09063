"""The lab: real faults set up in real software, and the scoreboard of what rbdiag says about them.

A scenario is a generator that sets a fault up, proves from its own reading of the kernel's files that the fault is in
effect, and yields the names by which a right answer must call it. The bench then runs the installed program, grades
its JSON report, proves that the fault was still there, and takes everything down again.

    python -m tests.lab                 run everything, print the scoreboard
    python -m tests.lab --fast          the part that runs with the other tests
    python -m tests.lab --list          what there is, and what each expects
    python -m tests.lab fork-storm -v   one scenario, with its proofs

To add faults of another area, write a file like cpu.py and name it in AREAS. A healthy twin is a scenario that looks
like trouble and is none.
"""

from __future__ import annotations

from importlib import import_module

from tests.lab.scenario import Scenario

AREAS = (
    "cpu", "host", "healthy", "unseen", "systemd",
    "db_down", "db_start", "db_login", "db_inside", "db_net", "db_mysql", "db_healthy",
    "logs_web", "logs_apps", "logs_db", "logs_journal", "logs_unseen", "logs_healthy", "logs_busy",
)  # fmt: skip


def scenarios() -> dict[str, Scenario]:
    """Every scenario by its name, in the order of the areas and of their files."""
    found: dict[str, Scenario] = {}
    for area in AREAS:
        for value in vars(import_module(f"tests.lab.{area}")).values():
            if isinstance(value, Scenario):
                if value.name in found:
                    raise ValueError(f"two scenarios are named {value.name}")
                found[value.name] = value
    return found

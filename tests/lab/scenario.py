"""What a scenario is: a fault or a healthy twin, what it needs, and what must be said about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import proc
from tests.lab.workbench import Answer, Lab
from tests.servers import mariadb, mysql


@dataclass(frozen=True)
class Fault:
    """A fault in effect, and the names by which a right answer calls it.

    One of `subject` must stand as a word of its own in the first finding's subject or summary; where it is empty, the
    host itself is the subject. Each of `shown` must stand somewhere in that finding, its evidence included.

    `argv` is the command line to ask with, where the scenario itself does not say it: only now is it known on which
    port a server listens. `before` is a program that starts the one under test, such as `ip netns exec NAME`.
    """

    subject: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


# Yields once, when the fault is in effect, and is sent the answer, to look at it with the fault still standing.
Setup = Generator[Fault, Answer, None]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One fault or healthy twin.

    `codes` are the findings that may rightly stand first; none of them for a healthy twin, which may have the notes
    of `allowed` and nothing else. For a fault, `allowed` are findings that may stand beside the root unexplained
    without being false. `needs` are words of NEEDS or names of programs. `quiet` says that the answer can be told only
    on a machine that does little else.
    """

    name: str
    setup: Callable[[Lab], Setup]
    codes: frozenset[str]
    allowed: frozenset[str]
    argv: tuple[str, ...]
    needs: tuple[str, ...]
    fast: bool
    quiet: bool = True

    @property
    def healthy(self) -> bool:
        return not self.codes

    @property
    def about(self) -> str:
        return (self.setup.__doc__ or "").strip().splitlines()[0]

    def missing(self) -> str | None:
        """Why this machine cannot hold the scenario, or None."""
        return next((reason for need in self.needs if (reason := _missing(need))), None)


def fault(
    *codes: str,
    allowed: tuple[str, ...] = (),
    argv: tuple[str, ...] = ("cpu",),
    needs: tuple[str, ...] = (),
    fast: bool = False,
    quiet: bool = True,
) -> Callable[[Callable[[Lab], Setup]], Scenario]:
    """Make a generator function the scenario of a fault; its name with hyphens is the scenario's name."""
    if not codes:
        raise ValueError("a fault must expect at least one code")
    return lambda setup: _scenario(setup, codes, allowed, argv, needs, fast, quiet)


def twin(
    *,
    allowed: tuple[str, ...] = (),
    argv: tuple[str, ...] = ("cpu",),
    needs: tuple[str, ...] = (),
    fast: bool = False,
    quiet: bool = True,
) -> Callable[[Callable[[Lab], Setup]], Scenario]:
    """Make a generator function a healthy twin: it looks like trouble and must raise no alarm."""
    return lambda setup: _scenario(setup, (), allowed, argv, needs, fast, quiet)


def _scenario(
    setup: Callable[[Lab], Setup],
    codes: tuple[str, ...],
    allowed: tuple[str, ...],
    argv: tuple[str, ...],
    needs: tuple[str, ...],
    fast: bool,
    quiet: bool,
) -> Scenario:
    return Scenario(
        name=setup.__name__.replace("_", "-"),
        setup=setup,
        codes=frozenset(codes),
        allowed=frozenset(allowed),
        argv=argv,
        needs=needs,
        fast=fast,
        quiet=quiet,
    )


def _cgroup(version: int, controller: str) -> bool:
    root = proc.cgroup_root(version, controller)
    return root is not None and os.access(root, os.W_OK)


NEEDS: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "two CPUs": lambda: proc.cpus() >= 2,
    "pressure": lambda: Path("/proc/pressure/cpu").is_file(),
    "cgroup v1 cpu": lambda: _cgroup(1, "cpu"),
    "cgroup v2 cpu": lambda: _cgroup(2, "cpu"),
    "cgroup v1 memory": lambda: _cgroup(1, "memory"),
    "cgroup v1 blkio": lambda: _cgroup(1, "blkio"),
    "cgroup v1 freezer": lambda: _cgroup(1, "freezer"),
    "mariadb": lambda: mariadb.missing() is None,
    "sqlalchemy": lambda: importlib.util.find_spec("sqlalchemy") is not None,
}


def _missing(need: str) -> str | None:
    if need == "mysql":
        return mysql.missing()
    met = NEEDS[need]() if need in NEEDS else shutil.which(need) is not None
    return None if met else f"needs {need}"

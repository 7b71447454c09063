"""Start-up: `--version`, `--help` and one completion against a bare Click program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rbdiag.cli.main import COMMANDS
from tests.benchmarks.measure import Result, Side, compare, in_turn
from tests.benchmarks.programs import bare_click, console_script, environment

PAIRS = 15  # they are short, and a single one says little


def measure(place: Path) -> Iterator[Result]:
    """Wall time, because a person waits for it."""
    env = environment(place)
    ours, bare = console_script(place, "rbdiag", "rbdiag.__main__"), bare_click(place, len(COMMANDS))
    version = in_turn(
        Side("rbdiag --version", [ours, "--version"], lambda out: out.startswith("rbdiag "), env),
        Side("hello --version", [bare, "--version"], lambda out: out.startswith("hello"), env),
        PAIRS,
    )
    yield compare("--version / bare Click", "wall", version, 0.5)
    completion = in_turn(
        Side("completion", [ours, "c"], lambda out: "\ncpu\t" in out, {**env, "_RBDIAG_COMPLETE": "bash"}),
        Side(
            "Click's completion",
            [bare],
            lambda out: "plain,greet0" in out,
            {**env, "_HELLO_COMPLETE": "bash_complete", "COMP_WORDS": "hello g", "COMP_CWORD": "1"},
        ),
        PAIRS,
    )
    yield compare("one completion / bare Click", "wall", completion, 0.5)
    usage = in_turn(
        Side("rbdiag --help", [ours, "--help"], lambda out: all(f"  {name} " in out for name in COMMANDS), env),
        Side("hello --help", [bare, "--help"], lambda out: "greet0" in out, env),
        PAIRS,
    )
    yield compare("--help / bare Click", "wall", usage, 1.15)


def profile(place: Path, result: Result) -> str:
    """Where the time goes: the imports that took longest, with all that they import, in microseconds."""
    env, arguments = environment(place), ["--version" if "version" in result.name else "--help"]
    if "completion" in result.name:
        env, arguments = {**env, "_RBDIAG_COMPLETE": "bash"}, ["c"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(place / "rbdiag"), *arguments], env=env, capture_output=True, text=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:") and "[us]" not in line]
    lines.sort(key=lambda line: -int(line.split("|")[1]))
    return "\n".join(["import time: self [us] | cumulative | imported package", *lines[:15]])

"""The live line, and what a terminal gets that a pipe does not."""

from __future__ import annotations

import pytest

from rbdiag.cli.progress import Progress
from tests.cli.program import BUSY, WORLD, Program
from tests.cli.terminal import Terminal

SLOW_CHECK = """
def check(deadline, facts):
    deadline.sleep(1)
    yield Zombies(subject="parent[7]", count=3, parent_pid=7, parent_start_ticks=1, command="parent")
"""
AFTER = {"cpu.time": [], "cpu.confirm": ["cpu.time"], "host.disks": []}


@pytest.mark.parametrize(
    ("done", "columns", "line"),
    [
        pytest.param([], 80, "waiting for cpu.time, host.disks (1.2 s)", id="those that can have begun"),
        pytest.param(["cpu.time"], 80, "waiting for cpu.confirm, host.disks (1.2 s)", id="those after them"),
        pytest.param(["cpu.time", "host.disks"], 80, "waiting for cpu.confirm (1.2 s)", id="the last one"),
        pytest.param(["cpu.time", "host.disks", "cpu.confirm"], 80, "", id="none"),
        pytest.param([], 40, "waiting for cpu.time, host.d... (1.2 s)", id="a narrow terminal"),
    ],
)
def test_the_line(done: list[str], columns: int, line: str) -> None:
    progress = Progress(AFTER, columns, lambda text: None)
    for name in done:
        progress.done(name)
    assert progress.line(1.234) == line
    assert len(line) < columns


def test_a_long_check_says_how_far_it_is() -> None:
    progress = Progress({"db.tables": ()}, 80, lambda text: None, lambda: "12 of 340 tables checked")
    assert progress.line(1.234) == "waiting for db.tables: 12 of 340 tables checked (1.2 s)"


def test_a_terminal_sees_it_and_then_sees_it_no_more(rbdiag: Program) -> None:
    with Terminal(rbdiag.argv("cpu"), rbdiag.env(WORLD + SLOW_CHECK, TERM="xterm")) as terminal:
        shown = terminal.read_until("waiting for cpu.time (")
        rest, status = terminal.wait()
    assert status == 0
    assert shown.startswith("\r")
    before, _, report = rest.partition("rbdiag cpu")
    assert before.endswith(" \r")
    assert "waiting" not in report


@pytest.mark.parametrize("arguments", [["-q"], ["-o", "jsonl"]], ids=["quiet", "events on the same terminal"])
def test_where_it_would_disturb_it_is_not_there(rbdiag: Program, arguments: list[str]) -> None:
    with Terminal(rbdiag.argv("cpu", *arguments), rbdiag.env(WORLD + SLOW_CHECK, TERM="xterm")) as terminal:
        seen, _ = terminal.wait()
    assert "waiting" not in seen


def test_a_pipe_gets_none(rbdiag: Program) -> None:
    done = rbdiag("cpu", plant=WORLD + SLOW_CHECK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "env", "colored"),
    [
        pytest.param([], {}, True, id="a terminal"),
        pytest.param(["--no-color"], {}, False, id="--no-color"),
        pytest.param([], {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param([], {"NO_COLOR": ""}, True, id="NO_COLOR set but empty"),
        pytest.param([], {"TERM": "dumb"}, False, id="TERM=dumb"),
    ],
)
def test_colour(rbdiag: Program, arguments: list[str], env: dict[str, str], colored: bool) -> None:
    with Terminal(rbdiag.argv("cpu", *arguments), rbdiag.env(WORLD + BUSY, **{"TERM": "xterm"} | env)) as terminal:
        seen, _ = terminal.wait()
    assert ("\x1b[" in seen) is colored
    assert "three zombies" in seen


def test_no_colour_in_a_pipe(rbdiag: Program) -> None:
    assert "\x1b" not in rbdiag("cpu", plant=WORLD + BUSY, env={"TERM": "xterm"}).stdout


@pytest.mark.parametrize(
    ("env", "width"),
    [
        pytest.param({}, 70, id="as wide as the terminal"),
        pytest.param({"COLUMNS": "60"}, 60, id="as wide as COLUMNS says"),
        pytest.param({"COLUMNS": "wide"}, 70, id="whatever COLUMNS says that is no number"),
        pytest.param({"COLUMNS": "0"}, 70, id="whatever COLUMNS says that is no width"),
        pytest.param({"COLUMNS": "5"}, 40, id="not narrower than can be read"),
    ],
)
def test_width(rbdiag: Program, env: dict[str, str], width: int) -> None:
    with Terminal(rbdiag.argv("explain", "cpu.process-hog"), rbdiag.env(**env), columns=70) as terminal:
        seen, _ = terminal.wait()
    longest = max(len(line) for line in seen.replace("\r", "").splitlines())
    assert width - 8 <= longest <= width


def test_without_a_terminal_the_width_is_80(rbdiag: Program) -> None:
    longest = max(len(line) for line in rbdiag("explain", "cpu.process-hog").stdout.splitlines())
    assert 72 <= longest <= 80

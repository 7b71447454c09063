"""What becomes of the output when its reader has gone, the disk is full, or there is no stream at all."""

from __future__ import annotations

import json

import pytest

from tests.cli.program import BUSY, WARM, WORLD, Program


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "markdown", "nagios"])
@pytest.mark.parametrize(("plant", "status"), [("", 0), (BUSY, 2)], ids=["ok", "critical"])
def test_a_closed_pipe_changes_nothing(rbdiag: Program, form: str, plant: str, status: int) -> None:
    done = rbdiag.shell(f"rbdiag cpu -o {form} | true; exit ${{PIPESTATUS[0]}}", WORLD + plant)
    assert (done.returncode, done.stderr) == (status, "")


def test_help_into_a_closed_pipe(rbdiag: Program) -> None:
    done = rbdiag.shell("rbdiag --help | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param("rbdiag cpu", 3, id="a report that is ok"),
        pytest.param("rbdiag cpu -o jsonl", 3, id="events"),
        pytest.param("rbdiag --help", 3, id="help"),
        pytest.param("rbdiag --version", 3, id="version"),
        pytest.param("rbdiag explain", 3, id="the catalogue"),
    ],
)
def test_a_full_disk_is_said_and_is_unknown(rbdiag: Program, line: str, status: int) -> None:
    done = rbdiag.shell(f"{line} > /dev/full", WORLD)
    assert done.returncode == status
    assert done.stderr == "rbdiag: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(("plant", "status"), [(WARM, 1), (BUSY, 2)], ids=["warning", "critical"])
def test_a_full_disk_hides_nothing_worse(rbdiag: Program, plant: str, status: int) -> None:
    assert rbdiag.shell("rbdiag cpu > /dev/full", WORLD + plant).returncode == status


@pytest.mark.parametrize(
    ("close", "status", "said"),
    [
        pytest.param(">&-", 3, "rbdiag: cannot write to standard output: Bad file descriptor\n", id="output"),
        pytest.param("2>&-", 0, "", id="errors"),
        pytest.param("<&-", 0, "", id="input"),
        pytest.param("<&- >&- 2>&-", 3, "", id="all three"),
    ],
)
def test_closed_streams(rbdiag: Program, close: str, status: int, said: str) -> None:
    saved = rbdiag.place / "report.json"
    done = rbdiag.shell(f"rbdiag cpu --save {saved} {close}", WORLD)
    assert (done.returncode, done.stderr) == (status, said)
    # No message has run into the file, whatever number it got.
    assert json.loads(saved.read_text())["status"] == "ok"


def test_a_message_never_runs_into_a_file_that_took_the_number_of_a_closed_stream(rbdiag: Program) -> None:
    file = rbdiag.place / "open"
    plant = (
        f"\nFILE = {str(file)!r}"
        + """
def check(deadline, facts):
    global OPEN
    OPEN = open(FILE, "w")
    raise KeyError("a bug, so that there is a message")
    yield
"""
    )
    assert rbdiag.shell("rbdiag cpu 2>&-", WORLD + plant).returncode == 70
    assert file.read_text() == ""


def test_words_that_the_terminal_cannot_show_are_no_bug(rbdiag: Program) -> None:
    plant = "\nimport dataclasses\ndiagnose.catalogue = lambda: {'x': dataclasses.replace(SPEC, title='2 × 3')}\n"
    done = rbdiag("explain", plant=WORLD + plant, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 \\xd7 3" in done.stdout


def test_a_terminal_of_ascii_gets_ascii(rbdiag: Program) -> None:
    done = rbdiag("cpu", "-v", plant=WORLD + BUSY, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert done.stdout.isascii()
    assert "three zombies" in done.stdout


@pytest.mark.parametrize("plant", ["", WARM], ids=["ok", "warning"])
def test_quiet_says_nothing_at_all_while_the_status_is_ok(rbdiag: Program, plant: str) -> None:
    for form in ("table", "jsonl", "nagios"):
        done = rbdiag("cpu", "-q", "-o", form, plant=WORLD + plant)
        assert (done.stdout != "") == bool(plant)
        assert done.stderr == ""


def test_jsonl_tells_each_check_once_and_then_the_report(rbdiag: Program) -> None:
    done = rbdiag("cpu", "-o", "jsonl", plant=WORLD + BUSY)
    *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["name"] for event in events} == {"cpu.time", "cpu.confirm", "host.memory"}
    assert len(events) == 3
    assert (last["event"], last["verdict"]["cause"]) == ("report", "cpu.planted")


def test_save_writes_the_same_report(rbdiag: Program) -> None:
    saved = rbdiag.place / "report.json"
    done = rbdiag("cpu", "--json", "--save", str(saved), plant=WORLD + BUSY)
    assert saved.read_text() == done.stdout
    assert [path.name for path in rbdiag.place.iterdir() if "rbdiag" in path.name] == []


@pytest.mark.parametrize(("plant", "status"), [("", 3), (WARM, 1)], ids=["ok", "warning"])
def test_a_report_that_cannot_be_saved_is_said_and_is_at_least_unknown(
    rbdiag: Program, plant: str, status: int
) -> None:
    done = rbdiag("cpu", "-q", "--save", "/nowhere/report.json", plant=WORLD + plant)
    assert done.returncode == status
    assert done.stderr == "rbdiag: cannot save the report in /nowhere/report.json: No such file or directory\n"

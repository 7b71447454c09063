"""Every exit status of the contract, on the real process."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time

import pytest

from tests.cli.program import BLIND, BROKEN_CHECK, BROKEN_PLAN, BROKEN_RULE, BUSY, HANGING_CHECK, WARM, WORLD, Program
from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("plant", "arguments", "status", "word"),
    [
        pytest.param("", [], 0, "OK", id="ok"),
        pytest.param(WARM, [], 1, "WARNING", id="warning"),
        pytest.param(BUSY, [], 2, "CRITICAL", id="critical"),
        pytest.param(BLIND, [], 3, "UNKNOWN", id="unknown: a check that decides could not look"),
        pytest.param(WARM, ["--fail-on", "critical"], 0, "WARNING", id="a warning below the level that fails"),
        pytest.param(BUSY, ["--fail-on", "critical"], 2, "CRITICAL", id="critical at the level that fails"),
        pytest.param(BUSY, ["--fail-on", "never"], 0, "CRITICAL", id="critical where nothing fails"),
        pytest.param(BLIND, ["--fail-on", "never"], 3, "UNKNOWN", id="unknown is never hidden"),
    ],
)
def test_the_report_decides(rbdiag: Program, plant: str, arguments: list[str], status: int, word: str) -> None:
    done = rbdiag("cpu", "-o", "nagios", *arguments, plant=WORLD + plant)
    assert done.returncode == status
    assert done.stdout.startswith(f"CPU {word} - ")
    assert done.stderr == ""


WRONG = [
    pytest.param(["cup"], "no such command: cup; did you mean cpu?", id="unknown command"),
    pytest.param(["cpu", "--tpo", "3"], "--top", id="unknown option"),
    pytest.param(["cpu", "--top", "x"], "'x' is not a valid integer", id="no number"),
    pytest.param(["cpu", "--top", "0"], "0 is not in the range", id="no process to show"),
    pytest.param(["cpu", "extra"], "unexpected extra argument", id="too many words"),
    pytest.param(["cpu", "--only", "cpu.tme"], "no such check: cpu.tme; did you mean cpu.time", id="misspelt check"),
    pytest.param(["cpu", "--skip", "zzz"], "no such check: zzz; there are cpu.time,", id="no check like it"),
    pytest.param(["cpu", "--warning", "95", "--critical", "80"], "95 %", id="thresholds upside down"),
    pytest.param(["cpu", "--warning", "120"], "no percentage above 0 and up to 100", id="more than all"),
    pytest.param(["cpu", "-t", "soon"], "'soon' is no duration", id="no duration"),
    pytest.param(
        ["cpu", "-t", "4", "--profile"], "does not fit into a deadline of 4 s", id="profile beyond the deadline"
    ),
    pytest.param(["cpu", "--since", "2026-11-23T08:00:00"], "has no zone", id="time without a zone"),
    pytest.param(["cpu", "-v", "-q"], "exclude each other", id="verbose and quiet"),
    pytest.param(["--settings"], "requires an argument", id="option without its value"),
    pytest.param(["explain", "cpu.hog"], "did you mean cpu.process-hog", id="misspelt finding"),
    pytest.param(["diagnose", "/nowhere/report.json"], "No such file or directory", id="no such report"),
    pytest.param(["diagnose", "/"], "Is a directory", id="a directory for a report"),
    pytest.param(["completion", "tcsh"], "'bash', 'zsh', 'fish'", id="unknown shell"),
]


@pytest.mark.parametrize(("arguments", "hint"), WRONG)
def test_wrong_usage_is_64_and_says_what_is_wrong(rbdiag: Program, arguments: list[str], hint: str) -> None:
    done = rbdiag(*arguments)
    assert done.returncode == 64
    assert done.stdout == ""
    assert done.stderr.startswith("rbdiag: ")
    assert hint in done.stderr
    assert "--help'." in done.stderr


def test_an_unknown_format_lists_those_there_are(rbdiag: Program) -> None:
    done = rbdiag("cpu", "-o", "xml")
    assert done.returncode == 64
    for form in ("table", "json", "jsonl", "markdown", "nagios"):
        assert f"'{form}'" in done.stderr


def test_no_command_is_wrong_usage_and_shows_help(rbdiag: Program) -> None:
    done = rbdiag()
    assert done.returncode == 64
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: rbdiag ")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-o", "nagios", "--tpo"], id="-o nagios"),
        pytest.param(["-onagios", "--tpo"], id="-onagios"),
        pytest.param(["--output", "nagios", "--tpo"], id="--output nagios"),
        pytest.param(["--output=nagios", "--tpo"], id="--output=nagios"),
        pytest.param(["-vo", "nagios", "--tpo"], id="-vo nagios"),
        pytest.param(["-vonagios", "--tpo"], id="-vonagios"),
        pytest.param(["--tpo", "-o", "nagios"], id="after the mistake"),
        pytest.param(["--tpo", "-o", "json", "-o", "nagios"], id="the last one counts"),
        pytest.param(["-o", "nagios", "--json"], id="and --json as well"),
        pytest.param(["-o", "nagios", "--only", "a|b"], id="a bar in the text"),
        pytest.param(["-o", "nagios", "--only", "a\nb\x1b[2J"], id="a line break and an escape in the text"),
    ],
)
def test_for_a_monitor_wrong_usage_is_unknown_on_one_line(rbdiag: Program, arguments: list[str]) -> None:
    done = rbdiag("cpu", *arguments)
    assert done.returncode == 3
    assert done.stdout.startswith("RBDIAG UNKNOWN - ")
    assert done.stdout.count("\n") == 1
    assert "|" not in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-o", "json", "--tpo"], id="another format"),
        pytest.param(["-o", "nagios", "-o", "json", "--tpo"], id="the last one counts"),
        pytest.param(["--tpo", "--", "-o", "nagios"], id="after the end of options"),
        pytest.param(["--tpo", "-s", "nagios"], id="the word in another place"),
    ],
)
def test_for_anybody_else_it_stays_64(rbdiag: Program, arguments: list[str]) -> None:
    assert rbdiag("cpu", *arguments).returncode == 64


@pytest.mark.parametrize(
    ("plant", "where"),
    [
        pytest.param(BROKEN_CHECK, "KeyError in cpu.time", id="in a check"),
        pytest.param(BROKEN_RULE, "KeyError in rule", id="in a rule"),
        pytest.param(
            "\ndef plan(**asked): raise KeyError('planted')\nrunbook.plan = plan", "in the command line", id="elsewhere"
        ),
    ],
)
def test_a_bug_is_70_one_sentence_and_a_private_file(rbdiag: Program, plant: str, where: str) -> None:
    for _ in range(2):  # the same bug once more writes no second file
        done = rbdiag("cpu", plant=WORLD + plant)
    assert done.returncode == 70
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert where in done.stderr
    told = re.search(r"the details are in (\S+)", done.stderr)
    assert told
    (written,) = rbdiag.state.iterdir()
    assert told[1] == str(written)
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "KeyError: 'planted" in written.read_text()


ANOTHER_RULE = """
def found(facts):
    yield Finding(SPEC, Severity.CRITICAL, Confidence.LIKELY, "host", "still found", tuple(facts))

diagnose.rules = lambda: (lambda facts: rule(facts), found)
"""


@pytest.mark.parametrize("plant", [BROKEN_CHECK, BROKEN_RULE], ids=["in a check", "in a rule"])
def test_a_bug_hides_no_finding_and_no_other_row(rbdiag: Program, plant: str) -> None:
    done = rbdiag("cpu", "--json", plant=WORLD + plant + ANOTHER_RULE)
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 2
    assert [check["name"] for check in report["checks"]] == ["cpu.time", "cpu.confirm", "host.memory"]
    assert "a bug in rbdiag" in done.stderr


def test_a_bug_where_nothing_can_be_written_still_says_where(rbdiag: Program) -> None:
    env = {"XDG_STATE_HOME": "/proc/nowhere", "TMPDIR": "/proc/nowhere"}
    # tempfile goes on to the usual places and the working directory; here none of them takes a file.
    plant = BROKEN_CHECK + "\nimport tempfile\ntempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']\n"
    done = rbdiag("cpu", plant=WORLD + plant, env=env)
    assert done.returncode == 70
    assert "Traceback" not in done.stderr
    assert re.search(r"at \S+sitecustomize.py:\d+; the details could not be written: ", done.stderr)


def test_a_bug_for_a_monitor_is_told_on_its_line(rbdiag: Program) -> None:
    done = rbdiag("cpu", "-o", "nagios", plant=WORLD + BROKEN_PLAN)
    assert done.returncode == 70
    assert done.stdout.startswith("RBDIAG UNKNOWN - a bug in rbdiag (KeyError")


def test_a_wrong_settings_file_is_78(rbdiag: Program) -> None:
    settings = rbdiag.place / "wrong.toml"
    settings.write_text("[cpu]\nwarning = 'many'\n")
    done = rbdiag("--settings", str(settings), "cpu", plant=WORLD)
    assert done.returncode == 78
    assert done.stdout == ""
    assert str(settings) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_settings_file_is_told_to_a_monitor_too(rbdiag: Program) -> None:
    done = rbdiag("--settings", "/nowhere.toml", "cpu", "-o", "nagios", plant=WORLD)
    assert done.returncode == 78
    assert done.stdout.startswith("RBDIAG UNKNOWN - /nowhere.toml: found no such file")


def test_ctrl_c_is_130_without_a_traceback_and_stops_at_once(rbdiag: Program) -> None:
    with subprocess.Popen(
        rbdiag.argv("cpu", "-o", "jsonl", "-t", "60"),
        env=rbdiag.env(WORLD + HANGING_CHECK),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # one check has ended, so the run is under way
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "rbdiag: interrupted\n"


EARLY = """
import sys
class Finder:
    def find_spec(self, name, *others):
        if name == "rbdiag.cli.cpu":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
"""


def test_ctrl_c_while_modules_are_loaded(rbdiag: Program) -> None:
    done = rbdiag("cpu", plant=EARLY)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "rbdiag: interrupted\n")


# A check whose child program would outlive it, unless it is ended.
CHILD = """
def check(deadline, facts):
    import sys
    from rbdiag.collect.programs import call
    note = f"import os, time; open({PID!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    call([sys.executable, "-c", note], deadline)
    yield
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_a_signal_ends_the_child_programs_too(rbdiag: Program, number: signal.Signals) -> None:
    note = rbdiag.place / "pid"
    plant = WORLD + f"\nPID = {str(note)!r}\n" + CHILD
    with subprocess.Popen(rbdiag.argv("cpu", "-t", "60"), env=rbdiag.env(plant), stderr=subprocess.PIPE) as process:
        until(lambda: note.exists() and note.read_text() != "")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == (130 if number is signal.SIGINT else -signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{note.read_text()}"))


def until(done: object) -> None:
    """Wait for something that is about to happen."""
    assert callable(done)
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_ctrl_c_on_a_terminal_wipes_the_live_line(rbdiag: Program) -> None:
    with Terminal(rbdiag.argv("cpu", "-t", "60"), rbdiag.env(WORLD + HANGING_CHECK, TERM="xterm")) as terminal:
        terminal.read_until("waiting for cpu.time (")
        terminal.type("\x03")
        rest, status = terminal.wait()
    assert status == 130
    assert rest.endswith(" \rrbdiag: interrupted\r\n")

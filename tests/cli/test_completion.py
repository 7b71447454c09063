"""Completion: the table is current, the answers are right, and the scripts work in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rbdiag.cli import generate, words
from rbdiag.cli.complete import candidates
from rbdiag.cli.main import COMMANDS
from rbdiag.cli.scripts import SCRIPTS
from rbdiag.diagnose import catalogue
from rbdiag.render import FORMATS
from rbdiag.runbooks.cpu import CHECKS
from rbdiag.runbooks.db import CHECKS as DB_CHECKS
from tests.cli.program import ROOT, Program
from tests.cli.terminal import Terminal

FILES = {"bash": "rbdiag.bash", "zsh": "_rbdiag", "fish": "rbdiag.fish"}


def test_the_table_is_what_the_commands_say() -> None:
    assert Path(words.__file__).read_text() == generate.table(), "stale: python -m rbdiag.cli.words"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_files_are_what_the_program_prints(rbdiag: Program, shell: str) -> None:
    printed = rbdiag("completion", shell).stdout
    file = ROOT / "completions" / FILES[shell]
    assert file.read_text() == printed, f"stale: rbdiag completion {shell} > completions/{FILES[shell]}"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_shell_finds_no_mistake_in_its_file(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert os.system(f"{shell} -n {ROOT / 'completions' / FILES[shell]}") == 0


def offered(line: str, **environ: str) -> list[str]:
    """What is offered at the end of the line."""
    return [word for word, _ in candidates(line.split(" "), environ)[1]]


DB_OPTIONS = [name for option in words.COMMANDS["db"][0] for name in option[0]]

ROWS = [
    pytest.param("", list(COMMANDS), id="nothing yet: the commands"),
    pytest.param("ex", ["explain"], id="the start of a command"),
    pytest.param("--s", ["--settings"], id="an option of the whole"),
    pytest.param("logs -f --new", ["--new-only"], id="an option before a file"),
    pytest.param("--settings file c", ["cpu", "completion"], id="a command after an option with a value"),
    pytest.param("cpu --pro", ["--profile"], id="an option"),
    pytest.param("cpu --json --js", [], id="an option that was given already"),
    pytest.param("cpu --only cpu.time --on", ["--only"], id="an option that may be repeated"),
    pytest.param("cpu -o j", ["json", "jsonl"], id="a format"),
    pytest.param("cpu -o ", list(FORMATS), id="all formats"),
    pytest.param("cpu -vo j", ["json", "jsonl"], id="a format after joined options"),
    pytest.param("cpu --output=j", ["--output=json", "--output=jsonl"], id="a format in the same word"),
    pytest.param("cpu --nonsense=j", [], id="a value of an unknown option"),
    pytest.param("cpu -ojson --fail-on ", ["warning", "critical", "never"], id="a level after a joined value"),
    pytest.param("cpu --skip ", list(CHECKS), id="all checks"),
    pytest.param("cpu --only cpu.thr", ["cpu.throttling"], id="a check"),
    pytest.param("explain ", list(catalogue()), id="all findings"),
    pytest.param("explain cpu.iow", ["cpu.iowait"], id="a finding"),
    pytest.param("explain cpu.iowait c", [], id="no second finding"),
    pytest.param("completion ", ["bash", "zsh", "fish"], id="the shells"),
    pytest.param("db --only db.gr", ["db.greeting"], id="a check of another runbook"),
    pytest.param("db --skip ", list(DB_CHECKS), id="all checks of another runbook"),
    pytest.param("db db1 -", DB_OPTIONS, id="the options behind a target"),
    pytest.param("db --check-tables --ask", ["--ask-password"], id="after a schema that was left out"),
    pytest.param("db --log x --lo", ["--log"], id="one more log"),
    pytest.param("db --port ", [], id="a port"),
    pytest.param("db x", [], id="a target that no settings name"),
    pytest.param("cpu --top ", [], id="a number"),
    pytest.param("cpu --profile --pi", ["--pid"], id="an option after one whose value may be left out"),
    pytest.param("cpu --profile 3 --pi", ["--pid"], id="an option after such a value"),
    pytest.param("cpu --profile --output j", ["json", "jsonl"], id="a value after an option without one"),
    pytest.param("cpu -- --", [], id="no option after the end of options"),
    pytest.param("explain --bogus cpu.iow", ["cpu.iowait"], id="after a mistake"),
]


@pytest.mark.parametrize(("line", "expected"), ROWS)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


@pytest.mark.parametrize(("line", "some"), [("cpu ", "--top"), ("db ", "--port"), ("db db1 ", "--port")])
def test_where_a_word_could_be_anything_the_options_are_offered(line: str, some: str) -> None:
    names = offered(line)
    assert {some, "--only", "--help"} <= set(names)
    assert all(name.startswith("--") for name in names)


@pytest.mark.parametrize(
    "line",
    [
        "db /run/my",
        "db -S ",
        "db --defaults-file=",
        "db -l /var/log/*.log -l ",
        "diagnose ",
        "diagnose re",
        "logs ",
        "logs /var/log/a.log --top 3 /var/log/b",
        "cpu --save ",
        "cpu --flame-graph=x",
        "--settings ",
    ],
)
def test_a_path_is_left_to_the_shell(line: str) -> None:
    assert candidates(line.split(" "), {}) == ("files", [])


def test_every_command_and_every_option_has_a_meaning() -> None:
    assert [name for name, meaning in words.CHOICES["commands"] if not meaning] == []
    assert [option[0] for options, _ in words.COMMANDS.values() for option in options if not option[1]] == []


@pytest.mark.parametrize(
    "line", ["cpu -s ", "cpu --service ", "--settings {file} cpu -s ", "--settings={file} cpu -s "]
)
def test_targets_of_the_settings_file_are_offered(tmp_path: Path, line: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[targets.shop]\nservice = "shop.service"\n[targets.till]\nservice = "till.service"\n')
    environ = {} if "{file}" in line else {"RBDIAG_SETTINGS": str(file)}
    assert [word.removeprefix("--service=") for word in offered(line.format(file=file), **environ)] == ["shop", "till"]


def test_the_targets_of_a_runbook_are_those_that_are_for_it(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        "[targets.orders]\ntarget='db1'\nrunbook='db'\n[targets.shop]\nservice='s'\n[targets.hog]\nservice='h'\nrunbook='cpu'\n"
    )
    assert offered("db ", RBDIAG_SETTINGS=str(file)) == ["orders", "shop"]
    assert offered("db sh", RBDIAG_SETTINGS=str(file)) == ["shop"]
    assert offered("db -s ", RBDIAG_SETTINGS=str(file)) == ["orders", "shop", "hog"]


def test_a_wrong_settings_file_offers_nothing_and_says_nothing(rbdiag: Program) -> None:
    file = rbdiag.place / "wrong.toml"
    file.write_text("[[[")
    done = rbdiag("cpu", "-s", "", env={"_RBDIAG_COMPLETE": "bash", "RBDIAG_SETTINGS": str(file)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "words\n", "")


# Typed into a real shell, with a TAB at the end, and what the program is called with then.
TYPED = [
    pytest.param("rbdiag cp", "<cpu>", id="a command"),
    pytest.param("rbdiag cpu --outp", "<cpu><--output>", id="an option"),
    pytest.param("rbdiag cpu --output mar", "<cpu><--output><markdown>", id="a value"),
    pytest.param("rbdiag cpu --output=mar", "<cpu><--output=markdown>", id="a value behind ="),
    pytest.param("rbdiag cpu --only cpu.thr", "<cpu><--only><cpu.throttling>", id="a check"),
    pytest.param("rbdiag explain cpu.iow", "<explain><cpu.iowait>", id="a finding"),
    pytest.param("rbdiag cpu -s sh", "<cpu><-s><shop>", id="a target"),
    pytest.param("rbdiag db sh", "<db><shop>", id="a target as an argument"),
    pytest.param(
        "rbdiag db shop --password-file oth", "<db><shop><--password-file><other.json>", id="a file after a target"
    ),
    pytest.param(
        "rbdiag cpu --since 2026-11-23T08:00:00Z --fail-on=nev",
        "<cpu><--since><2026-11-23T08:00:00Z><--fail-on=never>",
        id="after a word with colons",
    ),
    pytest.param("rbdiag diagnose a\\ re", "<diagnose><a report.json>", id="a file with a space in its name"),
    pytest.param("rbdiag diagnose at-08:0", "<diagnose><at-08:00.json>", id="a file with a colon in its name"),
    pytest.param("rbdiag cpu --save=other", "<cpu><--save=other.json>", id="a file behind ="),
]

# The program, if it is asked for completion; else it shows its words.
STAND_IN = f"""#!/bin/sh
[ -n "$_RBDIAG_COMPLETE" ] && exec {sys.executable} -m rbdiag "$@"
printf '<%s>' "$@"
echo '<end>'
"""


@pytest.fixture
def place(rbdiag: Program) -> Path:
    """A directory with a program, a settings file, and two files to complete."""
    (rbdiag.place / "bin").mkdir()
    program = rbdiag.place / "bin" / "rbdiag"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (rbdiag.place / "rbdiag").mkdir()
    (rbdiag.place / "rbdiag" / "config.toml").write_text('[targets.shop]\nservice = "shop.service"\n')
    (rbdiag.place / "a report.json").touch()
    (rbdiag.place / "other.json").touch()
    (rbdiag.place / "at-08:00.json").touch()
    return rbdiag.place


def shell(rbdiag: Program, argv: list[str], setup: str, typed: str) -> str:
    """Type the line, a TAB and a return into this shell; the words that the program is then called with."""
    path = f"{rbdiag.place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with Terminal(argv, rbdiag.env(PATH=path, TERM="dumb", PS1="$ ", HISTFILE="")) as terminal:
        terminal.type(f"cd {rbdiag.place}; {setup}; echo re''ady\n")
        terminal.read_until("ready\r\n")
        terminal.type(f"{typed}\t\n")
        line = terminal.read_until("<end>").splitlines()[-1]
    return line.removesuffix("<end>")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_in_bash(rbdiag: Program, typed: str, expected: str) -> None:
    setup = f"source {ROOT / 'completions' / 'rbdiag.bash'}"
    assert shell(rbdiag, ["bash", "--norc", "-i"], setup, typed) == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_in_zsh(rbdiag: Program, typed: str, expected: str) -> None:
    setup = f"fpath=({ROOT / 'completions'} $fpath); autoload -Uz compinit; compinit -u -D"
    assert shell(rbdiag, ["zsh", "-f", "-i"], setup, typed) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_in_fish(rbdiag: Program, typed: str, expected: str) -> None:
    path = f"{rbdiag.place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    line = typed.replace("\\", "\\\\")
    script = f"cd {rbdiag.place}; source {ROOT / 'completions' / 'rbdiag.fish'}; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "-N", "-c", script], env=rbdiag.env(PATH=path), capture_output=True, text=True, timeout=60
    )
    (only,) = done.stdout.splitlines()
    assert only.split("\t")[0].replace("\\ ", " ") == expected.split("<")[-1].removesuffix(">")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.usefixtures("place")
def test_fish_shows_what_a_word_means(rbdiag: Program) -> None:
    path = f"{rbdiag.place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = f"source {ROOT / 'completions' / 'rbdiag.fish'}; complete -C 'rbdiag dia'"
    done = subprocess.run(["fish", "-N", "-c", script], env=rbdiag.env(PATH=path), capture_output=True, text=True)
    assert done.stdout == f"diagnose\t{COMMANDS['diagnose'][1]}\n"

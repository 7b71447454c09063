"""What `--help` says of what there is."""

from __future__ import annotations

import pytest

from rbdiag.cli.main import COMMANDS
from rbdiag.cli.main import rbdiag as group
from tests.cli.program import Program


def test_help_lists_every_command_and_every_exit_status(rbdiag: Program) -> None:
    done = rbdiag("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert text in done.stdout
    for status in (0, 1, 2, 3, 64, 70, 78, 130):
        assert f"{status} " in done.stdout.partition("Exit status:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_every_option(rbdiag: Program, name: str) -> None:
    import click

    done = rbdiag(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for param in command.params:
        assert all(option in done.stdout for option in param.opts) or isinstance(param, click.Argument)


@pytest.mark.parametrize("option", ["--output", "--deadline", "--fail-on", "--since", "--top", "--warning"])
def test_defaults_are_shown(rbdiag: Program, option: str) -> None:
    text = " ".join(rbdiag("cpu", "--help").stdout.split()).partition(f"{option} ")[2]
    assert "[default:" in text.partition(" --")[0]

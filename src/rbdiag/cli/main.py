"""The group of commands, and the one place where every way out of the program becomes an exit status.

`--help` and `--version` import no command: the group knows them by name and one line of help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

import click

from rbdiag.cli.streams import BUG, UNKNOWN, USAGE, Stop, deliver, say, visible

# Every command: where it lives, and what it says about itself in the list.
COMMANDS = {
    "db": ("rbdiag.cli.db:db", "Database connection failures: which layer fails, and why."),
    "cpu": ("rbdiag.cli.cpu:cpu", "High CPU usage: what burns it, why, and what to do."),
    "logs": ("rbdiag.cli.logs:logs", "What matters in a log: what it means, what is new, since when."),
    "explain": ("rbdiag.cli.explain:explain", "What a finding means, how it is told, what to do."),
    "diagnose": ("rbdiag.cli.diagnose:diagnose", "Run the rules again over a saved JSON report."),
    "schema": ("rbdiag.cli.schema:schema", "Print the JSON schema of the report."),
    "completion": ("rbdiag.cli.completion:completion", "Print the completion script of a shell."),
}

EXIT_STATUSES = """\b
Exit status:
  0 ok, 1 warning, 2 critical, 3 unknown (a check that decides could not run)
  64 wrong usage (3 under -o nagios), 70 a bug in rbdiag,
  78 the settings file is wrong, 130 interrupted
"""


class Command(click.Command):
    """A command whose help goes to standard output the way everything else does."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return click.Option(
            ["--help"], is_flag=True, is_eager=True, expose_value=False, help="Show this help.", callback=_help
        )


class Group(Command, click.Group):
    """A group that imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            ctx.fail(f"no such command: {args[0]}{did_you_mean(args[0], COMMANDS)}")
        return args[0], self.get_command(ctx, args[0]), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` where a known word is close, else nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _help(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.exit(deliver(context.get_help() + "\n"))


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from rbdiag import __version__

        context.exit(deliver(f"rbdiag {__version__}\n"))


@click.group(cls=Group, epilog=EXIT_STATUSES)
@click.option(
    "--settings",
    type=click.Path(),
    metavar="FILE",
    help="The settings file. Default: $RBDIAG_SETTINGS, else rbdiag/config.toml in $XDG_CONFIG_HOME, else in /etc.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def rbdiag(context: click.Context, settings: str | None) -> None:
    """The incident runbook that runs itself: looks at everything the runbook says to look at, changes nothing,
    names the most likely root cause, and prints the commands that fix it."""
    context.obj = settings


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status. Every way out of the program but Ctrl-C passes here."""
    try:
        with rbdiag.make_context("rbdiag", list(arguments)) as context:
            return int(rbdiag.invoke(context))
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), before="")
        return USAGE
    except click.Abort as error:  # Ctrl-C or the end of input at a prompt
        raise KeyboardInterrupt from error
    except click.UsageError as error:
        return _wrong_usage(error, arguments)
    except Stop as stop:
        say(str(stop))
        return _also_to_monitor(str(stop), stop.status, arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as a bug and never as a traceback
        from rbdiag.cli.bugs import tell

        return _also_to_monitor(tell([("the command line", error)]), BUG, arguments)


def _wrong_usage(error: click.UsageError, arguments: Sequence[str]) -> int:
    """Say what is wrong with the command line. A monitor must not read a typing error as CRITICAL."""
    text = error.format_message()
    if asks_for_nagios(arguments):
        return _also_to_monitor(text, UNKNOWN, arguments)
    path = error.ctx.command_path if error.ctx else "rbdiag"
    say(f"{text}\nTry '{path} --help'.")
    return USAGE


def _also_to_monitor(sentence: str, status: int, arguments: Sequence[str]) -> int:
    """A monitoring plugin's first line says why there is no result: a monitor shows nothing else."""
    if asks_for_nagios(arguments):
        # `|` would begin the performance data.
        line = visible(" ".join(sentence.split())).replace("|", "/")
        return deliver(f"RBDIAG UNKNOWN - {line}\n", status)
    return status


def asks_for_nagios(arguments: Sequence[str]) -> bool:
    """Whether the output was to be for a monitor, told from the bare words of a command line that is wrong."""
    asked = ""
    for word, following in zip(arguments, (*arguments[1:], ""), strict=True):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--output":
            asked = value if equals else following
        elif word.startswith("-") and not word.startswith("--"):
            # -o, alone or at the end of -vo, takes the next word; what follows it in the same word is its value.
            flags, o, value = word[1:].partition("o")
            if o and set(flags) <= set("vq"):
                asked = value or following
    return asked == "nagios"

"""The options that runbooks share: one decorator adds them all, and the command gets each group as one record."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, NamedTuple, TypeVar

import click

from rbdiag.cli.values import Check, Duration, Service, Since
from rbdiag.model import Severity
from rbdiag.render import FORMATS

Run = TypeVar("Run", bound=Callable[..., int])
Level = Literal["warning", "critical", "never"]

DEADLINE = 10.0
FAIL_ON: dict[Level, Severity | None] = {"warning": Severity.WARNING, "critical": Severity.CRITICAL, "never": None}


class ShowOptions(NamedTuple):
    """How the report is shown, where else it goes, and what the exit status makes of it."""

    output: str
    fail_on: Level
    verbose: bool
    quiet: bool
    save: str | None
    no_color: bool


class RunOptions(NamedTuple):
    """What a run looks at and how long. `deadline` is None where none was asked for; `since` is epoch seconds."""

    deadline: float | None
    since: float
    service: str
    only: tuple[str, ...]
    skip: tuple[str, ...]


def of_report(command: Run) -> Callable[..., int]:
    """Options of every command that ends in a report; the command gets them as `show`."""

    @wraps(command)
    def with_show(
        *args: Any, output: str | None, json: bool, fail_on: Level, verbose: bool, quiet: bool, save: str | None,
        no_color: bool, **others: Any,
    ) -> int:  # fmt: skip
        if json and output not in (None, "json"):
            raise click.UsageError(f"--json means -o json, and -o {output} was asked for as well")
        if verbose and quiet:
            raise click.UsageError("--verbose and --quiet exclude each other")
        show = ShowOptions(
            output="json" if json else output or "table",
            fail_on=fail_on,
            verbose=verbose,
            quiet=quiet,
            save=save,
            no_color=no_color,
        )
        return command(*args, show=show, **others)

    return _stack(
        with_show,
        click.option("-o", "--output", metavar="FORMAT", type=click.Choice(list(FORMATS)),
                     help=f"The format of the report. There are {', '.join(FORMATS)}.  [default: table]"),
        click.option("--json", is_flag=True, help="Short for -o json."),
        click.option("--fail-on", metavar="LEVEL", type=click.Choice(list(FAIL_ON)),
                     default="warning", show_default=True,
                     help="The lowest level that counts in the exit status. There are warning, critical, never; "
                          "statuses of 3 and above always count."),
        click.option("--save", metavar="FILE", type=click.Path(), help="Also write the JSON report there."),
        click.option("-v", "--verbose", is_flag=True, help="Show more: facts, every check, what the run cost."),
        click.option("-q", "--quiet", is_flag=True, help="Show nothing at all while the status is ok."),
        click.option("--no-color", is_flag=True, help="No colour, as with NO_COLOR set or TERM=dumb."),
    )  # fmt: skip


def of_runbook(runbook: str, *, usual: float = DEADLINE, longer: str = "") -> Callable[[Run], Callable[..., int]]:
    """Options of every runbook; the command gets them as `run` and `show`.

    `usual` is the deadline where none is asked for, in seconds, and `longer` says when it is a longer one.
    """
    check = Check(runbook)
    default = f"{usual:g}, {longer}" if longer else f"{usual:g}"

    def decorate(command: Run) -> Callable[..., int]:
        @wraps(command)
        def with_run(
            *args: Any, deadline: float | None, since: float, service: str | None, only: tuple[str, ...],
            skip: tuple[str, ...], **others: Any,
        ) -> int:  # fmt: skip
            run = RunOptions(deadline=deadline, since=since, service=service or "", only=only, skip=skip)
            return command(*args, run=run, **others)

        return _stack(
            of_report(with_run),
            click.option("-t", "--deadline", metavar="SECONDS", type=Duration(least=0.1),
                         help=f"End by then, whatever hangs.  [default: {default}]"),
            click.option("--since", metavar="WHEN", type=Since(), default="1h", show_default=True,
                         help="How far back to read logs: 90s, 15m, 2h, 3d, or an RFC 3339 time."),
            click.option("-s", "--service", metavar="NAME", type=Service(),
                         help="The service unit at fault, or a target of the settings file."),
            click.option("--only", metavar="CHECK", type=check, multiple=True,
                         help="Run this check alone, with those it builds on; repeatable."),
            click.option("--skip", metavar="CHECK", type=check, multiple=True,
                         help="Run all but this check; repeatable."),
        )  # fmt: skip

    return decorate


def of_logs(command: Run) -> Callable[..., int]:
    """The option of the runbooks that read a service's logs; the command gets it as `logs`."""
    return _stack(
        command,
        click.option("-l", "--log", "logs", metavar="PATH", type=click.Path(), multiple=True,
                     help="A log of the service or of its clients, or a glob; repeatable.  [default: those found]"),
    )  # fmt: skip


def of_files(command: Run) -> Callable[..., int]:
    """Options of the runbooks that read a service's own files; the command gets them as `logs` and `config`."""
    return _stack(
        of_logs(command),
        click.option("-c", "--config", metavar="PATH", type=click.Path(), multiple=True,
                     help="A configuration file or folder of the service; repeatable.  [default: those found]"),
    )  # fmt: skip


def _stack(command: Callable[..., int], *decorators: Callable[[Any], Any]) -> Callable[..., int]:
    """Apply the decorators so that help lists the options in this order."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command

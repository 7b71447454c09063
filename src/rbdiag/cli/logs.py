"""`rbdiag logs`: the options of the log runbook."""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rbdiag.cli import options
from rbdiag.cli.configured import service_of, settings_of, target_of
from rbdiag.cli.main import Command
from rbdiag.cli.options import RunOptions, ShowOptions
from rbdiag.cli.streams import say
from rbdiag.cli.values import Factor

if TYPE_CHECKING:
    from rbdiag.settings import Settings

# A log can be read for as long as anybody waits; somebody who is on call waits about so long.
USUAL = 30.0
# What is looked at first; together with the cause and what to do it fits on one screen.
TOP = 5


@click.command(cls=Command)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--pid", metavar="PID", type=click.IntRange(1, 1 << 22), help="The logs that this process has open.")
@click.option(
    "--baseline",
    metavar="TIMES",
    type=Factor(0, 1000),
    default=4,
    show_default=True,
    help="What is new is told from so many times as long before; 0 compares with nothing.",
)
@click.option("--new-only", is_flag=True, help="Only what was written since the last such run over the same log.")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on, and tell what is known or new as it is written; ends with Ctrl-C."
)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), default=TOP, show_default=True, help="How many of a kind to show."
)
@options.of_runbook("logs", usual=USUAL, longer="none with --follow")
@click.pass_context
def logs(
    context: click.Context,
    files: tuple[str, ...],
    run: RunOptions,
    show: ShowOptions,
    pid: int | None,
    baseline: float,
    new_only: bool,
    follow: bool,
    top: int,
) -> int:
    """What matters in a log: the lines that mean something, what is new or more frequent than before, exceptions,
    failing and slow requests; each with its count and since when.

    FILE is a log, a glob, '-' for standard input, or a target of the settings file. Rotated and packed siblings are
    read where the time asked for begins in them. With --service or --pid: the journal of the unit, and the logs that
    its processes hold open.

    Knows the time in most formats, and reads no more of a log than the time asked for, and as much of what was before
    as it compares with. Reads only.
    """
    settings = settings_of(context.obj)
    if "" in files:
        raise click.UsageError("the value of FILE is empty")
    if not files and not run.service and pid is None:
        if not _piped():
            raise click.UsageError("name a FILE, or a unit with --service, or a process with --pid; '-' reads a pipe")
        files = ("-",)
    wanted, unit, concerned = _meant(files, run.service, settings)
    if follow:
        _refuse_with_follow(context, show)
        from rbdiag.cli.follow import watch

        return watch(wanted, unit, pid, run.since, settings.patterns, run.deadline, show)

    from rbdiag.cli.bugs import state_directory
    from rbdiag.cli.report import carry_out
    from rbdiag.runbooks.logs import plan, remembered

    with remembered(state_directory() / "logs") if new_only else nullcontext() as state:
        planned = plan(
            files=wanted,
            unit=unit,
            pid=pid,
            since=run.since,
            asked=_given(context, "since"),
            baseline=baseline,
            patterns=settings.patterns,
            state=state,
        )

        def on_shown() -> None:
            # Only now does it count as told: what nobody read must come again.
            if state is not None and (gap := state.commit()):
                say(gap.detail)

        seconds = run.deadline or USUAL
        return carry_out(planned, seconds, settings, run, show, top=top, concerned=concerned, on_shown=on_shown)


def _piped() -> bool:
    """Whether standard input is something to read: not a terminal, and not the nothing that cron gives."""
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _meant(
    files: tuple[str, ...], service: str, settings: Settings
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:  # fmt: skip
    """The files and the unit that are meant, and the names of settings that they came from.

    A target that names no log stands for those of its unit; a file of the same name as a target is `./NAME`.
    """
    found: list[str] = []
    units = [service_of(service, settings)] if service else []
    names = [service] if service in settings.targets else []
    if names and settings.targets[service].log and not settings.targets[service].service:
        units = []
        found += settings.targets[service].log
    for file in files:
        if (entry := target_of(file, "logs", settings)) is None:
            found.append(file)
            continue
        names.append(file)
        found += entry.log
        if not entry.log and not entry.service:
            raise click.UsageError(f"the target {file} of the settings file names neither a log nor a service")
        units += [] if entry.log else [entry.service]
    if len(set(units)) > 1:
        raise click.UsageError(f"one unit at a time: {' and '.join(dict.fromkeys(units))}")
    return tuple(dict.fromkeys(found)), units[0] if units else "", (*units, *names)


def _refuse_with_follow(context: click.Context, show: ShowOptions) -> None:
    """Raise UsageError for what makes no sense while nothing has ended."""
    if show.output not in ("table", "jsonl"):
        raise click.UsageError(
            f"--follow tells lines as they come, as a table or as -o jsonl, and not as {show.output}"
        )
    for name in ("new_only", "baseline", "only", "skip", "save", "quiet", "fail_on", "top"):
        if _given(context, name):
            raise click.UsageError(f"--{name.replace('_', '-')} is for a report, and --follow makes none")


def _given(context: click.Context, *names: str) -> bool:
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)

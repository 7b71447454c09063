"""`rbdiag cpu`: the options of the high-CPU runbook."""

from __future__ import annotations

import click

from rbdiag.cli import options
from rbdiag.cli.main import Command
from rbdiag.cli.options import RunOptions, ShowOptions
from rbdiag.cli.types import Duration, Percent

PROFILE = 5.0
# What a run needs beyond its samples and its profile: start, details, the second look, the verdict.
ROOM = 4.0


@click.command(cls=Command)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), default=10, show_default=True, help="How many processes to show."
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=Duration(least=0.1),
    default="1",
    show_default=True,
    help="Time between the two samples.",
)
@click.option("--pid", metavar="PID", type=click.IntRange(min=1), help="Look at this process above all.")
@click.option(
    "--profile",
    metavar="[SECONDS]",
    type=Duration(least=0.1),
    is_flag=False,
    flag_value=str(PROFILE),
    help=f"Profile the process at fault, for {PROFILE:g} seconds unless said otherwise.",
)
@click.option(
    "--flame-graph",
    metavar="FILE",
    type=click.Path(),
    default="",
    help="Write a flame graph of the profile there; implies --profile.",
)
@click.option(
    "--warning",
    metavar="PERCENT",
    type=Percent(),
    help="From here on the CPUs count as busy.  [default: settings, else 80]",
)
@click.option(
    "--critical",
    metavar="PERCENT",
    type=Percent(),
    help="From here on they count as saturated.  [default: settings, else 95]",
)
@options.of_runbook("cpu")
@click.pass_obj
def cpu(
    settings: str | None,
    run: RunOptions,
    show: ShowOptions,
    top: int,
    interval: float,
    pid: int | None,
    profile: float | None,
    flame_graph: str,
    warning: float | None,
    critical: float | None,
) -> int:  # fmt: skip
    """High CPU usage: what burns it, why, and what to do.

    Takes two samples, ranks the processes and the services behind them by what they really used in between, tells
    the kind of load, and names the process, thread, quota or disk at fault.
    """

"""`rbdiag cpu`: the options of the high-CPU runbook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rbdiag.cli import options
from rbdiag.cli.configured import service_of, settings_of
from rbdiag.cli.main import Command
from rbdiag.cli.options import DEADLINE, RunOptions, ShowOptions
from rbdiag.cli.values import Duration, Percent
from rbdiag.facts import percent

if TYPE_CHECKING:
    from rbdiag.settings import Settings

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
@click.option("--pid", metavar="PID", type=click.IntRange(1, 1 << 22), help="Look at this process above all.")
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
@options.of_logs
@options.of_runbook("cpu", longer="more for a long profile")
@click.pass_obj
def cpu(
    file: str | None,
    run: RunOptions,
    show: ShowOptions,
    top: int,
    interval: float,
    pid: int | None,
    profile: float | None,
    flame_graph: str,
    warning: float | None,
    critical: float | None,
    logs: tuple[str, ...],
) -> int:  # fmt: skip
    """High CPU usage: what burns it, why, and what to do.

    Takes two samples, ranks the processes and the services behind them by what they really used in between, tells
    the kind of load, and names the process, thread, quota or disk at fault.
    """
    if flame_graph and profile is None:
        profile = PROFILE
    seconds = deadline_for(run.deadline, interval, profile)
    configured = settings_of(file)
    least, most = thresholds(warning, critical, configured)
    service = service_of(run.service, configured)

    from rbdiag.cli.report import carry_out
    from rbdiag.runbooks.cpu import plan

    planned = plan(
        top=top,
        interval=interval,
        pid=pid,
        profile=profile,
        flame_graph=flame_graph,
        warning=least,
        critical=most,
        service=service,
        since=run.since,
        logs=logs,
    )
    return carry_out(planned, seconds, configured, run, show, top=top)


def deadline_for(asked: float | None, interval: float, profile: float | None) -> float:
    """The seconds the run may take: as asked, else the usual ones, or more where its samples and profile need more.

    Raises UsageError where a profile does not fit into the time that was asked for.
    """
    needed = interval + (profile or 0) + ROOM
    if asked is None:
        return max(DEADLINE, needed)
    if profile is not None and needed > asked:
        raise click.UsageError(
            f"a profile of {profile:g} s does not fit into a deadline of {asked:g} s: "
            f"with samples {interval:g} s apart the run takes up to {needed:g} s"
        )
    return asked


def thresholds(warning: float | None, critical: float | None, settings: Settings) -> tuple[float, float]:
    """The two thresholds as parts of 1: as asked, else as in the settings. Raises UsageError where they cross."""
    low = settings.thresholds.cpu_warning / 100 if warning is None else warning
    high = settings.thresholds.cpu_critical / 100 if critical is None else critical
    if low >= high:
        raise click.UsageError(
            f"the warning threshold ({percent(low)}) must lie below the critical one ({percent(high)})"
        )
    return low, high

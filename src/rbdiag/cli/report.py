"""From a plan to an exit status: run it, show the report the way it was asked for, tell bugs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import click

from rbdiag.cli.options import FAIL_ON, RunOptions, ShowOptions
from rbdiag.cli.progress import Progress
from rbdiag.cli.streams import UNKNOWN, columns, deliver, err, say, write
from rbdiag.deadline import Deadline
from rbdiag.frozen import replace
from rbdiag.model import CheckRow, Gap, Report, Status
from rbdiag.render import RenderOptions, render
from rbdiag.runbooks import Plan, investigate
from rbdiag.runner import Bug, Job
from rbdiag.settings import Settings, contacts_for


def carry_out(
    plan: Plan,
    seconds: float,
    settings: Settings,
    options: RunOptions,
    show: ShowOptions,
    *,
    top: int = 10,
    concerned: Iterable[str] = (),
    on_shown: Callable[[], None] = lambda: None,
) -> int:
    """Run the plan for at most so many seconds, show the report, and return the exit status.

    `concerned` are the names of services that the run is about, beside those that turn out to be at fault. `on_shown`
    is called once the report has been shown, and not where it could not be.
    """
    told = 0

    def on_row(row: CheckRow) -> None:
        nonlocal told
        if progress:
            progress.done(row.name)
        if show.output == "jsonl" and not show.quiet:
            told += _tell_event(row)

    progress = _progress(plan, show)
    with children_end_with_us(), progress or nullcontext():
        report, bugs = investigate(
            plan,
            Deadline(_left_of(seconds)),
            skip=left_out(plan.jobs, options.only, options.skip),
            fail_on=FAIL_ON[show.fail_on],
            on_row=on_row,
        )
    # Whom to call depends on what is at fault, which is known only now.
    at_fault = {subject for finding in report.findings for subject in (finding.subject, *finding.about)}
    report = replace(report, contacts=contacts_for(settings, plan.runbook, {plan.target, *concerned} | at_fault))
    return finish(report, bugs, show, top=top, told=told, on_shown=on_shown)


def _left_of(seconds: float) -> float:
    """What the start has left of the time. It was nearly all CPU time, which waiting for a password is not."""
    return max(seconds - time.process_time(), seconds / 2)


def left_out(jobs: Iterable[Job], only: Iterable[str], skip: Iterable[str]) -> dict[str, Gap]:
    """The gaps of the checks that are not to run. What the checks named by `only` build on runs too."""
    after = {job.name: job.after for job in jobs}
    wanted = set(after) if not only else set()
    more = list(only)
    while more:
        name = more.pop()
        if name in after and name not in wanted:
            wanted.add(name)
            more += after[name]
    gaps = {name: Gap("skipped", "not among the checks asked for with --only") for name in after if name not in wanted}
    gaps |= {name: Gap("skipped", "left out with --skip", f"drop --skip {name}") for name in skip if name in wanted}
    if len(gaps) == len(after):
        absent = ", ".join(name for name in only if name not in after)
        why = f": {absent} runs only where its own option asks for it" if absent else ""
        raise click.UsageError(f"--only and --skip together leave no check to run{why}")
    return gaps


def finish(
    report: Report, bugs: Iterable[Bug], show: ShowOptions, *, top: int = 10, told: int = 0,
    on_shown: Callable[[], None] = lambda: None,
) -> int:  # fmt: skip
    """Save and show the report, tell bugs, and return the exit status.

    `told` is the number of lines that have been written already, as the checks ended. `on_shown` is called where the
    rest could be written too, or nothing was to be.
    """
    status = report.exit_code
    if show.quiet and report.status is Status.OK:
        on_shown()
    else:
        text = render(show.output, report, _render_options(show, top))
        status = deliver("".join(text.splitlines(keepends=True)[told:]), status, on_shown)
    if show.save is not None:
        from rbdiag.record import save

        try:
            save(report, show.save)
        except OSError as error:
            say(f"cannot save the report in {show.save}: {error.strerror}")
            status = status or UNKNOWN
    if bugs := tuple(bugs):
        from rbdiag.cli.bugs import tell

        tell([(bug.where, bug.error) for bug in bugs])
    return status


def _tell_event(row: CheckRow) -> int:
    """Write the event of a check that has just ended; how many lines could be written."""
    from rbdiag.record import event
    from rbdiag.render.json_ import dumps

    try:
        write(dumps(event(replace(row, mark="gap") if row.gap else row)) + "\n")
    except OSError:
        return 0  # it is written, and its failure told, with the report
    return 1


def _render_options(show: ShowOptions, top: int) -> RenderOptions:
    return RenderOptions(
        color=colored(show),
        width=columns(1),
        verbose=show.verbose,
        top=top,
        utc_offset=time.localtime().tm_gmtoff,
        ascii=not (sys.stdout and sys.stdout.encoding.lower().startswith("utf")),
    )


def colored(show: ShowOptions) -> bool:
    """Colour is for terminals that can show it and for people who did not decline. See no-color.org."""
    declined = show.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not declined and os.isatty(1)


def _progress(plan: Plan, show: ShowOptions) -> Progress | None:
    """The live line, where there is somebody to look at it, and where it does not run into the output."""
    if show.quiet or not os.isatty(2) or (show.output == "jsonl" and os.isatty(1)):
        return None
    return Progress({job.name: job.after for job in plan.jobs}, columns(2), err, plan.doing)


@contextmanager
def children_end_with_us() -> Iterator[None]:
    """Whatever ends the run, by itself or by a signal, ends the programs that checks have started."""

    def end(number: int, _: FrameType | None) -> None:
        stop_all()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        stop_all()
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_all() -> None:
    """End the child programs, where any check can have started one."""
    if programs := sys.modules.get("rbdiag.collect.programs"):
        programs.stop_all()

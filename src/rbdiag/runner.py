"""Run jobs side by side until the deadline.

Daemon threads and one queue, because a thread pool or asyncio's executor holds the process until its slowest
worker returns, whatever the deadline. A job starts as soon as the jobs it builds on have ended. Every planned
job yields exactly one row: what it saw, or the gap it left.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.frozen import Record, replace
from rbdiag.model import CannotLook, CheckRow, Fact, Facts, Gap

# How the gap begins that a bug leaves.
BROKEN = "a bug in rbdiag: "


class Job(Record):
    """One planned check: its name, what it looks at, how, and the jobs whose facts it builds on.

    `run` gets the deadline and the facts of the jobs in `after`; the first of those is the one it cannot do without.
    `decides` marks a check without which "no problem" would be a lie: its gap makes an otherwise healthy report
    unknown. A check that a bug ends decides too, whatever its plan says.
    """

    name: str
    target: str
    run: Callable[[Deadline, Facts], Iterator[Fact]]
    after: tuple[str, ...] = ()
    decides: bool = False


class Bug(Record):
    """An exception that nobody expected, with where it happened; told aloud, never swallowed."""

    where: str
    error: BaseException


class Outcome(Record):
    """What one run brought: all facts, one row a job in planned order, and the bugs met on the way."""

    facts: Facts
    rows: tuple[CheckRow, ...]
    bugs: tuple[Bug, ...]


def gap_for(error: BaseException) -> Gap | None:
    """The gap that an expected error makes, by its type; None for a bug."""
    match error:
        case CannotLook():
            return error.gap
        case OutOfTime() | TimeoutError():
            return Gap("deadline", "not finished when the time was up", "give it more time: --deadline SECONDS")
        case PermissionError():
            return Gap("forbidden", f"not allowed to read {error.filename or 'it'}", "run as root")
        case FileNotFoundError() | NotADirectoryError() | ProcessLookupError():
            return Gap("missing", f"{error.filename or 'it'} is not there")
        case OSError():
            return Gap("failed", f"{error.strerror or error} ({error.filename or type(error).__name__})")
        case _:
            return None


def is_bug(gap: Gap | None) -> bool:
    """Whether a check has this gap because of a bug in it."""
    return gap is not None and gap.reason == "failed" and gap.detail.startswith(BROKEN)


def run(
    jobs: Iterable[Job],
    deadline: Deadline,
    given: Iterable[Fact] = (),
    skip: dict[str, Gap] | None = None,
    on_row: Callable[[CheckRow], None] | None = None,
    clock: Callable[[], float] = time.time,
) -> Outcome:
    """Run the jobs and wait for them, at the longest until the deadline and its grace.

    `given` are facts known beforehand. `skip` names jobs that are not to run, with the gap each leaves.
    `on_row` hears of each row as it is made.
    """
    planned = tuple(jobs)
    waiting = {job.name: job for job in planned}
    facts: dict[str, list[Fact]] = {"": list(given)}
    rows: dict[str, CheckRow] = {}
    bugs: list[Bug] = []
    results: queue.SimpleQueue[tuple[Job, float, BaseException | None]] = queue.SimpleQueue()
    # Each running job with its start and the list it fills: what a check saw before it hung is not lost.
    running: dict[str, tuple[float, list[Fact]]] = {}

    def work(job: Job, base: Facts, seen: list[Fact]) -> None:
        error: BaseException | None = None
        begin = time.monotonic()
        try:
            for fact in job.run(deadline, base):
                seen.append(replace(fact, check=job.name, seen_at=round(clock(), 3)))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it must reach the runner as a row
            error = exc
        results.put((job, time.monotonic() - begin, error))

    def settle(job: Job, seen: list[Fact], took: float | None, gap: Gap | None) -> None:
        summary = str(seen[0]) if seen else (gap.detail if gap else "nothing to report")
        # What was left out on purpose decides nothing; what had to be left out does, and nobody knows what a bug hides.
        decides = (job.decides and job.name not in (skip or ())) or is_bug(gap)
        row = CheckRow(job.name, job.target, summary, took, gap, decides)
        facts[job.name], rows[job.name] = seen, row
        if on_row:
            on_row(row)

    def start_ready() -> None:
        for job in list(waiting.values()):
            if any(name in waiting or name in running for name in job.after):
                continue
            del waiting[job.name]
            if skip and job.name in skip:
                settle(job, [], None, skip[job.name])
                start_ready()
                return
            base = Facts(f for name in ("", *job.after) for f in facts.get(name, ()))
            seen: list[Fact] = []
            running[job.name] = (time.monotonic(), seen)
            threading.Thread(target=work, args=(job, base, seen), name=job.name, daemon=True).start()

    start_ready()
    while running:
        try:
            job, took, error = results.get(timeout=max(deadline.waits(), 0.001))
        except queue.Empty:
            break
        seen = running.pop(job.name)[1]
        gap = gap_for(error) if error else None
        base = rows.get(job.after[0]) if job.after else None
        if not error and not seen and base is not None and base.gap and not facts[base.name]:
            # "Nothing to report" would pass for health: it had nothing to look at.
            gap = Gap("skipped", f"builds on {job.after[0]}, which could not look")
        if error and gap is None:
            bugs.append(Bug(job.name, error))
            gap = Gap("failed", f"{BROKEN}{type(error).__name__} in this check", "please report it")
        settle(job, seen, took, gap)
        start_ready()

    late = Gap("deadline", "not finished when the time was up", "give it more time: --deadline SECONDS")
    unstarted = Gap("deadline", "not begun when the time was up", "give it more time: --deadline SECONDS")
    for job in planned:
        if job.name in running:
            begin, seen = running[job.name]
            settle(job, list(seen), time.monotonic() - begin, late)
        elif job.name not in rows:
            settle(job, [], None, unstarted)
    return Outcome(
        Facts(f for name in ("", *(job.name for job in planned)) for f in facts[name]),
        tuple(rows[job.name] for job in planned),
        tuple(bugs),
    )

"""Running scenarios: set up, prove, ask, grade, prove again, take down; one after another, never side by side."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tests.lab import proc
from tests.lab.grade import Grade, grade
from tests.lab.scenario import Fault, Scenario
from tests.lab.workbench import Answer, Lab, NotInEffect, ask

# Above this part of all CPUs the machine counts as busy with other things, and an answer may be about those.
NOISY = 0.15

State = Literal["passed", "missed", "proven", "not in effect", "skipped"]


@dataclass(frozen=True)
class Result:
    """What became of one run of one scenario.

    `noise` is the part of all CPUs that was busy with other things: before the fault was set up, or while it stood,
    whichever is more.
    """

    scenario: Scenario
    state: State
    remark: str = ""
    grade: Grade | None = None
    answer: Answer | None = None
    proofs: tuple[str, ...] = ()
    noise: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Whether the result may tell of something else that this machine was doing; it counts neither way then."""
        return self.noise > NOISY


def run(scenario: Scenario, *, patience: float = 20, strict: bool = False, dry: bool = False) -> Result:
    """Run one scenario. `patience` is how long to wait for a quiet machine; a healthy twin is skipped without one.

    `strict` asks before and after the fault as well, and both answers have to be clean. `dry` asks nothing at all:
    only the fault is proven.
    """
    if reason := scenario.missing():
        return Result(scenario, "skipped", reason)
    noise = _quiet(patience) if scenario.quiet else 0.0
    if scenario.healthy and noise > NOISY:
        return Result(scenario, "skipped", f"the machine is {noise:.0%} busy with other things", noise=noise)
    if dry:
        return _noisier(_proven(scenario), noise)
    before = _unclean(scenario, "before the fault") if strict else ""
    result = _noisier(_during(scenario), noise)
    after = ""
    if strict:
        _quiet(patience)
        after = _unclean(scenario, "after the fault")
    unclean = "; ".join(filter(None, (before, after)))
    return replace(result, state="missed", remark=unclean) if unclean and result.state == "passed" else result


def _noisier(result: Result, noise: float) -> Result:
    return replace(result, noise=max(result.noise, noise))


def _during(scenario: Scenario) -> Result:
    if not scenario.quiet:
        return _asked(scenario)
    begin, foreign = time.monotonic(), proc.foreign_seconds()
    result = _asked(scenario)
    noise = (proc.foreign_seconds() - foreign) / (time.monotonic() - begin) / (os.cpu_count() or 1)
    return replace(result, noise=noise)


def _asked(scenario: Scenario) -> Result:
    with Lab() as lab, closing(scenario.setup(lab)) as steps:
        try:
            fault = next(steps)
            answer = lab.rbdiag(*(fault.argv or scenario.argv), "--json", before=fault.before)
            lab.prove_again()
            mark = _mark(scenario, fault, answer)
            _finish(steps, answer)
        except NotInEffect as error:
            return Result(scenario, "not in effect", str(error), proofs=tuple(lab.proofs))
        mark = replace(mark, complaints=mark.complaints + tuple(lab.complaints))
        state: State = "passed" if mark.passed(scenario) else "missed"
        return Result(scenario, state, "; ".join(mark.complaints), mark, answer, tuple(lab.proofs))


def _finish(steps: Generator[Fault, Answer, None], answer: Answer) -> None:
    """Let the scenario look at the answer, with the fault still standing."""
    try:
        steps.send(answer)
    except StopIteration:
        return
    raise TypeError("a scenario yields once")


def _proven(scenario: Scenario) -> Result:
    """The fault set up, proven, and proven again after a moment such as the program would take."""
    with Lab() as lab, closing(scenario.setup(lab)) as steps:
        begin = time.monotonic()
        try:
            next(steps)
            took = time.monotonic() - begin
            time.sleep(2)
            lab.prove_again()
        except NotInEffect as error:
            return Result(scenario, "not in effect", str(error), proofs=tuple(lab.proofs))
        return Result(scenario, "proven", f"in {took:.1f} s", proofs=tuple(lab.proofs))


def _mark(scenario: Scenario, fault: Fault, answer: Answer) -> Grade:
    """The grade of an answer; one that is no report fails whatever was expected."""
    try:
        mark = grade(scenario, fault, answer.report, answer.status)
    except (ValueError, KeyError) as error:
        said = (answer.stderr.strip() or answer.stdout.strip() or "nothing").splitlines()[-1]
        return Grade(False, False, (), False, said, (f"no report: {error!r}, exit status {answer.status}",))
    if "Traceback" in answer.stderr:
        mark = replace(mark, complaints=(*mark.complaints, "a traceback on standard error"))
    return mark


def _unclean(scenario: Scenario, when: str) -> str:
    """What the program says above a note while no fault is standing, or nothing.

    Where a scenario itself makes what the program is asked about, there is nothing to ask about without it.
    """
    if not scenario.argv:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        answer = ask([*scenario.argv, "--json"], Path(folder))
    try:
        loud = [f["code"] for f in answer.report["findings"] if f["severity"] != "note"]
    except (ValueError, KeyError) as error:
        return f"{when}: no report ({error!r})"
    return f"{when}: {', '.join(loud)}" if loud else ""


def _quiet(patience: float) -> float:
    """Wait for the machine to be quiet, and return the busy part of the host seen last."""
    deadline = time.monotonic() + patience
    while (busy := proc.busy_part()) > NOISY and time.monotonic() < deadline:
        time.sleep(0.5)
    return busy

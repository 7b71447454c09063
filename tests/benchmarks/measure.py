"""Run two commands in turn and compare what they cost, pair by pair."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Measure = Literal["wall", "cpu", "peak"]
PAIRS = 7


class WrongAnswer(Exception):
    """A side of a comparison does not do what it is measured for."""


@dataclass(frozen=True)
class Cost:
    """What one whole process cost: seconds on the wall, seconds of CPU (user and system), peak memory in MB."""

    wall: float
    cpu: float
    peak: float

    def of(self, measure: Measure) -> float:
        return {"wall": self.wall, "cpu": self.cpu, "peak": self.peak}[measure]


@dataclass(frozen=True)
class Side:
    """A command to measure, and how to tell from its output that it did its work."""

    name: str
    argv: Sequence[str]
    right: Callable[[str], bool]
    env: Mapping[str, str]

    def prove(self) -> None:
        """Raise WrongAnswer unless the command does its work. Warms the caches as well."""
        done = subprocess.run(self.argv, env=self.env, capture_output=True, text=True, errors="replace")
        if not self.right(done.stdout):
            raise WrongAnswer(f"{self.name} gives a wrong answer: {done.stdout[-300:]!r} {done.stderr[-300:]!r}")

    def run(self) -> Cost:
        """Run it once, its output read and thrown away."""
        begin = time.perf_counter()
        process = subprocess.Popen(
            self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        with process.stdout:
            while process.stdout.read(1 << 16):
                pass
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def in_turn(a: Side, b: Side, pairs: int = PAIRS) -> list[tuple[Cost, Cost]]:
    """The costs of both, A B A B."""
    a.prove()
    b.prove()
    return [(a.run(), b.run()) for _ in range(pairs)]


def floor_of_peak() -> float:
    """No child's peak can be measured below this process's own, in MB: the kernel carries it across fork and exec."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Result:
    """One line of the scoreboard. `limit` is None where there is a figure but no target."""

    name: str
    value: float
    unit: str
    limit: float | None
    detail: str

    @property
    def met(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        target = "" if self.limit is None else f"target <= {self.limit:g}{self.unit}"
        verdict = "" if self.limit is None else "met" if self.met else "MISSED"
        return f"{self.name:<44} {f'{self.value:.2f}{self.unit}':>9}  {target:<17} {verdict:<6}  {self.detail}".rstrip()


def compare(name: str, measure: Measure, costs: list[tuple[Cost, Cost]], limit: float | None) -> Result:
    """The median of the ratios A / B, pair by pair."""
    pairs = [(a.of(measure), b.of(measure)) for a, b in costs]
    scale, unit = (1000.0, "ms") if measure != "peak" else (1.0, "MB")
    sides = " / ".join(f"{median([pair[i] for pair in pairs]) * scale:.1f} {unit}" for i in (0, 1))
    return Result(name, median([a / b for a, b in pairs]), " x", limit, f"{sides}, {measure}, {len(pairs)} pairs")

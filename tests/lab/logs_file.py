"""What the scenarios of logs share: the files that they ask about, and how their faults are proven.

A log gets hours of a past, made of what the same program writes while all is well; its fault is real where a real one
takes seconds. Proofs count lines in the files.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab import logs_past as past
from tests.lab import logs_real as real
from tests.lab.scenario import Fault, Scenario, Setup, fault, twin
from tests.lab.workbench import Lab

HOUR = 3600.0
# How far the past of a log reaches: the window of an hour, four times as long before it, and some more.
PAST = 5.5 * HOUR

Decorator = Callable[[Callable[[Lab], Setup]], Scenario]


def log_fault(*codes: str, **options: Any) -> Decorator:
    """A fault that a log tells: told on a busy machine too, and asked about as the scenario says."""
    return fault(*codes, argv=(), quiet=False, **options)


def log_twin(**options: Any) -> Decorator:
    return twin(argv=(), quiet=False, **options)


def usual(program: str, form: str = "", *, which: str = "log", until: float | None = None, lines: int = 2000) -> str:
    """What the program writes while all is well, for hours until then: its work, without start and stop."""
    written = real.healthy(program, form)
    text = written.access if which == "access" else written.log
    working = {"python": "order", "java": "order", "node": "order", "go": "order"}.get(program, "")
    end = time.time() - 1 if until is None else until
    return past.spread(text, end - PAST, end, lines, only=working)


def put(lab: Lab, name: str, *texts: str) -> Path:
    """A log in the lab's folder; of several texts, in the order of the times in them."""
    return lab.write(name, past.merged(*texts) if len(texts) > 1 else texts[0])


def packed(path: Path, text: str) -> Path:
    """A rotated sibling that was packed."""
    path.write_bytes(gzip.compress(text.encode()))
    return path


def about(lab: Lab, *logs: Path, holds: str = "", at_least: int = 1, more: tuple[str, ...] = (), **shown: Any) -> Fault:
    """The question about these logs; proves that so many of their lines hold a text."""
    if holds:
        lab.prove(f"lines with {holds!r}", lambda: sum(_count(path, holds) for path in logs), at_least=at_least)
    return Fault(argv=("logs", *map(str, logs), *more), **shown)


def contained(text: str, begin: float) -> str:
    """The lines as Docker keeps them: each an object of its own, with the time at which it came."""
    lines, at = [], begin
    for line in text.splitlines(keepends=True):
        at = max(at, past.told(line) or at)
        when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        lines.append(json.dumps({"log": line, "stream": "stderr", "time": when}) + "\n")
    return "".join(lines)


def _count(path: Path, text: str) -> int:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return sum(text in line for line in raw.decode(errors="replace").splitlines())


def moments(begin: float, end: float, rate: Callable[[float], float], seed: int = 7) -> Iterator[float]:
    """Times between two, as chance has them, so many a second as `rate` says of each moment."""
    chance = random.Random(seed)
    at = begin
    while True:
        at += chance.expovariate(max(rate(at), 1e-6))
        if at >= end:
            return
        yield at


def steady(rate: float) -> Callable[[float], float]:
    return lambda at: rate


def stamp(at: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return time.strftime(form, time.localtime(at))

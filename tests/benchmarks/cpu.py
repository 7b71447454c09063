"""`rbdiag cpu` on a host with many sleeping processes, against `top` and `ps`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measure import Result, Side, compare, floor_of_peak, in_turn, median
from tests.benchmarks.programs import CannotMeasure, console_script, environment, sleeping

COUNTS = (100, 1000, 5000)
# Of the CPU time of `top -b -n2 -d1`. Below some hundred processes the interpreter's start decides, for any Python.
LIMITS = {1000: 1.2, 5000: 0.4}
PEAK_RATIO, PEAK_MB = 1.15, 60.0


def measure(place: Path) -> Iterator[Result]:
    """CPU time of the whole process, start-up included, and its peak memory."""
    for program in ("top", "ps"):
        if shutil.which(program) is None:
            raise CannotMeasure(f"there is no {program} here (Debian: procps)")
    env = environment(place)
    ours = console_script(place, "rbdiag", "rbdiag.__main__")
    peaks: dict[int, list[float]] = {}
    for count in COUNTS:

        def listed(out: str, least: int = count) -> bool:
            return len(out.splitlines()) >= least

        with sleeping(place, count):
            prove([ours, "cpu", "--json"], env, count)
            cpu = Side("rbdiag cpu", [ours, "cpu"], lambda out: "cpu.processes" in out, env)
            top = Side("top", ["top", "-b", "-n2", "-d1"], listed, {**env, "TERM": "dumb"})
            ps = Side("ps", ["ps", "aux", "--sort=-pcpu"], listed, env)
            against_top = in_turn(cpu, top)
            yield compare(f"cpu / top -b -n2 -d1, {count:,} sleepers", "cpu", against_top, LIMITS.get(count))
            against_ps = in_turn(cpu, ps, 5)
            yield compare(f"cpu / ps aux --sort=-pcpu, {count:,} sleepers", "cpu", against_ps, None)
            peaks[count] = [cost.peak for cost, _ in against_top]
    few, many = median(peaks[COUNTS[0]]), median(peaks[COUNTS[-1]])
    if few <= floor_of_peak():
        raise CannotMeasure("peak memory: this process itself is larger than what it measures")
    detail = f"{many:.1f} MB / {few:.1f} MB"
    yield Result(f"cpu, peak at {COUNTS[-1]:,} / at {COUNTS[0]:,} sleepers", many / few, " x", PEAK_RATIO, detail)
    yield Result(f"cpu, peak at {COUNTS[-1]:,} sleepers", many, " MB", PEAK_MB, "")


def prove(argv: list[str], env: dict[str, str], count: int) -> None:
    """Raise CannotMeasure unless the report is whole and has seen all the processes."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    if done.returncode > 3:
        raise CannotMeasure(f"rbdiag cpu ends with {done.returncode}: {done.stderr[-300:]}")
    report = json.loads(done.stdout)
    gap = next(check["gap"] for check in report["checks"] if check["name"] == "cpu.processes")
    total = next((fact["total"] for fact in report["facts"] if fact["type"] == "TaskStates"), 0)
    if gap is not None or total < count:
        raise CannotMeasure(f"rbdiag cpu saw {total} processes of more than {count}; its gap: {gap}")


# Runs the command line with every thread's CPU time counted, and one of them under cProfile.
PROFILER = """
import cProfile, io, json, os, pstats, sys, threading, time
chosen, used, profile = sys.argv[1], {}, cProfile.Profile()
plain = threading.Thread.run
def run(self):
    begin = time.thread_time()
    try:
        profile.runcall(plain, self) if self.name == chosen else plain(self)
    finally:
        used[self.name] = time.thread_time() - begin
threading.Thread.run = run
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
start = time.process_time()
from rbdiag.cli.main import run as command_line
import_seconds = time.process_time() - start
command_line(["cpu"])
used["(start of Python and of this profile)"], used["(import of the command line)"] = start, import_seconds
used["(the rest: main thread)"] = time.process_time() - sum(used.values())
text = io.StringIO()
if chosen:
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
os.write(out, json.dumps([used, text.getvalue()]).encode())
"""


def profile(place: Path, result: Result) -> str:
    """Where the CPU time goes: by thread (each check has its own), then inside the costliest check."""
    count = next((count for count in COUNTS if f"{count:,}" in result.name), COUNTS[-1])
    env = environment(place)
    with sleeping(place, count):
        used, _ = _profiled("", env)
        checks = {name: seconds for name, seconds in used.items() if not name.startswith("(")}
        _, functions = _profiled(max(checks, key=checks.__getitem__), env)
    lines = [f"{seconds * 1000:8.1f} ms CPU  {name}" for name, seconds in sorted(used.items(), key=lambda u: -u[1])]
    return "\n".join([*lines, "", functions.strip()])


def _profiled(thread: str, env: dict[str, str]) -> tuple[dict[str, float], str]:
    done = subprocess.run([sys.executable, "-c", PROFILER, thread], env=env, capture_output=True, text=True, check=True)
    used, functions = json.loads(done.stdout)
    return used, functions

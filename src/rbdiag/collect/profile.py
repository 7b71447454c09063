"""Where in its code a process burns the CPU: a profile by py-spy or perf.

py-spy is always used with `--nonblocking`: it then only reads the memory of the process. Otherwise it stops the
process for every sample, and one that is slow already is not to be slowed further. A stack read while it changes is
wrong now and then, which does not move the hottest function.

perf and py-spy write into memory of ours (memfd), so that nothing stays behind on the disk, whatever ends us; and
perf must not fill `~/.debug` with copies of the programs it saw (its default).
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from rbdiag.collect import proc
from rbdiag.collect.profilers import CAP_PERFMON, CAP_SYS_ADMIN, INSTALL, capable, tools
from rbdiag.collect.programs import MAX_BYTES, call
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.cpu import HotFunction, Profile, ProfilerTool
from rbdiag.model import CannotLook, Fact, Gap

# Samples a second. Not 100, which would march in step with timers of 10 ms.
_RATE = 99
# Seconds kept back after the sampling, for perf to name the addresses and for us to count.
_AFTERWARDS = 1.5
# Fewer seconds than this (some 20 samples) say nothing.
_LEAST = 0.2
# How long a profiler usually takes to start; after that and its seconds it is told to stop, should it not have ended.
_PY_SPY_START, _PERF_START = 0.1, 0.5
# perf's own limit on what it records, in bytes: it is our memory.
_PERF_BYTES = 64 << 20
_MOST = 10
# A function is put down to one thread from this part of its samples on.
_ONE_THREAD = 0.8


class Frame(NamedTuple):
    """A function on the stack, with the line it was at (0 where not known). `file` is source, or the binary."""

    function: str
    file: str
    line: int = 0

    def __str__(self) -> str:
        if self.line:
            return f"{self.function} ({os.path.basename(self.file)}:{self.line})"
        return f"{self.function} ({os.path.basename(self.file)})" if self.function == _UNNAMED else self.function


class Stack(NamedTuple):
    """What one thread was doing, outermost frame first."""

    thread: str
    frames: tuple[Frame, ...]


Stacks = Mapping[Stack, int]
_UNNAMED, _JIT = "unnamed code", "unnamed just-in-time code"


def profile(
    pid: int, start_ticks: int, subject: str, runtime: str, seconds: float, flame_graph: str, deadline: Deadline
) -> Iterator[Fact]:
    """A profile of `seconds` (fewer where the deadline is nearer), then its hottest functions.

    The process is known by its start, so that no other one is taken for it. Where `flame_graph` is a path, the
    graph is written there. Raises CannotLook where no profiler can be used or none succeeded.
    """
    if flame_graph:
        from rbdiag.collect import flame

        flame.may_write(flame_graph)
    if _start_ticks(pid) != start_ticks:
        raise CannotLook(_ended(subject))
    usable = _usable(runtime, pid, deadline)
    failed: CannotLook | None = None
    for tool in usable:
        begin, allowed = time.monotonic(), deadline.left() - _AFTERWARDS
        if allowed < _LEAST:
            raise failed or OutOfTime
        wanted = min(max(seconds, _LEAST), allowed)
        record = _py_spy if tool.subject == "py-spy" else _perf
        try:
            stacks = record(tool, pid, wanted, deadline)
        except CannotLook as error:
            failed = failed or error
            continue
        took = min(wanted, time.monotonic() - begin)
        if stacks or tool is usable[-1]:
            break
    else:
        # Every tool failed; where the process is no longer there, that is why.
        raise CannotLook(_ended(subject)) if _start_ticks(pid) != start_ticks else failed or OutOfTime
    now = _start_ticks(pid)
    if now != start_ticks and (now is not None or not stacks):
        raise CannotLook(_ended(subject))
    yield from _facts(stacks, tool.subject, took, subject, flame_graph)


def _facts(stacks: Stacks, tool: str, seconds: float, subject: str, flame_graph: str) -> Iterator[Fact]:
    unsaved: OSError | None = None
    if flame_graph:
        try:
            _draw(stacks, f"{subject}, {sum(stacks.values())} samples in {seconds:.1f} s by {tool}", flame_graph)
        except OSError as error:
            unsaved, flame_graph = error, ""
    yield Profile(
        subject=subject, tool=tool, seconds=round(seconds, 2), samples=sum(stacks.values()), flame_graph=flame_graph
    )
    yield from hottest(stacks, subject)
    if unsaved:
        raise unsaved


def hottest(stacks: Stacks, subject: str, most: int = _MOST) -> list[HotFunction]:
    """The functions that were themselves on the CPU, most samples first; each with its hottest line."""
    all_samples = sum(stacks.values())
    own: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    lines: dict[tuple[str, str], Counter[int]] = {}
    threads: dict[tuple[str, str], Counter[str]] = {}
    for stack, samples in stacks.items():
        leaf = stack.frames[-1]
        function = leaf[:2]
        own[function] += samples
        lines.setdefault(function, Counter())[leaf.line] += samples
        threads.setdefault(function, Counter())[stack.thread] += samples
        for each in {frame[:2] for frame in stack.frames}:
            total[each] += samples
    found = []
    for rank, (function, samples) in enumerate(sorted(own.items(), key=lambda item: (-item[1], item[0]))[:most], 1):
        thread, in_thread = threads[function].most_common(1)[0]
        found.append(
            HotFunction(
                subject=subject,
                rank=rank,
                function=function[0],
                file=function[1],
                line=lines[function].most_common(1)[0][0] or None,
                part=round(samples / all_samples, 4),
                total=round(total[function] / all_samples, 4),
                thread=thread if in_thread >= _ONE_THREAD * samples else "",
            )
        )
    return found


def _draw(stacks: Stacks, title: str, path: str) -> None:
    from rbdiag.collect import flame

    # Threads are told apart in the graph only where there are several.
    several = len({stack.thread for stack in stacks}) > 1
    drawn: Counter[tuple[str, ...]] = Counter()
    for stack, samples in stacks.items():
        thread = (f"thread {stack.thread or 'without a name'}",) if several else ()
        drawn[thread + tuple(str(frame) for frame in stack.frames)] += samples
    flame.save(path, flame.flame_svg(drawn, title))


def _start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks after boot; None where it has gone or is only a zombie.

    A process whose main thread has ended looks like a zombie too, but has other threads.
    """
    stat = proc.stat(pid)
    return stat.start if stat and (stat.state not in "ZX" or stat.threads > 1) else None


def _ended(subject: str) -> Gap:
    return Gap("missing", f"{subject} ended before it could be profiled")


def _usable(runtime: str, pid: int, deadline: Deadline) -> list[ProfilerTool]:
    """The profilers of ours that can look at this process. Raises CannotLook where there is none."""
    known = [tool for tool in tools(runtime, deadline, pid) if tool.subject in ("py-spy", "perf")]
    usable = [tool for tool in known if tool.state == "ready"]
    if not usable:
        forbidden = any(tool.state == "forbidden" for tool in known)
        unlock = "run as root" if forbidden else "; ".join(f"{tool.subject}: {INSTALL[tool.subject]}" for tool in known)
        raise CannotLook(Gap("forbidden" if forbidden else "missing", "; ".join(str(tool) for tool in known), unlock))
    return usable


def _py_spy(tool: ProfilerTool, pid: int, seconds: float, deadline: Deadline) -> Stacks:
    # It takes whole seconds only; the interrupt ends it after the seconds wanted.
    whole = -int(-seconds // 1)
    fd = os.memfd_create("rbdiag-py-spy")
    try:
        done = call(
            [
                tool.path, "record", "--nonblocking", "--threads", "--full-filenames", "--format=raw",
                f"--pid={pid}", f"--rate={_RATE}", f"--duration={whole}", f"--output=/proc/self/fd/{fd}",
            ],
            deadline,
            interrupt_after=seconds + _PY_SPY_START,
            pass_fds=(fd,),
        )  # fmt: skip
        if done.status:
            raise CannotLook(_failed("py-spy", done.stderr, done.status, allowed=True))
        return parse_py_spy(proc.text(os.pread(fd, MAX_BYTES, 0)))
    finally:
        os.close(fd)


def parse_py_spy(text: str) -> Stacks:
    """What `py-spy record --format raw --threads` wrote: a line a stack, frames joined by `;`, its samples last."""
    stacks: Counter[Stack] = Counter()
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        parsed = _py_stack(stack)
        if samples.isdigit() and parsed.frames:
            stacks[parsed] += int(samples)
    return stacks


def _py_stack(text: str) -> Stack:
    """`thread (ID): NAME;function (file:line);...`, where the thread's name and the files may hold `;` themselves."""
    head, *words = text.split(";")
    thread, frames, begun = head.partition("): ")[2], list[Frame](), ""
    for word in words:
        frame = f"{begun};{word}" if begun else word
        function, opened, where = frame.partition(" (")
        closed = frame.endswith(")")
        file, _, line = where.removesuffix(")").rpartition(":")
        if not frames and not begun and (not opened or (closed and not line.isdigit())):
            thread += f";{word}"
        elif opened and not closed:
            begun = frame
        else:
            frames.append(Frame(function, file, int(line)) if line.isdigit() else Frame(function, where[:-1]))
            begun = ""
    return Stack(thread, tuple(frames))


# perf ends itself with the signal that ended the `sleep` it runs, also when the process it looked at has gone.
_PERF_DONE = (0, -signal.SIGINT, -signal.SIGTERM)


def _perf(tool: ProfilerTool, pid: int, seconds: float, deadline: Deadline) -> Stacks:
    fd = os.memfd_create("rbdiag-perf")
    file = f"/proc/self/fd/{fd}"
    allowed = capable(CAP_PERFMON, CAP_SYS_ADMIN)
    # Asked before and after: threads come and go, and the process may be gone by then.
    names = _thread_names(pid)
    try:
        recorded = call(
            [
                # --no-bpf-event: what it is for is not asked here, and it holds the end up for half a second.
                tool.path, "record", "--no-buildid", "--no-buildid-cache", "--no-bpf-event", "-g", f"--freq={_RATE}",
                f"--max-size={_PERF_BYTES}B", f"--pid={pid}", f"--output={file}", "--", "sleep", f"{seconds:.2f}",
            ],
            deadline,
            interrupt_after=seconds + _PERF_START,
            pass_fds=(fd,),
        )  # fmt: skip
        if recorded.status not in _PERF_DONE or not os.fstat(fd).st_size:
            raise CannotLook(_failed("perf record", recorded.stderr, recorded.status, allowed))
        names |= _thread_names(pid)
        # Without the command's name, which its process may choose: it could pass for lines of ours. Without inlined
        # functions, for which perf would ask addr2line about every address, for minutes on a large program.
        written = call(
            [tool.path, "script", "--no-inline", "--fields=tid,ip,sym,dso", f"--input={file}"], deadline, pass_fds=(fd,)
        )
        if written.status and not written.cut:
            raise CannotLook(_failed("perf script", written.stderr, written.status, allowed))
        return parse_perf(proc.text(written.stdout), names)
    finally:
        os.close(fd)


def _thread_names(pid: int) -> dict[int, str]:
    names = {}
    # It may end while we look: then the threads without a name are called by their number.
    with suppress(FileNotFoundError, ProcessLookupError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            names[int(tid)] = proc.text(proc.read(f"/proc/{pid}/task/{tid}/comm", 64)).removesuffix("\n")
    return names


# Both the symbol and the file may hold blanks and parentheses; the file is a path or stands in brackets.
_PERF_FRAME = re.compile(r"\s+[0-9a-f]+ (.*) \(([/\[].*)\)$")
_PERF_MAP = re.compile(r"/tmp/perf-\d+\.map")  # noqa: S108 - where the runtimes put it; we only compare
_NOWHERE = "[unknown]"


def parse_perf(text: str, names: Mapping[int, str]) -> Stacks:
    """What `perf script --fields tid,ip,sym,dso` wrote: a line with the thread's number, its frames innermost first.

    Callers outside of any file are left out: they are no code, but what was found on the stack of a program built
    without frame pointers.
    """
    stacks: Counter[Stack] = Counter()
    # Samples end with an empty line; the last one may have been cut.
    for sample in text.split("\n\n"):
        head, *rest = sample.strip("\n").split("\n")
        frames: list[Frame] = []
        for line in rest:
            part = _PERF_FRAME.match(line)
            if part and (not frames or part[2] != _NOWHERE):
                frames.append(_perf_frame(part[1], part[2]))
        if frames and head.strip().isdigit():
            tid = int(head)
            stacks[Stack(names.get(tid, f"tid {tid}"), tuple(reversed(frames)))] += 1
    return stacks


def _perf_frame(symbol: str, file: str) -> Frame:
    if _PERF_MAP.fullmatch(file):
        # Code that a runtime (Java, Node) made while running; it wrote this file only if asked to, else no names.
        return Frame(_JIT if symbol == _NOWHERE else symbol, "")
    return Frame(_UNNAMED if symbol == _NOWHERE else symbol, "" if file == _NOWHERE else file)


def _failed(what: str, complaint: bytes, status: int, allowed: bool) -> Gap:
    """The gap a tool leaves that ended badly. `allowed`: whether we have the right it needs, so that is not why."""
    from rbdiag.redact import redact

    said = " ".join(proc.text(complaint).split())
    ended = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    detail = f"{what}: {ended}" + (f": {redact(said)[:160]}" if said else "")
    return Gap("failed", detail) if allowed else Gap("forbidden", detail, "run as root")

"""Which profilers can be used here, and what is missing to use the others. Starts no program to find out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from rbdiag.collect import proc
from rbdiag.collect.programs import find
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import ProfilerTool, ToolState

# Best first: what a person would reach for.
_TOOLS = {
    "python": ("py-spy", "perf", "gdb", "strace"),
    "java": ("jcmd", "perf", "gdb", "strace"),
    "kernel": ("perf",),
}
_OTHERWISE = ("perf", "gdb", "strace")
INSTALL = {
    "py-spy": "pip install 'rbdiag[profile]'",
    "perf": "package linux-perf, linux-tools or perf",
    "jcmd": "it comes with the JDK, not with the JRE",
    "gdb": "package gdb",
    "strace": "package strace",
}
# Bits of the capability set, include/uapi/linux/capability.h.
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON = 19, 21, 38


def tools(runtime: str, deadline: Deadline, pid: int | None = None) -> Iterator[ProfilerTool]:
    """The profilers for this runtime, best first, and whether they can be used: on `pid`, or in general.

    Looks at files only; no program is started.
    """
    for name in _TOOLS.get(runtime, _OTHERWISE):
        deadline.left()
        path, missing = _program(name, pid)
        state: ToolState
        if missing:
            state, detail = "missing", missing
        elif refused := (_perf_refused(pid) if name == "perf" else _attach_refused(name, pid)):
            state, detail = "forbidden", refused
        else:
            state, detail = "ready", "" if pid or capable(CAP_SYS_PTRACE) else "for your own processes only"
        yield ProfilerTool(subject=name, state=state, path=path, detail=detail)


def _program(name: str, pid: int | None) -> tuple[str, str]:
    """The tool's path, and what is missing to run it (empty where nothing is)."""
    path = find(name, _java_folders(pid) if name == "jcmd" else ())
    if path is None:
        return "", f"not installed: {INSTALL[name]}"
    wants = perf_wants(proc.read(path, 4096), os.uname().release) if name == "perf" else ()
    if wants and not any(find(os.path.basename(want), (os.path.dirname(want),)) for want in wants):
        return path, f"only its wrapper is installed, {wants[0]} is not: {INSTALL[name]}"
    return path, ""


def _java_folders(pid: int | None) -> Iterator[str]:
    """Where the process's own java lies, then the one on PATH: jcmd lies beside it."""
    if pid:
        with suppress(OSError):  # another user's, or gone: PATH's java is asked instead
            yield os.path.dirname(os.readlink(f"/proc/{pid}/exe"))
    if java := find("java"):
        yield os.path.dirname(os.path.realpath(java))


def perf_wants(program: bytes, release: str) -> tuple[str, ...]:
    """The real programs, of which one must exist, that a perf looks for which is only a shell wrapper; else none.

    Source: linux-base (Debian up to 11: `perf_5.10`), linux-tools-common (Ubuntu: one perf for each kernel).
    """
    if not program.startswith(b"#!"):
        return ()
    if b"linux-tools" in program:
        return (f"/usr/lib/linux-tools/{release}/perf", f"/usr/lib/linux-tools-{release}/perf")
    if b"perf_" in program:
        version = release.split("-")[0]
        return (f"perf_{'.'.join(version.split('.')[:2])}", f"perf_{version}")
    return ()


def capable(*wanted: int) -> bool:
    """Whether we have one of these capabilities. Not the same as being root: root in a container has few."""
    for line in proc.read("/proc/self/status").splitlines():
        if line.startswith(b"CapEff:"):
            return any(int(line.split()[1], 16) >> bit & 1 for bit in wanted)
    return False


def _setting(path: str) -> int | None:
    try:
        return int(proc.read(f"/proc/sys/kernel/{path}", 32))
    except FileNotFoundError:
        return None


def _perf_refused(pid: int | None) -> str:
    """Why perf cannot be used, or nothing. Source: kernel documentation, admin-guide/perf-security."""
    paranoid = _setting("perf_event_paranoid")
    if paranoid is None:
        return "this kernel has no perf events"
    if capable(CAP_PERFMON, CAP_SYS_ADMIN):
        return ""
    if paranoid > 2:
        return f"needs root: kernel.perf_event_paranoid is {paranoid}"
    return _not_ours(pid, "environ")


def _attach_refused(name: str, pid: int | None) -> str:
    """Why a tool that attaches cannot be used, or nothing. Source: kernel documentation, admin-guide/LSM/Yama."""
    if name == "jcmd":
        return _not_ours(pid, "environ")
    scope = _setting("yama/ptrace_scope") or 0
    if scope >= 3:
        return f"kernel.yama.ptrace_scope is {scope}: nothing can attach until the next boot"
    if capable(CAP_SYS_PTRACE):
        return ""
    if scope:
        return f"needs root: kernel.yama.ptrace_scope is {scope}"
    return _not_ours(pid, "mem")


def _not_ours(pid: int | None, file: str) -> str:
    """Why we may not look into the process. The kernel asks the same question when `file` is opened."""
    if pid is None:
        return ""
    try:
        with open(f"/proc/{pid}/{file}", "rb"):
            return ""
    except PermissionError:
        return "needs CAP_SYS_PTRACE" if os.geteuid() == 0 else "needs root: the process is not ours to look into"

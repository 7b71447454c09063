"""Resolution steps that several rules share. Each names this host's own thing and is ready to paste.

Every step that touches a process first makes sure that the pid still is that process: its start time (field 22
of /proc/PID/stat, proc(5)) is compared in the same command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from rbdiag.facts.cpu import ProcessCpu, Profile, ProfilerTool, Runtime
from rbdiag.facts.host import Standing
from rbdiag.facts.svc import Unit
from rbdiag.model import Facts, Step

VERIFY = "rbdiag cpu"


def sudo(facts: Facts) -> str:
    """`sudo ` where it is needed and there; nothing for root, nor where only root's own shell can help."""
    standing = facts.first(Standing)
    return "" if standing is not None and (standing.root or not standing.sudo) else "sudo "


# systemd takes other characters for a pattern of names, and a leading dash for an option.
_UNIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.(?:service|scope|slice|socket|timer|mount)")


def our_unit(unit: str, facts: Facts) -> str:
    """The unit, where this host's own service manager runs and knows it; else "": no command must name a namesake."""
    standing, known = facts.first(Standing), facts.first(Unit, unit)
    if not _UNIT_NAME.fullmatch(unit) or (standing is not None and not standing.systemd):
        return ""
    return "" if known is not None and known.load == "not-found" else unit


def guarded(pid: int, start_ticks: int, command: str) -> str:
    """The command, run only if the pid still is the process that was seen."""
    # No pipe in it, so that it survives in a monitoring system's output; the name in the line may hold anything.
    start = f"sed -nE 's/.*\\) ([^ ]+ ){{19}}([0-9]+) .*/\\2/p' /proc/{pid}/stat"
    return f'[ "$({start})" = {start_ticks} ] && {command}'


def look_at_log(unit: str, facts: Facts) -> Iterator[Step]:
    if our_unit(unit, facts):
        yield Step(f"read what {unit} logged last", f"journalctl -u {quote(unit)} -n 50 --no-pager")


def look_inside(process: ProcessCpu, facts: Facts) -> Iterator[Step]:
    """How to see where in its code this process is: the command for its runtime, and what is missing to run it."""
    if any(done.subject == process.subject for done in facts.of(Profile)):
        return  # it has been seen: the evidence says where
    pid, root = process.pid, sudo(facts)
    own = f"rbdiag cpu --pid {pid} --profile 5 --flame-graph /tmp/rbdiag-{pid}.svg"
    tools = {tool.subject: tool for tool in facts.of(ProfilerTool)}
    name, command = _tool_for(process.runtime, process, root, tools.get("py-spy"))
    tool = tools.get(name)
    missing = f" ({name} {tool.detail or tool.state})" if tool is not None and tool.state != "ready" else ""
    yield Step(f"see where in its code it is{missing}", command)
    if process.runtime != "kernel" and any(t.state == "ready" for n, t in tools.items() if n in ("py-spy", "perf")):
        yield Step("or profile it: hottest functions and a flame graph", f"{root}{own}" if root else own)


def _tool_for(runtime: Runtime, process: ProcessCpu, root: str, found: ProfilerTool | None) -> tuple[str, str]:
    pid = process.pid
    match runtime:
        case "python":
            # it may live beside our own interpreter and not on the PATH
            return "py-spy", f"{root}{quote(found.path) if found and found.path else 'py-spy'} dump --pid {pid}"
        case "java":
            # jcmd speaks only to processes of its own user
            user = f"sudo -u {quote(process.user)} " if process.user and (root or process.user != "root") else ""
            return "jcmd", f"{user}jcmd {pid} Thread.print"
        case "kernel":
            return "perf", f"{root}cat /proc/{pid}/stack"
        case _:
            return (
                "perf",
                f"{root}perf record -F 99 -g -p {pid} -o /tmp/rbdiag-{pid}.data -- sleep 5 && {root}perf report --stdio -i /tmp/rbdiag-{pid}.data | head -40",
            )


def make_it_yield(process: ProcessCpu, facts: Facts) -> Iterator[Step]:
    """Lower its priority, then cap it: it goes on, and the others can work."""
    root = sudo(facts)
    if process.nice < 10:
        yield Step(
            "let everything else go first",
            guarded(process.pid, process.start_ticks, f"{root}renice -n 10 -p {process.pid}"),
            verify=f"ps -o pid,ni,pcpu,comm -p {process.pid}",
        )
    yield from cap(process.unit, facts)


def cap(unit: str, facts: Facts) -> Iterator[Step]:
    if not our_unit(unit, facts):
        return
    yield Step(
        f"cap {unit} at half a CPU until the cause is mended (gone after a reboot)",
        f"{sudo(facts)}systemctl set-property --runtime {quote(unit)} CPUQuota=50%",
        "disruptive",
        f"systemctl show -p CPUQuotaPerSecUSec {quote(unit)}",
    )


def end(pid: int, start_ticks: int, unit: str, what: str, facts: Facts) -> Iterator[Step]:
    """Restart its unit; without one, end the process; by force only as the last resort."""
    root = sudo(facts)
    if our_unit(unit, facts):
        name = quote(unit)
        verify = f"systemctl status {name} --no-pager; {VERIFY}"
        known = facts.first(Unit, unit)
        # a scope cannot be restarted, and restarting a oneshot does its work again and waits for it
        verb = (
            "stop" if unit.endswith(".scope") or (known is not None and known.service_type == "oneshot") else "restart"
        )
        yield Step(f"{verb} {unit}", f"{root}systemctl {verb} {name}", "disruptive", verify)
    if pid <= 2:
        return  # process 1 is the host itself
    yield Step(f"end {what}", guarded(pid, start_ticks, f"{root}kill {pid}"), "disruptive", f"ps -p {pid}; {VERIFY}")
    yield Step(
        "only if it ignores that for ten seconds: by force, what it has not saved is lost",
        guarded(pid, start_ticks, f"{root}kill -9 {pid}"),
        "destructive",
        f"ps -p {pid}; {VERIFY}",
    )

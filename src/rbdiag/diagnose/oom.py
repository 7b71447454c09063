"""The kernel's kills for memory, as far as they concern the server behind the target, and no other of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.db import away
from rbdiag.facts import span
from rbdiag.facts.db import OptionValue, ServerProcess
from rbdiag.facts.host import KernelEvent
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.svc import Unit
from rbdiag.frozen import Record
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# A server that was started less than this ago has been away for the clients of now (catalogue A.1: db.crashed).
_JUST_BACK = 300.0
# A service manager starts a killed server again within this; one that was started later was started by somebody.
_STARTED_AGAIN = 60.0
_DATABASES = ("mysqld", "mariadbd")


class Kill(Record):
    """A kill that concerns the target's server; `sure` says that something ties it to this very server."""

    event: KernelEvent
    sure: bool


def kills(facts: Facts) -> list[Kill]:
    """Kills of the target's server. Of a server on another host this kernel knows nothing.

    On a host with several servers a line about one of them says nothing about another, so each kill must be tied to this
    one: by the pid in its pid file or its log, by the control group of its unit, or by a start right after it.
    """
    found, process = db_view.target(facts), db_view.server(facts)
    if found is None or (not found.local and process is None):
        return []
    alive = {s.pid for s in facts.of(ServerProcess)}
    named = [
        e for e in facts.of(KernelEvent)
        if e.kind == "oom-kill" and e.pid not in alive and f"{e.process}[".startswith(tuple(f"{n}[" for n in _DATABASES))
    ]  # fmt: skip
    return [Kill(e, sure) for e in named if (sure := _ours(e, facts)) is not None]


def _ours(event: KernelEvent, facts: Facts) -> bool | None:
    """Whether the killed server was the target's: True for sure, False perhaps, None not."""
    process, files = db_view.server(facts), db_view.config(facts)
    unit = (process.unit if process else "") or (files.unit if files else "")
    starts = {e.name for e in facts.of(LogEvent) if e.side == "server" and e.kind == "starting"}
    if str(event.pid) in starts or (unit and (f"/{unit}" in event.group or _ended_so(facts, unit))):
        return True
    if process is not None:
        began = (process.seen_at or 0.0) - process.age
        if not -1.0 <= began - event.happened_at <= _STARTED_AGAIN:
            return None
        since = [
            e for e in facts.of(LogEvent) if e.side == "server" and (e.happened_at or 0.0) >= event.happened_at - 1
        ]
        crashed = any(e.kind in ("signal", "fatal", "aborting") for e in since)  # it has another reason
        clean = any(e.kind == "ready" for e in since) and not any(e.kind == "recovery" for e in since)
        return None if crashed or clean else False
    if files is None:
        return None
    if files.pid is not None:
        return True if files.pid == event.pid else None
    # A clean end removes the pid file; where none is known to be written, this may have been the one.
    return None if files.pid_file or any(s.role == "other" for s in facts.of(ServerProcess)) else False


def _ended_so(facts: Facts, unit: str) -> bool:
    return any(u.subject == unit and u.result == "oom-kill" and u.active != "active" for u in facts.of(Unit))


def _severity(facts: Facts) -> Severity:
    """How bad a kill is by now: the server is away; it is just back; it has been back for a while, which is history."""
    process = db_view.server(facts)
    if process is None:
        return Severity.CRITICAL if away(facts) else Severity.WARNING
    if not process.ports and not process.sockets:
        return Severity.CRITICAL
    return Severity.WARNING if process.age < _JUST_BACK else Severity.NOTE


_KILLED = ("db.oom-killed", "db.service-down", "db.crashed", "svc.not-running", "svc.crash-loop")

OOM_KILL = Spec(
    code="host.oom-kill",
    title="the host ran out of memory and the kernel killed the service",
    severity=Severity.CRITICAL,
    meaning="No memory was left on the whole host; the kernel chose a process to kill, and it was the service's.",
    told="`Out of memory: Killed process` in the kernel's log inside the window, naming the server, without a control group.",
    not_to_be_taken_for="the limit of a control group; an old line; a kill by hand, which leaves no line.",
    resolution=("see who took the memory", "give each its limit", "OOMScoreAdjust for what must stay"),
    explains=(*_KILLED, "api.upstream-reset", "api.upstream-refused"),
)
OOM_CGROUP = Spec(
    code="host.oom-cgroup",
    title="the service reached its memory limit and was killed",
    severity=Severity.CRITICAL,
    meaning="The control group of the service (a unit's MemoryMax, a container's limit) was full, and the kernel killed in it.",
    told="`Memory cgroup out of memory: Killed process` in the kernel's log inside the window, naming the server.",
    not_to_be_taken_for="the host running out of memory; exit status 137 from a plain kill -9, which leaves no line.",
    resolution=("raise the limit above what the server is configured to use", "or lower innodb_buffer_pool_size"),
    explains=(*_KILLED, "api.upstream-reset", "api.upstream-refused"),
)


def oom_kill(facts: Facts) -> Iterator[Finding]:
    found = [k for k in kills(facts) if not k.event.cgroup]
    if found:
        last = found[-1].event
        text = f"the host ran out of memory and the kernel killed {last.process}[{last.pid}]"
        yield _killed(
            OOM_KILL,
            text,
            found,
            ("see who holds the memory now", "ps -eo pid,rss,etimes,args --sort=-rss | head -15"),
            facts,
        )


def oom_cgroup(facts: Facts) -> Iterator[Finding]:
    found = [k for k in kills(facts) if k.event.cgroup]
    if found:
        last, unit = found[-1].event, db_view.unit(facts)
        text = f"{last.process}[{last.pid}] reached the memory limit of its control group and was killed"
        limit = (
            f"systemctl show -p MemoryMax -p MemoryHigh {quote(unit)}"
            if unit
            else "dmesg -T | grep -iE 'memory: usage|oom_memcg' | tail -4"
        )
        yield _killed(OOM_CGROUP, text, found, ("see the limit", limit), facts)


def _killed(spec: Spec, text: str, found: list[Kill], look: tuple[str, str], facts: Facts) -> Finding:
    unit, root = db_view.unit(facts), steps.sudo(facts)
    own = [Step(look[0], look[1] if look[1].startswith(("ps ", "systemctl")) else f"{root}{look[1]}")]
    if unit and spec is OOM_CGROUP:
        own.append(Step(f"raise the limit of {unit} above the buffer pool and a few MiB a connection: systemctl edit {unit}, MemoryMax=",
                        risk="disruptive", verify=look[1]))  # fmt: skip
    elif unit:
        own.append(Step(f"let the kernel choose others first: systemctl edit {unit}, [Service] OOMScoreAdjust=-600",
                        risk="disruptive", verify=f"systemctl show -p OOMScoreAdjust {quote(unit)}"))  # fmt: skip
    own.append(
        Step(
            "lower innodb_buffer_pool_size to what fits beside the rest of this host",
            risk="disruptive",
            verify=db_view.again(facts),
        )
    )
    return Finding(
        spec, _severity(facts), Confidence.CERTAIN if any(k.sure for k in found) else Confidence.LIKELY, "host", text,
        evidence=tuple(k.event for k in found[-3:]), resolution=tuple(own),
        about=db_view.about(facts, "host"), impact=1.0,
    )  # fmt: skip


OOM_KILLED = Spec(
    code="db.oom-killed",
    title="the kernel killed the server for its memory",
    severity=Severity.CRITICAL,
    meaning="Memory ran out, on the host or in the server's control group, and the kernel killed the server.",
    told="The kernel's log names the server in an out-of-memory kill inside the window, and the pid file or the log, the control group of "
    "its unit, or a start right after it ties that kill to this server; or its unit ended with oom-kill.",
    not_to_be_taken_for="a crash on signal 6 or 11, which leaves a stack in the error log; a kill -9 by hand, which leaves no "
    "line in the kernel's log.",
    resolution=("lower innodb_buffer_pool_size, or give it more memory", "cap what else grew", "start it"),
    explains=("db.service-down", "db.crashed", "svc.not-running", "svc.crash-loop"),
)


def oom_killed(facts: Facts) -> Iterator[Finding]:
    found, process, files = kills(facts), db_view.server(facts), db_view.config(facts)
    name = (process.unit if process else "") or (files.unit if files else "")
    ended = [u for u in facts.of(Unit) if u.subject == name and _ended_so(facts, name)]
    if not found and not ended:
        return
    last = found[-1].event if found else None
    who = f"{last.process}[{last.pid}]" if last else name
    since = "it is down" if process is None else f"it was started again {span(process.age)} ago"
    sure = bool(ended) or any(k.sure for k in found)
    yield Finding(
        OOM_KILLED, _severity(facts), Confidence.CERTAIN if sure else Confidence.LIKELY, db_view.label(facts),
        f"the kernel killed {who} for its memory{' (limit of its control group)' if last and last.cgroup else ''}; {since}",
        evidence=(*(k.event for k in found[-2:]), *ended, *([process] if process else [])),
        resolution=tuple(_less_memory(process, facts)), about=db_view.about(facts), impact=1.0,
    )  # fmt: skip


def _less_memory(process: ServerProcess | None, facts: Facts) -> Iterator[Step]:
    yield Step(
        "see what the kernel says of memory at that moment",
        f"{steps.sudo(facts)}dmesg -T | grep -iE 'out of memory|killed process' | tail -5",
    )
    yield Step("see who holds the memory now", "ps -eo pid,rss,etimes,args --sort=-rss | head -10")
    pool = facts.last(OptionValue, "innodb_buffer_pool_size")
    if pool is not None:
        yield Step(
            f"make the buffer pool smaller than {pool.value}: {pool.file}, line {pool.line}",
            risk="disruptive",
            verify=f"sed -n {pool.line}p {quote(pool.file)}",
        )
    if process is None:
        yield from db_view.start(facts)


RULES = (oom_kill, oom_cgroup, oom_killed)

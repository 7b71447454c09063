"""What the rules about busy processes share: which rule a process belongs to, and the finding about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rbdiag.diagnose import steps
from rbdiag.diagnose.view import HALF, HOT, Burner, View, view
from rbdiag.facts.cpu import HotFunction, ProcessCpu, Profile, RequestRate, ServiceCpu
from rbdiag.model import Confidence, Fact, Facts, Finding, Spec, Step

# Traffic counts as a surge from this many times the rate before; below some rate the ratio of small counts means nothing.
_SURGE, _SURGE_FROM = 3.0, 10.0
# Most of its own time in the kernel; half would call every busy server with network traffic a kernel problem.
KERNEL_PART = 0.55
_FUNCTIONS_SHOWN = 3
_OTHERS = 5


def evidence_of(burner: Burner, facts: Facts, v: View) -> tuple[Fact, ...]:
    """The process as last seen, its hottest threads, and where a profile found it."""
    threads = v.threads(burner.process)
    functions = [f for f in facts.of(HotFunction) if f.subject == burner.process.subject][:_FUNCTIONS_SHOWN]
    profile = [p for p in facts.of(Profile) if p.subject == burner.process.subject]
    return (burner.process, *threads[:8], *profile, *functions)


def against(v: View) -> tuple[Fact, ...]:
    """What makes a busy process look harmless: nobody waits for a CPU."""
    cpu = v.pressure("cpu")
    return (cpu,) if cpu is not None and cpu.some < 0.05 else ()


def about(processes: Iterable[ProcessCpu], *more: str) -> frozenset[str]:
    return frozenset({s for p in processes for s in (p.subject, p.service, p.root, p.unit) if s} | set(more))


def who(p: ProcessCpu) -> str:
    """A process the way the first line should name it: with its script, or with the service behind it."""
    program, _, pid = p.service.rpartition("[")
    if pid == f"{p.pid}]":
        return p.subject if program == p.name else f"{p.subject} ({program})"
    return f"{p.subject} of {p.service}" if p.service else p.subject


def cores(share: float) -> str:
    return f"{share:.2f} cores" if not 0.995 <= share < 1.005 else "one whole core"


def _fix_all(rows: tuple[Burner, ...], facts: Facts) -> Iterator[Step]:
    """The steps for the first; where others of its service burn too, those are ended before force is thought of."""
    for step in fix(rows[0], facts):
        if step.risk == "destructive":
            for other in rows[1:_OTHERS]:
                p = other.process
                yield next(s for s in steps.end(p.pid, p.start_ticks, "", p.subject, facts))
        yield step


def fix(burner: Burner, facts: Facts) -> tuple[Step, ...]:
    p = burner.process
    return (
        *steps.look_inside(p, facts),
        *steps.look_at_log(p.unit, facts),
        *steps.make_it_yield(p, facts),
        *steps.end(p.pid, p.start_ticks, p.unit, p.subject, facts),
    )


def kind_of(b: Burner, v: View) -> str:
    """Which rule a hot process belongs to: exactly one, the most telling first."""
    p = b.process
    if p.doing in ("build", "pack"):
        return "finite"
    if surge(p.service, v.facts) is not None:
        return "surge"
    if p.doing == "database":
        return "database"
    if v.collecting(p) >= HALF:
        return "gc"
    if p.system_share >= KERNEL_PART * p.share:
        return "system"
    if p.threads > 1 and b.thread is not None and b.spins and _stands_out(b, v) and not _event_loop(b):
        return "thread"
    return "hog"


def _event_loop(b: Burner) -> bool:
    """Node runs all JavaScript in its main thread: that thread being hot is the process being hot."""
    return b.process.runtime == "node" and b.thread is not None and b.thread.tid == b.process.pid


def _stands_out(b: Burner, v: View) -> bool:
    """Whether the hottest thread is alone in being hot: it uses nine tenths of what the process uses."""
    return b.thread is not None and b.thread.share >= 0.85 * max(
        b.process.share, sum(t.share for t in v.threads(b.process))
    )


def surge(service: str, facts: Facts) -> RequestRate | None:
    rate = facts.first(RequestRate, service)
    return rate if rate is not None and rate.now >= max(_SURGE_FROM, _SURGE * rate.before) else None


def of_kind(facts: Facts, kind: str) -> Iterator[tuple[Burner, ...]]:
    """The burners of this kind, those of one service together, the greediest service first."""
    v = view(facts)
    groups: dict[str, list[Burner]] = {}
    for b in v.burners:
        if kind_of(b, v) == kind:
            groups.setdefault(b.process.service, []).append(b)
    for rows in sorted(groups.values(), key=lambda rows: -sum(b.share for b in rows)):
        yield tuple(rows)


def burner_finding(
    spec: Spec, rows: tuple[Burner, ...], facts: Facts, summary: str, confidence: Confidence | None = None,
    more: tuple[Fact, ...] = (), first_steps: tuple[Step, ...] = (),
) -> Finding:  # fmt: skip
    v = view(facts)
    share = sum(b.share for b in rows)
    return Finding(
        spec=spec,
        severity=v.severity,
        # where it did not get a whole core, others want the CPU as much as it does
        confidence=min(
            v.confidence if confidence is None else confidence,
            v.confidence if rows[0].share >= HOT else Confidence.LIKELY,
        ),
        subject=rows[0].process.subject,
        summary=summary,
        evidence=(*more, *evidence_of(rows[0], facts, v), *(b.process for b in rows[1:])),
        against=against(v),
        resolution=(*first_steps, *_fix_all(rows, facts)),
        about=about(b.process for b in rows),
        impact=min(1.0, share / v.cpus),
    )


def crowd_finding(
    spec: Spec,
    s: ServiceCpu,
    share: float,
    members: list[ProcessCpu],
    facts: Facts,
    why: str,
    more: tuple[Fact, ...] = (),
) -> Finding:
    v = view(facts)
    kernel = ", most of it inside the kernel" if s.system_share >= KERNEL_PART * s.share else ""
    ends = () if s.kind == "siblings" else tuple(steps.end(s.root_pid, s.root_start_ticks, s.unit, s.root, facts))
    calm = [p for p in members if p.nice < 10][:1]
    return Finding(
        spec, v.severity, v.confidence, s.subject,
        f"{s.processes} processes of {s.subject} use {s.share:.2f} of {v.cpus:g} cores together{kernel}, "
        f"none more than {s.biggest:.2f}{why}",
        evidence=(s, *more, *([v.time] if v.time else []), *v.rates[-1:], *members[:5]),
        against=against(v),
        resolution=(
            Step("see the family of processes", f"ps -o pid,ppid,ni,etimes,time,pcpu,args --ppid {s.root_pid} --sort=-pcpu | head -20"),
            *steps.look_at_log(s.unit, facts),
            *(x for p in calm for x in steps.look_inside(p, facts)),
            *steps.cap(s.unit, facts),
            *ends,
        ),
        about=about(members, s.subject, s.root), impact=min(1.0, share / v.cpus),
    )  # fmt: skip

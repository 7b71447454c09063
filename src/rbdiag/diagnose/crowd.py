"""Rules about many processes: crowds, overlapping jobs, short-lived ones, builds, and where they may run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.burners import KERNEL_PART, about, against, crowd_finding, surge, who
from rbdiag.diagnose.view import HALF, HOT, View, view
from rbdiag.facts import number, percent, span
from rbdiag.facts.cpu import Births, CoreTime, ProcessCpu, ServiceCpu
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.4: a fork storm starts at 100 forks a second; fewer count where they use as much as half a CPU.
_FORKS, _FORKS_SLOW, _ENDED_FAST, _ENDED_SLOW = 100.0, 15.0, 0.25, 0.5

MANY_PROCESSES = Spec(
    code="cpu.many-processes",
    title="many processes of one service fill the CPUs together",
    severity=Severity.WARNING,
    meaning="No single process stands out: many like processes of one service, each using its part, keep the host busy. "
    "More workers than CPUs, jobs that overlap, or more demand than one host can serve.",
    told="The host is over its busy threshold, one service uses at least half of what is used, through three or more "
    "processes of which none uses half.",
    not_to_be_taken_for="one process with many threads (cpu.process-hog); compilers (cpu.finite-work); more requests than "
    "before (cpu.traffic-surge); runs of one job piling up (cpu.job-overlap).",
    resolution=(
        "see the family of processes",
        "fewer workers: about one per CPU for work that computes",
        "restart the service",
    ),
)


def many_processes(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    overlapping = {p.subject for rows in _overlaps(v) for p in rows}
    for s, share in v.crowds:
        members = [p for p, _ in v.processes if p.service == s.subject]
        if s.doing or surge(s.subject, facts) or overlapping & {p.subject for p in members}:
            continue
        if s.system_share < KERNEL_PART * s.share:  # else it is cpu.system-time
            yield crowd_finding(MANY_PROCESSES, s, share, members, facts, "")
    born = v.births
    if born is not None and v.churn >= HOT and _parallel(v) and not v.burners and not _storm(v):
        children = f" ({', '.join(born.children[:3])})" if born.children else ""
        yield Finding(
            MANY_PROCESSES, v.severity, min(v.confidence, Confidence.LIKELY), born.service or born.subject,
            f"processes that {born.subject} starts{children} use {v.churn:.2f} of {v.cpus:g} cores together, none for long",
            evidence=(born, *v.ended[-1:], *v.rates[-1:], *([v.time] if v.time else [])),
            against=against(v),
            resolution=(
                Step("see the family of processes", f"ps -o pid,ppid,ni,etimes,time,pcpu,args --ppid {born.parent_pid} | head -20"),
                *steps.look_at_log(born.unit, facts),
                *steps.cap(born.unit, facts),
                *steps.end(born.parent_pid, born.parent_start_ticks, born.unit, f"the parent, {born.subject}", facts),
            ),
            about=frozenset({born.subject, born.service}), impact=min(1.0, v.churn / v.cpus),
        )  # fmt: skip


def _parallel(v: View) -> bool:
    """Whether the short-lived processes fill the host side by side."""
    return v.side_by_side and v.busy >= v.warning


def _storm(v: View) -> bool:
    """Whether starting and ending processes is itself the load."""
    spent = min((max(e.share, e.reaped) for e in v.ended), default=0.0)
    return (v.forks >= _FORKS and spent >= _ENDED_FAST) or (v.forks >= _FORKS_SLOW and spent >= _ENDED_SLOW)


JOB_OVERLAP = Spec(
    code="cpu.job-overlap",
    title="runs of one job overlap",
    severity=Severity.WARNING,
    meaning="The same command runs several times at once, started at different times: a scheduled job takes longer than "
    "its interval, so runs pile up and slow each other down.",
    told="Three or more busy processes have the same command line and started at least half a minute apart.",
    not_to_be_taken_for="workers of one service (started together by one parent).",
    resolution=("end all but one run", "let the job lock itself: flock -n"),
    explains=("cpu.process-hog", "cpu.runaway-thread", "cpu.system-time", "cpu.many-processes"),
)

_APART = 30.0


def _overlaps(v: View) -> list[list[ProcessCpu]]:
    """Busy processes with the same command line, from different parents or none, each started well after the last."""
    groups: dict[str, list[ProcessCpu]] = {}
    for p, share in v.processes:
        if share >= 0.05 and p.command and p.runtime != "kernel":
            groups.setdefault(p.command, []).append(p)
    found = []
    for rows in groups.values():
        rows.sort(key=lambda p: p.age)
        gaps = [b.age - a.age for a, b in pairwise(rows)]
        if len(rows) >= 3 and min(gaps) >= _APART and len({p.parent for p in rows}) == len(rows):
            found.append(rows)
    return found


def job_overlap(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in _overlaps(v):
        share = sum(p.share for p in rows)
        if share < HALF:
            continue
        oldest = rows[-1]
        yield Finding(
            JOB_OVERLAP, v.severity, min(v.confidence, Confidence.LIKELY), rows[0].subject,
            f"{len(rows)} runs of the same command overlap and use {share:.2f} of {v.cpus:g} cores; the oldest has run for "
            f"{span(oldest.age)}: {oldest.command}",
            evidence=tuple(rows[:5]), against=against(v),
            resolution=(
                *steps.look_inside(oldest, facts),
                *(s for p in rows[:-1] for s in list(steps.end(p.pid, p.start_ticks, "", p.subject, facts))[:1]),
                Step("then let the job lock itself in its crontab or timer: put this before its command", "flock -n /run/lock/JOB.lock"),
            ),
            about=about(rows), impact=min(1.0, share / v.cpus),
        )  # fmt: skip


FORK_STORM = Spec(
    code="cpu.fork-storm",
    title="short-lived processes eat the CPU",
    severity=Severity.WARNING,
    meaning="Processes are started and end so fast that no snapshot shows them; starting and ending them is the load. A "
    "shell loop, a health check, a cron job or a crash loop that starts programs without pause.",
    told="Over 100 forks a second (or fewer that use half a CPU), and CPU time that no living process accounts for. "
    "Looks at the newest pid tell whose children they are. Or one parent that starts its program again and again, so that "
    "its short lives together fill a core.",
    not_to_be_taken_for="a build (its children are compilers); threads, which live in their process.",
    resolution=("find the loop that starts them", "stop its unit, or end the parent"),
    explains=("cpu.system-time", "cpu.process-hog", "cpu.many-processes", "cpu.capacity"),
)


def fork_storm(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if not v.whole_host and not v.births:
        return
    born = v.births
    shares = [max(e.share, e.reaped) for e in v.ended]
    spent, latest = min(shares, default=0.0), (shares or [0.0])[-1]
    storm = _storm(v)
    again = v.churn >= HOT and not _parallel(v)
    if not (storm or again) or (born is not None and born.doing in ("build", "pack")):
        return
    parent = [p for p, _ in v.processes if born is not None and p.pid == born.parent_pid]
    children = f" ({', '.join(born.children[:3])})" if born is not None and born.children else ""
    whose = f"; their parent is {born.subject}" if born is not None else ""
    ends = (
        steps.end(born.parent_pid, born.parent_start_ticks, born.unit, f"the parent, {born.subject}", facts)
        if born
        else ()
    )
    yield Finding(
        FORK_STORM, v.severity, v.confidence if born is not None and storm else min(v.confidence, Confidence.LIKELY),
        born.subject if born is not None else "host",
        f"{number(v.forks)} processes a second are born and die{children}, using {latest:.2f} of {v.cpus:g} cores{whose}",
        evidence=(*([born] if born else []), *v.rates[-1:], *v.ended[-1:], *parent, *([v.time] if v.time else [])),
        against=against(v),
        resolution=(
            Step("see new processes as they start (Ctrl-C ends it)", f"{steps.sudo(facts)}perf trace -e execve --max-events 40"),
            *([Step("see the parent's own history", f"ps -o pid,ppid,user,lstart,args -p {born.parent_pid}")] if born else []),
            *steps.look_at_log(born.unit if born else "", facts),
            *ends,
        ),
        about=about(parent, "host", *([born.subject, born.service] if born else [])),
        impact=min(1.0, (spent + sum(p.share for p in parent)) / v.cpus),
    )  # fmt: skip


SINGLE_CORE_BOUND = Spec(
    code="cpu.single-core-bound",
    title="processes are pinned to CPUs that are full while others idle",
    severity=Severity.WARNING,
    meaning="Several busy processes may run only on some CPUs (affinity), and there are more of them than those CPUs; the "
    "average of the host looks fine.",
    told="Two or more processes that want a core each, an affinity mask smaller than the host and too small for them, a full "
    "CPU, and at least a quarter of the host idle.",
    not_to_be_taken_for="one single-threaded process, which cannot use a second core anyway (cpu.process-hog).",
    resolution=("widen the affinity", "remove CPUAffinity= from the unit"),
)


def single_core_bound(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    rows = v.pinned
    if not rows or v.time is None:
        return
    first = rows[0].process
    root, all_cpus = steps.sudo(facts), f"0-{v.time.cpus - 1}"
    full = [c for c in facts.of(CoreTime) if c.window == v.window and c.busy >= 0.9]
    yield Finding(
        SINGLE_CORE_BOUND, Severity.WARNING, v.confidence, first.service or first.subject,
        f"{len(rows)} busy processes of {first.service} may use only {first.allowed_cpus} of {v.time.cpus} CPUs and wait for "
        f"each other while {percent(v.time.idle)} of the host idles",
        evidence=(*(b.process for b in rows[:4]), *full, v.time),
        resolution=(
            Step("see the masks", " ; ".join(f"taskset -cp {b.process.pid}" for b in rows[:4])),
            *(
                Step(
                    f"let {b.process.subject} use every CPU",
                    steps.guarded(b.process.pid, b.process.start_ticks, f"{root}taskset -acp {all_cpus} {b.process.pid}"),
                    verify=f"taskset -cp {b.process.pid}; {steps.VERIFY}",
                )
                for b in rows[:4]
            ),
            *([Step("see whether the unit pins it", f"systemctl show -p CPUAffinity -p AllowedCPUs {quote(first.unit)}")] if steps.our_unit(first.unit, facts) else []),
        ),
        about=about(b.process for b in rows), impact=min(1.0, sum(b.share for b in rows) / v.cpus),
    )  # fmt: skip


FINITE_WORK = Spec(
    code="cpu.finite-work",
    title="a build, a packer or a backup uses the CPUs",
    severity=Severity.WARNING,
    meaning="The CPUs are busy for a good reason that ends by itself: compilers, linkers, compression, a dump. Busy, not "
    "rogue; worth knowing when the host serves users at the same time.",
    told="The programs that use the CPUs (those that come and go included) are known compilers, linkers or packers.",
    not_to_be_taken_for="a program that hangs under a build tool: it is judged by its own name.",
    resolution=("wait for it, or let it yield: renice -n 19", "schedule it elsewhere or at another time"),
    explains=("cpu.fork-storm", "cpu.system-time", "cpu.capacity"),
)


def finite_work(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    rows = [(s, share) for s, share in v.services if s.doing in ("build", "pack") and not s.low_priority]
    if not rows:  # each lived for less than a window
        seen = [s for s in facts.of(ServiceCpu) if s.doing in ("build", "pack") and not s.low_priority]
        rows = [(s, s.share) for s in sorted(seen, key=lambda s: -s.share)[:1]]
    born = next((b for b in reversed(facts.of(Births)) if b.doing in ("build", "pack")), None)
    if v.building < HALF or not (rows or born):
        return
    full = v.busy >= v.warning
    subject = rows[0][0].subject if rows else (born.service if born else "host")
    members = [p for p, _ in v.processes if any(p.service == s.subject for s, _ in rows)][:4]
    roots = [(s.root_pid, s.root_start_ticks, s.root) for s, _ in rows[:1]] or (
        [(born.parent_pid, born.parent_start_ticks, born.subject)] if born else []
    )
    kind = "a packer or backup" if rows and rows[0][0].doing == "pack" else "a build"
    yield Finding(
        FINITE_WORK, Severity.WARNING if full else Severity.NOTE, min(v.confidence, Confidence.LIKELY), subject,
        f"{kind} ({subject}) uses {v.building:.2f} of {v.cpus:g} cores: busy, not rogue; it ends by itself",
        evidence=(*(s for s, _ in rows[:3]), *([born] if born else []), *v.ended[-1:], *members, *([v.time] if v.time else [])),
        resolution=(
            Step("wait for it: the commands it runs", f"ps -o pid,ni,etimes,pcpu,args --ppid {roots[0][0]} | head"),
            *(
                Step(
                    "let everything else go first (its children inherit it)",
                    steps.guarded(pid, start, f"{steps.sudo(facts)}renice -n 19 -p {pid} $(pgrep -P {pid})"),
                    verify=f"ps -o pid,ni,args --ppid {pid} | head",
                )
                for pid, start, _ in roots
                if pid > 2
            ),
        ),
        about=about(members, "host", *(s.subject for s, _ in rows), *([born.subject] if born else [])),
        impact=min(1.0, v.building / v.cpus),
    )  # fmt: skip


BACKGROUND_BATCH = Spec(
    code="cpu.background-batch",
    title="low-priority work uses idle CPUs",
    severity=Severity.NOTE,
    meaning="Work of nice 10 and up (or SCHED_BATCH, SCHED_IDLE) takes the CPU time that nobody else wants. It yields to "
    "everything else at once: nothing to do.",
    told="The busy processes are all of low priority.",
    not_to_be_taken_for="a hog of normal priority (cpu.process-hog).",
    resolution=("nothing; it yields by itself",),
)


def background_batch(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    rows = [p for p, share in v.processes if p.low_priority and share >= 0.1 and p.runtime != "kernel"]
    share = sum(p.share for p in rows)
    if share < HALF:
        return
    yield Finding(
        BACKGROUND_BATCH, Severity.NOTE, v.confidence, rows[0].service or rows[0].subject,
        f"low-priority work ({who(rows[0])}, nice {rows[0].nice}) uses {share:.2f} of {v.cpus:g} cores and yields to everything else",
        evidence=(*rows[:3], *([v.time] if v.time else [])), about=about(rows), impact=min(1.0, share / v.cpus),
    )  # fmt: skip


RULES = (many_processes, job_overlap, fork_storm, single_core_bound, finite_work, background_batch)

"""Who uses the CPUs: rules about processes, their services, and the demand of all together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.view import HALF, Burner, View, view
from rbdiag.facts import percent, span
from rbdiag.facts.cpu import (
    CoreTime,
    HotFunction,
    ProcessCpu,
    Profile,
    RequestRate,
    ServiceCpu,
)
from rbdiag.facts.host import Pressure
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# Code of the server itself: thread names of collectors, as the runtimes set them (cut at 15 characters).
_COLLECTORS = ("GC Thread", "G1 ", "G1-", "ZGC", "Shenandoah", "ParGC", "Gang worker", "Concurrent Mark", "CMS ", ".NET Server GC",
               ".NET BGC", "VM Thread", "XWorker", "ZWorker", "ZDriver")  # fmt: skip
_COLLECTING = 0.5
# Traffic counts as a surge from this many times the rate before; below some rate the ratio of small counts means nothing.
_SURGE, _SURGE_FROM = 3.0, 10.0
# Most of its own time in the kernel; half would call every busy server with network traffic a kernel problem.
_KERNEL_PART = 0.55
_HOST_SYSTEM = 0.30
# Catalogue A.4: a fork storm starts at 100 forks a second; fewer count where they use as much as half a CPU.
_FORKS, _FORKS_SLOW, _ENDED_FAST, _ENDED_SLOW = 100.0, 15.0, 0.25, 0.5
_SWITCHES = 50_000
_FUNCTIONS_SHOWN = 3


def _evidence(burner: Burner, facts: Facts, v: View) -> tuple[Fact, ...]:
    """The process as last seen, its hottest threads, and where a profile found it."""
    threads = v.threads(burner.process)
    functions = [f for f in facts.of(HotFunction) if f.subject == burner.process.subject][:_FUNCTIONS_SHOWN]
    profile = [p for p in facts.of(Profile) if p.subject == burner.process.subject]
    return (burner.process, *threads[:8], *profile, *functions)


def _against(v: View) -> tuple[Fact, ...]:
    """What makes a busy process look harmless: nobody waits for a CPU."""
    cpu = v.pressure("cpu")
    return (cpu,) if isinstance(cpu, Pressure) and cpu.some < 0.05 else ()


def _about(processes: Iterable[ProcessCpu], *more: str) -> frozenset[str]:
    return frozenset({s for p in processes for s in (p.subject, p.service, p.root, p.unit) if s} | set(more))


def _who(p: ProcessCpu) -> str:
    """A process the way the first line should name it: with the service behind it."""
    return p.subject if p.service in (p.subject, "") else f"{p.subject} of {p.service}"


def _cores(share: float) -> str:
    return f"{share:.2f} cores" if not 0.995 <= share < 1.005 else "one whole core"


def _fix(burner: Burner, facts: Facts) -> tuple[Step, ...]:
    p = burner.process
    return (
        *steps.look_inside(p, facts),
        *steps.look_at_log(p.unit),
        *steps.make_it_yield(p, facts),
        *steps.end(p.pid, p.start_ticks, p.unit, p.subject, facts),
    )


def _kind(b: Burner, v: View) -> str:
    """Which rule a hot process belongs to: exactly one, the most telling first."""
    p = b.process
    if p.doing in ("build", "pack"):
        return "finite"
    if _surge(p.service, v.facts) is not None:
        return "surge"
    if p.doing == "database":
        return "database"
    if _collecting(p, v) >= _COLLECTING:
        return "gc"
    if p.system_share >= _KERNEL_PART * p.share:
        return "system"
    if p.threads > 1 and b.thread is not None and b.spins and _stands_out(b, v) and not _event_loop(b):
        return "thread"
    return "hog"


def _event_loop(b: Burner) -> bool:
    """Node runs all JavaScript in its main thread: that thread being hot is the process being hot."""
    return b.process.runtime == "node" and b.thread is not None and b.thread.tid == b.process.pid


def _stands_out(b: Burner, v: View) -> bool:
    """Whether the hottest thread is alone in being hot: it uses nine tenths of what the process uses."""
    return b.thread is not None and b.thread.share >= 0.85 * sum(t.share for t in v.threads(b.process))


def _collecting(p: ProcessCpu, v: View) -> float:
    """The part of a process's CPU that its garbage collector's threads use."""
    threads = v.threads(p)
    whole = sum(t.share for t in threads)
    return sum(t.share for t in threads if t.name.startswith(_COLLECTORS)) / whole if whole else 0.0


def _surge(service: str, facts: Facts) -> RequestRate | None:
    rate = facts.first(RequestRate, service)
    return rate if rate is not None and rate.now >= max(_SURGE_FROM, _SURGE * rate.before) else None


def _of_kind(facts: Facts, kind: str) -> Iterator[tuple[Burner, ...]]:
    """The burners of this kind, those of one service together, the greediest service first."""
    v = view(facts)
    groups: dict[str, list[Burner]] = {}
    for b in v.burners:
        if _kind(b, v) == kind:
            groups.setdefault(b.process.service, []).append(b)
    for rows in sorted(groups.values(), key=lambda rows: -sum(b.share for b in rows)):
        yield tuple(rows)


def _burner_finding(
    spec: Spec, rows: tuple[Burner, ...], facts: Facts, summary: str, confidence: Confidence | None = None,
    more: tuple[Fact, ...] = (), first_steps: tuple[Step, ...] = (),
) -> Finding:  # fmt: skip
    v = view(facts)
    share = sum(b.share for b in rows)
    return Finding(
        spec=spec,
        severity=v.severity,
        confidence=v.confidence if confidence is None else min(confidence, v.confidence),
        subject=rows[0].process.subject,
        summary=summary,
        evidence=(*more, *_evidence(rows[0], facts, v), *(b.process for b in rows[1:])),
        against=_against(v),
        resolution=(*first_steps, *_fix(rows[0], facts)),
        about=_about(b.process for b in rows),
        impact=min(1.0, share / v.cpus),
    )


PROCESS_HOG = Spec(
    code="cpu.process-hog",
    title="one process burns CPU in its own code",
    severity=Severity.WARNING,
    meaning="A process has kept a CPU (or more) full for the whole observation, mostly in user mode: a loop that does "
    "not end, a request or data set that costs far more than planned, or work nobody asked for.",
    told="The process's CPU clock over two windows (3.5 s together): at least 80 % of one core in each, or running and "
    "waiting to run all the time where others compete. A process of many threads counts from half of all usable CPUs.",
    not_to_be_taken_for="a burst that ends within the observation; nice 10 and up (cpu.background-batch); a compiler or "
    "packer (cpu.finite-work); time spent in the kernel (cpu.system-time); one thread of many (cpu.runaway-thread).",
    resolution=(
        "see where in its code it is: py-spy for Python, perf for the rest, jcmd for Java",
        "let it yield: renice, or a CPU quota on its unit",
        "restart its unit, or end the process; by force last",
    ),
)


def process_hog(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in _of_kind(facts, "hog"):
        p = rows[0].process
        threads = [t for t in v.threads(p) if t.share >= 0.05]
        many = f" in {len(threads)} threads" if len(threads) > 1 else ""
        others = f" (and {len(rows) - 1} more of the same service)" if len(rows) > 1 else ""
        yield _burner_finding(
            PROCESS_HOG, rows, facts,
            f"{_who(p)} burns {_cores(p.share)} of {v.cpus:g} in its own code{many}{others}, for at least {span(v.seconds)}",
        )  # fmt: skip


RUNAWAY_THREAD = Spec(
    code="cpu.runaway-thread",
    title="one thread of a multi-threaded process spins",
    severity=Severity.WARNING,
    meaning="One thread keeps a core full while the other threads of its process rest: an endless loop or a stuck "
    "task in that thread. The name of the thread usually says which part of the program it is.",
    told="The CPU time of each thread: one uses at least 80 % of a core (or runs and waits to run all the time) and "
    "nearly all that the process uses.",
    not_to_be_taken_for="work shared by many threads (cpu.process-hog); the collector's threads (cpu.gc-thrash); the one "
    "event loop of Node.js (cpu.process-hog).",
    resolution=("take the stack of that thread", "restart the unit, or end the process"),
)


def runaway_thread(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in _of_kind(facts, "thread"):
        p, thread = rows[0].process, rows[0].thread
        assert thread is not None  # that is how this kind is told
        nid = f", nid=0x{thread.tid:x} in a Java thread dump" if p.runtime == "java" else ""
        yield _burner_finding(
            RUNAWAY_THREAD, rows, facts,
            f"thread {thread.name} (tid {thread.tid}{nid}) of {_who(p)} spins: {_cores(thread.share)} of {v.cpus:g}, "
            f"alone among {p.threads} threads, for at least {span(v.seconds)}",
        )  # fmt: skip


SYSTEM_TIME = Spec(
    code="cpu.system-time",
    title="CPU time goes to the kernel",
    severity=Severity.WARNING,
    meaning="Most of the CPU time is spent inside the kernel on behalf of a process: very many small system calls, "
    "polling, page faults, context switches between processes that hand work to and fro, or a kernel thread itself.",
    told="The process's system time is over half of its CPU time while it fills a core; or system time is over 30 % of "
    "all CPUs and more than user time.",
    not_to_be_taken_for="interrupts (cpu.softirq); reclaim and swap (cpu.swap-thrash); starting processes (cpu.fork-storm).",
    resolution=("count its system calls for some seconds: strace -c, perf trace -s", "restart it, or end it"),
)


def system_time(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    rates = v.rates[-1:] if v.rates and min(r.context_switches for r in v.rates) >= _SWITCHES else ()
    covered = False
    for rows in _of_kind(facts, "system"):
        covered = True
        p = rows[0].process
        count = Step(
            "count its system calls for five seconds (slows it down meanwhile)",
            f"{steps.sudo(facts)}timeout 5 strace -f -c -p {p.pid}",
            "disruptive",
        )
        yield _burner_finding(
            SYSTEM_TIME, rows, facts,
            f"{_who(p)} keeps {_cores(p.share)} of {v.cpus:g} busy, {percent(p.system_share / p.share)} of it inside the "
            f"kernel, for at least {span(v.seconds)}",
            more=rates, first_steps=(count,),
        )  # fmt: skip
    kernel = [b for b in v.hot if b.process.runtime == "kernel" and not b.process.name.startswith(("kswapd", "ksoftirqd"))]
    for b in kernel:
        covered = True
        yield Finding(
            SYSTEM_TIME, v.severity, min(v.confidence, Confidence.LIKELY), b.process.subject,
            f"kernel thread {b.process.subject} keeps {_cores(b.process.share)} of {v.cpus:g} busy",
            evidence=(b.process, *rates), resolution=tuple(steps.look_inside(b.process, facts)),
            about=frozenset({b.process.subject, "host"}), impact=b.share / v.cpus,
        )  # fmt: skip
    system, user = v.held(lambda t: t.system), v.held(lambda t: t.user + t.nice)
    if covered or v.time is None or system < _HOST_SYSTEM or v.time.system <= v.time.user + v.time.nice or system <= user:
        return
    top = [p for p, share in v.processes if p.system_share >= _KERNEL_PART * p.share and share >= 0.1][:3]
    who = f", most by {_who(top[0])}" if top else ""
    yield Finding(
        SYSTEM_TIME, v.severity, min(v.confidence, Confidence.LIKELY), top[0].subject if top else "host",
        f"{percent(v.time.system)} of all CPU time is spent inside the kernel, {percent(v.time.user)} in programs{who}",
        evidence=(v.time, *rates, *top),
        resolution=(
            Step("see which kernel functions take it", f"{steps.sudo(facts)}perf top -g"),
            *(s for p in top[:1] for s in steps.make_it_yield(p, facts)),
        ),
        about=_about(top, "host"), impact=min(1.0, system),
    )  # fmt: skip


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
    resolution=("see the family of processes", "fewer workers: about one per CPU for work that computes", "restart the service"),
)


def many_processes(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    overlapping = {p.subject for rows in _overlaps(v) for p in rows}
    for s, share in v.crowds:
        members = [p for p, _ in v.processes if p.service == s.subject]
        if s.doing or _surge(s.subject, facts) or overlapping & {p.subject for p in members}:
            continue
        yield _crowd(MANY_PROCESSES, s, share, members, facts, "")


def _crowd(
    spec: Spec, s: ServiceCpu, share: float, members: list[ProcessCpu], facts: Facts, why: str, more: tuple[Fact, ...] = ()
) -> Finding:
    v = view(facts)
    kernel = ", most of it inside the kernel" if s.system_share >= _KERNEL_PART * s.share else ""
    ends = () if s.kind == "siblings" else tuple(steps.end(s.root_pid, s.root_start_ticks, s.unit, s.root, facts))
    calm = [p for p in members if p.nice < 10][:1]
    return Finding(
        spec, v.severity, v.confidence, s.subject,
        f"{s.processes} processes of {s.subject} use {s.share:.2f} of {v.cpus:g} cores together{kernel}, "
        f"none more than {s.biggest:.2f}{why}",
        evidence=(s, *more, *([v.time] if v.time else []), *v.rates[-1:], *members[:5]),
        against=_against(v),
        resolution=(
            Step("see the family of processes", f"ps -o pid,ppid,ni,etimes,time,pcpu,args --ppid {s.root_pid} --sort=-pcpu | head -20"),
            *steps.look_at_log(s.unit),
            *(x for p in calm for x in steps.look_inside(p, facts)),
            *([steps.cap(s.unit, facts)] if s.unit else []),
            *ends,
        ),
        about=_about(members, s.subject, s.root), impact=min(1.0, share / v.cpus),
    )  # fmt: skip


JOB_OVERLAP = Spec(
    code="cpu.job-overlap",
    title="runs of one job overlap",
    severity=Severity.WARNING,
    meaning="The same command runs several times at once, started at different times: a scheduled job takes longer than "
    "its interval, so runs pile up and slow each other down.",
    told="Three or more busy processes have the same command line and started at least half a minute apart.",
    not_to_be_taken_for="workers of one service (started together by one parent).",
    resolution=("end all but one run", "let the job lock itself: flock -n"),
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
        gaps = [b.age - a.age for a, b in zip(rows, rows[1:], strict=False)]
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
            evidence=tuple(rows[:5]), against=_against(v),
            resolution=(
                *steps.look_inside(oldest, facts),
                *(s for p in rows[:-1] for s in list(steps.end(p.pid, p.start_ticks, "", p.subject, facts))[:1]),
                Step("then let the job lock itself in its crontab or timer: put this before its command", "flock -n /run/lock/JOB.lock"),
            ),
            about=_about(rows), impact=min(1.0, share / v.cpus),
        )  # fmt: skip


DB_QUERY = Spec(
    code="cpu.db-query",
    title="the database server burns CPU",
    severity=Severity.WARNING,
    meaning="The database server is the busy process: statements that read far more rows than they return, or far more "
    "statements than usual.",
    told="A database server (MariaDB, MySQL, PostgreSQL, Redis, MongoDB, …) keeps a core or more full throughout.",
    not_to_be_taken_for="recovery or purge after a start (young process, no client statements).",
    resolution=("list the running statements, the longest first", "end the worst statement; give it an index"),
)


def db_query(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in _of_kind(facts, "database"):
        p = rows[0].process
        yield _burner_finding(
            DB_QUERY, rows, facts,
            f"database server {_who(p)} burns {_cores(p.share)} of {v.cpus:g}: look at its running statements",
            Confidence.LIKELY, first_steps=_statements(p.name),
        )  # fmt: skip
    for s, share in v.crowds:
        if s.doing == "database":
            members = [p for p, _ in v.processes if p.service == s.subject]
            yield _crowd(DB_QUERY, s, share, members, facts, ": look at its running statements")


def _statements(name: str) -> tuple[Step, ...]:
    text = "list the running statements, the longest first"
    match name:
        case "mariadbd" | "mysqld":
            client = "mariadb" if name == "mariadbd" else "mysql"
            sql = (
                "SELECT id, user, host, db, time, state, LEFT(info, 120) AS statement FROM information_schema.processlist "
                "WHERE command NOT IN ('Sleep', 'Daemon') AND id <> CONNECTION_ID() ORDER BY time DESC LIMIT 20"
            )
            return (
                Step(text, f'{client} -e "{sql}"'),
                Step("end one statement by its id (its connection stays)", f'{client} -e "KILL QUERY ID"', "disruptive"),
            )
        case "postgres" | "postmaster":
            sql = (
                "SELECT pid, usename, datname, now() - query_start AS runs_for, wait_event_type, left(query, 120) "
                "FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() ORDER BY query_start LIMIT 20"
            )
            return (Step(text, f'sudo -u postgres psql -c "{sql}"'),)
        case "redis-server" | "valkey-server":
            return (Step("list the slowest recent commands", f"{name.partition('-')[0]}-cli SLOWLOG GET 10"),)
        case "mongod":
            return (Step(text, "mongosh --quiet --eval 'db.currentOp({active: true, secs_running: {$gte: 1}})'"),)
        case _:
            return ()


TRAFFIC_SURGE = Spec(
    code="cpu.traffic-surge",
    title="far more requests than before",
    severity=Severity.WARNING,
    meaning="The service is busy because it is asked more: the request rate has gone up several times, not the cost of "
    "one request. A campaign, a crawler, a retrying client or an attack.",
    told="The access log that the busy service has open shows at least three times the rate of the minutes before.",
    not_to_be_taken_for="the same rate with dearer requests (cpu.process-hog, change.bad-deploy).",
    resolution=("see who asks", "limit the rate at the proxy, block an abuser", "add workers or hosts where demand is real"),
)


def traffic_surge(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for s, share in v.services:
        rate = _surge(s.subject, facts)
        members = [p for p, _ in v.processes if p.service == s.subject]
        if rate is None or (share < HALF and not any(b.process.service == s.subject for b in v.burners)):
            continue
        times = f"{rate.now / rate.before:.0f} times" if rate.before else "many times"
        one = f"; {percent(rate.top_client_part)} come from {rate.top_client}" if rate.top_client_part >= HALF else ""
        yield Finding(
            TRAFFIC_SURGE, v.severity, min(v.confidence, Confidence.LIKELY), s.subject,
            f"{s.subject} gets {times} the requests of before ({rate.now:.0f}/s, was {rate.before:.0f}/s) and uses "
            f"{share:.2f} of {v.cpus:g} cores{one}",
            evidence=(rate, s, *members[:3]), against=_against(v),
            resolution=(
                Step("see who asks most", f"tail -n 20000 {quote(rate.log)} | cut -d' ' -f1 | sort | uniq -c | sort -rn | head"),
                Step("see what they ask for", f"tail -n 20000 {quote(rate.log)} | cut -d'\"' -f2 | sort | uniq -c | sort -rn | head"),
                Step("limit the rate at the proxy in front, or block the client if it is an abuser", risk="disruptive"),
                Step("if the demand is real: more workers where CPUs are idle, else more hosts", risk="disruptive"),
            ),
            about=_about(members, s.subject), impact=min(1.0, share / v.cpus),
        )  # fmt: skip


GC_THRASH = Spec(
    code="cpu.gc-thrash",
    title="garbage collection eats the CPU",
    severity=Severity.WARNING,
    meaning="The runtime spends its CPU on collecting garbage: the heap is nearly full of live data, so every collection "
    "frees little and the next one follows at once. A leak, or a heap too small.",
    told="Threads named as the collector's (JVM: GC Thread, G1 …, VM Thread; .NET: Server GC, BGC) use at least half of "
    "the CPU of a process that keeps a core full.",
    not_to_be_taken_for="application threads that allocate much but still get work done.",
    resolution=("look at heap use and collections", "give it more heap if the host has memory, find the leak", "restart it"),
)


def gc_thrash(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in _of_kind(facts, "gc"):
        p = rows[0].process
        part = percent(_collecting(p, v))
        look: tuple[Step, ...] = ()
        if p.runtime == "java":
            root = steps.sudo(facts)
            user = f"sudo -u {p.user} " if p.user and (root or p.user != "root") else ""
            look = (
                Step("see heap use", f"{user}jcmd {p.pid} GC.heap_info"),
                Step("see what fills it (stops the process for a moment)", f"{user}jcmd {p.pid} GC.class_histogram | head -25", "disruptive"),
            )
        yield _burner_finding(
            GC_THRASH, rows, facts,
            f"{_who(p)} burns {_cores(p.share)} of {v.cpus:g}, {part} of it in garbage collection: its heap is too small or leaks",
            Confidence.LIKELY, first_steps=look,
        )  # fmt: skip


FORK_STORM = Spec(
    code="cpu.fork-storm",
    title="short-lived processes eat the CPU",
    severity=Severity.WARNING,
    meaning="Processes are started and end so fast that no snapshot shows them; starting and ending them is the load. A "
    "shell loop, a health check, a cron job or a crash loop that starts programs without pause.",
    told="Over 100 forks a second (or fewer that use half a CPU), and CPU time that no living process accounts for. "
    "Looks at the newest pid tell whose children they are.",
    not_to_be_taken_for="a build (its children are compilers); threads, which live in their process.",
    resolution=("find the loop that starts them", "stop its unit, or end the parent"),
    explains=("cpu.system-time", "cpu.process-hog", "cpu.many-processes", "cpu.capacity"),
)


def fork_storm(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if not v.whole_host and not v.births:
        return
    born = v.births
    spent = min((max(e.share, e.reaped) for e in v.ended), default=0.0)
    fast = v.forks >= _FORKS and spent >= _ENDED_FAST
    slow = v.forks >= _FORKS_SLOW and spent >= _ENDED_SLOW
    if not (fast or slow) or (born is not None and born.doing in ("build", "pack")):
        return
    parent = [p for p, _ in v.processes if born is not None and p.pid == born.parent_pid]
    children = f" ({', '.join(born.children[:3])})" if born is not None and born.children else ""
    who = f"; their parent is {born.subject}" if born is not None else ""
    ends = steps.end(born.parent_pid, born.parent_start_ticks, born.unit, f"the parent, {born.subject}", facts) if born else ()
    yield Finding(
        FORK_STORM, v.severity, v.confidence if born is not None else min(v.confidence, Confidence.LIKELY),
        born.subject if born is not None else "host",
        f"{v.forks:.0f} processes a second are born and die{children}, using {spent:.2f} of {v.cpus:g} cores{who}",
        evidence=(*([born] if born else []), *v.rates[-1:], *v.ended[-1:], *parent, *([v.time] if v.time else [])),
        against=_against(v),
        resolution=(
            Step("see new processes as they start (Ctrl-C ends it)", f"{steps.sudo(facts)}perf trace -e execve --max-events 40"),
            *([Step("see the parent's own history", f"ps -o pid,ppid,user,lstart,args -p {born.parent_pid}")] if born else []),
            *steps.look_at_log(born.unit if born else ""),
            *ends,
        ),
        about=_about(parent, "host", *([born.subject, born.service] if born else [])),
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
            *([Step("see whether the unit pins it", f"systemctl show -p CPUAffinity -p AllowedCPUs {first.unit}")] if first.unit else []),
        ),
        about=_about(b.process for b in rows), impact=min(1.0, sum(b.share for b in rows) / v.cpus),
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
    born = v.births if v.births is not None and v.births.doing in ("build", "pack") else None
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
        about=_about(members, "host", *(s.subject for s, _ in rows), *([born.subject] if born else [])),
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
        f"low-priority work ({_who(rows[0])}, nice {rows[0].nice}) uses {share:.2f} of {v.cpus:g} cores and yields to everything else",
        evidence=(*rows[:3], *([v.time] if v.time else [])), about=_about(rows), impact=min(1.0, share / v.cpus),
    )  # fmt: skip


CAPACITY = Spec(
    code="cpu.capacity",
    title="demand from many services exceeds the CPUs",
    severity=Severity.WARNING,
    meaning="The CPUs are full, tasks wait for them, and no single process or service is to blame: the host has more to do "
    "than it can.",
    told="The host is over its busy threshold in every window, tasks wait for a CPU, and the busiest service uses less than "
    "half of what is used.",
    not_to_be_taken_for="one hog among others; a spike shorter than the observation.",
    resolution=("move or stop the least important service", "more CPUs, or another host"),
)


def capacity(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if v.time is None or v.busy < v.warning or not v.queued or not v.whole_host:
        return
    used = v.busy * v.cpus
    burning = sum(b.share for b in v.burners)
    low = sum(s.share for s, _ in v.services if s.low_priority)
    if v.crowds or v.pinned or burning >= HALF * used or v.building >= HALF * used or low >= HALF * used:
        return
    if v.ended_share >= HALF * used:
        return  # short-lived processes: another rule's, with or without their parent
    rows = [s for s, _ in v.services if s.kind != "kernel"][:3]
    names = ", ".join(f"{s.subject} {s.share:.2f}" for s in rows)
    yield Finding(
        CAPACITY, v.severity, min(v.confidence, Confidence.LIKELY), "host",
        f"the CPUs are {percent(v.time.busy)} busy and tasks wait, but no single service is to blame; the busiest: {names}",
        evidence=(v.time, *([p] if (p := v.pressure("cpu")) else []), *rows),
        resolution=(
            Step("see the services by CPU", "systemd-cgtop -c -n 2 --batch | head -20"),
            *(s for row in rows[:1] if row.unit for s in [steps.cap(row.unit, facts)]),
            Step("if every one of them is wanted: more CPUs, or move one to another host", risk="disruptive"),
        ),
        about=frozenset({"host"}), impact=v.busy,
    )  # fmt: skip


UNSEEN_LOAD = Spec(
    code="cpu.unseen-load",
    title="the CPUs are busy with processes that cannot be seen from here",
    severity=Severity.WARNING,
    meaning="The machine's CPUs are busy, but not with what is visible: we run inside a container, or other users' processes "
    "are hidden.",
    told="The host's own counters against the sum of all visible processes, where kernel threads do not show.",
    not_to_be_taken_for="processes that came and went (cpu.fork-storm), which only a full view can tell.",
    resolution=("run rbdiag on the host itself, or as root",),
)


def unseen_load(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if v.time is None or v.whole_host or not v.ended or v.held(lambda t: t.busy) < v.warning:
        return
    unseen = min(e.unseen for e in v.ended)
    if unseen < HALF * v.held(lambda t: t.busy) * v.time.cpus:
        return
    yield Finding(
        UNSEEN_LOAD, Severity.WARNING, min(v.confidence, Confidence.LIKELY), "host",
        f"{unseen:.2f} of the {v.time.cpus} CPUs' cores are used by processes that cannot be seen from here",
        evidence=(v.ended[-1], v.time),
        resolution=(Step("run it on the host itself, or as root", "sudo rbdiag cpu"),),
        about=frozenset({"host"}), impact=min(1.0, unseen / v.time.cpus),
    )  # fmt: skip


RULES = (
    process_hog, runaway_thread, system_time, many_processes, job_overlap, db_query, traffic_surge, gc_thrash, fork_storm,
    single_core_bound, finite_work, background_batch, capacity, unseen_load,
)  # fmt: skip

"""Rules about one busy process: what it does with the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.burners import KERNEL_PART, about, burner_finding, cores, crowd_finding, of_kind, who
from rbdiag.diagnose.view import view
from rbdiag.facts import percent, span
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Catalogue A.4: system time over 30 % of all CPUs. Half of that is enough where work is handed to and fro without end:
# 20,000 context switches a second on every CPU (a busy database server makes some 3,000) and twice the user time.
_HOST_SYSTEM, _SWITCHING_SYSTEM = 0.30, 0.15
_SWITCHES = 20_000

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
    for rows in of_kind(facts, "hog"):
        p = rows[0].process
        threads = [t for t in v.threads(p) if t.share >= 0.05]
        many = f" in {len(threads)} threads" if len(threads) > 1 else ""
        others = f" (and {len(rows) - 1} more of the same service)" if len(rows) > 1 else ""
        yield burner_finding(
            PROCESS_HOG, rows, facts,
            f"{who(p)} burns {cores(p.share)} of {v.cpus:g} in its own code{many}{others}, for at least {span(v.seconds)}",
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
    for rows in of_kind(facts, "thread"):
        p, thread = rows[0].process, rows[0].thread
        assert thread is not None  # that is how this kind is told
        nid = f", nid=0x{thread.tid:x} in a Java thread dump" if p.runtime == "java" else ""
        yield burner_finding(
            RUNAWAY_THREAD, rows, facts,
            f"thread {thread.name} (tid {thread.tid}{nid}) of {who(p)} spins: {cores(thread.share)} of {v.cpus:g}, "
            f"alone among {p.threads} threads, for at least {span(v.seconds)}",
        )  # fmt: skip


SYSTEM_TIME = Spec(
    code="cpu.system-time",
    title="CPU time goes to the kernel",
    severity=Severity.WARNING,
    meaning="Most of the CPU time is spent inside the kernel on behalf of a process: very many small system calls, "
    "polling, page faults, context switches between processes that hand work to and fro, or a kernel thread itself.",
    told="The process's system time is over half of its CPU time while it fills a core; or system time is over 30 % of "
    "all CPUs (15 % with twenty thousand context switches a second on each) and more than user time. A note only, while "
    "the host as a whole is not busy.",
    not_to_be_taken_for="interrupts (cpu.softirq); reclaim and swap (cpu.swap-thrash); starting processes (cpu.fork-storm).",
    resolution=("count its system calls for some seconds: strace -c, perf trace -s", "restart it, or end it"),
    explains=("cpu.capacity",),
)


def system_time(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    switching = min((r.context_switches for r in v.rates), default=0) >= _SWITCHES * v.cpus
    rates = v.rates[-1:] if switching else ()
    covered = False
    for rows in of_kind(facts, "system"):
        covered = True
        p = rows[0].process
        count = Step(
            "count its system calls for five seconds (slows it down meanwhile)",
            f"{steps.sudo(facts)}timeout 5 strace -f -c -p {p.pid}",
            "disruptive",
        )
        yield burner_finding(
            SYSTEM_TIME, rows, facts,
            f"{who(p)} keeps {cores(p.share)} of {v.cpus:g} busy, {percent(p.system_share / p.share)} of it inside the "
            f"kernel, for at least {span(v.seconds)}",
            more=rates, first_steps=(count,),
        )  # fmt: skip
    for s, share in v.crowds:
        if s.system_share >= KERNEL_PART * s.share and not s.doing:
            covered = True
            members = [p for p, _ in v.processes if p.service == s.subject]
            yield crowd_finding(SYSTEM_TIME, s, share, members, facts, "", rates)
    kernel = [
        b for b in v.hot if b.process.runtime == "kernel" and not b.process.name.startswith(("kswapd", "ksoftirqd"))
    ]
    for b in kernel:
        covered = True
        yield Finding(
            SYSTEM_TIME, v.severity, min(v.confidence, Confidence.LIKELY), b.process.subject,
            f"kernel thread {b.process.subject} keeps {cores(b.process.share)} of {v.cpus:g} busy",
            evidence=(b.process, *rates), resolution=tuple(steps.look_inside(b.process, facts)),
            about=frozenset({b.process.subject, "host"}), impact=b.share / v.cpus,
        )  # fmt: skip
    system, user = v.held(lambda t: t.system), v.held(lambda t: t.user + t.nice)
    if covered or v.time is None or v.time.system <= v.time.user + v.time.nice or system <= user:
        return
    switching = switching and system >= max(_SWITCHING_SYSTEM, 2 * user)
    if not switching and system < _HOST_SYSTEM:
        return
    top = [p for p, share in v.processes if p.system_share >= KERNEL_PART * p.share and share >= 0.1][:3]
    culprit = f", most by {who(top[0])}" if top else ""
    often = f", at {v.rates[-1].context_switches:,.0f} context switches a second" if switching else ""
    yield Finding(
        SYSTEM_TIME, v.severity if switching or v.busy >= v.warning else Severity.NOTE, min(v.confidence, Confidence.LIKELY), top[0].subject if top else "host",
        f"{percent(v.time.system)} of all CPU time is spent inside the kernel, {percent(v.time.user)} in programs{often}{culprit}",
        evidence=(v.time, *rates, *top),
        resolution=(
            Step("see which kernel functions take it", f"{steps.sudo(facts)}perf top -g"),
            *(s for p in top[:1] for s in steps.make_it_yield(p, facts)),
        ),
        about=about(top, "host"), impact=min(1.0, system),
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
    for rows in of_kind(facts, "database"):
        p = rows[0].process
        yield burner_finding(
            DB_QUERY, rows, facts,
            f"database server {who(p)} burns {cores(p.share)} of {v.cpus:g}: look at its running statements",
            Confidence.LIKELY, first_steps=_statements(p.name),
        )  # fmt: skip
    for s, share in v.crowds:
        if s.doing == "database":
            members = [p for p, _ in v.processes if p.service == s.subject]
            yield crowd_finding(DB_QUERY, s, share, members, facts, ": look at its running statements")


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
                Step(
                    "end one statement by its id (its connection stays)", f'{client} -e "KILL QUERY ID"', "disruptive"
                ),
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


GC_THRASH = Spec(
    code="cpu.gc-thrash",
    title="garbage collection eats the CPU",
    severity=Severity.WARNING,
    meaning="The runtime spends its CPU on collecting garbage: the heap is nearly full of live data, so every collection "
    "frees little and the next one follows at once. A leak, or a heap too small.",
    told="Threads named as the collector's (JVM: GC Thread, G1 …, VM Thread; .NET: Server GC, BGC) use at least half of "
    "the CPU of a process that keeps a core full.",
    not_to_be_taken_for="application threads that allocate much but still get work done.",
    resolution=(
        "look at heap use and collections",
        "give it more heap if the host has memory, find the leak",
        "restart it",
    ),
)


def gc_thrash(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for rows in of_kind(facts, "gc"):
        p = rows[0].process
        part = percent(v.collecting(p))
        look: tuple[Step, ...] = ()
        if p.runtime == "java":
            root = steps.sudo(facts)
            user = f"sudo -u {quote(p.user)} " if p.user and (root or p.user != "root") else ""
            look = (
                Step("see heap use", f"{user}jcmd {p.pid} GC.heap_info"),
                Step(
                    "see what fills it (stops the process for a moment)",
                    f"{user}jcmd {p.pid} GC.class_histogram | head -25",
                    "disruptive",
                ),
            )
        yield burner_finding(
            GC_THRASH, rows, facts,
            f"{who(p)} burns {cores(p.share)} of {v.cpus:g}, {part} of it in garbage collection: its heap is too small or leaks",
            Confidence.LIKELY, first_steps=look,
        )  # fmt: skip


RULES = (process_hog, runaway_thread, system_time, db_query, gc_thrash)

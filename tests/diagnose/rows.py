"""One row a small broken world (or a healthy one that looks suspicious), and the one thing to be said about it."""

from __future__ import annotations

from rbdiag.model import Facts
from tests.diagnose import (
    rows_change,
    rows_db,
    rows_inside,
    rows_log,
    rows_login,
    rows_logs,
    rows_net,
    rows_oom,
    rows_space,
)
from tests.diagnose import world as w
from tests.diagnose.row import Row


def hog(share: float = 1.0, **changes: object) -> list:  # type: ignore[type-arg]
    return w.alone("burn", 900, share, **changes)  # type: ignore[arg-type]


def threaded(shares: list[tuple[str, float]], idle: int = 0, tid_base: int = 901, **changes: object) -> list:  # type: ignore[type-arg]
    """A process of many threads, the same in both windows."""
    facts = []
    for window in w.BOTH:
        p = w.process("server", 900, sum(s for _, s in shares), window, threads=len(shares) + idle, **changes)
        facts += [p, w.service(p)]
        facts += [w.thread(p, tid_base + i, name, share) for i, (name, share) in enumerate(shares)]
    return facts


def workers(count: int, each: float, **changes: object) -> list:  # type: ignore[type-arg]
    """A service of many like processes."""
    facts = []
    for window in w.BOTH:
        members = [
            w.process("worker", 1000 + i, each, window, service="shop.service", service_kind="unit", unit="shop.service",
                      root="master[999]", parent="master[999]", **changes)
            for i in range(min(count, 10))
        ]  # fmt: skip
        part = members[0].system_share / each
        total = w.service(members[0], processes=count, busy_processes=count, share=count * each,
                          user_share=count * each * (1 - part), system_share=count * each * part, biggest=each, root="master[999]", root_pid=999)  # fmt: skip
        facts += [*members, total]
    return facts


def storm(
    forks: float, spent: float, parent: str = "sh", children: tuple[str, ...] = ("true",), **changes: object
) -> list:  # type: ignore[type-arg]
    return [
        fact
        for window in w.BOTH
        for fact in (
            w.rates(window, forks=forks),
            w.ended(window, unseen=spent, reaped=spent),
            w.births(parent, 700, children, window, **changes),
        )
    ]


def pinned(count: int) -> list:  # type: ignore[type-arg]
    return [
        fact
        for i in range(count)
        for fact in w.alone("pool", 800 + i, 1 / count, allowed_cpus=1, wait=1 - 1 / count, service="pool[799]")
    ]


def overlapping(ages: list[float], share: float = 0.3) -> list:  # type: ignore[type-arg]
    return [
        fact
        for i, age in enumerate(ages)
        for fact in w.alone("report.py", 600 + i, share, age=age, command="python3 /srv/report.py", parent=f"cron[{i}]")
    ]


ok = w.healthy()
dd = {"system_share": 0.7}

CPU_ROWS = (
    # who burns
    Row("a process burns one core of four", ok.but(w.one_core_busy(), hog()), "cpu.process-hog", "burn[900]",
        never=("cpu.runaway-thread", "cpu.system-time")),
    Row("a hog where others compete gets half a core and waits for the rest", ok.but(w.full(), hog(0.5, wait=0.5)),
        "cpu.process-hog", "burn[900]"),
    Row("just under a core's worth is no hog", ok.but(w.one_core_busy(), hog(0.79)), None),
    Row("a process that waits but uses little is a victim", ok.but(w.one_core_busy(), hog(0.2, wait=0.8)), None),
    Row("a burst of two seconds that ends within the observation",
        ok.but([w.time("first", user=0.26), w.time("confirm", user=0.12)], w.alone("cc", 5, 1.0, ("first",)),
               w.alone("cc", 5, 0.4, ("confirm",))), None),
    Row("eight threads share the work of one process", ok.but(w.full(), threaded([("worker", 0.5)] * 7 + [("indexer", 0.5)])),
        "cpu.process-hog", "server[900]", never=("cpu.runaway-thread",), says="8 threads"),
    Row("one thread of thirty spins", ok.but(w.one_core_busy(), threaded([("gc-loop", 0.99)], idle=29)),
        "cpu.runaway-thread", "server[900]", never=("cpu.process-hog",), says="gc-loop"),
    Row("a busy pool of threads, none hot, on a large host", ok.but(w.one_core_busy(), threaded([("pool", 0.05)] * 20)), None),
    Row("one thread of many that come and go does not stand alone", ok.but(w.full(), [f for x in w.BOTH for p in
        [w.process("sort", 900, 1.79, x, threads=4)] for f in (p, w.service(p), w.thread(p, 901, "sort", 0.91),
        w.thread(p, 902, "sort", 0.15))]), "cpu.process-hog", "sort[900]", never=("cpu.runaway-thread",)),
    Row("an application server at work in many threads", ok.but([w.time(x, user=0.63) for x in w.BOTH],
        threaded([("http", 0.2)] * 12)), None),
    Row("threads that fight for one interpreter lock", ok.but(w.one_core_busy(), threaded([("Thread", 0.25)] * 4, runtime="python")),
        "cpu.process-hog", "server[900]"),
    Row("node's event loop is the process itself",
        ok.but(w.one_core_busy(), threaded([("node", 0.99)], idle=10, tid_base=900, runtime="node")),
        "cpu.process-hog", "server[900]"),
    Row("dd copies byte by byte", ok.but(w.one_core_busy(user=0.08, system=0.19), hog(**dd)), "cpu.system-time", "burn[900]",
        never=("cpu.process-hog",)),
    Row("a server with a good part of system time is a hog all the same",
        ok.but(w.one_core_busy(), hog(system_share=0.5)), "cpu.process-hog", "burn[900]"),
    Row("two processes hand a byte to and fro", ok.but([w.time(x, user=0.15, system=0.45) for x in w.BOTH],
        [w.rates(x, context_switches=300_000) for x in w.BOTH], w.alone("ping", 1, 0.7, system_share=0.6),
        w.alone("pong", 2, 0.7, system_share=0.6)), "cpu.system-time", "ping[1]", says="kernel"),
    Row("one pair hands a byte to and fro on one CPU of four", ok.but([w.time(x, user=0.02, system=0.2) for x in w.BOTH],
        [w.rates(x, context_switches=81_000) for x in w.BOTH], w.alone("ping", 1, 0.4, system_share=0.37),
        w.alone("pong", 2, 0.4, system_share=0.37)), "cpu.system-time", "ping[1]", says="81,000 context switches"),
    Row("many context switches of a host that works", ok.but([w.time(x, user=0.2, system=0.29) for x in w.BOTH],
        [w.rates(x, context_switches=200_000) for x in w.BOTH]), None),
    Row("pairs everywhere fill the host with system time", ok.but(w.full(user=0.1, system=0.88),
        [w.rates(x, context_switches=900_000) for x in w.BOTH], *[w.alone("ping", i, 0.6, system_share=0.5) for i in range(20, 26)]),
        "cpu.system-time", never=("cpu.capacity",)),
    Row("much system time on a host that is not busy is a note", ok.but([w.time(x, user=0.1, system=0.4) for x in w.BOTH]), None,
        notes=("cpu.system-time",)),
    Row("a kernel thread spins", ok.but(w.one_core_busy(user=0.05, system=0.25),
        w.alone("kworker/0:1", 9, 1.0, runtime="kernel", service="kernel", service_kind="kernel", system_share=1.0)),
        "cpu.system-time", "kworker/0:1[9]"),
    Row("system time high for a moment only", ok.but([w.time("first", user=0.1, system=0.5), w.time("confirm", system=0.1)]), None),
    Row("forty workers of one service", ok.but(w.full(), workers(40, 0.095)), "cpu.many-processes", "shop.service",
        never=("cpu.process-hog", "cpu.capacity")),
    Row("forty workers of one service on a host at half", ok.but([w.time(x, user=0.5) for x in w.BOTH], workers(40, 0.05)), None),
    Row("eight spinning workers of one command", ok.but(w.full(), workers(8, 0.5, wait=0.5)), "cpu.many-processes", "shop.service",
        never=("cpu.process-hog",)),
    Row("three runs of one cron job overlap", ok.but(w.full(), overlapping([7300, 3700, 100], 0.9)), "cpu.job-overlap",
        says="3 runs"),
    Row("workers started together do not overlap", ok.but(w.one_core_busy(), overlapping([100, 101, 102])), None),
    Row("mariadb burns a core", ok.but(w.one_core_busy(), [f for x in w.BOTH for p in [w.process("mariadbd", 60, 1.0, x,
        threads=30, doing="database")] for f in (p, w.service(p), w.thread(p, 77, "mariadbd", 0.99))]), "cpu.db-query",
        "mariadbd[60]", never=("cpu.runaway-thread",)),
    Row("forty postgres backends fill the host", ok.but(w.full(), workers(40, 0.095, doing="database")), "cpu.db-query",
        "shop.service", never=("cpu.many-processes",)),
    Row("ten times the requests", ok.but(w.full(), w.alone("web", 80, 3.6, threads=8), w.requests("web[80]", 400, 40)),
        "cpu.traffic-surge", "web[80]", never=("cpu.process-hog",)),
    Row("the same requests and a busy server is no surge", ok.but(w.full(), w.alone("web", 80, 3.6, threads=8),
        w.requests("web[80]", 44, 40)), "cpu.process-hog", "web[80]", never=("cpu.traffic-surge",)),
    Row("three requests where there was one", ok.but(w.one_core_busy(), w.alone("web", 80, 0.3), w.requests("web[80]", 0.3, 0.1)),
        None),
    Row("a java heap too small", ok.but(w.full(), threaded([("GC Thread#0", 0.9), ("GC Thread#1", 0.9), ("main", 0.6)],
        runtime="java")), "cpu.gc-thrash", "server[900]"),
    Row("a java heap too small on a host that is not yet full", ok.but([w.time(x, user=0.7) for x in w.BOTH],
        threaded([("GC Thread#0", 0.6), ("GC Thread#1", 0.6), ("GC Thread#2", 0.6), ("main", 0.4)], runtime="java")),
        "cpu.gc-thrash", "server[900]"),
    Row("java works and collects a little", ok.but(w.full(), threaded([("GC Thread#0", 0.2), ("http-1", 1.0), ("http-2", 1.0)],
        runtime="java")), "cpu.process-hog", "server[900]", never=("cpu.gc-thrash",)),
    Row("a shell loop starts programs without pause", ok.but([w.time(x, user=0.12, system=0.15) for x in w.BOTH],
        storm(450, 0.9)), "cpu.fork-storm", "sh[700]"),
    Row("a busy python parent of short-lived children is the storm's own", ok.but([w.time(x, user=0.2, system=0.3) for x in w.BOTH],
        storm(200, 0.7, "python3"), [f for x in w.BOTH for p in [w.process("python3", 700, 0.9, x)] for f in (p, w.service(p))]),
        "cpu.fork-storm", "python3[700]"),
    Row("xargs keeps the host full with short jobs", ok.but(w.full(), storm(8, 2.8, "xargs", ("convert-one",))),
        "cpu.many-processes", "xargs[700]", never=("cpu.capacity", "cpu.fork-storm"), says="convert-one", twice=True),
    Row("a supervisor starts a failing program again and again", ok.but(w.one_core_busy(), storm(4, 0.97, "keep-running", ("app",))),
        "cpu.fork-storm", "keep-running[700]", says="4 processes a second", twice=True),
    Row("half a core of short processes, four a second", ok.but(w.one_core_busy(), storm(4, 0.5, "keep-running", ("app",))), None),
    Row("a crowd that fights in the kernel", ok.but(w.full(user=0.1, system=0.88), workers(4, 0.9, system_share=0.8)),
        "cpu.system-time", "shop.service", never=("cpu.many-processes",)),
    Row("a cron minute: a few forks", ok.but(w.one_core_busy(), storm(12, 0.1)), None),
    Row("many forks that use next to nothing", ok.but(w.one_core_busy(), storm(150, 0.05)), None),
    Row("make runs compilers that come and go", ok.but(w.full(), storm(120, 3.2, "make", ("cc1", "as"), doing="build")),
        "cpu.finite-work", never=("cpu.fork-storm",), says="busy, not rogue"),
    Row("compilers that live a second each", ok.but(w.full(), w.alone("cc1", 300, 3.8, ("first",), doing="build", service="make[299]"),
        w.alone("cc1", 309, 1.0, ("confirm",), doing="build", service="make[299]"),
        [w.ended("first"), w.ended("confirm", unseen=2.8, reaped=2.9)]), "cpu.finite-work", "make[299]"),
    Row("compilers fill the host", ok.but(w.full(), w.alone("cc1plus", 300, 0.98, doing="build", service="make[299]", root="make[299]")
        + w.alone("cc1plus", 301, 0.98, doing="build", service="make[299]", root="make[299]")), "cpu.finite-work", "make[299]",
        never=("cpu.process-hog", "cpu.many-processes")),
    Row("gzip on a quiet host is only a note", ok.but(w.one_core_busy(), w.alone("gzip", 300, 1.0, doing="pack")), None,
        notes=("cpu.finite-work",), never=("cpu.process-hog",)),
    Row("four processes pinned to one CPU", ok.but(w.one_core_busy(), pinned(4)), "cpu.single-core-bound", "pool[799]",
        never=("cpu.process-hog",)),
    Row("pinned processes just under a quarter of the CPU each", ok.but(w.one_core_busy(), [f for i in range(5) for f in
        w.alone("pool", 800 + i, 0.19, allowed_cpus=1, wait=0.8, service="pool[799]")]), "cpu.single-core-bound", "pool[799]"),
    Row("pinned processes that do not fill their CPU", ok.but(w.one_core_busy(), [f for i in range(3) for f in
        w.alone("pool", 800 + i, 0.2, allowed_cpus=1, wait=0.1, service="pool[799]")]), None),
    Row("one pinned process cannot use a second CPU", ok.but(w.one_core_busy(), hog(allowed_cpus=1)), "cpu.process-hog",
        never=("cpu.single-core-bound",)),
    Row("a nice 19 batch takes every idle cycle", ok.but([w.time(x, user=0.1, nice=0.9) for x in w.BOTH], w.pressure("cpu", 0.7),
        w.alone("batch", 400, 3.5, nice=19, threads=4)), None, notes=("cpu.background-batch",),
        never=("cpu.process-hog", "cpu.capacity")),
    Row("SCHED_IDLE work is background too", ok.but([w.time(x, user=0.9) for x in w.BOTH], w.alone("batch", 400, 3.2,
        background=True)), None, notes=("cpu.background-batch",)),
    Row("many services together fill the host", ok.but(w.full(), *[w.alone(f"svc{i}", 500 + i, 0.7) for i in range(5)]),
        "cpu.capacity", "host"),
    Row("a full host where nobody waits", ok.but([w.time(x, user=0.97) for x in w.BOTH], w.pressure("cpu", 0.1),
        *[w.alone(f"svc{i}", 500 + i, 0.7) for i in range(5)]), None),
    Row("another container burns the host", ok.but(w.full(), [w.ended(x, whole_host=False, unseen=3.5) for x in w.BOTH]),
        "cpu.unseen-load", "host", never=("cpu.capacity",)),
    Row("a core used by somebody we cannot see, on a quiet host", ok.but([w.time(x, user=0.35) for x in w.BOTH],
        [w.ended(x, whole_host=False, unseen=0.95) for x in w.BOTH]), None, notes=("cpu.unseen-load",)),
    Row("a full host whose processes were not looked at", ok.but(w.full(), [w.ended(x) for x in w.BOTH], w.service(
        w.process("kernel", 2, 0.1, "first", service="kernel", service_kind="kernel"))), None, never=("cpu.capacity",)),
    Row("load falls after the event", ok.but(w.LoadAverage(subject="host", load1=20, load5=12, load15=5, runnable=1, tasks=300)), None),
    # load of other kinds
    Row("a service throttled by its quota on an idle host", ok.but(w.throttle()), "cpu.cgroup-throttled", "shop.service",
        says="quota of 0.2 CPUs"),
    Row("throttled and hot for its quota", ok.but(w.throttle(quota=1.0, subject="burn[900]", unit=""), w.one_core_busy(), hog()),
        "cpu.cgroup-throttled", "burn[900]"),
    Row("throttled once in ten periods", ok.but(w.throttle(throttled=1)), None),
    Row("tasks wait for a disk that is busy", ok.but(w.pressure("io", 0.6, 0.4), w.disk(util=0.97, wait_seconds=0.01),
        [w.blocked("dd", 20, "disk", "iomap_dio_rw")]), "cpu.iowait", "dd[20]", never=("cpu.dstate-load",)),
    Row("a busy disk that answers quickly", ok.but(w.disk(util=0.97, wait_seconds=0.001)), None),
    Row("iowait alone", ok.but([w.time(x, user=0.1, iowait=0.6) for x in w.BOTH]), None),
    Row("a disk saturated", ok.but(w.pressure("io", 0.8, 0.5), w.disk(util=1.0, wait_seconds=0.2, queue=20)), "host.disk-io", "disk sda",
        says="saturated"),
    Row("ten processes hang on a dead mount", ok.but(*[w.blocked("ls", 30 + i, "network-fs", "nfs_wait_bit") for i in range(10)],
        w.LoadAverage(subject="host", load1=10, load5=8, load15=3, runnable=1, tasks=300)), "cpu.dstate-load", "ls[30]",
        says="network file system"),
    Row("blocked now and then is no load", ok.but(*[w.blocked("ls", 30 + i, "other", "", hits=3) for i in range(10)]), None),
    Row("two blocked processes are no load", ok.but(w.blocked("ls", 30, "other", ""), w.blocked("ls", 31, "other", "")), None),
    Row("swap both ways without end", ok.but(w.paging(swap_in=40_000, swap_out=45_000, scan_direct=9000), w.memory(0.02, 0.9),
        w.pressure("memory", 0.5, 0.3), [w.time(x, user=0.1, system=0.5) for x in w.BOTH]), "host.memory-pressure", "host"),
    Row("a control group thrashes, the host has memory", ok.but(w.paging(swap_in=40_000, swap_out=45_000),
        w.pressure("memory", 0.5, 0.06)), "cpu.swap-thrash", "host", says="control group"),
    Row("swap used and not touched", ok.but(w.memory(swap_used=0.9)), None),
    Row("pages only come back in", ok.but(w.paging(swap_in=3000, swap_out=0)), None),
    Row("kswapd scans in vain", ok.but(w.paging(scan_direct=20_000, scan_kswapd=90_000), w.pressure("memory", 0.4, 0.2),
        w.memory(0.08)), "cpu.swap-thrash"),
    Row("little memory, and tasks wait for it", ok.but(w.memory(0.03), w.pressure("memory", 0.3, 0.02)), "host.memory-pressure", "host"),
    Row("little memory, and nobody waits", ok.but(w.memory(0.03)), None),
    Row("the hypervisor takes a third", ok.but([w.time(x, user=0.4, steal=0.3) for x in w.BOTH]), "cpu.steal", "host"),
    Row("a moment of steal", ok.but([w.time("first", steal=0.3), w.time("confirm", steal=0.02)]), None),
    Row("a packet flood", ok.but([w.time(x, user=0.1, system=0.2, softirq=0.4) for x in w.BOTH]), "cpu.softirq", "host"),
    Row("all interrupts on one CPU", ok.but(w.one_core_busy(user=0.05, softirq=0.15),
        [w.core(2, 0.98, x, softirq=0.93) for x in w.BOTH]), "cpu.softirq", says="cpu2"),
    Row("some softirq", ok.but([w.time(x, user=0.3, softirq=0.15) for x in w.BOTH]), None),
    Row("heat slows a busy host", ok.but(w.full(), w.frequency(throttle_events=40, current=1200)), "cpu.frequency-limited", "host",
        never=("cpu.process-hog",)),
    Row("a slow clock on an idle host", ok.but(w.frequency(allowed=800, current=800)), None),
    # the host and its services
    Row("a task hung for minutes and still blocked", ok.but(w.event("hung-task", "INFO: task ls:30 blocked for more than 120 seconds", 200),
        w.blocked("ls", 30, "other", "")), "host.hung-tasks", "ls[30]"),
    Row("a hung task of an hour ago", ok.but(w.event("hung-task", "INFO: task ls:30 blocked for more than 120 seconds", 3000)), None),
    Row("a CPU stuck just now", ok.but(w.event("soft-lockup", "BUG: soft lockup - CPU#3 stuck for 26s!", 30)), "host.hung-tasks"),
    Row("a parent that never reaps", ok.but(w.zombies("cgi", 77, 200)), "host.zombie-flood", "cgi[77]"),
    Row("forty-nine zombies", ok.but(w.zombies("cgi", 77, 49)), None),
    Row("a unit that starts and dies", ok.but(w.unit("shop.service", restarts=14, active="activating", sub="auto-restart",
        active_for=None)), "svc.crash-loop", "shop.service"),
    Row("a unit restarted long ago", ok.but(w.unit("shop.service", restarts=14)), None),
    Row("a crash loop explains its own storm of starts", ok.but(
        w.unit("shop.service", restarts=90, active_for=0.4), storm(200, 0.9, service="shop.service", unit="shop.service")),
        "svc.crash-loop", "shop.service"),
    # healthy twins
    Row("a healthy host", ok.but(), None),
    Row("half of the host is busy with four quiet workers", ok.but([w.time(x, user=0.5) for x in w.BOTH], workers(4, 0.25)), None),
    Row("everything just under its threshold", ok.but([w.time(x, user=0.4, system=0.29, steal=0.09) for x in w.BOTH],
        w.pressure("cpu", 0.19), w.pressure("io", 0.19, 0.1), w.pressure("memory", 0.09, 0.04),
        w.memory(0.051), w.paging(swap_in=499, swap_out=499), w.disk(util=0.89, wait_seconds=0.049)), None),
)  # fmt: skip

# Symptoms that must stand under their cause, never beside it: facts, cause, consequence.
CPU_CHAINS = (
    ("a storm of forks explains the system time",
     ok.but([w.time(x, user=0.1, system=0.4) for x in w.BOTH], storm(450, 0.9)), "cpu.fork-storm", "cpu.system-time"),
    ("a busy parent is explained by the storm it makes",
     ok.but([w.time(x, user=0.2, system=0.2) for x in w.BOTH], storm(200, 0.7, "python3"),
            [f for x in w.BOTH for p in [w.process("python3", 700, 0.9, x)] for f in (p, w.service(p))]),
     "cpu.fork-storm", "cpu.process-hog"),
    ("a saturated disk explains the waiting",
     ok.but(w.pressure("io", 0.8, 0.5), w.disk(util=1.0, wait_seconds=0.2)), "host.disk-io", "cpu.iowait"),
    ("swapping explains the system time",
     ok.but(w.paging(swap_in=40_000, swap_out=45_000), w.memory(0.2), w.pressure("memory", 0.5, 0.3),
            [w.time(x, user=0.1, system=0.5) for x in w.BOTH]), "cpu.swap-thrash", "cpu.system-time"),
    ("short memory explains the swapping",
     ok.but(w.paging(swap_in=40_000, swap_out=45_000), w.memory(0.02), w.pressure("memory", 0.5, 0.3)),
     "host.memory-pressure", "cpu.swap-thrash"),
    ("a quota explains the hot process in it",
     ok.but(w.throttle(subject="burn.service", members=("burn[900]",)), w.one_core_busy(), hog()),
     "cpu.cgroup-throttled", "cpu.process-hog"),
    ("a crash loop explains its starts",
     ok.but(w.unit("shop.service", restarts=90, active_for=0.4), storm(200, 0.9, service="shop.service", unit="shop.service")),
     "svc.crash-loop", "cpu.fork-storm"),
)  # fmt: skip

# What one window alone can show: the same verdict, but never certain.
_OTHERS = (rows_db, rows_login, rows_log, rows_inside, rows_net, rows_space, rows_oom, rows_change, rows_logs)
ROWS: tuple[Row, ...] = (*CPU_ROWS, *(row for others in _OTHERS for row in others.ROWS))
CHAINS = (*CPU_CHAINS, *(chain for others in _OTHERS for chain in others.CHAINS))
UNCONFIRMED = tuple(
    (row.name, Facts(f for f in row.facts if getattr(f, "window", "first") == "first"), row.first)
    for row in ROWS
    if not row.twice
    and row.first
    in ("cpu.process-hog", "cpu.runaway-thread", "cpu.many-processes", "cpu.fork-storm", "cpu.system-time")
)

"""Reports made by hand, one for each state, for every test that needs a whole one.

`critical` is as nasty as a real incident: a process that names itself with escape sequences, a bar, backticks and
a right-to-left override, a command longer than any line, a symptom under its cause, evidence from yesterday.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import cast, get_type_hints

from rbdiag.facts.cpu import CpuThresholds, CpuTime, LoadAverage, ProcessCpu, ServiceCpu, ThreadCpu
from rbdiag.facts.db import DbTarget, Login
from rbdiag.facts.host import KernelEvent, TaskStates
from rbdiag.facts.logs import LogEvent, LogKnown, LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.facts.net import TcpAnswer
from rbdiag.facts.sessions import Connections, LockWait, Replica, Session, SessionGroup
from rbdiag.model import (
    CheckRow,
    Confidence,
    Contact,
    Cost,
    Fact,
    Facts,
    Finding,
    Gap,
    Moment,
    Report,
    Severity,
    Spec,
    Status,
    Step,
)
from tests.diagnose.db_world import make

# 2026-11-23 08:00:00.123 UTC
STARTED = 1795420800.123
CLEAR_SCREEN = "\x1b[2Jrm\u202e|`x`<script>"
NOT_UTF8 = b"caf\xe9\n".decode("utf-8", "surrogateescape")

SPIN = Spec(
    code="cpu.runaway-process",
    title="A process uses a CPU without end",
    severity=Severity.CRITICAL,
    meaning="One process is busy without doing what it is for.",
    told="It ran or waited to run through both windows.",
    not_to_be_taken_for="A job that is busy for good reason.",
    resolution=("Look where it spins.", "Restart it."),
    explains=("cpu.saturated",),
)
SATURATED = replace(SPIN, code="cpu.saturated", title="All CPUs are busy", explains=("host.slow",))
SLOW = replace(SPIN, code="host.slow", title="Everything waits", severity=Severity.WARNING, explains=())
HUNG = replace(SPIN, code="host.hung-task", title="A task hung", severity=Severity.WARNING, explains=())
BATCH = replace(SPIN, code="cpu.background-batch", title="A batch job runs", severity=Severity.NOTE, explains=())


def after(seconds: float) -> float:
    """So long after the start; to the millisecond, as the runner stamps facts."""
    return round(STARTED + seconds, 3)


def process(pid: int, share: float, **changes: object) -> ProcessCpu:
    """A process of a unit named web, changed as asked."""
    usual = ProcessCpu(
        subject=f"worker[{pid}]",
        check="cpu.processes",
        seen_at=after(1),
        window="first",
        seconds=1.0,
        pid=pid,
        start_ticks=1000 + pid,
        name="worker",
        command=f"/usr/bin/python3 /srv/web/worker.py --queue orders --shard {pid}",
        user="www-data",
        age=11000.0,
        state="R",
        nice=0,
        background=False,
        threads=3,
        share=share,
        user_share=share * 0.75,
        system_share=share * 0.25,
        wait=0.01,
        rss=151_000_000,
        read_rate=None,
        write_rate=2048.0,
        allowed_cpus=4,
        parent="web[1]",
        runtime="python",
        service="web.service",
        service_kind="unit",
        root="web[1]",
        doing="",
        unit="web.service",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def cpu_time(busy: float, **changes: object) -> CpuTime:
    usual = CpuTime(
        subject="host",
        check="cpu.time",
        seen_at=after(1),
        window="first",
        seconds=1.0,
        cpus=4,
        user=busy * 0.75,
        nice=0.0,
        system=busy * 0.25,
        idle=1 - busy,
        iowait=0.0,
        irq=0.0,
        softirq=0.0,
        steal=0.0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def row(
    name: str, summary: str, mark: str = "ok", gap: Gap | None = None, decides: bool = False, target: str = "web-3"
) -> CheckRow:
    return CheckRow(name, target, summary, 0.25, gap, decides, mark)  # type: ignore[arg-type]


def critical() -> Report:
    limits = CpuThresholds(subject="host", warning=0.8, critical=0.95)
    before = cpu_time(0.5)
    busy = cpu_time(0.984375, window="confirm", seconds=3.0, seen_at=after(4))
    load = LoadAverage(
        subject="host", check="cpu.load", seen_at=STARTED, load1=9.25, load5=4.5, load15=2.0, runnable=9, tasks=412
    )
    hostile = process(
        4242,
        2.96875,
        window="confirm",
        seconds=3.0,
        seen_at=after(4.001),
        subject=f"{CLEAR_SCREEN}[4242]",
        name=CLEAR_SCREEN,
        command=f"{CLEAR_SCREEN} --eat {'all-of-the-memory-and-then-some ' * 4}{NOT_UTF8}",
        user="ユーザー名前",
        service="名前の長いサービスです.service",
    )
    others = [
        process(77, 0.5, window="confirm", nice=19, age=3.5, rss=900),
        process(9, 0.0625, window="confirm", name="kswapd0", command="", user="root", service_kind="kernel", state="S"),
    ]
    earlier = process(4242, 1.5)
    thread = ThreadCpu(
        subject=hostile.subject,
        check="cpu.threads",
        seen_at=after(4.002),
        window="confirm",
        tid=4250,
        name="ThreadPool\t1",
        share=0.99,
        user_share=0.9,
        system_share=0.09,
        wait=None,
        of_threads=3,
    )
    service = ServiceCpu(
        subject="web.service",
        check="cpu.processes",
        seen_at=after(4.001),
        window="confirm",
        kind="unit",
        processes=40,
        busy_processes=2,
        share=3.46875,
        user_share=2.5,
        system_share=0.96875,
        biggest=2.96875,
        low_priority=False,
        command="/usr/bin/python3 /srv/web/master.py",
        doing="",
        root="web[1]",
        root_pid=1,
        root_start_ticks=5,
        unit="web.service",
    )
    states = TaskStates(
        subject="host",
        check="host.tasks",
        seen_at=STARTED,
        total=412,
        running=9,
        blocked=1,
        zombies=0,
        stopped=0,
        exact=True,
    )
    hung = KernelEvent(
        subject="host",
        check="host.kernel-log",
        seen_at=after(0.5),
        kind="hung-task",
        happened_at=after(-40000.5),
        text="INFO: task \x9b31mmysqld:812 blocked for more than 120 seconds. | \u2066see below",
    )
    summary = f"{CLEAR_SCREEN}[4242] uses 2.97 of 4 CPUs and has done so for 3 h 3 min without reading anything"
    forbidden = Gap("forbidden", "not allowed to read /proc/1/io", "run as root")
    return Report(
        runbook="cpu",
        target="web-3",
        host="web-3",
        started_at=STARTED,
        duration=4.31,
        status=Status.CRITICAL,
        exit_code=2,
        summary=summary,
        findings=(
            Finding(
                spec=SPIN,
                severity=Severity.CRITICAL,
                confidence=Confidence.LIKELY,
                subject=hostile.subject,
                summary=summary,
                evidence=(hostile, thread),
                against=(states,),
                resolution=(
                    Step(
                        "See where it spins; this stops it for a few milliseconds at a time, and needs ptrace rights",
                        "sudo py-spy dump --pid 4242",
                        "safe",
                        "rbdiag cpu --pid 4242",
                    ),
                    Step(
                        "Restart the unit",
                        "[ \"$(awk '{print $22}' /proc/4242/stat)\" = 5242 ] && sudo systemctl restart web.service "
                        "|| echo 'process 4242 is another one now'",
                        "disruptive",
                        "rbdiag cpu",
                    ),
                    Step("End it by name", f"pkill -f '{CLEAR_SCREEN}'", "destructive"),
                ),
                about=frozenset({hostile.subject, "web.service", "host"}),
                impact=0.75,
            ),
            Finding(
                spec=SATURATED,
                severity=Severity.CRITICAL,
                confidence=Confidence.CERTAIN,
                subject="host",
                summary="4 CPUs are 98 % busy and 9 tasks are runnable",
                evidence=(busy, load),
                about=frozenset({"host"}),
                explained_by="cpu.runaway-process",
            ),
            Finding(
                spec=SLOW,
                severity=Severity.WARNING,
                confidence=Confidence.POSSIBLE,
                subject="host",
                summary="some task waited for a CPU in 62 % of the time",
                evidence=(load,),
                about=frozenset({"host"}),
                explained_by="cpu.saturated",
            ),
            Finding(
                spec=HUNG,
                severity=Severity.WARNING,
                confidence=Confidence.CERTAIN,
                subject="mysqld[812]",
                summary="mysqld[812] hung for more than 120 s, 11 hours ago",
                evidence=(hung,),
                resolution=(Step("Read the kernel's log around it", "journalctl -k --since '-12h'"),),
            ),
        ),
        checks=(
            row("cpu.time", str(busy), "critical", decides=True),
            row("cpu.load", str(load), "critical"),
            row("cpu.processes", str(hostile), "critical", decides=True),
            row("cpu.threads", str(thread), "critical", Gap("deadline", "not finished when the time was up")),
            row("cpu.io", forbidden.detail, "gap", forbidden),
            row("host.disk", forbidden.detail, "gap", forbidden),
            row("host.kernel-log", str(hung), "warning"),
            row("host.tasks", str(states)),
            row("host.psi", "/proc/pressure is not there", "gap", Gap("missing", "/proc/pressure is not there")),
            row(
                "cpu.profile",
                "left out with --skip",
                "gap",
                Gap("skipped", "left out with --skip", "drop --skip cpu.profile"),
            ),
        ),
        timeline=(Moment(after(-40000.5), "host.kernel-log", str(hung)),),
        facts=Facts([limits, before, earlier, busy, load, *others, hostile, service, thread, states, hung]),
        contacts=(
            Contact("Ada", "owner of web", "ada@example.org, +44 20 7946 0000", "office hours"),
            Contact("On-call <b>SRE</b>", "", "#incident", ""),
        ),
        cost=Cost(cpu_seconds=0.11, bytes_read=120345),
        rbdiag_version="0.1.0",
    )


def healthy() -> Report:
    limits = CpuThresholds(subject="host", warning=0.8, critical=0.95)
    calm = cpu_time(0.125)
    idle = process(77, 0.03125, service="web.service")
    return Report(
        runbook="cpu",
        target="web-3",
        host="web-3",
        started_at=STARTED,
        duration=1.08,
        status=Status.OK,
        exit_code=0,
        summary="nothing wrong",
        findings=(),
        checks=(
            row("cpu.time", str(calm), decides=True),
            row("cpu.processes", str(idle), decides=True),
        ),
        facts=Facts([limits, calm, idle]),
        cost=Cost(cpu_seconds=0.09),
        rbdiag_version="0.1.0",
    )


def noted() -> Report:
    """Healthy, with something worth knowing and something not seen."""
    batch = process(77, 0.96875, nice=19, service="backup.service", command="tar -cf /backup/all.tar /srv")
    report = healthy()
    return replace(
        report,
        summary="nothing wrong in the 2 of 3 checks that ran; the niced tar[77] uses 0.97 cores that nobody else wants",
        findings=(
            Finding(
                spec=BATCH,
                severity=Severity.NOTE,
                confidence=Confidence.CERTAIN,
                subject="tar[77]",
                summary="the niced tar[77] uses 0.97 cores that nobody else wants",
                evidence=(batch,),
            ),
        ),
        checks=(
            report.checks[0],
            row("cpu.processes", str(batch), "note", decides=True),
            row("cpu.io", "not allowed", "gap", Gap("forbidden", "not allowed", "run as root")),
        ),
        facts=Facts([cpu_time(0.25), batch]),
    )


def unknown() -> Report:
    """Nothing could be looked at; the target is another host."""
    gap = Gap("deadline", "not finished when the time was up", "give it more time: --deadline SECONDS")
    return Report(
        runbook="db",
        target="db1:3306",
        host="web-3",
        started_at=STARTED,
        duration=0.1,
        status=Status.UNKNOWN,
        exit_code=3,
        summary="cannot tell: db.login could not run; nothing bad was seen by the rest",
        findings=(),
        checks=(replace(row("db.login", gap.detail, "gap", gap, decides=True), target="db1:3306", duration=None),),
        rbdiag_version="0.1.0",
    )


TOO_MANY = replace(
    SPIN, code="db.too-many-connections", title="No connection is left", explains=("db.aborted-clients",)
)
LOCKED = replace(SPIN, code="db.lock-wait", title="Sessions wait for a lock", explains=("db.too-many-connections",))
ABORTED = replace(SPIN, code="db.aborted-clients", title="Clients break off", severity=Severity.WARNING, explains=())


def crowded() -> Report:
    """A database without a free connection, because of one session that holds a lock; seen by its administrator."""
    at = "db1:3306"
    label = {"subject": at, "seen_at": after(0.4)}
    target = make(DbTarget, **label, host="db1", local=False, origins=("port 3306 from /root/.my.cnf:4",))
    opened = make(
        TcpAnswer, subject="10.0.0.5:3306", host="db1", address="10.0.0.5", seen_at=after(0.1), seconds=0.00031
    )
    refused = make(Login, **label, word="too-many-connections", code=1040, text="Too many connections")
    entered = make(Login, **label, attempt="admin", user="root", tls=False, seconds=0.0042)
    full = make(Connections, **label, connected=152, running=3, limit=151, peak=152, sleeping=4, waiting=145)
    group = make(
        SessionGroup, subject="app@10.0.0.9", seen_at=after(0.4), count=148, sleeping=1, waiting=145, running=2
    )
    holder = make(
        Session, subject="session 42", seen_at=after(0.4), command="Sleep", state="", seconds=811.0, transaction=812.5,
        statement="UPDATE orders SET note = '***' WHERE id = 7", rows_locked=1, host="10.0.0.9",
    )  # fmt: skip
    waits = [
        make(LockWait, subject=f"session {n}", seen_at=after(0.5), waiter=n, blocker=42, seconds=n + 0.5)
        for n in (43, 44)
    ]
    aborted = replace(
        make(LogEvent), check="db.client-log", seen_at=after(0.2), side="client", count=1204,
        kind="too-many-connections", subject="/var/log/shop.log", number=1040, happened_at=after(-2.25),
        first_at=after(-790), text="ERROR pool: (1040, 'Too many connections') mysql://app:***@db1/shop",
    )  # fmt: skip
    replicas = [
        make(
            Replica,
            subject=f"replication from db{n}:3306",
            seen_at=after(0.6),
            lag=lag,
            channel=f"c{n}",
            lag_before=3.0,
        )
        for n, lag in ((2, 4.0), (3, None))
    ]
    locked = "session 42 of app@10.0.0.9 has held 1 row of shop.orders for 13 min, 145 sessions wait for it"
    nobody = Gap("forbidden", "app may not read the server's lock tables", "GRANT PROCESS ON *.* TO 'app'@'%'")
    facts = [target, opened, refused, entered, full, group, holder, *waits, aborted, *replicas]
    return Report(
        runbook="db",
        target=at,
        host="web-3",
        started_at=STARTED,
        duration=1.46,
        status=Status.CRITICAL,
        exit_code=2,
        summary=locked,
        findings=(
            Finding(
                spec=LOCKED,
                severity=Severity.CRITICAL,
                confidence=Confidence.CERTAIN,
                subject="session 42",
                summary=locked,
                evidence=(*waits, holder),
                against=(opened,),
                resolution=(
                    Step("see what it does", "mariadb --host=db1 -p -e 'SHOW PROCESSLIST'", "safe"),
                    Step(
                        "end the session: its transaction is rolled back",
                        "mariadb --host=db1 --port=3306 --user=app -p -e 'KILL 42'",
                        "disruptive",
                        "rbdiag db db1",
                    ),
                ),
                about=frozenset({at, "session 42"}),
            ),
            Finding(
                spec=TOO_MANY,
                severity=Severity.CRITICAL,
                confidence=Confidence.CERTAIN,
                subject=at,
                summary="152 of 151 connections are in use, 145 of them wait for locks",
                evidence=(refused, full, group, aborted),
                about=frozenset({at}),
                explained_by="db.lock-wait",
            ),
            Finding(
                spec=ABORTED,
                severity=Severity.WARNING,
                confidence=Confidence.POSSIBLE,
                subject=at,
                summary="clients were turned away 1,204 times in the last 13 min",
                evidence=(aborted,),
                about=frozenset({at}),
                explained_by="db.too-many-connections",
            ),
        ),
        checks=(
            row("db.target", str(target), target=at),
            row("net.tcp", str(opened), decides=True, target=at),
            row("db.login", str(refused), "critical", decides=True, target=at),
            row("db.client-log", str(aborted), "critical", decides=True, target="/var/log/shop.log"),
            row("db.sessions", str(full), "critical", target=at),
            row("db.locks", str(waits[0]), "critical", nobody, target=at),
            row("db.replication", str(replicas[0]), target=at),
            row("db.innodb", nobody.detail, "gap", nobody, target=at),
        ),
        timeline=(Moment(after(-2.25), "db.client-log", str(aborted)),),
        facts=Facts(facts),
        contacts=(Contact("Ada", "owner of orders", "#orders", ""),),
        cost=Cost(cpu_seconds=0.21, bytes_read=88_412, connections=2, queries=11),
        rbdiag_version="0.2.0",
    )


NEW_ERRORS = replace(SPIN, code="logs.new-errors", title="New error lines appear", severity=Severity.WARNING)
REFUSED = replace(SPIN, code="api.upstream-refused", title="The upstream refuses", explains=("logs.new-errors",))
ERROR_LOG, ACCESS_LOG = "/var/log/nginx/error.log", "/var/log/nginx/access.log"


def window(log: str, **changes: object) -> LogWindow:
    usual = LogWindow(
        subject=log, check="logs.find", seen_at=after(0.05), how="time", form="nginx", since=after(-3600),
        until=STARTED, first_at=after(-3590), last_at=after(-1), bytes=1_200_000, baseline_since=after(-18000),
        baseline_bytes=4_700_000, parts=(f"{log}.1", log),
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def known(**changes: object) -> LogKnown:
    usual = LogKnown(
        subject=ERROR_LOG, check="logs.known", seen_at=after(0.2), pattern="nginx-upstream-refused",
        title="nginx: the upstream refuses the connection", codes=("api.upstream-refused",), role="failure",
        name="127.0.0.1:9001", count=1204, before=0, first_at=after(-1069), happened_at=after(-2.123),
        text="2026/11/23 07:59:58 [error] 77#77: *9 connect() failed (111: Connection refused) while connecting to "
        'upstream, client: 10.0.0.9, server: _, request: "GET /api/cart?token=*** HTTP/1.1", upstream: '
        '"http://127.0.0.1:9001/api/cart"',
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def shape(rank: int, **changes: object) -> LogTemplate:
    usual = LogTemplate(
        subject=ERROR_LOG, check="logs.new", seen_at=after(0.3), word="new", template="[error] cart * is * late",
        level="error", count=31, before=0, rate=31 / 3600, rate_before=0.0, first_at=after(-1800), rank=rank,
        happened_at=after(-7), sample="2026/11/23 07:59:53 [error] 77#77: cart 42 is 17 s late",
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def trace(**changes: object) -> LogTrace:
    usual = LogTrace(
        subject=ERROR_LOG, check="logs.traces", seen_at=after(0.3), language="python", exception="KeyError",
        message="'total'", frame="shop/cart.py:88 in total", top="orjson/loads.py:12 in loads",
        head="[error] cart * failed", count=12, before=0, first_at=after(-1000), happened_at=after(-60),
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def traffic(**changes: object) -> LogTraffic:
    usual = LogTraffic(
        subject=ACCESS_LOG, check="logs.requests", seen_at=after(0.4), requests=10_233, requests_before=41_002,
        covered=3600.0, covered_before=14400.0, statuses=((200, 8801), (404, 201), (502, 1231)),
        before=((200, 40_100), (404, 861), (502, 41)), failing=(("/api/cart", 1204, 1300), ("/api/pay", 27, 31)),
        slow=(("/report/*", 4.2, 37), ("/api/cart", 2.0, 1300)), p50=0.021, p95=2.125, p99=4.5, p95_before=0.211,
        first_failed_at=after(-1069), last_failed_at=after(-2),
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def logged() -> Report:
    """An upstream died: two logs, lines that are known, new shapes, an exception, failing requests, a gap."""
    logs = [window(ERROR_LOG), window(ACCESS_LOG, bytes=2_100_000, baseline_bytes=8_300_000, zone_shift=3600.0)]
    refused = known()
    restart = known(
        pattern="systemd-started", title="systemd: a unit was started", codes=(), role="start", name="shop.service",
        count=1, before=1, first_at=after(-90_000), happened_at=after(-90_000), text="Started shop.service",
    )  # fmt: skip
    usual = known(
        pattern="client-gone", title="a client went away", codes=(), role="ordinary", name="", count=40, before=160
    )
    late = shape(2)
    frequent = shape(
        3, word="more", level="warning", template="{* *}", count=300, before=120, rate=1 / 12, rate_before=1 / 120,
        sample=f'{{"ts":"2026-11-23T07:59:53Z","level":"warn","msg":"queue {CLEAR_SCREEN} is long","n":7}}',
    )  # fmt: skip
    same = shape(1, template="connect() failed", code="api.upstream-refused", sample=refused.text, count=1204)
    hidden = shape(4, template="[error] cart * failed", sample="2026/11/23 07:59:53 [error] cart 42 failed")
    fewer = shape(5, word="fewer", level="info", count=2, before=240, rate=2 / 3600, rate_before=240 / 14400,
                  first_at=None, happened_at=None, sample="Nov 23 07:10:00 web-3 shop[7]: heartbeat")  # fmt: skip
    thrown, slow = trace(), traffic()
    late_gap = Gap("deadline", "only the last 12 min of the window (60 min) were read", "--deadline SECONDS")
    summary = "nginx: the upstream refuses the connection: 127.0.0.1:9001, 1,204 times since 07:42:11"
    return Report(
        runbook="logs",
        target=f"{ERROR_LOG}, {ACCESS_LOG}",
        host="web-3",
        started_at=STARTED,
        duration=0.52,
        status=Status.CRITICAL,
        exit_code=2,
        summary=summary,
        findings=(
            Finding(
                spec=REFUSED,
                severity=Severity.CRITICAL,
                confidence=Confidence.LIKELY,
                subject=ERROR_LOG,
                summary=summary,
                evidence=(refused, slow),
                resolution=(Step("See whether anything listens there", "ss -ltn 'sport = :9001'", "safe"),),
            ),
            Finding(
                spec=NEW_ERRORS,
                severity=Severity.WARNING,
                confidence=Confidence.CERTAIN,
                subject=ERROR_LOG,
                summary="31 error lines of a new shape: cart 42 is 17 s late",
                evidence=(late,),
                explained_by="api.upstream-refused",
            ),
        ),
        checks=(
            row("logs.find", str(logs[0]), decides=True),
            row("logs.known", str(refused), "critical", late_gap, decides=True),
            row("logs.new", str(same), "warning"),
            row("logs.traces", str(thrown)),
            row("logs.requests", str(slow), "critical"),
        ),
        timeline=(Moment(after(-2.123), "logs.known", str(refused)),),
        facts=Facts([*logs, refused, restart, usual, same, late, frequent, hidden, fewer, thrown, slow]),
        cost=Cost(cpu_seconds=0.44),
        rbdiag_version="0.2.0",
    )


def silent() -> Report:
    """A log in which nothing is wrong, and nothing is new."""
    log = window("/var/log/app.log")
    start = known(pattern="systemd-started", title="systemd: a unit was started", codes=(), role="start", count=1)
    return replace(
        healthy(),
        runbook="logs",
        target="/var/log/app.log",
        checks=tuple(
            row(f"logs.{name}", str(log) if name == "find" else "nothing to report")
            for name in ("find", "known", "new", "traces", "requests")
        ),
        facts=Facts([log, replace(start, subject="/var/log/app.log")]),
    )


SAMPLES = {
    "critical": critical, "healthy": healthy, "noted": noted, "unknown": unknown, "crowded": crowded, "logged": logged,
    "silent": silent,
}  # fmt: skip


def spoiled(report: Report, text: str) -> Report:
    """The same report with this text in every free text of every record in it; words of closed lists stay."""
    return cast(Report, _spoiled(report, str, text))


def _spoiled(value: object, hint: object, text: str) -> object:
    if isinstance(value, str):
        return f"{value}{text}" if hint is str else value
    if isinstance(value, tuple):
        return tuple(_spoiled(item, type(item), text) for item in value)
    if isinstance(value, Facts):
        return Facts(cast(Fact, _spoiled(fact, type(fact), text)) for fact in value)
    if is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value))
        return replace(value, **{f.name: _spoiled(getattr(value, f.name), hints[f.name], text) for f in fields(value)})
    return value

"""What clients of a running database meet, as its log and theirs tell: cut connections, statements, empty pools."""

from __future__ import annotations

from collections.abc import Iterator

from rbdiag.diagnose import db_attempt, db_view
from rbdiag.diagnose.db_attempt import age, by_clients, in_window
from rbdiag.facts import percent, size, span
from rbdiag.facts.db import Login
from rbdiag.facts.logs import LogEvent, LogRead
from rbdiag.facts.sessions import Connections, DbRates, LockWait, ServerInfo, Session
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# A pool of a hundred connections that lie idle for the default 8 hours loses about 12 an hour to the server, and takes
# new ones. More than twice that, and at least ten, is a timeout that fits no pool.
_IDLE_AN_HOUR, _IDLE_LINES = 30.0, 10
# No pool keeps its connections for less than a minute; a server that does takes them from under it.
_SHORT_TIMEOUT = 60.0
# A time for wait_timeout that common pools stay below with their own limits (HikariCP 30 min, SQLAlchemy's advice 1 h).
_USUAL_TIMEOUT = 28800
# An administrator ends a session now and then; three in the window is somebody or something that does it again and again.
_KILLED = 3
# A report that is cut once has met the limit that is there for it; three of them, or one just now, is a fault.
_TIMEOUTS, _JUST_NOW = 3, 600.0
# Of the connections the server allows: below this it has room, and the pool is the bottleneck.
_ROOM = 0.90
# Packets: what a server takes at the most, and what the next step up from a small limit is (MySQL 8's default).
_PACKET_STEP, _PACKET_MOST = 64 << 20, 1 << 30


def _hours(facts: Facts) -> float:
    """How long the server's log was read, in hours; at least a tenth, for a rate from less means nothing."""
    spans = [
        r.seen_at - r.since
        for r in facts.of(LogRead)
        if r.side == "server" and r.since is not None and r.seen_at is not None
    ]
    return max(0.1, max(spans, default=3600.0) / 3600.0)


def _whose(lines: tuple[LogEvent, ...]) -> str:
    """The accounts that the lines are about, the most frequent first."""
    names = [e.name for e in sorted(lines, key=lambda e: -e.count) if "@" in e.name]
    return f" of {', '.join(names[:2])}" if names else ""


IDLE_TIMEOUT = Spec(
    code="db.idle-timeout-gone-away",
    title="the server closes idle connections that clients still want to use",
    severity=Severity.WARNING,
    meaning="A connection that was idle for longer than wait_timeout is closed by the server. A pool that does not know hands "
    "it out, and its first statement fails with 2006, 2013 or 4031.",
    told="Lines about timeouts of idle connections at a rate that no pool explains, or with a wait_timeout under a minute; or "
    "some of them together with `gone away` in a client's log; or error 4031 there.",
    not_to_be_taken_for="a few such lines an hour, which every pool makes; a packet that is too large; a crash; KILL.",
    resolution=("let the pool test or retire connections before wait_timeout", "or raise wait_timeout"),
)  # fmt: skip


def idle_timeout(facts: Facts) -> Iterator[Finding]:
    closed = in_window(facts, "idle-closed")
    gone = by_clients(facts, "gone-away", "lost-connection")
    told = tuple(e for e in gone if e.number == 4031 or e.name in ("wait_timeout", "inactivity"))
    info = facts.last(ServerInfo)
    short = info is not None and info.wait_timeout < _SHORT_TIMEOUT
    count, hours = sum(e.count for e in closed), _hours(facts)
    often = count >= _IDLE_LINES and count / hours >= _IDLE_AN_HOUR
    if not (told or (closed and (often or short or gone))) or in_window(facts, "packet"):
        return
    if not told and not often and not short and db_attempt.since_start(facts, "signal", "fatal"):
        return  # who was gone is the server
    limit = f" after {span(info.wait_timeout)}" if info is not None else ""
    seen = f"{count:,} in {span(hours * 3600)}" if closed else f"{sum(e.count for e in told)} statements failed of it"
    lines = (*closed[-3:], *(told or gone)[-3:])
    yield Finding(
        IDLE_TIMEOUT, Severity.WARNING, Confidence.CERTAIN if told else Confidence.LIKELY, db_view.label(facts),
        f"the server closes idle connections{_whose(closed)}{limit}, and clients still use them ({seen})",
        evidence=(*lines, *([info] if info is not None else [])), resolution=tuple(_keep_idle(facts, info)),
        about=db_view.about(facts), impact=0.5,
    )  # fmt: skip


def _keep_idle(facts: Facts, info: ServerInfo | None) -> Iterator[Step]:
    yield Step(
        "see how long connections lie idle",
        db_view.sql(
            "SELECT user, host, time FROM information_schema.processlist WHERE command = 'Sleep' ORDER BY time DESC LIMIT 20",
            facts,
        ),
    )
    yield Step(
        "let the pool test a connection before it hands it out (pre-ping), and retire it before wait_timeout",
        risk="disruptive",
    )
    if info is not None and info.wait_timeout < _USUAL_TIMEOUT:
        yield db_view.set_global("wait_timeout", str(_USUAL_TIMEOUT), "the default of 8 h, for new connections", facts)
        yield from db_view.change_option("wait_timeout", str(_USUAL_TIMEOUT), "so that it stays after a restart", facts)


PACKET_TOO_LARGE = Spec(
    code="db.packet-too-large",
    title="a statement is larger than the server takes",
    severity=Severity.WARNING,
    meaning="A statement or a row is larger than max_allowed_packet. The server refuses it and closes the connection: one "
    "client sees error 1153, another only that the server has gone away.",
    told="`Got a packet bigger than 'max_allowed_packet' bytes` in the server's log, or error 1153 in a client's.",
    not_to_be_taken_for="a scanner that speaks another protocol, which the server logs as unauthenticated; an idle timeout.",
    resolution=("raise max_allowed_packet on the server, and on the client as well", "or send smaller rows"),
    explains=("db.idle-timeout-gone-away",),
)


def packet_too_large(facts: Facts) -> Iterator[Finding]:
    lines = (*in_window(facts, "packet"), *by_clients(facts, "packet"))
    if not lines:
        return
    info = facts.last(ServerInfo)
    limit = info.max_allowed_packet if info is not None else None
    ask = Step("see the limit", db_view.sql("SELECT @@GLOBAL.max_allowed_packet", facts))
    resolution = [ask]
    if limit is not None and limit < _PACKET_MOST:
        wanted = max(_PACKET_STEP, min(_PACKET_MOST, limit * 2))
        why = f"{size(wanted)}; now {size(limit)}, 1 GiB at the most; for new connections"
        resolution += [
            db_view.set_global("max_allowed_packet", str(wanted), why, facts),
            *db_view.change_option("max_allowed_packet", f"{wanted >> 20}M", "so that it stays after a restart", facts),
        ]
    resolution.append(Step("set the same on the client, or let it send smaller rows", risk="disruptive"))
    yield Finding(
        PACKET_TOO_LARGE, Severity.WARNING, Confidence.CERTAIN, db_view.label(facts),
        f"statements{_whose(lines)} are larger than max_allowed_packet" + (f" ({size(limit)})" if limit is not None else "")
        + ": the server refuses them and closes the connection",
        evidence=(*lines[-4:], *([info] if info is not None else [])), resolution=tuple(resolution),
        about=db_view.about(facts), impact=0.5,
    )  # fmt: skip


QUERY_KILLED = Spec(
    code="db.query-killed",
    title="somebody ends sessions or statements again and again",
    severity=Severity.WARNING,
    meaning="Sessions or statements are ended by KILL: an administrator, or a tool such as pt-kill. Their clients see 1317, "
    "2013 or that the server has gone away.",
    told="Three or more sessions that the server logs as killed, or statements that a client's log says were interrupted; or "
    "connections that a client's log says were lost in the middle of work, while the server ran on and was given KILLs.",
    not_to_be_taken_for="one session that an administrator ended; the shutdown, which ends all; a time limit on statements.",
    resolution=("find who does it", "adjust its rule"),
    explains=("db.idle-timeout-gone-away",),
)


def query_killed(facts: Facts) -> Iterator[Finding]:
    lines = (*in_window(facts, "killed"), *by_clients(facts, "interrupted", "killed"))
    times = max(sum(e.count for e in lines if e.side == side) for side in ("server", "client"))
    lost, counted = _lost_while_up(facts), facts.last(DbRates)
    if times >= _KILLED:
        sure = any(e.kind == "killed" for e in lines)
        text, evidence = f"somebody has ended {times:,} sessions or statements{_whose(lines)} with KILL", lines[-4:]
        yield _killed(text, Confidence.CERTAIN if sure else Confidence.LIKELY, evidence, facts)
    elif sum(e.count for e in lost) >= _KILLED and counted is not None and (counted.kills or 0) >= _KILLED:
        # By default MariaDB logs no KILL; its counter does not tell whose they were.
        cut = sum(e.count for e in lost)
        text = f"clients lost {cut:,} connections in the middle of work while the server ran on, and it was given {counted.kills:,} KILLs"
        yield _killed(text, Confidence.LIKELY, (*lost[-3:], counted), facts)


def _lost_while_up(facts: Facts) -> tuple[LogEvent, ...]:
    """Connections that clients lost while they worked, by their logs, all since the server's start."""
    info = facts.last(ServerInfo)
    if info is None or info.seen_at is None or not db_attempt.up(facts):
        return ()
    start = info.seen_at - info.uptime
    return tuple(e for e in by_clients(facts, "lost-connection") if e.first_at is not None and e.first_at > start)


def _killed(text: str, confidence: Confidence, evidence: tuple[Fact, ...], facts: Facts) -> Finding:
    return Finding(
        QUERY_KILLED, Severity.WARNING, confidence, db_view.label(facts), text, evidence=evidence,
        resolution=(
            Step("find tools that do it, running or in cron", "ps -eo pid,user,args | grep -iE '[p]t-ki|[m]ysqladmin|[m]ariadb-admin'; grep -rliE 'pt-ki|mysqladmin|mariadb-admin' /etc/cron* 2>/dev/null"),
            Step("see who may", db_view.sql("SELECT grantee, privilege_type FROM information_schema.user_privileges WHERE privilege_type IN ('SUPER', 'CONNECTION ADMIN', 'CONNECTION_ADMIN')", facts)),
            Step("adjust the rule of whoever it is, then let the clients connect again", risk="disruptive"),
        ),
        about=db_view.about(facts), impact=0.4,
    )  # fmt: skip


POOL_EXHAUSTED = Spec(
    code="db.client-pool-exhausted",
    title="a client's connection pool is empty while the server has room",
    severity=Severity.WARNING,
    meaning="All connections of an application's pool are in use and requests wait for one in vain. The server would take "
    "more: connections are held too long, or are never given back, or the pool is too small.",
    told="The pool's own message in a client's log, while the server has at least a tenth of its connections free.",
    not_to_be_taken_for="a server that is full (1040): then it is the limit, not the pool.",
    resolution=(
        "see what the connections of the pool do",
        "shorten transactions, give connections back",
        "then size the pool",
    ),
    explains=(
        "api.app-exception",
        "api.upstream-timeout",
    ),
)


def pool_exhausted(facts: Facts) -> Iterator[Finding]:
    lines = by_clients(facts, "pool-exhausted")
    used = facts.last(Connections)
    full = (
        (used is not None and used.part >= _ROOM) or any(i.word == "too-many-connections" for i in facts.of(Login))
        or by_clients(facts, "too-many-connections")
    )  # fmt: skip
    if not lines or full or not db_attempt.up(facts):
        return
    pool = next((f" {e.name}" for e in lines if e.name), "")
    room = (
        f"; the server has {used.connected} of {used.limit} connections in use ({percent(used.part)})"
        if used is not None
        else ""
    )
    waits = (
        *facts.of(LockWait)[:2],
        *[s for s in facts.of(Session) if s.transaction is not None and s.transaction > 1.0 and not s.own][:2],
    )
    yield Finding(
        POOL_EXHAUSTED, Severity.WARNING, Confidence.LIKELY, lines[-1].subject,
        f"the application's pool{pool} has no connection left{room}",
        evidence=(*lines[-3:], *([used] if used is not None else []), *waits),
        resolution=(
            Step("see what its connections do, and for how long", db_view.sql("SELECT user, host, command, state, time, LEFT(info, 60) FROM information_schema.processlist ORDER BY time DESC LIMIT 20", facts)),
            Step("see transactions that stay open", db_view.sql("SELECT trx_mysql_thread_id, trx_started, trx_state FROM information_schema.innodb_trx ORDER BY trx_started LIMIT 10", facts)),
            Step("give connections back as soon as the statement is done; only then let the pool be larger, by the room the server has", risk="disruptive"),
        ),
        about=db_view.about(facts, lines[-1].subject), impact=0.5,
    )  # fmt: skip


STATEMENT_TIMEOUT = Spec(
    code="db.statement-timeout",
    title="statements are cut by a time limit",
    severity=Severity.WARNING,
    meaning="The server ends statements that run longer than max_statement_time or max_execution_time allows.",
    told="Error 1969 or 3024 in a client's log, three times or within ten minutes; or the server's own counter rises.",
    not_to_be_taken_for="a lock wait (1205); KILL QUERY (1317); one report that met its limit an hour ago.",
    resolution=("find the statement and make it faster", "then, if need be, raise its own limit"),
)


def statement_timeout(facts: Facts) -> Iterator[Finding]:
    lines = by_clients(facts, "statement-timeout")
    rates, info = facts.last(DbRates), facts.last(ServerInfo)
    new = (rates.statement_timeouts_new or 0) if rates is not None else 0
    count = sum(e.count for e in lines)
    just_now = any((seconds := age(e)) is not None and seconds <= _JUST_NOW for e in lines)
    if not (new or count >= _TIMEOUTS or just_now):
        return
    limit = f" of {span(info.max_statement_time)}" if info is not None and info.max_statement_time else ""
    much = (
        f"{count:,} in the client's log"
        if count
        else f"{new} within {span(rates.seconds) if rates is not None else '?'}"
    )
    variable = "max_statement_time" if db_view.flavour(facts) == "MariaDB" else "max_execution_time"
    yield Finding(
        STATEMENT_TIMEOUT, Severity.WARNING, Confidence.CERTAIN, db_view.label(facts),
        f"statements are cut by the server's time limit{limit} ({much})",
        evidence=(*lines[-3:], *([rates] if new and rates is not None else []), *([info] if info is not None else [])),
        resolution=(
            Step("see the limit", db_view.sql(f"SELECT @@GLOBAL.{variable}", facts)),
            Step("see which statements run long", db_view.sql("SELECT id, time, LEFT(info, 80) FROM information_schema.processlist WHERE command = 'Query' ORDER BY time DESC LIMIT 10", facts)),
            Step("read the plan of the statement that is cut (EXPLAIN), and give it the index that it lacks", risk="safe"),
            Step("if it has to run so long: raise the limit for that session or statement alone", risk="disruptive"),
        ),
        about=db_view.about(facts), impact=0.4,
    )  # fmt: skip


RULES = (idle_timeout, packet_too_large, query_killed, pool_exhausted, statement_timeout)

"""A server that answers and is in trouble: out of connections, slow statements, deadlocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil

from rbdiag.diagnose import db_locks, db_view
from rbdiag.diagnose.login_steps import literal
from rbdiag.facts import number, size, span
from rbdiag.facts.db import Account, Greeting, Login, ServerProcess
from rbdiag.facts.host import Memory
from rbdiag.facts.sessions import (
    Connections,
    DbRates,
    Innodb,
    LockWait,
    ServerInfo,
    Session,
    SessionGroup,
)
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# MySQLTuner warns from 85 %; below that a pool has room to grow.
_NEARLY = 0.85
# Where so many of the connections do the same, that is the story.
_MOST_OF_THEM = 0.6
# What a connection may take: its stack and the buffers of one statement that sorts and joins.
_PER_CONNECTION = 3 << 20
# Files a server needs besides its connections: tables, logs, its own.
_FILES_BESIDE = 100
_KILL_SHOWN = 6
# long_query_time's default, what both servers call slow. Several at once are slow earlier: a request waits for each.
_LONG, _SLOW, _SEVERAL = 10.0, 2.0, 4
# A statement on a MyISAM table keeps others out of it.
_KEEPS_OUT = 2.0
# So many rows looked at in a second are whole tables, not indexes.
_SCANS = 100_000.0
# A deadlock of the last minute may be one of a row; of the last quarter of an hour it is worth a note.
_FRESH, _WORTH_A_NOTE = 60.0, 900.0

TOO_MANY_CONNECTIONS = Spec(
    code="db.too-many-connections",
    title="all connections that the server allows are in use",
    severity=Severity.CRITICAL,
    meaning="The server holds as many connections as max_connections allows, and turns every new one away with error 1040. Either "
    "clients keep connections that they do not use (a leak, pools too large together), or sessions pile up because "
    "they wait for something.",
    told="Error 1040 at the greeting or the login, or as many connections as the limit; a warning from 85 %.",
    not_to_be_taken_for="the limit of one account (1203, 1226); a peak of the past (Max_used_connections); many sleeping "
    "connections with room left.",
    resolution=("see who holds them", "end what sleeps longest, raise the limit for now", "mend the pool; find what they wait for"),
    explains=("db.host-blocked", "db.client-pool-exhausted", "api.app-exception"),
)  # fmt: skip


def too_many_connections(facts: Facts) -> Iterator[Finding]:
    refused: list[Fact] = [i for i in facts.of(Login) if i.word == "too-many-connections"]
    refused += [g for g in facts.of(Greeting) if g.word == "error" and g.code == 1040]
    c, rates, label = facts.last(Connections), facts.last(DbRates), db_view.label(facts)
    turned_away = rates is not None and rates.refused_max_connections_new > 0
    full = bool(refused) or (c is not None and c.part >= 1) or turned_away
    told = db_locks.recent(facts, "too-many-connections")
    often = sum(e.count for e in told) >= db_locks.REPEATED
    if not full and (c is None or c.part < _NEARLY) and not often:
        return
    groups = [g for g in facts.of(SessionGroup) if c is None or g.count >= 0.1 * c.connected][:3]
    if full:
        level, sure = Severity.CRITICAL, Confidence.CERTAIN
        what = (
            f"all {c.limit:,} connections are in use"
            if c
            else "the server turns us away: all its connections are in use (1040)"
        )
    elif c is not None and c.part >= _NEARLY:
        level, sure = Severity.WARNING, Confidence.CERTAIN
        what = f"{c.connected:,} of {c.limit:,} connections are in use"
    else:
        level, sure = Severity.WARNING, Confidence.POSSIBLE
        what = f"clients were turned away (1040) {sum(e.count for e in told)} times lately; there is room now"
    evidence = (*refused, *([c] if c else []), *groups, *([rates] if rates and turned_away else []), *told[:2])
    yield Finding(
        TOO_MANY_CONNECTIONS, level, sure, label, what + _why_full(c, groups), evidence=evidence,
        against=(c,) if c and not full and c.part < _NEARLY else (),
        resolution=(*_see_who(c, facts), *_end_sleepers(c, facts), *_more_connections(c, facts), *_shorter_sleep(c, facts)),
        about=db_view.about(facts, *(g.subject for g in groups)), impact=c.part if c else 1.0,
    )  # fmt: skip


def _why_full(c: Connections | None, groups: list[SessionGroup]) -> str:
    """Who holds them, and what most of them do."""
    if c is None or not groups:
        return ""
    most = groups[0]
    if c.waiting >= _MOST_OF_THEM * c.connected:
        return f": {c.waiting:,} wait for locks"
    if c.sleeping >= _MOST_OF_THEM * c.connected:
        return f": {c.sleeping:,} sleep, {most.count:,} are {most.subject}'s (longest {span(most.longest_sleep)})"
    return f": {most.count:,} are {most.subject}'s, {c.running:,} of all run statements"


def _see_who(c: Connections | None, facts: Facts) -> Iterator[Step]:
    if c is None:
        yield Step(
            "get in beside the limit: the server keeps one connection for an administrator (SUPER, CONNECTION ADMIN); see who holds them",
            db_view.sql(_WHO, facts),
        )  # fmt: skip
    else:
        yield Step("see who holds them, and for how long", db_view.sql(_WHO, facts))


_WHO = (
    "SELECT USER, SUBSTRING_INDEX(HOST, ':', 1) AS client, COMMAND, COUNT(*), MAX(TIME) "
    "FROM information_schema.PROCESSLIST GROUP BY 1, 2, 3 ORDER BY 4 DESC"
)


def _sleepers(facts: Facts) -> list[Session]:
    asleep = [s for s in facts.of(Session) if s.command == "Sleep" and not s.background]
    return sorted({s.id: s for s in asleep}.values(), key=lambda s: -s.seconds)[:_KILL_SHOWN]


def _end_sleepers(c: Connections | None, facts: Facts) -> Iterator[Step]:
    asleep = _sleepers(facts)
    if c is None or c.sleeping < _MOST_OF_THEM * c.connected or not asleep:
        return
    holders = {w.blocker for w in facts.of(LockWait)}
    ids = [s for s in asleep if s.id not in holders and s.transaction is None]
    if ids:
        yield Step(
            f"make room now: end the {len(ids)} that sleep longest ({span(ids[-1].seconds)} and more, none in a transaction)",
            db_view.sql("; ".join(f"KILL {s.id}" for s in ids), facts), "disruptive",
            db_view.sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'", facts),
        )  # fmt: skip


def _more_connections(c: Connections | None, facts: Facts) -> Iterator[Step]:
    """A limit a quarter higher, at least fifty, as far as memory and file descriptors allow."""
    info = facts.last(ServerInfo)
    limit = c.limit if c else info.max_connections if info else None
    if limit is None:
        return
    wanted = max(limit + 50, ceil(limit * 1.25))
    bounds = []
    memory = facts.last(Memory) if facts.first(ServerProcess) else None
    if memory is not None:
        bounds.append(
            (limit + memory.available // 2 // _PER_CONNECTION, f"half of the {size(memory.available)} available")
        )
    if info and info.open_files_limit:
        bounds.append((info.open_files_limit - _FILES_BESIDE, f"open_files_limit is {info.open_files_limit:,}"))
    most, bound = min(bounds, default=(wanted, ""))
    value = min(wanted, most)
    if value < limit + 10:
        yield Step(f"the limit itself cannot go up: {bound}")
        return
    why = f"from {limit:,}; " + (
        f"no more, as {bound}" if most < wanted else "a quarter more, at least 50; each may take 3 MiB"
    )
    yield db_view.set_global("max_connections", str(value), why, facts)
    yield from db_view.change_option("max_connections", str(value), "so that it stays after a restart", facts)


def _shorter_sleep(c: Connections | None, facts: Facts) -> Iterator[Step]:
    info = facts.last(ServerInfo)
    if c is None or c.sleeping < _MOST_OF_THEM * c.connected:
        return
    if info is not None and info.wait_timeout > 600:
        yield db_view.set_global(
            "wait_timeout", "600", f"now {span(info.wait_timeout)}: closes what sleeps for ten minutes; pools must test "
            "connections before use; new sessions only", facts,
        )  # fmt: skip
    yield Step("in the clients: all pools together must stay below the limit; give connections back; look for the leak in "
               "whoever holds most")  # fmt: skip


USER_CONNECTION_LIMIT = Spec(
    code="db.user-connection-limit",
    title="an account has used up its own limit",
    severity=Severity.CRITICAL,
    meaning="The server has room, and this account may not have more: a limit of connections at once, or of connections, queries or "
    "updates an hour.",
    told="Error 1203, or 1226 that names the resource.",
    not_to_be_taken_for="1040, the limit of the whole server; an account at its limit whose clients are content.",
    resolution=("see who holds them", "raise the account's limit", "mend the pool"),
    explains=("db.client-pool-exhausted",),
)  # fmt: skip

_RESOURCE = re.compile(r"exceeded the '(\w+)' resource|more than '(max_user_connections)'")
_WITH = {
    "max_user_connections": "MAX_USER_CONNECTIONS", "max_connections_per_hour": "MAX_CONNECTIONS_PER_HOUR",
    "max_connections": "MAX_CONNECTIONS_PER_HOUR", "max_questions": "MAX_QUERIES_PER_HOUR",
    "max_queries_per_hour": "MAX_QUERIES_PER_HOUR", "max_updates": "MAX_UPDATES_PER_HOUR",
    "max_updates_per_hour": "MAX_UPDATES_PER_HOUR",
}  # fmt: skip


def user_connection_limit(facts: Facts) -> Iterator[Finding]:
    refused = next((i for i in facts.of(Login) if i.word == "user-limit"), None)
    told = db_locks.recent(facts, "user-limit")
    if refused is None and sum(e.count for e in told) < db_locks.REPEATED:
        return
    text = refused.text if refused else told[0].text
    found = _RESOURCE.search(text)
    resource = (found[1] or found[2]) if found else "max_user_connections"
    user = (refused.user if refused else "") or next((e.name for e in told if e.name), "")
    groups = [g for g in facts.of(SessionGroup) if user and g.subject.partition("@")[0] == user][:3]
    account = next((a for a in facts.of(Account) if a.matches), None)
    who = f"account {user}" if user else "an account"
    at_once = resource == "max_user_connections"
    held = sum(g.count for g in groups)
    what = f"holds {held:,} connections, all it may have at once" if at_once and held else f"has used up its {resource}"
    full = " (now there is room)" if refused is None else ""
    yield Finding(
        USER_CONNECTION_LIMIT, Severity.CRITICAL if refused else Severity.WARNING,
        Confidence.CERTAIN if refused else Confidence.POSSIBLE, db_view.label(facts),
        f"{who} {what}: the server turns it away ({(refused.code if refused else None) or 1226}){full}",
        evidence=(*([refused] if refused else []), *groups, *([account] if account else []), *told[:2]),
        resolution=tuple(_raise_limit(user, resource, account, facts)),
        about=db_view.about(facts, *(g.subject for g in groups)), impact=0.9,
    )  # fmt: skip


def _raise_limit(user: str, resource: str, account: Account | None, facts: Facts) -> Iterator[Step]:
    yield Step("see who holds its connections", db_view.sql(_WHO, facts))
    info = facts.last(ServerInfo)
    own = account.max_user_connections if account else None
    if resource == "max_user_connections" and not own and info and info.max_user_connections:
        value = min(info.max_connections, info.max_user_connections + max(10, ceil(info.max_user_connections / 4)))
        if value > info.max_user_connections:
            yield db_view.set_global(
                "max_user_connections",
                str(value),
                f"from {info.max_user_connections}; for every account without a limit of its own",
                facts,
            )
            yield from db_view.change_option(
                "max_user_connections", str(value), "so that it stays after a restart", facts
            )
    elif user and resource in _WITH:
        value = own + max(10, ceil(own / 4)) if own else 0
        name = account.subject if account else f"{literal(user)}@'%'"
        more = f"from {own} to {value}" if value else "0 is no limit"
        yield Step(
            f"raise what {name} may have ({more})", db_view.sql(f"ALTER USER {name} WITH {_WITH[resource]} {value}", facts),
            "disruptive", db_view.again(facts),
        )  # fmt: skip
    if resource == "max_user_connections":
        yield Step(
            "in the clients: all pools of this account together must stay below its limit; give connections back"
        )
    else:
        yield Step("the count begins anew within the hour; earlier with this, which sets back every account's",
                   db_view.sql("FLUSH USER_RESOURCES", facts), "disruptive", db_view.again(facts))  # fmt: skip


SLOW_QUERY = Spec(
    code="db.slow-query",
    title="statements run for long",
    severity=Severity.WARNING,
    meaning="Statements work for seconds and wait for nobody: they read too many rows (no fitting index), or the host is too slow for "
    "them. Connections stay in use meanwhile, and locks may be held.",
    told="A statement that has run for ten seconds, or four at once for two, and that no lock table and no state shows "
    "waiting; changes of tables, backups, replication and the server's own threads left out.",
    not_to_be_taken_for="sessions that wait for locks; ALTER without waiters; Binlog Dump, the event scheduler.",
    resolution=("EXPLAIN it", "KILL QUERY", "an index; a limit for statements"),
    explains=(*db_locks.EXPLAINS, "cpu.db-query", "timeout.worker-starvation", "api.upstream-timeout"),
)  # fmt: skip

_MAINTENANCE = re.compile(
    r"(?:/\*.*?\*/\s*)*(?:ALTER|CREATE|OPTIMIZE|ANALYZE|REPAIR|CHECK|RENAME|DROP|TRUNCATE|BACKUP|FLUSH|LOAD|CHECKSUM|"
    r"START|STOP|CHANGE|SHUTDOWN|INSTALL|LOCK|SET|SHOW|KILL)\b", re.IGNORECASE | re.DOTALL,
)  # fmt: skip
# It waits on purpose: for an application's own lock, or for a replica to come so far.
_PATIENT = ("User lock", "Waiting for the slave SQL thread", "Waiting for GTID", "Waiting for the SQL thread")


def slow_query(facts: Facts) -> Iterator[Finding]:
    holders = {w.blocker for w in facts.of(LockWait) if w.kind != "table" or w.held_by != "statement"}
    waiters = {w.waiter for w in facts.of(LockWait)}
    kept_out: dict[int | None, list[LockWait]] = {}
    for wait in facts.of(LockWait):
        if wait.kind == "table" and wait.held_by == "statement" and not wait.applier:
            kept_out.setdefault(wait.blocker, []).append(wait)
    running = [
        s for s in db_locks.sessions(facts).values()
        if s.command in ("Query", "Execute") and not s.background and not s.own and not s.waits_for
        and s.id not in waiters and s.id not in holders and s.statement and not _MAINTENANCE.match(s.statement)
        and not s.state.startswith(_PATIENT) and not _row_wait_unseen(s, facts)
    ]  # fmt: skip
    running.sort(key=lambda s: (-len(kept_out.get(s.id, ())), -s.seconds))
    slow = [s for s in running if s.seconds >= _LONG or (s.id in kept_out and s.seconds >= _KEEPS_OUT)]
    several = [s for s in running if s.seconds >= _SLOW]
    if not slow and len(several) < _SEVERAL:
        return
    named = slow or several
    first, rates, label = named[0], facts.last(DbRates), db_view.label(facts)
    behind = kept_out.get(first.id, [])
    waits = f"; {db_locks.queue(sorted(behind, key=lambda w: -w.seconds))} for its table" if behind else ""
    others = f" ({len(named) - 1} more run likewise)" if len(named) > 1 else ""
    scans = rates is not None and rates.rows_scanned >= _SCANS
    scanned = f", {number(rates.rows_scanned)} rows/s are scanned" if rates and scans else ""
    yield Finding(
        SLOW_QUERY, db_locks.severity(behind, facts) if behind else Severity.WARNING, Confidence.LIKELY, first.subject,
        f"{db_locks.who(first.id, facts)} has run for {span(first.seconds)}{others}{scanned}{waits}: {db_locks.cut(first.statement)}",
        evidence=(*named[:5], *behind[:3], *([rates] if rates and scans else [])),
        resolution=tuple(_make_faster(first, facts)),
        about=db_view.about(facts, label, *(s.subject for s in named), *(w.subject for w in behind)),
        impact=min(1.0, len(named) / 10),
    )  # fmt: skip


def _row_wait_unseen(s: Session, facts: Facts) -> bool:
    """Whether it may as well wait for a row: the lock tables are closed to us, and somebody waits."""
    unseen = any(r.row_waits_lasting for r in facts.of(DbRates)) and not facts.of(LockWait)
    return unseen and s.state.lower() in ("updating", "update", "statistics", "executing", "sending data")


def _make_faster(s: Session, facts: Facts) -> Iterator[Step]:
    explain = f"SHOW EXPLAIN FOR {s.id}" if db_view.flavour(facts) == "MariaDB" else f"EXPLAIN FOR CONNECTION {s.id}"
    yield Step(
        "see how the server carries it out: type ALL on a large table is a missing index", db_view.sql(explain, facts)
    )
    yield Step(f"end the statement; its session stays: {db_locks.cut(s.statement)}", db_view.sql(f"KILL QUERY {s.id}", facts),
               "disruptive", db_view.sql("SHOW FULL PROCESSLIST", facts))  # fmt: skip
    info = facts.last(ServerInfo)
    if info is not None and info.max_statement_time is None:
        maria = db_view.flavour(facts) == "MariaDB"
        name, value = ("max_statement_time", "60") if maria else ("max_execution_time", "60000")
        yield db_view.set_global(
            name, value, "ends what runs longer than a minute; there is no limit now; new sessions only"
            + ("" if maria else "; SELECT only"), facts,
        )  # fmt: skip
    yield Step("add the index that EXPLAIN misses, or run it where it harms nobody (a replica, at night)")


# Of all statements: a busy server whose applications try again lives with less, and throughput does not show it.
_DEADLOCKS = 0.001

DEADLOCK = Spec(
    code="db.deadlock",
    title="transactions deadlock",
    severity=Severity.WARNING,
    meaning="Two transactions lock the same rows in different orders; InnoDB ends one of them with error 1213. One now and then is "
    "normal for a busy application that tries again; many mean that its transactions are built against each other.",
    told="The server's count of deadlocks grew by three or more while we looked, or by one after another in the minute before; or "
    "clients report several in the last quarter of an hour. A single one is a note.",
    not_to_be_taken_for="LATEST DETECTED DEADLOCK of an hour ago, which is history; lock waits, which do not end by themselves.",
    resolution=("read both statements", "lock rows in one order, in small transactions", "try again after 1213"),
)  # fmt: skip


def deadlock(facts: Facts) -> Iterator[Finding]:
    rates, innodb = facts.last(DbRates), facts.last(Innodb)
    told = db_locks.recent(facts, "deadlock")
    new = (rates.deadlocks_new or 0) if rates else 0
    said = sum(e.count for e in told)
    age = None
    if innodb and innodb.deadlock_at is not None and innodb.seen_at is not None:
        age = innodb.seen_at - innodb.deadlock_at
    recent = age is not None and age <= _WORTH_A_NOTE
    fresh = age is not None and age <= _FRESH
    if not new and said < db_locks.REPEATED and not recent:
        return
    if new and rates:
        # One that falls into our second by chance is not many, nor is one among thousands of statements that is tried again.
        often = (new >= db_locks.REPEATED or fresh) and new >= _DEADLOCKS * rates.queries * rates.seconds
        level, sure = Severity.WARNING if often else Severity.NOTE, Confidence.CERTAIN
        what = f"{new} deadlock{'s' if new > 1 else ''} in {span(rates.seconds)}"
    elif said >= db_locks.REPEATED:
        level, sure, what = Severity.WARNING, Confidence.LIKELY, f"{said} deadlocks in the last quarter of an hour"
    else:
        level, sure, what = Severity.NOTE, Confidence.POSSIBLE, f"the latest deadlock was {span(age or 0)} ago"
    between = f": {db_locks.cut(innodb.deadlock_text)}" if innodb and recent and innodb.deadlock_text else ""
    yield Finding(
        DEADLOCK, level, sure, db_view.label(facts), f"transactions deadlock: {what}{between}" if level else f"{what}{between}",
        evidence=(*([rates] if rates and new else []), *([innodb] if innodb and recent else []), *told[:2]),
        resolution=(
            Step("read both sides of the latest one", db_view.sql("SHOW ENGINE INNODB STATUS\\G", facts)),
            db_view.set_global("innodb_print_all_deadlocks", "ON", "writes each into the error log", facts),
            Step("in the application: lock rows in one order (by primary key), in short transactions; try again after 1213"),
        ),
        about=db_view.about(facts), impact=min(1.0, new / 10),
    )  # fmt: skip


RULES = (too_many_connections, user_connection_limit, slow_query, deadlock)

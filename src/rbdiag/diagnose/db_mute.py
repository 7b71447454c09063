"""Who answers at the database's endpoint, and how: nobody at all, another program, a server out of descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.db import DATABASES, PROXIES, away, covers, dial, named_like
from rbdiag.facts import span
from rbdiag.facts.db import DbTarget, Greeting, Login, ServerProcess
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import Listener, SocketAnswer, TcpAnswer
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# A server out of descriptors keeps none in reserve: within this many of the limit nothing can be opened any more.
_FDS_LEFT = 5
_LOOPBACK = ("127.0.0.1", "::1")


HUNG = Spec(
    code="db.hung",
    title="the server takes connections and never answers",
    severity=Severity.CRITICAL,
    meaning="The kernel accepts connections for the server, which says nothing: it is stopped (SIGSTOP, a debugger), waits in "
    "the kernel for a disk, or is deadlocked inside.",
    told="A connection opens and no greeting comes, or no answer to the login after it; or the queue of waiting clients is "
    "full. The process's state (T, t, D) makes it certain.",
    not_to_be_taken_for="a path that drops packets (the connection does not open); a slow reverse lookup of the client's "
    "name, after which the greeting comes; another program on the port.",
    resolution=("let a stopped process go on: kill -CONT", "see its stacks", "restart it"),
    explains=("db.replica-stopped", "net.drop"),
)


def hung(facts: Facts) -> Iterator[Finding]:
    found, process = db_view.target(facts), db_view.server(facts)
    greeting, socket = facts.first(Greeting), facts.first(SocketAnswer)
    logins = facts.of(Login)
    unheard = [i for i in logins if i.word == "silent"]
    if found is None:
        return
    # A name that is looked up for long keeps clients waiting as well, but none is for loopback: then TCP itself is stuck.
    stuck = (
        greeting is not None and greeting.word == "silent" and any(a.address in _LOOPBACK for a in facts.of(TcpAnswer))
    )
    if any(i.word == "ok" for i in logins) and not stuck:
        return
    if greeting is not None and greeting.word not in ("silent", "closed", "reset") and not unheard:
        return
    stopped = process is not None and process.state in ("T", "t", "D")
    listening = _listeners(facts)
    full = [one for one in listening if one.full]
    mute: list[Fact] = [*unheard, *([greeting] if greeting is not None and greeting.word == "silent" else [])]
    mute += [a for a in facts.of(TcpAnswer) if a.word == "silent" and full]
    mute += [socket] if socket is not None and socket.word == "full" else []
    if not mute and not (stopped and process is not None and process.state != "D" and greeting is None):
        return
    if not mute and away(facts):
        return
    if process is None and any(
        one.process and not named_like(one.process, (*DATABASES, *PROXIES)) for one in listening
    ):
        return  # another program: db.not-mysql
    unresolved = [e for e in facts.of(LogEvent) if e.kind == "unresolved"]
    yield Finding(
        HUNG, Severity.CRITICAL, _surely(process, unresolved, full), found.subject, _mute_text(found, process, greeting, full, listening),
        evidence=(*mute, *([process] if process else []), *full[:2]), against=tuple(unresolved[-1:]),
        resolution=tuple(_wake(found, process, facts)), about=db_view.about(facts), impact=1.0 if stopped else 0.8,
    )  # fmt: skip


def _listeners(facts: Facts) -> list[Listener]:
    """What listens on this host for the target."""
    found = db_view.target(facts)
    if found is None or found.socket or not found.local:
        return []
    return [one for one in facts.of(Listener) if any(covers(one, a) for a in facts.of(TcpAnswer))]


def _surely(process: ServerProcess | None, unresolved: list[LogEvent], full: list[Listener]) -> Confidence:
    if process is not None and process.state in ("T", "t"):
        return Confidence.CERTAIN
    return Confidence.POSSIBLE if unresolved and not full else Confidence.LIKELY


def _mute_text(
    found: DbTarget,
    process: ServerProcess | None,
    greeting: Greeting | None,
    full: list[Listener],
    listening: list[Listener],
) -> str:
    for_long = f" for {span(greeting.seconds)}" if greeting is not None and greeting.word == "silent" else ""
    takes = (
        "greets, and leaves the login unanswered"
        if greeting is not None and greeting.word == "mysql"
        else "accepts and says nothing"
    )
    queue = f", and {full[0].waiting} clients wait in its full queue" if full else ""
    if process is not None:
        state = {"T": "is stopped (SIGSTOP)", "t": "is held by a debugger", "D": "hangs in the kernel (state D)"}.get(
            process.state
        )
        return (
            f"{process.subject} {state}: it answers nobody{queue}"
            if state
            else f"{process.subject} {takes}{for_long}{queue}"
        )
    via = next((one.process for one in listening if named_like(one.process, PROXIES)), "")
    if via:
        return f"{via} accepts for {found.subject} and nothing comes from behind it{for_long}"
    return f"{found.subject} {takes}{for_long}{queue}: the server hangs"


def _wake(found: DbTarget, process: ServerProcess | None, facts: Facts) -> Iterator[Step]:
    root = steps.sudo(facts)
    if process is None:
        if found.local:
            yield Step("see who listens there", f"{root}ss -ltnp 'sport = :{found.port}'")
        else:
            yield Step(f"look on {found.host} itself: it sees the process", f"ssh {quote(found.host)} rbdiag db")
        yield Step("restart the server that hangs", risk="disruptive", verify=db_view.again(facts))
        return
    pid, ticks = process.pid, process.start_ticks
    if process.state == "T":
        yield Step("see who could have stopped it", f"ps -o pid,ppid,stat,etime,args -p {pid}; last -n 5")
        yield Step(
            "let it go on", steps.guarded(pid, ticks, f"{root}kill -CONT {pid}"), "disruptive", db_view.again(facts)
        )
    elif process.state == "t":
        yield Step(
            "see which debugger holds it",
            f"ps -o pid,user,args -p $(sed -n 's/^TracerPid:[[:space:]]*//p' /proc/{pid}/status)",
        )
        yield Step(
            "end that debugger's session (detach, quit); the server goes on by itself",
            risk="disruptive",
            verify=db_view.again(facts),
        )
    else:
        yield Step("see where in the kernel it waits", f"{root}cat /proc/{pid}/wchan /proc/{pid}/stack")
        yield Step("keep the stacks of its threads for whoever mends it (it stands still meanwhile)",
                   f"{root}gdb -p {pid} -batch -ex 'thread apply all bt' > /tmp/rbdiag-{pid}.stacks", "disruptive")  # fmt: skip
        yield from db_view.restart(facts, "only if it stays mute")


NOT_MYSQL = Spec(
    code="db.not-mysql",
    title="something else answers at the database's endpoint",
    severity=Severity.CRITICAL,
    meaning="A program listens there that does not speak MySQL: a port mapping, a proxy or another service took its place.",
    told="The first bytes are no MySQL greeting; or another program than a database is the listener and says nothing.",
    not_to_be_taken_for="a server that hangs, which gives no bytes; a TLS-only proxy.",
    resolution=("mend the port mapping or the client's port", "or stop the program that took the port"),
)


def not_mysql(facts: Facts) -> Iterator[Finding]:
    found, greeting = db_view.target(facts), facts.first(Greeting)
    if found is None or greeting is None or greeting.word in ("mysql", "error"):
        return
    listening = _listeners(facts)
    strangers = [one for one in listening if one.process and not named_like(one.process, DATABASES)]
    proxied = [one for one in strangers if named_like(one.process, PROXIES)]
    servers = [s for s in facts.of(ServerProcess) if s.ports or s.sockets]
    owners = [one for one in strangers if one not in proxied]
    if greeting.word != "other" and not owners and not (proxied and greeting.word in ("closed", "reset")):
        return
    who = (owners or proxied)[0].process if owners or proxied else "another program"
    if greeting.word == "other":
        text = f"{found.subject} does not speak MySQL: {who} answers {greeting.text[:60]}"
    elif owners:
        text = f"{found.subject} is {who}, which {_does(greeting)}: it is no database server"
    else:
        text = f"{who} listens on {found.subject} and {_does(greeting)}: no database stands behind it"
    yield Finding(
        NOT_MYSQL, Severity.CRITICAL, Confidence.CERTAIN if greeting.word == "other" else Confidence.LIKELY, found.subject, text,
        evidence=(greeting, *strangers[:2], *(s for s in servers if s.role == "other")),
        resolution=tuple(_unmask(found, strangers, servers, facts)), about=db_view.about(facts, *(s.process for s in strangers)), impact=0.9,
    )  # fmt: skip


def _does(greeting: Greeting) -> str:
    return {"silent": "accepts and says nothing", "closed": "closes without a word", "reset": "resets without a word"}[
        greeting.word
    ]


def _unmask(found: DbTarget, strangers: list[Listener], servers: list[ServerProcess], facts: Facts) -> Iterator[Step]:
    root = steps.sudo(facts)
    for one in strangers[:1]:
        yield Step(f"see what {one.process} is", f"ps -o pid,ppid,user,lstart,args -p {one.pid}")
    if not strangers:
        where = found.host if not found.local else ""
        look = f"{root}ss -ltnp 'sport = :{found.port}'"
        yield Step("see who listens there", f"ssh {quote(where)} {quote(look)}" if where else look)
    for server in (s for s in servers if s.role == "other" and not s.own_network):
        for place in (*[dial(end) for end in server.ports[:1]], *server.sockets[:1]):
            yield Step(f"try {server.subject}, which listens there", f"rbdiag db {quote(place)}")
    yield Step("mend the port mapping, or the client's port", verify=db_view.again(facts))
    for one in strangers[:1]:
        if one.pid is not None and one.pid > 2 and not named_like(one.process, PROXIES):
            yield Step(f"or end {one.process}, if it has no business there", steps.guarded(one.pid, one.start_ticks, f"{root}kill {one.pid}"),
                       "disruptive", db_view.again(facts))  # fmt: skip


TOO_MANY_OPEN_FILES = Spec(
    code="db.too-many-open-files",
    title="the server is out of file descriptors",
    severity=Severity.CRITICAL,
    meaning="Every connection, table and log is a descriptor. At the limit new clients are dropped and tables cannot be opened.",
    told="The process holds as many descriptors as it may, or its log says error 24 since its last start.",
    not_to_be_taken_for="too many connections (1040), which is a counter of its own; `Could not increase number of "
    "max_open_files` at a start, which is a warning only; a table cache that fills what it was given.",
    resolution=("raise LimitNOFILE and open_files_limit", "or lower table_open_cache"),
    explains=("db.hung",),
)


def too_many_open_files(facts: Facts) -> Iterator[Finding]:
    process = db_view.server(facts)
    events = [e for e in since_ready(facts) if e.kind == "too-many-files" and e.number != 23]
    full = (
        process is not None
        and process.fds is not None
        and process.fd_limit is not None
        and process.fd_limit - process.fds <= _FDS_LEFT
    )
    if not events and not full:
        return
    greeting = facts.first(Greeting)
    failing = greeting is not None and greeting.word in ("closed", "reset", "silent")
    now = (
        f"{process.fds:,} of {process.fd_limit:,} file descriptors are used"
        if full and process is not None
        else "its log says so"
    )
    who = process.subject if process is not None else "the server"
    confidence = Confidence.CERTAIN if full and (events or failing) else Confidence.LIKELY
    yield Finding(
        TOO_MANY_OPEN_FILES, Severity.CRITICAL if events or failing else Severity.WARNING, confidence, db_view.label(facts),
        f"{who} is out of file descriptors: {now}",
        evidence=(*([process] if process else []), *events[-2:], *([greeting] if greeting is not None and failing else [])),
        resolution=tuple(_more_files(process, facts)), about=db_view.about(facts), impact=0.8,
    )  # fmt: skip


def since_ready(facts: Facts) -> list[LogEvent]:
    """What the server's own log says since it was last ready: what is older is history."""
    events = [e for e in facts.of(LogEvent) if e.side == "server"]
    ready = max((e.happened_at for e in events if e.kind == "ready" and e.happened_at is not None), default=None)
    return [e for e in events if ready is None or e.happened_at is None or e.happened_at >= ready]


def _more_files(process: ServerProcess | None, facts: Facts) -> Iterator[Step]:
    root, unit = steps.sudo(facts), db_view.unit(facts)
    limit = process.fd_limit if process is not None and process.fd_limit else 1024
    # four times what did not do, and no less than what Debian's unit grants
    wanted = max(32768, min(limit * 4, 1048576))
    if process is not None:
        pid = process.pid
        yield Step(
            "see what they are",
            f"{root}ls -l /proc/{pid}/fd | awk '{{print $NF}}' | sed 's/:.*//; s/[0-9]*$//' | sort | uniq -c | sort -rn | head",
        )
        yield Step(f"raise the limit of the running process to {wanted}", steps.guarded(pid, process.start_ticks, f"{root}prlimit --pid {pid} --nofile={wanted}:{wanted}"),
                   "disruptive", f"grep 'open files' /proc/{pid}/limits")  # fmt: skip
    yield from db_view.change_option("open_files_limit", str(wanted), "four times what did not do", facts)
    if unit:
        yield Step(f"let {unit} have as many",
                   f"printf '[Service]\\nLimitNOFILE={wanted}\\n' | {root}systemctl edit --stdin {quote(unit)}", "disruptive",
                   f"systemctl show -p LimitNOFILE {quote(unit)}")  # fmt: skip
    yield from db_view.restart(facts, "the server sizes its caches by the limit at its start")


RULES = (hung, not_mysql, too_many_open_files)

"""Where the database is: down, elsewhere, bound to the wrong address, without TCP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.facts import span
from rbdiag.facts.db import DbTarget, OptionProblem, OptionValue, ServerConfig, ServerProcess
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import FirewallRule, Listener, SocketAnswer, TcpAnswer
from rbdiag.facts.sessions import ServerInfo
from rbdiag.facts.svc import Unit
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# What passes connections on: a listener of one of these is no impostor, whatever stands behind it.
PROXIES = (
    "haproxy", "proxysql", "maxscale", "mysqlrouter", "mysql-proxy", "docker-proxy", "rootlessport", "slirp4netns", "envoy", "nginx",
    "ssh", "sshd", "autossh", "stunnel", "stunnel4", "socat", "kubectl", "kube-proxy", "cloud_sql_proxy", "cloud-sql-proxy", "traefik",
    "pgbouncer", "xinetd", "inetd", "systemd", "conmon", "pasta", "gvproxy", "ncat", "rinetd", "redir", "boundary", "tsh",
)  # fmt: skip
DATABASES = ("mysqld", "mariadbd")


def named_like(process: str, names: Iterable[str]) -> bool:
    """Whether a process subject (`name[pid]`) is of one of these programs; the kernel cuts names after 15 characters."""
    name = process.rpartition("[")[0]
    return any(name == n[:15] for n in names)


def refused(facts: Facts) -> list[TcpAnswer]:
    """The answers that refuse, where no address of the target opens: one that opens is enough for a client."""
    answers = facts.of(TcpAnswer)
    return [] if any(a.word == "open" for a in answers) else [a for a in answers if a.word == "refused"]


def covers(listener: Listener, answer: TcpAnswer) -> bool:
    """Whether this listener takes connections to that address."""
    if listener.port != answer.port:
        return False
    if listener.address == "::":
        return answer.family == "IPv6" or not listener.v6only
    return listener.address == answer.address or (listener.address == "0.0.0.0" and answer.family == "IPv4")  # noqa: S104


def _takes(end: str, answer: TcpAnswer) -> bool:
    """The same of an endpoint that a server process listens on."""
    address, _, port = end.rpartition(":")
    if port != str(answer.port):
        return False
    return address in ("[::]", answer.address, f"[{answer.address}]") or (address == "*" and answer.family == "IPv4")


def away(facts: Facts) -> list[Fact]:
    """What shows that nobody serves the target: refused by each address, or a socket without a server behind it."""
    found, socket = db_view.target(facts), facts.first(SocketAnswer)
    if found is None:
        return []
    if found.socket:
        return [socket] if socket is not None and socket.word in ("missing", "stale") else []
    answers = refused(facts)
    if any(covers(one, a) for one in facts.of(Listener) for a in answers if found.local):
        return []  # something listens there: it is not the server that refuses
    if any(r.verdict == "reject" and (r.hit or (r.hit is None and r.sure)) for r in facts.of(FirewallRule)):
        return []  # this host's own firewall refuses
    return list(answers)


def elsewhere(facts: Facts) -> list[ServerProcess]:
    """Servers on this host that are not the target's, and that a client here could mean."""
    return [s for s in facts.of(ServerProcess) if s.role == "other" and not s.own_network and (s.ports or s.sockets)]


def _expected(facts: Facts) -> ServerConfig | None:
    """The configuration of a server that should serve the target and does not run, by its own word or its unit's."""
    found, files = db_view.target(facts), db_view.config(facts)
    if found is None or files is None or files.running:
        return None
    named = _names(files, found)
    unit = facts.first(Unit, files.unit) if files.unit else None
    tried = unit is not None and unit.active in ("failed", "activating")
    # a unit that was switched off beside a server that runs in another way is a package's, and nobody waits for it
    off = unit is not None and unit.active == "inactive" and unit.file_state == "disabled"
    # files that cannot be read to their end do not say where it was to listen
    broken = any(p.side == "server" and (p.stops or p.word == "ignored") for p in facts.of(OptionProblem))
    return files if (named and not off) or tried or broken or not elsewhere(facts) else None


def _names(files: ServerConfig, found: DbTarget) -> bool:
    """Whether the option files themselves say the target's socket or port."""
    return files.socket == found.socket if found.socket else files.port == found.port


SERVICE_DOWN = Spec(
    code="db.service-down",
    title="the database server does not run",
    severity=Severity.CRITICAL,
    meaning="No server process stands behind the endpoint: connections are refused at once, or the socket is missing or was "
    "left behind. Why it stopped is the real question: its log, the kernel's log and the disk tell.",
    told="Connections are refused (or the socket is missing or stale) and, on this host, no server process serves that "
    "endpoint. From another host a refusal alone cannot tell this from a wrong port or a server bound to loopback.",
    not_to_be_taken_for="a client with the wrong port or socket (a server runs and listens elsewhere); a firewall that "
    "rejects; a server that accepts and says nothing.",
    resolution=("read why it stopped: its journal, or its error log", "mend that", "start it"),
    explains=("db.replica-stopped", "api.app-exception"),
)


def service_down(facts: Facts) -> Iterator[Finding]:
    found, signs, process = db_view.target(facts), away(facts), db_view.server(facts)
    if found is None or not signs:
        return
    if process is not None:
        if not process.ports and not process.sockets and process.fds is not None:
            yield _not_yet(facts, process, signs)
        return
    files, others = db_view.config(facts), elsewhere(facts)
    if found.local and others and _expected(facts) is None:
        return  # a server runs, and the client looks elsewhere: db.wrong-endpoint
    how = "refuses at once" if not found.socket else "is missing" if _word(signs) == "missing" else "was left behind"
    unit = next((u for u in facts.of(Unit) if files is not None and u.subject == files.unit), None)
    ended = _how_it_ended(facts)
    if not found.local:
        summary = f"nothing listens on {found.subject}: {', '.join(sorted({a.address for a in refused(facts)}))} {how}"
        confidence = Confidence.LIKELY
    elif files is None:
        summary = f"nothing listens on {found.subject}, and no MySQL or MariaDB server is set up on this host"
        confidence = Confidence.LIKELY
    else:
        what = files.unit or _basename(files.program) or "the server"
        state = f" ({unit.active}, {unit.result})" if unit is not None and unit.active != "active" else ""
        summary = f"{what} does not run{state}: {found.subject} {how}"
        # Where the files do not name the endpoint, a server here that runs elsewhere may be the one that is meant.
        named = _names(files, found)
        confidence = Confidence.LIKELY if files.running or (others and not named) else Confidence.CERTAIN
    evidence = (*signs, *([files] if files else []), *([unit] if unit else []), *ended[-2:])
    yield Finding(
        SERVICE_DOWN, Severity.CRITICAL, confidence, found.subject, summary, evidence=evidence, against=tuple(others if confidence < Confidence.CERTAIN else ()),
        resolution=tuple(_bring_back(found, files, unit, facts)), about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


def _word(signs: list[Fact]) -> str:
    return next((s.word for s in signs if isinstance(s, SocketAnswer)), "")


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _not_yet(facts: Facts, process: ServerProcess, signs: list[Fact]) -> Finding:
    """A server that runs and listens nowhere yet: it is starting, in recovery, or waits for a lock."""
    log = process.error_log
    return Finding(
        SERVICE_DOWN, Severity.CRITICAL, Confidence.LIKELY, db_view.label(facts),
        f"{process.subject} was started {span(process.age)} ago and does not listen yet: it is still starting or in recovery",
        evidence=(process, *signs, *_how_it_ended(facts)[-2:]),
        resolution=(
            Step("see how far it is", f"{steps.sudo(facts)}tail -n 30 {quote(log)}" if log else f"ps -o pid,stat,etime,args -p {process.pid}"),
            Step("wait for it, and do not restart it: that begins its recovery anew", verify=db_view.again(facts)),
        ),
        about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


def _how_it_ended(facts: Facts) -> list[LogEvent]:
    """What the server's log says of its end, if nothing says that it came back since."""
    kinds = ("shutdown", "signal", "fatal", "aborting")
    events = [e for e in facts.of(LogEvent) if e.side == "server" and e.kind in (*kinds, "ready")]
    events.sort(key=lambda e: e.happened_at or 0)
    since = max((i for i, e in enumerate(events) if e.kind == "ready"), default=-1)
    return events[since + 1 :]


def _bring_back(found: DbTarget, files: ServerConfig | None, unit: Unit | None, facts: Facts) -> Iterator[Step]:
    root, name = steps.sudo(facts), db_view.unit(facts)
    if not found.local:
        yield Step(f"look on {found.host} itself: it tells why", f"ssh {quote(found.host)} rbdiag db")
        yield Step(
            f"or see there what listens on port {found.port}, and on which address", f"ssh {quote(found.host)} ss -ltn 'sport = :{found.port}'"
        )  # fmt: skip
        yield Step(
            "start the server there, or mend the port that the client was told",
            risk="disruptive",
            verify=db_view.again(facts),
        )
        return
    if files is None:
        yield Step("see what listens on this host", f"{root}ss -ltnp")
        yield Step("start the server or the tunnel that should listen there, or mend the client's host and port",
                   risk="disruptive", verify=db_view.again(facts))  # fmt: skip
        return
    if name:
        yield Step(f"read what {name} said last", f"journalctl -u {quote(name)} -n 50 --no-pager")
    if files.error_log:
        yield Step("read the end of its log", f"{root}tail -n 50 {quote(files.error_log)}")
    if not name and not files.error_log:
        yield Step("see that it does not run", f"pgrep -a '{_basename(files.program) or 'mysqld'}'")
    if unit is not None and unit.file_state == "masked":
        return  # svc.disabled-or-masked says how
    yield from db_view.start(facts)


WRONG_ENDPOINT = Spec(
    code="db.wrong-endpoint",
    title="the client looks for the server at the wrong place",
    severity=Severity.CRITICAL,
    meaning="A server runs on this host, and listens on another port, address or socket than the one the client was told.",
    told="The target is refused or its socket is missing, while a server process on this host listens elsewhere.",
    not_to_be_taken_for="a server that does not run; one bound to loopback; one without TCP.",
    resolution=("align host, port and socket of the client with the server's", "mind that localhost means the socket"),
)


def wrong_endpoint(facts: Facts) -> Iterator[Finding]:
    found, socket, process = db_view.target(facts), facts.first(SocketAnswer), db_view.server(facts)
    if found is None:
        return
    others = sorted(elsewhere(facts), key=lambda s: not _reads_the_same(s, facts))
    if socket is not None and found.socket and socket.word == "no-socket":
        yield _misled(
            facts,
            found,
            [socket],
            others,
            Confidence.CERTAIN,
            f"{found.socket} is no socket but a file of another kind",
        )
        return
    signs = away(facts)
    if not signs:
        return
    if process is not None:
        if found.socket:
            gone = "is gone" if _word(signs) == "missing" else "is not its own any more"
            text = f"{process.subject} runs, but its socket file {found.socket} {gone}"
            yield _misled(facts, found, signs, [process], Confidence.CERTAIN, text)
        elif process.ports and not _bound_to_loopback(facts, process):
            where = _list(process.ports)
            text = f"{process.subject} listens on {where} only, not on {_list(sorted({a.address for a in refused(facts)}))}"
            yield _misled(facts, found, signs, [process], Confidence.CERTAIN, text)
        return
    if not found.local or not others or _expected(facts) is not None:
        return
    same = [s for s in others if _reads_the_same(s, facts)]
    if len(others) == 1 or len(same) == 1:
        text = f"nothing is at {found.subject}: {others[0].subject} listens on {_list((*others[0].ports, *others[0].sockets))}"
    else:
        ends = [end for s in others for end in (s.sockets if found.socket else s.ports)] or [s.subject for s in others]
        more = [f"{len(ends) - 2} more"] if len(ends) > 3 else ends[2:]
        text = f"nothing is at {found.subject}: {len(others)} servers run here, on {_list([*ends[:2], *more])}"
    yield _misled(facts, found, signs, others, Confidence.LIKELY, text)


def _reads_the_same(process: ServerProcess, facts: Facts) -> bool:
    """Whether this process was started with the option files that were named for the target's server."""
    files = db_view.config(facts)
    return files is not None and bool(files.files) and set(files.files) <= set(process.option_files)


def _list(words: Iterable[str]) -> str:
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def _misled(
    facts: Facts, found: DbTarget, signs: list[Fact], servers: list[ServerProcess], confidence: Confidence, text: str
) -> Finding:
    """The finding, with who says the wrong place and where the right one is."""
    part = "socket" if found.socket else "port"
    origins = [o for o in found.origins if part in o.split(" from ")[0] or o.startswith("host")]
    said = f" ({origins[0]})" if origins and len(text) + len(origins[0]) < 140 else ""
    drift = [v for name in ("port", "socket", "bind_address") if (v := facts.last(OptionValue, name)) is not None]
    return Finding(
        WRONG_ENDPOINT, Severity.CRITICAL, confidence, found.subject, text + said,
        evidence=(*signs, *servers[:3], found), against=(),
        resolution=tuple(_set_right(found, servers, origins, drift, facts)),
        about=db_view.about(facts, *(s.subject for s in servers)), impact=0.9,
    )  # fmt: skip


def _set_right(
    found: DbTarget, servers: list[ServerProcess], origins: list[str], drift: list[OptionValue], facts: Facts
) -> Iterator[Step]:
    own = next((s for s in servers if s.role == "target"), None)
    if own is not None and found.socket:
        for end in own.ports[:1]:
            yield Step("until then, connect by TCP", f"rbdiag db {dial(end)}")
        yield from db_view.restart(facts, "it makes its socket file anew")
        return
    for server in servers[:3]:
        places = [dial(end) for end in server.ports[:1]] + list(server.sockets[:1])
        for place in places:
            yield Step(f"try {server.subject} at {place}", f"rbdiag db {quote(place)}")
    for origin in origins:
        yield Step(f"mend what the client was told: {origin}", verify=db_view.again(facts))
    if not origins:
        yield Step(
            f"mend the {'socket' if found.socket else 'host and port'} in the client's settings",
            verify=db_view.again(facts),
        )
    for value in drift:
        yield Step(f"or the server's own setting: {value}", f"sed -n {value.line}p {quote(value.file)}")


def dial(end: str) -> str:
    """An endpoint that a server listens on as a client on this host would call it."""
    return end.replace("*:", "127.0.0.1:", 1).replace("[::]:", "127.0.0.1:", 1)


BIND_LOOPBACK = Spec(
    code="db.bind-loopback",
    title="the server listens on the loopback address only",
    severity=Severity.CRITICAL,
    meaning="The server takes connections from its own host alone (or on one loopback address and not on the other); all "
    "others are refused at once.",
    told="The target's address is refused while its server listens on that port on 127.0.0.0/8 or ::1 and nowhere else.",
    not_to_be_taken_for="a firewall that rejects (the listener is *:3306); a server whose clients are all on its own host, "
    "which is right as it is; [::]:3306, which takes IPv4 too.",
    resolution=(
        "set bind-address to the address that clients use, and open the firewall to those clients alone",
        "restart",
    ),
)


def _bound_to_loopback(facts: Facts, process: ServerProcess) -> bool:
    at = [
        end.rpartition(":")[0].strip("[]")
        for end in process.ports
        if any(end.endswith(f":{a.port}") for a in refused(facts))
    ]
    return bool(at) and all(a.startswith("127.") or a == "::1" for a in at)


def bind_loopback(facts: Facts) -> Iterator[Finding]:
    found, process, signs = (
        db_view.target(facts),
        db_view.server(facts),
        [a for a in away(facts) if isinstance(a, TcpAnswer)],
    )
    if found is None or process is None or not signs or not _bound_to_loopback(facts, process):
        return
    if any(_takes(end, a) for end in process.ports for a in signs):
        return
    wanted = sorted({a.address for a in signs})
    listening = [one for one in facts.of(Listener) if one.pid == process.pid]
    text = f"{process.subject} listens on {_list(process.ports)} only, so {_list(wanted)} is refused"
    both = all(a.address.startswith("127.") or a.address == "::1" for a in signs)
    every = "::" if any(a.family == "IPv6" for a in signs) else "0.0.0.0"  # noqa: S104 - a word for an option file
    value = "127.0.0.1" if both and "127.0.0.1" in wanted else every
    yield Finding(
        BIND_LOOPBACK, Severity.CRITICAL, Confidence.CERTAIN, found.subject, text,
        evidence=(*signs, process, *listening), resolution=tuple(_rebind(process, value, both, facts)),
        about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


def _rebind(process: ServerProcess, value: str, both: bool, facts: Facts) -> Iterator[Step]:
    yield Step("see what it listens on", f"{steps.sudo(facts)}ss -ltnp | grep -F 'pid={process.pid},'")
    why = (
        "the address that this client uses"
        if both
        else "every address; allow the port in the firewall to the clients alone"
    )
    yield from _option("bind_address", "bind-address", value, why, process, facts)
    yield from db_view.restart(facts, "the address is bound at its start")


def _option(name: str, written: str, value: str, why: str, process: ServerProcess, facts: Facts) -> Iterator[Step]:
    """Change an option where it is said: on the command line it beats every file."""
    for spelt in (f"--{written}", f"--{name}"):
        if spelt in process.command:
            yield Step(f"its command line says {spelt}: change that where it is started (by {process.unit or process.parent}) to {value} ({why})",
                       f"tr '\\0' ' ' < /proc/{process.pid}/cmdline")  # fmt: skip
            return
    yield from db_view.change_option(name, value, why, facts)


SKIP_NETWORKING = Spec(
    code="db.skip-networking",
    title="the server does not listen on TCP at all",
    severity=Severity.CRITICAL,
    meaning="Networking is switched off (skip-networking, or port 0), so that only the socket works.",
    told="TCP is refused, and the server process listens on its socket and on no port.",
    not_to_be_taken_for="a server bound to loopback, which has a port; one that is still starting, which has no socket yet.",
    resolution=("connect through the socket if the client is on the same host", "or switch networking on and restart"),
)


def skip_networking(facts: Facts) -> Iterator[Finding]:
    found, process, signs = db_view.target(facts), db_view.server(facts), away(facts)
    if (
        found is None
        or found.socket
        or process is None
        or not signs
        or process.ports
        or not process.sockets
        or process.fds is None
    ):
        return
    said: list[Fact] = [i for i in facts.of(ServerInfo) if i.skip_networking]
    said += [c for c in facts.of(ServerConfig) if c.for_target and c.skip_networking]
    said += [v for v in facts.of(OptionValue) if v.subject == "skip_networking"]
    told = bool(said) or "--skip-networking" in process.command or "--skip_networking" in process.command
    yield Finding(
        SKIP_NETWORKING, Severity.CRITICAL, Confidence.CERTAIN if told else Confidence.LIKELY, found.subject,
        f"{process.subject} listens on its socket {process.sockets[0]} only: TCP is switched off, so {found.subject} is refused",
        evidence=(*signs, process, *said),
        resolution=(
            Step("connect through the socket, if the client is on this host", f"rbdiag db {quote(process.sockets[0])}"),
            *_option("skip_networking", "skip-networking", "0", "the clients come by TCP", process, facts),
            *db_view.restart(facts, "networking is decided at its start"),
        ),
        about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


RULES = (service_down, wrong_endpoint, bind_loopback, skip_networking)

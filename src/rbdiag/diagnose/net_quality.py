"""A path that opens no port, or hardly: packets that are lost or late, no port to leave from, a full table of connections."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.net_case import FULL, HEAVY_LOSS, cases, verdict
from rbdiag.facts import percent, span
from rbdiag.facts.db import Greeting, Login
from rbdiag.facts.net import (
    Conntrack,
    FirewallRule,
    Link,
    LocalPorts,
    Neighbour,
    Ping,
    Route,
    TcpAnswer,
)
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# Three of ten pings lost: one or two are within what hosts that limit pings do, and within chance.
_LOSS = 0.3
# The kernel repeats a lost SYN after 1 s (RFC 6298), and a lost segment after 0.2 s at the earliest (TCP_RTO_MIN).
_SYN_AGAIN, _SEGMENT_AGAIN = 0.9, 0.2
# Light takes 0.2 s around half the earth through glass and back, and routers add some: more is a queue or a shaper.
# On one's own network a packet crosses no router, so that a tenth of a second is out of all proportion.
_FAR, _NEAR, _ENOUGH_PINGS = 0.3, 0.1, 3


LOSS = Spec(
    code="net.packet-loss",
    title="the path loses packets",
    severity=Severity.WARNING,
    meaning="Some packets to the host vanish. TCP sends them again, after a second for the first of a connection, so that everything "
    "works in jerks or times out.",
    told="Three or more of ten pings are lost, and the connection shows it too: it opened after a second or more, at the second "
    "try, with a pause of a repeated segment, or not at all while 40 % of the pings were lost. Without that, 40 % and one of the first.",
    not_to_be_taken_for="a host that answers no or few pings on purpose; a slow path, whose times are steady; a full queue at the server.",
    resolution=("find the hop where it begins", "look at errors of the devices; take a limiter or a rule that drops at random out"),
    explains=("db.replica-lag", "db.replica-stopped", "timeout.dependency-slow", "api.upstream-timeout"),
)  # fmt: skip


def packet_loss(facts: Facts) -> Iterator[Finding]:
    failed = {case.answer.subject for case in cases(facts) if verdict(facts, case) == LOSS.code}
    for answer in facts.of(TcpAnswer):
        ping = facts.last(Ping, answer.address)
        if (
            ping is None
            or not ping.received
            or ping.loss < _LOSS
            or not (answer.subject in failed or answer.word == "open")
        ):
            continue
        signs = _stalls(facts, answer, ping)
        lost = f"{ping.sent - ping.received} of {ping.sent} pings to {answer.address} are lost"
        if answer.subject in failed:
            severity, sure, text = Severity.CRITICAL, Confidence.LIKELY, f"{lost}, and {answer.subject} does not open"
        elif signs:
            severity, sure = Severity.WARNING, Confidence.LIKELY
            text = f"{lost}, and connections to {answer.subject} stall"
        elif ping.early_loss and ping.loss >= HEAVY_LOSS:
            severity, sure, text = (
                Severity.WARNING,
                Confidence.POSSIBLE,
                f"{lost}, and the first of them too: no limit on pings does that",
            )
        else:
            severity, sure, text = (
                Severity.NOTE,
                Confidence.POSSIBLE,
                f"{lost}; the connection to {answer.subject} shows nothing of it",
            )
        route = facts.last(Route, answer.address)
        link = facts.last(Link, route.device) if route is not None and route.device else None
        random = [r for r in facts.of(FirewallRule) if r.hit]
        yield Finding(
            LOSS, severity, sure, answer.subject, text,
            evidence=(ping, answer, *signs, *random[:2], *([link] if link is not None and link.errors + link.dropped else [])),
            resolution=(
                Step("see at which hop the loss begins (only what goes on to the last hop counts)", f"mtr -rwbc 50 {quote(answer.address)}"),
                *([Step(f"see whether {link.subject} counts errors", f"ip -s link show dev {quote(link.subject)}; ethtool -S {quote(link.subject)} | grep -iE 'err|drop'")] if link is not None else []),
                Step("see what drops on this host", f"{steps.sudo(facts)}nft list ruleset; tc -s qdisc"),
                *([Step("take the rule out", f"{steps.sudo(facts)}{random[0].delete}", "disruptive", db_view.again(facts))] if random and random[0].delete else []),
            ),
            about=db_view.about(facts, answer.subject, answer.address, answer.host), impact=0.6,
        )  # fmt: skip


def _stalls(facts: Facts, answer: TcpAnswer, ping: Ping) -> list[Fact]:
    """Where the connection waited as for a packet that was sent again."""
    found: list[Fact] = []
    if answer.word == "open" and (answer.seconds >= _SYN_AGAIN or answer.tries > answer.open_tries):
        found.append(answer)
    trips = 3 * (ping.average or 0.0)
    found += [g for g in facts.of(Greeting) if g.word == "mysql" and g.seconds >= trips + _SEGMENT_AGAIN]
    found += [i for i in facts.of(Login) if i.word == "ok" and i.seconds >= 2 * trips + _SEGMENT_AGAIN]
    return [f for f in found if f is not answer] or found


LATENCY = Spec(
    code="net.latency",
    title="the path is slow",
    severity=Severity.WARNING,
    meaning="Every round trip takes long, and a query or a page is many of them. A tunnel or region far away, a full queue, or a "
    "shaper on the way.",
    told="The quickest ping and the connect both take over 0.3 s, or over 0.1 s within one's own network.",
    not_to_be_taken_for="a slow server: there the connect is quick and the first byte late; a link between continents (under 0.3 s).",
    resolution=("find the hop where the time goes", "look for shaping; move the client nearer; save round trips"),
    explains=("db.replica-lag", "db.name-resolution-slow", "timeout.dependency-slow", "api.upstream-timeout"),
)


def latency(facts: Facts) -> Iterator[Finding]:
    for answer in facts.of(TcpAnswer):
        ping, route = facts.last(Ping, answer.address), facts.last(Route, answer.address)
        if answer.word != "open" or ping is None or ping.least is None or ping.received < _ENOUGH_PINGS:
            continue
        # a tunnel is no network of neighbours, though its route has no gateway
        near = route is not None and not route.gateway and facts.last(Neighbour, answer.address) is not None
        limit = _NEAR if near else _FAR
        if ping.least < limit or answer.seconds < limit:
            continue
        where = " on this host's own network" if near else ""
        yield Finding(
            LATENCY, Severity.WARNING, Confidence.LIKELY, answer.subject,
            f"each round trip to {answer.address}{where} takes {span(ping.least)} or more",
            evidence=(ping, answer, *([route] if route is not None else [])),
            resolution=(
                Step("see at which hop the time goes", f"mtr -rwbc 20 {quote(answer.address)}"),
                Step("see whether this host shapes its traffic", f"tc -s qdisc show{f' dev {quote(route.device)}' if route and route.device else ''}"),
                Step("save round trips until the path is mended: keep connections open, send statements together", risk="disruptive", verify=db_view.again(facts)),
            ),
            about=db_view.about(facts, answer.subject, answer.address, answer.host), impact=0.4,
        )  # fmt: skip


NO_PORTS = Spec(
    code="net.ephemeral-ports-exhausted",
    title="no local port is left to connect from",
    severity=Severity.CRITICAL,
    meaning="Each connection to one address and port needs a local port of its own, and for a minute after it is closed (TIME-WAIT). "
    "All are taken, so that no new connection to it can be made from here.",
    told="Connecting fails with 99, and the sockets towards that address and port fill the local range; or they are at 95 % of it.",
    not_to_be_taken_for="thousands of TIME-WAIT sockets to many addresses; 99 on listen, where an address is missing.",
    resolution=(
        "use connections again instead of opening one for each request",
        "widen the range; let TIME-WAIT be reused",
    ),
    explains=("db.replica-stopped", "api.no-live-upstreams", "api.app-exception"),
)


def ephemeral_ports(facts: Facts) -> Iterator[Finding]:
    for answer in facts.of(TcpAnswer):
        ports = facts.last(LocalPorts, answer.subject)
        out = answer.word == "no-local-port"
        full = ports is not None and ports.part >= FULL
        if not out and not (full and answer.word == "open"):
            continue
        if ports is None:
            sure, text = Confidence.LIKELY, f"no local port is left to connect to {answer.subject} from"
        else:
            sure = Confidence.CERTAIN if full else Confidence.POSSIBLE
            range_ = f"{ports.used:,} of {ports.high - ports.low + 1:,} local ports are used towards {answer.subject}"
            text = f"{'no' if out else 'hardly a'} local port is left: {range_}, {ports.time_wait:,} in TIME-WAIT"
        root, address = steps.sudo(facts), answer.address
        todo = [
            Step(
                "see who holds them",
                f"{root}ss -tanp dst {quote(address)} dport = :{answer.port} | awk '{{print $1, $NF}}' | sort | uniq -c | sort -rn | head",
            )
        ]
        if ports is None or ports.high - ports.low + 1 < 28000:
            todo.append(Step(
                "widen the range to the kernel's own default", f"{root}sysctl -w net.ipv4.ip_local_port_range='32768 60999'", "disruptive", db_view.again(facts),
            ))  # fmt: skip
        else:
            todo.append(Step(
                "widen the range (below it may be ports that services listen on: reserve those in ip_local_reserved_ports)",
                f"{root}sysctl -w net.ipv4.ip_local_port_range='15000 60999'", "disruptive", db_view.again(facts),
            ))  # fmt: skip
        if ports is not None and ports.time_wait > ports.used / 2:
            todo.append(
                Step(
                    "let new connections reuse those in TIME-WAIT",
                    f"{root}sysctl -w net.ipv4.tcp_tw_reuse=1",
                    "disruptive",
                    db_view.again(facts),
                )
            )
        todo.append(
            Step(
                "then mend the client: a pool, or keep-alive, instead of a connection for each request",
                risk="disruptive",
            )
        )
        yield Finding(
            NO_PORTS, Severity.CRITICAL if out else Severity.WARNING, sure, answer.subject, text,
            evidence=(answer, *([ports] if ports is not None else [])), resolution=tuple(todo),
            about=db_view.about(facts, answer.subject, address, answer.host, "host"), impact=1.0 if out else 0.5,
        )  # fmt: skip


TABLE_FULL = Spec(
    code="net.conntrack-full",
    title="the firewall's table of connections is full",
    severity=Severity.CRITICAL,
    meaning="The kernel follows each connection for the firewall's sake, in a table of fixed size. When it is full, packets of new "
    "connections are dropped, while old ones go on.",
    told="The table is at 95 % of its limit or over, and the port is silent; a warning where the port still opens.",
    not_to_be_taken_for="a rule that drops: that meets old connections to the port as well.",
    resolution=("raise the limit", "shorten how long closed connections are remembered; do not track what needs none"),
    explains=("net.packet-loss", "net.drop", "dns.slow", "dns.resolver-unreachable", "db.replica-stopped"),
)


def conntrack_full(facts: Facts) -> Iterator[Finding]:
    table = facts.last(Conntrack)
    if table is None or not table.limit or table.count < FULL * table.limit:
        return
    cut_off = [case for case in cases(facts) if verdict(facts, case) == TABLE_FULL.code]
    root = steps.sudo(facts)
    part = percent(table.count / table.limit)
    subject = cut_off[0].answer.subject if cut_off else "host"
    yield Finding(
        TABLE_FULL, Severity.CRITICAL if cut_off else Severity.WARNING, Confidence.LIKELY, subject,
        f"the firewall's table of connections is {part} full ({table.count:,} of {table.limit:,})"
        + (f", and {subject} does not answer" if cut_off else ": new connections will be dropped"),
        evidence=(table, *(case.answer for case in cut_off)),
        resolution=(
            Step("see whether the kernel says so, and whose connections they are", f"{root}dmesg -T | grep 'table full' | tail -3; {root}conntrack -L 2>/dev/null | awk '{{print $4, $6}}' | sort | uniq -c | sort -rn | head"),
            Step(
                "double the limit (a connection costs about 320 bytes)", f"{root}sysctl -w net.netfilter.nf_conntrack_max={table.limit * 2}", "disruptive",
                "cat /proc/sys/net/netfilter/nf_conntrack_count /proc/sys/net/netfilter/nf_conntrack_max",
            ),
        ),
        about=db_view.about(facts, subject, "host"), impact=0.9,
    )  # fmt: skip


RULES = (packet_loss, latency, ephemeral_ports, conntrack_full)

"""The way to a port that did not open: no route, nobody there, a firewall, a path that loses or delays, no port to leave from.

A port that opens needs no explanation, whatever ping says. One that is refused while nothing else is odd is no matter
of the network: nobody listens there.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from shlex import quote
from typing import NamedTuple

from rbdiag.diagnose import db_view, steps
from rbdiag.facts import percent, span
from rbdiag.facts.db import Greeting, Login
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import (
    Conntrack,
    FirewallRule,
    Link,
    Listener,
    LocalPorts,
    Neighbour,
    Ping,
    Route,
    TcpAnswer,
)
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# Three of ten pings lost: one or two are within what hosts that limit pings do, and within chance.
_LOSS = 0.3
# Where more than that is lost, a port that stays silent may be one whose packets were all lost.
_HEAVY_LOSS = 0.4
# The kernel repeats a lost SYN after 1 s (RFC 6298), and a lost segment after 0.2 s at the earliest (TCP_RTO_MIN).
_SYN_AGAIN, _SEGMENT_AGAIN = 0.9, 0.2
# Light takes 0.2 s around half the earth through glass and back, and routers add some: more is a queue or a shaper.
# On one's own network a packet crosses no router, so that a tenth of a second is out of all proportion.
_FAR, _NEAR, _ENOUGH_PINGS = 0.3, 0.1, 3
# Local ports and tracked connections: the next burst takes the last twentieth.
_FULL = 0.95
# A route's own refusal is immediate; an address that nobody answers for takes the kernel or a router 3 s to give up.
_AT_ONCE = 1.0


class _Case(NamedTuple):
    """A host and port that did not open at any address: what was heard from the address that tells most, and on the way."""

    answer: TcpAnswer
    all: tuple[TcpAnswer, ...]
    route: Route | None
    link: Link | None
    hop: Neighbour | None
    ping: Ping | None
    listener: Listener | None

    @property
    def local(self) -> bool:
        if self.route is not None:
            return self.route.local
        return self.answer.address.startswith("127.") or self.answer.address == "::1"

    @property
    def direct(self) -> bool:
        """Whether the address itself is the next hop."""
        return self.hop is not None and self.hop.subject == self.answer.address

    @property
    def alive(self) -> Fact | None:
        """What shows that somebody is at the address: an answer to ping, or to the question who has it."""
        if self.ping is not None and self.ping.received:
            return self.ping
        return self.hop if self.direct and self.hop is not None and self.hop.state == "REACHABLE" else None


def _cases(facts: Facts) -> Iterator[_Case]:
    groups: dict[tuple[str, int], list[TcpAnswer]] = {}
    for answer in facts.of(TcpAnswer):
        groups.setdefault((answer.host, answer.port), []).append(answer)
    for answers in groups.values():
        if any(answer.word == "open" for answer in answers):
            continue
        # A host without IPv6 has no way to any IPv6 address; that is not why the others fail.
        telling = [a for a in answers if not (a.family == "IPv6" and a.word == "no-route")] or answers
        answer = telling[0]
        route = facts.last(Route, answer.address)
        hop = (route.gateway or answer.address) if route is not None else answer.address
        yield _Case(
            answer, tuple(answers), route, facts.last(Link, route.device) if route is not None and route.device else None,
            facts.last(Neighbour, hop), facts.last(Ping, answer.address), _listener(facts, answer),
        )  # fmt: skip


def _listener(facts: Facts, answer: TcpAnswer) -> Listener | None:
    """What listens on this host at just this address, or at all of its family; `::` takes both where it may."""
    every = {"::"} if answer.family == "IPv6" else {"0.0.0.0"}  # noqa: S104 - a word to compare with
    return next(
        (
            i for i in facts.of(Listener)
            if i.port == answer.port and (i.address in {answer.address} | every or (i.address == "::" and i.v6only is False))
        ),
        None,
    )  # fmt: skip


def _rules(facts: Facts, verdict: str) -> list[FirewallRule]:
    """Local rules of this kind that met our packets, or surely do; the surest first."""
    found = [r for r in facts.of(FirewallRule) if r.verdict == verdict and (r.hit or (r.hit is None and r.sure))]
    return sorted(found, key=lambda r: (not r.hit, not r.sure))


def _about(facts: Facts, case: _Case, *more: str) -> frozenset[str]:
    return db_view.about(facts, case.answer.subject, case.answer.address, case.answer.host, *more)


def _evidence(case: _Case, *more: Fact | None) -> tuple[Fact, ...]:
    return tuple(f for f in (*case.all[:4], *more) if f is not None)


def _verdict(facts: Facts, case: _Case) -> str:
    """Which of the codes below accounts for the case, "" for none: only one does, so that none contradicts another."""
    word, route = case.answer.word, case.route
    if word == "no-local-port":
        return NO_PORTS.code
    if route is not None and route.word != "found":
        return UNREACHABLE.code if _downed(facts, case) else NO_ROUTE.code
    if word in ("no-route", "prohibited", "blackhole"):
        return REJECT.code if _rules(facts, "reject") else NO_ROUTE.code
    if word in ("silent", "unreachable") and not case.local:
        if case.link is not None and (case.link.carrier is False or not case.link.up):
            return UNREACHABLE.code
        if case.hop is not None and case.hop.absent and case.alive is None:
            return UNREACHABLE.code
    if word == "silent":
        return _why_silent(facts, case)
    if _rules(facts, "reject") or (word == "refused" and case.local and case.listener is not None):
        return REJECT.code
    if word == "unreachable":
        return REJECT.code if case.alive is not None else UNREACHABLE.code
    return ""


def _why_silent(facts: Facts, case: _Case) -> str:
    if any(r.hit or r.sure for r in _rules(facts, "drop")):
        return DROP.code
    if case.listener is not None and case.listener.full:
        return ""  # those who wait are not turned away by the network
    table = facts.last(Conntrack)
    if table is not None and table.count >= _FULL * table.limit:
        return TABLE_FULL.code
    if case.ping is not None and case.ping.received and case.ping.loss >= _HEAVY_LOSS:
        return LOSS.code
    return DROP.code


def _downed(facts: Facts, case: _Case) -> list[Link]:
    """Devices without which there is no route: down, on the target's own network; or all that there are."""
    links = [k for k in facts.of(Link) if k.subject != "lo"]
    down = [k for k in links if not k.up or k.carrier is False]
    there = ip_address(case.answer.address.partition("%")[0])
    own = [k for k in down if any(there in ip_interface(n).network for n in k.networks)]
    if own:
        return own
    configured = [k for k in links if k.networks]
    return configured if configured and all(k in down for k in configured) else []


DROP = Spec(
    code="net.drop",
    title="a firewall drops the packets silently",
    severity=Severity.CRITICAL,
    meaning="Packets to the port, or the answers to them, vanish: clients wait for their whole timeout instead of being refused. "
    "Either a rule on this host drops them, or one on the way or at the server does.",
    told="The port is silent, and a drop rule of this host counted our packets; or the host answers ping or the question for its "
    "address, and nothing on this host drops them.",
    not_to_be_taken_for="a port where nobody listens, which refuses at once; an address where nobody is; a server on this host whose queue of "
    "waiting clients is full; rules for other ports or sources.",
    resolution=("change the rule, on this host or at the server", "open the security group or firewall on the way"),
    explains=("db.replica-stopped", "dns.resolver-unreachable"),
)


def drop(facts: Facts) -> Iterator[Finding]:
    for case in _cases(facts):
        if _verdict(facts, case) != DROP.code:
            continue
        answer, found = case.answer, _rules(facts, "drop")
        if found:
            rule = found[0]
            sure = Confidence.CERTAIN if rule.hit and rule.sure else Confidence.LIKELY
            yield Finding(
                DROP, Severity.CRITICAL, sure, answer.subject,
                f"this host's own firewall drops packets {_to_or_from(rule, answer)}: {rule.subject}, {_short(rule)}",
                evidence=_evidence(case, *found[:3]), resolution=tuple(_change_rule(facts, rule)),
                about=_about(facts, case, "host"), impact=1.0,
            )  # fmt: skip
            continue
        where = "on this host" if case.local else "on the path or at the server"
        if case.local or case.alive is not None:
            who = "" if case.local else ", though the host is there"
            sure, text = (
                Confidence.LIKELY,
                f"{answer.subject} does not answer{who}: a firewall {where} drops the packets",
            )
        else:
            sure = Confidence.POSSIBLE
            text = (
                f"nothing at {answer.address} answers, not even ping: a firewall {where} drops all, or the host is down"
            )
        yield Finding(
            DROP, Severity.CRITICAL, sure, answer.subject, text,
            evidence=_evidence(case, case.alive or case.ping, case.route, case.listener if case.local else None),
            resolution=tuple(_elsewhere(facts, case)), about=_about(facts, case), impact=0.9,
        )  # fmt: skip


def _to_or_from(rule: FirewallRule, answer: TcpAnswer) -> str:
    return f"{'to' if rule.direction == 'out' else 'that come in for'} {answer.subject}"


def _short(rule: FirewallRule) -> str:
    return rule.text if len(rule.text) <= 70 else f"{rule.text[:69]}…"


def _change_rule(facts: Facts, rule: FirewallRule) -> Iterator[Step]:
    root = steps.sudo(facts)
    tool = rule.delete.partition(" ")[0]
    if tool == "nft" or not tool:
        look = f"nft -a list chain {rule.subject}"
    else:
        _, table, chain = (*rule.subject.split(" "), "", "")[:3]
        look = f"{tool} -t {table} -nvL {chain} --line-numbers"
    yield Step("see the rule among its neighbours, with its counter", f"{root}{look}")
    if rule.delete:
        exception = " insert " in rule.delete or " -I " in rule.delete
        yield Step(
            "let this traffic pass before the policy drops it" if exception else "if it is not meant for this traffic, delete the rule",
            f"{root}{rule.delete}", "disruptive", db_view.again(facts),
        )  # fmt: skip
    yield Step(
        "make that last: what loads the rules at boot (nftables.conf, iptables-persistent, firewalld, ufw, a deployment) must say the same",
        "grep -rlE 'nft|iptables' /etc/nftables.conf /etc/iptables /etc/firewalld /etc/ufw 2>/dev/null",
    )


def _elsewhere(facts: Facts, case: _Case) -> Iterator[Step]:
    answer, root = case.answer, steps.sudo(facts)
    if case.local:
        yield Step(
            "read this host's rules", f"{root}nft list ruleset; {root}iptables-save -c", verify=db_view.again(facts)
        )
        return
    port = answer.port
    yield Step(
        f"see how far a packet to that port comes (the last line that answers is before what {'rejects' if answer.word != 'silent' else 'drops'} it)",
        f"{root}traceroute -T -p {port} {quote(answer.address)}",
    )  # fmt: skip
    yield Step(
        "on the server: is anything listening, is its queue full (Recv-Q above Send-Q), and does a rule stand in the way?",
        f"ss -ltn 'sport = :{port}'; sudo nft list ruleset | grep -nE 'drop|reject|{port}'",
    )  # fmt: skip
    source = f" from {case.route.source}" if case.route is not None and case.route.source else ""
    yield Step(
        f"allow TCP port {port}{source} there, and in the security group or firewall between",
        risk="disruptive", verify=db_view.again(facts),
    )  # fmt: skip


REJECT = Spec(
    code="net.reject",
    title="a firewall rejects the connection",
    severity=Severity.CRITICAL,
    meaning="A rule answers in the server's place: reset or port-unreachable looks like a port where nobody listens, host- or "
    "admin-prohibited like a host that cannot be reached.",
    told="The connection fails at once, and a reject rule of this host counted our packets, or something does listen here at just that "
    "address; or the host answers ping and yet is called unreachable.",
    not_to_be_taken_for="a port where nobody listens (refused, with no rule and no listener); an address where nobody is.",
    resolution=("change the rule, on this host or at the server",),
    explains=("db.replica-stopped", "dns.resolver-unreachable"),
)


def reject(facts: Facts) -> Iterator[Finding]:
    for case in _cases(facts):
        if _verdict(facts, case) != REJECT.code:
            continue
        answer, found = case.answer, _rules(facts, "reject")
        if found:
            rule = found[0]
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.CERTAIN if rule.hit and rule.sure else Confidence.LIKELY, answer.subject,
                f"this host's own firewall rejects packets {_to_or_from(rule, answer)}: {rule.subject}, {_short(rule)}",
                evidence=_evidence(case, *found[:3]), resolution=tuple(_change_rule(facts, rule)),
                about=_about(facts, case, "host"), impact=1.0,
            )  # fmt: skip
        elif case.local:
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.LIKELY, answer.subject,
                f"{answer.subject} is refused although {case.listener.process if case.listener and case.listener.process else 'something'} "
                "listens there: a firewall rule of this host rejects it",
                evidence=_evidence(case, case.listener), resolution=tuple(_elsewhere(facts, case)),
                about=_about(facts, case, "host"), impact=0.9,
            )  # fmt: skip
        else:
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.LIKELY, answer.subject,
                f"{answer.subject} is called unreachable, though the host is there: a firewall at the server or on the path rejects it",
                evidence=_evidence(case, case.alive), resolution=tuple(_elsewhere(facts, case)),
                about=_about(facts, case), impact=0.9,
            )  # fmt: skip


NO_ROUTE = Spec(
    code="net.no-route",
    title="there is no route to the address",
    severity=Severity.CRITICAL,
    meaning="The routing table has no entry for the address, or one that forbids it (prohibit, unreachable, blackhole): no packet "
    "leaves, and connects fail at once.",
    told="The kernel says so when asked for the route: no route (101), or a route of that kind (13, 22, 113 at once).",
    not_to_be_taken_for="an address that does not answer on a route that exists; an IPv6 address beside an IPv4 one that is used.",
    resolution=("add the route, or restore the default route", "delete the route that forbids it"),
    explains=("db.replica-stopped", "dns.resolver-unreachable"),
)


def no_route(facts: Facts) -> Iterator[Finding]:
    for case in _cases(facts):
        if _verdict(facts, case) != NO_ROUTE.code:
            continue
        answer, route = case.answer, case.route
        links = [k for k in facts.of(Link) if k.subject != "lo"]
        word = route.word if route is not None and route.word != "found" else ""
        kind = {"prohibited": "prohibit", "unreachable": "unreachable", "blackhole": "blackhole"}.get(word, "")
        kind = kind or {"prohibited": "prohibit", "blackhole": "blackhole"}.get(answer.word, "")
        if kind:
            text = f"this host's routing table forbids {answer.address}: a route of the kind {kind}"
        elif route is not None and route.word == "found":
            text = f"a router on the way to {answer.address} knows no route to it"
        else:
            text = f"this host has no route to {answer.address}"
        yield Finding(
            NO_ROUTE, Severity.CRITICAL, Confidence.CERTAIN if word else Confidence.LIKELY, answer.subject, text,
            evidence=_evidence(case, route, *links[:4]), resolution=tuple(_route(facts, case, kind, links)),
            about=_about(facts, case, "host"), impact=1.0,
        )  # fmt: skip


def _route(facts: Facts, case: _Case, kind: str, links: list[Link]) -> Iterator[Step]:
    root, address, again = steps.sudo(facts), quote(case.answer.address), db_view.again(facts)
    six = "-6 " if case.answer.family == "IPv6" else ""
    if kind:
        yield Step(
            "see the route that forbids it, and the rules that lead there",
            f"ip {six}route show table all type {kind}; ip {six}rule",
        )
        yield Step(
            "delete it, if it is not meant (fill in the range as shown)",
            f"{root}ip {six}route del {kind} {address}",
            "disruptive",
            again,
        )
        return
    yield Step(
        "see the routes that there are, and the state of the devices", f"ip {six}route; ip -br link; ip -br address"
    )
    down = [k for k in links if not k.up]
    for link in down[:2]:
        yield Step(
            f"if {link.subject} should carry it, start it",
            f"{root}ip link set {quote(link.subject)} up",
            "disruptive",
            again,
        )
    up = next((k.subject for k in links if k.up and k.networks), "")
    yield Step(
        "add the route through the gateway of this network (fill in its address), then where it is configured for the next boot",
        f"{root}ip {six}route add {address} via GATEWAY{f' dev {quote(up)}' if up else ''}", "disruptive", again,
    )  # fmt: skip


UNREACHABLE = Spec(
    code="net.host-unreachable",
    title="nobody is at the address",
    severity=Severity.CRITICAL,
    meaning="The next hop does not answer the question who has the address (ARP, NDP), the network device has no link, or a router "
    "says that it finds no such host: the host is down, the address is wrong, or the cable or virtual link is cut.",
    told="The kernel's neighbour entry is INCOMPLETE or FAILED after we sent, or the device is down or without carrier; or 113 and ping "
    "is told the same.",
    not_to_be_taken_for="a firewall that drops: then the neighbour answers; a route that says unreachable.",
    resolution=("check the address (an old DNS or hosts entry?)", "look at the host and at the link"),
    explains=("db.replica-stopped", "dns.resolver-unreachable"),
)


def host_unreachable(facts: Facts) -> Iterator[Finding]:
    for case in _cases(facts):
        if _verdict(facts, case) != UNREACHABLE.code:
            continue
        answer, route, root = case.answer, case.route, steps.sudo(facts)
        again = db_view.again(facts)
        down = _downed(facts, case) if route is not None and route.word != "found" else []
        down = down or (
            [case.link] if case.link is not None and (case.link.carrier is False or not case.link.up) else []
        )
        if down:
            link = down[0]
            state = "is down" if not link.up else "has no carrier (cable, or the other end, is off)"
            todo = [Step("see the state of the devices", "ip -br link; ip -br address")]
            if not link.up:
                todo.append(
                    Step(
                        "start it; routes that went with it must be added again",
                        f"{root}ip link set {quote(link.subject)} up",
                        "disruptive",
                        again,
                    )
                )
            else:
                todo.append(
                    Step(
                        "check the cable, the switch port, or the other end of the virtual link",
                        f"ethtool {quote(link.subject)}",
                        verify=again,
                    )
                )
            yield Finding(
                UNREACHABLE, Severity.CRITICAL, Confidence.CERTAIN, answer.subject,
                f"{answer.address} cannot be reached: {link.subject}, the device on the way there, {state}",
                evidence=_evidence(case, route, *down[:3], case.hop), resolution=tuple(todo),
                about=_about(facts, case, link.subject, "host"), impact=1.0,
            )  # fmt: skip
        elif case.hop is not None and case.hop.absent:
            hop = case.hop
            what = "nobody answers there" if case.direct else f"the gateway {hop.subject} does not answer"
            named = next(
                (n for n in facts.of(NameAnswer) if answer.address in n.addresses and n.subject != answer.address), None
            )
            name = f" (which {named.subject} resolves to)" if named is not None else ""
            yield Finding(
                UNREACHABLE, Severity.CRITICAL, Confidence.CERTAIN, answer.subject,
                f"{answer.address}{name} cannot be reached: {what} on {hop.device}",
                evidence=_evidence(case, hop, case.ping, route, named),
                resolution=(
                    Step(f"see what {hop.device} knows of its neighbours", f"ip neigh show dev {quote(hop.device)}"),
                    *([Step("check that the name has the right address", f"getent ahosts {quote(named.subject)}; grep -nwF -- {quote(named.subject)} /etc/hosts")] if named is not None else []),
                    Step(
                        "check that the address is right, and that the host there is on" if case.direct else f"look at the gateway {hop.subject}, or name the right one in the route",
                        f"ip route get {quote(answer.address)}", verify=again,
                    ),
                ),
                about=_about(facts, case, hop.subject), impact=1.0,
            )  # fmt: skip
        else:
            told = case.ping is not None and case.ping.word == "unreachable"
            yield Finding(
                UNREACHABLE, Severity.CRITICAL, Confidence.LIKELY if told else Confidence.POSSIBLE, answer.subject,
                f"{answer.address} cannot be reached: a router on the way says that there is no such host",
                evidence=_evidence(case, case.ping, route), resolution=tuple(_elsewhere(facts, case)),
                about=_about(facts, case), impact=0.8,
            )  # fmt: skip


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
    explains=("db.replica-lag", "db.replica-stopped"),
)  # fmt: skip


def packet_loss(facts: Facts) -> Iterator[Finding]:
    failed = {case.answer.subject for case in _cases(facts) if _verdict(facts, case) == LOSS.code}
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
        elif ping.early_loss and ping.loss >= _HEAVY_LOSS:
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
    explains=("db.replica-lag", "db.name-resolution-slow"),
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
    explains=("db.replica-stopped",),
)


def ephemeral_ports(facts: Facts) -> Iterator[Finding]:
    for answer in facts.of(TcpAnswer):
        ports = facts.last(LocalPorts, answer.subject)
        out = answer.word == "no-local-port"
        full = ports is not None and ports.part >= _FULL
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
    if table is None or not table.limit or table.count < _FULL * table.limit:
        return
    cut_off = [case for case in _cases(facts) if _verdict(facts, case) == TABLE_FULL.code]
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


RULES = (drop, reject, no_route, host_unreachable, packet_loss, latency, ephemeral_ports, conntrack_full)

"""The way to a port that did not open: no route, nobody there, a firewall that drops or rejects."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.net_case import Case, about, cases, downed, evidence, rules, verdict
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import (
    FirewallRule,
    Link,
    TcpAnswer,
)
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

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
    explains=("db.replica-stopped", "dns.resolver-unreachable", "api.no-live-upstreams", "api.app-exception"),
)


def drop(facts: Facts) -> Iterator[Finding]:
    for case in cases(facts):
        if verdict(facts, case) != DROP.code:
            continue
        answer, found = case.answer, rules(facts, "drop")
        if found:
            rule = found[0]
            sure = Confidence.CERTAIN if rule.hit and rule.sure else Confidence.LIKELY
            yield Finding(
                DROP, Severity.CRITICAL, sure, answer.subject,
                f"this host's own firewall drops packets {_to_or_from(rule, answer)}: {rule.subject}, {_short(rule)}",
                evidence=evidence(case, *found[:3]), resolution=tuple(_change_rule(facts, rule)),
                about=about(facts, case, "host"), impact=1.0,
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
            evidence=evidence(case, case.alive or case.ping, case.route, case.listener if case.local else None),
            resolution=tuple(_elsewhere(facts, case)), about=about(facts, case), impact=0.9,
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


def _elsewhere(facts: Facts, case: Case) -> Iterator[Step]:
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
    explains=("db.replica-stopped", "dns.resolver-unreachable", "api.no-live-upstreams", "api.app-exception"),
)


def reject(facts: Facts) -> Iterator[Finding]:
    for case in cases(facts):
        if verdict(facts, case) != REJECT.code:
            continue
        answer, found = case.answer, rules(facts, "reject")
        if found:
            rule = found[0]
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.CERTAIN if rule.hit and rule.sure else Confidence.LIKELY, answer.subject,
                f"this host's own firewall rejects packets {_to_or_from(rule, answer)}: {rule.subject}, {_short(rule)}",
                evidence=evidence(case, *found[:3]), resolution=tuple(_change_rule(facts, rule)),
                about=about(facts, case, "host"), impact=1.0,
            )  # fmt: skip
        elif case.local:
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.LIKELY, answer.subject,
                f"{answer.subject} is refused although {case.listener.process if case.listener and case.listener.process else 'something'} "
                "listens there: a firewall rule of this host rejects it",
                evidence=evidence(case, case.listener), resolution=tuple(_elsewhere(facts, case)),
                about=about(facts, case, "host"), impact=0.9,
            )  # fmt: skip
        else:
            yield Finding(
                REJECT, Severity.CRITICAL, Confidence.LIKELY, answer.subject,
                f"{answer.subject} is called unreachable, though the host is there: a firewall at the server or on the path rejects it",
                evidence=evidence(case, case.alive), resolution=tuple(_elsewhere(facts, case)),
                about=about(facts, case), impact=0.9,
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
    explains=("db.replica-stopped", "dns.resolver-unreachable", "api.no-live-upstreams", "api.app-exception"),
)


def no_route(facts: Facts) -> Iterator[Finding]:
    for case in cases(facts):
        if verdict(facts, case) != NO_ROUTE.code:
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
            evidence=evidence(case, route, *links[:4]), resolution=tuple(_route(facts, case, kind, links)),
            about=about(facts, case, "host"), impact=1.0,
        )  # fmt: skip


def _route(facts: Facts, case: Case, kind: str, links: list[Link]) -> Iterator[Step]:
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
    explains=("db.replica-stopped", "dns.resolver-unreachable", "api.no-live-upstreams", "api.app-exception"),
)


def host_unreachable(facts: Facts) -> Iterator[Finding]:
    for case in cases(facts):
        if verdict(facts, case) != UNREACHABLE.code:
            continue
        answer, route, root = case.answer, case.route, steps.sudo(facts)
        again = db_view.again(facts)
        down = downed(facts, case) if route is not None and route.word != "found" else []
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
                evidence=evidence(case, route, *down[:3], case.hop), resolution=tuple(todo),
                about=about(facts, case, link.subject, "host"), impact=1.0,
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
                evidence=evidence(case, hop, case.ping, route, named),
                resolution=(
                    Step(f"see what {hop.device} knows of its neighbours", f"ip neigh show dev {quote(hop.device)}"),
                    *([Step("check that the name has the right address", f"getent ahosts {quote(named.subject)}; grep -nwF -- {quote(named.subject)} /etc/hosts")] if named is not None else []),
                    Step(
                        "check that the address is right, and that the host there is on" if case.direct else f"look at the gateway {hop.subject}, or name the right one in the route",
                        f"ip route get {quote(answer.address)}", verify=again,
                    ),
                ),
                about=about(facts, case, hop.subject), impact=1.0,
            )  # fmt: skip
        else:
            told = case.ping is not None and case.ping.word == "unreachable"
            yield Finding(
                UNREACHABLE, Severity.CRITICAL, Confidence.LIKELY if told else Confidence.POSSIBLE, answer.subject,
                f"{answer.address} cannot be reached: a router on the way says that there is no such host",
                evidence=evidence(case, case.ping, route), resolution=tuple(_elsewhere(facts, case)),
                about=about(facts, case), impact=0.8,
            )  # fmt: skip


RULES = (drop, reject, no_route, host_unreachable)

"""A port that did not open: what was heard on the way to it, and which one code of the net area accounts for it.

A port that opens needs no explanation, whatever ping says. One that is refused while nothing else is odd is no matter
of the network: nobody listens there.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import Literal, NamedTuple

from rbdiag.diagnose import db_view
from rbdiag.facts.net import Conntrack, FirewallRule, Link, Listener, Neighbour, Ping, Route, TcpAnswer
from rbdiag.model import Fact, Facts

NetCode = Literal[
    "", "net.drop", "net.reject", "net.no-route", "net.host-unreachable", "net.packet-loss", "net.conntrack-full",
    "net.ephemeral-ports-exhausted",
]  # fmt: skip
# Where more than that is lost, a port that stays silent may be one whose packets were all lost.
HEAVY_LOSS = 0.4
# Local ports and tracked connections: the next burst takes the last twentieth.
FULL = 0.95


class Case(NamedTuple):
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


def cases(facts: Facts) -> Iterator[Case]:
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
        yield Case(
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


def rules(facts: Facts, kind: str) -> list[FirewallRule]:
    """Local rules of this kind that met our packets, or surely do; the surest first."""
    found = [r for r in facts.of(FirewallRule) if r.verdict == kind and (r.hit or (r.hit is None and r.sure))]
    return sorted(found, key=lambda r: (not r.hit, not r.sure))


def about(facts: Facts, case: Case, *more: str) -> frozenset[str]:
    return db_view.about(facts, case.answer.subject, case.answer.address, case.answer.host, *more)


def evidence(case: Case, *more: Fact | None) -> tuple[Fact, ...]:
    return tuple(f for f in (*case.all[:4], *more) if f is not None)


def verdict(facts: Facts, case: Case) -> NetCode:
    """Which of the codes accounts for the case, "" for none: only one does, so that none contradicts another."""
    word, route = case.answer.word, case.route
    if word == "no-local-port":
        return "net.ephemeral-ports-exhausted"
    if route is not None and route.word != "found":
        return "net.host-unreachable" if downed(facts, case) else "net.no-route"
    if word in ("no-route", "prohibited", "blackhole"):
        return "net.reject" if rules(facts, "reject") else "net.no-route"
    if word in ("silent", "unreachable") and not case.local:
        if case.link is not None and (case.link.carrier is False or not case.link.up):
            return "net.host-unreachable"
        if case.hop is not None and case.hop.absent and case.alive is None:
            return "net.host-unreachable"
    if word == "silent":
        return _why_silent(facts, case)
    if rules(facts, "reject") or (word == "refused" and case.local and case.listener is not None):
        return "net.reject"
    if word == "unreachable":
        return "net.reject" if case.alive is not None else "net.host-unreachable"
    return ""


def _why_silent(facts: Facts, case: Case) -> NetCode:
    if any(r.hit or r.sure for r in rules(facts, "drop")):
        return "net.drop"
    if case.listener is not None and case.listener.full:
        return ""  # those who wait are not turned away by the network
    table = facts.last(Conntrack)
    if table is not None and table.count >= FULL * table.limit:
        return "net.conntrack-full"
    if case.ping is not None and case.ping.received and case.ping.loss >= HEAVY_LOSS:
        return "net.packet-loss"
    return "net.drop"


def downed(facts: Facts, case: Case) -> list[Link]:
    """Devices without which there is no route: down, on the target's own network; or all that there are."""
    links = [k for k in facts.of(Link) if k.subject != "lo"]
    down = [k for k in links if not k.up or k.carrier is False]
    there = ip_address(case.answer.address.partition("%")[0])
    own = [k for k in down if any(there in ip_interface(n).network for n in k.networks)]
    if own:
        return own
    configured = [k for k in links if k.networks]
    return configured if configured and all(k in down for k in configured) else []

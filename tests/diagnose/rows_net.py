"""The way to the target and its name: what breaks it, and what only looks as if it did."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import DbTarget, Greeting, Login, ServerConfig, ServerProcess
from rbdiag.facts.dns import HostsEntry, NameAnswer, ResolverConfig, ServerAnswer
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
from rbdiag.model import Fact, Facts
from tests.diagnose.db_world import World, afar, beside, make
from tests.diagnose.row import Row

ADDRESS, ENDPOINT = "10.0.0.5", "10.0.0.5:3306"
NETWORK = tuple(f"{area}." for area in ("net", "dns"))

# Nothing is seen of a server whose port does not open, nor of a path whose name leads nowhere.
_BEHIND = (
    "Greeting",
    "TlsAnswer",
    "Certificate",
    "Login",
    "ServerInfo",
    "Connections",
    "SessionGroup",
    "Session",
    "DbRates",
    "Innodb",
    "Account",
)
_PATH: tuple[type[Fact], ...] = (
    NameAnswer,
    ServerAnswer,
    Route,
    Link,
    Neighbour,
    Ping,
    TcpAnswer,
    FirewallRule,
    LocalPorts,
    Conntrack,
)


def _unopened(world: World, *more: type[Fact]) -> World:
    return world.without(*(type(f) for f in world.facts if type(f).__name__ in _BEHIND), *more)


far, near, path = _unopened(afar()), _unopened(beside()), afar()
nameless = _unopened(afar(), *_PATH[2:])


def tcp(word: str, **changes: Any) -> TcpAnswer:
    number = {
        "refused": 111,
        "unreachable": 113,
        "no-route": 101,
        "prohibited": 13,
        "blackhole": 22,
        "no-local-port": 99,
        "reset": 104,
    }
    seconds = {"silent": 4.3, "unreachable": 0.001}.get(word, 0.0002)
    usual = {"subject": ENDPOINT, "host": "db1", "address": ADDRESS, "word": word, "errno": number.get(word), "seconds": seconds,
             "open_tries": int(word == "open")}  # fmt: skip
    return make(TcpAnswer, **(usual | changes))


def here(word: str, **changes: Any) -> TcpAnswer:
    return tcp(word, **({"subject": "127.0.0.1:3306", "host": "127.0.0.1", "address": "127.0.0.1"} | changes))


def rule(**changes: Any) -> FirewallRule:
    usual = {"subject": "ip filter INPUT", "text": "tcp dport 3306 drop", "before": 4, "after": 6, "sure": True,
             "delete": "nft delete rule ip filter INPUT handle 7"}  # fmt: skip
    return make(FirewallRule, **(usual | changes))


def reject(**changes: Any) -> FirewallRule:
    return rule(verdict="reject", text="tcp dport 3306 reject with tcp reset", **changes)


def no_ping(word: str = "silent") -> Ping:
    return pings(0, word=word, least=None, average=None, most=None)


def pings(received: int, sent: int = 10, **changes: Any) -> Ping:
    return make(Ping, sent=sent, received=received, **changes)


def name(word: str, seconds: float = 0.004, **changes: Any) -> NameAnswer:
    return make(
        NameAnswer, word=word, seconds=seconds, **({"addresses": () if word != "found" else (ADDRESS,)} | changes)
    )


def says(server: str, word: str, *addresses: str, **changes: Any) -> ServerAnswer:
    seconds = 1.5 if word == "silent" else 0.002
    return make(ServerAnswer, server=server, word=word, addresses=addresses, **({"seconds": seconds} | changes))


def files(word: str, **changes: Any) -> ResolverConfig:
    return make(
        ResolverConfig, word=word, **({"servers": ()} if word in ("missing", "unreadable", "empty") else {}) | changes
    )


two = {"servers": ("10.0.0.2", "10.0.0.3")}
gateway = [make(Route, gateway="10.0.0.1"), make(Neighbour, subject="10.0.0.1")]
nobody = make(Neighbour, state="FAILED")
six = "2001:db8::5"
no_six = tcp("no-route", subject=f"[{six}]:3306", address=six, family="IPv6")
no_server = (ServerProcess, ServerConfig, Listener)
# The same without a database, of which other rules would have their say.
bare, bare_here = far.without(DbTarget), near.without(DbTarget, ServerProcess, ServerConfig)

ROWS: list[Row] = [
    # drop
    Row("a local rule drops what comes in", near.but(here("silent"), rule()), "net.drop", "127.0.0.1:3306",
        says="this host's own firewall drops packets that come in for 127.0.0.1:3306"),
    Row("a local rule drops what goes out", far.but(tcp("silent"), rule(direction="out", subject="inet f o")), "net.drop", ENDPOINT, says="packets to 10.0.0.5:3306: inet f o"),
    Row("a policy without a counter drops it", far.but(tcp("silent"), rule(text="policy drop", before=None, after=None, delete="nft insert rule inet f i ct state established,related accept")), "net.drop",
        says="policy drop"),
    Row("a rule that counts and may meet us drops it", far.but(tcp("silent"), rule(sure=False)), "net.drop", says="own firewall"),
    Row("silent, and the host answers ping", far.but(tcp("silent")), "net.drop", ENDPOINT, says="on the path or at the server"),
    Row("silent, no ping, but its neighbour entry is fresh", far.but(tcp("silent"), no_ping()), "net.drop", says="though the host is there"),
    Row("silent through a gateway, and no ping either", far.but(tcp("silent"), no_ping(), *gateway), "net.drop", says="or the host is down"),
    Row("silent on this host, with room in the queue", near.but(here("silent")), "net.drop", says="a firewall on this host"),
    Row("drop rules for other traffic, with a rising counter that may not be ours", far.but(tcp("silent"), rule(before=3, after=3)), "net.drop", says="on the path"),
    Row("a port whose queue of waiting clients is full", bare_here.but(here("silent"), make(Listener, waiting=81)), None, never=("net.drop",)),
    Row("drop rules, and the port opens", path.but(rule(before=0, after=9)), None),
    # reject
    Row("a local rule resets", near.but(here("refused"), reject()), "net.reject", "127.0.0.1:3306", says="own firewall rejects"),
    Row("a local rule prohibits what goes out", far.but(tcp("unreachable"), reject(direction="out")), "net.reject", says="packets to 10.0.0.5:3306"),
    Row("a reject rule without a counter", far.but(tcp("refused"), reject(before=None, after=None)), "net.reject"),
    Row("refused here although something listens", near.but(here("refused")), "net.reject", says="although mariadbd[60] listens there"),
    Row("unreachable at once, and it answers ping", far.but(tcp("unreachable")), "net.reject", says="though the host is there"),
    Row("refused by another host and nothing else is odd", bare.but(tcp("refused")), None),
    Row("refused here, and nobody listens", bare_here.without(Listener).but(here("refused")), None, never=("net.reject",)),
    Row("refused here, and the listener is on another address", bare_here.but(here("refused"), make(Listener, subject="10.0.0.9:3306", address="10.0.0.9")), None,
        never=("net.reject",)),
    Row("refused, and a reject rule that nothing met", bare.but(tcp("refused"), reject(before=2, after=2)), None, never=("net.reject",)),
    # no route
    Row("no route", far.but(tcp("no-route"), make(Route, word="none", device="", source="")), "net.no-route", ENDPOINT, says="no route to 10.0.0.5"),
    Row("a prohibiting route", far.but(tcp("prohibited"), make(Route, word="prohibited", device="")), "net.no-route", says="of the kind prohibit"),
    Row("a black hole", far.but(tcp("blackhole"), make(Route, word="blackhole", device="")), "net.no-route", says="of the kind blackhole"),
    Row("an unreachable route", far.but(tcp("unreachable"), make(Route, word="unreachable", device="")), "net.no-route", says="of the kind unreachable"),
    Row("a router knows no route", far.but(tcp("no-route"), *gateway), "net.no-route", says="a router on the way"),
    Row("no route to its IPv6 address, and IPv4 opens", path.but([no_six, tcp("open")]), None),
    Row("no route to its IPv6 address, and IPv4 is dropped", far.but([no_six, tcp("silent")]), "net.drop", never=("net.no-route",)),
    # nobody there
    Row("nobody answers for the address", far.but(tcp("silent"), nobody, no_ping()), "net.host-unreachable", ENDPOINT,
        says="10.0.0.5 (which db1 resolves to) cannot be reached: nobody answers there on eth0"),
    Row("the gateway does not answer", far.but(tcp("unreachable", seconds=3.1), make(Route, gateway="10.0.0.1"), make(Neighbour, subject="10.0.0.1", state="INCOMPLETE"), no_ping()),
        "net.host-unreachable", says="the gateway 10.0.0.1 does not answer"),
    Row("no carrier", far.but(tcp("silent"), make(Link, carrier=False), nobody, no_ping()), "net.host-unreachable", says="has no carrier"),
    Row("the device on the target's own network is down", far.but(tcp("no-route"), make(Route, word="none", device=""), [make(Link, up=False, carrier=None, networks=("10.0.0.9/24",)), make(Link, subject="eth1", networks=("192.0.2.9/24",))]),
        "net.host-unreachable", says="eth0, the device on the way there, is down"),
    Row("another device is down", far.but(tcp("no-route"), make(Route, word="none", device=""), [make(Link, networks=("192.0.2.9/24",)), make(Link, subject="eth1", up=False, carrier=None)]),
        "net.no-route", never=("net.host-unreachable",)),
    Row("a router says that there is no such host", far.but(tcp("unreachable", seconds=3.0), no_ping("unreachable"), *gateway), "net.host-unreachable", says="a router on the way"),
    Row("a neighbour not asked for a while, and the port opens", path.but(make(Neighbour, state="STALE"), no_ping()), None),
    # loss and latency
    Row("pings lost and a connect that took a second", path.but(tcp("open", seconds=1.03), pings(7)), "net.packet-loss", ENDPOINT, says="3 of 10 pings"),
    Row("pings lost and only the second try opens", path.but(tcp("open", tries=2), pings(6)), "net.packet-loss", says="4 of 10 pings"),
    Row("pings lost and a login that waited for a segment", path.but(make(Login, subject="db1:3306", seconds=0.24), pings(6)), "net.packet-loss"),
    Row("half of the pings lost, and a silent port", far.but(tcp("silent"), pings(5)), "net.packet-loss", says="does not open"),
    Row("three pings lost, and a silent port", far.but(tcp("silent"), pings(7)), "net.drop", never=("net.packet-loss",)),
    Row("two pings lost", path.but(tcp("open", seconds=1.03), pings(8)), None, never=("net.packet-loss",)),
    Row("half of the pings lost, the first of them too", path.but(pings(5, early_loss=True)), "net.packet-loss", says="no limit on pings does that"),
    Row("three pings lost, the first of them too", path.but(pings(7, early_loss=True)), None, notes=("net.packet-loss",)),
    Row("a host that limits pings", path.but(pings(5)), None, notes=("net.packet-loss",)),
    Row("a host that answers no ping", path.but(no_ping()), None),
    Row("half a second for each round trip", path.but(tcp("open", seconds=0.52), pings(10, least=0.5, average=0.52, most=0.6), *gateway), "net.latency", ENDPOINT, says="takes 500 ms"),
    Row("a tenth of a second to a neighbour", path.but(tcp("open", seconds=0.13), pings(10, least=0.12, average=0.13, most=0.2)), "net.latency", says="own network"),
    Row("another continent", path.but(tcp("open", seconds=0.28), pings(10, least=0.27, average=0.28, most=0.3), *gateway), None),
    Row("a tenth of a second through a tunnel", path.without(Neighbour).but(tcp("open", seconds=0.13), pings(10, least=0.12, average=0.13, most=0.2)), None),
    Row("slow pings and a quick connect", path.but(pings(10, least=0.5, average=0.52, most=0.6)), None),
    # what is left to send from
    Row("no local port is left", far.but(tcp("no-local-port"), make(LocalPorts, subject=ENDPOINT, used=28200, time_wait=27000)), "net.ephemeral-ports-exhausted", ENDPOINT,
        says="28,200 of 28,232 local ports"),
    Row("no local port, in a range of six", far.but(tcp("no-local-port"), make(LocalPorts, subject=ENDPOINT, low=50000, high=50005, used=6, time_wait=0)), "net.ephemeral-ports-exhausted"),
    Row("hardly a local port is left", path.but(make(LocalPorts, subject=ENDPOINT, used=27000)), "net.ephemeral-ports-exhausted", says="hardly a local port"),
    Row("nine tenths of the local ports", path.but(make(LocalPorts, subject=ENDPOINT, used=25400)), None),
    Row("five thousand in TIME-WAIT to others", path.but(make(LocalPorts, subject=ENDPOINT, used=3, time_wait=0)), None),
    Row("the table of connections is full", far.but(tcp("silent"), no_ping(), make(Conntrack, count=262144)), "net.conntrack-full", ENDPOINT, says="100 % full"),
    Row("the table of connections is nearly full", path.but(make(Conntrack, count=250000)), "net.conntrack-full", "host", says="new connections will be dropped"),
    Row("the table of connections is well used", path.but(make(Conntrack, count=240000)), None),
    # names: nobody knows it
    Row("both name servers know no such name", nameless.but(name("nameless"), [says(s, "nameless") for s in two["servers"]], files("ok", **two)), "dns.nxdomain", "db1",
        says="the name db1 does not exist: both name servers say so"),
    Row("one name server is dead, the other knows no such name", nameless.but(name("nameless", 5.0), [says("10.0.0.2", "silent"), says("10.0.0.3", "nameless")], files("ok", **two)), "dns.nxdomain",
        says="name server 10.0.0.3 says so"),
    Row("neither the name nor what the search list makes of it", nameless.but(name("nameless"), [says("10.0.0.2", "nameless", subject=n) for n in ("db1.shop.example.", "db1.")]), "dns.nxdomain",
        says="(nor db1.shop.example)"),
    Row("nobody could be asked, and the resolver knows no such name", nameless.without(ServerAnswer).but(name("nameless")), "dns.nxdomain"),
    Row("no resolv.conf, and a server of its own that knows no such name", nameless.but(name("nameless"), says("127.0.0.1", "nameless"), files("missing")), "dns.nxdomain", never=("dns.resolver-config",)),
    # nobody can tell
    Row("the name server is silent", nameless.but(name("unanswered", 6.0), says("10.0.0.2", "silent")), "dns.resolver-unreachable", "db1", says="10.0.0.2 is silent"),
    Row("nothing listens at the name server", nameless.but(name("unanswered"), says("127.0.0.53", "refused"), files("ok", servers=("127.0.0.53",))), "dns.resolver-unreachable", says="refuses"),
    Row("two name servers are dead", nameless.but(name("unanswered", 6.0), [says("10.0.0.2", "silent"), says("10.0.0.3", "unreachable")], files("ok", **two)), "dns.resolver-unreachable",
        says="name servers 10.0.0.2, 10.0.0.3 do not answer"),
    Row("nobody could be asked, and the resolver gave up", nameless.without(ServerAnswer).but(name("unanswered", 6.0)), "dns.resolver-unreachable"),
    Row("the name server fails", nameless.but(name("unanswered"), says("10.0.0.2", "servfail")), "dns.servfail", "db1", says="answers SERVFAIL"),
    Row("the name server refuses us", nameless.but(name("unanswered"), says("10.0.0.2", "declined")), "dns.servfail", says="refuses to answer us"),
    Row("one name server fails and one is silent", nameless.but(name("unanswered", 6.0), [says("10.0.0.2", "servfail"), says("10.0.0.3", "silent")], files("ok", **two)), "dns.servfail",
        says="name server 10.0.0.3 does not help"),
    # the wrong place
    Row("a stale hosts line", far.but(name("found", addresses=("10.0.0.77",)), make(HostsEntry, address="10.0.0.77"), tcp("silent", subject="10.0.0.77:3306", address="10.0.0.77"),
        make(Route, subject="10.0.0.77"), make(Neighbour, subject="10.0.0.77", state="FAILED"), make(Ping, subject="10.0.0.77", received=0, word="silent")), "dns.wrong-answer", "db1",
        says="/etc/hosts line 3 says that db1 is 10.0.0.77, the DNS says 10.0.0.5"),
    Row("a stale hosts line that leads to this host", _unopened(afar(), *no_server).but(name("found", addresses=("127.0.0.1",)), make(HostsEntry, address="127.0.0.1"), here("refused", host="db1"),
        make(Route, subject="127.0.0.1", local=True)), "dns.wrong-answer", says="the DNS says 10.0.0.5"),
    Row("this host's own name on 127.0.1.1, and its server is down", near.without(Listener, ServerProcess).but(name("found", addresses=("127.0.1.1",)), make(HostsEntry, address="127.0.1.1"), says("10.0.0.2", "found", ADDRESS),
        here("refused", host="db1", address="127.0.1.1", subject="127.0.1.1:3306")), "db.service-down", never=("dns.wrong-answer",)),
    Row("a hosts line that leads to what is no database", path.without(Login).but(name("found", addresses=("10.0.0.77",)), make(HostsEntry, address="10.0.0.77"), tcp("open", subject="10.0.0.77:3306", address="10.0.0.77"),
        make(Greeting, subject="db1:3306", word="other", text="HTTP/1.1 400")), "dns.wrong-answer"),
    Row("a hosts line on purpose, and it works", path.but(name("found", addresses=("10.0.0.77",)), make(HostsEntry, address="10.0.0.77"), tcp("open", subject="10.0.0.77:3306", address="10.0.0.77")), None),
    Row("a hosts line equal to the DNS, and a dead host", far.but(make(HostsEntry), tcp("silent"), nobody, no_ping()), "net.host-unreachable", never=("dns.wrong-answer",)),
    Row("a hosts line for what the DNS does not know", far.but(make(HostsEntry), says("10.0.0.2", "nameless"), tcp("silent"), nobody, no_ping()), "net.host-unreachable", never=("dns.wrong-answer", "dns.nxdomain")),
    Row("a name without an address", nameless.but(name("empty"), says("10.0.0.2", "empty")), "dns.wrong-answer", "db1", says="has no address"),
    Row("only an IPv6 address, and no way to it", far.but(name("found", addresses=(six,)), [says("10.0.0.2", "empty"), says("10.0.0.2", "found", six, record="AAAA")], no_six, make(Route, subject=six, word="none")),
        "dns.wrong-answer", says="has only IPv6 addresses (2001:db8::5)"),
    Row("name servers that contradict each other, and the address is dead", far.but([says("10.0.0.2", "found", ADDRESS), says("10.0.0.3", "found", "10.0.0.77")], tcp("silent"), nobody, no_ping()), "dns.wrong-answer",
        says="contradict each other"),
    Row("name servers that give different addresses, and it opens", path.but([says("10.0.0.2", "found", ADDRESS), says("10.0.0.3", "found", "10.0.0.77")]), None),
    # this host's own resolver
    Row("no resolv.conf", nameless.but(name("unanswered"), says("127.0.0.1", "refused"), files("missing")), "dns.resolver-config", "db1", says="/etc/resolv.conf is missing"),
    Row("an empty resolv.conf", nameless.but(name("unanswered"), says("127.0.0.1", "refused"), files("empty")), "dns.resolver-config", says="names no name server"),
    Row("a resolv.conf that we may not read", nameless.but(name("unanswered"), says("127.0.0.1", "refused"), files("unreadable")), "dns.resolver-config", says="cannot be read"),
    Row("a resolv.conf that only root may read", path.but(files("unreadable", servers=("10.0.0.2",))), "dns.resolver-config", says="by root alone"),
    Row("nsswitch.conf asks no name server", nameless.without(ServerAnswer).but(name("nameless"), files("no-dns", sources=("files",))), "dns.resolver-config", says="asks no name server (files)"),
    Row("no name server is asked, and the hosts file knows the name", path.without(ServerAnswer).but(make(HostsEntry), files("no-dns", sources=("files",))), None),
    Row("the name server knows it and the resolver does not", nameless.but(name("nameless"), says("10.0.0.2", "found", ADDRESS)), "dns.resolver-config", says="this host's resolver says"),
    # too late
    Row("the first name server is dead", path.but(name("found", 5.01), [says("10.0.0.2", "silent"), says("10.0.0.3", "found", ADDRESS)], files("ok", **two)), "dns.slow", "db1", says="takes 5.0 s: name server 10.0.0.2 is silent"),
    Row("a slow name server", path.but(name("found", 1.4), says("10.0.0.2", "found", ADDRESS, seconds=1.4)), "dns.slow", says="takes 1.4 s"),
    Row("too slow for the resolver", nameless.but(name("unanswered", 6.0), says("10.0.0.2", "found", ADDRESS, seconds=4.0)), "dns.slow", says="was given up after 6.0 s"),
    Row("a long lookup, and nobody knows why", path.but(name("found", 2.6)), "dns.slow"),
    Row("a second for a name that was in no cache", path.but(name("found", 1.2)), None),
    Row("under a second, and the second server is dead", path.but(name("found", 0.02), [says("10.0.0.2", "found", ADDRESS), says("10.0.0.3", "silent")], files("ok", **two)), None),
    Row("no AAAA record", path.but([says("10.0.0.2", "found", ADDRESS), says("10.0.0.2", "empty", record="AAAA")]), None),
    Row("a search list that misses first", path.but([says("10.0.0.2", "nameless", subject="db1.shop.example."), says("10.0.0.2", "found", ADDRESS)]), None),
    Row("a target that has no name", far.without(DbTarget).but(tcp("silent")), "net.drop"),
]  # fmt: skip

CHAINS: list[tuple[str, Facts, str, str]] = [
    ("a stale hosts line explains that nobody is there",
     far.but(name("found", addresses=("10.0.0.77",)), make(HostsEntry, address="10.0.0.77"), tcp("silent", subject="10.0.0.77:3306", address="10.0.0.77"),
             make(Route, subject="10.0.0.77"), make(Neighbour, subject="10.0.0.77", state="FAILED"), make(Ping, subject="10.0.0.77", received=0, word="silent")),
     "dns.wrong-answer", "net.host-unreachable"),
    ("only an IPv6 address explains that there is no route",
     far.but(name("found", addresses=(six,)), [says("10.0.0.2", "empty"), says("10.0.0.2", "found", six, record="AAAA")], no_six, make(Route, subject=six, word="none")),
     "dns.wrong-answer", "net.no-route"),
]  # fmt: skip

"""The way to a database: firewalls, routes, links, names, as a client on another host meets them, and two faults at
once. The server is at 10.90.77.2 port 3306 of a network of its own; the client asks from 10.90.77.1."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.lab import dbs, proc
from tests.lab.dbs import as_client, db_fault, far, prove_far, prove_running
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.database import Database

FAR = ("root", "ip", "unshare")
TIMED_OUT, REFUSED, UNREACHABLE, NO_ROUTE, NO_PORT, PROHIBITED = 2003, 111, 113, 101, 99, 13
HERE = "10.90.77.2"


def _rules(lab: Lab, namespace: str, *rules: str) -> None:
    """Rules of nft in a namespace; they go with it."""
    chain = "type filter hook {hook} priority 0; policy accept;"
    lines = ["table inet edge {"]
    for hook in ("input", "output"):
        inside = [rule.removeprefix(f"{hook} ") for rule in rules if rule.startswith(hook)]
        lines += [f"chain {hook} {{", chain.format(hook=hook), *inside, "}"]
    path = lab.write("edge.nft", "\n".join([*lines, "}", ""]))
    lab.run(*dbs.inside(namespace), "nft", "-f", str(path))


def net_fault(*codes: str, needs: tuple[str, ...] = (), **options: Any) -> Callable[..., Any]:
    return db_fault(*codes, needs=(*FAR, *needs), **options)


def _from_afar(lab: Lab, server: Database, client: str, host: str = HERE, *more: str) -> Fault:
    return Fault(argv=as_client(lab, server, *more, host=host), before=dbs.afar(client))


def _prove_silent(lab: Lab, client: str, host: str = HERE) -> None:
    """A connect that gets no answer at all; PyMySQL then names no errno."""
    prove_far(lab, client, TIMED_OUT, host=host, connect_timeout=1)


# Firewalls


@net_fault("net.drop", needs=("nft",))
def db_dropped_by_server(lab: Lab) -> Setup:
    """The server's firewall drops what comes for its port; asked from the client, which answers ping."""
    server, client, host = far(lab)
    _rules(lab, host, "input tcp dport 3306 counter drop")
    _prove_silent(lab, client)
    yield _from_afar(lab, server, client)


@net_fault("net.drop", needs=("iptables",))
def db_dropped_by_own_firewall(lab: Lab) -> Setup:
    """The client's own firewall drops what goes to the port."""
    server, client, _ = far(lab)
    lab.run(*dbs.inside(client), "iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", "3306", "-j", "DROP")
    _prove_silent(lab, client)
    yield _from_afar(lab, server, client)


@net_fault("net.drop", needs=("nft",))
def db_dropped_answers(lab: Lab) -> Setup:
    """The client's firewall, a table of its own that iptables does not show, drops the answers of the server."""
    server, client, _ = far(lab)
    _rules(lab, client, "input ip saddr 10.90.77.2 tcp sport 3306 counter drop")
    _prove_silent(lab, client)
    yield _from_afar(lab, server, client)


@net_fault("net.reject", needs=("nft",), fast=True)
def db_rejected_by_own_firewall(lab: Lab) -> Setup:
    """The client's own firewall rejects with a reset, which looks as if nobody listened."""
    server, client, _ = far(lab)
    _rules(lab, client, "output tcp dport 3306 counter reject with tcp reset")
    prove_far(lab, client, REFUSED)
    yield _from_afar(lab, server, client)


@net_fault("net.reject", needs=("iptables",))
def db_rejected_by_server(lab: Lab) -> Setup:
    """The server's firewall says that its administrator prohibits it."""
    server, client, host = far(lab)
    rule = ("INPUT", "-p", "tcp", "--dport", "3306", "-j", "REJECT", "--reject-with", "icmp-host-prohibited")
    lab.run(*dbs.inside(host), "iptables", "-A", *rule)
    prove_far(lab, client, UNREACHABLE)
    yield _from_afar(lab, server, client)


# Routes and links


@net_fault("net.no-route")
def db_no_route(lab: Lab) -> Setup:
    """There is no route to the network that the server is in."""
    server, client, _ = far(lab)
    prove_far(lab, client, NO_ROUTE, host="10.99.0.1")
    yield _from_afar(lab, server, client, "10.99.0.1")


@net_fault("net.no-route")
def db_prohibited_route(lab: Lab) -> Setup:
    """A route prohibits the server's address."""
    server, client, _ = far(lab)
    lab.run("ip", "-n", client, "route", "add", "prohibit", "10.90.77.2/32")
    prove_far(lab, client, PROHIBITED)
    yield _from_afar(lab, server, client)


@net_fault("net.host-unreachable")
def db_dead_address(lab: Lab) -> Setup:
    """Nobody has the address that the client asks for."""
    server, client, _ = far(lab)
    prove_far(lab, client, UNREACHABLE, host="10.90.77.77", connect_timeout=6)
    yield _from_afar(lab, server, client, "10.90.77.77")


@net_fault("net.host-unreachable", "net.no-route")
def db_link_down(lab: Lab) -> Setup:
    """The server's end of the cable is down."""
    server, client, host = far(lab)
    lab.run("ip", "-n", host, "link", "set", "v1", "down")
    lab.prove("a login fails", lambda: dbs.code_from(lab, client, host=HERE, connect_timeout=5), at_least=99)
    yield _from_afar(lab, server, client)


@net_fault("net.packet-loss", needs=("iptables",))
def db_loss(lab: Lab) -> Setup:
    """The path loses 40 % of the packets, both ways."""
    server, client, host = far(lab)
    for namespace in (client, host):
        lab.run(*dbs.inside(namespace), "iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random",
                "--probability", "0.4", "-j", "DROP")  # fmt: skip
    lab.prove("lost pings", lambda: _lost(lab, client), at_least=0.2)
    yield _from_afar(lab, server, client)


def _lost(lab: Lab, client: str) -> float:
    said = lab.run("sh", "-c", f"ip netns exec {client} ping -n -q -c 60 -i 0.02 -W 1 {HERE} || true")
    return float(said.split("% packet loss")[0].split()[-1]) / 100


@net_fault("net.ephemeral-ports-exhausted", needs=("sysctl",))
def db_no_local_ports(lab: Lab) -> Setup:
    """The client has six ports to connect from, and all of them are in use."""
    server, client, _ = far(lab)
    lab.run(*dbs.inside(client), "sysctl", "-qw", "net.ipv4.ip_local_port_range=50000 50005")
    dbs.application(lab, server, *[["SELECT 1"]] * 6, before=dbs.inside(client), connect={"host": HERE})
    prove_far(lab, client, NO_PORT)
    yield _from_afar(lab, server, client)


# Names

ZONE = "db.shop.test"


def _names(
    lab: Lab, client: str, *, server: str = "", resolv: str = "nameserver 10.90.77.2\n", hosts: str = ""
) -> None:
    """What the client is told of name servers; `server` are options of a dnsmasq there."""
    lab.netns_file(client, "resolv.conf", resolv)
    lab.netns_file(client, "hosts", "127.0.0.1 localhost\n" + hosts)
    lab.netns_file(client, "nsswitch.conf", "passwd: files\nhosts: files dns\n")
    if server:
        host = client[:-1] + "b"
        lab.start(*dbs.inside(host), "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv",
                  "--pid-file=", "--user=root", "--listen-address=10.90.77.2", "--bind-interfaces",
                  *server.split())  # fmt: skip
        lab.prove("the name server answers", lambda: _answers(lab, client), at_least=1)


def _answers(lab: Lab, client: str) -> bool:
    ask = ("import dns.message, dns.query\n"
           "try:\n    dns.query.udp(dns.message.make_query('db.shop.test', 'A'), '10.90.77.2', 0.5)\n    print(1)\n"
           "except Exception:\n    print(0)\n")  # fmt: skip
    return lab.run(*dbs.inside(client), sys.executable, "-c", ask).strip() == "1"


def _prove_unresolved(lab: Lab, client: str) -> None:
    """The resolver fails: its numbers are negative."""
    lab.prove("number of the resolver's error", lambda: dbs.code_from(lab, client, host=ZONE, connect_timeout=2),
              at_most=-2)  # fmt: skip


@net_fault("dns.nxdomain", needs=("dnsmasq",))
def db_name_unknown(lab: Lab) -> Setup:
    """The name server says that there is no such name."""
    server, client, _ = far(lab)
    _names(lab, client, server="--local=/shop.test/")
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.servfail", needs=("dnsmasq",))
def db_name_servfail(lab: Lab) -> Setup:
    """The name server has nobody to ask: it answers REFUSED."""
    server, client, _ = far(lab)
    _names(lab, client, server="--cache-size=0")
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.resolver-unreachable")
def db_name_server_silent(lab: Lab) -> Setup:
    """The name server reads every question and answers none."""
    server, client, host = far(lab)
    source = "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('10.90.77.2', 53))\n"
    source += "print('ready', flush=True)\nwhile True:\n    s.recv(4096)\n"
    lab.ready(*dbs.inside(host), sys.executable, "-c", source)
    _names(lab, client, resolv="nameserver 10.90.77.2\noptions timeout:1 attempts:1\n")
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.resolver-unreachable")
def db_name_server_gone(lab: Lab) -> Setup:
    """Nobody listens at the name server's port."""
    server, client, _ = far(lab)
    _names(lab, client)
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.slow", needs=("dnsmasq",))
def db_first_name_server_dead(lab: Lab) -> Setup:
    """The first name server is dead; every lookup waits for it before the second is asked."""
    server, client, _ = far(lab)
    lab.run("ip", "-n", client, "neigh", "add", "10.90.77.99", "lladdr", "02:00:00:00:00:63", "dev", "v0")
    _names(lab, client, server=f"--address=/{ZONE}/{HERE}",
           resolv="nameserver 10.90.77.99\nnameserver 10.90.77.2\noptions timeout:2\n")  # fmt: skip
    prove_far(lab, client, 0, host=ZONE, connect_timeout=10)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.wrong-answer", "net.host-unreachable", needs=("dnsmasq",))
def db_wrong_address(lab: Lab) -> Setup:
    """The name leads to an address that nobody has any more."""
    server, client, _ = far(lab)
    _names(lab, client, server=f"--address=/{ZONE}/10.90.77.77")
    prove_far(lab, client, UNREACHABLE, host=ZONE, connect_timeout=6)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.wrong-answer", needs=("dnsmasq",))
def db_stale_hosts_line(lab: Lab) -> Setup:
    """A forgotten line of /etc/hosts leads to an old address; the name server knows the right one."""
    server, client, _ = far(lab)
    _names(lab, client, server=f"--address=/{ZONE}/{HERE}", hosts=f"10.90.77.77 {ZONE}\n")
    prove_far(lab, client, UNREACHABLE, host=ZONE, connect_timeout=6)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.resolver-config")
def db_resolv_conf_empty(lab: Lab) -> Setup:
    """resolv.conf names no server."""
    server, client, _ = far(lab)
    _names(lab, client, resolv="# Generated by NetworkManager\n")
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("dns.resolver-config", needs=("dnsmasq",))
def db_nsswitch_without_dns(lab: Lab) -> Setup:
    """nsswitch.conf asks the files alone; the name server would know."""
    server, client, _ = far(lab)
    _names(lab, client, server=f"--address=/{ZONE}/{HERE}")
    lab.netns_file(client, "nsswitch.conf", "passwd: files\nhosts: files\n")
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


# Two at once


@net_fault("dns.resolver-unreachable", allowed=("db.service-down",))
def db_names_and_server_down(lab: Lab) -> Setup:
    """The name server is gone, and the database is stopped as well: the name is the first obstacle on the way."""
    server, client, _ = far(lab)
    server.stop()
    _names(lab, client)
    _prove_unresolved(lab, client)
    yield _from_afar(lab, server, client, ZONE)


@net_fault("db.hung", "net.drop", needs=("nft",))
def db_dropped_and_hung(lab: Lab) -> Setup:
    """The server hangs, and its own firewall drops the port: asked beside it, where both can be seen."""
    server, client, host = far(lab)
    _rules(lab, host, "input iifname != lo tcp dport 3306 counter drop")
    server.kill(signal.SIGSTOP)
    prove_running(lab, server)
    lab.prove("it is stopped", lambda: proc.states([server.pid]) == "T", at_least=1)
    _prove_silent(lab, client)
    yield Fault(argv=dbs.configured(server, ("db", "10.90.77.2")), before=dbs.inside(host))

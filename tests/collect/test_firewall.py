"""Rules of a firewall that meet our packets, for real on two small hosts; and listings walked as the kernel does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from subprocess import run
from typing import Any

import pytest

from rbdiag.collect import packet_filter
from rbdiag.collect.packet_filter import Met, Ruleset, parse_iptables, parse_nft, stages, walk
from rbdiag.facts.net import FirewallRule, TcpAnswer
from rbdiag.model import CannotLook, Fact, Facts
from tests.diagnose.db_world import make
from tests.servers.network import SERVER, SERVER6, Network, network

PORT = 3306
NOBODY = 65534
OWN = "127.0.0.1"


@pytest.fixture
def host() -> Iterator[Network]:
    with network() as made:
        for address in (SERVER, SERVER6):
            made.listen(made.server, address, PORT)
        made.listen(made.client, OWN, PORT)
        yield made


def chain(hook: str, *rules: str, policy: str = "accept") -> str:
    """The shell's commands for a chain of nftables at that hook."""
    made = f"{{ type filter hook {hook} priority 0; policy {policy}; }}"
    commands = [
        "add table inet lab",
        f"add chain inet lab {hook} {made}",
        *(f"add rule inet lab {hook} {r}" for r in rules),
    ]
    return "; ".join(f"nft '{command}'" for command in commands)


def tried(*addresses: str, word: str = "silent") -> Facts:
    return Facts([make(TcpAnswer, subject=a, address=a, host="db1", word=word, open_tries=0) for a in addresses])


def opens(host: Network, address: str, seconds: float = 0.4) -> bool:
    code = f"import socket; socket.create_connection(('{address}', {PORT}), {seconds})"
    return run(["ip", "netns", "exec", host.client, sys.executable, "-c", code], capture_output=True).returncode == 0


def look(host: Network, *addresses: str, **more: Any) -> list[FirewallRule]:
    facts: list[Fact] = host.look("firewall", "rules", None, tried(*addresses), **more)
    assert all(isinstance(f, FirewallRule) for f in facts)
    return facts  # type: ignore[return-value]  # as just seen


@pytest.mark.parametrize(
    ("command", "address", "expected"),
    [
        ("iptables -A INPUT -p tcp --dport 3306 -j DROP", OWN, "ip filter INPUT: drop in, hit, sure"),
        ("iptables -A OUTPUT -d 10.50.0.0/24 -j DROP", SERVER, "ip filter OUTPUT: drop out, hit, sure"),
        ("iptables -A INPUT -s 10.50.0.2 -j DROP", SERVER, "ip filter INPUT: drop in, hit, sure"),
        ("iptables -A OUTPUT -p tcp -m multiport --dports 80,3306 -j REJECT --reject-with tcp-reset", SERVER,
         "ip filter OUTPUT: reject out, hit, sure"),
        ("iptables -A OUTPUT -p tcp --dport 3306 -m owner --uid-owner 0 -j DROP", SERVER,
         "ip filter OUTPUT: drop out, hit, maybe"),
        ("iptables -N X; iptables -A X -j REJECT; iptables -A OUTPUT -o c0 -p tcp --dport 3300:3310 -g X", SERVER,
         "ip filter X: reject out, hit, sure"),
        ("iptables -t raw -A PREROUTING -i c0 -p tcp --sport 3306 -j DROP", SERVER,
         "ip raw PREROUTING: drop in, hit, sure"),
        ("iptables -P OUTPUT DROP", SERVER, "ip filter OUTPUT: drop out, uncounted, sure"),
        ("ip6tables -A OUTPUT -p tcp --dport 3306 -j DROP", SERVER6, "ip6 filter OUTPUT: drop out, hit, sure"),
        ("iptables-legacy -A OUTPUT -p tcp --dport 3306 -j DROP", SERVER, "ip filter OUTPUT: drop out, hit, sure"),
        ("iptables-legacy -P INPUT DROP", OWN, "ip filter INPUT: drop in, hit, sure"),
        (chain("output", "tcp dport 3306 counter drop"), SERVER, "inet lab output: drop out, hit, sure"),
        (chain("output", "tcp dport { 22, 3000-4000 } drop"), SERVER, "inet lab output: drop out, uncounted, sure"),
        (chain("output", "ip6 daddr fd00:50::/64 counter reject"), SERVER6, "inet lab output: reject out, hit, sure"),
        (chain("input", "tcp sport 3306 ct state established counter drop"), SERVER,
         "inet lab input: drop in, hit, sure"),
        (chain("input", policy="drop"), SERVER, "inet lab input: drop in, uncounted, sure"),
        (chain("input", "ct state established,related accept", policy="drop"), OWN,
         "inet lab input: drop in, uncounted, sure"),
        (chain("input", 'iifname "lo" accept', "ct state invalid counter drop", policy="drop"), SERVER,
         "inet lab input: drop in, uncounted, sure"),
        (chain("output", "tcp dport vmap { 22 : accept, 3306 : drop }"), SERVER,
         "inet lab output: drop out, uncounted, sure"),
        (chain("output", "ip daddr . tcp dport { 10.50.0.2 . 3306 } counter drop"), SERVER,
         "inet lab output: drop out, hit, sure"),
        (chain("output", "tcp flags & (fin|syn|rst|ack) == syn counter drop"), SERVER,
         "inet lab output: drop out, hit, sure"),
        (chain("output", "numgen inc mod 1 < 1 counter drop"), SERVER, "inet lab output: drop out, hit, maybe"),
        ("nft add table inet lab; nft 'add set inet lab bad { type ipv4_addr; elements = { 10.50.0.2, 10.50.0.9 }; }'; "
         + chain("output", "ip daddr @bad counter drop"), SERVER, "inet lab output: drop out, hit, sure"),
        ("nft add table netdev lab; nft 'add chain netdev lab in { type filter hook ingress device c0 priority 0; }'; "
         "nft 'add rule netdev lab in ip saddr 10.50.0.2 tcp sport 3306 counter drop'", SERVER,
         "netdev lab in: drop in, hit, sure"),
    ],
)  # fmt: skip
def test_the_rule_is_found_and_its_command_lets_us_pass(
    host: Network, command: str, address: str, expected: str
) -> None:
    assert opens(host, address, 5)
    assert look(host, address) == []
    host.on_client(command)
    assert not opens(host, address)
    first = look(host, address)[0]
    met = {True: "hit", False: "not hit", None: "uncounted"}[first.hit]
    sure = "sure" if first.sure else "maybe"
    assert f"{first.subject}: {first.verdict} {first.direction}, {met}, {sure}" == expected
    host.on_client(first.delete)
    assert opens(host, address), first.delete


@pytest.mark.parametrize(
    "command",
    [
        "iptables -A INPUT -p tcp --dport 8080 -j DROP; iptables -A OUTPUT -p tcp --dport 8080 -j DROP",
        "iptables -A INPUT -s 192.0.2.0/24 -j DROP; iptables -A OUTPUT -d 192.0.2.0/24 -p tcp --dport 3306 -j REJECT",
        "iptables -A INPUT ! -i c0 -j DROP; iptables -A OUTPUT -o eth9 -j DROP",
        "iptables -A INPUT -m conntrack --ctstate INVALID -j DROP; iptables -A OUTPUT -p udp -j DROP",
        "iptables -P FORWARD DROP; ip6tables -P OUTPUT DROP",
        "iptables -P INPUT DROP; iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "iptables -N A; iptables -A A -p tcp --dport 3306 -j RETURN; iptables -A A -j DROP; iptables -A OUTPUT -j A",
        chain("output", "tcp dport 3306 accept", "counter drop"),
        chain(
            "output", "tcp dport != 3306 drop", "meta l4proto udp drop", "ip6 daddr ::/0 drop", "meta nfproto ipv6 drop"
        ),
        chain("input", "ct state vmap { established : accept, invalid : drop }", policy="drop"),
        chain(
            "input", "ct state established,related accept", 'iifname "lo" accept', "tcp dport 22 accept", policy="drop"
        ),
    ],
)
def test_rules_for_other_traffic_are_left_out(host: Network, command: str) -> None:
    host.on_client(command)
    assert opens(host, SERVER)
    assert look(host, SERVER) == []


def test_nothing_is_read_where_the_port_opened(host: Network) -> None:
    host.on_client("iptables -A OUTPUT -p tcp --dport 3306 -j DROP")
    assert host.look("firewall", "rules", None, tried(SERVER, word="open")) == []


def test_without_an_attempt_there_is_nothing_to_meet(host: Network) -> None:
    with pytest.raises(CannotLook) as why:
        host.look("firewall", "rules", None, Facts())
    assert why.value.gap.reason == "skipped"


def test_only_root_may_read_the_rules(host: Network) -> None:
    host.on_client("iptables -A OUTPUT -p tcp --dport 3306 -j DROP")
    with pytest.raises(CannotLook) as why:
        look(host, SERVER, user=NOBODY)
    assert (why.value.gap.reason, why.value.gap.unlock) == ("forbidden", "run as root")


def test_a_rule_after_one_that_may_accept_is_not_sure(host: Network) -> None:
    host.on_client(chain("output", "meta mark 7 accept", "tcp dport 3306 drop"))
    assert [(r.hit, r.sure) for r in look(host, SERVER)] == [(None, False)]


def test_ten_rules_at_the_most_and_the_sure_one_among_them(host: Network) -> None:
    maybe = [f"meta mark {n} tcp dport 3306 counter drop" for n in range(1, 20)]
    host.on_client(chain("input", "tcp sport 3306 counter drop") + "; " + chain("output", *maybe))
    found = look(host, SERVER)
    assert len(found) == 10
    assert all(r.before == r.after for r in found if r.direction == "out")


# listings


def meets(rules: Ruleset, address: str = "10.0.0.5", local: bool = False) -> list[Met]:
    source, target = ip_address("10.0.0.9" if not local else address), ip_address(address)
    steps = stages(source, target, PORT, "lo" if local else "eth0", local, 45000)
    return [met for _, hooks, packet in steps for met in walk(rules, hooks, packet)]


def saved(*rules: str, policy: str = "ACCEPT", chains: str = "") -> Ruleset:
    head = f"*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT {policy} [5:300]\n{chains}"
    return parse_iptables(head + "".join(f"[7:420] {r}\n" for r in rules) + "COMMIT\n", "iptables", six=False)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["-A OUTPUT -p tcp -m tcp --dport 3306 -j DROP"], [("drop", True)]),
        (["-A OUTPUT ! -d 10.0.0.5/32 -j DROP"], []),
        (["-A OUTPUT ! -d 10.0.0.6/32 -j DROP"], [("drop", True)]),
        (["-A OUTPUT -p 6 -j REJECT --reject-with icmp-port-unreachable"], [("reject", True)]),
        (["-A OUTPUT -p tcp -m tcp ! --dport 3306 -j DROP"], []),
        (["-A OUTPUT -p tcp -m tcp --dport 3306: -j DROP"], [("drop", True)]),
        (["-A OUTPUT -o eth+ -j DROP"], [("drop", True)]),
        (["-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"], [("drop", True)]),
        (["-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK ACK -j DROP"], []),
        (['-A OUTPUT -m comment --comment "it\'s a -j DROP of \\"all\\"" -j ACCEPT', "-A OUTPUT -j DROP"], []),
        (["-A OUTPUT -m limit --limit 3/min -j ACCEPT", "-A OUTPUT -j DROP"], [("drop", False)]),
        (["-A OUTPUT -m statistic --mode random --probability 0.4 -j DROP"], [("drop", False)]),
        (["-A OUTPUT -m set --match-set bad dst -j DROP"], [("drop", False)]),
        (["-A OUTPUT -m set ! --match-set good dst -j DROP"], [("drop", False)]),
        (["-A OUTPUT -j LOG --log-prefix \"-j DROP\"", "-A OUTPUT -j NFLOG"], []),
        (["-A OUTPUT -j NFQUEUE --queue-num 1", "-A OUTPUT -j DROP"], []),
        (["-A OUTPUT -p tcp -j X", "-A X -p tcp -m tcp --dport 3306 -j DROP"], [("drop", True)]),
        (["-A OUTPUT -p udp -j X", "-A X -j DROP"], []),
        (["-A OUTPUT -m mark --mark 0x1 -j X", "-A X -j DROP"], [("drop", False)]),
        (["-A OUTPUT -j X", "-A X -j RETURN", "-A X -j DROP", "-A OUTPUT -j REJECT"], [("reject", True)]),
        (["-A OUTPUT -j X", "-A X -j X"], []),
        (["-A OUTPUT -m addrtype --dst-type LOCAL -j DROP"], [("drop", False)]),
    ],
)  # fmt: skip
def test_rules_of_iptables_are_walked_as_the_kernel_does(rules: list[str], expected: list[tuple[str, bool]]) -> None:
    assert [(m.verdict, m.sure) for m in meets(saved(*rules, chains=":X - [0:0]\n"))] == expected


def test_a_policy_counts_for_what_comes_to_its_end() -> None:
    (met,) = meets(saved("-A OUTPUT -p udp -j ACCEPT", policy="DROP"))
    assert (met.rule, met.chain.packets, met.sure) == (None, 5, True)
    assert meets(saved("-A OUTPUT -p tcp -j ACCEPT", policy="DROP")) == []
    # a chain that is left by -g comes back to the policy, not to the rule behind
    rules = saved("-A OUTPUT -g X", "-A OUTPUT -j ACCEPT", chains=":X - [0:0]\n", policy="DROP")
    assert [m.rule for m in meets(rules)] == [None]


def test_a_rewritten_address_is_no_longer_known() -> None:
    filters = "*filter\n:OUTPUT ACCEPT [0:0]\n[0:0] -A OUTPUT -d 10.9.0.0/16 -j DROP\nCOMMIT\n"
    assert meets(parse_iptables(filters, "iptables", six=False)) == []
    rewrite = "-d 10.0.0.5/32 -p tcp -m tcp --dport 3306 -j DNAT --to-destination 10.9.9.9:3306"
    nat = f"*nat\n:OUTPUT ACCEPT [0:0]\n[0:0] -A OUTPUT {rewrite}\nCOMMIT\n"
    found = meets(parse_iptables(nat + filters, "iptables", six=False))
    assert [(m.verdict, m.sure) for m in found] == [("drop", False)]


def nft(*expressions: list[dict[str, Any]], hook: str = "output", **sets: Any) -> Ruleset:
    rows: list[dict[str, Any]] = [
        {"table": {"family": "inet", "name": "f", "handle": 1}},
        {
            "chain": {
                "family": "inet",
                "table": "f",
                "name": "c",
                "handle": 1,
                "type": "filter",
                "hook": hook,
                "prio": 0,
                "policy": "accept",
            }
        },
        *({"map": {"family": "inet", "table": "f", "name": name, "elem": elements}} for name, elements in sets.items()),
    ]
    for number, expr in enumerate(expressions, 2):
        rows.append({"rule": {"family": "inet", "table": "f", "chain": "c", "handle": number, "expr": expr}})
    return parse_nft(json.dumps({"nftables": rows}).encode())


DPORT: dict[str, Any] = {"payload": {"protocol": "tcp", "field": "dport"}}


def test_a_verdict_from_a_named_map() -> None:
    rules = nft(
        [{"vmap": {"key": DPORT, "data": "@m"}}], m=[[22, {"accept": None}], [{"range": [3300, 3310]}, {"drop": None}]]
    )
    assert [(m.verdict, m.sure) for m in meets(rules)] == [("drop", True)]


def test_what_a_newer_nft_says_and_we_do_not_know_may_match() -> None:
    strange = {"match": {"op": "==", "left": {"quantum": {"key": 1}}, "right": {"superposition": [1]}}}
    assert [m.sure for m in meets(nft([strange, {"drop": None}]))] == [False]
    assert [m.sure for m in meets(nft([{"entangle": 1}, {"reject": None}]))] == [False]
    assert meets(nft([{"log": {"prefix": "x"}}, {"counter": {"packets": 1, "bytes": 2}}])) == []


def test_an_empty_listing_holds_no_rules() -> None:
    assert (
        meets(parse_nft(b""))
        == meets(parse_nft(b'{"nftables": []}'))
        == meets(parse_iptables("", "iptables", False))
        == []
    )


def test_the_text_of_a_rule_is_found_by_its_handle() -> None:
    listing = (
        "table inet f { # handle 1\n\tset bad { # handle 5\n\t\ttype ipv4_addr\n\t}\n\n"
        "\tchain c { # handle 1\n\t\ttype filter hook output priority filter; policy accept;\n"
        '\t\ttcp dport 3306 drop comment "a # handle 9" # handle 2\n\t}\n}\n'
    )
    assert packet_filter.nft_texts(listing) == {("inet", "f", "c", 2): 'tcp dport 3306 drop comment "a # handle 9"'}

"""The way to an address, between two hosts whose routes, cable and rules are broken for real."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from rbdiag.collect import net
from rbdiag.deadline import Deadline
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import Conntrack, Link, LocalPorts, Neighbour, Ping, Route
from rbdiag.model import CannotLook, Fact, Facts
from tests.diagnose.db_world import DbTarget, make
from tests.servers.network import CLIENT, NOBODY_THERE, SERVER, SERVER6, Network, network

FAR, GATEWAY = "10.99.0.1", "10.50.0.254"
NOBODY = 65534


@pytest.fixture
def host() -> Iterator[Network]:
    with network() as made:
        yield made


def found(*addresses: str) -> Facts:
    name = NameAnswer(subject="db1", word="found", addresses=addresses, seconds=0.0)
    return Facts([name, make(DbTarget, subject="db1:3306", host="db1")])


def only(facts: list[Fact], kind: type) -> list:  # type: ignore[type-arg]
    return [f for f in facts if type(f) is kind]


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_a_neighbour_that_is_there(host: Network, address: str) -> None:
    facts = host.look("net", "routes", found(address))
    route, link, hop = only(facts, Route)[0], only(facts, Link)[0], only(facts, Neighbour)[0]
    assert (route.word, route.device, route.gateway, route.local) == ("found", "c0", "", False)
    assert (link.subject, link.up, link.carrier, link.mtu) == ("c0", True, True, 1500)
    assert f"{CLIENT}/24" in link.networks
    assert (hop.subject, hop.device, hop.absent) == (address, "c0", False)
    assert hop.state == "REACHABLE"


@pytest.mark.parametrize("address", [CLIENT, "127.0.0.1", "::1"])
def test_an_address_of_our_own(host: Network, address: str) -> None:
    facts = host.look("net", "routes", found(address))
    assert only(facts, Route)[0].local
    assert only(facts, Neighbour) == []


def test_an_address_where_nobody_is(host: Network) -> None:
    hop = only(host.look("net", "routes", found(NOBODY_THERE)), Neighbour)[0]
    assert hop.subject == NOBODY_THERE
    assert hop.absent


def test_a_gateway_that_is_not_there(host: Network) -> None:
    host.on_client(f"ip route add default via {GATEWAY}")
    facts = host.look("net", "routes", found(FAR))
    assert only(facts, Route)[0].gateway == GATEWAY
    assert [(n.subject, n.absent) for n in only(facts, Neighbour)] == [(GATEWAY, True)]


def test_a_gateway_that_is_there(host: Network) -> None:
    host.on_client(f"ip route add default via {SERVER}")
    assert [n.state for n in only(host.look("net", "routes", found(FAR)), Neighbour)] == ["REACHABLE"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("", "none"), ("prohibit", "prohibited"), ("blackhole", "blackhole"), ("unreachable", "unreachable")],
)
@pytest.mark.parametrize("address", [FAR, "2001:db8::1"])
def test_the_routing_table_says_no(host: Network, kind: str, word: str, address: str) -> None:
    if kind:
        host.on_client(f"ip route add {kind} {address}")
    facts = host.look("net", "routes", found(address))
    assert [r.word for r in only(facts, Route)] == [word]
    # without a route every device is shown, for one of them may be why
    assert [k.subject for k in only(facts, Link)] == ([] if kind else ["c0"])


def test_a_cable_that_is_pulled_out_at_the_other_end(host: Network) -> None:
    host.on_server("ip link set s0 down")
    link = only(host.look("net", "routes", found(SERVER)), Link)[0]
    assert (link.up, link.carrier) == (True, False)


def test_a_device_that_is_down(host: Network) -> None:
    host.on_client("ip link set c0 down")
    facts = host.look("net", "routes", found(SERVER))
    assert only(facts, Route)[0].word == "none"
    link = only(facts, Link)[0]
    assert (link.subject, link.up, link.carrier) == ("c0", False, None)
    assert f"{CLIENT}/24" in link.networks


def test_a_name_without_an_address_has_no_way() -> None:
    for check in (net.routes, net.ping):
        with pytest.raises(CannotLook) as why:
            list(check(Facts([make(NameAnswer, word="nameless", addresses=())]), Deadline(5)))
        assert why.value.gap.reason == "skipped"


# what is left to send from

HOLD = """
import socket
held = []
try:
    while True:
        held.append(socket.create_connection(("%s", 3306), 2))
except OSError as error:
    assert error.errno == 99, error
print("ready", flush=True)
while True: held[0].recv(1)
"""


@pytest.mark.parametrize("address", [SERVER, SERVER6, f"::ffff:{SERVER}"])
def test_local_ports_that_are_used_up(host: Network, address: str) -> None:
    plain = address.removeprefix("::ffff:")
    family = "AF_INET6" if ":" in plain else "AF_INET"
    code = (
        f"import socket\ndoor = socket.create_server(('{plain}', 3306), family=socket.{family}, backlog=99)\n"
        "print('ready', flush=True)\nkept = []\nwhile True: kept.append(door.accept())"
    )
    host.start(host.server, sys.executable, "-c", code)
    host.on_client("sysctl -qw net.ipv4.ip_local_port_range='50000 50005'")
    host.start(host.client, sys.executable, "-c", HOLD % address)
    ports = only(host.look("net", "routes", found(plain, NOBODY_THERE)), LocalPorts)
    assert [(p.subject, p.low, p.high, p.used) for p in ports] == [
        (net.endpoint(plain, 3306), 50000, 50005, 6),
        (net.endpoint(NOBODY_THERE, 3306), 50000, 50005, 0),
    ]
    assert ports[0].time_wait == 0


def test_the_table_of_connections_is_counted(host: Network) -> None:
    table = only(host.look("net", "routes", found(SERVER)), Conntrack)
    if not table:
        pytest.skip("this kernel follows no connections")
    assert 0 <= table[0].count < table[0].limit


TABLE = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  17: 0900000A:C350 0500000A:0CEA 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
  18: 0900000A:C351 0500000A:0CEA 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
 119: 0900000A:C352 0500000A:0CEB 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
 120: 0900000A:0CEA 0500000A:C353 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
   1: 0000000000000000FFFF00000900000A:C354 0000000000000000FFFF00000500000A:0CEA 01 00000000:00000000 00:0 0
"""


def test_sockets_towards_one_endpoint_are_told_from_all_others() -> None:
    ports = [(local.rpartition(b":")[2], state) for local, state in net.parse_sockets(TABLE, "10.0.0.5", 3306)]
    assert ports == [(b"C350", b"01"), (b"C351", b"06"), (b"C354", b"01")]
    assert net.parse_sockets(TABLE, "10.0.0.6", 3306) == []
    assert net.parse_sockets(TABLE, "::1", 3306) == []


# ping

# Who may open ICMP sockets for datagrams (net.ipv4.ping_group_range): nobody, or everybody.
RAW, DATAGRAM = "1 0", "0 2147483647"


@pytest.mark.parametrize("range_", [RAW, DATAGRAM], ids=["raw socket", "datagram socket"])
@pytest.mark.parametrize("address", [SERVER, SERVER6, "127.0.0.1", "::1"])
def test_ping_is_answered(host: Network, range_: str, address: str) -> None:
    host.on_client(f"sysctl -qw net.ipv4.ping_group_range='{range_}'")
    answers = host.look("net", "ping", found(address))
    assert [(p.subject, p.word, p.sent, p.received) for p in answers] == [(address, "answered", 10, 10)]
    assert 0 < answers[0].least <= answers[0].average <= answers[0].most


@pytest.mark.parametrize("range_", [RAW, DATAGRAM], ids=["raw socket", "datagram socket"])
def test_pings_are_lost(host: Network, range_: str) -> None:
    host.on_client(f"sysctl -qw net.ipv4.ping_group_range='{range_}'")
    host.on_server(
        "nft 'add table ip lab; add chain ip lab in { type filter hook input priority 0; };"
        " add rule ip lab in ip protocol icmp numgen inc mod 2 < 1 drop'"
    )
    ping = host.look("net", "ping", found(SERVER))[0]
    assert (ping.word, ping.sent, ping.received) == ("answered", 10, 5)
    assert ping.loss == 0.5
    assert ping.early_loss


def test_a_limit_on_pings_lets_the_first_pass(host: Network) -> None:
    host.on_server(
        "nft 'add table ip lab; add chain ip lab in { type filter hook input priority 0; };"
        " add rule ip lab in ip protocol icmp limit rate over 1/second burst 4 packets drop'"
    )
    ping = host.look("net", "ping", found(SERVER))[0]
    assert 4 <= ping.received < 8
    assert not ping.early_loss


@pytest.mark.parametrize(
    ("range_", "on_client", "on_server", "word"),
    [
        (RAW, "", "iptables -A INPUT -p icmp -j DROP", "silent"),
        (RAW, "", "iptables -A INPUT -p icmp -j REJECT --reject-with icmp-host-prohibited", "unreachable"),
        (DATAGRAM, "", "iptables -A INPUT -p icmp -j REJECT --reject-with icmp-host-prohibited", "unreachable"),
        (RAW, f"iptables -A OUTPUT -p icmp -d {SERVER} -j DROP", "", "silent"),
        (DATAGRAM, f"ip route add prohibit {SERVER}", "", "unreachable"),
        (RAW, "ip link set c0 down", "", "unreachable"),
    ],
)
def test_ping_is_not_answered(host: Network, range_: str, on_client: str, on_server: str, word: str) -> None:
    host.on_client(f"sysctl -qw net.ipv4.ping_group_range='{range_}'")
    for run, command in ((host.on_client, on_client), (host.on_server, on_server)):
        if command:
            run(command)
    # our own address beside it answers, and its echoes are not taken for the other's
    other, own = host.look("net", "ping", found(SERVER, CLIENT))
    assert (other.word, other.received, other.average) == (word, 0, None)
    assert own.received == 10


def test_whoever_may_open_no_icmp_socket_calls_the_program(host: Network) -> None:
    try:
        seen = [(p.word, p.sent, p.received) for p in host.look("net", "ping", found(SERVER), user=NOBODY)]
    except CannotLook as why:
        # the program is not installed, or has no right to ICMP either
        seen, gap = [], why.gap
    assert seen == [("answered", 5, 5)] or gap.unlock == "run as root"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "PING 10.0.0.5 (10.0.0.5) 56(84) bytes of data.\n\n--- 10.0.0.5 ping statistics ---\n"
            "5 packets transmitted, 5 received, 0% packet loss, time 804ms\n"
            "rtt min/avg/max/mdev = 0.031/2.000/4.060/0.010 ms\n",
            ("answered", 5, 5, 0.002),
        ),
        (
            "--- 10.0.0.5 ping statistics ---\n5 packets transmitted, 3 packets received, 40% packet loss\n"
            "round-trip min/avg/max = 0.031/1.000/2.060 ms\n",
            ("answered", 5, 3, 0.001),
        ),
        ("5 packets transmitted, 0 received, 100% packet loss, time 4090ms\n", ("silent", 5, 0, None)),
        (
            "From 10.0.0.9 icmp_seq=1 Destination Host Unreachable\n5 packets transmitted, 0 received, +5 errors\n",
            ("unreachable", 5, 0, None),
        ),
    ],
    ids=["iputils", "busybox", "silent", "unreachable"],
)
def test_what_the_program_prints(text: str, expected: tuple[object, ...]) -> None:
    ping = net.parse_ping("10.0.0.5", text.encode())
    assert isinstance(ping, Ping)
    assert (ping.word, ping.sent, ping.received, ping.average) == expected
    assert net.parse_ping("10.0.0.5", b"ping: socktype: SOCK_RAW") is None


def test_the_internet_checksum() -> None:
    # the example of RFC 1071, section 3
    assert net.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert net.checksum(b"\xff") == net.checksum(b"\xff\x00") == 0x00FF

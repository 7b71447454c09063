"""The way to an address: route, device, next hop, echo; and what this host has left to send from. Never judges."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

from rbdiag.collect import netlink, proc
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import Conntrack, Link, LocalPorts, Neighbour, Ping, PingWord, Route, RouteWord, endpoint
from rbdiag.model import CannotLook, Fact, Facts, Gap

_ADDRESSES = 4
_LINKS_SHOWN = 8
_ROUTE_WORDS: dict[int, RouteWord] = {
    errno.ENETUNREACH: "none",
    errno.EHOSTUNREACH: "unreachable",
    errno.EACCES: "prohibited",
    errno.EINVAL: "blackhole",
}
# A neighbour on a working link answers within milliseconds; the kernel asks three times, a second apart.
_NEIGHBOUR, _LOOK = 1.1, 0.02
_DISCARD = 9  # RFC 863: what arrives there is thrown away


def routes(facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """Route, device and next hop for each address that the name has; then `ports` towards the target's port.

    Sends one empty datagram to each address, so that the kernel finds out whether the next hop is there.
    """
    found = addresses(facts)
    devices = {device.number: device for device in netlink.devices()}
    ways = [(address, *_way(address)) for address in found]
    hops: dict[tuple[str, int], None] = {}
    used: dict[int, None] = {}
    for address, word, way in ways:
        device = devices.get(way.device) if way else None
        yield Route(
            subject=address, word=word, device=device.name if device else "", gateway=way.gateway if way else "",
            source=way.source if way else "", local=way.local if way else False,
            mtu=(way.mtu if way else None) or (device.mtu if device else None),
        )  # fmt: skip
        if way is not None:
            used[way.device] = None
        if word == "none":
            # which device would have carried it, were it up?
            used |= dict.fromkeys(i for i, d in devices.items() if not d.flags & netlink.IFF_LOOPBACK)
        if way is not None and device is not None and not way.local:
            if not device.flags & (netlink.IFF_NOARP | netlink.IFF_POINTOPOINT | netlink.IFF_LOOPBACK):
                hops[way.gateway or address, way.device] = None
            _send_nothing(address)
    for device in [devices[index] for index in used if index in devices][:_LINKS_SHOWN]:
        yield Link(
            subject=device.name, up=bool(device.flags & netlink.IFF_UP), carrier=device.carrier, mtu=device.mtu,
            errors=device.errors, dropped=device.dropped, networks=device.addresses,
        )  # fmt: skip
    end = time.monotonic() + deadline.left(_NEIGHBOUR)
    for (hop, index), _ in hops.items():
        if state := _state(hop, index, end):
            yield Neighbour(subject=hop, device=devices[index].name, state=state)
    target = facts.first(DbTarget)
    if target is not None and not target.socket:
        yield from ports(found, target.port, deadline)


def addresses(facts: Facts) -> tuple[str, ...]:
    """The first addresses that the name has. Raises CannotLook where it has none."""
    found = tuple(dict.fromkeys(a for answer in facts.of(NameAnswer) for a in answer.addresses))
    if not found:
        raise CannotLook(Gap("skipped", "the name has no address"))
    return found[:_ADDRESSES]


def _way(address: str) -> tuple[RouteWord, netlink.Way | None]:
    try:
        return "found", netlink.way_to(address)
    except OSError as error:
        # a kernel without this family of addresses has no way there either
        return _ROUTE_WORDS.get(error.errno or 0, "none"), None


def _send_nothing(address: str) -> None:
    """One empty datagram to the discard port: before it can leave, the kernel looks for the next hop."""
    family, kind, _, _, where = socket.getaddrinfo(
        address, _DISCARD, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
    )[0]
    with socket.socket(family, kind) as line:
        line.setblocking(False)
        try:
            line.sendto(b"", where)
        except OSError:
            return  # the state of the next hop will tell, or a rule of our own firewall


def _state(hop: str, device: int, end: float) -> str:
    """The kernel's word on the next hop, once it has settled or at `end` (monotonic)."""
    while True:
        state = next((h.state for h in netlink.hops(hop) if h.device == device), "")
        left = end - time.monotonic()
        if state != "INCOMPLETE" or left <= 0:
            return state
        time.sleep(min(_LOOK, left))


# --- what is left to send from

_TIME_WAIT, _LISTEN = b"06", b"0A"  # net/tcp_states.h


def ports(found: tuple[str, ...], port: int, deadline: Deadline) -> Iterator[Fact]:
    """How many local ports are used towards each of these addresses on this port, and the table of connections."""
    low, high = (int(n) for n in proc.read("/proc/sys/net/ipv4/ip_local_port_range", 64).split())
    table = _sockets("/proc/net/tcp", deadline) + _sockets("/proc/net/tcp6", deadline)
    for address in found:
        sources: Counter[bytes] = Counter()
        waiting: Counter[bytes] = Counter()
        for local, state in parse_sockets(table, address, port):
            if low <= int(local.rpartition(b":")[2], 16) <= high and state != _LISTEN:
                source = local.rpartition(b":")[0][-8:]
                sources[source] += 1
                waiting[source] += state == _TIME_WAIT
        # each of our own addresses has its own ports
        source, used = max(sources.items(), key=lambda item: item[1], default=(b"", 0))
        yield LocalPorts(subject=endpoint(address, port), low=low, high=high, used=used, time_wait=waiting[source])
    try:
        count, limit = (int(proc.read(f"/proc/sys/net/netfilter/nf_conntrack_{name}", 32)) for name in ("count", "max"))
    except FileNotFoundError:
        return  # connections are not followed here
    yield Conntrack(subject="host", count=count, limit=limit)


def _sockets(path: str, deadline: Deadline) -> bytes:
    """A table of sockets, which the kernel gives out page by page."""
    parts = []
    try:
        with open(path, "rb", buffering=0) as file:
            while part := file.read(1 << 18):
                deadline.left()
                parts.append(part)
    except FileNotFoundError:
        return b""  # a kernel without IPv6
    return b"".join(parts)


def parse_sockets(table: bytes, address: str, port: int) -> list[tuple[bytes, bytes]]:
    """Local end and state of each socket of /proc/net/tcp{,6} whose other end this is. Source: proc_net_tcp in the
    kernel's documentation: addresses are hexadecimal words of 32 bits in the machine's own order."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    words = struct.unpack(
        f"={'4' if family == socket.AF_INET6 else '1'}I", socket.inet_pton(family, address.partition("%")[0])
    )
    # Words are compared as the kernel prints them: read in the machine's order.
    ends = [b"".join(b"%08X" % word for word in words)]
    if family == socket.AF_INET:
        # an IPv6 socket that speaks IPv4, as Java's are
        mapped = b"".join(b"%08X" % word for word in struct.unpack("=3I", b"\0" * 8 + b"\0\0\xff\xff"))
        ends.append(mapped + ends[0])
    either = b"|".join(ends)
    return re.findall(
        rb"^ *\d+: ([0-9A-F]+:[0-9A-F]{4}) (?:%s):%04X ([0-9A-F]{2}) " % (either, port), table, re.MULTILINE
    )


# --- ping

# Ten, so that a path which loses a third of its packets is all but sure to show it (1 - 0.67 ** 10 is 98 %).
_PINGS, _EVERY, _LAST, _AT_MOST = 10, 0.08, 1.2, 2.5
_ECHO, _ECHO6, _REPLY, _REPLY6 = 8, 128, 0, 129
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_TOKEN = 8  # bytes by which each socket knows its own echoes: a raw one hears those of others
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EINVAL, errno.EADDRNOTAVAIL)


class _Echo:
    """Echo requests to one address through one socket."""

    def __init__(self, address: str) -> None:
        self.address, self.six = address, ":" in address
        self.token = os.urandom(_TOKEN)
        self.unreachable = False
        self.sent: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self.id = os.getpid() & 0xFFFF
        family = socket.AF_INET6 if self.six else socket.AF_INET
        kind = socket.IPPROTO_ICMPV6 if self.six else socket.IPPROTO_ICMP
        try:
            self.line, self.raw = socket.socket(family, socket.SOCK_DGRAM, kind), False
        except PermissionError:
            # net.ipv4.ping_group_range; a kernel's own default lets nobody, root included
            self.line, self.raw = socket.socket(family, socket.SOCK_RAW, kind), True
        self.line.setblocking(False)
        level, option = (socket.IPPROTO_IPV6, _IPV6_RECVERR) if self.six else (socket.IPPROTO_IP, _IP_RECVERR)
        self.line.setsockopt(level, option, 1)
        where = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]
        try:
            self.line.connect(where)
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        if error.errno in _NO_WAY:
            self.unreachable = True

    def send(self, number: int) -> None:
        head = struct.pack("!BBHHH", _ECHO6 if self.six else _ECHO, 0, 0, self.id, number)
        packet = head + self.token.ljust(32, b".")
        if not self.six:  # for IPv6 the kernel does it
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
        self.sent[number] = time.monotonic()
        try:
            self.line.send(packet)
        except OSError as error:
            self._note(error)  # EPERM, a rule of our own firewall, and ENOBUFS are silence

    def hear(self) -> None:
        """Everything that has come so far."""
        while True:
            try:
                data = self.line.recv(2048)
            except BlockingIOError:
                return
            except OSError as error:
                self._note(error)
                continue
            now = time.monotonic()
            if self.raw and not self.six:
                data = data[(data[0] & 0xF) * 4 :]  # a raw socket gives the IP header too
            if data[:1] != bytes([_REPLY6 if self.six else _REPLY]) or data[8 : 8 + _TOKEN] != self.token:
                continue
            number = struct.unpack_from("!H", data, 6)[0]
            if number in self.sent:
                self.took.setdefault(number, now - self.sent[number])

    @property
    def waits(self) -> bool:
        return not self.unreachable and len(self.took) < len(self.sent)

    def fact(self) -> Ping:
        took = list(self.took.values())
        word: PingWord = "answered" if took else "unreachable" if self.unreachable else "silent"
        return Ping(
            subject=self.address, word=word, sent=len(self.sent), received=len(took), least=min(took, default=None),
            average=sum(took) / len(took) if took else None, most=max(took, default=None),
            early_loss=bool(took) and not {0, 1} <= self.took.keys(),
        )  # fmt: skip


def ping(facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """Ten echo requests to each address, side by side. Without a right to ICMP sockets the program `ping` does it."""
    found = addresses(facts)
    echoes: list[_Echo] = []
    try:
        for address in found:
            try:
                echoes.append(_Echo(address))
            except PermissionError:
                yield from _ping_program(found, deadline)
                return
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                yield Ping(subject=address, word="unreachable", sent=0, received=0)
        _echo(echoes, time.monotonic() + deadline.left(_AT_MOST))
        for echo in echoes:
            yield echo.fact()
    finally:
        for echo in echoes:
            echo.line.close()


def _echo(echoes: list[_Echo], end: float) -> None:
    """Send all, and listen until all have answered or `end` (monotonic)."""
    lines = [echo.line for echo in echoes]
    for number in range(_PINGS + 1):
        if number < _PINGS:
            for echo in echoes:
                echo.send(number)
        until = min(end, time.monotonic() + (_EVERY if number < _PINGS else _LAST))
        while (left := until - time.monotonic()) > 0:
            if number >= _PINGS - 1 and not any(echo.waits for echo in echoes):
                return
            select.select(lines, [], [], left)
            for echo in echoes:
                echo.hear()


def checksum(packet: bytes) -> int:
    """The Internet checksum. Source: RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet[: len(packet) & ~1])) + (
        packet[-1] << 8 if len(packet) % 2 else 0
    )
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


_COUNTS = re.compile(rb"(\d+) packets transmitted, (\d+) (?:packets )?received")
_TIMES = re.compile(rb"min/avg/max(?:/mdev)? = ([\d.]+)/([\d.]+)/([\d.]+)")


def parse_ping(address: str, output: bytes) -> Ping | None:
    """The summary that `ping` prints, of iputils or busybox; None where there is none."""
    counts, times = _COUNTS.search(output), _TIMES.search(output)
    if counts is None:
        return None
    sent, received = int(counts[1]), int(counts[2])
    least, average, most = (float(times[n]) / 1000 for n in (1, 2, 3)) if times else (None, None, None)
    word: PingWord = "answered" if received else "unreachable" if b"Unreachable" in output else "silent"
    return Ping(subject=address, word=word, sent=sent, received=received, least=least, average=average, most=most)


def _ping_program(found: tuple[str, ...], deadline: Deadline) -> Iterator[Fact]:
    from rbdiag.collect import programs

    path = programs.find("ping")
    if path is None:
        raise CannotLook(Gap("missing", "we may send no ICMP, and there is no program ping", "run as root"))
    for address in found[:2]:
        # 0.2 s is the shortest interval that ping allows to everybody
        done = programs.call([path, "-n", "-c", "5", "-i", "0.2", "-w", "2", address], deadline, at_most=_AT_MOST)
        fact = parse_ping(address, done.stdout)
        if fact is None:
            raise CannotLook(Gap("forbidden", f"ping says: {proc.text(done.stderr).strip()[:200]}", "run as root"))
        yield fact

"""Rules of this host's own firewall that can meet the target's packets, and whether they met a connect of our own.

Looked at only where a port did not open. Both of the kernel's packet filters are read: nftables, which iptables-nft
writes too, and the old tables of iptables-legacy, which nft does not show.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

from rbdiag.collect import netlink, packet_filter, proc, programs
from rbdiag.collect.packet_filter import Chain, Direction, Met, Packet, Rule, Ruleset
from rbdiag.deadline import Deadline
from rbdiag.facts.net import FirewallRule, TcpAnswer
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.redact import redact

_ENDPOINTS, _SHOWN, _TEXT = 2, 10, 200
_COUNTED = re.compile(r" packets \d+ bytes \d+")
# Long enough for a SYN and its first repetition, which come a second apart.
_TRY = 1.1
# Words after which no packet left, so no rule was met.
_NOT_SENT = ("open", "no-local-port", "no-route", "blackhole")


def rules(target: object, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """The rules that drop or reject the packets of a connection that did not open, or may.

    The counters are read, one connection is tried to each such endpoint (two at the most), and they are read again.
    `target` is what the run is about; the endpoints are those that were tried (TcpAnswer).
    """
    tried = facts.of(TcpAnswer)
    if not tried:
        raise CannotLook(Gap("skipped", "no port was tried"))
    if any(answer.word == "open" for answer in tried):
        return
    failed = [answer for answer in tried if answer.word not in _NOT_SENT][:_ENDPOINTS]
    if not failed:
        return
    before = ruleset(deadline)
    met: dict[tuple[str, str, int], tuple[Direction, Packet, Met]] = {}
    for answer in failed:
        for direction, packet, found in meets(before, answer.address, answer.port):
            met.setdefault(_key(found.chain, found.rule), (direction, packet, found))
    if not met:
        return
    _connect([(answer.address, answer.port) for answer in failed], time.monotonic() + deadline.left(_TRY))
    after = _counters(ruleset(deadline))
    texts = _texts(deadline) if any(found.chain.tool == "nft" for _, _, found in met.values()) else {}
    # those that are sure first, so that none of them is cut off
    shown = sorted(met.items(), key=lambda item: not item[1][2].sure)[:_SHOWN]
    for key, (direction, packet, found) in shown:
        packets = found.rule.packets if found.rule is not None else found.chain.packets
        yield FirewallRule(
            subject=found.chain.subject, verdict=found.verdict, direction=direction, before=packets,
            after=after.get(key) if packets is not None else None, text=_text(found, texts), sure=found.sure,
            delete=_delete(found, packet),
        )  # fmt: skip


def meets(filters: Ruleset, address: str, port: int) -> Iterator[tuple[Direction, Packet, Met]]:
    """Each rule that drops or rejects a packet of a connection to this endpoint, or may; with that packet."""
    try:
        way = netlink.way_to(address)
    except OSError:
        return  # no packet leaves: no rule is met
    device = next((d.name for d in netlink.devices() if d.number == way.device), "")
    low, high = (int(n) for n in proc.read("/proc/sys/net/ipv4/ip_local_port_range", 64).split())
    source, there = ip_address(way.source or address), ip_address(address)
    for direction, hooks, packet in packet_filter.stages(source, there, port, device, way.local, (low + high) // 2):
        found = list(packet_filter.walk(filters, hooks, packet))
        yield from ((direction, packet, m) for m in found)
        if found and found[-1].sure:
            return  # nothing comes behind it


def ruleset(deadline: Deadline) -> Ruleset:
    """Every table of both packet filters. Raises CannotLook where we may not read them or have nothing to read with."""
    nft, save, save6 = (programs.find(name) for name in ("nft", "iptables-save", "ip6tables-save"))
    if nft is None and save is None:
        raise CannotLook(Gap("missing", "there is neither nft nor iptables-save here", "install nftables"))
    found = Ruleset((), {})
    if nft is not None:
        found = packet_filter.parse_nft(_run([nft, "-j", "list", "ruleset"], deadline))
    listings: list[tuple[str | None, str, bool]] = []
    if nft is None:
        listings = [(save, "iptables", False), (save6, "ip6tables", True)]
    elif found.foreign:
        # nft cannot show what some matches of iptables ask for; iptables can, in its own tables
        listings = [
            (programs.find(f"{name}-nft-save"), name, name == "ip6tables")
            for name in ("iptables", "ip6tables")
            if any(family == ("ip6" if name == "ip6tables" else "ip") for family, _ in found.foreign)
        ]
    for name, saver in (("iptables", save), ("ip6tables", save6)):
        if nft is not None and _legacy(name):
            listings.append((programs.find(f"{name}-legacy-save") or saver, f"{name}-legacy", name == "ip6tables"))
    for path, tool, six in listings:
        if path is not None:
            more = packet_filter.parse_iptables(proc.text(_run([path, "-c"], deadline)), tool, six)
            found = _joined(found, more, replacing=not tool.endswith("legacy"))
    return found


def _joined(found: Ruleset, more: Ruleset, replacing: bool) -> Ruleset:
    ours = {(c.family, c.table) for c in more.chains} if replacing else set()
    kept = tuple(c for c in found.chains if (c.family, c.table) not in ours)
    return Ruleset((*kept, *more.chains), found.sets, found.foreign)


def _legacy(program: str) -> bool:
    """Whether the old packet filter has tables in this network namespace. Reading this makes none."""
    try:
        return bool(proc.read(f"/proc/net/{program.removesuffix('tables')}_tables_names", 256).strip())
    except OSError:
        return False  # the kernel has no such filter


def _run(argv: list[str], deadline: Deadline) -> bytes:
    done = programs.call(argv, deadline)
    if done.status:
        said = proc.text(done.stderr).strip().partition("\n")[0][:_TEXT]
        if os.geteuid():
            raise CannotLook(Gap("forbidden", "not allowed to read the firewall's rules", "run as root"))
        raise CannotLook(Gap("failed", f"{os.path.basename(argv[0])} says: {said or done.status}"))
    return done.stdout


def _key(chain: Chain, rule: Rule | None) -> tuple[str, str, int]:
    return chain.tool, chain.subject, rule.number if rule is not None else 0


def _counters(filters: Ruleset) -> dict[tuple[str, str, int], int | None]:
    counts = {_key(chain, None): chain.packets for chain in filters.chains}
    return counts | {_key(chain, rule): rule.packets for chain in filters.chains for rule in chain.rules}


def _texts(deadline: Deadline) -> dict[tuple[str, str, str, int], str]:
    nft = programs.find("nft")
    return packet_filter.nft_texts(proc.text(_run([nft, "-a", "list", "ruleset"], deadline))) if nft else {}


def _text(found: Met, texts: dict[tuple[str, str, str, int], str]) -> str:
    chain, rule = found.chain, found.rule
    if rule is None:
        return f"policy {chain.policy}"
    text = rule.text or texts.get((chain.family, chain.table, chain.name, rule.number), "")
    text = _COUNTED.sub("", text)  # told apart, and as they were before and after
    return redact(text or f"rule {rule.number}: {found.verdict}")[:_TEXT]


def _delete(found: Met, packet: Packet) -> str:
    """The command that lets our packets pass: it removes the rule; before a policy it puts an exception."""
    chain, rule = found.chain, found.rule
    table = "" if chain.table == "filter" else f"-t {chain.table} "
    if rule is not None:
        if chain.tool == "nft":
            return f"nft delete rule {chain.subject} handle {rule.number}"
        return f"{chain.tool} {table}-D {rule.text.removeprefix('-A ')}"
    address, port = packet.target, packet.target_port
    if "lo" in (packet.device_in, packet.device_out):  # of a host that talks to itself, both ways
        way = "i" if packet.device_in else "o"
        nft, iptables = f"{way}ifname lo", f"-{way} lo"
    elif packet.reply:
        nft, iptables = "ct state established,related", "-m conntrack --ctstate ESTABLISHED,RELATED"
    else:
        nft, iptables = (
            f"{'ip6' if packet.six else 'ip'} daddr {address} tcp dport {port}",
            f"-d {address} -p tcp --dport {port}",
        )
    if chain.tool == "nft":
        return f"nft insert rule {chain.subject} {nft} accept"
    return f"{chain.tool} {table}-I {chain.name} {iptables} -j ACCEPT"


def _connect(endpoints: list[tuple[str, int]], end: float) -> None:
    """Try to open one connection to each, side by side, until all have ended or `end` (monotonic)."""
    from selectors import EVENT_WRITE, DefaultSelector

    with DefaultSelector() as waiting:
        lines = []
        for address, port in endpoints:
            family, kind, _, _, where = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            line = socket.socket(family, kind)
            line.setblocking(False)
            lines.append(line)
            # whatever it says: the counters tell what became of it
            if line.connect_ex(where) == errno.EINPROGRESS:
                waiting.register(line, EVENT_WRITE)
        while waiting.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                waiting.unregister(key.fileobj)
        for line in lines:
            line.close()

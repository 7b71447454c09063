"""Which rules of a packet filter a packet meets: nft's and iptables' listings, walked as the kernel walks them.

Pure: listings in, records out. Every condition is true, false, or (None) not known to us; what is not known may match.
Rules of iptables are brought into the form in which `nft -j` writes its own (libnftables-json(5)): there is one walk.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Literal, NamedTuple

Truth = bool | None
Direction = Literal["in", "out"]
Expression = dict[str, Any]
Address = IPv4Address | IPv6Address
# How many chains may call each other; the kernel itself allows 16.
_DEPTH = 16


class Rule(NamedTuple):
    """`number` is nft's handle, or the place in its chain; `packets` its counter, None where it has none."""

    number: int
    expressions: Sequence[Expression]
    packets: int | None
    text: str = ""


class Chain(NamedTuple):
    """`hook` is "" for a chain that is only called by others. `tool` is the program that changes it."""

    tool: str
    family: str
    table: str
    name: str
    hook: str = ""
    priority: int = 0
    policy: str = ""
    device: str = ""
    packets: int | None = None
    rules: Sequence[Rule] = ()

    @property
    def subject(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class Ruleset(NamedTuple):
    """Chains in the order listed, and the elements of named sets and maps by family, table and name."""

    chains: tuple[Chain, ...]
    sets: dict[tuple[str, str, str], list[Any]]
    foreign: frozenset[tuple[str, str]] = frozenset()  # tables with conditions that only iptables can show


class Packet(NamedTuple):
    """What is known of a packet; None where it is not. Devices are "" where the packet has none (yet)."""

    source: Address | None
    target: Address | None
    source_port: int | None
    target_port: int | None
    device_in: str
    device_out: str
    flags: int
    state: str
    reply: bool
    to_us: bool

    @property
    def six(self) -> bool:
        return isinstance(self.source or self.target, IPv6Address)


class Met(NamedTuple):
    """A rule (None: the chain's policy) that drops or rejects; `sure` where nothing on the way to it was unknown."""

    chain: Chain
    rule: Rule | None
    verdict: Literal["drop", "reject"]
    sure: bool


SYN, SYN_ACK = 0x02, 0x12


def stages(
    source: Address, target: Address, port: int, device: str, local: bool, from_port: int
) -> Iterator[tuple[Direction, tuple[str, ...], Packet]]:
    """The packets by which a connection opens, each with the hooks that it passes on this host.

    `from_port` is a local port as the kernel would choose it; which one, no rule depends on.
    """
    syn = Packet(source, target, from_port, port, "", device, SYN, "new", False, local)
    back = Packet(target, source, port, from_port, device, "", SYN_ACK, "established", True, True)
    yield "out", ("output", "postrouting", "egress"), syn
    if local:
        yield "in", ("ingress", "prerouting", "input"), syn._replace(device_in=device, device_out="")
        yield "out", ("output", "postrouting", "egress"), back._replace(device_in="", device_out=device)
    yield "in", ("ingress", "prerouting", "input"), back


def walk(rules: Ruleset, hooks: Iterable[str], packet: Packet) -> Iterator[Met]:
    """Every rule that drops or rejects the packet, or may; the last is sure to end it, or none is."""
    walker = _Walker(rules, packet)
    for hook in hooks:
        for chain in sorted((c for c in rules.chains if c.hook == hook), key=lambda c: c.priority):
            if not _sees(chain, walker.packet):
                continue
            # an accept ends a chain, not the way: the next chain is entered anew
            end, sure = walker.chain(chain, not walker.met)
            if end == "through" and chain.policy == "drop":
                walker.met.append(Met(chain, None, "drop", sure))
                end = "ended" if sure else end
            if end == "ended":
                yield from walker.met
                return
    yield from walker.met


def _sees(chain: Chain, packet: Packet) -> bool:
    device = packet.device_in or packet.device_out
    if chain.family == "netdev":
        return chain.device in ("", device)
    return chain.family == "inet" or chain.family == ("ip6" if packet.six else "ip")


class _Walker:
    """One packet on its way. `met` collects; `packet` changes where its addresses are rewritten."""

    def __init__(self, rules: Ruleset, packet: Packet) -> None:
        self.packet = packet
        self.met: list[Met] = []
        self._sets = rules.sets
        self._chains = {(c.tool, c.family, c.table, c.name): c for c in rules.chains}

    def chain(self, chain: Chain, sure: bool, depth: int = 0) -> tuple[str, bool]:
        """How the way through a chain ends ("accepted", "ended", "through"), and whether that is sure."""
        for rule in chain.rules:
            for verdict, truth in self._verdicts(chain, rule):
                if truth is False:
                    continue
                kind, where = verdict
                certain = sure and truth is True
                if kind in ("drop", "reject"):
                    self.met.append(Met(chain, rule, "drop" if kind == "drop" else "reject", certain))
                    if truth:
                        return "ended", sure
                elif kind in ("jump", "goto"):
                    called = self._chains.get((chain.tool, chain.family, chain.table, where))
                    if called is None or depth >= _DEPTH:
                        sure = False
                        continue
                    end, inside = self.chain(called, certain, depth + 1)
                    if truth and end != "through":
                        return end, inside
                    if truth and kind == "goto":
                        return "through", inside
                    sure = sure and (inside if truth else end == "through" and kind == "jump" and not self.met)
                    continue
                elif kind == "nat":
                    # where it goes from here is not ours to say
                    self.packet = self.packet._replace(target=None, target_port=None, to_us=False)
                    continue
                elif truth:
                    return {"accept": "accepted", "return": "through"}.get(kind, "accepted"), sure
                sure = False  # it may have ended here
        return "through", sure

    def _verdicts(self, chain: Chain, rule: Rule) -> Iterator[tuple[tuple[str, str], Truth]]:
        """What the rule decides (a verdict and a chain's name), and whether the packet meets its conditions."""
        truth: Truth = True
        for expression in rule.expressions:
            kind, value = next(iter(expression.items()))
            if kind == "match":
                truth = _and(truth, self._match(value, chain))
            elif kind in _VERDICTS:
                yield (_VERDICTS[kind], value["target"] if kind in ("jump", "goto") else ""), truth
            elif kind == "vmap":
                yield from self._map(value, truth, chain)
                truth = _and(truth, None)
            elif kind == "xt" and value.get("type") == "target":
                if (name := value.get("name", "")) in _TARGETS:
                    yield (_TARGETS[name], ""), truth
            elif kind not in _NO_CONDITION:
                truth = _and(truth, None)
            if truth is False:
                return

    def _map(self, value: Expression, truth: Truth, chain: Chain) -> Iterator[tuple[tuple[str, str], Truth]]:
        found = self._value(value["key"])
        data = value["data"]
        rows = self._elements(data, chain) if isinstance(data, str) else data.get("set", [])
        for key, verdict in (row for row in rows if isinstance(row, list) and len(row) == 2):
            met = _and(truth, self._test(found, key, chain))
            kind, where = next(iter(verdict.items())) if isinstance(verdict, dict) else ("queue", None)
            if met is not False:
                yield (_VERDICTS.get(kind, "queue"), where["target"] if isinstance(where, dict) else ""), met

    def _match(self, value: Expression, chain: Chain) -> Truth:
        left, right, op = self._value(value["left"]), value["right"], value["op"]
        if left is _NEVER:
            return False
        if op in ("==", "in", "!="):
            return _not(self._test(left, right, chain)) if op == "!=" else self._test(left, right, chain)
        if isinstance(left, int) and isinstance(right, int):
            return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}.get(op)
        return None

    def _value(self, left: Any) -> Any:
        """What the packet has there; _UNKNOWN, or _NEVER where it has no such field."""
        if not isinstance(left, dict):
            return _UNKNOWN
        kind, what = next(iter(left.items()))
        p = self.packet
        match kind:
            case "payload":
                return _payload(p, what.get("protocol", ""), what.get("field", ""))
            case "meta":
                return {
                    "l4proto": "tcp", "nfproto": "ipv6" if p.six else "ipv4", "protocol": "ip6" if p.six else "ip",
                    "iifname": p.device_in, "iif": p.device_in, "oifname": p.device_out, "oif": p.device_out,
                }.get(what["key"], _UNKNOWN)  # fmt: skip
            case "ct" if what.get("key") in ("state", "direction") and "dir" not in what:
                return p.state if what["key"] == "state" else "reply" if p.reply else "original"
            case "fib" if what.get("result") == "type" and what.get("flags") in ("daddr", ["daddr"]):
                return "local" if p.to_us else _UNKNOWN
            case "&":
                value, mask = self._value(what[0]), _mask(what[1])
                return value & mask if isinstance(value, int) and mask is not None else _UNKNOWN
            case "concat":
                parts = tuple(self._value(part) for part in what)
                return _NEVER if _NEVER in parts else parts
        return _UNKNOWN

    def _elements(self, name: str, chain: Chain) -> list[Any]:
        return self._sets.get((chain.family, chain.table, name.removeprefix("@")), [])

    def _test(self, value: Any, right: Any, chain: Chain) -> Truth:
        """Whether the value is one that the right side means."""
        if isinstance(right, str) and right.startswith("@"):
            return _any(self._test(value, element, chain) for element in self._elements(right, chain))
        if isinstance(right, dict):
            kind, what = next(iter(right.items()))
            match kind:
                case "set":
                    return _any(self._test(value, element, chain) for element in what)
                case "elem":
                    return self._test(value, what["val"], chain)
                case "concat" if isinstance(value, tuple) and len(value) == len(what):
                    return _all(self._test(v, w, chain) for v, w in zip(value, what, strict=True))
        if value is _UNKNOWN or value is None:
            return None
        if value is _NEVER:
            return False
        return _equal(value, right)


_UNKNOWN, _NEVER = object(), object()
_VERDICTS = {
    "accept": "accept", "drop": "drop", "reject": "reject", "jump": "jump", "goto": "goto", "return": "return",
    "queue": "queue", "dnat": "nat", "redirect": "nat", "tproxy": "nat",
}  # fmt: skip
# Targets of iptables that nft cannot show as its own.
_TARGETS = {
    "REJECT": "reject", "DROP": "drop", "ACCEPT": "accept", "NFQUEUE": "queue", "DNAT": "nat", "REDIRECT": "nat",
    "TPROXY": "nat",
}  # fmt: skip
# Statements that do something and let the packet go on.
_NO_CONDITION = {
    "counter", "log", "mangle", "notrack", "snat", "masquerade", "set", "add", "update", "delete", "ct helper",
    "ct timeout", "ct expectation", "flow", "dup", "synproxy", "comment", "xt_comment",
}  # fmt: skip
_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}


def _payload(p: Packet, protocol: str, field: str) -> Any:
    match protocol, field:
        case (("ip" | "ip6"), _) if (protocol == "ip6") != p.six:
            return _NEVER
        case (("ip" | "ip6"), "saddr"):
            return p.source
        case (("ip" | "ip6"), "daddr"):
            return p.target
        case (("ip" | "ip6"), ("protocol" | "nexthdr")):
            return "tcp"
        case (("tcp" | "th"), "sport"):
            return p.source_port
        case (("tcp" | "th"), "dport"):
            return p.target_port
        case "tcp", "flags":
            return p.flags
        case (("udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "arp"), _):
            return _NEVER
    return _UNKNOWN


def _equal(value: Any, right: Any) -> Truth:
    if isinstance(value, IPv4Address | IPv6Address):
        return _in_network(value, right)
    if isinstance(value, int):
        if isinstance(right, dict) and "range" in right:
            low, high = right["range"]
            return low <= value <= high if isinstance(low, int) and isinstance(high, int) else None
        if isinstance(right, int):
            return value == right
        if isinstance(right, list) and any(isinstance(r, int) for r in right):
            return _any(_equal(value, r) for r in right)
        mask = _mask(right)
        # `tcp flags syn` is met where any of the flags is set; `== syn` comes with a mask before it
        return None if mask is None else value == mask
    if isinstance(right, list):
        return _any(_equal(value, r) for r in right)
    if isinstance(right, str):
        if right.endswith("*"):
            return bool(value) and str(value).startswith(right[:-1])
        return bool(value == right)
    # protocols by number: 6 is TCP
    return right == 6 if value == "tcp" and isinstance(right, int) else None


def _in_network(value: Address, right: Any) -> Truth:
    try:
        if isinstance(right, str):
            return value == ip_address(right)
        if isinstance(right, dict) and "prefix" in right:
            return value in ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
        if isinstance(right, dict) and "range" in right:
            low, high = (ip_address(end) for end in right["range"])
            return low.version == value.version and int(low) <= int(value) <= int(high)
    except ValueError:
        return None  # a name, or a form that we do not know
    return None


def _mask(right: Any) -> int | None:
    """TCP flags as a number, from a name, a list, or names joined by `|`."""
    if isinstance(right, int):
        return right
    if isinstance(right, str):
        return _FLAGS.get(right)
    if isinstance(right, dict) and "|" in right:
        right = right["|"]
    if isinstance(right, list):
        bits = [_mask(part) for part in right]
        return None if None in bits else sum({b for b in bits if b is not None})
    return None


def _and(a: Truth, b: Truth) -> Truth:
    return False if a is False or b is False else None if a is None or b is None else True


def _not(a: Truth) -> Truth:
    return None if a is None else not a


def _any(truths: Iterable[Truth]) -> Truth:
    found: Truth = False
    for truth in truths:
        if truth:
            return True
        found = None if truth is None else found
    return found


def _all(truths: Iterable[Truth]) -> Truth:
    found: Truth = True
    for truth in truths:
        found = _and(found, truth)
    return found


# --- listings


def parse_nft(data: bytes) -> Ruleset:
    """The ruleset of `nft -j list ruleset`."""
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    sets: dict[tuple[str, str, str], list[Any]] = {}
    foreign = set()
    for row in json.loads(data or b"{}").get("nftables", []):
        kind, what = next(iter(row.items()))
        if kind == "chain":
            chains[what["family"], what["table"], what["name"]] = what
        elif kind in ("set", "map"):
            sets[what["family"], what["table"], what["name"]] = what.get("elem", [])
        elif kind == "rule":
            expressions = what.get("expr", [])
            counts = [e["counter"] for e in expressions if isinstance(e.get("counter"), dict)]
            packets = int(counts[0]["packets"]) if counts else None
            rules.setdefault((what["family"], what["table"], what["chain"]), []).append(
                Rule(what["handle"], expressions, packets)
            )
            if any("xt" in e for e in expressions):
                foreign.add((what["family"], what["table"]))
    made = tuple(
        Chain(
            tool="nft",
            family=family,
            table=table,
            name=name,
            hook=chain.get("hook", ""),
            priority=chain.get("prio", 0),
            policy=chain.get("policy", ""),
            device=chain["dev"] if isinstance(chain.get("dev"), str) else "",
            rules=rules.get((family, table, name), ()),
        )
        for (family, table, name), chain in chains.items()
    )
    return Ruleset(made, sets, frozenset(foreign))


_HEAD = re.compile(r"^\s*(table|chain) (.+) \{")
_HANDLE = re.compile(r"^\s*(.*\S) # handle (\d+)$")


def nft_texts(listing: str) -> dict[tuple[str, str, str, int], str]:
    """The rules of `nft -a list ruleset` as it writes them, by family, table, chain and handle."""
    texts = {}
    table: tuple[str, str] = ("", "")
    chain = ""
    for line in listing.splitlines():
        if head := _HEAD.match(line):
            if head[1] == "table":
                family, _, name = head[2].partition(" ")
                table, chain = (family, name), ""
            else:
                chain = head[2]
        elif chain and (rule := _HANDLE.match(line)):
            texts[*table, chain, int(rule[2])] = rule[1]
    return texts


# x_tables: the hook of a built-in chain, and the priority of a table there (linux/netfilter_ipv4.h)
_HOOKS = {name.upper(): name for name in ("input", "output", "forward", "prerouting", "postrouting")}
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_POLICY = re.compile(r"^:(\S+) (\S+) \[(\d+):\d+\]")
_RULE = re.compile(r"^(?:\[(\d+):\d+\] )?-A (\S+) ?(.*)$")


def parse_iptables(listing: str, tool: str, six: bool) -> Ruleset:
    """The tables of `iptables-save -c` or `ip6tables-save -c`; `tool` is the program that changes them."""
    family, table = "ip6" if six else "ip", ""
    chains: dict[tuple[str, str], Chain] = {}
    rules: dict[tuple[str, str], list[Rule]] = {}
    for line in listing.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif policy := _POLICY.match(line):
            name, word = policy[1], policy[2].lower()
            hook = _HOOKS.get(name, "") if word != "-" else ""
            chains[table, name] = Chain(
                tool=tool, family=family, table=table, name=name, hook=hook, priority=_PRIORITIES.get(table, 0),
                policy=word if hook else "", packets=int(policy[3]) if hook else None,
            )  # fmt: skip
        elif rule := _RULE.match(line):
            here = rules.setdefault((table, rule[2]), [])
            packets = int(rule[1]) if rule[1] else None
            expressions = tuple(
                iptables_expressions(rule[3], six, table, frozenset(n for t, n in chains if t == table))
            )
            here.append(Rule(len(here) + 1, expressions, packets, f"-A {rule[2]} {rule[3]}"))
    return Ruleset(tuple(c._replace(rules=rules.get(key, ())) for key, c in chains.items()), {})


# Matches whose options are all read below; any other is a condition that we do not know.
_MODULES = {"tcp", "udp", "icmp", "icmp6", "multiport", "conntrack", "state", "comment", "addrtype"}


def iptables_expressions(text: str, six: bool, table: str, chains: frozenset[str]) -> Iterator[Expression]:
    """One rule's arguments as nft would write them. Source: iptables-extensions(8)."""
    words = shlex.split(text)
    protocol = "ip6" if six else "ip"
    negated, at = False, 0

    def match(left: Expression, right: Any) -> Expression:
        return {"match": {"op": "!=" if negated else "==", "left": left, "right": right}}

    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        match word:
            case "!":
                negated, at = True, at - 1
                continue
            case "-m" | "--match":
                if value not in _MODULES:
                    yield {"unknown": value}
            case "-p" | "--protocol":
                if value not in ("all", "0"):
                    yield match({"meta": {"key": "l4proto"}}, int(value) if value.isdecimal() else value)
            case "-s" | "-d":
                address, _, length = value.partition("/")
                field = "saddr" if word == "-s" else "daddr"
                prefix = {"prefix": {"addr": address, "len": length or ("128" if six else "32")}}
                yield match({"payload": {"protocol": protocol, "field": field}}, prefix)
            case "-i" | "-o":
                key = "iifname" if word == "-i" else "oifname"
                yield match({"meta": {"key": key}}, f"{value[:-1]}*" if value.endswith("+") else value)
            case "--dport" | "--sport" | "--dports" | "--sports":
                yield match(
                    {"payload": {"protocol": "th", "field": word[2:7]}}, {"set": [_ports(p) for p in value.split(",")]}
                )
            case "--ctstate" | "--state":
                yield match({"ct": {"key": "state"}}, {"set": value.lower().split(",")})
            case "--dst-type" if value == "LOCAL":
                yield match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
            case "--tcp-flags":
                flags = words[at] if at < len(words) else ""
                at += 1
                masked = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, _flags(value)]}
                yield match(masked, sum(_FLAGS.get(f, 0) for f in flags.lower().split(",")))
            case "--comment":
                pass
            case "-j" | "-g":
                if value in chains:
                    yield {"goto" if word == "-g" else "jump": {"target": value}}
                elif value == "RETURN":
                    yield {"return": None}
                else:
                    yield {"xt": {"type": "target", "name": value}}
                return
            case _:
                yield {"unknown": word}
                if value.startswith("-"):
                    at -= 1
        negated = False


def _ports(text: str) -> Any:
    low, found, high = text.partition(":")
    return {"range": [int(low or 0), int(high or 65535)]} if found else int(low) if low.isdecimal() else text


def _flags(names: str) -> int:
    known = names.lower().split(",")
    return 0x3F if known == ["all"] else sum(_FLAGS.get(name, 0) for name in known)

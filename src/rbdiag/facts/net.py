"""Facts about the way to a target: routes, links, answers to ping and to TCP, who listens, firewall rules.

An *endpoint* is written `address:port`, `[v6]:port`, or the path of a socket.
"""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import percent, span
from rbdiag.model import Fact

Family = Literal["IPv4", "IPv6"]
# What became of a connect(): the errno that the kernel gave, in words. "silent" is no answer at all within the time,
# "unreachable" 113, "no-route" 101, "prohibited" 13, "blackhole" 22, "no-local-port" 99, "reset" 104.
TcpWord = Literal[
    "open",
    "refused",
    "silent",
    "reset",
    "unreachable",
    "no-route",
    "prohibited",
    "blackhole",
    "no-local-port",
    "failed",
]
# What became of a connect() to a Unix socket: "missing" 2, "stale" 111 (the file is there, nobody listens),
# "forbidden" 13, "full" 11 (its queue of waiting clients is full), "no-socket" a file of another kind.
SocketWord = Literal["open", "missing", "stale", "forbidden", "full", "no-socket", "failed"]
RouteWord = Literal["found", "none", "unreachable", "prohibited", "blackhole"]
PingWord = Literal["answered", "silent", "unreachable"]
FirewallVerdict = Literal["drop", "reject"]


def endpoint(address: str, port: int) -> str:
    """How an address and a port are written together."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Route(Fact):
    """How this host would send to an address; the subject is the address.

    `device`, `gateway` and `source` are empty where there is none; `local` says that the address is this host's own.
    """

    word: RouteWord
    device: str = ""
    gateway: str = ""
    source: str = ""
    local: bool = False
    mtu: int | None = None

    def __str__(self) -> str:
        if self.word != "found":
            return f"no way to {self.subject}: {'no route' if self.word == 'none' else f'the route says {self.word}'}"
        if self.local:
            return f"{self.subject} is this host"
        return f"{self.subject} by {self.device}" + (
            f" through {self.gateway}" if self.gateway else ", on the same network"
        )


class Link(Fact):
    """A network device that the route uses; the subject is its name. `carrier` is None where it cannot be told.

    `networks` are its addresses with their prefix length. Where no route was found every device is told of.
    """

    up: bool
    carrier: bool | None
    mtu: int | None = None
    errors: int = 0
    dropped: int = 0
    networks: tuple[str, ...] = ()

    def __str__(self) -> str:
        state = "up" if self.up else "down"
        return f"{self.subject} is {state}" + (", no carrier" if self.carrier is False else "")


class Neighbour(Fact):
    """What the kernel knows of the next hop on the link (ARP, NDP) after we tried to send; the subject is its address.

    `state` is the kernel's word: REACHABLE, STALE, DELAY, PROBE, INCOMPLETE, FAILED, or "" where it knows nothing.
    """

    device: str
    state: str

    @property
    def absent(self) -> bool:
        return self.state in ("INCOMPLETE", "FAILED")

    def __str__(self) -> str:
        return f"next hop {self.subject} on {self.device}: " + (
            "nobody answers there" if self.absent else self.state.lower()
        )


class Ping(Fact):
    """Echo requests and their answers; the subject is the address. Times are in seconds, None without an answer.

    `early_loss` says that one of the first two was lost and a later one answered: a limit on pings lets the first pass.
    """

    word: PingWord
    sent: int
    received: int
    least: float | None = None
    average: float | None = None
    most: float | None = None
    early_loss: bool = False

    @property
    def loss(self) -> float:
        """The part (0 to 1) that was not answered."""
        return 1 - self.received / self.sent if self.sent else 0.0

    def __str__(self) -> str:
        if not self.received:
            return f"{self.subject} answers no ping" + (": unreachable" if self.word == "unreachable" else "")
        time = f" in {span(self.average)}" if self.average is not None else ""
        return f"{self.subject} answers {self.received} of {self.sent} pings{time}"


class TcpAnswer(Fact):
    """What one address said to a TCP connect; the subject is the endpoint, `host` the name that led there.

    `seconds` is the time to the answer, or for how long there was none. `tries` counts connects to this address in
    this run, `open_tries` those that opened (a path that loses packets opens some, late).
    """

    host: str
    address: str
    port: int
    family: Family
    word: TcpWord
    errno: int | None
    seconds: float
    tries: int = 1
    open_tries: int = 0

    def __str__(self) -> str:
        match self.word:
            case "open":
                return f"{self.subject} open in {span(self.seconds)}"
            case "silent":
                return f"{self.subject} does not answer within {span(self.seconds)}"
            case "no-local-port":
                return f"no local port is left to connect to {self.subject} from"
            case "no-route":
                return f"no route to {self.subject}"
            case "failed":
                return f"connecting to {self.subject} failed with errno {self.errno}"
            case _:
                return f"{self.subject} {self.word} after {span(self.seconds)} (errno {self.errno})"


class SocketAnswer(Fact):
    """What a Unix socket said to a connect; the subject is its path."""

    word: SocketWord
    errno: int | None
    seconds: float

    def __str__(self) -> str:
        said = {
            "open": "open",
            "missing": "is not there",
            "stale": "is there, and nobody listens on it",
            "forbidden": "may not be opened by us",
            "full": "has a full queue of waiting clients",
            "no-socket": "is no socket",
            "failed": f"failed with errno {self.errno}",
        }[self.word]
        return f"{self.subject} {said}"


class Listener(Fact):
    """A socket that listens on this host; the subject is its endpoint (`*:3306` and `[::]:3306` mean every address).

    `waiting` counts clients that wait to be accepted, of at most `backlog`. `pid` is None where it is hidden from us.
    `v6only` says that an IPv6 endpoint takes no IPv4, None where that is not known or asked.
    """

    address: str
    port: int
    pid: int | None
    start_ticks: int
    process: str
    waiting: int
    backlog: int
    v6only: bool | None = None

    @property
    def full(self) -> bool:
        return self.waiting > self.backlog > 0 or self.waiting >= self.backlog > 0

    def __str__(self) -> str:
        who = self.process or "a process we may not see"
        queue = f", {self.waiting} clients wait to be accepted (at most {self.backlog})" if self.waiting else ""
        return f"{who} listens on {self.subject}{queue}"


class FirewallRule(Fact):
    """A rule of this host's own firewall that can meet the target's packets; the subject is its table and chain.

    `direction` is seen from this host. `before` and `after` are its packet counter around our tries, None where the
    rule has no counter. `delete` is the command that lets our packets pass ("" where none can be named): it removes the
    rule, and before a policy it puts an exception. `sure` says that every condition on the way to the rule was
    understood and our packets meet it; else they may.
    """

    verdict: FirewallVerdict
    direction: Literal["in", "out", "forward"]
    text: str
    before: int | None
    after: int | None
    delete: str = ""
    sure: bool = False

    @property
    def hit(self) -> bool | None:
        """Whether our tries met it; None where it does not count."""
        return None if self.before is None or self.after is None else self.after > self.before

    def __str__(self) -> str:
        count = "" if self.hit is None else f", met by {self.after - self.before} of our packets"  # type: ignore[operator]  # hit says both are numbers
        return f"firewall {self.subject}: {self.text}{count}"


class LocalPorts(Fact):
    """Local ports that connections leave from: the range, and how many are used towards the target's endpoint."""

    low: int
    high: int
    used: int
    time_wait: int

    @property
    def part(self) -> float:
        return self.used / max(1, self.high - self.low + 1)

    def __str__(self) -> str:
        return (
            f"{self.used:,} of {self.high - self.low + 1:,} local ports ({percent(self.part)}) are used towards "
            f"{self.subject}, {self.time_wait:,} of them in TIME-WAIT"
        )


class Conntrack(Fact):
    """The kernel's table of connections that the firewall follows."""

    count: int
    limit: int

    def __str__(self) -> str:
        return f"{self.count:,} of {self.limit:,} connections tracked"

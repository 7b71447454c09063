"""Names: what an application is told, what the files say, and what each name server says when asked directly.

An application cannot tell a name server that is dead from one that fails (both are EAI_AGAIN), nor a name that does not
exist from a resolver that asks nobody (both are EAI_NONAME). Asking each server by itself does.
"""

from __future__ import annotations

import errno
import os
import queue
import socket
import stat
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.collect import proc
from rbdiag.deadline import Deadline
from rbdiag.facts.dns import HostsEntry, NameAnswer, NameWord, ResolverConfig, ResolverWord, ServerAnswer, ServerWord
from rbdiag.model import Fact

if TYPE_CHECKING:
    from dns.message import Message

HOSTS, RESOLV, NSSWITCH = "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"
_MOST = 1 << 20
# getaddrinfo has no timeout; the checks behind this one need the rest of the time.
_PART = 0.6
# How long a name server may be silent where the application's own answer is there already, and when it is asked again:
# one lost packet is no silence.
_SILENT, _AGAIN = 1.5, (0.6, 1.6, 3.6)
# resolv.h: MAXNS name servers; its search list had six entries before it became unlimited in glibc 2.26.
_SERVERS, _SUFFIXES = 3, 6
# Where no server is named glibc asks this one (resolv.conf(5)).
_DEFAULT_SERVER = "127.0.0.1"
_HOSTS_SHOWN = 8
_RECORDS = ("A", "AAAA")
_NAME_WORDS: dict[int, NameWord] = {
    socket.EAI_NONAME: "nameless",
    socket.EAI_NODATA: "empty",
    socket.EAI_ADDRFAMILY: "empty",
    socket.EAI_AGAIN: "unanswered",
}
# RFC 1035, section 4.1.1
_RCODES: dict[int, ServerWord] = {2: "servfail", 3: "nameless", 5: "declined"}
_SOCKET_WORDS: dict[int, ServerWord] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",  # a prohibiting route
    errno.EINVAL: "unreachable",  # a black hole
    errno.EPERM: "unreachable",  # a rule of our own firewall
    errno.EADDRNOTAVAIL: "unreachable",  # no address of that family here
    errno.EAFNOSUPPORT: "unreachable",
}


def names(host: str, deadline: Deadline) -> Iterator[Fact]:
    """What the name means, to an application and to each name server; an address means itself.

    The application's answer comes first. No name server is asked about `localhost` (RFC 6761), nor about any name where
    nsswitch.conf asks none.
    """
    began = time.monotonic()
    if address := literal(host):
        yield NameAnswer(subject=host, word="found", addresses=(address,), seconds=0.0)
        return
    end = began + deadline.left() * _PART
    told: queue.SimpleQueue[NameAnswer] = queue.SimpleQueue()
    threading.Thread(target=lambda: told.put(_ask_system(host)), name="getaddrinfo", daemon=True).start()

    local = host.rstrip(".").lower() == "localhost"
    files = resolver_files()
    wanted = absolute_names(host, files)
    talks = [] if local or files.config.word == "no-dns" else [_Talk(server, wanted, end) for server in files.ask]
    try:
        answer = told.get(timeout=max(0.0, end - time.monotonic()))
    except queue.Empty:
        answer = NameAnswer(subject=host, word="unanswered", addresses=(), seconds=time.monotonic() - began)
    yield answer
    yield from parse_hosts(_read(HOSTS), host)
    if not local:
        yield files.config
    for talk in talks:
        talk.done.wait(max(0.0, began + _SILENT - time.monotonic()))
    for talk in talks:
        yield from talk.said()


def literal(host: str) -> str:
    """The address that is written there, as the system writes it; "" for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return ""
    return str(found[0][4][0])


def _ask_system(host: str) -> NameAnswer:
    """What getaddrinfo says; it may take as long as it likes."""
    began = time.monotonic()
    word: NameWord = "found"
    addresses: tuple[str, ...] = ()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(row[4][0]) for row in found))
    except socket.gaierror as error:
        word = _NAME_WORDS.get(error.errno or 0, "failed")
    except (OSError, UnicodeError):  # no descriptor left; or no name at all (a label of 64 characters)
        word = "failed"
    return NameAnswer(subject=host, word=word, addresses=addresses, seconds=time.monotonic() - began)


class Resolver(NamedTuple):
    """What the resolver's files say, and what follows: whom to ask, and how many dots make a name complete."""

    config: ResolverConfig
    ask: tuple[str, ...]
    ndots: int


def resolver_files() -> Resolver:
    """resolv.conf and the `hosts:` line of nsswitch.conf, of the mount namespace that we are in."""
    data, word = b"", "ok"
    try:
        data = proc.read(RESOLV, _MOST)
        # Root reads anything; the applications are not root.
        if not os.stat(RESOLV).st_mode & stat.S_IROTH:
            word = "unreadable"
    except PermissionError:
        word = "unreadable"
    except OSError:
        word = "missing"  # or a link to nothing
    servers, search, ndots = parse_resolv(data, socket.gethostname())
    sources = parse_nsswitch(_read(NSSWITCH))
    said: ResolverWord = "ok"
    # An own daemon, such as systemd-resolved ("resolve"), asks name servers as well.
    if not {"dns", "resolve"} & set(sources):
        said = "no-dns"
    elif word == "missing":
        said = "missing"
    elif word == "unreadable":
        said = "unreadable"
    elif not servers:
        said = "empty"
    config = ResolverConfig(subject="resolver", word=said, servers=servers, search=search, sources=sources, file=RESOLV)
    return Resolver(config, servers or (_DEFAULT_SERVER,), ndots)


def parse_resolv(data: bytes, hostname: str = "") -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Servers, search list and ndots of a resolv.conf(5), as glibc reads it: keywords begin the line, and what is no
    address is no server. Without a search list the domain of the host's own name is searched."""
    servers: list[str] = []
    search, ndots = [hostname.partition(".")[2]], 1
    for line in proc.text(data).splitlines():
        words = line.split()
        if not words or line[0] in "#; \t":
            continue
        match words[0]:
            case "nameserver" if len(words) > 1 and literal(words[1]):
                servers.append(words[1])
            case "search":
                search = words[1:]
            case "domain":
                search = words[1:2]
            case "options":
                counts = [w.partition(":")[2] for w in words[1:] if w.startswith("ndots:")]
                ndots = next((min(int(c), 15) for c in reversed(counts) if c.isdecimal()), ndots)
    suffixes = tuple(s.strip(".") for s in search if s.strip("."))
    return tuple(servers[:_SERVERS]), suffixes[:_SUFFIXES], ndots


def parse_nsswitch(data: bytes) -> tuple[str, ...]:
    """The sources of `hosts:`, without the actions in brackets; glibc's default where there is no such line."""
    import re

    for line in proc.text(data).splitlines():
        name, found, sources = line.partition("#")[0].partition(":")
        if found and name.strip() == "hosts":
            return tuple(re.sub(r"\[[^]]*\]", " ", sources).split())
    return ("dns", "files")


def parse_hosts(data: bytes, host: str, file: str = HOSTS) -> Iterator[HostsEntry]:
    """Every line of a hosts(5) file that names the host."""
    name, shown = host.rstrip(".").lower(), 0
    for number, line in enumerate(proc.text(data).splitlines(), 1):
        words = line.partition("#")[0].split()
        if name in (word.lower() for word in words[1:]) and (address := literal(words[0])) and shown < _HOSTS_SHOWN:
            shown += 1
            yield HostsEntry(subject=host, file=file, line=number, address=address)


def _read(path: str) -> bytes:
    try:
        return proc.read(path, _MOST)
    except OSError:
        return b""  # not there, or not ours to read: to the resolver it says nothing


def absolute_names(host: str, files: Resolver) -> tuple[str, ...]:
    """The names that glibc tries one after the other, each with its dot at the end. Source: resolv.conf(5)."""
    if host.endswith("."):
        return (host,)
    searched = [f"{host}.{suffix}." for suffix in files.config.search]
    tried = [f"{host}.", *searched] if host.count(".") >= files.ndots else [*searched, f"{host}."]
    return tuple(dict.fromkeys(tried))


class _Talk:
    """Questions to one name server, in a thread of its own, until it told or cannot tell. `end` is monotonic."""

    def __init__(self, server: str, wanted: tuple[str, ...], end: float) -> None:
        self.server, self.end = server, end
        self.done = threading.Event()
        self._answers: list[ServerAnswer] = []
        self._now = (wanted[0], time.monotonic())
        threading.Thread(target=self._ask, args=(wanted,), name=f"dns {server}", daemon=True).start()

    def said(self) -> Iterator[ServerAnswer]:
        """Everything it said so far; what it still owes is silence, said once where it said nothing of the name."""
        ended, (name, began) = self.done.is_set(), self._now
        answers = tuple(self._answers)
        yield from answers
        if not ended:
            told = {a.record for a in answers if a.subject == name}
            for record in [r for r in _RECORDS if r not in told][: None if told else 1]:
                yield self._answer(name, record, "silent", time.monotonic() - began)

    def _ask(self, wanted: tuple[str, ...]) -> None:
        try:
            for name in wanted:
                self._now = (name, time.monotonic())
                words = set()
                for answer in self._exchange(name):
                    self._answers.append(answer)
                    words.add(answer.word)
                if not words <= {"nameless", "empty", "servfail", "declined"}:
                    break
        finally:
            self.done.set()

    def _answer(
        self, name: str, record: str, word: ServerWord, seconds: float, addresses: tuple[str, ...] = ()
    ) -> ServerAnswer:
        return ServerAnswer(
            subject=name, server=self.server, record="AAAA" if record == "AAAA" else "A", word=word, seconds=seconds,
            addresses=addresses,
        )  # fmt: skip

    def _exchange(self, name: str) -> Iterator[ServerAnswer]:
        """Ask for both families through one socket, as glibc does; each is asked again before it counts as silent."""
        import dns.exception
        import dns.message
        import dns.query
        import dns.rdatatype

        began = time.monotonic()
        try:
            open_ = {m.id: m for m in (dns.message.make_query(name, record) for record in _RECORDS)}
        except dns.exception.DNSException:  # no name in the sense of RFC 1035
            yield self._answer(name, "A", "failed", 0.0)
            return
        family, kind, _, _, address = socket.getaddrinfo(
            self.server, 53, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        try:
            with socket.socket(family, kind) as line:
                line.connect(address)
                for wait in (*_AGAIN, None):
                    if not open_ or time.monotonic() >= self.end:
                        break
                    for query in open_.values():
                        line.send(query.to_wire())
                    until = self.end if wait is None else min(self.end, began + wait)
                    while open_ and (left := until - time.monotonic()) > 0:
                        line.settimeout(left)
                        try:
                            reply = dns.message.from_wire(line.recv(65535), raise_on_truncation=False)
                        except TimeoutError:
                            break
                        except dns.exception.DNSException:
                            continue  # not an answer at all
                        asked = open_.get(reply.id)
                        if asked is not None and asked.is_response(reply):
                            del open_[reply.id]
                            yield self._read(name, asked, reply, began)
            word: ServerWord = "silent"
        except OSError as error:
            word = _SOCKET_WORDS.get(error.errno or 0, "failed")
        owed = [dns.rdatatype.to_text(query.question[0].rdtype) for query in open_.values()]
        # A server that says nothing at all is said once.
        for record in owed[: 1 if len(owed) == len(_RECORDS) else None]:
            yield self._answer(name, record, word, time.monotonic() - began)

    def _read(self, name: str, query: Message, reply: Message, began: float) -> ServerAnswer:
        import dns.exception
        import dns.flags
        import dns.query
        import dns.rdatatype

        record = dns.rdatatype.to_text(query.question[0].rdtype)
        if reply.flags & dns.flags.TC:
            try:
                reply = dns.query.tcp(query, self.server, timeout=max(0.1, min(_SILENT, self.end - time.monotonic())))
            except (OSError, EOFError, dns.exception.DNSException):
                return self._answer(name, record, "failed", time.monotonic() - began)
        word: ServerWord = _RCODES.get(int(reply.rcode()), "failed")
        addresses: tuple[str, ...] = ()
        if reply.rcode() == 0:
            addresses = tuple(
                str(row.address) for rows in reply.answer if rows.rdtype == query.question[0].rdtype for row in rows
            )
            word = "found" if addresses else "empty"
        return self._answer(name, record, word, time.monotonic() - began, addresses)

"""Facts about names: what applications are told, what each name server says, what the files say."""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import span
from rbdiag.model import Fact

# What the system's resolver (getaddrinfo) says: "nameless" the name does not exist (-2), "empty" it exists without an
# address (-5), "unanswered" nobody could tell (-3).
NameWord = Literal["found", "nameless", "empty", "unanswered", "failed"]
# What one name server says when asked directly: "nameless" is rcode 3, "servfail" 2, "declined" 5 (REFUSED);
# "refused" means that nothing listens on its port 53.
ServerWord = Literal["found", "nameless", "empty", "servfail", "declined", "refused", "silent", "unreachable", "failed"]
ResolverWord = Literal["ok", "missing", "unreadable", "empty", "no-dns"]


class NameAnswer(Fact):
    """What an application is told when it resolves a name; the subject is the name."""

    word: NameWord
    addresses: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        if self.addresses == (self.subject,):
            return f"{self.subject} is an address"
        match self.word:
            case "found":
                return f"{self.subject} is {', '.join(self.addresses)}, in {span(self.seconds)}"
            case "nameless":
                return f"the name {self.subject} does not exist"
            case "empty":
                return f"the name {self.subject} has no address"
            case "unanswered":
                return f"no name server could say what {self.subject} is, in {span(self.seconds)}"
            case _:
                return f"resolving {self.subject} failed"


class ServerAnswer(Fact):
    """What one name server says of a name when asked directly; the subject is the name as asked, dot at its end."""

    server: str
    record: Literal["A", "AAAA"]
    word: ServerWord
    addresses: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        said = {
            "found": ", ".join(self.addresses),
            "nameless": "no such name",
            "empty": "no such record",
            "servfail": "server failure",
            "declined": "refuses to answer",
            "refused": "nothing listens on its port 53",
            "silent": f"no answer in {span(self.seconds)}",
            "unreachable": "cannot be reached",
            "failed": "an answer that makes no sense",
        }[self.word]
        return f"name server {self.server} on {self.record} of {self.subject}: {said}"


class HostsEntry(Fact):
    """A line of the hosts file that names the target; the subject is the name."""

    file: str
    line: int
    address: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} says that {self.subject} is {self.address}"


class ResolverConfig(Fact):
    """What the resolver's files say. `sources` are the words of `hosts:` in nsswitch.conf."""

    word: ResolverWord
    servers: tuple[str, ...]
    search: tuple[str, ...]
    sources: tuple[str, ...]
    file: str = "/etc/resolv.conf"

    def __str__(self) -> str:
        match self.word:
            case "ok":
                return f"{self.file}: name servers {', '.join(self.servers)}"
            case "no-dns":
                return f"nsswitch.conf asks no name server for hosts: {' '.join(self.sources)}"
            case "empty":
                return f"{self.file} names no name server"
            case _:
                return f"{self.file} is {self.word}"

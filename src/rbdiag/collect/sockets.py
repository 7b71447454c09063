"""The sockets that listen on this host: TCP and Unix, whose they are, and how many clients wait to be accepted.

Sources: proc(5) for /proc/PID/net and /proc/PID/fd, sock_diag(7) for the queue of a listening socket. In
/proc/net/tcp the receive queue of a listener is how many wait; how many may wait stands nowhere but in sock_diag.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rbdiag.collect import proc

_LISTEN = 10  # include/net/tcp_states.h
_ACCEPTING = 0x10000  # __SO_ACCEPTCON, include/uapi/linux/net.h
_TABLE = 64 << 20


class TcpSocket(NamedTuple):
    """A socket that listens for TCP. `backlog` is 0 and `v6only` None where only /proc told of it."""

    address: str
    port: int
    uid: int
    inode: int
    waiting: int
    backlog: int = 0
    v6only: bool | None = None


def endpoint(address: str, port: int) -> str:
    """How a listening endpoint is written: `*:3306` for every IPv4 address, `[::]:3306` for every address."""
    if address == "0.0.0.0":  # noqa: S104 - a word to compare with, not an address to listen on
        return f"*:{port}"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse_tcp(table: bytes) -> Iterator[TcpSocket]:
    """The listening sockets of a /proc/net/tcp or tcp6 table."""
    from socket import AF_INET, AF_INET6, inet_ntop

    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != b"0A":
            continue
        host, _, port = fields[1].partition(b":")
        # each group of 32 bits is printed in the byte order of this machine
        raw = b"".join(int(host[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(host), 8))
        address = inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)
        waiting = int(fields[4].partition(b":")[2], 16)
        yield TcpSocket(_plain(address), int(port, 16), int(fields[7]), int(fields[9]), waiting)


def _plain(address: str) -> str:
    """An IPv4 address that a socket for both families shows in IPv6 clothes, as itself."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address


def parse_unix(table: bytes) -> dict[int, str]:
    """The paths of the listening sockets of a /proc/net/unix table, by inode; abstract ones are left out."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & _ACCEPTING and not fields[7].startswith(b"@"):
            found[int(fields[6])] = proc.text(fields[7])
    return found


def tcp(pid: int | str = "self") -> list[TcpSocket]:
    """What listens in the network namespace of this process, as /proc tells. Raises OSError."""
    found: list[TcpSocket] = []
    for name in ("tcp", "tcp6"):
        try:
            table = _whole(f"/proc/{pid}/net/{name}")
        except FileNotFoundError:
            if name == "tcp":
                raise
            continue  # a kernel without IPv6
        found += parse_tcp(table)
    return found


def unix(pid: int) -> dict[int, str]:
    """The listening Unix sockets in the network namespace of this process, by inode. Raises OSError."""
    return parse_unix(_whole(f"/proc/{pid}/net/unix"))


def _whole(path: str) -> bytes:
    with open(path, "rb") as table:
        return table.read(_TABLE)


def with_queues() -> list[TcpSocket]:
    """What listens in our own network namespace, with the queues, by asking sock_diag. Raises OSError."""
    from socket import AF_INET, AF_INET6

    return [one for family in (AF_INET, AF_INET6) for one in _asked(family)]


# struct inet_diag_req_v2 and inet_diag_msg, include/uapi/linux/inet_diag.h; 20 is SOCK_DIAG_BY_FAMILY, 0x301 asks for
# all that match (NLM_F_REQUEST | NLM_F_DUMP), 6 is TCP, 11 is the attribute INET_DIAG_SKV6ONLY.
_BY_FAMILY, _DUMP, _TCP, _V6ONLY, _ERROR, _DONE = 20, 0x301, 6, 11, 2, 3
_PATIENCE = 1.0


def _asked(family: int) -> Iterator[TcpSocket]:
    from socket import AF_NETLINK, SOCK_RAW, socket

    diag = 4  # NETLINK_SOCK_DIAG
    with socket(AF_NETLINK, SOCK_RAW, diag) as kernel:
        kernel.settimeout(_PATIENCE)
        request = struct.pack("=BBBBI48x", family, _TCP, 0, 0, 1 << _LISTEN)
        kernel.sendto(struct.pack("=IHHII", 16 + len(request), _BY_FAMILY, _DUMP, 1, 0) + request, (0, 0))
        while True:
            answer = kernel.recv(1 << 16)
            at = 0
            while at + 16 <= len(answer):
                length, kind = struct.unpack_from("=IH", answer, at)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", answer, at + 16)[0]
                    raise OSError(number, os.strerror(number), "sock_diag")
                yield parse_diag(answer[at + 16 : at + length])
                at += (length + 3) & ~3


def parse_diag(message: bytes) -> TcpSocket:
    """One inet_diag_msg with its attributes as a listening socket."""
    from socket import AF_INET, inet_ntop

    family = message[0]
    port = struct.unpack_from("!H", message, 4)[0]
    address = inet_ntop(family, message[8 : 12 if family == AF_INET else 24])
    waiting, backlog, uid, inode = struct.unpack_from("=IIII", message, 56)
    v6only = None
    at = 72
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == _V6ONLY:
            v6only = bool(message[at + 4])
        at += max(4, (length + 3) & ~3)
    return TcpSocket(_plain(address), port, uid, inode, waiting, backlog, v6only)


class Held(NamedTuple):
    """What a process holds open: how many descriptors, the inodes of its sockets, and where its files point."""

    fds: int
    sockets: frozenset[int]
    files: dict[int, str]


def held(pid: int) -> Held | None:
    """The descriptors of a process; None where they are hidden from us or it has gone."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None
    sockets, files = set(), {}
    for name in names:
        try:
            there = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue  # closed since the listing
        if there.startswith("socket:["):
            sockets.add(int(there[8:-1]))
        elif there.startswith("/"):
            files[int(name)] = there
    return Held(len(names), frozenset(sockets), files)


def owners(inodes: set[int]) -> dict[int, int]:
    """Which process holds each of these sockets, as far as we may see; one look at every process's descriptors."""
    found: dict[int, int] = {}
    for pid in proc.pids(1.0):
        if not inodes - found.keys():
            break
        mine = held(pid)
        if mine is not None:
            for inode in mine.sockets & inodes:
                found.setdefault(inode, pid)
    return found

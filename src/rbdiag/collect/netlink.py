"""Asking the kernel about routes, devices and neighbours, over rtnetlink(7): what went wrong is an errno, not a text.

Source: linux/netlink.h, rtnetlink.h, neighbour.h, if_link.h, if_addr.h. Each is a header, then attributes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH = 18, 22, 26, 30
_RTN_LOCAL = 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_VIA = 1, 4, 5, 7, 8, 18
_RTAX_MTU = 2
_IFLA_IFNAME, _IFLA_MTU, _IFLA_STATS64, _IFLA_CARRIER = 3, 4, 23, 33
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NDA_DST = 1
IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT, IFF_NOARP = 0x1, 0x8, 0x10, 0x80
# The kernel answers at once; a silent one is a broken one.
_PATIENCE = 1.0
_STATES = {
    0x01: "INCOMPLETE",
    0x02: "REACHABLE",
    0x04: "STALE",
    0x08: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
}

_Attributes = dict[int, bytes]


class Way(NamedTuple):
    """A route as the kernel chose it; `device` is a number, `mtu` None where the route sets none."""

    device: int
    gateway: str
    source: str
    local: bool
    mtu: int | None


class Device(NamedTuple):
    """A network device; `carrier` is None where the driver does not tell, `addresses` carry their prefix length."""

    number: int
    name: str
    flags: int
    carrier: bool | None
    mtu: int
    errors: int
    dropped: int
    addresses: tuple[str, ...]


class Hop(NamedTuple):
    """A neighbour as the kernel knows it; `state` is "" for those it asks nobody about (NOARP, PERMANENT)."""

    address: str
    device: int
    state: str


def way_to(address: str) -> Way:
    """The route to an address. Raises the OSError that a connect() there would meet."""
    family, packed, scope = _packed(address)
    body = struct.pack("=BBBBBBBBI", family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0) + _attribute(_RTA_DST, packed)
    if scope:
        body += _attribute(_RTA_OIF, struct.pack("=I", scope))
    for head, found in _ask(_GETROUTE, body, 12):
        mtu = _attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU)
        return Way(
            device=_integer(found.get(_RTA_OIF, b"")),
            gateway=_address(found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]),
            source=_address(found.get(_RTA_PREFSRC, b"")),
            local=head[7] == _RTN_LOCAL,
            mtu=_integer(mtu) if mtu else None,
        )
    raise OSError("the kernel told no route")


def devices() -> list[Device]:
    """Every network device of this network namespace."""
    addresses: dict[int, list[str]] = {}
    for head, found in _ask(_GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0), 8, _DUMP):
        # on a point-to-point link the plain address is the other side's
        if packed := found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS):
            addresses.setdefault(struct.unpack_from("=i", head, 4)[0], []).append(f"{_address(packed)}/{head[1]}")
    rows = []
    for head, found in _ask(_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0), 16, _DUMP):
        index, flags = struct.unpack_from("=iI", head, 4)
        # rtnl_link_stats64: packets and bytes both ways, then errors and drops both ways
        counts = struct.unpack_from("=8Q", found[_IFLA_STATS64]) if _IFLA_STATS64 in found else (0,) * 8
        carrier = found.get(_IFLA_CARRIER)
        rows.append(
            Device(
                number=index,
                name=found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "backslashreplace"),
                flags=flags,
                # a device that is down has none, whatever lies in the cable
                carrier=bool(carrier[0]) if carrier and flags & IFF_UP else None,
                mtu=_integer(found.get(_IFLA_MTU, b"")),
                errors=counts[4] + counts[5],
                dropped=counts[6] + counts[7],
                addresses=tuple(addresses.get(index, ())),
            )
        )
    return rows


def hops(address: str) -> list[Hop]:
    """What the kernel knows of a neighbour, on any device."""
    family, packed, _ = _packed(address)
    found = []
    for head, attributes in _ask(_GETNEIGH, struct.pack("=BxxxiHBB", family, 0, 0, 0, 0), 12, _DUMP):
        if attributes.get(_NDA_DST) == packed:
            index, state = struct.unpack_from("=iH", head, 4)
            found.append(Hop(address, index, next((word for bit, word in _STATES.items() if state & bit), "")))
    return found


def _ask(kind: int, body: bytes, head: int, flags: int = 0) -> Iterator[tuple[bytes, _Attributes]]:
    """Each message of the answer: its own header (`head` bytes) and attributes. Raises the kernel's OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as line:
        line.settimeout(_PATIENCE)
        line.bind((0, 0))
        line.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0) + body)
        while True:
            data = line.recv(1 << 17)
            while data:
                length, said, _, _, _ = struct.unpack_from("=IHHII", data)
                message, data = data[16:length], data[(length + 3) & ~3 :]
                if said == _ERROR and (code := -struct.unpack_from("=i", message)[0]):
                    raise OSError(code, os.strerror(code))
                if said in (_ERROR, _DONE):
                    return
                yield message[:head], _attributes(message[head:])
            if not flags & _DUMP:
                return


def _attributes(data: bytes) -> _Attributes:
    found: _Attributes = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _packed(address: str) -> tuple[int, bytes, int]:
    """Family, bytes and scope (the device's index in `fe80::1%eth0`, else 0)."""
    family, _, _, _, where = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    plain, scope = str(where[0]).partition("%")[0], int(where[3]) if len(where) > 3 else 0
    return int(family), socket.inet_pton(family, plain), scope


def _address(packed: bytes) -> str:
    family = {4: socket.AF_INET, 16: socket.AF_INET6}.get(len(packed))
    return socket.inet_ntop(family, packed) if family else ""


def _integer(data: bytes) -> int:
    return int(struct.unpack("=I", data)[0]) if len(data) == 4 else 0

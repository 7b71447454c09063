"""A small name server that misbehaves by request: the first label of the name says how.

Run as `python -m tests.servers.dns ADDRESS`; it prints `ready` once it listens on port 53, and runs until it is ended.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

GOOD, WRONG, SIX = "10.50.0.2", "10.50.0.77", "fd00:50::2"
SLOW = 1.3

_RECORDS = {
    "good": {"A": GOOD},
    "wrong": {"A": WRONG},
    "six": {"AAAA": SIX},
    "both": {"A": GOOD, "AAAA": SIX},
    "slow": {"A": GOOD},
    "half": {"A": GOOD},
    "long": {"A": GOOD},
    "lost": {"A": GOOD},
    "empty": {},
}
_RCODES = {"servfail": dns.rcode.SERVFAIL, "declined": dns.rcode.REFUSED, "other": dns.rcode.NOTIMP}
_seen: set[int] = set()


def answer(wire: bytes, by_tcp: bool) -> bytes | None:
    """The answer to one question, None for silence. `silent` says nothing, `half` nothing about AAAA, `lost` loses each
    question once, `slow` takes its time, `long` fits into no datagram, `garbage` is no message."""
    query = dns.message.from_wire(wire)
    name, record = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
    kind = str(name).partition(".")[0].lower()
    if kind == "silent" or (kind == "half" and record == "AAAA"):
        return None
    if kind == "garbage":
        return b"no message at all"
    if kind == "lost" and query.id not in _seen:
        _seen.add(query.id)
        return None
    if kind == "slow":
        time.sleep(SLOW)
    reply = dns.message.make_response(query, recursion_available=True)
    if kind == "long" and not by_tcp:
        reply.flags |= dns.flags.TC
    elif kind in _RECORDS:
        if address := _RECORDS[kind].get(record):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", record, address))
    else:
        reply.set_rcode(_RCODES.get(kind, dns.rcode.NXDOMAIN))
    return reply.to_wire()


def _datagrams(line: socket.socket) -> None:
    def one(wire: bytes, client: tuple[str, int]) -> None:
        if (said := answer(wire, by_tcp=False)) is not None:
            line.sendto(said, client)

    while True:
        threading.Thread(target=one, args=line.recvfrom(4096), daemon=True).start()


def _stream(client: socket.socket) -> None:
    with client:
        while head := client.recv(2):
            if (said := answer(client.recv(int.from_bytes(head, "big")), by_tcp=True)) is not None:
                client.sendall(len(said).to_bytes(2, "big") + said)


def _streams(door: socket.socket) -> None:
    while True:
        threading.Thread(target=_stream, args=door.accept()[:1], daemon=True).start()


if __name__ == "__main__":
    where = (sys.argv[1], 53)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(where)
    streams = socket.create_server(where)
    threading.Thread(target=_streams, args=(streams,), daemon=True).start()
    print("ready", flush=True)
    _datagrams(datagrams)

"""Small real servers that answer a MySQL client in every wrong way: each is one function that gets the open socket.

with Greeter(says(error(1040, "Too many connections"))) as server:
    connect to ("127.0.0.1", server.port)
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers.database import short_folder

Manner = Callable[[socket.socket, threading.Event], None]

SSL, PLUGIN_AUTH, SECURE, PROTOCOL_41, WITH_DB = 0x0800, 0x080000, 0x8000, 0x0200, 0x0008


class Greeter:
    """A server that treats every client in one manner, at a TCP port of its own or, with `unix`, at a socket.

    `clients` counts those that came. At the end every connection is cut, whatever its manner was doing.
    """

    def __init__(self, manner: Manner, *, unix: bool = False, backlog: int = 16, address: str = "127.0.0.1") -> None:
        self.manner, self.clients = manner, 0
        self.folder = short_folder("gr") if unix else None
        self.path = str(self.folder / "s.sock") if self.folder else ""
        family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(self.path or (address, 0))
        self.listener.listen(backlog)
        self.port = 0 if unix else int(self.listener.getsockname()[1])
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        for client in self._open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for client in (*self._open, self.listener):
            client.close()
        if self.folder:
            os.unlink(self.path)
            self.folder.rmdir()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients += 1
            self._open.append(client)
            self._threads.append(threading.Thread(target=self._treat, args=(client,), daemon=True))
            self._threads[-1].start()

    def _treat(self, client: socket.socket) -> None:
        with suppress(OSError):  # clients come and go; ssl.SSLError is one of these
            self.manner(client, self._over)


# Bytes of the protocol


def packet(body: bytes, number: int = 0) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def greeting(
    version: str = "8.0.36", *, plugin: str = "caching_sha2_password", tls: bool = False, salt: bytes = b"s" * 20
) -> bytes:
    """A handshake packet (HandshakeV10) as MySQL writes it."""
    flags = PLUGIN_AUTH | SECURE | PROTOCOL_41 | WITH_DB | (SSL if tls else 0)
    body = b"\x0a" + version.encode() + b"\0" + struct.pack("<I", 7) + salt[:8] + b"\0"
    body += struct.pack("<H", flags & 0xFFFF) + b"\x2d" + struct.pack("<H", 2) + struct.pack("<H", flags >> 16)
    return packet(body + bytes([21]) + bytes(10) + salt[8:] + b"\0" + plugin.encode() + b"\0")


def error(code: int, text: str, *, number: int = 0, state: str = "08004") -> bytes:
    said = (b"#" + state.encode() if state else b"") + text.encode()
    return packet(b"\xff" + struct.pack("<H", code) + said, number)


def switch(plugin: str, number: int = 2) -> bytes:
    """The server's wish that the client proves itself in another way."""
    return packet(b"\xfe" + plugin.encode() + b"\0" + b"s" * 20 + b"\0", number)


# Manners


def silent(client: socket.socket, over: threading.Event) -> None:
    over.wait()


def closes(client: socket.socket, over: threading.Event) -> None:
    client.close()


def resets(client: socket.socket, over: threading.Event) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def says(data: bytes, *, after: float = 0.0, every: float = 0.0) -> Manner:
    """Send this, and stay open; `after` that many seconds, or byte by byte with `every` so many between."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        if after and over.wait(after):
            return
        for part in [data[i : i + 1] for i in range(len(data))] if every else [data]:
            client.sendall(part)
            over.wait(every)
        over.wait()

    return manner


def answers(data: bytes) -> Manner:
    """Wait for the client's first word, as web servers do; then say this and close."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        if client.recv(4096):
            client.sendall(data)
        client.close()

    return manner


def then(hello: bytes, answer: bytes | Manner) -> Manner:
    """Greet, take the client's login, and give this answer (or go on in this manner)."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        client.sendall(hello)
        if not client.recv(65536):
            return
        if callable(answer):
            answer(client, over)
        else:
            client.sendall(answer)
            over.wait()

    return manner


def encrypted(hello: bytes, context: ssl.SSLContext, answer: bytes) -> Manner:
    """Greet, go over to TLS as MySQL does (after the client's short request), take the login and answer."""

    def manner(client: socket.socket, over: threading.Event) -> None:
        client.sendall(hello)
        asked = client.recv(36, socket.MSG_WAITALL)
        if len(asked) < 36:
            return
        with context.wrap_socket(client, server_side=True) as inside:
            inside.recv(65536)
            inside.sendall(answer)
            over.wait()

    return manner


HTTP = answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
SSH = says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
GARBAGE = says(bytes(range(200, 256)))

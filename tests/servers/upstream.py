"""Servers behind a proxy that misbehave on demand: one that answers as the path says, one whose queue is full."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from tests.servers.database import free_port


class Upstream:
    """A server of HTTP behind a proxy; what it does, the path says.

    /slow waits a second, /reset resets the connection, /close ends it without a word, /half after half of the body,
    /big sends a header of 64 KiB, /garbage what is no HTTP, /500 (or any other number) that status; everything else
    is answered at once.
    """

    def __init__(self, path: Path | None = None, *, slow: float = 1.0) -> None:
        """At a port of 127.0.0.1, or at the socket with this path."""
        self._undo = ExitStack()
        self._slow = slow
        self._over = threading.Event()
        if path is None:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self._socket.listen(64)
            self.address = f"unix:{path}"
        self._undo.callback(self._socket.close)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._undo.close()
        for thread in self._threads:
            thread.join(5)

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, suppress(OSError):
                client.settimeout(5)
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            some = client.recv(65536)
            if not some:
                return
            head += some
        path = head.split(b" ", 2)[1].decode(errors="replace").partition("?")[0].rpartition("/")[2]
        if path == "slow":
            self._over.wait(self._slow)
        if path == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if path == "close":
            return
        if path == "garbage":
            client.sendall(b"\x00\x01\x02 what is no HTTP\n")
            return
        status = path if path.isdigit() and len(path) == 3 else "200"
        more = b"X-Big: " + b"x" * 65536 + b"\r\n" if path == "big" else b""
        body = b'{"ok": true}'
        length = len(body) * (2 if path == "half" else 1)
        client.sendall(
            b"HTTP/1.1 %s Said\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s"
            % (status.encode(), length, more, body)
        )


class Deaf:
    """A port whose queue of connections is full: a connect to it runs into its time limit."""

    def __init__(self) -> None:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        self.address = f"127.0.0.1:{self._sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(self._sockets[0].getsockname())
            self._sockets.append(client)
        return self

    def __exit__(self, *error: object) -> None:
        for end in reversed(self._sockets):
            end.close()


def refused() -> str:
    """An address of this host where nobody listens."""
    return f"127.0.0.1:{free_port()}"

"""The MySQL and MariaDB servers that run on this host and can be reached from here: a quick look, before anything else.

It only says where one could connect to; `rbdiag.collect.db_server` looks at them closely.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from rbdiag.collect import option_files, proc, sockets

PORT = 3306
_NAMES = ("mariadbd", "mysqld", "mysqld-debug", "mariadbd-debug")
_X_PORT = 33060  # MySQL's other protocol


class Running(NamedTuple):
    """A server process of this host with what it listens on: paths of sockets, ports of TCP (lowest first)."""

    subject: str
    pid: int
    sockets: tuple[str, ...]
    ports: tuple[int, ...]


def running() -> list[Running]:
    """The servers that run here; those we may not look into are told by their command line and option files."""
    found = []
    for pid in sorted(proc.pids()):
        try:
            name = proc.text(proc.read(f"/proc/{pid}/comm", 64)).strip()
            server = _running(pid, name) if name in _NAMES else None
        except OSError:
            continue  # it ended while we looked
        if server is not None and (server.sockets or server.ports):
            found.append(server)
    return found


def _running(pid: int, name: str) -> Running:
    held = sockets.held(pid)
    listening = sockets.tcp(pid)
    if held is None:
        paths, port = _configured(pid)
        ports = {s.port for s in listening if s.port == port}
    else:
        paths = [path for inode, path in sockets.unix(pid).items() if inode in held.sockets and "mysqlx" not in path]
        ports = {s.port for s in listening if s.inode in held.sockets} - {_X_PORT}
    # a network namespace has its own file there, which anybody may ask for
    ours = os.stat(f"/proc/{pid}/net/tcp").st_ino == os.stat("/proc/self/net/tcp").st_ino
    seen = tuple(path for path in paths if path.startswith("/") and _same_file(pid, path))
    return Running(proc.subject(name, pid), pid, seen, tuple(sorted(ports)) if ours else ())


def _configured(pid: int) -> tuple[list[str], int]:
    """The socket and the port that a server was started with."""
    given = option_files.arguments(proc.command_line(pid))
    files, suffix = option_files.of_server(given)
    won = option_files.read(files).winners(option_files.server_groups(), suffix)
    said = {name: option.value for name, option in won.items() if option.value} | given
    port = said.get("port", "")
    return [said["socket"]] if "socket" in said else [], int(port) if port.isdigit() else PORT


def _same_file(pid: int, path: str) -> bool:
    """Whether a path means the same to a process as to us; where that is hidden from us, it is taken to."""
    try:
        theirs = os.stat(f"/proc/{pid}/root{path}")
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        return os.path.samestat(os.stat(path), theirs)
    except OSError:
        return False

"""Two hosts joined by a cable, as network namespaces: what is broken here is broken for real, and for nobody else.

`python -m tests.servers.network` is the other half of `look`: it runs one check inside a namespace and gives back what
it saw.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Fact, Gap

CLIENT, SERVER, NOBODY_THERE = "10.50.0.1", "10.50.0.2", "10.50.0.77"
CLIENT6, SERVER6 = "fd00:50::1", "fd00:50::2"
ROOT = Path(__file__).parents[2]
_PROGRAMS = ("ip", "nft", "iptables", "ip6tables", "iptables-legacy", "sysctl")


def why_not() -> str:
    """Why such hosts cannot be made here; "" where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Network:
    """A client (10.50.0.1, device c0) and a server (10.50.0.2, device s0); IPv6 likewise. Call `close` at the end."""

    def __init__(self) -> None:
        self.client, self.server = f"rbBc{os.getpid()}", f"rbBs{os.getpid()}"
        self._children: list[subprocess.Popen[bytes]] = []
        for name in (self.client, self.server):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        cable = f"ip link add c0 netns {self.client} type veth peer name s0 netns {self.server}"
        _run(*cable.split())
        for name, device, four, six in ((self.client, "c0", CLIENT, CLIENT6), (self.server, "s0", SERVER, SERVER6)):
            _run("ip", "-n", name, "address", "add", f"{four}/24", "dev", device)
            _run("ip", "-n", name, "address", "add", f"{six}/64", "dev", device, "nodad")
            _run("ip", "-n", name, "link", "set", device, "up")

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.communicate()
        for name in (self.client, self.server):
            subprocess.run(["ip", "netns", "delete", name], check=True)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)

    def on_client(self, command: str) -> None:
        """Run a line of shell on the client."""
        _run("ip", "netns", "exec", self.client, "sh", "-ec", command)

    def on_server(self, command: str) -> None:
        """Run a line of shell on the server."""
        _run("ip", "netns", "exec", self.server, "sh", "-ec", command)

    def start(self, host: str, *argv: str) -> None:
        """Start a program on a host, and wait until it says that it is ready."""
        child = subprocess.Popen(["ip", "netns", "exec", host, *argv], stdout=subprocess.PIPE, cwd=ROOT)
        self._children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n", argv

    def listen(self, host: str, address: str, port: int) -> None:
        """Accept connections there, and say nothing."""
        family = "AF_INET6" if ":" in address else "AF_INET"
        code = (
            "import socket\n"
            f"door = socket.create_server(({address!r}, {port}), family=socket.{family})\n"
            "print('ready', flush=True)\n"
            "while True: door.accept()[0].close()"
        )
        self.start(host, sys.executable, "-c", code)

    def file(self, name: str, text: str) -> None:
        """What /etc/NAME holds on the client."""
        folder = Path(f"/etc/netns/{self.client}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    def look(self, module: str, function: str, *values: Any, seconds: float = 10, user: int = 0) -> list[Fact]:
        """What a check sees on the client, as root or as another user. Raises CannotLook as the check does."""
        argv = ["ip", "netns", "exec", self.client, sys.executable, "-m", "tests.servers.network"]
        order = pickle.dumps((module, function, values, seconds, user))
        done = subprocess.run(argv, input=order, capture_output=True, cwd=ROOT, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        answer = pickle.loads(done.stdout)
        if isinstance(answer, Gap):
            raise CannotLook(answer)
        return answer  # type: ignore[no-any-return]  # written below


@contextmanager
def network() -> Iterator[Network]:
    """A new pair of hosts; the test is skipped where there can be none."""
    if reason := why_not():
        pytest.skip(reason)
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


def _look() -> None:
    module, function, values, seconds, user = pickle.loads(sys.stdin.buffer.read())
    check = getattr(import_module(f"rbdiag.collect.{module}"), function)
    if user:
        import_module("rbdiag.collect.programs")
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    try:
        answer: object = list(check(*values, Deadline(seconds)))
    except CannotLook as error:
        answer = error.gap
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    _look()

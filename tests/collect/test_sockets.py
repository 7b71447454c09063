"""Who listens here: real sockets, their queues, and their owners."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbdiag.collect import sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(1)
        yield one


def found(port: int, among: list[sockets.TcpSocket]) -> sockets.TcpSocket:
    return next(s for s in among if s.port == port)


def test_a_listener_is_found_in_both_sources(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for one in (found(port, sockets.tcp()), found(port, sockets.with_queues())):
        assert (one.address, one.uid, one.inode) == ("127.0.0.1", os.getuid(), os.fstat(listener.fileno()).st_ino)


def test_clients_that_wait_are_counted_and_so_is_the_room(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert found(port, sockets.with_queues()).waiting == 0
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    try:
        asked = found(port, sockets.with_queues())
        assert (asked.waiting, asked.backlog) == (2, 1)
        assert found(port, sockets.tcp()).waiting == 2
    finally:
        for client in clients:
            client.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
@pytest.mark.parametrize("alone", [0, 1])
def test_a_listener_for_both_families_says_so(alone: int) -> None:
    with socket.socket(socket.AF_INET6) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        one.bind(("::", 0))
        one.listen(5)
        port = one.getsockname()[1]
        asked = found(port, sockets.with_queues())
        assert (asked.address, asked.v6only) == ("::", bool(alone))
        assert found(port, sockets.tcp()).v6only is None  # /proc does not tell


def test_the_owner_is_who_holds_it(listener: socket.socket) -> None:
    inode = os.fstat(listener.fileno()).st_ino
    assert sockets.owners({inode}) == {inode: os.getpid()}
    mine = sockets.held(os.getpid())
    assert mine is not None
    assert inode in mine.sockets


def test_a_socket_file_with_a_listener_is_found_and_an_abstract_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with (
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as bound,
    ):
        named.bind(path)
        named.listen(1)
        abstract.bind(f"\0rb-test-{os.getpid()}")
        abstract.listen(1)
        bound.bind(f"{path}2")  # it does not listen
        there = sockets.unix(os.getpid())
        assert there[os.fstat(named.fileno()).st_ino] == path
        assert not {os.fstat(abstract.fileno()).st_ino, os.fstat(bound.fileno()).st_ino} & there.keys()


@pytest.mark.parametrize(
    ("address", "written"),
    [("0.0.0.0", "*:3306"), ("::", "[::]:3306"), ("10.0.0.5", "10.0.0.5:3306")],
)
def test_how_an_endpoint_is_written(address: str, written: str) -> None:
    assert sockets.endpoint(address, 3306) == written


def test_an_ipv4_listener_in_ipv6_clothes_is_an_ipv4_listener() -> None:
    with socket.socket(socket.AF_INET6) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::ffff:127.0.0.1", 0))
        one.listen(5)
        port = one.getsockname()[1]
        assert found(port, sockets.tcp()).address == "127.0.0.1"
        assert found(port, sockets.with_queues()).address == "127.0.0.1"

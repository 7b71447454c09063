"""Database servers for the tests: one that all share and nobody changes, and as many of one's own as a test needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers import mariadb as mariadb_servers
from tests.servers import mysql as mysql_servers
from tests.servers.mariadb import MariaDB
from tests.servers.mysql import MySQL


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB that all tests share: read only, leave no account, schema or setting behind."""
    if reason := mariadb_servers.missing():
        pytest.skip(reason)
    with MariaDB() as server:
        yield server.start()


@pytest.fixture
def own_mariadb() -> Iterator[Callable[..., MariaDB]]:
    """Makes MariaDB servers for this test alone; not yet started, so that a start may fail."""
    if reason := mariadb_servers.missing():
        pytest.skip(reason)
    with ExitStack() as servers:

        def make(**options: Any) -> MariaDB:
            return servers.enter_context(MariaDB(**options))

        yield make


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQL]:
    """A running MySQL (of Oracle's) that all tests share: read only."""
    if reason := mysql_servers.missing():
        pytest.skip(reason)
    with MySQL() as server:
        yield server.start()


@pytest.fixture
def own_mysql() -> Iterator[Callable[..., MySQL]]:
    """Makes MySQL servers for this test alone; not yet started."""
    if reason := mysql_servers.missing():
        pytest.skip(reason)
    with ExitStack() as servers:

        def make(**options: Any) -> MySQL:
            return servers.enter_context(MySQL(**options))

        yield make

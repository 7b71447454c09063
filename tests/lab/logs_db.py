"""Faults that the error log of MariaDB tells, broken for real after hours of work."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import suppress

import pymysql

from tests.lab import dbs
from tests.lab import logs_real as real
from tests.lab.logs_file import about, log_fault, put, usual
from tests.lab.logs_real import Written
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.mariadb import MariaDB

NEEDS = ("mariadb",)


def _told(lab: Lab, written: Written, holds: str, at_least: int = 1, **shown: tuple[str, ...]) -> Fault:
    log = put(lab, "mariadb.err", usual("mariadb", until=written.began, lines=400) + written.log)
    return about(lab, log, holds=holds, at_least=at_least, **shown)


@log_fault("db.access-denied", needs=NEEDS, fast=True)
def logs_db_denied(lab: Lab) -> Setup:
    """An application with a wrong password: each of its logins is refused."""

    def logins(server: MariaDB) -> None:
        for _ in range(40):
            with suppress(pymysql.err.Error):
                server.connect(host="127.0.0.1", user="shop", password="old")

    yield _told(lab, real.mariadb(logins), "Access denied for user 'shop'", 40, shown=("shop",))


@log_fault("db.crashed", needs=NEEDS)
def logs_db_crashed(lab: Lab) -> Setup:
    """A server that crashed, and stays down."""
    yield _told(lab, real.mariadb(lambda server: server.kill(signal.SIGSEGV)), "got signal 11")


@log_fault("db.config-invalid", needs=NEEDS, fast=True)
def logs_db_unknown_option(lab: Lab) -> Setup:
    """A server that does not start: it does not know an option."""
    yield _told(lab, real.mariadb_no_start(innodb_flus_log=2), "unknown variable", shown=("innodb-flus-log",))


@log_fault("db.port-in-use", needs=NEEDS)
def logs_db_port_taken(lab: Lab) -> Setup:
    """A server that does not start: another program has its port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        written = real.mariadb_no_start(port=other.getsockname()[1])
    yield _told(lab, written, "Address already in use")


@log_fault("db.disk-full", "host.disk-full", "host.inode-full", needs=("root", *NEEDS))
def logs_db_disk_full(lab: Lab) -> Setup:
    """A server that does not start: nothing is left on its disk."""
    server = dbs.make(lab)
    volume = dbs.on_volume(lab, server, "size=60m")
    server.prepare()
    dbs.fill_up(volume)
    began = time.time()
    server.fails_to_start()
    yield _told(lab, Written(server.log(), began, time.time()), "Errcode: 28")


@log_fault("db.packet-too-large", needs=NEEDS)
def logs_db_packet(lab: Lab) -> Setup:
    """An application that sends statements which are larger than the server takes."""

    def send(server: MariaDB) -> None:
        for _ in range(6):
            with suppress(pymysql.err.Error, OSError):
                server.sql(f"SELECT LENGTH('{'x' * 200000}')")

    yield _told(lab, real.mariadb(send, max_allowed_packet="64K"), "packet bigger than", 6)

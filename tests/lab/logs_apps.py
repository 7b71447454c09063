"""Faults that the logs of applications tell: small programs in Python, Java, Node and Go that fail for real."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

from tests.lab import logs_past as past
from tests.lab import logs_real as real
from tests.lab.logs_file import HOUR, PAST, about, contained, log_fault, packed, put, stamp, usual
from tests.lab.logs_real import Written
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.upstream import refused

REFUSED = ("svc.not-running",)
NEW = ("logs.exception",)


def _told(lab: Lab, written: Written, holds: str, *, program: str, form: str = "", at_least: int = 1,
          **shown: tuple[str, ...]) -> Fault:  # fmt: skip
    """The log of a program that worked for hours and then wrote this."""
    log = put(lab, f"{program}.log", usual(program, form, until=written.began) + written.log)
    return about(lab, log, holds=holds, at_least=at_least, **shown)


@log_fault(*REFUSED, fast=True)
def logs_python_refused(lab: Lab) -> Setup:
    """A Python program, refused by what it depends on."""
    yield _told(lab, real.app("python", "refused"), "Connection refused", program="python", at_least=3)


@log_fault(*NEW, fast=True)
def logs_python_exception(lab: Lab) -> Setup:
    """A Python program with an exception that it never had."""
    written = real.app("python", "zero")
    yield _told(lab, written, "ZeroDivisionError", program="python", at_least=3, shown=("ZeroDivisionError", "price"))


@log_fault(*NEW)
def logs_python_exception_as_json(lab: Lab) -> Setup:
    """The same, in a log of JSON lines."""
    written = real.app("python", "zero", form="json")
    yield _told(lab, written, "ZeroDivisionError", program="python", form="json", at_least=3, shown=("price",))


@log_fault("change.env-missing")
def logs_python_variable_missing(lab: Lab) -> Setup:
    """A Python program that ends, because a variable is not set."""
    written = real.app("python", "environment")
    yield _told(lab, written, "KeyError: 'SHOP_DATABASE_URL'", program="python", shown=("SHOP_DATABASE_URL",))


@log_fault("host.disk-full", "host.inode-full")
def logs_python_disk_full(lab: Lab) -> Setup:
    """A Python program that cannot write: nothing is left on its disk."""
    yield _told(lab, real.app("python", "full"), "No space left on device", program="python", at_least=3)


@log_fault("host.memory-pressure", needs=("javac",))
def logs_java_memory(lab: Lab) -> Setup:
    """A Java program that ends, because its heap is full."""
    yield _told(lab, real.app("java", "memory"), "java.lang.OutOfMemoryError", program="java")


@log_fault(*NEW, needs=("javac",))
def logs_java_exception(lab: Lab) -> Setup:
    """A Java program with an exception out of another that it never had."""
    written = real.app("java", "caused", form="line")
    yield _told(lab, written, "Caused by:", program="java", form="line", at_least=3,
                shown=("NullPointerException", "Shop.java:30"))  # fmt: skip


@log_fault(*NEW, needs=("node",))
def logs_node_exception(lab: Lab) -> Setup:
    """A Node program that ends of an error which nobody caught."""
    yield _told(lab, real.app("node", "uncaught"), "TypeError", program="node", shown=("shop.js:30",))


@log_fault("svc.port-in-use", needs=("node",), fast=True)
def logs_node_port_taken(lab: Lab) -> Setup:
    """A Node program that ends, because its port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        written = real.app("node", "port", other.getsockname()[1])
    yield _told(lab, written, "EADDRINUSE", program="node")


@log_fault("api.app-exception", "logs.exception", needs=("go",))
def logs_go_panic(lab: Lab) -> Setup:
    """A Go program that panics: what it takes is nil."""
    yield _told(lab, real.app("go", "nil"), "panic: runtime error", program="go", shown=("shop.go:24",))


@log_fault("dns.nxdomain", needs=("go",))
def logs_go_nameless(lab: Lab) -> Setup:
    """A Go program, for which a name does not exist."""
    yield _told(lab, real.app("go", "nameless"), "no such host", program="go", at_least=3, shown=("backend.invalid",))


@log_fault("logs.error-burst", fast=True)
def logs_errors_tenfold(lab: Lab) -> Setup:
    """An error that was always there, every five minutes, comes every thirty seconds now."""
    now = time.time()
    failed = real.app("python", "zero").log
    rare = past.spread(failed, now - 5.5 * HOUR, now - HOUR, 54, only="failed")
    often = past.spread(failed, now - HOUR, now - 1, 120, only="failed")
    log = put(lab, "shop.log", usual("python"), rare, often)
    yield about(lab, log, holds="order 100", at_least=174)


@log_fault("logs.new-errors", fast=True)
def logs_rare_new_error(lab: Lab) -> Setup:
    """Four lines that were never written before, in five hours of 200,000 others."""
    now = time.time()
    work = usual("python", lines=200000)
    new = [f"{stamp(at)},250 ERROR [shop.stock] ledger 7 does not balance: 12 of 4711 rows differ\n"
           for at in (now - 1500, now - 1100, now - 600, now - 200)]  # fmt: skip
    log = put(lab, "shop.log", work, "".join(new))
    yield about(lab, log, holds="does not balance", at_least=4, shown=("ledger",))


@log_fault(*REFUSED)
def logs_fault_before_rotation(lab: Lab) -> Setup:
    """The fault stands in the packed sibling: the log was rotated ten minutes ago, and goes on failing."""
    now = time.time()
    failed = real.app("python", "refused").log
    old = past.merged(
        usual("python", until=now - 600),
        past.spread(failed, now - 2400, now - 600, 30, only="failed"),
    )
    new = past.merged(
        past.spread(failed, now - 595, now - 1, 10, only="failed"),
        past.spread(real.healthy("python").log, now - 600, now - 1, 100, only="order"),
    )
    log = put(lab, "shop.log", new)
    sibling = packed(Path(f"{log}.1.gz"), old)
    os.utime(sibling, (now - 600, now - 600))
    lab.prove("lines in the packed one", lambda: sibling.stat().st_size, at_least=1000)
    yield about(lab, log, holds="Connection refused", at_least=10)


@log_fault("logs.new-errors", "logs.exception")
def logs_release_with_new_errors(lab: Lab) -> Setup:
    """A release ten minutes ago: everything is said in other words, and one of ten orders fails with an error."""
    now = time.time()
    before = usual("python", until=now - 600)
    after = [f"{stamp(now - 600 + n)},001 INFO [shop.checkout] cart {n * 37 % 9001} priced in {n % 9}.4 ms, total ok\n"
             for n in range(599)]  # fmt: skip
    failing = [f"{stamp(now - 595 + n)},007 ERROR [shop.checkout] cart {n * 31 % 9001}: tax table has no row for DE\n"
               for n in range(0, 590, 10)]  # fmt: skip
    log = put(lab, "shop.log", before, "".join(after), "".join(failing))
    yield about(lab, log, holds="tax table", at_least=50, shown=("tax",))


@log_fault(*REFUSED)
def logs_of_another_zone(lab: Lab) -> Setup:
    """A program that writes the time of another zone without saying so: its last lines seem to be hours old."""
    written = real.app("python", "refused")
    log = put(lab, "shop.log", usual("python", until=written.began) + written.log)
    asked = about(lab, log, holds="Connection refused", at_least=3)
    yield replace(asked, before=("env", "TZ=Asia/Tokyo"))


@log_fault(*NEW)
def logs_of_a_container(lab: Lab) -> Setup:
    """Lines of a container as Docker keeps them, one object for each line of the program; traces among them."""
    now = time.time()
    failed = real.app("python", "zero").log
    lines = contained(usual("python", until=now - 60), now - PAST) + contained(
        "".join(record for record in past.records(failed) if "failed" in record), now - 55
    )
    log = put(lab, "4f1c-json.log", lines)
    yield about(lab, log, holds="ZeroDivisionError", at_least=3, shown=("ZeroDivisionError",))


@log_fault("host.memory-pressure", "api.upstream-refused", needs=("javac", "nginx"))
def logs_of_two_that_belong_together(lab: Lab) -> Setup:
    """An application that ended, because its heap was full, and the nginx before it, which it refuses since then."""
    died = real.app("java", "memory")
    refusing = real.nginx(real.proxy(refused()), *(f"/api/orders/{number}" for number in range(20)))
    app = put(lab, "java.log", usual("java", until=died.began) + died.log)
    proxy = put(lab, "nginx-error.log", usual("nginx", until=refusing.began) + refusing.log)
    yield about(lab, app, proxy, holds="Connection refused", at_least=20)

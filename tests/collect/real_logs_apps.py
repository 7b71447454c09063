"""Small programs in Python, Java, Node and Go, broken: what must be understood of what they write."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests.collect.real_logs import Row, Trace
from tests.lab import logs_real as real
from tests.lab.logs_real import Written

REFUSED = ("svc.not-running",)
TAKEN = ("svc.port-in-use",)
FULL = ("host.disk-full", "host.inode-full")
NAMELESS = ("dns.nxdomain",)


def _app(language: str, fault: str, form: str = "", *arguments: str) -> Callable[[], Written]:
    return lambda: real.app(language, fault, 0, form, *arguments)


def _silent(language: str, fault: str) -> Callable[[], Written]:
    """The same, with somebody at its port who takes the connection and says nothing."""

    def made() -> Written:
        with socket.create_server(("127.0.0.1", 0)) as other:
            return real.app(language, fault, other.getsockname()[1])

    return made


PYTHON = (
    Row("python", "a division by zero", _app("python", "zero"), trace=Trace("ZeroDivisionError", "division by zero",
        "in price", 3), new=("failed",), codes=("logs.exception",)),
    Row("python", "an exception out of another", _app("python", "chained"),
        trace=Trace("KeyError", "count", "in price", 3),
        codes=("logs.exception",)),
    Row("python", "the same, as JSON", _app("python", "chained", "json"),
        trace=Trace("KeyError", "count", "in price", 3),
        form="json", codes=("logs.exception",)),
    Row("python", "an exception that ends it", _app("python", "uncaught"),
        trace=Trace("ZeroDivisionError", "", "in price"),
        codes=("logs.exception",)),
    Row("python", "an exception in a thread", _app("python", "thread"), trace=Trace("KeyError", "cents", "in price")),
    Row("python", "an exception that nobody asked for", _app("python", "task"),
        trace=Trace("KeyError", "cents", "in price")),
    Row("python", "refused", _app("python", "refused"), {"peer-refused": 3},
        trace=Trace("ConnectionRefusedError", "111", "in fails", 3),
        codes=REFUSED),
    Row("python", "a name that does not exist", _app("python", "nameless"), {"name-unknown": 0},
        trace=Trace("gaierror", "-2", "in fails", 3), codes=NAMELESS),
    Row("python", "no answer in time", _silent("python", "slow"), maybe=("peer-slow",),
        trace=Trace("TimeoutError", "timed out", "in fails", 3), codes=("logs.exception", "timeout.dependency-slow")),
    Row("python", "too many files", _app("python", "files"), {"too-many-files": 3},
        trace=Trace("OSError", "24", "in fails", 3),
        codes=("host.fd-limit",)),
    Row("python", "a full disk", _app("python", "full"), {"disk-full": 3}, trace=Trace("OSError", "28", "in fails", 3),
        codes=FULL),
    Row("python", "no database", _app("python", "database"), {"db-connect-errno": 3}, maybe=("peer-refused",),
        trace=Trace("ConnectionRefusedError", "111", "in fails", 3)),
    Row("python", "a variable that is not set", _app("python", "environment"), {"app-variable-missing": 1},
        trace=Trace("KeyError", "SHOP_DATABASE_URL", "in serve"), codes=("change.env-missing",)),
    Row("python", "a module that is not there", _app("python", "import"), {"app-module-missing": 1},
        trace=Trace("ModuleNotFoundError", "nosuchmodule", "in serve"),
        codes=("change.dependency-version", "api.boot-failure")),
    Row("python", "its port is taken", _silent("python", "port"), {"address-taken": 1},
        trace=Trace("OSError", "98", "in serve"),
        codes=TAKEN),
    Row("python", "warnings and no more", _app("python", "warnings")),
)  # fmt: skip

JAVA = (
    Row("java", "a division by zero", _app("java", "zero"),
        trace=Trace("ArithmeticException", "/ by zero", "Shop.java:21", 3),
        new=("failed",), codes=("logs.exception",)),
    Row("java", "an exception out of another", _app("java", "caused"),
        trace=Trace("NullPointerException", "trim", "Shop.java:30", 3), codes=("logs.exception",)),
    Row("java", "the same, with one line a record", _app("java", "caused", "line"), form="line",
        trace=Trace("NullPointerException", "trim", "Shop.java:30", 3), codes=("logs.exception",)),
    Row("java", "an exception that ends it", _app("java", "uncaught"),
        trace=Trace("ArithmeticException", "/ by zero", "Shop.java:21"), codes=("logs.exception",)),
    Row("java", "an exception in a thread", _app("java", "thread"),
        trace=Trace("ArithmeticException", "", "Shop.java:21")),
    Row("java", "refused", _app("java", "refused"), {"peer-refused": 3},
        trace=Trace("ConnectException", "refused", "Shop.java:38", 3),
        codes=REFUSED),
    Row("java", "a name that does not exist", _app("java", "nameless"), {"name-unknown-java": 3},
        trace=Trace("UnknownHostException", "backend.invalid", "Shop.java:47", 3), codes=NAMELESS),
    Row("java", "no answer in time", _silent("java", "slow"), {"peer-slow": 3},
        trace=Trace("SocketTimeoutException", "Read timed out", "Shop.java:51", 3), codes=("timeout.dependency-slow",)),
    Row("java", "no memory left", _app("java", "memory"), {"app-out-of-memory": 1},
        trace=Trace("OutOfMemoryError", "heap", "Shop.java"),
        codes=("host.memory-pressure",)),
    Row("java", "calls without an end", _app("java", "stack"), trace=Trace("StackOverflowError", "", "Shop.java:93")),
    Row("java", "its port is taken", _silent("java", "port"), {"address-taken": 1},
        trace=Trace("BindException", "in use", "Shop.java:86"),
        codes=TAKEN),
)  # fmt: skip

NODE = (
    Row("node", "what is undefined", _app("node", "type"), trace=Trace("TypeError", "reduce", "shop.js:30", 3),
        new=("failed",),
        codes=("logs.exception",)),
    Row("node", "an error out of another", _app("node", "caused"), trace=Trace("TypeError", "reduce", "shop.js:30", 3)),
    Row("node", "the same, as JSON", _app("node", "caused", "json"), form="json",
        trace=Trace("OrderError", "incomplete", "shop.js", 3), codes=("logs.exception",)),
    Row("node", "an error that ends it", _app("node", "uncaught"), trace=Trace("TypeError", "reduce", "shop.js:30"),
        codes=("logs.exception",)),
    Row("node", "a promise that nobody keeps", _app("node", "rejected"),
        trace=Trace("OrderError", "rejected", "shop.js:67"),
        codes=("logs.exception",)),
    Row("node", "refused", _app("node", "refused"), {"peer-refused": 0}, trace=Trace("Error", "ECONNREFUSED", "", 3),
        codes=REFUSED),
    Row("node", "refused, and nobody listens to the error", _app("node", "emitted"), {"peer-refused": 0},
        trace=Trace("Error", "ECONNREFUSED"), codes=REFUSED),
    Row("node", "a name that does not exist", _app("node", "nameless"), {"name-unknown": 0},
        trace=Trace("Error", "ENOTFOUND", "", 3),
        codes=NAMELESS),
    Row("node", "a full disk", _app("node", "full"), {"disk-full": 0}, trace=Trace("Error", "ENOSPC", "shop.js", 3),
        codes=FULL),
    Row("node", "a file that is not there", _app("node", "absent"), trace=Trace("Error", "ENOENT", "shop.js", 3)),
    Row("node", "no memory left", _app("node", "memory", "", "--max-old-space-size=20"), {"app-out-of-memory": 0},
        codes=("host.memory-pressure",)),
    Row("node", "its port is taken", _silent("node", "port"), {"address-taken": 0}, trace=Trace("Error", "EADDRINUSE"),
        codes=TAKEN),
)  # fmt: skip

GO = (
    Row("go", "a panic", _app("go", "panic"), {"app-panic": 1},
        trace=Trace("panic", "order 1000 has no items", "shop.go:66"),
        codes=("api.app-exception",)),
    Row("go", "what is nil", _app("go", "nil"), {"app-panic": 1},
        trace=Trace("panic", "nil pointer", "shop.go:24"),
        codes=("api.app-exception",)),
    Row("go", "what is nil, behind a server", _app("go", "recovered"), {"app-panic": 3},
        trace=Trace("panic", "nil pointer", "shop.go:24", 3), codes=("api.app-exception",)),
    Row("go", "two that write one map", _app("go", "map"),
        trace=Trace("fatal error", "concurrent map writes", "shop.go")),
    Row("go", "refused", _app("go", "refused"), {"peer-refused": 3}, new=("failed",), codes=REFUSED),
    Row("go", "no answer in time", _silent("go", "slow"), {"peer-slow": 3}, codes=("timeout.dependency-slow",)),
    Row("go", "a name that does not exist", _app("go", "nameless"), {"name-unknown": 3}, codes=NAMELESS),
    Row("go", "a full disk", _app("go", "full"), {"disk-full": 3}, codes=FULL),
    Row("go", "its port is taken", _silent("go", "fatal"), {"address-taken": 1}, codes=TAKEN),
)  # fmt: skip

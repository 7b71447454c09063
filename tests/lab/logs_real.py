"""Logs that real programs wrote, healthy or broken on purpose: what they wrote, and when.

Each function starts the program, lets it work, breaks it where it is told to, ends it, and returns what it wrote.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pymysql

from tests.servers import mariadb as mariadb_servers
from tests.servers import web
from tests.servers.database import free_port
from tests.servers.mariadb import MariaDB
from tests.servers.upstream import Upstream
from tests.servers.web import Apache, Nginx, Web

APPS = Path(web.__file__).parent / "apps"
# One line for a record, as most Java programs have it configured; java.util.logging itself writes two.
ONE_LINE = "-Djava.util.logging.SimpleFormatter.format=%1$tF %1$tT,%1$tL %4$s [%3$s] %5$s%6$s%n"


@dataclass(frozen=True)
class Written:
    """What a program wrote between two times: its log, and of a web server its access log."""

    log: str
    began: float
    ended: float
    access: str = ""


def missing(program: str) -> str | None:
    """Why a program of these cannot be started here, or None."""
    if program in ("nginx", "apache", "mariadb"):
        return {"nginx": web.nginx_missing, "apache": web.apache_missing, "mariadb": mariadb_servers.missing}[program]()
    for needed, package in {"python": (), "java": (("javac", "default-jdk-headless"),), "node": (("node", "nodejs"),),
                            "go": (("go", "golang-go"),)}[program]:  # fmt: skip
        if shutil.which(needed) is None:
            return f"needs {needed} (apt install {package})"
    return None


# Web servers


def _web(server: Web, paths: tuple[str, ...], act: Callable[[Any], object] | None) -> Written:
    began = time.time()
    server.start()
    for path in paths:
        server.get(path)
    if act is not None:
        act(server)
    server.stop()
    return _of(server, began)


def _of(server: Web, began: float) -> Written:
    access = server.access_log.read_text(errors="replace") if server.access_log.is_file() else ""
    return Written(server.error_log.read_text(errors="replace"), began, time.time(), access)


def nginx(
    server: str = "",
    *paths: str,
    before: Callable[[Nginx], object] | None = None,
    act: Callable[[Nginx], object] | None = None,
    **options: Any,
) -> Written:
    """An nginx with these lines in its server block, asked for these paths, then broken by `act`."""
    with Nginx(server, **options) as made:
        if before is not None:
            before(made)
        return _web(made, paths, act)


def apache(
    lines: str = "",
    *paths: str,
    before: Callable[[Apache], object] | None = None,
    act: Callable[[Apache], object] | None = None,
    **options: Any,
) -> Written:
    """An Apache with these lines in its configuration, asked for these paths, then broken by `act`."""
    with Apache(lines, **options) as made:
        if before is not None:
            before(made)
        return _web(made, paths, act)


def no_start(kind: type[Web], lines: str = "", **options: Any) -> Written:
    """A web server whose start fails; what it wrote to standard error where it has no log yet."""
    began = time.time()
    with kind(lines, **options) as server:  # type: ignore[call-arg]
        failed = server.fails_to_start()
        text = server.error_log.read_text() if server.error_log.is_file() else failed.log
        return Written(text or failed.log, began, time.time())


def proxy(address: str, more: str = "") -> str:
    """Lines for nginx that pass everything on to this address."""
    return f"location / {{ proxy_pass http://{address}; {more} }}"


# MariaDB


def mariadb(act: Callable[[MariaDB], object], **options: Any) -> Written:
    """A MariaDB that is started, broken by `act`, and ended."""
    began = time.time()
    with MariaDB(log_warnings=4, **options) as server:
        server.start()
        act(server)
        server.stop()
        return Written(server.error_log.read_text(errors="replace"), began, time.time())


def mariadb_no_start(act: Callable[[MariaDB], object] | None = None, **options: Any) -> Written:
    """A MariaDB whose start fails, because of these options or of what `act` does to its files."""
    began = time.time()
    with MariaDB(**options) as server:
        server.prepare()
        if act is not None:
            act(server)
        server.fails_to_start()
        return Written(server.log(), began, time.time())


# Small programs


def app(language: str, fault: str = "", port: int = 0, form: str = "", *arguments: str) -> Written:
    """What the shop of this language writes to its standard streams, failing as it is told to.

    `port` is one that nobody listens at, where none is given; `form` the form of its log, `arguments` are the
    interpreter's.
    """
    began = time.time()
    argv = _command(language, form, arguments)
    environment = {**os.environ, "SHOP_FORM": form, "PYTHONDONTWRITEBYTECODE": "1"} if form else dict(os.environ)
    done = subprocess.run(
        [*argv, str(port or free_port()), fault], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=environment, timeout=60,
    )  # fmt: skip
    return Written(done.stdout.decode(errors="replace"), began, time.time())


def _command(language: str, form: str, arguments: tuple[str, ...]) -> list[str]:
    if language == "python":
        return [sys.executable, *arguments, str(APPS / "shop.py")]
    if language == "node":
        return ["node", *arguments, str(APPS / "shop.js")]
    if language == "java":
        line = [ONE_LINE] if form == "line" else []
        return ["java", "-Xmx32m", "-XX:TieredStopAtLevel=1", *line, *arguments, "-cp", str(_built("java")), "Shop"]
    return [str(_built("go") / "shop")]


@cache
def _built(language: str) -> Path:
    """The folder with the compiled shop; removed when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix=f"rbdiag-shop-{language}-"))
    atexit.register(shutil.rmtree, folder, True)
    if language == "java":
        argv, environment = ["javac", "-d", str(folder), str(APPS / "Shop.java")], dict(os.environ)
    else:
        argv = ["go", "build", "-o", str(folder / "shop"), str(APPS / "shop.go")]
        # a cache that stays warm where there is one
        environment = {"GOCACHE": str(folder / "cache"), **os.environ, "GO111MODULE": "off"}
    subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=110)
    return folder


# Healthy runs, each made once


@cache
def healthy(program: str, form: str = "") -> Written:
    """A normal start, run and stop."""
    makers: Mapping[str, Callable[[], Written]] = {
        "nginx": _healthy_nginx, "apache": _healthy_apache, "mariadb": _healthy_mariadb,
    }  # fmt: skip
    return makers[program]() if program in makers else app(program, form=form)


def _asked(server: Web) -> None:
    for number in range(30):
        server.get("/")
        server.get(f"/api/items/{number}", headers={"User-Agent": "shop/1.4", "Referer": "http://shop.test/"})
    server.reload()
    server.wait_for("worker process" if isinstance(server, Nginx) else "AH00493")
    for number in range(5):
        server.get(f"/api/items/{number}")


def _healthy_nginx() -> Written:
    with Upstream() as upstream:
        return nginx(f"location /api {{ proxy_pass http://{upstream.address}; }}", act=_asked)


def _healthy_apache() -> Written:
    with Upstream() as upstream:
        return apache(f"ProxyPass /api http://{upstream.address}/api", act=_asked)


def _healthy_mariadb() -> Written:
    def work(server: MariaDB) -> None:
        server.sql("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, state VARCHAR(100))")
        for number in range(20):
            server.sql(f"INSERT INTO shop.orders VALUES ({number}, 'new')", "SELECT COUNT(*) FROM shop.orders")
        server.restart()
        server.sql("SELECT 1")

    return mariadb(work)


# Ways to break them


def many_connections(server: Web, count: int = 12) -> None:
    """Hold so many connections at once, each in the middle of its request."""
    held = []
    for _ in range(count):
        held.append(socket.create_connection(("127.0.0.1", server.port)))
        held[-1].send(b"GET / HTTP/1.1\r\n")
        time.sleep(0.02)
    for end in held:
        end.close()


def refused_login(server: MariaDB) -> None:
    """Log in with a wrong password."""
    with suppress(pymysql.err.Error):
        server.connect(host="127.0.0.1", user="shop", password="mistyped")


def kill_worker(by: int = signal.SIGSEGV) -> Callable[[Web], None]:
    """End a worker of a web server by a signal."""

    def kill(server: Web) -> None:
        os.kill(server.workers()[0], by)
        server.wait_for("exited on signal" if isinstance(server, Nginx) else "exit signal")

    return kill

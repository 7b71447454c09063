"""Faults that the logs of web servers tell: nginx and Apache, broken for real after hours of work."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable

from tests.lab import logs_past as past
from tests.lab import logs_real as real
from tests.lab.logs_file import HOUR, about, log_fault, put, usual
from tests.lab.logs_real import Written
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.database import short_folder
from tests.servers.upstream import Deaf, Upstream, refused
from tests.servers.web import Nginx

NEEDS = ("nginx",)
# So many clients ask.
ASKED = tuple(f"/api/orders/{number}" for number in range(20))


def _told(lab: Lab, written: Written, holds: str, at_least: int = 3, **shown: tuple[str, ...]) -> Fault:
    """The error log of an nginx that served for hours, and then wrote this."""
    log = put(lab, "nginx-error.log", usual("nginx", until=written.began) + written.log)
    return about(lab, log, holds=holds, at_least=at_least, **shown)


@log_fault("api.upstream-refused", "api.no-live-upstreams", needs=NEEDS, fast=True)
def logs_nginx_refused(lab: Lab) -> Setup:
    """nginx, whose upstream has gone: every request is refused."""
    address = refused()
    written = real.nginx(real.proxy(address), *ASKED)
    yield _told(lab, written, "111: Connection refused", 20, shown=(address,))


@log_fault("api.upstream-timeout", "timeout.dependency-slow", needs=NEEDS)
def logs_nginx_slow_upstream(lab: Lab) -> Setup:
    """nginx, whose upstream takes longer to answer than it waits."""
    with Upstream() as upstream:
        written = real.nginx(real.proxy(upstream.address, "proxy_read_timeout 200ms;"), *["/api/slow"] * 6)
    yield _told(lab, written, "upstream timed out (110", 6)


@log_fault("net.drop", "timeout.accept-queue-full", needs=NEEDS)
def logs_nginx_silent_upstream(lab: Lab) -> Setup:
    """nginx, whose upstream takes no more connections: a connect runs into its time limit."""
    with Deaf() as deaf:
        written = real.nginx(real.proxy(deaf.address, "proxy_connect_timeout 200ms;"), *ASKED[:6])
    yield _told(lab, written, "while connecting to upstream", 6)


@log_fault("api.upstream-reset", "api.keepalive-race", needs=NEEDS)
def logs_nginx_dying_upstream(lab: Lab) -> Setup:
    """nginx, whose upstream dies over each request."""
    with Upstream() as upstream:
        written = real.nginx(real.proxy(upstream.address), *["/reset", "/close"] * 10)
    yield _told(lab, written, "while reading response header from upstream", 20)


@log_fault("api.no-live-upstreams", "api.upstream-refused", needs=NEEDS)
def logs_nginx_no_upstream_left(lab: Lab) -> Setup:
    """nginx, whose two upstreams are both gone."""
    servers = " ".join(f"server {refused()} max_fails=1;" for _ in range(2))
    pool = f"upstream shop {{ {servers} }}"
    written = real.nginx("location / { proxy_pass http://shop; }", *ASKED, http=pool)
    yield _told(lab, written, "no live upstreams", 10)


@log_fault("api.static-permission", needs=("root", *NEEDS))
def logs_nginx_socket_forbidden(lab: Lab) -> Setup:
    """nginx, which may not open the socket of its upstream."""
    folder = short_folder("unix")
    lab.defer(shutil.rmtree, folder)
    with Upstream(folder / "app.sock") as upstream:
        (folder / "app.sock").chmod(0o600)
        written = real.nginx(real.proxy(upstream.address), *ASKED)
    yield _told(lab, written, "13: Permission denied", 20, shown=(str(folder / "app.sock"),))


@log_fault("api.proxy-misconfigured", needs=NEEDS, fast=True)
def logs_nginx_bad_reload(lab: Lab) -> Setup:
    """nginx, told to reload a configuration with a word that it does not know; it goes on with the old one."""

    def reload(server: Nginx) -> None:
        server.server = "proxy_foo on;"
        server.reload()
        server.get("/")

    yield _told(lab, real.nginx("", "/", act=reload), 'unknown directive "proxy_foo"', 1, shown=("proxy_foo",))


@log_fault("svc.port-in-use", needs=NEEDS)
def logs_nginx_port_taken(lab: Lab) -> Setup:
    """nginx, which cannot be started again: another program has its port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        written = real.no_start(Nginx, port=port)
    yield _told(lab, written, "98: Address already in use", 5, shown=(str(port),))


@log_fault("timeout.worker-starvation", needs=NEEDS)
def logs_nginx_connections_taken(lab: Lab) -> Setup:
    """nginx with too few connections for its clients."""
    written = real.nginx("", act=lambda server: real.many_connections(server, 24), connections=8)
    yield _told(lab, written, "worker_connections are not enough", 10)


@log_fault("logs.error-burst", needs=NEEDS, fast=True)
def logs_access_failing(lab: Lab) -> Setup:
    """An access log alone: for ten minutes one in four requests of one path is answered with 502."""
    now = time.time()
    failed = real.nginx(real.proxy(refused()), *ASKED[:10]).access
    work = usual("nginx", which="access", until=now, lines=6000)
    log = put(lab, "access.log", work, past.spread(failed, now - 600, now - 1, 120))
    yield about(lab, log, holds='" 502 ', at_least=120, shown=("/api/orders/*",))


@log_fault("logs.error-burst", needs=NEEDS)
def logs_access_slow(lab: Lab) -> Setup:
    """An access log alone: what took milliseconds takes a second now."""
    now = time.time()
    with Upstream(slow=0.8) as upstream:
        slow = real.nginx(real.proxy(upstream.address), *["/api/orders/slow"] * 3).access
    work = usual("nginx", which="access", until=now - HOUR, lines=6000)
    log = put(lab, "access.log", work + past.spread(slow, now - HOUR, now - 1, 1200))
    yield about(lab, log, holds=" 0.8", at_least=1000)


def _apache(
    lab: Lab, lines: str, holds: str, at_least: int, *paths: str, act: Callable[..., None] | None = None
) -> Fault:
    written = real.apache(lines, *paths, act=act)
    log = put(lab, "apache-error.log", usual("apache", until=written.began) + written.log)
    return about(lab, log, holds=holds, at_least=at_least)


@log_fault("logs.new-errors", "svc.not-running", "api.upstream-refused", needs=("apache2",), fast=True)
def logs_apache_refused(lab: Lab) -> Setup:
    """Apache, whose upstream has gone."""
    yield _apache(lab, f"ProxyPass / http://{refused()}/", "AH00957", 10, *ASKED)


@log_fault("logs.new-errors", "api.upstream-reset", needs=("apache2",))
def logs_apache_dying_upstream(lab: Lab) -> Setup:
    """Apache, whose upstream dies over each request."""
    with Upstream() as upstream:
        yield _apache(lab, f"ProxyPass / http://{upstream.address}/", "AH01102", 10, *["/close"] * 10)


@log_fault("logs.new-errors", "api.upstream-reset", needs=("apache2",))
def logs_apache_children_crash(lab: Lab) -> Setup:
    """Apache, whose children die of a segmentation fault."""

    def crash(server: object) -> None:
        for _ in range(3):
            real.kill_worker()(server)  # type: ignore[arg-type]
            time.sleep(1.1)

    yield _apache(lab, "", "exit signal Segmentation fault", 2, "/", act=crash)

"""nginx and Apache, broken: what must be understood of their logs."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from typing import Any

from tests.collect.real_logs import Row
from tests.lab import logs_real as real
from tests.lab.logs_real import Written
from tests.servers.database import short_folder
from tests.servers.upstream import Deaf, Upstream, refused
from tests.servers.web import Apache, Nginx, Web


def _behind(path: str, more: str = "", **options: Any) -> Callable[[], Written]:
    """An nginx before an upstream that does what this path says."""

    def made() -> Written:
        with Upstream() as upstream:
            return real.nginx(real.proxy(upstream.address, more), path, **options)

    return made


def _deaf() -> Written:
    with Deaf() as deaf:
        return real.nginx(real.proxy(deaf.address, "proxy_connect_timeout 300ms;"), "/orders/7")


def _pages(server: Web) -> None:
    (server.pages / "empty").mkdir()
    (server.pages / "secret.html").write_text("secret")
    (server.pages / "secret.html").chmod(0)


def _socket(mode: int | None, *, alive: bool = True) -> Callable[[], Written]:
    """An nginx before a socket with this mode, or one that is not there; `alive` says whether anybody listens."""

    def made() -> Written:
        folder = short_folder("unix")
        try:
            with Upstream(folder / "app.sock") as upstream:
                if mode is not None:
                    (folder / "app.sock").chmod(mode)
                if alive:
                    return real.nginx(real.proxy(upstream.address), "/orders/7")
            if mode is None:
                (folder / "app.sock").unlink()
            return real.nginx(real.proxy(upstream.address), "/orders/7")
        finally:
            shutil.rmtree(folder)

    return made


def _two_dead() -> Written:
    servers = " ".join(f"server {refused()} max_fails=1 fail_timeout=30s;" for _ in range(2))
    return real.nginx("location / { proxy_pass http://shop; }", "/a", "/b", http=f"upstream shop {{ {servers} }}")


def _posted(server: Web) -> None:
    server.get("/", method="POST", body=b"x" * 5000)


def _impatient(server: Web) -> None:
    server.get("/slow", timeout=0.2)
    time.sleep(0.2)


def _taken(kind: type[Web]) -> Callable[[], Written]:
    def made() -> Written:
        with socket.create_server(("127.0.0.1", 0)) as other:
            return real.no_start(kind, port=other.getsockname()[1])

    return made


LIMITED = "limit_req_zone $binary_remote_addr zone=api:1m rate=1r/s;"
RESOLVED = "location / { set $to shop-backend.invalid; proxy_pass http://$to:80; }"

NGINX = (
    Row("nginx", "nobody listens upstream", lambda: real.nginx(real.proxy(refused()), "/orders/7", "/orders/8"),
        {"proxy-upstream-refused": 2}, codes=("api.upstream-refused",)),
    Row("nginx", "the upstream's queue is full", _deaf, {"proxy-connect-timeout": 1}),
    Row("nginx", "the upstream is slow", _behind("/slow", "proxy_read_timeout 300ms;"), {"proxy-upstream-timeout": 1},
        codes=("api.upstream-timeout",)),
    Row("nginx", "the upstream resets", _behind("/reset"), {"proxy-upstream-reset": 1}, codes=("api.upstream-reset",)),
    Row("nginx", "the upstream closes", _behind("/close"), {"proxy-upstream-closed": 1},
        codes=("api.upstream-reset", "api.keepalive-race")),
    Row("nginx", "the upstream closes half way", _behind("/half"), {"proxy-upstream-closed": 1}),
    Row("nginx", "a header is too big", _behind("/big"), {"proxy-header-too-big": 1}, codes=("api.size-limit",)),
    Row("nginx", "the upstream speaks no HTTP", _behind("/garbage"), {"proxy-not-http": 1}),
    Row("nginx", "two dead upstreams", _two_dead, {"proxy-upstream-refused": 2, "proxy-no-live-upstreams": 1}),
    Row("nginx", "the socket forbids", _socket(0o600), {"proxy-socket-failed": 1},
        codes=("api.static-permission",), needs="root"),
    Row("nginx", "nobody at the socket", _socket(0o666, alive=False), {"proxy-socket-failed": 1}),
    Row("nginx", "no socket", _socket(None, alive=False), {"proxy-socket-failed": 1}),
    Row("nginx", "files that are not there", lambda: real.nginx("", "/nothing.html", "/favicon.ico"),
        {"proxy-file-missing": 2}),
    Row("nginx", "files that may not be read",
        lambda: real.nginx("location /no { deny all; }", "/empty/", "/no", "/secret.html", before=_pages),
        {"proxy-file-forbidden": 1, "proxy-forbidden": 2}),
    Row("nginx", "requests are limited", _behind("/a", "limit_req zone=api;", http=LIMITED, act=lambda n: n.get("/b")),
        {"proxy-limited": 1}, codes=("api.rate-limited",)),
    Row("nginx", "a body is too large", lambda: real.nginx("client_max_body_size 1k;", act=_posted),
        {"proxy-body-too-large": 1}),
    Row("nginx", "too few connections", lambda: real.nginx("", act=real.many_connections, connections=8),
        {"proxy-connections-full": 6}),
    Row("nginx", "too few files",
        lambda: real.nginx("", act=real.many_connections, limits=("prlimit", "--nofile=12")),
        {"proxy-too-many-files": 1},
        codes=("host.fd-limit",)),
    Row("nginx", "pages that lead in a circle",
        lambda: real.nginx("location / { try_files $uri /b.html; } error_page 404 /b.html;", "/x"),
        {"proxy-redirect-loop": 1}),
    Row("nginx", "no resolver", lambda: real.nginx(RESOLVED, "/x"), {"proxy-no-resolver": 1},
        codes=("api.proxy-misconfigured",)),
    Row("nginx", "a dead resolver",
        lambda: real.nginx(f"resolver {refused()}; resolver_timeout 500ms; {RESOLVED}", "/x"),
        {"proxy-resolve-failed": 1}, maybe=("peer-refused",)),
    Row("nginx", "a worker crashes", lambda: real.nginx("", act=real.kill_worker()),
        {"worker-process-crashed": 1}, new=("exited on signal 11",)),
    Row("nginx", "clients give up", _behind("/", act=_impatient), {"proxy-client-gave-up": 1}, which="access"),
    Row("nginx", "an unknown directive", lambda: real.no_start(Nginx, "proxy_foo on;"), {"proxy-config-invalid": 1},
        codes=("api.proxy-misconfigured",)),
    Row("nginx", "a missing semicolon", lambda: real.no_start(Nginx, "root /srv/shop"), {"proxy-config-invalid": 1}),
    Row("nginx", "an upstream without an address",
        lambda: real.no_start(Nginx, "location / { proxy_pass http://shop-backend.invalid; }"),
        {"proxy-upstream-nameless": 1}),
    Row("nginx", "no certificate",
        lambda: real.no_start(Nginx, "listen 127.0.0.1:1 ssl; ssl_certificate /srv/a.pem; ssl_certificate_key /srv/a;"),
        {"proxy-certificate-unusable": 1}, codes=("tls.client-cert-or-key",)),
    Row("nginx", "the port is taken", _taken(Nginx), {"proxy-bind-failed": 5}, codes=("svc.port-in-use",)),
)  # fmt: skip


def _proxied(path: str, more: str = "") -> Callable[[], Written]:
    def made() -> Written:
        with Upstream(slow=3) as upstream:
            return real.apache(f"ProxyPass / http://{upstream.address}/ {more}", path)

    return made


NO_RIGHT = "<Location /no>\nRequire all denied\n</Location>"

APACHE = (
    Row("apache", "nobody listens upstream", lambda: real.apache(f"ProxyPass / http://{refused()}/", "/a"),
        {"peer-refused": 1}, new=("AH01114",)),
    Row("apache", "the upstream is slow", _proxied("/slow", "timeout=1"), {"apache-upstream-timeout": 1},
        new=("AH01102", "AH00898")),
    Row("apache", "the upstream resets", _proxied("/reset"), {"apache-upstream-closed": 1},
        new=("AH01102", "AH00898")),
    Row("apache", "the upstream closes", _proxied("/close"), {"apache-upstream-closed": 1},
        new=("AH01102", "AH00898")),
    Row("apache", "the upstream closes half way", _proxied("/half"), new=("AH01110",)),
    # It calls a header that is too big a full disk, (28)No space left on device, and none is full.
    Row("apache", "a header is too big", _proxied("/big")),
    Row("apache", "files that may not be read", lambda: real.apache(NO_RIGHT, "/secret.html", "/no", before=_pages),
        new=("AH00132", "AH01630")),
    Row("apache", "a child crashes", lambda: real.apache("", act=real.kill_worker()), {"worker-process-crashed": 1}),
    Row("apache", "the port is taken", _taken(Apache), {"address-taken": 1}, timeless=True),
)  # fmt: skip

"""Real web servers of one's own, nginx and Apache; see `tests.servers.upstream` for what stands behind them.

with Upstream() as upstream, Nginx(f"location / {{ proxy_pass http://{upstream.address}; }}") as nginx:
    nginx.start()
    nginx.get("/slow")
    print(nginx.error_log.read_text())

What they write is in a short folder of theirs, which is gone afterwards; each is ended by its own number.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.database import PR_SET_PDEATHSIG, DidNotStart, Failed, free_port, short_folder

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NGINX = shutil.which("nginx", path=_PATH)
APACHE = shutil.which("apache2", path=_PATH) or shutil.which("httpd", path=_PATH)
APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
_libc = ctypes.CDLL(None, use_errno=True)

# A request's time, in seconds, at the end of the line: what most people add to nginx's own format.
TIMED = (
    """'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent """
    """"$http_referer" "$http_user_agent" $request_time $upstream_response_time'"""
)


def dies_with_us() -> None:
    """For `preexec_fn`: a program of ours is killed with the tests, even if those are killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(frozen=True)
class Reply:
    """What came back for one request: `status` is 0 where nothing, or no HTTP, came."""

    status: int
    body: bytes = b""
    error: str = ""


class Web(ABC):
    """A web server that a test owns: `folder` holds its configuration, its pages in `pages`, and its logs."""

    program = ""

    def __init__(self, *, port: int | None = None, limits: Sequence[str] = ()) -> None:
        """`limits` stand before the program, as `("prlimit", "--nofile=20")`."""
        self.folder = short_folder("web")
        self.port = port or free_port()
        self.limits = tuple(limits)
        self.pages = self.folder / "pages"
        self.pages.mkdir()
        (self.pages / "index.html").write_text("<h1>Welcome</h1>\n")
        self.error_log = self.folder / "error.log"
        self.access_log = self.folder / "access.log"
        self.config = self.folder / "web.conf"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self.config.write_text(self.configuration())
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*self.limits, *self.command()], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stderr,
                stderr=stderr, start_new_session=True, preexec_fn=dies_with_us,  # noqa: PLW1509 - before any thread
            )  # fmt: skip

    def start(self, timeout: float = 20) -> Self:
        """Start it, and wait until it listens."""
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{self.program} did not come up: {self.said()[-1000:]}")
            time.sleep(0.02)

    def fails_to_start(self, timeout: float = 20) -> Failed:
        """Start it, and return how that failed."""
        self.launch()
        assert self.process is not None
        return Failed(self.process.wait(timeout), self.said())

    def stop(self, timeout: float = 10) -> None:
        """End it in an orderly way; with all its children where that does not help."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout)

    def reload(self) -> None:
        """Have it read its configuration again, as an operator does."""
        self.config.write_text(self.configuration())
        subprocess.run(self.reloading(), cwd=self.folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)

    def workers(self, within: float = 10) -> list[int]:
        """The numbers of its child processes, once there are any."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + within
        while not (found := [int(word) for word in children.read_text().split()]):
            assert time.monotonic() < deadline, f"{self.program} has no children"
            time.sleep(0.02)
        return found

    def said(self) -> str:
        """Everything it wrote but the access log."""
        return "".join(
            path.read_text(errors="replace") for path in (self.folder / "stderr", self.error_log) if path.is_file()
        )

    def get(self, path: str = "/", method: str = "GET", timeout: float = 10, **options: Any) -> Reply:
        """One request; what went wrong with it is in the reply."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, **options)
            answer = connection.getresponse()
            return Reply(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            return Reply(0, error=repr(error))
        finally:
            connection.close()

    def wait_for(self, text: str, within: float = 10) -> None:
        """Until its error log holds this text; AssertionError if it does not in time."""
        deadline = time.monotonic() + within
        while text not in self.said():
            assert time.monotonic() < deadline, f"{self.program} never wrote {text!r}: {self.said()[-1500:]}"
            time.sleep(0.02)

    @abstractmethod
    def configuration(self) -> str:
        """The text of its configuration file."""

    @abstractmethod
    def command(self) -> list[str]:
        """How to start it in the foreground."""

    @abstractmethod
    def reloading(self) -> list[str]:
        """How to tell it that the configuration changed."""


def nginx_missing() -> str | None:
    return None if NGINX else "needs nginx (apt install nginx-light)"


class Nginx(Web):
    """An nginx: `server` are lines of its server block, `http` and `main` of the blocks around it."""

    program = "nginx"

    def __init__(
        self, server: str = "", *, http: str = "", main: str = "", connections: int = 64, level: str = "notice",
        timed: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.server, self.http, self.main, self.connections = server, http, main, connections
        self.level, self.timed = level, timed

    def configuration(self) -> str:
        user = f"user {worker_user()};\n" if os.geteuid() == 0 else ""
        log = f"log_format timed {TIMED};\naccess_log {self.access_log} timed;" if self.timed else (
            f"access_log {self.access_log};")  # fmt: skip
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
        return f"""{user}daemon off;
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log {self.error_log} {self.level};
{self.main}
events {{ worker_connections {self.connections}; }}
http {{
{log}
{temporary}
{self.http}
server {{
listen 127.0.0.1:{self.port};
root {self.pages};
{self.server}
}}
}}
"""

    def command(self) -> list[str]:
        assert NGINX is not None, nginx_missing()
        return [NGINX, "-e", str(self.error_log), "-p", str(self.folder), "-c", str(self.config)]

    def reloading(self) -> list[str]:
        return [*self.command(), "-s", "reload"]


def apache_missing() -> str | None:
    return None if APACHE else "needs apache2 (apt install apache2-bin)"


class Apache(Web):
    """An Apache with mod_proxy: `lines` are lines of its configuration, `modules` are loaded beside the usual ones."""

    program = "apache2"
    usual = ("mpm_event", "authz_core", "dir", "proxy", "proxy_http", "reqtimeout")

    def __init__(self, lines: str = "", *, modules: Sequence[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self.lines, self.modules = lines, (*self.usual, *modules)

    def configuration(self) -> str:
        where = next(folder for folder in APACHE_MODULES if Path(folder).is_dir())
        modules = "\n".join(
            f"LoadModule {name}_module {where}/mod_{name}.so"
            for name in self.modules
            if Path(where, f"mod_{name}.so").exists()
        )
        user = f"User {worker_user()}\nGroup {worker_user()}\n" if os.geteuid() == 0 else ""
        return f"""{modules}
{user}ServerRoot {self.folder}
DefaultRuntimeDir {self.folder}
PidFile {self.folder}/apache.pid
ServerName shop.test
Listen 127.0.0.1:{self.port}
DocumentRoot {self.pages}
DirectoryIndex index.html
ErrorLog {self.error_log}
LogLevel info
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {self.access_log} combined
StartServers 1
ServerLimit 1
ThreadsPerChild 8
ThreadLimit 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
{self.lines}
"""

    def command(self) -> list[str]:
        assert APACHE is not None, apache_missing()
        return [APACHE, "-D", "FOREGROUND", "-f", str(self.config)]

    def reloading(self) -> list[str]:
        assert APACHE is not None, apache_missing()
        return [APACHE, "-k", "graceful", "-f", str(self.config)]


def worker_user() -> str:
    """Whose rights the servers' workers have where we are root: somebody who may not read everything."""
    for name in ("www-data", "apache", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return "root"

"""A private database server: its files in one short folder, its port from the kernel, ended by its own number.

What MariaDB and MySQL have in common. A server is a context manager; everything that it made is gone afterwards, also
when the test failed, when the server was stopped by a signal, or when it never came up.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
from pymysql.connections import Connection

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

# Names of options that cannot be Python's: both are written the way the servers do.
Option = str | int | float | bool | None


class DidNotStart(Exception):
    """The server ended, or said nothing, before it was ready; the text is the end of its log."""


@dataclass(frozen=True)
class Failed:
    """A start that failed, as it had to: the exit status (negative for a signal) and what the server wrote."""

    status: int
    log: str


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this address, chosen by the kernel."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def short_folder(kind: str = "db") -> Path:
    """A new folder that everybody may enter, with a path short enough for a socket (107 bytes).

    It is on /tmp whatever TMPDIR says; the caller removes it.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"rb{kind}-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


class Database(ABC):
    """A server that a test owns. `folder` holds all its files and is removed at the end if it was made here.

    Options become lines of the option file: `max_connections=10` is `max-connections=10`, True an option without a
    value, None takes a default of ours away. `lines` are written below them as they are. `namespace` is a network
    namespace to start in, `prefix` a program that starts the server (`("prlimit", "--nofile=60")`), `group` a cgroup
    that it is in from its first instruction on.
    """

    program = ""  # for people
    section = "mysqld"
    defaults: dict[str, Option] = {}  # noqa: RUF012 - a constant of each kind of server

    def __init__(
        self,
        folder: Path | None = None,
        *,
        lines: Sequence[str] = (),
        namespace: str = "",
        prefix: Sequence[str] = (),
        group: Path | None = None,
        bind: str | None = "127.0.0.1",
        port: int | None = None,
        **options: Option,
    ) -> None:
        self._made = folder is None
        self.folder = folder or short_folder()
        self.folder.mkdir(exist_ok=True)
        self.namespace, self.prefix, self.group = namespace, tuple(prefix), group
        self.lines = list(lines)
        self.port = port or free_port()
        self.datadir = self.folder / "data"
        self.socket = self.folder / "s.sock"
        self.pid_file = self.folder / "pid"
        self.error_log = self.folder / "error.log"
        self.defaults_file = self.folder / "my.cnf"
        self.stderr = self.folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.options: dict[str, Option] = {
            "datadir": str(self.datadir),
            "socket": str(self.socket),
            "port": self.port,
            "bind-address": bind,
            "pid-file": str(self.pid_file),
            "log-error": str(self.error_log),
            "tmpdir": str(self.folder),  # servers of one number, in two pid namespaces, would share files in /tmp
            **self.defaults,
        }
        if os.geteuid() == 0:
            self.options["user"] = "root"  # in the file: the first "user" wins
        self._set(options)

    # Life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and remove its files."""
        self.stop()
        shutil.rmtree(self.folder if self._made else self.datadir, ignore_errors=True)

    def start(self, *arguments: str, timeout: float = 60, **options: Option) -> Self:
        """Start with these options as well, and wait until it is ready. `arguments` go to the command line."""
        self.launch(*arguments, **options)
        try:
            self.wait_ready(timeout)
        except DidNotStart:
            self.stop()
            raise
        return self

    def launch(self, *arguments: str, **options: Option) -> None:
        """Start, and wait for nothing."""
        if self.alive:
            raise RuntimeError(f"{self.program} runs already")
        self._set(options)
        self.prepare()
        self.write_defaults()
        self._begin = {path: _size(path) for path in (self.error_log, self.stderr)}
        into = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        with self.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*into, *self.prefix, *self.command(), f"--defaults-file={self.defaults_file}", *arguments],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd=self.folder, start_new_session=True,
                preexec_fn=self._before_exec,  # noqa: PLW1509 - tests have one thread when they start a server
            )  # fmt: skip

    def fails_to_start(self, *arguments: str, timeout: float = 60, **options: Option) -> Failed:
        """Start with these options, and return how that failed; DidNotStart is for a server that came up."""
        self.launch(*arguments, **options)
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if "ready for connections" in self.new_log() or time.monotonic() > deadline:
                log = self.new_log()
                self.stop()
                raise DidNotStart(f"{self.program} should not have come up: {log[-500:]}")
            time.sleep(0.02)
        return Failed(self.process.returncode, self.new_log())

    def wait_ready(self, timeout: float = 60) -> None:
        """Until the server says, in what it wrote since its start, that it is ready."""
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while "ready for connections" not in self.new_log():
            if self.process.poll() is not None:
                raise DidNotStart(f"{self.program} ended with {self.process.returncode}: {self.new_log()[-1500:]}")
            if time.monotonic() > deadline:
                raise DidNotStart(f"{self.program} is not ready after {timeout:g} s: {self.new_log()[-1500:]}")
            time.sleep(0.02)

    def stop(self, timeout: float = 20) -> None:
        """End it in an orderly way; with SIGKILL where that does not help. Nothing if it does not run."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)  # a stopped process hears no TERM
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout)

    def restart(self, **options: Option) -> Self:
        self.stop()
        return self.start(**options)

    def kill(self, by: int = signal.SIGKILL) -> None:
        """Send the server a signal; wait for its end where it must end from it."""
        assert self.process is not None
        self.process.send_signal(by)
        if by in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            self.process.wait(20)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.program} was never started"
        return self.process.pid

    def log(self) -> str:
        """Everything it ever wrote."""
        return "".join(path.read_text(errors="replace") for path in (self.error_log, self.stderr) if path.is_file())

    def new_log(self) -> str:
        """What it wrote since its last start."""
        return "".join(
            path.read_bytes()[begin:].decode(errors="replace")
            for path, begin in self._begin.items()
            if path.is_file() and begin < _size(path)
        )

    # As a client

    def connect(self, **options: Any) -> Connection[Any]:
        """A connection: as root through the socket, unless a host, a port or a user is given."""
        if not {"host", "port", "unix_socket"} & options.keys():
            options = {"unix_socket": str(self.socket), "ssl_disabled": True, **options}
        elif "unix_socket" not in options:
            options = {"host": "127.0.0.1", "port": self.port, **options}
        return pymysql.connect(
            **{"user": "root", "autocommit": True, "connect_timeout": 10, "read_timeout": 30, **options}
        )

    def sql(self, *statements: str, user: str = "root", password: str = "", database: str | None = None) -> list[Any]:
        """Run statements over one connection of its own, and return the rows of the last one."""
        rows: list[Any] = []
        with self.connect(user=user, password=password, database=database) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    rows = list(cursor.fetchall())
        return rows

    def account(self, name: str, password: str = "", *, host: str = "%", grant: str = "ALL ON *.*") -> None:
        """An account; of somebody who may do everything, if nothing else is said."""
        self.sql(f"CREATE USER '{name}'@'{host}' IDENTIFIED BY '{password}'", f"GRANT {grant} TO '{name}'@'{host}'")

    def variable(self, name: str) -> str:
        """The running value of a global variable."""
        return str(self.sql(f"SHOW GLOBAL VARIABLES LIKE '{name}'")[0][1])

    def status(self, name: str) -> int:
        """A counter or gauge of the server."""
        return int(self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])

    # What each kind of server knows

    @abstractmethod
    def command(self) -> list[str]:
        """How to start the program, without its options."""

    @classmethod
    @abstractmethod
    def template(cls) -> Path:
        """A data directory as the server makes it, made once in a session."""

    def prepare(self) -> None:
        """A data directory, where there is none yet; it belongs to the user that the server will run as."""
        if self.datadir.exists():
            return
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.template()), str(self.datadir)], check=True)
        user = self.options.get("user")
        if os.geteuid() == 0 and user not in (None, "root"):
            subprocess.run(["chown", "-R", f"{user}:", str(self.folder)], check=True)

    def write_defaults(self) -> None:
        lines = [f"[{self.section}]", *_written(self.options), *self.lines, ""]
        self.defaults_file.write_text("\n".join(lines))
        self.defaults_file.chmod(0o644)  # the servers ignore a file that everybody may write

    def _set(self, options: dict[str, Option]) -> None:
        self.options |= {name.replace("_", "-"): value for name, value in options.items()}
        if options.get("port"):
            self.port = int(str(options["port"]))

    def _before_exec(self) -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # it dies with the tests even if those are killed
        if self.group is not None:
            (self.group / "cgroup.procs").write_text(str(os.getpid()))


def _written(options: dict[str, Option]) -> list[str]:
    return [name if value is True else f"{name}={value}" for name, value in options.items() if value not in (None,)]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def made_once(make: Sequence[str], folder: Path) -> None:
    """Run the program that makes a template; the template is removed when the tests end."""
    atexit.register(shutil.rmtree, folder, True)
    done = subprocess.run(make, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode:
        raise DidNotStart(f"{make[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")


def ends(connection: Connection[Any] | None) -> None:
    """Close a connection, whatever state it is in."""
    if connection is not None:
        with suppress(pymysql.err.Error, OSError):
            connection.close()

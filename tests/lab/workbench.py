"""The bench a scenario works at: it starts programs, makes cgroups and the like, and takes everything down again.

Whatever the bench makes it ends itself, last thing first, also after a failure or Ctrl-C: each program leads a
process group of its own, which is killed and waited for; each cgroup, swap file and network namespace is removed.
Nothing is ever ended by a name.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.lab import proc

SOURCES = Path(__file__).parent / "c"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class NotInEffect(Exception):
    """A fault was set up and its proof does not hold: nothing can be said about the program under test."""


@dataclass(frozen=True)
class Answer:
    """What one run of the program said."""

    stdout: str
    stderr: str
    status: int
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report; ValueError where standard output holds none."""
        report = json.loads(self.stdout)
        if not isinstance(report, dict):
            raise ValueError("the report is no object")
        return report


@dataclass(frozen=True)
class Proof:
    """A measurement and the bounds it has to keep for the fault to be in effect."""

    what: str
    measure: Callable[[], float]
    at_least: float | None
    at_most: float | None

    def holds(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def said(self, value: float) -> str:
        bounds = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return f"{self.what}: {value:.4g} ({', '.join(bounds)})"


def program() -> list[str]:
    """How to start the program under test: as installed beside this interpreter, else as a module."""
    installed = Path(sys.executable).parent / "rbdiag"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "rbdiag"]


class Lab:
    """One bench for one scenario; use it as a context manager."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._lasting: list[Proof] = []
        self.folder = Path()
        self.proofs: list[str] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Lab:
        # Orphans of a scenario come to the bench, which waits for them: not every PID 1 does.
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._undo.callback(_libc.prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        self.folder = Path(tempfile.mkdtemp(prefix="rbdiag-lab-"))
        self._undo.callback(shutil.rmtree, self.folder)
        # Scripts and databases may run as another user than the one who made the folder.
        self.folder.chmod(0o755)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def defer(self, undo: Callable[..., object], *args: object) -> None:
        """Call this at the end, before everything deferred earlier."""
        self._undo.callback(undo, *args)

    # Files and programs

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def script(self, name: str, source: str, interpreter: str = sys.executable) -> str:
        """An executable script; the process that runs it bears its name."""
        return str(self.write(name, f"#!{interpreter}\n{source}", 0o755))

    def compiled(self, source: str, name: str = "") -> str:
        """One of the lab's C programs, under another name if one is given."""
        path = self.folder / (name or source)
        self.run("gcc", "-O1", "-pthread", "-Wall", "-Werror", "-o", str(path), str(SOURCES / f"{source}.c"))
        return str(path)

    def run(self, *argv: str, timeout: float = 60) -> str:
        """Run a program that sets something up, and return what it printed; NotInEffect if it fails."""
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise NotInEffect(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def start(
        self,
        *argv: str,
        group: Path | None = None,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        on_end: int = signal.SIGKILL,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own, inside the cgroup from its first instruction on.

        It is ended with the signal `on_end`, and with SIGKILL where that does not help; it dies with the bench even
        if the bench is killed.
        """

        def before_exec() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **env} if env else None,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - the bench has one thread
        )
        self.defer(self.end, process, on_end)
        return process

    def end(self, process: subprocess.Popen[bytes], by: int = signal.SIGKILL) -> None:
        """End a program that this bench started, and the whole process group it leads."""
        if by != signal.SIGKILL and process.poll() is None:
            process.send_signal(by)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        # The group outlives its leader while members are left; once it is empty its number may belong to a stranger.
        if any(_group_of(pid) == process.pid for pid in _pids()):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        if process.stdout:
            process.stdout.close()
        deadline = time.monotonic() + 10
        while any(_group_of(pid) == process.pid for pid in _pids()) and time.monotonic() < deadline:
            with suppress(ChildProcessError):  # not ours yet: its own parent has still to die
                while os.waitpid(-process.pid, os.WNOHANG)[0]:
                    pass
            time.sleep(0.01)

    def ready(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program that prints a line once it has set itself up, and wait for that line."""
        process = self.start(*argv, stdout=subprocess.PIPE, **options)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise NotInEffect(f"{argv[0]} ended before it was ready")
        return process

    # What only root can make

    def cgroup(self, version: int, controller: str, **settings: str | int) -> Path:
        """A cgroup of our own, with these values written to its files (`_` after the controller's name is a dot)."""
        root = proc.cgroup_root(version, controller)
        if root is None:
            raise NotInEffect(f"no cgroup v{version} {controller} controller here")
        group = root / f"rbdiag-lab-{secrets.token_hex(3)}"
        group.mkdir()
        self.defer(_remove_group, group)
        for name, value in settings.items():
            self.set(group, name.replace("_", ".", 1), value)
        return group

    def set(self, group: Path, name: str, value: str | int) -> None:
        (group / name).write_text(str(value))

    def freeze(self, group: Path) -> None:
        """Freeze a v1 freezer group; thawed before its processes are ended, or they could not die."""
        self.defer((group / "freezer.state").write_text, "THAWED")
        self.set(group, "freezer.state", "FROZEN")

    def swap(self, size: int) -> None:
        """A swap file of our own, so many bytes large."""
        path = self.folder / "swap"
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        path.chmod(0o600)
        self.run("mkswap", str(path))
        self.run("swapon", str(path))
        self.defer(self.run, "swapoff", str(path))

    def namespaces(self) -> tuple[str, str]:
        """Two network namespaces joined by a veth pair: 10.90.77.1 in the first, 10.90.77.2 in the second."""
        # a number of a process may stand for two in two pid namespaces
        mark = secrets.token_hex(3)
        names = (f"rblab{mark}a", f"rblab{mark}b")
        for name in names:
            self.run("ip", "netns", "add", name)
            self.defer(self.run, "ip", "netns", "del", name)
        self.run("ip", "link", "add", "v0", "netns", names[0], "type", "veth", "peer", "name", "v1", "netns", names[1])
        for number, name in enumerate(names):
            self.run("ip", "-n", name, "addr", "add", f"10.90.77.{number + 1}/24", "dev", f"v{number}")
            self.run("ip", "-n", name, "link", "set", f"v{number}", "up")
            self.run("ip", "-n", name, "link", "set", "lo", "up")
        return names

    def netns_file(self, namespace: str, name: str, text: str, mode: int = 0o644) -> Path:
        """A file that stands in the place of the one in /etc for programs started by `ip netns exec`."""
        folder = Path("/etc/netns") / namespace
        if not folder.exists():
            folder.mkdir(parents=True)
            self.defer(shutil.rmtree, folder)
        path = folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def tmpfs(self, path: Path, *options: str) -> Path:
        """A filesystem in memory of its own at this path, which is made if needed."""
        path.mkdir(exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", ",".join(("mode=755", *options)), "rbdiag-lab", str(path))
        self.defer(self.run, "umount", "-l", str(path))
        return path

    # Proving and asking

    def prove(
        self,
        what: str,
        measure: Callable[[], float],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        within: float = 10,
        lasting: bool = True,
    ) -> None:
        """Wait until the measurement keeps its bounds; NotInEffect if it does not in time.

        A lasting proof has to hold after the program ran too: a fault that went away meanwhile proves nothing.
        """
        proof = Proof(what, measure, at_least, at_most)
        deadline = time.monotonic() + within
        while not proof.holds(value := measure()):
            if time.monotonic() > deadline:
                raise NotInEffect(proof.said(value))
            time.sleep(0.05)
        self.proofs.append(proof.said(value))
        if lasting:
            self._lasting.append(proof)

    def prove_again(self) -> None:
        """Prove everything lasting once more; one value out of bounds is measured twice, for noise."""
        for proof in self._lasting:
            if not proof.holds(proof.measure()) and not proof.holds(value := proof.measure()):
                raise NotInEffect(f"no longer, after the run: {proof.said(value)}")

    def expect(self, holds: bool, complaint: str) -> None:
        """Complain about the answer, beyond what the grade looks at."""
        if not holds:
            self.complaints.append(complaint)

    def rbdiag(self, *argv: str, timeout: float = 60, before: Sequence[str] = ()) -> Answer:
        """Run the program under test, away from any settings of the person who runs the lab."""
        return ask(argv, self.folder, timeout, before)


def ask(argv: Sequence[str], folder: Path, timeout: float = 60, before: Sequence[str] = ()) -> Answer:
    """Run the program under test with its settings looked for in this folder.

    The home folder is this one too: somebody's own ~/.my.cnf would lead to another server.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RBDIAG_", "MYSQL_"))}
    begin = time.monotonic()
    try:
        done = subprocess.run(
            [*before, *program(), *argv],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env={**env, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"still running after {timeout:g} s", -1, time.monotonic() - begin)
    took = time.monotonic() - begin
    return Answer(done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode, took)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _group_of(pid: int) -> int | None:
    """The process group of a process, be it ended and not reaped; None for one that has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[2])


def _remove_group(group: Path) -> None:
    """Remove a cgroup; the kernel lets go of members that were just killed a moment later."""
    deadline = time.monotonic() + 10
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)

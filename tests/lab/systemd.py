"""Faults of units under a real systemd: a container of systemd-nspawn boots this machine's own root, over an overlay.

The program runs inside, where systemctl and the journal answer; it sees the container's processes alone.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import proc
from tests.lab.cpu import SPIN, prove_cores
from tests.lab.proc import cpu_seconds, rate
from tests.lab.scenario import Fault, Setup, fault, twin
from tests.lab.workbench import Answer, Lab, NotInEffect, program

NEEDED = ("root", "systemd-nspawn", "nsenter", "unshare", "ip", "mount")
# What this machine would start as well, and a container should not.
UNWANTED = ("etc/fstab", "etc/systemd/system/multi-user.target.wants", "etc/systemd/system/timers.target.wants")


def _trees() -> list[Path]:
    """Where systemd would keep its cgroups: version 2, and the tree without a controller of version 1."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(where))
    return found


class Container:
    """A booted container: write into its root, call programs in it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        name = f"rbdiag-lab-{os.getpid()}"
        self.root = self._overlay(name)
        # systemd, started in the root cgroup, takes every process of the machine with it. It never starts there.
        self._groups = [tree / name for tree in _trees()]
        if not self._groups:
            raise NotInEffect("no cgroups that systemd could use")
        for group in self._groups:
            group.mkdir()
            lab.defer(_remove_tree, group)
        lab.run("ip", "netns", "add", name)
        lab.defer(lab.run, "ip", "netns", "del", name)
        enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in self._groups)
        nspawn = ["systemd-nspawn", "-q", "-D", str(self.root), "-M", name, "--register=no", "--keep-unit",
                  f"--network-namespace-path=/run/netns/{name}", "--link-journal=no", "--resolv-conf=off",
                  "--timezone=off", "--console=read-only", "-b"]  # fmt: skip
        # A container outlives its nspawn. Inside a pid namespace that dies with its starter it does not.
        outer = lab.start(
            "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
            f"{enter} && exec {shlex.join(nspawn)}", env={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        ).pid  # fmt: skip
        self._pid = self._booted(outer)
        lab.rbdiag = self._rbdiag  # type: ignore[method-assign]  # asked inside from now on

    def _overlay(self, name: str) -> Path:
        base = self._lab.folder / "container"
        base.mkdir()
        self._lab.run("mount", "-t", "tmpfs", "-o", "size=1g,mode=755", name, str(base))
        self._lab.defer(self._lab.run, "umount", str(base))
        for part in ("upper", "work", "root"):
            (base / part).mkdir()
        root = base / "root"
        layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
        self._lab.run("mount", "-t", "overlay", name, "-o", layers, str(root))
        self._lab.defer(self._lab.run, "umount", str(root))
        self._lab.run("rm", "-rf", *(str(root / path) for path in UNWANTED))
        return root

    def _booted(self, outer: int) -> int:
        """The number, outside, of the container's process 1, once systemd says that it is up."""
        deadline, said = time.monotonic() + 30, ""
        while time.monotonic() < deadline:
            for pid in (child for nspawn in proc.children(outer) for child in proc.children(nspawn)):
                # nspawn's first child still lives in the namespaces of the host: nothing may be called there
                if _is_first(pid):
                    self._pid = pid
                    said = self.call("systemctl", "is-system-running", "--wait").stdout.decode().strip()
                    if said in ("running", "degraded"):
                        return pid
            time.sleep(0.1)
        raise NotInEffect(f"systemd did not boot in the container: {said or 'no answer'}")

    def call(self, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a program inside."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "NO_COLOR": "1", "TERM": "dumb"}
        inside = ["nsenter", "-t", str(self._pid), "-a", "--", *argv]
        return subprocess.run(inside, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, env=env)

    def unit(self, name: str, source: str, *settings: str) -> None:
        """A service that runs this Python source, started."""
        script = self.root / f"srv/{name}.py"
        script.write_text(source)
        lines = ["[Unit]", "StartLimitIntervalSec=0", "[Service]", f"ExecStart=/usr/bin/python3 /srv/{name}.py"]
        (self.root / f"etc/systemd/system/{name}.service").write_text("\n".join([*lines, *settings, ""]))
        self.call("systemctl", "daemon-reload")
        started = self.call("systemctl", "start", f"{name}.service")
        if started.returncode:
            raise NotInEffect(started.stderr.decode(errors="replace").strip())

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.call("systemctl", "show", "--value", "-p", name, unit).stdout.decode().strip()

    def members(self, unit: str) -> list[int]:
        """The processes of a unit, by the numbers they have outside."""
        files = {file.parent.name: file for group in self._groups for file in group.glob(f"**/{unit}/cgroup.procs")}
        return [int(word) for file in files.values() for word in file.read_text().split()]

    def _rbdiag(self, *argv: str, timeout: float = 60, before: Sequence[str] = ()) -> Answer:
        begin = time.monotonic()
        done = self.call(*before, *program(), *argv, timeout=timeout)
        took = time.monotonic() - begin
        return Answer(done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode, took)


def _is_first(pid: int) -> bool:
    """Whether this is process 1 of a pid namespace, in a file system of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        inner = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))
        return inner == "1" and os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _remove_tree(group: Path) -> None:
    """Remove a cgroup and those that systemd made below it; the kernel lets go of dead members a moment later."""
    deadline = time.monotonic() + 10
    while True:
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _expect_commands(lab: Lab, container: Container, answer: Answer, unit: str) -> None:
    """Complain unless the printed commands name the unit and, but for those that end something, work when pasted."""
    findings = answer.report["findings"] if answer.stdout else []
    commands = [step["command"] for finding in findings[:1] for step in finding["resolution"]]
    lab.expect(any(f"journalctl -u {unit}" in command for command in commands), f"no command shows the log of {unit}")
    for command in commands:
        if command.startswith(("journalctl", "systemctl status", "systemctl show")):
            done = container.call("sh", "-c", command)
            lab.expect(done.returncode == 0 and bool(done.stdout), f"pasted, this fails: {command}")


@fault("cpu.process-hog", needs=NEEDED)
def busy_unit(lab: Lab) -> Setup:
    """A unit of systemd in an endless loop; what is printed for it works when pasted, the restart included."""
    container = Container(lab)
    container.unit("shop", SPIN)
    pid = int(container.shown("shop.service", "MainPID"))
    prove_cores(lab, *container.members("shop.service"))
    answer = yield Fault(("shop.service",), shown=(str(pid),))
    _expect_commands(lab, container, answer, "shop.service")
    commands = [step["command"] for finding in answer.report["findings"][:1] for step in finding["resolution"]]
    restarts = [command for command in commands if command.startswith("systemctl restart")]
    lab.expect(restarts == ["systemctl restart shop.service"], f"restarts by {restarts}")
    for command in restarts:
        container.call("sh", "-c", command)
        lab.expect(container.shown("shop.service", "MainPID") not in ("0", str(pid)), f"no new process after {command}")


@fault("svc.crash-loop", needs=NEEDED)
def crash_looping_unit(lab: Lab) -> Setup:
    """A unit that systemd starts again each time it dies, which it does after a fifth of a second of work."""
    container = Container(lab)
    source = "import sys, time\nwhile time.process_time() < 0.2:\n    sum(range(10_000))\nsys.exit('no such table')\n"
    container.unit("orders", source, "Restart=always", "RestartSec=20ms")
    restarts = lambda: float(container.shown("orders.service", "NRestarts"))  # noqa: E731 - a measurement
    lab.prove("restarts", restarts, at_least=5)
    lab.prove("restarts a second", lambda: rate(restarts, 2), at_least=1)
    answer = yield Fault(("orders.service",))
    _expect_commands(lab, container, answer, "orders.service")


@twin(needs=NEEDED)
def idle_unit_asked_about(lab: Lab) -> Setup:
    """A unit at rest on a host at rest, in a container that sees its own processes alone."""
    container = Container(lab)
    container.unit("shop", "import signal\nsignal.pause()\n")
    lab.prove("processes of the unit", lambda: len(container.members("shop.service")), at_least=1)
    lab.prove("cores they use", lambda: rate(lambda: cpu_seconds(*container.members("shop.service"))), at_most=0.05)
    lab.prove("busy part of the host", proc.busy_part, at_most=0.12, within=20)
    answer = yield Fault()
    asked = lab.rbdiag("cpu", "-s", "shop.service", "--json")
    lab.expect(
        "shop.service active (running)" in asked.stdout, "the state of the unit asked about is not in the report"
    )
    lab.expect(asked.status == answer.status == 0, f"ended with {answer.status}, asked about the unit {asked.status}")

"""Which service stands behind a process: its unit, its container, or the parent that explains it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from rbdiag.collect import proc
from rbdiag.facts.cpu import Doing, Runtime, ServiceKind
from rbdiag.frozen import Record

# Started by these, a process stands for itself: they start everything and explain nothing. The last row is
# wrappers: what they start is the program.
_STARTERS = frozenset(
    """
    systemd init sshd sshd-session cron crond atd login getty agetty tmux tmux:server screen sudo su doas
    runuser setsid containerd-shim containerd-shim-runc-v2 conmon crun runc dockerd containerd supervisord
    runsv s6-supervise s6-svscan tini dumb-init docker-init catatonit kthreadd timeout nice ionice nohup env
    time flock stdbuf chroot unshare nsenter taskset chrt numactl strace ltrace
    """.split()
)
_SHELLS = frozenset("sh bash dash zsh fish ash ksh busybox".split())

# Work that ends by itself and is meant to use all it can get. The names are of the workers, not of the drivers,
# so that a test hanging under `make` is not excused.
_BUILD = frozenset(
    """
    cc1 cc1plus cc1obj cc1objplus collect2 lto1 lto-wrapper ld ld.bfd ld.gold ld.lld lld mold as clang clang++
    gcc g++ cc c++ rustc javac kotlinc swiftc ghc ocamlopt f951 gnat1 tsc cicc ptxas nvcc dwz dpkg-gencontrol
    make gmake ninja cmake ccache sccache
    """.split()
)
_PACK = frozenset(
    """
    gzip pigz bzip2 pbzip2 lbzip2 xz zstd zstdmt lz4 lzop brotli 7z 7za 7zr zip unzip rar tar mksquashfs
    unsquashfs ffmpeg x264 x265 HandBrakeCLI mysqldump mariadb-dump pg_dump pg_dumpall pg_basebackup
    mariabackup xtrabackup restic borg duplicity rsync updatedb updatedb.mlocat updatedb.plocat mandb dpkg
    dpkg-deb rpm apt-get unattended-upgr dracut mkinitramfs clamscan rkhunter aide
    """.split()
)
_DATABASE = frozenset(
    """
    mysqld mariadbd postgres postmaster mongod redis-server valkey-server clickhouse-serv clickhouse oracle
    sqlservr memcached influxd cockroach
    """.split()
)

_UNIT = re.compile(r"([^/]+\.(?:service|scope))(?=/|$)")
_CONTAINER = re.compile(
    r"(?:docker|cri-containerd|crio|libpod|containerd|podman|nspawn|machine)[-/:]([0-9a-f]{12,64}|[\w-]+)(?:\.scope)?(?=/|$)"
    r"|lxc(?:\.payload)?[./]([\w-]+)(?=/|$)"
)
_NOT_A_SERVICE = re.compile(r"^(?:session-|init\.scope|user@|vte-spawn-|tmux-spawn-|run-)")
_SIBLINGS = 3
_GO_MARK = b"Go build ID:"


class Owner(Record):
    """What explains a process. `root` is the process at the top of it; `unit` is empty where no manager has it.

    `program` is what a person calls the root, for telling siblings.
    """

    name: str
    kind: ServiceKind
    root: proc.Stat
    command: tuple[str, ...]
    unit: str = ""
    program: str = ""


# systemd-nspawn puts its guest's own units below this: they are not this host's, whatever they are called.
_GUEST = "/payload/"


def unit_of(cgroup: str) -> str:
    """The innermost service unit in a cgroup path; login sessions and the like are no service."""
    if _GUEST in f"{cgroup}/":
        return ""
    for name in reversed(_UNIT.findall(cgroup)):
        if not _NOT_A_SERVICE.match(name):
            return str(name)
    return ""


def container_of(cgroup: str) -> str:
    """A short name of the container in a cgroup path (Docker, containerd, CRI-O, Podman, LXC, nspawn, Kubernetes)."""
    before, guest, _ = f"{cgroup}/".partition(_GUEST)
    if guest and before.strip("/"):
        return f"container {before.rpartition('/')[2].removesuffix('.service').removesuffix('.scope')}"
    found = [one or other for one, other in _CONTAINER.findall(cgroup)]
    if found:
        return f"container {found[-1][:12]}"
    last = cgroup.rstrip("/").rpartition("/")[2]
    return f"container {last[:12]}" if "kubepods" in cgroup and re.fullmatch(r"[0-9a-f]{12,64}", last) else ""


def cgroup_path(data: bytes) -> str:
    """The path that says most about a process in /proc/PID/cgroup: systemd's own tree, else the longest."""
    best = ""
    for line in data.splitlines():
        _, controllers, path = proc.text(line).split(":", 2)
        if controllers in ("", "name=systemd") and (unit_of(path) or container_of(path)):
            return path
        if len(path) > len(best):
            best = path
    return best


def display(name: str, command: list[str] | tuple[str, ...]) -> str:
    """What a person calls the program: the script of an interpreter, else the process's own name."""
    if not command:
        return name
    program = os.path.basename(command[0]).lstrip("-")
    if runtime_by_name(program) in ("python", "node", "ruby", "perl", "php") or program in _SHELLS:
        words = iter(command[1:])
        for word in words:
            if word == "-m":
                return next(words, name)
            if word in ("-c", "-e"):
                break
            if not word.startswith("-"):
                return os.path.basename(word)
    if program == "java":
        for flag, word in pairwise(command):
            if flag == "-jar":
                return os.path.basename(word)
        classes = [w for w in command[1:] if not w.startswith("-") and "/" not in w and ":" not in w]
        if classes:
            return classes[0].rpartition(".")[2] or name
    return name


def runtime_by_name(program: str) -> Runtime:
    """The language runtime behind a program's name, `unknown` where the name does not tell."""
    for prefix, runtime in (
        ("python", "python"), ("pypy", "python"), ("gunicorn", "python"), ("uwsgi", "python"), ("celery", "python"),
        ("java", "java"), ("node", "node"), ("php", "php"), ("ruby", "ruby"), ("puma", "ruby"), ("perl", "perl"),
        ("dotnet", "dotnet"),
    ):  # fmt: skip
        if program == prefix or (
            program.startswith(prefix) and program[len(prefix) :].lstrip("-").replace(".", "").isdigit()
        ):
            return runtime  # type: ignore[return-value]  # each is a Runtime
    return "php" if program.startswith(("php-fpm", "php-cgi")) else "unknown"


def runtime_of(stat: proc.Stat, look_inside: bool = False) -> Runtime:
    """The runtime of a process, from its executable; with `look_inside` the file's head tells Go, maps tell Python."""
    if stat.kernel:
        return "kernel"
    try:
        exe = os.readlink(f"/proc/{stat.pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return runtime_by_name(stat.name)  # not ours to read: the name is all there is
    found = runtime_by_name(os.path.basename(exe))
    if found != "unknown":
        return found
    by_name = runtime_by_name(stat.name)
    if by_name != "unknown" or not look_inside:
        return by_name if by_name != "unknown" else "native"
    try:
        if _GO_MARK in proc.read(f"/proc/{stat.pid}/exe", 8192):
            return "go"
        maps = proc.read(f"/proc/{stat.pid}/maps", 262144)
    except OSError:
        return "native"
    for mark, runtime in ((b"/libpython", "python"), (b"/libjvm.so", "java"), (b"/libcoreclr.so", "dotnet"),
                          (b"/libruby", "ruby"), (b"/libperl", "perl"), (b"/libphp", "php")):  # fmt: skip
        if mark in maps:
            return runtime  # type: ignore[return-value]  # each is a Runtime
    return "native"


def doing(name: str) -> Doing:
    """What kind of work a program's name stands for, where that matters to the verdict."""
    if name in _BUILD:
        return "build"
    if name in _PACK:
        return "pack"
    return "database" if name in _DATABASE else ""


class Owners:
    """Finds the owners of many processes of one moment; every file is read once."""

    def __init__(self) -> None:
        self.stat = lru_cache(maxsize=None)(proc.stat)
        self.command = lru_cache(maxsize=None)(lambda pid: tuple(proc.command_line(pid)))

    def of(self, stat: proc.Stat) -> Owner:
        if stat.kernel or stat.pid == 2:
            return Owner("kernel", "kernel", stat, ())
        try:
            cgroup = cgroup_path(proc.read(f"/proc/{stat.pid}/cgroup", 8192))
        except OSError:
            cgroup = ""  # it has gone, or has no cgroups: its parents still tell
        root = self._root(stat)
        command = self.command(root.pid)
        if container := container_of(cgroup):
            return Owner(container, "container", root, command)
        if unit := unit_of(cgroup):
            return Owner(unit, "unit", root, command, unit)
        kind: ServiceKind = "parent" if root.pid != stat.pid else "process"
        program = display(root.name, command)
        return Owner(proc.subject(program, root.pid), kind, root, command, program=program)

    def of_all(self, stats: Iterable[proc.Stat]) -> dict[int, Owner]:
        """The owner of each, by pid. Three or more roots alike under one parent are siblings: one service."""
        found = {s.pid: self.of(s) for s in stats}
        alike: dict[tuple[str, int], set[int]] = {}
        for owner in found.values():
            if owner.kind in ("parent", "process"):
                alike.setdefault((owner.program, owner.root.parent), set()).add(owner.root.pid)
        for pid, owner in found.items():
            roots = alike.get((owner.program, owner.root.parent), ())
            if owner.kind in ("parent", "process") and len(roots) >= _SIBLINGS:
                parent = self.stat(owner.root.parent)
                if parent is not None:
                    under = proc.subject(parent.name, parent.pid)
                    found[pid] = Owner(f"{owner.program} under {under}", "siblings", parent, self.command(parent.pid))
        return found

    def _root(self, stat: proc.Stat) -> proc.Stat:
        """Climb while the parent is the same program, or of the same job (process group)."""
        here = stat
        while here.parent > 2:
            parent = self.stat(here.parent)
            if parent is None or parent.name in _STARTERS or parent.kernel:
                break
            same = parent.name == here.name and self._program(parent) == self._program(here)
            # A shell with job control gives each job a group of its own; a script or build and its children share one.
            if not (same or parent.group == here.group or parent.pid == here.group):
                break
            here = parent
        return here

    def _program(self, stat: proc.Stat) -> str:
        return display(stat.name, self.command(stat.pid))

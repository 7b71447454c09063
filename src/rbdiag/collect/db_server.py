"""MySQL and MariaDB servers on this host: which processes, what they listen on, and which is the target's.

Paths that the server sees and we do not (a container, a mount namespace of its own) are given as we can read them:
below /proc/PID/root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rbdiag.collect import option_files, proc, sockets
from rbdiag.collect.service import Owners
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, ServerConfig, ServerProcess
from rbdiag.facts.net import Listener
from rbdiag.frozen import replace
from rbdiag.model import Fact, Facts

PORT = 3306
# As the usual builds have them compiled in.
SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108
DATADIRS = ("/var/lib/mysql", "/usr/local/mysql/data", "/usr/local/var/mysql")
# A host of many servers (a shared one, a developer's) is not told of all of them; one that holds what another wants is
# most likely young.
_OTHERS = 20
_NAMES = frozenset(("mysqld", "mariadbd", "mysqld-debug", "mariadbd-debug"))
# A server program that serves nobody: it prints, checks or prepares something, and ends.
_NO_SERVER = frozenset("help version validate_config bootstrap initialize initialize_insecure wsrep_recover".split())
# Options that name what we need, by their short letter (mysqld --help --verbose).
_LETTERS = {"P": "port", "S": "socket", "h": "datadir", "t": "tmpdir", "u": "user", "V": "version", "?": "help"}
# An option may have its value in the next argument only where it must have one.
_NEED_VALUE = frozenset(
    """
    port socket datadir tmpdir user pid_file bind_address defaults_file defaults_extra_file defaults_group_suffix
    """.split()
)


def options_in(arguments: Sequence[str]) -> dict[str, str]:
    """The options of a server's command line by name, written with underscores; "" for one without a value."""
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            written, equals, value = word[2:].partition("=")
            name, said = option_files.canonical(written, value if equals else None)
            if said is None and name in _NEED_VALUE:
                said = next(words, "")
            found[name] = said or ""
        elif word[:1] == "-" and word[1:2] in _LETTERS:
            name = _LETTERS[word[1]]
            found[name] = word[2:] if len(word) > 2 or name in ("version", "help") else next(words, "")
    return found


class Server(NamedTuple):
    """A server process as found: what /proc tells of it, and what its command line and option files say.

    `values` is what it was started with: the command line wins over the files. `files` are the option files read.
    """

    stat: proc.Stat
    uid: int | None
    command: list[str]
    said: dict[str, str]
    held: sockets.Held | None
    own_network: bool
    files: tuple[str, ...] = ()
    values: Mapping[str, str] = {}

    @property
    def root(self) -> str:
        return f"/proc/{self.stat.pid}/root"

    def seen(self, path: str) -> str:
        """This path as we can read it: its own, or below /proc/PID/root where the server sees another file there."""
        if not path.startswith("/") or path.startswith("/proc/"):
            return path
        try:
            inside = os.stat(f"{self.root}{path}")
        except OSError:
            return path  # not ours to see, or not there either: its own name says most
        try:
            ours = os.stat(path)
        except OSError:
            return f"{self.root}{path}"
        return path if os.path.samestat(ours, inside) else f"{self.root}{path}"


def look(target: DbTarget, config_paths: tuple[str, ...], service: str, deadline: Deadline) -> Iterator[Fact]:
    """Every server that runs on this host, what the configuration of the target's server says, and, where that one
    does not run, whether it could use the paths that it needs."""
    from rbdiag.collect import db_setup

    owners = Owners()
    servers = list(_servers(deadline))
    facts = [_process(s, owners) for s in servers]
    chosen = _behind(target, servers, facts)
    if chosen is not None:
        facts[chosen] = replace(facts[chosen], role="target")
    yield from _told(target, facts)
    yield from db_setup.look(target, config_paths, service, servers, facts, deadline)


def _told(target: DbTarget, facts: list[ServerProcess]) -> Iterator[ServerProcess]:
    """The target's server, then the others: those at the target's own port or socket, and of the rest the youngest."""
    others = [f for f in facts if f.role != "target"]
    near = [f for f in others if target.socket in f.sockets or (not target.socket and _at_port(target, f.ports))]
    rest = sorted((f for f in others if f not in near), key=lambda f: f.age)
    yield from (f for f in facts if f.role == "target")
    yield from near
    yield from rest[: max(0, _OTHERS - len(near))]


def _at_port(target: DbTarget, ends: tuple[str, ...]) -> bool:
    return any(end.endswith(f":{target.port}") for end in ends)


def _servers(deadline: Deadline) -> Iterator[Server]:
    here = os.stat("/proc/self/net/tcp").st_ino
    found: set[int] = set()
    for pid in sorted(proc.pids(0.05)):
        deadline.left()
        command = proc.command_line(pid)
        if not command:
            continue  # a kernel thread, or one that has ended and is not reaped
        stat = _stat_of_server(pid, command)
        said = options_in(command[1:]) if stat is not None else {}
        if stat is None or _NO_SERVER & said.keys() or stat.parent in found:
            continue
        try:
            # a network namespace has its own file there, which anybody may ask for, unlike its name in /proc/PID/ns
            own_network = os.stat(f"/proc/{pid}/net/tcp").st_ino != here
        except OSError:
            continue  # it has gone
        found.add(pid)
        server = Server(stat, _uid(pid), command, said, sockets.held(pid), own_network)
        files, values = _started_with(server)
        yield server._replace(files=files, values=values)


def _stat_of_server(pid: int, command: list[str]) -> proc.Stat | None:
    try:
        name = proc.text(proc.read(f"/proc/{pid}/comm", 64)).strip()
    except OSError:
        return None  # it has gone
    if name not in _NAMES and os.path.basename(command[0]) not in _NAMES:
        return None
    stat = proc.stat(pid)
    return None if stat is None or stat.state in "ZX" else stat


# What in a server's environment decides which option files and groups it reads.
_ENVIRONMENT = ("HOME", "MYSQL_HOME", "MARIADB_HOME", "MYSQL_GROUP_SUFFIX")


def _started_with(server: Server) -> tuple[tuple[str, ...], dict[str, str]]:
    """The option files that a server read, and what they and its command line say together."""
    environ = {name: value for name in _ENVIRONMENT if (value := environment(server.stat.pid, name))}
    paths, suffix = option_files.of_server(server.said, environ)
    files, values = server_options([server.seen(_absolute(p, server)) for p in paths], suffix)
    return files, values | server.said


def server_options(paths: Sequence[str], suffix: str = "") -> tuple[tuple[str, ...], dict[str, str]]:
    """What option files set for a server, and which of them (and of those they include) were read."""
    groups = option_files.server_groups()
    files = option_files.read(paths)
    values = {name: option.value or "" for name, option in files.winners(groups, suffix).items()}
    # of several users the first wins, so that nobody becomes another by adding a line
    if first := next((o.value for o in files.of(groups, suffix) if o.name == "user"), None):
        values["user"] = first
    return files.read, values


def _absolute(path: str, server: Server) -> str:
    if path.startswith("/"):
        return path
    # it was relative to where the server was started, which is where its parent may still be
    try:
        return os.path.join(os.readlink(f"/proc/{server.stat.parent}/cwd"), path)
    except OSError:
        return path


def environment(pid: int, name: str) -> str:
    """One variable of a process's environment, "" where it is not set or hidden from us."""
    try:
        found = re.search(rb"(?:^|\0)%s=([^\0]*)" % name.encode(), proc.read(f"/proc/{pid}/environ", 1 << 17))
    except OSError:
        return ""
    return proc.text(found[1]) if found else ""


def _process(server: Server, owners: Owners) -> ServerProcess:
    from rbdiag.redact import redact_command

    stat, held = server.stat, server.held
    owner = owners.of(stat)
    parent = proc.stat(stat.parent)
    datadir = _datadir(server)
    ports, paths = _listens(server)
    return ServerProcess(
        subject=proc.subject(stat.name, stat.pid), pid=stat.pid, start_ticks=stat.start, role="other", state=stat.state,
        user=_user(server.uid), age=max(0.0, proc.uptime() - stat.start * proc.TICK),
        command=redact_command(server.command) or stat.name, program=_program_of(server), unit=owner.unit,
        service=owner.name, parent=proc.subject(parent.name, parent.pid) if parent else "", ports=ports, sockets=paths,
        datadir=server.seen(datadir), tmpdir=_tmpdir(server), error_log=_error_log(server, datadir),
        option_files=server.files, fds=held.fds if held else None, fd_limit=_fd_limit(stat.pid), rss=stat.rss,
        container=owner.name if owner.kind == "container" else "", own_network=server.own_network,
    )  # fmt: skip


def _uid(pid: int) -> int | None:
    """The user that a process acts as. The owner of /proc/PID will not do: it is root for one that changed its user."""
    try:
        found = re.search(rb"^Uid:\s+\d+\s+(\d+)", proc.read(f"/proc/{pid}/status", 8192), re.MULTILINE)
    except OSError:
        return None  # it has gone
    return int(found[1]) if found else None


def _user(uid: int | None) -> str:
    import pwd

    try:
        return "" if uid is None else pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _program_of(server: Server) -> str:
    try:
        return os.readlink(f"/proc/{server.stat.pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return server.command[0] if server.command[0].startswith("/") else ""  # not ours to read


def _fd_limit(pid: int) -> int | None:
    try:
        found = re.search(rb"^Max open files\s+(\d+)", proc.read(f"/proc/{pid}/limits", 8192), re.MULTILINE)
    except OSError:
        return None  # not ours to read
    return int(found[1]) if found else None


def _datadir(server: Server) -> str:
    """A server changes into its data folder when it starts, so that is where it is, if we may see it."""
    try:
        now = os.readlink(f"/proc/{server.stat.pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        now = ""  # not ours to read
    if now and any(os.path.lexists(f"{server.root}{now}/{name}") for name in ("mysql", "ibdata1", "auto.cnf")):
        return now
    said = server.values.get("datadir", "").rstrip("/")
    return said or next((d for d in DATADIRS if os.path.isdir(f"{server.root}{d}") or os.path.isdir(d)), "")


def _tmpdir(server: Server) -> str:
    said = server.values.get("tmpdir") or environment(server.stat.pid, "TMPDIR") or "/tmp"  # noqa: S108 - as the server
    return server.seen(said)


def _error_log(server: Server, datadir: str) -> str:
    """Where the server writes its errors: its standard error leads there, for it reopens that on its log."""
    if server.held is None:
        return server.seen(log_path(server.values, datadir))
    there = server.held.files.get(2, "")
    if there and not there.startswith(("/dev/", "/memfd:")):
        return f"/proc/{server.stat.pid}/fd/2" if there.endswith(" (deleted)") else server.seen(there)
    more = [f for f in server.held.files.values() if f.endswith((".err", "error.log"))]
    return server.seen(more[0]) if more else ""


def log_path(values: Mapping[str, str], datadir: str) -> str:
    """What `log_error` means: nothing said is standard error, said without a value is HOST.err in the data folder."""
    if "log_error" not in values or values["log_error"] == "stderr":
        return ""
    path = values["log_error"] or f"{os.uname().nodename}.err"
    if not path.startswith("/"):
        path = f"{datadir}/{path.removeprefix('./')}"
    return path if os.path.splitext(path)[1] else f"{path}.err"


def _listens(server: Server) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The endpoints and the socket paths that a server listens on, in its own network namespace."""
    pid = server.stat.pid
    try:
        listening, paths = sockets.tcp(pid), sockets.unix(pid)
    except OSError:
        return (), ()  # it has gone
    if server.held is not None:
        mine = server.held.sockets
        ports = [sockets.endpoint(s.address, s.port) for s in listening if s.inode in mine]
        return tuple(dict.fromkeys(ports)), tuple(p for inode, p in paths.items() if inode in mine)
    # Its descriptors are hidden from us: what its configuration names, where that is there and its user's.
    port, said = number(server.values.get("port")) or PORT, server.values.get("socket", "")
    ports = [sockets.endpoint(s.address, s.port) for s in listening if s.port == port and s.uid == server.uid]
    known = {os.path.realpath(p): p for p in paths.values()}
    there = [known[real] for p in ([said] if said else SOCKETS) if (real := os.path.realpath(p)) in known]
    return tuple(dict.fromkeys(ports)), tuple(dict.fromkeys(there))


def number(value: str | None) -> int | None:
    """A plain number, None for anything else."""
    return int(value) if value and value.strip().isdigit() else None


# How well a server fits the target: it serves that very endpoint; its port on another address; its port by what it was
# told, without listening at all.
_SERVES, _SAME_PORT, _TOLD = 3, 2, 1


def _behind(target: DbTarget, servers: list[Server], facts: list[ServerProcess]) -> int | None:
    """Which of the servers is the target's: the one that fits best, None where none or several fit."""
    fits = [_fit(target, *pair) for pair in zip(servers, facts, strict=True)]
    best = max(fits, default=0)
    return fits.index(best) if best and fits.count(best) == 1 else None


def _fit(target: DbTarget, server: Server, fact: ServerProcess) -> int:
    if target.socket:
        wanted = os.path.realpath(target.socket)
        return _SERVES if any(os.path.realpath(server.seen(path)) == wanted for path in fact.sockets) else 0
    if server.own_network:
        if target.host not in _addresses(server.stat.pid):
            return 0
    elif not target.local:
        return 0
    ends = [end.rpartition(":") for end in fact.ports]
    at = [address.strip("[]") for address, _, port in ends if port == str(target.port)]
    named = not re.fullmatch(r"[0-9.]+|.*:.*", target.host)
    if at:
        return _SERVES if named or not {"*", "::", target.host}.isdisjoint(at) else _SAME_PORT
    return _TOLD if not fact.ports and (number(server.values.get("port")) or PORT) == target.port else 0


def _addresses(pid: int) -> set[str]:
    """The addresses of the network namespace that a process lives in, but for loopback."""
    from socket import AF_INET6, inet_ntop

    found: set[str] = set()
    try:
        trie = proc.text(proc.read(f"/proc/{pid}/net/fib_trie", 1 << 20))
        found |= set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", trie))
        for line in proc.read(f"/proc/{pid}/net/if_inet6", 1 << 16).splitlines():
            found.add(inet_ntop(AF_INET6, bytes.fromhex(proc.text(line.split()[0]))))
    except OSError:
        pass  # it has gone, or has no IPv6: what was found so far is all there is
    return {a for a in found if not a.startswith("127.") and a != "::1"}


def listeners(target: DbTarget, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """Everything on this host that listens on the target's port, on one of its server's, or of another server here."""
    wanted = {int(end.rpartition(":")[2]) for s in facts.of(ServerProcess) if not s.own_network for end in s.ports}
    wanted |= {c.port or PORT for c in facts.of(ServerConfig) if c.for_target}
    if target.local and not target.socket:
        wanted.add(target.port)
    try:
        found = [s for s in sockets.with_queues() if s.port in wanted]
    except OSError:
        found = [s for s in sockets.tcp() if s.port in wanted]  # a kernel (or a sandbox) without sock_diag
    owners = sockets.owners({s.inode for s in found}) if found else {}
    own = next((s.pid for s in facts.of(ServerProcess) if s.role == "target"), None)
    # the target's own first
    found.sort(key=lambda s: (own is None or owners.get(s.inode) != own, s.port != target.port))
    for s in found:
        deadline.left()
        stat = proc.stat(owners[s.inode]) if s.inode in owners else None
        yield Listener(
            subject=sockets.endpoint(s.address, s.port), address=s.address, port=s.port, waiting=s.waiting,
            backlog=s.backlog, pid=stat.pid if stat else None, start_ticks=stat.start if stat else 0,
            process=proc.subject(stat.name, stat.pid) if stat else "", v6only=s.v6only,
        )  # fmt: skip

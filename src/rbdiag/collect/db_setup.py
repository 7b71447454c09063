"""How the server behind the target is set up on this host, running or not: configuration, unit, program and paths."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from rbdiag.collect import option_files, proc
from rbdiag.collect.db_server import DATADIRS, PORT, SOCKETS, Server, log_path, number, server_options
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, PathAccess, ServerConfig, ServerProcess
from rbdiag.model import Fact

_UNITS = ("mariadb.service", "mysql.service", "mysqld.service")
_UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_PROGRAMS = ("mariadbd", "mysqld")
_MORE_PROGRAMS = ("/usr/libexec", "/usr/local/mysql/bin", "/usr/local/libexec", "/opt/mysql/bin")
_Role = Literal["datadir", "tmpdir", "socket folder", "pid folder", "log", "data file"]
# What no start can do without, where it is there.
_KEY_FILES = ("ibdata1", "ib_logfile0", "aria_log_control", "mysql", "mysql.ibd", "#innodb_redo")


def look(
    target: DbTarget,
    config_paths: tuple[str, ...],
    service: str,
    servers: list[Server],
    facts: list[ServerProcess],
    deadline: Deadline,
) -> Iterator[Fact]:
    """What the configuration of the target's server says; where that server does not run, what it would meet."""
    chosen = next((i for i, fact in enumerate(facts) if fact.role == "target"), None)
    if config_paths:
        files, values = server_options([p for path in config_paths for p in _in(path)])
    elif chosen is not None:
        files, values = servers[chosen].files, dict(servers[chosen].values)
    else:
        files, values = server_options(option_files.default_files({}, ""))
    if chosen is None or not reads(facts[chosen], files):
        # none, or another server answers where this one was to listen
        chosen = _with_these(files, values.get("datadir", ""), facts)
    running = facts[chosen] if chosen is not None else None
    program = running.program if running is not None else _program(values)
    if program or values or config_paths:
        config = _config(target, files, values, running, program, service, usual=not config_paths)
        yield config
        if config.for_target and not config.running:
            yield from _paths(config, deadline)


def reads(process: ServerProcess, files: Iterable[str]) -> bool:
    """Whether a server was started with one of these files, by whatever path; where that is hidden, it is taken to."""
    own = {os.path.realpath(path) for path in process.option_files}
    return not own or not own.isdisjoint(os.path.realpath(path) for path in files)


def _with_these(files: tuple[str, ...], datadir: str, facts: list[ServerProcess]) -> int | None:
    """The server that was started with these files on this data folder, even if it does not serve the target."""
    real = os.path.realpath(datadir) if datadir else ""
    return next(
        (
            i for i, fact in enumerate(facts)
            if real and os.path.realpath(fact.datadir) == real and set(files) & set(fact.option_files)
        ),
        None,
    )  # fmt: skip


def _config(
    target: DbTarget,
    files: tuple[str, ...],
    values: Mapping[str, str],
    running: ServerProcess | None,
    program: str,
    service: str,
    *,
    usual: bool,
) -> ServerConfig:
    """`usual` says that these are the files which a server of this host reads when nobody names others."""
    datadir = values.get("datadir", "").rstrip("/") or (running.datadir if running is not None else "")
    datadir = datadir or next((d for d in DATADIRS if usual and os.path.isdir(d)), "")
    unit = service or (running.unit if running is not None else _installed_unit() if usual else "")
    pid_file = _below(values.get("pid_file", "") or f"{os.uname().nodename}.pid", datadir)
    off = values.get("skip_networking")
    serves = running is not None and running.role == "target"
    return ServerConfig(
        subject="server configuration", files=files, port=number(values.get("port")),
        socket=_below(values.get("socket", ""), datadir), bind_address=values.get("bind_address", ""),
        skip_networking=off is not None and option_files.switch(off or None) is True, datadir=datadir,
        tmpdir=values.get("tmpdir", ""), error_log=log_path(values, datadir),
        pid_file=pid_file if "pid_file" in values or os.path.exists(pid_file) else "",
        user=_user(values, running, usual, datadir), unit=f"{unit}.service" if unit and "." not in unit else unit,
        program=program, for_target=not usual or serves or _meant(target, values, datadir),
        running=running is not None, pid=_pid_in(pid_file),
    )  # fmt: skip


def _in(path: str) -> list[str]:
    """The option files of a folder, or the file itself."""
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".cnf")]


def _below(path: str, datadir: str) -> str:
    """Relative paths of a server are below its data folder."""
    return path if not path or path.startswith("/") else f"{datadir}/{path.removeprefix('./')}"


def _meant(target: DbTarget, values: Mapping[str, str], datadir: str) -> bool:
    """Whether these settings are of a server that would serve the target."""
    if target.socket:
        said = _below(values.get("socket", ""), datadir)
        return os.path.realpath(target.socket) in {os.path.realpath(p) for p in ([said] if said else SOCKETS)}
    return target.local and target.port == (number(values.get("port")) or PORT)


def _installed_unit() -> str:
    if not os.path.isdir("/run/systemd/system"):
        return ""
    return next((u for u in _UNITS if _unit_file(u)), "")


def _unit_file(unit: str) -> str:
    return next((p for folder in _UNIT_FOLDERS if os.path.exists(p := f"{folder}/{unit}")), "")


def _program(values: Mapping[str, str]) -> str:
    from rbdiag.collect import programs

    base = values.get("basedir", "")
    own = [f"{base}/{folder}" for folder in ("bin", "sbin", "libexec")] if base.startswith("/") else []
    for name in _PROGRAMS:
        for folder in own:
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
    return next((path for name in _PROGRAMS if (path := programs.find(name, _MORE_PROGRAMS))), "")


def _pid_in(path: str) -> int | None:
    try:
        return number(proc.text(proc.read(path, 64)).strip())
    except OSError:
        return None  # not there, or not ours to read


def _user(values: Mapping[str, str], running: ServerProcess | None, usual: bool, datadir: str) -> str:
    """As whom the server runs, or would: as told, else as its unit says, else as whom its data belongs to."""
    if running is not None:
        return running.user
    if said := values.get("user", ""):
        return said
    for unit in _UNITS if usual else ():
        try:
            found = re.search(rb"^User=(\S+)", proc.read(_unit_file(unit)), re.MULTILINE)
        except OSError:
            continue
        if found:
            return proc.text(found[1])
    try:
        owner = _name(os.stat(datadir).st_uid)
    except OSError:
        return "mysql" if usual else ""
    return "mysql" if owner == "root" and usual else owner


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _Who(NamedTuple):
    """A user as permissions see it."""

    name: str
    uid: int
    groups: frozenset[int]

    def may(self, status: os.stat_result, want: int) -> bool:
        """Whether mode bits allow it; `want` is made of 4 (read), 2 (write) and 1 (enter, execute)."""
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return (status.st_mode >> shift) & want == want


def _who(user: str) -> _Who | None:
    import pwd

    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    except (KeyError, OSError):
        return None
    return _Who(entry.pw_name, entry.pw_uid, frozenset(groups))


_READ, _WRITE, _ENTER = 4, 2, 1


def _paths(config: ServerConfig, deadline: Deadline) -> Iterator[PathAccess]:
    """What the server needs for a start, as its user would meet it. Of its data files only those that it cannot use."""
    who = _who(config.user)
    if who is None:
        return
    folder = os.path.dirname
    needs: list[tuple[_Role, str]] = [("datadir", config.datadir)]
    needs += [("tmpdir", path) for path in config.tmpdir.split(":")]
    needs += [("socket folder", folder(config.socket)), ("pid folder", folder(config.pid_file))]
    # a log that is not there will be made, if the folder allows that
    needs.append(("log", config.error_log if os.path.exists(config.error_log) else folder(config.error_log)))
    for role, path in needs:
        deadline.left()
        if path and (fact := _access(role, path, who)) is not None:
            yield fact
    for name in _KEY_FILES if config.datadir else ():
        fact = _access("data file", f"{config.datadir}/{name}", who)
        if fact is not None and fact.usable is False:
            yield fact


def _access(role: _Role, path: str, who: _Who) -> PathAccess | None:
    """One path as this user meets it; None where we cannot see it ourselves."""
    try:
        there = os.stat(path)
    except PermissionError:
        return None
    except (FileNotFoundError, NotADirectoryError):
        return PathAccess(subject=path, role=role, owner="", mode="", usable=None, missing=True, server_user=who.name)
    want = _READ | _WRITE
    if stat.S_ISDIR(there.st_mode):
        want = _WRITE | _ENTER if role not in ("datadir", "data file") else _READ | _WRITE | _ENTER
    usable: bool | None = who.may(there, want)
    if usable:
        usable = _may_come_to(path, who)
    elif _has_acl(path):
        usable = None  # the mode bits are not all that counts
    return PathAccess(
        subject=path, role=role, owner=_name(there.st_uid), mode=stat.filemode(there.st_mode), usable=usable,
        missing=False, server_user=who.name,
    )  # fmt: skip


def _may_come_to(path: str, who: _Who) -> bool | None:
    """Whether this user may enter every folder above; None where those are not ours to see."""
    above = os.path.abspath(path)
    while above != "/":
        above = os.path.dirname(above)
        try:
            if not who.may(os.stat(above), _ENTER):
                return None if _has_acl(above) else False
        except OSError:
            return None
    return True


def _has_acl(path: str) -> bool:
    try:
        os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return False
    return True

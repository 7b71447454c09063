"""What the option files say about the server and what is wrong with them: the check db.options.

Where its next start depends on them, the program itself is asked too (`db_validate`); what runs is compared with them
by `db_drift`, once somebody is logged in.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator

from rbdiag.collect import option_files, proc
from rbdiag.collect.db_drift import drift as drift
from rbdiag.collect.db_setup import reads  # the plan finds both checks of the configuration here
from rbdiag.collect.db_validate import PATIENCE, validate
from rbdiag.collect.option_files import Option, one_line
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, Drift, OptionFile, OptionValue, ServerConfig, ServerProcess
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.redact import MASK, is_secret, redact

# The kernel tells a start in hundredths of a second, and the files are read a moment after it.
_READING = 0.1
_SECRET_OPTIONS = ("wsrep_sst_auth",)  # user:password under a name that does not say so


def options(
    target: DbTarget, config_paths: tuple[str, ...], facts: Facts, since: float, deadline: Deadline
) -> Iterator[Fact]:
    """The check db.options: every option file that the server reads, what is wrong in it, and the options that win."""
    process = next((p for p in facts.of(ServerProcess) if p.role == "target"), None)
    config = next((c for c in facts.of(ServerConfig) if c.for_target), None)
    roots = _roots(config_paths, process, config)
    if not roots:
        raise CannotLook(_no_files(target, process))
    files = option_files.read(roots)
    if process is not None and not reads(process, (*files.read, *(path for path, _ in files.skipped))):
        process = None  # another server answers where this one was to listen
    started = _started(process)
    newer = False
    for path in (*files.read, *(path for path, _ in files.skipped)):
        fact = _file(path, dict(files.skipped).get(path, ""), started, since)
        newer = newer or bool(fact.newer)
        yield fact
    mine = [p for p in files.problems if not p.forbidden]
    yield from option_files.as_facts(mine)
    program = _program(process, config)
    flavour, version = _kind(program, files, deadline)
    wins = _winners(files, process, option_files.server_groups(flavour, version), _datadir(process, config), flavour)
    for option in wins.values():
        yield _value(option)
    if process is not None and started is not None and newer:
        yield from _listening_elsewhere(process, wins, {f for f in files.read if _changed(f) > started})
    if started is not None:
        yield from _certificate(wins, _datadir(process, config), started)
    # A server that runs has taken its files; only what was changed since is a question to its program.
    if program and not files.fatal and (process is None or newer):
        told = files.of(option_files.server_groups(flavour, version), _suffix(process))
        yield from validate(program, flavour, roots, told, deadline)
    if len(mine) < len(files.problems):
        blind = next(p for p in files.problems if p.forbidden)
        raise CannotLook(Gap("forbidden", f"{blind.file}: {blind.text}", "run as root"))


def _roots(
    config_paths: tuple[str, ...], process: ServerProcess | None, config: ServerConfig | None
) -> tuple[str, ...]:
    """The files that the server is told to read, without those that another of them includes."""
    if config_paths:
        return _named(config_paths)
    if process is None and config is None:
        return ()
    known = process.option_files if process else config.files if config else ()
    usual = option_files.of_server(_arguments(process))[0] if process is None or not process.container else ()
    if process is not None or not known or set(known) & set(usual):
        # also those that it passes over, and so is not known to read
        there = [path for path in usual if os.path.isabs(path) and os.path.lexists(path)]
        known = (*there, *(path for path in known if path not in there))
    roots: list[str] = []
    included: set[str] = set()
    for path in known:
        if path not in included or path in usual:
            roots.append(path)
            included |= set(option_files.read([path]).read)
    return tuple(roots)


def _named(paths: Iterable[str]) -> tuple[str, ...]:
    """Option files as the user names them, each by itself or all of a folder. Raises OSError."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".cnf")]
        else:
            os.stat(path)
            found.append(path)
    return tuple(found)


def _no_files(target: DbTarget, process: ServerProcess | None) -> Gap:
    if not target.local:
        return Gap("skipped", "the server is not on this host, so its option files are not here")
    if process is not None:
        return Gap("skipped", f"{process.subject} reads no option files")
    return Gap("missing", "no option files here are known to be the server's", "name them: --config PATH")


def _started(process: ServerProcess | None) -> float | None:
    """When the server had read its files, in seconds since the epoch."""
    return None if process is None else time.time() - (proc.uptime() - process.start_ticks * proc.TICK) + _READING


def _file(path: str, why: str, started: float | None, since: float) -> OptionFile:
    changed = _changed(path)
    return OptionFile(
        subject=one_line(path), happened_at=round(changed, 3), newer=None if started is None else changed > started,
        recent=changed >= since, why=why,
    )  # fmt: skip


def _changed(path: str) -> float:
    """When a file became what it is: a copy which keeps its time, or a file moved here, tells by its inode."""
    status = os.stat(path)
    return max(status.st_mtime, status.st_ctime)


def _program(process: ServerProcess | None, config: ServerConfig | None) -> str:
    """The server's program, where it can be started from here; "" where it is a container's, or gone."""
    if process is not None and process.container:
        return ""
    path = (process.program if process else "") or (config.program if config else "")
    return path if os.path.isabs(path) and os.access(path, os.X_OK) else ""


def _datadir(process: ServerProcess | None, config: ServerConfig | None) -> str:
    return (process.datadir if process else "") or (config.datadir if config else "")


def _suffix(process: ServerProcess | None) -> str:
    return _arguments(process).get("defaults_group_suffix", "")


def _arguments(process: ServerProcess | None) -> dict[str, str]:
    """The options on the server's command line, as far as they may be shown."""
    return option_files.arguments_in(process.command) if process else {}


_VERSION = re.compile(r"Ver (\d+\.\d+\.\d+)\S*")


def _kind(program: str, files: option_files.Files, deadline: Deadline) -> tuple[str, str]:
    """Flavour and version of the program; it is only asked where its name or the groups leave that open."""
    name = os.path.basename(os.path.realpath(program)) if program else ""
    versioned = any(re.search(r"-\d+\.\d+$", option.group) for option in files.options)
    if not program or ("mariadb" in name and not versioned):
        return ("MariaDB" if name else ""), ""
    from rbdiag.collect import programs

    said = proc.text(programs.call([program, "--no-defaults", "--version"], deadline, at_most=PATIENCE).stdout)
    found = _VERSION.search(said)
    return ("MariaDB" if "mariadb" in said.lower() else "MySQL"), (found[1] if found else "")


def _winners(
    files: option_files.Files, process: ServerProcess | None, groups: tuple[str, ...], datadir: str, flavour: str
) -> dict[str, Option]:
    """The option that the next start would use of each name: the last, of `user` the first, above all SET PERSIST."""
    told = files.of(groups, _suffix(process))
    wins = {option.name: option for option in told}
    if first := next((option for option in told if option.name == "user"), None):
        wins["user"] = first  # the server warns and keeps the first
    if flavour == "MySQL" and datadir:
        path = os.path.join(datadir, option_files.PERSISTED)
        try:
            saved = option_files.persisted(option_files.read_file(path))
        except (OSError, ValueError):
            saved = {}  # there is none, or only the server may read it: then the server itself is asked (see drift)
        wins |= {name: Option(option_files.PERSISTED, name, name, value, path, 1) for name, value in saved.items()}
    return wins


def _value(option: Option) -> OptionValue:
    value = option.value or ""
    if value and (is_secret(option.name) or option.name in _SECRET_OPTIONS):
        value = MASK
    else:
        value = redact(f"{option.name}={value}").partition("=")[2]
    # without `skip-` or `loose-`, which the value says
    written = option.written[-len(option.name) :] or option.name
    return OptionValue(
        subject=option.name, written=one_line(written), value=one_line(value), file=one_line(option.file),
        line=option.line, group=one_line(option.group),
    )  # fmt: skip


def _listening_elsewhere(process: ServerProcess, wins: dict[str, Option], newer: set[str]) -> Iterator[Drift]:
    """Where a file that was changed since the start names another port or socket than the process listens on.

    Seen from outside, because nobody logs in to a server that listens where no client looks.
    """
    given = _arguments(process)
    ports = {endpoint.rpartition(":")[2] for endpoint in process.ports}
    for name, there in (("port", ports), ("socket", set(process.sockets))):
        option = wins.get(name)
        if option is None or not option.value or name in given or not there or option.file not in newer:
            continue
        if option.value not in there and not (name == "socket" and not option.value.startswith("/")):
            yield Drift(
                subject=name, running=", ".join(sorted(there)), configured=one_line(option.value), file=option.file,
                line=option.line, dynamic=False, origin="", file_newer=True,
            )  # fmt: skip


def _certificate(wins: dict[str, Option], datadir: str, started: float) -> Iterator[Drift]:
    """A certificate that was renewed on disk after the server started; whether it still shows the old one is for a
    rule to say, which has seen it."""
    option = wins.get("ssl_cert")
    if option is None or not option.value:
        return
    path = os.path.join(datadir, option.value)
    try:
        if _changed(path) <= started:
            return
        data = option_files.read_file(path)
    except OSError:
        return  # it is not there, or only the server may read it: no news
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        read = x509.load_pem_x509_certificate(data)
    except ValueError:
        return  # no certificate: the server will say so itself
    until, mark = f"{read.not_valid_after_utc:%Y-%m-%d}", read.fingerprint(SHA256()).hex(":")
    yield Drift(
        subject="ssl_cert", running="a certificate from before the server started",
        configured=f"{one_line(path)}, valid until {until}, sha256 {mark}", file=option.file,
        line=option.line, dynamic=False, origin="", file_newer=True,
    )  # fmt: skip

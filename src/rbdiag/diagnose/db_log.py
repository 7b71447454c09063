"""Why the database server does not start: as its own log tells."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_attempt, db_view, steps
from rbdiag.facts import size
from rbdiag.facts.db import OptionProblem, OptionValue, PathAccess, ServerProcess
from rbdiag.facts.host import Memory
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import Listener
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

_MEBIBYTE = 1 << 20


def _canonical(option: str) -> str:
    return option.strip().lstrip("-").replace("-", "_").lower()


CONFIG_INVALID = Spec(
    code="db.config-invalid",
    title="the server refuses its configuration",
    severity=Severity.CRITICAL,
    meaning="The server does not start because of what its option files say: an option that it does not know, a value that "
    "it does not take, a line out of place, or more memory than the host can give.",
    told="The first error of the last start names an option or an option file; or the server's own check of its files does.",
    not_to_be_taken_for="a warning about an option written with `loose_`; a start that failed of something else while an old "
    "option is deprecated.",
    resolution=(
        "look at the line that is named",
        "take it out or mend it",
        "let the server check its files, then start it",
    ),
    explains=db_attempt.DOWN,
)
_FATAL_PROBLEMS = ("unknown-option", "bad-value", "bad-group", "no-group")
_CONFIG_KINDS = ("unknown-option", "bad-option-file", "bad-value", "address-missing", "no-memory")


def config_invalid(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    if failed is not None and failed.reason.kind not in _CONFIG_KINDS:
        return  # it came further than its configuration, or failed of another thing
    problems = [p for p in facts.of(OptionProblem) if p.word in _FATAL_PROBLEMS]
    if failed is None and (not problems or not db_attempt.down(facts)):
        return
    reason = failed.reason if failed is not None else None
    named = _canonical(reason.name) if reason is not None else ""
    matching = [p for p in problems if not named or _canonical(p.option) == named or p.subject == named]
    problem = next(iter(matching or ([] if reason is not None else problems)), None)
    value = facts.last(OptionValue, named) if named else None
    where = problem.subject if problem is not None else f"{value.file}:{value.line}" if value is not None else ""
    what = _config_words(reason, value) if reason is not None else (problem.text if problem is not None else "")
    asked = problem is not None and problem.said_by != "the file itself"
    sure = reason is not None or asked
    yield Finding(
        CONFIG_INVALID, db_attempt.severity(failed) if failed is not None else Severity.CRITICAL,
        Confidence.CERTAIN if sure and (reason is None or reason.kind != "no-memory") else Confidence.LIKELY,
        where or "server configuration",
        f"the server does not start: {what}" + (f" ({where})" if where and where not in what else ""),
        evidence=(*(db_attempt.evidence(failed) if failed is not None else ()), *([problem] if problem else []), *([value] if value else [])),
        resolution=tuple(_mend_option(facts, reason, where, problem, value)),
        about=db_view.about(facts, "server configuration", *([where] if where else []), *([problem.file] if problem else []),
                            *([value.file] if value else [])),
        impact=1.0,
    )  # fmt: skip


def _config_words(reason: LogEvent, value: OptionValue | None) -> str:
    match reason.kind:
        case "unknown-option":
            return f"it does not know the option {reason.name}"
        case "bad-option-file":
            return f"its option file is broken at {reason.name}"
        case "address-missing":
            if reason.number == 13:
                return "it may not bind its TCP port (below 1024 only root may)"
            return "it cannot bind the address it is told to: no such address on this host"
        case "no-memory":
            asked = f" ({value.written} = {value.value})" if value is not None else ""
            return f"the memory it asks for cannot be had{asked}"
        case _:
            return f"it does not take the value of {reason.name or 'an option'}"


def _mend_option(
    facts: Facts, reason: LogEvent | None, where: str, problem: OptionProblem | None, value: OptionValue | None
) -> Iterator[Step]:
    root, files = steps.sudo(facts), db_view.config(facts)
    file, _, line = where.rpartition(":")
    if file and line.isdigit():
        begin = max(1, int(line) - 2)
        yield Step(f"look at {where}", f"sed -n '{begin},{int(line) + 2}p' {quote(file)}")
    elif reason is not None:
        yield db_attempt.read_log(reason.subject, facts)
    if reason is not None and reason.kind == "address-missing":
        yield Step("see which addresses this host has", "ip -br address")
        yield from db_view.change_option("bind_address", "*", "every address; or name one that is there", facts)
    elif reason is not None and reason.kind == "no-memory":
        memory = facts.last(Memory)
        if memory is not None:
            fits = max(128, int(memory.available / 2 / _MEBIBYTE))
            why = f"half of the {size(memory.available)} that are available"
            yield from db_view.change_option("innodb_buffer_pool_size", f"{fits}M", why, facts)
    elif file and line.isdigit():
        yield Step(
            f"take the line out for now (the file as it was stays beside it as {file}.before)",
            f"{root}sed -i.before '{line}s/^/#/' {quote(file)}", "disruptive", f"sed -n {line}p {quote(file)}",
        )  # fmt: skip
    if files is not None and files.program:
        only = f" --defaults-file={quote(files.files[0])}" if files.files else ""
        check = "--validate-config" if db_view.flavour(facts) == "MySQL" else "--help --verbose"
        yield Step("let the server check its files", f"{root}{quote(files.program)}{only} {check} > /dev/null")
    yield from db_view.start(facts)


PORT_IN_USE = Spec(
    code="db.port-in-use",
    title="another process has the server's port or socket",
    severity=Severity.CRITICAL,
    meaning="The server does not start because the address it is to listen on is taken, by another program or by another "
    "instance of the server.",
    told="The last start ended with errno 98 on bind. Who listens there is asked of the kernel.",
    not_to_be_taken_for="a second server on the same data directory; the X Plugin's port, without which the server goes on.",
    resolution=("see who has the port", "end that program, or give the server another port", "start the server"),
    explains=(*db_attempt.DOWN, "db.not-mysql", "db.access-denied"),
)


def port_in_use(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    if failed is None or failed.reason.kind != "port-taken":
        return
    files, root = db_view.config(facts), steps.sudo(facts)
    named = next((e.name for e in failed.attempt.of("port-taken") if e.name.isdigit()), "")
    port = int(named) if named else (files.port if files is not None else None) or 3306
    owners = [i for i in facts.of(Listener) if i.port == port]
    owner = owners[0] if owners else None
    server = db_view.server(facts)
    if owner is not None:
        who = f"{owner.process or 'a process we may not see'} listens on {owner.subject}"
        if failed.second and server is not None and owner.pid == server.pid:
            who += (
                ", the server itself: it ran already"
                if files is not None and files.running
                else ", which answers in its place"
            )
    else:
        who = "nobody listens there now, so it can be started again"
    about = (f"port {port}", *(i.subject for i in owners), *(i.process for i in owners if i.process))
    yield Finding(
        PORT_IN_USE, db_attempt.severity(failed), Confidence.CERTAIN if owner is not None else Confidence.LIKELY, f"port {port}",
        f"{'a second server' if failed.second else 'the server'} does not start: port {port} is taken; {who}",
        evidence=db_attempt.evidence(failed, *owners),
        resolution=tuple(_free_port(facts, port, owner, root, second=failed.second)),
        about=db_view.about(facts, *about), impact=1.0,
    )  # fmt: skip


def _free_port(facts: Facts, port: int, owner: Listener | None, root: str, *, second: bool) -> Iterator[Step]:
    yield Step(f"see who listens on port {port}", f"{root}ss -ltnp 'sport = :{port}'")
    if owner is not None and owner.pid is not None:
        yield Step(f"see what {owner.process} is", f"ps -o pid,ppid,user,lstart,args -p {owner.pid}")
        if second:
            return
        yield Step(
            f"end {owner.process}, if it has no business there",
            steps.guarded(owner.pid, owner.start_ticks, f"{root}kill {owner.pid}"), "disruptive", f"ps -p {owner.pid}",
        )  # fmt: skip
    if not second:
        yield from db_view.start(facts)


DATADIR_PERMISSION = Spec(
    code="db.datadir-permission",
    title="the server cannot use its own files or folders",
    severity=Severity.CRITICAL,
    meaning="The server does not start because a file or folder that it needs is missing, not its own, or was never made "
    "ready: its data directory, the folder of its socket or of its pid file, or of a log.",
    told="The first error of the last start is errno 13 or 2 about a path, or says that the system tables are not there.",
    not_to_be_taken_for="a filesystem that is read only (errno 30) or full (28).",
    resolution=("look at owner and mode along the whole path", "give it back to the server's user", "start the server"),
    explains=db_attempt.DOWN,
)
_PATH_KINDS = ("datadir-permission", "socket-path", "uninitialised")


def datadir_permission(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    if failed is None or (reason := failed.reason).kind not in _PATH_KINDS:
        return
    files, process = db_view.config(facts), db_view.server(facts)
    datadir = (files.datadir if files else "") or (process.datadir if process else "") or "/var/lib/mysql"
    user = (files.user if files else "") or "mysql"
    path = _path(reason, datadir, files.socket if files else "", files.pid_file if files else "")
    seen = [p for p in facts.of(PathAccess) if p.subject == path or p.usable is False]
    yield Finding(
        DATADIR_PERMISSION, db_attempt.severity(failed), Confidence.CERTAIN, path,
        f"the server does not start: {_path_words(reason, path, user)}", evidence=db_attempt.evidence(failed, *seen),
        resolution=tuple(_mend_path(facts, reason, path, datadir, user)), about=db_view.about(facts, path, datadir), impact=1.0,
    )  # fmt: skip


def _path(reason: LogEvent, datadir: str, socket: str, pid_file: str) -> str:
    """What the start failed of: a file, or the folder in which one could not be made."""
    if reason.kind == "uninitialised":
        return datadir
    if reason.kind == "socket-path":
        return reason.name or ("" if "PID file" in reason.text else socket) or pid_file or datadir
    path = f"{datadir.rstrip('/')}{reason.name[1:]}" if reason.name.startswith("./") else reason.name.rstrip("/")
    if "create" in reason.text:
        path = path.rpartition("/")[0]
    return path or datadir


def _path_words(reason: LogEvent, path: str, user: str) -> str:
    if reason.kind == "uninitialised":
        if " " in reason.name:  # else it is the table that is not there
            return f"{path} is not of this version of the server: {reason.name}"
        return f"{path} holds no system tables: it is empty, not the right one, or was never initialised"
    if reason.kind == "socket-path":
        return f"it cannot make {path}: {reason.text.rpartition(': ')[2]}"
    return f"{path} is not there" if reason.number == 2 else f"{user} may not use {path}"


def _mend_path(facts: Facts, reason: LogEvent, path: str, datadir: str, user: str) -> Iterator[Step]:
    root, flavour = steps.sudo(facts), db_view.flavour(facts)
    inside = f"{path}/".startswith(f"{datadir.rstrip('/')}/") and reason.number != 2
    folder = path if "create" in reason.text and reason.kind == "datadir-permission" else path.rpartition("/")[0] or "/"
    yield Step("see owner and mode along the whole path", f"{root}namei -l {quote(path)}")
    if reason.kind == "uninitialised":
        yield Step("see whether this is the folder that holds your data", f"{root}ls -la {quote(datadir)}")
        make = "mariadb-install-db" if flavour == "MariaDB" else "mysqld --initialize"
        yield Step(
            "only if there is no data to be had back, neither elsewhere nor from a backup: make an empty one",
            f"{root}{make} --user={quote(user)} --datadir={quote(datadir)}", "destructive", f"{root}ls {quote(datadir)}/mysql",
        )  # fmt: skip
        return
    if path == datadir and reason.number == 2:
        yield Step("see whether a filesystem that belongs there is not mounted", "findmnt --fstab; findmnt --real")
        yield Step(
            "mount it, or let datadir name the folder that holds the data",
            risk="disruptive",
            verify=f"ls -ld {quote(datadir)}",
        )
        yield from db_view.start(facts)
        return
    yield Step(
        "see whether AppArmor or SELinux forbade it", f"{root}dmesg | grep -E 'apparmor=.DENIED|avc: +denied' | tail -5"
    )
    if inside:
        yield Step(
            f"give {datadir} back to {user}", f"{root}chown -R {quote(user)}: {quote(datadir)}", "disruptive",
            f"{root}ls -ld {quote(path)}",
        )  # fmt: skip
    else:
        yield Step(
            f"make {folder} and give it to {user}", f"{root}install -d -o {quote(user)} -g {quote(user)} {quote(folder)}",
            "disruptive", f"ls -ld {quote(folder)}",
        )  # fmt: skip
    yield from db_view.start(facts)


DATADIR_LOCKED = Spec(
    code="db.datadir-locked",
    title="another server uses the same data directory",
    severity=Severity.CRITICAL,
    meaning="A server is started on files that another one holds: an instance that still runs, or one that is still ending. "
    "The first may be quite healthy; two at once would destroy the data, so the second one is turned away.",
    told="The last start says that it cannot lock its files (errno 11).",
    not_to_be_taken_for="a port that is taken, which is bound after the files are locked.",
    resolution=("see who holds the files", "stop the one that is not wanted, or wait until it has ended"),
    explains=db_attempt.DOWN,
)


def datadir_locked(facts: Facts) -> Iterator[Finding]:
    failed = db_attempt.failure(facts)
    if failed is None or failed.reason.kind != "datadir-locked":
        return
    files, root = db_view.config(facts), steps.sudo(facts)
    named = failed.reason.name
    datadir = (files.datadir if files else "") or (named.rpartition("/")[0] if named.startswith("/") else "")
    holders = [p for p in facts.of(ServerProcess) if datadir and p.datadir.rstrip("/") == datadir.rstrip("/")]
    # a newcomer that still waits for the lock has the file open as well; it serves nobody yet
    holders.sort(key=lambda p: (not (p.ports or p.sockets), -p.age))
    holder = holders[0] if holders else None
    lock = named if named.startswith("/") else f"{datadir.rstrip('/')}/{named.removeprefix('./') or 'ibdata1'}"
    who = f"{holder.subject} holds it" if holder is not None else "another process holds it"
    resolution = [Step("see who holds the files", f"{root}fuser -v {quote(lock)}")]
    if holder is not None:
        resolution.append(Step(f"see what {holder.subject} is", f"ps -o pid,ppid,user,lstart,args -p {holder.pid}"))
    if not failed.second:
        resolution += [
            Step("wait until that one has ended, or stop it in an orderly way", risk="disruptive"),
            *db_view.start(facts),
        ]
    yield Finding(
        DATADIR_LOCKED, db_attempt.severity(failed), Confidence.CERTAIN, datadir or lock,
        f"{'a second server' if failed.second else 'the server'} does not start on {datadir or 'its data'}: {who}",
        evidence=db_attempt.evidence(failed, *holders), resolution=tuple(resolution),
        about=db_view.about(facts, datadir, *(h.subject for h in holders)), impact=0.9,
    )  # fmt: skip


RULES = (config_invalid, port_in_use, datadir_permission, datadir_locked)

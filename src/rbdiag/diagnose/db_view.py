"""What the rules about databases read together: the target, the server behind it, and steps that name both."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.facts.db import DbTarget, Greeting, Login, OptionValue, ServerConfig, ServerProcess
from rbdiag.facts.sessions import ServerInfo
from rbdiag.model import Facts, Step

# Characters that mean something to sed on either side of a substitution.
_SED = str.maketrans({c: f"\\{c}" for c in r"\/&.*[]^$"})


def target(facts: Facts) -> DbTarget | None:
    """What the run is about; None for another runbook's facts."""
    return facts.first(DbTarget)


def label(facts: Facts) -> str:
    """The name under which the target is spoken of."""
    found = target(facts)
    return found.subject if found else "the database"


def server(facts: Facts) -> ServerProcess | None:
    """The server process behind the target, where it runs on this host and can be seen."""
    return next((s for s in facts.of(ServerProcess) if s.role == "target"), None)


def config(facts: Facts) -> ServerConfig | None:
    """What the option files say of the server behind the target, where it is this host's."""
    return next((c for c in facts.of(ServerConfig) if c.for_target), None)


def login(facts: Facts) -> Login | None:
    """How the login ended that was asked for (not the administrator's)."""
    return next((i for i in facts.of(Login) if i.attempt == "asked"), None)


def about(facts: Facts, *more: str) -> frozenset[str]:
    """The subjects that a finding about this target concerns: its label, its server, its host, and those named."""
    found, process, files = target(facts), server(facts), config(facts)
    subjects = {found.subject} if found else set()
    subjects |= {process.subject, "host"} | ({process.unit} if process.unit else set()) if process else set()
    subjects |= {files.subject, "host"} | ({files.unit} if files.unit else set()) if files else set()
    return frozenset(subjects | set(more))


def again(facts: Facts) -> str:
    """The command that looks again."""
    found = target(facts)
    return found.again if found else "rbdiag db"


def flavour(facts: Facts) -> str:
    """ "MariaDB" or "MySQL", as the server says, else as its program is called."""
    said = [i.flavour for i in facts.of(ServerInfo)] + [g.flavour for g in facts.of(Greeting)]
    if known := next((f for f in said if f), ""):
        return known
    process, files = server(facts), config(facts)
    program = (process.program if process else "") or (files.program if files else "")
    return "MariaDB" if not program or "mariadb" in program else "MySQL"


def client(facts: Facts) -> str:
    """The client's command line for this target, as its administrator would type it; it asks for the password itself."""
    name = "mariadb" if flavour(facts) == "MariaDB" else "mysql"
    process, found = server(facts), target(facts)
    # The path that was given works from here; the server's own may be one of its own root (a container, a chroot).
    socket = (found.socket if found else "") or (process.sockets[0] if process and process.sockets else "")
    if socket and (process is not None or (found is not None and found.local)):
        return f"{steps.sudo(facts)}{name} --socket={quote(socket)}"
    if found is None:
        return name
    # The account that was asked for may be the very one that is turned away, and seldom may change anything.
    return f"{name} --host={quote(found.host)} --port={found.port} --user=root -p"


def sql(statement: str, facts: Facts) -> str:
    """The command that runs this statement on the target."""
    # Between double quotes SQL's own single ones can be read; a shell takes these for something else there.
    plain = not any(c in statement for c in '"$`\\!')
    return f"{client(facts)} -e " + (f'"{statement}"' if plain else quote(statement))


def set_global(name: str, value: str, why: str, facts: Facts) -> Step:
    """Change a variable on the running server, until its next start."""
    return Step(
        f"set {name} to {value} now, without a restart ({why})", sql(f"SET GLOBAL {name} = {value}", facts), "disruptive",
        sql(f"SELECT @@GLOBAL.{name}", facts),
    )  # fmt: skip


def unit(facts: Facts) -> str:
    """The service unit of the server, where this host's own manager runs and knows it; else ""."""
    process, files = server(facts), config(facts)
    name = (process.unit if process else "") or (files.unit if files else "")
    return steps.our_unit(name, facts) if name else ""


def change_option(name: str, value: str, why: str, facts: Facts) -> Iterator[Step]:
    """The line of the option file to change, from what to what; where no file sets it, the line to add."""
    root = steps.sudo(facts)
    now = facts.last(OptionValue, name)
    files = config(facts)
    if now is not None:
        if now.value == value:
            return  # never propose what is so already
        old, new = f"{now.written}", f"{now.written} = {value}"
        yield Step(
            f"in {now.file}, line {now.line}: {now.written} from {now.value or 'set'} to {value} ({why})",
            f"{root}sed -i.before '{now.line}{{/{old.translate(_SED)}/s/.*/{new.translate(_SED)}/}}' {quote(now.file)}",
            "disruptive", f"sed -n {now.line}p {quote(now.file)}",
        )  # fmt: skip
    elif files is not None and files.files:
        group = "mariadbd" if flavour(facts) == "MariaDB" else "mysqld"
        yield Step(
            f"add {name} = {value} to {files.files[-1]} ({why})",
            f"printf '[{group}]\\n{name} = {value}\\n' {'| sudo tee -a' if root else '>>'} {quote(files.files[-1])}",
            "disruptive", f"tail -n 2 {quote(files.files[-1])}",
        )  # fmt: skip


def restart(facts: Facts, why: str = "") -> Iterator[Step]:
    """Restart the server the way this host does it; open connections are cut."""
    name, process, root = unit(facts), server(facts), steps.sudo(facts)
    text = "restart the server" + (f" ({why})" if why else "") + ": open connections are cut"
    if name:
        yield Step(text, f"{root}systemctl restart {quote(name)}", "disruptive", again(facts))
    elif process is not None:
        admin = client(facts).replace("mariadb ", "mariadb-admin ", 1).replace("mysql ", "mysqladmin ", 1)
        yield Step(f"{text}; stop it", f"{admin} shutdown", "disruptive", f"ps -p {process.pid}")
        yield Step("then start it as it was started", f"{root}{process.command} &", "disruptive", again(facts))


def start(facts: Facts) -> Iterator[Step]:
    """Start a server that does not run."""
    name, files, root = unit(facts), config(facts), steps.sudo(facts)
    if name:
        yield Step(f"start {name}", f"{root}systemctl start {quote(name)}", "disruptive", again(facts))
    elif files is not None and files.program and files.files:
        command = f"{root}{quote(files.program)} --defaults-file={quote(files.files[0])} &"
        yield Step("start it", command, "disruptive", again(facts))
    else:
        yield Step("start it with whatever manages it here (no service manager that we know does)", risk="disruptive")

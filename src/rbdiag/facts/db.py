"""Facts about MySQL and MariaDB as seen from outside the server: target, greeting, login, process, files.

The subject of what a client sees is the target's *label*: `host:port`, `[v6]:port` or the path of a socket. The subject
of what is seen of a server on this host is its process (`mariadbd[123]`); where none runs, `server configuration`.
"""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import size, span
from rbdiag.model import Fact

Flavour = Literal["MariaDB", "MySQL", ""]
# How far the client's settings want TLS. "verify-ca" checks who issued the certificate, "verify-identity" its name too.
TlsWish = Literal["off", "preferred", "required", "verify-ca", "verify-identity"]
GreetingWord = Literal["mysql", "error", "silent", "closed", "reset", "other"]
# As whom a login was tried: the account that was asked for, the same with TLS added, or this host's administrator
# through the socket, which is tried only where the first was turned away and we are root beside the server.
Attempt = Literal["asked", "with-tls", "admin"]
LoginWord = Literal[
    "ok", "denied", "unknown-database", "no-privilege", "host-not-allowed", "host-blocked", "too-many-connections",
    "user-limit", "shut-out", "locked", "expired", "plugin", "tls-required", "tls-failed", "lost", "silent", "starting",
    "failed",
]  # fmt: skip
OptionWord = Literal["unknown-option", "bad-value", "bad-group", "no-group", "unreadable", "ignored", "loop"]
ServerRole = Literal["target", "other"]


class DbTarget(Fact):
    """What is to be connected to, as whom, and who says so.

    `socket` is empty for TCP; `host` and `port` are then used. `account_given` says that somebody named a user or a
    password; without that a refused login says nothing about the service. `password` says whether there is one, never
    which. `local` says that the target is on this host (a socket, a loopback or an own address). `origins` tells where
    each part comes from, such as `port 3307 from /root/.my.cnf:4`. `again` is the command that looks again.
    """

    host: str
    port: int
    socket: str
    user: str
    database: str
    tls: TlsWish
    password: bool
    account_given: bool
    local: bool
    origins: tuple[str, ...] = ()
    again: str = "rbdiag db"

    def __str__(self) -> str:
        where = f"{self.subject} as {self.user}" + (f" on database {self.database}" if self.database else "")
        return where + (f" ({'; '.join(self.origins)})" if self.origins else "")


class Greeting(Fact):
    """The first bytes of a server. `word` "error" is an error packet instead of a greeting, with its `code` and `text`.

    For "other" `text` holds the first bytes, escaped. `tls` says whether the server offers TLS, `seconds` is the time
    from the open connection to the first byte, or for how long there was none.
    """

    word: GreetingWord
    seconds: float
    version: str = ""
    flavour: Flavour = ""
    plugin: str = ""
    tls: bool = False
    code: int | None = None
    text: str = ""

    def __str__(self) -> str:
        match self.word:
            case "mysql":
                return f"{self.subject} is {self.flavour or 'MySQL'} {self.version}, greets in {span(self.seconds)}"
            case "error":
                return f"{self.subject} turns us away: {self.code} {self.text}"
            case "silent":
                return f"{self.subject} accepts the connection and says nothing for {span(self.seconds)}"
            case "closed" | "reset":
                how = "closes" if self.word == "closed" else "resets"
                return f"{self.subject} accepts the connection and {how} it without a word"
            case _:
                return f"{self.subject} does not speak MySQL; its first bytes are {self.text}"


class Login(Fact):
    """How a login ended. `code` is MySQL's error number, `text` its message, as the server (or the driver) gave them.

    `account` is the `user@host` that the server saw, where it told; `tls` and `password` say what was used.
    `tls_offered` says what the greeting offered; `seconds` is the time from the greeting to the answer. The
    administrator also tells whether the database exists that was asked for, and which names are like it (None and ()
    where nobody could ask).
    """

    attempt: Attempt
    word: LoginWord
    user: str
    tls: bool
    tls_offered: bool
    password: bool
    seconds: float
    code: int | None = None
    text: str = ""
    account: str = ""
    database: str = ""
    database_exists: bool | None = None
    databases_like: tuple[str, ...] = ()

    def __str__(self) -> str:
        how = f"as {self.user or 'nobody'}{' with TLS' if self.tls else ''}"
        if self.word == "ok":
            return f"logged in to {self.subject} {how} in {span(self.seconds)}"
        return f"login to {self.subject} {how}: {self.code or self.word} {self.text}".rstrip()


class Account(Fact):
    """A row of the server's accounts that could match the user asked for; the subject is `'user'@'host'`.

    `matches` says that the server chose this row for the client that was turned away (or would). Limits are per hour
    where their name says so, None where not set. `tls` is what the account demands: "", "ANY", "X509", "SPECIFIED".
    """

    plugin: str
    tls: str
    locked: bool | None
    expired: bool | None
    password_changed_at: float | None
    max_user_connections: int | None
    limits: tuple[str, ...]
    matches: bool

    @property
    def happened_at(self) -> float | None:
        return self.password_changed_at

    def __str__(self) -> str:
        said = [f"account {self.subject} by {self.plugin or 'password'}"]
        said += ["locked"] if self.locked else []
        said += ["password expired"] if self.expired else []
        said += [f"demands TLS ({self.tls})"] if self.tls else []
        said += list(self.limits)
        return ", ".join(said)


class ServerProcess(Fact):
    """A MySQL or MariaDB server that runs on this host; the subject is the process.

    `role` "target" is the one behind the target, or the only one there could be. `ports` are the endpoints that it
    listens on, `sockets` the paths. `cpu` is cores used over a short look, None where not measured. `state` is the
    kernel's letter; `traced` that a debugger holds it. Ages in seconds, sizes in bytes; None where hidden from us.
    `own_network` says that it lives in a network namespace of its own: its ports are not this host's.
    """

    pid: int
    start_ticks: int
    role: ServerRole
    state: str
    user: str
    age: float
    command: str
    program: str
    unit: str
    service: str
    parent: str
    ports: tuple[str, ...]
    sockets: tuple[str, ...]
    datadir: str
    tmpdir: str
    error_log: str
    option_files: tuple[str, ...]
    fds: int | None
    fd_limit: int | None
    rss: int
    container: str = ""
    own_network: bool = False

    def __str__(self) -> str:
        where = ", ".join((*self.ports, *self.sockets)) or "no port and no socket that we can see"
        stopped = {"T": ", stopped", "t": ", held by a debugger", "D": ", in uninterruptible sleep", "Z": ", ended"}
        return f"{self.subject}{stopped.get(self.state, '')}, up {span(self.age)}, {size(self.rss)}, listens on {where}"


class ServerConfig(Fact):
    """What the option files say about the server, running or not; the subject is `server configuration`.

    Paths are "" where nothing is said. `unit` is the service unit that would start it, "" where there is none.
    `for_target` says that the socket, port or folder named here is the target's; `running` that a process uses it.
    `pid` is what its pid file holds, whether or not such a process lives.
    """

    files: tuple[str, ...]
    port: int | None
    socket: str
    bind_address: str
    skip_networking: bool
    datadir: str
    tmpdir: str
    error_log: str
    pid_file: str
    user: str
    unit: str
    program: str
    for_target: bool
    running: bool
    pid: int | None = None

    def __str__(self) -> str:
        said = [f"port {self.port}" if self.port else "", f"socket {self.socket}" if self.socket else "",
                f"datadir {self.datadir}" if self.datadir else "", "networking off" if self.skip_networking else "",
                f"bind-address {self.bind_address}" if self.bind_address else ""]  # fmt: skip
        return f"option files ({', '.join(self.files) or 'none'}): {', '.join(s for s in said if s) or 'defaults'}"


class OptionFile(Fact):
    """An option file that the server reads; the subject is its path. `newer`: it changed after the server started.

    `happened_at` is when it was last changed. `why` is what makes the server skip it ("world-writable"), else "".
    """

    happened_at: float
    newer: bool | None
    recent: bool
    why: str = ""

    def __str__(self) -> str:
        ago = "" if self.seen_at is None else f" {span(max(0.0, self.seen_at - self.happened_at))} ago"
        after = ", after the server started" if self.newer else ""
        return f"{self.subject} was last changed{ago}{after}" + (f"; skipped: {self.why}" if self.why else "")


class OptionProblem(Fact):
    """What is wrong in an option file; the subject is `file:line`, or the file where the line is not known.

    `said_by` is who says so: "the file itself" (our own reading) or the program that was asked to validate. `side` is
    whose files they are: a client's may keep clients from starting, and never the server. `stops` says that the
    programs give up on it and do not start; else they pass over the file, or the rest of it.
    """

    word: OptionWord
    option: str
    file: str
    line: int | None
    text: str
    said_by: str
    side: Literal["server", "client"] = "server"
    stops: bool = True

    def __str__(self) -> str:
        return f"{self.subject}: {self.text} (says {self.said_by})"


class OptionValue(Fact):
    """An option of the server that a file sets, and that wins there; the subject is its name, written with underscores.

    `written` is its name as the file writes it (`bind-address`), `value` "" for an option without one. The next start
    would use it.
    """

    written: str
    value: str
    file: str
    line: int
    group: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} [{self.group}] {self.written}" + (f" = {self.value}" if self.value else "")


class Drift(Fact):
    """A variable whose running value differs from what the next start would use; the subject is its name.

    `file` and `line` are where the winning value stands. `dynamic` says whether SET GLOBAL can change it. `origin` is
    where the running value comes from, as the server tells: CONFIG, SQL, COMMAND-LINE, COMPILE-TIME, or "".
    `file_newer` says that the file changed after the server started (else somebody used SET GLOBAL).
    """

    running: str
    configured: str
    file: str
    line: int
    dynamic: bool | None
    origin: str
    file_newer: bool

    def __str__(self) -> str:
        return f"{self.subject} is {self.running or 'empty'}, and {self.file}:{self.line} says {self.configured}"


class PathAccess(Fact):
    """A folder or file that the server needs; the subject is its path.

    `role` is what for. `owner` and `mode` (as `ls` writes it) are what is there; `usable` whether the server's user
    could use it as it must, None where that cannot be told; `missing` that it is not there.
    """

    role: Literal["datadir", "tmpdir", "socket folder", "pid folder", "log", "data file"]
    owner: str
    mode: str
    usable: bool | None
    missing: bool
    server_user: str

    def __str__(self) -> str:
        if self.missing:
            return f"{self.role} {self.subject} is not there"
        can = {True: "can", False: "cannot", None: "may or may not"}[self.usable]
        return f"{self.role} {self.subject} belongs to {self.owner}, {self.mode}: {self.server_user} {can} use it"


class TableCheck(Fact):
    """What CHECK TABLE said; the subject is `schema.table`. `word` is "ok", "damaged" or "note"."""

    word: Literal["ok", "damaged", "note"]
    text: str
    engine: str

    def __str__(self) -> str:
        return f"{self.subject} ({self.engine}): {self.text}"


class TablesChecked(Fact):
    """How far CHECK TABLE came; the subject is the schema, or `all schemas`."""

    checked: int
    total: int
    damaged: int

    def __str__(self) -> str:
        return f"{self.checked:,} of {self.total:,} tables checked, {self.damaged} damaged"

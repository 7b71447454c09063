"""What `rbdiag db` is to connect to: host and port or socket, as whom, with which password, and who says so.

Nothing here asks a name server or opens a connection: it reads the command line, the client's option files, the
environment, and (where none of them says where) which server runs on this host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from rbdiag.collect import option_files, proc
from rbdiag.collect.db_running import Running, running
from rbdiag.deadline import Deadline
from rbdiag.facts.db import DbTarget, TlsWish
from rbdiag.facts.net import endpoint
from rbdiag.frozen import replace
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import is_secret

PORT = 3306
# Where builds put the socket: Debian and its children, Red Hat and its children, what upstream compiles in.
SOCKETS = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108 - where the server puts it
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback")
_WHERE_PASSWORDS = (
    "a password on a command line shows in ps: leave it out; it may come from a client option file (~/.my.cnf), "
    "--password-file FILE, the variable RBDIAG_DB_PASSWORD or --ask-password"
)
# Options of the client that decide on a connection, which it takes by any unique beginning too (`pass`).
_SHORT = {"pass": "password", "passw": "password", "passwor": "password", "passwo": "password", "sock": "socket",
          "socke": "socket", "databas": "database", "proto": "protocol"}  # fmt: skip
_TLS_MODES: dict[str, TlsWish] = {
    "disabled": "off", "preferred": "preferred", "required": "required", "verify_ca": "verify-ca",
    "verify_identity": "verify-identity",
}  # fmt: skip


class TargetError(ValueError):
    """What was asked for cannot be meant; the text is a sentence for the user."""


class Secret:
    """A password that shows itself to nobody who does not ask by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str | None = None) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password, "" where there is none. What was no UTF-8 in a file is in it as surrogate escapes."""
        return self._value or ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***" if self._value else "no password"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not saved")


class Found:
    """The target, what is needed to log in to it, and what was wrong with the files that say so."""

    __slots__ = ("_gap", "problems", "secret", "ssl_ca", "target")

    def __init__(
        self,
        target: DbTarget,
        secret: Secret,
        ssl_ca: str = "",
        problems: tuple[option_files.Problem, ...] = (),
        gap: Gap | None = None,
    ) -> None:
        self.target, self.secret, self.ssl_ca, self.problems, self._gap = target, secret, ssl_ca, problems, gap

    def __repr__(self) -> str:
        return f"Found({self.target!r})"

    def look(self, deadline: Deadline) -> Iterator[Fact]:
        """The check db.target: the target, and what is wrong with the client's option files."""
        yield self.target
        for problem in option_files.as_facts(p for p in self.problems if not p.forbidden):
            yield replace(problem, side="client")
        if self._gap is not None:
            raise CannotLook(self._gap)


class _Said(NamedTuple):
    """A value and who says it."""

    value: str
    by: str


def find(
    target: str | None = None,
    *,
    host: str | None = None,
    port: int | str | None = None,
    socket: str | None = None,
    user: str | None = None,
    database: str | None = None,
    defaults_file: str | None = None,
    password_file: str | None = None,
    password: str | None = None,
    ssl_ca: str | None = None,
    require_tls: bool = False,
    environ: Mapping[str, str],
    again: str = "rbdiag db",
) -> Found:
    """What to connect to. `target` is TARGET, the rest the options of the same names; `password` was typed at a prompt.

    Each part comes from TARGET and options, else from the client's option files, else from the environment, else from
    the server that runs here, else it is the default. Raises TargetError for what cannot be meant.
    """
    named = _named(target or "", host, port, socket, user, database)
    files, problems, gap = _client_options(defaults_file, environ)
    file = {name: _from_file(option) for name, option in files.items() if option.value or name.startswith("ssl")}

    where = _where(named, file, environ)
    who, schema = (named.get(name) or file.get(name) for name in ("user", "database"))
    secret, secret_by, unreadable = _password(password, password_file, who, file, environ)
    origins = [*where.origins, *(f"user {w.value} from {w.by}" for w in [who] if w and w.by != "TARGET"),
               *([f"password from {secret_by}"] if secret else [])]  # fmt: skip
    wish, ca = _tls(file, ssl_ca, require_tls)
    fact = DbTarget(
        subject=where.socket or endpoint(where.host, where.port),
        host=where.host, port=where.port, socket=where.socket, user=who.value if who else _os_user(environ),
        database=schema.value if schema else "", tls=wish, password=bool(secret),
        account_given=who is not None or bool(secret), local=bool(where.socket) or is_local(where.host),
        origins=tuple(option_files.one_line(o) for o in origins), again=again,
    )  # fmt: skip
    return Found(fact, secret, ca, problems, unreadable or gap)


def _named(
    target: str, host: str | None, port: int | str | None, socket: str | None, user: str | None, database: str | None
) -> dict[str, _Said]:
    """What TARGET and the options say, by part; two that disagree cannot be meant."""
    options = {
        "host": _Said(host, "--host") if host else None,
        "port": _Said(str(_port(str(port))), "--port") if port not in (None, "") else None,
        "socket": _Said(socket, "--socket") if socket else None,
        "user": _Said(user, "--user") if user else None,
        "database": _Said(database, "--database") if database else None,
    }
    named = {name: _Said(value, "TARGET") for name, value in parse_target(target).items()}
    for name, said in options.items():
        if said is None:
            continue
        if name in named and named[name].value != said.value:
            raise TargetError(
                f"TARGET says {name} {named[name].value} and {said.by} says {said.value}: name one of them"
            )
        named[name] = said
    if host:
        named["host"] = _Said(_host(host), "--host")
    if "socket" in named and "port" in named:
        raise TargetError(f"a socket has no port: leave out {named['socket'].value} or port {named['port'].value}")
    if "socket" in named:
        if "host" in named and named["host"].value.lower() not in _LOCAL_NAMES:
            raise TargetError(f"a socket is on this host: leave out {named['socket'].value} or {named['host'].value}")
        if not named["socket"].value.startswith("/"):
            raise TargetError(f"a socket is given by its absolute path, not {named['socket'].value}")
    return named


_URL = re.compile(r"(?:jdbc:)?(mysql|mariadb)(?:\+\w+)?://", re.IGNORECASE)


def parse_target(text: str) -> dict[str, str]:
    """The parts of TARGET by name: `host[:port]`, `[v6]:port`, a bare v6 address, a URL or the path of a socket.

    Raises TargetError; no message holds a password.
    """
    text = text.strip()
    if not text:
        return {}
    if "://" in text:
        return _parse_url(text)
    if text.startswith("/"):
        return {"socket": text}
    if "@" in text:
        user, _, rest = text.rpartition("@")
        if ":" in user:
            raise TargetError(_WHERE_PASSWORDS)
        raise TargetError(f"an account is named by mysql://{user}@{rest} or by --user {user}")
    return _parse_address(text)


def _parse_url(text: str) -> dict[str, str]:
    scheme = _URL.match(text)
    if not scheme:
        raise TargetError("a URL of a database begins with mysql://")
    rest = text[scheme.end() :]
    # The account ends at the last @, whatever a password that was written raw holds: nothing of it must be repeated.
    account, at, address = rest.rpartition("@")
    if at and not re.match(r"[^:@/]*(?::\d+)?/", account):
        user, _, secret = account.partition(":")
        if secret:
            raise TargetError(f"there is a password in the URL; {_WHERE_PASSWORDS}")
    else:
        user, address = "", rest
    address, _, query_text = address.partition("#")[0].partition("?")
    address, _, schema = address.partition("/")
    query = dict(pair.partition("=")[::2] for pair in query_text.split("&") if pair)
    if any(is_secret(name) or name.lower() == "pass" for name in query):
        raise TargetError(f"there is a password in the URL; {_WHERE_PASSWORDS}")
    parts = _parse_address(address) if address else {}
    if path := unquote(query.get("unix_socket", "") or query.get("socket", "")):
        parts = {"socket": path}
    if user or query.get("user"):
        parts["user"] = unquote(user or query["user"])
    if schema:
        parts["database"] = unquote(schema)
    return parts


def _parse_address(text: str) -> dict[str, str]:
    """`host`, `host:port`, `:port`, `[v6]`, `[v6]:port`, or a v6 address by itself."""
    if bracketed := re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text, re.DOTALL):
        address, port = bracketed[1], bracketed[2]
        if not is_v6(address):
            raise TargetError(f"[{address}] is no IPv6 address")
        return {"host": address} | ({"port": str(_port(port))} if port is not None else {})
    if is_v6(text):
        return {"host": text}
    host, colon, port = text.partition(":")
    if ":" in port:
        raise TargetError(f"{text} is no address; one of IPv6 with a port is written [address]:port")
    parts = {"host": _host(host)} if host else {"host": "localhost"}
    return parts | ({"port": str(_port(port))} if colon else {})


def _host(text: str) -> str:
    text = text.strip()
    if is_v6(text.strip("[]")):
        return text.strip("[]")
    if not re.fullmatch(r"[^\s/\\@:?#\[\]\x00-\x1f-][^\s/\\@:?#\[\]\x00-\x1f]*", text) or len(text) > 255:
        forms = "host[:port], [v6]:port, mysql://user@host:port/database or a socket path"
        raise TargetError(f"{option_files.one_line(text)!r} is no host: {forms}")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        # what stands there may be half of an account: no word of it is repeated
        raise TargetError(
            "a port is a number from 1 to 65535" + (f", not {text}" if text.isascii() and text.isdigit() else "")
        )
    return int(text)


def is_v6(text: str) -> bool:
    """Whether this is an IPv6 address, with or without a zone (`fe80::1%eth0`)."""
    from socket import AF_INET6, inet_pton

    try:
        inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return False  # which is the answer
    return True


def _client_options(
    defaults_file: str | None, environ: Mapping[str, str]
) -> tuple[dict[str, option_files.Option], tuple[option_files.Problem, ...], Gap | None]:
    """The options that win for a client, what is wrong with its files, and the gap that an unreadable one leaves."""
    if defaults_file:
        path = os.path.abspath(os.path.expanduser(defaults_file))
        if not os.path.exists(path):
            raise TargetError(f"the option file {defaults_file} is not there")
        files = option_files.read([path], required=True)
    else:
        files = option_files.read(option_files.default_files(environ))
    found = {
        _SHORT.get(name, name): option
        for name, option in files.winners(option_files.CLIENT_GROUPS, environ.get("MYSQL_GROUP_SUFFIX", "")).items()
    }
    problems, gap = files.problems, None
    login = environ.get("MYSQL_TEST_LOGIN_FILE") or os.path.join(environ.get("HOME", ""), ".mylogin.cnf")
    if os.path.isabs(login) and os.path.exists(login):
        # it is read last, so that it wins, and even beside a --defaults-file
        try:
            found |= {option.name: option for option in option_files.login_path(login)}
        except OSError as error:
            gap = Gap("forbidden", f"not allowed to read {login}: {option_files.reason(error)}", "run as its owner")
        except ValueError as error:
            gap = Gap(
                "failed",
                f"{login} cannot be read: {error}",
                f"look at it with mysql_config_editor print, or remove {login}",
            )
    for problem in problems:
        if problem.forbidden and gap is None:
            gap = Gap(
                "forbidden", f"{problem.file}: {problem.text}", "run as root, or as the user whose files they are"
            )
    return found, problems, gap


def _from_file(option: option_files.Option) -> _Said:
    # a switch without a value is on
    return _Said("1" if option.value is None else option.value, f"{option.file}:{option.line}")


def _password(
    typed: str | None,
    password_file: str | None,
    who: _Said | None,
    file: Mapping[str, _Said],
    environ: Mapping[str, str],
) -> tuple[Secret, str, Gap | None]:
    """The password, who says it, and the gap where its file cannot be read."""
    if typed is not None:
        return Secret(typed), "the prompt", None
    if password_file:
        path = os.path.expanduser(password_file)
        try:
            return Secret(_first_line(path)), password_file, None
        except PermissionError:
            return (
                Secret(),
                "",
                Gap("forbidden", f"not allowed to read the password in {password_file}", "run as its owner"),
            )
        except OSError as error:
            raise TargetError(
                f"the password file {password_file} cannot be read: {option_files.reason(error)}"
            ) from None
    variable = next((v for v in ("RBDIAG_DB_PASSWORD", "MYSQL_PWD") if environ.get(v)), "")
    said = file.get("password")
    # A file's password is that of the user it names: for another user what the environment says is meant.
    of_another = who is not None and "user" in file and file["user"].value != who.value
    if said is not None and not (of_another and variable):
        return Secret(said.value), said.by, None
    return Secret(environ[variable] if variable else None), f"${variable}", None


def _first_line(path: str) -> str:
    """The first line of a password file, which may be a pipe. Raises OSError, and TargetError for an empty file."""
    with open(path, "rb") as opened:
        line = opened.readline(4096).rstrip(b"\r\n")
    if not line:
        raise TargetError(f"the password file {path} is empty")
    return line.decode("utf-8", "surrogateescape")


def _tls(file: Mapping[str, _Said], ssl_ca: str | None, require_tls: bool) -> tuple[TlsWish, str]:
    """How far TLS is wanted, and the file of the authorities to trust ("" for those of this host).

    To name authorities is to want them asked: both clients do so. `ssl=1` alone is content without TLS.
    """
    if ssl_ca and not os.path.exists(os.path.expanduser(ssl_ca)):
        raise TargetError(f"the file {ssl_ca} of --ssl-ca is not there")
    ca = ssl_ca or (file["ssl_ca"].value if "ssl_ca" in file else "")
    wish: TlsWish = "verify-ca" if ca else "preferred"
    if "ssl" in file and option_files.switch(file["ssl"].value) is False:
        wish = "off"
    if "ssl_mode" in file:
        wish = _TLS_MODES.get(file["ssl_mode"].value.strip().lower().replace("-", "_"), wish)
    elif "ssl_verify_server_cert" in file and option_files.switch(file["ssl_verify_server_cert"].value):
        wish = "verify-identity"
    if ssl_ca and not wish.startswith("verify"):
        wish = "verify-ca"
    if require_tls and wish in ("off", "preferred"):
        wish = "required"
    return wish, os.path.expanduser(ca)


class _Where(NamedTuple):
    host: str
    port: int
    socket: str
    origins: tuple[str, ...]


def _where(named: Mapping[str, _Said], file: Mapping[str, _Said], environ: Mapping[str, str]) -> _Where:
    """Host and port, or a socket. `localhost` means the socket, as to every client, unless a port is asked for."""
    if "socket" in named:
        return _Where("localhost", PORT, os.path.normpath(named["socket"].value), ())
    host, port = named.get("host") or file.get("host"), named.get("port") or _checked_port(file, environ)
    number = int(port.value) if port else PORT
    said = [f"{what} {v.value} from {v.by}" for what, v in (("host", host), ("port", port)) if v and v.by != "TARGET"]
    if host is not None and host.value.lower() not in _LOCAL_NAMES:
        return _Where(_checked_host(host), number, "", tuple(said))
    if "port" in named:
        return _Where("127.0.0.1", number, "", (*said, f"port {number} is asked for, so TCP and not the socket"))
    if (protocol := file.get("protocol")) and protocol.value.lower() == "tcp":
        return _Where(host.value if host else "localhost", number, "", (*said, f"TCP from {protocol.by}"))
    socket = file.get("socket")
    if socket is None and environ.get("MYSQL_UNIX_PORT"):
        socket = _Said(environ["MYSQL_UNIX_PORT"], "$MYSQL_UNIX_PORT")
    if socket is not None and socket.value.startswith("/"):
        return _Where("localhost", number, os.path.normpath(socket.value), (f"socket from {socket.by}",))
    return _of_this_host(number if port else None, said)


def _of_this_host(port: int | None, said: Sequence[str]) -> _Where:
    """Where nothing names a socket: the server that runs here, else where one would be."""
    servers = running()
    if not servers:
        socket, by = _usual_socket()
        return _Where("localhost", port or PORT, socket, (*said, f"socket from {by}"))
    wanted = port or PORT

    def rank(server: Running) -> tuple[bool, bool, int]:
        usual = wanted in server.ports or bool(set(server.sockets) & set(SOCKETS))
        return (wanted not in server.ports, not usual, min(server.ports, default=65536))

    best, *others = sorted(servers, key=rank)
    also = tuple(f"also here: {o.subject} at {', '.join((*o.sockets, *map(str, o.ports)))}" for o in others)
    if best.sockets:
        return _Where(
            "localhost", port or PORT, best.sockets[0], (*said, f"socket of {best.subject}, which runs here", *also)
        )
    number = wanted if wanted in best.ports else best.ports[0]
    return _Where("127.0.0.1", number, "", (*said, f"port of {best.subject}, which runs here", *also))


def _usual_socket() -> tuple[str, str]:
    """The socket that the server's option files name, else the first usual one that is there, and who says so."""
    option = option_files.read(option_files.default_files({}, "")).winners(option_files.server_groups()).get("socket")
    if option and option.value and option.value.startswith("/"):
        return option.value, f"{option.file}:{option.line}"
    there = next((path for path in SOCKETS if os.path.exists(path)), "")
    return there or (
        SOCKETS[2] if os.path.isdir("/var/lib/mysql") and not os.path.isdir("/etc/mysql") else SOCKETS[0]
    ), "this kind of system"


def _checked_port(file: Mapping[str, _Said], environ: Mapping[str, str]) -> _Said | None:
    port = file.get("port")
    if port is None and environ.get("MYSQL_TCP_PORT"):
        port = _Said(environ["MYSQL_TCP_PORT"], "$MYSQL_TCP_PORT")
    if port is None or port.value == "0":  # which means the default
        return None
    try:
        return _Said(str(_port(port.value)), port.by)
    except TargetError as error:
        raise TargetError(f"{error} ({port.by})") from None


def _checked_host(host: _Said) -> str:
    try:
        return _host(host.value)
    except TargetError as error:
        raise TargetError(f"{error} ({host.by})") from None


def is_local(host: str) -> bool:
    """Whether a host is this one, told without asking any name server: by its address, its name, or /etc/hosts."""
    name = host.lower().rstrip(".")
    node = os.uname().nodename.lower()
    if name in (*_LOCAL_NAMES, node, node.partition(".")[0]):
        return True
    return any(_own_address(address) for address in ([host] if _is_address(host) else _in_hosts(name)))


def _is_address(host: str) -> bool:
    return is_v6(host) or bool(re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", host))


def _in_hosts(name: str) -> list[str]:
    try:
        lines = proc.text(proc.read("/etc/hosts", 1 << 20)).splitlines()
    except OSError:
        return []  # then only a name server would know
    words = [line.partition("#")[0].split() for line in lines]
    return [w[0] for w in words if name in (alias.lower() for alias in w[1:])]


def _own_address(address: str) -> bool:
    """An address is our own if the kernel would send to it from itself; a connected UDP socket sends nothing."""
    from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket

    bare, _, zone = address.partition("%")
    if bare in ("0.0.0.0", "::"):  # noqa: S104 - to connect there means this host
        return True
    v6 = ":" in bare
    try:
        with socket(AF_INET6 if v6 else AF_INET, SOCK_DGRAM) as probe:
            probe.connect((address if zone else bare, 9))
            own = str(probe.getsockname()[0])
    except OSError:
        return False  # there is no way to it, so it is not ours
    return own.partition("%")[0] == bare or bare.startswith("127.")


def _os_user(environ: Mapping[str, str]) -> str:
    """As whom a client logs in when nobody says: the user of the system."""
    from pwd import getpwuid

    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return environ.get("USER", "") or str(os.geteuid())

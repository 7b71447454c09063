"""Reading the option files of MySQL and MariaDB as their own programs do: groups, includes, quotes, and who wins.

Every value keeps the file, line and group that it came from. Source: the behaviour of `my_print_defaults`, which the
tests compare with; mariadb.com/kb "Configuring MariaDB with Option Files", dev.mysql.com "Using Option Files".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.facts.db import OptionWord

if TYPE_CHECKING:
    from rbdiag.facts.db import OptionProblem

# How deep files may include each other, in both programs.
_DEEPEST = 10
# The file of SET PERSIST. MySQL reads it last, so that it wins over every option file and the command line.
PERSISTED = "mysqld-auto.cnf"
# A line longer than the programs' buffer is read as several lines.
_LINE = 4094
# An option file is a few kilobytes; more is a wrong path, or a device that never ends.
_MOST_BYTES = 1 << 20
# What C's isspace() takes for a blank in Latin-1.
_BLANKS = b" \t\n\v\f\r\xa0"
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"s": b" ", b'"': b'"', b"'": b"'", b"\\": b"\\"}

CLIENT_GROUPS = ("mysql", "mariadb-client", "client", "client-server", "client-mariadb")
SERVER_GROUPS = ("mysqld", "server", "mariadb", "mariadbd", "client-server", "galera")
MYSQL_SERVER_GROUPS = ("mysqld", "server")
SAFE_GROUPS = ("mysqld_safe", "safe_mysqld", "mariadb_safe", "mariadbd-safe", "mysqld-safe")


class Option(NamedTuple):
    """One option as a file has it. `name` is one form for all ways to write it; `value` is None where it has none."""

    group: str
    name: str
    written: str
    value: str | None
    file: str
    line: int


class Problem(NamedTuple):
    """What is wrong with a file, and in which line (None for the file as a whole).

    `stops` says that a program would give up on it, `forbidden` that it is we who may not read it; others may.
    """

    word: OptionWord
    option: str
    file: str
    line: int | None
    text: str
    stops: bool = False
    forbidden: bool = False


class Files(NamedTuple):
    """What a set of option files says: the options in the order read, so that the last of a name wins.

    `read` are the files in that order, `skipped` those that the programs pass over, with the reason.
    `fatal` says that a program would give up on them.
    """

    options: tuple[Option, ...] = ()
    read: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    fatal: bool = False

    def of(self, groups: Iterable[str], suffix: str = "") -> tuple[Option, ...]:
        """The options of these groups, as a program that reads them sees them; groups are compared without case."""
        wanted = {g.lower() for g in groups}
        wanted |= {f"{g}{suffix}".lower() for g in wanted} if suffix else set()
        return tuple(o for o in self.options if o.group.lower() in wanted)

    def winners(self, groups: Iterable[str], suffix: str = "") -> dict[str, Option]:
        """The option that wins of each name; of `user` the server takes the first (see `first_user`)."""
        return {o.name: o for o in self.of(groups, suffix)}


class Group(NamedTuple):
    """A group header that was read."""

    name: str


class Include(NamedTuple):
    """An `!include` or `!includedir` line."""

    path: str
    folder: bool


class Setting(NamedTuple):
    """An option line, unescaped."""

    written: str
    value: str | None


class Broken(NamedTuple):
    """A line that makes the programs give up."""

    word: OptionWord
    text: str


def parse(data: bytes) -> Iterator[tuple[int, Group | Include | Setting | Broken]]:
    """The lines of one file that say something, numbered from 1; it ends with the first that is broken."""
    grouped = False
    for number, line in _lines(data):
        text = line.partition(b"\0")[0].lstrip(_BLANKS)
        if not text or text[:1] in (b"#", b";"):
            continue
        if text.startswith(b"!"):
            if (include := _include(text[1:])) is None:
                continue
            yield number, include
            if isinstance(include, Broken):
                return
        elif text.startswith(b"["):
            name, end, _ = text[1:].partition(b"]")
            if not end:
                yield number, Broken("bad-group", f"the group {_text(text.rstrip(_BLANKS))} has no closing bracket")
                return
            grouped = True
            yield number, Group(_text(name.rstrip(_BLANKS)))
        elif not grouped:
            yield number, Broken("no-group", f"{_shown(text)} stands before any [group]")
            return
        else:
            yield number, _setting(_without_comment(text))


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    lines = data.split(b"\n")
    for number, line in enumerate([*(line + b"\n" for line in lines[:-1]), lines[-1]], 1):
        for at in range(0, len(line), _LINE):
            yield number, line[at : at + _LINE]


def _include(text: bytes) -> Include | Broken | None:
    """What stands behind the `!`; other words are passed over, as the programs do."""
    found = re.match(rb"[ \t\n\v\f\r\xa0]*(include|includedir)(?=[ \t\n\v\f\r\xa0])(.*)", text, re.DOTALL)
    if not found:
        return None
    path = os.fsdecode(found[2].strip(_BLANKS))
    if not path:
        return Broken("bad-value", f"!{_text(found[1])} names no {'folder' if found[1] == b'includedir' else 'file'}")
    return Include(path, found[1] == b"includedir")


def _without_comment(text: bytes) -> bytes:
    """The line up to a `#` that stands outside quotes."""
    quote, escaped = 0, False
    for at, char in enumerate(text):
        if char in b"'\"" and not escaped:
            quote = char if not quote else 0 if quote == char else quote
        if not quote and char == 0x23:
            return text[:at]
        escaped = bool(quote) and char == 0x5C and not escaped
    return text


def _setting(text: bytes) -> Setting:
    name, equals, value = text.partition(b"=")
    written = _text(name.rstrip(_BLANKS))
    if not equals:
        return Setting(written, None)
    value = value.strip(_BLANKS)
    if len(value) > 1 and value[:1] in (b"'", b'"') and value[-1:] == value[:1]:
        value = value[1:-1]
    return Setting(written, _text(re.sub(rb"(?s)\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), value)))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _shown(text: bytes) -> str:
    """The name in a line that may hold a secret."""
    return _text(text.partition(b"=")[0].rstrip(_BLANKS))[:64]


# Names of their own that begin like the prefix of another.
_REAL = frozenset(
    """
    skip_networking skip_name_resolve skip_grant_tables skip_external_locking skip_show_database skip_slave_start
    skip_replica_start skip_host_cache skip_stack_trace skip_parallel_replication skip_replication skip_write_binlog
    skip_auto_rehash skip_column_names skip_line_numbers skip_pager skip_reconnect skip_comments skip_opt
    """.split()
)


def canonical(written: str, value: str | None) -> tuple[str, str | None]:
    """The one form of an option's name (underscores, no `loose-`), and its value where the name says it.

    `skip-innodb` is `innodb` with the value 0; `enable-x` is `x` with 1. `maximum-x` stays as it is: it sets no value.
    """
    name = written.replace("-", "_").lower().removeprefix("loose_")
    if name in _REAL or name.startswith("maximum_"):
        return name, value
    for prefix, said in (("skip_", "0"), ("disable_", "0"), ("enable_", "1")):
        if name.startswith(prefix) and len(name) > len(prefix):
            # a negation of a negation: skip-x=0 is x=1
            turned = {"0": "1", "1": "0"}[said] if value == "0" else said
            return name.removeprefix(prefix), turned
    return name, value


_SIZE = re.compile(r"([-+]?\d+)([KMGTPE]?)", re.IGNORECASE)


def number(value: str) -> int | None:
    """A number with or without a suffix (16M); None for what is none."""
    found = _SIZE.fullmatch(value.strip())
    return int(found[1]) << 10 * " KMGTPE".index(found[2].upper() or " ") if found else None


def switch(value: str | None) -> bool | None:
    """An on/off value; an option without a value is on. None for what is neither."""
    word = (value if value is not None else "1").strip().lower()
    return True if word in ("1", "on", "true", "yes") else False if word in ("0", "off", "false", "no") else None


def default_files(environ: Mapping[str, str], home: str | None = None, extra: str = "") -> tuple[str, ...]:
    """Where the programs look when nothing else is said, in their order; most of these files are usually not there.

    `extra` is --defaults-extra-file. Builds differ in one folder (/usr/etc, /usr/local/etc), which Debian's leave out.
    """
    folders = ["/etc", "/etc/mysql", "/usr/etc", "/usr/local/etc"]
    folders += [f for f in (environ.get("MARIADB_HOME") or environ.get("MYSQL_HOME"),) if f]
    home = environ.get("HOME", "") if home is None else home
    names = [*(os.path.join(f, "my.cnf") for f in folders), *([extra] if extra else [])]
    names += [os.path.join(home, ".my.cnf")] if home else []
    return tuple(dict.fromkeys(names))


def read_file(path: str) -> bytes:
    """An option file's bytes. Raises OSError where it cannot be read, IsADirectoryError where it is no file at all."""
    # a pipe named by an include must not hold us for ever
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IsADirectoryError(21, "is no regular file", path)
        data = bytearray()
        while len(data) < _MOST_BYTES and (part := os.read(fd, 65536)):
            data += part
        return bytes(data)
    finally:
        os.close(fd)


def read(paths: Iterable[str], *, required: bool = False) -> Files:
    """Read option files with all that they include. A file that is not there is no problem, unless `required`.

    A file that cannot be read is a problem and not an error: the programs pass over it in silence.
    """
    walk = _Walk()
    fatal = False
    for path in paths:
        if (required or os.path.lexists(path)) and not walk.file(path, 0, (), required):
            fatal = True
            # it was the last problem met that the programs give up on
            walk.problems[-1] = walk.problems[-1]._replace(stops=True)
            break
    return Files(tuple(walk.options), tuple(dict.fromkeys(walk.read)), tuple(dict.fromkeys(walk.skipped)),
                 tuple(dict.fromkeys(walk.problems)), fatal)  # fmt: skip


class _Walk:
    """Goes through files and their includes and keeps what it meets."""

    def __init__(self) -> None:
        self.options: list[Option] = []
        self.read: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.problems: list[Problem] = []

    def file(self, path: str, depth: int, inside: tuple[str, ...], required: bool = False) -> bool:
        """One file. False where the programs would give up; for an included file they only leave its rest unread."""
        path = os.path.abspath(path)
        if path in inside:
            self._problem("loop", path, None, f"it includes itself by way of {inside[-1]}")
            return True
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
                self.skipped.append((path, "world-writable"))
                self._problem("ignored", path, None, "everybody may write this file, so the programs pass over it")
                return True
            data = read_file(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError) or required:
                self.skipped.append((path, "unreadable"))
                self._problem("unreadable", path, None, f"cannot be read: {reason(error)}", error)
            return not required
        self.read.append(path)
        group = ""
        for line, item in parse(data):
            match item:
                case Group():
                    group = item.name
                case Setting():
                    name, value = canonical(item.written, item.value)
                    self.options.append(Option(group, name, item.written, value, path, line))
                case Broken():
                    self._problem(item.word, path, line, item.text)
                    return False
                case Include():
                    there = _beside(path, item.path)
                    if depth >= _DEEPEST:
                        self._problem("loop", path, line, f"includes go deeper than {_DEEPEST} files")
                    elif not item.folder:
                        self.file(there, depth + 1, (*inside, path))
                    elif not self._folder(there, depth, (*inside, path), line):
                        return False
        return True

    def _folder(self, folder: str, depth: int, inside: tuple[str, ...], line: int) -> bool:
        try:
            names = sorted(os.listdir(folder), key=os.fsencode)
        except OSError as error:
            text = f"the folder {folder} cannot be read: {reason(error)}"
            self._problem("unreadable", inside[-1], line, text, error)
            return False
        for name in names:
            if name.endswith(".cnf"):
                self.file(os.path.join(folder, name), depth + 1, inside)
        return True

    def _problem(self, word: OptionWord, file: str, line: int | None, text: str, why: OSError | None = None) -> None:
        self.problems.append(Problem(word, "", file, line, text, forbidden=isinstance(why, PermissionError)))


def reason(error: OSError) -> str:
    """Why, in the system's words, as the end of a sentence."""
    return (error.strerror or str(error)).lower()


def _beside(path: str, included: str) -> str:
    """The path of an include, seen from where its file is seen: a container's files lie under /proc/PID/root."""
    root = re.match(r"/proc/\d+/root(?=/)", path)
    return root[0] + included if root and included.startswith("/") and not included.startswith(root[0]) else included


def server_groups(flavour: str = "", version: str = "") -> tuple[str, ...]:
    """The groups that a server reads, with those of its version (`mariadb-10.11`, `mysqld-8.0`) where it is known."""
    base = MYSQL_SERVER_GROUPS if flavour == "MySQL" else SERVER_GROUPS
    short = ".".join(version.split(".")[:2])
    versioned = ("mysqld",) if flavour == "MySQL" else ("mysqld", "mariadb", "mariadbd")
    return (*base, *(f"{group}-{short}" for group in versioned if short))


def arguments(argv: Iterable[str]) -> dict[str, str]:
    """The options of a command line by their one name; "1" for one without a value. Values may be secrets."""
    found = {}
    words = list(argv)
    for word, after in zip(words, [*words, ""][1:], strict=True):
        if word.startswith("--") and len(word) > 2:
            written, equals, value = word[2:].partition("=")
            if not equals and after and not after.startswith("-"):  # a server takes no arguments of its own
                equals, value = "=", after
            name, said = canonical(written, value if equals else None)
            found[name] = "1" if said is None else said
    return found


def arguments_in(command: str) -> dict[str, str]:
    """The same of a command line that is written as a shell would have it."""
    import shlex

    try:
        return arguments(shlex.split(command))
    except ValueError:
        return arguments(command.split())


def of_server(said: Mapping[str, str], environ: Mapping[str, str] | None = None) -> tuple[tuple[str, ...], str]:
    """The option files that a server reads (before includes) whose command line says this, and its groups' suffix."""
    surroundings = environ or {}
    suffix = said.get("defaults_group_suffix", surroundings.get("MYSQL_GROUP_SUFFIX", ""))
    if "no_defaults" in said:
        return (), suffix
    if path := said.get("defaults_file"):
        return (path,), suffix
    return default_files(surroundings, extra=said.get("defaults_extra_file", "")), suffix


def one_line(text: str) -> str:
    """Text that fits on one line and can be written anywhere: what is no character becomes a visible escape."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def as_facts(problems: Iterable[Problem]) -> Iterator[OptionProblem]:
    """The problems as facts, found by reading the files."""
    from rbdiag.facts.db import OptionProblem

    for p in problems:
        where = f"{p.file}:{p.line}" if p.line is not None else p.file
        yield OptionProblem(
            subject=one_line(where), word=p.word, option=p.option, file=one_line(p.file), line=p.line,
            text=one_line(p.text), said_by="the file itself", stops=p.stops,
        )  # fmt: skip


def persisted(data: bytes) -> dict[str, str]:
    """The variables in a mysqld-auto.cnf (JSON, whose layout differs by version). Raises ValueError."""
    import json

    found: dict[str, str] = {}

    def walk(tree: object) -> None:
        if isinstance(tree, dict):
            for name, below in tree.items():
                if isinstance(below, dict) and "Value" in below:
                    found[str(name)] = str(below["Value"])
                else:
                    walk(below)

    walk(json.loads(data))
    return found


def login_path(path: str, group: str = "client") -> tuple[Option, ...]:
    """The options of ~/.mylogin.cnf, which MySQL's `mysql_config_editor` writes: AES-128 with the key in the file.

    It keeps passwords from eyes, not from programs. Raises OSError, and ValueError for a file that is something else.
    """
    text = reveal(read_file(path))
    return tuple(
        Option(section, *canonical_of(item), path, line)
        for line, section, item in _sections(text)
        if section.lower() in (group, "client", "mysql")
    )


def canonical_of(item: Setting) -> tuple[str, str, str | None]:
    """The name in one form, as written, and the value of an option line."""
    name, value = canonical(item.written, item.value)
    return name, item.written, value


def _sections(text: bytes) -> Iterator[tuple[int, str, Setting]]:
    group = ""
    for line, item in parse(text):
        if isinstance(item, Group):
            group = item.name
        elif isinstance(item, Setting):
            yield line, group, item


def reveal(data: bytes) -> bytes:
    """The text inside a .mylogin.cnf. Raises ValueError for what is none."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(data) < 24:
        raise ValueError("too short for a login path file")
    key = bytearray(16)
    for at, byte in enumerate(data[4:24]):
        key[at % 16] ^= byte
    # ECB is what the format uses
    cipher = Cipher(algorithms.AES(bytes(key)), modes.ECB())  # noqa: S305
    text, at = b"", 24
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        block = data[at + 4 : at + 4 + length]
        if not length or len(block) != length or length % 16:
            raise ValueError("a record of the login path file is cut")
        open_ = cipher.decryptor()
        plain = open_.update(block) + open_.finalize()
        text += plain[: -plain[-1]] if 0 < plain[-1] <= 16 else plain
        at += 4 + length
    return text

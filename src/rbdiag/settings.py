"""The TOML settings file: named targets, contacts, thresholds, patterns of log lines.

Every mistake in it is told with its file, its line, its key, what was found and what was expected. A new setting is
one line in `_KEYS` and one field of the record it belongs to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from rbdiag.frozen import Record, replace
from rbdiag.model import Contact
from rbdiag.redact import MASK, is_secret, redact
from rbdiag.toml_lines import Path as _Path
from rbdiag.toml_lines import key_lines

# The runbooks that settings may name: those of rbdiag.runbooks, which stands above this module; a test compares them.
RUNBOOKS = ("db", "cpu", "logs")
SYSTEM_FILE = "/etc/rbdiag/config.toml"
# Nobody writes this much by hand; more is a wrong path, or a device that never ends.
MOST_BYTES = 1 << 20


class SettingsError(Exception):
    """The settings file is wrong. `line` is None where it cannot be told; `key` is empty for the file as a whole."""

    def __init__(self, file: str, line: int | None, key: str, found: str, expected: str) -> None:
        super().__init__(file, line, key, found, expected)
        self.file, self.line, self.key, self.found, self.expected = file, line, key, found, expected

    def __str__(self) -> str:
        file = self.file if self.file and self.file.isprintable() else ascii(self.file)
        where = file if self.line is None else f"{file}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}found {self.found}, expected {self.expected}"


class Target(Record):
    """A name that may be given instead of a target, and what it stands for; what is not said is empty.

    `target` is written as on the command line. `log` and `config` are paths or globs. All paths are absolute: a file
    means the same from wherever it is read, so a relative one counts from the folder of the settings file.
    """

    name: str
    service: str = ""
    target: str = ""
    runbook: str | None = None
    user: str = ""
    database: str = ""
    defaults_file: str = ""
    password_file: str = ""
    ssl_ca: str = ""
    log: tuple[str, ...] = ()
    config: tuple[str, ...] = ()


class ContactEntry(Record):
    """Whom to call. Empty `runbooks` or `services` mean: for all of them."""

    name: str
    contact: str
    role: str = ""
    when: str = ""
    runbooks: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class Thresholds(Record):
    """From which percentage of the usable CPUs the host counts as busy, and as saturated."""

    cpu_warning: float = 80.0
    cpu_critical: float = 95.0


class PatternEntry(Record):
    """Log lines that mean something to whoever wrote the file: those in which `regex` finds something.

    `title` says what they mean, `severity` how bad that is; `code` is the finding they speak for, "" for none.
    """

    name: str
    regex: str
    title: str
    severity: Literal["warning", "critical"]
    code: str = ""


class Settings(Record):
    """All that a settings file says; `path` is the file that was read, None where there is none."""

    path: str | None = None
    targets: Mapping[str, Target] = MappingProxyType({})
    contacts: tuple[ContactEntry, ...] = ()
    thresholds: Thresholds = Thresholds()
    patterns: tuple[PatternEntry, ...] = ()


class _Form(Record):
    """What a value must be: in words for a person, and as a test. With `many`, an array of such values.

    A `path` that is relative counts from the folder of the settings file, and `~/` is the user's home.
    """

    expected: str
    fits: Callable[[Any], bool]
    required: bool = False
    many: bool = False
    path: bool = False


def _text(expected: str, *, required: bool = False, many: bool = False) -> _Form:
    return _Form(expected, lambda v: isinstance(v, str) and v.isprintable() and bool(v.strip()), required, many)


def _path(expected: str, *, many: bool = False) -> _Form:
    return replace(_text(expected, many=many), path=True)


def _place() -> _Form:
    """A target as on the command line; a URL in it must hold no password, because settings are read by many."""

    def fits(value: Any) -> bool:
        if not isinstance(value, str) or not value.isprintable() or not value.strip():
            return False
        user = value.partition("://")[2].partition("/")[0].rpartition("@")[0]
        return ":" not in user

    return _Form("host[:port], a URL without a password, or the path of a socket", fits)


def _one_of(words: tuple[str, ...], *, required: bool = False, many: bool = False) -> _Form:
    return _Form(
        " or ".join(f"'{word}'" for word in words), lambda v: isinstance(v, str) and v in words, required, many=many
    )


def _number(least: float, most: float) -> _Form:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return _Form(f"a number from {least:g} to {most:g}", fits)


# Every setting there is. `*` is a name the user chooses, `[]` an entry of an array of tables.
_KEYS: dict[str, _Form] = {
    "targets.*.service": _text("the name of a unit, a service or a process"),
    "targets.*.target": _place(),
    "targets.*.runbook": _one_of(RUNBOOKS),
    "targets.*.user": _text("the name of an account"),
    "targets.*.database": _text("the name of a schema"),
    "targets.*.defaults_file": _path("the path of a client option file"),
    "targets.*.password_file": _path("the path of a file with the password on its first line"),
    "targets.*.ssl_ca": _path("the path of a file of certificates"),
    "targets.*.log": _path("the path of a log, or a glob", many=True),
    "targets.*.config": _path("the path of a configuration file or folder", many=True),
    "contacts.[].name": _text("the name of a person or a team", required=True),
    "contacts.[].contact": _text("a phone number, a URL or a mail address", required=True),
    "contacts.[].role": _text("a word or two, such as 'on-call'"),
    "contacts.[].when": _text("a few words, such as 'nights and weekends'"),
    "contacts.[].runbooks": _one_of(RUNBOOKS, many=True),
    "contacts.[].services": _text("the name of a unit, a service or a process", many=True),
    "thresholds.cpu.warning": _number(1, 100),
    "thresholds.cpu.critical": _number(1, 100),
    "patterns.*.regex": _text("a regular expression", required=True),
    "patterns.*.title": _text("what such lines mean, in a few words", required=True),
    "patterns.*.severity": _one_of(("warning", "critical"), required=True),
    "patterns.*.code": _text("the code of a finding"),
}


def load(explicit: str | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the first file there is: `explicit`, $RBDIAG_SETTINGS, the user's, the system's; else defaults.

    Raises SettingsError for every mistake in that file, and where a file that was asked for is not there.
    """
    for path, asked_for in _places(explicit, environ):
        # A folder on the way that we may not enter hides its file: to us it is not there. That is so for every
        # service account that runs with the HOME of somebody else. (A broken link does count as there.)
        if asked_for or os.path.lexists(path):
            return _Reader(path, environ.get("HOME", "")).settings()
    return Settings()


def contacts_for(settings: Settings, runbook: str, services: Iterable[str]) -> tuple[Contact, ...]:
    """Whom to call about this runbook and these services (`shop` and `shop.service` are the same), in file order."""
    wanted = {name.removesuffix(".service") for name in services}
    return tuple(
        Contact(entry.name, entry.role, entry.contact, entry.when)
        for entry in settings.contacts
        if (not entry.runbooks or runbook in entry.runbooks)
        and (not entry.services or any(name.removesuffix(".service") in wanted for name in entry.services))
    )


def target_names(environ: Mapping[str, str], runbook: str = "") -> list[str]:
    """The names of all targets, or of those for this runbook, for the completion of a shell."""
    try:
        targets = load(None, environ).targets.values()
        return [target.name for target in targets if not runbook or target.runbook in (None, runbook)]
    except SettingsError:
        # The only place where a mistake is silent: whatever is printed here lands in the line being typed. The
        # command itself will tell it.
        return []


def _places(explicit: str | None, environ: Mapping[str, str]) -> Iterable[tuple[str, bool]]:
    """Where the settings may be, in order, and whether that file was asked for by its name."""
    if explicit is not None:
        yield explicit, True
    if named := environ.get("RBDIAG_SETTINGS"):
        yield named, True
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # the XDG base directory specification: a relative path is to be ignored
        folder = os.path.join(environ.get("HOME", ""), ".config")
    if os.path.isabs(folder):
        yield os.path.join(folder, "rbdiag", "config.toml"), False
    yield SYSTEM_FILE, False


class _Reader:
    """Reads one file and compares it with `_KEYS`."""

    def __init__(self, path: str, home: str) -> None:
        self.path = path
        self.text = ""
        self._home = home

    def settings(self) -> Settings:
        tree = self._parsed()
        self._table(_tree(), tree, ())
        targets = {name: self._target(name, table) for name, table in tree.get("targets", {}).items()}
        contacts = [ContactEntry(**_frozen(entry)) for entry in tree.get("contacts", ())]
        for index, entry in enumerate(contacts):
            if (first := contacts.index(entry)) < index:
                raise self._error(("contacts", index), f"the same as contacts[{first}]", "every contact once")
        return Settings(
            path=self.path,
            targets=targets,
            contacts=tuple(contacts),
            thresholds=self._thresholds(tree.get("thresholds", {})),
            patterns=tuple(self._pattern(name, table) for name, table in tree.get("patterns", {}).items()),
        )

    def _target(self, name: str, table: Mapping[str, Any]) -> Target:
        for_logs = table.get("runbook", "logs") == "logs"
        if not {"service", "target", *(["log"] if for_logs else [])} & table.keys():
            raise self._error(("targets", name), "neither service nor target", "one of them or both")
        forms = _tree()["targets"]["*"]
        said = {key: self._located(value) if forms[key].path else value for key, value in table.items()}
        return Target(name, **_frozen(said))

    def _pattern(self, name: str, table: Mapping[str, Any]) -> PatternEntry:
        from rbdiag.collect.log_patterns_own import pattern_from_settings
        from rbdiag.diagnose import catalogue

        entry = PatternEntry(name, **table)
        if entry.code and entry.code not in (codes := catalogue()):
            raise self._error(("patterns", name, "code"), repr(entry.code), _one_code(entry.code, codes))
        try:
            pattern_from_settings(entry.name, entry.regex, entry.title)
        except ValueError as error:
            found, expected = f"{_found((), entry.regex)} ({error})", "a regular expression to search every line for"
            raise self._error(("patterns", name, "regex"), found, expected) from error
        return entry

    def _located(self, path: Any) -> Any:
        """The path, or each path, made absolute."""
        if isinstance(path, list):
            return [self._located(one) for one in path]
        if path.startswith("~/") and self._home:
            path = os.path.join(self._home, path[2:])
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(self.path)), path))

    def _parsed(self) -> dict[str, Any]:
        import tomllib

        try:
            with open(self.path, "rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise self._error((), f"{error.strerror or error}".lower(), "a file that can be read") from error
        if len(raw) > MOST_BYTES:
            raise self._error((), f"more than {MOST_BYTES} bytes", "a settings file")
        try:
            self.text = raw.decode("utf-8-sig")
            return tomllib.loads(self.text)
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise SettingsError(self.path, line, "", f"the byte 0x{raw[error.start]:02x}", "UTF-8") from error
        except RecursionError as error:
            raise self._error((), "too many brackets inside each other", "a settings file") from error
        except ValueError as error:  # tomllib lets a few through that are not its own
            raise self._syntax_error(str(error)) from error

    def _syntax_error(self, message: str) -> SettingsError:
        """tomllib says where only in its message (as attributes from Python 3.14 on)."""
        import re

        what, line, where = message, None, ""
        if place := re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z", message):
            what = message[: place.start()]
            line = int(place[1]) if place[1] else self.text.rstrip().count("\n") + 1
            where = f" at column {place[2]}" if place[2] else " at the end"
        return SettingsError(self.path, line, "", f"a syntax error{where} ({what})", "TOML")

    def _error(self, path: _Path, found: str, expected: str, *, at: _Path | None = None) -> SettingsError:
        line = key_lines(self.text).get(path if at is None else at) if path else None
        return SettingsError(self.path, line, _dotted(path), found, expected)

    def _table(self, known: dict[str, Any], table: Any, path: _Path) -> None:
        """Compare one table and all below it, in the order of the file."""
        if not isinstance(table, dict):
            raise self._error(path, _found(path, table), "a table")
        for key, value in table.items():
            here = (*path, key)
            below = known.get("*", known.get(key))
            if below is None:
                raise self._error(here, "an unknown key", _among(key, known))
            if "*" in known and not (key[:1].isalnum() and all(c.isalnum() or c in "._-" for c in key)):
                raise self._error(here, repr(key), "a name of letters, digits, '.', '_' and '-'")
            if isinstance(below, _Form):
                self._value(below, value, here)
            elif "[]" in below:
                if not isinstance(value, list):
                    raise self._error(here, _found(here, value), f"an array of tables ([[{key}]])")
                for index, item in enumerate(value):
                    self._table(below["[]"], item, (*here, index))
            else:
                self._table(below, value, here)
        for key, form in known.items():
            if isinstance(form, _Form) and form.required and key not in table:
                raise self._error((*path, key), "nothing", form.expected, at=path)

    def _value(self, form: _Form, value: Any, path: _Path) -> None:
        if not form.many:
            if not form.fits(value):
                raise self._error(path, _found(path, value), form.expected)
            return
        if not isinstance(value, list):
            raise self._error(path, _found(path, value), f"an array, each of it {form.expected}")
        for index, item in enumerate(value):
            if not form.fits(item):
                raise self._error((*path, index), _found(path, item), form.expected)
            if item in value[:index]:
                raise self._error((*path, index), f"{_found(path, item)} again", "every one once")

    def _thresholds(self, tables: Mapping[str, Mapping[str, float]]) -> Thresholds:
        found = {f"{area}_{key}": float(v) for area, table in tables.items() for key, v in table.items()}
        result = Thresholds(**found)
        for area in tables:
            low, high = getattr(result, f"{area}_warning"), getattr(result, f"{area}_critical")
            if low >= high and "warning" in tables[area]:
                expected = f"less than thresholds.{area}.critical ({high:g})"
                raise self._error(("thresholds", area, "warning"), f"{low:g}", expected)
            if low >= high:
                expected = f"more than thresholds.{area}.warning ({low:g})"
                raise self._error(("thresholds", area, "critical"), f"{high:g}", expected)
        return result


def _tree() -> dict[str, Any]:
    """`_KEYS` as tables inside tables."""
    tree: dict[str, Any] = {}
    for path, form in _KEYS.items():
        *tables, key = path.split(".")
        table = tree
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = form
    return tree


def _frozen(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _found(path: _Path, value: Any) -> str:
    """A value as a message may show it: never a secret, never more than a line."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if is_secret(next((part for part in reversed(path) if isinstance(part, str)), "")):
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    shown = redact(repr(value) if isinstance(value, str | int | float) else str(value))
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _among(key: str, known: Mapping[str, object]) -> str:
    """The keys there are, and the one that was probably meant."""
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    names = sorted(known)
    listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return listed + (f" (did you mean {close[0]}?)" if close else "")


def _one_code(code: str, codes: Iterable[str]) -> str:
    """There are too many codes to list them."""
    import difflib

    close = difflib.get_close_matches(code, list(codes), 1)
    return f"a code that rbdiag explain lists{f' (did you mean {close[0]}?)' if close else ''}"


def _dotted(path: _Path) -> str:
    """A path as a person writes it; names that TOML would quote are quoted."""
    parts = ""
    for part in path:
        if isinstance(part, int):
            parts += f"[{part}]"
            continue
        bare = part.isascii() and part.replace("-", "_").replace("_", "a").isalnum()
        parts += ("." if parts else "") + (part if bare else ascii(part))
    return parts

"""Asking the server's own program what it thinks of its option files.

It is given a data directory that does not exist: without that `mariadbd --help` opens files of the real one for writing
(seen with strace), which a server that starts at that moment would trip over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rbdiag.collect import option_files, proc
from rbdiag.collect.option_files import Option, one_line
from rbdiag.deadline import Deadline
from rbdiag.facts.db import OptionProblem, OptionWord
from rbdiag.model import CannotLook, Gap
from rbdiag.redact import is_secret, redact

# A validation takes 0.1 to 0.3 s; one that takes longer hangs on something (a plugin, a dead mount).
PATIENCE = 4.0
_NOWHERE = "/nonexistent/rbdiag"


def validate(
    program: str, flavour: str, roots: tuple[str, ...], told: Sequence[Option], deadline: Deadline
) -> Iterator[OptionProblem]:
    """What the program itself says of its option files. It reads them and starts nothing.

    Raises CannotLook where it gave up for another reason than an option.
    """
    from rbdiag.collect import programs

    there = [path for path in roots if os.path.exists(path)]
    if len(there) > 1 and not set(there) <= set(option_files.default_files({})):
        return  # several files of a folder: no program reads them so
    argv = [program, *([f"--defaults-file={there[0]}"] if len(there) == 1 else [])]
    how = "--validate-config" if flavour == "MySQL" else "--help --verbose"
    argv += [*how.split(), f"--datadir={_NOWHERE}"]
    if flavour != "MySQL":
        argv += [f"--loose-aria-log-dir-path={_NOWHERE}"]
    done = programs.call(argv, deadline, at_most=PATIENCE, max_bytes=1 << 20)
    said_by = f"{os.path.basename(program)} {how}"
    found = complaints(proc.text(done.stderr))
    for complaint in found:
        unknown = complaint.word == "unknown-option"
        if unknown and _of_a_plugin(complaint.option, program):
            continue
        meant = _meant(complaint.option, proc.text(done.stdout)) if unknown else ""
        yield _located(complaint._replace(text=complaint.text + meant), told, said_by)
    if done.status and not found:
        last = [line for line in proc.text(done.stderr).splitlines() if line.strip() and "Aborting" not in line][-1:]
        why = redact(one_line(last[0]))[:200] if last else f"it ended with status {done.status}"
        raise CannotLook(Gap("failed", f"{program} could not read its option files for us: {why}", "run as root"))


def _meant(option: str, help_text: str) -> str:
    """Which option of the program's own list (the end of its help) this may be a misspelling of."""
    from difflib import get_close_matches

    known = re.findall(r"^([a-z][a-z0-9-]+) +\S", help_text.rpartition("\n------")[2], re.MULTILINE)
    near = get_close_matches(option.replace("_", "-").lower(), known, 1, 0.8)
    return f" (is {near[0]} meant?)" if near else ""


class Complaint(NamedTuple):
    """What a program says about one option; `value` is what it quotes of it."""

    word: OptionWord
    option: str
    value: str
    text: str


# What mysys/my_getopt.c and the servers' sys_vars say, the same for years, with MySQL's codes or without.
_COMPLAINTS: tuple[tuple[OptionWord, re.Pattern[str]], ...] = (
    ("unknown-option", re.compile(r"unknown variable '(?P<option>[^'=]+)(?:=(?P<value>.*))?'")),
    ("unknown-option", re.compile(r"(?:unknown|ambiguous) option '-{0,2}(?P<option>[^'=]+)'")),
    ("bad-value", re.compile(r"Error while setting value '(?P<value>.*)' to '(?P<option>[^']+)'")),
    ("bad-value", re.compile(r"option '-{0,2}(?P<option>[^']+)' (?:requires an argument|cannot take an argument)")),
    ("bad-value", re.compile(r"Maximum value of '(?P<option>[^']+)' cannot be set")),
    ("bad-value", re.compile(r"Can't change to run as (?P<option>user) '(?P<value>[^']*)'")),
    ("bad-value", re.compile(r"Unknown suffix '.' used for variable '(?P<option>[^']+)' \(value '(?P<value>[^']*)'\)")),
)  # fmt: skip


def complaints(said: str) -> list[Complaint]:
    """The errors about options in what a server says on standard error, each option once. Warnings stop no start."""
    found: dict[str, Complaint] = {}
    for line in said.splitlines():
        if "[Warning]" in line or "[Note]" in line:
            continue
        for word, pattern in _COMPLAINTS:
            if match := pattern.search(line):
                groups = match.groupdict()
                name, value = match["option"], groups.get("value") or ""
                # no value of an option that nobody knows: it may be a password that was spelt wrong
                text = match[0] if word == "bad-value" and not is_secret(name) else f"unknown option '{name}'"
                text = f"a bad value for '{name}'" if word == "bad-value" and is_secret(name) else redact(text)
                found.setdefault(name.replace("-", "_").lower(), Complaint(word, name, value, text))
                break
    return list(found.values())


def _located(complaint: Complaint, told: Sequence[Option], said_by: str) -> OptionProblem:
    """The complaint with the file and line that it is about, where our own reading finds one."""
    name = option_files.canonical(complaint.option, None)[0]
    same = [o for o in told if o.name == name] or [o for o in told if o.name and name.startswith(o.name)]
    exact = [o for o in same if (o.value or "") == complaint.value]
    found = exact or same
    if not found:
        return OptionProblem(
            subject=said_by, word=complaint.word, option=complaint.option, file="", line=None,
            text=one_line(complaint.text), said_by=said_by,
        )  # fmt: skip
    option = found[-1]
    return OptionProblem(
        subject=f"{option.file}:{option.line}", word=complaint.word, option=option.written, file=option.file,
        line=option.line, text=one_line(complaint.text), said_by=said_by,
    )  # fmt: skip


_PLUGINS = ("/usr/lib/mysql/plugin", "/usr/lib64/mysql/plugin", "/usr/lib64/mariadb/plugin", "/usr/lib/mariadb/plugin")


def _of_a_plugin(option: str, program: str) -> bool:
    """Whether an option may belong to a plugin that the server's own tables load: without its data it cannot know."""
    name = option.replace("-", "_").lower().removeprefix("loose_")
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(program))), "lib", "plugin")
    for folder in (*_PLUGINS, beside):
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # not this build's place
        for file in names:
            stem = re.sub(r"^(?:ha_|lib)|\.so.*$", "", file)
            if file.endswith(".so") and name.startswith(stem) and len(stem) > 2:
                return True
    return False

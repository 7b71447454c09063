"""Answers the shells. Reads a table made beforehand, so that neither Click nor any command has to be imported.

A shell calls `_RBDIAG_COMPLETE=SHELL rbdiag WORD... INCOMPLETE`. The first line of the answer is `words`, or
`files` where the shell is to offer its own; each line after it is a word, a tab, and what the word means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbdiag.cli.streams import deliver
from rbdiag.cli.words import CHOICES, COMMANDS, Option

Pairs = Sequence[tuple[str, str]]

# What is offered for an argument that may be given any number of times ends like this.
MANY = "..."


def answer(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write the answer for these words, the last of which is incomplete, and return the exit status."""
    kind, offered = candidates(words, environ)
    return deliver("".join([f"{kind}\n", *(f"{word}\t{meaning}\n" for word, meaning in offered)]))


def candidates(words: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Pairs]:
    """What may stand in place of the last word: `files`, or `words` and each with its meaning."""
    incomplete = words[-1] if words else ""
    line = Line()
    for word in words[:-1]:
        line.read(word)
    arguments = COMMANDS[line.command][1]
    if line.wants and not (line.wants[2] == "maybe" and incomplete.startswith("-")):
        return _values(line.wants[3], "", incomplete, line.settings, environ)
    if incomplete.startswith("-") and not line.ended:
        name, equals, value = incomplete.partition("=")
        option = line.option(name)
        if equals:
            return _values(option[3] if option else "", f"{name}=", value, line.settings, environ)
        return "words", line.names(incomplete)
    if line.placed < len(arguments) or (arguments and arguments[-1].endswith(MANY)):
        offers = arguments[min(line.placed, len(arguments) - 1)].removesuffix(MANY)
        kind, pairs = _values(offers, "", incomplete, line.settings, environ)
        if kind == "files" or pairs or incomplete:
            return kind, pairs
    return "words", [] if incomplete or line.ended else line.names("--")


class Line:
    """What the words before the incomplete one have settled."""

    def __init__(self) -> None:
        self.command = ""
        self.settings = ""
        self.placed = 0  # arguments so far
        self.ended = False  # by --: no option follows
        self.wants: Option | None = None  # the option whose value comes next
        self._given: set[str] = set()

    def option(self, name: str) -> Option | None:
        """The option of the command so far that has this name."""
        return next((option for option in COMMANDS[self.command][0] if name in option[0]), None)

    def names(self, start: str) -> Pairs:
        """The names, beginning like this, of the options that can still be given."""
        return [
            (name, option[1])
            for option in COMMANDS[self.command][0]
            if option[4] or not self._given.intersection(option[0])
            for name in option[0]
            if name.startswith(start)
        ]

    def read(self, word: str) -> None:
        """Take in one more word."""
        wants, self.wants = self.wants, None
        if wants and not (wants[2] == "maybe" and word.startswith("-")):
            self._value(wants, word)
        elif word == "--" and not self.ended:
            self.ended = True
        elif word.startswith("--") and not self.ended:
            name, equals, value = word.partition("=")
            self._option(name, value if equals else None)
        elif word.startswith("-") and word != "-" and not self.ended:
            for at, letter in enumerate(word[1:], 2):
                if self._option(f"-{letter}", word[at:] or None):
                    break
        elif not self.command and word in COMMANDS:
            self.command, self.placed = word, 0
        else:
            self.placed += 1

    def _option(self, name: str, value: str | None) -> bool:
        """Take in an option; whether it takes a value, which is the next word unless it stands here."""
        option = self.option(name)
        if option is None:
            return False
        self._given.add(name)
        if option[2] == "no":
            return False
        if value is None:
            self.wants = option
        else:
            self._value(option, value)
        return True

    def _value(self, option: Option, value: str) -> None:
        if "--settings" in option[0]:
            self.settings = value


def _values(offers: str, before: str, incomplete: str, settings: str, environ: Mapping[str, str]) -> tuple[str, Pairs]:
    """The values an option or an argument takes; `before` is the part of the word that stands already."""
    what, _, runbook = offers.partition(" of ")
    # A target may be the path of a socket.
    if what == "files" or (what == "targets" and runbook and incomplete.startswith(("/", "."))):
        return "files", []
    pairs = _targets(settings, environ, runbook) if what == "targets" else CHOICES.get(offers, ())
    return "words", [(before + word, meaning) for word, meaning in pairs if word.startswith(incomplete)]


def _targets(settings: str, environ: Mapping[str, str], runbook: str) -> Pairs:
    """The targets of the settings file: the one thing that cannot be known beforehand."""
    from rbdiag.settings import target_names

    if settings:
        environ = {**environ, "RBDIAG_SETTINGS": settings}
    return [(name, "a target of the settings file") for name in target_names(environ, runbook)]

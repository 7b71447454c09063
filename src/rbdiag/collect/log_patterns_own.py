"""Patterns that a user writes: what makes one usable, and the texts that scans can look for in its stead.

A regex meets any line that anybody can make a program write, so one that could take for ever on some line is refused,
and so is one without any plain text, for which every line would have to be tried.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import combinations
from typing import Any, Literal, NamedTuple

from rbdiag.collect.log_patterns_form import Pattern

# As long as a line is when it is looked at: what an open repeat may go through.
_LINE = 8192
# So many ways through a line are tried in some milliseconds: one `.*`, and behind it something short.
_WAYS = 2_000_000
_COUNTED = 1000
# Texts shorter than this stand in every other line.
_SHORTEST = 3
_ANCHORS = 24
# A character that ends every run: none that can stand in a text to look for.
_BREAK = "\n"


class _Runs(NamedTuple):
    """Which way a match can go: sets of texts, one of each of which it must have."""

    covers: tuple[tuple[str, ...], ...]

    def best(self) -> tuple[str, ...]:
        """The set whose shortest text is the longest, then the smaller set; () for none."""
        usable = [cover for cover in self.covers if len(cover) <= _ANCHORS]
        return max(usable, key=lambda cover: (min(map(len, cover)), -len(cover)), default=())


def pattern_from_settings(
    name: str, regex: str, title: str, codes: Iterable[str] = (), severity: Literal["", "warning", "critical"] = ""
) -> Pattern:
    """A user's pattern, ready for use. Raises ValueError with the reason, in plain words, where it is not usable."""
    try:
        # what only warns today is read in another way by the next Python
        with warnings.catch_warnings(action="error"):
            re.compile(regex)
            re.compile(regex.encode())
            least, _ = import_module("re._parser").parse(regex).getwidth()
    except (re.error, Warning, ValueError, OverflowError, RecursionError) as exc:
        raise ValueError(f"it is no regular expression: {exc}") from None
    if least == 0:
        raise ValueError("it also matches an empty line, and so every line")
    if reason := runs_away(regex):
        raise ValueError(reason)
    anchors = anchors_of(regex)
    if not anchors or min(map(len, anchors)) < _SHORTEST:
        raise ValueError(
            f"it has no plain text of at least {_SHORTEST} characters that each of its alternatives must contain, "
            "so every line would have to be tried"
        )
    return Pattern(0, name, title, regex, anchors, tuple(codes), "failure", least="info", severity=severity)


def anchors_of(regex: str) -> tuple[str, ...]:
    """Lower-case texts of which every match contains at least one; () where there are none."""
    return _covers(import_module("re._parser").parse(regex)).best()


def _covers(parsed: Iterable[tuple[Any, Any]]) -> _Runs:
    """All sets of texts of which each match must have one: each run of characters, and what alternatives have."""
    covers: list[tuple[str, ...]] = []
    run = ""
    for op, value in parsed:
        name = str(op)
        if (char := _letter(name, value)) is not None:
            if char == _BREAK or not char.isascii():
                char = ""
            run += char
            if char:
                continue
        elif name == "AT":
            continue  # a place has no width: what stands on both sides of it stands together
        if run:
            covers.append((run,))
        run = ""
        covers += _inside(name, value)
    if run:
        covers.append((run,))
    return _Runs(tuple(covers))


def _letter(name: str, value: Any) -> str | None:
    """The one character, in lower case, that an element stands for; None where it can be more."""
    if name == "LITERAL":
        return chr(value).lower()
    if name == "IN" and all(str(op) == "LITERAL" for op, _ in value):
        letters = {chr(code).lower() for _, code in value}
        return letters.pop() if len(letters) == 1 else None
    return None


def _inside(name: str, value: Any) -> Iterator[tuple[str, ...]]:
    """The same of what an element holds: a group, a repeat of at least once, alternatives."""
    if name == "SUBPATTERN":
        yield from _covers(value[3]).covers
    elif name == "ATOMIC_GROUP":
        yield from _covers(value).covers
    elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and value[0] >= 1:
        yield from _covers(value[2]).covers
    elif name == "BRANCH":
        best = [_covers(branch).best() for branch in value[1]]
        if all(best):
            yield tuple(dict.fromkeys(text for cover in best for text in cover))


# Running away.


class _TooMany(Exception):
    """There are too many ways through a line, for this reason."""


def runs_away(regex: str) -> str:
    """Why a regex could take very long on some line, "" where it could not."""
    try:
        if _ways(list(import_module("re._parser").parse(regex)), frozenset()) > _WAYS:
            return "it could take very long on some lines: bound its repeats, as in .{0,200}, or use fewer of them"
    except _TooMany as exc:
        return f"it could take for ever on some lines: {exc}"
    return ""


def _ways(parsed: Sequence[tuple[Any, Any]], after: frozenset[int]) -> int:
    """In how many ways one text can be gone through. `after` is what may come next, all where it is empty."""
    ways = 1
    for number, (op, value) in enumerate(parsed):
        name = str(op)
        follow = _first(parsed[number + 1 :]) if number + 1 < len(parsed) else after
        if name == "SUBPATTERN":
            ways *= _ways(list(value[3]), follow)
        elif name in ("ASSERT", "ASSERT_NOT"):
            ways *= _ways(list(value[1]), frozenset())
        elif name == "BRANCH":
            firsts = [_first(list(branch)) for branch in value[1]]
            apart = all(one and other and not one & other for one, other in combinations(firsts, 2))
            each = [_ways(list(branch), follow) for branch in value[1]]
            ways *= max(each) if apart else sum(each)
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            ways *= _repeated(value, follow)
        elif name == "GROUPREF":
            raise _TooMany("it refers back to a group")
    return ways


def _repeated(value: Any, follow: frozenset[int]) -> int:
    least, most, body = int(value[0]), min(int(value[1]), _LINE), list(value[2])
    if most > _COUNTED and int(value[1]) <= _LINE:
        raise _TooMany(f"a repeat of {most} times")
    first = _first(body)
    inner = _ways(body, first | follow if first and follow else frozenset())
    times = most - least + 1
    if inner > 1:
        if most > 1 and inner ** min(most, 64) > _WAYS:
            raise _TooMany("a repeat inside a repeat, or alternatives that overlap under a repeat")
        ways: int = inner**most
        return times * ways
    return 1 if first and follow and not first & follow else times


def _first(parsed: Sequence[tuple[Any, Any]]) -> frozenset[int]:
    """Which characters (below 256) can begin this; empty where it cannot be told, or it may be empty."""
    for op, value in parsed:
        name = str(op)
        if name == "AT":
            continue
        if name == "SUBPATTERN":
            return _first(list(value[3]))
        if name == "BRANCH":
            each = [_first(list(branch)) for branch in value[1]]
            return frozenset().union(*each) if all(each) else frozenset()
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return _first(list(value[2])) if value[0] else frozenset()
        return _chars(name, value)
    return frozenset()


def _chars(name: str, value: Any) -> frozenset[int]:
    """What one element that stands for a single character can be."""
    everything = frozenset(range(256))
    if name == "LITERAL":
        return _cases(value)
    if name == "NOT_LITERAL":
        return everything - {value}
    if name == "ANY":
        return everything
    if name != "IN":
        return frozenset()
    found: set[int] = set()
    for op, item in value:
        if str(op) == "LITERAL":
            found |= _cases(item)
        elif str(op) == "RANGE":
            found |= {other for code in range(item[0], min(item[1], 255) + 1) for other in _cases(code)}
        elif str(op) == "CATEGORY":
            found |= _category(str(item))
    return everything - found if str(value[0][0]) == "NEGATE" else frozenset(found)


def _cases(code: int) -> frozenset[int]:
    return frozenset(c for c in (ord(chr(code).lower()[0]), ord(chr(code).upper()[0])) if c < 256)


@lru_cache(maxsize=16)
def _category(name: str) -> frozenset[int]:
    kind = name.rpartition("_")[2]
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[kind]
    escape = re.compile(rb"\%c" % ord(letter.upper() if "_NOT_" in name else letter))
    return frozenset(code for code in range(256) if escape.match(bytes([code])))

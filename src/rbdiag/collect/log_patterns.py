"""What a line of any log says: the 136 patterns of the catalogue, some beyond it, and those of the user."""

from __future__ import annotations

import re
from typing import NamedTuple

from rbdiag.collect.log_patterns_app import APP
from rbdiag.collect.log_patterns_db import DB
from rbdiag.collect.log_patterns_edge import EDGE
from rbdiag.collect.log_patterns_form import Codes, Least, Pattern, Role, compiled
from rbdiag.collect.log_patterns_host import HOST
from rbdiag.collect.log_patterns_names import name_in
from rbdiag.collect.log_patterns_own import pattern_from_settings
from rbdiag.collect.log_patterns_parts import PARTS
from rbdiag.collect.log_patterns_proxy import NGINX, SERVERS
from rbdiag.collect.log_patterns_quoted import by_another, over, quoted

__all__ = ["LINE", "PATTERNS", "Hit", "Matcher", "Pattern", "Role", "pattern_from_settings"]

# In the order of application: of a line that more than one has, the first one has it.
PATTERNS: tuple[Pattern, ...] = (*DB, *NGINX, *EDGE, *SERVERS, *PARTS, *APP, *HOST)
# Of one line no more than this is looked at.
LINE = 8192
_NAME = 200


class Hit(NamedTuple):
    """What a line says: the pattern it has, the codes it speaks for, and what it is about ("" for nothing)."""

    pattern: Pattern
    codes: Codes
    name: str


# An access log's line: whatever else stands in it, a client wrote.
_ACCESS = re.compile(rb'"[A-Z]{3,10} [^"]{0,8000} HTTP/[\d.]+"[ ,] ?\d{3}[ ,]')
# A statement in a query log: what is written in it happened elsewhere, if at all.
_SQL = re.compile(rb"\s*(?:\S+\s+)?(?:\d* (?:Query|Execute)\t|(?:INSERT|REPLACE|UPDATE|SELECT|DELETE)\s)")
# Words before which nothing happened, or is over; and a count of none behind them.
_DENIED = (b" no", b" without", b" never", b" zero", b"recovered from")
_COUNT_OF_NONE = re.compile(rb"""\w{0,20}["']?\s?[=:]\s?["']?0(?![.\d:])""")
# What databases call the lines of theirs that are for information; up to which number the patterns are theirs.
_NOTE = re.compile(rb"\[(?:Note|System|Warning|ERROR)\]")
_DATABASES = 54
_DIGITS = b"0123456789"
_WORD = re.compile(rb"[a-z0-9_]+")
# Makes blanks of all that is in no word.
_WORDS_ALONE = bytes(code if chr(code).isascii() and (chr(code).isalnum() or code == 95) else 32 for code in range(256))
# What stood before the matches of so many lines is remembered: in a storm it is nearly the same each time.
_MEMO = 4096


class Matcher:
    """All patterns, ready for lines: the user's first, then the catalogue's in their order."""

    def __init__(self, extra: tuple[Pattern, ...] = ()) -> None:
        self.patterns = (*extra, *PATTERNS)
        self._plain = tuple(Hit(pattern, pattern.codes, "") for pattern in self.patterns)
        self._heads: dict[bytes, tuple[Least, bool]] = {}
        owners: dict[bytes, list[int]] = {}
        for index, pattern in enumerate(self.patterns):
            for anchor in pattern.anchors:
                owners.setdefault(anchor.encode(), []).append(index)
        # What scans look for, without regard to case, and of which patterns each is the anchor.
        self.anchors = tuple(owners)
        self.owners = tuple(tuple(indexes) for indexes in owners.values())
        # By a word that stands inside an anchor, so that it is a whole word of each text that has it.
        self._by_word: dict[bytes, list[int]] = {}
        for number, text in enumerate(self.anchors):
            inside = [word[0] for word in _WORD.finditer(text) if word.start() and word.end() < len(text)]
            self._by_word.setdefault(max(inside, key=len, default=b""), []).append(number)
        self._wordless = self._by_word.pop(b"", [])
        self._words = frozenset(self._by_word)

    def match(self, line: bytes) -> Hit | None:
        """What one line says, or None where no pattern knows it."""
        line = line[:LINE]
        candidates = self.candidates(line)
        return self.confirm(line, candidates) if candidates else None

    def possible(self, low: bytes) -> list[int]:
        """The anchors (by their number) that a lower-case text may have: of most it lacks a word."""
        words = self._words.intersection(low.translate(_WORDS_ALONE).split())
        return [*self._wordless, *(number for word in words for number in self._by_word[word])]

    def candidates(self, line: bytes) -> tuple[int, ...]:
        """The patterns (by their index) whose anchors stand in this line, in the order of application."""
        low = line.lower()
        found = [self.owners[number] for number in self.possible(low) if self.anchors[number] in low]
        return tuple(sorted({index for indexes in found for index in indexes})) if found else ()

    def confirm(self, line: bytes, candidates: tuple[int, ...]) -> Hit | None:
        """What a line (of at most LINE bytes) says, given the patterns whose anchors it has."""
        # nginx ends its lines with what the client asked for
        text = line[: at + 1] if (at := line.find(b", client: ")) >= 0 else line
        for index in candidates:
            pattern = self.patterns[index]
            if (found := compiled(pattern.regex).search(text)) is None:
                continue
            if pattern.but and compiled(pattern.but).search(text):
                continue
            if not pattern.of_requests and b" HTTP/" in text and _ACCESS.search(text):
                continue
            start, end = found.span()
            level, nothing = self._head(text, start)
            if nothing or not _believed(level, pattern.least) or (level == "info" and _is_quoted(text, pattern)):
                continue
            if pattern.number and (quoted(text, start) or over(text, end)):
                continue
            if pattern.of_host and by_another(text, start):
                continue
            if b"0" in text[end : end + 28] and _COUNT_OF_NONE.match(text, end):
                continue
            return _hit(pattern, found, line) if pattern.about or pattern.by else self._plain[index]
        return None

    def _head(self, text: bytes, start: int) -> tuple[Least, bool]:
        """What stands before a match says: how bad the line is, and whether nothing of the kind has happened."""
        head = text[:start]
        if head[:1] in (b"{", b"<") or b"level" in head:
            # numbers are levels, and may come later
            return _level(text), _nothing(head)
        key = head.translate(None, _DIGITS)
        known = self._heads.get(key)
        if known is None:
            if len(self._heads) >= _MEMO:
                self._heads.clear()
            known = self._heads[key] = _level(head), _nothing(head)
        return known


def _level(text: bytes) -> Least:
    """How bad a line says it is, as far as patterns ask; without a level of its own it is as bad as its words."""
    from rbdiag.collect.log_levels import stated

    said = stated(text[:1024].decode("utf-8", "replace"))
    return "warning" if said == "warning" else "info" if said in ("info", "debug") else "error"


def _believed(level: Least, least: Least) -> bool:
    return least == "info" or level == "error" or level == least


def _is_quoted(text: bytes, pattern: Pattern) -> bool:
    """Whether a line that is for information holds the words of another program: in a mail, a search, a path.

    Kernel, systemd and servers write their own in plain text, or through the journal, whose message has this name; of
    databases these lines are notes.
    """
    if pattern.role in ("start", "stop") or not pattern.number:
        return False
    if pattern.number <= _DATABASES and not _NOTE.search(text):
        return True
    return text[:1] == b"{" and b'"MESSAGE"' not in text


def _nothing(head: bytes) -> bool:
    return head[-20:].rstrip().lower().endswith(_DENIED) or _SQL.match(head) is not None


def _hit(pattern: Pattern, found: re.Match[bytes], line: bytes) -> Hit:
    groups = found.groupdict()
    by = groups.get("by") or groups.get("by2")
    codes = pattern.by.get(by.decode("utf-8", "replace"), pattern.codes) if by else pattern.codes
    name = name_in(pattern.about, groups, line) if pattern.about else b""
    return Hit(pattern, codes, name[:_NAME].decode("utf-8", "backslashreplace"))

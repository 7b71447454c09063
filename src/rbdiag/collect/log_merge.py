"""Which words of a log's shapes are parameters: what only many lines together show. The order of lines plays no part.

Two shapes belong together if they differ in one place where many different words stand, all else being equal; or, where
several places vary at once, if most of their words are shared by many shapes of that length. What names a fault, a
level, or what was done (refused, ENOSPC, TimeoutError) is never taken for a parameter, however many there are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

# So many different words in one place are a parameter: modules, states and verbs are fewer. Of the first word, which
# mostly says what was done, there must be more: thousands of accounts may stand there, and dozens of verbs.
MANY, MANY_FIRST = 10, 40
# A key whose values mean something is a parameter only with so many.
_MANY_MEANT = 200
# So many shapes must share a frame with several holes; a word is of the frame if this part of the most common one's
# shapes have it in its place.
_FRAME, _SHARED = 24, 0.1
_ROUNDS = 4
_HOLE = "*"
# No longer word says what happened.
_LONG = 100

_MEANT_KEY = re.compile(
    r"(?i)(?:^|[._\"{,])(?:level|lvl|severity|status|state|code|err(?:or|no)?|exception|event|action|result|outcome|reason|type|method|op)$"
)
_MEANT = re.compile(
    r"(?i)\W*(?:"
    r"[a-z.]*(?:error|exception|failure|(?<!de)fault|warning)s?"
    r"|fatal|panic|crit(?:ical)?|alert|emerg(?:ency)?|warn|info|debug|trace|notice"
    r"|fail(?:s|ed|ing)?|refused?|den(?:y|ied)|timeout|time-out|lost|crash\w*|kill\w*|abort\w*|reject\w*|drop\w*|un\w+able|corrupt\w*"
    r"|invalid|expired?|missing|exceeded|overflow\w*|down|dead|stop\w*|exit\w*|disconnect\w*|reset|broken|full|unhealthy"
    r"|degraded|block\w*|bann?\w*|lock\w*|deadlock\w*|leak\w*|stuck|never|not?|cannot|can't|without|denied|start\w*"
    r"|get|post|put|delete|patch|head|options"
    r")\W*"
)
_NAME_OF_FAULT = re.compile(r"\W*(?:E[A-Z]{4,}|SIG[A-Z]{2,}|[A-Z]\w*(?:Error|Exception|Fault))\W*")
_VERB = re.compile(r"\W*[a-z]{3,}(?:ed|ing)\W*")


@lru_cache(maxsize=16384)
def is_meant(word: str) -> bool:
    """Whether a word says what happened, so that it is no parameter whatever else stands in its place."""
    *keys, word = word.split("=")
    if any(_MEANT_KEY.search(key) for key in keys):
        return True
    if len(word) > _LONG:
        return False
    return bool(_VERB.fullmatch(word) or _NAME_OF_FAULT.fullmatch(word) or _MEANT.fullmatch(word))


class Holes:
    """What many shapes showed: keys and places whose words are parameters. `fill` applies it to a shape."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.places: set[tuple[str, ...]] = set()
        self.frames: dict[int, list[tuple[str, ...]]] = defaultdict(list)
        self.lengths: set[int] = set()

    def fill(self, shape: str) -> str:
        """The template of a shape that may be a new one."""
        words = self._unkeyed(shape.split(" ")) if self.keys else shape.split(" ")
        for skeleton in self.frames.get(len(words), ()):
            if all(
                word == (there or word) and (there or not is_meant(word))
                for there, word in zip(skeleton, words, strict=True)
            ):
                return " ".join(there or _HOLE for there in skeleton)
        if len(words) in self.lengths:
            for _ in range(_ROUNDS):
                before = words
                for place, word in enumerate(words):
                    if word != _HOLE and frame(words, place) in self.places and not is_meant(word):
                        words = [*words[:place], _HOLE, *words[place + 1 :]]
                if words is before:
                    break
        return " ".join(words)

    def _unkeyed(self, words: list[str]) -> list[str]:
        return [
            f"{word.partition('=')[0]}={_HOLE}" if "=" in word and word.partition("=")[0] in self.keys else word
            for word in words
        ]


def frame(words: list[str], place: int) -> tuple[str, ...]:
    """A shape with one place left open."""
    return (*words[:place], "", *words[place + 1 :])


def merged(shapes: Iterable[str], many: int = MANY, holes: Holes | None = None) -> dict[str, str]:
    """The template of each shape. With `holes` what was learnt is left there, to be applied to more shapes."""
    holes = Holes() if holes is None else holes
    rows = {shape: shape.split(" ") for shape in shapes}
    _learn_keys(rows.values(), holes, many)
    if holes.keys:
        rows = {shape: holes._unkeyed(words) for shape, words in rows.items()}
    by_length: dict[int, list[str]] = defaultdict(list)
    for shape, words in rows.items():
        by_length[len(words)].append(shape)
    for length, members in by_length.items():
        if len(members) < many:
            continue
        for _ in range(_ROUNDS):
            distinct = {tuple(rows[shape]) for shape in members}
            if len(distinct) < many:
                break
            opened = _one_hole(distinct, holes, many) or _frames(distinct, holes, many)
            if not opened:
                break
            holes.lengths.add(length)
            for shape in members:
                if (wider := opened.get(tuple(rows[shape]))) is not None:
                    rows[shape] = wider
    return {shape: " ".join(words) for shape, words in rows.items()}


def _learn_keys(rows: Iterable[list[str]], holes: Holes, many: int) -> None:
    values: dict[str, set[str]] = defaultdict(set)
    for words in rows:
        for word in words:
            key, sign, value = word.partition("=")
            if sign and len(known := values[key]) <= _MANY_MEANT:
                known.add(value)
    for key, known in values.items():
        if len(known) > (_MANY_MEANT if _MEANT_KEY.search(key) else many):
            holes.keys.add(key)


def _first_word(words: tuple[str, ...]) -> int:
    """Where the first word stands that is no mask, no level, no name in brackets."""
    for place, word in enumerate(words):
        if word.isalpha() and not (word.isupper() and is_meant(word)):
            return place
    return len(words)


def _one_hole(rows: set[tuple[str, ...]], holes: Holes, many: int) -> dict[tuple[str, ...], list[str]]:
    """Rows that differ in one place where many words stand, all else being equal: each with that place masked."""
    found: dict[tuple[int, tuple[str, ...]], list[tuple[str, ...]]] = defaultdict(list)
    for row in rows:
        words = list(row)
        for place, word in enumerate(row):
            if word != _HOLE:
                found[place, frame(words, place)].append(row)
    opened: dict[tuple[str, ...], list[str]] = {}
    for (place, left), members in found.items():
        if len(members) < many or not _says_something(left):
            continue
        free = [row for row in members if not is_meant(row[place])]
        if free and len(free) >= (max(many, MANY_FIRST) if place == _first_word(free[0]) else many):
            holes.places.add(left)
            for row in free:
                opened.setdefault(row, list(row))[place] = _HOLE
    return opened


def _says_something(left: tuple[str, ...]) -> bool:
    """Whether a frame has a word at all: else everything would be alike."""
    return any(word[:1].isalpha() or word[-1:].isalpha() for word in left if word)


def _frames(rows: set[tuple[str, ...]], holes: Holes, many: int) -> dict[tuple[str, ...], list[str]]:
    """Rows that share most of their words with many others and differ in several places at once."""
    common: Counter[tuple[int, str]] = Counter()
    for row in rows:
        common.update(enumerate(row))
    frames: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for row in rows:
        counts = [common[place, word] if word != _HOLE else 0 for place, word in enumerate(row)]
        least = max(many, max(counts) * _SHARED)
        frames[
            tuple(
                word if word == _HOLE or count >= least or is_meant(word) else ""
                for word, count in zip(row, counts, strict=True)
            )
        ].append(row)
    opened: dict[tuple[str, ...], list[str]] = {}
    for skeleton, members in frames.items():
        open_places = [place for place, word in enumerate(skeleton) if not word]
        words = sum(1 for word in skeleton if word and word != _HOLE)
        if not open_places or len(members) < max(_FRAME, 2 * many) or words < len(open_places):
            continue
        if _first_word(members[0]) in open_places and len(members) < 4 * MANY_FIRST:
            continue
        if any(len({row[place] for row in members}) < many for place in open_places):
            continue
        holes.frames[len(skeleton)].append(skeleton)
        for row in members:
            opened[row] = [word or _HOLE for word in skeleton]
    return opened

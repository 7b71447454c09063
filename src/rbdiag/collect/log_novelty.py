"""How new the words of a kind of line are, told from all kinds of lines of its log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from rbdiag.collect.log_merge import frame, is_meant
from rbdiag.collect.log_tally import Row

# One that differs in a word only is worth this part. Of so many kinds that do, each with at most so many lines on
# average, another one is no news.
_VARIANT, _SOME, _EACH = 0.3, 3, 8


class Novelty:
    """How new the words of a kind of line are: one whose words occur nowhere else says something else.

    Two kinds are kin if they differ in one word, which does not say what happened. `window` is how many of the zones
    are of the window.
    """

    def __init__(self, rows: list[Row], window: int) -> None:
        self._lines: Counter[str] = Counter()
        self._kin: Counter[tuple[str, ...]] = Counter()
        self._kinds_before: Counter[tuple[str, ...]] = Counter()
        self._lines_before: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            total, before = sum(row.counts), sum(row.counts[window:])
            for word in set(_terms(row.shape)):
                self._lines[word] += total
            for kin in _kin(row, meant=True):
                self._kin[kin] += total
                if before:
                    self._kinds_before[kin] += 1
                    self._lines_before[kin] += before

    def of(self, row: Row) -> float:
        """From 0 (all said elsewhere) to 1."""
        terms = _terms(row.shape)
        if not terms:
            return 0.0
        few = 2 * sum(row.counts)
        share = sum(self._lines[term] <= few for term in terms) / len(terms)
        return share * _VARIANT if any(self._kin[kin] > few for kin in _kin(row)) else share

    def kin(self, row: Row) -> int:
        """How many lines there are of it and of its kin."""
        return max((self._kin[kin] for kin in _kin(row)), default=sum(row.counts))

    def is_one_of_many(self, row: Row) -> bool:
        """Whether there were so many of its kin before, each with few lines, that another one is no news."""
        return any(self._lines_before[kin] <= _EACH * self._kinds_before[kin] >= _EACH * _SOME for kin in _kin(row))


def _kin(row: Row, *, meant: bool = False) -> Iterator[tuple[str, ...]]:
    """What it has in common with its kin: the level, and all words but one. `meant`: whatever that word says."""
    words = row.shape.split(" ")
    if len(words) > 2:
        for place, word in enumerate(words):
            if meant or not is_meant(word):
                yield row.level, *frame(words, place)


def _terms(shape: str) -> list[str]:
    """The words of a shape, and each with the one before it."""
    words = [word.lower() for word in re.findall(r"[^\W\d_]{2,}", shape)]
    return [*words, *(f"{one} {two}" for one, two in pairwise(words))]

"""The check `logs.new`: kinds of lines that the window has and the time before had not, or had much more or less of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import log10
from typing import TYPE_CHECKING, Literal, NamedTuple

from rbdiag.collect import log_parted, log_rates, log_shown
from rbdiag.collect.log_novelty import Novelty
from rbdiag.collect.log_strong import is_broken, is_everyday
from rbdiag.collect.log_tally import Row, Tally
from rbdiag.collect.log_visits import readable
from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogLevel, LogTemplate
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_patterns import Hit, Matcher
    from rbdiag.collect.log_window import Span, Spans

# The part of the time left that reading may take; the rest is for telling of it.
_SHARE = 0.8
# So many are told of one log, so many of them without a level of at least a warning; so many are looked at closely.
_TOLD, _TOLD_QUIET, _CLOSE = 20, 8, 200
# Errors that are as frequent as before: so many kinds of a log are told, those with so many lines in the window.
_SAME, _SAME_LEAST = 3, 3
# What is less than this part of what it was is on its way out.
_LESSENED = 0.4
# Paths that were never asked for before; by how much answers of 5xx are worth more.
_PATHS, _FAILED = 4, 2.5
# Without a baseline a kind of line is rare with at most one line in so many, of a log with at least so many; of a
# smaller one only errors are told, of a bigger one also what is of no bad level. Some kind must be this common.
_RARE, _SMALL, _RARE_OF, _RARE_OF_QUIET = 100_000, 40, 400, 5000
_USUAL, _COMMON = 0.2, 0.02
# So many new kinds of no bad level, and most of those there are: the service slept before.
_AWOKE = 10
# What a program says so soon (seconds) after its start is no news.
_STARTING = 30.0
_START = re.compile(
    r"(?i)\b(?:start(?:ing|ed|s)|start(?:ing)?[ -]?up|boot(?:ing|strap\w*)?|initiali[sz]\w+|launch\w+|listening)\b"
)

_BAD: dict[LogLevel, float] = {"fatal": 4.0, "error": 3.0, "warning": 1.5, "none": 0.8, "info": 0.6, "debug": 0.0}
_ALARMING = ("fatal", "error", "warning")
_ROLE = {"failure": 2.0, "ordinary": 0.5, "evidence": 0.5, "start": -0.5, "stop": -0.5}


class News(NamedTuple):
    """A kind of line that is worth telling, and how much."""

    row: Row
    word: Literal["new", "more", "fewer", "rare", "same"]
    score: float


def changes(spans: Spans, deadline: Deadline, matcher: Matcher | None) -> Iterator[Fact]:
    """What is news in each log, what to read first first.

    Raises CannotLook at the end where there was no time for all of a log, or where it has more kinds of lines than
    could be told apart.
    """
    gaps: list[Gap] = []
    for number, span in enumerate(spans.all):
        parts = log_parted.Parted(span)
        tally = Tally(parts.count, span.form, parts.window)
        reading = span.read(deadline, _SHARE / (len(spans.all) - number))
        for block in reading:
            for piece in parts.of(block):
                tally.feed(piece)
        tally.merge()
        yield from told(span, tally, reading.zones, matcher)
        if (gap := reading.gap()) is not None:
            gaps.append(gap)
        if tally.beyond:
            what = f"{span.name}: {tally.beyond:,} kinds of lines beyond {len(tally.rows):,} were counted together"
            gaps.append(Gap("skipped", what, "look at less of it: --since"))
    if gaps:
        raise CannotLook(gaps[0])


def told(span: Span, tally: Tally, zones: Sequence[float], matcher: Matcher | None) -> Iterator[LogTemplate]:
    """The facts of one log that was counted, ranked. `zones` is how many seconds of each were read."""
    timed = span.seconds is not None and span.form is not None
    seconds = log_parted.seconds(zones, [span.seconds or 0.0, *span.slices]) if timed else []
    counts = Counts(tally, seconds)
    rows = list(tally.rows.values())
    found = list(_compared(rows, counts) if counts.compared else _alone(span, rows, counts.lines))
    told = {id(news.row) for news in found}
    same = _same(span, [row for row in rows if id(row) not in told], counts, matcher) if counts.compared else []
    if counts.compared and _awoke(found, rows, counts):
        # a service that did not run before, or did something else: what is usual for it is not told by the baseline
        few = {id(news.row) for news in _rare(rows, counts.lines)}
        found = [news for news in found if not _is_quiet(news) or id(news.row) in few]
    if tally.visits is not None:
        found = _of_visits(found)
    found.sort(key=_order)
    found = [_weighed(span, news, matcher) for news in _without_chatter(span, found[:_CLOSE], rows, counts)]
    found.sort(key=_order)
    quiet = rank = 0
    for news in found:
        if news.row.level not in _ALARMING:
            quiet += 1
            if quiet > _TOLD_QUIET:
                continue
        rank += 1
        if rank > _TOLD:
            break
        shape = news.row.shape if tally.visits is None else readable(news.row.shape)
        yield _fact(span, news, counts, rank, _hit(span, news.row, matcher), shape)
    for number, news in enumerate(same, min(rank, _TOLD) + 1):
        yield _fact(span, news, counts, number, _hit(span, news.row, matcher), news.row.shape)


def _of_visits(found: list[News]) -> list[News]:
    """Of an access log: answers of 5xx come first, and paths that were not asked for before are news only where they
    are few, for mostly there is no end to them."""
    failed = [news for news in found if news.row.shape[-3:] >= "500"]
    others = [news for news in found if news.row.shape[-3:] < "500"]
    if sum(news.word in ("new", "rare") for news in others) > _PATHS:
        others = [news for news in others if news.word not in ("new", "rare")]
    return [news._replace(score=news.score + _FAILED) for news in failed] + others


def _order(news: News) -> tuple[float, str, str]:
    return -news.score, news.row.shape, news.row.level


class Counts:
    """The lines of one log by zone and by part, and how much time (without times: how many lines) each stands for."""

    def __init__(self, tally: Tally, seconds: Sequence[float]) -> None:
        self.timed = bool(seconds)
        self.parts = log_parted.PARTS if self.timed else 1
        # without times the lines themselves are the clock
        self.of_parts = list(seconds) if self.timed else [float(count) for count in tally.lines]
        self.seconds = self.zones(self.of_parts)
        lines = self.zones(tally.lines)
        self.lines = round(lines[0])
        self.compared = any(self.seconds[1:]) and any(lines[1:])

    def zones(self, of_parts: Sequence[float]) -> list[float]:
        """What is told by part, by zone."""
        return [sum(of_parts[start : start + self.parts]) for start in range(0, len(of_parts), self.parts)]

    def of(self, row: Row) -> list[int]:
        """How many lines of this kind there are in each zone."""
        return [round(count) for count in self.zones(row.counts)]


def _compared(rows: list[Row], counts: Counts) -> Iterator[News]:
    """Kinds that are new, or whose rate changed."""
    found = log_rates.growths((counts.of(row) for row in rows), counts.seconds)
    parts = [_Part(rows, counts, number) for number in range(counts.parts)] if counts.parts > 1 else []
    known = Novelty(rows, counts.parts)
    for row in rows:
        count = counts.of(row)
        if not any(count[1:]):
            if count[0] and not known.is_one_of_many(row):
                yield News(row, "new", _BAD[row.level] + 3 * known.of(row) - 0.2 * log10(count[0]))
            continue
        growth = log_rates.of_the_others(found, count, counts.seconds)
        change = log_rates.changed(count, counts.seconds, growth, row.level in _ALARMING)
        if change is None and parts:
            growth = [part.of_the_others(row, counts) for part in parts]
            times = log_rates.burst(row.counts, counts.of_parts, counts.parts, growth)
            change = log_rates.Change("more", times) if times else None
        if change is not None:
            factor = min(abs(log10(max(change.times, 1e-3))), 2.0)
            yield News(row, change.word, _BAD[row.level] + factor + 0.3 * log10(1 + max(count)))


def _same(span: Span, rows: list[Row], counts: Counts, matcher: Matcher | None) -> list[News]:
    """Errors that are no news, because they were as frequent before: what the catalogue does not know first.

    Nothing of what strangers do, of whom there is no end.
    """
    found: list[News] = []
    for row in rows:
        now, *slices = counts.of(row)
        usual = sum(slices) / sum(counts.seconds[1:]) * counts.seconds[0]
        lasts = now >= _SAME_LEAST and any(slices) and now >= _LESSENED * usual
        if lasts and row.level in _ALARMING[:2] and not is_everyday(row.shape):
            found.append(News(row, "same", _BAD[row.level] + log10(now)))
    found.sort(key=_order)
    found = found[:_CLOSE]
    found.sort(key=lambda news: _hit(span, news.row, matcher) is not None)
    return found[:_SAME]


class _Part:
    """By how much the kinds of lines grew in a part of the window, against all of the time before."""

    def __init__(self, rows: list[Row], counts: Counts, number: int) -> None:
        self._number = number
        self._seconds = [counts.of_parts[number], sum(counts.seconds[1:])]
        self._found = log_rates.growths((self._counts(row, counts) for row in rows), self._seconds)

    def _counts(self, row: Row, counts: Counts) -> list[int]:
        return [row.counts[self._number], sum(row.counts[counts.parts :])]

    def of_the_others(self, row: Row, counts: Counts) -> float:
        return log_rates.of_the_others(self._found, self._counts(row, counts), self._seconds)[0]


def _alone(span: Span, rows: list[Row], lines: int) -> Iterator[News]:
    """Without anything to compare with: every kind of error, for each may be what is looked for, and what is rare.

    A warning that something broke is told as errors are.
    """
    known = Novelty(rows, 1)
    bad = {
        id(row)
        for row in rows
        if row.level in _ALARMING[:2]
        or (row.level == "warning" and is_broken(row.shape) and log_shown.broken(span, row))
    }
    for row in rows:
        if id(row) in bad and row.last is not None:
            count = sum(row.counts)
            yield News(row, "new", _BAD[row.level] + 3 * known.of(row) + 0.3 * log10(count))
    yield from (news for news in _rare(rows, lines) if id(news.row) not in bad)


def _rare(rows: list[Row], lines: int) -> Iterator[News]:
    """Kinds of which there are few among many; nothing where nothing is common."""
    most = max((sum(row.counts) for row in rows), default=0)
    if most < lines * (_USUAL if lines < _RARE_OF else _COMMON) or lines < _SMALL:
        return
    few = max(1 if lines < 20_000 else 3, lines // _RARE)
    told = _ALARMING[:2] if lines < _RARE_OF else _ALARMING
    known = Novelty(rows, 1)
    for row in rows:
        count = sum(row.counts)
        if 0 < count <= few and (row.level in told or lines >= _RARE_OF_QUIET) and known.kin(row) <= few:
            yield News(row, "rare", _BAD[row.level] + 3 * known.of(row) - 0.3 * log10(count))


def _is_quiet(news: News) -> bool:
    return news.word in ("new", "rare") and news.row.level not in _ALARMING


def _awoke(found: list[News], rows: list[Row], counts: Counts) -> bool:
    """Whether most of what the window has of no bad level is new, kinds and lines: that is no news of each."""
    usual = [counts.of(row)[0] for row in rows if row.level not in _ALARMING]
    new = [counts.of(news.row)[0] for news in found if _is_quiet(news)]
    return len(new) >= _AWOKE and len(new) > sum(count > 0 for count in usual) / 2 and sum(new) > sum(usual) / 2


def _without_chatter(span: Span, found: list[News], rows: list[Row], counts: Counts) -> Iterator[News]:
    """Leave out what a program says of itself when it starts; of a start the first line is told."""
    starting = {id(row) for row in rows if _is_start(counts.of(row), row)}
    starts = [at for row in rows if id(row) in starting and (at := _at(span, row.first)) is not None]
    if span.window.first_at is not None and not counts.compared:
        starts.append(span.window.first_at)
    for news in found:
        row = news.row
        first, last = (_at(span, row.first), _at(span, row.last)) if _is_quiet(news) and starts else (None, None)
        own = first if id(row) in starting else None
        if (
            first is None
            or last is None
            or not any(at <= first and last <= at + _STARTING and at != own for at in starts)
        ):
            yield news


def _is_start(count: Sequence[int], row: Row) -> bool:
    return 0 < count[0] <= 3 and not any(count[1:]) and _START.search(row.shape) is not None


def _weighed(span: Span, news: News, matcher: Matcher | None) -> News:
    hit = _hit(span, news.row, matcher)
    return news if hit is None else news._replace(score=news.score + _ROLE[hit.pattern.role])


def _hit(span: Span, row: Row, matcher: Matcher | None) -> Hit | None:
    if matcher is None or row.last is None:
        return None
    return matcher.match(span.line_at(row.last))


def _fact(span: Span, news: News, counts: Counts, rank: int, hit: Hit | None, shape: str) -> LogTemplate:
    row = news.row
    now, *slices = counts.of(row)
    before, covered = sum(slices), sum(counts.seconds[1:])
    known = hit is not None and hit.pattern.role in ("failure", "ordinary") and bool(hit.codes)
    return LogTemplate(
        subject=span.name, word=news.word, template=redact(shape)[: log_shown.TEXT], level=row.level, count=now,
        before=before,
        rate=now / counts.seconds[0] if counts.timed and counts.seconds[0] else None,
        rate_before=before / covered if counts.timed and covered else None, first_at=_at(span, row.first or row.last),
        happened_at=_at(span, row.last), sample=log_shown.sample(span, row, hit is not None),
        code=hit.codes[0] if known and hit else "", rank=rank, broken=log_shown.broken(span, row),
    )  # fmt: skip


def _at(span: Span, place: object) -> float | None:
    at = None if place is None else span.time_at(place)  # type: ignore[arg-type]
    return None if at is None else round(at, 3)

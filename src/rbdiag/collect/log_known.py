"""The check `logs.known`: the lines of each log that the catalogue knows, with how many, of what, and since when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rbdiag.collect.log_patterns import LINE, Matcher, Pattern
from rbdiag.collect.log_patterns_form import Codes
from rbdiag.collect.log_scan import Line, scan
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.logs import LogKnown
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_window import Block, Span, Spans

# The part of the time left that reading may take; the rest is for telling of it.
_SHARE = 0.8
# Names shown of one pattern, and kept while counting; what is beyond is counted together.
_NAMES, _KEPT = 12, 200
_TEXT = 400
# A time stamp longer than this holds more than a time, which is worth showing.
_STAMP = 40
# Who wrote a line, where syslog or the journal says so.
_WRITER = re.compile(rb"(?:^|\s)([\w.@/-]+)\[\d+\]: ")


def known(spans: Spans, deadline: Deadline, extra: tuple[Pattern, ...] = ()) -> Iterator[Fact]:
    """What the known lines of each log say, the most frequent first.

    Raises CannotLook at the end where there was no time for all of a window.
    """
    matcher = Matcher(extra)
    gaps: list[Gap] = []
    for number, span in enumerate(spans.all):
        tally = Tally(matcher, span.form.starts if span.form is not None else None)
        reading = span.read(deadline, _SHARE / (len(spans.all) - number))
        size = span.window.bytes + span.window.baseline_bytes
        late = False
        try:
            for block, lines in scan(matcher, reading, deadline, size):
                tally.add(block, lines)
        except OutOfTime:
            late = True
        yield from tally.facts(span, None if reading.whole else reading.zones)
        # that what was before was not all read makes the comparison shorter, and hides no line of the window
        if reading.inside and (gap := reading.gap()) is not None:
            gaps.append(gap)
        elif late:
            gaps.append(
                Gap("deadline", f"{span.name}: not all of it was read", "give it more time: --deadline SECONDS")
            )
    if gaps:
        raise CannotLook(gaps[0])


class _Count:
    """Lines of one pattern and one name: how many, and where the first and the last of the window stand."""

    def __init__(self) -> None:
        self.inside = self.before = 0
        self.first: Place | None = None
        self.last: Place | None = None

    def add(self, zone: int, count: int, first: Place, last: Place) -> None:
        if zone:
            self.before += count
            return
        self.inside += count
        if self.first is None or first < self.first:
            self.first = first
        if self.last is None or last > self.last:
            self.last = last

    def join(self, other: _Count) -> None:
        self.inside += other.inside
        self.before += other.before
        self.first = min((place for place in (self.first, other.first) if place is not None), default=None)
        self.last = max((place for place in (self.last, other.last) if place is not None), default=None)


class Tally:
    """Counts the known lines of one log, in tables that do not grow with it."""

    def __init__(self, matcher: Matcher, begins: re.Pattern[bytes] | None = None) -> None:
        self._matcher = matcher
        # where records begin: one that says the same twice, as a trace does with its causes, says it once
        self._begins = begins
        # by pattern, then by what it speaks for and what it is about
        self._counts: dict[str, dict[tuple[Codes, str], _Count]] = {}
        self._patterns: dict[str, Pattern] = {}

    def add(self, block: Block, lines: Iterator[Line]) -> None:
        """Count what these lines of a block say."""
        data, confirm = block.data, self._matcher.confirm
        # by pattern, codes and name: how many, the first and the last; a storm has many of few
        here: dict[tuple[str, Codes, str], list[int]] = {}
        for start, end, candidates in lines:
            hit = confirm(data[start : min(end, start + LINE)], candidates)
            if hit is None:
                continue
            key = hit.pattern.name, hit.codes, hit.name
            seen = here.get(key)
            if seen is None:
                here[key] = [1, start, start]
                self._patterns[hit.pattern.name] = hit.pattern
            elif self._is_another(data, seen[2], start, end):
                seen[0] += 1
                seen[2] = start
        part, offset = block.place
        place = type(block.place)
        for (pattern, codes, name), (count, first, last) in here.items():
            kept = self._count(pattern, codes, name)
            kept.add(block.zone, count, place(part, offset + first), place(part, offset + last))

    def _is_another(self, data: bytes, before: int, start: int, end: int) -> bool:
        """Whether this line stands in another record than one before it does."""
        if self._begins is None:
            return True
        return (found := self._begins.search(data, before + 1, end)) is not None and found.start() <= start

    def _count(self, pattern: str, codes: Codes, name: str) -> _Count:
        counts = self._counts.setdefault(pattern, {})
        key = codes, name
        if key not in counts and len(counts) >= _KEPT:
            key = self._patterns[pattern].codes, ""
        return counts.setdefault(key, _Count())

    def facts(self, span: Span, zones: Sequence[float] | None = None) -> Iterator[LogKnown]:
        """One fact for each pattern and name that the window has, the most frequent first; of many names some.

        `zones` is how many seconds of each were read, where that was not all.
        """
        timed = zones is not None and span.seconds is not None
        starts = self._starts(span)
        found: list[tuple[Pattern, Codes, str, _Count]] = []
        for name, counts in self._counts.items():
            pattern = self._patterns[name]
            found += ((pattern, codes, about, count) for (codes, about), count in _shown(pattern, counts).items())
        found.sort(key=lambda row: -row[3].inside)
        totals = {
            name: (sum(count.inside for count in counts.values()), sum(count.before for count in counts.values()))
            for name, counts in self._counts.items()
        }
        for pattern, codes, about, count in found:
            if count.first is None or count.last is None:
                continue
            line = span.line_at(count.last)
            yield LogKnown(
                subject=span.name, pattern=pattern.name, title=pattern.title, codes=codes, role=pattern.role,
                name=redact(about), count=count.inside, before=count.before, first_at=_at(span, count.first),
                happened_at=_at(span, count.last), text=told(span, line),
                started_at=_started(span, starts, count.last, about, line) if pattern.role != "start" else None,
                severity=pattern.severity, covered=round(zones[0], 3) if zones and timed else None,
                covered_before=round(sum(zones[1:]), 3) if zones and timed else None, of_all=totals[pattern.name],
            )  # fmt: skip

    def _starts(self, span: Span) -> list[tuple[Place, bytes, str]]:
        """The last good start of each service in this log: where, who wrote it, and the unit it names."""
        return [
            (count.last, _writer(span.line_at(count.last)), about)
            for name, counts in self._counts.items() if self._patterns[name].role == "start"
            for (_, about), count in counts.items() if count.last is not None
        ]  # fmt: skip


def _shown(pattern: Pattern, counts: dict[tuple[Codes, str], _Count]) -> dict[tuple[Codes, str], _Count]:
    """The same counts; of more names than are shown the most frequent, and one for all others."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1].inside, item[0]))
    if len(ranked) <= _NAMES:
        return dict(ranked)
    shown = dict(ranked[: _NAMES - 1])
    rest = shown.setdefault((pattern.codes, ""), _Count())
    for _, count in ranked[_NAMES - 1 :]:
        if count is not rest:
            rest.join(count)
    return shown


def _started(span: Span, starts: list[tuple[Place, bytes, str]], last: Place, about: str, line: bytes) -> float | None:
    """When what wrote this line was started well after it, None for not at all.

    In a log of many services another's start says nothing: it must be the same writer, or systemd speaking of the
    unit that the line, or the whole log, is about.
    """
    writer = _writer(line)
    ours = [
        place for place, by, unit in starts
        if place > last and (unit in (about, span.window.owner) or unit in span.name if unit else by == writer)
    ]  # fmt: skip
    return _at(span, max(ours)) if ours else None


def _writer(line: bytes) -> bytes:
    found = _WRITER.search(line, 0, 160)
    return found[1] if found else b""


def _at(span: Span, place: Place) -> float | None:
    at = span.time_at(place)
    return None if at is None else round(at, 3)


def told(span: Span, line: bytes) -> str:
    """A line of a log as a fact may hold it: without its time stamp, its secrets, and what is no character."""
    head = span.form.head(line) if span.form is not None else 0
    if 0 < head <= _STAMP and not line.startswith((b"{", b"[{")):
        line = line[head:].lstrip(b" \t]:,-|")
    text = line[: 2 * _TEXT].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else " " for c in redact(text)).strip()
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"

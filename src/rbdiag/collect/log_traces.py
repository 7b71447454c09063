"""Stack traces in logs: which exception, from where in the user's own code, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rbdiag.collect.log_trace_cut import Found, bare, found
from rbdiag.collect.log_trace_frames import Trace
from rbdiag.collect.log_trace_lines import is_continuation
from rbdiag.collect.log_trace_parse import parse, told
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.logs import LogTrace
from rbdiag.model import CannotLook, Fact, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_patterns import Matcher
    from rbdiag.collect.log_seek import Place
    from rbdiag.collect.log_window import Block, Span, Spans

__all__ = ["Trace", "is_continuation", "parse", "traces"]

# So many kinds are told of one log, and so many kept while it is read; beyond that the rarest are let go.
KINDS, _KEPT = 20, 2000
# Traces that were met are known again by their text without digits; so many texts are kept.
_KNOWN = 20_000
# Of the block after this one so much is kept, for a trace may go on there.
_AHEAD = 64 << 10
_DIGITS = b"0123456789"
_TEXT = 400


class _Kind:
    """Traces of one kind: how many, and the places of the first and the last of them in the window."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.inside = self.before = 0
        self.first: Place | None = None
        self.last: Place | None = None
        self.head: bytes = b""

    def add(self, zone: int, place: Place, head: bytes) -> None:
        if zone:
            self.before += 1
            return
        self.inside += 1
        if self.first is None or place < self.first:
            self.first = place
        if self.last is None or place >= self.last:
            self.last, self.head = place, head


class _Key(NamedTuple):
    exception: str
    shape: str
    frame: str


class Gathered:
    """The traces of one log by kind, in bounded memory."""

    def __init__(self, span: Span) -> None:
        self._starts = span.form.starts if span.form is not None else None
        self.kinds: dict[_Key, _Kind] = {}
        self._known: dict[bytes, _Key | None] = {}
        self._traces: dict[_Key, Trace] = {}
        self._shapes: dict[str, str] = {}
        self._after = b""

    def add(self, block: Block) -> None:
        """Take the traces of a block; blocks come the newest first."""
        data = block.data + self._after
        size = len(block.data)
        self._after = block.data[:_AHEAD]
        for one in found(data, self._starts):
            if one.start >= size:
                break
            if (key := self._key(data, one)) is None:
                continue
            kind = self.kinds.get(key)
            if kind is None:
                if len(self.kinds) >= _KEPT:
                    self._let_go()
                kind = self.kinds[key] = _Kind(self._traces[key])
            place = block.place._replace(offset=block.place.offset + one.start)
            kind.add(block.zone, place, self._head(data, one))

    def _key(self, data: bytes, one: Found) -> _Key | None:
        text = data[one.start : one.end].translate(None, _DIGITS)
        if text in self._known:
            return self._known[text]
        if len(self._known) >= _KNOWN:
            self._known.clear()
        trace = told(bare(data, one))
        key = None if trace is None else _Key(trace.exception, self._shape(trace.message), trace.frame or trace.top)
        if key is not None and trace is not None:
            if len(self._traces) > _KNOWN:
                self._traces = {kept: kind.trace for kept, kind in self.kinds.items()}
            self._traces.setdefault(key, trace)
        self._known[text] = key
        return key

    def _shape(self, message: str) -> str:
        from rbdiag.collect.log_templates import template

        if message not in self._shapes:
            if len(self._shapes) >= _KNOWN:
                self._shapes.clear()
            self._shapes[message] = template(message)
        return self._shapes[message]

    def _head(self, data: bytes, one: Found) -> bytes:
        """The record's first line: the one with the time, else the one above the trace that is no part of it."""
        at = data.rfind(b"\n", 0, one.start) + 1
        if self._starts is None or one.prefix is not None:
            return data[at : at + _TEXT].partition(b"\n")[0]
        for _ in range(20):
            if at == 0 or self._starts.match(data, at):
                break
            at = data.rfind(b"\n", 0, at - 1) + 1
        return data[at : at + 2 * _TEXT].partition(b"\n")[0]

    def _let_go(self) -> None:
        kept = sorted(self.kinds.items(), key=lambda item: -item[1].inside - item[1].before)
        self.kinds = dict(kept[: _KEPT // 2])


def traces(spans: Spans, deadline: Deadline, matcher: Matcher | None) -> Iterator[Fact]:
    """The check `logs.traces`: each kind of trace in each log, those of the window before those that were only before.

    What there was no time for is raised at the end.
    """
    gaps: list[Gap] = []
    for number, span in enumerate(spans.all):
        gathered = Gathered(span)
        reading = span.read(deadline, 0.8 / (len(spans.all) - number))
        late = False
        try:
            for block in reading:
                deadline.left()
                gathered.add(block)
        except OutOfTime:
            late = True
        yield from _facts(span, gathered, matcher)
        if (gap := reading.gap()) is not None:
            gaps.append(gap)
        elif late:
            gaps.append(
                Gap("deadline", f"{span.name}: not all of it was read", "give it more time: --deadline SECONDS")
            )
    if gaps:
        raise CannotLook(gaps[0])


def _facts(span: Span, gathered: Gathered, matcher: Matcher | None) -> Iterator[LogTrace]:
    from rbdiag.collect.log_levels import level
    from rbdiag.collect.log_templates import template

    inside = [kind for kind in gathered.kinds.values() if kind.inside]
    for kind in sorted(inside, key=lambda k: (k.before > 0, -k.inside))[:KINDS]:
        trace = kind.trace
        text = kind.head.decode("utf-8", "backslashreplace").rstrip("\r")
        stamp = span.form.head(kind.head) if span.form is not None else 0
        line = trace.line
        hit = matcher.match(line.encode("utf-8", "replace")) if matcher is not None else None
        yield LogTrace(
            subject=span.name, language=trace.language, exception=_plain(trace.exception),
            message=_plain(trace.message), frame=_plain(trace.frame), top=_plain(trace.top),
            head=_plain(template(redact(text[stamp:] or text))),
            count=kind.inside, before=kind.before if span.slices else None, first_at=_at(span, kind.first),
            happened_at=_at(span, kind.last), code=hit.codes[0] if hit is not None and hit.codes else "",
            level=level(text, stamp),
        )  # fmt: skip


def _plain(text: str) -> str:
    """Text as a fact may hold it: without secrets, and without what is no character."""
    return "".join(c if c.isprintable() else " " for c in redact(text)).strip()[:_TEXT]


def _at(span: Span, place: Place | None) -> float | None:
    at = None if place is None else span.time_at(place)
    return None if at is None else round(at, 3)

"""What is worth telling of lines as they come: what is known, what has a new shape, what was thrown.

Each kind is told when it comes the first time, and again with its count at 10, 100, 1000, and so on: whoever looks on
is told once, and that it has not ended. What the log held already is no news, unless it speaks of a failure.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogLevel
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_patterns import Hit, Matcher
    from rbdiag.collect.log_times import Form
    from rbdiag.collect.log_traces import Trace

# A record is whole when the next one begins, when it has so many lines, or when nothing came for so many seconds.
_MOST, PATIENCE = 200, 0.3
# How a log writes its times is found out from its last lines, else from its first: at each of these numbers of them.
_SAMPLE, _TRIES = 200, (1, 2, 5, 10, 20, 50)
# So much of a line is looked at, and so many lines of a record.
_LINE, _LOOKED = 8192, 60
# So many kinds are counted in one log; of what comes beyond that only what is known is told. And of one pattern so
# many names are told apart: a storm of refused logins has one for each client.
_KINDS, _NAMES = 5000, 20
# What is given at once is searched in milliseconds; a search has to be told a time all the same.
_SCAN = 60.0

Key = tuple[str, ...]


class News(NamedTuple):
    """Lines of one kind came: for the first time, or so many `times` by now.

    `at` is the time of the last, or that of its arrival where it tells none; `level` what it says of itself; `text`
    the line, and `message` the line without its time, or the exception it begins; both redacted. `title`, `name` and
    `codes` are what is known of it, `title` of an exception its type, place and message; empty for what is only new.
    """

    kind: Literal["known", "new", "exception"]
    log: str
    at: float
    times: int
    level: LogLevel
    text: str
    message: str
    title: str = ""
    name: str = ""
    codes: tuple[str, ...] = ()


class _Batch(NamedTuple):
    """Lines as a scan takes them."""

    data: bytes


class _Line(NamedTuple):
    """A line, no longer than is looked at; `anchored` says that some pattern may know it."""

    text: bytes
    anchored: bool


class Watch:
    """One log that is looked at as it grows. Lines are given without their line breaks."""

    def __init__(self, log: str, matcher: Matcher) -> None:
        from rbdiag.collect.log_templates import Miner

        self.log = log
        self._matcher, self._miner = matcher, Miner()
        self._form: Form | None = None
        self._sample: list[bytes] = []
        self._counts: dict[Key, int] = {}
        self._usual: set[Key] = set()
        self._names: dict[str, set[str]] = {}
        self._record: list[_Line] = []
        self._grew = 0.0

    def learn(self, lines: list[bytes]) -> int:
        """Take these lines, the oldest first, for what the log always says; of failures nothing is usual.

        Returns how many of their records tell of an error.
        """
        from rbdiag.collect.log_levels import level
        from rbdiag.collect.log_times import form_of

        errors = 0

        self._form = form_of(lines[-_SAMPLE:], time.time())
        self._sample = lines[-_TRIES[-1] :]
        for kind in (*self._kinds(lines), *self._end()):
            if kind.key[0] != "failure":
                self._usual.add(kind.key)
            if kind.key[0] in ("failure", "exception") or level(_text(kind.first), kind.head) in ("error", "fatal"):
                errors += 1
        return errors

    def add(self, lines: list[bytes]) -> Iterator[News]:
        """Take in lines; what is to be told of the records that they end."""
        for line in lines:
            self._find_form(line)
        yield from self._new_of(self._kinds(lines))
        self._grew = time.monotonic()

    def rest(self, *, ended: bool = False) -> Iterator[News]:
        """What is to be told of the last record, once nothing more comes to it (or where the log has `ended`)."""
        if self._record and (ended or time.monotonic() - self._grew >= PATIENCE):
            yield from self._new_of(self._end())

    def _find_form(self, line: bytes) -> None:
        from rbdiag.collect.log_times import form_of

        if self._form is None and len(self._sample) < _TRIES[-1]:
            self._sample.append(line)
            if len(self._sample) in _TRIES:
                self._form = form_of(self._sample, time.time())

    def _kinds(self, lines: list[bytes]) -> Iterator[_Kind]:
        """What the records that these lines end are instances of."""
        for line in self._anchored(lines):
            if 0 < len(self._record) < _MOST and self._goes_on(line.text):
                self._record.append(line)
            else:
                yield from self._end()
                self._record = [line]

    def _anchored(self, lines: list[bytes]) -> Iterator[_Line]:
        from rbdiag.collect.log_scan import scan

        batch = _Batch(b"\n".join(line[:_LINE] for line in lines))
        scanned = scan(self._matcher, [batch], Deadline(_SCAN), len(batch.data), "python")
        anchored = {start for _, found in scanned for start, _, _ in found}
        at = 0
        for text in batch.data.split(b"\n") if lines else ():
            yield _Line(text, at in anchored)
            at += len(text) + 1

    def _goes_on(self, line: bytes) -> bool:
        """Whether a line goes on with the record above: in a log with times one without, else one that looks so."""
        from rbdiag.collect.log_traces import is_continuation

        return is_continuation(line) if self._form is None else self._form.starts.match(line) is None

    def _end(self) -> Iterator[_Kind]:
        record, self._record = self._record, []
        if any(line.text.strip() for line in record):
            yield self._meant(record)

    def _new_of(self, kinds: Iterable[_Kind]) -> Iterator[News]:
        for kind in kinds:
            if kind.key not in self._counts and len(self._counts) >= _KINDS and kind.hit is None:
                continue
            times = self._counts[kind.key] = self._counts.get(kind.key, 0) + 1
            # 1, 10, 100, …: one that goes on is told ever more rarely
            if kind.key not in self._usual and str(times).strip("0") == "1":
                yield self._told(kind, times)

    def _meant(self, record: list[_Line]) -> _Kind:
        from rbdiag.collect import log_traces

        first = record[0].text
        head = self._form.head(first) if self._form else 0
        hit, shown = self._known(record)
        trace = log_traces.parse([line.text for line in record]) if len(record) > 1 else None
        thrown = _thrown(trace) if trace else ""
        if hit is not None and hit.pattern.role == "failure":
            return _Kind(("failure", *self._named(hit)), first, head, hit, shown, thrown)
        if trace is not None:
            return _Kind(("exception", trace.exception, trace.frame or trace.top), first, head, None, first, thrown)
        if hit is not None:
            return _Kind(("known", *self._named(hit)), first, head, hit, shown)
        return _Kind(("new", self._miner.add(_text(first[head:]))[0]), first, head, None, first)

    def _named(self, hit: Hit) -> Key:
        """The pattern and what it is about; all names beyond the first so many are one."""
        names = self._names.setdefault(hit.pattern.name, set())
        if len(names) < _NAMES:
            names.add(hit.name)
        return hit.pattern.name, hit.name if hit.name in names else "*"

    def _known(self, record: list[_Line]) -> tuple[Hit | None, bytes]:
        """What a line of the record says that is known, a failure before anything else; and that line."""
        found: tuple[Hit | None, bytes] = (None, b"")
        for line in record[:_LOOKED]:
            if line.anchored and (hit := self._matcher.match(line.text)) is not None:
                if hit.pattern.role == "failure":
                    return hit, line.text
                found = found if found[0] else (hit, line.text)
        return found

    def _told(self, kind: _Kind, times: int) -> News:
        from rbdiag.collect import log_levels

        now = time.time()
        own = self._form.at(kind.first, now) if self._form else None
        hit = kind.hit
        said = _text(kind.shown[kind.head if kind.shown is kind.first else 0 :]).strip()
        return News(
            "known" if hit else "exception" if kind.thrown else "new",
            self.log,
            now if own is None else own,
            times,
            log_levels.level(_text(kind.first), kind.head),
            redact(_text(kind.shown)),
            redact(kind.thrown if hit and kind.thrown else said),
            hit.pattern.title if hit else redact(kind.thrown),
            redact(hit.name) if hit else "",
            hit.codes if hit else (),
        )


class _Kind(NamedTuple):
    """What a record is an instance of: its `first` line, whose time is `head` long, and the line `shown` for it.

    `hit` is what is known of it, `thrown` the exception in it.
    """

    key: Key
    first: bytes
    head: int
    hit: Hit | None
    shown: bytes
    thrown: str = ""


def _thrown(trace: Trace) -> str:
    """The exception, where it came from, and its message."""
    where = f" at {trace.frame or trace.top}" if trace.frame or trace.top else ""
    return f"{trace.exception}{where}" + (f": {trace.message}" if trace.message else "")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r")

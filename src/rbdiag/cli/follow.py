"""`rbdiag logs --follow`: one line an event, written as it comes."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rbdiag.cli.options import ShowOptions
from rbdiag.cli.report import children_end_with_us, colored
from rbdiag.cli.streams import UNKNOWN, columns, say, write
from rbdiag.collect.log_follow import Begun, follow
from rbdiag.collect.log_patterns import Matcher
from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_watch import News
from rbdiag.model import Gap
from rbdiag.runbooks.logs import own_patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rbdiag.settings import PatternEntry

# How wide a word such as `exception` or `x10,000` gets.
_WORD = 9
_COLORS = {"known": "\x1b[1;31m", "exception": "\x1b[31m", "new": "\x1b[33m"}


def watch(
    files: tuple[str, ...],
    unit: str,
    pid: int | None,
    since: float,
    patterns: Iterable[PatternEntry],
    seconds: float | None,
    show: ShowOptions,
) -> int:
    """Tell what is known or new in these logs as it is written, until the time is up or nobody listens.

    `since` is how far back the logs are read to learn what is usual. Returns the exit status: unknown where there is
    no log to follow, or what was seen cannot be told.
    """
    tell = _as_json if show.output == "jsonl" else _as_line(show)
    followed = blind = False
    events = follow(Wanted(files, unit, pid), since, Matcher(own_patterns(patterns)), seconds)
    # Whatever ends this, what was opened and started for it ends too.
    with children_end_with_us(), closing(events):
        for event in events:
            followed = followed or isinstance(event, Begun)
            blind = blind or isinstance(event, Gap)
            try:
                if (line := tell(event)) and not write(line + "\n"):
                    break  # who listened has gone
            except OSError as error:
                say(f"cannot write to standard output: {error.strerror}")
                return UNKNOWN
    return UNKNOWN if blind and not followed else 0


def _as_json(event: Begun | News | Gap) -> str:
    from rbdiag.render.json_ import dumps
    from rbdiag.render.when import stamp

    match event:
        case Begun():
            doc: dict[str, Any] = {"event": "follow", "log": event.log, "lines": event.lines}
        case Gap():
            doc = {"event": "gap", "reason": event.reason, "detail": event.detail, "unlock": event.unlock}
        case News():
            doc = {"event": event.kind, **event._asdict(), "at": stamp(event.at), "count": event.times}
            del doc["kind"], doc["times"]
    return dumps(doc)


def _as_line(show: ShowOptions) -> Callable[[Begun | News | Gap], str]:
    """Lines for a person: cut at the edge of a terminal, and whole where they go on into a pipe."""
    from rbdiag.render.escape import cut, visible
    from rbdiag.render.log_answer import leveled, short
    from rbdiag.render.when import clock

    ascii_only = not (sys.stdout and sys.stdout.encoding.lower().startswith("utf"))
    paint, terminal = colored(show), os.isatty(1)
    logs: set[str] = set()

    def line(event: Begun | News | Gap) -> str:
        match event:
            case Begun():
                say(_begun(event) + ("" if logs else "; Ctrl-C ends it"))
                logs.add(event.log)
                return ""
            case Gap():
                say(event.detail + (f"; {event.unlock}" if event.unlock else ""))
                return ""
        word = event.kind if event.times == 1 else f"x{event.times:,}"
        said = leveled(event.level, event.message)
        what = {"new": said, "exception": event.title}.get(event.kind) or _known(event, said)
        log = f"{short(event.log, logs)}: " if len(logs) > 1 else ""
        when = clock(event.at, time.localtime(event.at).tm_gmtoff, time.time())
        text = visible(f"{when}  {word:<{_WORD}}  {log}{what}", ascii_only)
        text = cut(text, columns(1), "..." if ascii_only else "…") if terminal else text
        head = f"{when}  {word:<{_WORD}}"
        return f"{_COLORS[event.kind]}{head}\x1b[0m{text[len(head) :]}" if paint else text

    return line


def _begun(event: Begun) -> str:
    """What is followed, how much of it is known to be usual, and that errors are among that, which are no news."""
    from shlex import quote

    if not event.lines:
        return f"following {event.log}"
    lines = f"{event.lines:,} lines" if event.lines > 1 else "line"
    learnt = f"following {event.log}: learnt its last {lines}"
    if not event.errors:
        return learnt
    errors, them = (f"{event.errors:,} errors", "them") if event.errors > 1 else ("an error", "it")
    again = "the same without -f"
    if os.path.exists(event.log):
        again = f"rbdiag logs {quote(f'./{event.log}' if event.log.startswith('-') else event.log)}"
    return f"{learnt}, with {errors} in them: {again} tells of {them}"


def _known(event: News, said: str) -> str:
    return f"{event.title}{f' ({event.name})' if event.name else ''}: {said}"

"""Where in a block of a log stack traces stand, and their bare lines: without what each line may be wrapped in.

A trace comes in three ways: as lines of its own below the line that speaks of it; with a prefix before every line
(syslog, the journal, a container's log); or in one line, its line breaks escaped (JSON, syslog's #012).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from rbdiag.collect.log_trace_lines import is_continuation

# What every trace has, and few other lines. Those that are not at a trace's beginning are looked up from upwards.
MARKS: tuple[bytes, ...] = (
    b"Traceback (most recent", b"SyntaxError: ", b"IndentationError: ", b"Fatal Python error: ",
    b"\tat ", b"\\tat ", b"   at ", b"#011at ",
    b"panic: ", b"goroutine ", b"\n\t/", b"\\n\\t/", b"panicked at ", b"terminate called after throwing",
    b":in `", b":in '", b"Uncaught ", b"Fatal error: ", b"Parse error: ", b"[object] (", b"#0 ", b"** (",
)  # fmt: skip
# What must stand there, so that words of a sentence are told apart at once.
_LIKE = {
    b"\tat ": rb"\tat [\w$.<>/@-]*\S*[.(]", b"\\tat ": rb"\\tat \S+\(", b"#011at ": rb"#011at \S+\(",
    b"   at ": rb" {3}at (?:async |new )?(?:[^\n]{1,400}?[\w>\])]\(|[^\n]{0,400}?:\d+|[\w.<>\[\] $*]+ \()",
    b"goroutine ": rb"goroutine \d+ [^\n]{0,80}\[", b"\n\t/": rb"\n\t/[^\n:]{1,400}\.(?:go|s|c):\d+",
    b"\\n\\t/": rb"\\n\\t/[^\n:]{1,400}?\.(?:go|s|c):\d+",
    b":in `": rb":in `[^'\n]{1,400}'", b":in '": rb":in '[^'\n]{1,400}'",
    b"Uncaught ": rb"Uncaught [\w\\' ]+[:'( ]", b"#0 ": rb"#0 (?:\S+\(\d+\): |\[internal function\]: |\{main\})",
    b"** (": rb"\*\* \((?:EXIT from \S+ )?[\w.]+\) ", b"[object] (": rb"\[object\] \([\w\\]+\(code: ?",
    b"panic: ": rb"panic: ", b"panicked at ": rb"panicked at \S",
}  # fmt: skip
_TRUE = {mark: re.compile(regex) for mark, regex in _LIKE.items()}
# These stand below the line that names the exception.
_BELOW = frozenset((
    b"\tat ", b"\\tat ", b"   at ", b"#011at ", b"goroutine ", b"\n\t/", b"\\n\\t/", b"#0 ", b":in `", b":in '",
    b"SyntaxError: ", b"IndentationError: ",
))  # fmt: skip
# So many lines and bytes are one trace at the most; so many lines may stand above its first frame, or lie between
# lines of one prefix that are another writer's.
LINES, BYTES, _LINE = 600, 64 << 10, 2000
_ABOVE, _BETWEEN = 12, 20
_CHAIN = re.compile(
    rb"exception(?: was the direct cause of the following exception|, another exception occurred):\s*\Z"
)
_NAMED = re.compile(
    rb"(?:^|[\s:>\]\"('|])(?:[\w$]+(?:\.|::|\\{1,2}))*[A-Z][\w$]*(?:Exception|Error|Throwable|Rejection|Failure|Fault|Timeout)\b"
    rb"(?: \[\w+\]| \([^)\n]*\))?(?::|[\s\]\"]*$|\])|^(?:[a-z_][\w$]*\.)+[A-Z][\w$]*(?::|\s*$)|Exception in thread \""
    rb"|^[A-Z][\w$]*: |panic:|panic recovered|fatal error: |^Full thread dump"
)
# After these a message may have more lines before its frames come.
_HEADS = (b"Caused by: ", b"Wrapped by: ")


_CALL = re.compile(rb"[\w./*()\[\]~@-]+\Z")
_STAMPED = re.compile(
    rb"[^\n\[]{8,200}?\[\d+\]: |[A-Z], \[[^\]\n]{10,60}\] +[A-Z]+ -- [^:\n]{0,80}: (?:\[[^\]\n]{0,80}\] )*"
)


class Found(NamedTuple):
    """A trace in a block: where it begins and ends, and how its lines are wrapped."""

    start: int
    end: int
    prefix: re.Pattern[bytes] | None = None
    depth: int = 0  # of escapes: its line breaks are `\\n` in text in text


def found(data: bytes, starts: re.Pattern[bytes] | None) -> Iterator[Found]:
    """Everything in these bytes that looks like a trace, in its order; `starts` finds where records begin."""
    nexts = {mark: data.find(mark) for mark in MARKS}
    at = 0
    while True:
        nexts = {m: (p if p >= at else data.find(m, at)) for m, p in nexts.items() if p >= 0}
        nexts = {m: p for m, p in nexts.items() if p >= 0}
        if not nexts:
            return
        mark = min(nexts, key=nexts.__getitem__)
        place = nexts[mark]
        if mark in _TRUE and _TRUE[mark].match(data, place) is None:
            nexts[mark] = data.find(mark, place + len(mark))
            continue
        one = _cut(data, place + (mark == b"\n\t/"), mark, starts, at)
        yield one
        at = max(one.end, place + len(mark))


def _cut(data: bytes, place: int, mark: bytes, starts: re.Pattern[bytes] | None, floor: int) -> Found:
    begin = data.rfind(b"\n", 0, place) + 1
    end = _line_end(data, begin)
    if depth := _depth(data, place, begin, min(end, begin + BYTES)):
        return _within(data, place, begin, end, depth)
    lead = data[begin:place]
    bare = lead.strip(b" \t+|").removesuffix(b"Exception Group").rstrip(b" \t+|") if lead else b""
    prefix = None
    if bare and len(bare) < 300 and mark not in (b"Uncaught ", b"Fatal error: ", b":in `", b":in '"):
        shape = lead if mark not in _BELOW else lead.rstrip()
        candidate = prefix_of(shape)
        near = (
            data[end + 1 : end + 600]
            if mark not in _BELOW or begin == 0
            else data[data.rfind(b"\n", 0, begin - 1) + 1 : begin]
        )
        if candidate.match(near) or candidate.match(data[end + 1 : end + 600]):
            prefix = candidate
    elif bare and (timed := _stamped(data, begin, end)):
        candidate = prefix_of(timed)
        if candidate.match(data[end + 1 : end + 600]) or candidate.match(
            data[data.rfind(b"\n", 0, max(begin - 1, 0)) + 1 : begin]
        ):
            prefix = candidate
    start = begin
    if mark in _BELOW:
        start = _above(data, begin, mark, starts if prefix is None else None, prefix, floor)
    return Found(start, _end(data, begin, mark, starts, prefix), prefix)


def _stamped(data: bytes, begin: int, end: int) -> bytes:
    """What a line of syslog, of the journal, or of Ruby's logger has before its message."""
    matched = _STAMPED.match(data, begin, end)
    return matched[0] if matched else b""


def _line_end(data: bytes, at: int) -> int:
    end = data.find(b"\n", at)
    return len(data) if end < 0 else end


@lru_cache(maxsize=512)
def prefix_of(lead: bytes) -> re.Pattern[bytes]:
    """What other lines of the same writer begin with: the same, with other digits, but for those of a process."""
    parts = re.split(rb"(\[\d+\]:|\d+)", lead)
    regex = b"".join(re.escape(p) if i % 2 == 0 or p.startswith(b"[") else rb"\d+" for i, p in enumerate(parts))
    return re.compile(regex + (b"" if lead[-1:].isspace() or lead.endswith(b'"') else b" ?"))


# One line.


def _depth(data: bytes, place: int, begin: int, end: int) -> int:
    """How often the line breaks of a trace in this line are escaped; 0 where it has lines of its own."""
    if data.find(b"#012", begin, end) >= 0:
        return 1
    near = re.compile(
        rb"(\\+)(?:r\\+)?n(?: *\\+t| +|\[|#|From|from|File|Stack|Traceback|[\w./]+:\d+:in|[\w./()*]+\\+n\\+t|goroutine)"
    ).search(data, max(begin, place - 400), min(end, place + 2000))
    if near is None:
        return 0
    # the last escape of a wrapped line of its own is no line break inside it
    return len(near[1]).bit_length()


def _within(data: bytes, place: int, begin: int, end: int, depth: int) -> Found:
    """The string around a place of a line in which line breaks are escaped this often."""
    most = (1 << (depth - 1)) - 1
    start = place
    while (quote := data.rfind(b'"', begin, start)) >= 0:
        if _slashes(data, quote, begin) <= most:
            break
        start = quote
    stop = place
    while (closing := data.find(b'"', stop, end)) >= 0:
        if _slashes(data, closing, begin) <= most:
            break
        stop = closing + 1
    if quote < 0 or closing < 0 or closing - quote > 4 * BYTES:
        return Found(begin, min(end, begin + 4 * BYTES), None, depth)
    return Found(quote + 1, closing, None, depth)


def _slashes(data: bytes, at: int, floor: int) -> int:
    count = 0
    while at - count > floor and data[at - count - 1] == 0x5C:
        count += 1
    return count


_ESCAPES = {"n": "\n", "t": "\t", "r": "", "b": "", "f": "", '"': '"', "'": "'", "/": "/", "\\": "\\"}


def unescaped(text: str, depth: int = 1) -> str:
    """Text without the escapes of JSON, of Python and of syslog, taken off so often."""
    text = text.replace("#012", "\n").replace("#011", "\t")

    def plain(one: re.Match[str]) -> str:
        return chr(int(one[1], 16)) if one[1] else _ESCAPES.get(one[2], one[0])

    for _ in range(depth):
        text = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", plain, text)
    return text


# Lines of its own.


def _lines(
    data: bytes, at: int, starts: re.Pattern[bytes] | None, prefix: re.Pattern[bytes] | None
) -> Iterator[tuple[bytes, int]]:
    """The bare lines from a place on, and where each ends, down to where another record begins."""
    missed = 0
    while at < len(data):
        end = _line_end(data, at)
        if prefix is None:
            if starts is not None and data[at : at + 1] not in (b" ", b"\t", b"\n") and starts.match(data, at):
                return
            yield data[at:end], end
        elif found := prefix.match(data, at, end):
            missed = 0
            yield data[found.end() : end], end
        else:
            missed += 1
            if missed > _BETWEEN:
                return
        at = end + 1


def _end(
    data: bytes, begin: int, mark: bytes, starts: re.Pattern[bytes] | None, prefix: re.Pattern[bytes] | None
) -> int:
    """Where the trace ends that has this mark in the line that begins here."""
    first = stop = _line_end(data, begin)
    python = mark.startswith(b"Traceback")
    awaited = 1 if python or mark == b"panicked at " or mark == b"terminate called after throwing" else 0
    head = 3 if mark not in _BELOW and b"Uncaught " in data[begin:first] else 0
    raised = framed = False
    quoted = prefix is not None and prefix.pattern.endswith(b'"')
    for count, (whole, end) in enumerate(_lines(data, first + 1, starts, prefix)):
        if count > LINES or end - begin > BYTES:
            break
        line = _unquoted(whole) if quoted else whole
        if line[:1] in (b" ", b"\t"):
            framed = True
            if not raised or not python:
                stop = end
            head = 0
        elif not line.strip():
            continue
        elif python and raised:
            # what a message has in more lines, then perhaps what came of it
            if b"Traceback (most recent" in line or count > LINES // 2:
                break
            if _CHAIN.search(line):
                raised, awaited, stop = False, 1, end
        elif awaited and framed >= python and not line.startswith((b"Traceback", b"File ")):
            awaited, raised, stop = 0, True, end
            if not python:
                raised = False
            elif prefix is None and b"exception" not in data[end : end + 8192]:
                break
        elif is_continuation(line):
            stop, head = end, _ABOVE if line.startswith(_HEADS) and b"[CIRCULAR" not in line else head
        elif mark == b"\n\t/" and _CALL.match(line):
            continue  # if its place is in the next line
        elif head and not (mark in _BELOW and _NAMED.search(line[:_LINE])):
            head -= 1
        elif (mark in (b":in `", b":in '") and re.search(rb":\d+:in [`']", line)) or (
            mark in (b"[object] (", b"Uncaught ", b"#0 ") and line.startswith((b"Next ", b"[previous", b'"}'))
        ):
            stop = end
        else:
            break
    return stop


def _above(
    data: bytes, begin: int, mark: bytes, starts: re.Pattern[bytes] | None, prefix: re.Pattern[bytes] | None, floor: int
) -> int:
    """Where the lines begin that name the exception whose first frame is in this line."""
    at, best = begin, begin
    here = data[begin : _line_end(data, begin)]
    if mark in (b":in `", b":in '") and re.search(rb"': .*\([A-Z][\w:]*\)\s*$", here[:_LINE]):
        return begin
    blank = 0
    for count in range(_ABOVE):
        if at <= floor:
            break
        previous = data.rfind(b"\n", 0, at - 1) + 1
        text = data[previous : at - 1]
        if prefix is not None:
            if (found := prefix.match(text)) is None:
                at = previous
                continue
            text = text[found.end() :]
        at = previous
        if prefix is None and starts is not None and starts.match(data, previous):
            return previous
        if _NAMED.search(text[:_LINE]) and not text.lstrip().startswith((b"Caused by", b"[signal", b"--->")):
            errors = data.rfind(b"\n", 0, max(previous - 1, 0)) + 1
            return errors if data[errors:previous].endswith(b"[errors]: [\n") and errors >= floor else previous
        blank += not text.strip()
        if count - blank < 1 + (mark == b"\n\t/") or (
            mark.startswith((b"goroutine", b"#0", b"Syntax", b"Indent")) and count < 4
        ):
            best = previous
    return best


def _unquoted(line: bytes) -> bytes:
    """A line that ends inside a string of JSON: what stands before its closing quote, without escapes."""
    inside = re.match(rb'(?:[^"\\]|\\.)*', line[:_LINE])
    text = unescaped((inside[0] if inside else line).decode("utf-8", "replace")).rstrip("\n")
    return text.encode()


def bare(data: bytes, one: Found) -> list[str]:
    """The lines of a trace as the runtime wrote them."""
    part = data[one.start : one.end]
    if one.depth:
        text = unescaped(part.decode("utf-8", "backslashreplace"), one.depth)
        return [line[:_LINE].rstrip("\r") for line in text.split("\n")[:LINES]]
    lines: Iterable[bytes] = part.split(b"\n")[:LINES]
    if one.prefix is not None:
        quoted = one.prefix.pattern.endswith(b'"')
        matched = [(line, one.prefix.match(line)) for line in lines]
        lines = [line[found.end() :] for line, found in matched if found is not None]
        lines = [_unquoted(line) for line in lines] if quoted else lines
    return [line[:_LINE].decode("utf-8", "backslashreplace").rstrip("\r") for line in lines]

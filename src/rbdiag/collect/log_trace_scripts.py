"""Traces of Ruby, PHP and Elixir."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rbdiag.collect.log_trace_frames import Frame, Link, Trace, own_file, own_name, trace_of

_RUBY_FRAME = re.compile(
    r"(?:.*?(?<![\w./~@+-]))?((?:/|\./)?[\w./~@+-]*\.\w+|<internal:[^>]*>|\(\w+\)):(\d+):in [`'](.*?)'(?=:|\s|\"|$)"
)
# How an exception stands: behind its place, before its message, behind it in brackets, as Rails writes it.
_RUBY_RAISED = re.compile(r".*?:\d+:in [`'].*?': (.*?)(?: \(([A-Z][\w:]*)\))?\s*\Z")
_RUBY_BEHIND = re.compile(r"(.*?) \(([A-Z]\w*(?:::[A-Z]\w*)*)\)\s*\Z")
_RUBY_BEFORE = re.compile(
    r"(?:^|.*?[\s\]>:])([A-Z]\w*(?:::[A-Z]\w*)*(?:Error|Exception|Timeout|Invalid|NotFound|NotUnique|Exit)"
    r"|[A-Z]\w*(?:::[A-Z]\w*)+)(?:: (.*)| \((.*)\):?)\s*\Z"
)

_PHP_UNCAUGHT = re.compile(
    r"(?:.*?)(?:Uncaught (?:exception ')?|^Next (?:exception ')?)([\w\\]+)'?(?:(?: with message)?:? ['\"]?(.*?)['\"]?)?"
    r" (?:in|at) ((?:[A-Za-z]:)?[^\s:]*(?:\(\d+\) : eval\(\)'d code)?)(?::| line )(\d+)"
)
_PHP_OBJECT = re.compile(r"\[object\] \(([\w\\]+)\(code: ?[^)]*\): (.*?) at ([^\s:]+):(\d+)\)")
_PHP_FATAL = re.compile(
    r"(?:.*?)(?:PHP )?((?:Catchable |Recoverable )?(?:Fatal|Parse|Compile) error): +(?!Uncaught)(.*)"
    r" in (\S+) on line (\d+)"
)
_PHP_FRAME = re.compile(r"\s*#(\d+) (?:(\[internal function\])|(.+?)\((\d+)\)): (.+?)\s*\Z|\s*#(\d+) \{main\}")
_PHP_LINE = re.compile(r"(.*?): (.*) in (/\S+):(\d+)\s*\Z")

_ELIXIR = re.compile(r".*?\*\* \((?:EXIT from \S+ )?([\w.]+)\) (.*)")
_ELIXIR_FRAME = re.compile(r"\s+(?:\((\w+)(?: [\w.+-]+)?\) )?(\S+\.(?:exs?|erl|eex|heex|leex)):(\d+): (.+?)\s*\Z")


def ruby(lines: Sequence[str]) -> Trace | None:
    """The exception in these lines: the last cause, which Ruby writes last, or the only one."""
    chain: list[Link] = []
    head: tuple[str, str] | None = None
    frames: list[Frame] = []
    above: list[str] = []
    backwards = any("Traceback (most recent call last)" in line for line in lines)
    for line in lines:
        found = _RUBY_FRAME.match(line) if ":in " in line else None
        if found is None:
            above.append(line)
            continue
        frame = Frame(
            found[1],
            int(found[2][:9]),
            re.sub(r"^(?:(?:rescue|ensure|block(?: \(\d+ levels\))?) in )+", "", found[3]),
            own_file("ruby", found[1]),
        )
        raised = _RUBY_RAISED.match(line) if "from " not in line[: found.start(1)] else None
        if raised is not None and (raised[2] or not chain):
            if head is not None and not backwards:
                chain.append(Link(*head, frames))
                frames = []
            head = (raised[2] or "RuntimeError", raised[1])
            frames = [frame, *frames[::-1]] if backwards else [frame]
        else:
            if head is None and not backwards:
                head = _ruby_above(above)
                if head is None:
                    return None
            frames.append(frame)
        above = []
    if head is not None:
        chain.append(Link(*head, frames))
    if head is not None and head[0] in ("Interrupt", "SystemExit", "SignalException"):
        return None  # it was told to stop
    return trace_of("ruby", chain[::-1])


def _ruby_above(above: Sequence[str]) -> tuple[str, str] | None:
    for line in above[-6:][::-1]:
        text = line.strip()
        if found := _RUBY_BEFORE.match(text):
            return found[1], found[2] or found[3] or ""
        if found := _RUBY_BEHIND.match(text):
            return found[2], found[1].rpartition(" -- : ")[2]
    return None


def php(lines: Sequence[str]) -> Trace | None:
    """The exception in these lines: the first where PHP writes it, the last where a logging library does."""
    chain: list[Link] = []
    calls: list[tuple[str, int, str]] = []
    head: tuple[str, str, str, int] | None = None
    logged = False

    def ended() -> None:
        if head is not None:
            chain.append(Link(head[0], head[1], _php_frames(head, calls)))

    for line in lines:
        if ("Fatal error" in line or "Parse error" in line) and (found := _PHP_FATAL.match(line)):
            return trace_of("php", [Link(found[1], found[2], [_php_frame(found[3], int(found[4][:9]), "")])])
        if (frame := _PHP_FRAME.match(line)) is not None:
            if frame[5]:
                calls.append((frame[2] or frame[3] or "", int((frame[4] or "0")[:9]), frame[5].partition("(")[0]))
            continue
        found = _PHP_OBJECT.search(line)
        logged = logged or found is not None
        found = found or _PHP_UNCAUGHT.match(line) or (_PHP_LINE.match(line) if head is None else None)
        if found is not None:
            ended()
            calls = []
            head = (found[1].split()[-1].replace("\\\\", "\\"), found[2] or "", found[3], int(found[4][:9]))
            for more in list(_PHP_OBJECT.finditer(line))[1:]:
                ended()
                head = (more[1].replace("\\\\", "\\"), more[2], more[3], int(more[4][:9]))
    ended()
    return trace_of("php", chain[::-1] if logged else chain)


def _php_frames(head: tuple[str, str, str, int], calls: Sequence[tuple[str, int, str]]) -> list[Frame]:
    """Where it was thrown, then the callers: PHP writes with each place what was called there."""
    places = [(head[2], head[3]), *((file, line) for file, line, _ in calls)]
    functions = [*(function for _, _, function in calls), ""]
    return [_php_frame(file, line, function) for (file, line), function in zip(places, functions, strict=True)]


def _php_frame(file: str, line: int, function: str) -> Frame:
    return Frame(file, line, function, own_file("php", file))


def elixir(lines: Sequence[str]) -> Trace | None:
    """An exception of Elixir."""
    for number, line in enumerate(lines):
        if found := _ELIXIR.match(line):
            frames = [
                Frame(at[2], int(at[3][:9]), at[4], own_name("elixir", at[1] or "") and "deps/" not in at[2])
                for below in lines[number + 1 :]
                if (at := _ELIXIR_FRAME.match(below))
            ]
            return trace_of("other", [Link(found[1], found[2], frames)]) if frames else None
    return None

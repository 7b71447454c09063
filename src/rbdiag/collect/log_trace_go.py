"""Traces of compiled programs: Go's panics and errors with a stack, Rust's panics, C++ that terminates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from rbdiag.collect.log_trace_frames import Frame, Link, Trace, own_file, own_name, trace_of

_GOROUTINE = re.compile(r"\s*goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[")
_PANIC = re.compile(
    r"(?i)(?:^|.*?[\s\]\"|:])(?:http: )?(panic)(?: serving \S+|(?: was)? recovered| in \S+)?: (.*)"
    r"|(?:^|.*?\s)(fatal error): (.*)|.*?\b(panic) recovered:?\s*(.*)"
)
_ASKED = re.compile(r"\s*SIG(?:QUIT|ABRT|TERM|INT): |\s*goroutine profile: total")
_CALL = re.compile(
    r"\s*(?:created by )?([^\s(]+(?:\(\*[\w\[\].]+\)[^\s(]*)?[^\s(]*)(?:\(.*\))?(?: in goroutine \d+)?\s*\Z"
)
_PLACE = re.compile(r"\s+((?:[A-Za-z]:)?[^\s:]+\.(?:go|s|c)):(\d+)(?: \+0x[0-9a-f]+)?\s*\Z")
# In a line of JSON the error stands beside the stack.
_BESIDE = re.compile(
    r'"(?:panic|error|err|exception|msg|message)" ?: ?"((?:[^"\\]|\\.)*)"'
    r'|\b(?:panic|error|err|msg)="((?:[^"\\]|\\.)*)"'
)

_RUST = re.compile(r"(.*)thread '(.*?)' (?:\(\d+\) )?panicked at (.*)")
_RUST_OLD = re.compile(r"'(.*)', (\S+?):(\d+):\d+\s*\Z")
_RUST_NEW = re.compile(r"(\S+?):(\d+):\d+:\s*\Z")
_RUST_CALL = re.compile(r"\s*\d+: +(?:0x[0-9a-f]+ - )?(\S.*)")
_RUST_PLACE = re.compile(r"\s+at (\S+?):(\d+)(?::\d+)?\s*\Z")
_TERMINATE = re.compile(r".*terminate called after throwing an instance of '([^']+)'")
_WHAT = re.compile(r"\s*what\(\): +(.*)")


def read(lines: Sequence[str]) -> Trace | None:
    """The panic in these lines, or the error with the stack it carries."""
    if any(_ASKED.match(line) for line in lines):
        return None
    head = next(((n, found) for n, line in enumerate(lines) if (found := _PANIC.match(line))), None)
    begin = next((n for n, line in enumerate(lines) if _GOROUTINE.match(line)), None)
    if begin is None:
        if head is not None and _pairs(lines) == []:
            # Alone this is only a word; a runtime that writes no stacks says it at the beginning of a line.
            found = head[1]
            said = re.match(r"(?:panic|fatal error): ", lines[head[0]])
            return trace_of("go", [_link(found, [])]) if said else None
        return _carried(lines, head[1] if head else None)
    frames = _pairs(_first_goroutine(lines, begin))
    panics = [n for n, frame in enumerate(frames) if frame.function in ("panic", "runtime.gopanic")]
    if panics:
        frames = frames[panics[-1] + 1 :]
        while len(frames) > 1 and re.match(r"runtime\.(?:panic|sigpanic|goPanic|throw)", frames[0].function):
            frames = frames[1:]
    if head is not None:
        return trace_of("go", [_link(head[1], frames)])
    if panics:
        return trace_of("go", [Link("panic", _beside(lines), frames)])
    return None  # a stack that was asked for


def _link(found: re.Match[str], frames: Sequence[Frame]) -> Link:
    message = found[2] or found[4] or found[6] or ""
    message = re.sub(r" \[recovered(?:, reraised)?\]\s*\Z", "", message)
    return Link("fatal error" if found[3] else "panic", message, frames)


def _first_goroutine(lines: Sequence[str], begin: int) -> Sequence[str]:
    end = next((n for n in range(begin + 1, len(lines)) if _GOROUTINE.match(lines[n])), len(lines))
    return lines[begin + 1 : end]


def _pairs(lines: Sequence[str]) -> list[Frame]:
    """Each call with its place, which stands in the line below."""
    frames: list[Frame] = []
    for call, place in pairwise(lines):
        if (at := _PLACE.match(place)) is None or (found := _CALL.match(call)) is None:
            continue
        if call.lstrip().startswith("created by"):
            continue
        name = found[1]
        own = name.startswith("main.") or (own_file("go", at[1]) and own_name("go", name))
        frames.append(Frame(at[1], int(at[2][:9]), name, own))
    return frames


def _carried(lines: Sequence[str], panic: re.Match[str] | None) -> Trace | None:
    """An error that carries its stack: the message, then calls and places, then what wraps it."""
    number = next((n for n in range(len(lines) - 1) if _PLACE.match(lines[n + 1]) and _CALL.match(lines[n])), None)
    if number is None:
        return None
    frames: list[Frame] = []
    for at in range(number, len(lines) - 1, 2):
        if not (found := _pairs(lines[at : at + 2])):
            break
        frames += found
    if panic is not None:
        return trace_of("go", [_link(panic, frames)])
    above = next((line for line in lines[:number][::-1] if line.strip()), "")
    message = _beside(lines) or above.strip()
    return trace_of("go", [Link("error", message, frames)]) if message and len(frames) > 1 else None


def _beside(lines: Sequence[str]) -> str:
    for line in lines[:1]:
        if found := _BESIDE.search(line):
            return found[1] or found[2] or ""
    return ""


def rust(lines: Sequence[str]) -> Trace | None:
    """A panic of Rust."""
    head = next(((n, found) for n, line in enumerate(lines) if (found := _RUST.match(line))), None)
    if head is None:
        return None
    number, found = head
    if old := _RUST_OLD.match(found[3]):
        message, file, at = old[1], old[2], old[3]
    elif new := _RUST_NEW.match(found[3]):
        message, file, at = next(iter(lines[number + 1 :]), ""), new[1], new[2]
    else:
        return None
    frames: list[Frame] = []
    for call, place in pairwise(lines):
        if (name := _RUST_CALL.match(call)) and (where := _RUST_PLACE.match(place)):
            path = where[1].removeprefix("./")
            frames.append(Frame(path, int(where[2][:9]), name[1], own_file("other", path)))
    while frames and (frames[0].file, frames[0].line) != (file, int(at[:9])):
        frames = frames[1:]
    here = Frame(file, int(at[:9]), "", own_file("other", file))
    return trace_of("other", [Link("panic", message, frames or [here])])


def terminated(lines: Sequence[str]) -> Trace | None:
    """A C++ program that nobody caught an exception of."""
    for number, line in enumerate(lines):
        if found := _TERMINATE.match(line):
            what = next((said[1] for below in lines[number : number + 3] if (said := _WHAT.match(below))), "")
            return trace_of("other", [Link(found[1], what)])
    return None

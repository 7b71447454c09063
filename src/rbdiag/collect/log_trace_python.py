"""Python's tracebacks: chains, groups, syntax errors, and what it writes when it dies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rbdiag.collect.log_trace_frames import Frame, Link, Trace, own_file, trace_of

_BEGINS = "Traceback (most recent call last)"
_FRAME = re.compile(r'\s*File "([^"\n]*)", line (\d+)(?:,? in (.*))?\Z')
_RAISED = re.compile(r"([A-Za-z_]\w*(?:\.(?:\w+|<locals>))*(?:\[[\w., ]*\])?)(?:: ?(.*))?\Z")
# What a group draws at the left of its members: "  | ", "  + Exception Group Traceback", "  +-+------- 1 -------".
_MARGIN = re.compile(r"(?:\s*(?:\|(?!\S)|\+(?= Exception Group))\s?)*")
_RULE = re.compile(r"\s*(?:\|\s*)*\+(?:-\+)?-{4,}")
_FATAL = re.compile(r"Fatal Python error: (.*)")
# What a file that cannot be compiled brings comes without a beginning.
_UNBEGUN = re.compile(r"(?:Syntax|Indentation|Tab)Error\Z")
# A group's own line, of which the members are what happened.
_GROUP = re.compile(r"(?:[\w.]*\.)?(?:Base)?ExceptionGroup\Z|\w+Group\Z")


# Ways to stop that the program was told to take; what came of them may still tell something.
_STOPS = re.compile(r"(?:KeyboardInterrupt|SystemExit|GeneratorExit|(?:[\w.]+\.)?CancelledError)\Z")


def read(lines: Sequence[str]) -> Trace | None:
    """The trace in these lines, which begin at or before `Traceback`."""
    for number, line in enumerate(lines):
        if fatal := _FATAL.search(line):
            frames = [frame for below in lines[number:] if (frame := _frame(below))]
            return trace_of("python", [Link("Fatal Python error", fatal[1], frames)])
    links = [link for link in _links(lines) if link.frames and not _STOPS.match(link.exception)]
    # Of groups the first member that is none: what stands around it only gathers.
    leaf = next((link for link in links if not _GROUP.match(link.exception)), None)
    if leaf is None:
        return trace_of("python", links)
    around = [link for link in links if link is not leaf]
    return trace_of("python", [leaf, *around])


def _links(lines: Sequence[str]) -> Iterator[Link]:
    """Each exception in the order it is written: what was raised first comes first."""
    frames: list[Frame] = []
    inside, begun, base = False, False, 0
    for line in lines:
        if _RULE.match(line):
            frames, inside = [], False
            continue
        text = line[_MARGIN.match(line).end() :] if "|" in line or "+" in line else line  # type: ignore[union-attr]  # it also matches nothing
        if _BEGINS in text:
            frames, inside, begun = [], True, True
            base = len(text) - len(text.lstrip()) if text.lstrip().startswith(("Traceback", "Exception Group")) else 0
        elif frame := _frame(text):
            frames.append(frame)
            inside = True
        elif inside and text.strip() and len(text) - len(text.lstrip()) <= base:
            inside = False
            if (raised := _RAISED.match(text.strip())) is not None and (begun or _UNBEGUN.match(raised[1])):
                yield Link(raised[1], raised[2] or "", frames[::-1])
            frames = []


def _frame(line: str) -> Frame | None:
    if 'File "' not in line or (found := _FRAME.match(line)) is None:
        return None
    return Frame(found[1], int(found[2][:9]), (found[3] or "").strip(), own_file("python", found[1]))

"""Which exception the lines of a stack trace tell, in whichever language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rbdiag.collect import log_trace_at, log_trace_go, log_trace_python, log_trace_scripts
from rbdiag.collect.log_trace_cut import bare, found
from rbdiag.collect.log_trace_frames import Trace

_MOST_LINES, _LINE = 600, 8192
# The readers, each with what one of its lines must have.
_READERS = (
    (("Traceback (most recent", "SyntaxError: ", "IndentationError: ", "Fatal Python error: "), log_trace_python.read),
    (("at ",), log_trace_at.read),
    (("panicked at ",), log_trace_go.rust),
    (("goroutine ", "panic", ".go:"), log_trace_go.read),
    (("Uncaught ", "#0 ", "[object] (", "Fatal error", "Parse error"), log_trace_scripts.php),
    ((":in `", ":in '"), log_trace_scripts.ruby),
    (("** (",), log_trace_scripts.elixir),
    (("terminate called",), log_trace_go.terminated),
)


def told(lines: Sequence[str]) -> Trace | None:
    """The trace that these bare lines are; None for what only looks like one, such as a dump of all threads."""
    text = "\n".join(lines)
    if "Full thread dump" in text:
        return None
    if ": from " in text and (":in `" in text or ":in '" in text):  # Ruby at a terminal begins as Python does
        return log_trace_scripts.ruby(lines)
    for marks, read in _READERS:
        if any(mark in text for mark in marks) and (trace := read(lines)) is not None:
            return trace
    return None


def parse(lines: Iterable[bytes]) -> Trace | None:
    """The first trace in the lines of a record, or None."""
    data = b"\n".join(line[:_LINE] for line, _ in zip(lines, range(_MOST_LINES), strict=False))
    return next((trace for one in found(data, None) if (trace := told(bare(data, one))) is not None), None)

"""What is shown of a kind of line: its last line in words, and whether that says that something broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbdiag.collect import log_json
from rbdiag.collect.log_strong import is_broken
from rbdiag.collect.log_tally import Row
from rbdiag.redact import redact

if TYPE_CHECKING:
    from rbdiag.collect.log_window import Span

TEXT = 300


def sample(span: Span, row: Row, known: bool) -> str:
    """The last line, as it may be shown. Of JSON its words; what the catalogue knows stands as it is told there."""
    from rbdiag.collect.log_known import told

    if row.last is None:
        return redact(row.shape)[:TEXT]
    line = span.line_at(row.last)
    said = None if known or b"{" not in line else log_json.readable(_text(line))
    return told(span, line if said is None else said.encode("utf-8", "backslashreplace"))


def broken(span: Span, row: Row) -> bool:
    """Whether something broke, though the line is called no error; what it quotes may be of another."""
    from rbdiag.collect.log_templates import unquoted

    if row.last is None or row.level not in ("warning", "info"):
        return False
    line = _text(span.line_at(row.last))
    return is_broken(unquoted(log_json.readable(line) or line), notice=row.level == "info")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").strip()

"""Text from outside, made visible: what a process calls itself must not move the cursor or turn the line around."""

from __future__ import annotations

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, ascii_only: bool = False) -> str:
    r"""The text on one line with everything that does not print shown as an escape, such as \x1b or \u202e.

    That covers control, format and bidirectional characters, odd spaces, private and unassigned code points, and
    bytes that were not valid UTF-8 (lone surrogates, shown as the byte they stand for). Backslashes stay as they
    are, so that commands and paths can be pasted; doing it twice is the same as doing it once.
    """
    if text.isprintable() and (not ascii_only or text.isascii()):
        return text
    return "".join(c if c.isprintable() and (c.isascii() or not ascii_only) else _escape(c) for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as os.fsdecode() keeps it
        code -= 0xDC00
    if code < 0x100:
        return _NAMED.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """How many columns a terminal gives the text: two for wide characters, none for combining marks."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, limit: int, sign: str = "…") -> str:
    """The text in at most `limit` columns; the sign says that something was left off."""
    if width(text) <= limit:
        return text
    used, kept = width(sign), ""
    for char in text:
        used += width(char)
        if used > limit:
            break
        kept += char
    return kept.rstrip() + sign


def wrap(text: str, limit: int) -> list[str]:
    """The text in lines of at most `limit` columns, broken at spaces, in a word only where it is longer than a line.

    Always at least one line. A percent sign stays with its number.
    """
    lines, line = [], ""
    for word in text.replace(" %", "\0%").split(" "):
        part = word.replace("\0", " ")
        joined = f"{line} {part}" if line else part
        if width(joined) <= limit:
            line = joined
            continue
        if line:
            lines.append(line)
        while width(part) > limit:
            head = cut(part, limit, "") or part[0]
            lines.append(head)
            part = part[len(head) :]
        line = part
    return [*lines, line] if line or not lines else lines

"""Flame graphs: collapsed stacks in, one self-contained SVG out (no script, nothing loaded from elsewhere)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rbdiag.facts import percent
from rbdiag.model import CannotLook, Gap

_WIDTH, _MARGIN, _ROW, _HEAD = 1200, 10, 17, 40
# Narrower boxes (in pixels) cannot be seen, and there may be thousands of them.
_MIN_WIDTH = 0.4
# Width in pixels of a character of the 11 px monospace font used.
_CHARACTER = 6.7
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


@dataclass
class _Box:
    samples: int = 0
    callees: dict[str, _Box] = field(default_factory=dict)


def flame_svg(stacks: Mapping[tuple[str, ...], int], title: str) -> str:
    """The flame graph of these stacks (outermost frame first, with how often each was seen).

    A box is as wide as the part of the samples its function was on the stack; callees stand on their callers, by
    name. Every box says its function, samples and part as a tooltip.
    """
    root, depth = _tree(stacks), max((len(frames) for frames in stacks), default=0) + 1
    height = _HEAD + depth * _ROW + _MARGIN
    boxes = "\n".join(_boxes(root, height - _MARGIN - _ROW)) if root.samples else ""
    heading = _escape(title)
    note = "each box: function, part of all samples" if root.samples else "no samples: it was not on the CPU"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">
<title>{heading}</title>
<style>text {{ font: 11px monospace; fill: #111 }} .head {{ font-size: 14px }} rect {{ stroke: #fff }}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text class="head" x="{_MARGIN}" y="18">{heading}</text>
<text x="{_MARGIN}" y="33">{note}</text>
{boxes}
</svg>
"""


def may_write(path: str) -> None:
    """Raise CannotLook where the graph could not be written to `path`, before anything is profiled for it."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise CannotLook(Gap("missing", f"the folder {folder} for the flame graph is not there", f"mkdir -p {folder}"))
    if os.path.lexists(path) and not os.path.isfile(path):
        # Replacing it would take a folder, a device or a pipe away from whoever uses it.
        raise CannotLook(Gap("failed", f"{path} is no ordinary file, so no flame graph is written there"))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotLook(Gap("forbidden", f"not allowed to write a flame graph into {folder}", "name another folder"))


def save(path: str, svg: str) -> None:
    """Write the graph whole or not at all. Raises OSError, leaving what was there."""
    part = os.path.join(os.path.dirname(path), f".rbdiag-{os.getpid()}-{time.monotonic_ns()}.svg")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(svg)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _tree(stacks: Mapping[tuple[str, ...], int]) -> _Box:
    root = _Box()
    for frames, samples in stacks.items():
        box = root
        box.samples += samples
        for name in frames:
            box = box.callees.setdefault(name, _Box())
            box.samples += samples
    return root


def _boxes(root: _Box, bottom: int) -> Iterator[str]:
    """Every box wide enough to be seen. A list of what is to do instead of recursion: stacks can be very deep."""
    scale = (_WIDTH - 2 * _MARGIN) / root.samples
    todo = [("all", root, float(_MARGIN), bottom)]
    while todo:
        name, box, x, y = todo.pop()
        width = box.samples * scale
        if width < _MIN_WIDTH:
            continue
        yield _draw(name, box.samples, box.samples / root.samples, x, y, width)
        for callee in sorted(box.callees):
            todo.append((callee, box.callees[callee], x, y - _ROW))
            x += box.callees[callee].samples * scale


def _draw(name: str, samples: int, part: float, x: float, y: int, width: float) -> str:
    label = f"{name} {percent(part)}"
    room = int((width - 6) / _CHARACTER)
    if len(label) > room:
        label = f"{label[: room - 1]}…" if room >= 4 else ""
    text = f'<text x="{x + 3:.1f}" y="{y + 12}">{_escape(label)}</text>' if label else ""
    return (
        f"<g><title>{_escape(name)}: {samples} samples, {percent(part)}</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" fill="{_colour(name)}"/>{text}</g>'
    )


def _colour(name: str) -> str:
    """A warm colour that is the same for the same function in every graph, so that two can be compared."""
    from zlib import crc32

    mark = crc32(name.encode("utf-8", "backslashreplace"))
    return f"#{215 + mark % 40:02x}{110 + mark // 40 % 110:02x}{40 + mark // 4400 % 60:02x}"


def _escape(text: str) -> str:
    """Outside text for XML. What cannot be printed (escape codes, direction marks) is made visible."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.translate(_ESCAPES)

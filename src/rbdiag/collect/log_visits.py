"""Lines of access logs by what they are about: method, path and status, with * for what varies in the path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_METHODS = rb"GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|CONNECT|TRACE|PROPFIND|PURGE|REPORT|MKCOL|SEARCH|LINK"
_REQUEST = re.compile(rb'"(' + _METHODS + rb') ([^ "?\n]*)[^"\n]{0,4000}" (?:HTTP/[0-9.]+ )?([1-5]\d\d)(?![\d.])')
# A part of a path that is no word of the program's own.
_VARIES = re.compile(r"[\d%]|.{33}|^[a-f]{5,}(?:\.|$)|[A-Z].*[a-z].*[A-Z].*[a-z].*[A-Z]")
# Paths are cut to so many parts; so many are remembered.
_DEEP, _REMEMBERED = 6, 40_000
_MOSTLY = 0.9


def are_visits(lines: Sequence[bytes]) -> bool:
    """Whether nearly all of these lines tell a request and its status in the usual way."""
    from rbdiag.collect.log_traffic import is_access

    lines = [line[:8192] for line in lines if line.strip()]
    told = sum(1 for line in lines if _REQUEST.search(line))
    return bool(lines) and told >= _MOSTLY * len(lines) and is_access(lines)


class Visits:
    """The requests in blocks of an access log."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[bytes, ...], str] = {}

    def of(self, data: bytes) -> Iterator[tuple[str, int]]:
        """The shape of each request, and where in the data it stands (not its line's beginning)."""
        shapes = self._shapes
        for found in _REQUEST.finditer(data):
            key = found.groups()
            shape = shapes.get(key)
            if shape is None:
                if len(shapes) >= _REMEMBERED:
                    shapes.clear()
                shape = shapes[key] = _shape(*(part.decode("utf-8", "backslashreplace") for part in key))
            yield shape, found.start()


def _shape(method: str, path: str, status: str) -> str:
    """`GET /orders /* 200`: the parts of a path are words, so that they are merged as words are.

    What is asked for in vain tells of the client, and there is no end to it: of an answer of 4xx the path is left out.
    """
    if status[0] == "4":
        return f"{method} /* {status}"
    parts = [part for part in path.split("/") if part][:_DEEP]
    told = " ".join("*" if _VARIES.search(part) else f"/{part}" for part in parts).replace("*", "/*")
    return f"{method} {told or '/'} {status}"


def readable(shape: str) -> str:
    """A shape of a request, merged or not, as a person reads it."""
    method, *parts, status = shape.split(" ")
    return f"{method} {''.join('/*' if part == '*' else part for part in parts)} {status}"

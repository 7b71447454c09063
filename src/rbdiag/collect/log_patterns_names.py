"""What a known line is about: what its pattern's group holds, or a field that stands elsewhere in the line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

# Fields that any program may write: a path, a line of a configuration, a unit, an address; whom a client wanted to
# reach, and which name was asked for. Of each the ways it is written, the plainest first, with a text that a line must
# have before the regex is tried. Where a field has two parts they are a host and its port.
_ADDRESS = rb"(?:\d{1,3}\.){3}\d{1,3}:\d{2,5}|\[[\da-fA-F:.]{2,45}\]:\d{2,5}|localhost:\d{2,5}"
_FIELDS: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "file": ((b"'", rb"'(\.{0,2}/[^']+)'"), (b'"', rb'"(\.{0,2}/[^"]+)"')),
    "config": ((b" in ", rb" in (/?[\w./-]+:\d+)"),),
    "unit": ((b": ", rb"([\w@.\\:-]{1,120}\.(?:service|scope|socket|mount|slice|timer|target)): "),),
    "address": (
        (b"('", rb"\('([^']*)', (\d+)\)"), (b":", rb"(?<![\w.])(" + _ADDRESS + rb"|:::?\d{2,5}|\[::\]:\d+)"),
        (b"ort", rb"""(?i)\bport[ :=]+["']?(\d+)"""),
    ),
    "peer": (
        (b"host='", rb"host='([^']+)', port=(\d+)"), (b"backend: ", rb"\bbackend: ([\w.:-]+)"),
        (b"dial ", rb"dial (?:tcp|udp)\d? ([\w.:\[\]-]+?):? "),
        (b"('", rb"\('([\w.:-]+)', (\d+)\)"), (b"://", rb"""://(?:[^@/\s"']*@)?([\w.:-]+)"""),
        (b":", rb"(?<![\w.])(" + _ADDRESS + rb")\b"),
        (b"", rb"""(?i)\b(?:to|host|address|server)[ :=]+["']?([\w-]*[\d.][\w.-]*(?::\d+)?)(?=[\s"',;:)]|$)"""),
    ),
    "looked": (
        (b"lookup ", rb"\blookup ([\w.-]+)"), (b"E", rb"\b(?:ENOTFOUND|EAI_AGAIN) ([\w.-]+)"),
        (b"host='", rb"host='([^']+)'"), (b"://", rb"""://(?:[^@/\s"']*@)?([\w.-]+)"""),
        (b"", rb"""(?i)\b(?:resolv\w+|host(?:name)?)[ :=]+(?:host(?:name)? )?["'(]?([\w-]*\.[\w.-]+)"""),
    ),
}  # fmt: skip


def name_in(about: str, groups: Mapping[str, bytes | None], line: bytes) -> bytes:
    """What a line is about, given its pattern's `about` and groups; b"" for nothing."""
    first, _, second = about.partition("@")
    name = groups.get(first) or groups.get(f"{first}2") or groups.get(f"{first}3") or b""
    if second:
        return name + b"@" + (groups.get(second) or b"")
    if name or first not in _LOOKS:
        return name
    return _LOOKS[first](line)


def _field(name: str) -> Callable[[bytes], bytes]:
    def look(line: bytes) -> bytes:
        for needs, regex in _FIELDS[name]:
            if needs in line and (found := _compiled(regex).search(line)) is not None:
                return b":".join(part for part in found.groups() if part)
        return b""

    return look


@lru_cache(maxsize=64)
def _compiled(regex: bytes) -> re.Pattern[bytes]:
    return re.compile(regex)


def _upstream(line: bytes) -> bytes:
    """nginx's upstream without the path that was asked for; where it names none, the server."""
    url = _quoted(line, b'upstream: "')
    if not url:
        return _server(line)
    address = url.partition(b"://")[2] or url
    return b":".join(address.split(b":")[:2]) if address.startswith(b"unix:") else address.partition(b"/")[0]


def _folder(line: bytes) -> bytes:
    """Where the file lies that a line names: temporary files have a new name each time."""
    return _LOOKS["file"](line).rpartition(b"/")[0]


def _server(line: bytes) -> bytes:
    """Which of its servers nginx was asked as: by the client, else by its configuration."""
    if host := _quoted(line, b'host: "'):
        return host
    at = line.find(b"server: ")
    name = line[at + 8 : at + 208].partition(b",")[0].strip() if at >= 0 else b""
    return b"" if name == b"_" else name


def _quoted(line: bytes, before: bytes) -> bytes:
    at = line.find(before)
    return line[at + len(before) :].partition(b'"')[0] if at >= 0 else b""


_LOOKS: dict[str, Callable[[bytes], bytes]] = {
    **{name: _field(name) for name in _FIELDS}, "folder": _folder, "upstream": _upstream,
    "server": _server,
}  # fmt: skip

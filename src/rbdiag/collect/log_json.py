"""Lines that are JSON, as a line of text: the message first, then the keys whose values say something."""

from __future__ import annotations

import re
from typing import Any

# The message of a line, under the names that loggers give it, the likeliest first; a dot stands between the
# names of an object and of what is in it.
_MESSAGE = (
    "msg", "message", "@m", "@mt", "log", "MESSAGE", "event", "text", "short_message", "textPayload", "m", "body",
    "body.stringValue", "Body", "@message", "fields.message", "jsonPayload.message", "RenderedMessage",
)  # fmt: skip
# Other texts that are told in words; and those that say why, where they are short.
_TELLING = re.compile(r"(?i)(?:^|[._])(?:err(?:or)?|exception|reason|cause|detail|error_?message|stack)$")
_WHY = re.compile(
    r"(?i)(?:^|\.)(?:(?:err(?:or)?|exception)(?:[._]?(?:message|type|msg|kind|code))?|reason|cause|detail)$"
)
_SHORT, _REASONS = 160, 3
_WORD = re.compile(r"[^\W\d_][\w.:/@-]{0,40}")
_KEYS, _DEEP = 40, 3
# Of a longer line no JSON is read; and it begins so early, behind what another program put before it.
_LONG, _EARLY = 16_384, 160


def flat(text: str) -> tuple[str, str] | None:
    """The message of a JSON object and its other keys as `key=value`; None for what is no JSON object."""
    if (found := _parsed(text)) is None:
        return None
    message, found = _message(found)
    return _first_line(message), " ".join(_pairs(found, "", 0))


def readable(text: str) -> str | None:
    """A line of JSON as a person reads it: its message, and in brackets why; None for what is none, or says nothing."""
    brace = start(text)
    if brace is None or (found := _parsed(text[brace:])) is None:
        return None
    message, found = _message(found)
    why = [
        f'{name.removeprefix("attr.")}="{said}"'
        for name, said in _texts(found, "", 0)
        if _WHY.search(name) and 0 < len(said) <= _SHORT and said not in message
    ]
    told = _first_line(message)
    if not told and not why:
        return None
    return text[:brace] + " ".join([told, *([f"[{' '.join(why[:_REASONS])}]"] if why else [])]).strip()


def start(text: str) -> int | None:
    """Where the JSON object begins that a line ends with, None where there is none."""
    brace = text.find("{", 0, _EARLY)
    return brace if brace >= 0 and len(text) <= _LONG and text.endswith("}") else None


def _parsed(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _message(found: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The message of an object, and the object without it. Of a line of JSON that was put into another: the inner's."""
    message = _taken(found)
    inner = _parsed(message)
    return (message, found) if inner is None else (_taken(inner), inner)


def _taken(found: dict[str, Any]) -> str:
    for names in _MESSAGE:
        *above, key = names.split(".")
        within: Any = found
        for name in above:
            within = within.get(name) if isinstance(within, dict) else None
        if isinstance(within, dict) and isinstance(said := within.get(key), str) and said.strip():
            del within[key]
            return said.strip()
    return ""


def _texts(found: dict[str, Any], before: str, depth: int) -> list[tuple[str, str]]:
    """The texts in an object with their dotted names, the first line of each."""
    texts: list[tuple[str, str]] = []
    for key, value in list(found.items())[:_KEYS]:
        if isinstance(value, dict) and depth < _DEEP:
            texts += _texts(value, f"{before}{key}.", depth + 1)
        elif isinstance(value, str):
            texts.append((before + key, _first_line(value)))
    return texts


def _pairs(found: dict[str, Any], before: str, depth: int) -> list[str]:
    pairs: list[str] = []
    for key, value in list(found.items())[:_KEYS]:
        name = before + key.replace(" ", "_")
        if isinstance(value, dict) and depth < _DEEP:
            pairs += _pairs(value, f"{name}.", depth + 1)
        elif isinstance(value, str) and _TELLING.search(name):
            pairs.append(f'{name}="{_first_line(value).replace(chr(34), chr(39))}"')
        elif isinstance(value, bool) or value is None:
            pairs.append(f"{name}={str(value).lower()}")
        elif isinstance(value, int) or (isinstance(value, str) and _WORD.fullmatch(value)):
            pairs.append(f"{name}={value}")
        else:
            pairs.append(f"{name}=*")
    return pairs


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0]

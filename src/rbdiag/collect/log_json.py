"""Lines that are JSON, as a line of text: the message first, then the keys whose values say something."""

from __future__ import annotations

import re
from typing import Any

# The message of a line, under the names that loggers give it, the likeliest first.
_MESSAGE = ("msg", "message", "@m", "@mt", "log", "MESSAGE", "event", "text", "short_message", "textPayload")
# Other texts that are told in words.
_TELLING = re.compile(r"(?i)(?:^|[._])(?:err(?:or)?|exception|reason|cause|detail|error_?message|stack)$")
_WORD = re.compile(r"[^\W\d_][\w.:/@-]{0,40}")
_KEYS, _DEEP = 40, 3


def flat(text: str) -> tuple[str, str] | None:
    """The message of a JSON object and its other keys as `key=value`; None for what is no JSON object."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    message = ""
    for key in _MESSAGE:
        if isinstance(said := found.get(key), str) and said:
            message = _first_line(said)
            del found[key]
            break
    return message, " ".join(_pairs(found, "", 0))


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

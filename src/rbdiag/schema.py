"""The published JSON Schema of the report, made from the types that write and read it, so that it cannot go stale."""

from __future__ import annotations

from inspect import cleandoc
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from rbdiag.model import Fact
from rbdiag.render.json_ import FactDoc, ReportDoc
from rbdiag.render.when import is_time

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
}


def schema() -> dict[str, Any]:
    """The report's schema, JSON Schema draft 2020-12. Unknown keys are allowed, because adding is free."""
    from rbdiag.facts import fact_types

    defs: dict[str, Any] = {}
    top = _object(ReportDoc, defs)
    types = fact_types()
    for name, kind in types.items():
        defs[name] = _fact(kind)
    defs[FactDoc.__name__] = {
        "description": "One thing seen, on one subject, at one time.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in sorted(types)],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rbdiag report",
        **top,
        "$defs": dict(sorted(defs.items())),
    }


def _object(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "description": cleandoc(kind.__doc__),
        "properties": {key: _value(hint, defs) for key, hint in hints.items()},
        "required": list(hints),
    }


def _fact(kind: type[Fact]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    keys = kind.field_names()
    properties = {key: _at(hints[key]) if is_time(key) else _value(hints[key], {}) for key in keys}
    return {
        "type": "object",
        "description": cleandoc(kind.__doc__ or ""),
        "properties": {"type": {"const": kind.__name__}, **properties},
        "required": ["type", *keys],
    }


def _at(hint: Any) -> dict[str, Any]:
    """A point in time: seconds in the fact, RFC 3339 in the report."""
    return {"anyOf": [_TIME, {"type": "null"}]} if type(None) in get_args(hint) else dict(_TIME)


def _value(hint: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        if hint.__name__ not in defs:
            defs[hint.__name__] = {}  # its place, should it come to hold itself
            defs[hint.__name__] = _object(hint, defs)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if origin is tuple and Ellipsis not in args:
        parts = [_value(arg, defs) for arg in args]
        return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
    if origin in (list, tuple):
        return {"type": "array", "items": _value(args[0], defs)}
    if origin is Literal:
        return {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    if origin is Annotated:
        return dict(_TIME) if args[1] == "time" else {"enum": [str(word) for word in args[1]]}
    if args:
        return {"anyOf": [_value(arg, defs) for arg in args]}
    return {"type": _PLAIN[hint]}

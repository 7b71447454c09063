"""Reports to JSON and back. What is saved on one machine can be judged again on another.

Writing is a format like any other and is done in `render.json_`; reading is done here, by the same types. A report
that is read may come from anywhere: whatever is wrong with it is one sentence, never a traceback.
"""

from __future__ import annotations

import errno
import math
import os
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from rbdiag.model import CheckRow, Contact, Cost, Fact, Facts, Gap, Moment, Report, Status
from rbdiag.render.json_ import SCHEMA_VERSION, CheckDoc, FactDoc, ReportDoc, to_dict
from rbdiag.render.json_ import dumps as _dumps
from rbdiag.render.jsonl import event
from rbdiag.render.when import is_time

__all__ = ["RecordError", "dumps", "event", "loads", "save", "to_dict"]

# More than this is no count of anything on a host, and float arithmetic with it would fail.
_BIGGEST = 2**63


class RecordError(Exception):
    """The text is no report that can be read; the message is one sentence that says where and why."""


def dumps(report: Report, indent: int | None = 2) -> str:
    """The report as a JSON text in pure ASCII. Raises ValueError where a number in it is not finite."""
    return _dumps(to_dict(report), indent)


def save(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the JSON report to the file, readable by its owner only: wholly, or not at all.

    A link is followed. Raises OSError where that cannot be done; the file is then what it was before. What exists and
    is no ordinary file is refused: to be replaced would destroy a device or a pipe.
    """
    import tempfile

    path = os.path.realpath(path)
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "not an ordinary file", path)
    text = dumps(report) + "\n"
    handle, temporary = tempfile.mkstemp(prefix=".rbdiag-", dir=os.path.dirname(os.path.abspath(path)))
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def loads(text: str) -> Report:
    """The report with its facts and gaps, but without findings: judging it makes them anew.

    Keys that this version does not know are passed over, because adding is free; everything it does know must be
    there and be right. Raises RecordError for anything else.
    """
    import json

    try:
        doc = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"this is not JSON: {error}") from error
    if not isinstance(doc, dict) or "schema_version" not in doc:
        raise RecordError("this is not an rbdiag report: it has no schema_version")
    if doc["schema_version"] != SCHEMA_VERSION or doc["schema_version"] is True:
        found = _shown(doc["schema_version"])
        raise RecordError(f"the report has schema_version {found}, and this rbdiag reads {SCHEMA_VERSION}")
    _expect(doc, ReportDoc, "")
    return _report(doc)  # type: ignore[arg-type]  # _expect has just proven it


def _report(doc: ReportDoc) -> Report:
    return Report(
        runbook=doc["runbook"],
        target=doc["target"],
        host=doc["host"],
        started_at=_time(doc["started_at"], "started_at"),
        duration=doc["duration_seconds"],
        status=Status[doc["status"].upper()],
        exit_code=doc["exit_code"],
        summary=doc["verdict"]["summary"],
        findings=(),
        checks=tuple(_row(row) for row in doc["checks"]),
        timeline=tuple(
            Moment(_time(moment["at"], f"timeline[{i}].at"), moment["source"], moment["text"])
            for i, moment in enumerate(doc["timeline"])
        ),
        facts=Facts(_facts(doc["facts"])),
        contacts=tuple(Contact(c["name"], c["role"], c["contact"], c["when"]) for c in doc["contacts"]),
        cost=Cost(
            doc["cost"]["cpu_seconds"],
            doc["cost"]["bytes_read"],
            doc["cost"]["connections"],
            doc["cost"]["queries"],
        ),
        rbdiag_version=doc["rbdiag_version"],
    )


def _row(doc: CheckDoc) -> CheckRow:
    gap = doc["gap"]
    return CheckRow(
        name=doc["name"],
        target=doc["target"],
        summary=doc["summary"],
        duration=doc["duration_seconds"],
        gap=Gap(gap["reason"], gap["detail"], gap["unlock"]) if gap else None,
        decides=doc["decides"],
        mark=doc["status"],
    )


def _facts(docs: list[FactDoc]) -> list[Fact]:
    from rbdiag.facts import fact_types

    types = fact_types()
    hints: dict[str, dict[str, Any]] = {}
    facts = []
    for i, doc in enumerate(docs):
        name, where = doc["type"], f"facts[{i}]"
        if name not in types:
            raise RecordError(f"{where} in the report is of a type that this rbdiag does not know: {_shown(name)}")
        if name not in hints:
            hints[name] = get_type_hints(types[name], include_extras=True)
        facts.append(_fact(types[name], hints[name], doc, where))  # type: ignore[arg-type]  # a dict as any other
    return facts


def _fact(kind: type[Fact], hints: dict[str, Any], doc: dict[str, Any], where: str) -> Fact:
    values: dict[str, Any] = {}
    defaults = kind.field_defaults()
    for key in kind.field_names():
        if key not in doc:
            # A field with a default may have been added after the report was written.
            if key not in defaults:
                raise RecordError(f"{where} in the report, a {kind.__name__}, has no {key}")
            continue
        value, place = doc[key], f"{where}.{key}"
        if is_time(key) and value is not None:
            _expect(value, str, place)
            values[key] = _time(value, place)
        else:
            _expect(value, hints[key], place)
            values[key] = _frozen(value)
    return kind(**values)


def _frozen(value: object) -> object:
    """Lists, however deep, as tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _time(text: str, where: str) -> float:
    """Seconds since the epoch. A time to the millisecond comes back as the very number it was written from."""
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    # In its first and last year a time can be one that another zone has no name for.
    if moment is None or moment.tzinfo is None or not 1 < moment.year < 9999:
        raise RecordError(f"{where} in the report is no RFC 3339 time with a zone: {_shown(text)}")
    return ((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) / 1_000_000


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def _expect(value: object, hint: Any, where: str) -> None:
    """Raise RecordError unless the value is what the hint says. `where` is its place in the report."""
    options = _options(hint)
    if any(_fits(value, option) for option in options):
        for option in options:
            _expect_inside(value, option, where)
        return
    words = " or ".join(_name(option) for option in options)
    raise RecordError(f"{where or 'the report'} should be {words}, and is {_shown(value)}")


def _expect_inside(value: object, hint: Any, where: str) -> None:
    if isinstance(value, dict) and is_typeddict(hint):
        for key, inner in get_type_hints(hint, include_extras=True).items():
            place = f"{where}.{key}" if where else key
            if key not in value:
                raise RecordError(f"the report has no {place}")
            _expect(value[key], inner, place)
    elif isinstance(value, list) and get_origin(hint) in (list, tuple):
        kinds = get_args(hint)
        if get_origin(hint) is list or Ellipsis in kinds:
            kinds = kinds[:1] * len(value)
        elif len(kinds) != len(value):
            raise RecordError(f"{where} in the report should have {len(kinds)} parts, and has {len(value)}")
        for i, (item, kind) in enumerate(zip(value, kinds, strict=True)):
            _expect(item, kind, f"{where}[{i}]")


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the hint alone."""
    from types import UnionType
    from typing import Union

    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, hint: Any) -> bool:
    """Whether the value is of this kind, its own members apart."""
    origin = get_origin(hint)
    if is_typeddict(hint):
        return isinstance(value, dict)
    if origin in (list, tuple):
        return isinstance(value, list)
    if origin is Literal:
        return any(value == word and type(value) is type(word) for word in get_args(hint))
    if origin is Annotated:
        return isinstance(value, str) and (hint.__metadata__[0] == "time" or value in _words(hint))
    if isinstance(value, bool) or value is None:
        return hint is type(value)
    if isinstance(value, int | float):
        # json reads 1e999 as infinity, and knows NaN; neither is less than infinity.
        return (hint is float or hint is type(value)) and abs(value) < _limit(value)
    return hint is type(value)


def _limit(value: float) -> float:
    return _BIGGEST if isinstance(value, int) else math.inf


def _words(hint: Any) -> list[str]:
    return [str(word) for word in hint.__metadata__[0]]


def _name(hint: Any) -> str:
    origin = get_origin(hint)
    if is_typeddict(hint):
        return "an object"
    if origin in (list, tuple):
        return "a list"
    if origin is Literal:
        return "one of " + ", ".join(str(word) for word in get_args(hint))
    if origin is Annotated:
        return "a time" if hint.__metadata__[0] == "time" else "one of " + ", ".join(_words(hint))
    return _KINDS[hint]


def _shown(value: object) -> str:
    """What was found, short and harmless."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = ascii(value)
    except ValueError:  # Python does not write out whole numbers of more than 4300 digits
        return "a number without end"
    return text if len(text) <= 60 else text[:57] + "..."

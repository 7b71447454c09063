"""CHECK TABLE, which a person asks for: it reads every page, and locks MyISAM tables against writing meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.db import TableCheck, TablesChecked
from rbdiag.model import CannotLook, Fact, Gap

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

Row = dict[str, Any]
TableWord = Literal["ok", "damaged", "note"]

# Bigger ones are checked without what takes longest (rows of MyISAM, secondary indexes of InnoDB).
_BIG = 1 << 30
_NOTES_SHOWN = 10
# Views and the server's own memory tables have nothing to check. A table so damaged that it cannot be opened has no
# engine here, and why in its comment.
_LIST = (
    "SELECT TABLE_SCHEMA AS db, TABLE_NAME AS name, ENGINE AS engine, "
    "COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0) AS bytes FROM information_schema.TABLES "
    "WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys') "
    "AND (ENGINE IS NULL OR ENGINE IN ('InnoDB', 'MyISAM', 'Aria', 'ARCHIVE', 'CSV')){} ORDER BY bytes, db, name"
)


def check_tables(line: Line, schema: str, deadline: Deadline) -> Iterator[Fact]:
    """Check every table of a schema ("" for all), the small ones first; what is damaged or odd, and how far it came."""
    where = " AND TABLE_SCHEMA = %s" if schema else ""
    tables = line.ask(_LIST.format(where), deadline, (schema,) if schema else ())
    if schema and not tables:
        raise CannotLook(Gap("missing", f"there are no tables in {schema} that we may see", "SHOW DATABASES"))
    # Its answers are texts alone. The line ends a statement after two seconds, which is no limit for this one.
    limit = f", max_statement_time = {deadline.left():.0f}" if line.flavour == "MariaDB" else ""
    line.ask(f"SET SESSION lc_messages = 'en_US'{limit}", deadline)
    checked = damaged = notes = 0
    missed: list[str] = []
    stopped: Exception | None = None
    for number, table in enumerate(tables):
        line.doing = f"{number:,} of {len(tables):,} tables checked"
        name = ".".join(f"`{str(part).replace('`', '``')}`" for part in (table["db"], table["name"]))
        try:
            rows = line.ask(f"CHECK TABLE {name}{' QUICK' if int(table['bytes']) > _BIG else ''}", deadline)
        except (OutOfTime, TimeoutError, CannotLook) as error:
            stopped = error
            break
        word, text = parse_check(rows)
        if word == "missed":
            missed.append(f"{table['db']}.{table['name']} ({text})")
            continue
        checked += 1
        damaged, notes = damaged + (word == "damaged"), notes + (word == "note")
        if word == "damaged" or (word == "note" and notes <= _NOTES_SHOWN):
            engine = str(table["engine"] or "engine unknown")
            yield TableCheck(subject=f"{table['db']}.{table['name']}", word=word, text=text, engine=engine)
    line.doing = ""
    yield TablesChecked(subject=schema or "all schemas", checked=checked, total=len(tables), damaged=damaged)
    said = f"checked {checked} of {len(tables)} tables"
    if isinstance(stopped, CannotLook):
        raise CannotLook(Gap(stopped.gap.reason, f"{said}: {stopped.gap.detail}", stopped.gap.unlock)) from stopped
    if stopped is not None:
        raise CannotLook(Gap("deadline", f"{said} when the time was up", "give it more time: --deadline SECONDS"))
    if missed:
        raise CannotLook(Gap("failed", f"{said}; not {', '.join(missed[:3])}", "look again when they are not locked"))


# What says nothing of the table itself: it is locked, gone since it was listed, or our own limit ended the check.
_MISSED = re.compile(r"Lock wait timeout|interrupted|max_statement_time|^Table '[^']*' doesn't exist$", re.IGNORECASE)


def parse_check(rows: Iterable[Row]) -> tuple[TableWord | Literal["missed"], str]:
    """What the rows of one CHECK TABLE come to: its word ("missed" where it was not checked), and what it said."""
    said = [(str(r["Msg_type"]).lower(), str(r["Msg_text"])) for r in rows]
    missed = next((text for kind, text in said if kind == "error" and _MISSED.search(text)), "")
    if missed:
        return "missed", missed
    errors = [text for kind, text in said if kind == "error" or _bad(kind, text)]
    if errors:
        return "damaged", "; ".join(dict.fromkeys(errors))
    notes = [text for kind, text in said if kind in ("warning", "note", "info")]
    return ("note", "; ".join(dict.fromkeys(notes))) if notes else ("ok", "OK")


def _bad(kind: str, text: str) -> bool:
    lower = text.lower()
    return "marked as crashed" in lower or (kind == "status" and lower in ("corrupt", "operation failed"))

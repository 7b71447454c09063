"""The server's accounts: which of them it takes for a client, and what it allows that one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from rbdiag.collect.db_words import quoted
from rbdiag.deadline import Deadline
from rbdiag.facts.db import Account, Login
from rbdiag.model import CannotLook, Fact, Facts

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

Row = dict[str, Any]


def host_matches(pattern: str, host: str) -> bool:
    """Whether an account's host (a name, an address, one with % and _, a network) takes this client's."""
    if "/" in pattern:
        try:
            return ip_address(host) in ip_network(pattern, strict=False)
        except ValueError:
            return False  # a name is in no network
    like = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern or "%")
    return re.fullmatch(like, host, re.IGNORECASE) is not None


def best(user: str, host: str, accounts: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The account (user, host) that the server takes: the most specific host first, then a named user before "".

    Source: the manual, "Access Control, Stage 1: Connection Verification".
    """
    fits = [(u, h) for u, h in accounts if u in (user, "") and (u or h) and host_matches(h, host)]
    return min(fits, key=lambda a: (*_vagueness(a[1]), a[0] == ""), default=None)


def _vagueness(pattern: str) -> tuple[int, int]:
    if "/" in pattern:
        return 1, 0
    first = next((at for at, c in enumerate(pattern or "%") if c in "%_"), None)
    return (0, 0) if first is None else (2, -first)


def limits(line: Line, deadline: Deadline) -> dict[tuple[str, str], int]:
    """How many connections an account may hold at once, by (user, host), for those that have a limit of their own.

    Only some may read the accounts; the others learn the limit from the error that names it.
    """
    query = "SELECT User, Host, max_user_connections AS n FROM mysql.user WHERE max_user_connections > 0 LIMIT 500"
    try:
        rows = line.ask(query, deadline)
    except CannotLook:
        rows = []  # not ours to read: the limit stays unknown, which is what None says
    return {(str(r["User"]), str(r["Host"])): int(r["n"]) for r in rows}


# The secret parts of an account never leave the server.
_GLOBAL_PRIV = (
    "SELECT User, Host, JSON_EXTRACT(Priv, '$.auth_or[*].plugin') AS also, "
    "JSON_VALUE(Priv, '$.plugin') AS plugin, "
    "JSON_VALUE(Priv, '$.ssl_type') AS ssl_type, "
    "JSON_VALUE(Priv, '$.account_locked') AS account_locked, "
    "JSON_VALUE(Priv, '$.password_last_changed') AS password_last_changed, "
    "JSON_VALUE(Priv, '$.password_lifetime') AS password_lifetime, "
    "JSON_VALUE(Priv, '$.is_role') AS is_role, "
    "JSON_VALUE(Priv, '$.max_user_connections') AS max_user_connections, "
    "JSON_VALUE(Priv, '$.max_questions') AS max_questions, "
    "JSON_VALUE(Priv, '$.max_updates') AS max_updates, "
    "JSON_VALUE(Priv, '$.max_connections') AS max_connections "
    "FROM mysql.global_priv WHERE User IN (%s, '')"
)
_USER = (
    "SELECT User, Host, plugin, ssl_type, account_locked, password_expired, "
    "UNIX_TIMESTAMP(password_last_changed) AS password_last_changed, password_lifetime, max_user_connections, "
    "max_questions, max_updates, max_connections FROM mysql.user WHERE User IN (%s, '')"
)
# MariaDB before 10.4 has a table without the newer columns.
_OLD_USER = (
    "SELECT User, Host, plugin, ssl_type, password_expired, max_user_connections, max_questions, max_updates, "
    "max_connections FROM mysql.user WHERE User IN (%s, '')"
)


def account(line: Line, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """The accounts that could match the user who was turned away, asked by the administrator who was not."""
    from rbdiag.collect.db_connect import NotHere

    asked = next((i for i in facts.of(Login) if i.attempt == "asked"), None)
    if asked is None or asked.word == "ok":
        return
    rows: list[Row] = []
    for query in (_GLOBAL_PRIV, _USER, _OLD_USER):
        try:
            rows = line.ask(query, deadline, (asked.user,))
            break
        except NotHere:
            if query is _OLD_USER:
                raise
    client = asked.account.rpartition("@")[2].strip("'") if asked.account else "localhost"
    yield from parse_accounts(rows, asked.user, client)


def parse_accounts(rows: Iterable[Row], user: str, client: str) -> Iterator[Account]:
    """Rows of either table as facts; the one that the server takes for this client is marked."""
    people = [r for r in rows if not r.get("is_role")]
    taken = best(user, client, [(str(r["User"]), str(r["Host"])) for r in people])
    for row in people:
        changed = _number(row.get("password_last_changed"))
        lifetime = _number(row.get("password_lifetime"))
        expired = _flag(row.get("password_expired"))
        if "is_role" in row:  # the JSON form: 0 is how MariaDB notes that it was expired by hand
            expired = changed == 0
        limits = (
            ("max_questions", "queries"), ("max_updates", "updates"), ("max_connections", "connections"),
        )  # fmt: skip
        most = _number(row.get("max_user_connections"))
        said = [f"at most {most:.0f} connections at once"] if most else []
        said += [f"at most {n:.0f} {what} an hour" for name, what in limits if (n := _number(row.get(name)))]
        said += [f"password lives {lifetime:.0f} days"] if lifetime and lifetime > 0 else []
        plugins = [str(row.get("plugin") or ""), *re.findall(r'"([^"]+)"', str(row.get("also") or ""))]
        yield Account(
            subject=quoted(f"{row['User']}@{row['Host']}"), plugin=" or ".join(dict.fromkeys(p for p in plugins if p)),
            tls=_tls(row.get("ssl_type"), numbered="is_role" in row), locked=_flag(row.get("account_locked")) or False,
            expired=expired, password_changed_at=changed or None, max_user_connections=int(most) if most else None,
            limits=tuple(said), matches=(str(row["User"]), str(row["Host"])) == taken,
        )  # fmt: skip


# enum SSL_type in sql/structs.h: MariaDB's JSON holds its number.
_SSL_TYPES = ("", "", "ANY", "X509", "SPECIFIED")


def _tls(value: object, *, numbered: bool) -> str:
    if numbered:
        number = int(_number(value) or 0)
        return _SSL_TYPES[number + 1] if 0 <= number + 1 < len(_SSL_TYPES) else ""
    return str(value or "")


def _number(value: object) -> float | None:
    return None if value in (None, "") else float(str(value))


def _flag(value: object) -> bool | None:
    return None if value is None else str(value).lower() in ("1", "y", "true")

"""What servers, kernels and error packets say by number, in the words of the facts; and the first bytes of a server."""

from __future__ import annotations

import errno
import re
from typing import Any

from rbdiag.facts.db import Flavour, LoginWord
from rbdiag.facts.net import SocketWord, TcpWord
from rbdiag.redact import redact

TCP: dict[int, TcpWord] = {
    errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ETIMEDOUT: "silent",
    errno.EHOSTUNREACH: "unreachable", errno.EHOSTDOWN: "unreachable", errno.ENETUNREACH: "no-route",
    errno.ENETDOWN: "no-route", errno.EACCES: "prohibited", errno.EPERM: "prohibited", errno.EINVAL: "blackhole",
    errno.EADDRNOTAVAIL: "no-local-port",
}  # fmt: skip
SOCKET: dict[int, SocketWord] = {
    errno.ENOENT: "missing", errno.ENOTDIR: "missing", errno.ECONNREFUSED: "stale", errno.EACCES: "forbidden",
    errno.EPERM: "forbidden", errno.EAGAIN: "full", errno.ENOTSOCK: "no-socket",
}  # fmt: skip
# Error numbers at a login. Source: mysqld_error.h and errmsg.h of MySQL 8 and MariaDB 11; 3000 to 3999 are MySQL's,
# 4000 and above MariaDB's.
LOGIN: dict[int, LoginWord] = {
    1045: "denied", 1049: "unknown-database", 1044: "no-privilege", 1130: "host-not-allowed", 1129: "host-blocked",
    1040: "too-many-connections", 1203: "user-limit", 1226: "user-limit",
    3118: "locked", 3955: "locked", 4150: "locked", 4151: "locked", 1820: "expired", 1862: "expired",
    1251: "plugin", 1275: "plugin", 1524: "plugin", 1698: "plugin", 2054: "plugin", 2058: "plugin", 2059: "plugin",
    2061: "plugin", 1184: "shut-out", 3032: "shut-out", 3159: "tls-required", 2026: "tls-failed", 3168: "starting",
    1158: "lost", 1159: "lost", 1160: "lost", 1161: "lost", 1927: "lost", 2002: "lost", 2003: "lost", 2006: "lost",
    2013: "lost", 2055: "lost",
}  # fmt: skip
# A login that the server itself turned away: it works, and there may be another way in.
TURNED_AWAY: tuple[LoginWord, ...] = (
    "denied", "unknown-database", "no-privilege", "host-not-allowed", "host-blocked", "too-many-connections",
    "user-limit", "locked", "expired", "plugin", "tls-required", "tls-failed", "shut-out",
)  # fmt: skip
# At a statement: no right to it; no such thing here; cut short by a limit or by somebody; nobody there any more.
FORBIDDEN = (1044, 1045, 1142, 1143, 1227, 1370)
NOT_HERE = (1054, 1064, 1109, 1146, 1193, 1231, 1238, 1286, 1305)
CUT_SHORT = (1205, 1317, 1969, 3024)
LOST = (0, 1053, 1927, 2006, 2013, 2055)

_CLIENT_SSL = 0x0800  # CLIENT_SSL of the capability flags


def parse_greeting(data: bytes) -> dict[str, Any]:
    """The fields of a Greeting but for its time, from the first bytes of a server.

    Source: the protocol's HandshakeV10 and ERR_Packet, the same for MySQL, MariaDB and their proxies.
    """
    size, body = int.from_bytes(data[:3], "little"), data[4:]
    # Before the handshake has begun the number of the packet is 0.
    if len(body) > 2 and data[3] <= 1 and body[0] == 0xFF and 3 <= size <= 1024:
        text = body[3:size]
        text = text[6:] if text[:1] == b"#" else text
        code = int.from_bytes(body[1:3], "little")
        return {"word": "error", "code": code, "text": redact(text.decode("utf-8", "replace"))}
    version, end, rest = body[1:].partition(b"\0")
    if len(body) < 2 or data[3] != 0 or body[0] not in (9, 10) or not end or not re.match(rb"\d+\.\d+", version):
        return {"word": "other", "text": _readable(data)}
    said = version.decode("utf-8", "replace")
    # After the connection's id come 8 bytes of salt and a filler; then flags, charset, status, more flags.
    flags = int.from_bytes(rest[13:15], "little")
    salt = max(13, rest[20] - 8) if len(rest) > 20 else 0
    plugin = rest[31 + salt :].partition(b"\0")[0].decode("ascii", "replace") if body[0] == 10 else ""
    return {"word": "mysql", "version": plain_version(said), "flavour": flavour_of(said), "plugin": plugin,
            "tls": bool(flags & _CLIENT_SSL)}  # fmt: skip


def plain_version(said: str) -> str:
    """MariaDB calls itself 5.5.5 first, because old replicas took its 10 for a 1."""
    return said.removeprefix("5.5.5-")


def flavour_of(said: str) -> Flavour:
    return "MariaDB" if "mariadb" in said.lower() else "MySQL"


def _readable(data: bytes) -> str:
    """The first bytes as a person reads them: text where it is text, else hexadecimal."""
    head = data[:60]
    if all(b in b"\t\r\n" or 32 <= b < 127 for b in head):
        return redact(head.decode("ascii")).encode("unicode_escape").decode("ascii")
    return head[:32].hex(" ")


_TABLE = re.compile(r"(\w+) command denied to user .* for (?:column .* in table|table|routine) (.*)")
_WANTED = re.compile(r"need (?:\(?at least one of\)? )?(?:the )?\(?([A-Z_ ,]+?)\)? privilege")
# What a monitoring account should be given where one of several rights would do: the least.
_LEAST = ("BINLOG MONITOR", "REPLICA MONITOR", "SLAVE MONITOR", "REPLICATION CLIENT", "PROCESS")


def quoted(account: str) -> str:
    """An account as SQL writes it: `'app'@'10.0.0.9'` of `app@10.0.0.9`."""
    name, at, host = account.rpartition("@")
    parts = (name, host) if at else (account,)
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in parts)


def grant(text: str, account: str, sql: str) -> str:
    """The GRANT that unlocks it, by what the server's error says is missing and what the statement asked for."""
    if table := _TABLE.search(text):
        name = ".".join(re.findall(r"[`'\"]([^`'\"]+)[`'\"]", table[2])[:2])
        # MySQL names the table without its schema; the statement does not.
        schema = re.search(rf"\b(\w+)\.{re.escape(name)}\b", sql) if name and "." not in name else None
        return f"GRANT {table[1].upper()} ON {schema[0] if schema else name or '*.*'} TO {quoted(account)}"
    wanted = _WANTED.search(text)
    rights = [p.strip() for p in wanted[1].split(",")] if wanted else []
    right = next((p for p in _LEAST if p in rights), rights[-1] if rights else "PROCESS")
    return f"GRANT {right} ON *.* TO {quoted(account)}"

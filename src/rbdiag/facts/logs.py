"""Facts about logs: which were read, and the lines in them that the catalogue knows."""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import size
from rbdiag.model import Fact

# What a line says. First what a server writes about itself, then about its clients, then what clients write.
LogKind = Literal[
    "ready", "starting", "shutdown", "aborting", "signal", "fatal", "recovery", "unknown-option",
    "bad-option-file", "bad-value", "port-taken", "address-missing", "socket-path", "datadir-permission",
    "datadir-locked", "uninitialised",
    "disk-full", "tmpdir-full", "fs-readonly", "too-many-files", "no-memory", "table-crashed", "corruption",
    "missing-tablespace", "tls-key", "plugin-load", "slow-io",
    "access-denied", "no-db-access", "idle-closed", "killed", "aborted", "unauthenticated", "packet", "unresolved",
    "deadlock", "replica-io", "replica-sql", "lock-wait", "out-of-threads",
    "too-many-connections", "user-limit", "host-not-allowed", "host-blocked", "account-locked", "auth-plugin",
    "tls-required", "tls-failed", "unknown-database", "privilege", "read-only", "statement-timeout", "interrupted",
    "gone-away", "lost-connection", "pool-exhausted", "no-server", "socket-failed", "unknown-host",
]  # fmt: skip


class LogRead(Fact):
    """A log that was read; the subject is its path, or `journal of UNIT`.

    `since` is the first time inside the window that was read, None where it holds no line of the window.
    `last_at` is the time of its last line. `side` says whose log it is: the server's, or a client's.
    """

    side: Literal["server", "client"]
    lines: int
    bytes: int
    since: float | None
    last_at: float | None
    cut: bool = False

    def __str__(self) -> str:
        cut = ", its beginning left out" if self.cut else ""
        return f"{self.lines:,} lines ({size(self.bytes)}) of {self.subject} inside the window{cut}"


class LogEvent(Fact):
    """Lines of one kind in one log that the catalogue knows; the subject is the log.

    `happened_at` is the time of the last of them, `first_at` of the first; None where lines carry no time. `text` is
    the last line, redacted. `number` is the error number in it (MySQL's, or errno for file errors, or the signal),
    `name` what it is about: the option, file, table, host, account, or port it names (of a start the process), ""
    where it names none. Events of a server's last start come after those before it, in the order of their first lines.
    """

    side: Literal["server", "client"]
    kind: LogKind
    happened_at: float | None
    first_at: float | None
    count: int
    text: str
    number: int | None = None
    name: str = ""

    def __str__(self) -> str:
        return self.text + (f" ({self.count:,} such lines)" if self.count > 1 else "")

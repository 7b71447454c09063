"""Facts from inside a MySQL or MariaDB server: its settings, counters, sessions, locks, replication.

The subject of what concerns the whole server is the target's label; of one connection `session 42`. Statements are
redacted and cut. Rates are per second over the window that `seconds` gives.
"""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import number, percent, size, span
from rbdiag.facts.db import Flavour
from rbdiag.model import Fact

# What a session waits for, told by its state or by the server's lock tables.
WaitKind = Literal["", "row", "metadata", "global-read", "table", "space", "flush", "network", "login"]
# By what act a session keeps others out: an open transaction, one that XA prepared and nobody ended (it belongs to no
# session), LOCK TABLES, a statement that still runs, a lock on the whole server (FLUSH TABLES WITH READ LOCK, backups).
HeldBy = Literal["", "transaction", "prepared", "lock-tables", "statement", "global-lock"]


class ServerInfo(Fact):
    """What the server says of itself. None or "" where this version has no such variable or we may not see it."""

    flavour: Flavour
    version: str
    hostname: str
    uptime: float
    max_connections: int
    max_user_connections: int | None
    read_only: bool
    super_read_only: bool
    skip_networking: bool
    bind_address: str
    port: int
    socket: str
    datadir: str
    tmpdir: str
    error_log: str
    pid_file: str
    wait_timeout: float
    max_allowed_packet: int
    max_statement_time: float | None
    lock_wait_timeout: float | None
    open_files_limit: int | None
    max_connect_errors: int | None
    skip_name_resolve: bool
    require_secure_transport: bool
    slow_log: bool
    long_query_time: float
    log_bin: bool
    server_id: int | None
    # Whether others replicate from this server, or it from others.
    has_replicas: bool
    is_replica: bool
    # False where we may not ask whether it replicates; then `is_replica` False says nothing.
    replica_known: bool = True

    def __str__(self) -> str:
        only = ", read only" if self.read_only or self.super_read_only else ""
        return f"{self.flavour or 'MySQL'} {self.version}, up {span(self.uptime)}{only}"


class Connections(Fact):
    """Connections now against the limit, without rbdiag's own. `peak` is the most since the server started."""

    connected: int
    running: int
    limit: int
    peak: int
    sleeping: int
    waiting: int

    @property
    def part(self) -> float:
        return self.connected / self.limit if self.limit else 0.0

    def __str__(self) -> str:
        return (
            f"{self.connected:,} of {self.limit:,} connections ({percent(self.part)}): "
            f"{self.running} running, {self.sleeping} asleep, {self.waiting} waiting for locks"
        )


class SessionGroup(Fact):
    """The sessions of one account from one host; the subject is `user@host`. Times are seconds."""

    count: int
    sleeping: int
    waiting: int
    running: int
    longest_sleep: float
    longest_run: float
    limit: int | None = None

    def __str__(self) -> str:
        most = f" of at most {self.limit}" if self.limit else ""
        return (
            f"{self.subject} holds {self.count:,}{most} connections: {self.sleeping} asleep "
            f"(longest {span(self.longest_sleep)}), {self.running} running, {self.waiting} waiting"
        )


class Session(Fact):
    """One session worth naming: it runs long, waits, or holds what others wait for.

    `seconds` is how long it has been in this command, `transaction` the age of its open transaction (None for none).
    `rows_locked` is InnoDB's own count. `background` marks the server's own threads, replication, and backups' dumps.
    `ended` says that `statement` is the last one it ran, and that it is over.
    """

    id: int
    user: str
    host: str
    database: str
    command: str
    state: str
    seconds: float
    statement: str
    waits_for: WaitKind
    transaction: float | None
    rows_locked: int | None
    background: bool
    own: bool = False
    ended: bool = False

    def __str__(self) -> str:
        trx = f", in a transaction for {span(self.transaction)}" if self.transaction is not None else ""
        what = f"{', after' if self.ended else ''}: {self.statement}" if self.statement else ""
        state = f" ({self.state})" if self.state else ""
        return f"{self.subject} of {self.user}@{self.host}: {self.command}{state} for {span(self.seconds)}{trx}{what}"


class LockWait(Fact):
    """A session that waits for a lock, and who holds it; the subject is the waiting session.

    `blocker` is None where the server does not tell. `proven` says that the server's own lock tables name the blocker;
    else it was inferred (the oldest idle transaction, the session of a global lock). Where others stand between, it is
    the one at the end of the chain, that waits for nobody. `applier` marks a thread of this replica that applies
    changes.
    """

    kind: WaitKind
    waiter: int
    blocker: int | None
    table: str
    seconds: float
    proven: bool
    # Whether what waits wants to change the table itself (ALTER, DROP, CREATE INDEX...).
    ddl: bool
    held_by: HeldBy = ""
    applier: bool = False
    # How many more wait for the same holder; only on the first of its waits.
    others: int = 0

    def __str__(self) -> str:
        who = f"session {self.blocker}" if self.blocker is not None else "somebody"
        if self.blocker is not None and not self.proven:
            who = f"probably {who}"
        if self.held_by == "prepared":
            who = "a transaction that XA prepared"
        more = f" ({self.others} more wait likewise)" if self.others else ""
        what = {
            "row": "a row lock",
            "metadata": "a metadata lock",
            "global-read": "the global read lock",
            "table": "a table lock",
            "flush": "a flush of tables",
        }
        on = f" on {self.table}" if self.table else ""
        lock = f"{what.get(self.kind, 'a lock')}{on}"
        return f"{self.subject} has waited {span(self.seconds)} for {lock} that {who} holds{more}"


class DbRates(Fact):
    """Counters of the server, per second over the window; `None` where this version does not count it.

    `deadlocks`, `lock_timeouts` and the like are counts within the window, not rates, where their name ends in `_new`.
    """

    seconds: float
    queries: float
    aborted_connects: float
    aborted_clients: float
    refused_max_connections_new: int
    slow_queries: float
    rows_scanned: float
    rows_sent: float
    temp_tables: float
    temp_tables_on_disk: float
    row_lock_waits: float
    deadlocks_new: int | None
    statement_timeouts_new: int | None
    log_waits: float
    bytes_in: float
    bytes_out: float
    # At least so many sessions waited for a row lock throughout the window.
    row_waits_lasting: int = 0
    # KILL statements since the server started, whoever gave them.
    kills: int | None = None

    def __str__(self) -> str:
        return (
            f"{number(self.queries)} queries/s, {self.aborted_connects:.1f} aborted connects/s, "
            f"{number(self.rows_scanned)} rows scanned/s"
        )


class Innodb(Fact):
    """InnoDB now. `history` is the length of the history list (old row versions), `deadlock_at` the latest deadlock."""

    row_waits: int
    pending_reads: int
    pending_writes: int
    pending_fsyncs: int
    history: int | None
    buffer_pool: int
    dirty: float
    deadlock_at: float | None
    deadlock_text: str = ""

    @property
    def happened_at(self) -> float | None:
        return self.deadlock_at

    def __str__(self) -> str:
        pending = f"{self.pending_reads} reads, {self.pending_writes} writes, {self.pending_fsyncs} fsyncs pending"
        history = f", history list {self.history:,}" if self.history is not None else ""
        return f"InnoDB: {self.row_waits} row lock waits, {pending}{history}, buffer pool {size(self.buffer_pool)}"


class Replica(Fact):
    """One replication channel of this server; the subject is its source (`replication from db1:3306`).

    `lag` is seconds behind, None where the server does not know; `lag_before` the same at the first of two looks.
    Error numbers are 0 for none.
    """

    io: Literal["yes", "no", "connecting"]
    sql: Literal["yes", "no"]
    io_errno: int
    io_error: str
    sql_errno: int
    sql_error: str
    lag: float | None
    lag_before: float | None
    seconds: float
    sql_state: str
    channel: str = ""
    # The delay that somebody asked for (MASTER_DELAY), which is no lag.
    wanted_delay: float = 0.0

    def __str__(self) -> str:
        lag = "lag unknown" if self.lag is None else f"{span(self.lag)} behind"
        error = self.io_error or self.sql_error
        return f"{self.subject}: IO thread {self.io}, SQL thread {self.sql}, {lag}" + (f": {error}" if error else "")

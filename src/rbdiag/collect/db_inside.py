"""What a MySQL or MariaDB server says of itself, over the one connection: settings, InnoDB, replication, counters.

Each question is cheap and asked once. Names differ between MariaDB 10.6-11 and MySQL 5.7-9: where one is not known the
next is tried, and only where none is known is it a gap.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rbdiag.collect.db_accounts import account as account
from rbdiag.collect.db_locks import locks as locks
from rbdiag.collect.db_sessions import first
from rbdiag.collect.db_sessions import sessions as sessions
from rbdiag.collect.db_tables import check_tables as check_tables
from rbdiag.deadline import Deadline
from rbdiag.facts.db import Flavour
from rbdiag.facts.sessions import DbRates, Innodb, Replica, ServerInfo
from rbdiag.model import CannotLook, Fact, Facts

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

Row = dict[str, Any]


def _named(what: str, names: Iterable[str]) -> str:
    return f"SHOW {what} WHERE Variable_name IN ({', '.join(repr(n) for n in names)})"


def _values(rows: Iterable[Row]) -> dict[str, str]:
    return {str(r["Variable_name"]).lower(): str(r["Value"] or "") for r in rows}


_VARIABLES = (
    "version", "hostname", "max_connections", "max_user_connections", "read_only", "super_read_only", "skip_networking",
    "bind_address", "port", "socket", "datadir", "tmpdir", "log_error", "pid_file", "wait_timeout",
    "max_allowed_packet", "max_statement_time", "max_execution_time", "lock_wait_timeout", "open_files_limit",
    "max_connect_errors", "skip_name_resolve", "require_secure_transport", "slow_query_log", "long_query_time",
    "log_bin", "server_id", "innodb_read_only",
)  # fmt: skip
# MySQL's command was renamed in 8.0.22.
_REPLICATION = {True: ("SHOW ALL SLAVES STATUS",), False: ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")}
_DUMPS = "SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"


def variables(line: Line, deadline: Deadline) -> Iterator[Fact]:
    """The settings that decide about connections, and what part the server plays in replication."""
    found = _values(line.ask(_named("GLOBAL VARIABLES", _VARIABLES), deadline))
    status = _values(line.ask(_named("GLOBAL STATUS", ("Uptime", "Slaves_connected")), deadline))
    try:
        replicates: bool | None = bool(_replication(line, deadline))
    except CannotLook:
        replicates = None  # the check of replication leaves the gap
    feeds = int(status.get("slaves_connected") or 0) > 0
    if not feeds and "slaves_connected" not in status:
        # MySQL counts them nowhere. Without PROCESS this sees our own account only; the check of the sessions says so.
        feeds = bool(line.ask(_DUMPS, deadline)[0]["n"])
    yield server_info(line.target.subject, line.flavour, found, float(status["uptime"]), replicates, feeds)


def server_info(
    subject: str, flavour: Flavour, found: Mapping[str, str], uptime: float, replicates: bool | None, feeds: bool
) -> ServerInfo:
    """The rows of SHOW GLOBAL VARIABLES as a fact."""

    def on(name: str) -> bool:
        return found.get(name, "").upper() in ("ON", "1", "YES")

    def integer(name: str) -> int | None:
        return int(found[name]) if found.get(name, "").lstrip("-").isdigit() else None

    # MariaDB counts in seconds, MySQL in milliseconds; 0 is no limit in both.
    limit = float(found.get("max_statement_time") or 0) or float(found.get("max_execution_time") or 0) / 1000
    wait = found.get("lock_wait_timeout")
    return ServerInfo(
        subject=subject, flavour=flavour, version=found["version"], hostname=found.get("hostname", ""), uptime=uptime,
        max_connections=int(found["max_connections"]), max_user_connections=integer("max_user_connections") or None,
        read_only=on("read_only") or on("innodb_read_only"), super_read_only=on("super_read_only"),
        skip_networking=on("skip_networking"), bind_address=found.get("bind_address", ""), port=integer("port") or 0,
        socket=found.get("socket", ""), datadir=found.get("datadir", ""), tmpdir=found.get("tmpdir", ""),
        error_log=found.get("log_error", ""), pid_file=found.get("pid_file", ""),
        wait_timeout=float(found.get("wait_timeout") or 0), max_allowed_packet=integer("max_allowed_packet") or 0,
        max_statement_time=limit or None, lock_wait_timeout=float(wait) if wait else None,
        open_files_limit=integer("open_files_limit"), max_connect_errors=integer("max_connect_errors"),
        skip_name_resolve=on("skip_name_resolve"), require_secure_transport=on("require_secure_transport"),
        slow_log=on("slow_query_log"), long_query_time=float(found.get("long_query_time") or 10), log_bin=on("log_bin"),
        server_id=integer("server_id"), has_replicas=feeds, is_replica=bool(replicates),
        replica_known=replicates is not None,
    )  # fmt: skip


_INNODB = (
    "Innodb_row_lock_current_waits", "Innodb_data_pending_reads", "Innodb_data_pending_writes",
    "Innodb_data_pending_fsyncs", "Innodb_history_list_length", "Innodb_buffer_pool_bytes_data",
    "Innodb_buffer_pool_pages_total", "Innodb_buffer_pool_pages_dirty", "Innodb_page_size",
)  # fmt: skip


def innodb(line: Line, deadline: Deadline) -> Iterator[Fact]:
    """What InnoDB waits for, how much it still has to clean up, and its latest deadlock."""
    found = _values(line.ask(_named("GLOBAL STATUS", _INNODB), deadline))
    report, denied = "", None
    try:
        report = next((str(r["Status"]) for r in line.ask("SHOW ENGINE INNODB STATUS", deadline)), "")
    except CannotLook as error:
        denied = error
    age, text = parse_deadlock(report)
    history = found.get("innodb_history_list_length") or _history(report)
    total = int(found.get("innodb_buffer_pool_pages_total") or 0)
    yield Innodb(
        subject=line.target.subject, row_waits=int(found.get("innodb_row_lock_current_waits") or 0),
        pending_reads=int(found.get("innodb_data_pending_reads") or 0),
        pending_writes=int(found.get("innodb_data_pending_writes") or 0),
        pending_fsyncs=int(found.get("innodb_data_pending_fsyncs") or 0), history=int(history) if history else None,
        buffer_pool=total * int(found.get("innodb_page_size") or 16384),
        dirty=int(found.get("innodb_buffer_pool_pages_dirty") or 0) / total if total else 0.0,
        deadlock_at=None if age is None else round(time.time() - age, 3), deadlock_text=text,
    )  # fmt: skip
    if denied is not None:
        raise denied


_CLOCK = r"^(\d{4}-\d\d-\d\d +\d?\d:\d\d:\d\d)"
_DEADLOCK = re.compile(
    r"^LATEST DETECTED DEADLOCK\n-+\n(.*?)(?=^-{5,}\n[A-Z ]{6,}\n-{5,}$|\Z)", re.MULTILINE | re.DOTALL
)
_DEADLOCK_SHOWN = 300


def parse_deadlock(report: str) -> tuple[float | None, str]:
    """How many seconds ago the latest deadlock was, and its statements. None where there was none.

    Both times stand in the report in the server's own zone, so only their difference is used.
    """
    from rbdiag.redact import redact_statement

    section, now = _DEADLOCK.search(report), re.search(_CLOCK, report, re.MULTILINE)
    at = re.search(_CLOCK, section[1], re.MULTILINE) if section else None
    if section is None or now is None or at is None:
        return None, ""
    age = (_clock(now[1]) - _clock(at[1])).total_seconds()
    lines = [line.strip() for line in section[1].splitlines()]
    # A transaction's statement follows the line that names its thread (MariaDB) or query id.
    statements = [
        after for line, after in pairwise(lines)
        if "hread id" in line and after and not after.startswith(("***", "RECORD", "-", "TABLE"))
    ]  # fmt: skip
    return max(0.0, age), redact_statement(" | ".join(dict.fromkeys(statements)))[:_DEADLOCK_SHOWN]


def _clock(text: str) -> datetime:
    return datetime.strptime(" ".join(text.split()), "%Y-%m-%d %H:%M:%S")


def _history(report: str) -> str:
    found = re.search(r"^History list length (\d+)", report, re.MULTILINE)
    return found[1] if found else ""


def _replication(line: Line, deadline: Deadline) -> list[Row]:
    return first(line, deadline, *_REPLICATION[line.flavour == "MariaDB"])


# Seconds between two looks at the lag, which a replica that is stuck raises by as much.
_BETWEEN = 1.2


def replication(line: Line, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """Each channel that this server replicates through, looked at twice; nothing where it replicates from nobody."""
    before, began = _replication(line, deadline), time.monotonic()
    if not before:
        return
    deadline.sleep(deadline.window(_BETWEEN))
    now, took = _replication(line, deadline), time.monotonic() - began
    earlier = {channel(row): lag(row) for row in before}
    for row in now:
        yield replica(row, earlier.get(channel(row)), took)


def _of(row: Row, *names: str) -> str:
    """The value of the column by its first name that is there: MySQL renamed Slave to Replica and Master to Source."""
    return next((str(row[n]) for n in names if row.get(n) is not None), "")


def channel(row: Row) -> str:
    return _of(row, "Connection_name", "Channel_Name")


def lag(row: Row) -> float | None:
    text = _of(row, "Seconds_Behind_Master", "Seconds_Behind_Source")
    return float(text) if text else None


def replica(row: Row, before: float | None, seconds: float) -> Replica:
    """One row of SHOW REPLICA STATUS as a fact."""
    from rbdiag.redact import redact

    io = _of(row, "Slave_IO_Running", "Replica_IO_Running").lower()
    errno, error = _of(row, "Last_IO_Errno"), _of(row, "Last_IO_Error")
    source = f"{_of(row, 'Master_Host', 'Source_Host')}:{_of(row, 'Master_Port', 'Source_Port')}"
    name = channel(row)
    return Replica(
        subject=f"replication from {source}" + (f" (channel {name})" if name else ""),
        # "Preparing" is what MariaDB says before it connects
        io="yes" if io == "yes" else "connecting" if io in ("connecting", "preparing") else "no",
        sql="yes" if _of(row, "Slave_SQL_Running", "Replica_SQL_Running").lower() == "yes" else "no",
        io_errno=int(errno or 0), io_error=redact(" ".join(error.split())),
        sql_errno=int(_of(row, "Last_SQL_Errno") or 0), sql_error=_without_values(_of(row, "Last_SQL_Error")),
        lag=lag(row), lag_before=before, seconds=round(seconds, 3),
        sql_state=_of(row, "Slave_SQL_Running_State", "Replica_SQL_Running_State"), channel=name,
        wanted_delay=float(_of(row, "SQL_Delay") or 0),
    )  # fmt: skip


# Counters of the whole server, and those of them that each session counts as well, ours too.
_SERVERS = (
    "Aborted_connects", "Aborted_clients", "Connection_errors_max_connections", "Innodb_row_lock_waits",
    "Innodb_row_lock_current_waits", "Innodb_deadlocks", "Innodb_log_waits", "Max_statement_time_exceeded",
    "Max_execution_time_exceeded", "Com_kill",
)  # fmt: skip
_SESSIONS = (
    "Questions", "Slow_queries", "Handler_read_rnd_next", "Created_tmp_tables", "Created_tmp_disk_tables", "Rows_sent",
    "Bytes_received", "Bytes_sent",
)  # fmt: skip
# MySQL has no status variable for deadlocks; this metric is on by default.
_METRIC = (
    "SELECT COUNT AS n FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks' AND STATUS = 'enabled'"
)
_WINDOW = 1.0


def rates(line: Line, deadline: Deadline) -> Iterator[Fact]:
    """Two samples of the server's counters, without what our own questions added to them."""

    def sample() -> tuple[dict[str, str], dict[str, str], int | None]:
        own = _values(line.ask(_named("SESSION STATUS", _SESSIONS), deadline))
        found = _values(line.ask(_named("GLOBAL STATUS", _SERVERS + _SESSIONS), deadline))
        if "innodb_deadlocks" in found:
            return found, own, int(found["innodb_deadlocks"])
        try:
            rows = line.ask(_METRIC, deadline)
        except CannotLook:
            rows = []  # deadlocks_new None says that nobody counts them for us
        return found, own, int(rows[0]["n"]) if rows else None

    before, began = sample(), time.monotonic()
    deadline.sleep(deadline.window(_WINDOW))
    after, took = sample(), time.monotonic() - began
    yield db_rates(line.target.subject, before, after, took)


def _without_values(error: str) -> str:
    """An error of the applier, with the statement that it quotes at its end stripped of its values."""
    from rbdiag.redact import redact, redact_statement

    told, quoting, statement = " ".join(error.split()).partition("Query: '")
    return redact(told) + (quoting + redact_statement(statement.removesuffix("'")) + "'" if quoting else "")


_Sample = tuple[Mapping[str, str], Mapping[str, str], int | None]


def db_rates(subject: str, before: _Sample, after: _Sample, seconds: float) -> DbRates:
    """Two samples (the server's counters, our session's, deadlocks) as rates over the seconds between them."""

    def new(*names: str) -> int | None:
        name = next((n.lower() for n in names if n.lower() in after[0] and n.lower() in before[0]), None)
        if name is None:
            return None
        grown = int(after[0][name]) - int(before[0][name])
        if name in {n.lower() for n in _SESSIONS}:
            grown -= int(after[1].get(name, 0)) - int(before[1].get(name, 0))
        return max(0, grown)  # FLUSH STATUS and a restart set them back

    def rate(*names: str) -> float:
        return (new(*names) or 0) / seconds

    waits = min(int(s[0].get("innodb_row_lock_current_waits") or 0) for s in (before, after))
    return DbRates(
        subject=subject, seconds=round(seconds, 3), queries=rate("Questions"),
        aborted_connects=rate("Aborted_connects"), aborted_clients=rate("Aborted_clients"),
        refused_max_connections_new=new("Connection_errors_max_connections") or 0,
        slow_queries=rate("Slow_queries"), rows_scanned=rate("Handler_read_rnd_next"), rows_sent=rate("Rows_sent"),
        temp_tables=rate("Created_tmp_tables"), temp_tables_on_disk=rate("Created_tmp_disk_tables"),
        row_lock_waits=rate("Innodb_row_lock_waits"),
        deadlocks_new=None if before[2] is None or after[2] is None else max(0, after[2] - before[2]),
        statement_timeouts_new=new("Max_statement_time_exceeded", "Max_execution_time_exceeded"),
        log_waits=rate("Innodb_log_waits"), bytes_in=rate("Bytes_received"), bytes_out=rate("Bytes_sent"),
        kills=int(after[0]["com_kill"]) if after[0].get("com_kill") is not None else None,
        row_waits_lasting=max(0, waits - (new("Innodb_row_lock_waits") or 0)),
    )  # fmt: skip

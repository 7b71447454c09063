"""What a line in the log of a MySQL or MariaDB server, or of a program that uses one, says.

A line is told by its words, by the system error in it, or by its error number, whichever says most on that side.
Sources: the messages of MariaDB 10.11 (errmsg-utf8.txt) and MySQL 5.7 to 9 (messages_to_error_log.txt), of their client
libraries, and of common drivers and connection pools.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from rbdiag.facts.logs import LogKind

Side = Literal["server", "client"]


class Hit(NamedTuple):
    """What a line says: its kind, the number in it, and what it is about."""

    kind: LogKind
    number: int | None = None
    name: str = ""


class Phrase(NamedTuple):
    """Words of one kind. `needs` is a part that a line must have before `regex` is tried; without one it is enough.

    The groups `a` and `b` are the two parts of what the line is about, `n` is its number.
    """

    kind: LogKind
    needs: str
    regex: str = ""


_ACCOUNT = r"user:? '(?P<a>[^']*)'(?:@| host: )'(?P<b>[^']*)'"

# Where phrases overlap the first one has it. These only a server writes: about itself.
_SERVER = (
    Phrase("ready", "ready for connections", r"(?<!X Plugin )ready for connections"),
    Phrase("starting", "Starting ", r"\bStarting (?:MariaDB|MySQL|Percona)\b(?:.* as process (?P<a>\d+))?"),
    Phrase("starting", "starting as process", r"starting as process (?P<a>\d+)"),
    Phrase("starting", "MySQL Server - start."),
    Phrase("starting", "mysqld_safe", r"mysqld_safe:? Starting|Starting (?:mysqld|mariadbd) daemon"),
    Phrase("starting", "Starting ", r"\bStarting [\w@.-]*(?:mysql|mariadb)[\w@.-]*(?:\.service| - |\.\.\.)"),
    Phrase("shutdown", "Normal shutdown", r"(?:initiated by: (?P<a>[^)\[]+)[^)]*\))?: Normal shutdown"),
    Phrase("shutdown", "Received SHUTDOWN", r"Received SHUTDOWN from user (?P<a>[^.]*)"),
    Phrase("shutdown", "Stopping ", r"\bStopping [\w@.-]*(?i:mysql|mariadb)"),
    Phrase("aborting", "Aborting", r"(?:\] |^)Aborting\.?$"),
    Phrase("signal", "got ", r"(?:mysqld|mariadbd) got (?:signal|exception) (?P<n>\d+)"),
    Phrase("signal", "Number of processes running now: 0"),
    Phrase("corruption", "Unable to read page", r"Unable to read page .*into the buffer pool"),
    Phrase("fatal", "[FATAL]", r"\[FATAL\] (?:InnoDB: )?(?P<a>[^.]{0,80})"),
    Phrase("fatal", "ssertion fail"),
    Phrase("fatal", "Failing assertion"),
    Phrase("fatal", "Assertion `"),
    Phrase("fatal", "terminate called after"),
    Phrase("recovery", "ing table: ", r"(?:Recovering|Checking) table: *'?(?P<a>[^']+)"),
    Phrase("recovery", "tarting ",
           r"[Ss]tarting (?:XA )?crash recovery|: starting recovery|[Ss]tarting (?:a |final )?batch to recover"),
    Phrase("recovery", "batch", r"[Aa]pply(?:ing)? (?:a )?batch"),
    Phrase("recovery", "To recover: "),
    Phrase("recovery", "Recovering after a crash"),
    Phrase("recovery", "not shut", r"was not shut ?down normally"),
    # ... its configuration
    Phrase("unknown-option", "unknown ", r"unknown (?:variable|option) '-{0,2}(?P<a>[^'=]+)"),
    Phrase("unknown-option", "ambiguous option", r"ambiguous option '-{0,2}(?P<a>[^'=]+)"),
    Phrase("bad-option-file", "in config file",
           r"(?:group definition|preceding group) in config file:? (?P<a>\S+) at line:? (?P<b>\d+)"),
    Phrase("bad-option-file", "open required ", r"open required (?:defaults|option) file:? (?P<a>\S+)"),
    Phrase("bad-value", "while setting value", r"while setting value '[^']*' to '(?P<a>[^']+)'"),
    Phrase("bad-value", "Unknown suffix", r"Unknown suffix '.' used for variable '(?P<a>[^']+)'"),
    Phrase("bad-value", "an argument",
           r"option '-{0,2}(?P<a>[^']+)' (?:requires|doesn't take|cannot take) an argument"),
    Phrase("bad-value", "is not a compiled character set", r"(?P<a>Character set) '[^']+' is not a compiled"),
    Phrase("bad-value", "nknown ", r"[Uu]nknown (?P<a>collation|character set)"),
    Phrase("bad-value", "storage engine: ", r"Unknown/unsupported (?P<a>storage engine): (?!InnoDB|Aria)"),
    Phrase("bad-value", "to run as user", r"change to run as (?P<a>user) '"),
    Phrase("bad-value", " as root", r"how to run \S+ as root"),
    Phrase("bad-value", "You need to use --", r"You need to use --(?P<a>[\w-]+)"),
    # ... what it needs of the host
    Phrase("port-taken", "Bind on TCP/IP port", r"Bind on TCP/IP port.*(?:98\b|ddress already in use)"),
    Phrase("port-taken", "running on port", r"another \S*\s?server running on port: ?(?P<a>\d+)"),
    Phrase("port-taken", "Bind on unix socket", r"Bind on unix socket.*(?:98\b|ddress already in use)"),
    Phrase("port-taken", "is using unix socket", r"Another process with pid (?P<a>\d+) is using unix socket"),
    Phrase("address-missing", "Bind on TCP/IP port", r"Bind on TCP/IP port(?:. Got error: (?P<n>\d+))?"),
    Phrase("address-missing", "create IP socket", r"create IP socket: (?P<a>.*)"),
    Phrase("socket-path", "running on socket", r"running on socket: (?P<a>\S+)"),
    Phrase("socket-path", "unix socket", r"(?:Bind on|setup) unix socket"),
    Phrase("socket-path", "unix socket lock file", r"create unix socket lock file (?P<a>\S+?)\.?$"),
    Phrase("socket-path", "socket file path is too long"),
    Phrase("socket-path", "PID file", r"can't (?:create|check) PID file"),
    Phrase("datadir-locked", "lock aria control file", r"lock aria control file '(?P<a>[^']+)'"),
    Phrase("datadir-locked", "Unable to lock ", r"Unable to lock (?P<a>\S+?),? error:? (?P<n>\d+)"),
    Phrase("datadir-locked", "using the same InnoDB data"),
    Phrase("uninitialised", "Table 'mysql.",
           r"Table '(?P<a>mysql\.(?:plugin|db|user|servers|global_priv|component))' doesn't exist"),
    Phrase("uninitialised", "returned OS error 71", r"File \S*ibdata1: 'open' returned OS error 71"),
    Phrase("uninitialised", "is unusable", r"data directory (?P<a>\S*) ?is unusable"),
    Phrase("uninitialised", "data directory has files in it"),
    Phrase("uninitialised", "annot ", r"(?P<a>[Cc]annot (?:boot server version|upgrade from) .*)"),
    Phrase("uninitialised", "after a crash is not supported", r"(?P<a>Upgrade after a crash is not supported.*)"),
    Phrase("uninitialised", "Unsupported redo log format", r"(?P<a>Unsupported redo log format.*)"),
    Phrase("no-memory", "annot ", r"Cannot (?:map|allocate) .*(?P<a>buffer.?pool)|Cannot allocate memory"),
    Phrase("no-memory", "mmap(", r"mmap\(.*\) failed; errno (?P<n>\d+)"),
    Phrase("tls-key", "error: ", r"(?:SSL|TLS) error: .*(?:private key|certificate|\bCA\b|\bkey\b)"),
    Phrase("tls-key", "Failed to ", r"Failed to (?:setup|set up|initialize) (?:SSL|TLS)(?!.*version)"),
    # switched off or misspelt, a version is no matter of keys
    Phrase("tls-key", "SSL library error", r"SSL library error(?!.*version)"),
    Phrase("plugin-load", "open shared library", r"open shared library '(?P<a>[^']+)'"),
    Phrase("plugin-load", "load plugin named", r"load plugin named '(?P<a>[^']+)'"),
    Phrase("slow-io", "intended loop took", r"intended loop took (?P<n>\d+)ms"),
    Phrase("slow-io", "long semaphore wait"),
    Phrase("too-many-files", "Error in accept", r"Error in accept: (?:Too many open|File table)"),
    Phrase("too-many-files", "pipe() failed", r"pipe\(\) failed (?P<n>2[34])"),
    # ... and about its clients
    Phrase("unauthenticated", "'unauthenticated'", r"user: 'unauthenticated' host: '(?P<a>[^']+)'"),
    Phrase("packet", "packet bigger than", rf"{_ACCOUNT}.*packet bigger than"),
    Phrase("too-many-connections", "Too many connections"),
    # said by thread 0 it is a time limit or the shutdown that ends it, else the session of whoever used KILL
    Phrase("killed", "(KILLED)", rf"(?<! 0 \[Warning\] )Aborted connection \d+ .*{_ACCOUNT}.*\(KILLED\)"),
    Phrase("idle-closed", "Got timeout reading", rf"{_ACCOUNT}.*Got timeout reading"),
    Phrase("idle-closed", "because of inactivity", rf"{_ACCOUNT}.*because of inactivity"),
    Phrase("aborted", "borted connection", rf"[Aa]borted connection .*{_ACCOUNT}"),
    Phrase("aborted", "communication packets", r"Got an error (?:reading|writing) communication packets"),
    Phrase("deadlock", "InnoDB: Transactions deadlock detected"),
    Phrase("unresolved", "could not be resolved", r"(?:IP address|[Hh]ost ?name) '(?P<a>[^']+)' could not be resolved"),
    Phrase("unresolved", "does not resolve to", r"[Hh]ost ?name '(?P<a>[^']+)' does not resolve"),
    Phrase("replica-sql", "SQL", r"\b(?:Slave|Replica) SQL\b"),
    Phrase("replica-sql", "orker ", r"(?:Slave|Replica) worker|Worker \d+ failed executing"),
    Phrase("replica-io", " I/O", r"\b(?:Slave|Replica) I/O"),
    Phrase("replica-io", "fatal error 1236 from"),
    Phrase("replica-io", "Error reading packet from server"),
)  # fmt: skip

# ... and about damage
_DAMAGE = (
    Phrase("tmpdir-full", "temporary file; errno: 28"),
    Phrase("table-crashed", "aria control file",
           r"error '(?!Can't open).*' when trying to use aria control file '(?P<a>[^']+)'"),
    Phrase("table-crashed", "Aria recovery failed"),
    Phrase("corruption", "stored in the page", r"stored in the page,? read in (?:from (?P<a>\S+)|are)"),
    Phrase("corruption", "Failed to read page", r"Failed to read page \d+ from file '?(?P<a>[^'\s]+)'?: .*corrupt"),
    Phrase("corruption", "' is corrupted", r"[Ff]ile '(?P<a>[^']+)' is corrupted"),
    Phrase("corruption", "corrupted", r"[Ii]ndex (?P<a>\S+) (?:of table \S+ )?is (?:marked as )?corrupted"),
    Phrase("corruption", "marked as corrupted", r"[Tt]able (?P<a>\S+) .*marked as corrupted"),
    Phrase("corruption", "lag", r"[Ff]lag(?:ged|ging) (?:the )?corruption"),
    Phrase("corruption", "ata structure corruption"),
    Phrase("corruption", "ib_logfile",
           r"(?P<a>\S*ib_logfile\d+) (?:is too small|was not found|size \S+ is not|is of different)"),
    Phrase("corruption", "log header", r"[Ii]nvalid (?:redo )?log header"),
    Phrase("corruption", "redo log file", r"redo log file (?P<a>\S+) is smaller than"),
    Phrase("corruption", "Neither found #innodb_redo"),
    Phrase("corruption", "orrupted page", r"[Cc]orrupted page .*of datafile '(?P<a>[^']+)'"),
    Phrase("corruption", "Space ID in fsp header is"),
    Phrase("corruption", "edo log", r"(?:[Cc]orrupted|[Mm]issing) redo log|redo log .*(?:corrupt|missing)"),
    Phrase("corruption", "CHECKPOINT", r"[Mm]issing (?:FILE|MLOG)_CHECKPOINT"),
    Phrase("corruption", "checkpoint", r"(?:[Nn]o|find) (?:a )?valid checkpoint"),
    Phrase("corruption", "nconsistent tablespace ID", r"nconsistent tablespace ID in (?P<a>\S+)"),
    Phrase("corruption", "hecksum mismatch",
           r"hecksum mismatch in (?:the first page of file |datafile:? |tablespace )?(?P<a>\S+)"),
    Phrase("corruption", "is in the future", r"log sequence number \d+ .*is in the future"),
    Phrase("corruption", "consists of zero bytes"),
    Phrase("missing-tablespace", "datafile for read-only", r"datafile for read-only: '(?P<a>[^']+)'"),
    Phrase("missing-tablespace", "valid tablespace file for", r"valid tablespace file for (?P<a>[^.\s]+)"),
    Phrase("missing-tablespace", "ablespace ", r"Tablespace \d+ was not found at (?P<a>\S+?)\.?(?:\s|$)"),
    Phrase("missing-tablespace", "Cannot find space id"),
)  # fmt: skip

# These both write.
_BOTH = (
    # A temporary table that cannot be read is a full temporary folder.
    Phrase("tmpdir-full", "#sql", r"(?:Index for|key file for) table '(?P<a>[^']*#sql[^']*)'"),
    Phrase("tmpdir-full", "#sql", r"Got error '\d+ .*' for '(?P<a>[^']*#sql[^']*)'"),
    Phrase("tmpdir-full", "#sql", r"[Tt]he table '(?P<a>/[^']*#sql[^']*)' is full"),
    Phrase("tmpdir-full", "full writing", r"Disk (?:got|is) full writing '(?P<a>\.\(temporary\)|/[^']*#sql[^']*)'"),
    Phrase("table-crashed", "marked as crashed", r"Table '(?P<a>[^']+)' is marked as crashed"),
    Phrase("table-crashed", "is corrupt;", r"Index for table '(?P<a>[^']+)' is corrupt;"),
    Phrase("table-crashed", "Incorrect key file", r"Incorrect key file for table '(?P<a>[^']+)'"),
    Phrase("table-crashed", "Got error ",
           r"Got error '?(?P<n>126|127|141|144|145|176)\b.* (?:for|table) '(?P<a>[^']+)'"),
    Phrase("corruption", "page corruption", r"page corruption(?:.*? file '(?P<a>[^']+)' page)?"),
    Phrase("corruption", " is corrupted", r"[Tt]able(?:space)? '?(?P<a>[^' ]+)'? is corrupted"),
    Phrase("missing-tablespace", "ablespace ",
           r"[Tt]ablespace (?:is missing for a table|is missing for table (?P<a>[^.\s]+)|"
           r"for table (?P<b>\S+) is missing)"),
    Phrase("no-memory", "ut of memory", r"[Oo]ut of memory(?: \(|;|, needed|.*[Nn]eeded)"),
    Phrase("too-many-files", "Out of resources when opening file"),
    Phrase("out-of-threads", "thread", r"[Cc]an't create (?:a )?(?:new )?thread|thread could not be created"),
    Phrase("packet", "packet bigger than"),
    Phrase("too-many-connections", "Too many connections"),
    Phrase("deadlock", "eadlock found when trying to get lock"),
    Phrase("lock-wait", "Lock wait timeout exceeded"),
    Phrase("user-limit", "already has more than",
           r"User '?(?P<a>[^' ]+)'? already has more than 'max_user_connections'"),
    Phrase("user-limit", "has exceeded the '", r"User '(?P<a>[^']+)' has exceeded the '\w+' resource"),
    Phrase("host-blocked", "many connection errors", r"Host '(?P<a>[^']+)' is blocked because of many"),
    Phrase("host-not-allowed", "is not allowed to connect", r"Host '(?P<a>[^']+)' is not allowed to connect"),
    Phrase("account-locked", "ccount is locked", r"[Aa]ccount is locked"),
    Phrase("account-locked", "ccount is blocked for", r"[Aa]ccount is blocked for"),
    Phrase("account-locked", "password has expired"),
    Phrase("account-locked", "PASSWORD", r"must (?:SET|reset) .*PASSWORD"),
    Phrase("account-locked", "ALTER USER", r"must reset your password using ALTER USER"),
    Phrase("auth-plugin", "uthentication plugin", r"uthentication plugin '?(?P<a>\w+)"),
    Phrase("auth-plugin", "authentication protocol requested"),
    Phrase("auth-plugin", "Authentication requires secure connection"),
    Phrase("auth-plugin", "Public Key Retrieval is not allowed"),
    Phrase("no-db-access", "to database '", rf"Access denied for {_ACCOUNT} to database"),
    Phrase("access-denied", "Access denied for user", rf"Access denied for {_ACCOUNT}"),
    Phrase("tls-required", "insecure transport are prohibited"),
    Phrase("unknown-database", "Unknown database", r"Unknown database '(?P<a>[^']+)'"),
    Phrase("privilege", "command denied to user", r"(?P<a>[A-Z][A-Z ]*) command denied to user"),
    Phrase("privilege", "you need (at least one of) the", r"you need \(at least one of\) the (?P<a>[\w, ]+) privilege"),
    Phrase("read-only", "running with the --", r"running with the --(?P<a>(?:super[-_])?read[-_]only)"),
    Phrase("read-only", "Running in read-only mode"),
    Phrase("read-only", "in a READ ONLY transaction"),
    Phrase("statement-timeout", "max_statement_time exceeded"),
    Phrase("statement-timeout", "maximum statement execution time exceeded"),
    Phrase("interrupted", "Query execution was interrupted"),
)  # fmt: skip

# These only a client writes.
_CLIENT = (
    # its pool of connections: SQLAlchemy, HikariCP, DBCP, c3p0, Tomcat, Druid
    Phrase("pool-exhausted", "QueuePool limit of size", r"(?P<a>QueuePool) limit of size"),
    Phrase("pool-exhausted", "Connection is not available", r"(?P<a>[\w.-]+) - Connection is not available"),
    Phrase("pool-exhausted", "Cannot get a connection", r"Cannot get a connection, (?:pool|general) error"),
    Phrase("pool-exhausted", "waiting for idle object"),
    Phrase("pool-exhausted", "checkout a Connection has timed out"),
    Phrase("pool-exhausted", "Pool empty", r"Timeout: Pool empty"),
    Phrase("pool-exhausted", "wait millis ", r"wait millis \d+, active \d+"),
    # Knex, Sequelize, Prisma, mysql2, MySqlConnector, ADO.NET, Active Record, mysql-connector-python, SQLx, r2d2
    Phrase("pool-exhausted", "The pool is probably full"),
    Phrase("pool-exhausted", "ConnectionAcquireTimeout"),
    Phrase("pool-exhausted", "connection from the ",
           r"(?:fetching a new|obtain a (?:database )?) ?connection from the (?:connection )?pool"),
    Phrase("pool-exhausted", "obtaining a connection from the pool"),
    Phrase("pool-exhausted", "could not obtain a ", r"could not obtain a (?:database )?connection within"),
    Phrase("pool-exhausted", "All pooled connections are in use"),
    Phrase("pool-exhausted", "Queue limit reached"),
    Phrase("pool-exhausted", "ool exhausted", r"[Pp]ool exhausted"),
    Phrase("pool-exhausted", "pool timed out while waiting"),
    Phrase("pool-exhausted", "timed out waiting for ", r"timed out waiting for (?:a )?connection"),
    Phrase("pool-exhausted", "onnection pool ", r"[Cc]onnection pool (?:is )?(?:exhausted|full|timed? ?out)"),
    # a connection that is gone
    Phrase("gone-away", "gone away", r"erver has gone away"),
    Phrase("gone-away", "server configured value of", r"server configured value of '(?P<a>wait_timeout)'"),
    Phrase("gone-away", "because of inactivity", r"server because of (?P<a>inactivity)"),
    Phrase("lost-connection", "ost connection to ", r"ost connection to (?:My|Maria|backend |server|database)"),
    Phrase("lost-connection", "PROTOCOL_CONNECTION_LOST"),
    Phrase("lost-connection", "Communications link failure"),
    Phrase("lost-connection", "driver: bad connection"),
    Phrase("lost-connection", "packets.go:", r"packets\.go:\d+.*(?:EOF|reset|closed|broken)"),
    Phrase("lost-connection", "invalid connection", r"invalid connection$"),
    # no connection at all
    Phrase("unknown-host", "server host '", r"[Uu]nknown (?:\w+ )?server host '(?P<a>[^']+)'(?: \((?P<n>-?\d+)\))?"),
    Phrase("unknown-host", "[Errno -", r"server on '(?P<a>[^']+)' \(\[Errno (?P<n>-\d+)\]"),
    Phrase("unknown-host", "no such host", r"dial tcp: lookup (?P<a>\S+?)(?: on \S+)?: no such host"),
    Phrase("unknown-host", "ENOTFOUND", r"(?i:mysql|mariadb|:3306).*ENOTFOUND (?P<a>\S+)"),
    Phrase("socket-failed", "through socket '", r"through socket '(?P<a>[^']+)' \((?P<n>\d+)"),
    Phrase("socket-failed", "HY000] [2002]", r"\[2002\] No such file or directory"),
    Phrase("no-server", "HY000] [2002]", r"\[2002\] (?:Connection|No route|Network|Operation|php_network)"),
    Phrase("no-server", "an't connect to",
           r"an't connect to (?:\w+ )?(?:MySQL |MariaDB )?server on '(?P<a>[^']+)'(?:.*?\([^)]*?(?P<n>\d+))?"),
    Phrase("no-server", "dial tcp ",
           r"dial tcp (?P<a>\S+:33\d\d): (?:connect: connection refused|i/o timeout|connect: no route)"),
    Phrase("no-server", ":33", r"(?:ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH) (?P<a>\S+:33\d\d)\b"),
    Phrase("no-server", "onnection refused", r"(?i:mysql|mariadb).*onnection refused"),
    Phrase("no-server", "ECONNREFUSED", r"(?i:mysql|mariadb).*ECONNREFUSED(?: (?P<a>\S+:\d+))?"),
    # what the server said, or the library, in a driver's own words
    Phrase("killed", "onnection was killed"),
    Phrase("packet", "acket for query is too large"),
    Phrase("packet", "PacketTooBig"),
    Phrase("tls-failed", "SSL",
           r"(?:TLS/)?SSL (?:connection )?error: (?P<a>.{0,60})|HANDSHAKE_SSL_ERROR|(?i:mysql|mariadb).*SSL routines"),
    Phrase("too-many-connections", "ER_CON_COUNT_ERROR"),
    Phrase("user-limit", "ER_TOO_MANY_USER_CONNECTIONS"),
    Phrase("user-limit", "ER_USER_LIMIT_REACHED"),
    Phrase("host-blocked", "ER_HOST_IS_BLOCKED"),
    Phrase("host-not-allowed", "ER_HOST_NOT_PRIVILEGED"),
    Phrase("no-db-access", "ER_DBACCESS_DENIED_ERROR"),
    Phrase("account-locked", "ER_ACCOUNT_HAS_BEEN_LOCKED"),
    Phrase("account-locked", "ER_MUST_CHANGE_PASSWORD"),
    Phrase("auth-plugin", "ER_NOT_SUPPORTED_AUTH_MODE"),
    Phrase("unknown-database", "ER_BAD_DB_ERROR", r"ER_BAD_DB_ERROR(?:: Unknown database '(?P<a>[^']+)')?"),
    Phrase("privilege", "ACCESS_DENIED_ERROR", r"ER_(?:TABLE|COLUMN|SPECIFIC_)ACCESS_DENIED_ERROR"),
    Phrase("access-denied", "ER_ACCESS_DENIED_ERROR", rf"ER_ACCESS_DENIED_ERROR(?:.*{_ACCOUNT})?"),
    Phrase("deadlock", "ER_LOCK_DEADLOCK"),
    Phrase("lock-wait", "ER_LOCK_WAIT_TIMEOUT"),
    Phrase("statement-timeout", "ER_QUERY_TIMEOUT"),
    Phrase("statement-timeout", "ER_STATEMENT_TIMEOUT"),
    Phrase("interrupted", "ER_QUERY_INTERRUPTED"),
    Phrase("read-only", "ER_OPTION_PREVENTS_STATEMENT"),
)  # fmt: skip
PHRASES: dict[Side, tuple[Phrase, ...]] = {"server": _SERVER + _DAMAGE + _BOTH, "client": _CLIENT + _BOTH}

# Of these kinds a warning or a note is harmless: `loose_` options that are unknown, a page that was repaired.
_ERRORS_ONLY: frozenset[LogKind] = frozenset(
    (
        "unknown-option", "bad-option-file", "bad-value", "socket-path", "uninitialised", "corruption",
        "missing-tablespace", "replica-io", "datadir-permission", "no-memory", "fatal",
    )
)  # fmt: skip
_HARMLESS = frozenset(("Note", "Warning", "System"))

# The X Plugin does without what it cannot have; MySQL writes the backtrace of its last end again when it is started.
_NOT_SAID = ("Plugin mysqlx reported", "[MY-013951]")

# What concerns clients and not the server itself: of interest inside the window only.
OF_CLIENTS: frozenset[LogKind] = frozenset(
    (
        "access-denied", "no-db-access", "idle-closed", "killed", "aborted", "unauthenticated", "packet", "unresolved",
        "deadlock", "lock-wait", "too-many-connections", "user-limit", "host-not-allowed", "host-blocked",
        "account-locked", "auth-plugin", "tls-required", "tls-failed", "unknown-database", "privilege", "read-only",
        "statement-timeout", "interrupted", "slow-io",
    )
)  # fmt: skip

# Error numbers in the forms that drivers write: PyMySQL and mysqlclient, the mysql client, Connector/Python, Go and
# SQLx, older Go, PDO, Node, JDBC, MySQL's own log.
_NUMBERED = re.compile(
    r"""\((\d{4}), ?[bu]?['"]|\b(\d{4}) \([0-9A-Z]{5}\)|\bError (\d{4}): """
    r"""|SQLSTATE\[\w{5}\](?: \[|: [^:\[\]]{1,60}: |: )(\d{4})\b"""
    r"""|\berrno['"]?: (\d{4})\b|[Ee]rror[ _]?[Cc]ode['"]?[:=] ?(?:MY-0*)?(\d{4})\b|\[MY-00(\d{4})\]"""
)
_NUMBERED_NEEDS = ("rror", "RROR", "SQLSTATE", "errno", "[MY-00")
# MariaDB's client wraps what a server says before TLS.
_WRAPPED = re.compile(r"cannot be verified: (\d{4}) - ")
NUMBERS: dict[int, LogKind] = {
    1021: "disk-full", 1034: "table-crashed", 1037: "no-memory", 1040: "too-many-connections", 1041: "no-memory",
    1044: "no-db-access", 1045: "access-denied", 1049: "unknown-database", 1129: "host-blocked",
    1130: "host-not-allowed", 1135: "out-of-threads", 1142: "privilege", 1143: "privilege", 1153: "packet",
    1194: "table-crashed", 1195: "table-crashed", 1203: "user-limit", 1205: "lock-wait", 1213: "deadlock",
    1226: "user-limit", 1227: "privilege", 1251: "auth-plugin", 1317: "interrupted", 1370: "privilege",
    1449: "privilege", 1524: "auth-plugin", 1698: "auth-plugin", 1712: "corruption", 1792: "read-only",
    1812: "missing-tablespace", 1820: "account-locked", 1836: "read-only", 1862: "account-locked",
    1877: "corruption", 1932: "missing-tablespace", 1969: "statement-timeout", 2005: "unknown-host",
    2006: "gone-away", 2013: "lost-connection", 2026: "tls-failed", 2055: "lost-connection", 2059: "auth-plugin",
    2061: "auth-plugin", 3024: "statement-timeout", 3118: "account-locked", 3159: "tls-required",
    3955: "account-locked", 4031: "gone-away", 4151: "account-locked",
}  # fmt: skip
# The number that a kind has where the line itself gives none.
_ITS_NUMBER: dict[LogKind, int] = {
    "port-taken": 98, "datadir-locked": 11, "too-many-files": 24, "no-memory": 12, "tmpdir-full": 28,
    "too-many-connections": 1040, "no-db-access": 1044, "access-denied": 1045, "unknown-database": 1049,
    "host-blocked": 1129, "host-not-allowed": 1130, "out-of-threads": 1135, "packet": 1153, "lock-wait": 1205,
    "deadlock": 1213, "interrupted": 1317, "gone-away": 2006, "lost-connection": 2013, "tls-failed": 2026,
    "tls-required": 3159,
}  # fmt: skip

# System errors in messages about a file, by number or by words.
_ERRNO = re.compile(r"(?:[Ee]rrcode:?|[Ee]rrno:?|[Ee]rror number|with error|[Ee]rror:?) (\d{1,3})\b")
_ERRNO_NEEDS = ("rrcode", "rrno", "rror")
_ERRNO_WORDS = {
    "Permission denied": 13, "must be writable": 13, "No space left on device": 28, "aiting for someone to free": 28,
    "Disk quota exceeded": 122, "Read-only file system": 30,
}  # fmt: skip
_TABLE_FULL = re.compile(r"[Tt]he table '([^']+)' is full")
# A path stands between quotes, or bare behind one of these words.
_PATH = re.compile(
    r"""['"`]((?:/|\.{1,2}/|\.\()[^'"`]*)['"`]|\b(?:file|writing|dir|directory|for) ((?:\./|/)[^\s'"`,:]+)"""
)
_FILE_ERRORS: dict[int, LogKind] = {
    2: "datadir-permission", 5: "corruption", 12: "no-memory", 13: "datadir-permission", 23: "too-many-files",
    24: "too-many-files", 28: "disk-full", 30: "fs-readonly", 122: "disk-full",
}  # fmt: skip

# How a server marks its lines: a level in brackets.
_LEVEL = re.compile(r"\[(Note|Warning|System|ERROR|Error|FATAL)\]")


class Folders(NamedTuple):
    """The server's own folders, "" where not known: they tell a full disk from a full temporary folder."""

    datadir: str = ""
    tmpdir: str = ""

    def temporary(self, path: str) -> bool:
        """Whether this path is of a temporary table or file."""
        if ".(temporary)" in path or "#sql-temptable" in path:
            return True
        if path.startswith("./") or _under(path, self.datadir):
            return _under(path, self.tmpdir) and not _under(self.datadir, self.tmpdir)
        if self.tmpdir:
            return "#sql" in path or _under(path, self.tmpdir)
        return "#sql" in path or _under(path, "/tmp") or _under(path, "/var/tmp")  # noqa: S108 - paths to compare with


NOWHERE = Folders()


def _under(path: str, folder: str) -> bool:
    return bool(folder) and f"{path}/".startswith(f"{folder.rstrip('/')}/")


def possible(text: str, side: Side) -> tuple[Phrase, ...]:
    """The phrases that can stand in a whole log: asking once spares asking for every line."""
    return tuple(phrase for phrase in PHRASES[side] if phrase.needs in text)


def tell(line: str, side: Side, folders: Folders = NOWHERE, phrases: Iterable[Phrase] | None = None) -> Hit | None:
    """What a line says, or None where the catalogue does not know it."""
    if any(words in line for words in _NOT_SAID):
        return None
    if (wrapped := _WRAPPED.search(line)) is not None:
        return _by_number(line, int(wrapped[1]), None)
    level = found[1] if (found := _LEVEL.search(line)) else ""
    said = _by_words(line, level, PHRASES[side] if phrases is None else phrases)
    if said is not None and (side == "server" or said.kind == "tmpdir-full"):
        return said
    if side == "server" and (about_file := _by_file(line, level, folders)) is not None:
        return about_file
    told = _by_number(line, _number(line), said) or said
    # of its own files a client's log says what does not concern us
    return _by_file(line, level, folders) if told is None and side == "client" and _of_server(line) else told


def _of_server(line: str) -> bool:
    return "rrcode: " in line or "OS errno" in line or ("table '" in line and "is full" in line)


def _by_words(line: str, level: str, phrases: Iterable[Phrase]) -> Hit | None:
    for phrase in phrases:
        if phrase.needs not in line or (level in _HARMLESS and phrase.kind in _ERRORS_ONLY):
            continue
        if not phrase.regex:
            return Hit(phrase.kind, _ITS_NUMBER.get(phrase.kind))
        if found := _compiled(phrase.regex).search(line):
            groups = found.groupdict()
            number = groups.get("n") or _ITS_NUMBER.get(phrase.kind)
            return Hit(phrase.kind, None if number is None else int(number), _name(phrase.kind, groups))
    return None


@lru_cache(maxsize=512)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)


# A table as its file is called, below the data directory or with the whole path.
_TABLE_FILE = re.compile(
    r"^(?:\.?/(?:[^/]+/)*)?(?P<schema>[^/.#][^/.]*)/(?P<table>[^/.]+)(?P<ending>\.(?:ibd|MY[ID]|MA[ID]|frm))?$"
)
_OF_TABLES: frozenset[LogKind] = frozenset(("table-crashed", "corruption", "missing-tablespace", "recovery"))


def _name(kind: LogKind, groups: dict[str, str | None]) -> str:
    """What the line is about, from the two parts of its name; a table as `schema.table`."""
    first, second = (groups.get("a") or "").strip(" ,;<>"), groups.get("b") or ""
    if kind in _OF_TABLES:
        first = (first or second).replace("`", "").rstrip(".")
        file = _TABLE_FILE.match(first)
        return f"{file['schema']}.{file['table']}" if file and (file["ending"] or not first.startswith("/")) else first
    return f"{first}{':' if kind == 'bad-option-file' else '@'}{second}" if first and second else first or second


def _number(line: str) -> int | None:
    """The error number of the server or of its client library, where the line carries one as drivers write it."""
    if not any(need in line for need in _NUMBERED_NEEDS) or (found := _NUMBERED.search(line)) is None:
        return None
    return int(next(group for group in found.groups() if group))


def _by_number(line: str, number: int | None, said: Hit | None) -> Hit | None:
    if number is None:
        return None
    if number not in NUMBERS:
        return said._replace(number=number) if said is not None and said.number is None else said
    account = _compiled(_ACCOUNT).search(line)
    name = said.name if said is not None and said.name else f"{account['a']}@{account['b']}" if account else ""
    return Hit(NUMBERS[number], number, name)


def _by_file(line: str, level: str, folders: Folders) -> Hit | None:
    """What a system error in a message about a file means; the path tells which of the server's folders it is about."""
    if (full := _TABLE_FULL.search(line)) is not None:
        return Hit("tmpdir-full" if folders.temporary(full[1]) else "disk-full", 1114, full[1])
    found = _ERRNO.search(line) if any(need in line for need in _ERRNO_NEEDS) else None
    number = int(found[1]) if found else next((n for words, n in _ERRNO_WORDS.items() if words in line), None)
    if number is None or number not in _FILE_ERRORS or level == "Note":
        return None
    path = next((one or other for one, other in _PATH.findall(line)), "")
    kind = _FILE_ERRORS[number]
    if (level in _HARMLESS and kind in _ERRORS_ONLY) or (number in (2, 5) and not path):
        return None
    if kind == "disk-full" and path and folders.temporary(path):
        kind = "tmpdir-full"
    return Hit(kind, number, path)

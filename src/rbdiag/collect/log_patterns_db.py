"""Known lines of MySQL and MariaDB: of the server's error log, and what clients print (C.1 of the catalogue).

Sources: messages of MariaDB 10.5 to 11 (errmsg-utf8.txt) and of MySQL 5.7 to 9 (messages_to_error_log.txt).
"""

from __future__ import annotations

from rbdiag.collect.log_patterns_form import Pattern

# How these servers write a system error's number: (Errcode: 13 ...), Errno: 13, (OS errno 13 - ...), and InnoDB's own.
_ERRNO = r"(?:Err(?:code|no):|OS errno|[Ss]ystem error number) "
_ACCOUNT = r"user '(?P<user>[^']*)'@'(?P<host>[^']*)'"
_ABORTED = r"Aborted connection \d+ to db: '[^']*' user: '(?P<user>[^']*)' host: '(?P<host>[^']*)' "


def _errno(number: int) -> tuple[str, ...]:
    return tuple(f"{word} {number}" for word in ("errcode:", "errno:", "os errno", "system error number"))


# By the number of the error that the client could not trust, because it came before TLS.
_WRAPPED = {
    "1040": ("db.too-many-connections",), "1044": ("db.privilege-missing", "db.unknown-database"),
    "1045": ("db.access-denied", "db.tls-required"), "1129": ("db.host-blocked",), "1130": ("db.host-not-allowed",),
    "1203": ("db.user-connection-limit",), "1226": ("db.user-connection-limit",), "1698": ("db.auth-plugin",),
    "4151": ("db.account-locked",), "3118": ("db.account-locked",),
}  # fmt: skip
# By the errno of a connect() that failed.
_CONNECT = {
    "111": ("db.service-down", "db.wrong-endpoint"), "110": ("net.drop", "timeout.accept-queue-full"),
    "60": ("net.drop", "timeout.accept-queue-full"), "113": ("net.host-unreachable", "net.reject"),
    "101": ("net.no-route",), "99": ("net.ephemeral-ports-exhausted",), "13": ("host.permission-denied",),
    "-2": ("dns.nxdomain",), "-3": ("dns.resolver-unreachable", "dns.servfail"), "-5": ("dns.nxdomain",),
}  # fmt: skip

DB = (
    # A client that was refused before TLS wraps the server's answer, which may be any of those below.
    Pattern(4, "db-error-before-tls", "the database refuses before TLS",
            r"cannot be verified: (?P<by>\d{4}) - (?:Host '(?P<host>[^']+)')?", ("cannot be verified: ",),
            ("db.host-not-allowed", "db.host-blocked"), about="host", by=_WRAPPED),
    Pattern(1, "db-socket-failed", "no database server behind the socket",
            r"Can't connect to (?:local )?(?:MySQL |MariaDB )?server through socket '(?P<socket>[^']+)' "
            r"\((?P<by>2|111|13)\b",
            ("server through socket '",), ("db.service-down", "db.wrong-endpoint"), about="socket",
            by={"13": ("host.permission-denied", "db.datadir-permission")}),
    # Before number 2, which takes any number in the parentheses: here it is the real errno.
    Pattern(3, "db-connect-errno", "the database server cannot be reached",
            r"Can't connect to (?:MySQL |MariaDB )?server on '(?P<host>[^']+)' \(\[Errno (?P<by>-?\d+)\]",
            ("server on '",), ("db.service-down", "db.wrong-endpoint"), about="host", by=_CONNECT),
    # MariaDB's own client prints 115 (in progress) for refused, unreachable and no route alike.
    Pattern(2, "db-connect-failed", "the database server cannot be reached",
            r"Can't connect to (?:MySQL |MariaDB )?server on '(?P<host>[^']+)' \([^)]{0,80}?(?P<by>\d+)\b",
            ("server on '",), ("db.service-down", "db.wrong-endpoint", "net.drop"), about="host", by=_CONNECT),
    Pattern(5, "db-host-unknown", "the database server's name is not found",
            r"Unknown (?:MySQL |MariaDB )?server host '(?P<host>[^']+)' \((?P<by>-?\d+)\)", (" server host '",),
            ("dns.nxdomain", "dns.resolver-unreachable"), about="host", by=_CONNECT),
    # Replication before the accounts: a replica's failed login is a stopped replica. MySQL 8 names the channel and
    # says "Replica"; its error code is written MY-002003.
    Pattern(51, "db-replica-log-gone", "replication: the source no longer has the log",
            r"fatal error 1236 from (?:master|source)", ("fatal error 1236 from ",), ("db.replica-stopped",),
            least="error"),
    Pattern(50, "db-replica-stopped", "replication has stopped",
            r"(?:Slave|Replica) (?:I/O|SQL|worker)(?: thread)?(?: for channel '[^']{0,64}')?: .*"
            r"(?:Internal MariaDB error code|[Ee]rror_code): (?:MY-)?0{0,5}[1-9]|Last_(?:IO|SQL)_Errno: [1-9]",
            ("error code: ", "error_code: ", "last_io_errno: ", "last_sql_errno: "), ("db.replica-stopped",),
            least="error"),
    Pattern(8, "db-login-by-plugin", "the account logs in another way than by password",
            # drivers write (1698, "Access ...
            r"\b1698\b.{1,12}Access denied for user '(?P<user>[^']*)'@'(?P<host>[^']*)'", ("access denied for user '",),
            ("db.auth-plugin",), about="user@host"),
    Pattern(6, "db-access-denied", "the database refuses a login",
            rf"Access denied for {_ACCOUNT} \(using password: (?P<by>YES|NO)\)", ("access denied for user '",),
            ("db.access-denied", "db.tls-required"), "ordinary", about="user@host",
            by={"NO": ("db.access-denied",)}, least="info"),
    Pattern(7, "db-no-database-access", "an account has no rights on a database",
            rf"Access denied for {_ACCOUNT} to database '(?P<database>[^']+)'", ("access denied for user '",),
            ("db.privilege-missing", "db.unknown-database"), about="user@host", least="info"),
    Pattern(9, "db-unknown-database", "a database does not exist",
            # without its number, too, as JDBC prints it
            r"Unknown database '(?P<database>[^']+)'", ("unknown database '",), ("db.unknown-database",),
            about="database"),
    Pattern(10, "db-command-denied", "an account lacks a right",
            rf"\b(?P<by>\w+) command denied to {_ACCOUNT} for (?:table|column|routine)", (" command denied to user ",),
            ("db.privilege-missing",), about="user@host"),
    Pattern(11, "db-too-many-connections", "the database takes no more connections",
            # not a mail server's "421 Too many connections from ..."
            r"(?<!\d )\bToo many connections\b(?! (?:from|for|in|to)\b)", ("too many connections",),
            ("db.too-many-connections",)),
    Pattern(12, "db-account-limit", "an account has reached its limit",
            r"(?:User '?(?P<user>[^' ]+)'? )?(?:already has more than 'max_user_connections'"
            r"|has exceeded the '\w+' resource)",
            ("'max_user_connections'", "has exceeded the '"), ("db.user-connection-limit",), about="user"),
    Pattern(13, "db-host-not-allowed", "the database knows no account for the client's host",
            r"Host '(?P<host>[^']+)' is not allowed to connect to this (?:MySQL|MariaDB) server",
            ("is not allowed to connect to this m",), ("db.host-not-allowed",), about="host"),
    Pattern(14, "db-host-blocked", "the database has blocked a host",
            r"Host '(?P<host>[^']+)' is blocked because of many connection errors", ("many connection errors",),
            ("db.host-blocked",), about="host"),
    Pattern(15, "db-account-locked", "a database account is locked",
            # only behind "Access denied": any program says of its own users that an account is locked
            r"(?i)access denied.{0,200}account is locked", ("account is locked",), ("db.account-locked",)),
    Pattern(16, "db-password-expired", "a database password has expired",
            r"You must (?:SET|reset) .{0,80}(?:PASSWORD|ALTER USER)|Your password has expired\. To log in",
            ("you must set ", "you must reset ", "your password has expired"), ("db.account-locked",)),
    Pattern(17, "db-auth-plugin", "client and database disagree on how to log in",
            # MySQL 8.4 and 9 no longer load the old plugin
            r"Authentication plugin '(?P<plugin>[^']+)' (?:cannot be loaded|reported error)"
            r"|\b1524\b.{0,12}Plugin '(?P<plugin2>[^']+)' is not loaded",
            ("authentication plugin '", "' is not loaded"), ("db.auth-plugin",), about="plugin"),
    Pattern(18, "db-tls-demanded", "the database demands TLS",
            r"insecure transport are prohibited", ("insecure transport are prohibited",), ("db.tls-required",)),
    Pattern(19, "db-tls-failed", "TLS to the database fails",
            # whatever the reason: the number says it all
            r"ERROR 2026 \(HY000\)|\(2026, |\bHANDSHAKE_SSL_ERROR\b",
            ("error 2026 (", "(2026, ", "handshake_ssl_error"), ("db.tls-failed",)),
    Pattern(20, "db-gone-away", "the database server has closed the connection",
            r"\b(?:MySQL |MariaDB )?[Ss]erver has gone away", ("erver has gone away",),
            ("db.idle-timeout-gone-away", "db.packet-too-large", "db.crashed"), "ordinary"),
    Pattern(21, "db-connection-lost", "connections to the database break",
            r"Lost connection to (?:MySQL |MariaDB |backend )?server (?:during query|at '[^']+')",
            ("lost connection to ",), ("db.crashed", "db.hung", "db.query-killed")),
    Pattern(22, "db-idle-closed", "the database closes idle connections",
            _ABORTED + r"\((?:Got timeout reading|.*disconnected by the server because of inactivity)",
            ("got timeout reading", "because of inactivity"), ("db.idle-timeout-gone-away",), "ordinary",
            about="user@host", least="info"),
    Pattern(23, "db-session-killed", "somebody ends database sessions",
            # said by thread 0 it is the shutdown, or a time limit
            r"(?<! 0 \[Warning\] )" + _ABORTED + r"\(KILLED\)", ("(killed)",), ("db.query-killed",), "ordinary",
            about="user@host", least="info"),
    Pattern(24, "db-client-without-login", "clients connect and never log in",
            r"user: 'unauthenticated' host: '(?P<host>[^']+)'", ("'unauthenticated'",), ("db.host-blocked",),
            "evidence", about="host", least="info"),
    Pattern(25, "db-packet-too-large", "a statement is larger than the database takes",
            r"Got (?:a )?packet bigger than 'max_allowed_packet'", ("packet bigger than 'max_allowed_packet'",),
            ("db.packet-too-large",)),
    Pattern(26, "db-client-vanished", "database clients vanish",
            r"Got an error (?:reading|writing) communication packets", ("ing communication packets",), (),
            "evidence", least="info"),
    Pattern(27, "db-client-nameless", "the database cannot resolve its clients",
            r"IP address '(?P<host>[^']+)' could not be resolved", ("' could not be resolved",),
            ("db.name-resolution-slow",), "evidence", about="host", least="info"),
    Pattern(28, "db-statement-timeout", "statements are cut by the time limit",
            r"\(max_statement_time exceeded\)|maximum statement execution time exceeded",
            ("(max_statement_time exceeded)", "maximum statement execution time exceeded"),
            ("db.statement-timeout",), "ordinary"),
    Pattern(29, "db-lock-wait-timeout", "transactions wait too long for locks",
            # without its number, too, as the server's own log and JDBC print it
            r"Lock wait timeout exceeded", ("lock wait timeout exceeded",), ("db.row-lock-wait", "db.metadata-lock"),
            "ordinary", least="info"),
    Pattern(30, "db-deadlock", "transactions run into deadlocks",
            r"Deadlock found when trying to get lock|InnoDB: Transactions deadlock detected",
            ("deadlock found when", "transactions deadlock detected"), ("db.deadlock",), "ordinary", least="info"),
    Pattern(31, "db-read-only", "the database refuses to write",
            r"running with the --(?P<option>(?:super[-_])?read[-_]only)\b",
            ("running with the --",), ("db.read-only",)),
    Pattern(32, "db-option-unknown", "the database knows no such option",
            # behind the program's name: any command line tool says "unknown option '--x'"; loose_ ones do no harm
            r"(?:\b(?:mysql|mariadb)[\w.-]*: (?:\[\w+\] )?|\[Server\] )unknown (?:variable|option) "
            r"'(?!-{0,2}loose)(?P<option>[^'=]+)",
            ("unknown variable '", "unknown option '"), ("db.config-invalid",), about="option", least="error"),
    Pattern(33, "db-option-file-broken", "the database's option file is broken",
            r"Wrong group definition in config file|without preceding group in config file:? (?P<file>\S+)"
            r"|Error while setting value",
            ("group definition in config", "preceding group in config", "error while setting value"),
            ("db.config-invalid",), about="file"),
    Pattern(34, "db-bind-failed", "the database cannot listen",
            r"Bind on (?:TCP/IP port|unix socket)[.:]? ?(?:Got error: )?"
            r"(?P<by>\d+|[Aa]ddress already in use|Permission denied|No such file|Cannot assign)?",
            ("bind on tcp/ip port", "bind on unix socket"), ("db.port-in-use", "db.datadir-permission"),
            by={"98": ("db.port-in-use",), "Address already in use": ("db.port-in-use",),
                "address already in use": ("db.port-in-use",), "99": ("db.config-invalid", "svc.port-in-use"),
                "Cannot assign": ("db.config-invalid", "svc.port-in-use"), "13": ("db.datadir-permission",),
                "Permission denied": ("db.datadir-permission",), "2": ("db.datadir-permission",),
                "No such file": ("db.datadir-permission",)}, least="error"),
    # A guess that servers add to whatever number 34 says, so evidence only.
    Pattern(35, "db-another-server", "the database asks whether another server runs",
            r"Do you already have another (?:\S+ )?server running on (?P<by>port|socket)",
            ("do you already have another",), ("db.port-in-use",), "evidence",
            by={"socket": ("db.port-in-use", "db.datadir-permission")}),
    Pattern(36, "db-datadir-locked", "another server has the data directory",
            r"Can't lock aria control file '(?P<file>[^']+)'|Unable to lock (?P<file2>\./\S+?),? error:? 11\b",
            ("lock aria control file", "unable to lock ./"), ("db.datadir-locked",), about="file"),
    # A full temporary folder before a full disk.
    Pattern(39, "db-tmpdir-full", "the database's temporary folder is full",
            r"Disk (?:got|is) full writing '(?P<file>\.\(temporary\)|[^']*#sql[^']*)'"
            # as a temporary table that cannot be read is called, too
            r"|(?:[Tt]he|Index for|key file for) table '(?P<file2>[^']*#sql[^']*)'|#sql-temptable",
            ("full writing '", "#sql"), ("db.tmpdir-full",), about="file"),
    Pattern(38, "db-disk-full", "the database's disk is full",
            # that no inode is left is the last guess: nothing in these lines speaks for it
            _ERRNO + r"28\b|failed with error 28\b|\[InnoDB\] Error number 28\b|Waiting for someone to free space",
            (*_errno(28), "failed with error 28", "[innodb] error number 28", "waiting for someone to free"),
            ("db.disk-full", "host.disk-full", "db.tmpdir-full", "host.inode-full"), about="file"),
    Pattern(37, "db-file-forbidden", "the database may not use a file",
            _ERRNO + r"13\b|data file '[^']+' must be writable|can't create PID file",
            (*_errno(13), "' must be writable", "can't create pid file"), ("db.datadir-permission",), about="file"),
    Pattern(40, "db-filesystem-read-only", "the database's filesystem is read-only",
            _ERRNO + r"30\b", _errno(30), ("host.fs-readonly",), about="file"),
    Pattern(41, "db-too-many-files", "the database has too many files open",
            _ERRNO + r"2[34]\b|Error in accept: Too many open files|pipe\(\) failed 24",
            (*_errno(23), *_errno(24), "error in accept: ", "pipe() failed 24"), ("db.too-many-open-files",)),
    Pattern(42, "db-table-full", "a table is full",
            r"[Tt]he table '(?P<table>[^']+)' is full", ("' is full",), ("db.disk-full", "db.tmpdir-full"),
            about="table"),
    Pattern(43, "db-table-crashed", "a table is damaged",
            r"[Tt]able '(?P<table>[^']+)' is marked as crashed|Index for table '(?P<table2>[^']+)' is corrupt"
            r"|not a valid aria control file|Aria recovery failed",
            ("is marked as crashed", "' is corrupt", "not a valid aria control file", "aria recovery failed"),
            ("db.table-crashed",), about="table"),
    Pattern(44, "db-innodb-corruption", "InnoDB's data are damaged",
            # a warning tells of a page that was repaired
            r"Database page corruption|page no stored in the page|is corrupted\. Please drop the table"
            r"|[Tt]ablespace is corrupted|ib_logfile0 is too small",
            ("database page corruption", "page no stored in", "please drop the table", "ablespace is corrupted",
             "ib_logfile0 is too"), ("db.innodb-corruption",), about="file", least="error"),
    Pattern(45, "db-crashed", "the database server crashes",
            # MySQL 8 writes no FATAL, but what its assertion was
            r"(?:mysqld|mariadbd) got (?:signal|exception) \d+|\[FATAL\]:? .{0,40}InnoDB"
            r"|\bInnoDB\b.{1,4}Assertion fail",
            ("mysqld got ", "mariadbd got ", "[fatal]", "assertion fail"), ("db.crashed",)),
    Pattern(46, "db-recovery", "the database recovers from an unclean stop",
            r"[Ss]tarting crash recovery|Aria engine: starting recovery|was not shut ?down normally",
            ("tarting crash recovery", "starting recovery", "was not shutdown", "was not shut down"), (), "evidence",
            least="info"),
    Pattern(47, "db-no-memory", "the database does not get its memory",
            r"Cannot (?:map|allocate) .*buffer[_ ]pool|mmap\(.*\) failed; errno 12",
            ("cannot map ", "cannot allocate ", "failed; errno 12"), ("host.memory-pressure",)),
    Pattern(48, "db-not-initialised", "the data directory is not initialised",
            # system tables alone: a client may ask for any other that is not there
            r"Table 'mysql\.(?:plugin|db|user|servers|global_priv|component|event|host)' doesn't exist"
            r"|data directory .*is unusable",
            ("table 'mysql.", "is unusable"), ("db.datadir-permission",), least="error"),
    Pattern(49, "db-tls-key", "the database cannot load its key or certificate",
            # MySQL 5.7 and 8 without any certificate say the second, and are well
            r"SSL error: Unable to get (?:private key|certificate)|Failed to set ?up SSL",
            ("ssl error: unable to get", "failed to setup ssl", "failed to set up ssl"), ("tls.client-cert-or-key",),
            but=r"not usable without certificate"),
    Pattern(52, "db-ready", "the database is ready",
            r"(?<!X Plugin )ready for connections\.", ("ready for connections.",), (), "start", least="info"),
    Pattern(53, "db-stopped", "the database is stopped on request",
            r"Normal shutdown|Received SHUTDOWN from user", ("normal shutdown", "received shutdown from"), (), "stop",
            least="info"),
    Pattern(54, "db-slow-flushing", "the database's disk is slow",
            r"page_cleaner: 1000ms intended loop took \d+ms", ("intended loop took",), ("host.disk-io",), "evidence",
            least="info"),
)  # fmt: skip

"""Known lines of applications, whatever they are written in: Python, Java, Node, Go, PHP, Ruby, .NET (C.4).

These words stand in the middle of any line, so each is written such that settings, code and requests do not have it.
No alternative begins with a word boundary: `re` is quick to find those that begin with a letter, and storms are long.
"""

from __future__ import annotations

from rbdiag.collect.log_patterns_form import AT, Pattern

# What TLS servers say of their clients: scanners try everything, all day.
_SCANNED = r"handshake error from|SSL handshaking(?:,|$)"
# An address of IPv6, which is tried on hosts that have none.
_IPV6 = r"(?:[0-9a-f]{1,4}:){4,7}[0-9a-f:]|[0-9a-f]{1,4}:[0-9a-f]{1,4}::|\bfe80::"
# Files, and those that a program needs for itself, by where they lie or what they are.
_PATH = r"[^\s'\"():,]{1,200}"
_OWN = (
    rf"(?:/(?:etc|run|var/run|var/lib|var/log)/{_PATH}"
    rf"|/{_PATH}\.(?:conf|ini|ya?ml|toml|json|env|pem|key|crt|sock|pid|log|db)\b)"
)
_FORBIDDEN = ("permission denied", "accessdeniedexception: ", " is denied")
# Not what a program that measures the host is not shown; what systemd could not run has a pattern of its own.
_NOT_FILES = r"[ '\"(]/(?:proc|sys|dev)/|Failed at step "


def _forbidden(path: str) -> str:
    """How programs in any language say that they may not use a file."""
    return (
        rf"[Pp]ermission denied(?:: |, \w+ | @ \w+ - )['\"]?(?P<file>{path})|AccessDeniedException: (?P<file2>{path})"
        rf"|(?P<file3>{path})['\")]{{0,2}}(?:: (?:connect: |[Ff]ailed to open stream: )?[Pp]ermission denied"
        r"| \(Permission denied\)| is denied)"
    )


APP = (
    Pattern(91, "app-module-missing", "a module cannot be imported",
            AT + r"(?:\w+\.)*(?:ModuleNotFoundError|ImportError): ", ("modulenotfounderror: ", "importerror: "),
            ("change.dependency-version", "api.boot-failure")),
    Pattern(92, "app-syntax-error", "the code does not compile",
            # JavaScript says the same of data: not JSON, or a page where JSON was expected
            AT + r"(?:SyntaxError|IndentationError): (?!.*(?:JSON|[Tt]oken ['\"]?<))",
            ("syntaxerror: ", "indentationerror: "), ("change.bad-deploy",)),
    Pattern(93, "app-variable-missing", "an environment variable is missing",
            AT + r"KeyError: '(?P<variable>[A-Z][A-Z0-9_]+)'", ("keyerror: '",), ("change.env-missing",),
            about="variable"),
    Pattern(94, "db-pool-exhausted", "the application's pool of connections is empty",
            r"QueuePool limit of size \d+ overflow -?\d+ reached", ("queuepool limit of size",),
            ("db.client-pool-exhausted",)),
    Pattern(95, "db-pool-timeout", "the application's pool of connections is empty",
            # pools have names of their own
            r"(?P<pool>[\w.-]+) - Connection is not available, request timed out",
            ("connection is not available, request",), ("db.client-pool-exhausted",), about="pool"),
    Pattern(96, "db-link-failure", "the database cannot be reached",
            r"Communications link failure", ("communications link failure",),
            ("db.service-down", "net.drop", "db.crashed")),
    Pattern(97, "db-idle-longer", "a connection was idle for longer than the database allows",
            r"longer than the server configured value of 'wait_timeout'", ("server configured value of",),
            ("db.idle-timeout-gone-away",), "ordinary"),
    # Before what the socket said of it: a name server does not answer, and nobody was asked for yet.
    Pattern(140, "name-server-silent", "no name server answers",
            r"lookup (?P<host>[\w.-]{1,80})(?: on [\w.:\[\]-]{1,50})?: (?:i/o timeout"
            r"|(?:read|write|dial) udp .{0,110}(?:i/o timeout|refused|unreachable|no route to host))"
            r"|no servers could be reached|DNS operation timed out",
            (": i/o timeout", ": read udp ", ": write udp ", ": dial udp ", "no servers could be reached",
             "dns operation timed out"), ("dns.resolver-unreachable",), about="host"),
    Pattern(98, "peer-refused", "a peer refuses connections",
            # in anybody's words; a mail server meets such hosts every day
            # or in Apache's, which is a proxy
            r"ECONNREFUSED\b|[Cc]onnection refused\b(?:: (?:\[client [^\]]{1,60}\] )?(?P<by>AH00957|AH01079):)?"
            r"|ConnectionRefusedError: |\[Errno 111\]|actively refused it",
            ("econnrefused", "connection refused", "connectionrefusederror: ", "[errno 111]", "actively refused it"),
            ("svc.not-running",), about="peer", but=r":25: [Cc]onnection refused",
            by={"AH00957": ("api.upstream-refused",), "AH01079": ("api.upstream-refused",)}),
    Pattern(99, "peer-slow", "a peer takes too long to answer",
            # not the setting of that name
            r"Read timed out\b|\.ReadTimeout(?:Error|Exception)?(?=:|\(|\s|$)(?!:? ?=?:? ?\d)"
            r"|Client\.Timeout exceeded while awaiting headers|ESOCKETTIMEDOUT\b",
            ("read timed out", ".readtimeout", "timeout exceeded while await", "esockettimedout"),
            ("timeout.dependency-slow",), "ordinary", about="peer"),
    Pattern(100, "peer-silent", "a peer does not answer the connect",
            r"\.ConnectTimeout(?:Error|Exception)?(?=:|\(|\s|$)(?!:? ?=?:? ?\d)|[Cc]onnect(?:ion)? timed out\b"
            r"|ETIMEDOUT\b|: i/o timeout\b",
            (".connecttimeout", "connect timed out", "connection timed out", "etimedout", ": i/o timeout"),
            ("net.drop", "timeout.accept-queue-full"), "ordinary", about="peer"),
    # A host without IPv6 tries it all the same: nothing is wrong with that.
    Pattern(170, "peer-unreachable", "a peer's host cannot be reached",
            r"EHOSTUNREACH\b|[Nn]o route to host\b", ("ehostunreach", "no route to host"),
            ("net.host-unreachable", "net.reject"), about="peer", but=_IPV6),
    Pattern(171, "network-unreachable", "there is no route to a peer",
            # as is said at the boot of a host, too
            r"ENETUNREACH\b|[Nn]etwork is unreachable\b", ("enetunreach", "network is unreachable"), ("net.no-route",),
            "ordinary", about="peer", but=_IPV6),
    Pattern(101, "name-unknown", "a name is not found",
            r"ENOTFOUND\b|Name or service not known|no such host\b|nodename nor servname provided",
            ("enotfound", "name or service not known", "no such host", "nodename nor servname"), ("dns.nxdomain",),
            about="looked"),
    Pattern(102, "name-lookup-failed", "names cannot be looked up",
            r"EAI_AGAIN\b|Temporary failure in name resolution|: server misbehaving",
            ("eai_again", "temporary failure in name", "server misbehaving"),
            ("dns.resolver-unreachable", "dns.servfail"), about="looked"),
    Pattern(103, "name-unknown-java", "a name is not found",
            r"UnknownHostException: (?P<host>[\w.-]+)", ("unknownhostexception: ",),
            ("dns.nxdomain", "dns.resolver-unreachable"), about="host"),
    # Go says "has expired or is not yet valid" of both; what follows decides.
    Pattern(105, "certificate-not-yet-valid", "a certificate is not yet valid",
            r"CERT_NOT_YET_VALID\b|certificate is not yet valid|x509: .* is before |CertificateNotYetValidException",
            ("cert_not_yet_valid", "certificate is not yet valid", " is before ", "certificatenotyetvalid"),
            ("tls.not-yet-valid",), but=_SCANNED, about="peer"),
    Pattern(104, "certificate-expired", "a certificate has expired",
            r"CERT_HAS_EXPIRED\b|certificate has expired\b|x509: .* is after |CertificateExpiredException",
            ("cert_has_expired", "certificate has expired", " is after ", "certificateexpiredexception"),
            ("tls.expired",), but=_SCANNED, about="peer"),
    Pattern(106, "certificate-other-host", "a certificate is for another host",
            r"Hostname mismatch, certificate is not valid for|ERR_TLS_CERT_ALTNAME_INVALID\b"
            r"|no alternative certificate subject name|x509: certificate is valid for .*, not "
            r"|does not match target host name|No subject alternative (?:DNS )?names? .{0,200}found"
            r"|No name matching \S+ found",
            ("hostname mismatch, certificate", "err_tls_cert_altname", "alternative certificate subject",
             "x509: certificate is valid for", "does not match target host", "no subject alternative ",
             "no name matching "), ("tls.hostname-mismatch",), but=_SCANNED, about="peer"),
    Pattern(107, "certificate-untrusted", "a certificate's issuer is not trusted",
            r"unable to get local issuer certificate|UNABLE_TO_(?:VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT)"
            r"|PKIX path building failed|signed by unknown authority|SELF_SIGNED_CERT_IN_CHAIN\b"
            r"|self[- ]signed certificate in certificate chain",
            ("unable to get local issuer", "unable_to_verify_leaf", "unable_to_get_issuer", "pkix path building",
             "signed by unknown authority", "self_signed_cert_in_chain", "signed certificate in"),
            ("tls.missing-intermediate", "tls.unknown-ca"), but=_SCANNED, about="peer"),
    Pattern(108, "certificate-self-signed", "a certificate is self-signed",
            # where a verification fails of it: services make such certificates for themselves, and say so
            r"DEPTH_ZERO_SELF_SIGNED_CERT\b|(?:verif\w*|certificate problem)\W.{0,40}self[- ]signed certificate",
            ("depth_zero_self_signed", "self-signed certificate", "self signed certificate"), ("tls.self-signed",),
            but=_SCANNED, about="peer"),
    Pattern(109, "peer-not-tls", "a peer does not speak TLS",
            r"WRONG_VERSION_NUMBER\b|wrong version number|first record does not look like a TLS handshake"
            r"|Unsupported or unrecognized SSL message",
            ("wrong_version_number", "wrong version number", "first record does not look", "unrecognized ssl message"),
            ("tls.plaintext-mismatch",), but=_SCANNED, about="peer"),
    # Before memory: Java calls it an OutOfMemoryError when there may be no more threads.
    Pattern(111, "no-more-threads", "no more threads or processes can be started",
            r"unable to create (?:new )?native thread|can't start new thread|pthread_create failed"
            r"|fork/exec .*resource temporarily unavailable|[Ff]ork.{0,20}Resource temporarily unavailable",
            ("native thread", "can't start new thread", "pthread_create failed", "resource temporarily unavailable"),
            ("host.pids-limit",)),
    Pattern(110, "app-out-of-memory", "a process gets no more memory",
            r"java\.lang\.OutOfMemoryError: |JavaScript heap out of memory|" + AT + r"MemoryError\b"
            r"|Allowed memory size of \d+ bytes exhausted|OutOfMemoryException\b|Cannot allocate memory\b"
            r"|GC overhead limit exceeded|Reached heap limit\b|ENOMEM\b|std::bad_alloc\b|runtime: out of memory",
            ("java.lang.outofmemoryerror", "javascript heap out of", "memoryerror", "allowed memory size of",
             "gc overhead limit", "reached heap limit",
             "outofmemoryexception", "cannot allocate memory", "enomem", "std::bad_alloc", "runtime: out of memory"),
            ("host.memory-pressure",)),
    Pattern(112, "too-many-files", "a process has too many files open",
            r"(?i:too many open files)|EMFILE\b|ENFILE\b", ("too many open files", "emfile", "enfile"),
            ("host.fd-limit",)),
    Pattern(113, "disk-full", "a disk is full",
            # Node says ENOSPC of watches, and Apache of a header that is too large: neither is space on a disk
            r"(?i:No space left on device|Disk quota exceeded)|ENOSPC\b|not enough space on the disk",
            ("no space left on device", "enospc", "disk quota exceeded", "not enough space on the"),
            ("host.disk-full", "host.inode-full"), but=r"file watchers|inotify|\bAH\d+: header size",
            about="folder"),
    Pattern(172, "file-system-read-only", "a filesystem is read-only",
            r"EROFS\b|[Rr]ead-only file system\b", ("erofs", "read-only file system"), ("host.fs-readonly",),
            about="folder", but=r"\berofs[:(]"),
    # What a program needs for itself; of other files it says so each time it looks, and may live without them.
    Pattern(173, "own-file-forbidden", "a process may not use a file of its own",
            _forbidden(_OWN), _FORBIDDEN, ("host.permission-denied",), about="file", but=_NOT_FILES),
    Pattern(174, "file-forbidden", "a process may not use a file",
            _forbidden("/" + _PATH), _FORBIDDEN, ("host.permission-denied",), "ordinary", about="file", but=_NOT_FILES),
    Pattern(114, "address-taken", "the address to listen on is taken",
            r"EADDRINUSE\b|[Aa]ddress already in use|\[Errno 98\]",
            ("eaddrinuse", "address already in use", "[errno 98]"), ("svc.port-in-use",), about="address"),
    Pattern(115, "no-local-address", "no local address or port is left",
            r"(?:\b(?P<by>bind|binding|listen|connect)\b.{0,80})?(?:Cannot assign requested address|EADDRNOTAVAIL\b)",
            ("annot assign requested address", "eaddrnotavail"),
            ("net.ephemeral-ports-exhausted", "svc.port-in-use"), about="address",
            by={"bind": ("svc.port-in-use",), "binding": ("svc.port-in-use",), "listen": ("svc.port-in-use",),
                "connect": ("net.ephemeral-ports-exhausted",)}),
    Pattern(116, "app-panic", "the application panics",
            AT + r"panic: |runtime error: (?:invalid memory address|index out of range|slice bounds|integer divide)"
            r"|thread '[^']*' (?:\(\d+\) )?panicked at ",
            ("panic: ", "runtime error: ", " panicked at "), ("api.app-exception",)),
)  # fmt: skip

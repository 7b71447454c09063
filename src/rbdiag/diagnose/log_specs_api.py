"""HTTP endpoints that fail, as the logs of a proxy or an application tell: the catalogue entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rbdiag.model import Facts, Finding, Severity, Spec

APP_EXCEPTION = Spec(
    code="api.app-exception",
    title="the application's code raises",
    severity=Severity.WARNING,
    meaning="A request reaches the application and ends in an error of its own code: an exception nobody caught, or a panic. "
    "Its client sees 500 or a connection that ends.",
    told="The framework's line about an exception while it handled a request, or the runtime's about a panic, in the "
    "application's log. The innermost frame of its own code says where.",
    not_to_be_taken_for="an error that the proxy makes by itself (it has a line in the proxy's log and none in the application's); "
    "a dependency that fails, which the message names: then that is the root.",
    resolution=(
        "read the innermost frame of your own code, and the message",
        "see what changed there: git log on that file",
        "roll back the last release, if it began with it",
    ),
    explains=("api.upstream-reset",),
)
UPSTREAM_REFUSED = Spec(
    code="api.upstream-refused",
    title="the proxy runs, and the backend refuses its connections",
    severity=Severity.CRITICAL,
    meaning="Requests arrive at the proxy, and nobody listens where it passes them on: the backend is down or still starting, or it "
    "listens elsewhere. Clients see 502.",
    told="`connect() failed (111: Connection refused) while connecting to upstream` in the proxy's log, which names the upstream.",
    not_to_be_taken_for="110, where the backend is silent; 104 or `prematurely closed`, where it took the connection and died; 113 "
    "and 101, which the network says.",
    resolution=(
        "see whether anything listens at the upstream's address",
        "read why the backend ended, and start it",
        "or let the proxy point to where it listens",
    ),
    explains=("api.no-live-upstreams",),
)
BOOT_FAILURE = Spec(
    code="api.boot-failure",
    title="the application cannot start",
    severity=Severity.CRITICAL,
    meaning="The application ends while it loads: a module is missing, its source does not parse, the name it is to serve is not "
    "there. Its manager starts it again and again, with the same end.",
    told="An import or syntax error at the end of a start, or the server's own words: `Worker failed to boot`, `App failed to load`.",
    not_to_be_taken_for="a port that is taken; a variable of the environment that is missing; a database that it cannot reach at "
    "the start: each has its own line, before this one.",
    resolution=(
        "read the first error of the last start, not the last",
        "install what is missing, or mend what is named",
        "roll back the release, if it began with it",
    ),
    explains=(
        "svc.crash-loop",
        "svc.not-running",
        "api.upstream-refused",
        "api.no-live-upstreams",
        "api.app-exception",
    ),
)
UPSTREAM_TIMEOUT = Spec(
    code="api.upstream-timeout",
    title="the backend takes requests and answers too late for the proxy",
    severity=Severity.CRITICAL,
    meaning="The proxy reached its backend and gave up waiting for the answer. Clients see 504 after exactly the proxy's limit.",
    told="`upstream timed out (110) while reading response header from upstream` in the proxy's log.",
    not_to_be_taken_for="the same words `while connecting`, where the backend never took the connection; 499, where the client "
    "left first.",
    resolution=(
        "find which part is slow: time the same request at the backend itself",
        "mend that; a longer limit only makes clients wait longer",
        "raise proxy_read_timeout only where the work may take that long",
    ),
)
WRONG_UPSTREAM = Spec(
    code="api.wrong-upstream",
    title="the proxy points to the wrong place",
    severity=Severity.CRITICAL,
    meaning="The address, port or socket that the proxy passes requests on to is not where the application is; or something else "
    "answers there, in another protocol.",
    told="`connect() to unix:… failed (2` (no such socket), or an answer that is no HTTP, in the proxy's log.",
    not_to_be_taken_for="the right address of an application that does not run: then it is the application.",
    resolution=(
        "see where the application really listens",
        "correct proxy_pass (or fastcgi_pass, uwsgi_pass) and check the configuration",
        "reload the proxy",
    ),
    explains=("api.no-live-upstreams",),
)
UPSTREAM_RESET = Spec(
    code="api.upstream-reset",
    title="the backend dies or cuts the connection during requests",
    severity=Severity.WARNING,
    meaning="The backend took the request and ended the connection without a whole answer: a worker was killed, crashed, or ended "
    "itself. Clients see 502, or a body that breaks off.",
    told="`upstream prematurely closed connection` or `recv() failed (104` in the proxy's log; or a worker that was killed by "
    "a signal in the application server's.",
    not_to_be_taken_for="rare 502 of POST alone, which a keep-alive limit shorter than the proxy's makes; a restart on purpose.",
    resolution=(
        "see which worker ended at that second, and of what: the application server's log, then the kernel's",
        "mend that: memory, a crash, a time limit",
    ),
    explains=("api.no-live-upstreams",),
)
ROUTE_MISSING = Spec(
    code="api.route-missing",
    title="paths that are asked for are not there",
    severity=Severity.WARNING,
    meaning="The server answers, and has nothing at the path: a route or a file went missing with a release, or requests fall to the "
    "wrong virtual host.",
    told="`open() … failed (2: No such file or directory)` in the web server's log, new or far more often than before.",
    not_to_be_taken_for="scanners and robots, who ask for what was never there; a favicon.",
    resolution=(
        "see which paths are missing, and who asks for them",
        "compare with the last release: the folder of the documents, location, server_name",
        "restore what went missing, or redirect it",
    ),
)
BAD_CONTENT = Spec(
    code="api.bad-content",
    title="the answer is not what it should be",
    severity=Severity.WARNING,
    meaning="An answer comes, with a body, a type or a size that its client cannot use; or it is no HTTP at all.",
    told="`upstream sent no valid HTTP/1.0 header` in the proxy's log.",
    not_to_be_taken_for="an answer that breaks off, where the backend died; TLS spoken to a plain port.",
    resolution=(
        "read what the backend really sends: curl --http0.9 -i",
        "let the proxy speak the protocol of that port, or correct the port",
    ),
)
RATE_LIMITED = Spec(
    code="api.rate-limited",
    title="a limiter turns requests away",
    severity=Severity.WARNING,
    meaning="More requests come than a limit allows, and the rest are refused on purpose, with 429 or 503.",
    told="`limiting requests, excess` or `limiting connections by zone` in the proxy's log, new or far more often than before.",
    not_to_be_taken_for="503 without such a line, where no backend is ready; one client that is meant to be slowed down.",
    resolution=(
        "see which clients are refused, and how many requests they make",
        "slow the caller down, or block it",
        "raise the limit only if these requests are wanted",
    ),
)
NO_LIVE_UPSTREAMS = Spec(
    code="api.no-live-upstreams",
    title="the proxy has marked all its backends as down",
    severity=Severity.CRITICAL,
    meaning="After failures of each the proxy asks none of them for a while and answers 502 at once. Whatever made them fail is the "
    "root.",
    told="`no live upstreams while connecting to upstream` in the proxy's log.",
    not_to_be_taken_for="a single backend that is left out while others serve.",
    resolution=(
        "read the errors about each backend before the first of these lines",
        "mend the backends",
        "see whether max_fails and fail_timeout take them out too easily",
    ),
)
STATIC_PERMISSION = Spec(
    code="api.static-permission",
    title="the web server may not use a file, a folder or a socket",
    severity=Severity.CRITICAL,
    meaning="Owner, mode, or a rule keeps the web server from what it is to serve, or from the socket of its backend. Clients see 403, "
    "for a socket 502.",
    told="`failed (13: Permission denied)`, `is forbidden` or `access forbidden by rule` in the web server's log.",
    not_to_be_taken_for="401 and 403 of the application itself; a folder without an index that nobody is meant to list.",
    resolution=(
        "see owner and mode along the whole path: namei -l",
        "see whether SELinux or AppArmor forbade it",
        "make the least change: chmod o+rX on the path, or the group of the socket",
    ),
)
KEEPALIVE_RACE = Spec(
    code="api.keepalive-race",
    title="the backend closes idle connections that the proxy still wants to use",
    severity=Severity.WARNING,
    meaning="The backend keeps idle connections for less long than the proxy. Now and then a request is sent on one that is just being "
    "closed; those that may not be sent twice fail with 502.",
    told="Rare `upstream prematurely closed connection` of POST alone, without a worker's death.",
    not_to_be_taken_for="the same line for all methods, steadily: then the backend dies.",
    resolution=(
        "compare the idle limits: that of the backend must be longer than the proxy's",
        "lengthen the backend's, or shorten the proxy's keepalive_timeout",
    ),
)
PROXY_MISCONFIGURED = Spec(
    code="api.proxy-misconfigured",
    title="the proxy cannot use its configuration, or runs in a circle with it",
    severity=Severity.CRITICAL,
    meaning="A line of the configuration is wrong, names a host that cannot be found, or redirects to itself. A proxy that already runs "
    "goes on with the old configuration and fails at its next start.",
    told="`[emerg]` about a directive, `host not found in upstream`, `no resolver defined`, or `redirection cycle` in its log.",
    not_to_be_taken_for="a name server that does not answer at all; a port that is taken.",
    resolution=(
        "let the proxy check its configuration: it names file and line",
        "look at that line, and mend it",
        "reload the proxy",
    ),
    explains=("svc.not-running", "svc.crash-loop", "api.no-live-upstreams"),
)
SIZE_LIMIT = Spec(
    code="api.size-limit",
    title="a request or a header is larger than the proxy takes",
    severity=Severity.WARNING,
    meaning="The proxy refuses a body (413) or a header that is larger than its limit; of a backend's answer it makes 502.",
    told="`client intended to send too large body` or `upstream sent too big header` in the proxy's log.",
    not_to_be_taken_for="an upload that is slow (408, 499); scanners that send much on purpose.",
    resolution=(
        "see which path is concerned, and how large the requests are",
        "raise client_max_body_size (or proxy_buffer_size) to what is really sent, for that path alone",
        "or send less: fewer cookies, parts instead of one body",
    ),
)

# What these tell from more than logs comes with the runbook for HTTP endpoints; log_said speaks for them.
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()

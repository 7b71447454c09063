"""Known lines of the other proxies: HAProxy, Envoy, and Apache's own limit. None of the catalogue's numbers are theirs.

Sources: HAProxy server.c, check.c and its manual (8.5, the state at the end of a session); Envoy's access log flags.
"""

from __future__ import annotations

from rbdiag.collect.log_patterns_form import Pattern

# What HAProxy found when it looked at a server.
_FOUND = {
    "No route to host": ("net.host-unreachable",), "Network is unreachable": ("net.no-route",),
    "Connection timed out": ("api.upstream-timeout", "net.drop"),
    "Layer4 timeout": ("api.upstream-timeout", "net.drop"), "Layer6 timeout": ("api.upstream-timeout",),
    "Layer7 timeout": ("api.upstream-timeout",),
}  # fmt: skip
# Envoy: UF no connection, UH nobody healthy to connect to, UC the upstream closed, UT it was too slow.
_FLAGS = {
    "UF": ("api.upstream-refused", "net.drop"), "UH": ("api.no-live-upstreams",), "UC": ("api.upstream-reset",),
    "UT": ("api.upstream-timeout",),
}  # fmt: skip
# Of an access line of Envoy: the authority that was asked for, which stands before the address it led to.
_AUTHORITY = r'(?:.{0,500}?" "(?P<host>[\w.:-]+)" "(?:\d{1,3}\.|\[|-"))?'

EDGE = (
    Pattern(141, "balancer-server-down", "HAProxy: a server is down",
            r"Server (?P<server>[^\s/]+/\S+) is DOWN, reason: "
            r"(?:Layer4 connection problem, info: \"(?P<by>[^\"]{1,80})\""
            r"|(?P<by2>Layer4 connection problem|Layer[467] timeout))",
            (" is down, reason: layer",), ("api.upstream-refused",), about="server", by=_FOUND),
    # What came before is over for this server, and for no other.
    Pattern(142, "balancer-server-up", "HAProxy: a server is up again",
            r"Server (?P<server>[^\s/]+/\S+) is UP, reason: ", (" is up, reason: ",), (), "start", about="server",
            least="info"),
    Pattern(143, "balancer-none-left", "HAProxy: no server is left",
            r"backend (?P<backend>\S+) has no server available!", ("has no server available!",),
            ("api.no-live-upstreams",), about="backend"),
    Pattern(144, "envoy-upstream-failed", "Envoy: its upstream fails",
            # clients print this answer of Envoy's as well
            r"upstream connect error or disconnect/reset before headers"
            r"(?:.{0,100}?reset reason: (?:remote |local )?(?P<by>connection (?:failure|timeout|termination)|reset))?",
            ("upstream connect error or disconnect",), ("api.upstream-reset", "api.upstream-refused"),
            by={"connection failure": ("api.upstream-refused",),
                "connection timeout": ("net.drop", "api.upstream-timeout"),
                "connection termination": ("api.upstream-reset",), "reset": ("api.upstream-reset",)}),
    Pattern(145, "envoy-certificate-expired", "Envoy: its upstream's certificate has expired",
            r'" 503 UF\b.{0,400}certificate_has_expired' + _AUTHORITY, ('" 503 uf',), ("tls.expired",), about="host",
            least="info", of_requests=True),
    Pattern(146, "envoy-request-failed", "Envoy: its upstream fails",
            r'" (?:503 (?P<by>UF|UH|UC)|504 (?P<by2>UT))\b' + _AUTHORITY,
            ('" 503 uf', '" 503 uh', '" 503 uc', '" 504 ut'), ("api.upstream-reset",), "ordinary", about="host",
            by=_FLAGS, least="info", of_requests=True),
    # Apache: 70007 its own time is over; 104, 20014 and 70014 the other closed the connection.
    Pattern(148, "apache-upstream-timeout", "Apache: its upstream is too slow",
            r"\((?:70007|110)\)[^:]{1,60}: (?:\[client [^\]]{1,60}\] )?(?:AH01102|AH01075|AH00957|AH01079): "
            r"(?:[^:]{1,60} (?:server|to):? (?P<upstream>\S{1,100}))?",
            (": ah01102: ", ": ah01075: ", ": ah00957: ", ": ah01079: ", "] ah01102: ", "] ah01075: ", "] ah00957: ",
             "] ah01079: "), ("api.upstream-timeout",), about="upstream"),
    Pattern(149, "apache-upstream-closed", "Apache: its upstream closes before it has answered",
            r"\((?:104|20014|70014|32)\)[^:]{1,80}: (?:\[client [^\]]{1,60}\] )?(?:AH01102|AH01084|AH01097): "
            r"(?:[^:]{1,60} server (?P<upstream>\S{1,100}))?",
            (": ah01102: ", ": ah01084: ", ": ah01097: ", "] ah01102: ", "] ah01084: ", "] ah01097: "),
            ("api.upstream-reset", "api.keepalive-race"), "ordinary", about="upstream"),
    Pattern(147, "web-workers-exhausted", "Apache: its workers are all taken",
            r"server reached Max(?:RequestWorkers|Clients) setting",
            ("reached maxrequestworkers setting", "reached maxclients setting"), ("timeout.worker-starvation",)),
)  # fmt: skip

"""Known lines of what services are built on: containers, PostgreSQL, Redis, Elasticsearch, RabbitMQ, shells.

Sources: kubelet (kuberuntime_container.go, prober), PostgreSQL auth.c and postinit.c, Redis server.c, Elasticsearch's
DiskThresholdMonitor, RabbitMQ rabbit_alarm.erl, runc.
"""

from __future__ import annotations

from rbdiag.collect.log_patterns_form import Pattern

# Which container or pod a line of Kubernetes is about: the container keeps its name.
_POD = r"(?:.{0,80}?\bcontainer[ =]\"?(?P<container>[\w.-]{1,80})|.{0,300}?\bpod[ =]\"?(?P<container2>[\w./-]{1,80}))?"

PARTS = (
    Pattern(150, "container-oom-killed", "a container is killed at its memory limit",
            # docker inspect says so of each container that was not, too
            r"OOMKilled\b(?!\W{0,4}(?:false|0|null)\b)|\bOOM\w{0,6}\b.{0,40} code(?: |: |=)137\b",
            ("oomkilled", " code 137", " code: 137", " code=137"), ("host.oom-cgroup",), least="info"),
    Pattern(151, "container-crash-loop", "a container starts again and again",
            r"(?:CrashLoopBackOff\b|Back-off restarting failed container(?: (?P<container3>[\w.-]{1,80}) in pod)?)"
            + _POD,
            ("crashloopbackoff", "back-off restarting failed"), ("svc.crash-loop",), about="container"),
    Pattern(153, "container-killed-by-probe", "a container is restarted because it does not answer its probe",
            r"[Cc]ontainer (?P<container>\S{1,80}) failed (?:liveness|startup) probe, will be restarted",
            (" probe, will be restarted",), ("svc.watchdog-killed",), about="container", least="info"),
    # A few of them fail on a healthy day; so many in a row end in the line above.
    Pattern(154, "container-probe-failed", "a container does not answer its probe",
            r"(?:Liveness|Startup) probe (?:failed|errored)", ("liveness probe ", "startup probe "),
            ("svc.watchdog-killed",), "ordinary"),
    Pattern(155, "container-cannot-start", "a container's program cannot be run",
            r"exec: \\?\"(?P<program>[^\"\\]{1,200})\\?\": (?:executable file not found in|permission denied|stat )"
            r"|\bexec (?P<program2>/[^\s:]{1,200}): (?:exec format error|no such file)",
            ("executable file not found", "\": permission denied", "\": stat ", "exec format error", ": no such file"),
            ("svc.exec-failed",),
            about="program"),
    Pattern(156, "entrypoint-cannot-run", "a service's start script cannot find a program",
            # whoever else tries a command that is not there may well live without it
            r"(?:(?:entrypoint|/start|/run|/boot|/init)[\w.-]{0,40}: (?:line )?\d+"
            r"|(?:^|[\s/])(?:ba|da)?sh: (?:line )?1): (?:exec: )?(?P<program>[\w./-]{1,200}): (?:command )?not found\b",
            (": not found", ": command not found"), ("svc.exec-failed",), about="program"),
    # Whoever can reach the server can fail to log in.
    Pattern(157, "postgres-login-refused", "PostgreSQL: it refuses a login",
            r"(?:password|peer|ident|LDAP|GSSAPI|PAM) authentication failed for user \"(?P<user>[^\"]*)\"",
            ("authentication failed for user \"",), ("db.access-denied",), "ordinary", about="user"),
    Pattern(158, "postgres-host-not-allowed", "PostgreSQL: no rule lets the client's host in",
            r"no pg_hba\.conf entry for (?:replication connection from )?host \"(?P<host>[^\"]+)\"",
            ("no pg_hba.conf entry",), ("db.host-not-allowed",), "ordinary", about="host"),
    Pattern(159, "postgres-too-many-clients", "PostgreSQL: it takes no more connections",
            r"too many clients already|remaining connection slots are reserved"
            r"|too many connections for (?:role|database)",
            ("too many clients already", "remaining connection slots are", "too many connections for "),
            ("db.too-many-connections",)),
    Pattern(160, "postgres-database-unknown", "PostgreSQL: a database does not exist",
            r"FATAL: .{0,40}database \"(?P<database>[^\"]+)\" does not exist", ("\" does not exist",),
            ("db.unknown-database",), about="database"),
    Pattern(161, "postgres-process-died", "PostgreSQL: one of its processes has died",
            r"server process \(PID \d+\) was terminated by signal (?P<by>\d+)", ("was terminated by signal ",),
            ("db.crashed",), by={"9": ("db.oom-killed", "db.crashed")}, least="info"),
    Pattern(162, "redis-out-of-memory", "Redis: its memory is all taken",
            r"command not allowed when used memory > 'maxmemory'", ("not allowed when used memory",),
            ("host.memory-pressure",)),
    Pattern(163, "redis-cannot-save", "Redis: it cannot write its data to disk",
            r"MISCONF Redis is configured to save", ("misconf redis is configured",),
            ("host.disk-full", "host.permission-denied")),
    Pattern(164, "search-disk-full", "Elasticsearch: its disk is full",
            r"flood[- ]stage disk watermark .{0,80}exceeded|FORBIDDEN/12/index read-only",
            ("stage disk watermark", "forbidden/12/index"), ("host.disk-full",)),
    Pattern(165, "broker-blocked", "RabbitMQ: it takes no more messages",
            r"(?P<by>disk|memory) resource limit alarm set on node (?P<node>[\w@.-]+?)\.?(?=\s|$)",
            ("resource limit alarm set on",), ("host.disk-full",), about="node",
            by={"disk": ("host.disk-full",), "memory": ("host.memory-pressure",)}, least="info"),
    Pattern(166, "broker-unblocked", "RabbitMQ: it takes messages again",
            r"resource limit alarm cleared on node (?P<node>[\w@.-]+?)\.?(?=\s|$)",
            ("resource limit alarm cleared",), (), "start", about="node", least="info"),
)  # fmt: skip

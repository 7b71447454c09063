"""Known lines of the kernel and of systemd (C.5). Neither tells a level in most logs, and the kernel's are odd."""

from __future__ import annotations

from rbdiag.collect.log_patterns_form import Pattern

_THEIRS = (
    Pattern(118, "oom-cgroup", "the kernel kills at a group's memory limit",
            r"Memory cgroup out of memory: Kill(?:ed)? process \d+ \((?P<process>[^)]+)\)",
            ("memory cgroup out of memory",), ("host.oom-cgroup",), about="process", least="info"),
    Pattern(117, "oom-kill", "the kernel kills for want of memory",
            r"\b[Oo]ut of memory: Kill(?:ed)? process \d+ \((?P<process>[^)]+)\)", ("ut of memory: kill",),
            ("host.oom-kill",), about="process", least="info"),
    Pattern(119, "oom-constraint", "the kernel kills for want of memory",
            r"oom-kill:constraint=CONSTRAINT_(?P<by>\w{1,20})(?:,.{0,600}?task=(?P<process>[^,]{1,40}))?",
            ("oom-kill:constraint=",), ("host.oom-kill",), about="process", by={"MEMCG": ("host.oom-cgroup",)},
            least="info"),
    Pattern(120, "pids-limit", "a group may have no more processes",
            r"fork rejected by pids controller in (?P<group>\S+)", ("fork rejected by pids",), ("host.pids-limit",),
            about="group", least="info"),
    Pattern(121, "task-hung", "a task hangs in the kernel",
            r"INFO: task (?P<process>\S+):\d+ blocked for more than \d+ seconds", ("blocked for more than ",),
            ("host.hung-tasks",), about="process", least="info"),
    Pattern(122, "cpu-stuck", "a CPU is stuck in the kernel",
            r"BUG: soft lockup - CPU#\d+ stuck for \d+s|\brcu.*self-detected stall|watchdog: .*hard LOCKUP",
            ("soft lockup - cpu#", "self-detected stall", "hard lockup"), ("host.hung-tasks",), least="info"),
    Pattern(123, "disk-error", "a disk has errors",
            # an empty drive for floppies or CDs is no fault
            r"I/O error, dev (?P<device>(?!fd\d|sr\d)[\w-]+), sector \d+"
            r"|Buffer I/O error on dev (?P<device2>(?!fd\d|sr\d)[\w-]+)",
            ("i/o error, dev ", "buffer i/o error on dev"), ("host.disk-io",), about="device", least="info"),
    Pattern(124, "filesystem-error", "a filesystem is damaged",
            r"EXT[234]-fs error \(device (?P<device>[^)\s]+)\)"
            r"|XFS \((?P<device2>[^)\s]+)\): .*(?:[Cc]orruption|shutdown)"
            r"|BTRFS (?:error|critical) \(device (?P<device3>[^):\s]+)",
            ("-fs error (device ", "xfs (", "btrfs error (", "btrfs critical ("), ("host.disk-io",), about="device",
            least="info"),
    Pattern(125, "filesystem-read-only", "a filesystem became read-only",
            r"(?:\((?P<device>[^)\s]+)\): )?Remounting filesystem read-only", ("remounting filesystem read-only",),
            ("host.fs-readonly",), about="device", least="info"),
    Pattern(126, "conntrack-full", "the table of connections is full",
            r"nf_conntrack: table full, dropping packet", ("table full, dropping",), ("net.conntrack-full",),
            least="info"),
    Pattern(127, "syn-flooding", "more connects come than are accepted",
            r"[Pp]ossible SYN flooding on port (?P<port>\S+?)\. ", ("possible syn flooding",),
            ("timeout.accept-queue-full",), about="port", least="info"),
    # Some profiles deny the same harmless thing every minute of a healthy day.
    Pattern(128, "lsm-denied", "AppArmor or SELinux denies an access",
            r'apparmor="DENIED".*?name="(?P<file>[^"]+)"|avc:  ?denied(?:.*? (?:name|path)="(?P<file2>[^"]+)")?',
            ('apparmor="denied"', "avc: "), ("host.permission-denied",), "ordinary", about="file",
            but=r"permissive=1", least="info"),
    Pattern(129, "segfault", "a program crashes",
            r"(?:(?P<process>(?P<by>[^\s\[\]]+))\[\d+\]: )?segfault at [0-9a-f]+ ip [0-9a-f]+", ("segfault at ",),
            ("api.upstream-reset", "db.crashed"), about="process",
            by={"mysqld": ("db.crashed",), "mariadbd": ("db.crashed",)}, least="info"),
    Pattern(130, "unit-oom-killed", "the kernel kills a service for want of memory",
            r"(?:A process of this unit has been killed by the OOM killer"
            r"|Failed with result 'oom-kill')",
            ("killed by the oom killer", "failed with result 'oom-kill'"), ("host.oom-kill", "host.oom-cgroup"),
            about="unit", least="info"),
    Pattern(131, "unit-cannot-start", "systemd cannot start a program",
            r"(?:Main|Control) process exited, code=exited, status=(?:200|203|209|216|217|226)/",
            ("process exited, code=exited",), ("svc.exec-failed",), about="unit", least="info"),
    Pattern(132, "unit-exec-failed", "systemd cannot start a program",
            r"(?:Failed to locate executable|Failed at step \w+ spawning)",
            ("failed to locate executable", "failed at step "), ("svc.exec-failed",), about="unit", least="info"),
    Pattern(133, "unit-crash-loop", "a service starts again and again",
            r"(?:Start request repeated too quickly"
            r"|Scheduled restart job, restart counter is at (?:[3-9]|\d{2,}))",
            ("start request repeated too", "restart counter is at "), ("svc.crash-loop",), about="unit", least="info"),
    Pattern(134, "unit-environment-missing", "a service's environment file is missing",
            r"Failed to load environment files", ("failed to load environment files",),
            ("change.env-missing",), about="unit", least="info"),
    Pattern(135, "unit-dependency-failed", "what a service needs did not start",
            r"\bDependency failed for (?P<unit>.{1,120}?)\.?$", ("dependency failed for ",),
            ("svc.dependency-not-ready",), about="unit", least="info"),
    Pattern(136, "unit-timed-out", "systemd ends a service that took too long",
            r"(?:[Ss]tart\S*|[Ss]top\S*|State '\S+') (?:operation )?timed out\b"
            r"|Watchdog timeout \(limit",
            ("timed out", "watchdog timeout (limit"), ("svc.watchdog-killed",), about="unit", least="info"),
)  # fmt: skip

HOST = (
    *(pattern._replace(of_host=True) for pattern in _THEIRS),
    # Beyond the catalogue: how others say that all is well from here on. What came before is history.
    Pattern(137, "unit-started", "a service has started",
            r"systemd(?:\[\d+\])?: Started (?P<unit>\S+\.service)\b", (": started ",), (), "start", about="unit",
            least="info"),
    Pattern(138, "service-ready", "a service is ready",
            r"database system is ready to accept connections|\bReady to accept connections"
            r"|Application startup complete\.|ready to handle connections|resuming normal operations"
            r"|\bListening at: (?:http|unix)|Tomcat started on port|Server startup in \[?\d",
            ("ready to accept connections", "application startup complete", "ready to handle connections",
             "resuming normal operations", "listening at: ", "tomcat started on", "server startup in "), (), "start",
            least="info"),
)  # fmt: skip

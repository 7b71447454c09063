"""The database runbook: which checks, in which order, for one MySQL or MariaDB target.

The order is the way of a connection: the name, the path, the port, the greeting, the login, then what the server says
of itself. Beside it, where the server is on this host, the same is looked at from the inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rbdiag.deadline import Deadline
from rbdiag.facts.db import Login, ServerConfig, ServerProcess
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.runbooks import Plan, service_logs
from rbdiag.runner import Job

Look = Callable[[Deadline, Facts], Iterator[Fact]]

if TYPE_CHECKING:
    from rbdiag.collect.db_target import Found

CHECKS = (
    "db.target",
    "dns.names",
    "net.route",
    "net.ping",
    "net.tcp",
    "net.firewall",
    "db.greeting",
    "db.login",
    "db.server",
    "db.listeners",
    "db.options",
    "svc.units",
    "db.error-log",
    "db.client-log",
    "host.space",
    "host.memory",
    "host.kernel-log",
    "db.variables",
    "db.drift",
    "db.sessions",
    "db.locks",
    "db.innodb",
    "db.replication",
    "db.rates",
    "db.account",
    "db.tables",
    *service_logs.CHECKS,
)


def find(target: str, **asked: Any) -> Found:
    """What is to be connected to, and as whom: see `rbdiag.collect.db_target.find`.

    Raises ValueError, with a sentence for the user, for what cannot be meant.
    """
    from rbdiag.collect import db_target

    return db_target.find(target, **asked)


def plan(
    *,
    found: Found,
    service: str,
    logs: tuple[str, ...],
    config: tuple[str, ...],
    check_tables: str | None,
    since: float,
) -> Plan:
    """The checks of one run against the target that `found` holds. `since` is seconds since the epoch.

    `service` is the unit behind it, "" for the one found; `logs` are log files or globs of clients or of the server,
    `config` option files or folders of the server. `check_tables` is a schema to run CHECK TABLE on, "" for all of
    them, None for not at all.
    """
    from rbdiag.collect import (
        db_config,
        db_connect,
        db_inside,
        db_log,
        db_server,
        dns,
        firewall,
        host,
        net,
        space,
        svc,
    )
    from rbdiag.collect.log_sources import Wanted

    target = found.target
    line = db_connect.Line(found)
    own_logs = service_logs.ServiceLogs(lambda _: Wanted(logs), since)

    def close() -> None:
        line.close()
        own_logs.close()

    def unit_check(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        named = [service] if service else []
        named += [p.unit for p in facts.of(ServerProcess) if p.role == "target" and p.unit]
        named += [c.unit for c in facts.of(ServerConfig) if c.unit and c.for_target]
        for unit in svc.units(named, deadline):
            yield unit
            if unit.subject in (service, f"{service}.service") and unit.load == "not-found":
                raise CannotLook(Gap("missing", f"there is no unit {service}", "systemctl list-units --type=service"))

    jobs = [
        Job("db.target", target.subject, lambda d, _: found.look(d)),
        Job("db.server", "this host", lambda d, _: db_server.look(target, config, service, d)),
        Job("db.listeners", "this host", lambda d, f: db_server.listeners(target, f, d), after=("db.server",)),
        Job(
            "db.options", "this host", lambda d, f: db_config.options(target, config, f, since, d),
            after=("db.server",),
        ),
        Job("svc.units", service or "the server's unit", unit_check, after=("db.server",), decides=bool(service)),
        Job(
            "db.error-log", "the server's log", lambda d, f: db_log.server_log(target, logs, f, since, d),
            after=("db.server",),
        ),
        Job("host.space", "the server's folders", lambda d, f: space.filesystems(f, d), after=("db.server",)),
        Job("host.memory", "host", lambda d, _: host.memory(1.0, d)),
        Job("host.kernel-log", "host", lambda d, _: host.kernel_log(since, d)),
    ]  # fmt: skip
    opens: tuple[str, ...] = ()
    if not target.socket:
        jobs += [
            Job("dns.names", target.host, lambda d, _: dns.names(target.host, d)),
            Job("net.route", target.host, lambda d, f: net.routes(f, d), after=("dns.names",)),
            Job("net.ping", target.host, lambda d, f: net.ping(f, d), after=("dns.names",)),
        ]
        opens = ("dns.names",)
    jobs.append(Job("net.tcp", target.subject, lambda d, f: line.open(f, d), after=opens, decides=True))
    if not target.socket:
        jobs.append(
            Job("net.firewall", "this host", lambda d, f: firewall.rules(target, f, d), after=("net.tcp", "dns.names"))
        )
    jobs += [
        Job("db.greeting", target.subject, lambda d, f: line.greet(f, d), after=("net.tcp",), decides=True),
        Job(
            "db.login", target.subject, lambda d, f: line.login(f, d), after=("db.greeting", "db.server"), decides=True
        ),
    ]
    if logs:
        jobs.append(
            Job("db.client-log", ", ".join(logs), lambda d, _: db_log.client_logs(logs, since, d), decides=True)
        )
        jobs += own_logs.jobs(", ".join(logs), after=())

    # The one connection is used by one check after the other.
    behind = "db.login"
    for name, look in (
        ("db.variables", lambda d, f: db_inside.variables(line, d)),
        ("db.sessions", lambda d, f: db_inside.sessions(line, d)),
        ("db.locks", lambda d, f: db_inside.locks(line, f, d)),
        ("db.innodb", lambda d, f: db_inside.innodb(line, d)),
        ("db.replication", lambda d, f: db_inside.replication(line, f, d)),
        ("db.drift", lambda d, f: db_config.drift(line, f, d)),
        ("db.account", lambda d, f: db_inside.account(line, f, d)),
        ("db.rates", lambda d, f: db_inside.rates(line, d)),
    ):
        more = {"db.locks": ("db.sessions",), "db.replication": ("db.variables",), "db.rates": ("db.variables",),
                "db.drift": ("db.variables", "db.server", "db.options")}.get(name, ())  # fmt: skip
        after = tuple(dict.fromkeys(("db.login", behind, *more)))
        jobs.append(Job(name, target.subject, _inside(look), after=after))
        behind = name
    if check_tables is not None:
        jobs.append(
            Job(
                "db.tables", check_tables or "all schemas",
                _inside(lambda d, f: db_inside.check_tables(line, check_tables, d)),
                after=("db.login", behind), decides=True,
            )
        )  # fmt: skip
    order = {name: number for number, name in enumerate(CHECKS)}
    jobs.sort(key=lambda job: order[job.name])
    given = (target, host.standing())
    return Plan("db", target.subject, tuple(jobs), given, line.count, close, lambda: line.doing)


def _inside(look: Look) -> Look:
    """The same look, left out where nobody is logged in: "nothing to report" would pass for health."""

    def guarded(deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        if not any(login.word == "ok" for login in facts.of(Login)):
            raise CannotLook(Gap("skipped", "nobody is logged in to the server"))
        yield from look(deadline, facts)

    return guarded

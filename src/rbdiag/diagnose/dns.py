"""Names that lead nowhere, to the wrong place, or there too late. Without an address nothing else is tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.facts import span
from rbdiag.facts.db import Greeting
from rbdiag.facts.dns import HostsEntry, NameAnswer, ResolverConfig, ServerAnswer
from rbdiag.facts.host import Standing
from rbdiag.facts.net import Route, TcpAnswer
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# Catalogue A.5: a lookup over one second, where a name server that is dead or slow shows why. glibc waits five seconds
# for a dead one (resolv.conf(5), timeout), so half of that is more than a cold cache takes.
_SLOW, _VERY_SLOW = 1.0, 2.5
# What a name server says that cannot help: nothing comes, or nobody is there.
_DEAD = ("silent", "refused", "unreachable")
_FAILING = ("servfail", "declined", "failed")


def _servers(facts: Facts, name: NameAnswer) -> dict[str, list[ServerAnswer]]:
    """What each name server said of this name and of those that the search list makes of it."""
    found: dict[str, list[ServerAnswer]] = {}
    wanted = name.subject.rstrip(".").lower()
    for answer in facts.of(ServerAnswer):
        asked = answer.subject.rstrip(".").lower()
        if asked == wanted or asked.startswith(f"{wanted}."):
            found.setdefault(answer.server, []).append(answer)
    return found


def _verdicts(servers: dict[str, list[ServerAnswer]]) -> dict[str, str]:
    """One word for each name server: "found", "dead", "failing", "empty" or "nameless"."""
    said = {}
    for server, answers in servers.items():
        words = {a.word for a in answers}
        if "found" in words:
            said[server] = "found"
        elif words & set(_DEAD):
            said[server] = "dead"
        elif words & set(_FAILING):
            said[server] = "failing"
        else:
            said[server] = "empty" if "empty" in words else "nameless"
    return said


def _hosts(facts: Facts, name: NameAnswer) -> list[HostsEntry]:
    return [entry for entry in facts.of(HostsEntry) if entry.subject == name.subject]


def _about(facts: Facts, name: NameAnswer, *more: str) -> frozenset[str]:
    return db_view.about(facts, name.subject, *name.addresses, *more)


def _so_say(servers: list[str]) -> str:
    if len(servers) == 1:
        return f"name server {servers[0]} says so"
    return f"{'both' if len(servers) == 2 else f'all {len(servers)}'} name servers say so"


def _named(servers: list[str]) -> str:
    return f"name server{'s' if len(servers) > 1 else ''} {', '.join(servers)}"


def _flat(servers: dict[str, list[ServerAnswer]], only: Iterable[str] | None = None) -> tuple[Fact, ...]:
    """The first answers of these servers, or of all."""
    return tuple(a for server, answers in servers.items() if only is None or server in only for a in answers)[:6]


def _config(facts: Facts) -> tuple[ResolverConfig, ...]:
    return facts.of(ResolverConfig)[-1:]


def _broken(config: tuple[ResolverConfig, ...], said: dict[str, str]) -> bool:
    """Whether the resolver's files are why a name is not resolved.

    Without a file glibc asks 127.0.0.1, where a server may well be; and root does not suffer from what it can read.
    """
    for files in config:
        if files.word == "no-dns":
            return True
        if files.word != "ok" and not files.servers:
            return not set(said.values()) - {"dead"}
    return False


def _runs_systemd(facts: Facts) -> bool:
    standing = facts.first(Standing)
    return standing is None or standing.systemd


def _ask(name: str, server: str) -> Step:
    return Step(f"ask name server {server} by hand", f"dig +tries=1 +time=3 @{quote(server)} {quote(name)}")


NXDOMAIN = Spec(
    code="dns.nxdomain",
    title="the name does not exist",
    severity=Severity.CRITICAL,
    meaning="No name server knows the name: a typing error, a record that was removed, or a name that is known on another "
    "network only. No connection can be tried.",
    told="The resolver says that there is no such name, and each name server says so too when asked directly (rcode 3).",
    not_to_be_taken_for="a resolver that asks no name server; a name server that fails or is silent; a search list that lacks a domain.",
    resolution=("check how the name is written where it is configured", "restore the record, or use the right name"),
    explains=("db.host-not-allowed", "api.proxy-misconfigured", "api.app-exception"),
)


def nxdomain(facts: Facts) -> Iterator[Finding]:
    config = _config(facts)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        said = _verdicts(servers)
        if name.word != "nameless" or _broken(config, said) or "found" in said.values():
            continue
        sayers = [server for server, word in said.items() if word == "nameless"]
        if said and not sayers:
            continue  # those that could tell do not say so
        tried = sorted({a.subject.rstrip(".") for a in facts.of(ServerAnswer) if a.server in sayers} - {name.subject})
        also = f" (nor {', '.join(tried[:2])})" if tried else ""
        so = f": {_so_say(sayers)}" if sayers else ", says this host's resolver"
        yield Finding(
            NXDOMAIN, Severity.CRITICAL, Confidence.CERTAIN if sayers else Confidence.LIKELY, name.subject,
            f"the name {name.subject} does not exist{also}{so}",
            evidence=(name, *_flat(servers, sayers)), against=_flat(servers, set(said) - set(sayers)),
            resolution=tuple(_find_the_name(facts, name, config, sayers)),
            about=_about(facts, name), impact=1.0,
        )  # fmt: skip


def _find_the_name(
    facts: Facts, name: NameAnswer, config: tuple[ResolverConfig, ...], sayers: list[str]
) -> Iterator[Step]:
    target = db_view.target(facts)
    origin = next((o for o in target.origins if "host" in o), "") if target is not None else ""
    yield Step(
        f"check how the name is written{f' ({origin})' if origin else ''}", f"getent ahosts {quote(name.subject)}",
        verify=db_view.again(facts),
    )  # fmt: skip
    if sayers:
        yield _ask(name.subject, sayers[0])
    if "." not in name.subject and not any(c.search for c in config):
        yield Step(
            "a short name needs a search list, and resolv.conf has none: use the full name, or name its domain there",
            "grep -nE '^(search|domain)' /etc/resolv.conf",
        )
    yield Step(
        f"if the name is right, restore its record in the zone; the line `ADDRESS {name.subject}` in /etc/hosts helps until then",
        risk="disruptive", verify=f"getent ahosts {quote(name.subject)}",
    )  # fmt: skip


RESOLVER_UNREACHABLE = Spec(
    code="dns.resolver-unreachable",
    title="no name server answers",
    severity=Severity.CRITICAL,
    meaning="Every configured name server is silent or refuses. No name that is not in the hosts file can be resolved, so this "
    "host reaches nothing by name.",
    told="The resolver gives up (EAI_AGAIN), and each name server is silent, refused or unreachable when asked directly.",
    not_to_be_taken_for="one dead server of two, which only makes lookups slow; a server that answers with a failure.",
    resolution=("start the name server, or open the way to its port 53", "name one that answers in resolv.conf"),
    explains=("db.host-not-allowed", "db.name-resolution-slow", "api.proxy-misconfigured", "api.app-exception"),
)


def resolver_unreachable(facts: Facts) -> Iterator[Finding]:
    config = _config(facts)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        said = _verdicts(servers)
        if name.word not in ("unanswered", "failed") or _broken(config, said) or set(said.values()) - {"dead"}:
            continue
        # without a direct question it may also be a server that fails
        sure = Confidence.CERTAIN if said else Confidence.POSSIBLE
        dead = list(said) or [s for c in config for s in c.servers]
        how = {a.word for answers in servers.values() for a in answers if a.word in _DEAD}
        why = {
            "silent": "is silent",
            "refused": "refuses: nothing listens on port 53 there",
            "unreachable": "cannot be reached",
        }
        text = (
            why[how.pop()]
            if len(how) == 1 and len(dead) == 1
            else "do not answer"
            if len(dead) > 1
            else "does not answer"
        )
        yield Finding(
            RESOLVER_UNREACHABLE, Severity.CRITICAL, sure, name.subject,
            f"{name.subject} cannot be resolved: {_named(dead) if dead else 'the name server'} {text}",
            evidence=(name, *_flat(servers), *config),
            resolution=tuple(_wake(facts, name, dead)),
            about=_about(facts, name, *dead), impact=1.0,
        )  # fmt: skip


def _wake(facts: Facts, name: NameAnswer, dead: list[str]) -> Iterator[Step]:
    root = steps.sudo(facts)
    for server in dead[:2]:
        yield _ask(name.subject, server)
    if any(server.startswith("127.") or server == "::1" for server in dead):
        yield Step("see whether a resolver runs on this host", f"{root}ss -lunp 'sport = :53'")
        if _runs_systemd(facts):
            names = "systemd-resolved dnsmasq unbound named"
            yield Step("see which of them this host has", f"systemctl list-units --all --no-pager {names}")
        yield Step("start it", risk="disruptive", verify=f"getent ahosts {quote(name.subject)}")
    yield Step(
        "or name a server in resolv.conf that answers (where DHCP or a service writes that file, change it there)",
        "ls -l /etc/resolv.conf; resolvectl status 2>/dev/null || cat /etc/resolv.conf",
        verify=f"getent ahosts {quote(name.subject)}",
    )


SERVFAIL = Spec(
    code="dns.servfail",
    title="the name server fails or refuses to answer",
    severity=Severity.CRITICAL,
    meaning="A name server answers that it cannot (SERVFAIL) or will not (REFUSED) resolve the name: its own upstream is down, the "
    "zone is broken, DNSSEC does not verify, or it does not serve this client.",
    told="The resolver gives up, and the name servers answer with rcode 2 or 5 when asked directly.",
    not_to_be_taken_for="a name that does not exist (rcode 3); a server that does not answer at all.",
    resolution=("look at that name server: forwarders, zone, DNSSEC, who may ask", "use another until it is mended"),
    explains=("db.host-not-allowed", "db.name-resolution-slow", "api.proxy-misconfigured", "api.app-exception"),
)


def servfail(facts: Facts) -> Iterator[Finding]:
    config = _config(facts)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        said = _verdicts(servers)
        failing = [server for server, word in said.items() if word == "failing"]
        if name.word not in ("unanswered", "failed") or not failing or "found" in said.values():
            continue
        others = [server for server in said if server not in failing]
        answer = next(a for a in servers[failing[0]] if a.word in _FAILING)
        how = {"servfail": "answers SERVFAIL", "declined": "refuses to answer us"}.get(answer.word, "answers nonsense")
        yield Finding(
            SERVFAIL, Severity.CRITICAL, Confidence.LIKELY if others else Confidence.CERTAIN, name.subject,
            f"{name.subject} cannot be resolved: name server {failing[0]} {how}"
            + (f", {len(failing) - 1} more fail too" if len(failing) > 1 else "")
            + (f"; {_named(others)} do{'es' if len(others) == 1 else ''} not help" if others else ""),
            evidence=(name, *_flat(servers), *config),
            resolution=(
                _ask(name.subject, failing[0]),
                Step(
                    "see whether it is DNSSEC: if this answers and the other does not, the zone's signatures are wrong (or this clock)",
                    f"dig +cd +tries=1 @{quote(failing[0])} {quote(name.subject)}; date -u",
                ),
                Step("on the name server: look at its forwarders, its zone, and whom it serves; reload it", risk="disruptive",
                     verify=f"getent ahosts {quote(name.subject)}"),
            ),
            about=_about(facts, name, *failing), impact=1.0,
        )  # fmt: skip


WRONG_ANSWER = Spec(
    code="dns.wrong-answer",
    title="the name leads to the wrong place",
    severity=Severity.CRITICAL,
    meaning="The name has an address, but not one where the service is: a stale line in the hosts file, name servers that "
    "contradict each other, a record without an address, or one of a family that this host cannot reach.",
    told="A hosts line or one name server says otherwise than the rest, and the address in use does not work; or the name has no "
    "address, or only IPv6 addresses to which there is no route.",
    not_to_be_taken_for="a hosts line equal to the DNS or one that works; the right address with a dead service.",
    resolution=("correct or delete the line or the record", "flush what caches it"),
    explains=(
        "net.host-unreachable", "net.no-route", "net.drop", "net.reject", "db.not-mysql", "db.service-down", "db.wrong-endpoint",
        "db.hung", "tls.hostname-mismatch", "api.wrong-upstream"),
)  # fmt: skip


def wrong_answer(facts: Facts) -> Iterator[Finding]:
    config = _config(facts)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        said = _verdicts(servers)
        if name.word == "empty" and "found" not in said.values() and not _broken(config, said):
            yield _wrong(
                facts, name, Confidence.CERTAIN if "empty" in said.values() else Confidence.LIKELY,
                f"the name {name.subject} exists and has no address: there is no A or AAAA record", (name, *_flat(servers)),
                *(_ask(name.subject, server) for server in list(servers)[:1]),
                Step(f"add the A record of {name.subject} to its zone, or use the name that has one", risk="disruptive",
                     verify=f"getent ahosts {quote(name.subject)}"),
            )  # fmt: skip
        if name.word != "found" or not (trouble := _trouble(facts, name)):
            continue
        by_dns = {a for answers in servers.values() for e in answers for a in e.addresses}
        entries = [e for e in _hosts(facts, name) if e.address in name.addresses and e.address not in by_dns]
        ours = _meant_to_be_here(facts)
        entries = [e for e in entries if not (ours and _local(facts, e.address))]
        if entries and by_dns:
            entry = entries[0]
            yield _wrong(
                facts, name, Confidence.LIKELY,
                f"{entry.file} line {entry.line} says that {name.subject} is {entry.address}, the DNS says "
                f"{', '.join(sorted(by_dns)[:2])}; {entry.address} does not work",
                (*entries, *_flat(servers), *trouble),
                Step("see every line that names it", f"grep -nwF -- {quote(name.subject)} {quote(entry.file)}; getent ahosts {quote(name.subject)}"),
                Step(
                    f"delete the stale line from {entry.file}",
                    f"{steps.sudo(facts)}sed -i.before '{entry.line}{{/{entry.address.translate(_SED)}/d}}' {quote(entry.file)}",
                    "disruptive", f"getent ahosts {quote(name.subject)}; {db_view.again(facts)}",
                ),
            )  # fmt: skip
            continue
        told = {
            server: found
            for server, answers in servers.items()
            if (found := frozenset(x for e in answers if e.record == "A" for x in e.addresses))
        }
        if len(set(told.values())) > 1 and not frozenset.intersection(*told.values()):
            pairs = "; ".join(
                f"{server} says {', '.join(sorted(found)[:2])}" for server, found in list(told.items())[:2]
            )
            yield _wrong(
                facts, name, Confidence.POSSIBLE, f"the name servers contradict each other about {name.subject}: {pairs}",
                (name, *_flat(servers), *trouble),
                *(_ask(name.subject, server) for server in list(told)[:2]),
                Step("correct the one that is wrong, and flush its cache", risk="disruptive", verify=db_view.again(facts)),
            )  # fmt: skip
        elif not _hosts(facts, name) and all(
            isinstance(a, TcpAnswer) and a.family == "IPv6" and a.word == "no-route" for a in trouble
        ):
            yield _wrong(
                facts, name, Confidence.LIKELY,
                f"{name.subject} has only IPv6 addresses ({name.addresses[0]}), and this host has no way to them",
                (name, *_flat(servers), *trouble),
                Step("see that there is no A record", f"getent ahostsv4 {quote(name.subject)}; ip -6 route"),
                Step(f"add the A record of {name.subject}, or give this host IPv6", risk="disruptive", verify=db_view.again(facts)),
            )  # fmt: skip


_SED = str.maketrans({c: f"\\{c}" for c in r"\/&.*[]^$"})


def _wrong(
    facts: Facts, name: NameAnswer, sure: Confidence, summary: str, evidence: tuple[Fact, ...], *resolution: Step
) -> Finding:
    return Finding(
        WRONG_ANSWER, Severity.CRITICAL, sure, name.subject, summary, evidence=evidence[:10], resolution=resolution,
        about=_about(facts, name), impact=1.0,
    )  # fmt: skip


def _trouble(facts: Facts, name: NameAnswer) -> tuple[Fact, ...]:
    """What shows that the addresses do not lead to the service; nothing where one of them does."""
    tried = [a for a in facts.of(TcpAnswer) if a.address in name.addresses]
    if any(a.word == "open" for a in tried):
        return tuple(g for g in facts.of(Greeting) if g.word == "other")
    return tuple(a for a in tried if a.word != "no-local-port")


def _local(facts: Facts, address: str) -> bool:
    route = facts.last(Route, address)
    return route.local if route is not None else address.startswith("127.") or address == "::1"


def _meant_to_be_here(facts: Facts) -> bool:
    """Whether the service belongs on this host: then a local address is right, and it is the service that is down."""
    return db_view.server(facts) is not None or db_view.config(facts) is not None


RESOLVER_CONFIG = Spec(
    code="dns.resolver-config",
    title="this host's resolver is set up wrong",
    severity=Severity.CRITICAL,
    meaning="The files that tell this host whom to ask about names are missing, empty, unreadable, or name no DNS. Names "
    "that exist cannot be resolved here, whatever the name servers know.",
    told="resolv.conf is missing, unreadable or names no server, or `hosts:` in nsswitch.conf lacks dns; or the name servers know the "
    "name when asked directly and this host's resolver does not.",
    not_to_be_taken_for="a host that resolves by its hosts file alone and finds the name there; a resolver of its own on 127.0.0.1.",
    resolution=("restore the file", "where a service writes it, mend that service's settings"),
    explains=("db.host-not-allowed", "db.name-resolution-slow", "api.proxy-misconfigured", "api.app-exception"),
)


def resolver_config(facts: Facts) -> Iterator[Finding]:
    config = next(iter(_config(facts)), None)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        known = [a for answers in servers.values() for a in answers if a.word == "found"]
        if config is not None and config.word == "unreadable" and name.word == "found" and not _hosts(facts, name):
            yield _set_up_wrong(
                facts, name, config, Severity.WARNING, Confidence.LIKELY,
                f"{config.file} can be read by root alone: programs of other users resolve no names", known[:1],
            )  # fmt: skip
        if name.word == "found":
            continue
        if config is not None and _broken((config,), _verdicts(servers)):
            why = {
                "no-dns": f"`hosts:` in nsswitch.conf asks no name server ({' '.join(config.sources) or 'nothing'}), and no hosts line names it",
                "missing": f"{config.file} is missing",
                "unreadable": f"{config.file} cannot be read by everybody",
            }.get(config.word, f"{config.file} names no name server")
            # a host may do without DNS on purpose; then it is the name that is wrong, or a hosts line that lacks
            sure = Confidence.LIKELY if config.word == "no-dns" else Confidence.CERTAIN
            yield _set_up_wrong(
                facts, name, config, Severity.CRITICAL, sure, f"{name.subject} cannot be resolved: {why}", known
            )
        elif name.word in ("nameless", "empty") and known:
            yield _set_up_wrong(
                facts, name, config, Severity.CRITICAL, Confidence.LIKELY,
                f"name server {known[0].server} knows {known[0].subject.rstrip('.')} ({', '.join(known[0].addresses[:2])}), and this host's resolver "
                "says that it does not exist", known,
            )  # fmt: skip


def _set_up_wrong(
    facts: Facts, name: NameAnswer, config: ResolverConfig | None, severity: Severity, sure: Confidence, summary: str,
    known: list[ServerAnswer],
) -> Finding:  # fmt: skip
    root = steps.sudo(facts)
    verify = f"getent ahosts {quote(name.subject)}; {db_view.again(facts)}"
    word, file = (config.word, config.file) if config is not None else ("ok", "/etc/resolv.conf")
    todo = [Step("see what is there", f"ls -lL {quote(file)}; cat {quote(file)}; grep -n '^hosts:' /etc/nsswitch.conf")]
    if word == "unreadable":
        todo.append(Step(f"let everybody read {file}", f"{root}chmod 644 {quote(file)}", "disruptive", verify))
    elif word == "no-dns":
        todo.append(
            Step("ask name servers after the hosts file", f"{root}sed -i.before 's/^hosts:.*/& dns/' /etc/nsswitch.conf", "disruptive", verify)
        )  # fmt: skip
    elif word in ("missing", "empty"):
        if _runs_systemd(facts):
            todo.append(
                Step(
                    "where systemd-resolved writes that file, restart it",
                    f"{root}systemctl restart systemd-resolved",
                    "disruptive",
                    verify,
                )
            )
        todo.append(
            Step(
                f"else put the line `nameserver ADDRESS` of your network's name server into {file}",
                risk="disruptive",
                verify=verify,
            )
        )
    else:
        todo.append(
            Step("drop what caches names on this host", f"{root}resolvectl flush-caches; {root}nscd -i hosts", verify=verify)
        )  # fmt: skip
    evidence: list[Fact] = [*([config] if config is not None else []), name, *known[:2]]
    return Finding(
        RESOLVER_CONFIG, severity, sure, name.subject, summary, evidence=tuple(evidence), resolution=tuple(todo),
        about=_about(facts, name, "resolver"), impact=1.0,
    )  # fmt: skip


SLOW = Spec(
    code="dns.slow",
    title="looking up the name takes seconds",
    severity=Severity.WARNING,
    meaning="Every new connection waits for the name first. A name server that is dead costs its timeout (5 s unless set) at each "
    "lookup before the next is asked; one that is slow costs its own time.",
    told="The lookup took over a second and a name server was silent or as slow when asked directly; or it took over 2.5 s.",
    not_to_be_taken_for="the first lookup of a name that is not in any cache yet; a slow connection behind a quick lookup.",
    resolution=(
        "take the dead or slow server out of resolv.conf, or mend it",
        "a local cache; shorter timeout and attempts",
    ),
    explains=("db.name-resolution-slow", "timeout.dependency-slow", "api.upstream-timeout"),
)


def slow(facts: Facts) -> Iterator[Finding]:
    config = _config(facts)
    for name in facts.of(NameAnswer):
        servers = _servers(facts, name)
        said = _verdicts(servers)
        failed = name.word in ("unanswered", "failed") and "found" in said.values()
        if not failed and (name.word != "found" or name.seconds < _SLOW):
            continue
        culprits = [
            a for answers in servers.values() for a in answers
            if a.word in _DEAD or a.seconds >= _SLOW
        ]  # fmt: skip
        if not culprits and not failed and name.seconds < _VERY_SLOW:
            continue
        blame = ""
        if culprits:
            first = culprits[0]
            how = {"silent": "is silent", "refused": "refuses", "unreachable": "cannot be reached"}
            blame = f": name server {first.server} {how.get(first.word, f'takes {span(first.seconds)}')}"
        took = f"takes {span(name.seconds)}" if name.word == "found" else f"was given up after {span(name.seconds)}"
        server = culprits[0].server if culprits else next(iter(servers), "")
        root = steps.sudo(facts)
        todo = [Step("measure it", f"time getent ahosts {quote(name.subject)}")]
        todo += [_ask(name.subject, server)] if server else []
        if culprits and len(said) > 1:
            line = server.translate(_SED)
            todo.append(Step(
                f"take {server} out of resolv.conf (where DHCP or a service writes that file, change it there)",
                f"{root}sed -i.before '/^nameserver[[:space:]]*{line}[[:space:]]*$/d' /etc/resolv.conf", "disruptive",
                f"time getent ahosts {quote(name.subject)}",
            ))  # fmt: skip
        else:
            todo.append(
                Step(
                    "mend that name server, or run a cache on this host", risk="disruptive", verify=db_view.again(facts)
                )
            )
        yield Finding(
            SLOW, Severity.CRITICAL if failed else Severity.WARNING, Confidence.CERTAIN if culprits and not failed else Confidence.LIKELY,
            name.subject, f"looking up {name.subject} {took}{blame}",
            evidence=(name, *(tuple(culprits[:4]) or _flat(servers)[:4]), *config), resolution=tuple(todo),
            about=_about(facts, name, *said), impact=0.5,
        )  # fmt: skip


RULES = (nxdomain, resolver_unreachable, servfail, wrong_answer, resolver_config, slow)

"""What the rules about logins read together, and the steps that let a client in again.

A step never holds a password: where one is to be written, it says whose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view
from rbdiag.facts.db import Account, Login
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.net import Route, TcpAnswer
from rbdiag.facts.sessions import ServerInfo
from rbdiag.facts.tls import TlsAnswer
from rbdiag.model import Facts, Step

# The server's default of max_connect_errors is 100; above ten thousand, raising it further only hides the cause.
_CONNECT_ERRORS = 10_000
# What is granted where nobody says what is missing: enough for a program, too little to change tables.
_USUAL = "SELECT, INSERT, UPDATE, DELETE"
_SECRET = "the secret that the application has"  # noqa: S105 - it is none: a person writes it in


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def rows_of(facts: Facts, user: str) -> list[Account]:
    """The accounts of this user, whatever their hosts."""
    return [a for a in facts.of(Account) if a.subject.startswith(f"{literal(user)}@")]


def matched(facts: Facts) -> Account | None:
    """The account that the server chose, where its administrator could look."""
    return next((a for a in facts.of(Account) if a.matches), None)


def client_host(facts: Facts, login: Login | None) -> str:
    """Where the server sees the client come from, "" where nobody told."""
    if login is not None and "@" in login.account:
        return login.account.rpartition("@")[2]
    opened = next((a for a in facts.of(TcpAnswer) if a.word == "open"), None)
    route = facts.first(Route, opened.address) if opened else None
    return route.source if route is not None and not route.local else ""


def account_name(facts: Facts, user: str, host: str) -> str:
    """The account to name in a statement: the row that the server chose, else one for this user and host."""
    chosen = matched(facts)
    if chosen is not None and chosen.subject.startswith(f"{literal(user)}@"):
        return chosen.subject
    rows = rows_of(facts, user)
    return rows[0].subject if len(rows) == 1 else f"{literal(user)}@{literal(host or '%')}"


def see_accounts(facts: Facts, user: str) -> Step:
    """The rows of the accounts of this user, with what both kinds of server know."""
    question = f"SELECT user, host, plugin, password_expired FROM mysql.user WHERE user = {literal(user)}"  # noqa: S608 - to be read
    return Step("see the account as the server knows it", db_view.sql(question, facts))


def let_in(
    facts: Facts, user: str, name: str, password: bool, *, exists: bool = True, nameless: str = ""
) -> Iterator[Step]:
    """How an account comes to have the password that its client uses.

    `nameless` is an account without a user that stands before it: the host is compared first, the user second.
    """
    found = db_view.target(facts)
    origin = "; ".join(o for o in (found.origins if found else ()) if "user" in o or "password" in o)
    yield see_accounts(facts, user)
    if not password:
        yield Step(
            "give the client its password: in its option file, or in a file for rbdiag",
            "rbdiag db --password-file FILE",
        )
    yield Step(
        "compare the secret that the application was started with to the one in your secret store"
        + (f" (used here: {origin})" if origin else "")
    )
    secret = f"IDENTIFIED BY '{_SECRET}'"
    if nameless:
        drop = db_view.sql(f"DROP USER {nameless}", facts)
        yield Step(f"remove {nameless}, which takes the clients of others", drop, "disruptive", db_view.again(facts))
    elif exists:
        yield Step(
            "if the application's secret is the right one, set it (others may use the present one)"
            + ("" if matched(facts) else ", for the host that the list shows"),
            db_view.sql(f"ALTER USER {name} {secret}", facts), "disruptive", db_view.again(facts),
        )  # fmt: skip
    else:
        yield Step(
            "make the account", db_view.sql(f"CREATE USER {name} {secret}", facts), "disruptive", db_view.again(facts)
        )
    yield Step("if the secret is a new one, restart the application so that it reads it", risk="disruptive")


def follow(facts: Facts, chosen: Account) -> Iterator[Step]:
    yield Step("find out who changed it and where the new secret is (the secret store's history, the change log)")
    yield Step(
        "give the client the new secret, and restart it so that it reads it",
        risk="disruptive",
        verify=db_view.again(facts),
    )
    yield Step(
        "until then, and only if nobody uses the new one yet: set the old one again",
        db_view.sql(f"ALTER USER {chosen.subject} IDENTIFIED BY '{_SECRET}'", facts), "disruptive",
        db_view.again(facts),
    )  # fmt: skip


def allow(facts: Facts, user: str, host: str) -> Iterator[Step]:
    rows, info = rows_of(facts, user), facts.first(ServerInfo)
    yield see_accounts(facts, user)
    by_name = [r for r in rows if re.search(r"@'[^']*[a-z]", r.subject) and not r.subject.endswith("@'localhost'")]
    if by_name and info is not None and info.skip_name_resolve:
        yield Step(
            f"{by_name[0].subject} names a host, and the server looks up no names (skip_name_resolve): write its address"
        )
    elif by_name:
        yield Step(
            f"{by_name[0].subject} names a host: see what the server is told of {host}",
            f"getent hosts {quote(host)}" if host else "",
        )
    account = f"{literal(user)}@{literal(host or '%')}"
    yield Step(
        f"make the account for {host or 'this host'}",
        db_view.sql(f"CREATE USER {account} IDENTIFIED BY '{_SECRET}'", facts), "disruptive",
        db_view.again(facts),
    )  # fmt: skip
    if rows:
        yield Step(f"give it what {rows[0].subject} may", db_view.sql(f"SHOW GRANTS FOR {rows[0].subject}", facts))


def find_database(facts: Facts, database: str, like: tuple[str, ...] = ()) -> Iterator[Step]:
    yield Step("see which databases there are", db_view.sql("SHOW DATABASES", facts))
    found = db_view.target(facts)
    origin = next((o for o in (found.origins if found else ()) if "database" in o), "")
    means = f"if {like[0]} is meant, write that" if like else "correct the name"
    yield Step(f"{means} in the client's settings" + (f" ({origin})" if origin else ""), verify=db_view.again(facts))
    yield Step(
        f"if {database or 'it'} is missing: restore it from the backup, or run the migration that creates it",
        risk="disruptive",
    )


def table(name: str) -> str:
    """A table or database as SQL writes it."""
    parts = (part if re.fullmatch(r"\w+", part) else f"`{part.replace('`', '``')}`" for part in name.split("."))
    return ".".join(parts) if name else "*"


def give(facts: Facts, account: str, where: str, rights: str) -> Iterator[Step]:
    yield Step("see what the account may", db_view.sql(f"SHOW GRANTS FOR {account}", facts))
    if where:
        yield Step(
            "give it what its program needs, and no more",
            db_view.sql(f"GRANT {rights} ON {where} TO {account}", facts), "disruptive", db_view.again(facts),
        )  # fmt: skip
    else:
        yield Step("give it the right that the line names, and no more", risk="disruptive", verify=db_view.again(facts))


def same_plugin(facts: Facts, user: str, account: str, code: int | None) -> Iterator[Step]:
    """How client and account come to agree on a plugin; `code` is how they disagree."""
    yield see_accounts(facts, user)
    if code == 1698:
        yield Step(f"a program that runs as the system's user {user} needs no password: let it use the server's socket")
    elif code == 1524:
        yield Step("see which plugins the server has loaded", db_view.sql("SHOW PLUGINS", facts))
    else:
        yield Step("upgrade the client's library: it is older than the account's plugin", risk="disruptive")
        yield Step(
            "or use TLS, or give the client the server's public key: some plugins want one of them", risk="disruptive"
        )
    by = f"VIA mysql_native_password USING PASSWORD('{_SECRET}')"
    if db_view.flavour(facts) == "MySQL":
        by = f"WITH caching_sha2_password BY '{_SECRET}'"
    yield Step(
        "or let the account log in with a password", db_view.sql(f"ALTER USER {account} IDENTIFIED {by}", facts),
        "disruptive", db_view.again(facts),
    )  # fmt: skip


def use_tls(facts: Facts, login: Login) -> Iterator[Step]:
    info = facts.first(ServerInfo)
    if not login.tls_offered:
        yield Step("see why it offers no TLS", db_view.sql("SHOW GLOBAL VARIABLES LIKE '%ssl%'", facts))
        yield Step(
            "give the server a certificate and a key (ssl_cert, ssl_key); until then nobody gets in", risk="disruptive"
        )
    yield from switch_tls_on(facts)
    if login.code == 3159 or (info is not None and info.require_secure_transport):
        why = "only if the network between is trusted"
        yield db_view.set_global("require_secure_transport", "OFF", why, facts)
        yield from db_view.change_option("require_secure_transport", "OFF", why, facts)
    else:
        account = account_name(facts, login.user, client_host(facts, login))
        yield Step(
            "or, only if the network between is trusted, take the demand off the account",
            db_view.sql(f"ALTER USER {account} REQUIRE NONE", facts), "disruptive", db_view.again(facts),
        )  # fmt: skip


def switch_tls_on(facts: Facts) -> Iterator[Step]:
    option = "ssl-mode=REQUIRED" if db_view.flavour(facts) == "MySQL" else "ssl"
    yield Step("see that it works with TLS", f"{db_view.again(facts)} --require-tls")
    yield Step(
        f"switch TLS on in the client: {option} under [client] of its option file, or in its connection string",
        risk="disruptive", verify=db_view.again(facts),
    )  # fmt: skip


def mend_tls(facts: Facts, answer: TlsAnswer | None) -> Iterator[Step]:
    found = db_view.target(facts)
    if found is not None and not found.socket:
        where = f"{found.host}:{found.port}"
        yield Step(
            "see what the server shows",
            f"openssl s_client -starttls mysql -connect {quote(where)} -showcerts </dev/null",
        )
    match answer.word if answer else "":
        case "unavailable":
            yield Step("see why: a server without ssl_cert and ssl_key, or with files it cannot read, offers no TLS",
                       db_view.sql("SHOW GLOBAL VARIABLES LIKE '%ssl%'", facts))  # fmt: skip
            yield Step(
                "give the server a certificate and a key (ssl_cert, ssl_key) and restart it",
                risk="disruptive",
                verify=db_view.again(facts),
            )
        case "ca-file":
            yield Step(
                "write the CA file's right path in the client's settings (ssl-ca), or put the file there",
                risk="disruptive",
                verify=db_view.again(facts),
            )
        case _:
            yield Step("mend what is named above, then look again", db_view.again(facts))


def unblock(facts: Facts, host: str) -> Iterator[Step]:
    info = facts.first(ServerInfo)
    yield Step("see who breaks off before the login", db_view.sql("SHOW GLOBAL STATUS LIKE 'Aborted_connects%'", facts))
    # MySQL 8.4 has no FLUSH HOSTS any more; MariaDB has no other way.
    flush = "TRUNCATE TABLE performance_schema.host_cache" if db_view.flavour(facts) == "MySQL" else "FLUSH HOSTS"
    elsewhere = "" if db_view.server(facts) else " (on the server, or from a host that it lets in)"
    yield Step(f"let the host in again{elsewhere}", db_view.sql(flush, facts), "disruptive", db_view.again(facts))
    yield Step(
        f"mend what opens the port and leaves: a health check {f'from {host} ' if host else ''}must log in, or say goodbye"
    )
    if info is None or info.max_connect_errors is None or info.max_connect_errors < _CONNECT_ERRORS:
        why = "so that a probe cannot lock its host out; the default is 100"
        yield db_view.set_global("max_connect_errors", str(_CONNECT_ERRORS), why, facts)
        yield from db_view.change_option("max_connect_errors", str(_CONNECT_ERRORS), "for the next start", facts)


def unlock(facts: Facts, name: str, expired: bool, code: int | None) -> Iterator[Step]:
    user = name.partition("'@")[0].strip("'")
    yield see_accounts(facts, user)
    if expired:
        yield Step(
            "set its password anew (the same will do, if your rules allow it)",
            db_view.sql(f"ALTER USER {name} IDENTIFIED BY '{_SECRET}'", facts), "disruptive",
            db_view.again(facts),
        )  # fmt: skip
        yield Step(
            "a service account should not expire",
            db_view.sql(f"ALTER USER {name} PASSWORD EXPIRE NEVER", facts),
            "disruptive",
        )
        return
    yield Step("find out who locked it and why, before you unlock it")
    if code == 4150:
        yield Step(
            "forget the wrong passwords", db_view.sql("FLUSH PRIVILEGES", facts), "disruptive", db_view.again(facts)
        )
    else:
        yield Step(
            "unlock it", db_view.sql(f"ALTER USER {name} ACCOUNT UNLOCK", facts), "disruptive", db_view.again(facts)
        )


def no_names(facts: Facts, host: str) -> Iterator[Step]:
    if (found := db_view.target(facts)) is not None and found.local:
        yield Step("see how long a lookup takes on this host", f"time getent hosts {quote(host or found.host)}")
    yield Step(
        "see which accounts are by name: they would no longer match",
        db_view.sql("SELECT user, host FROM mysql.user WHERE host REGEXP '[a-z]' AND host <> 'localhost'", facts),
    )
    yield Step(
        "mend the resolver of the server's host: a name server that answers, in /etc/resolv.conf", risk="disruptive"
    )
    yield from db_view.change_option("skip_name_resolve", "1", "if no account is by name", facts)
    yield from db_view.restart(facts, "it is decided at the server's start")


def for_line(event: LogEvent, facts: Facts) -> Iterator[Step]:
    """What to do about what a log says of some client's login or rights."""
    found = db_view.target(facts)
    user, at, host = event.name.rpartition("@")
    user = user if at else (found.user if found else "")
    right, account, where = missing_right(event.text)
    account = account or (f"{literal(user)}@{literal(host)}" if at else account_name(facts, user, ""))
    match event.kind:
        case "host-not-allowed":
            yield from allow(facts, user, event.name)
        case "host-blocked":
            yield from unblock(facts, event.name)
        case "account-locked":
            yield from unlock(facts, account, event.number in (1820, 1862), event.number)
        case "auth-plugin":
            yield from same_plugin(facts, user, account, event.number)
        case "unknown-database":
            yield from find_database(facts, event.name)
        case "tls-required":
            yield from switch_tls_on(facts)
        case "tls-failed":
            yield from mend_tls(facts, None)
        case _:
            all_of_it = event.kind == "no-db-access"
            yield from give(
                facts, account, f"{table(where)}.*" if all_of_it else table(where) if where else "", right or _USUAL
            )


def open_again(facts: Facts, *, offline: bool) -> Iterator[Step]:
    """How a server takes ordinary clients again that one of its settings shuts out."""
    name, value = ("offline_mode", "OFF") if offline else ("init_connect", "''")
    yield Step("see the setting, as an administrator", db_view.sql(f"SELECT @@GLOBAL.{name}", facts))
    why = "if nobody keeps it closed on purpose" if offline else "until the statement in it works for every account"
    yield Step(
        f"set {name} to {value} ({why}); sessions that begin from then on are let in",
        db_view.sql(f"SET GLOBAL {name} = {value}", facts), "disruptive", db_view.again(facts),
    )  # fmt: skip


def missing_right(text: str) -> tuple[str, str, str]:
    """The right, the account and the table (or database) of a line that says one is missing; "" where it does not say.

    >>> missing_right("INSERT command denied to user 'ro'@'localhost' for table `shop`.`orders`")
    ('INSERT', "'ro'@'localhost'", 'shop.orders')
    """
    right = re.search(r"([A-Z]+(?: [A-Z]+)?) command denied", text)
    account = re.search(r"user '([^']*)'@'([^']*)'", text)
    where = re.search(r"for (?:table|column .* in table|routine) [`']?([\w$]+)[`']?(?:\.[`']?([\w$]+))?", text)
    where = where or re.search(r"to database [`']?([\w$-]+)[`']?()", text)
    return (
        right[1] if right else "", f"{literal(account[1])}@{literal(account[2])}" if account else "",
        ".".join(part for part in where.groups() if part) if where else "",
    )  # fmt: skip

"""Logins that the server turns away, and why: passwords, accounts, hosts, plugins, TLS, names that take long.

What rbdiag met itself is told first; what the logs say of other clients is told where rbdiag gets in, as a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from rbdiag.diagnose import db_view
from rbdiag.diagnose import login_steps as way
from rbdiag.facts import number, span
from rbdiag.facts.db import Account, Greeting, Login, LoginWord
from rbdiag.facts.logs import LogEvent, LogKind, LogRead
from rbdiag.facts.net import TcpAnswer
from rbdiag.facts.sessions import ServerInfo, Session, SessionGroup
from rbdiag.facts.tls import TlsAnswer
from rbdiag.model import Confidence, Fact, Facts, Finding, Severity, Spec, Step

# A person mistypes a password a handful of times; a program that retries comes to ten within the window.
_MANY_DENIED = 10
# What a log says counts as going on if its last line is as young as this: pools and probes retry within minutes.
_GOING_ON = 900.0
# A password that was changed within a day may be the reason for a login that fails now; a server must have been up for
# a while before the change, or it is the account's first password.
_CHANGED_LATELY, _FIRST_PASSWORD = 86400.0, 600.0
# A greeting takes a millisecond or two; one that takes a second waited for something, and where the kernel answers a
# connect in no time and the login after it is quick, that something is the lookup of the client's name.
_SLOW_GREETING, _QUICK_CONNECT = 1.0, 0.2
# Both servers take these for localhost without asking anybody (sql/hostname.cc, ip_to_hostname).
_NEVER_LOOKED_UP = ("127.0.0.1", "::1")


def _asked(facts: Facts, *words: str) -> Login | None:
    """The login that was asked for, where it ended in one of these words and somebody did name an account."""
    found, login = db_view.target(facts), db_view.login(facts)
    return login if found and found.account_given and login and login.word in words else None


def _in_vain(facts: Facts, *words: str) -> Login | None:
    """The login that was tried, by whomever, where it ended in one of these words."""
    login = db_view.login(facts)
    return login if login is not None and login.word in words else None


def _with_tls(facts: Facts) -> Login | None:
    return next((i for i in facts.of(Login) if i.attempt == "with-tls"), None)


def _admin(facts: Facts) -> Login | None:
    return next((i for i in facts.of(Login) if i.attempt == "admin" and i.word == "ok"), None)


def _finding(
    spec: Spec, facts: Facts, summary: str, evidence: tuple[Fact | None, ...], resolution: Iterator[Step],
    *, subject: str = "", severity: Severity | None = None, confidence: Confidence = Confidence.CERTAIN,
    against: tuple[Fact, ...] = (), impact: float = 0.9,
) -> Finding:  # fmt: skip
    label = db_view.label(facts)
    return Finding(
        spec, spec.severity if severity is None else severity, confidence, subject or label, summary,
        evidence=tuple(e for e in evidence if e is not None), against=against, resolution=tuple(resolution),
        about=db_view.about(facts, label), impact=impact,
    )  # fmt: skip


ACCESS_DENIED = Spec(
    code="db.access-denied",
    title="the server refuses the user or the password",
    severity=Severity.CRITICAL,
    meaning="The server knows no such account for this client, or the password is another one. It works; whoever uses these "
    "credentials is locked out.",
    told="Error 1045 at our own login (with TLS as well, where it is offered); or ten and more such lines for one account in "
    "the server's log within the window, the last of them recent.",
    not_to_be_taken_for="an account that demands TLS (the same password works with it); one that logs in by another plugin "
    "(1698, 1251, 2059); a person who mistypes a few times.",
    resolution=(
        "compare the password's age with the application's start",
        "give the account the password that is in use",
    ),
    explains=("api.app-exception",),
)


def access_denied(facts: Facts) -> Iterator[Finding]:
    login = _asked(facts, "denied")
    if login is None or tls_is_demanded(facts):
        return
    host, chosen, rows = way.client_host(facts, login), way.matched(facts), way.rows_of(facts, login.user)
    name = way.account_name(facts, login.user, host)
    who = login.account or login.user or "nobody"
    if chosen is not None and chosen not in rows:
        why = f"the server takes {who} for {chosen.subject}, another account"
    elif facts.of(Account) and chosen is None:
        name = way.literal(login.user) + "@" + way.literal(host or "%")
        hosts = ", ".join(r.subject.partition("@")[2].strip("'") for r in rows[:3])
        why = (
            f"{login.user} may come from {hosts} only, not from {host or 'here'}"
            if rows
            else f"there is no account {login.user}"
        )
    elif not login.password:
        why = f"{who} sent no password and has one"
    elif chosen is not None:
        why = f"the password of {chosen.subject} is another one than the client's"
    else:
        why = f"unknown user or wrong password for {who}"
    yield _finding(
        ACCESS_DENIED, facts, f"{login.subject} refuses the login ({login.code or 1045}): {why}",
        (login, _with_tls(facts), chosen, *(r for r in rows if r is not chosen), *_lines(facts, "access-denied", login.user)),
        way.let_in(
            facts, login.user, name, login.password, exists=chosen in rows or not facts.of(Account),
            nameless=chosen.subject if chosen is not None and chosen not in rows and rows else "",
        ),
    )  # fmt: skip


def _lines(facts: Facts, kind: LogKind, user: str = "") -> list[LogEvent]:
    """The lines of this kind in any log, about this user where one is named."""
    return [e for e in facts.of(LogEvent) if e.kind == kind and (not user or e.name.startswith(f"{user}@"))][:3]


SECRET_ROTATED = Spec(
    code="change.secret-rotated",
    title="a password was changed, and a client still uses the old one",
    severity=Severity.CRITICAL,
    meaning="The account's password was changed lately; a client that was not given the new one is refused from then on, while "
    "its old connections live on until they are closed.",
    told="The login is denied with a password, the server says when the password of exactly this account was changed, and the "
    "account worked before: it still holds connections, or the log shows refusals only since then.",
    not_to_be_taken_for="an account that is new and never worked; a client that sends no password.",
    resolution=("give the client the new secret and restart it", "or set the old one again for now"),
    explains=("db.access-denied", "db.replica-stopped"),
)


def secret_rotated(facts: Facts) -> Iterator[Finding]:
    login, chosen = _asked(facts, "denied"), way.matched(facts)
    if login is None or chosen is None or not login.password or tls_is_demanded(facts):
        return
    changed, now = chosen.password_changed_at, chosen.seen_at
    if not chosen.subject.startswith(f"{way.literal(login.user)}@") or changed is None or now is None:
        return
    if not 0 <= now - changed <= _CHANGED_LATELY:
        return
    living = [g for g in facts.of(SessionGroup) if g.subject.startswith(f"{login.user}@")]
    lines = [
        e for e in _lines(facts, "access-denied", login.user) if e.first_at is not None and e.first_at >= changed - 1
    ]
    # A client that wrote before the change and was not refused had an account then; a server writes from its start on.
    least = {"client": 1.0, "server": _FIRST_PASSWORD}
    read = [r for r in facts.of(LogRead) if r.since is not None and changed - r.since > least[r.side]]
    began_then = [e for e in lines if any(r.subject == e.subject for r in read)]
    up = _up_since(facts)
    if not living and not began_then and (up is None or changed - up < _FIRST_PASSWORD):
        return
    held = f"; {number(living[0].count)} of its old connections still work" if living else ""
    yield _finding(
        SECRET_ROTATED, facts,
        f"the password of {chosen.subject} was changed {span(now - changed)} ago, and the client has another one{held}",
        (chosen, login, *living[:2], *began_then[:2]), way.follow(facts, chosen), confidence=Confidence.LIKELY, impact=1.0,
    )  # fmt: skip


def _up_since(facts: Facts) -> float | None:
    """When the server started, by its own word or by its process."""
    info, process = facts.first(ServerInfo), db_view.server(facts)
    if info is not None and info.seen_at is not None:
        return info.seen_at - info.uptime
    return process.seen_at - process.age if process is not None and process.seen_at is not None else None


HOST_NOT_ALLOWED = Spec(
    code="db.host-not-allowed",
    title="no account allows this client's host",
    severity=Severity.CRITICAL,
    meaning="The server has no account at all that may come from this address, so it sends the client away before it has said "
    "who it is.",
    told="Error 1130 instead of a greeting, or such lines in a client's log.",
    not_to_be_taken_for="a wrong password (1045: some account may come from there); a firewall (no packet of the server at all).",
    resolution=("create the account for this host", "where accounts name hosts: look at name resolution"),
)


def host_not_allowed(facts: Facts) -> Iterator[Finding]:
    login = _in_vain(facts, "host-not-allowed")
    if login is None:
        return
    host = way.client_host(facts, login)
    yield _finding(
        HOST_NOT_ALLOWED, facts, f"{login.subject} has no account for clients from {host or 'this address'} (1130)",
        (login, *way.rows_of(facts, login.user)[:3]), way.allow(facts, login.user, host),
    )  # fmt: skip


UNKNOWN_DATABASE = Spec(
    code="db.unknown-database",
    title="the database does not exist",
    severity=Severity.CRITICAL,
    meaning="The login works, and the server has no database of that name: a typing error in the client's settings, a database "
    "that was dropped or renamed, or a restore or migration that did not happen.",
    told="Error 1049; or 1044 where the administrator sees that there is no such database.",
    not_to_be_taken_for="a database that exists and that the account may not use (1044).",
    resolution=("correct the name in the client's settings", "restore or migrate the database"),
)


def unknown_database(facts: Facts) -> Iterator[Finding]:
    login, admin = _asked(facts, "unknown-database", "no-privilege"), _admin(facts)
    if login is None or (login.word == "no-privilege" and (admin is None or admin.database_exists is not False)):
        return
    like = admin.databases_like if admin else ()
    yield _finding(
        UNKNOWN_DATABASE, facts,
        f"{login.subject} has no database {login.database} ({login.code})" + (f"; there is {', '.join(like)}" if like else ""),
        (login, admin), way.find_database(facts, login.database, like),
    )  # fmt: skip


PRIVILEGE_MISSING = Spec(
    code="db.privilege-missing",
    title="the account lacks a right",
    severity=Severity.CRITICAL,
    meaning="The login works, and the account may not do what its program asks: use this database, read or write this table, "
    "call this routine.",
    told="Error 1044 at the login; 1142, 1143, 1227, 1370 or 1449 in a client's log.",
    not_to_be_taken_for="a wrong password (1045 comes before); a database that does not exist, which 1044 hides from accounts "
    "without rights of their own.",
    resolution=("compare SHOW GRANTS with what the program needs", "GRANT exactly that"),
)


def privilege_missing(facts: Facts) -> Iterator[Finding]:
    login, admin = _asked(facts, "no-privilege"), _admin(facts)
    if login is None or (admin is not None and admin.database_exists is False):
        return
    sure = admin is not None and admin.database_exists
    yield _finding(
        PRIVILEGE_MISSING, facts,
        f"{login.account or login.user} may not use the database {login.database} (1044)"
        + ("" if sure else ", if that exists at all"),
        (login, admin, way.matched(facts)),
        way.give(facts, way.account_name(facts, login.user, way.client_host(facts, login)), f"{way.table(login.database)}.*", "SELECT, INSERT, UPDATE, DELETE"),
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
    )  # fmt: skip


AUTH_PLUGIN = Spec(
    code="db.auth-plugin",
    title="client and account disagree on how to prove who it is",
    severity=Severity.CRITICAL,
    meaning="The account logs in by a plugin that this client does not have or cannot use like this: the operating system's "
    "user instead of a password, a method that wants TLS, one that the client's library is too old for.",
    told="Error 1251, 1524, 1698, 2059 or 2061. Where only our own driver lacks the method, it is a note.",
    not_to_be_taken_for="a wrong password (1045): there the plugin ran.",
    resolution=(
        "use TLS, or give the client the server's public key",
        "upgrade the client's library",
        "change the account's plugin",
    ),
)


def auth_plugin(facts: Facts) -> Iterator[Finding]:
    login = _asked(facts, "plugin")
    if login is None:
        return
    row, host = way.matched(facts), way.client_host(facts, login)
    # Numbers from 2000 on are those of a client's library, ours.
    ours = login.code is None or 2000 <= login.code < 3000
    who = login.account or login.user
    if ours:
        summary = f"our own driver cannot log in as {who} does{f' ({row.plugin})' if row else ''}; other clients may"
    elif login.code == 1698:
        summary = f"{who} logs in by the operating system's user (1698), not with a password"
    else:
        summary = f"{who} cannot log in with this client's method ({login.code}): {login.text}"
    yield _finding(
        AUTH_PLUGIN, facts, summary, (login, row), way.same_plugin(facts, login.user, way.account_name(facts, login.user, host), login.code),
        severity=Severity.NOTE if ours else None, confidence=Confidence.LIKELY if ours else Confidence.CERTAIN,
    )  # fmt: skip


TLS_REQUIRED = Spec(
    code="db.tls-required",
    title="the server demands TLS, and the client does not use it",
    severity=Severity.CRITICAL,
    meaning="This account, or the whole server (require_secure_transport), takes encrypted connections only. The password is "
    "right; a client without TLS is refused, on MariaDB with the words of a wrong password.",
    told="The login fails without TLS and works with it, with the same password; or error 3159.",
    not_to_be_taken_for="a wrong password, which fails with TLS as well.",
    resolution=("switch TLS on in the client", "give it the server's CA"),
)


def tls_is_demanded(facts: Facts) -> bool:
    """Whether what was refused without TLS is let in with it, or would be by the account's row."""
    login, second, row = db_view.login(facts), _with_tls(facts), way.matched(facts)
    if login is None or login.tls or login.word not in ("denied", "tls-required"):
        return False
    if second is not None:
        return second.word == "ok" or (second.word != "denied" and login.word == "tls-required")
    return login.word == "tls-required" or (row is not None and bool(row.tls))


def tls_required(facts: Facts) -> Iterator[Finding]:
    login, second, row = db_view.login(facts), _with_tls(facts), way.matched(facts)
    if login is None or not tls_is_demanded(facts):
        return
    worked = second is not None and second.word == "ok"
    missing = "" if login.tls_offered else ", which it does not even offer"
    yield _finding(
        TLS_REQUIRED, facts,
        f"{login.account or login.user} is refused without TLS ({login.code})" + (" and let in with it" if worked else missing),
        (login, second, row), way.use_tls(facts, login),
        confidence=Confidence.CERTAIN if worked or login.code == 3159 else Confidence.LIKELY,
    )  # fmt: skip


TLS_FAILED = Spec(
    code="db.tls-failed",
    title="TLS with the server fails",
    severity=Severity.CRITICAL,
    meaning="Client and server do not come to an encrypted connection that the client accepts. The port and the server work; "
    "the certificate, the CA file or the protocol does not.",
    told="Our own login ends in the handshake (2026), or a client's log says so. The tls.* finding above it says what is wrong.",
    not_to_be_taken_for="a server that demands TLS which the client does not use (3159, 1045).",
    resolution=("renew or replace the certificate", "give the client the right CA file", "agree on a protocol version"),
)


def tls_failed(facts: Facts) -> Iterator[Finding]:
    login = _in_vain(facts, "tls-failed")
    if login is None:
        return
    answer = next((a for a in facts.of(TlsAnswer) if a.word != "ok"), None)
    why = answer.word.replace("-", " ") if answer is not None else "the handshake fails"
    summary = f"TLS with {login.subject} fails: {why}" + (f" ({answer.detail})" if answer and answer.detail else "")
    if answer is not None and answer.word == "unavailable":
        summary = f"the client demands TLS, and {login.subject} offers none"
    elif answer is not None and answer.word == "ca-file":
        summary = f"the client's own CA file cannot be used: {answer.detail}"
    yield _finding(TLS_FAILED, facts, summary, (login, answer), way.mend_tls(facts, answer))


SHUT_OUT = Spec(
    code="db.clients-shut-out",
    title="the server lets nobody in but administrators",
    severity=Severity.CRITICAL,
    meaning="A setting of the running server ends every ordinary session as it begins: offline_mode is on, or the statement in "
    "init_connect fails. Accounts with administrative rights are spared, so an administrator sees nothing of it.",
    told="Error 3032 (offline_mode) or 1184 (init_connect) in answer to our login, with the right password.",
    not_to_be_taken_for="a locked account (4151, 3118); a wrong password (1045); a full server (1040).",
    resolution=(
        "see why it was set",
        "SET GLOBAL offline_mode = OFF, or mend init_connect",
        "the same in the option file",
    ),
)


def shut_out(facts: Facts) -> Iterator[Finding]:
    login = _in_vain(facts, "shut-out")
    if login is None:
        return
    offline = login.code == 3032
    why = "offline_mode is on" if offline else "its init_connect statement fails"
    yield _finding(
        SHUT_OUT, facts, f"{login.subject} ends every ordinary session ({login.code}): {why}", (login,),
        way.open_again(facts, offline=offline),
    )  # fmt: skip


HOST_BLOCKED = Spec(
    code="db.host-blocked",
    title="the server has blocked this client's host",
    severity=Severity.CRITICAL,
    meaning="Too many connections from this host broke off before they had logged in, so the server takes none from it any "
    "more, until its host cache is flushed. Health checks that only open the port, and port scans, do that.",
    told="Error 1129 instead of a greeting, or such lines in a client's log.",
    not_to_be_taken_for="no account for the host (1130); a wrong password (1045), which does not count towards this.",
    resolution=("flush the host cache", "mend the probe that opens the port and leaves", "raise max_connect_errors"),
)


def host_blocked(facts: Facts) -> Iterator[Finding]:
    login = _in_vain(facts, "host-blocked")
    if login is None:
        return
    host = way.client_host(facts, login)
    broken = [e for e in facts.of(LogEvent) if e.kind == "unauthenticated"]
    yield _finding(
        HOST_BLOCKED, facts, f"{login.subject} has blocked {host or 'this host'} after too many broken connections (1129)",
        (login, *broken[-2:], facts.first(ServerInfo)), way.unblock(facts, host),
    )  # fmt: skip


ACCOUNT_LOCKED = Spec(
    code="db.account-locked",
    title="the account is locked, or its password has expired",
    severity=Severity.CRITICAL,
    meaning="User and password are right, and the account may not be used: somebody locked it, too many wrong passwords did, or "
    "its password is older than it may be.",
    told="Error 3118, 3955, 4150 or 4151 (locked), 1820 or 1862 (expired), at our login or in a client's log.",
    not_to_be_taken_for="a wrong password (1045).",
    resolution=("unlock it", "set a new password; let service accounts not expire"),
)


def account_locked(facts: Facts) -> Iterator[Finding]:
    login = _asked(facts, "locked", "expired")
    if login is None:
        return
    name = way.account_name(facts, login.user, way.client_host(facts, login))
    what = "its password has expired" if login.word == "expired" else "it is locked"
    if login.code in (3955, 4150):
        what = "too many wrong passwords have locked it"
    yield _finding(
        ACCOUNT_LOCKED, facts, f"{name} may not log in: {what} ({login.code})", (login, way.matched(facts)),
        way.unlock(facts, name, login.word == "expired", login.code),
    )  # fmt: skip


NAME_RESOLUTION_SLOW = Spec(
    code="db.name-resolution-slow",
    title="the server takes long to look up its clients' names",
    severity=Severity.WARNING,
    meaning="For every client that is new to it the server asks for the name of its address before it greets. Where no name "
    "server answers, each connection waits for that, seconds long.",
    told="The connect is quick, the greeting takes a second or more (or does not come, while the server's socket answers at "
    "once), the login after it is quick again, and the server's log or its list of sessions says why.",
    not_to_be_taken_for="a network that is slow (the connect is as well); a server that hangs (its socket is mute, too).",
    resolution=("skip_name_resolve, where all accounts are by address", "mend the server's resolver"),
)


def name_resolution_slow(facts: Facts) -> Iterator[Finding]:
    found, greeting, info = db_view.target(facts), facts.first(Greeting), facts.first(ServerInfo)
    opened = next((a for a in facts.of(TcpAnswer) if a.word == "open"), None)
    if found is None or greeting is None or opened is None or found.socket or opened.seconds > _QUICK_CONNECT:
        return
    if opened.address in _NEVER_LOOKED_UP:
        return
    if (
        greeting.word not in ("mysql", "silent")
        or greeting.seconds < _SLOW_GREETING
        or (info is not None and info.skip_name_resolve)
    ):
        return
    inside = [i for i in facts.of(Login) if i.word == "ok" and i.seconds < greeting.seconds / 4]
    lines = [e for e in facts.of(LogEvent) if e.kind == "unresolved"]
    waiting = [s for s in facts.of(Session) if s.waits_for == "login"]
    if not inside or (greeting.word == "silent" and not lines and not waiting):
        return
    silent = greeting.word == "silent"
    said = f"says nothing for {span(greeting.seconds)}" if silent else f"greets after {span(greeting.seconds)}"
    quick = f"{'its socket answers' if silent else 'the login after it takes'} {'in ' if silent else ''}{span(inside[0].seconds)}"
    yield _finding(
        NAME_RESOLUTION_SLOW, facts,
        f"{found.subject} {said}, while {quick}: the server looks up the client's name",
        (greeting, opened, inside[0], *lines[-2:], *waiting[:2]), way.no_names(facts, way.client_host(facts, None)),
        severity=Severity.CRITICAL if silent else Severity.WARNING,
        confidence=Confidence.CERTAIN if lines and not silent else Confidence.LIKELY, impact=0.7,
    )  # fmt: skip


def denied_in_the_logs(facts: Facts) -> Iterator[Finding]:
    """Others than we who are refused again and again."""
    found, login = db_view.target(facts), db_view.login(facts)
    events = [e for e in facts.of(LogEvent) if e.kind == "access-denied" and _goes_on(e)]
    for name in dict.fromkeys(e.name for e in sorted(events, key=lambda e: -e.count)):
        mine = [e for e in events if e.name == name]
        user = name.rpartition("@")[0] or name
        # Our own attempts leave such lines as well, and those of an account that nobody named say nothing.
        if (
            found is not None
            and user == found.user
            and (login is None or login.word != "ok" or not found.account_given)
        ):
            continue
        count = sum(e.count for e in mine if e.side == "server")
        if count < _MANY_DENIED and not any(e.side == "client" for e in mine):
            continue
        count = count or sum(e.count for e in mine)
        yield _finding(
            ACCESS_DENIED, facts,
            f"{name or 'an account'} was refused {'once' if count == 1 else f'{count:,} times'} (1045), last {_ago(mine[-1])}",
            (*mine[:3], *way.rows_of(facts, user)[:2]),
            way.let_in(facts, user, way.account_name(facts, user, name.rpartition("@")[2]), "using password: NO" not in mine[-1].text),
            subject=f"account {name}" if name else "", severity=Severity.WARNING, confidence=Confidence.LIKELY, impact=0.5,
        )  # fmt: skip
        return  # one is enough to know; the others stand in the log


def _goes_on(event: LogEvent) -> bool:
    """Whether the last such line is young, or bears no time at all."""
    return event.happened_at is None or event.seen_at is None or event.seen_at - event.happened_at <= _GOING_ON


def _ago(event: LogEvent) -> str:
    if event.happened_at is None or event.seen_at is None:
        return "at an unknown time"
    return f"{span(max(0.0, event.seen_at - event.happened_at))} ago"


# What a line about a client's login means, by its kind; and how our own login ends where it meets the same.
_SAID: dict[LogKind, tuple[Spec, LoginWord]] = {
    "host-not-allowed": (HOST_NOT_ALLOWED, "host-not-allowed"), "host-blocked": (HOST_BLOCKED, "host-blocked"),
    "account-locked": (ACCOUNT_LOCKED, "locked"), "auth-plugin": (AUTH_PLUGIN, "plugin"),
    "unknown-database": (UNKNOWN_DATABASE, "unknown-database"), "tls-required": (TLS_REQUIRED, "tls-required"),
    "tls-failed": (TLS_FAILED, "tls-failed"), "privilege": (PRIVILEGE_MISSING, "no-privilege"),
    "no-db-access": (PRIVILEGE_MISSING, "no-privilege"),
}  # fmt: skip


def said_in_the_logs(facts: Facts) -> Iterator[Finding]:
    """What a client's log, or many lines of the server's, say of logins and rights, where our own login met nothing."""
    told: set[str] = set()
    for kind, (spec, word) in _SAID.items():
        events = [e for e in facts.of(LogEvent) if e.kind == kind and _goes_on(e)]
        heard = [e for e in events if e.side == "client" or e.count >= _MANY_DENIED]
        if not heard or spec.code in told or _in_vain(facts, word) is not None:
            continue
        told.add(spec.code)
        last = heard[-1]
        about = ", ".join(str(part) for part in (last.number, last.name) if part)
        whose = "a client's" if last.side == "client" else "the server's"
        yield _finding(
            spec, facts, f"{spec.title}{f' ({about})' if about else ''}: so says {whose} log, last {_ago(last)}",
            tuple(heard[:3]), way.for_line(last, facts), severity=Severity.WARNING, confidence=Confidence.LIKELY, impact=0.5,
        )  # fmt: skip


RULES = (
    access_denied, denied_in_the_logs, secret_rotated, host_not_allowed, unknown_database, privilege_missing, auth_plugin,
    tls_required, tls_failed, shut_out, host_blocked, account_locked, name_resolution_slow, said_in_the_logs,
)  # fmt: skip

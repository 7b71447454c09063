"""Logins that are turned away, and those that only look like it; and why TLS fails."""

from __future__ import annotations

from typing import Any

from rbdiag.facts.db import Account, DbTarget, Greeting, Login, OptionValue, ServerProcess
from rbdiag.facts.logs import LogEvent, LogKind, LogRead
from rbdiag.facts.net import Listener, TcpAnswer
from rbdiag.facts.sessions import ServerInfo, Session, SessionGroup
from rbdiag.facts.tls import Certificate, TlsAnswer, TlsWord
from rbdiag.model import Fact, Facts
from tests.diagnose import db_world as w
from tests.diagnose.row import Row

APP_LOG = "/var/log/shop/app.log"
DENIED = "Access denied for user 'app'@'10.0.0.9' (using password: YES)"
_INSIDE = {Account, SessionGroup, Session, ServerInfo}


def asked(word: str, code: int | None, text: str = "", **changes: Any) -> Login:
    """Our own login, turned away."""
    usual = {"tls": False, "tls_offered": False, "account": "app@10.0.0.9"}
    return w.make(Login, **({"word": word, "code": code, "text": text} | usual | changes))


def admin(**changes: Any) -> Login:
    """The administrator, who gets in beside the server."""
    return w.make(Login, attempt="admin", user="root", password=False, database="", **changes)


def account(subject: str = "'app'@'%'", **changes: Any) -> Account:
    return w.make(Account, subject=subject, **changes)


def afar(*facts: Fact | list[Fact], **target: Any) -> Facts:
    """A server elsewhere, into which we do not get: nothing is seen of its inside."""
    outside = w.World(tuple(f for f in w.afar().facts if f.check != "db.sessions" and type(f) not in _INSIDE))
    subject = {"subject": w.REMOTE, "host": "db1", "local": False}
    named = [
        f.__class__(**(f.__dict__ | {"subject": w.REMOTE})) if type(f) in (Login, Greeting) else f for f in _flat(facts)
    ]
    return outside.but(w.make(DbTarget, **(subject | target)), *named)


def _flat(facts: tuple[Fact | list[Fact], ...]) -> list[Fact]:
    return [f for fact in facts for f in (fact if isinstance(fact, list) else [fact])]


def line(
    kind: LogKind, text: str, count: int = 1, ago: float = 60.0, *, side: str = "client", **changes: Any
) -> LogEvent:
    """Such lines in a log, the last of them so many seconds ago."""
    log = APP_LOG if side == "client" else w.ERROR_LOG
    at = w.NOW - ago
    return w.make(
        LogEvent, **({"subject": log, "side": side, "kind": kind, "text": text, "count": count, "happened_at": at,
                      "first_at": at - count * 20} | changes),
    )  # fmt: skip


def handshake(word: TlsWord, detail: str = "", *, verified: bool = True, **certificate: Any) -> list[Fact]:
    """TLS that failed (or, unverified, went well over a certificate that would not have done), and the login with it."""
    shown = w.make(Certificate, **certificate)
    if not verified:
        return [w.make(TlsAnswer, would=word), shown]
    return [
        w.make(TlsAnswer, word=word, verified=True, version="", cipher="", detail=detail), shown,
        asked("tls-failed", 2026, detail, tls_offered=True, account=""),
    ]  # fmt: skip


def tls(word: TlsWord, detail: str = "", **certificate: Any) -> Facts:
    return w.beside().without(Account).but(*handshake(word, detail, **certificate))


over_the_lan = w.make(TcpAnswer, subject="10.0.0.9:3306", host="10.0.0.9", address="10.0.0.9")
slow = w.make(Greeting, seconds=2.0)
quick = w.make(Login, seconds=0.002)
unresolved = line("unresolved", "IP address '10.0.0.9' could not be resolved: Temporary failure in name resolution",
                  side="server", name="10.0.0.9")  # fmt: skip
refused_often = line("access-denied", DENIED, 40, side="server", name="app2@10.0.0.9", number=1045)
rotated = account(password_changed_at=w.NOW - 1800)
unclear = w.make(SessionGroup, subject="batch@10.0.0.7")
day = {"not_before": w.NOW - 90_000, "not_after": w.NOW - 3600}

ROWS: list[Row] = [
    # the password
    Row("a password is wrong, and the account is seen by the administrator",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account()), "db.access-denied", w.LOCAL,
        says="the password of 'app'@'%' is another one than the client's"),
    Row("a password is wrong, and nobody lets us look inside", afar(asked("denied", 1045, DENIED)), "db.access-denied",
        w.REMOTE, says="unknown user or wrong password for app@10.0.0.9"),
    Row("no password is sent",
        w.beside().but(asked("denied", 1045, DENIED, password=False), admin(), account()), "db.access-denied", says="sent no password"),
    Row("the user is known for other hosts only",
        w.beside().but(asked("denied", 1045, DENIED), admin(), [account("'app'@'10.0.0.8'", matches=False)]), "db.access-denied",
        says="app may come from 10.0.0.8 only, not from 10.0.0.9"),
    Row("there is no such user",
        w.beside().but(asked("denied", 1045, DENIED), admin(), [account("''@'localhost'", matches=False)]), "db.access-denied",
        says="there is no account app"),
    Row("the nameless account of localhost takes the client",
        w.beside().but(asked("denied", 1045, DENIED, account="app@localhost"), admin(),
                       [account("''@'localhost'"), account(matches=False)]),
        "db.access-denied", says="takes app@localhost for ''@'localhost', another account"),
    Row("it is denied with TLS as well",
        afar([asked("denied", 1045, DENIED, tls_offered=True), asked("denied", 1045, DENIED, attempt="with-tls", tls=True, tls_offered=True)]),
        "db.access-denied", never=("db.tls-required",)),
    Row("nobody named an account, and the system's user may not log in",
        afar(asked("denied", 1045, DENIED), account_given=False), None, never=("db.access-denied",)),
    Row("a password was just set, for an account that never worked",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account(password_changed_at=w.NOW - 30), unclear,
                       w.make(ServerInfo, uptime=60.0)),
        "db.access-denied", never=("change.secret-rotated",)),
    Row("another account's password was changed",
        w.beside().but(asked("denied", 1045, DENIED), admin(), [account("'app'@'10.0.0.8'", matches=False, password_changed_at=w.NOW - 60),
                                                               account()], unclear),
        "db.access-denied", never=("change.secret-rotated",)),
    # the password was changed
    Row("a password was changed, and old connections live on",
        w.beside().but(asked("denied", 1045, DENIED), admin(), rotated), "change.secret-rotated", w.LOCAL,
        says="was changed 30 min ago, and the client has another one; 77 of its old connections still work"),
    Row("a password was changed, and the refusals began with that",
        w.beside().but(asked("denied", 1045, DENIED), admin(), rotated, unclear, w.make(ServerInfo, uptime=1850.0),
                       w.make(LogRead, since=w.NOW - 3000),
                       line("access-denied", DENIED, 30, side="server", name="app@10.0.0.9", first_at=w.NOW - 1790)),
        "change.secret-rotated"),
    Row("a password was changed, and the client's own log, which begins before, has refusals only since then",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account(password_changed_at=w.NOW - 40), unclear,
                       w.make(ServerInfo, uptime=60.0), w.make(LogRead, subject=APP_LOG, side="client", since=w.NOW - 50),
                       line("access-denied", DENIED, 3, 1.0, name="app@10.0.0.9", first_at=w.NOW - 30)),
        "change.secret-rotated"),
    Row("a client's log begins with the refusals",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account(password_changed_at=w.NOW - 40), unclear,
                       w.make(ServerInfo, uptime=60.0), w.make(LogRead, subject=APP_LOG, side="client", since=w.NOW - 30),
                       line("access-denied", DENIED, 3, 1.0, name="app@10.0.0.9", first_at=w.NOW - 30)),
        "db.access-denied", never=("change.secret-rotated",)),
    Row("a password was changed on a server that has long been up",
        w.beside().but(asked("denied", 1045, DENIED), admin(), rotated, unclear), "change.secret-rotated"),
    Row("a password was changed the day before yesterday",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account(password_changed_at=w.NOW - 2 * 86400)), "db.access-denied",
        never=("change.secret-rotated",)),
    Row("a password was changed, and the client sends none",
        w.beside().but(asked("denied", 1045, DENIED, password=False), admin(), rotated), "db.access-denied",
        never=("change.secret-rotated",)),
    # others are refused, says the log
    Row("another account is refused again and again", w.beside().but(refused_often), "db.access-denied",
        "account app2@10.0.0.9", says="app2@10.0.0.9 was refused 40 times"),
    Row("an application's own log says that it is refused", w.afar().but(line("access-denied", DENIED, name="app@10.0.0.9")),
        "db.access-denied"),
    Row("somebody mistyped a password a few times",
        w.beside().but(line("access-denied", DENIED, 9, side="server", name="eve@10.0.0.9")), None, never=("db.access-denied",)),
    Row("an account was refused often, and no more since half an hour",
        w.beside().but(line("access-denied", DENIED, 400, 1800.0, side="server", name="app2@10.0.0.9")), None),
    Row("the log holds the attempts of our own user that nobody named",
        w.beside().but(w.make(DbTarget, account_given=False, user="root"),
                       line("access-denied", DENIED, 60, side="server", name="root@localhost")), None),
    # hosts
    Row("no account is for this host",
        afar(asked("host-not-allowed", 1130, "Host '10.0.0.9' is not allowed to connect to this MariaDB server"),
             w.make(Greeting, word="error", code=1130, text="Host '10.0.0.9' is not allowed")),
        "db.host-not-allowed", w.REMOTE, says="no account for clients from 10.0.0.9"),
    Row("the account names a host, and names are not looked up",
        w.beside().but(asked("host-not-allowed", 1130, "Host '10.0.0.9' is not allowed"), admin(),
                       account("'app'@'web1.example.net'", matches=False), w.make(ServerInfo, skip_name_resolve=True)),
        "db.host-not-allowed"),
    Row("an account names a host and names are looked up",
        w.beside().but(asked("host-not-allowed", 1130, "Host '10.0.0.9' is not allowed"), admin(),
                       account("'app'@'web1.example.net'", matches=False)),
        "db.host-not-allowed"),
    Row("a client's log says that its host is not allowed",
        w.beside().but(line("host-not-allowed", "Host '10.0.0.7' is not allowed to connect", name="10.0.0.7", number=1130)),
        "db.host-not-allowed", says="(1130, 10.0.0.7)"),
    Row("the host is blocked",
        afar(asked("host-blocked", 1129, "Host '10.0.0.9' is blocked"), w.make(Greeting, word="error", code=1129)),
        "db.host-blocked", says="has blocked 10.0.0.9"),
    Row("the host is blocked, and the limit is high already",
        w.beside().but(asked("host-blocked", 1129, "Host '10.0.0.9' is blocked"), admin(), w.make(ServerInfo, max_connect_errors=1_000_000)),
        "db.host-blocked"),
    # databases and rights
    Row("the database does not exist, and one is named alike",
        w.beside().but(asked("unknown-database", 1049, "Unknown database 'shop'"),
                       admin(database_exists=False, databases_like=("shop_live",))),
        "db.unknown-database", says="has no database shop (1049); there is shop_live"),
    Row("an account without rights asks for a database that does not exist",
        w.beside().but(asked("no-privilege", 1044), admin(database_exists=False)), "db.unknown-database", never=("db.privilege-missing",)),
    Row("an account has no right to a database that exists",
        w.beside().but(asked("no-privilege", 1044), admin(database_exists=True), account()), "db.privilege-missing",
        says="may not use the database shop (1044)"),
    Row("an account has no right to a database, and nobody knows whether it exists", afar(asked("no-privilege", 1044)),
        "db.privilege-missing", says="if that exists at all"),
    Row("an application lacks a right on a table",
        w.afar().but(line("privilege", "(1142, \"INSERT command denied to user 'ro'@'10.0.0.9' for table `shop`.`orders`\")",
                          number=1142, name="INSERT")),
        "db.privilege-missing"),
    Row("an application runs a view whose author is gone",
        w.afar().but(line("privilege", "(1449, \"The user specified as a definer does not exist\")", number=1449)), "db.privilege-missing"),
    Row("the server's log shows one try at a foreign database",
        w.beside().but(line("no-db-access", "Access denied for user 'eve'@'h' to database 'shop'", side="server", name="eve@h")), None),
    Row("the server's log shows many tries at a database",
        w.beside().but(line("no-db-access", "Access denied for user 'web'@'h' to database 'shop'", 50, side="server", name="web@h")),
        "db.privilege-missing"),
    Row("an application's log says that its database is unknown",
        w.afar().but(line("unknown-database", "Unknown database 'nodb'", name="nodb", number=1049)), "db.unknown-database"),
    Row("an application's error is of half an hour ago",
        w.afar().but(line("unknown-database", "Unknown database 'nodb'", ago=1800.0, name="nodb", number=1049)), None),
    # plugins
    Row("an account logs in by the system's user",
        w.beside().but(asked("plugin", 1698, "Access denied for user 'app'@'localhost'"), admin(), account(plugin="unix_socket")),
        "db.auth-plugin", says="by the operating system's user (1698)"),
    Row("the plugin of an account is not loaded", afar(asked("plugin", 1524, "Plugin 'x' is not loaded")), "db.auth-plugin"),
    Row("our own driver does not speak the account's method",
        w.beside().but(asked("plugin", None, "RuntimeError: PyNaCl is needed"), admin(), account(plugin="ed25519")), None,
        notes=("db.auth-plugin",)),
    Row("an application's library is too old",
        w.afar().but(line("auth-plugin", "Authentication plugin 'caching_sha2_password' cannot be loaded", name="caching_sha2_password", number=2059)),
        "db.auth-plugin"),
    # locked
    Row("an account is locked",
        w.beside().but(asked("locked", 4151, "Access denied, this account is locked"), admin(), account(locked=True)),
        "db.account-locked", says="'app'@'%' may not log in: it is locked"),
    Row("a password has expired", afar(asked("expired", 1862, "Your password has expired", account="")), "db.account-locked",
        says="its password has expired"),
    Row("too many wrong passwords", afar(asked("locked", 4150, "User is blocked", account="")), "db.account-locked",
        says="too many wrong passwords"),
    Row("an application's account is locked",
        w.afar().but(line("account-locked", "Access denied, this account is locked", number=4151)), "db.account-locked"),
    # TLS is demanded
    Row("an account demands TLS",
        w.beside().but([asked("denied", 1045, DENIED, tls_offered=True),
                        w.make(Login, attempt="with-tls", account="app@%")], w.make(DbTarget, tls="off")),
        "db.tls-required", never=("db.access-denied",), says="and let in with it"),
    Row("the server demands TLS",
        afar([asked("tls-required", 3159, "insecure transport", tls_offered=True, account=""), w.make(Login, attempt="with-tls")], tls="off"),
        "db.tls-required"),
    Row("the server demands TLS and offers none", afar(asked("tls-required", 3159, "insecure transport", account="")), "db.tls-required",
        says="which it does not even offer"),
    Row("the account demands TLS, and the server offers none",
        w.beside().but(asked("denied", 1045, DENIED), admin(), account(tls="ANY")), "db.tls-required", never=("db.access-denied",)),
    Row("the server demands TLS of all, as its variable says",
        w.beside().but([asked("tls-required", 3159, "", tls_offered=True), w.make(Login, attempt="with-tls")],
                       w.make(ServerInfo, require_secure_transport=True)),
        "db.tls-required"),
    Row("an application does not use TLS", w.afar().but(line("tls-required", "insecure transport are prohibited", number=3159)),
        "db.tls-required"),
    # TLS fails
    Row("the certificate has expired", tls("expired", "certificate has expired (code 10)", **day), "tls.expired", w.LOCAL,
        says=f"the certificate of {w.LOCAL} expired 1 h ago"),
    Row("a certificate above the server's has expired", tls("expired", "certificate has expired (code 10)"), "tls.expired",
        says="a certificate above"),
    Row("the certificate has expired, and we do not verify it",
        w.beside().but(*handshake("expired", verified=False, **day)), None, notes=("tls.expired",)),
    Row("the certificate ends in three days of ninety",
        w.beside().but(w.make(Certificate, not_before=w.NOW - 87 * 86400, not_after=w.NOW + 3 * 86400)), None, notes=("tls.expired",)),
    Row("the certificate ends in twenty days", w.beside().but(w.make(Certificate, not_after=w.NOW + 20 * 86400)), None,
        never=("tls.expired",)),
    Row("a certificate for one day has ten hours left",
        w.beside().but(w.make(Certificate, not_before=w.NOW - 14 * 3600, not_after=w.NOW + 10 * 3600)), None, never=("tls.expired",)),
    Row("the certificate begins tomorrow",
        tls("not-yet-valid", "not yet valid (code 9)", not_before=w.NOW + 86400), "tls.not-yet-valid", says="begins in 1 d"),
    Row("the certificate is for another name", tls("wrong-name", "Hostname mismatch (code 62)"), "tls.hostname-mismatch",
        says="is for db1, not for 127.0.0.1"),
    Row("an address is used of a certificate for names, and we do not verify", w.beside().but(*handshake("wrong-name", verified=False)), None),
    Row("the certificate is of a foreign CA", tls("unknown-ca", "unable to get local issuer certificate (code 20)"), "tls.unknown-ca",
        says="issued by Our CA, which this client does not trust"),
    Row("an intermediate is not sent", tls("missing-intermediate", "unable to get local issuer certificate (code 20)", chain=1),
        "tls.missing-intermediate"),
    Row("the certificate signed itself", tls("self-signed", "self-signed certificate (code 18)", self_signed=True, chain=1), "tls.self-signed"),
    Row("a server made its own certificate, and we do not verify",
        w.beside().but(*handshake("self-signed", verified=False, self_signed=True, chain=1)), None),
    Row("no TLS version in common", tls("protocol", "tlsv1 alert protocol version"), "tls.protocol-mismatch"),
    Row("the server wants a certificate of us", tls("client-certificate", "tlsv13 alert certificate required"), "tls.client-cert-or-key"),
    Row("the account wants a certificate of us",
        w.beside().but(asked("denied", 1045, DENIED, tls=True, tls_offered=True), admin(), account(tls="X509")), "tls.client-cert-or-key",
        says="demands a certificate of its client (REQUIRE X509)"),
    Row("the server cannot load its key, and TLS is wanted",
        w.beside().but(w.make(TlsAnswer, word="unavailable", verified=True), asked("tls-failed", None, "the server offers no TLS"),
                       w.make(OptionValue, subject="ssl_cert", written="ssl_cert", value="/etc/mysql/cert.pem"),
                       line("tls-key", "[ERROR] SSL error: Unable to get private key", side="server")),
        "tls.client-cert-or-key"),
    Row("the server could not load its key, and goes on without TLS",
        w.beside().but(line("tls-key", "[Warning] SSL error: Unable to get private key", side="server")), "tls.client-cert-or-key"),
    Row("the server cannot load its key, and does not start",
        w.beside().without(Login, Greeting, TlsAnswer, Certificate, TcpAnswer, ServerProcess, Account, Listener).but(
            w.make(TcpAnswer, word="refused", errno=111, open_tries=0),
            [line("tls-key", "[ERROR] SSL error: Unable to get private key", side="server"),
             line("aborting", "[ERROR] Aborting", side="server")]),
        "tls.client-cert-or-key", says="does not start"),
    Row("the server could not load its key before its last start",
        w.beside().but(line("tls-key", "[Warning] SSL error: Unable to get private key", ago=7200.0, side="server"),
                       line("ready", "ready for connections", ago=3600.0, side="server")),
        None),
    Row("plain text comes where TLS was agreed", tls("plaintext", "wrong version number"), "tls.plaintext-mismatch"),
    Row("TLS is wanted and not offered",
        w.beside().but(w.make(TlsAnswer, word="unavailable", verified=True), asked("tls-failed", None, "the server offers no TLS")),
        "db.tls-failed", says="the client demands TLS, and 127.0.0.1:3306 offers none"),
    Row("the CA file is not there",
        w.beside().but(w.make(TlsAnswer, word="ca-file", verified=True, detail="/etc/ca.pem: No such file or directory"),
                       asked("tls-failed", None, "", tls=True, tls_offered=True)),
        "db.tls-failed", says="the client's own CA file cannot be used: /etc/ca.pem"),
    Row("an application's TLS fails", w.afar().but(line("tls-failed", "ERROR 2026 (HY000): TLS/SSL error: certificate has expired", number=2026)),
        "db.tls-failed"),
    # names that take long
    Row("the greeting takes two seconds, and the log says why", w.beside().but(slow, quick, unresolved, over_the_lan), "db.name-resolution-slow",
        says="greets after 2.0 s, while the login after it takes 2.0 ms"),
    Row("the greeting takes two seconds, from afar", w.afar().but(w.make(Greeting, subject=w.REMOTE, seconds=2.0)), "db.name-resolution-slow"),
    Row("nothing is said over TCP, and the socket answers at once",
        w.beside().but(w.make(Greeting, word="silent", seconds=4.5), admin(seconds=0.002), unresolved, over_the_lan,
                       w.make(Session, subject="session 9", id=9, user="unauthenticated user", command="Connect", state="login",
                              waits_for="login")),
        "db.name-resolution-slow", never=("db.hung",), says="says nothing for 4.5 s"),
    Row("it greets late on loopback, whose name nobody looks up", w.beside().but(slow, quick, unresolved), None),
    Row("it says nothing on loopback, and its socket answers at once",
        w.beside().but(w.make(Greeting, word="silent", seconds=4.5), admin(seconds=0.002)), "db.hung", never=("db.name-resolution-slow",)),
    Row("init_connect fails for everybody", w.beside().but(asked("shut-out", 1184, "init_connect command failed")), "db.clients-shut-out",
        says="init_connect"),
    Row("the server is set offline", afar(asked("shut-out", 3032, "The server is currently in offline mode")), "db.clients-shut-out",
        says="offline_mode is on"),
    Row("the greeting takes nine tenths of a second", w.beside().but(w.make(Greeting, seconds=0.9), unresolved), None),
    Row("a name is not known, and nothing takes long", w.beside().but(unresolved), None, never=("db.name-resolution-slow",)),
    Row("all is slow: the connect as well",
        w.beside().but(slow, unresolved, w.make(TcpAnswer, seconds=1.1)), None, never=("db.name-resolution-slow",)),
    Row("names are not looked up, and the greeting is slow",
        w.beside().but(slow, w.make(ServerInfo, skip_name_resolve=True)), None, never=("db.name-resolution-slow",)),
]  # fmt: skip

CHAINS: list[tuple[str, Facts, str, str]] = [
    ("a changed password explains the refusal", w.beside().but(asked("denied", 1045, DENIED), admin(), rotated),
     "change.secret-rotated", "db.access-denied"),
    ("a certificate demanded by the account explains the refusal",
     w.beside().but(asked("denied", 1045, DENIED, tls=True, tls_offered=True), admin(), account(tls="X509")),
     "tls.client-cert-or-key", "db.access-denied"),
    *((f"{cause} explains that TLS fails", tls(word), cause, "db.tls-failed") for word, cause in (
        ("expired", "tls.expired"), ("not-yet-valid", "tls.not-yet-valid"), ("wrong-name", "tls.hostname-mismatch"),
        ("unknown-ca", "tls.unknown-ca"), ("missing-intermediate", "tls.missing-intermediate"),
        ("self-signed", "tls.self-signed"), ("protocol", "tls.protocol-mismatch"), ("plaintext", "tls.plaintext-mismatch"),
    )),
]  # fmt: skip

"""Databases that answer and let nobody in: accounts, limits, TLS; and those that let in and then refuse."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import sys
import time
from functools import partial

import trustme

from tests.lab import dbs
from tests.lab.dbs import (
    PASSWORD,
    USER,
    application,
    as_client,
    code_from,
    db_fault,
    far,
    make,
    prove_code,
    prove_far,
    running,
    shop,
)
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab, NotInEffect
from tests.servers.database import Database
from tests.servers.mariadb import MariaDB

FAR = ("root", "ip")

# Passwords and accounts. The functions without a decorator are asked of MySQL too.


def wrong_password(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    prove_code(lab, 1045, shop(server, password="not-it"))
    prove_code(lab, 0, shop(server))
    yield Fault(shown=(USER,), argv=as_client(lab, server, password="not-it"))


@db_fault("db.access-denied", fast=True)
def db_wrong_password(lab: Lab) -> Setup:
    """The application has a wrong password."""
    yield from wrong_password(lab, MariaDB)


@db_fault("db.access-denied")
def db_no_password(lab: Lab) -> Setup:
    """The application sends no password, where one is needed."""
    server = running(lab)
    prove_code(lab, 1045, shop(server, password=""))
    yield Fault(shown=(USER,), argv=("db", f"mysql://{USER}@127.0.0.1:{server.port}/shop"))


@db_fault("db.access-denied")
def db_unknown_user(lab: Lab) -> Setup:
    """The application logs in as somebody whom the server does not know; the password is in a file of its own."""
    server = running(lab)
    server.sql("CREATE USER other@'%' IDENTIFIED BY 'x'")
    prove_code(lab, 1045, shop(server, user="shop_ro"))
    secret = lab.write("password", PASSWORD + "\n", 0o600)
    argv = ("db", "-H", "127.0.0.1", "-P", str(server.port), "-u", "shop_ro", "--password-file", str(secret))
    yield Fault(shown=("shop_ro",), argv=argv)


@db_fault("db.access-denied", needs=(*FAR, "unshare"))
def db_wrong_password_from_afar(lab: Lab) -> Setup:
    """A wrong password, from another host."""
    server, client, _ = far(lab)
    prove_far(lab, client, 1045, password="not-it")
    argv = as_client(lab, server, host="10.90.77.2", password="not-it")
    yield Fault(shown=(USER,), argv=argv, before=dbs.afar(client))


@db_fault("change.secret-rotated", allowed=("db.access-denied",))
def db_secret_rotated(lab: Lab) -> Setup:
    """The password was changed a moment ago; the application still has the old one, and logs that it is denied."""
    server = running(lab)
    log = lab.folder / "shop.log"
    application(lab, server, ["SELECT 1", "log order 17 saved"], forever=0.3, again=True, log=log)
    time.sleep(3)  # the server remembers the second of a change, and no part of it
    _rotate(server)
    prove_code(lab, 1045, shop(server))
    lab.prove("denied logins in its log", lambda: log.read_text().count("1045"), at_least=1)
    yield Fault(shown=(USER,), argv=as_client(lab, server, "--log", str(log)))


@db_fault("change.secret-rotated", allowed=("db.access-denied",))
def db_secret_rotated_under_a_pool(lab: Lab) -> Setup:
    """The same; the application's old connections live on, and nobody names a log."""
    server = running(lab)
    application(lab, server, *[["SELECT 1"]] * 3)
    _rotate(server)
    prove_code(lab, 1045, shop(server))
    lab.prove("old sessions", lambda: dbs.sessions(server, user=USER), at_least=3)
    yield Fault(shown=(USER,), argv=as_client(lab, server))


def _rotate(server: Database) -> None:
    server.sql(f"ALTER USER {USER}@'%' IDENTIFIED BY 'orders-8-Fink'")


@db_fault("db.host-not-allowed", needs=(*FAR, "unshare"))
def db_host_not_allowed(lab: Lab) -> Setup:
    """The account exists for one host only, and the client is another."""
    server, client, _ = far(lab)
    _only_here(server)
    prove_far(lab, client, 1130)
    yield Fault(shown=("10.90.77.1",), argv=as_client(lab, server, host="10.90.77.2"), before=dbs.afar(client))


@db_fault("db.host-not-allowed", needs=FAR)
def db_host_not_allowed_without_account(lab: Lab) -> Setup:
    """The same, where nobody told an account: the server says so before it asks for one."""
    server, client, _ = far(lab, port=3310)
    _only_here(server)
    prove_far(lab, client, 1130, port=3310)
    yield Fault(("10.90.77.2:3310",), argv=("db", "10.90.77.2:3310"), before=dbs.inside(client))


def _only_here(server: Database) -> None:
    server.sql(f"RENAME USER {USER}@'%' TO {USER}@'127.0.0.1'", "FLUSH PRIVILEGES")


def unknown_database(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    server.account("admin", PASSWORD)
    prove_code(lab, 1049, shop(server, user="admin", database="shop_prod"))
    yield Fault(shown=("shop_prod",), argv=as_client(lab, server, "-D", "shop_prod", user="admin"))


@db_fault("db.unknown-database")
def db_unknown_database(lab: Lab) -> Setup:
    """The application asks for a schema that does not exist."""
    yield from unknown_database(lab, MariaDB)


@db_fault("db.unknown-database", "db.privilege-missing")
def db_unknown_database_without_rights(lab: Lab) -> Setup:
    """The same with an account that may not know of other schemas: the server only says that it has no right."""
    server = running(lab)
    prove_code(lab, 1044, shop(server, database="shopp"))
    argv = ("db", "--password-file", str(lab.write("pw", PASSWORD, 0o600)),
            f"mysql://{USER}@127.0.0.1:{server.port}/shopp")  # fmt: skip
    yield Fault(shown=("shopp",), argv=argv)


@db_fault("db.privilege-missing")
def db_no_right_on_database(lab: Lab) -> Setup:
    """The account has no right on the schema that is there."""
    server = running(lab)
    server.sql("CREATE DATABASE billing")
    prove_code(lab, 1044, shop(server, database="billing"))
    yield Fault(shown=("billing",), argv=as_client(lab, server, "-D", "billing"))


@db_fault("db.privilege-missing")
def db_no_right_to_insert(lab: Lab) -> Setup:
    """The account may only read, and the application writes; its log tells."""
    server = running(lab)
    server.sql(f"REVOKE ALL ON shop.* FROM {USER}@'%'", f"GRANT SELECT ON shop.* TO {USER}@'%'")
    log = lab.folder / "shop.log"
    insert = "INSERT INTO orders VALUES (99, 'new', 1)"
    application(lab, server, [insert], forever=0.2, log=log)
    lab.prove("number of the error", lambda: dbs.error_of(server, insert, database="shop"), at_least=1142, at_most=1142)
    lab.prove("denied statements in its log", lambda: log.read_text().count("1142"), at_least=1)
    yield Fault(argv=as_client(lab, server, "-l", str(log)))


def auth_plugin(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    via = "VIA unix_socket" if kind is MariaDB else "WITH auth_socket"
    server.sql(f"CREATE USER batch@'%' IDENTIFIED {via}")
    prove_code(lab, 1698, shop(server, user="batch"))
    yield Fault(shown=("batch",), argv=as_client(lab, server, user="batch"))


@db_fault("db.auth-plugin")
def db_socket_account_with_password(lab: Lab) -> Setup:
    """The account is for a user of this system by the socket; the application comes with a password by TCP."""
    yield from auth_plugin(lab, MariaDB)


def account_locked(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    server.sql(f"ALTER USER {USER}@'%' ACCOUNT LOCK")
    number = 4151 if kind is MariaDB else 3118
    prove_code(lab, number, shop(server))
    yield Fault(shown=(USER,), argv=as_client(lab, server))


@db_fault("db.account-locked")
def db_account_locked(lab: Lab) -> Setup:
    """The account is locked."""
    yield from account_locked(lab, MariaDB)


@db_fault("db.account-locked")
def db_password_expired(lab: Lab) -> Setup:
    """The password has expired, and the server turns such clients away."""
    server = running(lab, disconnect_on_expired_password=True)
    server.sql(f"ALTER USER {USER}@'%' PASSWORD EXPIRE")
    prove_code(lab, 1862, shop(server))
    yield Fault(shown=(USER,), argv=as_client(lab, server))


@db_fault("db.account-locked")
def db_password_expired_sandbox(lab: Lab) -> Setup:
    """The password has expired; the server lets in, and answers no statement before it is changed."""
    server = running(lab)
    server.sql(f"ALTER USER {USER}@'%' PASSWORD EXPIRE")
    prove_code(lab, 0, shop(server))
    lab.prove("number of the error", lambda: dbs.error_of(server, "SELECT 1"), at_least=1820, at_most=1820)
    yield Fault(shown=(USER,), argv=as_client(lab, server))


# Limits


@db_fault("db.too-many-connections", fast=True)
def db_connection_leak(lab: Lab) -> Setup:
    """An application leaks connections: it holds all that there may be, asleep."""
    server = running(lab, max_connections=10)
    pid = application(lab, server, *[["SELECT 1"]] * 10)
    prove_code(lab, 1040, shop(server))
    lab.prove("sleeping sessions", lambda: dbs.sessions(server, user=USER, command="Sleep"), at_least=10, lasting=False)
    yield Fault(shown=(USER, "10"), argv=dbs.as_root(server))
    lab.prove("the application runs", lambda: os.path.exists(f"/proc/{pid}"), at_least=1)


@db_fault("db.too-many-connections")
def db_connection_leak_as_application(lab: Lab) -> Setup:
    """The same, asked with the application's own account, which gets in no more."""
    server = running(lab, max_connections=20, bind="127.0.0.5")
    application(lab, server, *[["SELECT 1"]] * 20, connect={"host": "127.0.0.5"})
    prove_code(lab, 1040, shop(server, host="127.0.0.5"))
    yield Fault((str(server.port),), argv=as_client(lab, server, host="127.0.0.5"))


@db_fault("db.too-many-connections", needs=(*FAR, "unshare"))
def db_connection_leak_from_afar(lab: Lab) -> Setup:
    """The same, from another host."""
    server, client, _ = far(lab, max_connections=10)
    application(lab, server, *[["SELECT 1"]] * 10, before=dbs.inside(client), connect={"host": "10.90.77.2"})
    prove_far(lab, client, 1040)
    yield Fault(("10.90.77.2:3306",), argv=as_client(lab, server, host="10.90.77.2"), before=dbs.afar(client))


@db_fault("db.too-many-connections", needs=(*FAR, "unshare"))
def db_connection_leak_from_a_stranger(lab: Lab) -> Setup:
    """The same without an account; the administrator has the one connection more that is kept for him."""
    server, client, _ = far(lab, max_connections=10)
    application(lab, server, *[["SELECT 1"]] * 10, before=dbs.inside(client), connect={"host": "10.90.77.2"})
    dbs.hold(lab, server.connect())
    prove_code(lab, 1040, server.connect)
    yield Fault(("10.90.77.2:3306",), argv=("db", "10.90.77.2"), before=dbs.afar(client))


@db_fault("db.user-connection-limit")
def db_user_connection_limit(lab: Lab) -> Setup:
    """The server allows each account two connections, and the application has both."""
    server = running(lab, max_user_connections=2)
    application(lab, server, ["SELECT 1"], ["SELECT 1"])
    prove_code(lab, 1203, shop(server))
    yield Fault(shown=(USER,), argv=as_client(lab, server))


def hourly_limit(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind)
    limited = f"ALTER USER {USER}@'%' WITH MAX_CONNECTIONS_PER_HOUR 1"
    server.sql(limited)
    lab.prove("logins that work", lambda: dbs.code(shop(server)), at_least=1226)
    yield Fault(shown=(USER,), argv=as_client(lab, server))


@db_fault("db.user-connection-limit")
def db_hourly_limit(lab: Lab) -> Setup:
    """The account may log in once in an hour, and has."""
    yield from hourly_limit(lab, MariaDB)


@db_fault("db.host-blocked", needs=FAR)
def db_host_blocked(lab: Lab) -> Setup:
    """A health check that speaks no MySQL came too often from this host: the server does not let it in any more."""
    client, host = lab.namespaces()
    lab.netns_file(host, "hosts", "127.0.0.1 localhost\n10.90.77.1 app1.shop.test\n")
    server = make(lab, namespace=host, bind="0.0.0.0", port=3306, max_connect_errors=3)
    server.start()
    dbs.fill(server)
    junk = """if 1:
        import socket
        for _ in range(6):
            s = socket.create_connection(("10.90.77.2", 3306), 3)
            s.recv(200); s.sendall(b"\\x05\\x00\\x00\\x01HELLO"); s.close()
    """
    lab.run(*dbs.inside(client), sys.executable, "-c", junk)
    prove_far(lab, client, 1129)
    yield Fault(argv=as_client(lab, server, host="10.90.77.2"), before=dbs.inside(client))


# TLS


class Certificates:
    """A certificate authority of the lab, and what it issues for a server."""

    def __init__(self, lab: Lab, name: str = "ca") -> None:
        self._lab, self._name = lab, name
        self._ca = trustme.CA()
        self.file = str(lab.write(f"{name}.pem", self._ca.cert_pem.bytes().decode()))

    def issue(self, *names: str, days: float = 90, begin: float = -1) -> dict[str, str]:
        """Options of a server that uses a certificate for these names, valid from and until so many days from now."""
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        leaf = self._ca.issue_cert(*names, not_before=now + begin * day, not_after=now + days * day)
        cert = self._lab.write(f"{self._name}-cert.pem", "".join(c.bytes().decode() for c in leaf.cert_chain_pems))
        key = self._lab.write(f"{self._name}-key.pem", leaf.private_key_pem.bytes().decode())
        return {"ssl_cert": str(cert), "ssl_key": str(key), "ssl_ca": self.file}


def _verify(server: Database, ca: str, host: str = "127.0.0.1", tls: ssl.TLSVersion | None = None) -> float:
    """How a verified TLS handshake ends: 0, the number of what is wrong with the certificate, or -1 for another end."""
    context = ssl.create_default_context(cafile=ca)
    if tls:
        context.maximum_version = tls
    with socket.create_connection((host, server.port), 3) as raw:
        raw.recv(200)
        raw.sendall(b"\x20\x00\x00\x01" + b"\x00\xae\xbf\x00" + b"\x00\x00\x00\x01\x2d" + b"\0" * 23)
        try:
            context.wrap_socket(raw, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return error.verify_code
        except (ssl.SSLError, OSError):
            return -1
    return 0


def _prove_verify(lab: Lab, number: int, server: Database, ca: str, **options: object) -> None:
    lab.prove("number of the verification's error", partial(_verify, server, ca, **options), at_least=number,
              at_most=number)  # fmt: skip


def tls_required(lab: Lab, kind: type[Database]) -> Setup:
    server = running(lab, kind, **Certificates(lab).issue("127.0.0.1"), require_secure_transport=True)
    number = 1045 if kind is MariaDB else 3159
    prove_code(lab, number, shop(server, ssl_disabled=True))
    prove_code(lab, 0, shop(server, ssl={"check_hostname": False}))
    yield Fault((str(server.port),), argv=as_client(lab, server, ssl=0))


@db_fault("db.tls-required")
def db_tls_required(lab: Lab) -> Setup:
    """The server demands TLS, and the application switches it off; MariaDB says that the password is wrong."""
    yield from tls_required(lab, MariaDB)


@db_fault("db.tls-required", "db.access-denied")
def db_tls_required_by_account(lab: Lab) -> Setup:
    """The account demands TLS, and the server has none to offer."""
    server = running(lab)
    server.sql(f"ALTER USER {USER}@'%' REQUIRE SSL")
    prove_code(lab, 1045, shop(server))
    yield Fault(shown=(USER,), argv=as_client(lab, server))


@db_fault("db.tls-required")
def db_tls_required_by_account_offered(lab: Lab) -> Setup:
    """The account demands TLS, the server offers it, and the application's option file forbids it."""
    server = running(lab, **Certificates(lab).issue("127.0.0.1"))
    server.sql(f"ALTER USER {USER}@'%' REQUIRE SSL")
    prove_code(lab, 1045, shop(server, ssl_disabled=True))
    prove_code(lab, 0, shop(server, ssl={"check_hostname": False}))
    yield Fault(shown=(USER,), argv=as_client(lab, server, skip_ssl=""))


def tls_expired(lab: Lab, kind: type[Database]) -> Setup:
    ca = Certificates(lab)
    server = running(lab, kind, **ca.issue("127.0.0.1", begin=-90, days=-2))
    _prove_verify(lab, 10, server, ca.file)
    yield Fault((str(server.port),), argv=as_client(lab, server, "--ssl-ca", ca.file))


@db_fault("tls.expired", "db.tls-failed", fast=True)
def db_tls_expired(lab: Lab) -> Setup:
    """The server's certificate has expired, and the client verifies."""
    yield from tls_expired(lab, MariaDB)


@db_fault("tls.not-yet-valid", "db.tls-failed")
def db_tls_not_yet_valid(lab: Lab) -> Setup:
    """The server's certificate is not valid before tomorrow."""
    ca = Certificates(lab)
    server = running(lab, **ca.issue("127.0.0.1", begin=1))
    _prove_verify(lab, 9, server, ca.file)
    yield Fault((str(server.port),), argv=as_client(lab, server, ssl_ca=ca.file, ssl_verify_server_cert=1))


@db_fault("tls.hostname-mismatch", "db.tls-failed")
def db_tls_other_name(lab: Lab) -> Setup:
    """The server's certificate is for another name."""
    ca = Certificates(lab)
    server = running(lab, **ca.issue("db9.shop.test"))
    _prove_verify(lab, 64, server, ca.file)
    yield Fault(shown=("db9.shop.test",), argv=as_client(lab, server, ssl_ca=ca.file, ssl_verify_server_cert=1))


@db_fault("tls.unknown-ca", "db.tls-failed")
def db_tls_other_ca(lab: Lab) -> Setup:
    """The client trusts another certificate authority than the one that issued the server's certificate."""
    server = running(lab, **Certificates(lab).issue("127.0.0.1"))
    other = Certificates(lab, "old-ca")
    lab.prove("the verification fails", lambda: _verify(server, other.file) in (19, 20), at_least=1)
    yield Fault((str(server.port),), argv=as_client(lab, server, "--ssl-ca", other.file))


@db_fault("tls.protocol-mismatch", "db.tls-failed")
def db_tls_old_protocol(lab: Lab) -> Setup:
    """The server speaks TLS 1.1 alone."""
    ca = Certificates(lab)
    server = running(lab, **ca.issue("127.0.0.1"), tls_version="TLSv1.1")
    lab.prove("a handshake fails", lambda: _verify(server, ca.file) == -1, at_least=1)
    yield Fault((str(server.port),), argv=as_client(lab, server, "--ssl-ca", ca.file))


@db_fault("db.tls-failed")
def db_tls_not_offered(lab: Lab) -> Setup:
    """The client demands TLS, and the server has none."""
    server = running(lab)
    prove_code(lab, 2026, shop(server, ssl={"check_hostname": False}))
    yield Fault((str(server.port),), argv=as_client(lab, server, "--require-tls"))


@db_fault("tls.client-cert-or-key", "db.config-invalid", "db.tls-failed")
def db_tls_key_of_another(lab: Lab) -> Setup:
    """The server's key does not belong to its certificate; the server does not start."""
    ca, other = Certificates(lab), Certificates(lab, "other")
    options = ca.issue("127.0.0.1") | {"ssl_key": other.issue("127.0.0.1")["ssl_key"]}
    server = make(lab)
    dbs.prove_start_fails(lab, server, "SSL", **options)
    yield Fault(argv=dbs.configured(server, dbs.as_root(server)))


@db_fault("tls.expired", "change.config-not-restarted", "db.tls-failed")
def db_tls_renewed_on_disk(lab: Lab) -> Setup:
    """The certificate was renewed on disk; the server still shows the one that has expired."""
    ca = Certificates(lab)
    server = running(lab, **ca.issue("127.0.0.1", begin=-90, days=-2))
    ca.issue("127.0.0.1")
    _prove_verify(lab, 10, server, ca.file)
    yield Fault(argv=as_client(lab, server, "--ssl-ca", ca.file))


# Slow logins


@db_fault("db.name-resolution-slow", "dns.resolver-unreachable", needs=(*FAR, "unshare"))
def db_slow_reverse_lookup(lab: Lab) -> Setup:
    """The server asks a silent name server who its clients are; each login waits for it."""
    server, client, _ = _slow_names(lab)
    lab.prove("seconds of a login", lambda: _seconds(lab, client), at_least=1, lasting=False)
    argv = as_client(lab, server, host="10.90.77.2")
    yield Fault(("10.90.77.2:3306",), argv=argv, before=dbs.afar(client))


@db_fault("db.name-resolution-slow", needs=FAR)
def db_slow_reverse_lookup_beside(lab: Lab) -> Setup:
    """The same, asked on the server's own host at its own address."""
    server, client, host = _slow_names(lab)
    lab.prove("seconds of a login", lambda: _seconds(lab, client), at_least=1, lasting=False)
    argv = dbs.configured(server, as_client(lab, server, host="10.90.77.2"))
    yield Fault(("10.90.77.2:3306",), argv=argv, before=dbs.inside(host))


def _slow_names(lab: Lab) -> tuple[Database, str, str]:
    client, host = lab.namespaces()
    lab.netns_file(host, "resolv.conf", "nameserver 10.90.77.99\noptions timeout:2 attempts:1\n")
    lab.netns_file(host, "hosts", "127.0.0.1 localhost\n")
    # What asks a dead address gets an answer from the kernel after three seconds; one that is dropped gets none.
    lab.run("ip", "-n", host, "neigh", "add", "10.90.77.99", "lladdr", "02:00:00:00:00:63", "dev", "v1")
    server = make(lab, namespace=host, bind="0.0.0.0", port=3306, host_cache_size=0)
    server.start()
    dbs.fill(server)
    return server, client, host


def _seconds(lab: Lab, client: str) -> float:
    begin = time.monotonic()
    if code_from(lab, client, host="10.90.77.2", connect_timeout=8):
        raise NotInEffect("the login fails")
    return time.monotonic() - begin - 0.3  # for starting Python

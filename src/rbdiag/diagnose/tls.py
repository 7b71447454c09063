"""Why TLS fails: the certificate, its issuer, its names, the protocol. For every runbook that speaks TLS.

What a client that verifies meets is an alarm. What one that does not verify could learn from the same certificate is a
note at the most: whether others verify cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, login_steps, steps
from rbdiag.facts import span
from rbdiag.facts.db import OptionValue
from rbdiag.facts.host import Standing
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.tls import Certificate, TlsAnswer, TlsWord
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# A certificate is renewed with a third of its life left at the latest, as ACME clients do; one that lives on with less
# than a tenth, and less than a week, has been forgotten. A certificate for a day is judged by its own life.
_NEARLY_OVER, _LAST_PART = 7 * 86400.0, 0.1


def _failed(facts: Facts, *words: TlsWord) -> TlsAnswer | None:
    return next((a for a in facts.of(TlsAnswer) if a.word in words), None)


def _finding(
    spec: Spec, facts: Facts, answer: TlsAnswer, summary: str, resolution: Iterator[Step], *,
    confidence: Confidence = Confidence.CERTAIN, severity: Severity | None = None,
) -> Finding:  # fmt: skip
    shown = facts.first(Certificate, answer.subject)
    return Finding(
        spec, spec.severity if severity is None else severity, confidence, answer.subject, summary,
        evidence=(answer, *([shown] if shown else [])), resolution=tuple(resolution),
        about=_about(facts, answer.subject), impact=1.0,
    )  # fmt: skip


def _about(facts: Facts, subject: str) -> frozenset[str]:
    found = db_view.target(facts)
    return db_view.about(facts) if found is not None and found.subject == subject else frozenset({subject})


def _look(facts: Facts, subject: str) -> Iterator[Step]:
    """See the certificate: the file on this host where it is known, else what the server shows."""
    found = db_view.target(facts)
    file = facts.last(OptionValue, "ssl_cert")
    what = "-noout -subject -issuer -dates -ext subjectAltName"
    if file is not None and file.value:
        yield Step("see the server's certificate", f"{steps.sudo(facts)}openssl x509 -in {quote(file.value)} {what}")
    if found is not None and found.subject == subject and not found.socket:
        connect = f"openssl s_client -starttls mysql -connect {quote(f'{found.host}:{found.port}')} </dev/null"
        yield Step("see what the server shows its clients", f"{connect} | openssl x509 {what}")
    elif found is None:
        connect = f"openssl s_client -connect {quote(subject)} </dev/null"
        yield Step("see what the server shows its clients", f"{connect} | openssl x509 {what}")


def _replace(facts: Facts, what: str) -> Iterator[Step]:
    """Put another certificate in its place and have the server read it."""
    file = facts.last(OptionValue, "ssl_cert")
    yield Step(
        f"{what}{f' and put it into {file.value}' if file is not None and file.value else ''}", risk="disruptive"
    )
    if db_view.target(facts) is not None:
        mysql = db_view.flavour(facts) == "MySQL"
        reload = "ALTER INSTANCE RELOAD TLS" if mysql else "FLUSH SSL"
        yield Step(
            "have the server read it, without a restart", db_view.sql(reload, facts), "disruptive", db_view.again(facts)
        )


EXPIRED = Spec(
    code="tls.expired",
    title="the certificate has expired",
    severity=Severity.CRITICAL,
    meaning="The certificate, or one above it, was valid until a time that has passed. Every client that verifies it refuses "
    "the connection.",
    told="Verification fails with code 10; the end of its validity lies in the past of this host's clock. Where we do not "
    "verify, it is a note.",
    not_to_be_taken_for="a clock that runs ahead: then every certificate seems to have expired.",
    resolution=("renew the certificate", "have the server read it again: a new file does nothing by itself"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def expired(facts: Facts) -> Iterator[Finding]:
    for answer in facts.of(TlsAnswer):
        verified = answer.word == "expired"
        if not verified and answer.would != "expired":
            continue
        shown = facts.first(Certificate, answer.subject)
        when = (
            f"{span(answer.seen_at - shown.not_after)} ago"
            if shown and answer.seen_at and shown.not_after < answer.seen_at
            else ""
        )
        summary = (
            f"the certificate of {answer.subject} expired {when}"
            if when
            else f"a certificate above that of {answer.subject} has expired"
        )
        if not verified:
            summary += "; we did not verify it, clients that do are refused"
        yield _finding(
            EXPIRED, facts, answer, summary, _renew(facts, answer.subject), severity=None if verified else Severity.NOTE
        )
        return
    yield from _nearly(facts)


def _nearly(facts: Facts) -> Iterator[Finding]:
    for shown in facts.of(Certificate):
        answer = facts.first(TlsAnswer, shown.subject)
        if answer is None or answer.word != "ok" or shown.seen_at is None:
            continue
        left, life = shown.not_after - shown.seen_at, shown.not_after - shown.not_before
        if 0 <= left < min(_NEARLY_OVER, life * _LAST_PART):
            summary = f"the certificate of {shown.subject} expires in {span(left)}, and nobody has renewed it yet"
            yield _finding(EXPIRED, facts, answer, summary, _renew(facts, shown.subject), severity=Severity.NOTE)
            return


def _renew(facts: Facts, subject: str) -> Iterator[Step]:
    yield from _look(facts, subject)
    yield Step(
        "see that this host's clock is right",
        "date -u; timedatectl show -p NTPSynchronized" if _systemd(facts) else "date -u",
    )
    yield from _replace(facts, "renew the certificate")


def _systemd(facts: Facts) -> bool:
    standing = facts.first(Standing)
    return standing is not None and standing.systemd


NOT_YET_VALID = Spec(
    code="tls.not-yet-valid",
    title="the certificate is not valid yet",
    severity=Severity.CRITICAL,
    meaning="The certificate's validity begins in the future, by this host's clock: it was made for later, or one of the two "
    "clocks is wrong.",
    told="Verification fails with code 9.",
    not_to_be_taken_for="an expired certificate.",
    resolution=("compare the clocks", "issue the certificate for now"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def not_yet_valid(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "not-yet-valid")
    if answer is None:
        return
    shown = facts.first(Certificate, answer.subject)
    begins = (
        f" begins in {span(shown.not_before - answer.seen_at)}"
        if shown and answer.seen_at and shown.not_before > answer.seen_at
        else " has not begun"
    )
    yield _finding(
        NOT_YET_VALID, facts, answer, f"the validity of {answer.subject}'s certificate{begins}, by this host's clock",
        _renew(facts, answer.subject),
    )  # fmt: skip


HOSTNAME_MISMATCH = Spec(
    code="tls.hostname-mismatch",
    title="the certificate is for another name",
    severity=Severity.CRITICAL,
    meaning="The certificate is good, and none of its names is the one that the client connected to: a new alias, an address "
    "instead of a name, or another server than meant.",
    told="Verification fails with code 62 or 64, and the certificate's names do not hold the one used.",
    not_to_be_taken_for="an unknown issuer, where the name does not matter.",
    resolution=("connect by a name that the certificate has", "issue it for this name as well"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def hostname_mismatch(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "wrong-name")
    if answer is None:
        return
    shown, found = facts.first(Certificate, answer.subject), db_view.target(facts)
    names = ", ".join((shown.names or (shown.name,))[:3]) if shown else ""
    used = found.host if found and found.subject == answer.subject else answer.subject
    yield _finding(
        HOSTNAME_MISMATCH, facts, answer, f"the certificate of {answer.subject} is for {names or 'another name'}, not for {used}",
        _rename(facts, answer.subject, names, used),
    )  # fmt: skip


def _rename(facts: Facts, subject: str, names: str, used: str) -> Iterator[Step]:
    yield from _look(facts, subject)
    yield Step(f"is this the server you mean? {used} leads to", f"getent ahosts {quote(used)}")
    if names:
        yield Step(f"connect by one of its names: {names}", risk="disruptive", verify=db_view.again(facts))
    yield from _replace(facts, f"or issue a certificate that names {used} as well")


UNKNOWN_CA = Spec(
    code="tls.unknown-ca",
    title="the client does not trust who issued the certificate",
    severity=Severity.CRITICAL,
    meaning="The certificate was issued by a CA that is not in the client's CA file (or, where it has none, not in this host's "
    "store): the CA was changed or made anew, or the client was never given it.",
    told="Verification fails with code 19, 20, 21 or 7, and nothing says that only a link between is missing.",
    not_to_be_taken_for="a certificate that signed itself; a server that does not send its intermediate certificate.",
    resolution=("give the client the CA's certificate", "or have the certificate issued by a CA that it trusts"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def unknown_ca(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "unknown-ca")
    if answer is None:
        return
    shown = facts.first(Certificate, answer.subject)
    alone = shown is not None and shown.chain == 1
    yield _finding(
        UNKNOWN_CA, facts, answer,
        f"the certificate of {answer.subject} is issued by {(shown.issuer if shown else '') or 'a CA'}, which this client does not trust",
        _trust(facts, answer.subject, shown), confidence=Confidence.LIKELY if alone else Confidence.CERTAIN,
    )  # fmt: skip


def _trust(facts: Facts, subject: str, shown: Certificate | None) -> Iterator[Step]:
    yield from _look(facts, subject)
    ca = facts.last(OptionValue, "ssl_ca")
    if ca is not None and ca.value:
        yield Step(
            "the server's own CA file is",
            f"{steps.sudo(facts)}openssl x509 -in {quote(ca.value)} -noout -subject -fingerprint -sha256",
        )
    issuer = f" of {shown.issuer}" if shown and shown.issuer else ""
    yield Step(
        f"get the CA's certificate{issuer} from whoever runs it, compare its fingerprint by another way, and write its path "
        "into the client's settings (ssl-ca)", risk="disruptive", verify=db_view.again(facts),
    )  # fmt: skip


MISSING_INTERMEDIATE = Spec(
    code="tls.missing-intermediate",
    title="the server does not send the certificate between its own and the CA's",
    severity=Severity.CRITICAL,
    meaning="The server sends its own certificate alone, and that was issued by an intermediate CA. Clients that know the "
    "intermediate by chance connect, the others do not.",
    told="Verification fails with code 20 or 21, the server sent one certificate, and that says where its issuer is to be had, "
    "or the client trusts another CA of the same organization.",
    not_to_be_taken_for="a CA that the client does not trust at all.",
    resolution=("let the server send the full chain",),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def missing_intermediate(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "missing-intermediate")
    if answer is None:
        return
    shown = facts.first(Certificate, answer.subject)
    yield _finding(
        MISSING_INTERMEDIATE, facts, answer,
        f"{answer.subject} sends its own certificate alone, without that of {(shown.issuer if shown else '') or 'its issuer'}",
        _complete(facts, answer.subject), confidence=Confidence.LIKELY,
    )  # fmt: skip


def _complete(facts: Facts, subject: str) -> Iterator[Step]:
    yield from _look(facts, subject)
    yield from _replace(facts, "append the issuer's certificate to the server's own (often called fullchain.pem)")


SELF_SIGNED = Spec(
    code="tls.self-signed",
    title="the certificate has signed itself",
    severity=Severity.CRITICAL,
    meaning="No CA stands behind the certificate. A client that verifies refuses it, unless it was given this very certificate. "
    "Servers that nobody gave a certificate make such a one themselves.",
    told="Verification fails with code 18.",
    not_to_be_taken_for="a private CA in the chain (code 19).",
    resolution=("issue a proper certificate", "or give the client this one to trust"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def self_signed(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "self-signed")
    if answer is None:
        return
    yield _finding(
        SELF_SIGNED, facts, answer, f"the certificate of {answer.subject} has signed itself, and this client verifies",
        _proper(facts, answer.subject),
    )  # fmt: skip


def _proper(facts: Facts, subject: str) -> Iterator[Step]:
    yield from _look(facts, subject)
    yield Step("give the client this certificate as its CA file, once its fingerprint was compared by another way",
               risk="disruptive", verify=db_view.again(facts))  # fmt: skip
    yield from _replace(facts, "or have a certificate issued by your CA")


PROTOCOL_MISMATCH = Spec(
    code="tls.protocol-mismatch",
    title="client and server have no TLS version or cipher in common",
    severity=Severity.CRITICAL,
    meaning="One of the two is too old for the other, or was told to be too strict: no common protocol version, cipher, or a "
    "key that is too weak for this client.",
    told="The handshake ends with an alert about version, cipher or key, before any certificate is judged.",
    not_to_be_taken_for="plain text where TLS was expected (wrong version number).",
    resolution=("align the protocol versions of both", "upgrade the older one"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def protocol_mismatch(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "protocol")
    if answer is None:
        return
    yield _finding(
        PROTOCOL_MISMATCH, facts, answer, f"no TLS version or cipher in common with {answer.subject}: {answer.detail}",
        _align(facts, answer.subject),
    )  # fmt: skip


def _align(facts: Facts, subject: str) -> Iterator[Step]:
    found = db_view.target(facts)
    where = f"-starttls mysql -connect {quote(f'{found.host}:{found.port}')}" if found else f"-connect {quote(subject)}"
    for version in ("-tls1_2", "-tls1_3"):
        yield Step(
            f"try it with {version.removeprefix('-').replace('tls1_', 'TLS 1.')} alone",
            f"openssl s_client {where} {version} </dev/null",
        )
    if found is not None:
        yield Step("see what the server allows", db_view.sql("SHOW GLOBAL VARIABLES LIKE 'tls_version'", facts))
        yield from db_view.change_option("tls_version", "TLSv1.2,TLSv1.3", "what every client of today speaks", facts)
        yield from db_view.restart(facts, "on MariaDB the versions are decided at its start")
    else:
        yield Step("align the protocol versions of client and server: TLS 1.2 and 1.3", risk="disruptive")


CLIENT_CERT_OR_KEY = Spec(
    code="tls.client-cert-or-key",
    title="a certificate or its key is missing or does not fit",
    severity=Severity.CRITICAL,
    meaning="Either the server demands a certificate of its clients and this one sends none that it accepts; or the server "
    "itself cannot load its certificate and key, and offers no TLS or does not start.",
    told="A TLS alert about the client's certificate; an account that demands one (REQUIRE X509); or the server's log says that "
    "it cannot load key or certificate.",
    not_to_be_taken_for="a server certificate that the client does not trust.",
    resolution=("give the client its certificate and key", "compare the public keys of certificate and key"),
    explains=("db.tls-failed", "db.access-denied", "db.service-down", "svc.not-running", "svc.crash-loop"),
)


def client_cert_or_key(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "client-certificate")
    if answer is not None:
        yield _finding(
            CLIENT_CERT_OR_KEY, facts, answer, f"{answer.subject} wants a certificate from its clients, and we send none: {answer.detail}",
            _send_one(facts),
        )  # fmt: skip
    yield from _demanded_by_account(facts)
    yield from _unloadable(facts)


def _send_one(facts: Facts) -> Iterator[Step]:
    if db_view.target(facts) is not None:
        yield Step(
            "see whose certificates the server takes", db_view.sql("SHOW GLOBAL VARIABLES LIKE 'ssl_ca%'", facts)
        )
    yield Step(
        "give the client a certificate and its key (ssl-cert, ssl-key), issued by a CA that the server trusts",
        risk="disruptive", verify=db_view.again(facts),
    )  # fmt: skip


def _demanded_by_account(facts: Facts) -> Iterator[Finding]:
    login, row = db_view.login(facts), login_steps.matched(facts)
    if login is None or row is None or login.word != "denied" or row.tls not in ("X509", "SPECIFIED"):
        return
    yield Finding(
        CLIENT_CERT_OR_KEY, Severity.CRITICAL, Confidence.LIKELY, login.subject,
        f"the account {row.subject} demands a certificate of its client (REQUIRE {'X509' if row.tls == 'X509' else 'SUBJECT or ISSUER'})",
        evidence=(row, login), resolution=tuple(_send_one(facts)), about=db_view.about(facts), impact=1.0,
    )  # fmt: skip


def _unloadable(facts: Facts) -> Iterator[Finding]:
    event = next((e for e in facts.of(LogEvent) if e.kind == "tls-key" and e.side == "server"), None)
    ready = [e for e in facts.of(LogEvent) if e.kind == "ready" and e.happened_at is not None]
    if event is None:
        return
    # A server that starts without TLS says so moments before it is ready; what was mended by a later start is history.
    if event.happened_at is not None and any(e.happened_at > event.happened_at + 60 for e in ready if e.happened_at):
        return
    label, unavailable = db_view.label(facts), _failed(facts, "unavailable")
    down = db_view.login(facts) is None and any(e.kind == "aborting" for e in facts.of(LogEvent))
    cert, key = facts.last(OptionValue, "ssl_cert"), facts.last(OptionValue, "ssl_key")
    compare = [
        Step(f"the public key of {what}", f"{steps.sudo(facts)}openssl {tool} -in {quote(o.value)} {how} | sha256sum")
        for o, what, tool, how in (
            (cert, "the certificate", "x509", "-noout -pubkey"),
            (key, "the key", "pkey", "-pubout"),
        )
        if o is not None and o.value
    ]
    yield Finding(
        CLIENT_CERT_OR_KEY, Severity.CRITICAL if unavailable or down else Severity.WARNING, Confidence.CERTAIN, label,
        f"the server cannot load its own certificate or key and {'does not start' if down else 'offers no TLS'}: {event.text}"[:150],
        evidence=tuple(f for f in (event, unavailable, cert, key) if f is not None),
        resolution=(
            *compare, Step("see who may read the files: the server's user must", f"ls -l {' '.join(quote(o.value) for o in (cert, key) if o and o.value)}".strip())
            if cert or key else Step("see which files it is told to load", db_view.sql("SHOW GLOBAL VARIABLES LIKE 'ssl_%'", facts)),
            Step("put the pair that belongs together in place", risk="disruptive"),
            *(db_view.start(facts) if down else db_view.restart(facts, "so that it loads them")),
        ),
        about=db_view.about(facts), impact=0.9,
    )  # fmt: skip


PLAINTEXT_MISMATCH = Spec(
    code="tls.plaintext-mismatch",
    title="TLS is spoken to something that answers in plain text",
    severity=Severity.CRITICAL,
    meaning="The other side does not speak TLS where it was to: a port without TLS, or something between that breaks into the "
    "conversation.",
    told="The first bytes of the answer are no TLS record (wrong version number).",
    not_to_be_taken_for="no common TLS version, which TLS itself says.",
    resolution=("use the port or scheme that speaks TLS", "look at what stands between"),
    explains=("db.tls-failed", "api.app-exception", "api.no-live-upstreams"),
)


def plaintext_mismatch(facts: Facts) -> Iterator[Finding]:
    answer = _failed(facts, "plaintext")
    if answer is None:
        return
    yield _finding(
        PLAINTEXT_MISMATCH, facts, answer, f"{answer.subject} answers in plain text where TLS was agreed",
        _between(facts, answer.subject),
    )  # fmt: skip


def _between(facts: Facts, subject: str) -> Iterator[Step]:
    yield from _look(facts, subject)
    yield Step(
        "see what stands between: a proxy, a load balancer or a firewall that looks into the conversation", risk="safe"
    )


RULES = (
    expired, not_yet_valid, hostname_mismatch, unknown_ca, missing_intermediate, self_signed, protocol_mismatch,
    client_cert_or_key, plaintext_mismatch,
)  # fmt: skip

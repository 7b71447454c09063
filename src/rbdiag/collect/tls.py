"""TLS as a client meets it: contexts that remember what happened, failures in words, certificates as facts.

Nothing here knows which protocol is spoken inside. Importing this costs what `ssl` costs (20 ms): import it late.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rbdiag.facts.tls import Certificate, TlsWord

if TYPE_CHECKING:
    from cryptography import x509

# What verification says, by OpenSSL's number (x509_vfy.h). 20 and 21 are told apart by `_untrusted`.
_BY_CODE: dict[int, TlsWord] = {
    7: "unknown-ca", 9: "not-yet-valid", 10: "expired", 18: "self-signed", 19: "unknown-ca", 62: "wrong-name",
    64: "wrong-name",
    66: "protocol", 67: "protocol", 68: "protocol",  # a key or a digest that is too weak for this client
}  # fmt: skip
_NO_ISSUER = (20, 21)
# What the library or the peer's alert says, by OpenSSL's name of the error's number (sslerr.h).
_BY_REASON: dict[str, TlsWord] = {
    **dict.fromkeys(
        (
            "TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW",
            "WRONG_SSL_VERSION", "SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "NO_CIPHERS_AVAILABLE",
            "WRONG_CIPHER_RETURNED", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "DH_KEY_TOO_SMALL", "EE_KEY_TOO_SMALL",
            "UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "WRONG_SIGNATURE_TYPE",
        ),
        "protocol",
    ),
    **dict.fromkeys(
        (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED", "TLSV1_ALERT_UNKNOWN_CA",
            "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "TLSV1_ALERT_ACCESS_DENIED",
        ),
        "client-certificate",
    ),
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"), "plaintext"
    ),
}  # fmt: skip
_CERTIFICATE_MESSAGE = 11  # RFC 8446, section 4


class Context(ssl.SSLContext):
    """A client's context that remembers its last handshake: how long it took, how it failed, what the server showed.

    `shown` are the certificates as the server sent them, its own first, in DER; also where the handshake failed on
    them, which `getpeercert` does not tell.
    """

    shown: tuple[bytes, ...] = ()
    error: OSError | None = None
    seconds: float = 0.0
    version: str = ""
    cipher: str = ""
    done: bool = False

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        begin = time.monotonic()
        try:
            wrapped = super().wrap_socket(*args, **named)
        except OSError as error:
            self.error = error
            raise
        finally:
            self.seconds = time.monotonic() - begin
        self.done, self.version, self.cipher = True, wrapped.version() or "", (wrapped.cipher() or ("",))[0]
        return wrapped

    def _saw(self, _socket: object, way: str, _version: object, _kind: object, message: Any, data: bytes) -> None:
        if way == "read" and int(getattr(message, "value", message)) == _CERTIFICATE_MESSAGE:
            self.shown = certificates_in(data)


def context(*, verify: bool, names: bool, ca: str) -> Context:
    """A context that verifies the server as asked, against the CA file (or the system's store where "" is given).

    Strict checks of extensions are left off on every version of Python, as most clients do not make them.
    Raises OSError (of which ssl.SSLError is one) where the CA file cannot be read or holds no certificate.
    """
    made = Context(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = verify and names
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca and verify:
        made.load_verify_locations(ca)
    elif verify:
        made.load_default_certs()
    # The only way to see the certificates of a handshake that fails on them; not documented, so never relied upon.
    made._msg_callback = made._saw  # type: ignore[attr-defined]
    return made


def certificates_in(message: bytes) -> tuple[bytes, ...]:
    """The certificates of a Certificate message as TLS 1.2 (RFC 5246, 7.4.2) or 1.3 (RFC 8446, 4.4.2) writes it."""
    size = int.from_bytes(message[4:7], "big")
    if len(message) >= 7 and size == len(message) - 7:
        rest, extensions = message[7:], False
    elif len(message) >= 8:
        rest, extensions = message[8 + message[4] :], True
    else:
        return ()
    found: list[bytes] = []
    while len(rest) > 3:
        size = int.from_bytes(rest[:3], "big")
        found.append(rest[3 : 3 + size])
        rest = rest[3 + size :]
        if extensions:
            rest = rest[2 + int.from_bytes(rest[:2], "big") :]
    return tuple(found)


def word_for(error: BaseException, shown: tuple[bytes, ...] = (), trusted: Iterable[dict[str, Any]] = ()) -> TlsWord:
    """What went wrong with a handshake. `trusted` are the CAs that the client trusts by its own choice."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NO_ISSUER:
            return _untrusted(shown, trusted)
        return _BY_CODE.get(error.verify_code, "failed")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "closed"
    return _BY_REASON.get(getattr(error, "reason", None) or "", "failed")


def detail_of(error: BaseException) -> str:
    """What the library says of it, without its own file names and numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message} (code {error.verify_code})"
    if isinstance(error, TimeoutError):
        return "no answer within the time"
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if isinstance(reason, str) else getattr(error, "strerror", "") or str(error)


def _untrusted(shown: tuple[bytes, ...], trusted: Iterable[dict[str, Any]]) -> TlsWord:
    """Nobody we trust issued the last certificate of what was shown: a foreign CA, or a link that was not sent.

    A link is missing where the server sent its own certificate alone, and either the certificate says where its
    issuer is to be had (as public CAs write), or we trust a CA of the same organization under another name. A CA of
    the very same name is one that was made anew with another key.
    """
    leaf = parse(shown[0]) if len(shown) == 1 else None
    if leaf is None:
        return "unknown-ca"
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

    ours = [{str(value) for part in ca.get("subject", ()) for _, value in part} for ca in trusted]
    issuer = {str(attribute.value) for attribute in leaf.issuer}
    owners = {str(a.value) for a in leaf.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if issuer in ours:
        return "unknown-ca"
    told = any(owners & names for names in ours) or any(
        isinstance(about.value, x509.AuthorityInformationAccess)
        and any(access.access_method == AuthorityInformationAccessOID.CA_ISSUERS for access in about.value)
        for about in _extensions(leaf)
    )
    return "missing-intermediate" if told else "unknown-ca"


def _extensions(read: x509.Certificate) -> list[x509.Extension[x509.ExtensionType]]:
    """Its extensions; none where they break the rules, as its other parts still tell."""
    try:
        return list(read.extensions)
    except ValueError:
        return []


def parse(der: bytes) -> x509.Certificate | None:
    """The certificate, None where these bytes are none."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def certificate(shown: tuple[bytes, ...], subject: str) -> Certificate | None:
    """The first of the certificates that a server showed as a fact about `subject`; None where it cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    read = parse(shown[0]) if shown else None
    if read is None:
        return None

    def common(name: x509.Name) -> str:
        kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME)
        return next((str(a.value) for kind in kinds for a in name.get_attributes_for_oid(kind)), "")

    names: list[str] = []
    for about in _extensions(read):
        if isinstance(about.value, x509.SubjectAlternativeName):
            names += about.value.get_values_for_type(x509.DNSName)
            names += [str(a) for a in about.value.get_values_for_type(x509.IPAddress)]
    return Certificate(
        subject=subject, name=common(read.subject), names=tuple(names), issuer=common(read.issuer),
        not_before=read.not_valid_before_utc.timestamp(), not_after=read.not_valid_after_utc.timestamp(),
        self_signed=read.issuer == read.subject, chain=len(shown), fingerprint=read.fingerprint(SHA256()).hex(":"),
    )  # fmt: skip


def would_say(seen: Certificate, name: str, now: float) -> TlsWord:
    """What verification would say of a certificate that nobody verified, as far as the certificate itself tells."""
    if now > seen.not_after:
        return "expired"
    if now < seen.not_before:
        return "not-yet-valid"
    if seen.self_signed:
        return "self-signed"
    return "ok" if named(seen, name) else "wrong-name"


def named(seen: Certificate, name: str) -> bool:
    """Whether the certificate is for this name or address (RFC 6125: a star stands for one whole first label)."""
    name = name.lower().rstrip(".")
    for pattern in (p.lower().rstrip(".") for p in seen.names or (seen.name,)):
        if pattern == name or (pattern.startswith("*.") and pattern[1:] == name[name.find(".") :]):
            return True
    return False

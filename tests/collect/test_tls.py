"""Handshakes that fail, each for real: what word they get, and what is still learnt of the certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from rbdiag.collect import tls
from rbdiag.facts.tls import Certificate

NOW = datetime.now(UTC)


def handshake(
    server: ssl.SSLContext | Callable[[socket.socket], None], context: tls.Context, name: str = "db1"
) -> tls.Context:
    """One handshake between two ends of a pair; and one read after it, where TLS 1.3 brings the server's opinion."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            if callable(server):
                server(theirs)
            else:
                with server.wrap_socket(theirs, server_side=True) as inside:
                    inside.sendall(b"hello")
        except OSError:
            theirs.close()  # the client's end tells the story

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname=name) as wrapped:
            wrapped.recv(5)
    except OSError as error:
        context.error = error
    finally:
        thread.join()
        ours.close()
        theirs.close()
    return context


def word_of(context: tls.Context) -> str:
    return tls.word_for(context.error, context.shown, context.get_ca_certs()) if context.error else "ok"


def serving(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def trusting(*cas: trustme.CA, folder: Path, names: bool = True) -> tls.Context:
    file = folder / "ca.pem"
    file.write_bytes(b"".join(ca.cert_pem.bytes() for ca in cas))
    return tls.context(verify=True, names=names, ca=str(file))


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA(organization_name="Our House")


LEAVES = [
    ("right", {}, "ok"),
    ("of another name", {"names": ("db2",)}, "wrong-name"),
    ("by its star", {"names": ("*.example.net",), "ask": "db1.example.net"}, "ok"),
    ("a star is one label", {"names": ("*.example.net",), "ask": "a.db1.example.net"}, "wrong-name"),
    ("of the wrong address", {"names": ("10.0.0.1",), "ask": "10.0.0.2"}, "wrong-name"),
    ("of the right address", {"names": ("10.0.0.2",), "ask": "10.0.0.2"}, "ok"),
    ("over since yesterday", {"after": NOW - timedelta(days=1)}, "expired"),
    ("from tomorrow on", {"before": NOW + timedelta(days=1)}, "not-yet-valid"),
]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize(("how", "word"), [row[1:] for row in LEAVES], ids=[row[0] for row in LEAVES])
def test_what_is_wrong_with_a_certificate(
    ca: trustme.CA, tmp_path: Path, how: dict[str, object], word: str, version: ssl.TLSVersion
) -> None:
    names, ask = how.get("names", ("db1",)), str(how.get("ask", "db1"))
    leaf = ca.issue_cert(*names, not_before=how.get("before"), not_after=how.get("after"))  # type: ignore[misc, arg-type]
    context = trusting(ca, folder=tmp_path)
    context.maximum_version = version
    assert word_of(handshake(serving(leaf), context, ask)) == word
    # Seen either way, also where the handshake failed on it; and an unverified look says the same.
    seen = tls.certificate(context.shown, "db1:3306")
    assert seen is not None
    assert (seen.names, seen.self_signed, seen.chain) == (names, False, len(context.shown))
    assert tls.would_say(seen, ask, NOW.timestamp()) == word


def test_a_foreign_ca(ca: trustme.CA, tmp_path: Path) -> None:
    stranger = trustme.CA(organization_name="Somebody Else")
    context = handshake(serving(ca.issue_cert("db1")), trusting(stranger, folder=tmp_path))
    assert word_of(context) == "unknown-ca"


def test_a_foreign_ca_that_sends_its_whole_chain(tmp_path: Path) -> None:
    middle = trustme.CA(organization_name="Our House").create_child_ca()
    stranger = trustme.CA(organization_name="Our House")
    context = handshake(serving(middle.issue_cert("db1")), trusting(stranger, folder=tmp_path))
    assert len(context.shown) == 2
    assert word_of(context) == "unknown-ca"


def alone(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server that sends its own certificate and none of those above it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with (
        leaf.private_key_pem.tempfile() as key,
        leaf.cert_chain_pems[0].tempfile() as cert,
    ):
        context.load_cert_chain(cert, key)
    return context


def test_a_link_that_is_not_sent(tmp_path: Path) -> None:
    ca = trustme.CA()  # which gives its children its own organization
    leaf = ca.create_child_ca().issue_cert("db1")
    context = handshake(alone(leaf), trusting(ca, folder=tmp_path))
    assert word_of(context) == "missing-intermediate"
    assert word_of(handshake(serving(leaf), trusting(ca, folder=tmp_path))) == "ok"


def test_a_ca_that_was_made_anew_under_its_old_name(tmp_path: Path) -> None:
    before, now = (trustme.CA(organization_name="O", organization_unit_name="U") for _ in range(2))
    assert word_of(handshake(alone(now.issue_cert("db1")), trusting(before, folder=tmp_path))) == "unknown-ca"


def own(
    name: str = "db1", *, address: str = "", aia: bool = False
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate that signs itself, or (with `aia`) one that says where its issuer is to be had."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Public Issuing CA 7")]) if aia else subject
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=30))
    )  # fmt: skip
    if aia:
        where = x509.UniformResourceIdentifier("http://ca.example.net/7.crt")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
        made = made.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return made.sign(key, hashes.SHA256()), key


def serving_own(tmp_path: Path, *, aia: bool = False) -> ssl.SSLContext:
    cert, key = own(aia=aia)
    file = tmp_path / "own.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_certificate_that_signs_itself(ca: trustme.CA, tmp_path: Path) -> None:
    context = handshake(serving_own(tmp_path), trusting(ca, folder=tmp_path))
    assert word_of(context) == "self-signed"
    seen = tls.certificate(context.shown, "db1:3306")
    assert seen is not None
    assert seen.self_signed
    assert seen.name == "db1"
    assert tls.would_say(seen, "db1", NOW.timestamp()) == "self-signed"


def test_a_public_certificate_alone_says_where_its_issuer_is(ca: trustme.CA, tmp_path: Path) -> None:
    assert word_of(handshake(serving_own(tmp_path, aia=True), trusting(ca, folder=tmp_path))) == "missing-intermediate"


def test_nothing_is_verified_where_it_is_not_asked_for(tmp_path: Path) -> None:
    context = handshake(serving_own(tmp_path), tls.context(verify=False, names=False, ca=""), "other")
    assert word_of(context) == "ok"
    assert (context.version, context.done) == ("TLSv1.3", True)
    assert context.cipher
    assert len(context.shown) == 1


def test_no_common_version(ca: trustme.CA, tmp_path: Path) -> None:
    server = serving(ca.issue_cert("db1"))
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    context = trusting(ca, folder=tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert word_of(handshake(server, context)) == "protocol"


def test_no_common_cipher(ca: trustme.CA, tmp_path: Path) -> None:
    server, context = serving(ca.issue_cert("db1")), trusting(ca, folder=tmp_path)
    server.maximum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE+AES256")
    context.set_ciphers("ECDHE+CHACHA20")
    assert word_of(handshake(server, context)) == "protocol"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_server_that_demands_a_certificate_of_us(ca: trustme.CA, tmp_path: Path, version: ssl.TLSVersion) -> None:
    server, context = serving(ca.issue_cert("db1")), trusting(ca, folder=tmp_path)
    server.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, version
    ca.configure_trust(server)
    # In TLS 1.2 the alert is a plain handshake failure.
    assert word_of(handshake(server, context)) == (
        "protocol" if version is ssl.TLSVersion.TLSv1_2 else "client-certificate"
    )


def test_plain_text_where_tls_was_expected(ca: trustme.CA, tmp_path: Path) -> None:
    def plain(theirs: socket.socket) -> None:
        theirs.recv(4096)
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        theirs.close()

    assert word_of(handshake(plain, trusting(ca, folder=tmp_path))) == "plaintext"


def test_a_server_that_hangs_up(ca: trustme.CA, tmp_path: Path) -> None:
    def closes(theirs: socket.socket) -> None:
        theirs.recv(4096)
        theirs.close()

    assert word_of(handshake(closes, trusting(ca, folder=tmp_path))) == "closed"


def test_a_ca_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tls.context(verify=True, names=True, ca=str(tmp_path / "none.pem"))
    (tmp_path / "empty.pem").write_text("no certificate\n")
    with pytest.raises(ssl.SSLError):
        tls.context(verify=True, names=True, ca=str(tmp_path / "empty.pem"))


def test_every_failure_has_a_detail_that_a_person_can_read(ca: trustme.CA, tmp_path: Path) -> None:
    context = handshake(serving(ca.issue_cert("db2")), trusting(ca, folder=tmp_path))
    assert context.error is not None
    assert tls.detail_of(context.error) == "Hostname mismatch, certificate is not valid for 'db1'. (code 62)"
    assert tls.detail_of(TimeoutError()) == "no answer within the time"
    assert tls.detail_of(ConnectionResetError(104, "Connection reset by peer")) == "Connection reset by peer"


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_message_that_is_cut_off_breaks_nothing(length: int) -> None:
    whole = bytes.fromhex("0b00002000001d00001a") + bytes(26)
    assert isinstance(tls.certificates_in(whole[:length]), tuple)
    assert tls.certificate((whole[:length],), "db1:3306") is None


def test_a_name_is_compared_as_clients_do() -> None:
    seen = Certificate(subject="x", name="db1", names=("*.Example.net", "::1"), issuer="", not_before=0, not_after=1,
                       self_signed=False, chain=1, fingerprint="")  # fmt: skip
    assert tls.named(seen, "db1.example.NET.")
    assert tls.named(seen, "::1")
    assert not tls.named(seen, "example.net")
    assert not tls.named(seen, "db1"), "with other names, the common name counts for nothing"

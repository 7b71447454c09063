"""Facts about TLS: how a handshake ended, and what the certificate says."""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import span
from rbdiag.model import Fact

# Why a handshake or the verification of the certificate failed.
TlsWord = Literal[
    "ok", "expired", "not-yet-valid", "wrong-name", "self-signed", "unknown-ca", "missing-intermediate", "protocol",
    "client-certificate", "plaintext", "unavailable", "ca-file", "closed", "failed",
]  # fmt: skip


class TlsAnswer(Fact):
    """How a TLS handshake ended; the subject is the endpoint.

    `verified` says whether the certificate was to be verified, as the client's settings ask. Where it was not, `word`
    is "ok" and `would` says what verification would have said. "unavailable": TLS is asked for and the server has none.
    """

    word: TlsWord
    verified: bool
    version: str
    cipher: str
    detail: str
    seconds: float
    would: TlsWord | Literal[""] = ""

    def __str__(self) -> str:
        if self.word == "ok":
            checked = "certificate verified" if self.verified else "certificate not verified"
            return f"{self.version} with {self.subject} in {span(self.seconds)}, {checked}"
        return f"no TLS with {self.subject}: {self.word.replace('-', ' ')}" + (
            f" ({self.detail})" if self.detail else ""
        )


class Certificate(Fact):
    """The certificate that a server showed. Times are seconds since the epoch; `chain` None where it is not known."""

    name: str
    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    self_signed: bool
    chain: int | None
    fingerprint: str

    def __str__(self) -> str:
        names = ", ".join(self.names[:4]) or self.name or "no name"
        left = self.not_after - (self.seen_at or self.not_after)
        until = f"valid for {span(left)} more" if left >= 0 else f"expired {span(-left)} ago"
        return f"certificate of {self.subject} for {names}, issued by {self.issuer or 'nobody named'}, {until}"

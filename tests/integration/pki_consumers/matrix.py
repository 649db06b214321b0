"""Consumer by wrong thing: what each server must do, as data; README.md shows it, the tests hold it.

The criterion is bytes of the application: none may come back. Where a server cannot refuse in the handshake,
the cell says what comes instead, and `REASONS` says why that is so and what stands in for the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

README: Final = Path(__file__).with_name("README.md")
# Server to the listener and peer of its hop, and how a good client's answer begins.
SERVERS: Final = {
    "Envoy": ("gateway-sidecar", b"HTTP/1.1 403"),  # A listed peer; it may not ask for this path.
    "aiohttp": ("gateway", b"HTTP/1.1 403"),
    "PostgreSQL": ("postgres", b"R"),
    "Redis": ("redis", b"-NOAUTH"),
    "NATS": ("nats", b"INFO {"),
}
WRONG: Final = (
    "expired", "not yet valid", "revoked", "wrong id", "other trust domain", "our names, other root",
    "TLS 1.2", "plaintext", "no certificate", "resumption after removal of the root",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What must come back: the beginning of it, and a part of it."""

    text: str
    begins: bytes = b""
    holds: bytes = b""
    reason: str = ""


NOTHING: Final = Cell("0 bytes")
NO_ROLE: Final = Cell(
    "error 28000", b"E", b"C28000\0",
    "PostgreSQL binds a certificate's CN to a role after the handshake: the error message is the refusal.",
)  # fmt: skip
NO_CERTIFICATE: Final = Cell(
    "error 28000", b"E", b"C28000\0",
    "PostgreSQL asks for a certificate in the handshake and insists on it afterwards, with an error message.",
)  # fmt: skip
NO_TLS: Final = Cell(
    "error 28000", b"E", b"C28000\0",
    "PostgreSQL reads who asks before pg_hba.conf rejects it; that no role's name crosses in the clear is "
    "the clients' part.",
)  # fmt: skip
ANYBODY_OF_OURS: Final = Cell(
    "accepted", b"-NOAUTH", b"",
    "Redis 7 can neither bind a certificate to a user nor read a CRL: a password for each user, "
    "commands and keys by ACL, and certificates of a week stand in.",
)  # fmt: skip
NO_CRL: Final = Cell(
    "accepted", b"INFO {", b"",
    "NATS reads no CRL (it could ask an OCSP responder, and there is none here): certificates of a week "
    "stand in, and ending a peer's connections means starting the server again.",
)  # fmt: skip
NO_USER: Final = Cell(
    "INFO, then -ERR", b"INFO {", b"-ERR 'Authorization Violation'",
    "NATS maps the URI of a certificate to a user after the handshake: the error message is the refusal.",
)  # fmt: skip

EXCEPTIONS: Final = {
    ("PostgreSQL", "wrong id"): NO_ROLE,
    ("PostgreSQL", "no certificate"): NO_CERTIFICATE,
    ("PostgreSQL", "plaintext"): NO_TLS,
    ("Redis", "wrong id"): ANYBODY_OF_OURS,
    ("Redis", "revoked"): ANYBODY_OF_OURS,
    ("NATS", "wrong id"): NO_USER,
    ("NATS", "revoked"): NO_CRL,
}


def cell(server: str, wrong: str) -> Cell:
    """What this server does with this."""
    return EXCEPTIONS.get((server, wrong), NOTHING)


def table() -> str:
    """The matrix as Markdown, with its reasons."""
    cells = {(s, w): cell(s, w) for w in WRONG for s in SERVERS}
    reasons = list(dict.fromkeys(c.reason for c in cells.values() if c.reason))
    lines = ["| a client with | " + " | ".join(SERVERS) + " |", "|---|" + "---|" * len(SERVERS)]
    for wrong in WRONG:
        row = []
        for server in SERVERS:
            found = cells[server, wrong]
            row.append(f"{found.text} ({reasons.index(found.reason) + 1})" if found.reason else found.text)
        lines.append(f"| {wrong} | {' | '.join(row)} |")
    return "\n".join([*lines, "", *(f"{n}. {reason}" for n, reason in enumerate(reasons, 1))]) + "\n"

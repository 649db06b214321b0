"""What makes two requests the same request (pure).

A key is scoped to merchant and route. The fingerprint binds it to what was asked: it covers method, path,
query and the digest of the body, and leaves out what differs between honest retries: signature, nonce, times,
tracing. Source: draft-ietf-httpapi-idempotency-key-header §2.
"""

from __future__ import annotations

import hashlib
from uuid import UUID


def fingerprint(*, method: str, path: str, query: str, content_digest: str) -> bytes:
    """Return 32 bytes that two requests share exactly if they ask for the same.

    Args:
        method: as received, upper case.
        path: as signed, ids included: a key that captured one payment says nothing about another.
        query: canonical, as the signature profile admits no other; empty when there is none.
        content_digest: the verified `Content-Digest` value.
    """
    digest = hashlib.sha256(b"countermark-fingerprint-v1\n")
    for part in (method, path, query, content_digest):
        octets = part.encode("utf-8")
        # Length first, so that no two lists of parts can meet in one byte string.
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return digest.digest()


def key_hash(idempotency_key: str) -> bytes:
    """Return the 32 bytes under which a key is stored: keys may name orders or people, hashes do not."""
    return hashlib.sha256(idempotency_key.encode("utf-8")).digest()


def likeness(
    *, merchant_id: str, kind: str, instrument: str, amount_minor: int, currency: str, reference: str
) -> UUID:
    """Return what two payments share exactly if a person would take one for the other.

    128 bits of a hash, in the type that PostgreSQL compares fastest; whoever finds two payments of a merchant
    that meet in it is that merchant, and gets one of them refused.
    """
    digest = hashlib.sha256(b"countermark-likeness-v1\n")
    for part in (merchant_id, kind, instrument, str(amount_minor), currency, reference):
        octets = part.encode("utf-8")
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return UUID(bytes=digest.digest()[:16])

"""What makes two requests the same request (pure).

A key is scoped to merchant and route. The fingerprint binds it to what was asked: it covers method, path,
query and the digest of the body, and leaves out what differs between honest retries: signature, nonce, times,
tracing. Source: draft-ietf-httpapi-idempotency-key-header §2.
"""

from __future__ import annotations

import hashlib


def fingerprint(*, method: str, path: str, query: str, content_digest: str) -> bytes:
    """Return 32 bytes that two requests share exactly if they ask for the same.

    Args:
        method: as received, upper case.
        path: of the target, not its template: two objects are two requests.
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

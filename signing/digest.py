"""Content-Digest: one sha-256 member, made from and checked against the raw body.

Source: RFC 9530 §2.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import sha256
from hmac import compare_digest


def content_digest(body: bytes) -> str:
    """Return the value of `Content-Digest` for these bytes."""
    return f"sha-256=:{b2a_base64(sha256(body).digest(), newline=False).decode('ascii')}:"


def is_digest_of(field: str, body: bytes) -> bool:
    """Tell whether a canonical field value belongs to the body; takes the same time for any value.

    The texts are compared, not the decoded bytes: base64 in canonical form has one text for each value.
    """
    return field.isascii() and compare_digest(field, content_digest(body))

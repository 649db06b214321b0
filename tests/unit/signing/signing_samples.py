"""Requests, answers and keys for the tests of signing. THESE KEYS ARE PUBLIC: test vectors, never secrets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from signing import Request, Response, SigningKey, parse_request, sign_request

if TYPE_CHECKING:
    from signing import SignedRequest

ORIGIN = "https://edge.countermark.internal:8443"
ORIGINS = frozenset({ORIGIN})
NOW = 1_790_000_000
NONCE = "bm9uY2Utb2YtYS10ZXN0LXZlY3Rvcg"
IDEMPOTENCY_KEY = "order-2041-attempt-1"
BODY = b'{"amount_minor":1999,"currency":"EUR"}'
ANSWER = b'{"id":"pay_eu_1","status":"accepted"}'


def ed25519_key(name: str) -> SigningKey:
    """Derive a TEST key from its public name."""
    seed = hashlib.sha256(b"countermark TEST VECTOR key, not a secret: " + name.encode()).digest()
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))


def p256_key(name: str) -> SigningKey:
    """Derive a TEST key from its public name."""
    seed = hashlib.sha256(b"countermark TEST VECTOR key, not a secret: " + name.encode()).digest()
    return SigningKey(ec.derive_private_key(int.from_bytes(seed, "big") >> 1, ec.SECP256R1()))


MERCHANT_ED25519 = ed25519_key("merchant")
MERCHANT_P256 = p256_key("merchant")
MALLORY = ed25519_key("mallory")
GATEWAY = ed25519_key("gateway")
GATEWAY_P256 = p256_key("gateway")
MERCHANT_KEYS = [MERCHANT_ED25519, MERCHANT_P256]


def payment(body: bytes = BODY, method: str = "POST", target: str = "/v1/payments") -> Request:
    """Return an unsigned request that acts."""
    headers = (
        ("Host", "edge.countermark.internal:8443"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Idempotency-Key", f'"{IDEMPOTENCY_KEY}"'),
    )
    return Request(method, ORIGIN + target, headers, body)


def inquiry(target: str = "/v1/payments/pay_eu_1") -> Request:
    """Return an unsigned GET."""
    return Request("GET", ORIGIN + target, (("Accept", "application/json"),), None)


def signed(request: Request, key: SigningKey = MERCHANT_ED25519) -> Request:
    """Return the request with its signature fields."""
    return request.with_headers(sign_request(request, key, now=NOW, nonce=NONCE))


def parsed(request: Request) -> SignedRequest:
    """Return the claims of a signed request."""
    return parse_request(request, origins=ORIGINS)


def header(request: Request | Response, name: str) -> str:
    """Return the one value of a header field."""
    (value,) = [value for field, value in request.headers if field.lower() == name.lower()]
    return value


def with_header(request: Request, name: str, value: str | None) -> Request:
    """Replace a header field's value where it stands; None takes the field out."""
    headers = tuple(
        (field, old if field.lower() != name.lower() else value)
        for field, old in request.headers
        if field.lower() != name.lower() or value is not None
    )
    kept = tuple((field, new) for field, new in headers if new is not None)
    return Request(request.method, request.target_uri, kept, request.body)


def answer(status: int = 202, body: bytes = ANSWER) -> Response:
    """Return an unsigned response."""
    return Response(status, (("Content-Type", "application/json"),), body)

"""A request as it is sent and what its signature is over, by the very code that clients sign with (pure)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.api.parsing import PaymentOrder
from gateway.openapi.examples import KEY_ID, example_of
from signing import Request, prepare_request, profile

IDEMPOTENCY_KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'
_ORIGIN = "https://pay.example"  # Where a document names no gateway of its own.
_NOW_S = 1_790_847_000
_NONCE = "mZ0qfZJ5k1v8Yt3rXw6cPBhN2sLd7GaE"


@dataclass(frozen=True)
class SigningExample:
    """One request for a payment.

    Attributes:
        request: request line, header fields and body; the signature's own value is left out.
        signature_base: what the signature is over, line by line.
    """

    request: str
    signature_base: str


def signing_example(origin: str | None) -> SigningExample:
    """Return the example.

    Args:
        origin: of the gateway, `https://host`; it is part of what is signed.
    """
    origin = origin or _ORIGIN
    fields = (("Content-Type", profile.MEDIA_TYPE), ("Idempotency-Key", IDEMPOTENCY_KEY))
    body = msgspec.json.encode(example_of(PaymentOrder))
    request = Request("POST", f"{origin}/v1/payments", fields, body)
    prepared = prepare_request(request, key_id=KEY_ID, alg="ed25519", now=_NOW_S, nonce=_NONCE)
    lines = [
        "POST /v1/payments HTTP/1.1",
        f"Host: {origin.partition('://')[2]}",
        *(f"{name}: {value}" for name, value in fields),
        f"Content-Digest: {prepared.digest}",
        f"Signature-Input: {prepared.signature_input}",
        f"Signature: {profile.LABEL}=:…:",
        "",
        body.decode(),
    ]
    return SigningExample("\n".join(lines), prepared.signature_base.decode("ascii"))

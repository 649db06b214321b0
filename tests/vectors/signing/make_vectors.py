"""Make vectors.json: requests, receipts and webhooks that every implementation must judge alike.

Run `python tests/vectors/signing/make_vectors.py` at the root to write the file again; it comes
out the same, because the keys are derived and ECDSA is deterministic (RFC 6979) here.
THE PRIVATE KEYS ARE PUBLIC: they are test vectors, and must never be registered anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # the file is a script: the packages are beside tests/, not beside it

from signing import (  # noqa: E402 - after the path is set
    Request,
    Response,
    VerifyingKey,
    parse_request,
    sign_receipt,
    sign_request,
    sign_webhook,
    verify_receipt,
    webhook_public_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from signing import Algorithm

PATH = Path(__file__).with_name("vectors.json")
ORIGIN = "https://edge.countermark.internal:8443"
NOW = 1_790_000_000
NONCE = "Q291bnRlcm1hcmstdGVzdC1ub25jZQ"
BODY = b'{"amount_minor":1999,"currency":"EUR","kind":"collect"}'
ANSWER = b'{"id":"pay_eu_01","object":"payment","status":"accepted"}'


@dataclass(frozen=True)
class VectorKey:
    """A TEST key that signs the same bytes the same way each time."""

    name: str
    alg: Algorithm
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @property
    def verifying_key(self) -> VerifyingKey:
        return VerifyingKey(self.private.public_key())

    @property
    def key_id(self) -> str:
        return self.verifying_key.key_id

    def sign(self, base: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(base)
        r, s = decode_dss_signature(
            self.private.sign(base, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        )
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _derived(name: str, alg: Algorithm) -> tuple[VectorKey, dict[str, Any]]:
    seed = hashlib.sha256(f"countermark TEST VECTOR, not a secret: {name}".encode()).digest()
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    if alg == "ed25519":
        private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    else:
        private = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
    key = VectorKey(name, alg, private)
    return key, {
        "alg": alg,
        "key_id": key.key_id,
        "public_jwk": key.verifying_key.to_jwk(),
        "private_key_hex_TEST_ONLY": seed.hex(),
    }


MERCHANT, MERCHANT_JSON = _derived("merchant-ed25519", "ed25519")
MERCHANT_P256, MERCHANT_P256_JSON = _derived("merchant-p256", "ecdsa-p256-sha256")
GATEWAY, GATEWAY_JSON = _derived("gateway-ed25519", "ed25519")
GATEWAY_P256, GATEWAY_P256_JSON = _derived("gateway-p256", "ecdsa-p256-sha256")


def _message(message: Request | Response) -> dict[str, Any]:
    first = (
        {"method": message.method, "target_uri": message.target_uri}
        if isinstance(message, Request)
        else {"status": message.status}
    )
    body = None if message.body is None else base64.b64encode(message.body).decode()
    return {**first, "headers": [list(field) for field in message.headers], "body_base64": body}


def _payment(key: VectorKey, path: str = "/v1/payments", method: str = "POST", body: bytes = BODY) -> Request:
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", '"order-2041-attempt-1"'))
    request = Request(method, ORIGIN + path, headers, body)
    return request.with_headers(sign_request(request, key, now=NOW, nonce=NONCE))


def _inquiry(key: VectorKey, path: str) -> Request:
    request = Request("GET", ORIGIN + path, (("Accept", "application/json"),), None)
    return request.with_headers(sign_request(request, key, now=NOW, nonce=NONCE))


def _accepted() -> list[dict[str, Any]]:
    requests = {
        "payment, ed25519": (_payment(MERCHANT), MERCHANT),
        "payment, ecdsa": (_payment(MERCHANT_P256), MERCHANT_P256),
        "least body": (_payment(MERCHANT, "/v1/payments/pay_eu_01/cancel", body=b"{}"), MERCHANT),
        "put": (_payment(MERCHANT, "/v1/webhook_endpoints/we_1", "PUT"), MERCHANT),
        "delete with a body": (_payment(MERCHANT_P256, "/v1/keys/k_1", "DELETE", b"{}"), MERCHANT_P256),
        "get": (_inquiry(MERCHANT, "/v1/payments/pay_eu_01"), MERCHANT),
        "get with a query": (
            _inquiry(MERCHANT_P256, "/v1/payments?created_gte=1789990000&limit=5"),
            MERCHANT_P256,
        ),
    }
    return [
        {
            "name": name,
            "now": NOW + 5,
            "key": key.name,
            "request": _message(request),
            "expect": {
                "signature_base": parse_request(request, origins=frozenset({ORIGIN})).signature_base.decode(
                    "ascii"
                )
            },
        }
        for name, (request, key) in requests.items()
    ]


def _edited(name: str, change: Callable[[str], str]) -> Request:
    request = _payment(MERCHANT)
    headers = tuple((field, change(old) if field == name else old) for field, old in request.headers)
    return replace(request, headers=headers)


def _refused() -> list[dict[str, Any]]:
    good = _payment(MERCHANT)
    signature = next(value for name, value in good.headers if name == "Signature")
    entry = "Signature-Input"
    foreign = "https://x.example/v1/payments"
    cases: list[tuple[str, Request, int, str]] = [
        ("unsigned", replace(good, headers=good.headers[:2]), 5, "signature_missing"),
        ("other body", replace(good, body=b"{}"), 5, "digest_mismatch"),
        ("other target", replace(good, target_uri=f"{ORIGIN}/v1/refunds"), 5, "signature_invalid"),
        ("other origin", replace(good, target_uri=foreign), 5, "target_not_canonical"),
        ("dot segment", replace(good, target_uri=f"{ORIGIN}/v1/./payments"), 5, "target_not_canonical"),
        ("lower-case method", replace(good, method="post"), 5, "method_not_canonical"),
        ("too early", good, -31, "signature_too_early"),
        ("too late", good, 301, "signature_expired"),
        ("no key", _without(good, "Idempotency-Key"), 5, "idempotency_key_missing"),
        ("bare key", _edited("Idempotency-Key", lambda old: old.strip('"')), 5, "idempotency_key_invalid"),
        ("two keys", good.with_headers((good.headers[1],)), 5, "idempotency_key_invalid"),
        ("two signatures", good.with_headers((("signature", signature),)), 5, "header_duplicated"),
        ("media type", _edited("Content-Type", lambda old: old + "; charset=utf-8"), 5, "unsupported_media"),
        ("encoded", good.with_headers((("Content-Encoding", "gzip"),)), 5, "unsupported_media"),
        ("sha-512", _edited("Content-Digest", lambda old: old.replace("256", "512")), 5, "digest_malformed"),
        ("label", _edited(entry, lambda old: old.replace("countermark=", "sig1=")), 5, "signature_malformed"),
        (
            "less covered",
            _edited(entry, lambda old: old.replace(' "content-digest"', "")),
            5,
            "signature_malformed",
        ),
        (
            "quoted time",
            _edited(entry, lambda old: old.replace(f"d={NOW}", f'd="{NOW}"')),
            5,
            "signature_malformed",
        ),
        ("no body", replace(good, body=None), 5, "body_missing"),
        ("get with a body", replace(_inquiry(MERCHANT, "/v1/payments/a"), body=b"{}"), 5, "body_not_allowed"),
    ]
    return [
        {
            "name": name,
            "now": NOW + offset_s,
            "key": MERCHANT.name,
            "request": _message(request),
            "expect": {"refused": code},
        }
        for name, request, offset_s, code in cases
    ]


def _without(request: Request, name: str) -> Request:
    return replace(request, headers=tuple(field for field in request.headers if field[0] != name))


def _receipts() -> list[dict[str, Any]]:
    vectors = []
    for request, key, status in (
        (_payment(MERCHANT), GATEWAY, 202),
        (_payment(MERCHANT_P256), GATEWAY_P256, 422),
        (_inquiry(MERCHANT, "/v1/payments/pay_eu_01"), GATEWAY, 200),
    ):
        response = Response(status, (("Content-Type", "application/json"),), ANSWER)
        signed = parse_request(request, origins=frozenset({ORIGIN}))
        response = response.with_headers(sign_receipt(signed, response, key, now=NOW + 1))
        keys = {key.key_id: key.verifying_key}
        receipt = verify_receipt(request, response, keys.get, now=NOW + 2)
        vectors.append(
            {
                "name": f"{request.method} answered {status}, {key.alg}",
                "now": NOW + 2,
                "key": key.name,
                "request": _message(request),
                "response": _message(response),
                "expect": {"signature_base": receipt.signature_base.decode("ascii")},
            }
        )
    return vectors


def _webhooks() -> list[dict[str, Any]]:
    body = b'{"type":"payment.captured","sequence":7}'
    return [
        {
            "name": "webhook",
            "now": NOW + 3,
            "public_key": webhook_public_key(GATEWAY.verifying_key),
            "headers": [list(field) for field in sign_webhook("evt_01", NOW, body, GATEWAY)],
            "body_base64": base64.b64encode(body).decode(),
        }
    ]


def document() -> str:
    """Return the text of vectors.json."""
    vectors = {
        "note": "Test vectors of countermark-request-v1. The keys are public: never register them.",
        "origin": ORIGIN,
        "keys": {
            MERCHANT.name: MERCHANT_JSON,
            MERCHANT_P256.name: MERCHANT_P256_JSON,
            GATEWAY.name: GATEWAY_JSON,
            GATEWAY_P256.name: GATEWAY_P256_JSON,
        },
        "requests": _accepted() + _refused(),
        "receipts": _receipts(),
        "webhooks": _webhooks(),
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(document())

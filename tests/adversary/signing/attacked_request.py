"""A good signed request, and ways to change it. THE KEYS ARE PUBLIC: test vectors, never secrets."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from signing import (
    Request,
    SigningError,
    SigningKey,
    VerifyingKey,
    parse_request,
    sign_request,
    verify_request,
)
from signing.digest import content_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from signing import VerifiedRequest

ORIGIN = "https://edge.countermark.internal:8443"
ORIGINS = frozenset({ORIGIN})
NOW = 1_790_000_000
NONCE = "bm9uY2Utb2YtYW4tYXR0YWNrLXRlc3Q"
COVERED = '"@method" "@target-uri" "content-type" "content-digest" "idempotency-key"'
_TEST_SEED = b"countermark TEST VECTOR key, not a secret: adversary "


def _seed(name: str) -> bytes:
    return hashlib.sha256(_TEST_SEED + name.encode()).digest()


ALICE = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(_seed("alice")))
ALICE_P256 = SigningKey(ec.derive_private_key(int.from_bytes(_seed("alice"), "big") >> 1, ec.SECP256R1()))
MALLORY = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(_seed("mallory")))


def unsigned(body: bytes = b'{"amount_minor":1999}') -> Request:
    """Return a payment that is not signed yet."""
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", '"order-2041-attempt-1"'))
    return Request("POST", f"{ORIGIN}/v1/payments", headers, body)


def good(key: SigningKey = ALICE, body: bytes = b'{"amount_minor":1999}') -> Request:
    """Return a payment that is accepted."""
    request = unsigned(body)
    return request.with_headers(sign_request(request, key, now=NOW, nonce=NONCE))


def good_get(key: SigningKey = ALICE) -> Request:
    """Return an inquiry that is accepted."""
    request = Request("GET", f"{ORIGIN}/v1/payments/pay_eu_1", (), None)
    return request.with_headers(sign_request(request, key, now=NOW, nonce=NONCE))


def accept(request: Request, key: VerifyingKey = ALICE.verifying_key, *, now: int = NOW) -> VerifiedRequest:
    """Do what the gateway does; raises what it refuses with."""
    return verify_request(parse_request(request, origins=ORIGINS), key, now=now)


@contextmanager
def refused(code: str, match: str | None = None) -> Iterator[Any]:
    """Expect a refusal by its stable code, which is what callers and merchants rely on."""
    with pytest.raises(SigningError, match=match) as refusal:
        yield refusal
    assert code == refusal.value.code


def value(request: Request, name: str) -> str:
    """Return the one value of a header field."""
    (found,) = [old for field, old in request.headers if field.lower() == name]
    return found


def changed(request: Request, name: str, change: Callable[[str], str]) -> Request:
    """Change a header field's value where it stands."""
    headers = tuple((field, change(old) if field.lower() == name else old) for field, old in request.headers)
    return dataclasses.replace(request, headers=headers)


def without(request: Request, name: str) -> Request:
    """Take a header field out."""
    kept = tuple((field, old) for field, old in request.headers if field.lower() != name)
    return dataclasses.replace(request, headers=kept)


def resigned(request: Request, signature_input: str, lines: list[str], key: SigningKey = ALICE) -> Request:
    """Sign as a dishonest or careless merchant would: any Signature-Input, rightly signed.

    A refusal of such a request proves that its form is refused, not only that its signature is wrong.
    """
    parameters = signature_input.partition("=")[2]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(base.encode())).decode()
    label = signature_input.partition("=")[0]
    request = without(without(request, "signature-input"), "signature")
    return request.with_headers(
        (("Signature-Input", signature_input), ("Signature", f"{label}=:{signature}:"))
    )


def component_lines(request: Request, covered: list[str]) -> list[str]:
    """Return the base's lines for components of a payment, whatever parameters they carry."""
    values = {
        "@method": request.method,
        "@target-uri": request.target_uri,
        "@authority": "edge.countermark.internal:8443",
        "@path": "/v1/payments",
        "content-type": "application/json",
        "content-digest": content_digest(request.body or b""),
        "idempotency-key": '"order-2041-attempt-1"',
    }
    return [f"{component}: {values[component.split(chr(34))[1]]}" for component in covered]


def parameters(**overrides: str | None) -> str:
    """Return the signature's parameters, some of them replaced or, with None, left out."""
    forms: dict[str, str | None] = {
        "created": str(NOW),
        "expires": str(NOW + 300),
        "nonce": f'"{NONCE}"',
        "keyid": f'"{ALICE.key_id}"',
        "alg": f'"{ALICE.alg}"',
        "tag": '"countermark-request-v1"',
    }
    forms |= overrides
    return "".join(f";{name}={form}" for name, form in forms.items() if form is not None)


def payment_signed_with(
    signature_parameters: str, covered: str = COVERED, label: str = "countermark"
) -> Request:
    """Return a payment with any parameters or coverage, rightly signed by Alice."""
    request = good()
    lines = component_lines(request, covered.split(" ") if covered else [])
    return resigned(request, f"{label}=({covered}){signature_parameters}", lines)

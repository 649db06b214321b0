"""The contenders of the signing benchmark: each signs and verifies the same payments, in its own way.

Each turn handles distinct requests (body, nonce, idempotency key), so that nobody can remember an answer.
Keys are loaded before. THESE KEYS ARE MADE FOR ONE RUN.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import http_message_signatures
import jwt.api_jws
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from signing import (
    Algorithm,
    Request,
    Response,
    SignedRequest,
    SigningKey,
    VerifiedReceipt,
    parse_request,
    sign_receipt,
    sign_request,
    verify_receipt,
    verify_request,
)
from signing.profile import LABEL, LIFETIME_S_MAX, REQUEST_TAG

BODY_BYTES: Final = 400
REQUESTS: Final = 64  # one turn of the fast contenders, 1.5 to 7 ms
REQUESTS_OF_THE_SLOW: Final = 16
ORIGIN: Final = "https://edge.countermark.internal:8443"
_ORIGINS: Final = frozenset({ORIGIN})
_COVERED: Final = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")

Turns = tuple[Callable[[], None], Callable[[], None]]  # signs every payment once; verifies each once


@dataclass(frozen=True, slots=True)
class Keys:
    """One key pair: as objects of `cryptography`, and wrapped by this library."""

    private: Any
    public: Any
    ours: SigningKey


@dataclass(frozen=True, slots=True)
class Payment:
    """An unsigned request, and the nonce it will be signed with."""

    unsigned: Request
    nonce: str


def new_keys(alg: Algorithm) -> Keys:
    """Make a key pair."""
    private = (
        ed25519.Ed25519PrivateKey.generate() if alg == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    return Keys(private, private.public_key(), SigningKey(private))


def new_payments() -> list[Payment]:
    """Make distinct POSTs of a 400-byte JSON body with six header fields."""
    payments = []
    for number in range(REQUESTS):
        members = {"amount_minor": 1000 + number, "currency": "EUR", "kind": "collect", "reference": ""}
        spare = BODY_BYTES - len(json.dumps(members).encode())
        body = json.dumps({**members, "reference": secrets.token_hex(spare)[:spare]}).encode()
        headers = (
            ("Host", ORIGIN.removeprefix("https://")),
            ("User-Agent", "merchant/1.0"),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Idempotency-Key", f'"{secrets.token_urlsafe(24)}"'),
        )
        request = Request("POST", f"{ORIGIN}/v1/payments", headers, body)
        payments.append(Payment(request, secrets.token_urlsafe(24)))
    return payments


def primitive(keys: Keys, signed: Iterable[SignedRequest | VerifiedReceipt]) -> Turns:
    """Return turns of the bare calls of `cryptography`; bases, and for P-256 the DER, are there already."""
    signatures = [(claim.signature, claim.signature_base) for claim in signed]
    bases = [base for _, base in signatures]
    sign, verify = keys.private.sign, keys.public.verify
    if keys.ours.alg == "ed25519":

        def sign_turn() -> None:
            for base in bases:
                sign(base)

        def verify_turn() -> None:
            for signature, base in signatures:
                verify(signature, base)

        return sign_turn, verify_turn

    ecdsa = ec.ECDSA(hashes.SHA256())
    encoded = [(_der(signature), base) for signature, base in signatures]

    def sign_ecdsa_turn() -> None:
        for base in bases:
            sign(base, ecdsa)

    def verify_ecdsa_turn() -> None:
        for der, base in encoded:
            verify(der, base, ecdsa)

    return sign_ecdsa_turn, verify_ecdsa_turn


def countermark(keys: Keys, payments: list[Payment], now: int) -> Turns:
    """Return turns of this library: Request to header fields, and received parts to VerifiedRequest."""
    key, public, origins = keys.ours, keys.ours.verifying_key, _ORIGINS
    unsigned = [(payment.unsigned, payment.nonce) for payment in payments]
    received = [
        (signed.method, signed.target_uri, signed.headers, signed.body)
        for signed in (_signed(payment, keys, now) for payment in payments)
    ]

    def sign_turn() -> None:
        for request, nonce in unsigned:
            sign_request(request, key, now=now, nonce=nonce)

    def verify_turn() -> None:
        for method, target_uri, headers, body in received:
            request = Request(method, target_uri, headers, body)
            verify_request(parse_request(request, origins=origins), public, now=now)

    return sign_turn, verify_turn


def http_message_signatures_package(keys: Keys, payments: list[Payment], now: int) -> Turns:
    """Return turns of the PyPI package, held to our profile as far as its options go."""
    algorithm = (
        http_message_signatures.algorithms.ED25519
        if keys.ours.alg == "ed25519"
        else http_message_signatures.algorithms.ECDSA_P256_SHA256
    )

    class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
        def resolve_public_key(self, _key_id: str) -> Any:
            return keys.public

        def resolve_private_key(self, _key_id: str) -> Any:
            return keys.private

    signer = http_message_signatures.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Resolver())
    verifier = http_message_signatures.HTTPMessageVerifier(
        signature_algorithm=algorithm, key_resolver=Resolver()
    )
    few = payments[:REQUESTS_OF_THE_SLOW]
    unsigned = [(_view(payment.unsigned), payment.unsigned.body, payment.nonce) for payment in few]
    signed = [_signed(payment, keys, now) for payment in few]
    received = [(_view(request), request.body) for request in signed]
    created = dt.datetime.fromtimestamp(now, dt.UTC)
    expires = created + dt.timedelta(seconds=LIFETIME_S_MAX)
    age_max = dt.timedelta(seconds=LIFETIME_S_MAX)

    def sign_turn() -> None:
        for view, body, nonce in unsigned:
            message = SimpleNamespace(method=view.method, url=view.url, headers=dict(view.headers))
            signer.sign(
                message,
                key_id=keys.ours.key_id,
                created=created,
                expires=expires,
                nonce=nonce,
                label=LABEL,
                tag=REQUEST_TAG,
                covered_component_ids=_COVERED,
                body=body,
            )

    def verify_turn() -> None:
        for view, body in received:
            verifier.verify(
                view,
                max_age=age_max,
                expect_tag=REQUEST_TAG,
                expect_label=LABEL,
                require_components=_COVERED,
                body=body,
            )

    return sign_turn, verify_turn


def pyjwt(keys: Keys, payments: list[Payment], now: int) -> Turns:
    """Return turns of PyJWT: a JWS of the body, with our claims in its protected header."""
    jws = jwt.api_jws.PyJWS()
    name = "EdDSA" if keys.ours.alg == "ed25519" else "ES256"
    names = [name]
    unsigned = [(payment.unsigned.body or b"", _claims(payment, keys, now)) for payment in payments]
    tokens = [
        jws.encode(body, keys.private, algorithm=name, headers=dict(claims)) for body, claims in unsigned
    ]

    def sign_turn() -> None:
        for body, claims in unsigned:
            jws.encode(body, keys.private, algorithm=name, headers=claims)

    def verify_turn() -> None:
        for token in tokens:
            claims = jws.decode_complete(token, keys.public, algorithms=names)["header"]
            # PyJWS leaves these to its caller.
            if claims["tag"] != REQUEST_TAG or not claims["created"] - 30 <= now <= claims["expires"] + 30:
                raise ValueError

    return sign_turn, verify_turn


def receipts(
    keys: Keys, requests: list[Request], claims: list[SignedRequest], now: int
) -> tuple[Turns, Turns]:
    """Return turns of this library's receipts, and of the bare calls over the same bases.

    Ours: parsed request and answer to header fields; request and answer as received to VerifiedReceipt.
    """
    key = keys.ours
    directory = {key.key_id: key.verifying_key}.get
    answer = Response(202, (("Content-Type", "application/json"), ("Date", "-")), b'{"id":"pay_eu_1"}' * 20)
    answered = [
        (request, answer.with_headers(sign_receipt(claim, answer, key, now=now)))
        for request, claim in zip(requests, claims, strict=True)
    ]
    made = [verify_receipt(request, response, directory, now=now) for request, response in answered]

    def sign_turn() -> None:
        for claim in claims:
            sign_receipt(claim, answer, key, now=now)

    def verify_turn() -> None:
        for request, response in answered:
            verify_receipt(request, response, directory, now=now)

    return (sign_turn, verify_turn), primitive(keys, made)


def signed_requests(keys: Keys, payments: list[Payment], now: int) -> list[Request]:
    """Sign the payments with this library."""
    return [_signed(payment, keys, now) for payment in payments]


def claims_of(requests: list[Request]) -> list[SignedRequest]:
    """Parse the signed requests."""
    return [parse_request(request, origins=_ORIGINS) for request in requests]


def _signed(payment: Payment, keys: Keys, now: int) -> Request:
    return payment.unsigned.with_headers(
        sign_request(payment.unsigned, keys.ours, now=now, nonce=payment.nonce)
    )


def _claims(payment: Payment, keys: Keys, now: int) -> dict[str, object]:
    fields = {name.lower(): value for name, value in payment.unsigned.headers}
    return {
        "kid": keys.ours.key_id,
        "method": payment.unsigned.method,
        "target-uri": payment.unsigned.target_uri,
        "idempotency-key": fields["idempotency-key"],
        "cty": fields["content-type"],
        "created": now,
        "expires": now + LIFETIME_S_MAX,
        "nonce": payment.nonce,
        "tag": REQUEST_TAG,
    }


def _view(request: Request) -> SimpleNamespace:
    return SimpleNamespace(method=request.method, url=request.target_uri, headers=dict(request.headers))


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))

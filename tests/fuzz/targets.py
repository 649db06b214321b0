"""One target for each parser: any bytes lead to a value or to the package's own refusal, to nothing else.

Where a value comes out, what must then be true is asserted, so that a fuzzer finds wrong acceptances too.
The keys and times are those of the seeds, which `tests/fuzz/make_corpus.py` makes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Final

from gateway.api.parsing import FRACTION, KeyOrder, PaymentOrder, parse_command, parse_json
from gateway.errors import MalformedJSON, ValidationFailed
from signing import (
    ReceiptRefused,
    RequestRefused,
    SigningKey,
    VerifyingKey,
    WebhookRefused,
    WebhookSecret,
    explain,
    first_difference,
    keys_from_jwks,
    keys_to_jwks,
    parse_registration_statement,
    parse_request,
    registration_statement,
    signature_base,
    verify_receipt,
    verify_request,
    verify_webhook,
    webhook_key_from_text,
    webhook_public_key,
)
from signing.dpop import verify_proof
from signing.errors import KeyRefused, MessageUnreadable, ProofRefused, RegistrationRefused
from signing.message_file import request_from_file, request_to_json, response_from_file
from tests.fuzz import vault_targets
from tests.fuzz.bus_targets import BUS_TARGETS
from tests.fuzz.service_targets import SERVICE_TARGETS
from tests.fuzz.wire_text import request_of, response_of
from tests.unit.signing import signing_samples as samples

TOKEN: Final = "cmat_" + "A" * 43
SIGNED: Final = samples.signed(samples.payment())


def request(octets: bytes) -> bool:
    """`parse_request`, then `verify_request`."""
    received = request_of(octets)
    with contextlib.suppress(RequestRefused):
        assert signature_base(received).startswith(b'"@method": ')
    with contextlib.suppress(RequestRefused):
        signed = parse_request(received, origins=samples.ORIGINS)
        verified = verify_request(signed, _KEYS_BY_ALG[signed.alg], now=samples.NOW)
        # A forgery would have been found if these could differ from what the seeds sign.
        assert verified.signature_base in _SIGNED_BASES
        return True
    return False


_KEYS_BY_ALG: Final = {key.alg: key.verifying_key for key in samples.MERCHANT_KEYS}
_SIGNED_BASES: Final = frozenset(
    samples.parsed(samples.signed(unsigned, key)).signature_base
    for unsigned in (samples.payment(), samples.inquiry())
    for key in samples.MERCHANT_KEYS
)


def receipt(octets: bytes) -> bool:
    """`verify_receipt` of any response to a signed request."""
    key = samples.GATEWAY.verifying_key
    answered = response_of(octets)
    with contextlib.suppress(ReceiptRefused):
        verified = verify_receipt(SIGNED, answered, {key.key_id: key}.get, now=samples.NOW)
        assert (202, samples.ANSWER) == (verified.status, verified.response.body)
        return True
    return False


def registration(octets: bytes) -> bool:
    """`parse_registration_statement`: what it reads it writes again, byte for byte."""
    with contextlib.suppress(RegistrationRefused):
        read = parse_registration_statement(octets)
        assert octets == registration_statement(read.merchant_id, read.key_id, read.alg, read.issued_at)
        return True
    return False


def proof(octets: bytes) -> bool:
    """`verify_proof` of any text, for each key that a token may be bound to."""
    for key in samples.MERCHANT_KEYS:
        with contextlib.suppress(ProofRefused):
            verified = verify_proof(
                octets.decode("latin-1"),
                bound_to=key.key_id,
                method="GET",
                target_uri=samples.inquiry().target_uri,
                token=TOKEN,
                now=samples.NOW,
            )
            # A forgery would have been found if these could differ from what the seeds sign.
            assert (key.key_id, samples.NONCE, samples.NOW) == (
                verified.key_id, verified.jti, verified.issued_at,
            )  # fmt: skip
            return True
    return False


def jwks(octets: bytes) -> bool:
    """`keys_from_jwks`: what it reads it writes and reads again."""
    with contextlib.suppress(KeyRefused):
        keys = keys_from_jwks(octets)
        assert keys == keys_from_jwks(keys_to_jwks(keys.values()))
        return True
    return False


def jwk(octets: bytes) -> bool:
    """`VerifyingKey.from_jwk` of any JSON object."""
    value: object = None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(octets)
    if isinstance(value, dict):
        with contextlib.suppress(KeyRefused):
            key = VerifyingKey.from_jwk(value)
            assert key == VerifyingKey.from_jwk(key.to_jwk())
            return True
    return False


def pem(octets: bytes) -> bool:
    """Public and private keys from PEM."""
    with contextlib.suppress(KeyRefused):
        key = VerifyingKey.from_spki_pem(octets)
        assert key == VerifyingKey.from_spki_pem(key.to_spki_pem())
        return True
    with contextlib.suppress(KeyRefused):
        private = SigningKey.from_pem(octets)
        assert private.key_id == SigningKey.from_pem(private.to_pem()).key_id
        return True
    return False


SECRET = WebhookSecret(bytes(32))


def webhook(octets: bytes) -> bool:
    """`verify_webhook` of any headers and body."""
    received = request_of(octets)
    key = samples.GATEWAY.verifying_key
    with contextlib.suppress(WebhookRefused):
        verified = verify_webhook(received.headers, received.body or b"", [key, SECRET], now=samples.NOW)
        assert ("evt_01", samples.ANSWER) == (verified.message_id, verified.body)
        return True
    return False


def webhook_key(octets: bytes) -> bool:
    """`webhook_key_from_text`: one spelling for each key."""
    text = octets.decode("latin-1")
    with contextlib.suppress(KeyRefused):
        assert text == webhook_public_key(webhook_key_from_text(text))
        return True
    return False


def request_file(octets: bytes) -> bool:
    """`request_from_file`: what it reads it writes as JSON and reads again."""
    accepted = False
    for origin in (None, samples.ORIGIN):
        with contextlib.suppress(MessageUnreadable):
            read = request_from_file(octets, origin)
            assert read == request_from_file(request_to_json(read), origin)
            accepted = True
    return accepted


def response_file(octets: bytes) -> bool:
    """`response_from_file`: informational responses are passed over."""
    with contextlib.suppress(MessageUnreadable):
        assert not 100 <= response_from_file(octets).status < 200
        return True
    return False


def explanation(octets: bytes) -> bool:
    """`explain` any two bases, and a seed's base with any other."""
    ours, _, theirs = octets.partition(b"\x00")
    for left, right in ((ours, theirs), (theirs, ours), (min(_SIGNED_BASES), octets)):
        assert (left == right) == (first_difference(left, right) is None)
        assert explain(left, right).replace("\n", " ").isprintable()
    return True


def command(octets: bytes) -> bool:
    """The gateway's `parse_json` and `parse_command`, compared with the standard library's parser."""
    accepted = False
    for kind in (PaymentOrder, KeyOrder):
        with contextlib.suppress(MalformedJSON, ValidationFailed):
            parse_command(octets, kind)
            accepted = True
    with contextlib.suppress(MalformedJSON):
        value = parse_json(octets)
        assert value == json.loads(octets.decode("utf-8"), parse_float=lambda _: FRACTION)
    return accepted


# Each tells whether the input was accepted; an exception of any kind is a find.
TARGETS: Final[dict[str, Callable[[bytes], bool]]] = {
    "request": request,
    "receipt": receipt,
    "registration": registration,
    "proof": proof,
    "jwks": jwks,
    "jwk": jwk,
    "pem": pem,
    "webhook": webhook,
    "webhook_key": webhook_key,
    "request_file": request_file,
    "response_file": response_file,
    "explanation": explanation,
    "command": command,
    "instrument_order": vault_targets.instrument_order,
    "number": vault_targets.number,
    "token": vault_targets.token,
    "cell_keys": vault_targets.cell_keys,
    **SERVICE_TARGETS,
    **BUS_TARGETS,
}

"""Write the seed corpus: for each target a handful of real messages, signed with public TEST keys.

Run `python -m tests.fuzz.make_corpus` at the root. Every seed but those named `refused-…` is accepted by its
target's parser; `tests/adversary/test_parsers_under_fuzz.py` holds that the folders are complete.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from services.vault.tokens import make_token
from signing import (
    Response,
    SigningKey,
    keys_to_jwks,
    registration_statement,
    sign_receipt,
    sign_webhook,
    webhook_public_key,
)
from signing.dpop import make_proof
from signing.message_file import request_to_json
from tests.fuzz.bus_targets import bus_seeds
from tests.fuzz.service_seeds import service_seeds
from tests.fuzz.targets import SIGNED, TARGETS, TOKEN
from tests.fuzz.wire_text import wire_text
from tests.unit.signing import signing_samples as samples

CORPUS: Final = Path(__file__).with_name("corpus")
_PROOF = "A" * 86 + "=="


def _order(members: bytes) -> bytes:
    return b'{"blind":"AAECAwQFBgcICQoLDA0ODw",' + members + b"}"


def _proof_by(key: SigningKey) -> str:
    target_uri = samples.inquiry().target_uri
    return make_proof(
        key, method="GET", target_uri=target_uri, token=TOKEN, now=samples.NOW, jti=samples.NONCE
    )


def seeds() -> dict[str, dict[str, bytes]]:
    """Return file contents by target and name."""
    signed, inquiry = SIGNED, samples.signed(samples.inquiry())
    by_p256 = samples.signed(samples.payment(), samples.MERCHANT_P256)
    answer = samples.answer()
    answered = answer.with_headers(
        sign_receipt(samples.parsed(signed), answer, samples.GATEWAY, now=samples.NOW)
    )
    keys = [samples.GATEWAY.verifying_key, samples.GATEWAY_P256.verifying_key]
    webhook = Response(
        200, sign_webhook("evt_01", samples.NOW, samples.ANSWER, samples.GATEWAY), samples.ANSWER
    )
    base = samples.parsed(signed).signature_base
    http = b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n{}"
    return {
        "request": {"post": wire_text(signed), "get": wire_text(inquiry), "p256": wire_text(by_p256)},
        "receipt": {"202": wire_text(answered), "refused-unsigned": wire_text(answer)},
        "registration": {
            key.alg: registration_statement("mer_eu_1", key.key_id, key.alg, samples.NOW)
            for key in samples.MERCHANT_KEYS
        },
        "proof": {
            **{key.alg: _proof_by(key).encode() for key in samples.MERCHANT_KEYS},
            "refused-of-nobody": _proof_by(samples.GATEWAY).encode(),
        },
        "jwks": {"two": keys_to_jwks(keys), "none": b'{"keys":[]}'},
        "jwk": {key.alg: json.dumps(key.to_jwk()).encode() for key in keys},
        "pem": {
            **{f"public-{key.alg}": key.to_spki_pem() for key in keys},
            "private-TEST-ONLY": samples.MERCHANT_ED25519.to_pem(),
        },
        "webhook": {"one": wire_text(webhook)},
        "webhook_key": {"one": webhook_public_key(samples.GATEWAY.verifying_key).encode()},
        "request_file": {"json": request_to_json(signed), "http": http},
        "response_file": {
            "after-continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nA: b\r\n\r\n{}",
            "plain": b"HTTP/2 200\nContent-Type: application/json\n\n{}",
        },
        "explanation": {"changed": base + b"\x00" + base.replace(b"POST", b"post"), "same": base},
        "command": {
            "payment": b'{"kind":"collect","amount":1999,"currency":"EUR","instrument":"tok_visa_ok"}',
            "first-key": json.dumps({"public_key": keys[0].to_jwk()}).encode(),
            "next-key": json.dumps(
                {"public_key": keys[1].to_jwk(), "proof": _PROOF, "issued_at": samples.NOW}
            ).encode(),
            "refused-float": b'{"amount":19.99,"list":[1e3,null,true,"\\u00e9"]}',
        },
        "instrument_order": {
            "card": _order(b'"card":{"number":"4242424242424242","expiry_month":12,"expiry_year":2030}'),
            "iban": _order(b'"iban":"DE89370400440532013000"'),
            "refused-cvc": _order(b'"card":{"number":"4242424242424242","cvc":"123"}'),
            "refused-unblinded": b'{"iban":"DE89370400440532013000"}',
        },
        "number": {
            "card": b"4242424242424242",
            "iban": b"MT84MALT011000012345MTLCAST001S",
            "refused-check": b"4242424242424241",
        },
        "token": {
            "one": make_token("eu", "mer_eu_one", 2**79 + 1).encode(),
            "refused-name": b"tok_visa_ok",
        },
        "cell_keys": {
            "two": b"1 " + b"A" * 43 + b"=\n2 " + b"B" * 42 + b"A=\n",
            "refused-falling": b"2 %s=\n1 %s=\n" % (b"A" * 43, b"B" * 42 + b"A"),
        },
        **service_seeds(),
        **bus_seeds(),
    }


def main() -> None:
    """Write every seed; what is there already and no seed stays, as a find that is kept would."""
    made = seeds()
    assert TARGETS.keys() == made.keys()
    for target, files in made.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()

"""Secrets of webhook endpoints: one spelling, their code beside our signature, and nothing shown of them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import SigningKey, WebhookSecret, sign_webhook, verify_webhook
from signing.errors import KeyRefused, SignatureInvalid, WebhookSignatureInvalid

NOW = 1_790_847_000
BODY = b'{"type":"payment.succeeded"}'
KEY = SigningKey.generate("ed25519")
octets_of_secrets = st.binary(min_size=24, max_size=64)


@given(octets_of_secrets)
def test_a_secret_has_one_spelling_and_comes_back_from_it(octets: bytes) -> None:
    secret = WebhookSecret(octets)

    again = WebhookSecret.from_text(secret.to_text())

    assert octets == again.octets
    assert hashlib.sha256(octets).hexdigest() == again.fingerprint
    assert secret.to_text() not in repr(secret)
    assert octets.hex() not in repr(secret)


@given(st.binary(max_size=23) | st.binary(min_size=65, max_size=80))
def test_a_secret_of_another_length_is_refused(octets: bytes) -> None:
    with pytest.raises(KeyRefused):
        WebhookSecret(octets)
    with pytest.raises(KeyRefused):
        WebhookSecret.from_text("whsec_" + base64.b64encode(octets).decode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "A" * 44,
        "whsec_" + "A" * 43,  # no padding
        "whsec_" + "A" * 42 + "B=",  # bits that nobody reads
        "whsec_" + "-" * 44,
        " whsec_" + "A" * 44,
        "whsec_" + "Ä" * 44,
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(KeyRefused):
        WebhookSecret.from_text(text)


@given(octets_of_secrets, st.binary(min_size=1, max_size=200))
def test_the_code_is_that_of_the_specification(octets: bytes, body: bytes) -> None:
    secret = WebhookSecret(octets)
    fields = dict(sign_webhook("evt_1", NOW, body, KEY, secrets=[secret]))

    content = b"evt_1." + str(NOW).encode() + b"." + body
    expected = base64.b64encode(hmac.digest(octets, content, "sha256")).decode()

    assert f"v1,{expected}" in fields["webhook-signature"].split(" ")


def test_each_holder_verifies_with_what_it_has() -> None:
    old, new, foreign = (WebhookSecret(bytes([n]) * 32) for n in (1, 2, 3))
    fields = sign_webhook("evt_1", NOW, BODY, KEY, secrets=[new, old])

    assert old.fingerprint == verify_webhook(fields, BODY, [old], now=NOW).key_id
    assert new.fingerprint == verify_webhook(fields, BODY, [foreign, new], now=NOW).key_id
    assert KEY.key_id == verify_webhook(fields, BODY, [foreign, KEY.verifying_key], now=NOW).key_id
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(fields, BODY, [foreign], now=NOW)
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(fields, BODY + b" ", [old, new, KEY.verifying_key], now=NOW)


def test_a_code_is_never_taken_for_a_signature_nor_the_reverse() -> None:
    secret = WebhookSecret(bytes(32))
    code = secret.authenticate(b"content")

    assert secret.authenticates(code, b"content")
    assert not secret.authenticates(code, b"other")
    with pytest.raises(SignatureInvalid):
        KEY.verifying_key.verify(code * 2, b"content")

"""Attack 30: a signature made for one purpose is shown for another; a signer is used as an oracle."""

from __future__ import annotations

import base64
import dataclasses
import inspect

import pytest

import signing
from signing import (
    Response,
    parse_request,
    registration_statement,
    sign_possession,
    sign_receipt,
    sign_request,
    sign_webhook,
    verify_possession,
    verify_receipt,
    verify_webhook,
)
from tests.adversary.signing import attacked_request as attack

_KEY = attack.ALICE.verifying_key  # one key for everything: the worst that an operator could do
_KEYS = {_KEY.key_id: _KEY}
_ANSWER = Response(202, (("Content-Type", "application/json"),), b"{}")


def _encoded(signature: bytes) -> str:
    return f"countermark=:{base64.b64encode(signature).decode()}:"


def _receipt_fields() -> dict[str, str]:
    signed = parse_request(attack.good(), origins=attack.ORIGINS)
    return dict(sign_receipt(signed, _ANSWER, attack.ALICE, now=attack.NOW))


def _statement() -> bytes:
    return registration_statement("mer_eu_1", _KEY.key_id, _KEY.alg, attack.NOW)


def _webhook_signature() -> bytes:
    fields = dict(sign_webhook("evt_01", attack.NOW, b"{}", attack.ALICE))
    return base64.b64decode(fields["webhook-signature"].removeprefix("v1a,"))


def _raw(field: str) -> bytes:
    return base64.b64decode(field.partition(":")[2][:-1])


@pytest.mark.parametrize(
    "signature",
    [
        _raw(_receipt_fields()["Signature"]),
        sign_possession(_statement(), attack.ALICE),
        _webhook_signature(),
    ],
    ids=["receipt", "registration", "webhook"],
)
def test_no_other_signature_of_the_same_key_is_a_requests(signature: bytes) -> None:
    with attack.refused("signature_invalid"):
        attack.accept(attack.changed(attack.good(), "signature", lambda _: _encoded(signature)))


@pytest.mark.parametrize("tag", ["countermark-receipt-v1", "web-bot-auth", "fapi-2-request"])
def test_a_signature_of_another_tag_is_refused_however_right(tag: str) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(tag=f'"{tag}"')))


def test_a_requests_signature_is_no_receipt() -> None:
    request = attack.good()
    fields = tuple(field for field in request.headers if field[0] != "Idempotency-Key")
    with attack.refused("receipt_malformed"):
        verify_receipt(request, Response(202, fields, request.body or b""), _KEYS.get, now=attack.NOW)
    fields = tuple({**_receipt_fields(), "Signature": attack.value(request, "signature")}.items())
    with attack.refused("receipt_signature_invalid"):
        verify_receipt(request, _ANSWER.with_headers(fields), _KEYS.get, now=attack.NOW)


def test_a_requests_signature_is_no_proof_of_possession_and_no_webhook() -> None:
    signature = attack.accept(attack.good()).signature
    with attack.refused("registration_refused"):
        verify_possession(_statement(), signature, _KEY, merchant_id="mer_eu_1", now=attack.NOW)
    headers = (
        ("webhook-id", "evt_01"),
        ("webhook-timestamp", str(attack.NOW)),
        ("webhook-signature", f"v1a,{base64.b64encode(signature).decode()}"),
    )
    with attack.refused("webhook_signature_invalid"):
        verify_webhook(headers, b"{}", [_KEY], now=attack.NOW)


def test_the_first_bytes_of_what_is_signed_differ_by_purpose() -> None:
    # A base begins with a quotation mark, a statement with its title and a space-free line, a webhook with an
    # id and a dot; no id holds either. So no text is two of them, whatever the rest of it is.
    for hostile in ('"@method": POST\n"', "countermark-key-registration-v1\nmerchant: a", "a.b"):
        with attack.refused("webhook_malformed"):
            sign_webhook(hostile, attack.NOW, b"{}", attack.ALICE)
        with attack.refused("registration_refused"):
            registration_statement(hostile, _KEY.key_id, _KEY.alg, attack.NOW)
    assert attack.accept(attack.good()).signature_base.startswith(b'"@method": ')
    assert _statement().startswith(b"countermark-key-registration-v1\n")


def test_the_signer_signs_no_statement_about_another_key() -> None:
    statement = registration_statement("mer_eu_1", attack.MALLORY.key_id, "ed25519", attack.NOW)
    with attack.refused("registration_refused"):
        sign_possession(statement, attack.ALICE)


def test_no_caller_can_choose_tag_label_or_components() -> None:
    offered = {
        name
        for function in ("sign_request", "prepare_request", "sign_receipt", "sign_webhook", "sign_possession")
        for name in inspect.signature(getattr(signing, function)).parameters
    }

    assert set() == offered & {"tag", "label", "components", "covered", "covered_components", "params"}


def test_the_signer_signs_only_what_the_gateway_would_accept() -> None:
    good = attack.unsigned()
    elsewhere = dataclasses.replace(good, target_uri=f"{attack.ORIGIN}/v1/../admin")
    for request in (elsewhere, dataclasses.replace(good, method="TRACE")):
        with attack.refused("unsignable_request"):
            sign_request(request, attack.ALICE, now=attack.NOW, nonce=attack.NONCE)

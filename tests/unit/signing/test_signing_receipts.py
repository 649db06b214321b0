from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import (
    Algorithm,
    ReceiptDigestMismatch,
    ReceiptKeyUnknown,
    ReceiptMalformed,
    ReceiptMissing,
    ReceiptRefused,
    ReceiptRequestRefused,
    ReceiptSignatureInvalid,
    ReceiptTimeImplausible,
    Request,
    Response,
    SigningKey,
    UnsignableResponse,
    VerifiedReceipt,
    VerifyingKey,
    sign_receipt,
    verify_receipt,
)
from tests.unit.signing import signing_samples as samples

KEYS = {key.key_id: key.verifying_key for key in (samples.GATEWAY, samples.GATEWAY_P256)}


def _answered(
    request: Request, response: Response | None = None, key: SigningKey = samples.GATEWAY, *, after_s: int = 1
) -> Response:
    response = response or samples.answer()
    fields = sign_receipt(samples.parsed(request), response, key, now=samples.NOW + after_s)
    return response.with_headers(fields)


def _verify(request: Request, response: Response, keys: dict[str, VerifyingKey] = KEYS) -> VerifiedReceipt:
    return verify_receipt(request, response, keys.get, now=samples.NOW + 2)


def _replaced(response: Response, name: str, value: str) -> Response:
    headers = tuple((field, value if field.lower() == name else old) for field, old in response.headers)
    return dataclasses.replace(response, headers=headers)


@pytest.mark.parametrize("key", [samples.GATEWAY, samples.GATEWAY_P256], ids=lambda key: key.alg)
@pytest.mark.parametrize("request_made", [samples.payment(), samples.inquiry()], ids=["post", "get"])
def test_a_receipt_verifies_for_its_request(key: SigningKey, request_made: Request) -> None:
    request = samples.signed(request_made)
    receipt = _verify(request, _answered(request, key=key))

    assert (202, key.key_id, key.alg) == (receipt.status, receipt.key_id, receipt.alg)
    assert receipt.created == samples.NOW + 1
    assert request == receipt.signed.request


def test_a_receipt_covers_everything_that_the_request_covered_and_its_signature() -> None:
    request = samples.signed(samples.payment())
    receipt = _verify(request, _answered(request))
    lines = receipt.signature_base.decode().split("\n")
    request_lines = receipt.signed.signature_base.decode().split("\n")[:-1]

    assert [line.replace('":', '";req:', 1) for line in request_lines] == lines[3:8]
    assert f'"signature-input";req;key="countermark": {receipt.signed.signature_input}' == lines[8]
    assert samples.header(request, "signature").removeprefix("countermark=") == lines[9].split(": ")[1]


def test_refusals_are_signed_too() -> None:
    request = samples.signed(samples.payment())
    refusal = Response(409, (("Content-Type", "application/problem+json"),), b'{"code":"state_conflict"}')

    assert _verify(request, _answered(request, refusal)).status == 409


@given(body=st.binary(max_size=100), status=st.integers(200, 599))
def test_whatever_is_answered_is_receipted(body: bytes, status: int) -> None:
    request = samples.signed(samples.payment())
    receipt = _verify(request, _answered(request, samples.answer(status, body)))

    assert (status, body) == (receipt.status, receipt.response.body)


def test_an_answer_changed_in_any_signed_part_is_refused() -> None:
    request = samples.signed(samples.payment())
    response = _answered(request)
    with pytest.raises(ReceiptSignatureInvalid):
        _verify(request, dataclasses.replace(response, status=200))
    with pytest.raises(ReceiptDigestMismatch):
        _verify(request, dataclasses.replace(response, body=response.body + b" "))
    with pytest.raises(ReceiptSignatureInvalid):
        _verify(request, _replaced(response, "content-type", "text/html"))


def test_a_receipt_does_not_fit_another_request() -> None:
    request = samples.signed(samples.payment())
    response = _answered(request)
    others = [
        samples.signed(samples.payment(b'{"amount_minor":1}')),
        samples.signed(samples.payment(), samples.MALLORY),
        samples.signed(samples.payment(), samples.MERCHANT_P256),
        samples.signed(samples.payment(target="/v1/refunds")),
        samples.with_header(request, "idempotency-key", '"another-order-20412"'),
    ]
    for other in others:
        with pytest.raises(ReceiptSignatureInvalid):
            _verify(other, response)


def test_a_receipt_with_a_swapped_request_body_is_refused() -> None:
    request = samples.signed(samples.payment())
    response = _answered(request)
    with pytest.raises(ReceiptDigestMismatch):
        _verify(dataclasses.replace(request, body=b'{"amount_minor":1}'), response)


def test_a_receipt_by_an_unknown_key_is_refused() -> None:
    request = samples.signed(samples.payment())
    response = _answered(request, key=samples.MALLORY)
    with pytest.raises(ReceiptKeyUnknown):
        _verify(request, response)
    with pytest.raises(ReceiptKeyUnknown):
        _verify(request, response, {samples.MALLORY.key_id: samples.GATEWAY.verifying_key})


def test_a_receipt_from_the_future_or_from_before_the_request_is_refused() -> None:
    request = samples.signed(samples.payment())
    for after_s, refused in ((-31, True), (-30, False), (32, False), (33, True)):
        response = _answered(request, after_s=after_s)
        if refused:
            with pytest.raises(ReceiptTimeImplausible):
                _verify(request, response)
        else:
            assert samples.NOW + after_s == _verify(request, response).created


def test_a_receipt_is_still_good_after_ten_years() -> None:
    request = samples.signed(samples.payment())
    receipt = verify_receipt(request, _answered(request), KEYS.get, now=samples.NOW + 10 * 365 * 86_400)

    assert receipt.status == 202


def test_an_unsigned_answer_is_no_receipt() -> None:
    with pytest.raises(ReceiptMissing):
        _verify(samples.signed(samples.payment()), samples.answer())


def test_an_unsigned_request_has_no_receipt() -> None:
    request = samples.signed(samples.payment())
    with pytest.raises(ReceiptRequestRefused):
        _verify(samples.payment(), _answered(request))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Signature", "countermark=:AAAA:"),
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("@status", "202"),
    ],
)
def test_fields_added_to_an_answer_are_refused(name: str, value: str) -> None:
    request = samples.signed(samples.payment())
    with pytest.raises(ReceiptMalformed):
        _verify(request, _answered(request).with_headers(((name, value),)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"@status" ', ""),
        ('"content-digest" ', ""),
        ('"signature";req;key="countermark"', '"signature";req'),
        ("countermark=(", "sig1=("),
        ("-receipt-v1", "-request-v1"),
        (";created=", ";expires=1;created="),
        (";created=", ";created=0"),
        (";alg=", "; alg="),
    ],
)
def test_a_receipt_has_one_form(old: str, new: str) -> None:
    request = samples.signed(samples.payment())
    response = _answered(request)
    changed = samples.header(response, "signature-input").replace(old, new, 1)
    with pytest.raises(ReceiptMalformed):
        _verify(request, _replaced(response, "signature-input", changed))


@pytest.mark.parametrize(
    "response",
    [
        Response(200, (), b"{}"),
        Response(100, (("Content-Type", "application/json"),), b"{}"),
        Response(200, (("Content-Type", "a/b"), ("Content-Type", "a/c")), b"{}"),
        Response(200, (("Content-Type", "a/b\r\nX: y"),), b"{}"),
        Response(200, (("Content-Type", "a/b"), ("Content-Encoding", "gzip")), b"{}"),
        Response(200, (("Content-Type", "a/b"), ("Signature", "x=:AA==:")), b"{}"),
    ],
    ids=range(6),
)
def test_an_answer_that_cannot_be_covered_is_not_signed(response: Response) -> None:
    claims = samples.parsed(samples.signed(samples.payment()))
    with pytest.raises(UnsignableResponse):
        sign_receipt(claims, response, samples.GATEWAY, now=samples.NOW)


def test_a_receipt_cannot_be_made_by_hand() -> None:
    request = samples.signed(samples.payment())
    receipt = _verify(request, _answered(request))
    with pytest.raises(TypeError, match="verify_receipt alone"):
        dataclasses.replace(receipt, status=200)


_values = st.sampled_from(["countermark=:AAAA:", "", "application/json", "sha-256=:AA==:"]) | st.text(
    max_size=40
)
_names = st.sampled_from(["Signature", "Signature-Input", "Content-Digest", "content-type"]) | st.text(
    max_size=9
)


@given(
    headers=st.lists(st.tuples(_names, _values), max_size=6), body=st.binary(max_size=9), status=st.integers()
)
def test_no_answer_makes_verification_fail_in_another_way(
    headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    request = samples.signed(samples.payment())
    with pytest.raises(ReceiptRefused):
        _verify(request, Response(status, tuple(headers), body))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature", "countermark=:AAAA:"),
        ("signature-input", "countermark=" + "(" * 2048),
        ("content-type", "a/b "),
        ("content-digest", "sha-512=:AAAA:"),
    ],
)
def test_a_field_of_an_answer_in_another_form_is_refused(name: str, value: str) -> None:
    request = samples.signed(samples.payment())
    with pytest.raises(ReceiptMalformed):
        _verify(request, _replaced(_answered(request), name, value))


def test_an_interim_status_has_no_receipt() -> None:
    request = samples.signed(samples.payment())
    with pytest.raises(ReceiptMalformed, match="final"):
        _verify(request, dataclasses.replace(_answered(request), status=103))


def test_a_receipt_is_not_made_in_milliseconds() -> None:
    claims = samples.parsed(samples.signed(samples.payment()))
    with pytest.raises(UnsignableResponse, match="seconds"):
        sign_receipt(claims, samples.answer(), samples.GATEWAY, now=samples.NOW * 1000)


class _WrongAlgorithm:
    """A signer that names another algorithm than its key has."""

    alg: Algorithm = "ecdsa-p256-sha256"
    key_id = samples.GATEWAY.key_id

    def sign(self, base: bytes, /) -> bytes:
        return samples.GATEWAY.sign(base)


def test_a_receipt_that_names_another_algorithm_than_its_keys_is_refused() -> None:
    request = samples.signed(samples.payment())
    fields = sign_receipt(samples.parsed(request), samples.answer(), _WrongAlgorithm(), now=samples.NOW)
    with pytest.raises(ReceiptKeyUnknown):
        _verify(request, samples.answer().with_headers(fields))

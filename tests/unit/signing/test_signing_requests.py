from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import (
    DigestMismatch,
    RequestSignatureInvalid,
    SignatureExpired,
    SignatureTooEarly,
    SigningKey,
    UnsignableRequest,
    VerifiedRequest,
    parse_request,
    prepare_request,
    sign_request,
    verify_request,
)
from tests.unit.signing import signing_samples as samples

_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_plain_text = st.text(_PLAIN, min_size=1, max_size=20)
_targets = st.builds(
    lambda segments, query: (
        "/v1/"
        + "/".join(segments)
        + ("?" + "&".join(f"{k}={v}" for k, v in sorted(query.items())) if query else "")
    ),
    st.lists(_plain_text, min_size=1, max_size=4),
    st.dictionaries(_plain_text, st.text(_PLAIN + ".", max_size=20), max_size=4),
)


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_signed_request_that_acts_verifies_with_its_claims(key: SigningKey, method: str) -> None:
    request = samples.signed(samples.payment(method=method), key)
    verified = verify_request(samples.parsed(request), key.verifying_key, now=samples.NOW)

    assert (key.key_id, key.alg) == (verified.key_id, verified.alg)
    assert (verified.created, verified.expires) == (samples.NOW, samples.NOW + 300)
    assert (verified.nonce, verified.idempotency_key) == (samples.NONCE, samples.IDEMPOTENCY_KEY)
    assert request == verified.request
    assert verified.verified_at == samples.NOW


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
def test_a_signed_get_verifies_and_has_no_idempotency_key(key: SigningKey) -> None:
    request = samples.signed(samples.inquiry("/v1/payments?created_gte=1790000000&limit=5"), key)
    verified = verify_request(samples.parsed(request), key.verifying_key, now=samples.NOW)

    assert verified.idempotency_key is None
    assert (
        f'"@method": GET\n"@target-uri": {request.target_uri}\n'
        f'"@signature-params": {verified.signature_input}'
    ).encode() == verified.signature_base


def test_the_signature_base_is_the_one_of_rfc_9421() -> None:
    request = samples.signed(samples.payment())
    key_id = samples.MERCHANT_ED25519.key_id
    expected = (
        f'"@method": POST\n"@target-uri": {samples.ORIGIN}/v1/payments\n"content-type": application/json\n'
        f'"content-digest": {samples.header(request, "content-digest")}\n'
        f'"idempotency-key": "{samples.IDEMPOTENCY_KEY}"\n'
        '"@signature-params": ("@method" "@target-uri" "content-type" "content-digest" "idempotency-key")'
        f';created={samples.NOW};expires={samples.NOW + 300};nonce="{samples.NONCE}";keyid="{key_id}"'
        ';alg="ed25519";tag="countermark-request-v1"'
    )

    assert expected.encode() == samples.parsed(request).signature_base


@given(
    target=_targets, body=st.binary(min_size=1, max_size=200), nonce=st.text(_PLAIN, min_size=22, max_size=64)
)
def test_whatever_can_be_signed_is_accepted_as_signed(target: str, body: bytes, nonce: str) -> None:
    key = samples.MERCHANT_ED25519
    request = samples.payment(body, target=target)
    request = request.with_headers(sign_request(request, key, now=samples.NOW, nonce=nonce))
    verified = verify_request(samples.parsed(request), key.verifying_key, now=samples.NOW)

    assert (body, nonce) == (verified.request.body, verified.nonce)


@given(body=st.binary(min_size=1, max_size=100), other=st.binary(min_size=1, max_size=100))
def test_no_other_body_is_accepted_under_a_signature(body: bytes, other: bytes) -> None:
    request = samples.signed(samples.payment(body))
    swapped = dataclasses.replace(request, body=other)
    claims = samples.parsed(swapped)
    if body == other:
        verify_request(claims, samples.MERCHANT_ED25519.verifying_key, now=samples.NOW)
        return
    with pytest.raises(DigestMismatch) as refusal:
        verify_request(claims, samples.MERCHANT_ED25519.verifying_key, now=samples.NOW)

    assert claims.signature_base == refusal.value.signature_base


@pytest.mark.parametrize(
    ("offset_s", "lifetime_s", "refusal"),
    [
        (-31, 300, SignatureTooEarly),
        (-30, 300, None),
        (0, 300, None),
        (300, 300, None),
        (301, 300, SignatureExpired),
        (40, 10, None),
        (41, 10, SignatureExpired),
        (300, 280, None),
        (301, 280, SignatureExpired),
    ],
)
def test_times_are_accepted_to_the_second(
    offset_s: int, lifetime_s: int, refusal: type[Exception] | None
) -> None:
    key = samples.MERCHANT_ED25519
    request = samples.payment()
    request = request.with_headers(
        sign_request(request, key, now=samples.NOW, nonce=samples.NONCE, lifetime_s=lifetime_s)
    )
    claims = samples.parsed(request)
    if refusal is None:
        verified = verify_request(claims, key.verifying_key, now=samples.NOW + offset_s)

        assert lifetime_s == verified.expires - verified.created
    else:
        with pytest.raises(refusal):
            verify_request(claims, key.verifying_key, now=samples.NOW + offset_s)


def test_another_merchants_key_does_not_verify() -> None:
    claims = samples.parsed(samples.signed(samples.payment()))
    with pytest.raises(RequestSignatureInvalid) as refusal:
        verify_request(claims, samples.MALLORY.verifying_key, now=samples.NOW)

    assert (refusal.value.code, refusal.value.status) == ("signature_invalid", 401)


def test_verified_and_parsed_requests_cannot_be_made_by_hand() -> None:
    claims = samples.parsed(samples.signed(samples.payment()))
    with pytest.raises(TypeError, match="verify_request alone"):
        VerifiedRequest(claims, samples.MALLORY.verifying_key, samples.NOW)
    with pytest.raises(TypeError, match="parse_request alone"):
        dataclasses.replace(claims, nonce="x" * 22)


def test_a_request_can_be_prepared_here_and_signed_elsewhere() -> None:
    key, request = samples.MERCHANT_P256, samples.payment()
    prepared = prepare_request(request, key_id=key.key_id, alg=key.alg, now=samples.NOW, nonce=samples.NONCE)
    signed = request.with_headers(prepared.attach(key.sign(prepared.signature_base)))
    verified = verify_request(samples.parsed(signed), key.verifying_key, now=samples.NOW)

    assert prepared.signature_base == verified.signature_base
    with pytest.raises(UnsignableRequest, match="not DER"):
        prepared.attach(b"\x30" * 70)


def test_a_signer_is_told_which_header_is_missing() -> None:
    request = samples.with_header(samples.payment(), "idempotency-key", None)
    with pytest.raises(UnsignableRequest, match="Idempotency-Key"):
        samples.signed(request)
    request = samples.with_header(samples.payment(), "content-type", None)
    with pytest.raises(UnsignableRequest, match="Content-Type"):
        samples.signed(request)


@pytest.mark.parametrize(
    "target",
    [
        "http://edge.countermark.internal/v1/payments",
        "https://Edge.countermark.internal/v1/payments",
        "https://edge.countermark.internal:443/v1/payments",
        "https://user@edge.countermark.internal/v1/payments",
        "https://edge..internal/v1/payments",
        "https://edge.countermark.internal/v2/payments",
    ],
)
def test_a_signer_refuses_a_target_that_no_gateway_accepts(target: str) -> None:
    with pytest.raises(UnsignableRequest):
        samples.signed(dataclasses.replace(samples.payment(), target_uri=target))


def test_a_signer_refuses_to_sign_twice() -> None:
    with pytest.raises(UnsignableRequest, match="one signature"):
        samples.signed(samples.signed(samples.payment()))


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "short"},
        {"nonce": samples.NONCE + "="},
        {"lifetime_s": 0},
        {"lifetime_s": 301},
        {"now": -1},
        {"now": 1_790_000_000_000},
    ],
)
def test_a_signer_refuses_parameters_outside_the_profile(changed: dict[str, object]) -> None:
    arguments: dict[str, object] = {"now": samples.NOW, "nonce": samples.NONCE} | changed
    with pytest.raises(UnsignableRequest):
        sign_request(samples.payment(), samples.MERCHANT_ED25519, **arguments)  # type: ignore[arg-type]  # mixed


def test_header_names_may_come_in_any_case_and_any_order() -> None:
    request = samples.signed(samples.payment())
    shuffled = dataclasses.replace(
        request, headers=tuple((name.upper(), value) for name, value in reversed(request.headers))
    )
    verified = verify_request(
        parse_request(shuffled, origins=samples.ORIGINS),
        samples.MERCHANT_ED25519.verifying_key,
        now=samples.NOW,
    )

    assert verified.idempotency_key == samples.IDEMPOTENCY_KEY


def test_a_foreign_signer_must_name_a_key_and_an_algorithm_of_the_profile() -> None:
    key_id = samples.MERCHANT_ED25519.key_id
    for wrong_id, wrong_alg in ((key_id, "rsa-pss-sha512"), ("alice", "ed25519"), (key_id + '"', "ed25519")):
        with pytest.raises(UnsignableRequest):
            prepare_request(
                samples.payment(),
                key_id=wrong_id,
                alg=wrong_alg,  # type: ignore[arg-type]  # wrong on purpose
                now=samples.NOW,
                nonce=samples.NONCE,
            )


@pytest.mark.parametrize("now", [1.5, True, "1790000000", -1, 10**12], ids=repr)
def test_a_time_that_is_no_whole_second_is_not_signed(now: Any) -> None:
    with pytest.raises(UnsignableRequest, match="whole seconds"):
        sign_request(samples.payment(), samples.MERCHANT_ED25519, now=now, nonce="n" * 32)


def test_a_lifetime_that_is_no_whole_second_is_not_signed() -> None:
    lifetime: Any = 1.5
    with pytest.raises(UnsignableRequest, match="lifetime_s"):
        sign_request(
            samples.payment(), samples.MERCHANT_ED25519, now=samples.NOW, nonce="n" * 32, lifetime_s=lifetime
        )

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import (
    RegistrationRefused,
    SigningKey,
    parse_registration_statement,
    registration_statement,
    sign_possession,
    verify_possession,
)
from tests.unit.signing import signing_samples as samples

KEY = samples.MERCHANT_P256
STATEMENT = registration_statement("m_eu_1", KEY.key_id, KEY.alg, samples.NOW)


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
def test_the_holder_of_a_key_can_prove_it(key: SigningKey) -> None:
    statement = registration_statement("m_eu_1", key.key_id, key.alg, samples.NOW)
    registration = verify_possession(
        statement, sign_possession(statement, key), key.verifying_key, merchant_id="m_eu_1", now=samples.NOW
    )

    assert ("m_eu_1", key.key_id) == (registration.merchant_id, registration.key_id)
    assert (key.alg, samples.NOW) == (registration.alg, registration.issued_at)


def test_the_statement_is_text_that_a_person_can_read() -> None:
    expected = (
        f"countermark-key-registration-v1\nmerchant: m_eu_1\nkey-id: {KEY.key_id}\n"
        f"alg: ecdsa-p256-sha256\nissued-at: {samples.NOW}\n"
    )

    assert expected.encode() == STATEMENT


def test_a_proof_is_good_for_one_merchant_one_key_and_one_hour() -> None:
    signature = sign_possession(STATEMENT, KEY)
    attempts = [
        ("m_eu_2", KEY, 0),
        ("m_eu_1", samples.MALLORY, 0),
        ("m_eu_1", KEY, 3601),
        ("m_eu_1", KEY, -31),
    ]
    for merchant_id, key, offset_s in attempts:
        with pytest.raises(RegistrationRefused):
            verify_possession(
                STATEMENT, signature, key.verifying_key, merchant_id=merchant_id, now=samples.NOW + offset_s
            )
    registration = verify_possession(
        STATEMENT, signature, KEY.verifying_key, merchant_id="m_eu_1", now=samples.NOW + 3600
    )

    assert KEY.key_id == registration.key_id


def test_a_statement_signed_by_another_key_is_refused() -> None:
    with pytest.raises(RegistrationRefused):
        verify_possession(
            STATEMENT,
            samples.MALLORY.sign(STATEMENT),
            KEY.verifying_key,
            merchant_id="m_eu_1",
            now=samples.NOW,
        )
    with pytest.raises(RegistrationRefused):
        sign_possession(STATEMENT, samples.MALLORY)


@pytest.mark.parametrize(
    ("merchant_id", "key_id", "alg"),
    [
        ("m 1", KEY.key_id, KEY.alg),
        ("m\nkey-id: x", KEY.key_id, KEY.alg),
        ("", KEY.key_id, KEY.alg),
        ("é", KEY.key_id, KEY.alg),
        ("m", KEY.key_id[:-1], KEY.alg),
        ("m", KEY.key_id, "rsa"),
    ],
)
def test_a_statement_that_reads_in_two_ways_is_not_made(merchant_id: str, key_id: str, alg: str) -> None:
    with pytest.raises(RegistrationRefused):
        registration_statement(merchant_id, key_id, alg, samples.NOW)  # type: ignore[arg-type]  # wrong on purpose


@given(
    st.binary(max_size=300)
    | st.integers(0, len(STATEMENT) - 1).map(lambda i: STATEMENT[:i] + STATEMENT[i + 1 :])
)
def test_no_other_bytes_are_a_statement(statement: bytes) -> None:
    try:
        registration = parse_registration_statement(statement)
    except RegistrationRefused:
        return
    again = registration_statement(
        registration.merchant_id, registration.key_id, registration.alg, registration.issued_at
    )

    assert statement == again

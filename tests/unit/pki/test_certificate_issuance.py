"""Plans stay within their issuer, and only what passed the lint is signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import AuthorityExpired, ProfileError
from pki.identity import WorkloadIdentity
from pki.issuance import (
    ISSUER_REMAINING_MIN,
    authority_id,
    plan_intermediate,
    plan_leaf,
    plan_root,
    serial_number,
    sign_certificate,
    spki_sha256,
)
from pki.profiles import BACKDATE, LEAF, SERIAL_RANDOM_BITS

NOW = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)
DOMAIN = "countermark.internal"
GATEWAY = WorkloadIdentity(DOMAIN, "gateway")
ROOT_KEY, CA_KEY, LEAF_KEY = (ec.derive_private_key(n, ec.SECP256R1()) for n in (2, 3, 4))
ROOT_PLAN = plan_root(DOMAIN, NOW)
ROOT = sign_certificate(
    ROOT_PLAN, public_key=ROOT_KEY.public_key(), serial=serial_number(1), issuer=None, issuer_key=ROOT_KEY
)
CA_PLAN = plan_intermediate(DOMAIN, ROOT_PLAN, NOW)
CA = sign_certificate(
    CA_PLAN, public_key=CA_KEY.public_key(), serial=serial_number(2), issuer=ROOT, issuer_key=ROOT_KEY
)


def leaf(key: ec.EllipticCurvePrivateKey = CA_KEY, issuer: x509.Certificate = CA) -> x509.Certificate:
    return sign_certificate(
        plan_leaf(GATEWAY, CA, NOW),
        public_key=LEAF_KEY.public_key(),
        serial=serial_number(3),
        issuer=issuer,
        issuer_key=key,
    )


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=180)))
def test_a_leaf_never_leaves_its_issuers_validity(age: timedelta) -> None:
    now = NOW + age
    try:
        plan = plan_leaf(GATEWAY, CA, now)
    except AuthorityExpired:
        assert CA.not_valid_after_utc - now < ISSUER_REMAINING_MIN + timedelta(seconds=1)
        return

    assert CA.not_valid_before_utc <= plan.not_before <= now < plan.not_after <= CA.not_valid_after_utc
    assert plan.not_after - plan.not_before <= LEAF.lifetime + BACKDATE


@pytest.mark.parametrize("when", [timedelta(days=-1), timedelta(days=180), timedelta(days=400)])
def test_an_issuer_outside_its_validity_plans_nothing(when: timedelta) -> None:
    with pytest.raises(AuthorityExpired):
        plan_leaf(GATEWAY, CA, NOW + when)


def test_the_same_arguments_give_the_same_certificate() -> None:
    assert leaf() == leaf()


def test_a_signed_leaf_verifies_up_to_the_root() -> None:
    leaf().verify_directly_issued_by(CA)
    CA.verify_directly_issued_by(ROOT)


def test_another_key_than_the_issuers_signs_nothing() -> None:
    with pytest.raises(ProfileError, match="authorityKeyIdentifier"):
        leaf(key=LEAF_KEY)


def test_a_root_does_not_sign_leaves() -> None:
    with pytest.raises(ProfileError, match="path length"):
        leaf(key=ROOT_KEY, issuer=ROOT)


@given(st.integers(min_value=0, max_value=(1 << SERIAL_RANDOM_BITS) - 1))
def test_a_serial_number_is_positive_and_has_twenty_octets(bits: int) -> None:
    number = serial_number(bits)

    assert number.to_bytes(20, "big", signed=True)[0] > 0
    assert bits == number ^ (1 << SERIAL_RANDOM_BITS)


@pytest.mark.parametrize("bits", [-1, 1 << SERIAL_RANDOM_BITS])
def test_a_serial_number_takes_no_other_amount_of_randomness(bits: int) -> None:
    with pytest.raises(ValueError, match="158 random bits"):
        serial_number(bits)


def test_an_authority_is_named_by_role_day_and_key() -> None:
    assert f"root-20260301-{spki_sha256(ROOT_KEY.public_key())[:8]}" == authority_id(
        ROOT_PLAN, ROOT_KEY.public_key()
    )

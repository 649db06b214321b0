"""The cut and joined forms are those that `cryptography` computes through integers, for every input."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st

from signing import SignatureInvalid
from signing.ecdsa_form import der_from_raw, raw_from_der
from tests.unit.signing import signing_samples as samples

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ALL = 2**256
# Every number of leading zero bytes and both values of the highest bit are near these.
_edges = st.sampled_from([0, 1, _ORDER - 1, _ORDER, _ORDER + 1, _ALL - 1]) | st.builds(
    lambda bits, less: (1 << bits) - less, st.integers(1, 256), st.integers(0, 1)
).map(lambda number: min(number, _ALL - 1))
_numbers = _edges | st.integers(0, _ALL - 1)


def _raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@given(r=_numbers, s=_numbers)
@example(r=0, s=0)
@example(r=1 << 255, s=(1 << 255) - 1)
@example(r=1 << 247, s=(1 << 247) - 1)
def test_both_ways_agree_with_the_way_through_integers(r: int, s: int) -> None:
    der = encode_dss_signature(r, s)

    assert der == der_from_raw(_raw(r, s))
    assert _raw(r, s) == raw_from_der(der)


@pytest.mark.parametrize("r", [0, 1, _ORDER - 1, _ORDER, _ALL - 1])
@pytest.mark.parametrize("s", [0, 1, _ORDER - 1, _ORDER, _ALL - 1])
def test_numbers_at_and_beyond_the_ends_of_the_group_are_no_signature(r: int, s: int) -> None:
    with pytest.raises(SignatureInvalid):
        samples.MERCHANT_P256.verifying_key.verify(_raw(r, s), b"base")


def test_signatures_of_each_length_sign_and_verify() -> None:
    key, lengths = samples.MERCHANT_P256, set()
    # A signature of 69 bytes is one in 512, so this ends after about a thousand.
    for number in range(50_000):
        base = number.to_bytes(4, "big")
        signature = key.sign(base)
        if (length := len(der_from_raw(signature))) not in lengths:
            key.verifying_key.verify(signature, base)
            lengths.add(length)
        if lengths >= {69, 70, 71, 72}:
            return
    pytest.fail(f"only {lengths}")

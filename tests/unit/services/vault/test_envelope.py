from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vault import envelope
from services.vault.envelope import (
    contents_of,
    fingerprint_of,
    place_of_data_key,
    place_of_fingerprint_key,
    place_of_instrument,
    place_of_merchant_key,
    seal,
    unseal,
)
from services.vault.errors import SealBroken

KEY, OTHER = b"k" * 32, b"o" * 32
NONCE = b"n" * 12
KEY_ID = bytes(range(16))
PLACE = place_of_instrument("tok_eu_a", "mer_eu_a", "card", KEY_ID)
texts = st.text(max_size=20)


@given(st.binary(max_size=200), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_under_its_key_and_place(plaintext: bytes, nonce: bytes) -> None:
    assert plaintext == unseal(KEY, seal(KEY, plaintext, PLACE, nonce=nonce), PLACE)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_no_bit_of_a_seal_may_change(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, plaintext, PLACE, nonce=NONCE))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(SealBroken):
        unseal(KEY, bytes(sealed), PLACE)


@given(st.binary(max_size=60), st.data())
def test_no_byte_of_a_seal_may_be_missing_or_more(plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, plaintext, PLACE, nonce=NONCE)
    cut = data.draw(st.integers(0, len(sealed) - 1))

    for changed in (sealed[:cut], sealed + b"\0", b"\0" + sealed):
        with pytest.raises(SealBroken):
            unseal(KEY, changed, PLACE)


@given(st.integers(0, 255))
def test_no_bit_of_a_key_may_change(bit: int) -> None:
    changed = bytearray(KEY)
    changed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(SealBroken):
        unseal(bytes(changed), seal(KEY, b"number", PLACE, nonce=NONCE), PLACE)


@pytest.mark.parametrize(
    "place",
    [
        place_of_instrument("tok_eu_b", "mer_eu_a", "card", KEY_ID),
        place_of_instrument("tok_eu_a", "mer_eu_b", "card", KEY_ID),
        place_of_instrument("tok_eu_a", "mer_eu_a", "iban", KEY_ID),
        place_of_instrument("tok_eu_a", "mer_eu_a", "card", KEY_ID[::-1]),
        place_of_data_key("tok_eu_a", "mer_eu_a", 1, KEY_ID),
        b"",
    ],
    ids=["token", "merchant", "kind", "key", "purpose", "none"],
)
def test_a_seal_that_is_moved_does_not_open(place: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(KEY, seal(KEY, b"number", PLACE, nonce=NONCE), place)


@given(st.tuples(texts, texts, texts), st.tuples(texts, texts, texts))
def test_two_places_share_their_bytes_only_if_they_are_one(
    one: tuple[str, str, str], two: tuple[str, str, str]
) -> None:
    assert (one == two) == (
        place_of_instrument(*one, key_id=KEY_ID) == place_of_instrument(*two, key_id=KEY_ID)
    )


def test_places_of_different_purposes_never_meet() -> None:
    places = {
        place_of_merchant_key("1", 1, 1),
        place_of_fingerprint_key("1", 1),
        place_of_data_key("1", "1", 1, KEY_ID),
        place_of_instrument("1", "1", "1", KEY_ID),
    }

    assert 4 == len(places)


@given(st.text("0123456789", min_size=13, max_size=19))
def test_a_fingerprint_follows_from_key_kind_and_number_and_shows_none(number: str) -> None:
    mark = fingerprint_of(KEY, "card", number)

    assert mark == fingerprint_of(KEY, "card", number)
    assert mark != fingerprint_of(OTHER, "card", number)
    assert mark != fingerprint_of(KEY, "iban", number)
    assert mark != contents_of(KEY, number.encode())
    assert number.encode() not in mark


def test_a_key_or_nonce_of_another_length_is_a_mistake_of_ours() -> None:
    for key, nonce in ((KEY[:16], NONCE), (KEY, NONCE[:8])):
        with pytest.raises(ValueError, match="32 bytes"):
            seal(key, b"number", PLACE, nonce=nonce)


def test_a_merchants_key_is_replaced_long_before_two_nonces_may_meet() -> None:
    assert envelope.MERCHANT_KEY_USES_MAX <= 2**32  # NIST SP 800-38D, 8.3


def test_the_cipher_is_that_of_the_standard() -> None:
    """AES-256-GCM, test case 16 of the specification's revised submission, appendix B."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
        "b16aedf5aa0de657ba637b39"
    )
    place = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")

    assert "76fc6ece0f4e1768cddf8853bb2d551b" == seal(key, plaintext, place, nonce=nonce)[-16:].hex()

"""A sealed key opens with its passphrase, unaltered, or not at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.errors import SealError
from pki.seal import ScryptCost, SealedSubject, seal, unseal

PASSPHRASE = b"a passphrase of the tests"
SUBJECT = SealedSubject("root", "ab" * 32, "2026-03-01T12:00:00+00:00")
CHEAP = ScryptCost(n=2**14)
ENVELOPE = seal(b"the key", PASSPHRASE, SUBJECT, salt=b"s" * 32, nonce=b"n" * 12, cost=CHEAP)
FIELDS: dict[str, Any] = json.loads(ENVELOPE)


def test_the_right_passphrase_opens_it() -> None:
    assert unseal(ENVELOPE, PASSPHRASE) == (b"the key", SUBJECT)


def test_another_passphrase_does_not() -> None:
    with pytest.raises(SealError, match="did not open"):
        unseal(ENVELOPE, PASSPHRASE + b"!")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "intermediate"),
        ("spki_sha256", "cd" * 32),
        ("created", "2025-03-01T12:00:00+00:00"),
        ("salt", base64.b64encode(b"t" * 32).decode()),
        ("nonce", base64.b64encode(b"m" * 12).decode()),
        ("n", 2**15),
        ("p", 2),
        ("ciphertext", base64.b64encode(b"x" * 23).decode()),
        ("ciphertext", ""),
    ],
)
def test_an_altered_field_is_detected(field: str, value: str | int) -> None:
    with pytest.raises(SealError, match="did not open"):
        unseal(json.dumps(FIELDS | {field: value}).encode(), PASSPHRASE)


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=22), st.integers(min_value=1, max_value=255))
def test_any_altered_byte_of_the_sealed_bytes_is_detected(position: int, change: int) -> None:
    sealed = bytearray(base64.b64decode(FIELDS["ciphertext"]))
    sealed[position] ^= change
    altered = FIELDS | {"ciphertext": base64.b64encode(bytes(sealed)).decode()}

    with pytest.raises(SealError, match="did not open"):
        unseal(json.dumps(altered).encode(), PASSPHRASE)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 2**13},
        {"n": 2**21},
        {"n": 2**14 + 1},
        {"n": -(2**14)},
        {"n": True},
        {"n": 16384.0},
        {"r": 1024},
        {"p": 64},
        {"kdf": "pbkdf2"},
        {"version": 2},
        {"format": "other"},
        {"extra": 1},
        {"salt": "!"},
        {"salt": base64.b64encode(b"short").decode()},
        {"nonce": base64.b64encode(b"n" * 16).decode()},
        {"ciphertext": "not base64"},
        {"role": None},
        {"role": "root|x"},
    ],
)
def test_an_envelope_beyond_the_limits_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SealError):
        unseal(json.dumps(FIELDS | changes).encode(), PASSPHRASE)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(envelope: bytes) -> None:
    with pytest.raises(SealError):
        unseal(envelope, PASSPHRASE)


def test_a_nested_or_oversized_file_is_refused() -> None:
    for envelope in (b"[" * 10_000, ENVELOPE + b" " * 20_000):
        with pytest.raises(SealError, match="not a sealed key"):
            unseal(envelope, PASSPHRASE)


@pytest.mark.parametrize("passphrase", [b"", b"elevenbytes", b"x" * 1025])
def test_a_passphrase_of_a_bad_length_seals_nothing(passphrase: bytes) -> None:
    with pytest.raises(SealError, match="12 to 1024"):
        seal(b"k", passphrase, SUBJECT, salt=b"s" * 32, nonce=b"n" * 12, cost=CHEAP)


def test_a_short_salt_or_nonce_seals_nothing() -> None:
    for salt, nonce in ((b"s" * 16, b"n" * 12), (b"s" * 32, b"n" * 8)):
        with pytest.raises(SealError, match="32 bytes of salt"):
            seal(b"k", PASSPHRASE, SUBJECT, salt=salt, nonce=nonce, cost=CHEAP)

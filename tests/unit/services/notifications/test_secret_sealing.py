"""A sealed secret opens under one key, at one place, as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.errors import SealKeyUnusable, SecretUnreadable
from services.notifications.sealing import (
    SEALED_BYTES,
    SECRET_BYTES,
    SecretOpener,
    SecretSealer,
    new_seal_key,
)

OPENER = SecretOpener(new_seal_key())
SEALER = SecretSealer(OPENER.public_pem())
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(secrets, st.integers(1, 1000))
def test_what_is_sealed_opens_at_its_place(secret: bytes, generation: int) -> None:
    sealed = SEALER.seal(secret, "whe_eu_1", generation)

    assert SEALED_BYTES == len(sealed)
    assert secret == OPENER.open(sealed, "whe_eu_1", generation)


@given(secrets, st.integers(0, SEALED_BYTES - 1), st.integers(1, 255))
def test_a_changed_seal_does_not_open(secret: bytes, place: int, change: int) -> None:
    sealed = bytearray(SEALER.seal(secret, "whe_eu_1", 1))
    sealed[place] ^= change

    with pytest.raises(SecretUnreadable):
        OPENER.open(bytes(sealed), "whe_eu_1", 1)


@pytest.mark.parametrize(("endpoint", "generation"), [("whe_eu_2", 1), ("whe_eu_1", 2), ("whe_eu_1\n1", 1)])
def test_a_seal_that_was_moved_does_not_open(endpoint: str, generation: int) -> None:
    sealed = SEALER.seal(bytes(SECRET_BYTES), "whe_eu_1", 1)

    with pytest.raises(SecretUnreadable):
        OPENER.open(sealed, endpoint, generation)


def test_a_seal_under_another_key_does_not_open() -> None:
    with pytest.raises(SecretUnreadable):
        SecretOpener(new_seal_key()).open(SEALER.seal(bytes(SECRET_BYTES), "whe_eu_1", 1), "whe_eu_1", 1)


@given(st.binary(max_size=200))
def test_what_is_no_key_is_refused(pem: bytes) -> None:
    with pytest.raises(SealKeyUnusable):
        SecretSealer(pem)
    with pytest.raises(SealKeyUnusable):
        SecretOpener(pem)


def test_a_secret_of_another_length_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SEALER.seal(b"short", "whe_eu_1", 1)

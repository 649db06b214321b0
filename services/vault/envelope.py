"""Seals: AES-256-GCM under a key, bound to the place where it lies (pure).

The cell key wraps a merchant's key, this one wraps one key for each instrument, and that one seals the
instrument. Each seal names its purpose and place in its additional data: a seal that is moved, swapped or
changed does not open. Nonces are handed in, random and of 96 bits. Source: NIST SP 800-38D.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.vault.errors import SealBroken

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_ID_BYTES: Final = 16
WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES
# SP 800-38D 8.3: at most 2^32 invocations of one key with random nonces, or two of them meet with a chance
# above 2^-32. A merchant's key stays far below, and so does what one key can open if it leaks.
MERCHANT_KEY_USES_MAX: Final = 2**20
# Half of the year that PCI DSS 3.7.4 (NIST SP 800-57 part 1, table 1) has customers agree to at most.
MERCHANT_KEY_AGE_MAX: Final = timedelta(days=90)
_CONTEXT: Final = b"countermark-vault-v1"


def seal(key: bytes, plaintext: bytes, place: bytes, *, nonce: bytes) -> bytes:
    """Seal.

    Args:
        place: One of the `place_of_…` below.
        nonce: 12 bytes, fresh from `secrets.token_bytes`; never twice under one key.
    """
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError("a key has 32 bytes and a nonce 12")
    return nonce + AESGCM(key).encrypt(nonce, plaintext, place)


def unseal(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """Open what was sealed under this key for this place.

    Raises:
        SealBroken: It was not, or not a bit of it may have changed since.
    """
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise SealBroken("a seal is too short: restore the row from a backup")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag:
        raise SealBroken("a seal does not open under its key and place") from None


def place_of_merchant_key(merchant_id: str, generation: int, cell_key: int) -> bytes:
    """Where a merchant's key lies."""
    return _place("merchant-key", merchant_id, str(generation), str(cell_key))


def place_of_fingerprint_key(merchant_id: str, cell_key: int) -> bytes:
    """Where the key of a merchant's fingerprints lies."""
    return _place("fingerprint-key", merchant_id, str(cell_key))


def place_of_data_key(token: str, merchant_id: str, generation: int, key_id: bytes) -> bytes:
    """Where the key of one instrument lies."""
    return _place("data-key", token, merchant_id, str(generation), key_id.hex())


def place_of_instrument(token: str, merchant_id: str, kind: str, key_id: bytes) -> bytes:
    """Where an instrument lies."""
    return _place("instrument", token, merchant_id, kind, key_id.hex())


def fingerprint_of(key: bytes, kind: str, number: str) -> bytes:
    """The same 32 bytes for the same number of the same merchant, and nothing to anybody without the key."""
    return hmac.new(key, _place("fingerprint", kind, number), hashlib.sha256).digest()


def contents_of(key: bytes, plaintext: bytes) -> bytes:
    """The same for everything that is kept: tells whether an expiry has changed without opening a seal."""
    return hmac.new(key, _place("contents") + plaintext, hashlib.sha256).digest()


def _place(*parts: str) -> bytes:
    """Length before each part, so that no two places share their bytes."""
    octets = [part.encode() for part in parts]
    return _CONTEXT + b"".join(len(each).to_bytes(4) + each for each in octets)

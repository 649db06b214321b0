"""Tokens: `tok_<cell>_<26 characters>`, bound to their merchant so that anybody can check it (pure).

80 bits are random, 48 follow from them and the merchant. Whoever takes a token from a merchant needs no
question to the vault to know that it is another merchant's. A token is no secret; a chance of 2^-48 is what a
foreign token has to pass, and it cannot be tried out elsewhere than against us.
"""

from __future__ import annotations

import hashlib
import re
from hmac import compare_digest
from typing import Final

RANDOM_BITS: Final = 80  # A thousand million tokens of a cell meet each other with a chance below 10^-6.
BINDING_BITS: Final = 48
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, as all ids here.
_CHARACTERS: Final = 26  # ceil(128 / 5)
_FORM: Final = re.compile(r"tok_([a-z]{2,8})_([0-7][0-9a-hjkmnp-tv-z]{25})\Z")


def make_token(cell: str, merchant_id: str, random_bits: int) -> str:
    """Make a token of a merchant.

    Args:
        random_bits: An integer below 2**80, fresh from `secrets.randbits(RANDOM_BITS)`.
    """
    if not 0 <= random_bits < 1 << RANDOM_BITS:
        raise ValueError("random_bits needs 80")
    number = (random_bits << BINDING_BITS) | _binding(cell, merchant_id, random_bits)
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_CHARACTERS - 1), -1, -5)]
    return f"tok_{cell}_{''.join(digits)}"


def is_token(text: str) -> bool:
    """Whether this is a token of some vault; the others, `tok_NAME`, are for the simulated banks."""
    return _FORM.match(text) is not None


def cell_of(token: str) -> str:
    """The cell whose vault has it; of a token alone."""
    match = _FORM.match(token)
    if match is None:
        raise ValueError("no token of a vault")
    return match[1]


def belongs_to(token: str, merchant_id: str) -> bool:
    """Whether a token was made for this merchant; says nothing about whether it was shredded since."""
    match = _FORM.match(token)
    if match is None:
        return False
    number = 0
    for digit in match[2]:
        number = number << 5 | _ALPHABET.index(digit)
    expected = _binding(match[1], merchant_id, number >> BINDING_BITS)
    given = number & ((1 << BINDING_BITS) - 1)
    return compare_digest(expected.to_bytes(6), given.to_bytes(6))


def _binding(cell: str, merchant_id: str, random_bits: int) -> int:
    text = f"countermark-token-v1\0{cell}\0{merchant_id}\0".encode() + random_bits.to_bytes(10)
    return int.from_bytes(hashlib.sha256(text).digest()[:6])

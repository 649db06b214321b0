"""Object ids: `<type>_<cell>_<UUIDv7 in Crockford base32>`, sortable by time, routable by cell (pure)."""

from __future__ import annotations

import re
from typing import Final

RANDOM_BITS: Final = 74  # What UUIDv7 leaves beside time, version and variant (RFC 9562 section 5.7).
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford: no i, l, o, u to misread.
_CHARACTERS: Final = 26  # ceil(128 / 5)
_FORM: Final = re.compile(r"[a-z]{2,4}_[a-z]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")
# An id that the engine derives from what caused it has 130 bits of a digest.
_DERIVED_FORM: Final = re.compile(r"[a-z]{2,4}_[a-z]{2,8}_[0-9a-hjkmnp-tv-z]{26}\Z")


def new_id(kind: str, cell: str, *, now_ms: int, random_bits: int) -> str:
    """Build an id from a clock reading and randomness handed in.

    Args:
        kind: Two to four letters, e.g. `pay`.
        cell: Cell code, e.g. `eu`.
        now_ms: Milliseconds since the epoch.
        random_bits: An integer below 2**74, fresh from `secrets.randbits(RANDOM_BITS)`.

    Source: RFC 9562 section 5.7 (UUIDv7 layout).
    """
    if not 0 <= random_bits < 1 << RANDOM_BITS or not 0 <= now_ms < 1 << 48:
        raise ValueError("now_ms needs 48 bits, random_bits 74")
    high, low = random_bits >> 62, random_bits & ((1 << 62) - 1)
    number = (now_ms << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_CHARACTERS - 1), -1, -5)]
    return f"{kind}_{cell}_{''.join(digits)}"


def is_id(text: str, kind: str, *, derived: bool = False) -> bool:
    """Tell whether `text` has the form of an id of this kind; says nothing about its existence.

    Args:
        text: the candidate.
        kind: the prefix.
        derived: among the ids of this kind are some that follow from a digest.
    """
    form = _DERIVED_FORM if derived else _FORM
    return text.startswith(f"{kind}_") and form.match(text) is not None

"""Key sets: the gateway's public keys as a JWKS, written and read strictly.

Source: RFC 7517 §5. Unlike there, unknown members and keys are refused, not passed
over: the set is the gateway's own, and a key missing unnoticed is a receipt refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .errors import KeyRefused
from .keys import VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_SET_BYTES_MAX: Final = 64 * 1024  # about 250 keys; a gateway shows a handful
_KEYS_MAX: Final = 256


def keys_to_jwks(keys: Iterable[VerifyingKey]) -> bytes:
    """Return a JWKS document, keys in the order given, one line.

    Raises:
        KeyRefused: a key occurs twice, or there are more than 256.
    """
    listed = list(keys)
    _require_distinct(listed)
    document = {"keys": [key.to_jwk() for key in listed]}
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def keys_from_jwks(document: bytes) -> dict[str, VerifyingKey]:
    """Load a JWKS document.

    Returns:
        The keys by key id; its `get` is what `verify_receipt` takes.

    Raises:
        KeyRefused: not such a document, a member occurring twice, or a key that `from_jwk` refuses.
    """
    if len(document) > KEY_SET_BYTES_MAX:
        raise KeyRefused(f"the key set has more than {KEY_SET_BYTES_MAX} bytes")
    try:
        parsed = json.loads(document.decode("utf-8"), object_pairs_hook=_distinct_members)
    except (ValueError, RecursionError) as error:
        raise KeyRefused("the key set is not JSON in UTF-8") from error
    if not isinstance(parsed, dict) or parsed.keys() != {"keys"} or not isinstance(parsed["keys"], list):
        raise KeyRefused('a key set is an object with one member, "keys", a list')
    if not all(isinstance(jwk, dict) for jwk in parsed["keys"]):
        raise KeyRefused("each key of a key set is an object")
    keys = [VerifyingKey.from_jwk(jwk) for jwk in parsed["keys"]]
    _require_distinct(keys)
    return {key.key_id: key for key in keys}


def _distinct_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise KeyRefused("a member of the key set occurs twice")
    return members


def _require_distinct(keys: list[VerifyingKey]) -> None:
    if len(keys) > _KEYS_MAX:
        raise KeyRefused(f"the key set has more than {_KEYS_MAX} keys")
    if len({key.key_id for key in keys}) != len(keys):
        raise KeyRefused("a key occurs twice in the key set")

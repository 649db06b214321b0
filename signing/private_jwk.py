"""Private keys as JWK: read strictly, written completely.

The private half must belong to the public half that stands beside it; a file that
was put together from two keys is refused before anything is signed with it. No
error holds, or has as its cause, anything of the key.
Source: RFC 7518 §6.2.2, RFC 8037 §2.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from .errors import KeyRefused
from .keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT_BYTES_MAX: Final = 4096  # ours have about 300
_SCALAR_BYTES: Final = 32
# 32 bytes in base64url without padding: 43 characters, of which the last holds four bits.
_SCALAR: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


def signing_key_from_jwk(jwk: Mapping[str, object]) -> SigningKey:
    """Load a private JWK.

    Args:
        jwk: what `VerifyingKey.from_jwk` takes, and `d`.

    Raises:
        KeyRefused: the public part is not accepted, `d` is missing or not canonical, or the two
            parts are not of one key.
    """
    if "d" not in jwk:
        raise KeyRefused("this JWK holds no private key: it lacks the member d")
    public = VerifyingKey.from_jwk({name: value for name, value in jwk.items() if name != "d"})
    key = _load(public, jwk["d"])
    if key is None:
        raise KeyRefused("the JWK member d is no canonical private key of this kind")
    if key.verifying_key != public:
        raise KeyRefused("the private and the public part of this JWK are of two different keys")
    return key


def signing_key_from_jwk_document(document: bytes) -> SigningKey:
    """Load a private JWK from its JSON text.

    Raises:
        KeyRefused: no such document, a member that occurs twice, or what `signing_key_from_jwk` refuses.
    """
    parsed = _parse(document)
    if parsed is None:
        raise KeyRefused("the private key file is not one JSON object in UTF-8 with distinct members")
    return signing_key_from_jwk(parsed)


def signing_key_to_jwk(key: SigningKey) -> dict[str, str]:
    """Return the private JWK: the public one and `d`. Whoever reads it can sign."""
    private = serialization.load_pem_private_key(key.to_pem(), None)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        scalar = private.private_bytes_raw()
    else:
        numbers = cast("ec.EllipticCurvePrivateKey", private).private_numbers()
        scalar = numbers.private_value.to_bytes(_SCALAR_BYTES, "big")
    return {
        **key.verifying_key.to_jwk(),
        "d": base64.urlsafe_b64encode(scalar).rstrip(b"=").decode("ascii"),
    }


def _load(public: VerifyingKey, text: object) -> SigningKey | None:
    # None instead of an error: an error raised here would have the decoder's words as its context.
    if not isinstance(text, str) or _SCALAR.fullmatch(text) is None:
        return None
    scalar = base64.urlsafe_b64decode(text + "=")
    try:
        if public.alg == "ed25519":
            return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(scalar))
        return SigningKey(ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()))
    except ValueError:
        return None


def _parse(document: bytes) -> dict[str, object] | None:
    if len(document) > DOCUMENT_BYTES_MAX:
        return None
    try:
        pairs = json.loads(document.decode("utf-8"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, _Pairs):
        return None
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


class _Pairs(list[tuple[str, object]]):
    """An object's members in order, repetitions included."""

"""What an envelope says without being opened: its kind, whose key it is, what it takes to open it. Pure.

Nothing here is proven before a keeper opened the envelope. The format is that of `pki.seal`; the field `kdf`
tells the kinds apart, and each kind has exactly its fields.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Literal

from pki.errors import SealError
from pki.seal import ENVELOPE_BYTES_MAX, FORMAT, VERSION, SealedSubject

Kind = Literal["passphrase", "shares", "pkcs11"]
ROLES = frozenset({"root", "intermediate"})
_SUBJECT: dict[str, type] = {
    "format": str,
    "version": int,
    "role": str,
    "spki_sha256": str,
    "created": str,
    "kdf": str,
}
_FIELDS: dict[str, dict[str, type]] = {
    "scrypt": {"n": int, "r": int, "p": int, "salt": str, "nonce": str, "ciphertext": str},
    "shares": {"threshold": int, "count": int, "identifier": int, "nonce": str, "ciphertext": str},
    "pkcs11": {"token_label": str, "key_id": str, "spki": str},
}
_KINDS: dict[str, Kind] = {"scrypt": "passphrase", "shares": "shares", "pkcs11": "pkcs11"}
# What a refusal tells whoever came with another secret.
_NEEDS: dict[Kind, str] = {
    "passphrase": "a passphrase",
    "shares": "the shares of its custodians",
    "pkcs11": "the PIN of its token",
}


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many of how many shares open a key; `identifier` is the number that all shares of it carry."""

    threshold: int
    count: int
    identifier: int


def parse_envelope(envelope: bytes) -> dict[str, Any]:
    """Return an envelope's fields: of exactly the names and types of its kind, values not looked at.

    Raises:
        SealError: it is no envelope of ours.
    """
    refusal = SealError("this is not a sealed key of ours: restore the file from a backup")
    if len(envelope) > ENVELOPE_BYTES_MAX:
        raise refusal
    try:
        fields = json.loads(envelope)
    except (ValueError, RecursionError) as fault:
        raise refusal from fault
    if not isinstance(fields, dict):
        raise refusal
    kdf = fields.get("kdf")
    own = _FIELDS.get(kdf) if isinstance(kdf, str) else None
    if own is None:
        raise refusal
    wanted = _SUBJECT | own
    if fields.keys() != wanted.keys() or any(type(fields[name]) is not wanted[name] for name in wanted):
        raise refusal
    if (fields["format"], fields["version"]) != (FORMAT, VERSION) or fields["role"] not in ROLES:
        raise refusal
    # Some of it is shown on terminals.
    if not all(value.isprintable() for value in fields.values() if type(value) is str):
        raise refusal
    return fields


def decode_field(text: str) -> bytes:
    """Return the bytes of a field; each has one spelling only.

    Raises:
        SealError: it is not base64, or not spelled the way it was written.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise SealError("the sealed key is damaged: restore it from a backup") from fault
    if base64.b64encode(data).decode() != text:
        raise SealError("the sealed key was altered: restore it from a backup")
    return data


def envelope_kind(envelope: bytes) -> Kind:
    """Tell which keeper opens an envelope.

    Raises:
        SealError: it is no envelope of ours.
    """
    return _KINDS[parse_envelope(envelope)["kdf"]]


def require_kind(envelope: bytes, kind: Kind) -> dict[str, Any]:
    """Return an envelope's fields if it is of this kind.

    Raises:
        SealError: it is of another kind, or none of ours.
    """
    fields = parse_envelope(envelope)
    found = _KINDS[fields["kdf"]]
    if found != kind:
        raise SealError(f"this key does not open with {_NEEDS[kind]}: it needs {_NEEDS[found]}")
    return fields


def sealed_subject(envelope: bytes) -> SealedSubject:
    """Tell whose key an envelope says it holds.

    Raises:
        SealError: it is no envelope of ours.
    """
    fields = parse_envelope(envelope)
    return SealedSubject(fields["role"], fields["spki_sha256"], fields["created"])


def quorum_of(envelope: bytes) -> Quorum:
    """Tell how many shares open an envelope.

    Raises:
        SealError: it does not open with shares.
    """
    fields = require_kind(envelope, "shares")
    return Quorum(fields["threshold"], fields["count"], fields["identifier"])


def token_of(envelope: bytes) -> str:
    """Tell the label of the token that a key is in.

    Raises:
        SealError: it is not in a token.
    """
    label: str = require_kind(envelope, "pkcs11")["token_label"]
    return label


def require_no_token(envelope: bytes) -> None:
    """Check that nothing of a key exists beside its envelope.

    Raises:
        SealError: the key itself is in a token, which only that token's keeper can destroy.
    """
    if envelope_kind(envelope) == "pkcs11":
        raise SealError(f"the key is in token {token_of(envelope)!r}: give its module and PIN to destroy it")


def custody_of(envelope: bytes) -> str:
    """Describe in a few words what opens an envelope, for `status`.

    Raises:
        SealError: it is no envelope of ours.
    """
    kind = envelope_kind(envelope)
    if kind == "shares":
        quorum = quorum_of(envelope)
        return f"{quorum.threshold} of {quorum.count} shares"
    return "passphrase" if kind == "passphrase" else f"token {token_of(envelope)}"

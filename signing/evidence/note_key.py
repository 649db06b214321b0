"""Keys of notes: their names, the four bytes that stand for them, and the form tools exchange them in.

Ed25519 alone. Pure. Source: C2SP signed-note v1.0.0, and tlog-cosignature for the kind 0x04.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import base64
import hashlib
import re
from binascii import a2b_base64, b2a_base64
from typing import Final

from ..errors import KeyRefused
from ..keys import VerifyingKey
from .errors import NoteKeyRefused, NoteMalformed

LOG_SIGNATURE: Final = 0x01
COSIGNATURE: Final = 0x04
KEY_HASH_BYTES: Final = 4
VKEY_CHARS_MAX: Final = 182  # a name of 128, and 54 more
# Printable ASCII without space and plus: the specification allows more, and no name of ours needs it.
_NAME: Final = re.compile(r"[!-*,-~]{1,128}")
_PUBLIC_KEY_BYTES: Final = 32
_VKEY: Final = re.compile(r"(?P<name>[^+]+)\+(?P<hash>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]{44})")


def key_hash(name: str, key: VerifyingKey, kind: int) -> bytes:
    """Return the four bytes that stand for a key in a signature line.

    Args:
        name: the key's name; a log's is its origin.
        key: an Ed25519 key.
        kind: `LOG_SIGNATURE` or `COSIGNATURE`.

    Raises:
        NoteKeyRefused: another algorithm.
        NoteMalformed: the name is not of its form.
    """
    require_note_name(name)
    content = name.encode("ascii") + b"\n" + bytes([kind]) + _public_bytes(key)
    return hashlib.sha256(content).digest()[:KEY_HASH_BYTES]


def vkey(name: str, key: VerifyingKey, kind: int = LOG_SIGNATURE) -> str:
    """Return a verifier key as notes' tools exchange it: name, id in hexadecimal, kind and key in base64."""
    return f"{name}+{key_hash(name, key, kind).hex()}+{to_base64(bytes([kind]) + _public_bytes(key))}"


def parse_vkey(text: str) -> tuple[str, VerifyingKey, int]:
    """Return name, key and kind of a verifier key.

    Raises:
        NoteKeyRefused: not of the form that `vkey` makes, or a key that is not safe.
    """
    match = _VKEY.fullmatch(text) if len(text) <= VKEY_CHARS_MAX else None
    if match is None or _NAME.fullmatch(match["name"]) is None:
        raise NoteKeyRefused("a verifier key is name+8 hexadecimal digits+44 characters of base64")
    content = a2b_base64(match["key"])
    kind, public = content[0], content[1:]
    if kind not in {LOG_SIGNATURE, COSIGNATURE} or len(public) != _PUBLIC_KEY_BYTES:
        raise NoteKeyRefused("only Ed25519 keys of logs (1) and witnesses (4) are known")
    encoded = base64.urlsafe_b64encode(public).rstrip(b"=").decode("ascii")
    try:
        key = VerifyingKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": encoded})
    except KeyRefused as error:
        raise NoteKeyRefused(str(error)) from error
    if vkey(match["name"], key, kind) != text:
        raise NoteKeyRefused("the key's id is not the one of this name and key")
    return match["name"], key, kind


def require_note_name(name: str) -> None:
    """Refuse what cannot be the name of a key in a note.

    Raises:
        NoteMalformed: it is not of its form.
    """
    if _NAME.fullmatch(name) is None:
        raise NoteMalformed("a name has 1 to 128 printable ASCII characters without space and plus")


def to_base64(octets: bytes) -> str:
    """Return base64 with padding, on one line."""
    return b2a_base64(octets, newline=False).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return what canonical base64 holds.

    Raises:
        NoteMalformed: not base64, or not its only form.
    """
    try:
        octets = a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError as error:  # of which binascii.Error and UnicodeEncodeError are kinds
        raise NoteMalformed("a value is not base64") from error
    if to_base64(octets) != text:
        raise NoteMalformed("a value has another base64 form than its only one")
    return octets


def _public_bytes(key: VerifyingKey) -> bytes:
    if key.alg != "ed25519":
        raise NoteKeyRefused("notes are signed with Ed25519 keys")
    return base64.urlsafe_b64decode(key.to_jwk()["x"] + "=")

"""Signed notes: how a log signs its checkpoints, and how witnesses cosign them.

A note is a text, an empty line, and signature lines. Signatures by unknown keys are
passed over; everything else that is not of its form is refused. Ed25519 alone. Pure.
Source: C2SP signed-note v1.0.0, tlog-cosignature v1 (0x04).
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import SignatureInvalid
from ..keys import SIGNATURE_BYTES, Signer, VerifyingKey
from .checkpoint import parse_checkpoint_body
from .errors import NoteMalformed, NoteNotSigned, NoteSignatureInvalid
from .note_key import COSIGNATURE, KEY_HASH_BYTES, LOG_SIGNATURE, from_base64, key_hash, to_base64

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTE_BYTES_MAX: Final = 128 * 1024  # 16 signatures must be accepted, and post-quantum ones have 5 kB
SIGNATURES_MAX: Final = 64  # the specification asks for 16; a log has a handful of witnesses
TIME_S_MAX: Final = 2**63 - 1  # tlog-cosignature
_TIME_BYTES: Final = 8
_DASH: Final = "— "
_SIGNATURE_LINE: Final = re.compile(rf"{_DASH}(?P<name>[^\s+]+) (?P<blob>[A-Za-z0-9+/]+={{0,2}})")


class NoteSigner(Signer, Protocol):
    """An Ed25519 signer that shows its public key, as `SigningKey` does."""

    @property
    def verifying_key(self) -> VerifyingKey: ...


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, the four bytes of its id, and the signature itself."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: the text with its last line break, and the signatures, none of them verified."""

    body: bytes
    signatures: tuple[NoteSignature, ...]


def sign_note(body: bytes, name: str, signer: NoteSigner) -> str:
    """Return the log's signature line over a text, with its line break.

    Raises:
        NoteKeyRefused: the key is not Ed25519.
        NoteMalformed: the text or the name cannot stand in a note.
    """
    _require_text(body)
    blob = key_hash(name, signer.verifying_key, LOG_SIGNATURE) + signer.sign(body)
    return f"{_DASH}{name} {to_base64(blob)}\n"


def cosign(body: bytes, name: str, signer: NoteSigner, now: int) -> str:
    """Return a witness's signature line over a checkpoint's text, with its line break.

    The caller has verified that the checkpoint continues the last one that it cosigned.

    Args:
        body: the checkpoint's text.
        name: the witness's name.
        signer: the witness's key, which it uses for nothing else.
        now: seconds since the epoch, UTC.

    Raises:
        NoteKeyRefused: the key is not Ed25519.
        NoteMalformed: the text is no checkpoint, or the name or the time is not of its form.
    """
    parse_checkpoint_body(body)
    if not 0 <= now <= TIME_S_MAX:
        raise NoteMalformed("the time is before 1970, or after all time")
    identity = key_hash(name, signer.verifying_key, COSIGNATURE)
    blob = identity + now.to_bytes(_TIME_BYTES, "big") + signer.sign(_cosigned(body, now))
    return f"{_DASH}{name} {to_base64(blob)}\n"


def make_note(body: bytes, lines: Iterable[str]) -> bytes:
    """Return a note of a text and signature lines, each with its line break.

    Raises:
        NoteMalformed: these do not make a note.
    """
    note = body + b"\n" + "".join(lines).encode("utf-8")
    if parse_note(note).body != body:
        raise NoteMalformed("the text has signature lines of its own")
    return note


def parse_note(note: bytes) -> Note:
    """Take a note apart; no signature is verified.

    Raises:
        NoteMalformed: not a note, or too large.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteMalformed(f"the note has more than {NOTE_BYTES_MAX} bytes")
    # The text may hold empty lines: the last one separates.
    body, separator, rest = note.rpartition(b"\n\n")
    body += b"\n"
    if not separator or not rest.endswith(b"\n"):
        raise NoteMalformed("a note is a text, an empty line, and signature lines")
    _require_text(body)
    lines = _decoded(rest).split("\n")[:-1]
    if len(lines) > SIGNATURES_MAX:
        raise NoteMalformed(f"the note has more than {SIGNATURES_MAX} signatures")
    signatures = []
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        blob = b"" if match is None else from_base64(match["blob"])
        if match is None or len(blob) <= KEY_HASH_BYTES:
            raise NoteMalformed("a signature line is: em dash, space, name, space, base64")
        signatures.append(NoteSignature(match["name"], blob[:KEY_HASH_BYTES], blob[KEY_HASH_BYTES:]))
    return Note(body, tuple(signatures))


def verify_log_signature(note: Note, name: str, key: VerifyingKey) -> None:
    """Verify that the key signed the note's text under this name.

    Raises:
        NoteNotSigned: no signature of the note names this key.
        NoteSignatureInvalid: one does, and is not by it.
        NoteKeyRefused: the key is not Ed25519.
    """
    signature = _signature_of(note, name, key_hash(name, key, LOG_SIGNATURE))
    _verify(key, signature, note.body)


def verify_cosignature(note: Note, name: str, key: VerifyingKey) -> int:
    """Verify that a witness cosigned the checkpoint in a note.

    Returns:
        When, in seconds since the epoch: the witness's word.

    Raises:
        NoteNotSigned: no signature of the note names this key.
        NoteSignatureInvalid: one does, and is not by it.
        NoteMalformed: the note is no checkpoint.
        NoteKeyRefused: the key is not Ed25519.
    """
    parse_checkpoint_body(note.body)
    blob = _signature_of(note, name, key_hash(name, key, COSIGNATURE))
    time = int.from_bytes(blob[:_TIME_BYTES], "big")
    if len(blob) != _TIME_BYTES + SIGNATURE_BYTES or time > TIME_S_MAX:
        raise NoteSignatureInvalid("a cosignature is a time of 8 bytes and 64 bytes of signature")
    _verify(key, blob[_TIME_BYTES:], _cosigned(note.body, time))
    return time


def _signature_of(note: Note, name: str, identity: bytes) -> bytes:
    found = [s.signature for s in note.signatures if s.name == name and s.key_hash == identity]
    if not found:
        raise NoteNotSigned(f"the note carries no signature by {name} with this key")
    if len(found) > 1:
        raise NoteSignatureInvalid(f"the note carries more than one signature by {name} with this key")
    return found[0]


def _verify(key: VerifyingKey, signature: bytes, content: bytes) -> None:
    try:
        key.verify(signature, content)
    except SignatureInvalid as error:
        raise NoteSignatureInvalid(f"a signature of the note does not hold: {error}") from error


def _cosigned(body: bytes, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n".encode("ascii") + body


def _require_text(body: bytes) -> None:
    text = _decoded(body)
    if not text.endswith("\n") or any(ord(character) < ord(" ") for character in text.replace("\n", "")):
        raise NoteMalformed("the text of a note ends with a line break and has no other control characters")


def _decoded(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteMalformed("a note is UTF-8") from error

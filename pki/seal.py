"""Sealed private keys: scrypt turns a passphrase into a key, AES-256-GCM seals.

The envelope is JSON and carries its own parameters, so that cost can rise without a new format. Role, key
digest and time of creation are authenticated: an envelope cannot be passed off as another CA's. Pure: salt
and nonce are arguments. Source: RFC 7914 (scrypt); NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pki.errors import SealError

FORMAT = "countermark-sealed-key"
VERSION = 1
SALT_BYTES = 32
NONCE_BYTES = 12  # the only length for which GCM's counter block needs no extra hashing (SP 800-38D §7.1)
KEY_BYTES = 32
# Scrypt slows guessing; it cannot save a passphrase that is on the first page of every list.
PASSPHRASE_BYTES_MIN = 12
PASSPHRASE_BYTES_MAX = 1024
# A sealed P-256 key is under 1 kB; anything much larger is not ours and is not parsed.
ENVELOPE_BYTES_MAX = 16 * 1024
# Below 2^14 guessing is cheap; above 2^20 (1 GiB at r=8) an altered envelope would exhaust memory.
SCRYPT_N_MIN, SCRYPT_N_MAX = 2**14, 2**20
_FIELDS = frozenset(
    {
        "format",
        "version",
        "role",
        "spki_sha256",
        "created",
        "kdf",
        "n",
        "r",
        "p",
        "salt",
        "nonce",
        "ciphertext",
    }
)


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Cost of one guess: memory is 128 · n · r bytes.

    The default takes 128 MiB and about half a second: a command an operator runs, not a login form.
    """

    n: int = 2**17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        in_range = SCRYPT_N_MIN <= self.n <= SCRYPT_N_MAX and self.n & (self.n - 1) == 0
        if not (in_range and self.r == 8 and 1 <= self.p <= 4):  # noqa: PLR2004 - the limits are the sentence below
            raise SealError("scrypt parameters are outside what is accepted: n 2^14 to 2^20, r 8, p 1 to 4")


DEFAULT_COST = ScryptCost()


@dataclass(frozen=True, slots=True)
class SealedSubject:
    """Whose key is sealed: authenticated, readable without the passphrase.

    Attributes:
        role: "root" or "intermediate".
        spki_sha256: hex SHA-256 of the key's SubjectPublicKeyInfo.
        created: ISO 8601, UTC.
    """

    role: str
    spki_sha256: str
    created: str

    @property
    def associated_bytes(self) -> bytes:
        """What the seal authenticates beside the key; no field can contain the separator."""
        fields = (FORMAT, str(VERSION), self.role, self.spki_sha256, self.created)
        if any("|" in field for field in fields):
            raise SealError("a field of a sealed key contains the separator")
        return "|".join(fields).encode()


def seal(
    plaintext: bytes,
    passphrase: bytes,
    subject: SealedSubject,
    *,
    salt: bytes,
    nonce: bytes,
    cost: ScryptCost = DEFAULT_COST,
) -> bytes:
    """Seal a private key.

    Args:
        plaintext: the key, PKCS #8 DER.
        passphrase: 12 to 1024 bytes.
        subject: whose key it is.
        salt: 32 random bytes, never used before.
        nonce: 12 random bytes; unique because the salt, and so the key, is.
        cost: of one guess at the passphrase.

    Raises:
        SealError: passphrase, salt or nonce have the wrong length.
    """
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise SealError("a seal takes 32 bytes of salt and 12 of nonce")
    key = _derive(passphrase, salt, cost)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, subject.associated_bytes)
    envelope = {
        "format": FORMAT,
        "version": VERSION,
        "role": subject.role,
        "spki_sha256": subject.spki_sha256,
        "created": subject.created,
        "kdf": "scrypt",
        "n": cost.n,
        "r": cost.r,
        "p": cost.p,
        "salt": base64.b64encode(salt).decode(),
        "nonce": base64.b64encode(nonce).decode(),
        "ciphertext": base64.b64encode(ciphertext).decode(),
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


def unseal(envelope: bytes, passphrase: bytes) -> tuple[bytes, SealedSubject]:
    """Open a sealed key and say whose it is.

    Raises:
        SealError: not an envelope, parameters out of range, wrong passphrase or altered (not told apart).
    """
    fields = _parse(envelope)
    subject = SealedSubject(fields["role"], fields["spki_sha256"], fields["created"])
    cost = ScryptCost(fields["n"], fields["r"], fields["p"])
    try:
        salt, nonce, ciphertext = (
            base64.b64decode(fields[name], validate=True) for name in ("salt", "nonce", "ciphertext")
        )
    except (binascii.Error, ValueError) as fault:
        raise SealError("the sealed key is not base64: restore it from a backup") from fault
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise SealError("the sealed key has a salt or nonce of the wrong length: restore it from a backup")
    key = _derive(passphrase, salt, cost)
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, subject.associated_bytes), subject
    except InvalidTag as fault:
        raise SealError(
            "the sealed key did not open: the passphrase is wrong, or the file was altered "
            "(compare it with a backup before trying more passphrases)"
        ) from fault


def require_passphrase(passphrase: bytes) -> None:
    """Check a passphrase's length, before any work is done.

    Raises:
        SealError: too short or too long.
    """
    if not PASSPHRASE_BYTES_MIN <= len(passphrase) <= PASSPHRASE_BYTES_MAX:
        raise SealError(f"a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes")


def _derive(passphrase: bytes, salt: bytes, cost: ScryptCost) -> bytes:
    require_passphrase(passphrase)
    return Scrypt(salt=salt, length=KEY_BYTES, n=cost.n, r=cost.r, p=cost.p).derive(passphrase)


def _parse(envelope: bytes) -> dict[str, Any]:
    refusal = SealError("this is not a sealed key of ours: restore the file from a backup")
    if len(envelope) > ENVELOPE_BYTES_MAX:
        raise refusal
    try:
        fields = json.loads(envelope)
    except (ValueError, RecursionError) as fault:
        raise refusal from fault
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise refusal
    counts = ("version", "n", "r", "p")
    if any(type(fields[name]) is not (int if name in counts else str) for name in _FIELDS):
        raise refusal
    if (fields["format"], fields["version"], fields["kdf"]) != (FORMAT, VERSION, "scrypt"):
        raise refusal
    return fields

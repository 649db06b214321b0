"""Keys sealed under a passphrase."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from pki.errors import SealError
from pki.issuance import spki_sha256
from pki.seal import (
    DEFAULT_COST,
    NONCE_BYTES,
    SALT_BYTES,
    ScryptCost,
    SealedSubject,
    require_passphrase,
    seal,
    unseal,
)

if TYPE_CHECKING:
    from datetime import datetime


class PassphraseKeeper:
    """Seals each key under one passphrase."""

    def __init__(self, passphrase: bytes, cost: ScryptCost = DEFAULT_COST) -> None:
        """Take the passphrase.

        Raises:
            SealError: it is too short or too long.
        """
        require_passphrase(passphrase)
        self._passphrase = passphrase
        self._cost = cost

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a P-256 key and seal it."""
        key = ec.generate_private_key(ec.SECP256R1())
        envelope = seal(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            self._passphrase,
            SealedSubject(role, spki_sha256(key.public_key()), created.isoformat()),
            salt=secrets.token_bytes(SALT_BYTES),
            nonce=secrets.token_bytes(NONCE_BYTES),
            cost=self._cost,
        )
        return key, envelope

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open an envelope.

        Raises:
            SealError: wrong passphrase, an altered file, or not the key that it says it is.
        """
        plaintext, subject = unseal(envelope, self._passphrase)
        key = load_der_private_key(plaintext, None)
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or spki_sha256(key.public_key()) != subject.spki_sha256
        ):
            raise SealError("the sealed key is not the one that its envelope names: restore it from a backup")
        return key

    def destroy(self, envelope: bytes) -> None:
        """Do nothing: the envelope's file is all there is."""

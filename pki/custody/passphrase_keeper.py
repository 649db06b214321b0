"""Keys sealed under a passphrase: `pki.seal`, behind the contract of every keeper."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.custody.contract import load_sealed_key
from pki.custody.envelope import require_kind, require_no_token
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


@dataclass(frozen=True, slots=True)
class PassphraseKeeper:
    """A `Keeper`: one passphrase opens the key.

    Raises:
        SealError: the passphrase is too short or too long.
    """

    passphrase: bytes = field(repr=False)
    cost: ScryptCost = DEFAULT_COST

    def __post_init__(self) -> None:
        require_passphrase(self.passphrase)

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a key; see `Keeper.make`."""
        key = ec.generate_private_key(ec.SECP256R1())
        envelope = seal(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            self.passphrase,
            SealedSubject(role, spki_sha256(key.public_key()), created.isoformat()),
            salt=secrets.token_bytes(SALT_BYTES),
            nonce=secrets.token_bytes(NONCE_BYTES),
            cost=self.cost,
        )
        return key, envelope

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open a key; see `Keeper.open`."""
        require_kind(envelope, "passphrase")
        return load_sealed_key(*unseal(envelope, self.passphrase))

    def destroy(self, envelope: bytes) -> None:
        """Destroy nothing: the key is nowhere but in its envelope."""
        require_no_token(envelope)

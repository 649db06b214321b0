"""What keeping a CA's private key means, whoever keeps it, and the checks that hold for every keeper.

A keeper makes keys and opens them again from an envelope, the bytes that are stored as `key.sealed`. What is
in an envelope is read by `pki.custody.envelope`. Source: PCI DSS 3.6.1.2 (forms of a stored key), 3.7.6
(split knowledge and dual control).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from pki.custody.envelope import sealed_subject
from pki.errors import SealError
from pki.issuance import spki_sha256

if TYPE_CHECKING:
    from datetime import datetime

    from pki.seal import SealedSubject


class Keeper(Protocol):
    """One way to keep keys, for one command; holds its secret in memory and is dropped with the command."""

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a P-256 key.

        Whatever opens the key is in somebody's hands when this returns, so the key may be put in force.

        Args:
            role: "root" or "intermediate".
            created: with a zone; authenticated by the envelope.

        Returns:
            The key, and the envelope that opens it again.

        Raises:
            SealError: the secret is no good, or what keeps the key refused.
        """
        ...

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open a key; afterwards what `sealed_subject` says of this envelope is proven.

        Raises:
            SealError: wrong secret, altered or other kind of envelope, or what keeps the key is away.
        """
        ...

    def destroy(self, envelope: bytes) -> None:
        """Destroy what exists of the key beside the envelope; the caller removes that. Safe to repeat.

        An envelope of another kind is taken if there is nothing beside it to destroy.

        Raises:
            SealError: it could not be destroyed, or is in a token that is not this keeper's.
        """
        ...


def open_key_of(
    keeper: Keeper, envelope: bytes, *, role: str, public_key: object, place: str
) -> ec.EllipticCurvePrivateKey:
    """Open a key and check that it is the one that a CA's certificate names.

    Args:
        keeper: of the right kind for this envelope.
        envelope: as stored.
        role: "root" or "intermediate", as the certificate has it.
        public_key: the certificate's.
        place: the CA's id, for the refusal.

    Raises:
        SealError: see `Keeper.open`; or it is another CA's key, or the same CA's in another role.
    """
    key = keeper.open(envelope)
    subject = sealed_subject(envelope)
    proven = (subject.role, subject.spki_sha256) == (role, spki_sha256(key.public_key()))
    if not proven or key.public_key() != public_key:
        raise SealError(f"the sealed key is not that of {place}: restore it from a backup")
    return key


def load_sealed_key(plaintext: bytes, subject: SealedSubject) -> ec.EllipticCurvePrivateKey:
    """Load what an envelope held, PKCS #8 DER.

    Raises:
        SealError: not a P-256 key, or not the one that the envelope names.
    """
    refusal = SealError("the sealed key is not the one that its envelope names: restore it from a backup")
    try:
        key = load_der_private_key(plaintext, None)
    except (ValueError, TypeError) as fault:
        raise refusal from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refusal
    if spki_sha256(key.public_key()) != subject.spki_sha256:
        raise refusal
    return key

"""Secrets of endpoints: drawn by the gateway, sealed at once, opened by the service that signs with them.

The gateway holds the public key alone: what it has stored it cannot read. A seal is bound to its endpoint and
generation; one that is moved does not open. Source: RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256),
HKDF-SHA256, AES-256-GCM.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.notifications.errors import SealKeyUnusable, SecretUnreadable

SECRET_BYTES: Final = 32  # Standard Webhooks 1.0.0 has 24 to 64; HMAC-SHA256 gains nothing beyond 32.
SEALED_BYTES: Final = 32 + SECRET_BYTES + 16  # encapsulated key, secret, tag
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_CONTEXT: Final = b"countermark-webhook-secret-v1\n"


class SecretSealer:
    """Seals secrets; cannot open them.

    Args:
        pem: an X25519 public key (SubjectPublicKeyInfo).

    Raises:
        SealKeyUnusable: it is none.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_public_key(pem)
        except ValueError as fault:
            raise SealKeyUnusable("the key that secrets are sealed to cannot be read") from fault
        if not isinstance(key, X25519PublicKey):
            raise SealKeyUnusable("the key that secrets are sealed to is not for X25519")
        self._key = key

    def seal(self, secret: bytes, endpoint_id: str, generation: int) -> bytes:
        """Return `SEALED_BYTES` bytes that only the service opens, as this endpoint's secret alone."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret has {SECRET_BYTES} bytes")
        return _SUITE.encrypt(secret, self._key, info=_place(endpoint_id, generation))


class SecretOpener:
    """Opens what was sealed.

    Args:
        pem: an X25519 private key (PKCS 8), not encrypted.

    Raises:
        SealKeyUnusable: it is none.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as fault:
            raise SealKeyUnusable("the key that opens secrets cannot be read") from fault
        if not isinstance(key, X25519PrivateKey):
            raise SealKeyUnusable("the key that opens secrets is not for X25519")
        self._key = key

    def open(self, sealed: bytes, endpoint_id: str, generation: int) -> bytes:
        """Return the secret.

        Raises:
            SecretUnreadable: it was sealed to another key, for another place, or changed since.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info=_place(endpoint_id, generation))
        except (InvalidTag, ValueError):
            raise SecretUnreadable("a secret does not open under this key and at this place") from None

    def public_pem(self) -> bytes:
        """Return what the gateway seals with."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def new_seal_key() -> bytes:
    """Return a fresh private key as PEM (PKCS 8)."""
    key = X25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _place(endpoint_id: str, generation: int) -> bytes:
    return _CONTEXT + f"{endpoint_id}\n{generation}".encode("ascii")

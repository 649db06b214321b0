"""What makes, opens and destroys an authority's private key. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec


class Keeper(Protocol):
    """One way of keeping the private keys of authorities."""

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a P-256 key; return it with the envelope that is stored in its place."""

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open an envelope.

        Raises:
            SealError: what was given does not open it, or it was altered.
        """

    def destroy(self, envelope: bytes) -> None:
        """Destroy what exists of the key besides the envelope's file."""

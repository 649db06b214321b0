"""A keeper that opens each key once: for processes that sign again and again, such as the daemon.

A passphrase costs half a second of processor each time it is tried, by design. What was opened stays in this
process's memory until it ends, which is what a process that may sign at any moment amounts to anyway.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from pki.custody.contract import Keeper


class RememberingKeeper:
    """A `Keeper` in front of another."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._opened: dict[bytes, ec.EllipticCurvePrivateKey] = {}

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a key; see `Keeper.make`."""
        key, envelope = self._keeper.make(role, created)
        self._opened[hashlib.sha256(envelope).digest()] = key
        return key, envelope

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open a key, or return it as it was opened before from the same envelope; see `Keeper.open`."""
        name = hashlib.sha256(envelope).digest()
        if name not in self._opened:
            self._opened[name] = self._keeper.open(envelope)
        return self._opened[name]

    def destroy(self, envelope: bytes) -> None:
        """Destroy a key, and forget it; see `Keeper.destroy`."""
        self._opened.pop(hashlib.sha256(envelope).digest(), None)
        self._keeper.destroy(envelope)

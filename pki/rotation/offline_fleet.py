"""No consumers: for a tree whose mesh is not running, or that is copied to where it runs by other means.

An operator asks for it with a reason, which goes on the record; nothing is observed or said to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pki.consumers.contract import Expectation, Unconfirmed


@dataclass(frozen=True, slots=True)
class OfflineFleet:
    """A fleet of nobody.

    Attributes:
        reason: why nobody is looked at, as the operator said it.
    """

    reason: str

    @property
    def connection_age_s_max(self) -> float:
        """Nothing runs, so nothing is connected."""
        return 0.0

    @property
    def probed_peers(self) -> frozenset[str]:
        """Nobody listens, so nobody is probed."""
        return frozenset()

    def load(self, names: Collection[str]) -> list[Unconfirmed]:
        """Tell nobody."""
        del names
        return []

    def unconfirmed(self, expectation: Expectation) -> list[Unconfirmed]:
        """Look at nobody."""
        del expectation
        return []

    def disconnect(
        self, *, serials: Collection[str] = (), issuers: Collection[str] = ()
    ) -> list[Unconfirmed]:
        """End no connection."""
        del serials, issuers
        return []

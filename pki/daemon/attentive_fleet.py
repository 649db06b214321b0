"""The consumers, with an ear for being asked to end: a confirmation may wait half a minute, a stop must not.

Ending between two looks is safe, as being killed is: the next start finds what was not confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pki.consumers.contract import Expectation, Fleet, Unconfirmed
    from pki.daemon.process import Stopping


@dataclass(frozen=True, slots=True)
class AttentiveFleet:
    """Implements `contract.Fleet`; every call raises `Interrupted` once this process was asked to end."""

    fleet: Fleet
    stopping: Stopping

    @property
    def connection_age_s_max(self) -> float:
        """Seconds after which no connection of before is open any more."""
        return self.fleet.connection_age_s_max

    @property
    def probed_peers(self) -> frozenset[str]:
        """Names of peers that some listener admits."""
        return self.fleet.probed_peers

    def load(self, names: Collection[str]) -> list[Unconfirmed]:
        """Make these consumers take their current generation; return who could not be told."""
        self.stopping.check()
        return self.fleet.load(names)

    def unconfirmed(self, expectation: Expectation) -> list[Unconfirmed]:
        """Look once at everything expected; return what is not so (yet)."""
        self.stopping.check()
        return self.fleet.unconfirmed(expectation)

    def disconnect(
        self, *, serials: Collection[str] = (), issuers: Collection[str] = ()
    ) -> list[Unconfirmed]:
        """End open connections authenticated by these leaves or issuing keys (hex), now."""
        self.stopping.check()
        return self.fleet.disconnect(serials=serials, issuers=issuers)

"""What a rotation asks of the running mesh, and what it is told: between deciding and observing. Pure.

An expectation is held against consumers on the wire; whatever could not be observed is an `Unconfirmed` with
its reason, and blocks the next stage. Source: SPIRE and Linkerd gate root rotation on the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate that a probe presents; the key never touches a disk.

    Attributes:
        chain: PEM, leaf first.
        key: PEM, PKCS #8, not encrypted.
        serial: hex, as in the ledger.
    """

    chain: bytes
    key: bytes = field(repr=False)
    serial: str


@dataclass(frozen=True, slots=True)
class Use:
    """What one workload must be observed to use.

    Attributes:
        serial: hex serial number of the leaf that it must present.
        trust_sha256: hex SHA-256 of the trust.pem that it must have loaded, where it can say so itself.
        crl_sha256: hex SHA-256 of the crl.pem that it must have loaded, where it can say so itself.
    """

    serial: str
    trust_sha256: str
    crl_sha256: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be seen before the next stage.

    Attributes:
        uses: workload to what it must use; what others use is not compared. All else is asked of everybody.
        accepted: peer name to credentials that every listener admitting that peer must accept.
        refused: peer name to credentials that every listener admitting that peer must refuse.
        refused_by_crl: the same, for listeners that check CRLs (Redis and NATS do not).
        retired_issuers: hex key ids (AKI) of CAs below which no connection may still be open.
        retired_serials: hex serials below which no connection may still be open.
    """

    uses: Mapping[str, Use]
    accepted: Mapping[str, tuple[Credential, ...]] = field(default_factory=dict)
    refused: Mapping[str, tuple[Credential, ...]] = field(default_factory=dict)
    refused_by_crl: Mapping[str, tuple[Credential, ...]] = field(default_factory=dict)
    retired_issuers: frozenset[str] = frozenset()
    retired_serials: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """One consumer that was not observed as it must be.

    Attributes:
        name: the workload.
        place: listener, client or process that was looked at.
        reason: what was seen instead, as a sentence without secrets.
    """

    name: str
    place: str
    reason: str


class Fleet(Protocol):
    """The consumers of one deployment."""

    @property
    def connection_age_s_max(self) -> float:
        """Seconds after which no connection of before is open any more."""

    @property
    def probed_peers(self) -> frozenset[str]:
        """Names of peers that some listener admits: a probe needs a credential for each."""

    def load(self, names: Collection[str]) -> list[Unconfirmed]:
        """Make these consumers take their current generation; return who could not be told."""

    def unconfirmed(self, expectation: Expectation) -> list[Unconfirmed]:
        """Look once at everything expected; return what is not so (yet). Never raises for a consumer."""

    def disconnect(
        self, *, serials: Collection[str] = (), issuers: Collection[str] = ()
    ) -> list[Unconfirmed]:
        """End open connections authenticated by these leaves or issuing keys (hex), now."""

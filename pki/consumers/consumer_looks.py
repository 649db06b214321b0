"""Looks at what consumers say of themselves: what they have loaded, and which connections are still open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography import x509

if TYPE_CHECKING:
    from pki.consumers.access import Access
    from pki.consumers.contract import Use
    from pki.consumers.envoy import EnvoyConsumer
    from pki.consumers.issuers import Issuers
    from pki.consumers.postgres import PostgresConsumer
    from pki.consumers.python_process import Loaded, OpenPeer, PythonConsumer


class Look(Protocol):
    """One question to one consumer."""

    @property
    def name(self) -> str:
        """The workload that is asked."""

    @property
    def place(self) -> str:
        """Where it is asked, for people."""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Ask, and yield place and reason of everything that is not as expected; raises PKIError."""


@dataclass(frozen=True, slots=True)
class OpenConnections:
    """What no open connection may be authenticated by any more."""

    serials: frozenset[str]
    issuers: Issuers

    @property
    def asked(self) -> bool:
        """Whether anything is looked for at all."""
        return bool(self.serials or self.issuers.key_ids)

    def include(self, peer: OpenPeer, presented: str) -> bool:
        """Whether these connections of a Python process are among them.

        A client knows the leaf that it dialled with and not that leaf's issuer, so under retired issuers
        every leaf counts but the one that it presents to new connections: it goes with the connection's age.

        Args:
            presented: hex serial of that leaf.
        """
        if peer.serial in self.serials or peer.issuer_key_id in self.issuers.key_ids:
            return True
        return bool(self.issuers.key_ids) and not peer.issuer_key_id and peer.serial != presented


@dataclass(frozen=True, slots=True)
class EnvoyLook:
    """What an Envoy holds; the clusters' side shows nowhere else."""

    name: str
    envoy: EnvoyConsumer
    use: Use
    access: Access

    @property
    def place(self) -> str:
        """Where it is asked."""
        return "admin socket"

    def faults(self) -> Iterator[tuple[str, str]]:
        """Compare every TLS context, and the bundle and CRLs that they check with."""
        loaded = self.envoy.loaded()
        refused = f" ({loaded.rotations_failed} generations were refused)" if loaded.rotations_failed else ""
        if loaded.serials != {self.use.serial}:
            held = " and ".join(sorted(loaded.serials)) or "no certificate"
            yield self.place, f"it holds {held} instead of {self.use.serial}{refused}"
        roots = x509.load_pem_x509_certificates(self.access.trust_of(self.name))
        wanted = frozenset(f"{root.serial_number:x}" for root in roots)
        if loaded.trust_sha256 != self.use.trust_sha256 or loaded.bundles != {wanted}:
            yield self.place, f"it does not trust the bundle of its generation yet{refused}"
        if loaded.crl_sha256 != self.use.crl_sha256:
            yield self.place, f"it does not check the CRLs of its generation yet{refused}"


@dataclass(frozen=True, slots=True)
class PythonLook:
    """What a Python process uses at its listener and for each of its clients, and what is open."""

    name: str
    process: PythonConsumer
    use: Use | None
    opened: OpenConnections

    @property
    def place(self) -> str:
        """Where it is asked."""
        return "report"

    def faults(self) -> Iterator[tuple[str, str]]:
        """Compare each entry of the report."""
        report = self.process.loaded()
        if self.use is not None:
            for entry in report.loaded:
                for reason in _differences(entry, self.use):
                    yield f"{self.place}, {entry.name}", reason
        presented = {entry.name: entry.serial for entry in report.loaded}
        for peer in report.open:
            if self.opened.include(peer, presented[peer.name]):
                yield f"{self.place}, {peer.name}", f"{peer.open} open with the certificate {peer.serial}"


def _differences(entry: Loaded, use: Use) -> Iterator[str]:
    if entry.serial != use.serial:
        yield f"it presents {entry.serial} instead of {use.serial}"
    if entry.trust_sha256 != use.trust_sha256:
        yield "it does not trust the bundle of its generation yet"
    if entry.crl_sha256 not in ("", use.crl_sha256):
        yield "it does not check the CRLs of its generation yet"


@dataclass(frozen=True, slots=True)
class PostgresLook:
    """Which sessions are open."""

    name: str
    postgres: PostgresConsumer
    opened: OpenConnections

    @property
    def place(self) -> str:
        """Where it is asked."""
        return "pg_stat_ssl"

    def faults(self) -> Iterator[tuple[str, str]]:
        """Name each session below what is retired."""
        for session in self.postgres.sessions():
            if session.is_below(self.opened.serials, self.opened.issuers):
                yield self.place, f"a session of {session.role} is open with the certificate {session.serial}"

"""Where listeners and files are: the only thing that differs between one machine and containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import LimitsConfig

ADMIN_SOCKET = "admin.sock"


@dataclass(frozen=True)
class Address:
    """One listener: where its owner binds it and where callers find it.

    Attributes:
        bind: Address that the owner binds, e.g. `127.0.0.1`.
        host: Name or address that callers connect to.
        port: TCP port.
    """

    bind: str
    host: str
    port: int


@dataclass(frozen=True)
class Limits:
    """How often who may ask, at the door and behind it.

    Attributes:
        gateway: per merchant, and per address whose sender is not recognised.
        edge_source_per_s: requests a second from one address, recognised or not: the edge cannot tell. Two
            merchants behind one address may each use their rate.
        edge_source_burst: the same at once.
    """

    gateway: LimitsConfig = field(default_factory=LimitsConfig)
    edge_source_per_s: int = 400
    edge_source_burst: int = 800


@dataclass(frozen=True)
class Places:
    """Everything that derived configuration must know of a deployment.

    Attributes:
        addresses: Listener name (`gateway.ingress`) to address.
        certs: The tree that `python -m pki` keeps; leaves are at `live/<name>/current`.
        run: Folder of generated configuration, one subfolder per workload.
        state: Folder of writable state, one subfolder per workload.
        secrets: Folder of secrets, one subfolder per workload.
        origins: The gateway's public origins, `https://HOST:PORT`.
        connection_age_s_max: Oldest age of any connection, seconds.
        webhook_allowed: Exact `host:port` that webhooks may reach although not public.
        webhook_trust_file: Extra trust for these, empty for none.
        limits: How often who may ask.
    """

    addresses: dict[str, Address]
    certs: Path
    run: Path
    state: Path
    secrets: Path
    origins: tuple[str, ...]
    connection_age_s_max: float
    webhook_allowed: tuple[str, ...] = ()
    webhook_trust_file: str = ""
    limits: Limits = field(default_factory=Limits)

    def identity(self, name: str) -> Path:
        """The link to a workload's generation in force."""
        return self.certs / "live" / name / "current"

    def admin_socket(self, envoy: str) -> Path:
        """Where one Envoy is asked which certificates it uses: a socket for its own account alone."""
        return self.state / envoy / ADMIN_SOCKET

"""NATS over mutual TLS: a bus that may be wiped at any time; the outbox in PostgreSQL stays the truth.

The handshake comes first (`handshake_first`), so that not even the server's greeting crosses in clear. Each
dial, also those that the client makes by itself, takes the certificate in force.
"""

from __future__ import annotations

import asyncio
import ssl
import time

from nats.aio.client import Client

from services.node.ageing import sweep_for_ever
from services.node.client_identity import ClientIdentity
from services.node.config_file import NatsConfig, NodeConfig
from services.node.logs import get_log

CONNECT_S_MAX = 2  # A TLS handshake on a busy host.
RECONNECT_S = 0.5  # The server restarts in well under a second.

_log = get_log("node.bus")


class BusClient(Client):
    """A client that knows how old its connection is.

    Its user looks at `is_due` between calls, and then opens another client and closes this one: nothing is
    under way that could get lost. A connection whose user does not look is dialled anew at the bound.
    """

    def __init__(self, config: NodeConfig, bus: NatsConfig) -> None:
        super().__init__()
        self._mesh = ClientIdentity(config, "nats", bus.expect)
        self._dialled = (self._mesh.generation, time.monotonic())
        self._ageing = asyncio.create_task(sweep_for_ever(config.connection_age_s_max, self._sweep))

    @property
    def is_due(self) -> bool:
        """Whether to begin nothing more: the connection has had its time, or there is a new certificate."""
        return self._mesh.is_due(*self._dialled)

    @property
    def left_s(self) -> float:
        """Seconds until the connection is due by its age; at least 0."""
        return self._mesh.left_s(self._dialled[1])

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What nats-py asks for at each dial, and only then."""
        self._dialled = (self._mesh.generation, time.monotonic())
        return self._mesh.context

    async def close(self) -> None:
        """Close the connection and follow the identity no longer."""
        self._ageing.cancel()
        self._mesh.leave()
        await super().close()

    async def note_connected(self) -> None:
        """Put the connection that was just made into the report."""
        dialled = self._dialled
        self._mesh.list_open(dialled[0], lambda: self._dialled is dialled and self.is_connected)

    async def _sweep(self) -> None:
        if self.is_connected and self._mesh.is_at_bound(self._dialled[1]):
            _log.warning("a connection to the bus had to be cut at its age")
            await self.force_reconnect()


async def connect_bus(config: NodeConfig, bus: NatsConfig) -> BusClient:
    """Connect, and go on trying for ever: the bus being away delays events and nothing else."""

    async def report(fault: Exception) -> None:
        _log.warning("the bus reported a fault", fault=type(fault).__name__)

    client = BusClient(config, bus)
    try:
        await client.connect(
            bus.addresses,  # One at random, so that the nodes of a cluster share the work.
            name=config.name,
            tls_handshake_first=True,
            # Answers to one identity are readable by no other.
            inbox_prefix=f"_INBOX_{config.name}".encode(),
            connect_timeout=CONNECT_S_MAX,
            reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type] # it sleeps for as long
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            error_cb=report,
            reconnected_cb=client.note_connected,
        )
    except BaseException:
        await client.close()
        raise
    await client.note_connected()
    return client

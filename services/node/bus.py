"""NATS over mutual TLS: a bus that may be wiped at any time; the outbox in PostgreSQL stays the truth.

The handshake comes first (`handshake_first`), so that not even the server's greeting crosses in clear.
"""

from __future__ import annotations

from pathlib import Path

import nats
from nats.aio.client import Client

from pki.tls import client_context
from services.node.config_file import NatsConfig, NodeConfig
from services.node.logs import get_log

CONNECT_S_MAX = 2  # A TLS handshake on a busy host.
RECONNECT_S = 0.5  # The server restarts in well under a second.

_log = get_log("node.bus")


async def connect_bus(config: NodeConfig, bus: NatsConfig) -> Client:
    """Connect, and go on trying for ever: the bus being away delays events and nothing else."""

    async def report(fault: Exception) -> None:
        _log.warning("the bus reported a fault", fault=type(fault).__name__)

    return await nats.connect(
        f"tls://{bus.host}:{bus.port}",
        name=config.name,
        tls=client_context(Path(config.identity), expect=frozenset({bus.expect})),
        tls_hostname=bus.host,
        tls_handshake_first=True,
        inbox_prefix=f"_INBOX_{config.name}".encode(),  # Answers to one identity are readable by no other.
        connect_timeout=CONNECT_S_MAX,
        reconnect_time_wait=RECONNECT_S,
        max_reconnect_attempts=-1,
        allow_reconnect=True,
        error_cb=report,
    )

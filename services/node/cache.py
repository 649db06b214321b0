"""Redis over mutual TLS: a cache that may be wiped at any time, so every caller must do without it.

redis-py builds its own TLS context, with 144 public authorities in it; the connection class below hands it
ours instead. Timeouts are short: a cache that answers late is a cache that is away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pki.tls import client_context
from services.node.config_file import NodeConfig, RedisConfig

ANSWER_S_MAX = 0.25  # Loopback answers in well under 1 ms; waiting longer costs the request more than a miss.
CONNECT_S_MAX = 1.0  # A TLS handshake on a busy host.
CONNECTIONS_MAX = 32  # One process keeps this many commands under way at the most.


def open_redis(config: NodeConfig, cache: RedisConfig) -> redis.asyncio.Redis:
    """Return a client; nothing is connected before the first command."""
    context = client_context(Path(config.identity), expect=frozenset({cache.expect}))

    class MeshConnection(redis.asyncio.SSLConnection):
        def _connection_arguments(self) -> dict[str, Any]:
            arguments = dict(super(redis.asyncio.SSLConnection, self)._connection_arguments())
            arguments["ssl"] = context
            return arguments

    pool = redis.asyncio.BlockingConnectionPool(
        connection_class=MeshConnection,
        host=cache.host,
        port=cache.port,
        username=cache.username,
        password=Path(cache.password_file).read_text(encoding="utf-8").strip(),
        socket_timeout=ANSWER_S_MAX,
        socket_connect_timeout=CONNECT_S_MAX,
        max_connections=CONNECTIONS_MAX,
        timeout=ANSWER_S_MAX,  # A burst waits for a connection; it must not look like Redis being away.
        retry=Retry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis(connection_pool=pool)

"""Redis over mutual TLS: a cache that may be wiped at any time, so every caller must do without it.

redis-py builds its own TLS context once per connection object, with 144 public authorities in it; the
connection class below hands it the one of the generation in force instead, at each dial. Timeouts are short:
a cache that answers late is a cache that is away.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.node.ageing import sweep_for_ever
from services.node.client_identity import ClientIdentity
from services.node.config_file import NodeConfig, RedisConfig
from services.node.identity import LoadedGeneration

ANSWER_S_MAX = 0.25  # Loopback answers in well under 1 ms; waiting longer costs the request more than a miss.
CONNECT_S_MAX = 1.0  # A TLS handshake on a busy host.
CONNECTIONS_MAX = 32  # One process keeps this many commands under way at the most.


def open_redis(config: NodeConfig, cache: RedisConfig) -> redis.asyncio.Redis:
    """Return a client, in a running loop; nothing is connected before the first command. `aclose` ends it."""
    return _MeshRedis(config, cache)


class _MeshConnection(redis.asyncio.SSLConnection):
    """Dials with the context in force, and is dialled anew by whoever is lent it when its time has come."""

    generation: LoadedGeneration
    opened_at = 0.0

    def __init__(self, *, identity: ClientIdentity, **rest: Any) -> None:  # noqa: ANN401 - passed on as it came
        super().__init__(**rest)
        self._identity = identity

    def _connection_arguments(self) -> dict[str, Any]:
        # Called for each dial, and by nothing else.
        self.generation, self.opened_at = self._identity.generation, time.monotonic()
        arguments = dict(super(redis.asyncio.SSLConnection, self)._connection_arguments())
        arguments["ssl"] = self._identity.context
        return arguments

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        writer = self._writer
        assert writer is not None
        self._identity.list_open(self.generation, lambda: self._writer is writer and not writer.is_closing())

    async def connect(self) -> None:
        """Make it ready to be lent: the pool calls this each time."""
        await self.end_if_due()
        await super().connect()  # type: ignore[no-untyped-call]

    async def end_if_due(self) -> None:
        """End it if its time has come; the pool, which runs in the same loop, never sees it half ended."""
        if self.is_connected and self._identity.is_due(self.generation, self.opened_at):
            await self.disconnect(nowait=True)

    async def end_at_bound(self) -> None:
        """End it in the middle of a command, if it has reached its age."""
        if self.is_connected and self._identity.is_at_bound(self.opened_at):
            await self.disconnect(nowait=True)


class _MeshRedis(redis.asyncio.Redis):
    """A client that ends its idle connections before their age, and lets go of the identity when closed."""

    def __init__(self, config: NodeConfig, cache: RedisConfig) -> None:
        self._identity = ClientIdentity(config, "redis", cache.expect)
        pool = redis.asyncio.BlockingConnectionPool(
            connection_class=_MeshConnection,
            identity=self._identity,
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
        super().__init__(connection_pool=pool)
        self._ageing = asyncio.create_task(sweep_for_ever(config.connection_age_s_max, self._sweep))

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: ARG002 - its signature
        """End every connection."""
        self._ageing.cancel()
        self._identity.leave()
        await super().aclose(close_connection_pool=True)

    async def _sweep(self) -> None:
        pool = self.connection_pool
        lying = cast("list[_MeshConnection]", pool._available_connections)  # noqa: SLF001 - no public way
        lent = cast("set[_MeshConnection]", pool._in_use_connections)  # noqa: SLF001 - the tests pin both
        for connection in [*lying]:
            if connection in lying:  # Whoever is lent one takes it out before anything is awaited.
                await connection.end_if_due()
        for connection in [*lent]:
            await connection.end_at_bound()

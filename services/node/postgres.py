"""Connections to PostgreSQL: mutual TLS, the role bound to the certificate, bounded age and statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from pki.tls import client_context
from services.node.config_file import NodeConfig, PostgresConfig

CONNECT_S_MAX = 5.0  # A handshake takes 15 ms; a server that needs seconds is down.
CLOSE_S_MAX = (
    3.0  # Statements under way end sooner; a stopping process must not outlive its supervisor's patience.
)
STATEMENT_MS_MAX = 5_000  # The largest batch takes tens of milliseconds; a stuck one must free its locks.
IDLE_IN_TRANSACTION_MS_MAX = 5_000  # An old snapshot slows every claim (measured: 10,000/s fell to 3,600/s).

# What means that the database is away for now: connections lost, restarts, timeouts, deadlocks, a standby,
# credentials in rotation. Everything else that goes wrong in a statement is a bug of ours.
DATABASE_AWAY = (
    OSError,  # includes ssl.SSLError and every ConnectionError
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # What asyncpg says when the server hangs up between two of its messages.
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
)


@asynccontextmanager
async def open_pool(
    config: NodeConfig, postgres: PostgresConfig, *, connections_max: int
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool for the length of the context; it dials again by itself after the server was away.

    The first connection is awaited with patience, so that start order does not matter.
    """
    pool = asyncpg.create_pool(
        host=postgres.host,
        port=postgres.port,
        database=postgres.database,
        user=postgres.user,
        ssl=client_context(Path(config.identity), expect=frozenset({postgres.expect})),
        min_size=0,
        max_size=connections_max,
        timeout=CONNECT_S_MAX,
        command_timeout=STATEMENT_MS_MAX / 1000 * 2,
        max_inactive_connection_lifetime=config.connection_age_s_max,
        server_settings={
            "application_name": config.name,
            "statement_timeout": str(STATEMENT_MS_MAX),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS_MAX),
        },
    )
    await pool
    ageing = asyncio.create_task(_expire(pool, config.connection_age_s_max))
    try:
        yield pool
    finally:
        ageing.cancel()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await pool.close()
        except TimeoutError:
            pool.terminate()  # A server that stalls must not keep a process from stopping.


async def _expire(pool: asyncpg.Pool, age_s_max: float) -> None:
    """Replace connections as they come back, so that none outlives the certificates it was opened with."""
    while True:
        await asyncio.sleep(age_s_max)
        await pool.expire_connections()

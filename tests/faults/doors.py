"""The record's doors, as each of its callers has them: the gateway, persons by their certificates, the owner.

What is asked for is asked until there is an answer, as any caller of ours does: whatever can be asked twice
has a name, and is done once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.errors import PKIError
from pki.tls import client_context

CONNECT_S_MAX: Final = 10.0
# PostgreSQL is away for seconds only.
ANSWERED_S_MAX: Final = 60.0
CALL_S_MAX: Final = 5.0
AGAIN_S: Final = 0.25
RECORD_AWAY: Final = (
    OSError, TimeoutError, PKIError, asyncpg.InterfaceError, asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.TransactionRollbackError,
)  # fmt: skip


async def connect(stack: Stack, workload: str) -> asyncpg.Connection:
    """A connection under a workload's own certificate."""
    address = stack.places.addresses["postgres.tls"]
    context = client_context(
        stack.places.identity(workload), expect=frozenset({stack.mesh.spiffe("postgres")})
    )
    return await asyncpg.connect(
        host=address.host, port=address.port, user=stack.mesh.services[workload].acts_as or workload,
        database=DATABASE, ssl=context, timeout=CONNECT_S_MAX,
    )  # fmt: skip


@asynccontextmanager
async def open_record(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the tables."""
    connection = await connect(stack, "migrator")
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S_MAX)


class Doors:
    """One connection for each caller, opened anew when it breaks."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._connections: dict[str, asyncpg.Connection] = {}
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fetch(self, workload: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask until there is an answer.

        Raises:
            asyncpg.PostgresError: The record refused it.
            asyncpg.InterfaceError: It cannot be asked so.
            TimeoutError: There was no answer within `ANSWERED_S_MAX`.
        """
        async with asyncio.timeout(ANSWERED_S_MAX):
            while True:
                # Whoever finds it broken drops it in the own turn: nobody drops what the next one opened.
                async with self._turns[workload]:
                    try:
                        connection = await self._connection(workload)
                        found: list[asyncpg.Record] = await connection.fetch(
                            query, *arguments, timeout=CALL_S_MAX
                        )
                    except RECORD_AWAY as error:
                        if isinstance(error, asyncpg.InterfaceError) and self._is_open(workload):
                            raise  # The question is wrong: the record is there, and will say so for ever.
                        await self._drop(workload)
                    else:
                        return found
                await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        """Close all connections."""
        for workload in list(self._connections):
            await self._drop(workload)

    async def _connection(self, workload: str) -> asyncpg.Connection:
        if workload not in self._connections:
            self._connections[workload] = await connect(self._stack, workload)
        return self._connections[workload]

    def _is_open(self, workload: str) -> bool:
        connection = self._connections.get(workload)
        return connection is not None and not connection.is_closed()

    async def _drop(self, workload: str) -> None:
        connection = self._connections.pop(workload, None)
        if connection is not None:
            with suppress(*RECORD_AWAY):
                await connection.close(timeout=CONNECT_S_MAX)

"""Connections to PostgreSQL: mutual TLS, the role bound to the certificate, bounded age and statements.

Promises: a new connection is opened with the generation in force; one that is of an older generation, or has
had most of its time, is ended when it comes back to the pool, or by a sweep if it lies there; none is lent
once it is being ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import cast

import asyncpg

from services.node.ageing import sweep_for_ever
from services.node.client_identity import ClientIdentity
from services.node.config_file import NodeConfig, PostgresConfig
from services.node.identity import LoadedGeneration
from services.node.logs import get_log

CONNECT_S_MAX = 5.0  # A handshake takes 15 ms; a server that needs seconds is down.
CLOSE_S_MAX = (
    3.0  # Statements under way end sooner; a stopping process must not outlive its supervisor's patience.
)
STATEMENT_MS_MAX = 5_000  # The largest batch takes tens of milliseconds; a stuck one must free its locks.
# A statement is planned once, often while its tables are empty and reading them whole costs nothing; the plan
# then stays until somebody analyses them. With these it finds its rows by an index from the first day on.
BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
IDLE_IN_TRANSACTION_MS_MAX = 5_000  # An old snapshot slows every claim (measured: 10,000/s fell to 3,600/s).

# Among those: a statement that reached its time limit, here or there. Less at once may do.
TOOK_TOO_LONG = (TimeoutError, asyncpg.QueryCanceledError)
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

_log = get_log("node.postgres")


@asynccontextmanager
async def open_pool(
    config: NodeConfig, postgres: PostgresConfig, *, connections_max: int, by_index: bool = False
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool for the length of the context; it dials again by itself after the server was away.

    No connection is awaited, so that start order does not matter. Nothing may be set for a session: what one
    user of a connection sets, the next one has. Transactions that were left open are rolled back.

    Args:
        config: Identity of this process.
        postgres: Where the server is.
        connections_max: At once.
        by_index: Statements sent as text are planned as `BY_INDEX` has it; functions say so themselves.
    """
    keeper = _Keeper(config, postgres, BY_INDEX if by_index else {})
    pool = asyncpg.create_pool(
        connection_class=_AgeingConnection,
        connect=keeper.connect,
        setup=keeper.lend,
        reset=keeper.take_back,
        min_size=0,
        max_size=connections_max,
        max_inactive_connection_lifetime=0,  # The keeper ends them by age, used or not.
    )
    ageing = asyncio.create_task(sweep_for_ever(config.connection_age_s_max, keeper.sweep))
    try:
        await pool
        yield pool
    finally:
        ageing.cancel()
        keeper.identity.leave()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await pool.close()
        except TimeoutError:
            pool.terminate()  # A server that stalls must not keep a process from stopping.


class _AgeingConnection(asyncpg.Connection):
    """Knows since when it is open, with which generation, and whether the pool has lent it."""

    generation: LoadedGeneration
    opened_at: float
    is_lent = True  # Until the pool has it back for the first time: it is opened for somebody.

    def mark_lent(self) -> None:
        """The pool hands out proxies, through which a method can be called and no attribute be set."""
        self.is_lent = True


class _Keeper:
    """What a pool asks when it opens, lends and takes back connections."""

    def __init__(self, config: NodeConfig, postgres: PostgresConfig, planner: Mapping[str, str]) -> None:
        self._name = config.name
        self._planner = planner
        self._postgres = postgres
        self._open: set[_AgeingConnection] = set()
        self.identity = ClientIdentity(config, "postgres", postgres.expect)

    async def connect(self, *_: object, **__: object) -> _AgeingConnection:
        """Open a connection with the generation in force; what the pool says about it is known here."""
        generation, opened_at = self.identity.generation, time.monotonic()
        connection = await asyncpg.connect(
            host=self._postgres.host,
            port=self._postgres.port,
            database=self._postgres.database,
            user=self._postgres.user,
            ssl=self.identity.context,
            timeout=CONNECT_S_MAX,
            command_timeout=STATEMENT_MS_MAX / 1000 * 2,
            connection_class=_AgeingConnection,
            server_settings={
                "application_name": self._name,
                "statement_timeout": str(STATEMENT_MS_MAX),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS_MAX),
                **self._planner,
            },
        )
        connection.generation, connection.opened_at = generation, opened_at
        self._open.add(connection)
        self.identity.list_open(generation, lambda: not connection.is_closed())
        return connection

    async def lend(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        """Note that it is in use, so that the sweep leaves it alone; never suspends."""
        cast("_AgeingConnection", connection).mark_lent()  # The proxy passes on what it does not know itself.

    async def take_back(self, connection: asyncpg.Connection) -> None:
        """Make a connection ready for whoever is next, or end it if its time has come."""
        assert isinstance(connection, _AgeingConnection)
        if self._is_due(connection):
            # Its user's work is done: whether the server is still there to say good-bye to is nothing to him.
            with suppress(*DATABASE_AWAY):
                await connection.close(timeout=CLOSE_S_MAX)
            return
        # The statement that asyncpg would send here, to reset what nobody sets, costs as much as a short one.
        connection.is_lent = False

    async def sweep(self) -> None:
        """End what lies idle and is due; cut what is still in use at the bound."""
        self._open = {connection for connection in self._open if not connection.is_closed()}
        for connection in self._open:
            if self.identity.is_at_bound(connection.opened_at):
                _log.warning("a connection to the database had to be cut at its age")
                connection.terminate()
        await asyncio.gather(*(self._end_if_idle(connection) for connection in self._open))

    async def _end_if_idle(self, connection: _AgeingConnection) -> None:
        # From this look to the moment at which `close` has marked it closed nothing else runs: the pool
        # cannot lend it in between.
        if not connection.is_lent and not connection.is_closed() and self._is_due(connection):
            with suppress(*DATABASE_AWAY):
                await connection.close(timeout=CLOSE_S_MAX)

    def _is_due(self, connection: _AgeingConnection) -> bool:
        return self.identity.is_due(connection.generation, connection.opened_at)

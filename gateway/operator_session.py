"""One piece of an operator's work: a connection as the role `operator`, one transaction, an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import click

from gateway.config import OperatorConfig
from gateway.errors import CellUnavailable
from gateway.store.record import connected
from services.node.postgres import open_pool

EXIT_FAILED, EXIT_CONFIGURATION, EXIT_AWAY = 1, 3, 4
EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or the chain is broken, 2 wrong usage, 3 configuration, 4 no database."
)

Result = TypeVar("Result")


def run(
    config: OperatorConfig, work: Callable[[asyncpg.pool.PoolConnectionProxy], Awaitable[Result]]
) -> Result:
    """Do the work in one transaction, and end the process with a sentence if that is not possible."""

    async def in_transaction() -> Result:
        async with (
            open_pool(config, config.postgres, connections_max=1) as pool,
            connected(pool) as connection,
            connection.transaction(),
        ):
            return await work(connection)

    try:
        return asyncio.run(in_transaction())
    except CellUnavailable:
        click.echo("the database is out of reach: is the stack running?", err=True)
        sys.exit(EXIT_AWAY)
    except asyncpg.PostgresError as fault:
        click.echo(f"refused by the database: {type(fault).__name__}", err=True)
        sys.exit(EXIT_FAILED)

"""Reaching the record: which faults mean that PostgreSQL is away, so that the answer is 503, never 500.

Everything else that goes wrong in a statement is a bug of ours and stays one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from gateway.errors import CellUnavailable
from services.node.group import GroupFull
from services.node.postgres import DATABASE_AWAY

ACQUIRE_S_MAX = 2.0  # Waiting longer for a free connection means that the record has stalled.

AWAY: tuple[type[Exception], ...] = (*DATABASE_AWAY, GroupFull)


def is_away(fault: Exception) -> bool:
    """Tell whether this fault means that the record is out of reach, not that a statement is wrong."""
    # asyncpg's DataError for arguments that do not fit is an InterfaceError too: that one is a bug.
    return isinstance(fault, AWAY) and not isinstance(fault, ValueError)


@asynccontextmanager
async def reaching_record() -> AsyncIterator[None]:
    """Turn the record's absence into the refusal that says so.

    Raises:
        CellUnavailable: whatever was under way may or may not have been committed; a repeat will tell.
    """
    try:
        yield
    except Exception as fault:
        if is_away(fault):
            raise CellUnavailable("the record is out of reach: send the same request again") from fault
        raise


@asynccontextmanager
async def connected(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
    """Lend a connection of the pool.

    Raises:
        CellUnavailable: none is to be had, or the record went away meanwhile.
    """
    async with reaching_record(), pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
        yield connection

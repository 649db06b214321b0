"""Writing the access log: one call, one transaction, and a batch that was written stays as it is."""

from __future__ import annotations

import asyncpg

from gateway.access.accesses import Batch
from gateway.audit.access import Access
from gateway.store.record import connected

_RECORD = (
    "select audit.record_accesses($1, $2, $3, $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],"
    " $9::int[], $10::timestamptz[], $11::text[])"
)


class AccessStore:
    """The access log through one pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, batch: Batch) -> None:
        """Record one batch, all or nothing; again changes nothing.

        Raises:
            CellUnavailable: the record is away; it may or may not hold the batch.
        """
        columns = [[getattr(row, name) for row in batch.rows] for name in Access.__slots__]
        async with connected(self._pool) as connection:
            await connection.fetchval(_RECORD, batch.name, batch.dropped, batch.unproven, *columns)

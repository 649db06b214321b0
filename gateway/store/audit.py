"""Appending to the audit log: one call, one transaction, one chain for all workers."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from gateway.audit.entry import Entry
from gateway.store.record import connected

_APPEND = (
    "select audit.append($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
    " $7::text[], $8::text[], $9::bytea[], $10::text[])"
)


class AuditStore:
    """The audit log through one pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def append(self, entries: Sequence[Entry]) -> None:
        """Append in order, all or none.

        Raises:
            CellUnavailable: the record is away; it may or may not hold the entries.
        """
        columns = [[getattr(entry, name) for entry in entries] for name in Entry.__slots__]
        async with connected(self._pool) as connection:
            await connection.fetchval(_APPEND, *columns)

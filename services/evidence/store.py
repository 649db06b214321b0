"""The log's questions to PostgreSQL: one transaction for each append, under the log's one pen.

Consistency: whoever holds the pen sees every leaf, and what it appends is there whole or not at all.
Concurrency: any number of workers; those that find the pen taken come back later. Retry: safe, because a
batch says from which size it was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg

from services.evidence.appending import Batch, Head, plan_append
from signing.evidence.tile_places import tiles_to_read

# A few kilobytes of digests each, planned in about 30 ms: below the half second that a checkpoint may take.
ROWS_PER_BATCH_MAX = 1000

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Tiles: TypeAlias = dict[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True)
class NewestCheckpoint:
    """The newest checkpoint: its size, the signed note, when it was signed."""

    size: int
    note: bytes
    at: datetime


class Store:
    """A pool of connections of the role `evidence`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append_next(self, sign: Callable[[Batch], bytes]) -> Batch | None:
        """Append the records that wait, up to a batch of them, with their checkpoint.

        Args:
            sign: Returns the signed checkpoint of a batch. It is called before the commit; what it returns
                is seen by nobody if the commit fails.

        Returns:
            What was appended; None if nothing waits or another worker is writing.

        Raises:
            EvidenceRefused: A record cannot become a leaf; the log stands until a person has looked.
        """
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("select evidence.anything_pending()"):
                return None
            async with connection.transaction():
                row = await connection.fetchrow("select * from evidence.take_pen()")
                if row is None:
                    return None
                # In a new statement: what was committed while we took the pen is seen.
                head = Head(*row)
                rows = await connection.fetch(
                    "select * from evidence.pending($1, $2, $3)",
                    head.last_xid, head.last_position, ROWS_PER_BATCH_MAX,
                )  # fmt: skip
                if not rows:
                    return None
                tiles = await _read(connection, tiles_to_read((), head.size))
                batch = plan_append(
                    head, [dict(row) for row in rows], lambda level, index: tiles.get((level, index), b"")
                )
                await _write(connection, batch, sign(batch))
        return batch

    async def tiles(self, places: Collection[tuple[int, int]]) -> Tiles:
        """Those of these tiles that exist, as far as they are filled."""
        async with self._pool.acquire() as connection:
            return await _read(connection, places)

    async def newest_checkpoint(self) -> NewestCheckpoint | None:
        """The newest checkpoint; None while the log is empty."""
        row = await self._pool.fetchrow("select * from evidence.newest_checkpoint()")
        return None if row is None else NewestCheckpoint(*row)

    async def cosigned_size(self, witness: str) -> int:
        """The size of the newest checkpoint that this witness has cosigned; 0 if none."""
        return int(await self._pool.fetchval("select evidence.cosigned_size($1)", witness))

    async def cosign(self, size: int, witness: str, line: bytes) -> None:
        """Keep a witness's verified line for the checkpoint of this size."""
        await self._pool.execute("select evidence.cosign($1, $2, $3)", size, witness, line)


async def _read(connection: _Connection, places: Collection[tuple[int, int]]) -> Tiles:
    rows = await connection.fetch(
        "select * from evidence.tiles($1, $2)", [level for level, _ in places], [index for _, index in places]
    )
    return {(row["level"], row["index"]): row["hashes"] for row in rows}


async def _write(connection: _Connection, batch: Batch, note: bytes) -> None:
    await connection.execute(
        "select evidence.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        batch.size_before, batch.kinds, batch.subjects, batch.leaf_hashes, batch.last_xid,
        batch.last_position, [tile.level for tile in batch.tiles], [tile.index for tile in batch.tiles],
        [tile.hashes for tile in batch.tiles], note, datetime.now(UTC),
    )  # fmt: skip

"""Calls of the functions of the schema `evidence`: refusals in groups, and what a bundle is made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from gateway.store.record import connected
from signing.evidence import Record, utc_text

REFUSALS_PER_TRANSACTION_MAX = 128  # The same knee as for payments.

_RECORD_REFUSALS = (
    "select evidence.record_refusals($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],"
    " $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[])"
)


@dataclass(frozen=True, slots=True)
class RefusedExchange:
    """One refusal of a request whose signature held; the order of fields is that of the function.

    Attributes:
        code: of the problem.
        request_body: None if it was too long to be kept; the signature base holds its digest.
    """

    request_id: str
    merchant_id: str
    key_id: str
    code: str
    decided_at: datetime
    request_head: bytes
    request_body: bytes | None
    request_base: bytes
    request_signature: bytes
    response_body: bytes
    receipt_base: bytes
    receipt_signature: bytes


@dataclass(frozen=True, slots=True)
class Located:
    """A record and its place in the log; the place is None until the sequencer has given it one."""

    record: Record
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint: how many leaves it covers, and the signed note with the lines of its witnesses."""

    size: int
    note: bytes


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What the registry says about a key."""

    jwk: str
    registered_at: datetime
    revoked_at: datetime | None
    compromised_since: datetime | None


class EvidenceStore:
    """The evidence through one pool of connections. Every call raises `CellUnavailable` while it is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record_refusals(self, refusals: Sequence[RefusedExchange]) -> None:
        """Record refusals, all or none; one that is there already is left as it is."""
        columns = [[getattr(item, name) for item in refusals] for name in RefusedExchange.__slots__]
        async with connected(self._pool) as connection:
            await connection.fetchval(_RECORD_REFUSALS, *columns)

    async def find(self, merchant_id: str, kind: str, subject: str) -> Located | None:
        """Return one record of this merchant; None if it is not theirs or there is none."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                "select * from evidence.find_record($1, $2, $3)", merchant_id, kind, subject
            )
        if row is None:
            return None
        values = dict(row)
        leaf_index = values.pop("leaf_index")
        return Located(Record(**{**values, "decided_at": utc_text(values["decided_at"])}), leaf_index)

    async def find_checkpoint(self, size_min: int, grace: timedelta) -> SignedCheckpoint | None:
        """Return the newest checkpoint over at least `size_min` leaves.

        Args:
            size_min: how many leaves it must cover.
            grace: how long a checkpoint waits for a witness before it serves without one.
        """
        async with connected(self._pool) as connection:
            rows = await connection.fetch("select * from evidence.find_checkpoint($1, $2)", size_min, grace)
        return _checkpoint(rows)

    async def published_checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest checkpoint; None while the log is empty."""
        async with connected(self._pool) as connection:
            return _checkpoint(await connection.fetch("select * from evidence.published_checkpoint()"))

    async def tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Return the hashes of those of these tiles that exist: (level, index) to hashes in a row."""
        levels, indexes = [level for level, _ in places], [index for _, index in places]
        async with connected(self._pool) as connection:
            rows = await connection.fetch("select * from evidence.tiles($1, $2)", levels, indexes)
        return {(row["level"], row["index"]): row["hashes"] for row in rows}

    async def key_history(self, key_id: str) -> KeyHistory | None:
        """Return what the registry says about a key, whoever's it is."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow("select * from registry.key_history_of($1)", key_id)
        return None if row is None else KeyHistory(*row.values())


def _checkpoint(rows: Sequence[asyncpg.Record]) -> SignedCheckpoint | None:
    if not rows:
        return None
    lines = b"".join(row["line"] for row in rows if row["line"] is not None)
    return SignedCheckpoint(rows[0]["size"], rows[0]["note"] + lines)

"""The vault's rows in PostgreSQL: seals and wrapped keys as they are, nothing that can be read.

Promises: what is kept is kept once for its merchant and fingerprint; what is resolved is in the journal in
the same transaction; what is shredded has no key any more when the call returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg

from services.vault.messages import Display, Kind, Resolution
from services.vault.numbers import Shown

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class WrappedKeys:
    """A merchant's newest key, and that of its fingerprints, as they are stored."""

    merchant_id: str
    generation: int
    cell_key: int
    wrapped: bytes
    uses: int
    age: timedelta
    fingerprint_cell_key: int
    fingerprint_wrapped: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one instrument, as it is stored, with the merchant's key that opens it."""

    token: str
    key_id: bytes
    generation: int
    wrapped: bytes
    cell_key: int
    merchant_wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedInstrument:
    """An instrument as it is stored."""

    token: str
    merchant_id: str
    kind: Kind
    shown: Shown
    key_id: bytes
    sealed: bytes
    fingerprint: bytes
    contents: bytes
    generation: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept under a fingerprint, perhaps since long ago."""

    display: Display
    contents: bytes


@dataclass(frozen=True, slots=True)
class Openable:
    """Everything that opens one instrument, but for the cell key."""

    merchant_id: str
    kind: Kind
    sealed: bytes
    key: DataKey


class Store:
    """A pool of connections of the role `vault`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keys_of(self, merchant_ids: Sequence[str]) -> dict[str, WrappedKeys]:
        """The newest keys of those merchants that have some."""
        rows = await self._pool.fetch("select * from vault.keys_of($1)", list(merchant_ids))
        return {row["merchant_id"]: WrappedKeys(*row) for row in rows}

    async def add_keys(
        self, merchant_id: str, generation: int, cell_key: int, wrapped: bytes, fingerprint_wrapped: bytes
    ) -> None:
        """Add a merchant's next key unless somebody was faster; read which one is there afterwards."""
        statement = "select vault.add_keys($1, $2, $3, $4, $5)"
        await self._pool.execute(statement, merchant_id, generation, cell_key, wrapped, fingerprint_wrapped)

    async def keep(self, instruments: Sequence[SealedInstrument]) -> dict[tuple[str, bytes], Stored]:
        """Keep what is new; return by merchant and fingerprint what is kept now.

        Args:
            instruments: No two of one merchant and fingerprint.
        """
        rows = await self._pool.fetch(
            "select * from vault.keep($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [i.token for i in instruments], [i.merchant_id for i in instruments],
            [i.kind for i in instruments], [i.shown.brand for i in instruments],
            [i.shown.country for i in instruments], [i.shown.last4 for i in instruments],
            [i.key_id for i in instruments], [i.sealed for i in instruments],
            [i.fingerprint for i in instruments], [i.contents for i in instruments],
            [i.generation for i in instruments], [i.wrapped for i in instruments],
        )  # fmt: skip
        stored = {}
        for row in rows:
            given = instruments[row["item"] - 1]
            stored[given.merchant_id, given.fingerprint] = Stored(_display(row), row["stored_contents"])
        return stored

    async def renew(self, token: str, instrument: SealedInstrument) -> bool:
        """Put another seal and another key in place of a token's; False if it was shredded."""
        i = instrument
        return bool(
            await self._pool.fetchval(
                "select vault.renew($1, $2, $3, $4, $5, $6)",
                token, i.key_id, i.sealed, i.contents, i.generation, i.wrapped,
            )
        )  # fmt: skip

    async def resolve(self, caller: str, items: Sequence[Resolution]) -> list[Openable | None]:
        """Write in the journal who asks, and return what opens each token, in order; None where none is."""
        rows = await self._pool.fetch(
            "select * from vault.resolve($1, $2, $3)",
            caller, [item.token for item in items], [item.about for item in items],
        )  # fmt: skip
        found: list[Openable | None] = [None] * len(items)
        for row in rows:
            key = DataKey(
                items[row["item"] - 1].token,
                *(row[n] for n in ("key_id", "generation", "wrapped", "cell_key", "merchant_wrapped")),
            )
            found[row["item"] - 1] = Openable(row["merchant_id"], row["kind"], row["sealed"], key)
        return found

    async def show(self, merchant_id: str, token: str) -> Display | None:
        """What may be shown of an instrument; None if the merchant has none of this token."""
        row = await self._pool.fetchrow("select * from vault.display($1, $2)", merchant_id, token)
        return None if row is None else _display(row, row["shredded_at"])

    async def shred(self, merchant_id: str, token: str | None) -> int:
        """Destroy one instrument, or everything of a merchant; return how many were not destroyed before."""
        return int(await self._pool.fetchval("select vault.shred($1, $2)", merchant_id, token))

    async def merchant_behind(self, cell_key: int) -> str | None:
        """A merchant with something that an older cell key wraps."""
        found: str | None = await self._pool.fetchval("select vault.merchant_behind($1)", cell_key)
        return found

    async def oldest_cell_key(self) -> int | None:
        """The oldest version that still wraps something."""
        found: int | None = await self._pool.fetchval("select vault.oldest_cell_key()")
        return found

    async def data_keys_before(self, merchant_id: str, generation: int, rows_max: int) -> list[DataKey]:
        """Keys of instruments that older keys of a merchant wrap."""
        statement = "select * from vault.data_keys_before($1, $2, $3)"
        return [DataKey(*row) for row in await self._pool.fetch(statement, merchant_id, generation, rows_max)]

    async def rewrap(
        self, merchant_id: str, generation: int, keys: Sequence[DataKey], wrapped: Sequence[bytes]
    ) -> None:
        """Put keys wrapped by this generation in place of the same ones wrapped by an older."""
        statement = "select vault.rewrap($1, $2, $3, $4, $5)"
        tokens, ids = [key.token for key in keys], [key.key_id for key in keys]
        await self._pool.execute(statement, merchant_id, generation, tokens, ids, list(wrapped))

    async def rewrap_fingerprint_key(
        self, merchant_id: str, before: int, cell_key: int, wrapped: bytes
    ) -> None:
        """Put the key of a merchant's fingerprints under another cell key."""
        statement = "select vault.rewrap_fingerprint_key($1, $2, $3, $4)"
        await self._pool.execute(statement, merchant_id, before, cell_key, wrapped)

    async def drop_generations(self, merchant_id: str, before: int) -> bool:
        """Destroy a merchant's older keys that wrap nothing; False if one was used again meanwhile."""
        return bool(await self._pool.fetchval("select vault.drop_generations($1, $2)", merchant_id, before))


def _display(row: Any, shredded_at: datetime | None = None) -> Display:  # noqa: ANN401 - a record or a mapping
    shown = {n: row[n] for n in ("token", "kind", "created_at", "brand", "country", "last4")}
    return Display(**shown, shredded_at=shredded_at)

"""The journal and the counters in PostgreSQL, under the cell's one pen.

Promises: whoever holds the pen has everything that was counted before it; a batch is kept whole or not at
all; a payment is decided once. Nothing of a batch is true before its transaction has committed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.fraud.errors import RulesRolledBack, RulesStale
from services.fraud.evaluation import Evaluation
from services.fraud.inputs import Inputs, parse_inputs
from services.fraud.messages import Verdict
from services.fraud.replaying import Journalled
from services.fraud.rule_file import SignedRules
from services.fraud.velocity import Ask, Increment, Seen

FORGET_ROWS_MAX = 5_000  # Deleted in about 50 ms, so that a slice never holds up a batch.

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision to keep: the verdict, and the canonical inputs with their digest."""

    payment_id: str
    evaluation: Evaluation
    inputs: bytes
    inputs_digest: bytes


class Batch:
    """One open transaction that holds the pen.

    Attributes:
        now: The database's clock.
    """

    def __init__(self, connection: _Connection, rules: SignedRules, now: datetime) -> None:
        self._connection = connection
        self._rules = rules
        self.now = now

    async def decided(self, payment_ids: Sequence[str]) -> list[tuple[Inputs, Verdict]]:
        """What was decided about these payments before, and by which inputs."""
        rows = await self._connection.fetch("select * from fraud.decided($1)", payment_ids)
        return [
            (
                parse_inputs(row["inputs"]),
                Verdict(
                    payment_id=row["payment_id"],
                    verdict=row["verdict"],
                    rule_pack=row["pack"],
                    inputs_digest=row["inputs_digest"].hex(),
                    reasons=tuple(row["reasons"]),
                ),
            )
            for row in rows
        ]

    async def seen(self, asks: Sequence[Ask]) -> list[Seen]:
        """What was counted before this batch."""
        if not asks:
            return []
        rows = await self._connection.fetch(
            "select * from fraud.seen($1, $2, $3)",
            [ask.key for ask in asks], [ask.grain_s for ask in asks], [ask.start_s for ask in asks],
        )  # fmt: skip
        return [
            Seen(asks[row["item"] - 1], row["kind"], row["currency"], row["count"], int(row["sum_minor"]))
            for row in rows
        ]

    async def record(self, decisions: Sequence[Decided], increments: Sequence[Increment]) -> None:
        """Keep decisions about payments that had none."""
        await self._connection.execute(
            "select fraud.record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            self._rules.digest,
            [d.payment_id for d in decisions],
            [d.evaluation.verdict for d in decisions],
            [d.inputs_digest for d in decisions],
            [d.inputs for d in decisions],
            [" ".join(d.evaluation.reasons) for d in decisions],
            [i.key for i in increments],
            [i.grain_s for i in increments],
            [i.start_s for i in increments],
            [i.kind for i in increments],
            [i.currency for i in increments],
            [i.count for i in increments],
            [i.sum_minor for i in increments],
        )


class Store:
    """A pool of connections of the role `fraud`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def batch(self, rules: SignedRules) -> AsyncIterator[Batch]:
        """A transaction under the pen; it commits at the end of the context.

        Raises:
            RulesStale: Newer rules have been adopted.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            now = await connection.fetchval("select fraud.take_pen($1)", rules.digest)
            if now is None:
                raise RulesStale("newer rules are in force than this process has read")
            yield Batch(connection, rules, now)

    async def adopt(self, rules: SignedRules) -> bool:
        """Put rules in force; return whether they are new.

        Raises:
            RulesRolledBack: They are older than those used last, or this version was used with others.
        """
        pack = rules.pack
        outcome = await self._pool.fetchval(
            "select fraud.adopt($1, $2, $3, $4, $5, $6)",
            rules.digest, pack.name, pack.version, pack.jurisdiction, rules.signer, rules.document,
        )  # fmt: skip
        if outcome == "rolled_back":
            raise RulesRolledBack(
                f"version {pack.version} is older than the rules used last: give the newest, or sign these "
                "rules under a higher version"
            )
        if outcome == "other_contents":
            raise RulesRolledBack(
                f"version {pack.version} was used with other contents: sign these under a higher version"
            )
        return bool(outcome == "adopted")

    async def forget(self, grain_s: int, before_s: int) -> int:
        """Delete a slice of old buckets and return how many rows went; fewer than the limit: none is left."""
        statement = "select fraud.forget($1, $2, $3)"
        return int(await self._pool.fetchval(statement, grain_s, before_s, FORGET_ROWS_MAX))

    async def journal_of(self, payment_id: str) -> Journalled | None:
        """The decision about a payment; None if there is none."""
        row = await self._pool.fetchrow("select * from fraud.journal_of($1)", payment_id)
        return None if row is None else Journalled(*row)

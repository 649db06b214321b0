"""The engine's questions to PostgreSQL, each one function call in one transaction.

Consistency and order are the functions' promises (`schema/`). Retry: the caller's; each may be repeated.
Concurrency: any number of workers, on any number of hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from services.payments.config import LEASE
from services.payments.outcomes import Order, Outcome
from services.payments.packing import EventRow, Position

LEDGER_MS_MAX = 60_000  # A second for each million transfers or so; it holds no lock that others wait for.

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one order, as it is recorded."""

    order: Order
    outcome: Outcome


class Store:
    """A pool of connections of the role `payments`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, banks: Sequence[str], payments_max: int, accounts_max: int) -> list[Order]:
        """Take the turn of waiting accounts; what is returned is to be sent now, under the returned lease."""
        rows = await self._pool.fetch(
            "select * from payments.claim($1, $2, $3, $4)", list(banks), payments_max, accounts_max, LEASE
        )
        return [Order(**row) for row in rows]

    async def record(self, results: Sequence[Result]) -> list[bool]:
        """Record outcomes in one transaction; False: the lease was lost, nothing was changed."""
        rows = await self._pool.fetch(
            "select result from payments.record($1, $2, $3, $4, $5) order by item",
            [result.order.attempt_id for result in results],
            [result.order.epoch for result in results],
            [result.outcome.kind for result in results],
            [result.outcome.bank_reference for result in results],
            [result.outcome.decline_code for result in results],
        )
        return [row["result"] == "applied" for row in rows]

    async def redrive(self, bank: str, payments_max: int) -> list[Order]:
        """Take over overdue attempts at one bank under a new lease."""
        rows = await self._pool.fetch("select * from payments.redrive($1, $2, $3)", bank, payments_max, LEASE)
        return [Order(**row) for row in rows]

    async def reminders_missing(self) -> int:
        """How many open payments nobody would come back to."""
        return int(await self._pool.fetchval("select count(*) from payments.reminders_missing()"))

    async def overdue(self, grace: timedelta) -> int:
        """How many reminders have passed by more than the grace; 1,000 stands for more."""
        return int(await self._pool.fetchval("select count(*) from payments.overdue($1, 1000)", grace))

    async def ledger_imbalances(self) -> int:
        """In how many ways balances, transfers and payments disagree; reads the whole ledger."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"set local statement_timeout = {LEDGER_MS_MAX}")
            count = "select count(*) from payments.ledger_imbalance()"
            return int(await connection.fetchval(count, timeout=LEDGER_MS_MAX / 1000))

    async def outbox_after(self, place: Position, rows_max: int) -> list[EventRow]:
        """Events after a place, in order; never skips one that commits late."""
        rows = await self._pool.fetch(
            "select * from payments.outbox_after($1, $2, $3)", place.xid, place.position, rows_max
        )
        return [EventRow(**row) for row in rows]

"""The engine's questions to PostgreSQL, each one function call in one transaction.

Consistency and order are the functions' promises (`schema/`). Retry: the caller's; each may be repeated.
Concurrency: any number of workers, on any number of hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from services.node.crash_points import reach
from services.payments.machine.events import Answered, Decisions, Event, RefundAsked, Screened, Snapshot
from services.payments.packing import EventRow, Position
from services.payments.record import ASIDE_MAX, ASIDE_MIN, About, Decide, Overdue, Waiting, Work
from services.payments.store_rows import accounts_from, events_from, payments_from, written

LEDGER_MS_MAX = 600_000  # A second for each million payments or so; it holds no lock that others wait for.

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_WAITING = "select * from payments.take_waiting($1, $2, $3)"
_OVERDUE = "select * from payments.take_overdue($1, $2)"
_ABOUT = "select * from payments.take_about($1, $2)"
_REFUND_OWNERS = "select * from payments.refund_owners($1)"
_WRITE = "select payments.write_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"


class Store:
    """A pool of connections of the role `payments`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        """One transaction: lock, read anew, decide, write, commit; see `record.Record`.

        Raises:
            DATABASE_AWAY: One of them; `asyncpg.SerializationError` among them says that a row changed.
            asyncpg.PostgresError: The record refuses what was decided; the caller finds the guilty event.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            seen, refused = await _take(connection, work)
            if not seen.events and not refused:
                return Decisions()
            decisions = decide(seen)
            decisions.mail_done = [*decisions.mail_done, *refused]
            await connection.execute(_WRITE, *written(seen, decisions))
            match work:
                case About():
                    reach("payments.answers_written")
                case Overdue():
                    reach("payments.takeover_written")
                case _:
                    reach("payments.turn_written")
        return decisions

    async def set_aside(self, payment_id: str, problem: str) -> None:
        """Pass a payment over for a while; see `record.Record`."""
        await self._pool.execute(
            "select payments.put_aside($1, $2, $3, $4)", payment_id, problem, ASIDE_MIN, ASIDE_MAX
        )

    async def post_windows(self, age: timedelta, items_min: int, accounts_max: int) -> int:
        """Post the credits whose window is full; see `record.Record`."""
        return int(
            await self._pool.fetchval(
                "select payments.post_windows($1, $2, $3)", age, items_min, accounts_max
            )
        )

    async def reminders_missing(self) -> int:
        """How many open payments nobody would come back to."""
        return int(await self._pool.fetchval("select count(*) from payments.reminders_missing()"))

    async def overdue(self, grace: timedelta) -> int:
        """How many reminders have passed by more than the grace; 1,000 stands for more."""
        return int(await self._pool.fetchval("select count(*) from payments.overdue($1, 1000)", grace))

    async def asides(self) -> int:
        """How many payments are set aside and still wait; 1,000 stands for more."""
        return int(await self._pool.fetchval("select count(*) from payments.asides(1000)"))

    async def undriven(self, banks: Sequence[str]) -> dict[str, int]:
        """Bank to how much it has that is open, of the banks that are none of these."""
        rows = await self._pool.fetch("select * from payments.undriven($1)", list(banks))
        return {row["bank"]: row["open"] for row in rows}

    async def balances_imbalance(self) -> int:
        """In how many ways accounts disagree with the ledger; reads the whole ledger.

        Raises:
            asyncpg.QueryCanceledError, TimeoutError: It takes longer than it may.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"set local statement_timeout = {LEDGER_MS_MAX}")
            count = "select count(*) from payments.balances_imbalance()"
            return int(await connection.fetchval(count, timeout=LEDGER_MS_MAX / 1000))

    async def check_claims(self, after: str | None, payments_max: int) -> tuple[int, str | None]:
        """In how many ways the next payments disagree with their credits, holds, refunds and disputes.

        Args:
            after: The payment before the first one; None: from the beginning.
            payments_max: How many.

        Returns:
            How many ways, and the last payment; None: it was the last of all.
        """
        row = await self._pool.fetchrow("select * from payments.check_claims($1, $2)", after, payments_max)
        assert row is not None
        return row["problems"], row["last"]

    async def outbox_after(self, place: Position, rows_max: int) -> list[EventRow]:
        """Events after a place, in order; never skips one that commits late."""
        rows = await self._pool.fetch(
            "select * from payments.outbox_after($1, $2, $3)", place.xid, place.position, rows_max
        )
        return [EventRow(**row) for row in rows]


async def _take(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], work: Work
) -> tuple[Snapshot, list[tuple[int, str]]]:
    refused: list[tuple[int, str]] = []
    events: Sequence[Event]
    match work:
        case About(events=events):
            subjects = list({event.payment_id for event in events})
            # Answers and verdicts are never set aside: their reminders ask anew.
            retried = [e.payment_id for e in events if not isinstance(e, Answered | Screened)]
            [row] = await connection.fetch(_ABOUT, subjects, retried)
        case Waiting(items_max=items_max, accounts_max=accounts_max, mail_only=mail_only):
            [row] = await connection.fetch(_WAITING, items_max, accounts_max, mail_only)
            events, refused = events_from(row["arrivals"])
        case Overdue(bank=bank, items_max=items_max):
            [row] = await connection.fetch(_OVERDUE, bank, items_max)
            events, refused = events_from(row["arrivals"])
    seen = Snapshot(
        now=row["taken_at"],
        events=events,
        accounts=accounts_from(row["accounts"]),
        payments=payments_from(row["payments"]),
    )
    asked = [event.refund_id for event in events if isinstance(event, RefundAsked)]
    if asked:
        owners = await connection.fetch(_REFUND_OWNERS, asked)
        seen.refund_owners = {owner["refund_id"]: owner["payment_id"] for owner in owners}
    return seen, refused

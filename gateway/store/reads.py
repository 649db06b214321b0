"""What merchants read of their payments: calls of the functions that row-level security holds for.

Each call is one statement, in whose transaction the merchant is set: one round trip. What is another
merchant's is not there, in by-id reads, lists and cursors alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from gateway.errors import NotFound
from gateway.store.record import connected

EVENT_AGE_MAX = timedelta(days=90)  # A merchant that was away longer reads the payments themselves.

_FOREIGN_CURSOR = "CM404"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which part of a list: newest first after an item, or before one, then oldest first from it.

    Attributes:
        rows_max: one more than is shown, so that it is known whether there are more.
    """

    after: str | None = None
    before: str | None = None
    rows_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """Which payments; times are inclusive."""

    reference: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Reads:
    """The reads through one pool. Every call raises `CellUnavailable` while the record is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def payment(self, merchant_id: str, payment_id: str) -> asyncpg.Record | None:
        """Return a payment as `payments.payment_shown` has it."""
        rows = await self.rows("select * from payments.find_payment($1, $2)", merchant_id, payment_id)
        return rows[0] if rows else None

    async def payments(self, merchant_id: str, wanted: PaymentFilter, part: Slice) -> list[asyncpg.Record]:
        """Return a part of the merchant's payments.

        Raises:
            NotFound: the item that the part begins at is not theirs.
        """
        return await self.rows(
            "select * from payments.list_payments($1, $2, $3, $4, $5, $6, $7, $8)",
            merchant_id, wanted.reference, wanted.status, wanted.since, wanted.until, part.after, part.before,
            part.rows_max,
        )  # fmt: skip

    async def story(self, merchant_id: str, payment_id: str) -> list[asyncpg.Record]:
        """Return a payment's events in order; none if it is not theirs."""
        return await self.rows("select * from payments.events_of($1, $2)", merchant_id, payment_id)

    async def attempts(self, merchant_id: str, payment_id: str) -> list[asyncpg.Record]:
        """Return what was tried at banks, oldest first; none if there is nothing or it is not theirs."""
        return await self.rows("select * from payments.attempts_of($1, $2)", merchant_id, payment_id)

    async def refunds(
        self, merchant_id: str, part: Slice, *, refund_id: str | None = None, payment_id: str | None = None
    ) -> list[asyncpg.Record]:
        """Return a part of the merchant's refunds: all, one, or those of a payment.

        Raises:
            NotFound: as for `payments`.
        """
        return await self.rows(
            "select * from payments.list_refunds($1, $2, $3, $4, $5, $6)",
            merchant_id, refund_id, payment_id, part.after, part.before, part.rows_max,
        )  # fmt: skip

    async def disputes(
        self, merchant_id: str, part: Slice, *, dispute_id: str | None = None, payment_id: str | None = None
    ) -> list[asyncpg.Record]:
        """Return a part of the merchant's disputes: all, one, or those of a payment.

        Raises:
            NotFound: as for `payments`.
        """
        return await self.rows(
            "select * from payments.list_disputes($1, $2, $3, $4, $5, $6)",
            merchant_id, dispute_id, payment_id, part.after, part.before, part.rows_max,
        )  # fmt: skip

    async def balances(self, merchant_id: str, account_id: str | None = None) -> list[asyncpg.Record]:
        """Return the merchant's accounts with their balances, or one of them."""
        return await self.rows("select * from payments.balances_of($1, $2)", merchant_id, account_id)

    async def events(
        self,
        merchant_id: str,
        *,
        kind: str | None,
        mark: tuple[str, int] | None,
        backwards: bool,
        rows_max: int,
    ) -> list[asyncpg.Record]:
        """Return events of all payments: newest first after a mark, or oldest first from it.

        Args:
            merchant_id: whose.
            kind: of this type alone.
            mark: payment id and sequence of an event.
            backwards: oldest first.
            rows_max: as in `Slice`.

        Raises:
            NotFound: the mark is not theirs.
        """
        payment_id, sequence = mark or (None, None)
        return await self.rows(
            "select * from payments.list_events($1, $2, $3, $4, $5, $6, $7)",
            merchant_id, kind, EVENT_AGE_MAX, payment_id, sequence, backwards, rows_max,
        )  # fmt: skip

    async def event(self, merchant_id: str, payment_id: str, sequence: int) -> asyncpg.Record | None:
        """Return one event; None if it is too old or not theirs."""
        rows = await self.rows(
            "select * from payments.find_event($1, $2, $3, $4)",
            merchant_id, payment_id, sequence, EVENT_AGE_MAX,
        )  # fmt: skip
        return rows[0] if rows else None

    async def resting(self, pairs: Collection[tuple[str, str]]) -> set[str]:
        """Return those payments among (merchant, payment) that ended or wait for their merchant."""
        rows = await self.rows(
            "select payments.resting($1::text[], $2::text[])",
            [merchant_id for merchant_id, _ in pairs],
            [payment_id for _, payment_id in pairs],
        )
        return {row[0] for row in rows}

    async def rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Return the rows of one statement about one merchant.

        Raises:
            NotFound: as for `payments`.
        """
        async with connected(self._pool) as connection:
            try:
                rows: Sequence[asyncpg.Record] = await connection.fetch(statement, *arguments)
            except asyncpg.PostgresError as fault:
                if fault.sqlstate == _FOREIGN_CURSOR:
                    raise NotFound(fault.args[0]) from None
                raise
        return list(rows)

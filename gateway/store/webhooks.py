"""What merchants read of their webhook endpoints and deliveries: see `reads`."""

from __future__ import annotations

import asyncpg

from gateway.store.reads import Reads, Slice

_ONE = Slice(rows_max=1)


class WebhookReads:
    """The reads; every call raises `CellUnavailable` while the record is away.

    Args:
        reads: asks the record.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> asyncpg.Record | None:
        """Return an endpoint; None if it is not theirs, or deleted."""
        rows = await self.endpoints(merchant_id, _ONE, endpoint_id=endpoint_id)
        return rows[0] if rows else None

    async def endpoints(
        self, merchant_id: str, part: Slice, *, endpoint_id: str | None = None
    ) -> list[asyncpg.Record]:
        """Return a part of the merchant's endpoints, or one.

        Raises:
            NotFound: the endpoint that the part begins at is not theirs.
        """
        return await self._reads.rows(
            "select * from notifications.endpoints_of($1, $2, $3, $4, $5)",
            merchant_id, endpoint_id, part.after, part.before, part.rows_max,
        )  # fmt: skip

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, state: str | None, part: Slice
    ) -> list[asyncpg.Record]:
        """Return a part of an endpoint's deliveries: all, or those in a state.

        Raises:
            NotFound: the delivery that the part begins at is not this endpoint's.
        """
        return await self._deliveries(merchant_id, None, endpoint_id, state, part)

    async def delivery(self, merchant_id: str, delivery_id: str) -> asyncpg.Record | None:
        """Return a delivery; None if it is not theirs."""
        rows = await self._deliveries(merchant_id, delivery_id, None, None, _ONE)
        return rows[0] if rows else None

    async def attempts(self, merchant_id: str, delivery_id: str) -> list[asyncpg.Record]:
        """Return the last hundred attempts of a delivery, oldest first."""
        return await self._reads.rows(
            "select * from notifications.attempts_of($1, $2)", merchant_id, delivery_id
        )

    async def _deliveries(
        self, merchant_id: str, of_id: str | None, of_endpoint: str | None, state: str | None, part: Slice
    ) -> list[asyncpg.Record]:
        return await self._reads.rows(
            "select * from notifications.list_deliveries($1, $2, $3, $4, $5, $6, $7)",
            merchant_id, of_id, of_endpoint, state, part.after, part.before, part.rows_max,
        )  # fmt: skip

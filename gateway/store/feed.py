"""A merchant's feed of events: see services/payments/schema/0025_following.sql for why it misses none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from gateway.store.feed_place import FeedPlace, Horizon
from gateway.store.reads import EVENT_AGE_MAX, Reads

# One look of a loop that looks ten times a second: 10,000 events a second, far more than a cell has.
TOLD_ROWS_MAX = 1_000
_NOWHERE = datetime(1970, 1, 1, tzinfo=UTC)

_FOLLOW = """
select h.xid as horizon_xid, h.at as horizon_at, e.*
from payments.horizon() h left join lateral payments.follow_events(
    $1, $2::xid8, least(coalesce($3::xid8, h.xid), h.xid), greatest($4::timestamptz, h.at - $5::interval),
    $6, $7, $8, $9) e on true
order by e.at, e.payment_id, e.sequence
"""


class FeedReads:
    """The reads; every call raises `CellUnavailable` while the record is away.

    Args:
        reads: asks the record.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def horizon(self) -> Horizon:
        """Return where the record is now."""
        (row,) = await self._reads.rows("select * from payments.horizon()")
        return Horizon(row["xid"], row["at"])

    async def follow(
        self, merchant_id: str, place: FeedPlace, rows_max: int
    ) -> tuple[Horizon, list[asyncpg.Record]]:
        """Return where the record is, and what comes next in a merchant's feed, oldest first.

        Args:
            merchant_id: whose.
            place: where to go on.
            rows_max: one more than is shown.
        """
        mark = place.mark
        rows = await self._reads.rows(
            _FOLLOW,
            merchant_id,
            place.begin.xid,
            None if place.end is None else place.end.xid,
            place.oldest,
            EVENT_AGE_MAX,
            _NOWHERE if mark is None else mark.at,
            "" if mark is None else mark.payment_id,
            0 if mark is None else mark.sequence,
            rows_max,
        )
        horizon = Horizon(rows[0]["horizon_xid"], rows[0]["horizon_at"])
        return horizon, [row for row in rows if row["payment_id"] is not None]

    async def told_after(self, place: tuple[int, int] | None) -> tuple[tuple[int, int], frozenset[str]]:
        """Return where the outbox ends now, and whose events came after a place.

        Args:
            place: transaction, and place within it; None to learn where the outbox ends.
        """
        if place is None:
            return ((await self.horizon()).xid, 0), frozenset()
        rows: Sequence[asyncpg.Record] = await self._reads.rows(
            "select * from payments.told_after($1::xid8, $2, $3)", *place, TOLD_ROWS_MAX
        )
        if not rows:
            return place, frozenset()
        return (rows[-1]["xid"], rows[-1]["position"]), frozenset(row["merchant_id"] for row in rows)

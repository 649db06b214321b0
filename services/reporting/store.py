"""Counts of facts, in PostgreSQL: each fact once, however often it comes.

Rows that were counted are remembered for 30 days; what is older than that when it comes is taken for a
repeat, which is what a bus that was wiped brings. A subscriber that was away for longer misses some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.reporting.facts import Fact

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

REMEMBERED_DAYS = 30
PRUNED_ROWS_MAX = 10_000  # One statement of some tens of milliseconds.

# Both are ordered, so that two processes that count the same facts wait for each other and never in a circle.
_REMEMBER = """
insert into reporting.counted (xid, position, hour)
select distinct on (g.xid, g.position) g.xid, g.position, g.hour
from unnest($1::xid8[], $2::bigint[], $3::timestamptz[]) as g (xid, position, hour)
where g.hour >= now() - $4 * interval '1 day'
order by g.xid, g.position
on conflict do nothing
returning xid::text || '.' || position as row
"""
_COUNT = """
insert into reporting.tally as t (hour, type, kind, currency, band, decline_code, facts)
select g.hour, g.type, g.kind, g.currency, g.band, g.decline_code, g.facts
from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::bigint[])
    as g (hour, type, kind, currency, band, decline_code, facts)
order by 1, 2, 3, 4, 5, 6
on conflict (hour, type, kind, currency, band, decline_code) do update set facts = t.facts + excluded.facts
"""
# A day beyond what is counted: no fact is forgotten while it could still be counted.
_PRUNE = """
delete from reporting.counted where (xid, position) in (
    select xid, position from reporting.counted where hour < now() - ($1 + 1) * interval '1 day' limit $2)
"""


async def count_facts(pool: Pool, facts: Sequence[Fact]) -> None:
    """Count what was not counted yet, in one transaction.

    Args:
        pool: Connections of the role `reporting`.
        facts: In any order, also some that were counted before.
    """
    by_row = {fact.row: fact for fact in facts}
    places = [fact.place for fact in by_row.values()]
    async with pool.acquire() as connection, connection.transaction():
        fresh = await connection.fetch(
            _REMEMBER,
            [xid for xid, _ in places],
            [position for _, position in places],
            [fact.hour for fact in by_row.values()],
            float(REMEMBERED_DAYS),
        )
        groups = Counter(_group_of(by_row[row["row"]]) for row in fresh)
        if groups:
            await connection.execute(_COUNT, *zip(*groups, strict=True), list(groups.values()))


def _group_of(fact: Fact) -> tuple[datetime, str, str, str, int, str]:
    return fact.hour, fact.type, fact.kind, fact.currency, fact.band, fact.decline_code or ""


async def prune(pool: Pool) -> int:
    """Forget rows that cannot come again but as repeats; return how many, at most `PRUNED_ROWS_MAX`."""
    done = await pool.execute(_PRUNE, float(REMEMBERED_DAYS), PRUNED_ROWS_MAX)
    return int(done.rpartition(" ")[2])

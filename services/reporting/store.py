"""Counts of facts, in PostgreSQL: each fact once, however often it comes.

Rows that were counted are remembered for 30 days; what is older than that when it comes is taken for a
repeat, which is what a bus that was wiped brings. A subscriber that was away for longer misses some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg

from services.reporting.facts import Fact

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

REMEMBERED_DAYS = 30
PRUNED_ROWS_MAX = 10_000  # One statement of some tens of milliseconds.

# Ordered, so that two processes that count the same facts wait for each other and never in a circle.
_COUNT = """
with given as (
    select * from unnest($1::xid8[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
                         $7::smallint[], $8::text[])
        as g (xid, position, hour, type, kind, currency, band, decline_code)
), fresh as (
    insert into reporting.counted (xid, position, hour)
    select distinct on (g.xid, g.position) g.xid, g.position, g.hour from given g
    where g.hour >= now() - $9 * interval '1 day'
    order by g.xid, g.position
    on conflict do nothing
    returning xid, position
)
insert into reporting.tally as t (hour, type, kind, currency, band, decline_code, facts)
select g.hour, g.type, g.kind, g.currency, g.band, g.decline_code, count(distinct (g.xid, g.position))
from given g join fresh using (xid, position)
group by 1, 2, 3, 4, 5, 6
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
    places = [fact.place for fact in facts]
    await pool.execute(
        _COUNT,
        [xid for xid, _ in places],
        [position for _, position in places],
        [fact.hour for fact in facts],
        [fact.type for fact in facts],
        [fact.kind for fact in facts],
        [fact.currency for fact in facts],
        [fact.band for fact in facts],
        [fact.decline_code or "" for fact in facts],
        float(REMEMBERED_DAYS),
    )


async def prune(pool: Pool) -> int:
    """Forget rows that cannot come again but as repeats; return how many, at most `PRUNED_ROWS_MAX`."""
    done = await pool.execute(_PRUNE, float(REMEMBERED_DAYS), PRUNED_ROWS_MAX)
    return int(done.rpartition(" ")[2])

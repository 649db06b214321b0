"""When an endpoint that fails is left in peace: kept in PostgreSQL, for all processes alike.

Ten failures in a row open a breaker: nothing is sent for five minutes, then a single delivery as a probe. A
probe that fails doubles the pause, up to an hour, and one that arrives closes the breaker. No attempt of a
delivery's schedule is spent meanwhile. After five days of failures the endpoint is disabled, and its merchant
enables it again. Source: Standard Webhooks 1.0.0, "Deliverability and reliability"; numbers as Formance has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.notifications.schedule import Delivered, EndpointGone, Verdict

if TYPE_CHECKING:
    import asyncpg

# A receiver that restarts fails a few times; one that is down fails every time.
FAILURES_MAX = 10
OPEN_S_MIN = 300
OPEN_S_MAX = 3600
# Longer than a delivery's own schedule: everything that was owed when it began has been given up by then.
FAILING_S_MAX = 5 * 86_400
_DOUBLINGS_MAX = 10  # Beyond it the longest pause applies; keeps the power small.

# Endpoints in their order, so that two processes wait for each other and never in a circle.
_HEAL = """
delete from notifications.breaker where endpoint_id in (
    select endpoint_id from notifications.breaker where endpoint_id = any ($1::text[])
    order by endpoint_id for update)
"""
# Failures of what was under way when it opened count, and open nothing a second time.
_FAIL = f"""
insert into notifications.breaker as b (endpoint_id, failures, openings, open_until)
select endpoint_id, failures, (failures >= {FAILURES_MAX})::int,
       case when failures >= {FAILURES_MAX} then now() + {OPEN_S_MIN} * interval '1 second' end
from unnest($1::text[], $2::int[]) as f (endpoint_id, failures) order by endpoint_id
on conflict (endpoint_id) do update set
    failures = b.failures + excluded.failures,
    openings = case
        when b.openings > 0 then b.openings + b.probing::int
        else (b.failures + excluded.failures >= {FAILURES_MAX})::int end,
    open_until = case
        when b.probing then now() + interval '1 second'
            * least({OPEN_S_MAX}, {OPEN_S_MIN} * 2 ^ least(b.openings, {_DOUBLINGS_MAX}))
        when b.openings > 0 then b.open_until
        when b.failures + excluded.failures >= {FAILURES_MAX} then now() + {OPEN_S_MIN} * interval '1 second'
    end,
    probing = false
returning endpoint_id, failing_since < now() - {FAILING_S_MAX} * interval '1 second' as is_hopeless
"""  # noqa: S608 - constants


def count_failures(verdicts: Sequence[tuple[str, Verdict]]) -> Counter[str]:
    """Return how often each endpoint failed; one success in a batch is worth more than its failures.

    Args:
        verdicts: Endpoint ids, and what came of one delivery to each. What is gone has no breaker.
    """
    well = {endpoint_id for endpoint_id, verdict in verdicts if isinstance(verdict, Delivered)}
    return Counter(
        endpoint_id
        for endpoint_id, verdict in verdicts
        if endpoint_id not in well and not isinstance(verdict, EndpointGone | Delivered)
    )


async def heal(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], endpoint_ids: Sequence[str]
) -> None:
    """Close the breakers of endpoints that took something."""
    await connection.execute(_HEAL, endpoint_ids)


async def fail(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], failures: Counter[str]
) -> list[str]:
    """Count failures, open what has too many; return the endpoints that nobody need try any more."""
    rows = await connection.fetch(_FAIL, list(failures), list(failures.values()))
    return [row["endpoint_id"] for row in rows if row["is_hopeless"]]

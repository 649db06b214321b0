"""What is owed to whom, in PostgreSQL: insert from the bus, claim what is due, record what came of it.

Promises: an event is stored once per endpoint however often it arrives; a claim is a lease that ends by
itself; what was recorded as delivered is not claimed again. Each function is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from services.notifications.events import Event
from services.notifications.schedule import (
    Answered,
    Attempt,
    Dead,
    Delivered,
    EndpointGone,
    Retry,
    Unanswered,
    Verdict,
)

# Longer than one attempt (15 s, and 1 s for the rest of an answer) and its recording. A crash delays what was
# under way for this long.
LEASE_S = 25.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One claimed delivery; `claim` tells this claim from earlier and later ones."""

    endpoint_id: str
    url: str
    payment_id: str
    sequence: int
    event_id: str
    body: bytes
    claim: int
    attempts: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one claimed delivery."""

    delivery: Delivery
    attempt: Attempt
    verdict: Verdict
    duration_ms: int


# FOR SHARE waits for a disabling that is under way: no delivery is added behind its back. What a disabled
# endpoint misses is kept as dead, so that reviving it brings that, too. An endpoint owes nothing of the time
# before it existed, which a wiped bus tells again; the minute allows for clocks of different hosts.
# Ordered, so that two processes that insert the same events wait for each other and never in a circle.
_INSERT = """
with event as (
    select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::bytea[], $6::timestamptz[])
        as e (merchant_id, payment_id, sequence, event_id, body, at)
), endpoint as (
    select id, merchant_id, status, added_at from notifications.endpoint
    where merchant_id = any ($1::text[]) order by id for share
)
insert into notifications.delivery (endpoint_id, payment_id, sequence, event_id, body, state, due, last_error)
select endpoint.id, payment_id, sequence, event_id, body,
       case status when 'active' then 'pending' else 'dead' end,
       case status when 'active' then now() end,
       case status when 'active' then null else 'endpoint-gone' end
from event join endpoint using (merchant_id)
where event.at > endpoint.added_at - interval '1 minute'
order by endpoint.id, payment_id, sequence
on conflict do nothing
"""

# The recursion hops from endpoint to endpoint through the index, so that one with a huge backlog neither
# hides the others nor costs more than they do. `$3`, `$4`: endpoints that are being sent to, and how often.
_CLAIM = """
with recursive owed as (
    (select endpoint_id from notifications.delivery where state = 'pending' order by endpoint_id limit 1)
    union all
    select (select d.endpoint_id from notifications.delivery d
            where d.state = 'pending' and d.endpoint_id > owed.endpoint_id order by d.endpoint_id limit 1)
    from owed where owed.endpoint_id is not null
), busy as (
    select * from unnest($3::text[], $4::integer[]) as b (endpoint_id, under_way)
), chosen as materialized (
    select owed.endpoint_id, $2 - coalesce(busy.under_way, 0) as places
    from owed left join busy using (endpoint_id)
    where coalesce(busy.under_way, 0) < $2 and exists (
        select from notifications.delivery d
        where d.endpoint_id = owed.endpoint_id and d.state = 'pending' and d.due <= now())
    order by random() limit $1
), picked as materialized (
    select d.* from chosen cross join lateral (
        select endpoint_id, payment_id, sequence from notifications.delivery
        where endpoint_id = chosen.endpoint_id and state = 'pending' and due <= now()
        order by due limit chosen.places
        for update skip locked
    ) d
    limit $1
)
update notifications.delivery d
set due = now() + $5 * interval '1 second', claim = d.claim + 1
from picked p join notifications.endpoint e on e.id = p.endpoint_id
where (d.endpoint_id, d.payment_id, d.sequence) = (p.endpoint_id, p.payment_id, p.sequence)
returning d.endpoint_id, e.url, d.payment_id, d.sequence, d.event_id, d.body, d.claim, d.attempts, d.refusals
"""

# An acknowledgement counts whenever it arrives; any other result only while its claim is the newest.
_RECORD = """
with outcome as (
    select * from unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::text[], $6::integer[],
                         $7::text[], $8::float8[], $9::boolean[])
        as o (endpoint_id, payment_id, sequence, claim, verdict, status, error, after_s, refused)
), locked as materialized (
    select d.endpoint_id, d.payment_id, d.sequence from notifications.delivery d
    join outcome o using (endpoint_id, payment_id, sequence)
    order by d.endpoint_id, d.payment_id, d.sequence for update of d
)
update notifications.delivery d set
    state = case o.verdict when 'delivered' then 'delivered' when 'retry' then 'pending' else 'dead' end,
    due = case when o.verdict = 'retry' then now() + o.after_s * interval '1 second' end,
    attempts = d.attempts + 1,
    refusals = d.refusals + o.refused::integer,
    last_status = o.status,
    last_error = o.error,
    delivered_at = case when o.verdict = 'delivered' then now() end
from outcome o join locked using (endpoint_id, payment_id, sequence)
where (d.endpoint_id, d.payment_id, d.sequence) = (o.endpoint_id, o.payment_id, o.sequence)
  and (o.verdict = 'delivered' and d.state <> 'delivered' or d.state = 'pending' and d.claim = o.claim)
"""

_LOG = """
insert into notifications.delivery_attempt
    (endpoint_id, payment_id, sequence, claim, duration_ms, status, error, verdict)
select * from unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::integer[], $6::integer[],
                     $7::text[], $8::text[])
on conflict do nothing
"""

_DISABLE = "update notifications.endpoint set status = 'disabled' where id = any ($1::text[])"
_GIVE_UP = """
update notifications.delivery set state = 'dead', due = null, last_error = 'endpoint-gone'
where endpoint_id = any ($1::text[]) and state = 'pending'
"""


async def insert_events(pool: Pool, events: Sequence[Event]) -> int:
    """Store the events for every endpoint of their merchants; return how many deliveries are new."""
    status = await pool.execute(
        _INSERT,
        [event.merchant_id for event in events],
        [event.payment_id for event in events],
        [event.sequence for event in events],
        [event.event_id for event in events],
        [event.body for event in events],
        [event.at for event in events],
    )
    return int(status.rpartition(" ")[2])


async def claim_due(
    pool: Pool, *, count_max: int, endpoint_max: int, under_way: dict[str, int], lease_s: float = LEASE_S
) -> list[Delivery]:
    """Lease up to `count_max` due deliveries, so that no endpoint has more than `endpoint_max` here.

    Args:
        pool: Connections of the role `notifications`.
        count_max: Free places of the caller.
        endpoint_max: Bound per endpoint, those under way included.
        under_way: Endpoint id to the number of its deliveries that the caller is sending now.
        lease_s: Seconds after which another claim may take what was not recorded.
    """
    rows = await pool.fetch(
        _CLAIM, count_max, endpoint_max, list(under_way), list(under_way.values()), lease_s
    )
    return [Delivery(**dict(row)) for row in rows]


async def record_outcomes(pool: Pool, outcomes: Sequence[Outcome]) -> None:
    """Store results, append them to the log of attempts, disable gone endpoints with all they were owed."""
    gone = sorted({o.delivery.endpoint_id for o in outcomes if isinstance(o.verdict, EndpointGone)})
    keys = (
        [o.delivery.endpoint_id for o in outcomes],
        [o.delivery.payment_id for o in outcomes],
        [o.delivery.sequence for o in outcomes],
        [o.delivery.claim for o in outcomes],
    )
    words = [_word(o.verdict) for o in outcomes]
    statuses = [o.attempt.status if isinstance(o.attempt, Answered) else None for o in outcomes]
    errors = [o.attempt.reason if isinstance(o.attempt, Unanswered) else None for o in outcomes]
    waits_s = [o.verdict.after_s if isinstance(o.verdict, Retry) else None for o in outcomes]
    refused = [isinstance(o.verdict, Retry) and o.verdict.refused for o in outcomes]
    durations_ms = [o.duration_ms for o in outcomes]
    async with pool.acquire() as connection, connection.transaction():
        if gone:  # Endpoints before deliveries, as everywhere: two transactions never wait in a circle.
            await connection.execute(_DISABLE, gone)
        await connection.execute(_RECORD, *keys, words, statuses, errors, waits_s, refused)
        await connection.execute(_LOG, *keys, durations_ms, statuses, errors, words)
        if gone:
            await connection.execute(_GIVE_UP, gone)


def _word(verdict: Verdict) -> str:
    match verdict:
        case Delivered():
            return "delivered"
        case Retry():
            return "retry"
        case Dead():
            return "dead"
        case EndpointGone():
            return "gone"

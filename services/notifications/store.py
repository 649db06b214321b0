"""What is owed to whom, in PostgreSQL: claim what is due, record what came of it; `intake` inserts it.

Promises: a claim is a lease that ends by itself; what was recorded as delivered is not claimed again. Each
function is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from services.notifications.breaker import count_failures, fail, heal
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
    """One claimed delivery; `claim` tells this claim from earlier and later ones.

    Attributes:
        id: Its public name, and the one key by which nothing but its own index finds it.
        sealed: The endpoint's secrets that are good now, each with its generation, the newest first.
        failing: Whether its endpoint has a breaker, which a success closes.
        in_line: Whether later events of its payment wait until it has ended.
    """

    id: str
    endpoint_id: str
    url: str
    payment_id: str
    sequence: int
    event_id: str
    body: bytes
    claim: int
    attempts: int
    refusals: int
    sealed: tuple[tuple[int, bytes], ...] = ()
    failing: bool = False
    in_line: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one claimed delivery."""

    delivery: Delivery
    attempt: Attempt
    verdict: Verdict
    duration_ms: int


# The secrets of `d`'s endpoint that are good now, for a list of columns.
GOOD_SECRETS = """
    array(select s.generation from notifications.endpoint_secret s
          where s.endpoint_id = d.endpoint_id and (s.expires_at is null or s.expires_at > now())
          order by s.generation desc) as generations,
    array(select s.sealed from notifications.endpoint_secret s
          where s.endpoint_id = d.endpoint_id and (s.expires_at is null or s.expires_at > now())
          order by s.generation desc) as sealed
"""

# The recursion hops from endpoint to endpoint through the index, to what is due first at each, so that one
# with a huge backlog neither hides the others nor costs more than they do. `$3`, `$4`: endpoints that are
# being sent to, and how often.
CLAIM = f"""
with recursive owed as (
    (select endpoint_id, due from notifications.delivery where state = 'pending'
     order by endpoint_id, due limit 1)
    union all
    select next.* from owed cross join lateral (
        select d.endpoint_id, d.due from notifications.delivery d
        where d.state = 'pending' and d.endpoint_id > owed.endpoint_id
        order by d.endpoint_id, d.due limit 1) next
), busy as (
    select * from unnest($3::text[], $4::integer[]) as b (endpoint_id, under_way)
), chosen as materialized (
    select owed.endpoint_id, b.endpoint_id is not null as is_probe,
           case when b.endpoint_id is null then $2 - coalesce(busy.under_way, 0) else 1 end as places
    from owed left join busy using (endpoint_id)
    left join notifications.breaker b on b.endpoint_id = owed.endpoint_id and b.openings > 0
    where case when b.endpoint_id is null then coalesce(busy.under_way, 0) < $2 else b.open_until <= now() end
      and owed.due <= now()
    order by random() limit $1
), probing as (
    -- One probe, of whoever comes first: the other one finds the breaker open again.
    update notifications.breaker b set probing = true, open_until = now() + $5 * interval '1 second'
    where b.endpoint_id in (select c.endpoint_id from chosen c where c.is_probe) and b.open_until <= now()
    returning b.endpoint_id
), allowed as (
    -- Probes first: a breaker whose probe finds no place would wait for another lease.
    select c.* from chosen c join probing using (endpoint_id)
    union all
    select c.* from chosen c where not c.is_probe
), picked as materialized (
    select d.* from allowed as chosen cross join lateral (
        select id, endpoint_id from notifications.delivery
        where endpoint_id = chosen.endpoint_id and state = 'pending' and due <= now()
        order by due limit chosen.places
        for update skip locked
    ) d
    limit $1
)
update notifications.delivery d
set due = now() + $5 * interval '1 second', claim = d.claim + 1
from picked p join notifications.endpoint e on e.id = p.endpoint_id
where d.id = p.id
returning d.id, d.endpoint_id, e.url, d.payment_id, d.sequence, d.event_id, d.body, d.claim, d.attempts,
    d.refusals, d.in_line,
    exists (select from notifications.breaker b where b.endpoint_id = d.endpoint_id) as failing,
    {GOOD_SECRETS}
"""  # noqa: S608 - constant columns

# An acknowledgement counts whenever it arrives; any other result only while its claim is the newest.
RECORD = """
with outcome as (
    select * from unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::float8[],
                         $7::boolean[], $8::integer[])
        as o (id, claim, verdict, status, error, after_s, refused, duration_ms)
), locked as materialized (
    select d.id, d.endpoint_id, d.payment_id, d.sequence
    from notifications.delivery d join outcome o using (id)
    -- What waits changes by an acknowledgement alone. Whoever lets the next of a line go passes over what is
    -- locked, so nothing may be locked that is then left as it is.
    where d.state <> 'waiting' or o.verdict = 'delivered'
    order by d.endpoint_id, d.payment_id, d.sequence for update of d
), logged as (
    insert into notifications.delivery_attempt
        (endpoint_id, payment_id, sequence, claim, duration_ms, status, error, verdict)
    select l.endpoint_id, l.payment_id, l.sequence, o.claim, o.duration_ms, o.status, o.error, o.verdict
    from outcome o join notifications.delivery l using (id)
    on conflict do nothing
)
update notifications.delivery d set
    state = case o.verdict when 'delivered' then 'delivered' when 'retry' then 'pending' else 'dead' end,
    due = case when o.verdict = 'retry' then now() + o.after_s * interval '1 second' end,
    attempts = d.attempts + 1,
    refusals = d.refusals + o.refused::integer,
    last_status = o.status,
    last_error = o.error,
    delivered_at = case when o.verdict = 'delivered' then now() end
from outcome o join locked l using (id)
where d.id = l.id
  and (o.verdict = 'delivered' and d.state <> 'delivered' or d.state = 'pending' and d.claim = o.claim)
"""

_DISABLE = """
update notifications.endpoint set status = 'disabled', version = version + 1, updated_at = now()
where id = any ($1::text[]) and status = 'active'
"""
# Out of line, so that the end of one lets no other go; what waits has an index of its own.
_GIVE_UP = """
update notifications.delivery
set state = 'dead', due = null, in_line = false, last_error = 'endpoint-gone'
where endpoint_id = any ($1::text[]) and state =
"""
_LOCK_LINES = """
select notifications.lock_lines(of_endpoint)
from (select unnest($1::text[]) as of_endpoint order by 1) e
"""


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
        CLAIM, count_max, endpoint_max, list(under_way), list(under_way.values()), lease_s
    )
    return [delivery_of(dict(row)) for row in rows]


def delivery_of(row: dict[str, Any]) -> Delivery:
    """Return a delivery; `row` has its members, the secrets in the columns of `GOOD_SECRETS`."""
    generations, sealed = row.pop("generations"), row.pop("sealed")
    return Delivery(**row, sealed=tuple(zip(generations, sealed, strict=True)))


async def record_outcomes(pool: Pool, outcomes: Sequence[Outcome]) -> None:
    """Store results, append them to the log of attempts, disable gone endpoints with all they were owed."""
    gone = sorted({o.delivery.endpoint_id for o in outcomes if isinstance(o.verdict, EndpointGone)})
    well = sorted(
        {o.delivery.endpoint_id for o in outcomes if isinstance(o.verdict, Delivered) and o.delivery.failing}
    )
    failed = count_failures([(o.delivery.endpoint_id, o.verdict) for o in outcomes])
    ids = [o.delivery.id for o in outcomes]
    claims = [o.delivery.claim for o in outcomes]
    words = [_word(o.verdict) for o in outcomes]
    statuses = [o.attempt.status if isinstance(o.attempt, Answered) else None for o in outcomes]
    errors = [o.attempt.reason if isinstance(o.attempt, Unanswered) else None for o in outcomes]
    waits_s = [o.verdict.after_s if isinstance(o.verdict, Retry) else None for o in outcomes]
    refused = [isinstance(o.verdict, Retry) and o.verdict.refused for o in outcomes]
    durations_ms = [o.duration_ms for o in outcomes]
    columns = (ids, claims, words, statuses, errors, waits_s, refused, durations_ms)
    lined = {
        o.delivery.endpoint_id for o in outcomes if o.delivery.in_line and not isinstance(o.verdict, Retry)
    }
    if not (gone or well or failed or lined):
        await pool.execute(RECORD, *columns)
        return
    async with pool.acquire() as connection, connection.transaction():
        # Breakers, endpoints, lines, deliveries, as everywhere: two transactions never wait in a circle.
        if well:
            await heal(connection, well)
        if failed:
            gone = sorted({*gone, *await fail(connection, failed)})
        if gone:
            await connection.execute(_DISABLE, gone)
        if gone or lined:
            await connection.execute(_LOCK_LINES, sorted({*gone, *lined}))
        await connection.execute(RECORD, *columns)
        if gone:
            await connection.execute(_GIVE_UP + "'waiting'", gone)
            await connection.execute(_GIVE_UP + "'pending'", gone)


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

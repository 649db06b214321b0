"""Events become deliveries: stored for each endpoint that asked for them, begun at once where there is room.

Promises: an event is stored once per endpoint however often it arrives; what is begun at once is claimed in
the same transaction, by the same lease as any other claim. On a day without trouble each delivery is written
twice, when it is stored and when it is done, and nobody searches for it in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.notifications.events import Event
from services.notifications.store import GOOD_SECRETS, LEASE_S, Delivery, Pool, delivery_of

# FOR SHARE waits for a disabling that is under way: no delivery is added behind its back. What a disabled
# endpoint misses is kept as dead, so that reviving it brings that, too. An endpoint owes nothing of the time
# before it existed, which a wiped bus tells again; the minute allows for clocks of different hosts.
# Ordered, so that two processes that insert the same events wait for each other and never in a circle.
# `$8`, `$9`: places of the caller and of each endpoint; `$10`, `$11`: endpoints that are being sent to, and
# how often; `$12`: those that have older deliveries waiting, which come first; `$13`: the lease. Places go
# round the endpoints, so that one with many events leaves some to the others. What goes to an endpoint in the
# order of each payment is stored as waiting, and a trigger lets the first of each line go (schema/0007).
INSERT = f"""
with event as (
    select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::bytea[], $6::timestamptz[],
                         $7::text[])
        as e (merchant_id, payment_id, sequence, event_id, body, at, type)
), endpoint as (
    select id, url, merchant_id, status, added_at, events, ordering from notifications.endpoint
    where merchant_id = any ($1::text[]) and status <> 'deleted' order by id for share
), lined as materialized (
    -- Locked in their order, before any trigger needs one of them.
    select o.id as endpoint_id, notifications.lock_lines(o.id)
    from (select id from endpoint where ordering = 'per_payment' order by id) o
), busy as (
    select * from unnest($10::text[], $11::integer[]) as b (endpoint_id, under_way)
), owed as (
    select endpoint.id as endpoint_id, status, payment_id, sequence, event_id, body,
           status = 'active' and lined.endpoint_id is not null as in_line,
           coalesce(busy.under_way, 0)
               + row_number() over (partition by endpoint.id order by payment_id, sequence) as place
    from event join endpoint using (merchant_id) left join busy on busy.endpoint_id = endpoint.id
        left join lined on lined.endpoint_id = endpoint.id
    where event.at > endpoint.added_at - interval '1 minute'
      and (endpoint.events @> '{{*}}' or event.type = any (endpoint.events))
), passed_over as (
    insert into notifications.passed_over (endpoint_id, payment_id, sequence)
    select endpoint.id, payment_id, sequence
    from event join endpoint using (merchant_id) join lined on lined.endpoint_id = endpoint.id
    where event.at > endpoint.added_at - interval '1 minute'
      and not (endpoint.events @> '{{*}}' or event.type = any (endpoint.events))
    order by endpoint.id, payment_id, sequence
    on conflict do nothing
), able as (
    select owed.*, status = 'active' and not in_line and place <= $9 and not endpoint_id = any ($12::text[])
        and not exists (select from notifications.breaker b
                        where b.endpoint_id = owed.endpoint_id and b.openings > 0) as is_able
    from owed
), placed as (
    select able.*, is_able and row_number() over (order by is_able desc, place, endpoint_id) <= $8 as begins
    from able
), d as (
    insert into notifications.delivery
        (endpoint_id, payment_id, sequence, event_id, body, in_line, state, due, claim, last_error)
    select endpoint_id, payment_id, sequence, event_id, body, in_line,
           case when status <> 'active' then 'dead' when in_line then 'waiting' else 'pending' end,
           case when status = 'active' and not in_line
               then now() + begins::integer * $13 * interval '1 second' end,
           case when begins then 1 else 0 end,
           case status when 'active' then null else 'endpoint-gone' end
    from placed
    order by endpoint_id, payment_id, sequence
    on conflict do nothing
    returning id, endpoint_id, payment_id, sequence, event_id, body, state, claim, attempts, refusals, in_line
)
select d.id, d.endpoint_id, e.url, d.payment_id, d.sequence, d.event_id, d.claim, d.attempts, d.refusals,
       d.in_line, d.state, case d.claim when 1 then d.body end as body,
       exists (select from notifications.breaker b where b.endpoint_id = d.endpoint_id) as failing,
       {GOOD_SECRETS}
from d join notifications.endpoint e on e.id = d.endpoint_id
"""  # noqa: S608 - constant columns


@dataclass(frozen=True, slots=True)
class Room:
    """What the caller could begin to send at once.

    Attributes:
        places: Free places.
        endpoint_max: Bound per endpoint, those under way included.
        under_way: Endpoint id to the number of its deliveries that the caller is sending now.
        behind: Endpoints with older deliveries that wait.
    """

    places: int = 0
    endpoint_max: int = 0
    under_way: Mapping[str, int] = field(default_factory=dict)
    behind: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of events.

    Attributes:
        new: How many deliveries there are more than before.
        begun: Those of them that the caller has claimed, to send them now.
        waiting: Endpoints with new deliveries that wait for a place.
    """

    new: int
    begun: list[Delivery]
    waiting: frozenset[str]


async def insert_events(
    pool: Pool, events: Sequence[Event], room: Room | None = None, *, lease_s: float = LEASE_S
) -> Taken:
    """Store the events for every endpoint of their merchants that asked for their type.

    Args:
        pool: Connections of the role `notifications`.
        events: In any order, also some that are stored already.
        room: What the caller could send at once; nothing if it is left out.
        lease_s: Seconds after which another claim may take what was begun and not recorded.
    """
    room = room or Room()
    rows = await pool.fetch(
        INSERT,
        [event.merchant_id for event in events],
        [event.payment_id for event in events],
        [event.sequence for event in events],
        [event.event_id for event in events],
        [event.body for event in events],
        [event.at for event in events],
        [event.type for event in events],
        room.places,
        room.endpoint_max,
        list(room.under_way),
        list(room.under_way.values()),
        sorted(room.behind),
        lease_s,
    )
    begun: list[Delivery] = []
    waiting: set[str] = set()
    for row in (dict(row) for row in rows):
        state = row.pop("state")
        if row["claim"]:
            begun.append(delivery_of(row))
        elif state in ("pending", "waiting"):
            waiting.add(row["endpoint_id"])
    return Taken(len(rows), begun, frozenset(waiting))

"""Events are stored and begun in one transaction: where there is room, for whom nothing older waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.notifications.intake import Room, insert_events
from services.notifications.schedule import Answered, Delivered
from services.notifications.sender import ENDPOINT_SENDING_MAX, SENDING_MAX, Sender
from services.notifications.store import Delivery, Outcome, claim_due, record_outcomes
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of

URL = "https://hooks.example.com/x"


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=8) as opened:
        yield opened


async def test_what_is_begun_is_claimed_by_a_lease_and_what_is_not_is_due(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("one", URL)

    taken = await insert_events(pool, [event_of(n) for n in range(3)], Room(places=9, endpoint_max=2))
    others = await claim_due(pool, count_max=9, endpoint_max=9, under_way={})

    assert [(URL, b"{}", 1, 0)] * 2 == [(d.url, d.body, d.claim, d.attempts) for d in taken.begun]
    assert frozenset({"one"}) == taken.waiting
    assert 3 == taken.new
    assert ["pay_2"] == [delivery.payment_id for delivery in others]
    await record_outcomes(pool, [Outcome(taken.begun[0], Answered(200), Delivered(), 1)])
    assert Counter(delivered=1, pending=2) == Counter(row["state"] for row in await stack.deliveries())


async def test_a_lease_that_began_with_the_storing_ends_by_itself(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1)], Room(places=1, endpoint_max=1), lease_s=0.0)

    (again,) = await claim_due(pool, count_max=9, endpoint_max=9, under_way={})

    assert 2 == again.claim


async def test_what_is_stored_already_is_not_begun_again(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    room = Room(places=9, endpoint_max=9)
    await insert_events(pool, [event_of(1)], room)

    taken = await insert_events(pool, [event_of(1), event_of(1)], room)

    assert (0, []) == (taken.new, taken.begun)


async def test_places_go_round_and_those_who_wait_longer_come_first(stack: Stack, pool: asyncpg.Pool) -> None:
    for name in ("busy", "eager", "late", "small"):
        await stack.add_endpoint(name, URL, merchant_id=f"mer_{name}")
    events = [event_of(n, "mer_eager") for n in range(9)]
    events += [event_of(10, "mer_busy"), event_of(11, "mer_late"), event_of(12, "mer_small")]
    room = Room(places=3, endpoint_max=4, under_way={"busy": 4, "small": 1}, behind=frozenset({"late"}))

    taken = await insert_events(pool, events, room)

    assert Counter(eager=2, small=1) == Counter(delivery.endpoint_id for delivery in taken.begun)
    assert frozenset({"busy", "eager", "late"}) == taken.waiting


async def test_an_endpoint_is_told_what_it_asked_for(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("all", URL)
    await stack.add_endpoint("ends", URL)
    await stack.query(
        "migrator",
        "update notifications.endpoint set events = '{payment.failed,payment.succeeded}' where id = 'ends'",
    )

    events = [event_of(1, kind="payment.accepted"), event_of(2, kind="payment.succeeded")]
    await insert_events(pool, events, Room(places=9, endpoint_max=9))

    assert [("all", "pay_1"), ("all", "pay_2"), ("ends", "pay_2")] == [
        (row["endpoint_id"], row["payment_id"]) for row in await stack.deliveries()
    ]


async def test_more_events_than_places_are_all_sent_and_no_place_is_taken_twice(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    merchants = [f"mer_{n}" for n in range(40)]
    for merchant in merchants:
        await stack.add_endpoint(merchant.replace("mer", "ep"), URL, merchant_id=merchant)
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()
    sent: Counter[str] = Counter()

    async def attempt(delivery: Delivery) -> Answered:
        under_way[delivery.endpoint_id] += 1
        most[delivery.endpoint_id] = max(most[delivery.endpoint_id], under_way[delivery.endpoint_id])
        most["all"] = max(most["all"], under_way.total())
        await asyncio.sleep(0)
        under_way[delivery.endpoint_id] -= 1
        sent[f"{delivery.endpoint_id} {delivery.event_id}"] += 1
        return Answered(200)

    sender = Sender(pool, attempt)
    running = asyncio.create_task(sender.run())
    for batch in range(10):
        await sender.take([event_of(batch * 40 + n, merchants[n % 40]) for n in range(200)])
    await stack.until(lambda rows: all(row["state"] == "delivered" for row in rows) and len(rows) > 0)
    running.cancel()
    await asyncio.wait([running])

    assert {1} == set(sent.values())
    assert len(sent) == len(await stack.deliveries())
    assert most.pop("all") <= SENDING_MAX
    assert max(most.values()) <= ENDPOINT_SENDING_MAX

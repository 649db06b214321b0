"""The line of a payment: only its first is claimed, whoever stores, ends, replays or changes what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.notifications.breaker import FAILURES_MAX
from services.notifications.events import Event
from services.notifications.intake import Room, insert_events
from services.notifications.schedule import Answered, Dead, Delivered, EndpointGone, Retry, Verdict
from services.notifications.store import Delivery, Outcome, claim_due, record_outcomes
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of

URL = "https://hooks.example.com/x"
RETRY = Retry(after_s=3600.0, refused=False)
ROOMY = Room(places=100, endpoint_max=100)


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=8, by_index=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def endpoint(stack: Stack) -> None:
    await stack.add_endpoint("one", URL)
    await order(stack, "per_payment")


async def order(stack: Stack, ordering: str) -> None:
    """Change the endpoint as a merchant does."""
    await act(stack, "endpoint_changed", url=URL, description=None, events=["*"], ordering=ordering)


async def act(stack: Stack, effect: str, **arguments: object) -> None:
    [row] = await stack.query("migrator", "select version from notifications.endpoint where id = 'one'")
    held = {"endpoint_id": "one", "version": row["version"], "at": datetime.now(UTC).isoformat()}
    statement = f"select notifications.{effect}('mer_a', 'req_1', now(), $1)"
    await stack.query("migrator", statement, json.dumps({**held, **arguments}))


async def replay(stack: Stack, payment: int, sequence: int) -> None:
    [row] = await stack.query(
        "migrator", "select id from notifications.delivery where (payment_id, sequence) = ($1, $2)",
        f"pay_{payment}", sequence,
    )  # fmt: skip
    await act(stack, "delivery_replayed", delivery_id=row["id"])


async def claimed(pool: asyncpg.Pool) -> list[Delivery]:
    found = await claim_due(pool, count_max=100, endpoint_max=100, under_way={})
    return sorted(found, key=lambda each: (each.payment_id, each.sequence))


async def end(pool: asyncpg.Pool, delivery: Delivery, verdict: Verdict) -> None:
    status = {Delivered: 204, EndpointGone: 410}.get(type(verdict), 500)
    await record_outcomes(pool, [Outcome(delivery, Answered(status), verdict, 10)])


async def states(stack: Stack) -> dict[str, str]:
    return {row["event_id"].removeprefix("evt_"): row["state"] for row in await stack.deliveries()}


def events(payment: int, sequences: Iterable[int]) -> list[Event]:
    return [event_of(payment, sequence=sequence) for sequence in sequences]


def names(deliveries: Iterable[Delivery]) -> list[str]:
    return [each.event_id.removeprefix("evt_") for each in deliveries]


@pytest.mark.parametrize("verdict", [Delivered(), Dead()])
async def test_the_next_event_of_a_payment_goes_when_the_one_before_has_ended(
    stack: Stack, pool: asyncpg.Pool, verdict: Verdict
) -> None:
    taken = await insert_events(pool, [*events(1, range(1, 4)), *events(2, [1])], ROOMY)
    first, other = await claimed(pool)
    await end(pool, first, RETRY)
    between = await claimed(pool)
    due_now = "update notifications.delivery set due = now() where id = $1"
    await stack.query("notifications", due_now, first.id)
    [again] = await claimed(pool)
    await end(pool, again, verdict)

    assert (4, [], {"one"}) == (taken.new, taken.begun, set(taken.waiting))
    assert ["1_1", "2_1"] == names([first, other])
    assert [] == between
    assert ["1_1"] == names([again])
    assert ["1_2"] == names(await claimed(pool))
    assert [] == await claimed(pool)


async def test_by_default_nothing_waits(stack: Stack, pool: asyncpg.Pool) -> None:
    await order(stack, "none")

    taken = await insert_events(pool, events(1, range(1, 4)), ROOMY)

    assert ["1_1", "1_2", "1_3"] == sorted(names(taken.begun))


async def test_a_payment_that_is_stored_backwards_is_sent_forwards(stack: Stack, pool: asyncpg.Pool) -> None:
    await insert_events(pool, events(1, [3]))
    await insert_events(pool, events(1, [2]))
    before = await claimed(pool)
    await insert_events(pool, events(1, [1]))
    order_sent = []
    while found := await claimed(pool):
        [delivery] = found
        order_sent += names(found)
        await end(pool, delivery, Delivered())

    assert [] == before
    assert ["1_1", "1_2", "1_3"] == order_sent


async def test_an_event_whose_predecessor_never_comes_waits_for_a_bounded_time(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await insert_events(pool, events(1, [5, 6]))
    five, six = await stack.deliveries()
    await stack.query("notifications", "update notifications.delivery set due = now() where sequence = 5")
    [overtaking] = await claimed(pool)
    await insert_events(pool, events(1, [4]))
    [late] = await stack.query(
        "migrator", "select due - now() as wait from notifications.delivery where sequence = 4"
    )
    await end(pool, overtaking, Delivered())

    assert ("pending", "waiting") == (five["state"], six["state"])
    assert 10 < (five["due"] - five["added_at"]).total_seconds() <= 15
    assert 10 < late["wait"].total_seconds() <= 15
    assert {"1_4": "pending", "1_5": "delivered", "1_6": "waiting"} == await states(stack)


async def test_an_event_that_was_not_asked_for_is_not_missing(stack: Stack, pool: asyncpg.Pool) -> None:
    await act(stack, "endpoint_changed", url=URL, description=None, events=["payment.succeeded"])
    await insert_events(pool, [event_of(1, sequence=3)])
    behind = await claimed(pool)
    await insert_events(pool, [event_of(1, sequence=2, kind="payment.accepted")])

    assert [] == behind
    assert ["1_3"] == names(await claimed(pool))


async def test_a_replay_of_what_has_ended_neither_waits_nor_is_waited_for(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await insert_events(pool, events(1, [1, 2, 3]))
    for verdict in (Delivered(), Dead()):
        [delivery] = await claimed(pool)
        await end(pool, delivery, verdict)
    [third] = await claimed(pool)
    await end(pool, third, RETRY)
    await replay(stack, 1, 1)
    await replay(stack, 1, 2)
    replayed = await claimed(pool)
    await insert_events(pool, events(1, [4]))
    for delivery in replayed:
        await end(pool, delivery, RETRY)
    await stack.query("notifications", "update notifications.delivery set due = now() where sequence = 3")
    [third] = await claimed(pool)
    await end(pool, third, Delivered())

    assert ["1_1", "1_2"] == names(replayed)
    assert {"1_1": "pending", "1_2": "pending", "1_3": "delivered", "1_4": "pending"} == await states(stack)
    assert ["1_4"] == names(await claimed(pool))


async def test_a_replay_of_the_first_in_line_stays_in_line_and_one_of_what_waits_changes_nothing(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await insert_events(pool, events(1, [1, 2]))
    [first] = await claimed(pool)
    await end(pool, first, RETRY)
    await replay(stack, 1, 2)
    waiting = await claimed(pool)
    await replay(stack, 1, 1)
    [again] = await claimed(pool)
    await end(pool, again, Delivered())

    assert [] == waiting
    assert ["1_1", "1_2"] == names([again, *await claimed(pool)])


async def test_what_is_owed_is_lined_up_by_a_change_and_let_go_by_another(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await order(stack, "none")
    await insert_events(pool, [*events(1, [1, 2, 3]), *events(2, [1, 2])])
    under_way = await claim_due(pool, count_max=2, endpoint_max=2, under_way={})
    await order(stack, "per_payment")
    lined = await states(stack)
    for delivery in under_way:
        await end(pool, delivery, RETRY)
    await order(stack, "none")
    await stack.hasten()

    assert {"1_1": "pending", "1_2": "waiting", "1_3": "waiting", "2_1": "pending", "2_2": "waiting"} == lined
    assert ["1_1", "1_2", "1_3", "2_1", "2_2"] == names(await claimed(pool))


async def test_what_was_under_way_when_it_was_lined_up_lets_the_next_go(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await order(stack, "none")
    await insert_events(pool, events(1, [1, 2, 3]))
    under_way = await claimed(pool)
    await order(stack, "per_payment")

    for delivery in under_way[1::-1]:
        await end(pool, delivery, Delivered())

    assert {"1_1": "delivered", "1_2": "delivered", "1_3": "pending"} == await states(stack)
    assert ["1_3"] == names(await claimed(pool))


async def test_a_gone_endpoint_gives_up_lines_whole_and_enabling_it_brings_them_back_in_order(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await insert_events(pool, [*events(1, [1, 2]), *events(2, [1, 2])])
    first, _ = await claimed(pool)
    await end(pool, first, EndpointGone())
    gone = await states(stack)
    await insert_events(pool, events(2, [3]))
    await act(stack, "endpoint_enabled")
    enabled = await states(stack)

    assert {"dead"} == set(gone.values())
    assert {"1_1": "dead", "1_2": "pending", "2_1": "pending", "2_2": "waiting", "2_3": "waiting"} == enabled
    assert ["1_2", "2_1"] == names(await claimed(pool))


async def test_a_deleted_endpoint_is_owed_nothing(stack: Stack, pool: asyncpg.Pool) -> None:
    await insert_events(pool, events(1, [1, 2]))
    await act(stack, "endpoint_deleted")

    assert {"dead"} == set((await states(stack)).values())


async def test_an_open_breaker_holds_lines_and_what_comes_to_be_first_is_no_probe(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    for payment in range(FAILURES_MAX):
        await insert_events(pool, events(payment, [1, 2]))
    found = await claimed(pool)
    for delivery in found:
        await end(pool, delivery, Dead())
    await insert_events(pool, events(99, [1, 2]))
    held = await claimed(pool)
    await stack.query("migrator", "update notifications.breaker set open_until = now()")
    [probe] = await claimed(pool)
    await end(pool, probe, Delivered())

    assert FAILURES_MAX == len(found)
    assert [] == held
    assert FAILURES_MAX == len(await claimed(pool))


async def test_storing_and_ending_at_once_leaves_nobody_waiting_for_ever(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    """Each event is stored by one process while another one ends its predecessor."""
    last: dict[str, int] = {}
    payments = range(6)
    await insert_events(pool, [event_of(payment) for payment in payments])

    async def work() -> None:
        while len(last) < len(payments) or min(last.values()) < 12:
            for delivery in await claim_due(pool, count_max=2, endpoint_max=100, under_way={}):
                assert last.get(delivery.payment_id, 0) + 1 == delivery.sequence
                last[delivery.payment_id] = delivery.sequence
                await end(pool, delivery, Delivered())

    async def store() -> None:
        for sequence in range(2, 13, 2):
            await asyncio.gather(
                *(
                    insert_events(pool, [event_of(n, sequence=s) for n in payments])
                    for s in (sequence + 1, sequence)
                )
            )

    async with asyncio.timeout(60):
        await asyncio.gather(store(), work(), work(), work())

    assert {"delivered"} == {
        state for name, state in (await states(stack)).items() if not name.endswith("_13")
    }

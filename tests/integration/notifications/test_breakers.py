"""An endpoint that keeps failing is left in peace, tried by one delivery alone, and given up after days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.notifications.breaker import FAILING_S_MAX, FAILURES_MAX, OPEN_S_MAX, OPEN_S_MIN
from services.notifications.intake import Room, insert_events
from services.notifications.schedule import (
    Answered,
    Dead,
    Delivered,
    EndpointGone,
    Retry,
    Unanswered,
    Verdict,
)
from services.notifications.store import Delivery, Outcome, claim_due, record_outcomes
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of

URL = "https://hooks.example.com/x"
RETRY = Retry(after_s=0.0, refused=False)
ROOMY = Room(places=100, endpoint_max=100)


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=8) as opened:
        yield opened


async def claimed(pool: asyncpg.Pool) -> list[Delivery]:
    return await claim_due(pool, count_max=100, endpoint_max=100, under_way={})


async def end(pool: asyncpg.Pool, deliveries: list[Delivery], verdict: Verdict = RETRY) -> None:
    attempt = Answered(200) if isinstance(verdict, Delivered) else Unanswered("timed-out")
    await record_outcomes(pool, [Outcome(each, attempt, verdict, 10) for each in deliveries])


async def as_migrator(stack: Stack, statement: str, *values: object) -> list[asyncpg.Record]:
    return await stack.query("migrator", statement, *values)


async def breaker(stack: Stack, endpoint_id: str = "one") -> dict[str, object] | None:
    rows = await as_migrator(
        stack,
        "select failures, openings, probing, extract(epoch from open_until - now())::float8 as open_s"
        " from notifications.breaker where endpoint_id = $1",
        endpoint_id,
    )
    return dict(rows[0]) if rows else None


async def wait_out(stack: Stack, endpoint_id: str = "one") -> None:
    """As if the pause were over."""
    await as_migrator(
        stack, "update notifications.breaker set open_until = now() where endpoint_id = $1", endpoint_id
    )


async def open_by_failures(stack: Stack, pool: asyncpg.Pool, endpoint_id: str = "one") -> None:
    await stack.add_endpoint(endpoint_id, URL)
    await insert_events(pool, [event_of(payment) for payment in range(FAILURES_MAX + 5)])
    await end(pool, (await claimed(pool))[:FAILURES_MAX])
    await as_migrator(stack, "update notifications.delivery set due = now()")


async def test_ten_failures_in_a_row_open_it_and_nothing_is_sent(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(payment) for payment in range(30)])
    deliveries = await claimed(pool)
    for each in deliveries[: FAILURES_MAX - 1]:
        await end(pool, [each])
    before = await breaker(stack)
    await end(pool, deliveries[FAILURES_MAX - 1 : FAILURES_MAX])
    await as_migrator(stack, "update notifications.delivery set due = now()")

    found = await breaker(stack)
    later = await insert_events(pool, [event_of(99)], ROOMY)

    assert before is not None
    assert found is not None
    assert (FAILURES_MAX - 1, 0, None) == (before["failures"], before["openings"], before["open_s"])
    assert (FAILURES_MAX, 1) == (found["failures"], found["openings"])
    assert OPEN_S_MIN - 5 < float(str(found["open_s"])) <= OPEN_S_MIN
    assert [] == await claimed(pool)
    assert (1, [], {"one"}) == (later.new, later.begun, set(later.waiting))


async def test_a_success_in_between_begins_the_count_anew(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(payment) for payment in range(40)])
    for _ in range(3):
        deliveries = await claimed(pool)
        await end(pool, deliveries[: FAILURES_MAX - 1])
        await as_migrator(stack, "update notifications.delivery set due = now() where state = 'pending'")
        [well, *_] = await claimed(pool)
        await end(pool, [well], Delivered())
        await as_migrator(stack, "update notifications.delivery set due = now() where state = 'pending'")
        assert await breaker(stack) is None


async def test_after_the_pause_one_delivery_alone_is_tried_and_closes_it(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await open_by_failures(stack, pool)
    await wait_out(stack)

    found = await asyncio.gather(*(claimed(pool) for _ in range(6)))
    [probe] = [each for deliveries in found for each in deliveries]
    assert [] == await claimed(pool)
    await end(pool, [probe], Delivered())

    assert await breaker(stack) is None
    assert FAILURES_MAX + 4 == len(await claimed(pool))


async def test_each_probe_that_fails_doubles_the_pause_up_to_an_hour(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await open_by_failures(stack, pool)
    pauses = []
    for _ in range(6):
        await wait_out(stack)
        [probe] = await claimed(pool)
        await end(pool, [probe])
        found = await breaker(stack)
        assert found is not None
        pauses.append(round(float(str(found["open_s"])) / 10) * 10)
        await as_migrator(stack, "update notifications.delivery set due = now()")

    assert [600, 1200, 2400, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX] == pauses


async def test_a_probe_that_died_with_its_process_is_followed_by_another(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await open_by_failures(stack, pool)
    await wait_out(stack)

    [lost] = await claimed(pool)
    await as_migrator(
        stack, "update notifications.breaker set open_until = now()"
    )  # As when the lease is over.
    [probe] = await claimed(pool)

    assert lost.id != probe.id
    found = await breaker(stack)
    assert found is not None
    assert (True, 1) == (found["probing"], found["openings"])


async def test_what_was_under_way_when_it_opened_opens_nothing_twice_and_may_close_it(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(payment) for payment in range(30)])
    deliveries = await claimed(pool)
    await end(pool, deliveries[:1])
    await as_migrator(stack, "update notifications.delivery set due = now() where id = $1", deliveries[0].id)
    [again] = await claimed(pool)
    await end(pool, deliveries[1:FAILURES_MAX])
    await end(pool, deliveries[FAILURES_MAX : 2 * FAILURES_MAX])
    found = await breaker(stack)

    await end(pool, [again], Delivered())

    assert found is not None
    assert (2 * FAILURES_MAX, 1) == (found["failures"], found["openings"])
    assert await breaker(stack) is None


async def test_others_are_sent_to_as_ever(stack: Stack, pool: asyncpg.Pool) -> None:
    await open_by_failures(stack, pool)
    await stack.add_endpoint("well", URL)

    taken = await insert_events(pool, [event_of(500)], ROOMY)

    assert ["well"] == [each.endpoint_id for each in taken.begun]
    assert {"one"} == set(taken.waiting)


async def test_after_five_days_of_failures_it_is_disabled_and_enabling_it_brings_all_of_it_back(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await open_by_failures(stack, pool)
    await wait_out(stack)
    await as_migrator(
        stack,
        "update notifications.breaker set failing_since = now() - $1 * interval '1 second'",
        FAILING_S_MAX + 1.0,
    )
    [probe] = await claimed(pool)

    await end(pool, [probe], Dead())
    states = {(r["state"], r["last_error"]) for r in await stack.deliveries()}
    [endpoint] = await as_migrator(stack, "select status from notifications.endpoint")
    await as_migrator(stack, "select notifications.revive_endpoint('one')")

    assert "disabled" == endpoint["status"]
    assert {("dead", "endpoint-gone"), ("dead", "timed-out")} >= states
    assert await breaker(stack) is None
    assert FAILURES_MAX + 5 == len(await claimed(pool))


@pytest.mark.parametrize(
    "change",
    [
        "update notifications.endpoint set url = 'https://hooks.example.com/y' where id = 'one'",
        "update notifications.endpoint set status = 'deleted' where id = 'one'",
    ],
)
async def test_another_url_is_another_receiver(stack: Stack, pool: asyncpg.Pool, change: str) -> None:
    await open_by_failures(stack, pool)

    await as_migrator(stack, change)

    assert await breaker(stack) is None


async def test_a_test_event_or_a_replay_is_the_next_probe(stack: Stack, pool: asyncpg.Pool) -> None:
    await open_by_failures(stack, pool)
    await as_migrator(
        stack,
        "insert into notifications.delivery (endpoint_id, payment_id, sequence, event_id, body)"
        " values ('one', 'one', 1, 'evt_test', '{}')",
    )
    first = await claimed(pool)
    await end(pool, first)
    assert [] == await claimed(pool)
    await as_migrator(
        stack, "update notifications.delivery set state = 'dead', due = null where payment_id = 'pay_0'"
    )
    await as_migrator(
        stack, "update notifications.delivery set state = 'pending', due = now() where state = 'dead'"
    )
    second = await claimed(pool)

    assert (1, 1) == (len(first), len(second))


async def test_an_endpoint_that_is_gone_needs_no_breaker(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1)])
    [delivery] = await claimed(pool)

    await record_outcomes(pool, [Outcome(delivery, Answered(410), EndpointGone(), 10)])

    assert await breaker(stack) is None

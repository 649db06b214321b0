"""A result that changes nothing holds up no line, and a full take stays far below the database's limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.node.subscriber import FETCH_MAX
from services.notifications.events import EVENTS_MAX
from services.notifications.intake import insert_events
from services.notifications.schedule import Delivered
from services.notifications.store import RECORD
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of
from tests.integration.notifications.test_payment_lines import URL, claimed, end, events, order, states


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=8, by_index=True) as opened:
        yield opened


async def test_a_result_of_what_waits_by_now_does_not_keep_it_waiting_for_ever(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    """Both events of a payment were under way when the line was made; the second fails as the first ends."""
    await stack.add_endpoint("one", URL)
    await insert_events(pool, events(1, [1, 2]))
    first, second = await claimed(pool)
    await order(stack, "per_payment")
    assert {"1_1": "pending", "1_2": "waiting"} == await states(stack)

    async with pool.acquire() as connection, connection.transaction():
        columns = ([second.id], [second.claim], ["retry"], [500], [None], [60.0], [False], [5])
        await connection.execute(RECORD, *columns)
        await asyncio.wait_for(end(pool, first, Delivered()), 5)

    assert {"1_1": "delivered", "1_2": "pending"} == await states(stack)
    [row] = await stack.query("notifications", "select count(*) as n from notifications.delivery_attempt")
    assert 2 == row["n"]


@pytest.mark.parametrize("ordering", ["none", "per_payment"])
async def test_a_full_take_of_as_many_merchants_is_stored_in_one_statement(
    stack: Stack, pool: asyncpg.Pool, ordering: str
) -> None:
    """It must not take the square of what it holds: the database ends a statement after 5 s."""
    count = FETCH_MAX * EVENTS_MAX
    await stack.query(
        "migrator",
        "insert into notifications.endpoint (id, merchant_id, url, ordering)"
        " select 'end_' || m || '_' || e, 'mer_' || m, $2, $3"
        " from generate_series(1, $1) m, generate_series(1, 2) e",
        count, URL, ordering,
    )  # fmt: skip

    taken = await insert_events(
        pool, [event_of(number, merchant_id=f"mer_{number}") for number in range(1, count + 1)]
    )

    assert 2 * count == taken.new

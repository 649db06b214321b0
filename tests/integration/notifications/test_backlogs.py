"""A hundred thousand deliveries that wait cost a claim what a hundred do, and nobody else a place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.node.postgres import BY_INDEX, open_pool
from services.notifications.intake import insert_events
from services.notifications.store import CLAIM, claim_due
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of

URL = "https://hooks.example.com/x"
BACKLOG = 100_000
PLACES, ENDPOINT_PLACES = 20, 4
# Pages: of deeper indexes, and of what a claim writes; one that went through what waits would need thousands.
MORE_PAGES_MAX = 150


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=2, by_index=True) as opened:
        yield opened


async def owe(stack: Stack, first: int, count: int, *, is_ordered: bool) -> None:
    """Let payments have ten events each; in lines, one of each ten is pending."""
    connection = await stack.postgres.connect("migrator", stack.database)
    try:
        # What the trigger would do one by one is written here at once.
        await connection.execute("alter table notifications.delivery disable trigger first_in_line")
        await connection.execute(
            "insert into notifications.delivery"
            " (endpoint_id, payment_id, sequence, event_id, body, in_line, state, due)"
            " select 'big', 'pay_' || n / 10, n % 10 + 1, 'evt_' || n, '{}', $3,"
            " case when $3 and n % 10 > 0 then 'waiting' else 'pending' end,"
            " case when $3 and n % 10 > 0 then null else now() end"
            " from generate_series($1::int, $2::int) n",
            first, first + count - 1, is_ordered,
        )  # fmt: skip
        await connection.execute("alter table notifications.delivery enable trigger first_in_line")
        await connection.execute("analyze notifications.delivery")
    finally:
        await connection.close()


async def pages_of_a_claim(stack: Stack) -> int:
    connection = await stack.postgres.connect("notifications", stack.database)
    try:
        for setting, value in {**BY_INDEX, "plan_cache_mode": "force_generic_plan"}.items():
            await connection.execute(f"set {setting} = {value}")
        await connection.execute(f"prepare claiming(int, int, text[], int[], float8) as {CLAIM}")
        plan = await connection.fetchval(
            "explain (analyze, buffers, format json)"
            f" execute claiming({PLACES}, {ENDPOINT_PLACES}, '{{}}', '{{}}', 25)"
        )
    finally:
        await connection.close()
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.mark.parametrize("is_ordered", [False, True], ids=["none", "per_payment"])
async def test_a_backlog_of_a_hundred_thousand_leaves_the_others_their_places_and_claims_their_price(
    stack: Stack, pool: asyncpg.Pool, is_ordered: bool
) -> None:
    await stack.add_endpoint("big", URL)
    await stack.add_endpoint("small", URL, merchant_id="mer_b")
    if is_ordered:
        await stack.query("migrator", "update notifications.endpoint set ordering = 'per_payment'")
    await owe(stack, 0, 100, is_ordered=is_ordered)
    few = await pages_of_a_claim(stack)
    await owe(stack, 100, BACKLOG - 100, is_ordered=is_ordered)
    many = await pages_of_a_claim(stack)
    await insert_events(pool, [event_of(10**6, "mer_b")])

    claimed = await claim_due(pool, count_max=PLACES, endpoint_max=ENDPOINT_PLACES, under_way={})

    assert Counter(big=ENDPOINT_PLACES, small=1) == Counter(each.endpoint_id for each in claimed)
    assert many - few < MORE_PAGES_MAX

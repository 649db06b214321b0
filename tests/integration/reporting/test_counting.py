"""Facts are counted once each, whatever the bus does; figures show no small group; nothing else is seen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import nats.errors
import pytest

from services.node.subscriber import FETCH_MAX
from services.reporting.facts import FACTS_MAX, Fact
from services.reporting.store import REMEMBERED_DAYS, count_facts, prune
from tests.integration.reporting.stack import Stack, fact

SINCE, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def facts(*documents: dict[str, Any]) -> list[Fact]:
    return msgspec.convert(documents, list[Fact])


async def test_facts_of_the_bus_are_counted_once_each(stack: Stack) -> None:
    async with stack.running():
        await stack.publish(*(fact(number) for number in range(1, 101)))
        await stack.publish(*(fact(number) for number in range(51, 151)))
        await stack.publish(fact(1000, currency="JPY", decline_code="lost_card"))
        total = await stack.until(lambda total: total >= 151)

    rows = await stack.query(
        "reporting", "select currency, decline_code, facts from reporting.tally order by 1"
    )
    assert 151 == total
    assert [("EUR", "", 150), ("JPY", "lost_card", 1)] == [tuple(row) for row in rows]


async def test_a_bus_that_was_wiped_and_filled_again_counts_nothing_twice(stack: Stack) -> None:
    async with stack.running():
        await stack.publish(*(fact(number) for number in range(1, 11)))
        await stack.until(lambda total: total == 10)
        stack.bus.stop()
        stack.bus.wipe()
        stack.bus.start()
        await stack.publish(*(fact(number) for number in range(1, 14)))
        total = await stack.until(lambda total: total >= 13)

    assert 13 == total


async def test_a_message_of_another_form_blocks_nobody_and_counts_nothing(stack: Stack) -> None:
    async with stack.running():
        await stack.publish(fact(1) | {"merchant_id": "mer_eu_1"})
        await stack.publish_raw(b"\xff")
        await stack.publish(fact(2))

        assert 1 == await stack.until(lambda total: total >= 1)


async def test_two_processes_count_the_same_facts_once(stack: Stack) -> None:
    async with stack.pool() as pool:
        batches = [facts(*(fact(n) for n in range(start, start + 50))) for start in (1, 20, 40, 1, 30)]
        await asyncio.gather(*(count_facts(pool, batch) for batch in (*batches, *[b[::-1] for b in batches])))

    assert 89 == await stack.total()


async def test_one_batch_with_one_row_twice_counts_it_once(stack: Stack) -> None:
    async with stack.pool() as pool:
        await count_facts(pool, facts(fact(1), fact(1)))

    assert 1 == await stack.total()


async def test_what_was_forgotten_is_not_counted_again(stack: Stack) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    old = fact(1, hour=(now - timedelta(days=REMEMBERED_DAYS - 1)).isoformat())
    async with stack.pool() as pool:
        await count_facts(pool, facts(old, fact(2)))
        await stack.query("migrator", "update reporting.counted set hour = hour - interval '3 days'")
        forgotten = await prune(pool)
        again = fact(1, hour=(now - timedelta(days=REMEMBERED_DAYS + 2)).isoformat())
        await count_facts(pool, facts(again))

    assert 1 == forgotten
    assert 2 == await stack.total()


async def test_a_small_group_is_shown_in_a_sum_alone(stack: Stack) -> None:
    ended = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0).isoformat()
    async with stack.pool() as pool:
        await count_facts(pool, facts(*(fact(n, hour=ended) for n in range(1, 13))))
        await count_facts(pool, facts(*(fact(n, hour=ended, currency="JPY") for n in range(100, 109))))
        await count_facts(pool, facts(*(fact(n, hour=ended, type="dispute.lost") for n in range(200, 203))))
        # Of today: who looks twice would learn what came in between.
        await count_facts(pool, facts(*(fact(n) for n in range(300, 320))))

    shown = [
        tuple(row)[1:] for row in await stack.query(
            "operator", "select * from reporting.figures($1, $2, $3)", SINCE, UNTIL, 1
        )
    ]  # fmt: skip

    assert [("payment.succeeded", "collect", "EUR", "", 12), (None, None, None, None, 12)] == shown


@pytest.mark.parametrize(
    "statement",
    [
        "select * from payments.payment limit 1",
        "select * from payments.event limit 1",
        "select * from notifications.delivery limit 1",
        "select payments.outbox_after('0'::xid8, 0, 1)",
        "update reporting.tally set currency = 'USD'",
        "delete from reporting.tally",
        "select * from reporting.figures(now(), now())",
    ],
)
async def test_the_role_may_not(stack: Stack, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stack.query("reporting", statement)


@pytest.mark.parametrize("name", ["reporting", "notifications"])
async def test_whoever_counts_cannot_read_events(stack: Stack, name: str) -> None:
    """The stream of another class of data does not exist for it: asking is not answered."""
    async with stack.client("payments") as relay, stack.client("reporting") as client:
        await relay.jetstream().add_stream(name="EVENTS", subjects=["countermark.events"])
        bus = client.jetstream(timeout=0.3)

        with pytest.raises(nats.errors.TimeoutError):
            await bus.add_consumer("EVENTS", name=name, durable_name=name)
        with pytest.raises(nats.errors.TimeoutError):
            await bus.get_msg("EVENTS", seq=1)
        kept = await relay.jetstream().stream_info("EVENTS")

    assert 0 == kept.state.consumer_count


async def test_a_full_take_is_counted_before_the_database_ends_the_statement(stack: Stack) -> None:
    """It must not take the square of what it holds."""
    full = facts(*(fact(row) for row in range(1, FETCH_MAX * FACTS_MAX + 1)))

    async with stack.pool() as pool:
        await count_facts(pool, full)
        await count_facts(pool, full)

    assert len(full) == await stack.total()

"""The order of a payment's events as a receiver sees it: several processes send, and some attempts fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.notifications.intake import insert_events
from tests.integration.notifications.moody_receiver import Moody
from tests.integration.notifications.stack import POLL_S, WAIT_S_MAX, Stack, event
from tests.integration.notifications.stored_events import event_of
from tests.integration.notifications.webhook_receiver import Receiver

URL = "https://hooks.example.com/x"

PAYMENTS = range(5)
SEQUENCES = range(1, 7)


async def hasten(stack: Stack) -> None:
    """Let time pass for what failed, and forget that it did: breakers have tests of their own."""
    await stack.query("migrator", "delete from notifications.breaker")
    await stack.query(
        "notifications",
        "update notifications.delivery set due = now() where state = 'pending' and attempts > 0"
        " and (last_status is not null) and due > now()",
    )


async def until_all_ended(stack: Stack, count: int) -> list[asyncpg.Record]:
    deadline = asyncio.get_running_loop().time() + 2 * WAIT_S_MAX
    while True:
        rows = await stack.deliveries()
        if len(rows) == count and {row["state"] for row in rows} <= {"delivered", "dead"}:
            return rows
        stack.check_loops()
        assert asyncio.get_running_loop().time() < deadline, [dict(row) for row in rows]
        await hasten(stack)
        await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("seed", range(3))
async def test_a_receiver_sees_each_payment_in_order_whatever_fails(
    stack: Stack, receiver: Receiver, seed: int
) -> None:
    random = Random(seed)
    ids = [f"evt_{payment}_{sequence}" for payment in PAYMENTS for sequence in SEQUENCES]
    dying = set(random.sample(ids, 3))
    moody = Moody({event_id: random.choice((0, 0, 1, 2)) for event_id in ids}, dying)
    receiver.answer = moody
    await stack.add_endpoint("one", receiver.url())
    await stack.query("migrator", "update notifications.endpoint set ordering = 'per_payment'")

    async with stack.running(receiver.address), stack.running(receiver.address):
        for sequence in SEQUENCES:
            for payment in random.sample(list(PAYMENTS), len(PAYMENTS)):
                await stack.publish(event(payment, sequence))
        rows = await until_all_ended(stack, len(ids))

    moody.check_order()
    assert dying == {row["event_id"] for row in rows if row["state"] == "dead"}
    arrived = {event_id for event_id, status in moody.answers if status == 204}
    assert set(ids) - dying == arrived
    for received in receiver.seen:
        assert received.header("webhook-id") == received.verify(stack.key.verifying_key).message_id


async def test_a_payment_that_fails_holds_up_no_other(stack: Stack, receiver: Receiver) -> None:
    moody = Moody({"evt_0_1": 1_000}, set())
    receiver.answer = moody
    await stack.add_endpoint("one", receiver.url())
    await stack.query("migrator", "update notifications.endpoint set ordering = 'per_payment'")

    async with stack.running(receiver.address):
        for sequence in SEQUENCES:
            await stack.publish(*(event(payment, sequence) for payment in PAYMENTS))
        rows = await stack.until(
            lambda rows: (
                Counter(r["state"] for r in rows)["delivered"] == len(SEQUENCES) * (len(PAYMENTS) - 1)
            )
        )

    moody.check_order()
    held = {row["event_id"]: row["state"] for row in rows if row["state"] != "delivered"}
    assert {"evt_0_1": "pending"} | {f"evt_0_{n}": "waiting" for n in SEQUENCES[1:]} == held


async def test_processes_that_store_events_of_many_endpoints_never_wait_in_a_circle(stack: Stack) -> None:
    """Some of them want an event, others let it pass: each has lines to lock, in whatever order they come."""
    wanted = {"payment.succeeded": range(0, 8, 2), "payment.failed": range(1, 8, 2)}
    for kind, numbers in wanted.items():
        for number in numbers:
            await stack.add_endpoint(f"e{number}", URL, merchant_id=f"mer_{number // 4}")
            await stack.query(
                "migrator",
                "update notifications.endpoint set ordering = 'per_payment', events = array[$2]"
                " where id = $1",
                f"e{number}", kind,
            )  # fmt: skip
    reach = stack.postgres.reach("notifications", stack.database)

    async with open_pool(stack.node("notifications"), reach, connections_max=8, by_index=True) as pool:

        async def store(worker: int) -> None:
            random = Random(worker)
            for sequence in range(1, 30):
                both = [
                    event_of(
                        payment,
                        f"mer_{random.randrange(2)}",
                        sequence=sequence,
                        kind=random.choice(list(wanted)),
                    )
                    for payment in (worker, worker + 100)
                ]
                await insert_events(pool, both)

        await asyncio.gather(*(store(worker) for worker in range(8)))
    deadlocks = await stack.query(
        "migrator", "select deadlocks from pg_stat_database where datname = current_database()"
    )

    assert [0] == [row["deadlocks"] for row in deadlocks]

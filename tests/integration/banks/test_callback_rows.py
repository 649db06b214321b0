"""The rows behind callbacks: batches that cross, and batches of another form."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import msgspec
import pytest

from services.banks.callbacks import Heard, hear
from tests.integration.banks.bank_parts import Parts
from tests.integration.banks.callback_desk import Desk, told
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.integration.postgres_server import PostgresServer

PAYMENTS = 60


@pytest.fixture
def desk(parts: Parts, paying: PaymentWorld) -> Desk:
    return Desk(parts, paying)


async def _take(connection: asyncpg.Connection, batch: list[Heard]) -> list[str]:
    rows = await connection.fetch(
        "select outcome from banks.take_callback($1, $2, $3, $4) order by item",
        [heard.bank for heard in batch], [heard.event_id for heard in batch],
        [heard.body for heard in batch], [heard.mail for heard in batch],
    )  # fmt: skip
    return [row["outcome"] for row in rows]


async def test_batches_that_cross_neither_deadlock_nor_tell_twice(
    desk: Desk, postgres: PostgresServer, database: str
) -> None:
    merchant = await desk.paying.open_account("acc_cross")
    await desk.paying.accept([Request("acc_cross", merchant=merchant) for _ in range(PAYMENTS)])
    orders = await desk.paying.submit()
    all_heard = [hear(order.bank, told(order, f"ev_{number}")) for number, order in enumerate(orders)]
    connections = [await postgres.connect("banks", database) for _ in range(8)]
    chance = random.Random(20261126)
    batches = [chance.sample(all_heard, PAYMENTS) + all_heard[:4] for _ in connections]
    try:
        outcomes = await asyncio.gather(
            *(_take(connection, batch) for connection, batch in zip(connections, batches, strict=True))
        )
    finally:
        for connection in connections:
            await connection.close()

    assert PAYMENTS == sum(outcome.count("taken") for outcome in outcomes)
    assert {"taken", "repeat"} == {outcome for batch in outcomes for outcome in batch}
    assert PAYMENTS == len(await desk.callbacks()) == len(await desk.mails())


@pytest.mark.parametrize("many", [0, 129])
async def test_a_batch_of_another_size_is_refused_whole(
    desk: Desk, postgres: PostgresServer, database: str, many: int
) -> None:
    connection = await postgres.connect("banks", database)
    try:
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await _take(connection, [hear("bank-alpha", b"%d" % number) for number in range(many)])
    finally:
        await connection.close()
    assert [] == await desk.callbacks()


async def test_good_and_bad_in_one_batch_each_get_their_own_end(
    desk: Desk, postgres: PostgresServer, database: str
) -> None:
    order = await desk.submitted()
    bodies = [told(order, "ev_a"), b"{}", told(order, "ev_b", currency="USD"), told(order, "ev_a"), b"{}"]
    connection = await postgres.connect("banks", database)
    try:
        outcomes = await _take(connection, [hear("bank-alpha", body) for body in bodies])
    finally:
        await connection.close()

    assert ["taken", "quarantined", "quarantined", "repeat", "repeat"] == outcomes
    assert ["ev_a", "ev_b"] == [msgspec.json.decode(mail)["bank_event_id"] for mail in await desk.mails()]

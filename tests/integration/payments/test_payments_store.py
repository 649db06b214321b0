from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from pki.tls import client_context
from services.payments import counters
from services.payments.checks import Checks
from services.payments.errands import Errands
from services.payments.outcomes import Order, Outcome
from services.payments.store import Pool, Result, Store
from tests.integration.payments.payments_samples import Request, World, accept, claim
from tests.integration.postgres_server import PostgresServer

_fresh = itertools.count()


async def _submitted(world: World) -> asyncpg.Record:
    """The order of one submitted collect on an account of its own."""
    account = f"acc_store_{next(_fresh)}"
    merchant = await world.open_account(account)
    await accept(world.gateway, [Request(account, merchant=merchant)])
    [order] = await claim(world.engine)
    return order


async def _state(world: World, order: asyncpg.Record) -> str:
    state: str = await world.owner.fetchval(
        "select state from payments.attempt where attempt_id = $1", order["attempt_id"]
    )
    return state


async def test_the_checks_say_when_a_reminder_was_forgotten(
    postgres: PostgresServer, database: str, world: World
) -> None:
    order = await _submitted(world)
    gauge = counters.CHECK_ROWS.labels("overdue")._value
    async with _pool(postgres, database) as pool:
        await Checks(Store(pool)).check_open()
        before = gauge.get()
        await world.owner.execute(
            "update payments.payment set due = now() - interval '1 hour' where payment_id = $1",
            order["payment_id"],
        )
        await Checks(Store(pool)).check_open()
        imbalances = await Store(pool).ledger_imbalances()

    assert (0, 1, 0) == (before, gauge.get(), imbalances)


async def test_one_result_that_the_record_refuses_does_not_lose_its_neighbours(
    postgres: PostgresServer, database: str, world: World
) -> None:
    good, bad = [await _submitted(world) for _ in range(2)]
    async with _pool(postgres, database) as pool:
        errands = Errands(Store(pool), {})
        await asyncio.gather(
            errands._record(Result(_order(good), Outcome("confirmed", "REF-1")), until=math.inf),
            errands._record(Result(_order(bad), Outcome("confirmed", "nul\0")), until=math.inf),
        )

    assert ("confirmed", "unknown") == (await _state(world, good), await _state(world, bad))
    assert [] == await world.faults()


@asynccontextmanager
async def _pool(postgres: PostgresServer, database: str) -> AsyncIterator[Pool]:
    place = postgres.reach("payments", database)
    context = client_context(postgres.pki.identity("payments"), expect=frozenset({place.expect}))
    async with asyncpg.create_pool(
        host=place.host, port=place.port, user=place.user, database=database, ssl=context, min_size=0
    ) as pool:
        yield pool


def _order(row: asyncpg.Record) -> Order:
    return Order(**{name: row[name] for name in ("attempt_id", "epoch", "payment_id", "bank", "operation",
                                                 "amount_minor", "currency", "instrument")})  # fmt: skip

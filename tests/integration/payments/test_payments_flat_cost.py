"""What a payment costs PostgreSQL does not depend on how many it has had before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.payments.store import Store
from tests.integration.payments.payment_world import PaymentWorld, engine_pool
from tests.integration.payments.payments_samples import Request
from tests.integration.postgres_server import PostgresServer

# Rows and index entries that one payment may look at in its life, all tables together. 66 were
# counted; one scan of one table, once in each batch, would add STORED / 128.
LOOKED_AT_MAX = 100
STORED = 10_000


@asynccontextmanager
async def _counting(paying: PaymentWorld, looked: dict[str, int]) -> AsyncIterator[None]:
    """Count what the connections of engine and gateway look at within."""
    before = await _counters(paying)
    yield
    after = await _counters(paying)
    looked.update({name: after[name] - before[name] for name in after if after[name] != before[name]})


async def _counters(paying: PaymentWorld) -> dict[str, int]:
    # Both, or what one of them counted before would be seen after.
    for connection in (paying.pool, paying.world.gateway):
        await connection.execute("select pg_stat_force_next_flush()")
    rows = await paying.world.owner.fetch(
        "select indexrelname as name, idx_tup_read as n from pg_stat_user_indexes "
        "where schemaname = 'payments' union all "
        "select relname, seq_tup_read from pg_stat_user_tables where schemaname = 'payments'"
    )
    return {row["name"]: row["n"] for row in rows}


async def test_turns_look_at_no_more_rows_in_a_full_table_than_in_an_empty_one(
    paying: PaymentWorld, postgres: PostgresServer, database: str
) -> None:
    accounts = [f"acc_flat_{n}" for n in range(20)]
    merchants = [await paying.open_account(account) for account in accounts]
    many = len(accounts)

    async with engine_pool(postgres, database, size_max=1) as pool:
        # One connection: its plans are made while the tables are empty, and kept.
        paying.pool, paying.store = pool, Store(pool)

        async def process(number: int) -> None:
            await paying.accept(
                [Request(accounts[n % many], merchant=merchants[n % many]) for n in range(number)]
            )
            await paying.submit()
            await paying.answer_all()

        for _ in range(6):  # After five times a plan is kept for good.
            await process(20)
        await process(STORED)
        looked: dict[str, int] = {}
        async with _counting(paying, looked):
            await process(128)

    assert LOOKED_AT_MAX * 128 > sum(looked.values()), looked
    assert [] == await paying.faults()

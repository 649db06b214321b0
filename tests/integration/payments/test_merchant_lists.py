"""Lists of a merchant among many payments: every page is found in indexes, whatever the filter."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.integration.payments.payments_samples import SCHEMAS, World, connections
from tests.integration.postgres_server import PostgresServer

MANY = 100_000
# Few of these rows are the merchant's: a page that reads more than this reads others'.
ROWS_READ_MAX = 2_000
BUSY, QUIET = "mer_busy", "mer_quiet"

PAYMENTS = """
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency,
        instrument, merchant_reference, status, sequence, account_version, bank, decline_code, accepted_at,
        updated_at, due)
    select 'pay_eu_' || lpad(n::text, 26, '0'), case n % 1000 when 0 then 'acc_quiet' else 'acc_busy' end,
           case n % 1000 when 0 then $1 else $2 end, 'collect', 1, 'EUR', 'tok_visa_ok', 'order-' || n,
           s.status, 1, 1, 'bank-alpha', case s.status when 'failed' then 'declined' end,
           now() - n * interval '1 second', now(), case s.status when 'submitted' then now() end
    from generate_series(1, $3::int) n,
         lateral (select case when n % 5000 = 0 then 'failed' when n % 3000 = 0 then 'submitted'
                              else 'succeeded' end as status) s
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowded(postgres: PostgresServer) -> AsyncIterator[World]:
    """100,000 payments, each with its event; one in a thousand is the quiet merchant's, most succeeded."""
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)
    async with connections(postgres, database) as connect:
        world = await World.enter(connect)
        for merchant in (BUSY, QUIET):
            await world.register(merchant)
            await world.operator.execute(
                "select payments.open_account($1, $2, 'EUR')", f"acc_{merchant[4:]}", merchant
            )
        await world.owner.execute(PAYMENTS, QUIET, BUSY, MANY)
        await world.owner.execute(
            "insert into payments.event (payment_id, sequence, type, at)"
            " select payment_id, 1, 'payment.accepted', accepted_at from payments.payment"
        )
        await world.owner.execute("analyze")
        yield world


LISTS = {
    "newest": "payments.list_payments($1, null, null, null, null, null, null, 11)",
    "next": f"payments.list_payments($1, null, null, null, null, 'pay_eu_{50_000:026d}', null, 11)",
    "before": f"payments.list_payments($1, null, null, null, null, null, 'pay_eu_{50_000:026d}', 11)",
    "ended": "payments.list_payments($1, null, 'failed', null, null, null, null, 11)",
    "on its way": "payments.list_payments($1, null, 'submitted', null, null, null, null, 11)",
    "reference": "payments.list_payments($1, 'order-50000', null, null, null, null, null, 11)",
    "time": "payments.list_payments($1, null, null, now() - interval '9 h', now() - interval '8 h',"
    " null, null, 11)",
    "events": "payments.list_events($1, null, '90 days', null, null, false, 11)",
    "events of a type": "payments.list_events($1, 'payment.accepted', '90 days', null, null, false, 11)",
    "next events": "payments.list_events($1, null, '90 days',"
    f" 'pay_eu_{50_000:026d}', 1, false, 11)",
    "refunds": "payments.list_refunds($1, null, null, null, null, 11)",
    "disputes": "payments.list_disputes($1, null, null, null, null, 11)",
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_reads_no_more_than_it_shows_and_no_table_from_end_to_end(
    crowded: World, name: str
) -> None:
    before = await _reads(crowded.owner)

    rows = await crowded.gateway.fetch(f"select * from {LISTS[name]}", QUIET)

    await crowded.gateway.fetchval("select pg_stat_force_next_flush()")
    await crowded.gateway.fetchval("select 1")
    after = await _reads(crowded.owner)
    scans = {table: after[table][0] - before[table][0] for table in after}
    read = {table: after[table][1] - before[table][1] for table in after}
    assert {"refunds": 0, "disputes": 0}.get(name, 1) <= len(rows) <= 11
    assert [] == [table for table, count in scans.items() if count and table in {"payment", "event", "feed"}]
    assert len(rows) <= sum(read.values()) <= ROWS_READ_MAX, read


async def _reads(owner: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Of each table: scans from end to end, and rows fetched in any way."""
    rows = await owner.fetch(
        "select relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) as rows_read"
        " from pg_stat_user_tables where schemaname = 'payments'"
    )
    return {row["relname"]: (row["seq_scan"], row["rows_read"]) for row in rows}

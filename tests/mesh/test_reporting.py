"""The second subscriber beside the running stack: payments are counted, and nobody is in the counts."""

from __future__ import annotations

import asyncio

import asyncpg

from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.tls import client_context
from tests.mesh.enrolled_merchant import EnrolledMerchant

COUNTED_S_MAX = 15.0  # Facts gather for a second or two; the rest is a busy host.
_COUNT = "select coalesce(sum(facts), 0)::bigint from reporting.tally where type = 'payment.succeeded'"


async def connect(stack: Stack) -> asyncpg.Connection:
    address = stack.places.addresses["postgres.tls"]
    expect = frozenset({stack.mesh.spiffe("postgres")})
    context = client_context(stack.places.identity("migrator"), expect=expect)
    return await asyncpg.connect(
        host=address.host, port=address.port, user="migrator", database=DATABASE, ssl=context
    )


async def test_payments_are_counted_and_nothing_of_them_is_kept(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    connection = await connect(stack)
    try:
        before = await connection.fetchval(_COUNT)
        paid = [await merchant.pay(merchant_reference=f"counted-{n}") for n in range(3)]
        for payment_id in paid:
            assert "succeeded" == await merchant.settled(payment_id)
        async with asyncio.timeout(COUNTED_S_MAX):
            while await connection.fetchval(_COUNT) < before + 3:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        tallies = [tuple(row) for row in await connection.fetch("select * from reporting.tally")]
        counted = [tuple(row) for row in await connection.fetch("select * from reporting.counted")]
    finally:
        await connection.close()

    known = [*paid, merchant.merchant_id, merchant.key.key_id, "counted-"]
    assert [] == [row for row in map(str, tallies + counted) if any(each in row for each in known)]
    assert [] == [row for row in tallies if 1999 in row]  # The amount. Rows of the outbox have numbers, too.

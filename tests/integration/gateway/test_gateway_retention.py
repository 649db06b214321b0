from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from gateway.errors import CellUnavailable
from gateway.store.retention import ROWS_PER_BATCH_MAX, Retention
from tests.integration.gateway.acts import a_capture, a_payment
from tests.integration.gateway.gateway_stack import START_S_MAX, Gateway
from tests.integration.gateway.second_worker import second_worker


async def test_a_worker_that_starts_buries_what_is_old_by_itself(stack: Gateway) -> None:
    old = [a_payment(), await a_capture(stack)]
    young = [a_payment(), await a_capture(stack)]
    for act in (*old, *young):
        await stack.ask(act.request)
    for act in old:
        await act.age(stack, 31)

    async with second_worker(stack, name="burying-worker"):
        deadline = time.monotonic() + START_S_MAX
        while [row for act in old for row in await act.rows(stack) if row["response_body"] is not None]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    kept = [row["response_body"] is not None for act in young for row in await act.rows(stack)]
    assert [True, True] == kept


async def test_the_gateways_role_reaches_no_key_but_through_the_doors(stack: Gateway) -> None:
    connection = await stack.server.connect("gateway", stack.database)
    refused = []
    for statement in (
        "delete from payments.idempotency_key",
        "update commands.request set at = now() - interval '2 years'",
        "select * from registry.key_request",
        "select payments.prune_keys(1001)",
        "select commands.prune(0)",
        "select payments.claim_likenesses('{}', '{}', '{}', '{}', '{}')",
        "select registry.end_key('a', now(), 'gateway', 'x', null)",
        "select registry.revoke_for_merchant('m', 'r', now(), '{}')",
        "select payments.refund_of_merchant('m', 'r', now(), '{}')",
    ):
        try:
            await connection.execute(statement)
        except asyncpg.PostgresError as fault:
            refused.append(fault.sqlstate)
    await connection.close()

    assert ["42501"] * 3 + ["22023"] * 2 + ["42501"] * 4 == refused


async def test_while_one_prunes_another_finds_nothing_to_do(stack: Gateway) -> None:
    act = a_payment()
    await stack.ask(act.request)
    await act.age(stack, 31)
    one, two = [await stack.server.connect("gateway", stack.database) for _ in range(2)]
    transaction = one.transaction()
    await transaction.start()

    mine = await one.fetchval("select payments.prune_keys(100)")
    theirs = await two.fetchval("select payments.prune_keys(100)")
    await transaction.commit()
    await one.close()
    await two.close()

    assert (1, 0) == (min(mine, 1), theirs)


async def test_a_batch_that_cannot_be_had_waits_and_keeps_no_other_from_its_own() -> None:
    asked: list[int] = []

    async def away(_: int) -> int:
        raise CellUnavailable("away")

    async def there(rows_max: int) -> int:
        asked.append(rows_max)
        return 7

    assert 7 == await Retention((away, there)).prune()
    assert [ROWS_PER_BATCH_MAX] == asked


async def test_a_bug_in_pruning_is_not_hidden() -> None:
    async def broken(_: int) -> int:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await Retention((broken,)).prune()

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from gateway.api.payments import DUPLICATE_FORM
from gateway.errors import CellUnavailable, IdempotencyKeyReused
from gateway.store.payments import ITEMS_PER_TRANSACTION_MAX, Acceptance, Payments
from services.node.postgres import open_pool
from tests.integration.gateway.gateway_stack import Gateway


@pytest_asyncio.fixture(loop_scope="session")
async def payments(stack: Gateway) -> AsyncIterator[Payments]:
    async with open_pool(stack.config, stack.config.postgres, connections_max=2) as pool:
        yield Payments(pool, DUPLICATE_FORM)


async def acceptance(stack: Gateway) -> Acceptance:
    merchant = await stack.merchant()
    account = await stack.query(
        "select account_id from payments.account where merchant_id = $1", merchant.merchant_id
    )
    return Acceptance(
        merchant_id=merchant.merchant_id, route="POST /v1/payments", key_hash=secrets.token_bytes(32),
        fingerprint=bytes(32), payment_id=fresh_payment_id(), account_id=account[0]["account_id"],
        kind="collect", amount_minor=1, currency="EUR", instrument="tok_visa_ok", merchant_reference=None,
        response_body=b"{}", evidence_key_id=merchant.key.key_id, request_head=b"c",
        request_base=b"a",
        request_signature=bytes(64),
        request_body=b"{}", receipt_base=b"b", receipt_signature=bytes(64), accepted_at=datetime.now(UTC),
        request_id="req_eu_1", likeness=None,
    )  # fmt: skip


def fresh_payment_id() -> str:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "pay_eu_0" + "".join(secrets.choice(alphabet) for _ in range(25))


def fresh(item: Acceptance) -> Acceptance:
    return replace(item, key_hash=secrets.token_bytes(32), payment_id=fresh_payment_id())


async def test_one_bad_item_does_not_fail_the_others_of_its_transaction(
    stack: Gateway, payments: Payments
) -> None:
    good = await acceptance(stack)
    items = [fresh(good) for _ in range(9)]
    items[4] = replace(items[4], amount_minor=0)

    results = await asyncio.gather(*(payments.accept(item) for item in items), return_exceptions=True)

    assert isinstance(results.pop(4), asyncpg.PostgresError)
    assert all(not isinstance(result, BaseException) and not result.repeat for result in results)
    bad = await stack.query("select 1 from payments.payment where payment_id = $1", items[4].payment_id)
    assert [] == bad


async def test_repeats_and_reuses_within_one_transaction_are_told_apart(
    stack: Gateway, payments: Payments
) -> None:
    first = fresh(await acceptance(stack))
    same = replace(first, payment_id=fresh_payment_id(), response_body=b'{"other":1}')
    reuse = replace(same, fingerprint=b"\1" * 32)

    results = await asyncio.gather(*map(payments.accept, (first, same, reuse)), return_exceptions=True)

    new, repeat, refused = results
    assert not isinstance(new, BaseException)
    assert not isinstance(repeat, BaseException)
    assert (False, True) == (new.repeat, repeat.repeat)
    assert (first.payment_id, b"{}") == (repeat.payment_id, repeat.response_body)
    assert isinstance(refused, IdempotencyKeyReused)


async def test_more_items_than_one_transaction_holds_are_all_accepted(
    stack: Gateway, payments: Payments
) -> None:
    good = await acceptance(stack)
    items = [fresh(good) for _ in range(2 * ITEMS_PER_TRANSACTION_MAX + 7)]

    results = await asyncio.gather(*map(payments.accept, items))

    assert [item.payment_id for item in items] == [result.payment_id for result in results]


async def test_a_record_that_goes_away_in_the_middle_is_a_refusal_to_send_again(
    stack: Gateway, payments: Payments
) -> None:
    item = fresh(await acceptance(stack))
    await payments.accept(fresh(item))
    await stack.relay.cut()

    with pytest.raises(CellUnavailable):
        await payments.accept(item)

    await stack.relay.mend()
    await stack.await_ready()
    assert (await payments.accept(item)).payment_id == item.payment_id

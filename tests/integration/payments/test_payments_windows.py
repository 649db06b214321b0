"""Credits wait for their account's window; windows count each source once, under any concurrency."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from services.payments.machine.events import Order
from tests.integration.payments.payment_world import WINDOW_AT_ONCE, PaymentWorld, answer_to
from tests.integration.payments.payments_samples import Connect, Request

LONG = timedelta(hours=1)


async def _collected(paying: PaymentWorld, account: str, merchant: str, many: int) -> list[Order]:
    """So many collects of 100 that their bank confirmed, before any window."""
    await paying.accept([Request(account, merchant=merchant) for _ in range(many)])
    orders = await paying.submit()
    paying.orders.clear()
    for first in range(0, many, 128):
        await paying.about([answer_to(order) for order in orders[first : first + 128]])
    return orders


async def _windows(paying: PaymentWorld) -> list[int]:
    rows = await paying.world.owner.fetch(
        "select amount_minor from payments.ledger_transfer where payment_id is null order by at"
    )
    return [row["amount_minor"] for row in rows]


async def test_a_window_is_one_transfer_of_all_that_waited(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_window")
    await _collected(paying, "acc_window", merchant, 20)
    waiting = await paying.balance("acc_window")

    posted = await paying.store.post_windows(WINDOW_AT_ONCE, 1, 10)

    assert (0, 0, 2000) == waiting
    assert (1, [2000], (2000, 0, 0)) == (posted, await _windows(paying), await paying.balance("acc_window"))
    assert 0 == await paying.store.post_windows(WINDOW_AT_ONCE, 1, 10)
    assert [] == await paying.faults()


async def test_a_window_is_full_by_age_or_by_number(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_full")
    await _collected(paying, "acc_full", merchant, 5)

    young = await paying.store.post_windows(LONG, 6, 10)
    many = await paying.store.post_windows(LONG, 5, 10)
    await _collected(paying, "acc_full", merchant, 1)
    old = await paying.store.post_windows(WINDOW_AT_ONCE, 100, 10)

    assert (0, 1, 1) == (young, many, old)
    assert (600, 0, 0) == await paying.balance("acc_full")


async def test_windows_post_once_while_many_post_and_credits_arrive(paying: PaymentWorld) -> None:
    merchants = {f"acc_race_{n}": await paying.open_account(f"acc_race_{n}") for n in range(6)}
    await paying.accept(
        [Request(account, merchant=merchants[account]) for account in merchants for _ in range(60)]
    )
    orders = await paying.submit()
    paying.orders.clear()

    async def answer(mine: list[Order]) -> None:
        for first in range(0, len(mine), 9):
            await paying.about([answer_to(order) for order in mine[first : first + 9]])

    async def post() -> None:
        for _ in range(40):
            await paying.store.post_windows(WINDOW_AT_ONCE, 1, 4)

    await asyncio.gather(
        answer(orders[::2]), answer(orders[1::2]), answer(orders[::5]), post(), post(), post()
    )
    await paying.answer_all()

    assert [(6000, 0, 0)] * 6 == [await paying.balance(account) for account in merchants]
    assert 36_000 == sum(await _windows(paying))
    assert [] == await paying.faults()


async def test_an_account_in_another_turn_keeps_its_credits_for_the_next_round(
    paying: PaymentWorld, connect: Connect
) -> None:
    merchant = await paying.open_account("acc_locked")
    await _collected(paying, "acc_locked", merchant, 3)
    other = await connect("payments")
    await other.execute("begin")
    payment_id = await paying.world.owner.fetchval("select min(payment_id) from payments.payment")
    await other.fetch("select * from payments.take_about($1)", [payment_id])

    locked = await paying.store.post_windows(WINDOW_AT_ONCE, 1, 10)
    await other.execute("rollback")

    assert (0, 1) == (locked, await paying.store.post_windows(WINDOW_AT_ONCE, 1, 10))


async def test_a_debit_never_waits_for_a_window(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_flush")
    await _collected(paying, "acc_flush", merchant, 4)
    [identifier] = await paying.accept(
        [Request("acc_flush", kind="payout", amount_minor=350, merchant=merchant)]
    )

    await paying.submit()

    assert "submitted" == await paying.status(identifier)
    assert ((400, 350, 0), [400]) == (await paying.balance("acc_flush"), await _windows(paying))
    assert [] == await paying.faults()
    await paying.answer_all()
    assert (50, 0, 0) == await paying.balance("acc_flush")


async def test_a_credit_of_the_same_source_is_refused(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_source")
    await _collected(paying, "acc_source", merchant, 1)

    with pytest.raises(asyncpg.UniqueViolationError, match="credit_pkey"):
        await paying.world.owner.execute(
            "insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency) "
            "select source_id, account_id, payment_id, bank, amount_minor, currency from payments.credit"
        )


@pytest.mark.parametrize("change", [
    "amount_minor = amount_minor + 1", "account_id = 'acc_other'", "window_id = null", "bank = 'bank-other'",
])  # fmt: skip
async def test_a_credit_is_never_changed_but_by_its_window(paying: PaymentWorld, change: str) -> None:
    merchant = await paying.open_account("acc_fixed")
    await _collected(paying, "acc_fixed", merchant, 1)

    for _ in range(2):  # Before its window, and after.
        with pytest.raises(asyncpg.RestrictViolationError):
            await paying.world.owner.execute(f"update payments.credit set {change}")
        await paying.store.post_windows(WINDOW_AT_ONCE, 1, 10)


async def test_the_checks_find_a_window_that_is_not_the_sum_of_its_items(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_wrong")
    await _collected(paying, "acc_wrong", merchant, 2)
    await paying.world.owner.execute(
        "insert into payments.ledger_transfer (transfer_id, kind, debit_account, credit_account, "
        "amount_minor, currency) "
        "values ('acc_wrong/window/1', 'post', 'clearing:EUR', 'acc_wrong', 150, 'EUR')"
    )

    problems = {row["problem"] for row in await paying.faults()}

    assert {"posted balance", "clearing balance", "sum of the window's items"} == problems

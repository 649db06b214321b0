"""The checks that run beside the engine, a slice at a time, find what was planted in the record."""

from __future__ import annotations

import pytest

from services.payments import counters
from services.payments.checks import Checks
from services.payments.machine.events import Order
from services.payments.store import Store
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import BANKS, Request

# A disagreement each, made by the owner of the tables past all decisions: $1 is a collect that succeeded, $2
# a payout that its bank has.
_PLANTED = {
    "credits of the payment": "update payments.payment set captured_minor = 40 where payment_id = $1",
    "refunded column": "update payments.payment set refunded_minor = 10 where payment_id = $1",
    "refund reserved column": "update payments.payment set refund_reserved_minor = 10 where payment_id = $1",
    "disputed column": "update payments.payment set disputed_minor = 10 where payment_id = $1",
    "hold of the payment": "update payments.payment set amount_minor = 60 where payment_id = $2",
    "posts of the payout": """
        update payments.payment set status = 'succeeded', due = null where payment_id = $2""",
    "credit of no payment of this account": """
        insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency)
        values ('att_of_nobody', 'acc_claims', $1, 'bank-alpha', 7, 'EUR')""",
    "hold of the refund": """
        insert into payments.refund (refund_id, payment_id, origin, amount_minor, status, reason, asked_by,
            due, asked_at)
        select 'ref_eu_' || repeat('0', 26), $1, 'user', 5, 'reserved', 'r', 'm', now(), now()""",
}


async def _lives(paying: PaymentWorld) -> tuple[str, str]:
    """A collect that succeeded, and a payout that its bank has; others around them."""
    merchant = await paying.open_account("acc_claims", funds_minor=1000)
    ids = await paying.accept([Request("acc_claims", merchant=merchant) for _ in range(5)])
    await paying.submit()
    await paying.answer_all()
    [payout] = await paying.accept([Request("acc_claims", kind="payout", merchant=merchant)])
    orders: list[Order] = await paying.submit()
    assert [payout] == [order.payment_id for order in orders]
    return ids[2], payout


async def _found(store: Store, payments_max: int) -> tuple[int, int]:
    """How many problems the slices find, and in how many slices."""
    after: str | None = None
    found = slices = 0
    while slices == 0 or after is not None:
        problems, after = await store.check_claims(after, payments_max)
        found, slices = found + problems, slices + 1
    return found, slices


@pytest.mark.parametrize("problem", _PLANTED)
async def test_a_slice_finds_what_disagrees(paying: PaymentWorld, problem: str) -> None:
    collect, payout = await _lives(paying)
    before = await _found(paying.store, 2)
    plant = _PLANTED[problem]
    names = [identifier for number, identifier in ((1, collect), (2, payout)) if f"${number}" in plant]
    if "$1" not in plant:
        plant = plant.replace("$2", "$1")

    await paying.world.owner.execute(plant, *names)

    whole = await paying.world.operator.fetch("select problem from payments.ledger_imbalance()")
    assert problem in [row["problem"] for row in whole]
    assert (0, 4) == before
    found = [row["problem"] for row in whole if row["problem"] in _PLANTED]
    assert [(len(found), 4), (len(found), 1)] == [await _found(paying.store, many) for many in (2, 100)]


async def test_a_pass_goes_through_all_payments_in_slices_and_begins_anew(
    paying: PaymentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect, _ = await _lives(paying)
    gauge = counters.CHECK_ROWS.labels("claims_imbalance")._value
    checks = Checks(paying.store, BANKS)
    monkeypatch.setattr("services.payments.checks.CLAIMS_AT_ONCE", 2)
    await checks.check_claims()
    before = gauge.get()
    await paying.world.owner.execute(_PLANTED["refunded column"], collect)

    await checks.check_claims()
    planted = gauge.get()
    await paying.world.owner.execute(
        "update payments.payment set refunded_minor = 0 where payment_id = $1", collect
    )
    await checks.check_claims()

    assert (0, 1, 0) == (before, planted, gauge.get())


async def test_an_account_that_its_ledger_does_not_explain_is_found(
    paying: PaymentWorld,
) -> None:
    await _lives(paying)
    before = await paying.store.balances_imbalance()

    await paying.world.owner.execute("update payments.account set posted_minor = posted_minor + 1")

    assert (0, 1) == (before, await paying.store.balances_imbalance())

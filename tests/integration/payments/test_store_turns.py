from __future__ import annotations

from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request


async def test_a_collect_goes_from_acceptance_to_its_window(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_happy")
    [identifier] = await paying.accept([Request("acc_happy", merchant=merchant, amount_minor=300)])

    [order] = await paying.submit()
    await paying.answer_all()

    assert (identifier, 300, "collect") == (order.payment_id, order.amount_minor, order.operation)
    assert "succeeded" == await paying.status(identifier)
    assert (300, 0, 0) == await paying.balance("acc_happy")
    assert [
        "payment.accepted", "payment.screening_passed", "payment.submitted", "payment.succeeded",
    ] == [kind for kind, _ in await paying.story(identifier)]  # fmt: skip
    assert [] == await paying.faults()


async def test_a_payout_holds_and_then_posts(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_payout", funds_minor=1000)
    [identifier] = await paying.accept(
        [Request("acc_payout", kind="payout", merchant=merchant, amount_minor=300)]
    )

    await paying.submit()
    held = await paying.balance("acc_payout")
    await paying.answer_all()

    assert (1000, 300, 0) == held
    assert "succeeded" == await paying.status(identifier)
    assert (700, 0, 0) == await paying.balance("acc_payout")
    assert [] == await paying.faults()


async def test_what_is_overdue_is_asked_for(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_late")
    await paying.accept([Request("acc_late", merchant=merchant)])
    [order] = await paying.submit()
    await paying.make_due()

    other = await paying.overdue("bank-bravo" if order.bank == "bank-alpha" else "bank-alpha")
    nobody = await paying.overdue(None)
    mine = await paying.overdue(order.bank)

    assert ([], []) == (other.orders, nobody.orders)
    assert [("inquire", order.epoch + 1)] == [(again.action, again.epoch) for again in mine.orders]
    assert [] == (await paying.overdue(order.bank)).orders
    assert [] == await paying.faults()

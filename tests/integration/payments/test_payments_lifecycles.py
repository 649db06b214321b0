from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from services.payments.machine.events import BankTold, CaptureAsked, Order, RefundAsked, ReviewDecided
from tests.integration.payments.payment_world import PaymentWorld, answer_to, passing
from tests.integration.payments.payments_samples import Request

KEY = "k" * 43


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


async def _authorized(paying: PaymentWorld, account: str) -> Order:
    """An authorisation of 300; return its order."""
    merchant = await paying.open_account(account)
    await paying.accept([Request(account, merchant=merchant, amount_minor=300, capture_method="manual")])
    [order] = await paying.submit()
    await paying.answer_all()
    assert "authorized" == await paying.status(order.payment_id)
    return order


async def _captured(paying: PaymentWorld, account: str) -> Order:
    """A collect of 300 that succeeded; return its order."""
    merchant = await paying.open_account(account)
    await paying.accept([Request(account, merchant=merchant, amount_minor=300)])
    [order] = await paying.submit()
    await paying.answer_all()
    return order


async def test_an_authorisation_is_captured_in_part(paying: PaymentWorld) -> None:
    order = await _authorized(paying, "acc_capture")
    before = await paying.balance("acc_capture")

    [capture] = (
        await paying.about([CaptureAsked(payment_id=order.payment_id, amount_minor=120, by=KEY)])
    ).orders
    during = await paying.status(order.payment_id)
    await paying.answer_all()

    assert ("capture", 120, "REF-1") == (capture.operation, capture.amount_minor, capture.original_reference)
    assert ("capturing", "succeeded") == (during, await paying.status(order.payment_id))
    assert ((0, 0, 0), (120, 0, 0)) == (before, await paying.balance("acc_capture"))
    assert [] == await paying.faults()


async def test_an_authorisation_that_nobody_captures_expires(paying: PaymentWorld) -> None:
    order = await _authorized(paying, "acc_expiry")
    await paying.make_due()
    await paying.world.owner.execute("update payments.payment set expires_at = now() - interval '1 s'")

    [void] = (await paying.overdue(None)).orders
    late = await paying.about([CaptureAsked(payment_id=order.payment_id, by=KEY)])
    await paying.answer_all()

    assert ("void", []) == (void.operation, late.orders)
    assert "expired" == await paying.status(order.payment_id)
    assert [] == await paying.faults()


async def test_a_declined_bank_is_followed_by_another_in_one_turn(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_failover")
    [identifier] = await paying.accept([Request("acc_failover", merchant=merchant)])
    [first] = await paying.submit()
    refused = replace(answer_to(first, "declined"), decline_code="bank_unavailable")

    [second] = (await paying.about([refused])).orders
    paying.orders = [second]
    await paying.answer_all()

    assert first.bank != second.bank
    assert "succeeded" == await paying.status(identifier)
    attempts = await paying.world.owner.fetch("select number, state from payments.attempt order by number")
    assert [(1, "declined"), (2, "confirmed")] == [tuple(row) for row in attempts]
    assert [] == await paying.faults()


async def test_a_review_needs_a_person(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_review")
    [identifier] = await paying.accept([Request("acc_review", merchant=merchant)])
    [asking] = (await paying.waiting()).askings
    await paying.about([replace(passing(asking), verdict="review", reasons=("large", "new"))])
    in_review = await paying.status(identifier)

    await paying.about([ReviewDecided(payment_id=identifier, decision="approve", by="ann", reason="known")])
    await paying.answer_all()

    row = await paying.world.payment(identifier)
    assert ("in_review", "succeeded", ["ann"]) == (in_review, row["status"], row["reviewers"])
    reasons = await paying.world.owner.fetchval("select reasons from payments.screening")
    assert ["large", "new"] == reasons
    assert [] == await paying.faults()


def _said(order: Order, what: str, amount_minor: int = 300, **more: Any) -> BankTold:
    return BankTold(
        payment_id=order.payment_id, bank=order.bank, what=what,  # type: ignore[arg-type]  # each test says one
        bank_event_id=f"{what}-1", attempt_id=order.attempt_id, amount_minor=amount_minor, currency="EUR",
        **more,
    )  # fmt: skip


async def test_a_lost_dispute_takes_what_is_there_and_leaves_the_rest_as_debt(paying: PaymentWorld) -> None:
    order = await _captured(paying, "acc_dispute")
    merchant = "mer_acc_dispute"
    await paying.accept([Request("acc_dispute", kind="payout", amount_minor=250, merchant=merchant)])
    await paying.submit()
    await paying.answer_all()

    await paying.about([_said(order, "dispute_opened", dispute_reference="D-1")])
    opened = await paying.world.payment(order.payment_id)
    await paying.make_due()
    await paying.overdue(None)
    await paying.about([_said(order, "dispute_lost", dispute_reference="D-1")])

    entries = {row["account"]: 0 for row in await paying.ledger()}
    for row in await paying.ledger():
        entries[row["account"]] += row["amount"] if row["kind"] == "post" else 0
    assert (300, (0, 0, 0)) == (opened["disputed_minor"], await paying.balance("acc_dispute"))
    assert -250 == entries["debt:acc_dispute"]
    assert [] == await paying.faults()


async def test_money_that_the_bank_took_back_is_a_refund(paying: PaymentWorld) -> None:
    order = await _captured(paying, "acc_returned")

    await paying.about([_said(order, "returned", 80)])

    row = await paying.world.payment(order.payment_id)
    assert (300, 80, 0) == (row["captured_minor"], row["refunded_minor"], row["refund_reserved_minor"])
    assert (220, 0, 0) == await paying.balance("acc_returned")
    assert [] == await paying.faults()


async def test_a_late_success_goes_to_suspense_and_back_to_the_payer(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_latecomer")
    [identifier] = await paying.accept([Request("acc_latecomer", merchant=merchant, amount_minor=300)])
    [order] = await paying.submit()
    paying.orders.clear()
    await paying.about([answer_to(order, "declined")])

    [refund] = (await paying.about([_said(order, "confirmed", bank_reference="REF-2")])).orders
    between = await paying.faults()
    await paying.answer_all()

    assert ("refund", 300, "REF-2") == (refund.operation, refund.amount_minor, refund.original_reference)
    assert ([], "failed") == (between, await paying.status(identifier))
    assert (0, 0, 0) == await paying.balance("acc_latecomer")
    assert [] == await paying.faults()


async def test_a_refund_that_bounced_comes_back_to_the_account(paying: PaymentWorld) -> None:
    order = await _captured(paying, "acc_bounce")
    refund_id = "ref_eu_" + "1" * 26
    [refund] = (
        await paying.about([
            RefundAsked(payment_id=order.payment_id, refund_id=refund_id, amount_minor=100, origin="user",
                        reason="", by=KEY)
        ])
    ).orders  # fmt: skip
    await paying.answer_all()
    given = await paying.balance("acc_bounce")

    await paying.about([_said(refund, "bounced", 100)])

    assert ((200, 0, 0), (300, 0, 0)) == (given, await paying.balance("acc_bounce"))
    status = await paying.world.owner.fetchval("select status from payments.refund")
    assert "reversed" == status
    assert [] == await paying.faults()


async def test_what_a_bank_cannot_have_said_is_kept_for_an_operator(paying: PaymentWorld) -> None:
    order = await _captured(paying, "acc_contra")

    await paying.about([_said(order, "declined")])

    kept = await paying.world.owner.fetch("select subject, problem from payments.contradiction")
    assert 1 == len(kept)
    assert "payment.contradiction" in [kind for kind, _ in await paying.story(order.payment_id)]
    assert "succeeded" == await paying.status(order.payment_id)
    assert [] == await paying.faults()

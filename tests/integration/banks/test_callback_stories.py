"""Whole stories: collected, authorised, captured, refunded at simulated banks, and what they tell later."""

from __future__ import annotations

import msgspec
import pytest

from services.payments.machine.events import CaptureAsked, Mail, Order, RefundAsked
from services.payments.machine.model import derived_id
from tests.integration.banks.bank_parts import Parts, until
from tests.integration.banks.callback_desk import Desk
from tests.integration.payments.payment_world import WINDOW_AT_ONCE, PaymentWorld

KEY = "k" * 43
ORDINARY = ["payment.accepted", "payment.screening_passed", "payment.submitted", "payment.succeeded"]


@pytest.fixture
def desk(parts: Parts, paying: PaymentWorld) -> Desk:
    return Desk(parts, paying)


async def _ask(desk: Desk, mail: Mail) -> Order:
    """Put a merchant's wish into the mailbox, give it its turn, and return the order that came of it."""
    await desk.paying.store.post_windows(WINDOW_AT_ONCE, 1, 128)
    await desk.paying.world.gateway.fetch(
        "select * from payments.mail_in($1, $2, $3, $4)",
        [mail.payment_id], [msgspec.json.encode(mail).decode()], ["gateway"], [KEY],
    )  # fmt: skip
    [order] = (await desk.paying.waiting()).orders
    return order


def _refund(payment_id: str, amount_minor: int) -> RefundAsked:
    return RefundAsked(
        payment_id=payment_id, refund_id=derived_id("ref", payment_id, "test"), amount_minor=amount_minor,
        origin="user", reason="changed their mind", by=KEY,
    )  # fmt: skip


async def _types(desk: Desk, payment_id: str) -> list[str]:
    await desk.settle_mail()
    return [kind for kind, _ in await desk.paying.story(payment_id)]


async def test_callbacks_that_only_repeat_the_answer_leave_no_trace_in_the_story(desk: Desk) -> None:
    order = await desk.submitted("tok_duplicate_callbacks")
    await desk.carry(order)

    await until(desk.has_settled_mail)

    assert ORDINARY == await _types(desk, order.payment_id)
    assert [] == await desk.paying.faults()


async def test_a_refund_that_bounces_is_reversed(desk: Desk) -> None:
    order = await desk.submitted("tok_refund_bounces")
    await desk.carry(order)
    refund = await _ask(desk, _refund(order.payment_id, order.amount_minor))

    assert "confirmed" == await desk.carry(refund)

    async def is_reversed() -> bool:
        return "refund.reversed" in await _types(desk, order.payment_id)

    await until(is_reversed)
    assert ["collect", "refund", "bounced"] == [
        operation
        for _, payment, operation, _, _ in desk.parts.ledger("bank-alpha")
        if payment == order.payment_id
    ]
    assert [] == await desk.paying.faults()


async def test_a_manual_payment_is_captured_once_and_what_it_captured_is_refunded(desk: Desk) -> None:
    order = await desk.submitted("tok_visa_ok", capture_method="manual")
    await desk.carry(order)
    capture = await _ask(desk, CaptureAsked(payment_id=order.payment_id, amount_minor=60, by=KEY))

    assert ("authorise", "capture") == (order.operation, capture.operation)
    assert "confirmed" == await desk.carry(capture)
    assert "succeeded" == await desk.paying.status(order.payment_id)
    assert [("authorise", 100), ("capture", 60)] == [
        (operation, amount) for _, _, operation, amount, _ in desk.parts.ledger("bank-alpha")
    ]


async def test_a_capture_that_is_declined_leaves_the_authorisation(desk: Desk) -> None:
    order = await desk.submitted("tok_capture_declined_limit_exceeded", capture_method="manual")
    await desk.carry(order)
    capture = await _ask(desk, CaptureAsked(payment_id=order.payment_id, by=KEY))

    assert "declined" == await desk.carry(capture)
    assert "authorized" == await desk.paying.status(order.payment_id)
    assert ["authorise"] == [operation for _, _, operation, _, _ in desk.parts.ledger("bank-alpha")]


async def test_a_success_after_a_decline_is_given_back(desk: Desk) -> None:
    order = await desk.submitted("tok_declined_then_confirmed")
    await desk.carry(order)

    async def is_late() -> bool:
        return "payment.late_success" in await _types(desk, order.payment_id)

    await until(is_late)
    assert "failed" == await desk.paying.status(order.payment_id)
    [refund] = [order for order in desk.paying.orders if order.operation == "refund"]
    assert "confirmed" == await desk.carry(refund)
    assert ["collect", "refund"] == [operation for _, _, operation, _, _ in desk.parts.ledger("bank-alpha")]
    assert [] == await desk.paying.faults()

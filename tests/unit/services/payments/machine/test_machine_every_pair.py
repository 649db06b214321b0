from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from services.payments.machine.errors import IllegalTransition, RecordIncomplete
from services.payments.machine.events import (
    Answered,
    AnswerKind,
    BankTold,
    CaptureAsked,
    Event,
    RefundAsked,
    RefundCancelAsked,
    ReminderDue,
    ReviewDecided,
    Screened,
    TurnCame,
    VoidAsked,
)
from services.payments.machine.model import PAYMENT_FINAL, PaymentStatus
from tests.unit.services.payments.machine.tiny_record import TinyRecord

REFUND = "ref_eu_00000000000000000000000001"


def _waiting(record: TinyRecord) -> str:
    payment_id = record.accept()
    record.turn(TurnCame(payment_id=payment_id))
    return payment_id


def _in_review(record: TinyRecord) -> str:
    payment_id = _waiting(record)
    record.screen(payment_id, "review")
    return payment_id


def _reserved(record: TinyRecord) -> str:
    record.banks.away = {"bank-alpha", "bank-beta"}
    return record.submit("payout")


def _unknown(record: TinyRecord) -> str:
    payment_id = record.submit()
    record.answer("unknown")
    return payment_id


def _capturing(record: TinyRecord) -> str:
    payment_id = record.authorize()
    record.turn(CaptureAsked(payment_id=payment_id, by="k"))
    return payment_id


def _voiding(record: TinyRecord) -> str:
    payment_id = record.authorize()
    record.turn(VoidAsked(payment_id=payment_id, by="k"))
    return payment_id


def _failed(record: TinyRecord) -> str:
    payment_id = record.submit("payout")
    record.answer("declined")
    return payment_id


def _canceled(record: TinyRecord) -> str:
    payment_id = _voiding(record)
    record.answer("confirmed")
    return payment_id


def _expired(record: TinyRecord) -> str:
    payment_id = record.authorize()
    record.wait(payment_id, days=7)
    record.answer("confirmed")
    return payment_id


REACHED: dict[PaymentStatus, Callable[[TinyRecord], str]] = {
    "accepted": TinyRecord.accept,
    "screening": _waiting,
    "in_review": _in_review,
    "reserved": _reserved,
    "submitted": TinyRecord.submit,
    "unknown": _unknown,
    "authorized": TinyRecord.authorize,
    "capturing": _capturing,
    "voiding": _voiding,
    "succeeded": TinyRecord.succeed,
    "failed": _failed,
    "canceled": _canceled,
    "expired": _expired,
}


def _events(record: TinyRecord, payment_id: str) -> list[Event]:
    """Every event, and every kind of it, about everything that the payment has and one thing it has not."""
    row = record.payments[payment_id]
    of: dict[str, Any] = {"payment_id": payment_id, "mail_id": 1}
    events: list[Event] = [
        TurnCame(payment_id=payment_id),
        *(ReminderDue(payment_id=payment_id, subject_id=subject) for subject in (payment_id, REFUND)),
        *(
            Screened(payment_id=payment_id, verdict=verdict, rule_pack="r", inputs_digest="0")
            for verdict in ("pass", "review", "reject")
        ),
        *(
            ReviewDecided(**of, decision=decision, by="ann", reason="-", refund_id=refund)
            for decision in ("approve", "reject")
            for refund in (None, REFUND)
        ),
        *(CaptureAsked(**of, by="k", amount_minor=amount) for amount in (None, 0, 1, 10**6)),
        VoidAsked(**of, by="k"),
        *(
            RefundAsked(
                **of, refund_id=name, amount_minor=amount, origin=origin, reason="-", by="k", bank_moved=moved
            )
            for name in (REFUND, "nonsense")
            for amount in (0, 1, 10**6)
            for origin in ("user", "bank", "customer_service", "system")
            for moved in (True, False)
        ),
        RefundCancelAsked(**of, refund_id=REFUND, by="k"),
    ]
    ids = [attempt.attempt_id for attempt in row.attempts] + ["att_eu_none_1"]
    for attempt_id in ids:
        events += [
            Answered(payment_id=payment_id, attempt_id=attempt_id, epoch=epoch, kind=kind, asked=asked)
            for epoch in (0, 1, 2, 9)
            for kind in get_args(AnswerKind)
            for asked in (True, False)
        ]
        events += [
            BankTold(
                **of, bank=bank, what=what, bank_event_id="e", attempt_id=attempt_id, amount_minor=amount,
                currency="EUR", dispute_reference=reference,
            )
            for bank in ("bank-alpha", "bank-beta")
            for what in WORDS
            for amount in (row.amount_minor, 1)
            for reference in (None, "d-1")
        ]  # fmt: skip
    return events


WORDS: tuple[Any, ...] = (
    "confirmed", "declined", "bounced", "returned", "recalled",
    "dispute_opened", "dispute_won", "dispute_lost",
)  # fmt: skip


def test_every_status_is_in_the_table() -> None:
    assert set(get_args(PaymentStatus)) == set(REACHED)


@pytest.mark.parametrize("status", REACHED)
@pytest.mark.parametrize("later_s", [0, 10**7])
def test_every_event_in_every_state_is_applied_refused_or_illegal(
    status: PaymentStatus, later_s: int
) -> None:
    record = TinyRecord()
    payment_id = REACHED[status](record)
    assert status == record.status(payment_id)

    for event in _events(record, payment_id):
        again = TinyRecord()
        assert payment_id == REACHED[status](again)
        again.wait_only(later_s)
        try:
            done = again.turn(event)
        except IllegalTransition:
            assert isinstance(event, Answered | ReminderDue | Screened)
            continue
        if event.mail_id is not None:
            assert [event.mail_id] == [mail_id for mail_id, _ in done.mail_done]
        if status in PAYMENT_FINAL:
            assert status == again.status(payment_id)


def test_a_payment_that_the_snapshot_lacks_ends_the_turn() -> None:
    record = TinyRecord()
    payment_id = record.accept()
    events = [TurnCame(payment_id=payment_id)]

    with pytest.raises(RecordIncomplete):
        record.decide(events, without_account=True)
    with pytest.raises(RecordIncomplete):
        record.decide(events, without_payments=True)


def test_a_call_that_nobody_made_cannot_be_answered() -> None:
    record = TinyRecord()
    record.submit()
    order = record.orders[0]

    with pytest.raises(IllegalTransition):
        record.turn(
            Answered(payment_id=order.payment_id, attempt_id="att_eu_none_1", epoch=1, kind="confirmed")
        )
    with pytest.raises(IllegalTransition):
        record.turn(
            Answered(payment_id=order.payment_id, attempt_id=order.attempt_id, epoch=1, kind="not_found")
        )

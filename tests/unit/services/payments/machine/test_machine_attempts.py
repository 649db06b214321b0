from __future__ import annotations

from datetime import timedelta

import pytest

from services.payments.machine.events import Answered, ReminderDue
from tests.unit.services.payments.machine.tiny_record import POLICY, TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


@pytest.mark.parametrize("kind", ["unknown", "pending"])
def test_an_unknown_outcome_keeps_the_hold_and_never_goes_elsewhere(record: TinyRecord, kind: str) -> None:
    payment_id = record.submit("payout")
    record.answer(kind)  # type: ignore[arg-type]
    for _ in range(20):
        record.wait(payment_id, hours=13)
        record.answer(kind)  # type: ignore[arg-type]

    assert "unknown" == record.status(payment_id)
    assert 1_000 == record.account.held_minor
    assert {"bank-alpha"} == {order.bank for order in record.orders}
    assert 1 == record.types(payment_id).count("outcome_unknown")
    assert 1 == record.types(payment_id).count("needs_operator")


def test_an_operator_is_called_when_policy_says_so_and_not_at_the_next_question(record: TinyRecord) -> None:
    payment_id = record.submit()
    begun = record.now
    while "needs_operator" not in record.types(payment_id):
        record.answer("unknown")
        due = record.payments[payment_id].due
        assert due is not None
        record.wait(payment_id, seconds=(due - record.now).total_seconds())

    assert begun + POLICY.raise_after == record.now


def test_what_ends_an_unknown_outcome_is_told_after_its_end(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("unknown")
    record.wait(payment_id, seconds=2)
    record.answer("confirmed")

    assert ["outcome_unknown", "outcome_resolved", "succeeded"] == record.types(payment_id)[-3:]


def test_a_lease_that_ran_out_becomes_a_question_under_a_new_epoch(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.wait(payment_id, seconds=12)

    order = record.orders[-1]
    assert ("inquire", 2, True) == (order.action, order.epoch, order.resendable)
    assert "unknown" == record.status(payment_id)


def test_after_twenty_hours_the_same_request_is_not_sent_again(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.wait(payment_id, hours=20)

    assert not record.orders[-1].resendable


def test_a_reminder_that_somebody_was_quicker_with_changes_nothing(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.wait(payment_id, seconds=12)
    done = record.turn(ReminderDue(payment_id=payment_id, subject_id=payment_id))

    assert ([], []) == (done.payments, done.orders)


@pytest.mark.parametrize("kind", ["unknown", "pending", "unsent"])
def test_an_undecided_answer_of_a_lost_lease_changes_nothing(record: TinyRecord, kind: str) -> None:
    payment_id = record.submit()
    record.wait(payment_id, seconds=12)
    done = record.answer(kind, record.orders[0])  # type: ignore[arg-type]

    assert [] == done.payments


def test_a_definite_answer_of_a_lost_lease_is_true_all_the_same(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.wait(payment_id, seconds=12)
    record.answer("confirmed", record.orders[0])

    assert "succeeded" == record.status(payment_id)


def test_a_call_that_never_left_is_sent_again_at_the_same_bank(record: TinyRecord) -> None:
    record.banks.away = {"bank-beta"}
    payment_id = record.submit()
    dues = []
    for _ in range(5):
        record.answer("unsent")
        due = record.payments[payment_id].due
        assert due is not None
        dues.append(due - record.now)
        record.wait(payment_id, seconds=8)

    assert [timedelta(seconds=s) for s in (2, 4, 8, 8, 8)] == dues
    assert {("bank-alpha", "send")} == {(order.bank, order.action) for order in record.orders}
    assert "submitted" == record.status(payment_id)


def test_after_three_calls_that_never_left_another_bank_takes_the_payment(record: TinyRecord) -> None:
    payment_id = record.submit()
    for _ in range(2):
        record.answer("unsent")
        record.wait(payment_id, seconds=8)
    record.answer("unsent")

    assert ["not_processed", "sending"] == [a.state for a in record.payments[payment_id].attempts]
    assert "bank-beta" == record.orders[-1].bank


def test_what_may_have_been_sent_once_stays_with_its_bank_however_often_calls_fail(
    record: TinyRecord,
) -> None:
    payment_id = record.submit()
    record.wait(payment_id, seconds=12)
    for _ in range(10):
        record.answer("unsent")
        record.wait(payment_id, seconds=8)

    assert "unknown" == record.payments[payment_id].attempts[0].state
    assert {"bank-alpha"} == {order.bank for order in record.orders}


def test_a_call_that_a_later_event_of_the_turn_made_pointless_is_not_made(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.now += POLICY.lease
    done = record.turn(
        ReminderDue(payment_id=payment_id, subject_id=payment_id),
        Answered(payment_id=payment_id, attempt_id=record.orders[0].attempt_id, epoch=1, kind="confirmed"),
    )

    assert [] == done.orders
    assert "succeeded" == record.status(payment_id)

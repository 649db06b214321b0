from __future__ import annotations

from datetime import timedelta

import pytest

from services.payments.machine.events import CaptureAsked, Decisions, ReminderDue, VoidAsked
from tests.unit.services.payments.machine.tiny_record import POLICY, TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def _capture(record: TinyRecord, payment_id: str, amount_minor: int | None = None) -> Decisions:
    return record.turn(CaptureAsked(payment_id=payment_id, mail_id=1, amount_minor=amount_minor, by="key-1"))


def _void(record: TinyRecord, payment_id: str) -> Decisions:
    return record.turn(VoidAsked(payment_id=payment_id, mail_id=1, by="key-1"))


def test_an_authorisation_waits_for_the_merchant_until_it_ends(record: TinyRecord) -> None:
    payment_id = record.authorize()

    payment = record.payments[payment_id]
    assert ("authorized", "authorise") == (payment.status, payment.attempts[0].operation)
    assert record.now + POLICY.authorization_life == payment.due == payment.expires_at
    assert (0, 0) == (payment.captured_minor, record.account.unposted_minor)


@pytest.mark.parametrize(("asked", "captured"), [(None, 1_000), (1_000, 1_000), (1, 1), (400, 400)])
def test_the_whole_or_less_is_captured_once(record: TinyRecord, asked: int | None, captured: int) -> None:
    payment_id = record.authorize(1_000)
    _capture(record, payment_id, asked)
    order = record.orders[-1]
    record.answer("confirmed")

    assert ("capture", captured, f"ref-{record.orders[0].attempt_id}") == (
        order.operation, order.amount_minor, order.original_reference,
    )  # fmt: skip
    assert captured == record.payments[payment_id].captured_minor == record.account.unposted_minor
    assert ["authorized", "capture_requested", "captured", "succeeded"] == record.types(payment_id)[-4:]
    assert [(1, "refused: state_conflict")] == _capture(record, payment_id, 1).mail_done


@pytest.mark.parametrize("amount_minor", [0, -1, 1_001])
def test_an_amount_that_was_not_authorised_is_not_captured(record: TinyRecord, amount_minor: int) -> None:
    payment_id = record.authorize(1_000)

    assert [(1, "refused: amount_invalid")] == _capture(record, payment_id, amount_minor).mail_done
    assert "authorized" == record.status(payment_id)


def test_a_declined_capture_leaves_the_payment_authorised_and_it_may_be_tried_again(
    record: TinyRecord,
) -> None:
    payment_id = record.authorize()
    _capture(record, payment_id)
    record.answer("declined", code="technical")
    after_decline = record.payments[payment_id]
    _capture(record, payment_id)
    record.answer("confirmed")

    assert ("authorized", after_decline.expires_at) == (after_decline.status, after_decline.due)
    assert "succeeded" == record.status(payment_id)
    assert ["bank-alpha"] * 3 == [order.bank for order in record.orders]
    assert [1, 2] == [a.number for a in record.payments[payment_id].attempts if a.operation == "capture"]


@pytest.mark.parametrize(("command", "status"), [(_capture, "capturing"), (_void, "voiding")])
def test_an_unknown_second_step_is_asked_for_and_told(record: TinyRecord, command: type, status: str) -> None:
    payment_id = record.authorize()
    command(record, payment_id)
    record.answer("unknown")
    record.wait(payment_id, seconds=2)

    assert status == record.status(payment_id)
    assert ("inquire", f"ref-{record.orders[0].attempt_id}") == (
        record.orders[-1].action, record.orders[-1].original_reference,
    )  # fmt: skip
    assert "outcome_unknown" == record.types(payment_id)[-1]


def test_a_void_cancels_and_a_capture_after_it_is_too_late(record: TinyRecord) -> None:
    payment_id = record.authorize()
    _void(record, payment_id)
    meanwhile = _capture(record, payment_id)
    record.answer("confirmed")

    assert [(1, "refused: state_conflict")] == meanwhile.mail_done
    assert ["void_requested", "canceled"] == record.types(payment_id)[-2:]
    assert [(1, "refused: state_conflict")] == _void(record, payment_id).mail_done


def test_a_declined_void_leaves_the_payment_authorised_and_calls_an_operator(record: TinyRecord) -> None:
    payment_id = record.authorize()
    _void(record, payment_id)
    record.answer("declined")

    assert ["void_declined", "needs_operator"] == record.types(payment_id)[-2:]
    assert record.payments[payment_id].expires_at == record.payments[payment_id].due


def test_at_its_end_an_authorisation_is_voided_and_only_then_expired(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.wait(payment_id, days=7)
    asked = record.status(payment_id)
    record.answer("confirmed")

    assert ("voiding", "void") == (asked, record.orders[-1].operation)
    assert ["void_requested", "expired"] == record.types(payment_id)[-2:]


def test_what_the_merchant_voided_in_time_is_canceled_however_late_the_bank_answers(
    record: TinyRecord,
) -> None:
    payment_id = record.authorize()
    _void(record, payment_id)
    record.now += timedelta(days=30)
    record.answer("confirmed")

    assert "canceled" == record.status(payment_id)


def test_an_ended_authorisation_is_not_captured_even_before_its_reminder(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.now += POLICY.authorization_life

    assert [(1, "refused: authorization_expired")] == _capture(record, payment_id).mail_done


def test_a_void_of_an_ended_authorisation_that_is_declined_is_tried_again_ever_later(
    record: TinyRecord,
) -> None:
    payment_id = record.authorize()
    record.now += POLICY.authorization_life
    delays = []
    for _ in range(3):
        record.turn(ReminderDue(payment_id=payment_id, subject_id=payment_id))
        record.answer("declined")
        due = record.payments[payment_id].due
        assert due is not None
        delays.append(due - record.now)
        record.now = due

    assert [timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=1)] == delays
    assert ["declined"] * 3 == [a.state for a in record.payments[payment_id].attempts[1:]]
    assert 1 == record.types(payment_id).count("needs_operator")


def test_a_bank_that_never_had_the_void_is_asked_again(record: TinyRecord) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.authorize()
    _void(record, payment_id)
    for _ in range(2):
        record.wait(payment_id, minutes=11)
        record.answer("not_found")

    assert ["confirmed", "not_processed"] == [a.state for a in record.payments[payment_id].attempts]
    assert "authorized" == record.status(payment_id)


def test_a_declined_void_is_shown_though_its_missing_answer_was(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
    record.wait(payment_id, minutes=20)
    shown = record.types(payment_id).count("needs_operator")
    record.answer("declined", code="technical")

    assert (1, "authorized") == (shown, record.status(payment_id))
    assert ["outcome_resolved", "void_declined", "needs_operator"] == record.types(payment_id)[-3:]


def test_voids_that_are_declined_again_and_again_are_shown_once(record: TinyRecord) -> None:
    payment_id = record.authorize()
    for _ in range(3):
        record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
        record.answer("declined", code="technical")

    assert 1 == record.types(payment_id).count("needs_operator")

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.events import CaptureAsked, RefundAsked, VoidAsked
from services.payments.machine.model import headroom_minor
from services.payments.machine.policy import Policy
from tests.unit.services.payments.machine.tiny_record import TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def _tell(record: TinyRecord, what: str, place: int = 0, **changed: Any) -> str:
    """A word of the bank about an attempt, by default the first, of the last payment."""
    payment = record.payments[list(record.payments)[-1]]
    ((_, result),) = record.turn(record.told(what, payment.attempts[place], **changed)).mail_done
    return result


def test_a_late_collect_goes_to_suspense_and_back_to_the_payer(record: TinyRecord) -> None:
    payment_id = record.submit("collect", 1_000)
    record.answer("declined")
    told = _tell(record, "confirmed", bank_reference="b-9")
    order, suspense = record.orders[-1], record.sums()["suspense:EUR"]
    again = _tell(record, "confirmed", bank_reference="b-9")
    record.answer("confirmed")

    payment = record.payments[payment_id]
    assert ["applied", "refused: already_known"] == [told, again]
    assert ("failed", "generic") == (payment.status, payment.decline_code)
    assert ("refund", "bank-alpha", 1_000, "b-9") == (
        order.operation, order.bank, order.amount_minor, order.original_reference,
    )  # fmt: skip
    assert (1_000, 0) == (suspense, record.sums()["suspense:EUR"])
    assert ("system", "succeeded") == (payment.refunds[0].origin, payment.refunds[0].status)
    assert (0, 0) == (payment.captured_minor, record.account.unposted_minor)
    assert "late_success" in record.types(payment_id)


def test_a_late_success_after_failover_leaves_the_second_bank_alone(record: TinyRecord) -> None:
    payment_id = record.submit()
    first = record.orders[0]
    record.answer("declined", code="technical")
    second = record.orders[-1]
    record.turn(record.told("confirmed", first))
    record.answer("confirmed", second)

    assert "succeeded" == record.status(payment_id)
    assert ["declined", "confirmed", "sending"] == [a.state for a in record.payments[payment_id].attempts]
    assert 1_000 == record.account.unposted_minor == record.sums()["suspense:EUR"]


def test_a_late_payout_is_covered_from_suspense_and_shown_to_an_operator(record: TinyRecord) -> None:
    payment_id = record.submit("payout")
    record.answer("declined")
    before = record.account.posted_minor
    _tell(record, "confirmed")

    assert (-1_000, before) == (record.sums()["suspense:EUR"], record.account.posted_minor)
    assert ["late_success", "needs_operator"] == record.types(payment_id)[-2:]
    assert "failed" == record.status(payment_id)


def test_a_withdrawn_payout_that_the_bank_had_all_the_same_is_a_late_success(record: TinyRecord) -> None:
    payment_id = record.submit("payout")
    record.answer("unsent")
    record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
    _tell(record, "confirmed")

    assert ["canceled", "late_success", "needs_operator"] == record.types(payment_id)[-3:]


def test_a_late_success_by_a_stale_answer_counts_too(record: TinyRecord) -> None:
    payment_id = record.submit()
    first = record.orders[0]
    record.answer("declined")
    record.answer("confirmed", first)

    assert "system" == record.payments[payment_id].refunds[0].origin


def test_a_second_late_success_is_left_to_an_operator(record: TinyRecord) -> None:
    record.policy = Policy(attempts_max=2)
    payment_id = record.submit()
    record.answer("declined", code="technical")
    record.answer("declined", code="technical")
    first, second = record.payments[payment_id].attempts

    assert "applied" == record.turn(record.told("confirmed", first)).mail_done[0][1]
    assert "refused: contradiction" == record.turn(record.told("confirmed", second)).mail_done[0][1]
    assert 1 == len(record.payments[payment_id].refunds)
    assert "contradiction" == record.types(payment_id)[-1]


def test_a_late_success_that_cannot_be_given_back_stays_in_suspense_for_an_operator(
    record: TinyRecord,
) -> None:
    payment_id = record.submit()
    record.answer("declined")
    _tell(record, "confirmed")
    record.answer("declined")

    assert 1_000 == record.sums()["suspense:EUR"]
    assert ["refund.failed", "needs_operator"] == record.types(payment_id)[-2:]


def test_a_late_capture_goes_back_and_ends_the_authorisation_that_it_used_up(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.turn(CaptureAsked(payment_id=payment_id, by="key-1", amount_minor=400))
    record.answer("declined")
    _tell(record, "confirmed", 1)

    assert ("canceled", 0) == (record.status(payment_id), record.payments[payment_id].captured_minor)
    assert ("refund", 400) == (record.orders[-1].operation, record.orders[-1].amount_minor)
    assert 400 == record.sums()["suspense:EUR"]
    assert None is record.payments[payment_id].due


def test_what_a_late_capture_used_up_is_not_voided_again_and_again(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.turn(CaptureAsked(payment_id=payment_id, by="key-1"))
    record.answer("declined")
    record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
    void = record.orders[-1]
    _tell(record, "confirmed", 1)
    asked = record.status(payment_id)
    record.answer("declined", void, code="already_captured")

    assert ("voiding", "canceled") == (asked, record.status(payment_id))
    assert ["void_declined", "canceled", "needs_operator"] == record.types(payment_id)[-3:]


def test_a_late_authorisation_moves_no_money_and_is_shown_to_an_operator(record: TinyRecord) -> None:
    payment_id = record.submit("collect", 1_000, "manual")
    record.answer("declined")
    _tell(record, "confirmed")

    assert ["failed", "late_success", "needs_operator"] == record.types(payment_id)[-3:]
    assert {} == record.transfers


def test_a_late_void_ends_what_it_released_and_moves_no_money(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
    record.answer("declined")

    assert "applied" == _tell(record, "confirmed", 1)
    assert "refused: already_known" == _tell(record, "confirmed", 1)
    assert "canceled" == record.status(payment_id)
    assert ["late_success", "canceled"] == record.types(payment_id)[-2:]
    assert {} == record.transfers


def test_a_late_void_of_what_was_captured_is_a_contradiction(record: TinyRecord) -> None:
    payment_id = record.authorize()
    record.turn(VoidAsked(payment_id=payment_id, by="key-1"))
    record.answer("declined")
    record.turn(CaptureAsked(payment_id=payment_id, by="key-1"))
    record.answer("confirmed")

    assert "refused: contradiction" == _tell(record, "confirmed", 1)
    assert "succeeded" == record.status(payment_id)


def _refund(record: TinyRecord, payment_id: str, number: int, amount_minor: int) -> str:
    ((_, result),) = record.turn(
        RefundAsked(
            payment_id=payment_id, refund_id=f"ref_eu_{number:026d}", amount_minor=amount_minor,
            origin="user", reason="", by="key-1", mail_id=90 + number,
        )
    ).mail_done  # fmt: skip
    return result


def test_a_late_refund_counts_as_refunded_and_is_paid_by_its_merchant(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _refund(record, payment_id, 1, 400)
    record.answer("declined")
    before = record.account.posted_minor

    assert "applied" == _tell(record, "confirmed", 1)
    assert "refused: already_known" == _tell(record, "confirmed", 1)
    payment = record.payments[payment_id]
    assert ("failed", 400, 600) == (
        payment.refunds[0].status,
        payment.refunded_minor,
        headroom_minor(payment),
    )
    assert (before - 400, 0) == (record.account.posted_minor, record.sums()["suspense:EUR"])
    assert ["late_success", "needs_operator"] == record.types(payment_id)[-2:]


def test_no_full_chargeback_follows_a_late_refund(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _refund(record, payment_id, 1, 400)
    record.answer("declined")
    _tell(record, "confirmed", 1)

    assert "refused: refund_exceeds_available" == _tell(record, "dispute_lost", dispute_reference="d-1")
    assert "applied" == _tell(record, "dispute_lost", dispute_reference="d-2", amount_minor=600)


def test_a_late_refund_that_finds_no_room_is_in_suspense_and_leaves_no_headroom(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _refund(record, payment_id, 1, 1_000)
    record.answer("declined")
    _refund(record, payment_id, 2, 600)
    record.answer("confirmed")

    assert "applied" == _tell(record, "confirmed", 1)
    payment = record.payments[payment_id]
    assert (600, 0) == (payment.refunded_minor, headroom_minor(payment))
    assert -1_000 == record.sums()["suspense:EUR"]
    assert ["late_success", "needs_operator"] == record.types(payment_id)[-2:]
    assert "refused: refund_exceeds_available" == _refund(record, payment_id, 3, 1)


def test_a_refund_given_by_two_of_its_attempts_counts_once_and_an_operator_sees_it(
    record: TinyRecord,
) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.succeed("collect", 1_000)
    _refund(record, payment_id, 1, 400)
    for _ in range(2):
        record.answer("not_found")
        record.wait(f"ref_eu_{1:026d}", hours=1)
    record.answer("not_found")
    record.answer("confirmed")

    assert "applied" == _tell(record, "confirmed", 1)
    payment = record.payments[payment_id]
    assert (400, 200) == (payment.refunded_minor, headroom_minor(payment))
    assert (-400, "needs_operator") == (record.sums()["suspense:EUR"], record.types(payment_id)[-1])


@given(
    refunds=st.lists(st.tuples(st.integers(1, 600), st.booleans()), max_size=5), lost=st.integers(1, 1_000)
)
def test_what_went_back_late_is_never_charged_back_as_well(
    refunds: list[tuple[int, bool]], lost: int
) -> None:
    record = TinyRecord()
    payment_id = record.succeed("collect", 1_000)
    given_minor = 0
    for number, (amount_minor, is_late) in enumerate(refunds, 1):
        if _refund(record, payment_id, number, amount_minor) != "applied":
            continue
        order = record.orders[-1]
        record.answer("declined", order)
        if is_late:
            record.turn(record.told("confirmed", order))
            given_minor += amount_minor

    assert ("applied" if lost <= 1_000 - given_minor else "refused: refund_exceeds_available") == _tell(
        record, "dispute_lost", dispute_reference="d-1", amount_minor=lost
    )


def test_a_bounced_compensation_is_in_suspense_again(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("declined")
    _tell(record, "confirmed")
    order = record.orders[-1]
    record.answer("confirmed")
    record.turn(record.told("bounced", order))

    assert 1_000 == record.sums()["suspense:EUR"]
    assert ["refund.reversed", "needs_operator"] == record.types(payment_id)[-2:]


def test_a_late_success_that_is_not_given_back_is_shown_though_its_missing_answer_was(
    record: TinyRecord,
) -> None:
    payment_id = record.submit("collect", 1_000)
    record.answer("declined")
    _tell(record, "confirmed")
    record.wait(record.payments[payment_id].refunds[0].refund_id, minutes=20)
    shown = record.types(payment_id).count("needs_operator")
    record.answer("declined", code="account_closed")

    assert (1, 1_000) == (shown, record.sums()["suspense:EUR"])
    assert ["refund.failed", "needs_operator"] == record.types(payment_id)[-2:]


def test_a_payout_that_its_bank_returns_moves_nothing_and_is_shown(record: TinyRecord) -> None:
    payment_id = record.submit("payout", 1_000)
    record.answer("confirmed")
    account, transfers = record.account, len(record.transfers)

    assert "refused: contradiction" == _tell(record, "returned")
    assert ("succeeded", account) == (record.status(payment_id), record.account)
    assert (transfers, "contradiction") == (len(record.transfers), record.types(payment_id)[-1])

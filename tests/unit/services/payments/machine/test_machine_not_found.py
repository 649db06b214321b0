from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.services.payments.machine.tiny_record import TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def _ask(record: TinyRecord, payment_id: str, minutes: float) -> None:
    record.wait(payment_id, minutes=minutes)
    record.answer("not_found")


def test_not_found_is_unknown_at_a_bank_that_does_not_promise_more(record: TinyRecord) -> None:
    payment_id = record.submit()
    for _ in range(10):
        _ask(record, payment_id, 60 * 13)

    assert "unknown" == record.status(payment_id)
    assert {"bank-alpha"} == {order.bank for order in record.orders}


def test_not_found_often_and_long_enough_by_a_bank_that_promises_frees_the_payment(
    record: TinyRecord,
) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.submit()
    _ask(record, payment_id, 1)
    once = record.payments[payment_id].attempts[0].state
    _ask(record, payment_id, 9)
    too_soon = record.payments[payment_id].attempts[0].state
    _ask(record, payment_id, 1)

    assert ["unknown", "unknown"] == [once, too_soon]
    assert ["not_processed", "sending"] == [a.state for a in record.payments[payment_id].attempts]
    assert "bank-beta" == record.orders[-1].bank
    assert ["outcome_unknown", "outcome_resolved", "bank_changed"] == record.types(payment_id)[-3:]


def test_another_answer_in_between_begins_the_count_anew(record: TinyRecord) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.submit()
    _ask(record, payment_id, 1)
    record.wait(payment_id, minutes=11)
    record.answer("pending")
    _ask(record, payment_id, 11)

    assert "unknown" == record.payments[payment_id].attempts[0].state


def test_not_found_is_never_believed_after_the_bank_spoke_of_the_attempt(record: TinyRecord) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.submit()
    record.turn(record.told("confirmed", record.orders[0], amount_minor=999))
    for _ in range(5):
        _ask(record, payment_id, 60 * 13)
    record.wait(payment_id, hours=13)
    record.answer("unknown")
    for _ in range(5):
        _ask(record, payment_id, 60 * 13)

    assert "unknown" == record.payments[payment_id].attempts[0].state


def test_a_payment_that_no_bank_processed_waits_and_may_come_back_to_the_same_bank(
    record: TinyRecord,
) -> None:
    record.banks.final = {"bank-alpha"}
    record.banks.away = {"bank-beta"}
    payment_id = record.submit("payout")
    for _ in range(2):
        _ask(record, payment_id, 11)
    waiting = record.status(payment_id)
    record.wait(payment_id, seconds=2)

    assert "reserved" == waiting
    assert ["not_processed", "sending"] == [a.state for a in record.payments[payment_id].attempts]
    assert 1_000 == record.account.held_minor


def test_after_the_last_attempt_that_policy_allows_the_payment_has_failed(record: TinyRecord) -> None:
    record.banks.final = {"bank-alpha", "bank-beta"}
    payment_id = record.submit("payout")
    for _ in range(3):
        for _ in range(2):
            _ask(record, payment_id, 11)
        if record.status(payment_id) == "reserved":
            record.wait(payment_id, seconds=2)

    assert "bank_unavailable" == record.payments[payment_id].decline_code
    assert ["not_processed"] * 3 == [a.state for a in record.payments[payment_id].attempts]
    assert 0 == record.account.held_minor


def test_the_count_begins_anew_too(record: TinyRecord) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.submit()
    _ask(record, payment_id, 1)
    record.wait(payment_id, minutes=1)
    record.answer("unknown")

    attempt = record.payments[payment_id].attempts[0]
    assert (0, None) == (attempt.not_founds, attempt.not_found_since)


def test_what_a_final_bank_never_gets_is_at_another_one_within_a_quarter_of_an_hour(
    record: TinyRecord,
) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.submit()
    began = record.now
    resent = []
    while record.orders[-1].bank == "bank-alpha":
        due = record.payments[payment_id].due
        assert due is not None
        record.wait(payment_id, seconds=(due - record.now).total_seconds())
        # Where it may be sent again, it is lost again.
        resent.append(record.orders[-1].resendable)
        record.answer("unknown" if resent[-1] else "not_found")

    assert timedelta(minutes=15) >= record.now - began
    assert [True, False] == [resent[0], resent[-1]]
    assert sorted(resent, reverse=True) == resent


@pytest.mark.parametrize(("is_final", "minutes", "expected"), [
    (True, 0.9, True), (True, 1, False), (False, 60 * 19.9, True), (False, 60 * 20, False),
])  # fmt: skip
def test_how_long_the_same_request_is_sent_again_is_the_banks_contract(
    record: TinyRecord, is_final: bool, minutes: float, expected: bool
) -> None:
    record.banks.final = {"bank-alpha"} if is_final else set()
    record.wait(record.submit(), minutes=minutes)

    assert expected == record.orders[-1].resendable

from __future__ import annotations

import pytest

from services.payments.machine.events import CaptureAsked, TurnCame, VoidAsked
from services.payments.machine.model import Credit, Transfer
from services.payments.machine.policy import Policy
from tests.unit.services.payments.machine.tiny_record import ACCOUNT, POLICY, TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def test_the_accounts_turns_are_numbered_in_order(record: TinyRecord) -> None:
    ids = [record.accept() for _ in range(3)]

    record.turn(*(TurnCame(payment_id=payment_id) for payment_id in ids))

    assert [1, 2, 3] == [record.payments[payment_id].account_version for payment_id in ids]
    assert 3 == record.account.version
    assert ids == [asking.payment_id for asking in record.askings]


def test_a_collect_goes_from_acceptance_to_success_and_its_credit_waits_for_a_window(
    record: TinyRecord,
) -> None:
    payment_id = record.succeed("collect", 700)

    payment = record.payments[payment_id]
    assert ["screening_passed", "submitted", "succeeded"] == record.types(payment_id)
    assert 700 == payment.captured_minor
    assert 700 == record.account.unposted_minor
    assert [
        Credit(
            source_id=payment.attempts[0].attempt_id, account_id=ACCOUNT, payment_id=payment_id,
            bank="bank-alpha", amount_minor=700, currency="EUR",
        )
    ] == list(record.credits.values())  # fmt: skip


def test_a_payout_is_held_before_any_bank_is_called_and_posted_when_it_has_gone(record: TinyRecord) -> None:
    payment_id = record.submit("payout", 700)
    held = record.account.held_minor
    record.answer("confirmed")

    assert ["screening_passed", "reserved", "submitted", "succeeded"] == record.types(payment_id)
    assert (700, 0) == (held, record.account.held_minor)
    assert Transfer(
        transfer_id=f"{payment_id}/post", payment_id=payment_id, kind="post", debit_account=ACCOUNT,
        credit_account="bank:bank-alpha:EUR", amount_minor=700, currency="EUR",
        resolves=f"{payment_id}/hold",
    ) == record.transfers[f"{payment_id}/post"]  # fmt: skip


def test_intent_and_first_lease_are_one_commit(record: TinyRecord) -> None:
    payment_id = record.submit()

    payment, order = record.payments[payment_id], record.orders[0]
    assert ("sending", 1) == (payment.attempts[0].state, payment.attempts[0].epoch)
    assert record.now + POLICY.lease == payment.due
    assert ("send", 1, payment.attempts[0].attempt_id) == (order.action, order.epoch, order.attempt_id)


def test_a_payout_beyond_the_balance_fails_and_no_bank_hears_of_it() -> None:
    record = TinyRecord(opening_minor=999)
    payment_id = record.submit("payout", 1_000)

    assert "insufficient_funds" == record.payments[payment_id].decline_code
    assert [] == record.orders
    assert 0 == record.account.held_minor


def test_payouts_of_one_turn_share_the_balance() -> None:
    record = TinyRecord(opening_minor=1_500)
    first, second = record.accept("payout"), record.accept("payout")
    record.turn(TurnCame(payment_id=first), TurnCame(payment_id=second))
    record.screen(first)
    record.screen(second)

    assert ["submitted", "failed"] == [record.status(first), record.status(second)]


def test_a_payout_that_lacks_funds_posts_the_waiting_credits_first() -> None:
    record = TinyRecord(opening_minor=0)
    record.succeed("collect", 1_000)
    payment_id = record.accept("payout", 1_000)
    record.turn(TurnCame(payment_id=payment_id))
    done = record.screen(payment_id)

    assert [ACCOUNT] == done.flushed
    assert (1_000, 1_000, 0) == (
        record.account.posted_minor, record.account.held_minor, record.account.unposted_minor,
    )  # fmt: skip
    assert "submitted" == record.status(payment_id)


def test_a_rejected_payment_fails_and_no_bank_hears_of_it(record: TinyRecord) -> None:
    payment_id = record.accept()
    record.turn(TurnCame(payment_id=payment_id))
    done = record.screen(payment_id, "reject")

    assert "suspected_fraud" == record.payments[payment_id].decline_code
    assert ["reject"] == [screening.verdict for screening in done.screenings]
    assert [] == record.orders


def test_a_second_verdict_changes_nothing(record: TinyRecord) -> None:
    payment_id = record.submit()
    done = record.screen(payment_id, "reject")

    assert "submitted" == record.status(payment_id)
    assert [] == done.screenings


def test_a_missing_verdict_is_asked_for_again_and_an_operator_called_once(record: TinyRecord) -> None:
    payment_id = record.accept()
    record.turn(TurnCame(payment_id=payment_id))
    for _ in range(5):
        record.wait(payment_id, minutes=10)

    assert "screening" == record.status(payment_id)
    assert 6 == len(record.askings)
    assert ["needs_operator"] == record.types(payment_id)


def test_a_payment_that_no_bank_can_take_waits_for_one(record: TinyRecord) -> None:
    record.banks.away = {"bank-alpha", "bank-beta"}
    payment_id = record.submit("payout")
    record.wait(payment_id, seconds=2)
    waiting = record.status(payment_id)
    record.banks.away = {"bank-alpha"}
    record.wait(payment_id, seconds=2)

    assert "reserved" == waiting
    assert "bank-beta" == record.orders[-1].bank
    assert ["screening_passed", "reserved", "submitted"] == record.types(payment_id)


def test_the_wait_for_a_bank_is_counted_from_its_own_beginning(record: TinyRecord) -> None:
    record.banks.away = {"bank-alpha", "bank-beta"}
    payment_id = record.accept()
    record.turn(TurnCame(payment_id=payment_id))
    record.wait(payment_id, seconds=3)
    record.screen(payment_id)

    assert ("reserved", 0) == (record.status(payment_id), record.payments[payment_id].tries)


def test_a_payment_that_no_bank_can_take_for_long_calls_an_operator_once(record: TinyRecord) -> None:
    record.banks.away = {"bank-alpha", "bank-beta"}
    payment_id = record.submit()
    for _ in range(500):
        record.wait(payment_id, seconds=2)

    assert ["screening_passed", "needs_operator"] == record.types(payment_id)


def test_a_final_decline_fails_the_payment_and_releases_the_hold(record: TinyRecord) -> None:
    payment_id = record.submit("payout")
    record.answer("declined", code="do_not_honor")

    assert "do_not_honor" == record.payments[payment_id].decline_code
    assert 0 == record.account.held_minor
    assert f"{payment_id}/void" in record.transfers
    assert 1 == len(record.orders)


def test_a_retryable_decline_goes_to_another_bank(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("declined", code="technical")

    assert "bank-beta" == record.orders[-1].bank
    assert "submitted" == record.status(payment_id)
    assert ["screening_passed", "submitted", "bank_changed"] == record.types(payment_id)


def test_no_more_banks_are_tried_than_policy_allows(record: TinyRecord) -> None:
    record.policy = Policy(attempts_max=1)
    payment_id = record.submit()
    record.answer("declined", code="technical")

    assert ("failed", 1) == (record.status(payment_id), len(record.orders))


def test_when_every_bank_has_declined_the_payment_has_failed(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("declined", code="technical")
    record.answer("declined", code="bank_unavailable")

    assert "bank_unavailable" == record.payments[payment_id].decline_code


@pytest.mark.parametrize("kind", ["collect", "payout"])
def test_a_payment_that_no_bank_has_can_be_withdrawn(record: TinyRecord, kind: str) -> None:
    record.banks.away = {"bank-alpha", "bank-beta"}
    payment_id = record.submit(kind)
    done = record.turn(VoidAsked(payment_id=payment_id, mail_id=1, by="key-1"))

    assert [(1, "applied")] == done.mail_done
    assert "canceled" == record.status(payment_id)
    assert 0 == record.account.held_minor


def test_a_payment_withdrawn_before_its_turn_has_a_place_in_the_order_and_is_not_screened(
    record: TinyRecord,
) -> None:
    payment_id = record.accept()
    done = record.turn(VoidAsked(payment_id=payment_id, by="key-1"), TurnCame(payment_id=payment_id))

    assert [] == done.askings
    assert ("canceled", 1) == (record.status(payment_id), record.payments[payment_id].account_version)


def test_what_certainly_never_left_can_be_withdrawn_and_what_may_have_left_cannot(
    record: TinyRecord,
) -> None:
    payment_id = record.submit("payout")
    sending = record.turn(VoidAsked(payment_id=payment_id, mail_id=1, by="key-1"))
    record.answer("unsent")
    intent = record.turn(VoidAsked(payment_id=payment_id, mail_id=2, by="key-1"))

    assert [(1, "refused: state_conflict")] == sending.mail_done
    assert [(2, "applied")] == intent.mail_done
    assert "canceled" == record.status(payment_id)


def test_a_command_that_comes_too_late_is_answered_and_no_defect(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("declined")
    done = record.turn(CaptureAsked(payment_id=payment_id, mail_id=1, by="key-1"))

    assert [(1, "refused: state_conflict")] == done.mail_done

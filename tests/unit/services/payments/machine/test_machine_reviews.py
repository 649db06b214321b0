from __future__ import annotations

import pytest

from services.payments.machine.events import Decisions, RefundAsked, ReviewDecided, TurnCame
from services.payments.machine.policy import Policy
from tests.unit.services.payments.machine.tiny_record import POLICY, TinyRecord

LIMIT_MINOR = POLICY.second_approver_minor["EUR"]
REVIEW_MINOR = POLICY.refund_review_minor["EUR"]
REFUND = "ref_eu_00000000000000000000000001"


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord(opening_minor=10 * LIMIT_MINOR)


def _in_review(record: TinyRecord, amount_minor: int, kind: str = "collect") -> str:
    payment_id = record.accept(kind, amount_minor)  # type: ignore[arg-type]
    record.turn(TurnCame(payment_id=payment_id))
    record.screen(payment_id, "review")
    return payment_id


def _decide(
    record: TinyRecord, payment_id: str, by: str, decision: str = "approve", refund_id: str | None = None
) -> list[str]:
    done: Decisions = record.turn(
        ReviewDecided(
            payment_id=payment_id, mail_id=1, decision=decision, by=by, reason="seen",  # type: ignore[arg-type]
            refund_id=refund_id,
        )
    )  # fmt: skip
    return [result for _, result in done.mail_done]


def test_a_payment_in_review_waits_for_a_person_and_holds_no_money(record: TinyRecord) -> None:
    payment_id = _in_review(record, LIMIT_MINOR - 1, "payout")

    assert record.now + POLICY.review_deadline == record.payments[payment_id].due
    assert ["review_opened"] == record.types(payment_id)
    assert (0, []) == (record.account.held_minor, record.orders)


@pytest.mark.parametrize("kind", ["collect", "payout"])
def test_below_the_limit_one_approval_sends_it(record: TinyRecord, kind: str) -> None:
    payment_id = _in_review(record, LIMIT_MINOR - 1, kind)

    assert ["applied"] == _decide(record, payment_id, "ann")
    assert "submitted" == record.status(payment_id)
    assert ("ann",) == record.payments[payment_id].reviewers


def test_from_the_limit_on_two_different_persons_approve(record: TinyRecord) -> None:
    payment_id = _in_review(record, LIMIT_MINOR)
    due = record.payments[payment_id].due

    assert ["applied"] == _decide(record, payment_id, "ann")
    assert ("in_review", due) == (record.status(payment_id), record.payments[payment_id].due)
    assert ["refused: same_person"] == _decide(record, payment_id, "ann")
    assert "in_review" == record.status(payment_id)
    assert ["applied"] == _decide(record, payment_id, "bob")
    assert "submitted" == record.status(payment_id)
    assert ["review_opened", "review_approved", "review_approved", "submitted"] == record.types(payment_id)


def test_one_rejection_ends_it(record: TinyRecord) -> None:
    payment_id = _in_review(record, LIMIT_MINOR)
    _decide(record, payment_id, "ann")

    assert ["applied"] == _decide(record, payment_id, "bob", "reject")
    assert "review_rejected" == record.payments[payment_id].decline_code
    assert ["review_rejected", "failed"] == record.types(payment_id)[-2:]
    assert ["refused: not_in_review"] == _decide(record, payment_id, "cat")


def test_a_review_that_nobody_decides_ends_as_a_refusal(record: TinyRecord) -> None:
    payment_id = _in_review(record, LIMIT_MINOR)
    record.now += POLICY.review_deadline

    assert ["refused: review_expired"] == _decide(record, payment_id, "ann")
    record.wait(payment_id)
    assert "review_expired" == record.payments[payment_id].decline_code
    assert [] == record.orders


def test_an_approved_payout_without_funds_fails(record: TinyRecord) -> None:
    payment_id = _in_review(record, 10 * LIMIT_MINOR + 1, "payout")
    _decide(record, payment_id, "ann")
    _decide(record, payment_id, "bob")

    assert "insufficient_funds" == record.payments[payment_id].decline_code


def _refund_in_review(record: TinyRecord, origin: str = "customer_service") -> str:
    payment_id = record.succeed("collect", LIMIT_MINOR)
    record.turn(
        RefundAsked(
            payment_id=payment_id, refund_id=REFUND, amount_minor=REVIEW_MINOR,
            origin=origin, reason="sorry", by="ann",  # type: ignore[arg-type]
        )
    )  # fmt: skip
    return payment_id


@pytest.mark.parametrize("origin", ["customer_service", "bank"])
def test_a_refund_is_approved_by_somebody_who_did_not_ask_for_it(record: TinyRecord, origin: str) -> None:
    payment_id = _refund_in_review(record, origin)
    of = record.payments[payment_id].refunds[0]

    assert ("in_review", REVIEW_MINOR) == (
        of.status, record.payments[payment_id].refund_reserved_minor,
    )  # fmt: skip
    assert ["refused: same_person"] == _decide(record, payment_id, "ann", refund_id=REFUND)
    assert ["applied"] == _decide(record, payment_id, "bob", refund_id=REFUND)
    assert ("submitted", "bob") == (
        record.payments[payment_id].refunds[0].status, record.payments[payment_id].refunds[0].approved_by,
    )  # fmt: skip
    assert ["refused: not_in_review"] == _decide(record, payment_id, "cat", refund_id=REFUND)


def test_a_refund_that_is_rejected_or_forgotten_frees_what_it_reserved(record: TinyRecord) -> None:
    rejected = _refund_in_review(record)
    _decide(record, rejected, "bob", "reject", REFUND)
    forgotten = TinyRecord()
    payment_id = _refund_in_review(forgotten)
    late = POLICY.review_deadline.total_seconds()
    forgotten.now += POLICY.review_deadline
    assert ["refused: review_expired"] == _decide(forgotten, payment_id, "bob", refund_id=REFUND)
    forgotten.wait(REFUND, seconds=late)

    assert "review_rejected" == record.payments[rejected].refunds[0].decline_code
    assert "review_expired" == forgotten.payments[payment_id].refunds[0].decline_code
    assert (0, 0) == (
        record.payments[rejected].refund_reserved_minor,
        forgotten.payments[payment_id].refund_reserved_minor,
    )


def test_a_refund_that_the_payment_has_not_got_cannot_be_decided(record: TinyRecord) -> None:
    payment_id = record.succeed()

    assert ["refused: unknown_refund"] == _decide(record, payment_id, "bob", refund_id=REFUND)


def test_without_a_limit_for_the_currency_everything_needs_a_second_person(record: TinyRecord) -> None:
    record.policy = Policy(second_approver_minor={"USD": 10_000}, refund_review_minor={"USD": 10_000})
    payment_id = _in_review(record, 1)
    _decide(record, payment_id, "ann")
    first = record.status(payment_id)
    _decide(record, payment_id, "bob")

    assert ("in_review", "submitted") == (first, record.status(payment_id))
    _refund_in_review(record)
    assert "in_review" == record.payments[list(record.payments)[-1]].refunds[0].status

"""People decide about what is in review (pure).

Promises: nobody counts twice, and nobody approves the refund that they asked for; a review that nobody
decides in time ends as a refusal, with no bank called.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.payments.machine import payment, refund
from services.payments.machine.case import Case, Details
from services.payments.machine.errors import Refused
from services.payments.machine.events import ReviewDecided
from services.payments.machine.model import Refund

SECOND_APPROVERS = 2


def decided(case: Case, event: ReviewDecided) -> None:
    """One person's decision.

    Raises:
        Refused: not_in_review, review_expired, same_person, unknown_refund.
    """
    if event.refund_id is not None:
        of = case.refund(event.refund_id)
        if of is None:
            raise Refused("unknown_refund")
        _decide_refund(case, of, event)
        return
    row = case.row
    if row.status != "in_review":
        raise Refused("not_in_review")
    if row.due is not None and case.now >= row.due:
        raise Refused("review_expired")
    details: Details = {"by": event.by, "reason": event.reason}
    if event.decision == "reject":
        case.tell("payment.review_rejected", details)
        payment.fail(case, "review_rejected")
        return
    if event.by in row.reviewers:
        raise Refused("same_person")
    reviewers = (*row.reviewers, event.by)
    case.tell("payment.review_approved", details)
    case.change(reviewers=reviewers)
    needs_second = case.policy.needs_second_approver(row.amount_minor, row.currency)
    needed = SECOND_APPROVERS if needs_second else 1
    if len(reviewers) >= needed:
        payment.reserve(case)


def _decide_refund(case: Case, of: Refund, event: ReviewDecided) -> None:
    if of.status != "in_review":
        raise Refused("not_in_review")
    if of.due is not None and case.now >= of.due:
        raise Refused("review_expired")
    details: Details = {"by": event.by, "reason": event.reason}
    if event.decision == "reject":
        case.tell("refund.review_rejected", details, subject_id=of.refund_id)
        refund.rejected(case, of, "review_rejected")
        return
    if event.by == of.asked_by:
        raise Refused("same_person")
    case.tell("refund.review_approved", details, subject_id=of.refund_id)
    refund.release(case, replace(of, approved_by=event.by))


def expire_payment(case: Case) -> None:
    """Nobody decided in time; no bank was ever called."""
    payment.fail(case, "review_expired")


def expire_refund(case: Case, of: Refund) -> None:
    """Nobody decided in time; no bank was ever called."""
    refund.rejected(case, of, "review_expired")

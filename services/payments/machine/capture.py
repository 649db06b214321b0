"""The second step of a card payment: capture what was authorised, once, or void it (pure).

Promise: at most one of the two is under way; an authorisation that its end finds neither captured nor voided
is voided by the engine, and only the bank's word makes it expired.
"""

from __future__ import annotations

from datetime import datetime

from services.payments.machine import attempts, payment
from services.payments.machine.case import Case, Details
from services.payments.machine.errors import Refused
from services.payments.machine.events import CaptureAsked, VoidAsked
from services.payments.machine.model import LATE_SUCCESS, Attempt, Operation, PaymentStatus

# A void that the bank declined is tried again after the delay of this many vain questions, and then later.
VOID_TRIES_FROM = 3
_ENDED_UNDONE = frozenset({"declined", "not_processed"})
# No bank has a payment in one of these, unless its one open attempt was certainly never sent.
_WITHDRAWABLE: frozenset[PaymentStatus] = frozenset({"accepted", "screening", "in_review", "reserved"})


def capture_asked(case: Case, event: CaptureAsked) -> None:
    """Capture the whole or less; the bank releases the rest.

    Raises:
        Refused: state_conflict, authorization_expired, amount_invalid.
    """
    row = case.row
    if row.status != "authorized":
        raise Refused("state_conflict")
    if row.expires_at is not None and case.now >= row.expires_at:
        raise Refused("authorization_expired")
    amount_minor = row.amount_minor if event.amount_minor is None else event.amount_minor
    if not 1 <= amount_minor <= row.amount_minor:
        raise Refused("amount_invalid")
    case.tell("payment.capture_requested", {"amount_minor": amount_minor, "by": event.by})
    _begin(case, "capture", amount_minor, "capturing")


def void_asked(case: Case, event: VoidAsked) -> None:
    """Withdraw what no bank has, or void what was authorised.

    Raises:
        Refused: state_conflict.
    """
    row = case.row
    if row.status == "authorized":
        case.tell("payment.void_requested", {"by": event.by})
        _begin(case, "void", row.amount_minor, "voiding")
        return
    if row.status == "submitted" and (last := payment.money_attempts(case)[-1]).state == "intent":
        case.put_attempt(attempts.decided(last, "not_processed"))
    elif row.status not in _WITHDRAWABLE:
        raise Refused("state_conflict")
    payment.withdraw(case, event.by)


def expire(case: Case) -> None:
    """The authorisation has come to its end: let the bank release it."""
    case.tell("payment.void_requested", {"reason": "the authorisation has come to its end"})
    _begin(case, "void", case.row.amount_minor, "voiding")


def authorisation_of(case: Case) -> Attempt | None:
    """The attempt that a capture or void is about."""
    return next((a for a in case.row.attempts if a.operation == "authorise" and a.state == "confirmed"), None)


def _begin(case: Case, operation: Operation, amount_minor: int, status: PaymentStatus) -> None:
    row = case.row
    authorisation = authorisation_of(case)
    if authorisation is None:
        raise Refused("state_conflict")
    attempt = attempts.next_of(row, row.payment_id, operation, authorisation.bank, amount_minor, case.now)
    case.change(status=status, attempts=(*row.attempts, attempt), due=case.now + case.policy.lease)
    case.out.orders.append(attempts.order_of(row, attempt, original_reference=authorisation.bank_reference))


def capture_confirmed(case: Case, attempt: Attempt) -> None:
    """The payer has paid."""
    case.expect("capturing")
    details: Details = {"bank": attempt.bank, "amount_minor": attempt.amount_minor}
    case.tell("payment.captured", details)
    payment.captured(case, attempt, details)


def capture_failed(case: Case, attempt: Attempt) -> None:
    """Certainly not captured: it is authorised as before."""
    case.expect("capturing")
    _authorized_again(case, attempt, "payment.capture_declined")


def void_confirmed(case: Case, attempt: Attempt) -> None:
    """The payer will not be charged."""
    case.expect("voiding")
    ended_by_time = case.row.expires_at is not None and attempt.created_at >= case.row.expires_at
    status: PaymentStatus = "expired" if ended_by_time else "canceled"
    case.tell(f"payment.{status}", {"bank": attempt.bank})
    case.change(status=status, attempts=case.with_attempt(attempt), due=None)


def void_failed(case: Case, attempt: Attempt) -> None:
    """Certainly not voided: it is authorised as before, and a person should know."""
    case.expect("voiding")
    is_first = all(
        a.attempt_id == attempt.attempt_id or a.state not in _ENDED_UNDONE
        for a in case.row.attempts
        if a.operation == "void"
    )
    _authorized_again(case, attempt, "payment.void_declined")
    if is_first:
        # Whatever else was shown since the void began; each further one follows by itself, for ever.
        case.call_operator("the bank declined a void", None)


def _authorized_again(case: Case, attempt: Attempt, event: str) -> None:
    case.tell(event, {"bank": attempt.bank}, code=attempt.decline_code or "bank_unavailable")
    case.change(status="authorized", attempts=case.with_attempt(attempt), due=_next_end(case))
    end_used_up(case)


def end_used_up(case: Case) -> None:
    """End an authorised payment whose bank has captured or voided after all, against its own word.

    Nothing is left of such an authorisation; a void of it would be declined for ever. What was captured goes
    back as a late success.
    """
    for attempt in case.row.attempts:
        is_late = attempt.decline_code == LATE_SUCCESS
        if is_late and attempt.operation in {"capture", "void"} and case.row.status == "authorized":
            case.tell("payment.canceled", {"bank": attempt.bank, "attempt_id": attempt.attempt_id})
            case.change(status="canceled", due=None)


def _next_end(case: Case) -> datetime:
    row = case.row
    if row.expires_at is not None and case.now < row.expires_at:
        return row.expires_at
    voids = sum(a.operation == "void" for a in row.attempts)
    return case.now + attempts.inquiry_delay(VOID_TRIES_FROM + voids)

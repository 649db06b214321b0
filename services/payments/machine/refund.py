"""Money going back: one door for every origin (pure).

Promises: headroom is reserved when a refund is asked for, and the account's money is held before any bank is
called; it goes back over the bank that has the payer's money; one that has ended stays as it is, except
that a bank may bounce it.
"""

from __future__ import annotations

import re
from datetime import datetime

from msgspec.structs import replace

from services.payments.machine import attempts
from services.payments.machine.case import Case, Details
from services.payments.machine.errors import IllegalTransition, Refused
from services.payments.machine.events import RefundAsked, RefundCancelAsked
from services.payments.machine.model import (
    LATE_SUCCESS,
    REFUND_FINAL,
    Attempt,
    Refund,
    RefundOrigin,
    RefundStatus,
    derived_id,
    headroom_minor,
)

_REFUND_ID = re.compile(r"ref_[a-z0-9]{1,8}_[0-9a-z]{26}")
# As the record keeps them.
REASON_CHARS_MAX = 255
# What a late success of brings money in that has to go back.
_PAID_IN = frozenset({"collect", "capture"})
BY_CHARS_MAX = 128


def asked(case: Case, event: RefundAsked) -> None:
    """Somebody asks for a refund.

    Raises:
        Refused: It is known already, or cannot be.
    """
    if case.refund(event.refund_id) is not None:
        raise Refused("already_known")
    if _REFUND_ID.fullmatch(event.refund_id) is None:
        raise Refused("id_invalid")
    if case.refund_owners.get(event.refund_id, case.row.payment_id) != case.row.payment_id:
        raise Refused("refund_id_taken")
    # PostgreSQL takes no NUL, and one mail that cannot be written would come back for ever.
    is_kept = len(event.reason) <= REASON_CHARS_MAX and "\0" not in event.reason
    if not (is_kept and 1 <= len(event.by) <= BY_CHARS_MAX and event.by.isprintable()):
        raise Refused("text_invalid")
    if event.origin == "system" or (event.bank_moved and event.origin != "bank"):
        raise Refused("origin_not_allowed")
    check_room(case, event.amount_minor)
    if event.bank_moved:
        moved_by_bank(case, event.refund_id, event.amount_minor, event.by, event.reason)
    else:
        begin(case, event.refund_id, event.amount_minor, event.origin, event.by, event.reason)


def check_room(case: Case, amount_minor: int) -> None:
    """Raise unless so much of the payment is left.

    Raises:
        Refused: state_conflict, amount_invalid, refund_exceeds_available.
    """
    if case.row.status != "succeeded" or case.row.kind != "collect":
        raise Refused("state_conflict")
    if amount_minor < 1:
        raise Refused("amount_invalid")
    if amount_minor > headroom_minor(case.row):
        raise Refused("refund_exceeds_available")


def begin(case: Case, refund_id: str, amount_minor: int, origin: RefundOrigin, by: str, reason: str) -> None:
    """Reserve the headroom; then a review, or on to the bank. There is room for it."""
    case.tell(
        "refund.requested",
        {"origin": origin, "amount_minor": amount_minor, "by": by, "reason": reason},
        subject_id=refund_id,
    )
    needs_review = origin == "bank" or (
        origin == "customer_service" and case.policy.needs_review(amount_minor, case.row.currency)
    )
    new = _new(case, refund_id, amount_minor, origin, by, reason, "requested")
    reserved_minor = case.row.refund_reserved_minor + amount_minor
    if needs_review:
        case.tell("refund.review_opened", subject_id=refund_id)
        new = replace(new, status="in_review", due=case.now + case.policy.review_deadline)
        case.put_refund(new, refund_reserved_minor=reserved_minor)
    else:
        case.put_refund(new, refund_reserved_minor=reserved_minor)
        release(case, new)


def _new(
    case: Case,
    refund_id: str,
    amount_minor: int,
    origin: RefundOrigin,
    by: str,
    reason: str,
    status: RefundStatus,
) -> Refund:
    return Refund(
        refund_id=refund_id,
        payment_id=case.row.payment_id,
        origin=origin,
        amount_minor=amount_minor,
        status=status,
        reason=reason,
        asked_by=by,
        due=None if status in REFUND_FINAL else case.now + case.policy.lease,
        asked_at=case.now,
    )


def moved_by_bank(case: Case, refund_id: str, amount_minor: int, by: str, reason: str) -> None:
    """The bank has already given it back: only the ledger follows. There is room for it."""
    source = source_of(case, "bank")
    new = _new(case, refund_id, amount_minor, "bank", by, reason, "succeeded")
    details: Details = {"origin": "bank", "amount_minor": amount_minor, "by": by, "reason": reason}
    case.tell("refund.requested", details, subject_id=refund_id)
    case.take_back(refund_id, source.bank, amount_minor)
    case.tell("refund.succeeded", {"bank": source.bank, "amount_minor": amount_minor}, subject_id=refund_id)
    case.put_refund(new, refunded_minor=case.row.refunded_minor + amount_minor)


def compensate(case: Case, attempt: Attempt) -> None:
    """Give back what a late success brought in; paid from suspense, at once, whatever the headroom."""
    refund_id = derived_id("ref", case.row.payment_id, attempt.attempt_id)
    amount_minor = attempt.amount_minor
    new = _new(case, refund_id, amount_minor, "system", "engine", LATE_SUCCESS, "submitted")
    case.tell(
        "refund.requested",
        {"origin": "system", "amount_minor": amount_minor, "by": "engine", "reason": LATE_SUCCESS},
        subject_id=refund_id,
    )
    case.put_refund(new)
    _send(case, new)


def source_of(case: Case, origin: RefundOrigin) -> Attempt:
    """The attempt whose money a refund gives back.

    Raises:
        IllegalTransition: There is none.
    """
    for attempt in case.row.attempts:
        if origin == "system":
            if attempt.decline_code == LATE_SUCCESS and attempt.operation in _PAID_IN:
                return attempt
        elif attempt.state == "confirmed" and attempt.operation in ("collect", "capture"):
            return attempt
    raise IllegalTransition(f"{case.row.payment_id} has no money to give back")


def release(case: Case, refund: Refund) -> None:
    """Hold the account's money, then send it; without the money the refund has failed."""
    if not case.hold(refund.refund_id, refund.amount_minor):
        _end(case, refund, "failed", "insufficient_funds")
        return
    reserved = replace(refund, status="reserved", due=case.now + case.policy.lease)
    case.put_refund(reserved)
    _send(case, reserved)


def _send(case: Case, refund: Refund) -> None:
    source = source_of(case, refund.origin)
    attempt = attempts.next_of(
        case.row, refund.refund_id, "refund", source.bank, refund.amount_minor, case.now
    )
    details: Details = {"bank": attempt.bank, "attempt_id": attempt.attempt_id}
    case.tell("refund.submitted", details, subject_id=refund.refund_id)
    case.put_attempt(attempt)
    case.put_refund(replace(refund, status="submitted", due=case.now + case.policy.lease))
    case.out.orders.append(attempts.order_of(case.row, attempt, original_reference=source.bank_reference))


def _refund_of(case: Case, attempt: Attempt) -> Refund:
    refund = case.refund(attempt.subject_id)
    if refund is None or refund.status not in ("submitted", "unknown"):
        raise IllegalTransition(f"{attempt.subject_id} waits for no bank")
    return refund


def confirmed(case: Case, attempt: Attempt) -> None:
    """The payer has the money."""
    refund = _refund_of(case, attempt)
    case.put_attempt(attempt)
    case.tell(
        "refund.succeeded",
        {"bank": attempt.bank, "amount_minor": refund.amount_minor},
        subject_id=refund.refund_id,
    )
    done = replace(refund, status="succeeded", due=None)
    if refund.origin == "system":
        suspense = f"suspense:{case.row.currency}"
        to = case.bank_account(attempt.bank)
        case.move(f"{refund.refund_id}/post", suspense, to, refund.amount_minor)
        case.put_refund(done)
        return
    case.post_hold(refund.refund_id, attempt.bank, refund.amount_minor)
    case.put_refund(
        done,
        refund_reserved_minor=case.row.refund_reserved_minor - refund.amount_minor,
        refunded_minor=case.row.refunded_minor + refund.amount_minor,
    )


def declined(case: Case, attempt: Attempt) -> None:
    """Certainly not given back."""
    refund = _refund_of(case, attempt)
    case.put_attempt(attempt)
    _end(case, refund, "failed", attempt.decline_code or "generic")


def not_processed(case: Case, attempt: Attempt) -> None:
    """The bank never had it: ask it anew, a bounded number of times; no other bank has the money."""
    refund = _refund_of(case, attempt)
    case.put_attempt(attempt)
    if attempt.number < case.policy.attempts_max:
        _send(case, refund)
    else:
        _end(case, refund, "failed", "bank_unavailable")


def wait(case: Case, attempt: Attempt, due: datetime) -> None:
    """Keep an open attempt."""
    refund = _refund_of(case, attempt)
    case.put_attempt(attempt)
    status: RefundStatus = "unknown" if attempt.state == "unknown" else refund.status
    case.put_refund(replace(refund, status=status, due=due))


def cancel_asked(case: Case, event: RefundCancelAsked) -> None:
    """Withdraw a refund that no bank has. Only a merchant's own: what a bank recalls is not for it to end.

    Raises:
        Refused: unknown_refund, origin_not_allowed, state_conflict.
    """
    refund = case.refund(event.refund_id)
    if refund is None:
        raise Refused("unknown_refund")
    if refund.origin != "user":
        raise Refused("origin_not_allowed")
    if refund.status in REFUND_FINAL:
        raise Refused("state_conflict")
    if refund.status in ("submitted", "unknown"):
        last = attempts.same_key(case.row, refund.refund_id, "refund")[-1]
        if last.state != "intent":
            raise Refused("state_conflict")
        case.put_attempt(attempts.decided(last, "not_processed"))
    _end(case, refund, "canceled", by=event.by)


def rejected(case: Case, refund: Refund, code: str) -> None:
    """A person said no, or nobody said anything in time."""
    _end(case, refund, "failed", code)


def _end(
    case: Case, refund: Refund, status: RefundStatus, code: str | None = None, by: str | None = None
) -> None:
    """The end without money moved: hold and headroom are free again."""
    details: Details | None = {"by": by} if by is not None else None
    case.tell(f"refund.{status}", details, code=code, subject_id=refund.refund_id)
    done = replace(refund, status=status, decline_code=code, due=None)
    if refund.origin == "system":
        case.put_refund(done)
        case.call_operator("a late success was not given back", None, refund.refund_id)
        return
    if refund.status in ("reserved", "submitted", "unknown"):
        case.void_hold(refund.refund_id, refund.amount_minor)
    case.put_refund(done, refund_reserved_minor=case.row.refund_reserved_minor - refund.amount_minor)


def bounced(case: Case, attempt: Attempt) -> None:
    """What had been given back came back; the attempt is confirmed."""
    refund = case.refund(attempt.subject_id)
    if refund is None or refund.status != "succeeded":
        raise IllegalTransition(f"{attempt.subject_id} has not succeeded")
    amount_minor, source = refund.amount_minor, case.bank_account(attempt.bank)
    case.put_attempt(attempts.decided(attempt, "reversed"))
    case.tell(
        "refund.reversed", {"bank": attempt.bank, "amount_minor": amount_minor}, subject_id=refund.refund_id
    )
    done = replace(refund, status="reversed")
    if refund.origin == "system":
        case.move(f"{refund.refund_id}/reverse", source, f"suspense:{case.row.currency}", amount_minor)
        case.put_refund(done)
        case.call_operator("a late success was not given back", None, refund.refund_id)
        return
    case.balance.give_back(amount_minor)
    case.move(f"{refund.refund_id}/reverse", source, case.row.account_id, amount_minor)
    case.put_refund(done, refunded_minor=case.row.refunded_minor - amount_minor)

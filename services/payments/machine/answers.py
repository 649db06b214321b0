"""What a call to a bank came to, and how the reminder takes an attempt over (pure).

Promises: `confirmed` and `declined` are believed whoever brings them, once; anything else counts only from
the holder of the lease; no answer is ever read as a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from services.payments.machine import attempts, capture, late, payment, refund
from services.payments.machine.case import Case, Details
from services.payments.machine.errors import IllegalTransition, Refused
from services.payments.machine.events import Answered
from services.payments.machine.model import ATTEMPT_OPEN, Attempt, Operation

_End: TypeAlias = Callable[[Case, Attempt], None]
# What follows when an attempt was confirmed, declined, or never processed.
_ENDS: dict[Operation, tuple[_End, _End, _End]] = {
    "collect": (payment.confirmed, payment.declined, payment.not_processed),
    "authorise": (payment.confirmed, payment.declined, payment.not_processed),
    "payout": (payment.confirmed, payment.declined, payment.not_processed),
    "capture": (capture.capture_confirmed, capture.capture_failed, capture.capture_failed),
    "void": (capture.void_confirmed, capture.void_failed, capture.void_failed),
    "refund": (refund.confirmed, refund.declined, refund.not_processed),
}


def answered(case: Case, event: Answered) -> None:
    """Apply what a call came to.

    Raises:
        IllegalTransition: The payment has no such attempt, or nobody asked.
        Refused: It says nothing new, or contradicts what is known.
    """
    attempt = case.attempt(event.attempt_id)
    if attempt is None:
        raise IllegalTransition(f"{case.row.payment_id} has no attempt {event.attempt_id}")
    if event.kind in {"confirmed", "declined"}:
        settle(case, attempt, event.kind == "confirmed", event.bank_reference, event.decline_code)
    elif event.kind == "not_found" and not event.asked:
        raise IllegalTransition("only a question can be answered by: not found")
    elif attempt.epoch == event.epoch and attempt.state in {"sending", "unknown"}:
        _undecided(case, attempt, event)


def settle(case: Case, attempt: Attempt, is_confirmed: bool, reference: str | None, code: str | None) -> None:
    """Decide an attempt by a definite word of its bank.

    Raises:
        Refused: It is decided already: already_known, or contradiction.
    """
    if attempt.state not in ATTEMPT_OPEN:
        _hear_again(case, attempt, is_confirmed, reference)
        return
    if attempt.state == "unknown":
        _tell(case, attempt, "outcome_resolved")
    on_confirmed, on_declined, _ = _ENDS[attempt.operation]
    if is_confirmed:
        on_confirmed(case, attempts.decided(attempt, "confirmed", reference))
    else:
        on_declined(case, attempts.decided(attempt, "declined", reference, code or "generic"))


def _hear_again(case: Case, attempt: Attempt, is_confirmed: bool, reference: str | None) -> None:
    if attempt.state in {"declined", "not_processed"} and is_confirmed:
        late.succeeded(case, attempt, reference)
    elif attempt.state == "confirmed" and not is_confirmed:
        problem = f"{attempt.bank} declines {attempt.attempt_id}, which it had confirmed"
        case.contradict(problem, attempt.created_at)
        raise Refused("contradiction")
    else:
        raise Refused("already_known")


def _undecided(case: Case, attempt: Attempt, event: Answered) -> None:
    delay = attempts.inquiry_delay(attempt.tries)
    if event.kind == "unsent":
        after = attempts.not_sent(attempt)
        if (
            after.state == "intent"
            and after.unsent >= attempts.UNSENT_BEFORE_FAILOVER
            and _leave(case, after)
        ):
            return
        delay = attempts.unsent_delay(after.unsent)
    elif event.kind == "not_found":
        after = attempts.not_found(attempt, case.now)
        if attempts.is_never_processed(after, case.routes, case.policy, case.now):
            _tell(case, attempt, "outcome_resolved")
            _ENDS[attempt.operation][2](case, attempts.decided(after, "not_processed"))
            return
    else:
        after = attempts.unanswered(attempt)
    _keep(case, attempt, after, case.reminder(delay, attempt.created_at))


def _leave(case: Case, attempt: Attempt) -> bool:
    """Nothing was ever sent to this bank and it is away: another one takes the payment, if there is one."""
    if attempt.operation not in attempts.MONEY_OPERATIONS:
        return False
    choice = payment.elsewhere(case)
    if choice is None:
        return False
    case.put_attempt(attempts.decided(attempt, "not_processed"))
    payment.submit_to(case, choice)
    return True


def take_over(case: Case, attempt: Attempt) -> None:
    """The lease has run out, or it is time to ask again: a new lease for a call, and the call."""
    after = attempts.leased(attempt)
    subject_id = attempt.subject_id if attempt.operation == "refund" else None
    resend_age_max = (
        case.policy.final_resend_age_max
        if case.routes.is_not_found_final(attempt.bank)
        else case.policy.resend_age_max
    )
    case.raise_if_old(attempt.created_at, "a bank's answer is missing", subject_id)
    _keep(case, attempt, after, case.now + case.policy.lease)
    case.out.orders.append(
        attempts.order_of(
            case.row,
            after,
            action="send" if after.state == "sending" else "inquire",
            resendable=case.now - attempt.created_at < resend_age_max,
            original_reference=_original_reference(case, attempt),
        )
    )


def _original_reference(case: Case, attempt: Attempt) -> str | None:
    if attempt.operation == "refund":
        of = case.refund(attempt.subject_id)
        return None if of is None else refund.source_of(case, of.origin).bank_reference
    if attempt.operation in {"capture", "void"}:
        authorisation = capture.authorisation_of(case)
        return None if authorisation is None else authorisation.bank_reference
    return None


def _keep(case: Case, before: Attempt, after: Attempt, due: datetime) -> None:
    """Keep an open attempt; that its outcome is unknown is told once."""
    if after.state == "unknown" and before.state != "unknown":
        _tell(case, after, "outcome_unknown")
    if after.operation == "refund":
        refund.wait(case, after, due)
    elif after.state == "unknown" and after.operation in attempts.MONEY_OPERATIONS:
        case.change(status="unknown", attempts=case.with_attempt(after), due=due)
    else:
        case.change(attempts=case.with_attempt(after), due=due)


def _tell(case: Case, attempt: Attempt, what: str) -> None:
    details: Details = {"bank": attempt.bank, "attempt_id": attempt.attempt_id}
    if attempt.operation == "refund":
        case.tell(f"refund.{what}", details, subject_id=attempt.subject_id)
    else:
        case.tell(f"payment.{what}", details)

"""What a call to a bank came to, and how the reminder takes an attempt over (pure).

Promises: `confirmed` and `declined` are believed whoever brings them, once; anything else counts only from
the holder of the lease; no answer is ever read as a failure.
"""

from __future__ import annotations

from datetime import datetime

from services.payments.machine import attempts, payment
from services.payments.machine.case import Case
from services.payments.machine.errors import IllegalTransition
from services.payments.machine.events import Answered
from services.payments.machine.model import ATTEMPT_OPEN, Attempt


def answered(case: Case, event: Answered) -> None:
    """Apply what a call came to.

    Raises:
        IllegalTransition: The payment has no such attempt, or nobody asked.
    """
    attempt = case.attempt(event.attempt_id)
    if attempt is None:
        raise IllegalTransition(f"{case.row.payment_id} has no attempt {event.attempt_id}")
    if event.kind == "not_found" and not event.asked:
        raise IllegalTransition("only a question can be answered by: not found")
    if event.kind in ("confirmed", "declined"):
        settle(case, attempt, event.kind == "confirmed", event.bank_reference, event.decline_code)
    elif attempt.epoch == event.epoch and attempt.state in ("sending", "unknown"):
        _undecided(case, attempt, event)


def settle(case: Case, attempt: Attempt, is_confirmed: bool, reference: str | None, code: str | None) -> bool:
    """Decide an attempt by a definite word of its bank; False: it said nothing new."""
    if attempt.state not in ATTEMPT_OPEN:
        return False
    if is_confirmed:
        _confirm(case, attempt, reference)
    else:
        _decline(case, attempt, reference, code)
    return True


def _confirm(case: Case, attempt: Attempt, reference: str | None) -> None:
    _tell_resolved(case, attempt)
    now_confirmed = attempts.decided(attempt, "confirmed", reference)
    payment.confirmed(case, now_confirmed)


def _decline(case: Case, attempt: Attempt, reference: str | None, code: str | None) -> None:
    _tell_resolved(case, attempt)
    now_declined = attempts.decided(attempt, "declined", reference, code or "generic")
    payment.declined(case, now_declined)


def _undecided(case: Case, attempt: Attempt, event: Answered) -> None:
    if event.kind == "unsent":
        after = attempts.not_sent(attempt)
        if (
            after.state == "intent"
            and after.unsent >= attempts.UNSENT_BEFORE_FAILOVER
            and _leave(case, attempt)
        ):
            return
        delay = attempts.unsent_delay(after.unsent)
    elif event.kind == "not_found":
        after = attempts.not_found(attempt, case.now)
        if attempts.is_never_processed(after, case.routes, case.policy, case.now):
            _tell_resolved(case, attempt)
            payment.not_processed(case, attempts.decided(after, "not_processed"))
            return
        delay = attempts.inquiry_delay(attempt.tries)
    else:
        after = attempts.unanswered(attempt)
        delay = attempts.inquiry_delay(attempt.tries)
    _wait(case, attempt, after, case.reminder(delay, attempt.created_at))


def _leave(case: Case, attempt: Attempt) -> bool:
    """Nothing was ever sent to this bank and it is away: try another, if there is one."""
    if attempt.operation not in attempts.MONEY_OPERATIONS or payment.elsewhere(case) is None:
        return False
    payment.not_processed(case, attempts.decided(attempt, "not_processed"))
    return True


def _wait(case: Case, before: Attempt, after: Attempt, due: datetime) -> None:
    """Keep an open attempt; the first time that it is unknown is told."""
    if after.state == "unknown" and before.state != "unknown":
        case.tell("payment.outcome_unknown", {"bank": after.bank, "attempt_id": after.attempt_id})
    status = "unknown" if after.state == "unknown" else case.row.status
    case.change(status=status, attempts=case.with_attempt(after), due=due)


def _tell_resolved(case: Case, attempt: Attempt) -> None:
    if attempt.state == "unknown":
        case.tell("payment.outcome_resolved", {"bank": attempt.bank, "attempt_id": attempt.attempt_id})


def take_over(case: Case, attempt: Attempt) -> None:
    """The lease has run out, or it is time to ask again: a new lease for a call."""
    after = attempts.leased(attempt)
    case.raise_if_old(attempt.created_at, "a bank's answer is missing")
    _wait(case, attempt, after, case.now + case.policy.lease)
    case.out.orders.append(
        attempts.order_of(
            case.row,
            after,
            action="send" if after.state == "sending" else "inquire",
            resendable=case.now - attempt.created_at < case.policy.resend_age_max,
        )
    )

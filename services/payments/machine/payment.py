"""Screening, reserving, routing, and how a payment ends (pure).

Promise: another bank is only tried when all before it have certainly not moved money.
"""

from __future__ import annotations

from datetime import timedelta

from services.payments.machine import attempts
from services.payments.machine.case import Case, Details
from services.payments.machine.choice import Choice
from services.payments.machine.events import Asking, Screened
from services.payments.machine.model import Attempt, Credit, PaymentStatus
from services.payments.machine.policy import RETRYABLE_DECLINES, UNSENT_DELAY_MAX

# A payout in one of these has its amount held.
HOLDING: frozenset[PaymentStatus] = frozenset({"reserved", "submitted", "unknown"})


def start(case: Case) -> None:
    """The account's turn has come to this payment; a second time changes nothing."""
    if case.row.status != "accepted":
        return
    case.change(
        status="screening",
        account_version=case.balance.number_turn(),
        due=case.now + case.policy.screening_lease,
        tries=0,
    )
    ask(case)


def ask(case: Case) -> None:
    """Let the shell ask the fraud service."""
    row = case.row
    case.out.askings.append(
        Asking(
            payment_id=row.payment_id,
            account_id=row.account_id,
            merchant_id=row.merchant_id,
            kind=row.kind,
            amount_minor=row.amount_minor,
            currency=row.currency,
            instrument=row.instrument,
            accepted_at=row.accepted_at,
        )
    )


def ask_again(case: Case) -> None:
    """No verdict yet: the payment is held and the question asked again, without end."""
    row = case.row
    case.raise_if_old(row.accepted_at, "screening has no answer")
    tries = row.tries + 1
    delay = min(case.policy.screening_lease * (1 << min(tries, 10)), UNSENT_DELAY_MAX)
    case.change(tries=tries, due=case.now + delay)
    ask(case)


def screened(case: Case, event: Screened) -> None:
    """The verdict; a second one, or one for a payment that was withdrawn meanwhile, changes nothing."""
    if case.row.status != "screening":
        if case.row.status == "accepted":
            case.expect("screening")
        return
    case.out.screenings.append(event)
    if event.verdict == "pass":
        case.tell("payment.screening_passed", {"rule_pack": event.rule_pack})
        reserve(case)
    elif event.verdict == "review":
        case.tell("payment.review_opened", {"rule_pack": event.rule_pack, "reasons": list(event.reasons)})
        case.change(status="in_review", due=case.now + case.policy.review_deadline, tries=0)
    else:
        fail(case, "suspected_fraud", {"rule_pack": event.rule_pack, "reasons": list(event.reasons)})


def reserve(case: Case) -> None:
    """Hold a payout's money, then go to a bank."""
    row = case.row
    if row.kind == "payout":
        if not case.hold(row.payment_id, row.amount_minor):
            fail(case, "insufficient_funds")
            return
        case.tell("payment.reserved", {"amount_minor": row.amount_minor})
    choice = case.routes.choose(row, frozenset())
    if choice.bank is None:
        case.change(status="reserved", due=case.now + case.policy.route_retry, tries=0)
        return
    submit(case, attempts.first_of(row, choice.bank, choice.explanation, case.now))


def submit(case: Case, attempt: Attempt) -> None:
    """Write down the intent with its first lease, and let the shell send it."""
    row = case.row
    details: Details = {"bank": attempt.bank, "attempt_id": attempt.attempt_id}
    if row.attempts and (earlier := money_attempts(case)):
        details["from_bank"] = earlier[-1].bank
        case.tell("payment.bank_changed", details)
    else:
        case.tell("payment.submitted", details)
    case.change(
        status="submitted",
        bank=attempt.bank,
        due=case.now + case.policy.lease,
        attempts=(*row.attempts, attempt),
        tries=0,
    )
    case.out.orders.append(attempts.order_of(row, attempt))


def confirmed(case: Case, attempt: Attempt) -> None:
    """The bank has done it."""
    case.expect("submitted", "unknown")
    row = case.row
    details: Details = {"bank": attempt.bank, "amount_minor": attempt.amount_minor}
    if attempt.operation == "authorise":
        ends = case.now + case.policy.authorization_life
        case.tell("payment.authorized", details)
        case.change(status="authorized", attempts=case.with_attempt(attempt), due=ends, expires_at=ends)
    elif attempt.operation == "payout":
        case.post_hold(row.payment_id, attempt.bank, row.amount_minor)
        case.tell("payment.succeeded", details)
        case.change(status="succeeded", attempts=case.with_attempt(attempt), due=None)
    else:
        captured(case, attempt, details)


def captured(case: Case, attempt: Attempt, details: Details) -> None:
    """The payer has paid: the account is credited in its next window."""
    row = case.row
    case.balance.queue_credit(attempt.amount_minor)
    case.out.credits.append(
        Credit(
            source_id=attempt.attempt_id,
            account_id=row.account_id,
            payment_id=row.payment_id,
            bank=attempt.bank,
            amount_minor=attempt.amount_minor,
            currency=row.currency,
        )
    )
    case.tell("payment.succeeded", details)
    case.change(
        status="succeeded",
        attempts=case.with_attempt(attempt),
        captured_minor=attempt.amount_minor,
        due=None,
    )


def declined(case: Case, attempt: Attempt) -> None:
    """The bank has certainly not done it; another one may."""
    case.expect("submitted", "unknown")
    code = attempt.decline_code or "generic"
    case.change(attempts=case.with_attempt(attempt))
    if code in RETRYABLE_DECLINES and try_elsewhere(case):
        return
    fail(case, code)


def not_processed(case: Case, attempt: Attempt) -> None:
    """The bank never had it: any bank may have it now, this one too."""
    case.expect("submitted", "unknown")
    case.change(attempts=case.with_attempt(attempt))
    if try_elsewhere(case):
        return
    if len(money_attempts(case)) >= case.policy.attempts_max:
        fail(case, "bank_unavailable")
        return
    case.change(status="reserved", due=case.now + case.policy.route_retry, tries=0)


def elsewhere(case: Case) -> Choice | None:
    """Another bank than those tried, if one may take the payment and policy allows a further attempt."""
    tried = money_attempts(case)
    if len(tried) >= case.policy.attempts_max:
        return None
    choice = case.routes.choose(case.row, frozenset(a.bank for a in tried))
    return choice if choice.bank is not None else None


def try_elsewhere(case: Case) -> bool:
    """Go to another bank; only called when no attempt is open."""
    choice = elsewhere(case)
    if choice is None:
        return False
    submit_to(case, choice)
    return True


def route_again(case: Case) -> None:
    """No bank could take it before; those that declined it are never asked again."""
    row = case.row
    refused = frozenset(a.bank for a in money_attempts(case) if a.state == "declined")
    choice = case.routes.choose(row, refused)
    if choice.bank is not None:
        submit_to(case, choice)
        return
    tries = row.tries + 1
    waited: timedelta = case.policy.route_retry * tries
    if waited >= case.policy.raise_after:
        case.call_operator("no bank can take it", case.now - waited)
    case.change(tries=tries, due=case.now + case.policy.route_retry)


def submit_to(case: Case, choice: Choice) -> None:
    """Make the next attempt, at the bank that was chosen."""
    row = case.row
    if choice.bank is None:
        return
    first = attempts.first_of(row, choice.bank, choice.explanation, case.now)
    if not row.attempts:
        submit(case, first)
        return
    following = attempts.next_of(
        row, row.payment_id, first.operation, choice.bank, row.amount_minor, case.now, choice.explanation
    )
    submit(case, following)


def money_attempts(case: Case) -> list[Attempt]:
    """The attempts to move the payment's own money, oldest first."""
    return [a for a in case.row.attempts if a.operation in attempts.MONEY_OPERATIONS]


def fail(case: Case, code: str, details: Details | None = None) -> None:
    """The end without money moved; what was held is released."""
    _release(case)
    case.tell("payment.failed", details, code=code)
    case.change(status="failed", decline_code=code, due=None)


def withdraw(case: Case, by: str) -> None:
    """The end before any bank had it, because the merchant asked for it."""
    _release(case)
    if case.row.account_version is None:
        case.change(account_version=case.balance.number_turn())
    case.tell("payment.canceled", {"by": by})
    case.change(status="canceled", due=None)


def _release(case: Case) -> None:
    row = case.row
    if row.kind == "payout" and row.status in HOLDING:
        case.void_hold(row.payment_id, row.amount_minor)

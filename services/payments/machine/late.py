"""A bank says that it has done what it had certainly not done (pure).

Promise: payment and refund stay as they ended. A refund that was given after all counts as refunded, and its
merchant pays it, while there is room for it; any other money that moved all the same is in suspense, and goes
back by itself where it can. A second one of these is left to an operator whole.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.payments.machine import attempts, capture, refund
from services.payments.machine.case import Case
from services.payments.machine.errors import Refused
from services.payments.machine.model import LATE, LATE_EXCESS, LATE_SUCCESS, Attempt, Refund, headroom_minor

# A void that was done after all changes what is still open of an authorisation, and moves no money.
_VOIDABLE = frozenset({"authorized", "capturing", "voiding"})


# A refund that nothing else can pay any more: its headroom and its hold are free.
_GIVEN_UP = frozenset({"failed", "canceled"})


def _is_in_suspense(attempt: Attempt) -> bool:
    """Whether it has the one transfer to or from suspense that a payment can have."""
    if attempt.operation == "refund":
        return attempt.decline_code == LATE_EXCESS
    return attempt.decline_code == LATE_SUCCESS and attempt.operation != "void"


def succeeded(case: Case, attempt: Attempt, bank_reference: str | None) -> None:
    """A declined or unprocessed attempt was confirmed.

    The attempt keeps its state, so that the one that took its place stays the only one that counts.

    Raises:
        Refused: already_known, or contradiction.
    """
    if attempt.decline_code in LATE:
        raise Refused("already_known")
    row = case.row
    given = _refund_with_room(case, attempt)
    if given is not None:
        _count_as_refunded(case, attempt, given, bank_reference)
        return
    is_void = attempt.operation == "void"
    if (row.status not in _VOIDABLE) if is_void else any(_is_in_suspense(a) for a in row.attempts):
        case.contradict(
            f"{attempt.bank} confirms {attempt.attempt_id}, which is {attempt.state}", attempt.created_at
        )
        raise Refused("contradiction")
    marked = _mark(
        case,
        attempt,
        LATE_EXCESS if attempt.operation == "refund" else LATE_SUCCESS,
        bank_reference,
    )
    suspense, bank = f"suspense:{row.currency}", case.bank_account(attempt.bank)
    transfer_id = f"{row.payment_id}/late"
    if attempt.operation in ("collect", "capture"):
        case.move(transfer_id, bank, suspense, attempt.amount_minor)
        refund.compensate(case, marked)
        capture.end_used_up(case)
        return
    if is_void:
        capture.end_used_up(case)
        return
    if attempt.operation in ("payout", "refund"):
        case.move(transfer_id, suspense, bank, attempt.amount_minor)
    problem = f"{attempt.bank} has done what it had declined"
    if attempt.operation == "refund":
        problem = f"{attempt.bank} has given back more than was left of the payment"
    case.call_operator(problem, None, attempt.subject_id)


def _mark(case: Case, attempt: Attempt, code: str, bank_reference: str | None) -> Attempt:
    case.tell(
        "payment.late_success",
        {
            "bank": attempt.bank,
            "attempt_id": attempt.attempt_id,
            "operation": attempt.operation,
            "amount_minor": attempt.amount_minor,
        },
    )
    marked = replace(attempt, decline_code=code, bank_reference=bank_reference or attempt.bank_reference)
    case.put_attempt(marked)
    return marked


def _refund_with_room(case: Case, attempt: Attempt) -> Refund | None:
    """The merchant's refund that this attempt has paid, where what is left of the payment covers it."""
    if attempt.operation != "refund":
        return None
    of = case.refund(attempt.subject_id)
    if of is None or of.origin == "system" or of.status not in _GIVEN_UP:
        return None
    if any(a.decline_code in LATE for a in attempts.same_key(case.row, of.refund_id, "refund")):
        return None
    return of if attempt.amount_minor <= headroom_minor(case.row) else None


def _count_as_refunded(case: Case, attempt: Attempt, of: Refund, bank_reference: str | None) -> None:
    """The payer has it: no chargeback may take it a second time, and its merchant owes it as any refund."""
    _mark(case, attempt, LATE_SUCCESS, bank_reference)
    case.take_back(of.refund_id, attempt.bank, attempt.amount_minor)
    case.change(refunded_minor=case.row.refunded_minor + attempt.amount_minor)
    case.call_operator(f"{attempt.bank} has given back what it had declined", None, of.refund_id)

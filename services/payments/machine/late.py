"""A bank says that it has done what it had certainly not done (pure).

Promise: the payment stays as it ended; the money that moved all the same is in suspense, and goes back by
itself where it can. A second one of the same payment is left to an operator whole.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.payments.machine import attempts, capture, refund
from services.payments.machine.case import Case
from services.payments.machine.errors import Refused
from services.payments.machine.model import Attempt

# A void that was done after all changes what is still open of an authorisation, and moves no money.
_VOIDABLE = frozenset({"authorized", "capturing", "voiding"})


def _moved_late(attempt: Attempt) -> bool:
    return attempt.decline_code == attempts.LATE_SUCCESS and attempt.operation != "void"


def succeeded(case: Case, attempt: Attempt, bank_reference: str | None) -> None:
    """A declined or unprocessed attempt was confirmed.

    The attempt keeps its state, so that the one that took its place stays the only one that counts.

    Raises:
        Refused: already_known, or contradiction.
    """
    if attempt.decline_code == attempts.LATE_SUCCESS:
        raise Refused("already_known")
    row = case.row
    is_void = attempt.operation == "void"
    if (row.status not in _VOIDABLE) if is_void else any(_moved_late(a) for a in row.attempts):
        case.contradict(
            f"{attempt.bank} confirms {attempt.attempt_id}, which is {attempt.state}", attempt.created_at
        )
        raise Refused("contradiction")
    case.tell(
        "payment.late_success",
        {
            "bank": attempt.bank,
            "attempt_id": attempt.attempt_id,
            "operation": attempt.operation,
            "amount_minor": attempt.amount_minor,
        },
    )
    marked = replace(
        attempt,
        decline_code=attempts.LATE_SUCCESS,
        bank_reference=bank_reference or attempt.bank_reference,
    )
    case.put_attempt(marked)
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
    case.call_operator(f"{attempt.bank} has done what it had declined", None, attempt.subject_id)

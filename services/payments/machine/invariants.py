"""What must hold of every payment that a turn writes, whatever was decided (pure).

The record's constraints say the same again; here a defect is found before anything reaches it, in the
simulation too. Source: reference state machines 4.1 to 4.3, invariants I2 and I3.
"""

from __future__ import annotations

from services.payments.machine.attempts import op_key_of
from services.payments.machine.errors import InvariantBroken
from services.payments.machine.model import (
    LATE_SUCCESS,
    PAYMENT_FINAL,
    REFUND_FINAL,
    Attempt,
    Payment,
    late_refunds_minor,
    unclaimed_minor,
)

_AT_A_BANK = frozenset({"submitted", "unknown", "authorized", "capturing", "voiding", "succeeded"})
_MOVES_NO_MONEY = frozenset({"declined", "not_processed", "reversed"})


def check(before: Payment, after: Payment) -> None:
    """Check a payment with all that hangs on it.

    Raises:
        InvariantBroken: The turn must not be written.
    """
    status, is_final = after.status, after.status in PAYMENT_FINAL
    if before.status in PAYMENT_FINAL and status != before.status:
        raise _broken(after, f"leaves its final state {before.status}")
    if is_final != (after.due is None):
        raise _broken(after, "has a reminder though it is final, or none though it is not")
    if (status == "failed") != (after.decline_code is not None):
        raise _broken(after, "has failed without a code, or not failed with one")
    if (status == "accepted") != (after.account_version is None):
        raise _broken(after, "has no place in its account's order")
    if status in _AT_A_BANK and after.bank is None:
        raise _broken(after, "has no bank")
    if after.captured_minor:
        _check_amounts(after)
    if len(after.attempts) > 1:
        _check_attempts(after)
    if after.refunds is not before.refunds or after.refunded_minor != before.refunded_minor:
        _check_refunds(after)
    if after.disputes is not before.disputes and any(
        (of.status == "opened") != (of.due is not None) for of in after.disputes
    ):
        raise _broken(after, "has a dispute without a reminder, or an ended one with one")


def _broken(payment: Payment, problem: str) -> InvariantBroken:
    return InvariantBroken(f"{payment.payment_id} ({payment.status}) {problem}")


def _check_amounts(after: Payment) -> None:
    parts = (after.refund_reserved_minor, after.refunded_minor, after.disputed_minor)
    if min(parts) < 0 or unclaimed_minor(after) < 0 or after.captured_minor > after.amount_minor:
        raise _broken(after, "would give back more than was captured")


def _check_attempts(after: Payment) -> None:
    counting: dict[tuple[str, str], Attempt] = {}
    for attempt in after.attempts:
        if attempt.state not in _MOVES_NO_MONEY:
            key = (attempt.subject_id, op_key_of(attempt.operation))
            if key in counting:
                problem = f"has two attempts that may move money: {counting[key].attempt_id}"
                raise _broken(after, f"{problem}, {attempt.attempt_id}")
            counting[key] = attempt


def _check_refunds(after: Payment) -> None:
    if any((of.status in REFUND_FINAL) != (of.due is None) for of in after.refunds):
        raise _broken(after, "has a refund without a reminder, or a final one with one")
    ours = [of for of in after.refunds if of.origin != "system"]
    refunded_minor = sum(of.amount_minor for of in ours if of.status == "succeeded") + late_refunds_minor(
        after, LATE_SUCCESS
    )
    reserved_minor = sum(of.amount_minor for of in ours if of.status not in REFUND_FINAL)
    if (refunded_minor, reserved_minor) != (after.refunded_minor, after.refund_reserved_minor):
        raise _broken(after, "has other sums of refunds than its refunds have")
    if any(of.approved_by == of.asked_by for of in after.refunds):
        raise _broken(after, "has a refund that was approved by the one who asked for it")

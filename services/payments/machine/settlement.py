"""What a line of a bank's settlement file says about what we have booked (pure).

Promise: a line changes nothing by itself. It agrees with the record; or it tells a payment what its bank has
done, by the same door as a callback; or it is a break, which a person or a later line closes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from services.payments.machine.events import BankTold
from services.payments.machine.model import ATTEMPT_OPEN, LATE, AttemptState, Operation

Movement: TypeAlias = Literal["collect", "capture", "payout", "refund", "bounced", "returned", "chargeback"]
# different: another amount, currency or movement. unknown_attempt: not ours, or another bank's. twice: the
# money of one attempt moved a second time. late: it moved although the bank had certainly not done it. open:
# the bank has done what we still ask about. untold: money was taken back, and no word of it came. missing: we
# have booked what the file lacks.
BreakKind: TypeAlias = Literal[
    "different", "unknown_attempt", "twice", "late", "open", "untold", "missing"
]  # fmt: skip
# Taken from the merchant's money by the bank; may be less than the whole.
_TAKEN_BACK = frozenset({"returned", "chargeback"})


class FileLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line as it was read; see `services.banks.messages.SettlementLine`."""

    bank: str
    line: int
    attempt_id: str
    end_to_end_id: str
    movement: Movement
    amount_minor: int
    fee_minor: int
    currency: str
    bank_reference: str
    value_date: str


class Booked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the record holds of the attempt that a line names.

    Attributes:
        lines_before: Earlier lines of the same attempt and movement.
        taken_back_minor: What banks took back of the payment, as we have booked it.
        taken_before_minor: The same, as earlier lines say it.
    """

    attempt_id: str
    payment_id: str
    bank: str
    operation: Operation
    state: AttemptState
    decline_code: str | None
    amount_minor: int
    currency: str
    lines_before: int = 0
    taken_back_minor: int = 0
    taken_before_minor: int = 0


class Judgement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What follows from a line.

    Attributes:
        kind: None where line and record agree.
        expected, found: For people; what we have booked and what the file says.
        tell: For the payment's mailbox.
    """

    kind: BreakKind | None = None
    expected: str = ""
    found: str = ""
    tell: BankTold | None = None


AGREED = Judgement()


def judge(line: FileLine, booked: Booked | None) -> Judgement:
    """Hold a line against the record; the same line may be judged again later, when the record knows more."""
    found = f"{line.movement} {line.amount_minor} {line.currency}"
    if booked is None or booked.bank != line.bank or booked.payment_id != line.end_to_end_id:
        return Judgement(kind="unknown_attempt", expected="no such attempt at this bank", found=found)
    expected = f"{booked.operation} {booked.amount_minor} {booked.currency}, {booked.state}"
    if line.movement in _TAKEN_BACK:
        return _judge_taken_back(line, booked, expected, found)
    movement = "refund" if line.movement == "bounced" else line.movement
    if (movement, line.amount_minor, line.currency) != (
        booked.operation, booked.amount_minor, booked.currency,
    ):  # fmt: skip
        return Judgement(kind="different", expected=expected, found=found)
    if booked.lines_before:
        return Judgement(kind="twice", expected=expected, found=found)
    if line.movement == "bounced":
        return AGREED if booked.state == "reversed" else Judgement(
            kind="open", expected=expected, found=found, tell=_told(line, "bounced")
        )  # fmt: skip
    if booked.state in {"confirmed", "reversed"} or booked.decline_code in LATE:
        return AGREED
    kind: BreakKind = "open" if booked.state in ATTEMPT_OPEN else "late"
    return Judgement(kind=kind, expected=expected, found=found, tell=_told(line, "confirmed"))


def _judge_taken_back(line: FileLine, booked: Booked, expected: str, found: str) -> Judgement:
    """A return or a chargeback: whether it was told of, the amounts say; two of them may have one amount."""
    if booked.operation not in {"collect", "capture"} or line.currency != booked.currency:
        return Judgement(kind="different", expected=expected, found=found)
    if booked.taken_before_minor + line.amount_minor <= booked.taken_back_minor:
        return AGREED
    return Judgement(
        kind="untold",
        expected=f"{booked.taken_back_minor - booked.taken_before_minor} {booked.currency} taken back",
        found=found,
    )


def _told(line: FileLine, what: Literal["confirmed", "bounced"]) -> BankTold:
    return BankTold(
        payment_id=line.end_to_end_id,
        bank=line.bank,
        what=what,
        bank_event_id=f"settlement:{line.line}",
        attempt_id=line.attempt_id,
        amount_minor=line.amount_minor,
        currency=line.currency,
        bank_reference=line.bank_reference,
    )

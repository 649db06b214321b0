"""What a bank allows after an authorisation or a charge: a capture or void, and refunds within it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.bank_simulator.behaviour import Operation


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt of the books that was not declined; a pending one counts as if it were confirmed."""

    attempt_id: str
    operation: str
    amount_minor: int
    currency: str
    end_to_end_id: str
    is_pending: bool = False


def refusal_of(
    operation: Operation,
    amount_minor: int,
    currency: str,
    end_to_end_id: str,
    original: Entry | None,
    followers: Sequence[Entry],
) -> str | None:
    """The code with which the bank declines a step, or None where it may be taken.

    Args:
        original: What the step refers to; None where the bank knows no such reference.
        followers: What refers to the original already and still stands.
    """
    if operation in ("collect", "authorise", "payout"):
        return None
    if original is None or original.is_pending:
        return "original_unknown"
    if (original.currency, original.end_to_end_id) != (currency, end_to_end_id):
        return "original_mismatch"
    if operation == "refund":
        return _refund_refusal(amount_minor, original, followers)
    if original.operation != "authorise":
        return "original_mismatch"
    if any(entry.operation == "void" for entry in followers):
        return "already_voided"
    if any(entry.operation == "capture" for entry in followers):
        return "already_captured"
    return "amount_too_large" if amount_minor > original.amount_minor else None


def _refund_refusal(amount_minor: int, original: Entry, followers: Sequence[Entry]) -> str | None:
    if original.operation not in ("collect", "capture"):
        return "original_mismatch"
    given_back = sum(entry.amount_minor for entry in followers if entry.operation == "refund")
    return "amount_too_large" if given_back + amount_minor > original.amount_minor else None

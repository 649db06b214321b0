"""What the machine refuses: defects of ours, which raise, and commands that come too late, which do not.

Each class and each refusal has a stable code. A defect ends the turn before anything is written.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

# What a command or a bank's word gets instead of `applied`; stored as `refused: <code>`.
#   already_known       says what is known; nothing changes
#   state_conflict      the payment, refund or dispute is not in a state where this makes sense
#   same_person         approved before by the same person, or asked for by them
#   review_expired      the deadline has passed; the reminder ends the review
#   not_in_review       there is nothing to decide
#   amount_invalid      below one minor unit, or more than was authorised
#   refund_exceeds_available  more than is left of what was captured
#   authorization_expired     too late to capture
#   origin_not_allowed  nobody may ask for this in this name
#   id_invalid, text_invalid  not of the form, or longer than the record keeps
#   refund_id_taken     another payment has a refund of this id
#   unknown_refund, unknown_dispute, unknown_attempt  the payment has none with this id
#   mismatch            attempt, bank, amount or currency are not what was asked for: see contradictions
#   contradiction       cannot be true together with what the bank said before: see contradictions
RefusalCode: TypeAlias = Literal[
    "already_known", "state_conflict", "same_person", "review_expired", "not_in_review", "amount_invalid",
    "refund_exceeds_available", "authorization_expired", "origin_not_allowed", "unknown_refund",
    "unknown_dispute", "unknown_attempt", "mismatch", "contradiction", "id_invalid", "text_invalid",
    "refund_id_taken",
]  # fmt: skip


class Refused(Exception):
    """A command or a bank's word that changes no state; what was decided before it stands."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code: RefusalCode = code


class MachineError(Exception):
    """A defect of the engine: the turn must not be written. The closed list is the subclasses below."""

    code: str


class IllegalTransition(MachineError):
    """An event of our own making that cannot follow from the rows; the caller or the record is wrong."""

    code = "illegal_transition"


class RecordIncomplete(MachineError):
    """The snapshot lacks a row that an event is about."""

    code = "record_incomplete"


class InvariantBroken(MachineError):
    """A decision would break what must always hold; it is thrown away instead of being written."""

    code = "invariant_broken"

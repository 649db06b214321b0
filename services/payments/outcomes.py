"""Classify what came back from a bank, or did not (pure).

Promise: `confirmed` and `declined` only for an answer that is about this very attempt, payment, amount and
currency; `unsent` only when no byte of the request can have reached the bank; everything else is `unknown`.
Time plays no part. Source: reference state machine "bank attempt and crash safety".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from services.banks.messages import AttemptAnswer, Operation
from services.node.errors import HopUnknown, HopUnsent

Answer: TypeAlias = AttemptAnswer | HopUnsent | HopUnknown


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt that this worker holds the lease of.

    Attributes:
        attempt_id: The bank's idempotency key.
        epoch: The lease; a result under an older epoch changes nothing.
        action: `send`, or `inquire` when it may have been sent before.
        resendable: Whether the same request may be sent again should the bank not know it.
    """

    attempt_id: str
    epoch: int
    payment_id: str
    bank: str
    operation: Operation
    amount_minor: int
    currency: str
    instrument: str
    action: Literal["send", "inquire"] = "send"
    resendable: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is recorded; `alarm` says why an answer was not believed, for an operator."""

    kind: Literal["confirmed", "declined", "pending", "unknown", "unsent"]
    bank_reference: str | None = None
    decline_code: str | None = None
    alarm: str | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The bank does not know the attempt; it still may, later, so nothing is concluded from it."""


def classify_send(order: Order, answer: Answer) -> Outcome:
    """What sending came to."""
    outcome = _classify(order, answer)
    if isinstance(outcome, NotFound):
        return Outcome("unknown", alarm="the bank answered a request as if it were a question")
    return outcome


def classify_inquiry(order: Order, answer: Answer) -> Outcome | NotFound:
    """What asking came to; an unsent question says nothing about the attempt, which the record knows too."""
    return _classify(order, answer)


def _classify(order: Order, answer: Answer) -> Outcome | NotFound:
    if isinstance(answer, HopUnsent):
        return Outcome("unsent")
    if isinstance(answer, HopUnknown):
        return Outcome("unknown")
    if answer.attempt_id != order.attempt_id:
        return Outcome("unknown", alarm="the answer is about another attempt")
    match answer.outcome:
        case "unsent" | "unknown" | "pending":
            return Outcome(answer.outcome)
        case "not_found":
            return NotFound()
        case "confirmed" | "declined":
            return _believe(order, answer, answer.outcome)


def _believe(order: Order, answer: AttemptAnswer, kind: Literal["confirmed", "declined"]) -> Outcome:
    asked = (order.payment_id, order.amount_minor, order.currency)
    if (answer.end_to_end_id, answer.amount_minor, answer.currency) != asked:
        return Outcome("unknown", alarm="payment, amount or currency of the answer differ from the request")
    if kind == "declined":
        return Outcome(kind, answer.bank_reference, answer.decline_code or "declined")
    return Outcome(kind, answer.bank_reference)

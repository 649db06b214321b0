"""Classify what came back from a bank, or did not (pure).

Promise: `confirmed` and `declined` only for an answer that is about this very attempt, payment, amount and
currency; `unsent` only when no byte of the request can have reached the bank; `not_found` only for a
question; everything else is `unknown`. Time plays no part.
Source: reference state machine "bank attempt and crash safety".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from services.banks.messages import AttemptAnswer
from services.node.errors import HopUnknown, HopUnsent
from services.payments.machine.events import Answered, AnswerKind, Order

Answer: TypeAlias = AttemptAnswer | HopUnsent | HopUnknown


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What is recorded; `alarm` says why an answer was not believed, for an operator."""

    answered: Answered
    alarm: str | None = None


def classify(order: Order, answer: Answer) -> Heard:
    """What sending or asking came to; an unsent question says nothing about the attempt."""
    if isinstance(answer, HopUnsent):
        return Heard(msgspec.structs.replace(heard_as(order, "unsent"), stopped_by="hop"))
    if isinstance(answer, HopUnknown):
        return Heard(heard_as(order, "unknown"))
    if answer.attempt_id != order.attempt_id:
        return _disbelieve(order, "the answer is about another attempt")
    match answer.outcome:
        case "unsent" if answer.alarm is not None:
            refused = msgspec.structs.replace(heard_as(order, "unsent"), stopped_by="connector")
            return Heard(refused, answer.alarm)
        case "unsent" | "unknown" | "pending":
            return Heard(heard_as(order, answer.outcome), answer.alarm)
        case "not_found":
            if order.action == "send":
                return _disbelieve(order, "the bank answered a request as if it were a question")
            return Heard(heard_as(order, "not_found"))
        case "confirmed" | "declined":
            return _believe(order, answer)


def heard_as(
    order: Order, kind: AnswerKind, *, bank_reference: str | None = None, decline_code: str | None = None
) -> Answered:
    """An answer to this order, under its lease."""
    return Answered(
        payment_id=order.payment_id,
        attempt_id=order.attempt_id,
        epoch=order.epoch,
        kind=kind,
        asked=order.action == "inquire",
        bank_reference=bank_reference,
        decline_code=decline_code,
    )


def _believe(order: Order, answer: AttemptAnswer) -> Heard:
    asked = (order.payment_id, order.amount_minor, order.currency)
    if (answer.end_to_end_id, answer.amount_minor, answer.currency) != asked:
        return _disbelieve(order, "payment, amount or currency of the answer differ from the request")
    if answer.outcome == "declined":
        code = answer.decline_code or "generic"
        return Heard(heard_as(order, "declined", bank_reference=answer.bank_reference, decline_code=code))
    return Heard(heard_as(order, "confirmed", bank_reference=answer.bank_reference))


def _disbelieve(order: Order, alarm: str) -> Heard:
    return Heard(heard_as(order, "unknown"), alarm)

"""Second acts made wrong on purpose (pure), each to be seen by the very checker that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from services.payments.machine.policy import Policy
from tests.faults.command_log import Command
from tests.faults.observed import Movement, Observation, Recorded, RecordedRefund, refund_of

Spoil: TypeAlias = Callable[[Observation], Observation]


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """One way to be wrong, and the invariant whose checker must say so.

    Attributes:
        says: a part of what the checker says that is there for it; empty where any will do.
    """

    name: str
    invariant: str
    spoil: Spoil
    says: str = ""


def planted_second_acts() -> list[PlantedFault]:
    """All of them; they need an observation in which each kind of second act was played once."""
    return [
        PlantedFault("more-captured-than-authorised", "I3", _captured_more, "authorised"),
        PlantedFault("authorised-at-two-banks", "I3", _held_twice, "was authorised 2 times"),
        PlantedFault("captured-and-voided", "I3", _captured_and_voided, "captured and voided"),
        PlantedFault("canceled-and-still-held", "I3", _still_held, "still holds it"),
        PlantedFault("captured-without-a-word", "I10", _without("capture"), "nobody asked for"),
        PlantedFault("more-given-back-than-taken", "I3", _given_back_more, "the banks gave back"),
        PlantedFault("a-refund-given-back-twice", "I3", _given_back_twice, "was given back 2 times"),
        PlantedFault("a-refund-of-another-amount", "I3", _other_refund, "was given back as"),
        PlantedFault("a-refund-that-failed-and-moved", "I3", _with_refund("failed"), "is failed, and"),
        PlantedFault("a-refund-without-an-end", "I2", _with_refund("unknown"), "is still unknown"),
        PlantedFault("a-refund-with-two-ends", "I2", _two_ends, "events that end the refund"),
        PlantedFault("a-refund-that-changed", "I2", _changed, "was failed and is succeeded"),
        PlantedFault(
            "a-refund-that-is-lost", "I3", lambda seen: replace(seen, refunds={}), "not in the record"
        ),
        PlantedFault("a-refund-nobody-asked-for", "I10", _without("refund"), "refund that nobody asked for"),
        PlantedFault("refunded-by-one-person", "I10", _without("approve"), "another person's approval"),
        PlantedFault("a-refund-that-was-rejected", "I10", _refund_rejected, "given back after"),
        PlantedFault("moved-with-one-approval", "I10", _one_approval, "1 of 2 approvals"),
        PlantedFault("moved-without-approval", "I10", _without("approve"), "0 of 1 approvals"),
        PlantedFault("moved-though-rejected", "I10", _rejected, "was moved after it had been rejected"),
        PlantedFault("a-sum-of-refunds-that-is-wrong", "I3", _other_sum, "says that"),
        PlantedFault(
            "a-command-that-is-lost", "I4", lambda seen: replace(seen, results={}), "no result of it"
        ),
        PlantedFault("a-command-told-otherwise", "I2", _told_otherwise, "was told"),
    ]


def spoiled_line(seen: Observation, line: Movement, *wrong: Movement) -> Observation:
    """The same but for one line of a bank's ledger, which is now these."""
    return replace(seen, movements=[*(m for m in seen.movements if m is not line), *wrong])


def _line(seen: Observation, operation: str) -> Movement:
    """The first line of this kind whose payment has no other of it."""
    of = [movement for movement in seen.movements if movement.operation == operation]
    payments = [movement.payment_id for movement in of]
    return next(movement for movement in of if payments.count(movement.payment_id) == 1)


def _captured_more(seen: Observation) -> Observation:
    line = _line(seen, "capture")
    return spoiled_line(seen, line, replace(line, amount_minor=1_000_000))


def _held_twice(seen: Observation) -> Observation:
    line = _line(seen, "authorise")
    return spoiled_line(seen, line, line, replace(line, bank="bank-other"))


def _captured_and_voided(seen: Observation) -> Observation:
    line = _line(seen, "capture")
    return spoiled_line(seen, line, line, replace(line, operation="void"))


def _still_held(seen: Observation) -> Observation:
    return spoiled_line(seen, _line(seen, "void"))


def _without(action: str) -> Spoil:
    """Nobody said such a thing."""

    def spoil(seen: Observation) -> Observation:
        return replace(seen, commands=[command for command in seen.commands if command.action != action])

    return spoil


def _given_back_more(seen: Observation) -> Observation:
    line = _line(seen, "refund")
    return spoiled_line(seen, line, replace(line, amount_minor=100_000_000))


def _given_back_twice(seen: Observation) -> Observation:
    line = _line(seen, "refund")
    return spoiled_line(seen, line, line, replace(line, bank="bank-other"))


def _other_refund(seen: Observation) -> Observation:
    line = _line(seen, "refund")
    return spoiled_line(seen, line, replace(line, amount_minor=line.amount_minor - 1))


def _succeeded_refund(seen: Observation) -> tuple[str, RecordedRefund]:
    return next((i, r) for i, r in seen.refunds.items() if (r.status, r.origin) == ("succeeded", "user"))


def _changed_refund(seen: Observation, refund_id: str, refund: RecordedRefund) -> Observation:
    return replace(seen, refunds={**seen.refunds, refund_id: refund})


def _with_refund(status: str) -> Spoil:
    """One that has succeeded has this status instead."""

    def spoil(seen: Observation) -> Observation:
        refund_id, refund = _succeeded_refund(seen)
        return _changed_refund(seen, refund_id, replace(refund, status=status))

    return spoil


def _two_ends(seen: Observation) -> Observation:
    refund_id, refund = _succeeded_refund(seen)
    return _changed_refund(seen, refund_id, replace(refund, terminal_events=2))


def _changed(seen: Observation) -> Observation:
    return replace(seen, earlier={**seen.earlier, _succeeded_refund(seen)[0]: "failed"})


def _rejection_of(seen: Observation, payment_id: str, subject_id: str) -> Observation:
    return replace(seen, commands=[*seen.commands, Command("reject", payment_id, subject_id, "operator-x")])


def _refund_rejected(seen: Observation) -> Observation:
    limit_minor = Policy().refund_review_minor["EUR"]
    line = next(
        movement
        for movement in seen.movements
        if movement.operation == "refund" and movement.amount_minor >= limit_minor
    )
    return _rejection_of(seen, line.payment_id, refund_of(line.attempt_id))


def _approved(seen: Observation) -> tuple[str, Recorded]:
    """A large payment that two persons let go on."""
    return next(
        (i, p)
        for i, p in seen.recorded.items()
        if p.reviewed and p.status == "succeeded" and p.amount_minor >= Policy().second_approver_minor["EUR"]
    )


def _one_approval(seen: Observation) -> Observation:
    payment_id, _ = _approved(seen)
    approvals = [c for c in seen.commands if (c.action, c.subject_id) == ("approve", payment_id)]
    return replace(seen, commands=[c for c in seen.commands if c is not approvals[0]])


def _rejected(seen: Observation) -> Observation:
    payment_id, _ = _approved(seen)
    return _rejection_of(seen, payment_id, payment_id)


def _other_sum(seen: Observation) -> Observation:
    payment_id = _succeeded_refund(seen)[1].payment_id
    payment = seen.recorded[payment_id]
    wrong = replace(payment, refunded_minor=payment.refunded_minor - 1)
    return replace(seen, recorded={**seen.recorded, payment_id: wrong})


def _told_otherwise(seen: Observation) -> Observation:
    command = next(command for command in seen.commands if command.source)
    results = {**seen.results, (command.source, command.source_id): "refused: state_conflict"}
    return replace(seen, results=results, commands=[replace(command, result="applied")])

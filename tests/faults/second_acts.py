"""Judge what came after acceptance (pure): captures, voids, refunds, reviews, and what was said about them.

Money is looked at in the banks' own ledgers, who asked for it in the client's own log, and the rest in the
record: no more is captured than was authorised, no more given back than was taken, each refund has one
outcome, nothing that waits for persons is done without them (I10), and what a command was told stays true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from services.payments.machine.model import REFUND_FINAL
from services.payments.machine.policy import Policy
from tests.faults.observed import (
    MOVES_THE_MONEY,
    Movement,
    Observation,
    Recorded,
    RecordedRefund,
    Violation,
    refund_of,
)

_POLICY: Final = Policy()
_BY_PERSONS: Final = ("user", "customer_service")


def judge_second_acts(seen: Observation) -> Iterator[Violation]:
    """Every way in which one of the promises above does not hold."""
    lines: dict[str, list[Movement]] = defaultdict(list)
    for movement in seen.movements:
        lines[movement.payment_id].append(movement)
    for payment_id, payment in seen.recorded.items():
        if payment.capture_method == "manual":
            yield from _judge_capture(seen, payment_id, payment, lines[payment_id])
        if payment.reviewed and any(line.operation in MOVES_THE_MONEY for line in lines[payment_id]):
            yield from _judge_review(seen, payment_id, payment)
    for payment_id, own in lines.items():
        taken, given = _sum(own, MOVES_THE_MONEY), _sum(own, ("refund",)) - _sum(own, ("bounced",))
        if given > taken:
            yield Violation("I3", payment_id, f"the banks gave back {given} of {taken}")
    yield from _judge_refunds(seen)
    yield from _judge_commands(seen)


def _sum(lines: Iterable[Movement], operations: tuple[str, ...]) -> int:
    return sum(line.amount_minor for line in lines if line.operation in operations)


def _judge_capture(
    seen: Observation, payment_id: str, payment: Recorded, lines: list[Movement]
) -> Iterator[Violation]:
    held, taken = _sum(lines, ("authorise",)), _sum(lines, ("capture",))
    operations = [line.operation for line in lines]
    if operations.count("authorise") > 1:
        yield Violation("I3", payment_id, f"was authorised {operations.count('authorise')} times")
    if taken > held:
        yield Violation("I3", payment_id, f"the banks captured {taken} of {held} authorised")
    if "capture" in operations and "void" in operations:
        yield Violation("I3", payment_id, "was captured and voided")
    if payment.status in ("canceled", "expired") and held and "void" not in operations:
        yield Violation("I3", payment_id, f"is {payment.status}, and a bank still holds it")
    asked = {
        payment.amount_minor if command.amount_minor is None else command.amount_minor
        for command in seen.commands
        if (command.action, command.subject_id, command.applied) == ("capture", payment_id, True)
    }
    if taken and taken not in asked:
        yield Violation("I10", payment_id, f"{taken} were captured, which nobody asked for")


def _judge_review(seen: Observation, payment_id: str, payment: Recorded) -> Iterator[Violation]:
    # By the figures alone: the engine's own reading of them is what is looked at.
    limit_minor = _POLICY.second_approver_minor.get(payment.currency, 0)
    needed = 2 if payment.amount_minor >= limit_minor else 1
    approvers = _deciders(seen, payment_id, "approve")
    if len(approvers) < needed:
        yield Violation("I10", payment_id, f"was moved with {len(approvers)} of {needed} approvals")
    if _deciders(seen, payment_id, "reject"):
        yield Violation("I10", payment_id, "was moved after it had been rejected")


def _deciders(seen: Observation, subject_id: str, action: str) -> set[str]:
    return {
        command.by
        for command in seen.commands
        if (command.action, command.subject_id, command.applied) == (action, subject_id, True)
    }


def _judge_refunds(seen: Observation) -> Iterator[Violation]:
    moved: dict[str, list[Movement]] = defaultdict(list)
    for movement in seen.movements:
        if movement.operation == "refund":
            moved[refund_of(movement.attempt_id)].append(movement)
    for refund_id in moved.keys() - seen.refunds.keys():
        yield Violation("I3", refund_id, "was given back by a bank and is not in the record")
    for refund_id, refund in seen.refunds.items():
        yield from _judge_refund(refund_id, refund, moved[refund_id])
        if refund.origin in _BY_PERSONS:
            yield from _judge_asked(seen, refund_id, refund, is_moved=bool(moved[refund_id]))
    yield from _judge_refunded(seen.recorded, seen.refunds)


def _judge_refund(refund_id: str, refund: RecordedRefund, lines: list[Movement]) -> Iterator[Violation]:
    if refund.status not in REFUND_FINAL:
        yield Violation("I2", refund_id, f"is still {refund.status}")
    elif refund.terminal_events != 1:
        yield Violation("I2", refund_id, f"has {refund.terminal_events} events that end the refund")
    if len(lines) > 1:
        yield Violation("I3", refund_id, f"was given back {len(lines)} times")
    for line in lines:
        if (line.payment_id, line.amount_minor) != (refund.payment_id, refund.amount_minor):
            what = f"was given back as {line.amount_minor} of {line.payment_id}"
            yield Violation("I3", refund_id, what)
    if refund.status in REFUND_FINAL and bool(lines) != (refund.status in ("succeeded", "reversed")):
        yield Violation("I3", refund_id, f"is {refund.status}, and the banks gave it back {len(lines)} times")


def _judge_asked(
    seen: Observation, refund_id: str, refund: RecordedRefund, *, is_moved: bool
) -> Iterator[Violation]:
    askers = _deciders(seen, refund_id, "refund")
    if not askers:
        yield Violation("I10", refund_id, "is a refund that nobody asked for")
    payment = seen.recorded.get(refund.payment_id)
    limit_minor = _POLICY.refund_review_minor.get(payment.currency, 0) if payment else 0
    is_large = refund.amount_minor >= limit_minor
    if not (is_moved and is_large and refund.origin == "customer_service"):
        return
    if not _deciders(seen, refund_id, "approve") - askers:
        yield Violation("I10", refund_id, "was given back without another person's approval")
    if _deciders(seen, refund_id, "reject"):
        yield Violation("I10", refund_id, "was given back after it had been rejected")


def _judge_refunded(
    recorded: Mapping[str, Recorded], refunds: Mapping[str, RecordedRefund]
) -> Iterator[Violation]:
    """What a payment says about its refunds is what they say; our own compensations are not in it."""
    given: dict[str, int] = defaultdict(int)
    for refund in refunds.values():
        if refund.status == "succeeded" and refund.origin != "system":
            given[refund.payment_id] += refund.amount_minor
    for payment_id, payment in recorded.items():
        if payment.refunded_minor != given[payment_id]:
            what = f"says that {payment.refunded_minor} were refunded, of {given[payment_id]}"
            yield Violation("I3", payment_id, what)


def _judge_commands(seen: Observation) -> Iterator[Violation]:
    for command in seen.commands:
        name = f"{command.source} {command.source_id}"
        result = seen.results.get((command.source, command.source_id), "")
        if not result:
            yield Violation("I4", name, "was taken, and there is no result of it")
        elif result != command.result:
            yield Violation("I2", name, f"was told {command.result}, and is {result}")

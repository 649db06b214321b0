"""Planted bugs about screening, reviews, and the story that is told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import msgspec

from services.node.errors import HopUnknown, HopUnsent
from services.payments.machine import payment, review
from services.payments.machine.case import Case
from services.payments.machine.events import Asking, ReviewDecided, Screened
from tests.simulation.mutants import decides, mutant
from tests.simulation.sim_fraud import RULES, SimFraud

Patch = AbstractContextManager[Any]


@mutant("a payment without a verdict passes")
def missing_verdict_passes() -> Patch:
    screen = SimFraud.screen

    async def pass_all(self: SimFraud, askings: Sequence[Asking]) -> Sequence[Screened]:
        try:
            found = {each.payment_id: each for each in await screen(self, askings)}
        except (HopUnknown, HopUnsent):
            found = {}
        for asking in askings:
            passed = Screened(
                payment_id=asking.payment_id, verdict="pass", rule_pack=RULES, inputs_digest="0" * 64
            )
            found.setdefault(asking.payment_id, passed)
        return list(found.values())

    return patch.object(SimFraud, "screen", pass_all)


@mutant("a review that nobody decides passes in the end")
def review_expiry_passes() -> Patch:
    return patch.object(review, "expire_payment", payment.reserve)


@mutant("the same person may approve twice")
def second_approver_is_the_first() -> Patch:
    def decide(case: Case, event: ReviewDecided) -> None:
        if event.by in case.row.reviewers and event.refund_id is None:
            details: Any = {"by": event.by, "reason": event.reason}
            case.tell("payment.review_approved", details)
            payment.reserve(case)
        else:
            review.decided(case, event)

    return decides("ReviewDecided", decide)


@mutant("a verdict that comes again is applied again")
def screened_twice() -> Patch:
    screened = payment.screened

    def screen_again(case: Case, event: Screened) -> None:
        if case.row.status == "in_review" and event.verdict == "review":
            case.change(status="screening")
        screened(case, event)

    return decides("Screened", screen_again)


@mutant("the story leaves out a number now and then")
def sequence_gap() -> Patch:
    tell = Case.tell

    def skip(self: Case, event: str, *rest: Any, **more: Any) -> None:
        if event == "payment.outcome_unknown":
            self.sequence += 1
        tell(self, event, *rest, **more)

    return patch.object(Case, "tell", skip)


@mutant("the end of a payment is not told")
def end_is_not_told() -> Patch:
    tell = Case.tell

    def hush(self: Case, event: str, *rest: Any, **more: Any) -> None:
        if event != "payment.failed":
            tell(self, event, *rest, **more)

    return patch.object(Case, "tell", hush)


@mutant("a withdrawn payment goes to the bank all the same, when its verdict comes")
def withdrawn_payment_goes_on() -> Patch:
    screened = payment.screened

    def go_on(case: Case, event: Screened) -> None:
        if case.row.status == "canceled":
            case.row = msgspec.structs.replace(case.row, status="screening")
        screened(case, event)

    return decides("Screened", go_on)

"""What one worker does with events that it cannot decide or record."""

from __future__ import annotations

from services.payments.machine.choice import Choice
from services.payments.machine.events import Event
from services.payments.machine.model import Payment
from services.payments.routing_facts import EvenFacts
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import BANKS
from tests.integration.payments.payments_stack import until
from tests.integration.payments.worker_surroundings import (
    SomeBanks,
    accepted,
    open_payments,
    working,
)


async def test_one_answer_that_cannot_be_recorded_loses_its_neighbours_nothing(paying: PaymentWorld) -> None:
    identifiers = await accepted(paying, 100)
    guilty = identifiers[50]
    banks, defects = SomeBanks(misread={guilty}), list[str]()

    def note(event: Event, _: Exception) -> None:
        defects.append(event.payment_id)

    async with working(paying, banks, on_defect=note):
        await until(open_payments(paying, most=1), 30)
        others = {await paying.status(one) for one in identifiers if one != guilty}
        # Its lease ends, the bank is asked, and knows it.
        await until(open_payments(paying), 30)

    assert {guilty} == set(defects)
    assert {"succeeded"} == others
    assert {1} == {len(ids) for ids in banks.keys.values()}
    assert [] == await paying.faults()


class _Stumbling(EvenFacts):
    """Cannot route one payment, as a defect of ours would have it."""

    guilty = ""

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        if payment.payment_id == self.guilty:
            raise ZeroDivisionError
        return super().choose(payment, excluded)


async def test_a_payment_that_cannot_be_decided_is_set_aside_and_the_others_go_on(
    paying: PaymentWorld,
) -> None:
    identifiers = await accepted(paying, 100)
    facts = _Stumbling(BANKS)
    facts.guilty = identifiers[3]
    defects: list[str] = []

    def note(event: Event, _: Exception) -> None:
        defects.append(event.payment_id)

    async with working(paying, SomeBanks(), facts=facts, on_defect=note):
        await until(open_payments(paying, most=1), 30)

    assert "screening" == await paying.status(facts.guilty)
    assert {"succeeded"} == {await paying.status(one) for one in identifiers if one != facts.guilty}
    assert {facts.guilty} == set(defects)
    assert [] == await paying.faults()

"""What must hold of each attempt that begins: its bank may have it, and what is told of it is true."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.payments.machine.attempts import MONEY_OPERATIONS
from services.payments.machine.events import Decisions
from services.payments.machine.fees import fee_minor
from services.payments.machine.model import Attempt, Payment
from services.payments.machine.routing import SAME_PERCENT
from services.payments.machine.terms import BankTerms
from tests.simulation.database import Database
from tests.simulation.invariants import Problem
from tests.simulation.shape import Shape


class RoutingInvariants:
    """Watches one world."""

    def __init__(self, shape: Shape, database: Database) -> None:
        self.terms = shape.terms
        self.database = database

    def look(self, decisions: Decisions) -> None:
        """Check the attempts that a commit has begun."""
        for attempt in decisions.attempts:
            if attempt.epoch == 1 and attempt.state == "sending" and attempt.operation in MONEY_OPERATIONS:
                payment = self.database.rows.whole(attempt.payment_id)
                for problem in self._broken(attempt, payment):
                    self.database.trace.violate(*problem)

    def _broken(self, attempt: Attempt, payment: Payment) -> Iterator[Problem]:
        bank, terms = attempt.bank, self.terms[attempt.bank]
        if any(each.bank == bank and each.state == "declined" for each in payment.attempts):
            yield "routing", f"{bank} has declined {payment.payment_id} and gets it again"
        if terms.operations and attempt.operation not in terms.operations:
            yield "routing", f"{bank} gets a {attempt.operation}, which it does not do"
        told = msgspec.json.decode(attempt.routing or "{}")
        named = {*told.get("cost_milli", ()), *told.get("half_open", ())}
        if bank not in named or bank in told.get("not", ()):
            yield "routing", f"{attempt.attempt_id} is at {bank}, which {attempt.routing} does not say"
        costs = told.get("cost_milli", {})
        for name, cost in costs.items():
            if (cost == "unknown") != (self._fee(self.terms[name], payment) is None):
                yield (
                    "routing",
                    f"{attempt.attempt_id}: the price of {name} is known or not, {attempt.routing}",
                )
        if told.get("how") == "cost" and "window" not in told:
            yield from self._is_cheapest(attempt, payment, costs)

    def _is_cheapest(self, attempt: Attempt, payment: Payment, costs: dict[str, object]) -> Iterator[Problem]:
        """With nothing seen of any bank, the fee alone decides."""
        fees = {name: self._fee(self.terms[name], payment) for name in costs}
        known = [fee for fee in fees.values() if fee is not None]
        own = fees[attempt.bank]
        if known and (own is None or own > min(known) * (100 + SAME_PERCENT) // 100):
            yield "routing", f"{attempt.attempt_id} pays {own} at {attempt.bank}, others take {fees}"

    def _fee(self, terms: BankTerms, payment: Payment) -> int | None:
        if not terms.fees:
            return 0
        own = [each for each in terms.fees.values() if each.currency == payment.currency]
        return fee_minor(own[0], payment.amount_minor) if own else None

"""The product's own view of the banks, with somebody who watches what it makes of what really happened."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from services.payments.bank_health import BankHealth
from services.payments.machine.breaker import IN_A_ROW
from services.payments.machine.choice import Choice, Routes
from services.payments.machine.events import Answered, Order
from services.payments.machine.model import Operation, Payment
from tests.simulation.database import Database
from tests.simulation.loop import NODE
from tests.simulation.operators import Ear, Operators
from tests.simulation.shape import Shape
from tests.simulation.sim_bank import SimBank
from tests.simulation.weather import Weather

# So long after an operator's word a worker that nothing has hindered must have heard it. It asks each second;
# a few stalls of the database in a row are not yet a hindrance.
HEARD_S_MAX = 120.0
# What can keep a worker from hearing for longer.
_HINDRANCES = {"worker_paused", "db_away", "db_restarted"}
_NOT_ITS_FAULT = {"answered", "stopped"}


class SimHealth(BankHealth):
    """One worker's `BankHealth`, as it is; what it decides is held against the truth.

    Args:
        banks: Who know how each call really ended.
        weather: Now and then there is no route.
    """

    def __init__(
        self,
        shape: Shape,
        database: Database,
        operators: Operators,
        banks: dict[str, SimBank],
        weather: Weather,
    ) -> None:
        self.ear = Ear(operators)
        super().__init__(shape.terms, self.ear.controls, clock=database.loop.time, today=database.now)
        self.database = database
        self.operators = operators
        self.banks = banks
        self.weather = weather
        self.is_unhindered = not _HINDRANCES & set(shape.storms)
        self.failures: Counter[tuple[str, Operation]] = Counter()

    def note(self, order: Order, answered: Answered, seconds: float) -> None:
        """Take it in, and look whether a breaker moved as it should."""
        key, violate = (order.bank, order.operation), self.database.trace.violate
        ended = self.banks[order.bank].ended.pop((NODE.get(), order.attempt_id), None)
        before = self.is_open(key)
        super().note(order, answered, seconds)
        after = self.is_open(key)
        if after and not before and ended in _NOT_ITS_FAULT:
            violate("breaker", f"{key} opens though the call was {ended}")
        if ended in ("answered", "nonsense"):
            self.failures[key] = 0
        elif ended in ("unreached", "silent"):
            self.failures[key] += 1
            if self.failures[key] >= IN_A_ROW and not after:
                violate("breaker", f"{key} is closed after {self.failures[key]} failures in a row")

    def is_open(self, key: tuple[str, Operation]) -> bool:
        """Whether the breaker keeps all or most payments away."""
        return key in self._breakers and self._breakers[key].opened_at is not None

    def choose_by(self, table: Routes, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Let the product choose, and look whether the bank may have it."""
        if self.weather.strikes("no_route"):
            return Choice(bank=None, explanation="{}")
        choice = table.choose(payment, excluded)
        bank, violate = choice.bank, self.database.trace.violate
        if bank is None:
            return choice
        now, since = self.database.loop.time(), self.operators.since.get(bank, float("inf"))
        if self.ear.drained is None:
            violate("drain", f"{bank} gets {payment.payment_id} before any operator was heard")
        elif bank in self.ear.drained:
            violate("drain", f"{bank} is drained and gets {payment.payment_id}")
        elif self.is_unhindered and now - since > HEARD_S_MAX:
            violate("drain", f"{bank} is drained for {now - since:.0f} s and gets {payment.payment_id}")
        if bank in excluded:
            violate("routing", f"{bank} has refused {payment.payment_id} and gets it again")
        operation: Operation = (
            "payout" if payment.kind == "payout"
            else "collect" if payment.capture_method == "automatic" else "authorise"
        )  # fmt: skip
        breaker = self._breakers.get((bank, operation))
        if breaker is not None and breaker.state(now) == "open":
            violate("breaker", f"{bank} gets {payment.payment_id} while its breaker is open")
        return choice


class WatchedRoutes:
    """The routes of one turn; what few turns need is made when it is needed."""

    def __init__(self, health: SimHealth) -> None:
        self.health = health

    @cached_property
    def table(self) -> Routes:
        """The product's own."""
        return self.health.routes()

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Choose, watched."""
        return self.health.choose_by(self.table, payment, excluded)

    def is_not_found_final(self, bank: str) -> bool:
        """As the bank's contract says."""
        return self.table.is_not_found_final(bank)


class SimFacts:
    """`routing_facts.Facts` of one worker."""

    def __init__(self, health: SimHealth) -> None:
        self.health = health

    def routes(self) -> Routes:
        """The banks as they are now."""
        return WatchedRoutes(self.health)

    def note(self, order: Order, answered: Answered, seconds: float) -> None:
        """Hand it on."""
        self.health.note(order, answered, seconds)

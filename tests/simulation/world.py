"""One world: an engine of some workers, its record, banks, fraud service, merchants, and the weather.

The workers are the product's own class, with the product's own decisions; what they hold on to is simulated.
Then faults end, time passes, and everything is looked at.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import msgspec

from services.node.postgres import DATABASE_AWAY
from services.node.process import cancel_until_heard
from services.payments.bank_calls import BankCalls
from services.payments.machine.events import BankTold, Decisions
from services.payments.machine.model import PAYMENT_FINAL, REFUND_FINAL
from services.payments.worker import Worker
from tests.simulation.database import REFUSAL, Database
from tests.simulation.invariants import Invariants
from tests.simulation.loop import Node, VirtualLoop
from tests.simulation.merchants import Merchants
from tests.simulation.operators import Operators
from tests.simulation.reckoning import Reckoning
from tests.simulation.routing_invariants import RoutingInvariants
from tests.simulation.settlement_reckoning import settlement_problems
from tests.simulation.shape import Shape
from tests.simulation.sim_bank import SimBank
from tests.simulation.sim_fraud import SimFraud
from tests.simulation.sim_health import SimFacts, SimHealth
from tests.simulation.sim_record import SimRecord
from tests.simulation.sim_settlement import Settlements, WatchedReconciler
from tests.simulation.storm import Storm
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

# Longer than the slowest thing that must happen by itself: the longest pause between two questions, reviews,
# authorisations, disputes and the banks' own late news.
PATIENCE_S = 60 * 86_400.0
# Between two looks whether everything has ended: short at first, then a quarter of a day.
STEP_S_MIN, STEP_S_MAX = 30.0, 21_600.0
_RETRY_S = 1.0
# What a worker that is asked to end may take for what is under way.
DRAIN_S_MAX = 5.0


@dataclass
class Result:
    """What became of one world.

    Attributes:
        digest: Of everything that happened; the same seed has the same one.
    """

    seed: int
    violations: list[str]
    digest: str
    faults: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0
    commits: int = 0
    calls: int = 0
    events: int = 0
    lines: int = 0
    payments: int = 0


class World:
    """Everything of one seed.

    Args:
        is_loud: Print what happens.
    """

    def __init__(self, seed: int, *, is_loud: bool = False) -> None:
        self.shape = shape = Shape.of(seed)
        self.loop = VirtualLoop(seed)
        self.trace = Trace(self.loop.time, is_loud=is_loud)
        self.weather = Weather(seed, "weather", shape.rates)
        self.database = Database(self.loop, Weather(seed, "database", shape.rates), self.trace)
        self.banks = {
            name: SimBank(
                name, self.loop.time, self.later, Weather(seed, name, shape.rates), self.trace, self.tell,
                shape.late_s[not shape.terms[name].not_found_is_final], shape.batch_s,
            )
            for name in shape.banks
        }  # fmt: skip
        self.fraud = SimFraud(seed, Weather(seed, "fraud", shape.rates), shape.shares)
        self.operators = Operators(self.database)
        self.merchants = Merchants(shape, self.database, self.later)
        self.invariants = Invariants(self.database, self.banks, self.fraud, shape.policy, self.trace)
        parts = (self.database, self.banks, self.fraud)
        self.storm = Storm(shape, self.loop, self.weather, self.trace, parts, self._start, self.operators)
        self.outstanding = 0  # Calls of the outside world that are still to come.
        routing = RoutingInvariants(shape, self.database)
        self.database.on_commit += [self._note, self.invariants.look, routing.look, self.merchants.look]
        self.settlements = Settlements(self.database, {name: bank.file for name, bank in self.banks.items()})

    def run(self) -> Result:
        """Live through it."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._live())
        except Exception as fault:  # noqa: BLE001 - a world that breaks down is a finding, with its seed.
            self.trace.violate("world", f"{type(fault).__name__}: {fault}")
        finally:
            asyncio.set_event_loop(None)
            result = self._result()
            self.loop.dispose()
        return result

    async def _live(self) -> None:
        self.merchants.begin()
        self.storm.start_all()
        await self.storm.rage()
        self.storm.heal()
        await self._settle()
        problems = [
            *Reckoning(self.invariants, self.merchants.refunds_asked).problems(),
            *settlement_problems(self.settlements),
        ]
        for problem in problems:
            self.trace.violate(*problem)
        for fault in self.loop.faults:
            self.trace.violate("defect", str(fault.get("exception") or fault.get("message")))

    def _start(self, number: int) -> Node:
        node = Node(f"worker-{number}")
        self.loop.start(node, partial(self._work, node))
        return node

    async def _work(self, node: Node) -> None:
        """One process after another, as a supervisor starts them again; put together as `app.main` does."""
        while True:
            health = SimHealth(self.shape, self.database, self.operators, self.banks, self.weather)
            worker = Worker(
                SimRecord(self.database), BankCalls(cast("Any", self.banks)), self.fraud, SimFacts(health),
                self.shape.policy, self.shape.config, on_defect=self._defect,
            )  # fmt: skip
            node.stop = partial(worker.stop, DRAIN_S_MAX)
            with suppress(*DATABASE_AWAY):
                await health.follow()
            beside = [health.run(), *(self._reconciler(bank).run() for bank in self.shape.banks)]
            tasks = [asyncio.create_task(loop) for loop in beside]
            for task in tasks:
                task.add_done_callback(self._crash)
            await worker.run()
            await cancel_until_heard(tasks)
            self.trace.note(node.name, "has stopped in order")

    def _crash(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.trace.violate("defect", f"a loop has ended: {task.exception()!r}")

    def _reconciler(self, bank: str) -> WatchedReconciler:
        return WatchedReconciler(self.settlements, self.banks[bank], bank)

    def _defect(self, event: Any, fault: Exception) -> None:
        if REFUSAL not in str(fault):  # That one is to be set aside, and the others to go on.
            self.trace.violate("defect", f"{type(fault).__name__}: {fault} on {event}")

    async def _settle(self) -> None:
        step, deadline = STEP_S_MIN, self.loop.time() + PATIENCE_S
        while not self._is_settled() and self.loop.time() < deadline:
            await asyncio.sleep(step)
            step = min(step * 1.5, STEP_S_MAX)

    def _is_settled(self) -> bool:
        rows = self.database.rows
        is_read = self.settlements.is_quiet()
        return (
            is_read
            and not (self.outstanding or rows.undone or rows.unposted)
            and all(
                (
                    payment.status in PAYMENT_FINAL
                    and all(refund.status in REFUND_FINAL for refund in rows.whole(key).refunds)
                )
                or self.invariants.is_left_to_people(rows.whole(key))
                for key, payment in rows.payments.items()
            )
        )

    # The outside world.

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Something that the outside world will do, whatever becomes of the workers."""
        self.outstanding += 1

        def happen() -> None:
            self.outstanding -= 1
            call()

        self.loop.later(delay_s, happen)

    def tell(self, told: BankTold, least_s: float) -> None:
        """A bank's callback: sooner or later, perhaps more than once, perhaps wrong."""
        weather, replace = self.banks[told.bank].weather, msgspec.structs.replace
        wait = weather.chance.random() * least_s
        if weather.strikes("bank_callback_late"):
            wait = weather.seconds(60.0, 100_000.0)
        if weather.strikes("bank_callback_wrong"):
            event_id = f"{told.bank_event_id}-w"
            wrong = replace(told, amount_minor=told.amount_minor + 1, bank_event_id=event_id)
            if told.what in ("returned", "recalled"):
                # Nobody can tell another part from a wrong one; the currency can be told.
                wrong = replace(told, currency="XTS", bank_event_id=event_id)
            self.later(wait, partial(self._deliver, wrong))
        self.later(wait, partial(self._deliver, told))
        if weather.strikes("bank_callback_twice"):
            self.later(wait + weather.chance.random() * 5.0, partial(self._deliver, told))
        if weather.strikes("bank_callback_again"):
            again = replace(told, bank_event_id=f"{told.bank_event_id}-a")
            self.later(wait + weather.chance.random() * 5.0, partial(self._deliver, again))

    def _deliver(self, told: BankTold) -> None:
        if self.database.is_away:
            self.later(_RETRY_S, partial(self._deliver, told))
        else:
            self.database.mail_in(told, f"bank:{told.bank}", told.bank_event_id)

    # What is told about it.

    def _note(self, decisions: Decisions) -> None:
        note = self.trace.note
        for told in decisions.told:
            note("told", told.payment_id, told.sequence, told.type, told.subject_id, told.decline_code)
        for attempt in decisions.attempts:
            note("attempt", attempt.attempt_id, attempt.bank, attempt.state, attempt.epoch)
        for mail_id, outcome in decisions.mail_done:
            note("mail", mail_id, outcome)

    def _result(self) -> Result:
        faults = Counter[str]()
        for weather in self.storm.weathers():
            faults += weather.counts
        return Result(
            seed=self.shape.seed,
            violations=self.trace.violations,
            digest=self.trace.digest,
            faults=faults,
            virtual_s=self.loop.time(),
            commits=self.database.commits,
            calls=sum(len(bank.entries) for bank in self.banks.values()),
            events=len(self.database.rows.told_at),
            lines=self.trace.lines,
            payments=len(self.database.rows.payments),
        )

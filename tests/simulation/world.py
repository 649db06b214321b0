"""One world: an engine of some workers, its record, banks, fraud service, merchants, and the weather; then heal,
let time pass, and look.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from services.payments.machine import turn
from services.payments.machine.choice import Choice
from services.payments.machine.events import BankTold, Decisions
from services.payments.machine.model import PAYMENT_FINAL, REFUND_FINAL, Payment
from tests.simulation.database import Database
from tests.simulation.invariants import Invariants
from tests.simulation.loop import Node, VirtualLoop
from tests.simulation.merchants import Merchants
from tests.simulation.reckoning import Reckoning
from tests.simulation.shape import Shape
from tests.simulation.sim_bank import SimBank
from tests.simulation.sim_fraud import SimFraud
from tests.simulation.sim_record import SimRecord
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

# Longer than the slowest thing that must happen by itself: the longest pause between two questions, reviews,
# authorisations, disputes and the banks' own late news.
PATIENCE_S = 60 * 86_400.0
_RETRY_S = 1.0
# Larger faults of one world at most: more only meet an engine that has nothing to do any more.
STRIKES_MAX = 25


@dataclass
class Result:
    """What became of one world."""

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


class SimRoutes:
    """The banks as routing sees them; by the same payment always the same one."""

    def __init__(self, world: World) -> None:
        self.world = world

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        if self.world.weather.strikes("no_route"):
            return Choice(bank=None, explanation="{}")
        left = [name for name in self.world.shape.banks if name not in excluded]
        order = random.Random(payment.payment_id).random()
        return Choice(bank=left[int(order * len(left))] if left else None, explanation="{}")

    def is_not_found_final(self, bank: str) -> bool:
        return bank in self.world.shape.final_banks


class World:
    """Everything of one seed.

    Args:
        is_loud: Print what happens.
    """

    def __init__(self, seed: int, *, is_loud: bool = False) -> None:
        self.shape = Shape.of(seed)
        self.loop = VirtualLoop(seed)
        self.trace = Trace(self.loop.time, is_loud=is_loud)
        rates = self.shape.rates
        self.weather = Weather(seed, "weather", rates)
        self.database = Database(self.loop, Weather(seed, "database", rates), self.trace)
        self.banks = {
            name: SimBank(
                name,
                self.loop.time,
                self.later,
                Weather(seed, name, rates),
                self.trace,
                self.tell,
                self.shape.late_s[name not in self.shape.final_banks],
            )
            for name in self.shape.banks
        }
        self.fraud = SimFraud(seed, Weather(seed, "fraud", rates), self.shape.shares)
        self.merchants = Merchants(self.shape, self.database, self.later)
        self.invariants = Invariants(self.database, self.banks, self.fraud, self.shape.policy, self.trace)
        self.routes = SimRoutes(self)
        self.nodes: dict[int, Node] = {}
        self.outstanding = 0  # Calls of the outside world that are still to come.
        self.database.on_commit += [self._note, self.invariants.look, self.merchants.look]

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

    def decide(self, snapshot: Any) -> Decisions:
        """The machine, with routes and policy bound."""
        return turn.decide(snapshot, self.routes, self.shape.policy)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Something that the outside world will do, whatever becomes of the workers."""
        self.outstanding += 1

        def happen() -> None:
            self.outstanding -= 1
            call()

        self.loop.later(delay_s, happen)

    def tell(self, told: BankTold, least_s: float) -> None:
        """A bank's callback: sooner or later, perhaps more than once, perhaps wrong."""
        weather = self.banks[told.bank].weather
        wait = weather.chance.random() * least_s
        if weather.strikes("bank_callback_late"):
            wait = weather.seconds(60.0, 100_000.0)
        if weather.strikes("bank_callback_wrong"):
            wrong = msgspec.structs.replace(
                told, amount_minor=told.amount_minor + 1, bank_event_id=f"{told.bank_event_id}-w"
            )
            self.later(wait, partial(self._deliver, wrong))
        self.later(wait, partial(self._deliver, told))
        if weather.strikes("bank_callback_twice"):
            self.later(wait + weather.chance.random() * 5.0, partial(self._deliver, told))
        if weather.strikes("bank_callback_again"):
            again = msgspec.structs.replace(told, bank_event_id=f"{told.bank_event_id}-a")
            self.later(wait + weather.chance.random() * 5.0, partial(self._deliver, again))

    def _deliver(self, told: BankTold) -> None:
        if self.database.is_away:
            self.later(_RETRY_S, partial(self._deliver, told))
        else:
            self.database.mail_in(told, f"bank:{told.bank}", told.bank_event_id)

    async def _live(self) -> None:
        self.merchants.begin()
        for number in range(self.shape.workers):
            self._start(number)
        await self._storm()
        self._heal()
        await self._settle()
        self._send_statements()
        await self._settle()
        for problem in Reckoning(self.invariants, self.merchants.refunds_asked).problems():
            self.trace.violate(*problem)
        for fault in self.loop.faults:
            self.trace.violate("defect", str(fault.get("exception") or fault.get("message")))

    async def _settle(self) -> None:
        step, deadline = 30.0, self.loop.time() + PATIENCE_S
        while not self._is_settled() and self.loop.time() < deadline:
            await asyncio.sleep(step)
            step = min(step * 1.5, 21_600.0)

    def _is_settled(self) -> bool:
        rows = self.database.rows
        return not (self.outstanding or rows.undone or rows.unposted) and all(
            (
                payment.status in PAYMENT_FINAL
                and all(refund.status in REFUND_FINAL for refund in rows.whole(key).refunds)
            )
            or self.invariants.is_left_to_people(rows.whole(key))
            for key, payment in rows.payments.items()
        )

    def _send_statements(self) -> None:
        """The settlement files: what a bank has done and the record does not know of."""
        for bank in self.banks.values():
            for entry in bank.entries.values():
                attempt = self.database.rows.attempts[entry.order.attempt_id]
                if entry.state == "confirmed" and attempt.state not in ("confirmed", "reversed"):
                    told = bank.told(entry, "confirmed", number=9)
                    self._deliver(told)

    # The workers.

    def _start(self, number: int) -> None:
        node = Node(f"worker-{number}")
        self.nodes[number] = node
        self.loop.start(node, self._work)

    async def _work(self) -> None:
        from tests.simulation.stand_in import Carrier, Worker

        worker = Worker(
            SimRecord(self.database), Carrier(self.banks), self.fraud, list(self.banks), self.decide
        )
        await worker.run()

    # The weather.

    async def _storm(self) -> None:
        end = self.shape.storm_s
        chance = self.weather.chance
        for _ in range(STRIKES_MAX if self.shape.storms else 0):
            # Half of them while there is much to do, the others at any time.
            span = chance.choice((min(self.shape.busy_s, end) + 1.0, end))
            await asyncio.sleep(chance.random() ** 2 * span / 5)
            if self.loop.time() >= end:
                break
            self._strike(self.weather.one_of(self.shape.storms))
        await asyncio.sleep(max(0.0, max(end, self.shape.busy_s) - self.loop.time()))

    def _strike(self, kind: str) -> None:
        """One of the larger faults; each ends by itself."""
        weather, chance = self.weather, self.weather.chance
        weather.counts[kind] += 1
        length = chance.choice((0.1, 3.0, 20.0, 300.0)) * chance.random()
        number = chance.randrange(self.shape.workers)
        bank = self.banks[weather.one_of(self.shape.banks)]
        self.trace.note("storm", kind, bank.name, number, f"{length:.3f}")
        if kind.startswith("worker"):
            node = self.nodes[number]
            node.at_fuse = partial(
                self._kill if kind == "worker_killed" else self._pause, number, node, length
            )
            node.fuse = chance.choice((1, 20, 200)) if node.fuse == 0 else node.fuse
        elif kind == "db_restarted":
            self.database.restart()
        elif kind == "db_away":
            self.database.restart()
            self._flag(self.database, "is_away", length)
        elif kind == "fraud_down":
            self._flag(self.fraud, "is_down", length)
        else:
            self._flag(bank, f"is_{kind.removeprefix('bank_')}", length * 10)

    def _kill(self, number: int, node: Node, length: float) -> None:
        if not node.is_dead:
            self.trace.note(node.name, "killed")
            self.loop.kill(node)
            self.loop.later(length, partial(self._restart, number, node))

    def _pause(self, number: int, node: Node, length: float) -> None:
        self.trace.note(node.name, "paused")
        node.is_paused = True
        self.loop.later(length, partial(self.loop.resume, node))

    def _flag(self, owner: Any, name: str, length: float) -> None:
        setattr(owner, name, True)
        self.loop.later(length, partial(setattr, owner, name, False))

    def _restart(self, number: int, node: Node) -> None:
        if self.nodes[number] is node:
            self._start(number)

    def _heal(self) -> None:
        """From here on nothing fails any more."""
        self.trace.note("healed")
        for weather in self._weathers():
            weather.is_bad = False
        self.database.is_away = self.fraud.is_down = False
        for bank in self.banks.values():
            bank.is_down = bank.is_deaf = bank.is_mute = False
        for number, node in list(self.nodes.items()):
            node.fuse = 0
            if node.is_dead:
                self._restart(number, node)
            elif node.is_paused:
                self.loop.resume(node)

    def _weathers(self) -> list[Weather]:
        banks = [bank.weather for bank in self.banks.values()]
        return [self.weather, self.database.weather, self.fraud.weather, *banks]

    def _note(self, decisions: Decisions) -> None:
        for told in decisions.told:
            self.trace.note(
                "told",
                told.payment_id,
                told.sequence,
                told.type,
                told.subject_id or "",
                told.decline_code or "",
            )
        for attempt in decisions.attempts:
            self.trace.note("attempt", attempt.attempt_id, attempt.bank, attempt.state, attempt.epoch)
        for mail_id, outcome in decisions.mail_done:
            self.trace.note("mail", mail_id, outcome)

    def _result(self) -> Result:
        faults = Counter[str]()
        for weather in self._weathers():
            faults += weather.counts
        return Result(
            seed=self.shape.seed, violations=self.trace.violations, digest=self.trace.digest, faults=faults,
            virtual_s=self.loop.time(), commits=self.database.commits, lines=self.trace.lines,
            payments=len(self.database.rows.payments), calls=sum(len(b.entries) for b in self.banks.values()),
            events=len(self.database.rows.told_at),
        )  # fmt: skip

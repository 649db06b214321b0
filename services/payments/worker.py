"""One worker, put together from its parts: the same in production, in benchmarks and in the simulation.

Needs a running event loop and nothing else: no thread, no wall clock, no chance. Everything that it knows is
in the record; it may be cancelled or killed at any moment, and any number may run beside each other.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.node.crash_points import reach
from services.node.process import cancel_until_heard
from services.payments.bulkheads import Bulkheads, Lane
from services.payments.config import WorkerConfig
from services.payments.engine import Engine
from services.payments.errands import Errand, Errands
from services.payments.machine.events import Decisions
from services.payments.machine.policy import Policy
from services.payments.pulse import Pulse
from services.payments.record import Banks, Record, Screener
from services.payments.recording import Recording
from services.payments.routing_facts import Facts
from services.payments.screening import Screening
from services.payments.turns import OnDefect, Turns
from services.payments.watchdog import Watchdog
from services.payments.windows import Windows


class _Part(Protocol):
    """What runs until cancelled."""

    async def run(self) -> None: ...


class Worker:
    """Drives payments from acceptance to their ends.

    Args:
        record: The source of truth (`store.Store`).
        banks: Carries orders (`bank_calls.BankCalls`).
        screener: Decides about fraud (`fraud_calls.FraudCalls`).
        facts: What is known about banks; `routing_facts.EvenFacts(bank_names)` spreads evenly.
        policy: What decisions go by.
        config: The banks' names, limits and pauses.
        on_defect: Told of each event that could not be decided or written, and was set aside.
    """

    def __init__(
        self,
        record: Record,
        banks: Banks,
        screener: Screener,
        facts: Facts,
        policy: Policy,
        config: WorkerConfig,
        *,
        on_defect: OnDefect | None = None,
    ) -> None:
        self._changed = changed = Pulse()
        self._bulkheads = Bulkheads[Errand](
            config.bank_names,
            config.sends_per_bank_max,
            config.queue_per_bank_max,
            config.redrives_per_bank_max,
        )
        turns = Turns(record, facts, policy, self._bulkheads, on_defect)
        turns.follow = self._follow
        self._answers = Recording(turns, config, "answer", changed)
        self._verdicts = Recording(turns, config, "verdict", changed)
        lease_s, screening_lease_s = policy.lease.total_seconds(), policy.screening_lease.total_seconds()
        self._errands = Errands(banks, self._bulkheads, self._answers, facts, config, lease_s, changed)
        self._screening = Screening(screener, self._verdicts, config, screening_lease_s, changed)
        self._engine = Engine(turns, self._screening, config, self._room, changed)
        self._windows = Windows(record, config)
        self._watchdogs = [
            Watchdog(bank, turns, self._bulkheads, self._screening, config, changed)
            for bank in (*config.bank_names, None)
        ]
        self._stopping = asyncio.Event()
        self._drain_s_max = 0.0

    @property
    def reached(self) -> bool:
        """Whether the last turn reached the record."""
        return self._engine.reached

    async def run(self) -> None:
        """Work until `stop` was called and what was under way has ended, or until cancelled."""
        takers: list[_Part] = [self._engine, self._windows, *self._watchdogs]
        keepers: list[_Part] = [self._screening, self._answers, self._verdicts]
        try:
            async with asyncio.TaskGroup() as group:
                taking = [group.create_task(part.run()) for part in takers]
                keeping = [group.create_task(part.run()) for part in keepers]
                await self._stopping.wait()
                await cancel_until_heard(taking)
                await self._drain()
                await cancel_until_heard(keeping)
        finally:
            self._errands.cancel()
            self._screening.cancel()

    def stop(self, drain_s_max: float) -> None:
        """Take nothing new; give what is under way so long to end. The reminders find the rest."""
        self._drain_s_max = drain_s_max
        self._stopping.set()

    async def _drain(self) -> None:
        reach("payments.draining")
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_s_max
        while self.under_way and (left_s := until - loop.time()) > 0:
            await self._changed.wait(left_s)

    @property
    def under_way(self) -> int:
        """Questions, calls and what they came to, that are not recorded yet."""
        return (
            self._bulkheads.under_way()
            + self._screening.open
            + self._answers.waiting
            + self._verdicts.waiting
        )

    def _room(self) -> int:
        """How many more payments banks can take, when those that are being screened are with them."""
        return sum(self._bulkheads.rooms().values()) - self._screening.open - self._verdicts.waiting

    def _follow(self, decisions: Decisions, lane: Lane) -> None:
        for order in decisions.orders:
            self._errands.begin(order, lane)
        self._screening.ask(decisions.askings)

"""Carry orders to the banks, a bounded number at a time for each bank, and hand on what came of them.

Promises: no transaction is open during a call; a bank that is slow or away uses up its own places only; an
order that would outlive its lease is not begun: the reminder finds it.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import msgspec

from services.node.crash_points import reach
from services.node.logs import get_log
from services.payments import counters
from services.payments.bulkheads import Bulkhead, Bulkheads, Lane
from services.payments.config import RECORD_S_MIN, WorkerConfig
from services.payments.machine.events import Answered, Order
from services.payments.pulse import Pulse
from services.payments.record import Banks
from services.payments.recording import Recording
from services.payments.routing_facts import Facts

# An order, and until when its lease lasts by the loop's clock.
Errand: TypeAlias = tuple[Order, float]

_log = get_log("payments.errands")


class Errands:
    """The calls under way.

    Args:
        banks: Who carries an order.
        bulkheads: The places of each bank.
        answers: Where what came back is recorded.
        facts: Who is told how banks behave.
        config: How long a call may last.
        lease_s: From the commit on; see `Policy.lease`.
        changed: Told when a place became free.
    """

    def __init__(
        self,
        banks: Banks,
        bulkheads: Bulkheads[Errand],
        answers: Recording,
        facts: Facts,
        config: WorkerConfig,
        lease_s: float,
        changed: Pulse,
    ) -> None:
        self._banks = banks
        self._bulkheads = bulkheads
        self._answers = answers
        self._facts = facts
        self._config = config
        self._lease_s = lease_s
        self._changed = changed
        self._tasks: dict[asyncio.Task[None], None] = {}  # In order of their beginning.

    def begin(self, order: Order, lane: Lane) -> None:
        """Start on an order, or let it wait for a place; its lease runs from now at the latest."""
        counters.counter(counters.ORDERED, order.bank, order.action).inc()
        errand = (order, asyncio.get_running_loop().time() + self._lease_s)
        place = self._bulkheads.of(order.bank, lane)
        if place.running >= place.calls_max:
            place.queue.append(errand)
            return
        place.running += 1
        counters.under_way(order.bank, lane.value).inc()
        task = asyncio.create_task(self._work(place, errand, lane))
        self._tasks[task] = None
        task.add_done_callback(self._forget)

    def cancel(self) -> None:
        """Break off every call; what it was about is found again by its reminder."""
        for task in list(self._tasks):
            task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def _work(self, place: Bulkhead[Errand], errand: Errand, lane: Lane) -> None:
        """Carry one order, then whatever waits for the place."""
        try:
            while True:
                order, until = errand
                try:
                    await self._carry(order, until)
                except Exception:  # noqa: BLE001 - logged whole; the place must serve whoever is next.
                    # The reminder brings the attempt back; the defect must be seen all the same.
                    _log.exception("an errand failed", attempt_id=order.attempt_id)
                self._changed.fire()
                if not place.queue:
                    return
                errand = place.queue.popleft()
        finally:
            place.running -= 1
            counters.under_way(errand[0].bank, lane.value).dec()
            self._changed.fire()

    async def _carry(self, order: Order, until: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        may_ask_and_send = order.action == "inquire" and order.resendable
        calls_s = self._config.call_s_max * (2 if may_ask_and_send else 1)
        if begun + calls_s + RECORD_S_MIN > until:
            counters.OUTLIVED.inc()
            return
        answered = await self._banks.carry(order)
        if answered.kind == "not_found" and may_ask_and_send:
            # The bank promises that the same attempt is the same request, so sending it again is safe even if
            # the first one is still on its way; concluding that it was not sent would not be.
            begun = loop.time()
            answered = await self._banks.carry(msgspec.structs.replace(order, action="send"))
        reach("payments.bank_answered")
        self._answers.put(answered, until)  # First: whatever comes after must not lose it.
        self._hear(order, answered, loop.time() - begun)

    def _hear(self, order: Order, answered: Answered, took_s: float) -> None:
        if answered.stopped_by is None:
            self._bulkheads.heard(order.bank, is_unsent=answered.kind == "unsent")
        self._facts.note(order, answered, took_s)

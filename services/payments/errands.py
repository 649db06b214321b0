"""Carry orders to the banks and record what came of them, a bounded number at a time for each bank.

Promises: no transaction is open during a call; a bank that is slow or away uses up its own room only; a
result is recorded as long as the lease lasts, after that the reminder finds the attempt again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar

import asyncpg

from services.banks.client import BanksClient
from services.banks.messages import Attempt
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.group import Group, GroupFull
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.config import CLAIM_PAYMENTS_MAX, LEASE, REDRIVES_PER_BANK_MAX, SENDS_PER_BANK_MAX
from services.payments.outcomes import Answer, NotFound, Order, Outcome, classify_inquiry, classify_send
from services.payments.store import Result, Store

# Results of calls that end together are recorded together.
LINGER_S = 0.002
# One refused connection is a hiccup; so many in a row, with nothing between, is a bank that is away. What is
# re-driven to it goes on probing it, and the first call that leaves makes it eligible again.
UNSENT_IN_A_ROW_MAX = 8
# While the database is away: often enough to record within a lease, seldom enough not to storm it.
AWAY_S = 0.5

Taken = TypeVar("Taken")

_log = get_log("payments.errands")


async def unbroken(taking: Coroutine[Any, Any, Taken]) -> Taken:
    """Wait for a claim or redrive to end before giving in to a cancellation.

    Broken off in the middle it may have committed, and what it took would wait for its lease to run out.
    """
    task = asyncio.create_task(taking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


class Lane(Enum):
    """First attempts and overdue ones have separate room."""

    SEND = SENDS_PER_BANK_MAX
    REDRIVE = REDRIVES_PER_BANK_MAX


class Errands:
    """The calls under way.

    Args:
        store: Where outcomes are recorded.
        banks: Bank name to a client with connections of its own.
    """

    def __init__(self, store: Store, banks: Mapping[str, BanksClient]) -> None:
        self._store = store
        self._banks = banks
        self._tasks: dict[tuple[str, Lane], set[asyncio.Task[None]]] = {
            (bank, lane): set() for bank in banks for lane in Lane
        }
        self._unsent_in_a_row = dict.fromkeys(banks, 0)
        self._ended = asyncio.Event()
        self._group = Group[Result, bool](store.record, items_max=CLAIM_PAYMENTS_MAX, linger_s=LINGER_S)

    def is_reachable(self, bank: str) -> bool:
        """False while the last calls to a bank, this many in a row, certainly never left."""
        return self._unsent_in_a_row[bank] < UNSENT_IN_A_ROW_MAX

    def room(self, bank: str, lane: Lane) -> int:
        """How many more orders of this bank may be begun."""
        return lane.value - len(self._tasks[bank, lane])

    async def until_one_ends(self) -> None:
        """Complete when a call has ended after this was called."""
        self._ended.clear()
        await self._ended.wait()

    def begin(self, order: Order, lane: Lane) -> None:
        """Start on an order; its lease runs from now at the latest."""
        until = asyncio.get_running_loop().time() + LEASE.total_seconds()
        tasks = self._tasks[order.bank, lane]
        task = asyncio.create_task(self._carry(order, until))
        tasks.add(task)
        gauge = counters.UNDER_WAY.labels(order.bank, lane.name.lower())
        gauge.inc()

        def end(ended: asyncio.Task[None]) -> None:
            tasks.discard(ended)
            gauge.dec()
            self._ended.set()
            if not ended.cancelled() and (fault := ended.exception()) is not None:
                # The reminder brings the attempt back; the defect must be seen all the same.
                _log.error("an errand failed", attempt_id=order.attempt_id, exc_info=fault)

        task.add_done_callback(end)

    async def drain(self, wait_s_max: float) -> None:
        """Give what is under way a last chance; what does not end is found again by its reminder."""
        reach("payments.draining")
        under_way = [task for tasks in self._tasks.values() for task in tasks]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=wait_s_max)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._group.close()

    async def _carry(self, order: Order, until: float) -> None:
        if order.action == "inquire":
            reach("payments.bank_asked")
            answer = await self._inquire(order)
            outcome = classify_inquiry(order, answer)
            if isinstance(outcome, NotFound):
                # The bank promises that the same attempt is the same request, so sending it again is safe
                # even if the first one is still on its way; concluding that it was not sent would not be.
                outcome = await self._send(order) if order.resendable else Outcome("unknown")
        else:
            outcome = await self._send(order)
        self._unsent_in_a_row[order.bank] = (
            self._unsent_in_a_row[order.bank] + 1 if outcome.kind == "unsent" else 0
        )
        if outcome.alarm is not None:
            counters.ALARMS.labels(order.bank).inc()
            _log.error("an answer was not believed", reason=outcome.alarm, attempt_id=order.attempt_id)
        await self._record(Result(order, outcome), until)

    async def _send(self, order: Order) -> Outcome:
        attempt = Attempt(
            attempt_id=order.attempt_id,
            bank=order.bank,
            operation=order.operation,
            amount_minor=order.amount_minor,
            currency=order.currency,
            instrument=order.instrument,
            end_to_end_id=order.payment_id,
        )
        reach("payments.bank_called")
        try:
            answer: Answer = await self._banks[order.bank].send(attempt)
        except (HopUnsent, HopUnknown) as fault:
            answer = fault
        reach("payments.bank_answered")
        return classify_send(order, answer)

    async def _inquire(self, order: Order) -> Answer:
        try:
            return await self._banks[order.bank].inquire(order.bank, order.attempt_id)
        except (HopUnsent, HopUnknown) as fault:
            return fault

    async def _record_alone(self, result: Result, fault: asyncpg.PostgresError) -> bool:
        """Record one result outside of any batch; what the record refuses becomes unknown."""
        try:
            return (await self._store.record([result]))[0]
        except DATABASE_AWAY:
            return False  # The lease runs out and the bank is asked again.
        except asyncpg.PostgresError:
            _log.error(
                "the record refuses what the bank answered",
                attempt_id=result.order.attempt_id, bank=result.order.bank, sqlstate=fault.sqlstate,
            )  # fmt: skip
            counters.ALARMS.labels(result.order.bank).inc()
        with suppress(*DATABASE_AWAY):
            await self._store.record([Result(result.order, Outcome("unknown"))])
        return False

    async def _record(self, result: Result, until: float) -> None:
        order = result.order
        while True:
            reach("payments.result_known")
            try:
                applied = await self._group.submit(result)
            except (*DATABASE_AWAY, GroupFull) as fault:
                if asyncio.get_running_loop().time() + AWAY_S > until:
                    _log.warning(
                        "a result outlived its lease", attempt_id=order.attempt_id, fault=type(fault).__name__
                    )
                    return
                await asyncio.sleep(AWAY_S)
                continue
            except asyncpg.PostgresError as fault:
                # One item's content fails a whole batch. Alone, only the guilty one falls.
                applied = await self._record_alone(result, fault)
            reach("payments.result_committed")
            if applied:
                counters.RECORDED.labels(order.bank, result.outcome.kind).inc()
            else:
                counters.STALE.inc()
                _log.warning(
                    "a result came after its lease was lost",
                    attempt_id=order.attempt_id, epoch=order.epoch, outcome=result.outcome.kind,
                )  # fmt: skip
            return

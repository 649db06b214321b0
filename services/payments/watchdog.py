"""The reminders' end: every second, take over what is overdue. Every worker runs one, none is in charge.

Promise: an attempt whose worker died, whose call never left, or whose outcome is unknown is driven again when
its reminder says so, without end; one bank's backlog does not delay another's.
"""

from __future__ import annotations

import asyncio

from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.errands import Errands, Lane, unbroken
from services.payments.store import Store

# The shortest reminder is 2 s; looking every second makes it 3 at the most.
PERIOD_S = 1.0
# During a backlog: lets a few calls end, so that the next round is not for one attempt alone.
GATHER_S = 0.02

_log = get_log("payments.watchdog")


class Watchdog:
    """One round for each bank each second; a backlog is worked off as room allows, without a pause."""

    def __init__(self, store: Store, errands: Errands, bank: str) -> None:
        self._store = store
        self._errands = errands
        self._bank = bank

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                more = await unbroken(self._take())
            except DATABASE_AWAY as fault:
                _log.warning("the database is away, reminders wait", fault=type(fault).__name__)
                more = False
            if more:
                await self._errands.until_one_ends()
            await asyncio.sleep(GATHER_S if more else PERIOD_S)

    async def _take(self) -> bool:
        """Take as many as there is room for; True: all room is used, and there may be more."""
        room = self._errands.room(self._bank, Lane.REDRIVE)
        if room == 0:
            return True
        orders = await self._store.redrive(self._bank, room)
        if orders:
            reach("payments.takeover_committed")
        for order in orders:
            counters.REDRIVEN.labels(order.bank, order.action).inc()
            self._errands.begin(order, Lane.REDRIVE)
        return len(orders) == room

"""The engine's loop: claim what waits, begin its errands, go on claiming while calls are under way.

Promises: never more calls at one bank than it has room for; a bank without room gets no new payments, which
then go to the others; no fault of the database or of a bank ends the loop.
"""

from __future__ import annotations

import asyncio

from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.config import CLAIM_ACCOUNTS_MAX, CLAIM_PAYMENTS_MAX, ROOM_MIN
from services.payments.errands import Errands, Lane, unbroken
from services.payments.outcomes import Order
from services.payments.store import Store

# Pauses between claims that find nothing: short after work, then longer, to spare an idle database.
IDLE_S_MIN = 0.005
IDLE_S_MAX = 0.025
# The same, while the database is away; back within a second of its return.
AWAY_S_MIN = 0.1
AWAY_S_MAX = 1.0

_log = get_log("payments.engine")


class Engine:
    """Claims for all banks; any number of engines may run beside each other.

    Attributes:
        reached: Whether the last claim reached the database.
    """

    def __init__(self, store: Store, errands: Errands, banks: list[str]) -> None:
        self._store = store
        self._errands = errands
        self._banks = banks
        self.reached = False

    async def run(self) -> None:
        """Claim until cancelled."""
        idle_s, away_s = IDLE_S_MIN, AWAY_S_MIN
        while True:
            rooms = {bank: self._errands.room(bank, Lane.SEND) for bank in self._banks}
            with_room = [bank for bank, room in rooms.items() if room >= ROOM_MIN]
            # A bank that is away gets no new payments while another is there; alone, it keeps them.
            eligible = [bank for bank in with_room if self._errands.is_reachable(bank)] or with_room
            if not eligible:
                await self._errands.until_one_ends()
                continue
            # Routing may send the whole claim to one bank, so the smallest room bounds it.
            payments_max = min(CLAIM_PAYMENTS_MAX, *(rooms[bank] for bank in eligible))
            try:
                orders = await unbroken(self._claim(eligible, payments_max))
            except DATABASE_AWAY as fault:
                self.reached = False
                _log.warning("the database is away, payments wait", fault=type(fault).__name__)
                await asyncio.sleep(away_s)
                away_s = min(away_s * 2, AWAY_S_MAX)
                continue
            self.reached, away_s = True, AWAY_S_MIN
            if orders:
                idle_s = IDLE_S_MIN
            else:
                await asyncio.sleep(idle_s)
                idle_s = min(idle_s * 2, IDLE_S_MAX)

    async def _claim(self, banks: list[str], payments_max: int) -> list[Order]:
        orders = await self._store.claim(banks, payments_max, CLAIM_ACCOUNTS_MAX)
        if orders:
            reach("payments.turn_committed")
        for order in orders:
            counters.CLAIMED.labels(order.bank).inc()
            self._errands.begin(order, Lane.SEND)
        return orders

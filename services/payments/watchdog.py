"""The reminders' end: every second, take over what is overdue. Every worker runs one, none is in charge.

Promise: an attempt whose worker died, whose call never left, or whose outcome is unknown is driven again when
its reminder says so, without end; one bank's backlog does not delay another's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments.bulkheads import Bulkheads, Lane
from services.payments.config import TURN_ITEMS_MAX, WorkerConfig
from services.payments.pulse import Pulse
from services.payments.record import Overdue
from services.payments.screening import Screening
from services.payments.turns import Turns

# During a backlog: lets a few calls end, so that the next round is not for one attempt alone.
GATHER_S = 0.02
# While the fraud service is away: so many reminders at a time ask it again.
PROBE_ITEMS = 32

_log = get_log("payments.watchdog")


class Watchdog:
    """One round each period; a backlog is worked off as room allows, without a pause.

    Args:
        bank: Whose reminders; None: those that wait for no bank.
    """

    def __init__(
        self,
        bank: str | None,
        turns: Turns,
        bulkheads: Bulkheads[Any],
        screening: Screening,
        config: WorkerConfig,
        changed: Pulse,
    ) -> None:
        self._bank = bank
        self._turns = turns
        self._bulkheads = bulkheads
        self._screening = screening
        self._config = config
        self._changed = changed

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                more = await self._take()
            except DATABASE_AWAY as fault:
                _log.warning("the database is away, reminders wait", fault=type(fault).__name__)
                more = False
            except Exception:  # noqa: BLE001 - logged whole; without reminders payments would be lost.
                # Not one event's fault, or it would have been set aside: the record cannot be read.
                _log.exception("a round failed", bank=self._bank)
                more = False
            if more:
                await self._changed.wait(self._config.period_s)
            await asyncio.sleep(GATHER_S if more else self._config.period_s)

    async def _take(self) -> bool:
        """Take as many as there is room for; True: all room is used, and there may be more."""
        room = self._room()
        if room <= 0:
            return True
        found = await self._turns.take(Overdue(bank=self._bank, items_max=room), Lane.REDRIVE)
        return found >= room and not (self._bank is None and self._screening.is_away)

    def _room(self) -> int:
        if self._bank is not None:
            return self._bulkheads.of(self._bank, Lane.REDRIVE).room
        if self._screening.is_away:
            return PROBE_ITEMS
        return TURN_ITEMS_MAX - self._screening.open

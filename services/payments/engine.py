"""The engine's loop: give waiting accounts their turn, while there is room for what follows.

Promises: never more than banks and fraud service have room for; commands and callbacks get their turn even
while new payments must wait; no fault of the database, a bank or the fraud service ends the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments.config import TURN_ACCOUNTS_MAX, TURN_ITEMS_MAX, WorkerConfig
from services.payments.pulse import Pulse
from services.payments.record import Waiting
from services.payments.screening import Screening
from services.payments.turns import Turns

# The first pause while the database is away; it doubles up to `away_s`.
AWAY_S_MIN = 0.1
# A fraud service that does not answer is asked about so many new payments each period: is it back?
PROBE_ITEMS = 8

_log = get_log("payments.engine")


class Engine:
    """Turns of waiting accounts; any number of engines may run beside each other.

    Args:
        turns: Where they are taken.
        screening: Who is asked next.
        config: Limits and pauses.
        room: How many new payments banks and screening can take.
        changed: Fires when there may be more room.

    Attributes:
        reached: Whether the last turn reached the database.
    """

    def __init__(
        self,
        turns: Turns,
        screening: Screening,
        config: WorkerConfig,
        room: Callable[[], int],
        changed: Pulse,
    ) -> None:
        self._turns = turns
        self._screening = screening
        self._config = config
        self._room = room
        self._changed = changed
        self._probe_due = 0.0
        self.reached = False

    async def run(self) -> None:
        """Take turns until cancelled."""
        idle_s, away_s = self._config.idle_s_min, AWAY_S_MIN
        while True:
            try:
                found = await self._take()
            except DATABASE_AWAY as fault:
                self.reached = False
                _log.warning("the database is away, payments wait", fault=type(fault).__name__)
                await asyncio.sleep(away_s)
                away_s = min(away_s * 2, self._config.away_s)
                continue
            except Exception:  # noqa: BLE001 - logged whole; a loop that ended would end every payment.
                # Not one event's fault, or it would have been set aside: the record cannot be read.
                _log.exception("a turn failed")
                await asyncio.sleep(self._config.away_s)
                continue
            self.reached, away_s = True, AWAY_S_MIN
            if found:
                idle_s = self._config.idle_s_min
            else:
                await asyncio.sleep(idle_s)
                idle_s = min(idle_s * 2, self._config.idle_s_max)

    async def _take(self) -> bool:
        """One turn; True: there may be more at once."""
        now = asyncio.get_running_loop().time()
        items_max = min(TURN_ITEMS_MAX, self._room())
        if self._screening.is_away:
            is_probe = now >= self._probe_due
            if is_probe:
                self._probe_due = now + self._config.period_s
            await self._turns.take(
                _waiting(PROBE_ITEMS if is_probe else TURN_ITEMS_MAX, mail_only=not is_probe)
            )
            await self._changed.wait(self._config.mail_s)
            return True
        if items_max >= self._config.room_min:
            found = await self._turns.take(_waiting(items_max))
            if 0 < found < items_max:
                took_s = asyncio.get_running_loop().time() - now
                await asyncio.sleep(self._config.pace.rest_s(took_s))
            return found > 0
        if not await self._changed.wait(self._config.mail_s):
            await self._turns.take(_waiting(TURN_ITEMS_MAX, mail_only=True))
        return True


def _waiting(items_max: int, *, mail_only: bool = False) -> Waiting:
    return Waiting(items_max=items_max, accounts_max=TURN_ACCOUNTS_MAX, mail_only=mail_only)

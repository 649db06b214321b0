"""Collect what came back from outside, and record it in full batches, one turn each.

Promises: what waits together is recorded together; while the database is away each item is tried again until
its time has passed, after which a reminder asks again; one batch at a time, in order of arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.config import TURN_ITEMS_MAX, WorkerConfig
from services.payments.machine.events import Answered, Screened
from services.payments.pulse import Pulse
from services.payments.record import About
from services.payments.turns import Turns

_log = get_log("payments.recording")


class Recording:
    """One queue of answers, or of verdicts.

    Args:
        turns: Where they are recorded.
        config: How long a first item lingers, and the pause while the database is away.
        kind: Its name in the figures.
        changed: Told when something was recorded.
    """

    def __init__(self, turns: Turns, config: WorkerConfig, kind: str, changed: Pulse) -> None:
        self._turns = turns
        self._config = config
        self._kind = kind
        self._changed = changed
        self._waiting: deque[tuple[Answered | Screened, float]] = deque()
        self._under_way = 0
        self._came = asyncio.Event()
        self._gauge = counters.WAITING_RECORDS.labels(kind)

    @property
    def waiting(self) -> int:
        """How many are not recorded yet, those of the turn under way included."""
        return len(self._waiting) + self._under_way

    def put(self, event: Answered | Screened, until: float) -> None:
        """Record this; `until`, by the loop's clock, it is worth trying."""
        self._waiting.append((event, until))
        self._came.set()

    async def run(self) -> None:
        """Record until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
            if len(self._waiting) < TURN_ITEMS_MAX and self._config.linger_s:
                await asyncio.sleep(self._config.linger_s)
            batch = [self._waiting.popleft() for _ in range(min(TURN_ITEMS_MAX, len(self._waiting)))]
            self._under_way, begun = len(batch), now()
            self._gauge.set(self.waiting)
            try:
                await self._turns.take(About(events=[event for event, _ in batch]))
            except DATABASE_AWAY as fault:
                self._keep(batch, type(fault).__name__)
                await asyncio.sleep(self._config.away_s)
            except Exception:  # noqa: BLE001 - logged whole; others still wait to be recorded.
                # The reminders bring back what it was about; the defect must be seen all the same.
                _log.exception("a batch could not be recorded", kind=self._kind, items=len(batch))
            finally:
                self._under_way = 0
                self._changed.fire()
            if len(batch) < TURN_ITEMS_MAX:
                await asyncio.sleep(self._config.pace.rest_s(now() - begun))

    def _keep(self, batch: list[tuple[Answered | Screened, float]], fault: str) -> None:
        soon = asyncio.get_running_loop().time() + self._config.away_s
        kept = [(event, until) for event, until in batch if until > soon]
        self._waiting.extendleft(reversed(kept))
        counters.OUTLIVED.inc(len(batch) - len(kept))
        _log.warning(
            "the database is away, what came back waits", kind=self._kind, kept=len(kept),
            outlived=len(batch) - len(kept), fault=fault,
        )  # fmt: skip

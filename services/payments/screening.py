"""Ask the fraud service about payments, in full batches, a few questions at a time.

Promise: a missing answer changes nothing; the payment's reminder asks again. While the service does not
answer, `is_away` tells the engine to be sparing with new questions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from services.node import tracing
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.payments import counters
from services.payments.config import TURN_ITEMS_MAX, WorkerConfig
from services.payments.machine.events import Asking
from services.payments.pulse import Pulse
from services.payments.record import Screener
from services.payments.recording import Recording

_log = get_log("payments.screening")


class Screening:
    """The questions of one worker.

    Args:
        screener: Who decides.
        verdicts: Where the verdicts are recorded.
        config: How many questions at a time, and how long a first item lingers.
        lease_s: How long a verdict is worth recording; see `Policy.screening_lease`.
        changed: Told when a question has ended.

    Attributes:
        is_away: Whether the last question had no answer.
    """

    def __init__(
        self, screener: Screener, verdicts: Recording, config: WorkerConfig, lease_s: float, changed: Pulse
    ) -> None:
        self._screener = screener
        self._verdicts = verdicts
        self._config = config
        self._lease_s = lease_s
        self._changed = changed
        self._waiting: dict[str, Asking] = {}  # By payment: a reminder may ask what is not asked yet.
        self._asked = 0
        self._slots = asyncio.Semaphore(config.screenings_max)
        self._came = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.is_away = False

    @property
    def open(self) -> int:
        """How many payments wait for a verdict here."""
        return len(self._waiting) + self._asked

    def ask(self, askings: Sequence[Asking]) -> None:
        """Ask about these soon."""
        for asking in askings:
            self._waiting[asking.payment_id] = asking
        if askings:
            self._came.set()

    def cancel(self) -> None:
        """Break off every question."""
        for task in list(self._tasks):
            task.cancel()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
            if len(self._waiting) < TURN_ITEMS_MAX and self._config.linger_s:
                await asyncio.sleep(self._config.linger_s)
            await self._slots.acquire()
            first = list(self._waiting)[:TURN_ITEMS_MAX]
            # Counted before the task's first step: who looks in between must not think that nothing is open.
            self._asked += len(first)
            task = asyncio.create_task(self._ask([self._waiting.pop(key) for key in first]))
            self._tasks[task] = None
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def _ask(self, askings: list[Asking]) -> None:
        until, began_s = asyncio.get_running_loop().time() + self._lease_s, time.time()
        reach("payments.screening_asked")
        try:
            verdicts = await self._screener.screen(askings)
            reach("payments.verdicts_known")
        except (HopUnsent, HopUnknown) as fault:
            counters.SCREENINGS_FAILED.inc()
            if not self.is_away:
                _log.warning("the fraud service does not answer", fault=type(fault).__name__)
            self.is_away = True
        except Exception:  # noqa: BLE001 - logged whole; others still wait to be asked about.
            # The reminders ask again; the defect must be seen all the same.
            _log.exception("a screening failed", items=len(askings))
            self.is_away = True
        else:
            self.is_away = False
            for asking in askings:
                tracing.note(asking.payment_id, "screen", began_s, kind="client")
            for verdict in verdicts:
                self._verdicts.put(verdict, until)
        finally:
            self._asked -= len(askings)
            self._slots.release()
            self._changed.fire()

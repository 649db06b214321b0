"""Waiting for payments to rest: one question to the record for everybody who waits here, never one for each.

Promises: at most one statement at a time and twenty a second in a process, whatever the number of waiters;
none while nobody waits. Whoever cannot wait, because too many do or the process stops, is answered at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

from gateway.errors import CellUnavailable

POLL_S = 0.05  # A payment takes 50 ms at least, and nobody who waits for seconds notices these.
# One statement looks up this many ids in about 10 ms; each waiter also holds a connection of the edge.
WAITERS_MAX = 1_000
# A tenth of them: ten merchants have to conspire before somebody else cannot wait.
WAITERS_OF_MERCHANT_MAX = 100


class Waiting:
    """Waits for payments.

    Args:
        resting: (merchant id, payment id) to the ids of those that rest; raises `CellUnavailable`.
        waiters_max: how many may wait at one time.
        of_merchant_max: how many of them for one merchant.
    """

    def __init__(
        self,
        resting: Callable[[Collection[tuple[str, str]]], Awaitable[set[str]]],
        *,
        waiters_max: int = WAITERS_MAX,
        of_merchant_max: int = WAITERS_OF_MERCHANT_MAX,
    ) -> None:
        self._resting = resting
        self._waiters_max = waiters_max
        self._of_merchant_max = of_merchant_max
        self._waiters: dict[tuple[str, str], list[asyncio.Future[None]]] = {}
        self._counts: Counter[str] = Counter()
        self._somebody = asyncio.Event()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many wait."""
        return self._counts.total()

    async def until_rest(self, merchant_id: str, payment_id: str, seconds: float) -> bool:
        """Wait until the payment rests, the time is over, or the process stops.

        Returns:
            Whether it was waited at all: false if too many do, or the process stops.
        """
        if (
            self._stopped
            or self.count >= self._waiters_max
            or self._counts[merchant_id] >= self._of_merchant_max
        ):
            return False
        future = asyncio.get_running_loop().create_future()
        place = (merchant_id, payment_id)
        self._waiters.setdefault(place, []).append(future)
        self._counts[merchant_id] += 1
        self._somebody.set()
        try:
            await asyncio.wait({future}, timeout=seconds)
        finally:
            self._counts[merchant_id] -= 1
            if not self._counts[merchant_id]:
                del self._counts[merchant_id]
            others = self._waiters[place]
            others.remove(future)
            if not others:
                del self._waiters[place]
        return True

    async def run(self) -> None:
        """Ask for all of them, until cancelled."""
        while True:
            if not self._waiters:
                self._somebody.clear()
                await self._somebody.wait()
            try:
                rested = await self._resting(tuple(self._waiters))
            except CellUnavailable:
                rested = set()  # Their time runs on; what they then read says that the record is away.
            for place, futures in self._waiters.items():
                if place[1] in rested:
                    _wake(futures)
            await asyncio.sleep(POLL_S)

    def stop(self) -> None:
        """Let nobody wait any more: who does is answered with what there is now."""
        self._stopped = True
        for futures in self._waiters.values():
            _wake(futures)


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)

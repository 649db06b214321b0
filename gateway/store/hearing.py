"""Hearing of new events: one question to the record for everybody who follows a feed here, not one for each.

Promises: one statement at a time and ten a second in a process, whatever the number of listeners; none while
nobody listens. What is decided after somebody began to listen is heard, however soon. Whoever cannot listen,
because too many do or the process stops, is answered at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.errors import CellUnavailable

POLL_S = 0.1  # A follower learns of an event within a quarter of a second of its commit, busy hosts included.
# Each listener holds a connection of the edge for as long as it waits.
LISTENERS_MAX = 1_000
# Some terminals of some developers; programs have webhooks.
LISTENERS_OF_MERCHANT_MAX = 20

Place = tuple[int, int]


class Listener:
    """Somebody who follows one merchant's feed."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._ended = False

    async def heard(self, seconds: float) -> bool:
        """Wait for news since the last call, or since it began to listen; False if none come any more."""
        if self._ended:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def tell(self) -> None:
        """Wake it: there is something new."""
        self._news.set()

    def end(self) -> None:
        """Wake it for the last time."""
        self._ended = True
        self._news.set()


class Hearing:
    """Tells listeners of events of their merchants.

    Args:
        told_after: a place of the outbox, or None, to where the outbox ends and whose events came after it;
            raises `CellUnavailable`.
        listeners_max: how many may listen at one time.
        of_merchant_max: how many of them to one merchant's feed.
    """

    def __init__(
        self,
        told_after: Callable[[Place | None], Awaitable[tuple[Place, frozenset[str]]]],
        *,
        listeners_max: int = LISTENERS_MAX,
        of_merchant_max: int = LISTENERS_OF_MERCHANT_MAX,
    ) -> None:
        self._told_after = told_after
        self._listeners_max = listeners_max
        self._of_merchant_max = of_merchant_max
        self._listeners: dict[str, set[Listener]] = {}
        self._counts: Counter[str] = Counter()
        self._somebody = asyncio.Event()
        self._placed = asyncio.Event()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many listen."""
        return self._counts.total()

    @asynccontextmanager
    async def listening(self, merchant_id: str, seconds: float) -> AsyncIterator[Listener | None]:
        """Listen to a merchant's events from now on; None if too many do, or the process stops.

        Args:
            merchant_id: whose.
            seconds: how long the listener has; the record may be away, and be back within this time.
        """
        if (
            self._stopped
            or self.count >= self._listeners_max
            or self._counts[merchant_id] >= self._of_merchant_max
        ):
            yield None
            return
        listener = Listener()
        others = self._listeners.setdefault(merchant_id, set())
        others.add(listener)
        self._counts[merchant_id] += 1
        self._somebody.set()
        try:
            try:
                async with asyncio.timeout(seconds):
                    await self._placed.wait()
            except TimeoutError:
                yield None
            else:
                yield listener
        finally:
            others.discard(listener)
            self._counts[merchant_id] -= 1
            if not self._counts[merchant_id]:
                del self._counts[merchant_id], self._listeners[merchant_id]

    async def run(self) -> None:
        """Ask for all of them, until cancelled."""
        place: Place | None = None
        while True:
            if not self._listeners:
                place = None
                self._placed.clear()
                self._somebody.clear()
                await self._somebody.wait()
            try:
                place, told = await self._told_after(place)
            except CellUnavailable:
                told = frozenset()  # What comes meanwhile comes after the same place.
            else:
                self._placed.set()
            for merchant_id in told & self._listeners.keys():
                for listener in self._listeners[merchant_id]:
                    listener.tell()
            await asyncio.sleep(POLL_S)

    def stop(self) -> None:
        """Let nobody listen any more: who does is answered with what there is now."""
        self._stopped = True
        self._placed.set()
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.end()

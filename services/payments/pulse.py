"""Wake whoever waits for something to change."""

from __future__ import annotations

import asyncio


class Pulse:
    """Fires for those who wait at that moment; nothing is remembered for later ones."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake everyone who waits."""
        self._event.set()

    async def wait(self, s_max: float) -> bool:
        """Wait for the next one, so long at the most; False: none came."""
        self._event.clear()
        try:
            async with asyncio.timeout(s_max):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

"""Whether the record answers: asked once a second, so that `/healthz` costs nothing and blocks nobody."""

from __future__ import annotations

import asyncio

import asyncpg

from gateway.store.record import ACQUIRE_S_MAX, is_away

INTERVAL_S = 1.0  # A supervisor asks every few seconds; a second old is as good as now.


class Readiness:
    """Knows whether the last question to the record was answered."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.ready = False

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL_S)

    async def ask(self) -> None:
        """Ask once."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
                await connection.execute("select 1", timeout=ACQUIRE_S_MAX)
        except Exception as fault:
            self.ready = False
            if not is_away(fault):
                raise
        else:
            self.ready = True

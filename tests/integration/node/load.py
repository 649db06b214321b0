"""A load that counts: every request is asked for, and each one that is not answered as expected is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

WORKERS = 4
CONDITION_S_MAX = 15.0
POLL_S = 0.01


@dataclass
class Meter:
    """What became of the requests so far."""

    succeeded: int = 0
    faults: list[str] = field(default_factory=list)

    async def until_more(self, number: int) -> None:
        """Wait until so many more requests have succeeded."""
        goal = self.succeeded + number
        await until(lambda: self.succeeded >= goal)


@asynccontextmanager
async def under_load(*asks: Callable[[], Awaitable[None]], workers: int = WORKERS) -> AsyncIterator[Meter]:
    """Keep `workers` tasks asking, each one the next of `asks` in turn; an ask raises when it failed."""
    meter, over = Meter(), asyncio.Event()

    async def work(number: int) -> None:
        ask = asks[number % len(asks)]
        while not over.is_set():
            try:
                await ask()
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is counted
                meter.faults.append(repr(fault))
                await asyncio.sleep(POLL_S)
            else:
                meter.succeeded += 1

    tasks = [asyncio.create_task(work(number)) for number in range(workers)]
    try:
        yield meter
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""

    async def ask() -> bool:
        return holds()

    await until_seen(ask)


async def until_seen(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition that must be asked for holds."""
    deadline = time.monotonic() + CONDITION_S_MAX
    while not await holds():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(POLL_S)

"""Group commit: while one flush is under way, the next batch collects.

Promise: each submitted item gets its own result or the flush's exception; order of submission is order in the
batch; one flush at a time. Measured knee of batching on PostgreSQL: 64 to 128 items.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.node.pacing import Pace

Item = TypeVar("Item")
Result = TypeVar("Result")


class Group(Generic[Item, Result]):
    """Batches items of concurrent callers into one `flush`.

    Args:
        flush: Takes 1 to `items_max` items, returns as many results in the same order.
        items_max: Largest batch.
        linger_s: How long a lone first item waits for company; 0 flushes at once.
        pace: What it rests after a flush that was not full; without one, the next flush begins at once.
        pending_max: Items that may wait; more raise `GroupFull`, so that a stalled database pushes back.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        *,
        items_max: int = 128,
        linger_s: float = 0.0,
        pace: Pace | None = None,
        pending_max: int = 4096,
    ) -> None:
        self._flush = flush
        self._items_max = items_max
        self._linger_s = linger_s
        self._pace = pace
        self._pending_max = pending_max
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Wait for the flush that carries `item` and return its result.

        Raises:
            GroupFull: `pending_max` items wait already.
            Exception: Whatever the flush raised.
        """
        if len(self._pending) >= self._pending_max:
            raise GroupFull(f"{self._pending_max} items wait already")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Wait until everything submitted has been flushed."""
        while self._runner is not None and not self._runner.done():
            await asyncio.wait({self._runner})

    async def _run(self) -> None:
        if self._linger_s:
            await asyncio.sleep(self._linger_s)
        while self._pending:
            batch, self._pending = self._pending[: self._items_max], self._pending[self._items_max :]
            begun = time.monotonic()
            try:
                results = await self._flush([item for item, _ in batch])
                if len(results) != len(batch):
                    raise RuntimeError(f"flush returned {len(results)} results for {len(batch)} items")
            except asyncio.CancelledError:
                for _, future in batch:
                    future.cancel()
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # The loop is ending; whoever still waits is cancelled with it.
            except Exception as fault:  # noqa: BLE001 - handed to every waiting caller, none is swallowed.
                for _, future in batch:
                    if not future.done():
                        future.set_exception(fault)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
            if self._pace is not None and len(batch) < self._items_max:
                await asyncio.sleep(self._pace.rest_s(time.monotonic() - begun))


class GroupFull(Exception):
    """Too many items wait; the caller should answer 503 and let the client come back."""

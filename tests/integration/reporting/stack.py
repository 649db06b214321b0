"""The service's parts on real servers, put together as `app.py` does; a publisher stands for the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from services.node.postgres import open_pool
from services.node.subscriber import Subscriber
from services.reporting.app import STREAM, subscription
from services.reporting.facts import SUBJECT
from tests.integration.store_and_bus import StoreAndBus

WAIT_S_MAX = 20.0


def fact(row: int, **changes: Any) -> dict[str, Any]:
    """One fact as the relay publishes it, of this hour."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "row": f"7.{row}", "type": "payment.succeeded", "hour": hour.isoformat(), "kind": "collect",
        "currency": "EUR", "band": 11, "decline_code": None,
    } | changes  # fmt: skip


class Stack(StoreAndBus):
    """What counts, put together."""

    async def total(self) -> int:
        """How many facts were counted."""
        [row] = await self.query(
            "reporting", "select coalesce(sum(facts), 0)::bigint as n from reporting.tally"
        )
        return int(row["n"])

    async def until(self, condition: Callable[[int], bool]) -> int:
        """Return the total as soon as it fulfils the condition."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition(total := await self.total()):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        return total

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[asyncpg.Pool]:
        reach = self.postgres.reach("reporting", self.database)
        async with open_pool(self.node("reporting"), reach, connections_max=2, by_index=True) as pool:
            yield pool

    async def publish(self, *facts: dict[str, Any]) -> None:
        await self.publish_raw(msgspec.json.encode({"facts": facts}))

    async def publish_raw(self, body: bytes) -> None:
        async with self.client("payments") as client:
            await client.jetstream().add_stream(name=STREAM, subjects=[SUBJECT])
            await client.jetstream().publish(SUBJECT, body)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Count until the context ends; a loop that failed fails the test."""
        async with self.pool() as pool:
            subscriber = Subscriber(self.node("reporting"), self.bus.reach(), subscription(pool))
            task = asyncio.create_task(subscriber.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})
            assert task.cancelled()

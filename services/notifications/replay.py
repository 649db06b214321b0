"""`python -m services.notifications.replay --config FILE --since TIME`: owe again what the store has lost.

Deliveries that are known stay as they are; the running service sends those that are new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.node.postgres import open_pool
from services.node.replay import run_replay
from services.node.subscriber import Subscription
from services.notifications.config import NotificationsConfig
from services.notifications.consumer import subscription
from services.notifications.events import Event
from services.notifications.intake import insert_events


@asynccontextmanager
async def reading(config: NotificationsConfig) -> AsyncIterator[Subscription[Event]]:
    """What is read, for as long as the store is open."""
    async with open_pool(config, config.postgres, connections_max=1, by_index=True) as pool:

        async def take(events: Sequence[Event]) -> None:
            await insert_events(pool, events)

        yield subscription(take)


if __name__ == "__main__":
    run_replay(NotificationsConfig, reading, lambda config: config.nats, "services.notifications.replay")

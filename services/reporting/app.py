"""The service on one screen: what is opened, what runs, in which order it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY, open_pool
from services.node.process import until_stopped_or_ended
from services.node.server import serve
from services.node.subscriber import Subscriber, Subscription
from services.reporting.config import ReportingConfig
from services.reporting.facts import Fact, parse_message
from services.reporting.store import PRUNED_ROWS_MAX, Pool, count_facts, prune

STREAM = "FACTS"
DURABLE = "reporting"
CONNECTIONS_MAX = 2  # One counts, one forgets.
PRUNE_S = 600.0  # Rows come by the second and go by the day.

_log = get_log("reporting")


def subscription(pool: Pool, taken: Callable[[], None] = lambda: None) -> Subscription[Fact]:
    """Return what is read, and that it is counted.

    Args:
        pool: Connections of the role `reporting`.
        taken: Called after each commit.
    """

    async def take(facts: Sequence[Fact]) -> None:
        await count_facts(pool, facts)
        taken()

    return Subscription(STREAM, DURABLE, parse_message, take)


@asynccontextmanager
async def reading(config: ReportingConfig) -> AsyncIterator[Subscription[Fact]]:
    """What is read, for as long as the store is open: for a replay."""
    async with open_pool(config, config.postgres, connections_max=1, by_index=True) as pool:
        yield subscription(pool)


async def main(config: ReportingConfig) -> None:
    """Run until told to stop."""
    reached = asyncio.Event()  # The record was, since the process began.
    async with open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX, by_index=True) as pool:
        subscriber = Subscriber(config, config.nats, subscription(pool, reached.set))
        async with serve(web.Application(), config, config.listen, callers={}, ready=reached.is_set):
            loops = {asyncio.create_task(subscriber.run()), asyncio.create_task(_forget(pool, reached))}
            await until_stopped_or_ended(loops)


async def _forget(pool: Pool, reached: asyncio.Event) -> None:
    """Forget what is old, until cancelled; the first look also proves that the record is there."""
    while True:
        pause_s = PRUNE_S
        try:
            if await prune(pool) == PRUNED_ROWS_MAX:
                pause_s = 0.0
            reached.set()
        except DATABASE_AWAY as fault:
            _log.warning("the database is away", fault=type(fault).__name__)
            pause_s = 0.5
        await asyncio.sleep(pause_s)

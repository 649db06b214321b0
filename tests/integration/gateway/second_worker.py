"""Another worker of the same cell: a second gateway process over the same PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from gateway.config import LimitsConfig
from services.node.config_file import ListenConfig
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.gateway_stores import Relay, free_port
from tests.raised_limits import RAISED_GATEWAY


@asynccontextmanager
async def second_worker(
    first: Gateway, *, name: str = "second-worker", limits: LimitsConfig = RAISED_GATEWAY
) -> AsyncIterator[Gateway]:
    """Start it with a relay to PostgreSQL of its own, wait until it is ready, and stop it at the end."""
    home = first.home / name
    home.mkdir()
    relay = Relay(first.server.port)
    await relay.mend()
    config = msgspec.structs.replace(
        first.config,
        listen=ListenConfig("127.0.0.1", free_port(), first.config.listen.admit),
        postgres=msgspec.structs.replace(first.config.postgres, port=relay.port),
        state_dir=str(home),
        limits=limits,
    )
    worker = replace(first, config=config, home=home, relay=relay, processes=[])
    worker.start()
    try:
        await worker.await_ready()
        yield worker
    finally:
        codes = await asyncio.to_thread(worker.stop)
        await relay.cut()
    assert all(code == 0 for code in codes), worker.log()[-3000:]

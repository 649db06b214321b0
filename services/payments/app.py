"""How the engine is put together, on one screen."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import prometheus_client
from aiohttp import web

from services.banks.client import BanksClient
from services.node.hop_client import HopClient
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard, until_stopped
from services.node.server import serve
from services.payments.checks import Checks
from services.payments.config import HOP_CALL_S_MAX, PaymentsConfig
from services.payments.engine import Engine
from services.payments.errands import Errands
from services.payments.relay import Relay
from services.payments.store import Store
from services.payments.watchdog import Watchdog

# One for the engine, the record and the relay each, and a few for the watchdogs.
CONNECTIONS_MAX = 6
CALLERS = {"/metrics": frozenset({"supervisor"})}


async def main(config: PaymentsConfig) -> None:
    """Run engine, watchdogs and relay until stopped; then let the calls under way end."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX)
        )
        store = Store(pool)
        # One client for each bank: connections are a bulkhead too.
        banks: dict[str, BanksClient] = {}
        for name in config.bank_names:
            hop = HopClient(
                config, config.banks, timeout_s=HOP_CALL_S_MAX, believes_unsent=True, callee="banks"
            )
            await hop.start()
            stack.push_async_callback(hop.close)
            banks[name] = BanksClient(hop)
        errands = Errands(store, banks)
        engine = Engine(store, errands, list(banks))
        app = web.Application()
        app.router.add_get("/metrics", _metrics)
        await stack.enter_async_context(
            serve(app, config, config.listen, callers=CALLERS, ready=lambda: engine.reached)
        )
        loops = [engine.run(), Relay(config, config.nats, store).run(), Checks(store).run()]
        loops += [Watchdog(store, errands, bank).run() for bank in banks]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            await until_stopped()
            await cancel_until_heard(tasks)
        await errands.drain(HOP_CALL_S_MAX)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )

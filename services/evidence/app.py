"""How the evidence log is put together, on one screen."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import prometheus_client
from aiohttp import web

from services.evidence.config import EvidenceConfig
from services.evidence.cosigning import Cosigning
from services.evidence.sequencer import Sequencer
from services.evidence.store import Store
from services.node.hop_client import HopClient
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard, until_stopped
from services.node.server import serve
from services.witness.client import WITNESS_CALL_S_MAX, WitnessClient
from signing import SigningKey
from signing.evidence.trust import parse_trust

CONNECTIONS_MAX = 3  # One for the sequencer, one for the cosignatures, one to spare.
CALLERS = {"/metrics": frozenset({"supervisor"})}


async def main(config: EvidenceConfig) -> None:
    """Append and collect cosignatures until stopped."""
    key = SigningKey.from_pem(Path(config.log_key_file).read_bytes())
    trust = parse_trust(Path(config.trust_file).read_bytes())
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX)
        )
        store = Store(pool)
        sequencer = Sequencer(store, config.log_name, key)
        loops = [sequencer.run()]
        for name, egress in config.witnesses.items():
            hop = HopClient(config, egress, timeout_s=WITNESS_CALL_S_MAX, believes_unsent=False)
            await hop.start()
            stack.push_async_callback(hop.close)
            witness = WitnessClient(hop)
            keys = [named.key for named in trust.witnesses if named.name == name]
            loops.append(Cosigning(store, name, keys, witness, sequencer.appended).run())
        app = web.Application()
        app.router.add_get("/metrics", _metrics)
        await stack.enter_async_context(
            serve(app, config, config.listen, callers=CALLERS, ready=lambda: sequencer.reached)
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            await until_stopped()
            await cancel_until_heard(tasks)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )

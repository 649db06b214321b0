"""A process of ours, as far as certificates are concerned: a listener behind its sidecar, and a busy pool.

Run as `python -m tests.integration.pki_consumers.node_process CONFIG.json`; ends with SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg
import uvloop
from aiohttp import web

from services.node.config_file import ListenConfig, NodeConfig, PostgresConfig
from services.node.postgres import DATABASE_AWAY, open_pool
from services.node.server import serve

ASK_EVERY_S = 0.02


async def main(config: NodeConfig, listen: ListenConfig, postgres: PostgresConfig) -> None:
    async with (
        open_pool(config, postgres, connections_max=1) as pool,
        serve(web.Application(), config, listen, callers={}),
    ):
        await use(pool)


async def use(pool: asyncpg.Pool) -> None:
    while True:
        with suppress(*DATABASE_AWAY):
            await pool.fetchval("select 1")
        await asyncio.sleep(ASK_EVERY_S)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_bytes())
    uvloop.run(
        main(
            NodeConfig(**given["node"]), ListenConfig(**given["listen"]), PostgresConfig(**given["postgres"])
        )
    )

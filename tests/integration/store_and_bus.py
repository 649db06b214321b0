"""One database and one bus, and how the tests of a subscriber reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from nats.aio.client import Client

from services.node.bus import connect_bus
from services.node.config_file import NodeConfig
from tests.integration.nats_server import NatsServer
from tests.integration.node.mtls import node_config
from tests.integration.postgres_server import PostgresServer


@dataclass
class StoreAndBus:
    """The servers of one test."""

    postgres: PostgresServer
    database: str
    bus: NatsServer
    folder: Path

    def node(self, name: str) -> NodeConfig:
        return node_config(self.postgres.pki, name, self.folder)

    async def query(self, role: str, statement: str, *values: Any) -> list[asyncpg.Record]:
        connection = await self.postgres.connect(role, self.database)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Client]:
        """A connection to the bus with the certificate of `name`."""
        client = await connect_bus(self.node(name), self.bus.reach())
        try:
            yield client
        finally:
            await client.close()

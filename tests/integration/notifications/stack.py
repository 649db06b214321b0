"""The service's parts on real servers, put together as `app.py` does; a publisher stands for the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client

from services.node.config_file import NodeConfig
from services.node.postgres import open_pool
from services.node.subscriber import Subscriber
from services.notifications.addresses import parse_allowances
from services.notifications.consumer import subscription
from services.notifications.courier import Courier
from services.notifications.egress import open_egress
from services.notifications.events import SUBJECT
from services.notifications.sealing import SecretOpener, new_seal_key
from services.notifications.sender import Sender
from signing import SigningKey
from tests.integration.node.mtls import node_config
from tests.integration.store_and_bus import StoreAndBus

WAIT_S_MAX = 20.0
POLL_S = 0.02


def event(payment: int, sequence: int = 1, merchant_id: str = "mer_a", **more: Any) -> dict[str, Any]:
    """One event as the relay publishes it."""
    return {
        "id": f"evt_{payment}_{sequence}",
        "type": "payment.succeeded",
        "merchant_id": merchant_id,
        "payment_id": f"pay_eu_{payment}",
        "account_id": "acc_1",
        "account_version": None,
        "sequence": sequence,
        "at": datetime.now(UTC).isoformat(),
        "data": {"status": "succeeded", "amount_minor": 1999, "currency": "EUR"},
    } | more


@dataclass
class Stack(StoreAndBus):
    """One database, one bus, one key; `running` starts consumer and sender."""

    trust_file: Path
    key: SigningKey
    seal_key: bytes = field(default_factory=new_seal_key)
    connection_age_s_max: float = 60.0
    ended: list[asyncio.Task[None]] = field(default_factory=list)

    def node(self, name: str) -> NodeConfig:
        return node_config(self.postgres.pki, name, self.folder, age_s_max=self.connection_age_s_max)

    async def add_endpoint(self, endpoint_id: str, url: str, merchant_id: str = "mer_a") -> None:
        statement = "select notifications.add_endpoint($1, $2, $3)"
        await self.query("operator", statement, endpoint_id, merchant_id, url)

    async def deliveries(self) -> list[asyncpg.Record]:
        statement = "select * from notifications.delivery order by endpoint_id, payment_id, sequence"
        return await self.query("notifications", statement)

    async def until(self, condition: Callable[[list[asyncpg.Record]], bool]) -> list[asyncpg.Record]:
        """Return the deliveries as soon as they fulfil the condition."""
        deadline = asyncio.get_running_loop().time() + WAIT_S_MAX
        while not condition(rows := await self.deliveries()):
            self.check_loops()
            assert asyncio.get_running_loop().time() < deadline, [dict(row) for row in rows]
            await asyncio.sleep(POLL_S)
        return rows

    def check_loops(self) -> None:
        """Fail if a loop ended by itself."""
        for task in self.ended:
            if not task.cancelled():
                raise RuntimeError("a loop ended by itself") from task.exception()

    async def hasten(self) -> None:
        """Let the time pass until everything pending is due."""
        await self.query(
            "notifications", "update notifications.delivery set due = now() where state = 'pending'"
        )

    async def publish(self, *events: dict[str, Any]) -> None:
        await self.publish_raw(msgspec.json.encode({"events": events}))

    async def publish_raw(self, data: bytes) -> None:
        async with self.client("payments") as client:
            await create_stream(client)
            await client.jetstream().publish(SUBJECT, data)

    @asynccontextmanager
    async def running(self, *allowed: str, consume: bool = True) -> AsyncIterator[Sender]:
        """Run consumer and sender until the context ends; a loop that failed fails the test."""
        config, allowances = self.node("notifications"), parse_allowances(allowed)
        session = open_egress(allowances, trust_file=str(self.trust_file), connections_max=64)
        reach = self.postgres.reach("notifications", self.database)
        async with session, open_pool(config, reach, connections_max=4, by_index=True) as pool:
            sender = Sender(pool, Courier(session, self.key, SecretOpener(self.seal_key), allowances).attempt)
            tasks = [asyncio.create_task(sender.run())]
            if consume:
                consumer = Subscriber(config, self.bus.reach(), subscription(sender.take))
                tasks.append(asyncio.create_task(consumer.run()))
            for task in tasks:
                task.add_done_callback(self.ended.append)
            try:
                yield sender
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        self.check_loops()


async def create_stream(client: Client) -> None:
    """Create the stream as the relay does, or leave it as it is."""
    await client.jetstream().add_stream(name="EVENTS", subjects=[SUBJECT])

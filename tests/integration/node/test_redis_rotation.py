"""The cache's client follows the certificates of both sides under load, and keeps nothing beyond its age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis.asyncio

from services.node.cache import open_redis
from services.node.client_connections import ClientReport
from services.node.config_file import NodeConfig
from services.node.identity import identity_in_force
from tests.integration.node.generations import alone, publish, renew, serial_of
from tests.integration.node.load import under_load, until
from tests.integration.node.mtls import node_config
from tests.integration.node.redis_server import RedisServer, running_redis, until_answering
from tests.integration.postgres_server import ThrowAwayPki

ROTATIONS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    home = tmp_path_factory.mktemp("redis")
    pki = ThrowAwayPki.create(home / "certs")
    pki.issue("redis", "gateway", "supervisor")
    with running_redis(pki, home) as running:
        yield running


@dataclass
class Gateway:
    """A process that uses the cache."""

    server: RedisServer
    config: NodeConfig

    @property
    def identity(self) -> Path:
        return self.server.pki.identity("gateway")

    def report(self) -> ClientReport:
        (client,) = identity_in_force(self.config).clients
        return client.report()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[redis.asyncio.Redis]:
        client = open_redis(self.config, self.server.reach())
        try:
            await until_answering(client)
            yield client
        finally:
            await client.aclose()


@pytest.fixture
def gateway(server: RedisServer, tmp_path: Path) -> Gateway:
    return Gateway(server, node_config(server.pki, "gateway", tmp_path))


@pytest.fixture
def young(server: RedisServer, tmp_path: Path) -> Gateway:
    return Gateway(server, node_config(server.pki, "gateway", tmp_path, age_s_max=3.0))


def asking(client: redis.asyncio.Redis) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        await client.set("gateway:seven", b"7", ex=60)
        assert b"7" == await client.get("gateway:seven")

    return ask


async def test_both_sides_rotate_under_load_without_a_failed_command(gateway: Gateway) -> None:
    async with gateway.connected() as client:
        async with under_load(asking(client)) as meter:
            for _ in range(ROTATIONS):
                server_serial = await renew(gateway.server.pki, "redis")
                await asyncio.to_thread(gateway.server.reload)
                assert server_serial == await asyncio.to_thread(gateway.server.serial_shown)
                serial = await renew(gateway.server.pki, "gateway")
                await until(lambda serial=serial: list(gateway.report().serials_open) == [serial])  # type: ignore[misc]
                await meter.until_more(20)
        seen = gateway.report()
        ages = await asyncio.to_thread(gateway.server.ages_s)

    assert [] == meter.faults
    assert ("redis", serial, len(ages)) == (seen.name, seen.serial, seen.open)
    assert [] == identity_in_force(gateway.config).clients
    assert [] == await asyncio.to_thread(gateway.server.ages_s)


async def test_the_meter_counts_what_fails_with_a_leaf_that_the_server_does_not_trust(
    gateway: Gateway, tmp_path: Path
) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("gateway")
    files, trusted = alone(foreign.identity("gateway")), alone(gateway.identity)
    async with gateway.connected() as client, under_load(asking(client)) as meter:
        await meter.until_more(10)
        publish(gateway.identity, cert=files["cert"], key=files["key"])
        await until(lambda: len(meter.faults) >= 4)
        publish(gateway.identity, **trusted)
        await until(lambda: serial_of(gateway.identity) == gateway.report().serial)
        failed = len(meter.faults)
        await meter.until_more(20)

    assert len(meter.faults) <= failed + 4  # What was being dialled at that moment.


async def test_a_mismatched_pair_leaves_the_client_as_it_is(gateway: Gateway, tmp_path: Path) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("gateway")
    before, trusted = serial_of(gateway.identity), alone(gateway.identity)
    async with gateway.connected() as client, under_load(asking(client)) as meter:
        publish(gateway.identity, key=alone(foreign.identity("gateway"))["key"])
        await identity_in_force(gateway.config).look()
        await meter.until_more(20)
        seen = gateway.report()
        publish(gateway.identity, **trusted)

    assert [] == meter.faults
    assert (before, [before]) == (seen.serial, list(seen.serials_open))


async def test_no_connection_of_a_busy_client_becomes_older_than_the_bound(young: Gateway) -> None:
    ages: list[int] = []
    oldest_s: list[float] = []
    async with young.connected() as client, under_load(asking(client)) as meter:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 7
        while loop.time() < until_s:
            ages += await asyncio.to_thread(young.server.ages_s)
            oldest_s.append(young.report().oldest_age_s)

    assert [] == meter.faults
    assert max(ages) in {2, 3}  # The server tells the difference of two whole seconds.
    assert 1.5 < max(oldest_s) < 3.0


async def test_idle_connections_are_ended_although_nobody_asks_for_them(young: Gateway) -> None:
    async with young.connected() as client:
        await asyncio.gather(*(asking(client)() for _ in range(3)))
        assert 3 == young.report().open
        began = asyncio.get_running_loop().time()
        await until(lambda: young.report().open == 0)
        ended_s = asyncio.get_running_loop().time() - began

        assert [] == await asyncio.to_thread(young.server.ages_s)
        await asking(client)()

    assert 1.5 < ended_s < 2.7

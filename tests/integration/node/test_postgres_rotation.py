"""The pool follows the certificates of both sides under load, and keeps no connection beyond its age."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from services.node.client_connections import ClientReport
from services.node.config_file import NodeConfig
from services.node.identity import identity_in_force
from services.node.postgres import open_pool
from tests.integration.node.generations import alone, publish, renew, serial_of
from tests.integration.node.load import under_load, until, until_seen
from tests.integration.node.mtls import node_config
from tests.integration.postgres_server import PostgresServer, ThrowAwayPki, running_postgres

ROTATIONS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@dataclass
class Gateway:
    """A process that holds the role `gateway`."""

    server: PostgresServer
    config: NodeConfig

    def report(self) -> ClientReport:
        (client,) = identity_in_force(self.config).clients
        return client.report()

    def reload(self) -> None:
        os.kill(self.server.process_id, signal.SIGHUP)

    async def backends(self) -> list[asyncpg.Record]:
        """Age in seconds and client's serial of each other connection of the role, as the server sees it."""
        connection = await self.server.connect("gateway", "postgres")  # One sees one's own role's only.
        try:
            return await connection.fetch(
                "select extract(epoch from clock_timestamp() - backend_start)::float8 as age_s,"
                " client_serial from pg_stat_activity join pg_stat_ssl using (pid)"
                " where usename = 'gateway' and pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()

    async def serial_shown(self) -> str:
        connection = await self.server.connect("migrator", "postgres")
        try:
            tls = connection._transport.get_extra_info("ssl_object")  # type: ignore[attr-defined] # no other way
            shown = tls.getpeercert()["serialNumber"]
        finally:
            await connection.close()
        return f"{int(shown, 16):x}"


@pytest.fixture
def gateway(server: PostgresServer, tmp_path: Path) -> Gateway:
    return Gateway(server, node_config(server.pki, "gateway", tmp_path))


@pytest.fixture
def young(server: PostgresServer, tmp_path: Path) -> Gateway:
    return Gateway(server, node_config(server.pki, "gateway", tmp_path, age_s_max=2.0))


def asking(pool: asyncpg.Pool) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        async with pool.acquire(timeout=5) as connection, connection.transaction():
            assert 7 == await connection.fetchval("select 3 + 4")

    return ask


async def test_both_sides_rotate_under_load_without_a_failed_statement(gateway: Gateway) -> None:
    reach = gateway.server.reach("gateway", "postgres")
    async with (
        open_pool(gateway.config, reach, connections_max=3) as pool,
        under_load(asking(pool)) as meter,
    ):
        await meter.until_more(10)
        for _ in range(ROTATIONS):
            server_serial = await renew(gateway.server.pki, "postgres")
            gateway.reload()

            async def is_shown(serial: str = server_serial) -> bool:
                return serial == await gateway.serial_shown()

            await until_seen(is_shown)
            serial = await renew(gateway.server.pki, "gateway")
            await until(lambda serial=serial: list(gateway.report().serials_open) == [serial])  # type: ignore[misc]
            await meter.until_more(20)
        seen = gateway.report()
        shown = {f"{int(backend['client_serial']):x}" for backend in await gateway.backends()}

    assert [] == meter.faults
    assert ("postgres", serial, {serial}) == (seen.name, seen.serial, shown)
    assert 1 <= seen.open <= 3
    assert [] == identity_in_force(gateway.config).clients


async def test_the_meter_counts_what_fails_with_a_leaf_that_the_server_does_not_trust(
    gateway: Gateway, tmp_path: Path
) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("gateway")
    identity = gateway.server.pki.identity("gateway")
    trusted = alone(identity)
    reach = gateway.server.reach("gateway", "postgres")
    async with (
        open_pool(gateway.config, reach, connections_max=3) as pool,
        under_load(asking(pool)) as meter,
    ):
        await meter.until_more(10)
        foreign_files = alone(foreign.identity("gateway"))
        publish(identity, cert=foreign_files["cert"], key=foreign_files["key"])
        await until(lambda: len(meter.faults) >= 4)
        publish(identity, **trusted)
        await until(lambda: serial_of(identity) == gateway.report().serial)
        failed = len(meter.faults)
        await meter.until_more(20)

    assert len(meter.faults) <= failed + 4  # What was being dialled at that moment.


async def test_a_mismatched_pair_leaves_the_pool_as_it_is(gateway: Gateway, tmp_path: Path) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("gateway")
    identity = gateway.server.pki.identity("gateway")
    before, trusted = serial_of(identity), alone(identity)
    reach = gateway.server.reach("gateway", "postgres")
    async with (
        open_pool(gateway.config, reach, connections_max=3) as pool,
        under_load(asking(pool)) as meter,
    ):
        publish(identity, key=alone(foreign.identity("gateway"))["key"])
        await identity_in_force(gateway.config).look()
        await meter.until_more(20)
        seen = gateway.report()
        publish(identity, **trusted)

    assert [] == meter.faults
    assert (before, [before]) == (seen.serial, list(seen.serials_open))


async def test_no_connection_of_a_busy_pool_becomes_older_than_the_bound(young: Gateway) -> None:
    ages: list[float] = []
    reach = young.server.reach("gateway", "postgres")
    async with open_pool(young.config, reach, connections_max=3) as pool, under_load(asking(pool)) as meter:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 5
        while loop.time() < until_s:
            ages += [backend["age_s"] for backend in await young.backends()]

    assert [] == meter.faults
    assert 1.0 < max(ages) < 2.0


async def test_idle_connections_are_ended_although_nobody_asks_for_them(young: Gateway) -> None:
    ages: list[float] = []
    reach = young.server.reach("gateway", "postgres")
    async with open_pool(young.config, reach, connections_max=3) as pool:
        await asyncio.gather(*(asking(pool)() for _ in range(3)))
        assert 3 == young.report().open

        async def none_is_left() -> bool:
            found = [backend["age_s"] for backend in await young.backends()]
            ages.extend(found)
            return not found

        await until_seen(none_is_left)
        assert 0 == young.report().open

    assert 1.0 < max(ages) < 1.9


async def test_a_statement_that_outlasts_the_age_is_cut_and_the_pool_goes_on(young: Gateway) -> None:
    reach = young.server.reach("gateway", "postgres")
    async with open_pool(young.config, reach, connections_max=1) as pool:
        began = asyncio.get_running_loop().time()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
            await pool.execute("select pg_sleep(4)")
        cut_s = asyncio.get_running_loop().time() - began

        assert 7 == await pool.fetchval("select 3 + 4")

    assert 1.5 < cut_s < 2.2

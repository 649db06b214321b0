"""The bus's client dials with the certificate in force, says when it is due, and is cut if nobody listens."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.js import api

from services.node.bus import BusClient, connect_bus
from services.node.client_connections import ClientReport
from services.node.config_file import NodeConfig
from services.node.identity import identity_in_force
from tests.integration.nats_server import NatsServer, running_nats
from tests.integration.node.generations import alone, publish, renew, serial_of
from tests.integration.node.load import Meter, under_load, until
from tests.integration.node.mtls import node_config
from tests.integration.postgres_server import ThrowAwayPki

ROTATIONS = 6
CONNECT_S_MAX = 1.0
SUBJECT = "countermark.events"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayPki:
    certs = ThrowAwayPki.create(tmp_path_factory.mktemp("bus") / "certs")
    certs.issue("nats", "payments")
    return certs


@pytest.fixture(scope="module")
def server(pki: ThrowAwayPki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats"), pki.identity("nats")) as running:
        yield running


@dataclass
class Publisher:
    """Stores numbered messages the way that the relay does, each behind the one before it."""

    server: NatsServer
    config: NodeConfig
    client: BusClient | None = None
    sequence: int = 0
    sessions: int = 0

    def report(self) -> ClientReport | None:
        clients = identity_in_force(self.config).clients
        return clients[0].report() if clients else None

    async def publish(self) -> None:
        """Store one more message, over a new client when the one at hand is due."""
        if self.client is not None and self.client.is_due:
            await self.close()
        if self.client is None:
            async with asyncio.timeout(CONNECT_S_MAX):  # By itself it goes on trying for ever.
                self.client = await connect_bus(self.config, self.server.reach())
            self.sessions += 1
        try:
            headers = {api.Header.EXPECTED_LAST_SEQUENCE.value: str(self.sequence)}
            stream = self.client.jetstream(timeout=2)
            stored = await stream.publish(SUBJECT, b"event", headers=headers)
        except BaseException:
            await self.close()
            raise
        self.sequence = stored.seq

    async def close(self) -> None:
        if self.client is not None:
            client, self.client = self.client, None
            await client.close()

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[Meter]:
        """One after the other: the sequence must grow by one with each."""
        client = await connect_bus(self.config, self.server.reach())
        stream = client.jetstream()
        await stream.add_stream(name="EVENTS", subjects=[SUBJECT])
        self.sequence = (await stream.stream_info("EVENTS")).state.last_seq
        await client.close()
        try:
            async with under_load(self.publish, workers=1) as meter:
                await meter.until_more(10)
                yield meter
        finally:
            await self.close()


def publisher(server: NatsServer, pki: ThrowAwayPki, folder: Path, age_s_max: float) -> Publisher:
    return Publisher(server, node_config(pki, "payments", folder, age_s_max=age_s_max))


async def test_both_sides_rotate_and_no_message_is_lost_or_stored_twice(
    server: NatsServer, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    relay = publisher(server, pki, tmp_path, 60.0)
    assert server._process is not None
    async with relay.loaded() as meter:
        first = relay.sequence - meter.succeeded
        for _ in range(ROTATIONS):
            await renew(pki, "nats")
            os.kill(server._process.pid, signal.SIGHUP)
            serial = await renew(pki, "payments")
            await until(lambda serial=serial: _is_used(relay, serial))  # type: ignore[misc]
            await meter.until_more(20)
        seen = relay.report()

    assert [] == meter.faults
    assert seen is not None
    assert ("nats", serial, 1) == (seen.name, seen.serial, seen.open)
    assert ROTATIONS + 1 == relay.sessions
    assert first + meter.succeeded == relay.sequence


def _is_used(relay: Publisher, serial: str) -> bool:
    seen = relay.report()
    return seen is not None and list(seen.serials_open) == [serial]


async def test_the_meter_counts_what_fails_with_a_leaf_that_the_server_does_not_trust(
    server: NatsServer, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("payments")
    identity = pki.identity("payments")
    files, trusted = alone(foreign.identity("payments")), alone(identity)
    relay = publisher(server, pki, tmp_path, 60.0)

    async with relay.loaded() as meter:
        publish(identity, cert=files["cert"], key=files["key"])
        await until(lambda: len(meter.faults) >= 2)
        publish(identity, **trusted)
        await meter.until_more(20)

    assert "TimeoutError()" == meter.faults[0]
    assert serial_of(identity) == identity_in_force(relay.config).generation.serial


async def test_a_client_that_is_dialling_in_vain_takes_the_certificate_that_comes(
    server: NatsServer, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("payments")
    identity = pki.identity("payments")
    files, trusted = alone(foreign.identity("payments")), alone(identity)
    publish(identity, cert=files["cert"], key=files["key"])
    config = node_config(pki, "payments", tmp_path)
    connecting = asyncio.create_task(connect_bus(config, server.reach()))
    await until(lambda: bool(identity_in_force(config).clients))
    refused, _ = await asyncio.wait({connecting}, timeout=1.0)
    publish(identity, **trusted)
    client = await asyncio.wait_for(connecting, 10)
    is_connected = client.is_connected
    await client.close()

    assert set() == refused
    assert is_connected


async def test_connections_are_replaced_in_time_without_a_failed_message(
    server: NatsServer, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    relay = publisher(server, pki, tmp_path, 2.0)
    oldest_s: list[float] = []
    async with relay.loaded() as meter:
        while relay.sessions < 4:
            seen = relay.report()
            oldest_s.append(seen.oldest_age_s if seen else 0.0)
            await meter.until_more(1)

    assert [] == meter.faults
    assert 1.2 < max(oldest_s) < 1.6


async def test_a_client_whose_user_does_not_look_is_dialled_anew_at_the_bound(
    server: NatsServer, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    config = node_config(pki, "payments", tmp_path, age_s_max=2.0)
    client = await connect_bus(config, server.reach())
    (listed,) = identity_in_force(config).clients
    oldest_s: list[float] = []
    try:
        while client.stats["reconnects"] < 1:
            oldest_s.append(listed.report().oldest_age_s)
            await asyncio.sleep(0.01)
        await until(lambda: listed.report().open == 1)
        await client.flush()
    finally:
        await client.close()

    assert 1.8 < max(oldest_s) < 2.0

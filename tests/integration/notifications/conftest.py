"""Real servers for this folder: one PostgreSQL for all tests, a database and a bus for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from compose.launcher.databases import schema_folders
from compose.launcher.release import checkout_root
from signing import SigningKey
from tests.integration.nats_server import NatsServer, running_nats
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.webhook_receiver import Receiver, running_receiver, write_trust
from tests.integration.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("nats", "notifications-sidecar", "gateway-sidecar")
        yield server


@pytest.fixture(scope="session")
def merchants_authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def bus(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats"), postgres.pki.identity("nats")) as server:
        yield server


@pytest.fixture
async def stack(
    postgres: PostgresServer, bus: NatsServer, tmp_path: Path, merchants_authority: trustme.CA
) -> Stack:
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", schema_folders(checkout_root()))
    trust_file = write_trust(merchants_authority, tmp_path)
    return Stack(postgres, database, bus, tmp_path, trust_file, SigningKey.generate("ed25519"))


@pytest.fixture
async def receiver(merchants_authority: trustme.CA) -> AsyncIterator[Receiver]:
    async with running_receiver(merchants_authority) as running:
        yield running


@pytest.fixture
async def other_receiver(merchants_authority: trustme.CA) -> AsyncIterator[Receiver]:
    async with running_receiver(merchants_authority) as running:
        yield running

"""One PostgreSQL for the tests of this folder, a fresh database for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.nats_server import running_nats
from tests.integration.payments.payment_world import PaymentWorld, payment_world
from tests.integration.payments.payments_samples import SCHEMAS, Connect, World, connections
from tests.integration.payments.payments_stack import Stack, running_stack
from tests.integration.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("nats", "banks", "bank-alpha", "bank-bravo", "supervisor", "payments-sidecar")
        yield server


@pytest.fixture
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)


@pytest.fixture
async def connect(postgres: PostgresServer, database: str) -> AsyncIterator[Connect]:
    """Return a function that opens a connection of a role; all are closed with the test."""
    async with connections(postgres, database) as open_one:
        yield open_one


@pytest.fixture
async def world(connect: Connect) -> World:
    return await World.enter(connect)


@pytest.fixture
async def paying(postgres: PostgresServer, database: str) -> AsyncIterator[PaymentWorld]:
    async with payment_world(postgres, database) as entered:
        yield entered


@pytest.fixture
async def stack(
    postgres: PostgresServer, database: str, connect: Connect, tmp_path: Path
) -> AsyncIterator[Stack]:
    nats_home = tmp_path / "nats"
    nats_home.mkdir()
    with running_nats(nats_home, postgres.pki.identity("nats")) as bus:
        async with running_stack(tmp_path, postgres, database, bus, connect) as running:
            yield running

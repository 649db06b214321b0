"""Real servers for this folder: one PostgreSQL for all tests, a database and a bus for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.launcher.databases import schema_folders
from compose.launcher.release import checkout_root
from tests.integration.nats_server import NatsServer, running_nats
from tests.integration.postgres_server import PostgresServer, running_postgres
from tests.integration.reporting.stack import Stack


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("nats")
        yield server


@pytest.fixture
def bus(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats"), postgres.pki.identity("nats")) as server:
        yield server


@pytest.fixture
async def stack(postgres: PostgresServer, bus: NatsServer, tmp_path: Path) -> Stack:
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", schema_folders(checkout_root()))
    return Stack(postgres, database, bus, tmp_path)

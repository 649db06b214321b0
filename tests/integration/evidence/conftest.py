"""One PostgreSQL for the tests of this folder, a fresh database and a fresh log for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.evidence.evidence_stack import LogStack, running_log
from tests.integration.payments.payments_samples import SCHEMAS, World, connections
from tests.integration.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("witness", "supervisor")
        yield server


@pytest.fixture
async def log(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[LogStack]:
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)
    async with (
        connections(postgres, database) as connect,
        running_log(tmp_path, postgres, database, await World.enter(connect)) as stack,
    ):
        yield stack

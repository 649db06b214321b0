"""One PostgreSQL for this folder, a fresh database for each test, the banks and the service before them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compose.launcher.databases import schema_folders
from compose.launcher.release import checkout_root
from tests.integration.banks.bank_parts import RAILS, Parts, banks_service, running_parts
from tests.integration.payments.payment_world import PaymentWorld, payment_world
from tests.integration.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue(*RAILS, "supervisor", "witness")
        yield server


@pytest.fixture
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", schema_folders(checkout_root()))


@pytest.fixture
async def paying(postgres: PostgresServer, database: str) -> AsyncIterator[PaymentWorld]:
    async with payment_world(postgres, database) as entered:
        yield entered


@pytest.fixture
async def parts(postgres: PostgresServer, database: str, tmp_path: Path) -> AsyncIterator[Parts]:
    async with running_parts(tmp_path, postgres) as running, banks_service(running, database):
        yield running

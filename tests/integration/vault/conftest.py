"""One PostgreSQL for the tests of this folder, a fresh database and a running vault for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compose.launcher.databases import schema_folders
from compose.launcher.release import checkout_root
from services.vault.client import VaultClient
from tests.integration.postgres_server import PostgresServer, running_postgres
from tests.integration.vault.vault_stack import VaultStack


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def stack(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[VaultStack]:
    name = f"test_{uuid.uuid4().hex}"
    database = await postgres.create_database(name, schema_folders(checkout_root()))
    made = VaultStack.create(tmp_path, postgres, database)
    async with made.running():
        yield made


@pytest.fixture
async def gateway(stack: VaultStack) -> AsyncIterator[VaultClient]:
    """A caller that may keep, show and shred."""
    async with stack.client("gateway") as client:
        yield client


@pytest.fixture
async def banks(stack: VaultStack) -> AsyncIterator[VaultClient]:
    """A caller that may resolve."""
    async with stack.client("banks") as client:
        yield client

"""One PostgreSQL for the tests of this folder, a fresh database and signed rules for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import services.fraud
from signing import SigningKey
from tests.integration.fraud.fraud_stack import FraudStack
from tests.integration.postgres_server import PostgresServer, running_postgres
from tests.unit.services.fraud.rule_samples import AMOUNT, BURST, DAY, KNOWN, STOLEN, pack_text

SCHEMA = Path(services.fraud.__file__).parent / "schema"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def stack(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[FraudStack]:
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", [("fraud", SCHEMA)])
    owner = await postgres.connect("migrator", database)
    try:
        made = FraudStack(tmp_path, postgres, database, owner, SigningKey.generate("ed25519"))
        made.write_rules(pack_text(AMOUNT, BURST, DAY, STOLEN, KNOWN))
        yield made
    finally:
        await owner.close()

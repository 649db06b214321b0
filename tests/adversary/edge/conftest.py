"""One edge for all tests of this folder, before a gateway that only writes down what arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.adversary.edge.recording_gateway import Door, running_door
from tests.integration.postgres_server import ThrowAwayPki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayPki:
    authority = ThrowAwayPki.create(tmp_path_factory.mktemp("edge") / "certs")
    authority.issue("gateway", "gateway-sidecar", "edge")
    return authority


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def door(pki: ThrowAwayPki, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with running_door(pki, tmp_path_factory.mktemp("door")) as running:
        yield running

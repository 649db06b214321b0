"""One gateway with its PostgreSQL and Redis for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway, running_gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        yield gateway

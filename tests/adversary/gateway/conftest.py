"""One gateway with its PostgreSQL and Redis for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway, Merchant, running_gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def frequent(stack: Gateway) -> Merchant:
    """A merchant of one file alone: after some dozens of refusals a minute, those of one key are counted."""
    return await stack.enrol("Frequent", "EUR")

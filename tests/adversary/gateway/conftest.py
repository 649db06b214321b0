"""One gateway with its PostgreSQL and Redis for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway, Merchant, running_gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="module", autouse=True)
def _merchant_of_this_file(stack: Gateway) -> None:
    """Let each file have a merchant of its own.

    After some dozens of refusals a minute, those of one key are counted and no longer written row by row.
    """
    stack._merchant = None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def another(stack: Gateway) -> Merchant:
    """A second merchant, of one file alone."""
    return await stack.enrol("Another", "EUR")

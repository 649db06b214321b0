"""A merchant that floods with good signatures uses up its own rate; another one is served as ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio

from gateway.config import LimitsConfig
from signing import Request
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import payment_request
from tests.integration.gateway.second_worker import second_worker
from tests.integration.node.load import until_seen
from tests.raised_limits import RAISED_GATEWAY

LIMITS = LimitsConfig(
    merchant_per_s=20,
    merchant_burst=20,
    source_per_s=RAISED_GATEWAY.source_per_s,
    source_burst=RAISED_GATEWAY.source_burst,
)
SENDERS = 8  # At once: more than the worker answers as fast as they come.
OTHERS = 15  # Within the other's burst.
ANSWER_S_MAX = 5.0  # No figure: far above what an answer takes on a busy host, far below a client's patience.


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(stack: Gateway) -> AsyncIterator[Gateway]:
    async with second_worker(stack, name="flooded-by-a-merchant", limits=LIMITS) as worker:
        yield worker


@asynccontextmanager
async def flood(worker: Gateway, merchant: Merchant) -> AsyncIterator[list[int]]:
    """Send payments without a pause; the statuses so far."""
    statuses: list[int] = []

    async def send_for_ever() -> None:
        while True:
            statuses.append((await worker.ask(payment_request(), merchant)).status)

    tasks = [asyncio.create_task(send_for_ever()) for _ in range(SENDERS)]
    try:
        yield statuses
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


async def test_a_flood_of_good_signatures_slows_nobody_else(stack: Gateway, limited: Gateway) -> None:
    hasty, calm = await stack.enrol("Flood", "EUR"), await stack.enrol("Bystander", "EUR")
    began = time.monotonic()

    async with flood(limited, hasty) as statuses:

        async def is_refused() -> bool:
            return 429 in statuses

        await until_seen(is_refused)
        answers = []
        for _ in range(OTHERS):
            async with asyncio.timeout(ANSWER_S_MAX):
                answers.append(await limited.ask(payment_request(), calm))
    lasted_s = time.monotonic() - began

    assert [202] * OTHERS == [answer.status for answer in answers]
    assert {202, 429} == set(statuses)
    (recorded,) = await stack.query(
        "select count(*) as n from payments.payment where merchant_id = $1", hasty.merchant_id
    )
    assert recorded["n"] <= LIMITS.merchant_burst + LIMITS.merchant_per_s * (lasted_s + 1)


async def test_what_was_refused_in_a_flood_left_nothing_behind(stack: Gateway, limited: Gateway) -> None:
    merchant = await stack.enrol("Traceless", "EUR")
    refused: list[Request] = []
    while len(refused) < LIMITS.merchant_burst:
        request = stack.sign(payment_request(), merchant.key)
        if (await limited.send(request)).status == 429:
            refused.append(request)

    rows = await stack.query(
        "select count(*) as n from payments.payment where merchant_id = $1"
        " union all select count(*) from audit.entry where merchant_id = $1 and kind = 'refusal'"
        " union all select count(*) from evidence.record where merchant_id = $1 and kind = 'refusal'",
        merchant.merchant_id,
    )

    payments, refusals, evidence = (row["n"] for row in rows)
    assert (0, 0) == (refusals, evidence)
    assert LIMITS.merchant_burst <= payments

"""One address that floods is told to wait at the edge; from another address nothing is felt of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from compose.derive.places import Limits
from tests.adversary.edge.recording_gateway import Door, running_door
from tests.integration.gateway.merchant_requests import header
from tests.integration.postgres_server import ThrowAwayPki

LIMITS = Limits(edge_source_per_s=2, edge_source_burst=30)
READ = "GET /v1/payments"
FLOODER, OTHER = "127.0.0.7", "127.0.0.8"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict_door(pki: ThrowAwayPki, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with running_door(pki, tmp_path_factory.mktemp("strict-door"), LIMITS) as running:
        yield running


async def test_a_flood_is_refused_at_the_edge_and_others_are_served(strict_door: Door) -> None:
    before = len(strict_door.arrived)

    flood = await asyncio.gather(*(strict_door.send(READ, source=FLOODER) for _ in range(90)))
    others = [await strict_door.send(READ, source=OTHER) for _ in range(10)]

    statuses = [answer.status for answer in flood]
    assert {200, 429} == set(statuses)
    assert LIMITS.edge_source_burst <= statuses.count(200) <= LIMITS.edge_source_burst + 20
    assert {200} == {answer.status for answer in others}
    assert statuses.count(200) + len(others) == len(strict_door.new(before))
    refused = next(answer for answer in flood if answer.status == 429)
    said = json.loads(refused.body)
    assert ("rate_limited", True) == (said["code"], said["retryable"])
    assert "1" == header(refused, "Retry-After")


async def test_forged_addresses_give_a_flood_no_other_bucket(strict_door: Door) -> None:
    answers = [
        await strict_door.send(READ, f"X-Forwarded-For: 203.0.113.{number}", source="127.0.0.9")
        for number in range(LIMITS.edge_source_burst + 30)
    ]

    assert 429 == answers[-1].status


async def test_what_the_edge_refuses_anyway_counts_as_well(strict_door: Door) -> None:
    answers = [
        await strict_door.send("GET /nothing", source="127.0.0.10")
        for _ in range(LIMITS.edge_source_burst + 30)
    ]

    assert {404, 429} == {answer.status for answer in answers}

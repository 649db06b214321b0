"""Readiness tries what a payment needs; liveness only says that somebody is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.readiness import CLOCK_DIFFERENCE_S_MAX, Readiness
from services.node.postgres import open_pool
from signing import Request, SigningKey
from tests.integration.gateway.gateway_stack import SCHEMAS, Gateway
from tests.integration.gateway.merchant_requests import ORIGIN
from tests.integration.node.load import until_seen

WELL = dict.fromkeys(("record", "signing_key", "clock", "redis"), "ok")


async def health(stack: Gateway, path: str = "/healthz/ready") -> tuple[int, dict[str, Any]]:
    answer = await stack.send(Request("GET", ORIGIN + path, (), None), caller="supervisor")
    document: dict[str, Any] = json.loads(answer.body)
    return answer.status, document


async def test_a_gateway_that_is_well_is_ready(stack: Gateway) -> None:
    async def is_well() -> bool:
        return (200, {"status": "ready", "checks": WELL}) == await health(stack)

    await until_seen(is_well)


async def test_the_edge_may_ask_for_readiness_and_for_nothing_else_about_health(stack: Gateway) -> None:
    paths = ("/healthz/ready", "/healthz/live", "/healthz")

    answers = [await stack.send(Request("GET", ORIGIN + path, (), None)) for path in paths]

    assert [200, 403, 403] == [answer.status for answer in answers]


async def test_without_the_record_it_is_live_and_not_ready(stack: Gateway) -> None:
    await stack.relay.cut()
    try:
        await stack.await_ready(ready=False)
        status, told = await health(stack)
        live = await health(stack, "/healthz/live")
    finally:
        await stack.relay.mend()
        await stack.await_ready()

    assert (503, "unready", "away") == (status, told["status"], told["checks"]["record"])
    assert (200, {"status": "live"}) == live


async def asked(stack: Gateway, **changes: Any) -> Readiness:
    key = SigningKey.generate("ed25519")

    async def ping() -> None:
        return None

    async with open_pool(stack.config, stack.config.postgres, connections_max=1) as pool:
        parts: dict[str, Any] = {"ping": ping, "key": key, "published": key.verifying_key}
        readiness = Readiness(pool, **(parts | changes))
        await readiness.ask()
    return readiness


async def away() -> None:
    raise ConnectionError


async def test_without_redis_it_is_ready(stack: Gateway) -> None:
    readiness = await asked(stack, ping=away)

    assert (True, WELL | {"redis": "away"}) == (readiness.ready, readiness.found())


async def test_a_receipt_key_that_is_not_the_published_one_is_noticed(stack: Gateway) -> None:
    readiness = await asked(stack, published=SigningKey.generate("ed25519").verifying_key)

    assert (False, "broken") == (readiness.ready, readiness.found()["signing_key"])


@pytest.mark.parametrize("late_s", [-CLOCK_DIFFERENCE_S_MAX - 1, CLOCK_DIFFERENCE_S_MAX + 1])
async def test_a_clock_that_differs_from_the_records_is_noticed(stack: Gateway, late_s: float) -> None:
    def wrong(now_s: Callable[[], float]) -> Callable[[], float]:
        return lambda: now_s() + late_s

    readiness = await asked(stack, now_s=wrong(time.time))

    assert (False, "differs") == (readiness.ready, readiness.found()["clock"])


async def test_a_record_that_may_not_be_written_is_not_enough(stack: Gateway) -> None:
    database = await stack.server.create_database("read_only", SCHEMAS)
    await stack.query(f'alter database "{database}" set default_transaction_read_only = on')
    postgres = msgspec.structs.replace(stack.config.postgres, port=stack.server.port, database=database)

    readiness = await asked(replace(stack, config=msgspec.structs.replace(stack.config, postgres=postgres)))

    assert (False, "read-only") == (readiness.ready, readiness.found()["record"])

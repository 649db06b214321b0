"""One request sent a thousand times at once, over two workers, while something happens to Redis.

Every other request is signed anew, the rest are the same bytes: a client that retries, and a network that
repeats.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from services.node.cache import open_redis
from signing import Response
from tests.integration.gateway.acts import Act, a_capture, a_payment
from tests.integration.gateway.gateway_stack import Gateway
from tests.storms.lanes import Lane, octets_of, open_lanes
from tests.storms.verdict import Verdict, judge

ACTS = ("payment", "capture")
REDIS = ("calm", "wiped", "paused", "killed")
ANSWER_S_MAX = 60.0  # A thousand requests of a busy host; what takes longer hangs.


@dataclass(frozen=True)
class Round:
    """One storm and what came of it."""

    act: str
    redis: str
    took_s: float
    verdict: Verdict


async def run_round(workers: Sequence[Gateway], lanes: Sequence[Lane], act_name: str, redis: str) -> Round:
    """Let one storm pass.

    Args:
        workers: of one cell; the first one's merchant asks.
        lanes: one for each request, over all workers.
        act_name: of `ACTS`.
        redis: of `REDIS`.
    """
    stack = workers[0]
    merchant = await stack.merchant()
    act = a_payment() if act_name == "payment" else await a_capture(stack)
    same = stack.sign(act.request, merchant.key)
    requests = [same if place % 2 else stack.sign(act.request, merchant.key) for place in range(len(lanes))]
    await open_lanes(lanes)
    began = time.monotonic()
    async with disturbed(stack, redis):
        answers = await asyncio.gather(
            *(_ask(lane, octets_of(request)) for lane, request in zip(lanes, requests, strict=True))
        )
    took_s = time.monotonic() - began
    for request, answer in zip(requests, answers, strict=True):
        if answer is not None and answer.status == 202 and secrets.randbelow(len(lanes)) < 8:
            await stack.receipt(request, answer)
    return Round(act_name, redis, took_s, judge(answers, await effects_of(stack, act, answers)))


async def effects_of(stack: Gateway, act: Act, answers: Sequence[Response | None]) -> dict[str, int]:
    """How often the record holds what the storm asked for."""
    bodies = [json.loads(answer.body) for answer in answers if answer is not None and answer.status == 202]
    ids = sorted({body["id"] for body in bodies})
    evidence = await stack.query("select from evidence.record where subject = any ($1)", ids)
    return {
        "what was asked for": await act.count(stack),
        "its idempotency key": len(await act.rows(stack)),
        "its evidence": len(evidence),
    }


async def _ask(lane: Lane, octets: bytes) -> Response | None:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await lane.ask(octets)
    except (ConnectionError, TimeoutError):
        lane.close()
        return None


@asynccontextmanager
async def disturbed(stack: Gateway, what: str) -> AsyncIterator[None]:
    """Do something to Redis as the storm begins, and undo it when it has passed."""
    process = stack.redis.process
    assert process is not None
    match what:
        case "wiped":
            config = msgspec.structs.replace(stack.config.redis, username="wiper")
            cache = open_redis(stack.config, config)
            wiping = asyncio.ensure_future(cache.flushall())
            yield
            await wiping
            await cache.aclose()
        case "paused":
            process.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                process.send_signal(signal.SIGCONT)
        case "killed":
            stack.redis.stop()
            try:
                yield
            finally:
                stack.redis.start()
        case _:
            yield

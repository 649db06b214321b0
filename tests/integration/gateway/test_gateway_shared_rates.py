"""The script in a real Redis reckons exactly as `gateway.access.rate` does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import NoPermissionError, RedisError

from gateway.access.rate import Rate, charge
from gateway.access.shared_rates import SENDERS_PER_CALL_MAX, SharedBuckets, bucket_name
from services.node.cache import open_redis
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.node.load import until_seen

CALLS = 300
SEED = 20261126


@pytest_asyncio.fixture(loop_scope="session")
async def cache(stack: Gateway) -> AsyncIterator[redis.asyncio.Redis]:
    opened = open_redis(stack.config, stack.config.redis)
    yield opened
    await opened.aclose()


async def test_script_and_decision_agree_to_the_microsecond(cache: redis.asyncio.Redis) -> None:
    chance = random.Random(SEED)
    rates = [Rate("agree", chance.randint(1, 3000), chance.randint(1, 3000)) for _ in range(8)]
    buckets, shared = dict.fromkeys(range(8), 0), SharedBuckets(cache)
    for _ in range(CALLS):
        named = chance.sample(range(8), chance.randint(1, 8))
        counts = {name: chance.choice((0, 1, 1, 2, 40, rates[name].burst)) for name in named}

        now_us, backlogs_us = await shared.charge([(rates[n], f"{SEED}-{n}", counts[n]) for n in named])

        buckets |= {n: charge(rates[n], buckets[n], counts[n], now_us=now_us) for n in named}
        assert [buckets[n] - now_us for n in named] == backlogs_us


async def test_a_bucket_is_kept_only_until_it_is_empty(cache: redis.asyncio.Redis) -> None:
    rate = Rate("forgotten", 1000, 100)
    await SharedBuckets(cache).charge([(rate, "a", 100)])
    kept = await cache.exists(bucket_name(rate, "a"))

    async def is_gone() -> bool:
        return not await cache.exists(bucket_name(rate, "a"))

    await until_seen(is_gone)

    assert 1 == kept


async def test_what_is_no_bucket_is_taken_for_an_empty_one(cache: redis.asyncio.Redis) -> None:
    rate = Rate("nonsense", 10, 10)
    for nonsense in (b"", b"soon", b"-1", b"-inf", b"1e400", b"nan"):
        await cache.set(bucket_name(rate, "a"), nonsense)

        _, (backlog_us,) = await SharedBuckets(cache).charge([(rate, "a", 1)])

        assert rate.step_us <= backlog_us <= 2 * rate.depth_us


async def test_the_script_is_loaded_again_by_itself_after_redis_forgot_it(
    stack: Gateway, cache: redis.asyncio.Redis
) -> None:
    shared, rate = SharedBuckets(cache), Rate("again", 10, 10)
    await shared.charge([(rate, "a", 1)])
    stack.redis.stop()
    stack.redis.start()
    async with asyncio.timeout(10):
        while True:
            try:
                _, backlogs_us = await shared.charge([(rate, "a", 1)])
                break
            except (RedisError, OSError):
                await asyncio.sleep(0.02)

    assert [rate.step_us] == backlogs_us


async def test_a_bucket_of_another_rate_is_another_bucket(cache: redis.asyncio.Redis) -> None:
    shared, slow, fast = SharedBuckets(cache), Rate("changed", 1, 100), Rate("changed", 1000, 100)

    await shared.charge([(slow, "a", 100)])
    _, backlogs_us = await shared.charge([(fast, "a", 1)])

    assert [fast.step_us] == backlogs_us


async def test_many_senders_fit_into_one_call(cache: redis.asyncio.Redis) -> None:
    rate = Rate("many", 10, 10)
    uses = [(rate, f"{number}", 1) for number in range(SENDERS_PER_CALL_MAX)]

    _, backlogs_us = await SharedBuckets(cache).charge(uses)

    assert [rate.step_us] * SENDERS_PER_CALL_MAX == backlogs_us


async def test_a_bucket_outside_the_gateways_own_keys_is_out_of_reach(cache: redis.asyncio.Redis) -> None:
    script = cache.register_script("return redis.call('GET', KEYS[1])")

    with pytest.raises(NoPermissionError):
        await script(keys=["other:a"])
    with pytest.raises(NoPermissionError):
        await cache.eval("return 1", 0)

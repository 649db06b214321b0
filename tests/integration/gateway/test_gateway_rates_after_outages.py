"""Two workers agree about a rate through a real Redis; without it each holds it alone; then both again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import RedisError

from gateway.access.rate import Rate
from gateway.access.shared_rates import bucket_name
from gateway.config import LimitsConfig
from services.node.cache import open_redis
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get
from tests.integration.gateway.second_worker import second_worker
from tests.integration.node.load import until_seen

# Slow enough that a busy host does not see a bucket fill up again by itself.
LIMITS = LimitsConfig(merchant_per_s=1, merchant_burst=60)
RATE = Rate("merchant", LIMITS.merchant_per_s, LIMITS.merchant_burst)
# What a worker lets pass between two tellings, on a host as fast as may be; far from a burst of its own.
AGREED_MAX = LIMITS.merchant_burst // 2
READ = "/v1/payments/pay_eu_01jx4q0000000000000000000a"


@dataclass(frozen=True)
class Workers:
    stack: Gateway
    one: Gateway
    other: Gateway
    cache: redis.asyncio.Redis

    async def admitted(self, worker: Gateway, merchant: Merchant) -> int:
        """Ask until it is too much; return how much it was not."""
        for count in range(2 * LIMITS.merchant_burst):
            if (await worker.ask(get(READ), merchant)).status == 429:
                return count
        raise AssertionError("there is no limit")

    async def until_told(self, merchant: Merchant) -> None:
        """Wait until Redis knows of a merchant."""

        async def is_told() -> bool:
            try:
                async with asyncio.timeout(1):
                    return bool(await self.cache.exists(bucket_name(RATE, merchant.merchant_id)))
            except (RedisError, OSError, TimeoutError):
                return False

        await until_seen(is_told)

    async def until_both_tell(self, name: str) -> None:
        """Wait until each worker has found Redis: one that did not pauses before it tries again."""
        for worker in (self.one, self.other):
            merchant = await self.stack.enrol(name, "EUR")
            await worker.ask(get(READ), merchant)
            await self.until_told(merchant)

    async def require_agreement(self, name: str) -> None:
        merchant = await self.stack.enrol(name, "EUR")
        first = await self.admitted(self.one, merchant)
        await self.until_told(merchant)
        second = await self.admitted(self.other, merchant)
        assert LIMITS.merchant_burst <= first
        assert second <= AGREED_MAX

    async def require_both_alone(self, name: str) -> Merchant:
        merchant = await self.stack.enrol(name, "EUR")
        for worker in (self.one, self.other):
            # Neither open nor closed.
            assert LIMITS.merchant_burst <= await self.admitted(worker, merchant) < 2 * LIMITS.merchant_burst
        return merchant


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workers(stack: Gateway) -> AsyncIterator[Workers]:
    cache = open_redis(stack.config, stack.config.redis)
    async with (
        second_worker(stack, name="agreeing-one", limits=LIMITS) as one,
        second_worker(stack, name="agreeing-other", limits=LIMITS) as other,
    ):
        yield Workers(stack, one, other, cache)
    await cache.aclose()


@contextmanager
def killed(stack: Gateway) -> Iterator[None]:
    stack.redis.stop()
    try:
        yield
    finally:
        stack.redis.start()


@contextmanager
def paused(stack: Gateway) -> Iterator[None]:
    assert stack.redis.process is not None
    stack.redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.redis.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("away", [killed, paused], ids=lambda each: each.__name__)
async def test_an_outage_ends_the_agreement_and_no_limit_and_its_end_brings_it_back(
    workers: Workers, away: object
) -> None:
    name = away.__name__  # type: ignore[attr-defined]  # a function
    await workers.require_agreement(f"Before {name}")

    with away(workers.stack):  # type: ignore[operator]  # a context manager's function
        alone = await workers.require_both_alone(f"While {name}")
    await workers.until_told(alone)
    await workers.until_both_tell(f"Back after {name}")

    await workers.require_agreement(f"After {name}")
    # What each let pass alone was told in the end: neither begins a burst anew.
    for worker in (workers.one, workers.other):
        assert AGREED_MAX >= await workers.admitted(worker, alone)


async def test_a_redis_that_lost_everything_is_told_anew(workers: Workers) -> None:
    merchant = await workers.stack.enrol("Emptied", "EUR")
    used = await workers.admitted(workers.one, merchant)
    await workers.until_told(merchant)
    with killed(workers.stack):
        pass  # It keeps nothing on disk.

    assert LIMITS.merchant_burst <= used
    # Its own memory holds the merchant to its rate, whatever Redis forgot.
    assert AGREED_MAX >= await workers.admitted(workers.one, merchant)

"""What the workers of a cell tell each other through Redis about how much of each rate was used.

Promises: no request waits for it; between two tellings each worker knows what it let pass itself and what
all had let pass at the last one, so that together they exceed a rate by what arrives in `TELL_S` at the most,
and that is paid back; while Redis is away each worker holds the limits alone, neither open nor closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import redis.asyncio
from redis.exceptions import RedisError

from gateway.access.rate import DEBT_BURSTS_MAX, Rate
from gateway.access.rate_limiter import RateLimiter
from services.node.logs import get_log

# A busy worker speaks to Redis twenty times a second instead of once for each request; a merchant's default
# rate is ten requests in this time.
TELL_S = 0.05
PAUSE_S = 1.0  # After a failure Redis is left alone this long; it is asked for reads, too.
# One call holds Redis up for a millisecond at the most: about 2 µs for each.
SENDERS_PER_CALL_MAX = 256
# Braces make them one slot of a cluster, so that one call may speak of many.
PREFIX = "gateway:{rate}:"

# KEYS: buckets. ARGV: step, depth, count for each. Returns Redis' time and then each backlog, microseconds.
# The time is Redis' own, so that workers need not agree about theirs. The same reckoning as `rate.charge`;
# doubles are exact below 2^53 µs, which is the year 2255.
SCRIPT: Final = f"""
local told = redis.call('TIME')
local now = told[1] * 1000000 + told[2]
local answer = {{now}}
for i, key in ipairs(KEYS) do
  local step, depth = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local count = tonumber(ARGV[3 * i])
  local empty = tonumber(redis.call('GET', key) or 0) or 0
  if empty ~= empty then empty = 0 end
  empty = math.min(math.max(empty, now) + count * step, now + {DEBT_BURSTS_MAX} * depth)
  redis.call('SET', key, string.format('%.0f', empty), 'PX', math.ceil((empty - now) / 1000) + 1)
  answer[i + 1] = empty - now
end
return answer
"""

_log = get_log("gateway.rates")


def bucket_name(rate: Rate, sender: str) -> str:
    """Return the key of a bucket in Redis.

    While limits are being changed, workers of both kinds run side by side: what is a full bucket to one of
    them would be minutes of waiting to the other. So each rate has buckets of its own.
    """
    return f"{PREFIX}{rate.policy}:{rate.per_s}:{rate.burst}:{sender}"


class SharedBuckets:
    """The buckets in Redis: one atomic script.

    Args:
        cache: Redis; what is in it may vanish at any time, and then each sender begins anew.
    """

    def __init__(self, cache: redis.asyncio.Redis) -> None:
        self._script = cache.register_script(SCRIPT)
        self._pool = cache.connection_pool

    async def charge(self, uses: Sequence[tuple[Rate, str, int]]) -> tuple[int, list[int]]:
        """Count requests that were made.

        Args:
            uses: the rate, the sender, and how many; each sender once.

        Returns:
            Redis' time and, in the same order, how full each bucket now is; microseconds.

        Raises:
            RedisError, OSError: Redis is away, and nobody knows whether it counted.
        """
        keys = [bucket_name(rate, sender) for rate, sender, _ in uses]
        arguments = [n for rate, _, count in uses for n in (rate.step_us, rate.depth_us, count)]
        try:
            now_us, *backlogs_us = await self._script(keys=keys, args=arguments)
        except (RedisError, OSError):
            # A Redis that was started anew has closed them all, and each would fail another telling.
            await self._pool.disconnect(inuse_connections=False)
            raise
        return now_us, backlogs_us


class SharedRates:
    """Tells Redis what limiters let pass, and the limiters what Redis knows.

    Args:
        buckets: in Redis.
        limiters: of this worker.
        failed: called once for each telling that did not reach Redis.
    """

    def __init__(
        self, buckets: SharedBuckets, limiters: Sequence[RateLimiter], failed: Callable[[], None]
    ) -> None:
        self._buckets = buckets
        self._limiters = limiters
        self._failed = failed

    async def run(self) -> None:
        """Tell until cancelled; a failure ends only one telling."""
        while True:
            reached = await self.tell()
            await asyncio.sleep(TELL_S if reached else PAUSE_S)

    async def tell(self) -> bool:
        """Tell everything that has not been told; False if Redis could not be reached."""
        for limiter in self._limiters:
            while limiter.untold:
                told = limiter.take_untold(SENDERS_PER_CALL_MAX)
                try:
                    _, backlogs_us = await self._buckets.charge(
                        [(limiter.rate, sender, count) for sender, count in told.items()]
                    )
                except (RedisError, OSError) as fault:
                    # It may have counted; then these requests count twice, which the debt's bound forgives.
                    limiter.give_back(told)
                    self._failed()
                    _log.warning("rates are held by each worker alone", fault=type(fault).__name__)
                    return False
                for sender, backlog_us in zip(told, backlogs_us, strict=True):
                    limiter.hear(sender, backlog_us)
        return True

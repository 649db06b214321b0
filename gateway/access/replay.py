"""Replays of reads: the nonce of each verified GET is remembered in Redis until its signature has expired.

So is the name of each proof beside a token, until the proof is too old.

A repeat of a request that acts is harmless, because it gets the stored answer; a repeated read would show
fresh data to whoever recorded it. Redis may be away: then the read is served, within the few minutes for
which its signature is valid at all, and counted. Source: RFC 9421 §7.2.2, RFC 9449 §11.1.
"""

from __future__ import annotations

from collections.abc import Callable

import redis.asyncio
from redis.exceptions import RedisError

from gateway.errors import SignatureReplayed
from signing import VerifiedRequest
from signing.dpop import PROOF_AGE_S_MAX, Proof
from signing.profile import CLOCK_SKEW_S_MAX

PREFIX = "gateway:nonce:"
PROOF_PREFIX = "gateway:jti:"
PAUSE_S = 1.0  # After a failure Redis is left alone this long, so that an outage does not slow every read.


class ReplayMemory:
    """Remembers the nonces of reads for all workers of the cell.

    Args:
        cache: Redis; entries may vanish at any time, which loses protection, never correctness.
        clock: monotonic seconds.
        missed: called once for each read that could not be remembered.
    """

    def __init__(
        self, cache: redis.asyncio.Redis, clock: Callable[[], float], missed: Callable[[], None]
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._missed = missed
        self._paused_until = 0.0

    async def remember(self, verified: VerifiedRequest, *, now: int) -> None:
        """Remember a read, or notice that it was made before.

        Args:
            verified: a verified GET.
            now: seconds since the epoch, UTC.

        Raises:
            SignatureReplayed: the same key used the same nonce before.
        """
        lifetime_s = verified.expires + CLOCK_SKEW_S_MAX - now
        if not await self._is_fresh(f"{PREFIX}{verified.key_id}:{verified.nonce}", lifetime_s):
            raise SignatureReplayed("this read was made before: sign each GET anew, with a fresh nonce")

    async def remember_proof(self, proof: Proof, *, now: int) -> bool:
        """Remember the proof beside a token; False if the same key used the same `jti` before."""
        lifetime_s = proof.issued_at + PROOF_AGE_S_MAX - now
        return await self._is_fresh(f"{PROOF_PREFIX}{proof.key_id}:{proof.jti}", lifetime_s)

    async def _is_fresh(self, name: str, lifetime_s: int) -> bool:
        if self._clock() < self._paused_until:
            self._missed()
            return True
        try:
            # One more second, because the verifier compares whole seconds and Redis counts exact ones.
            return bool(await self._cache.set(name, b"1", nx=True, ex=max(1, lifetime_s + 1)))
        except (RedisError, OSError):
            self._paused_until = self._clock() + PAUSE_S
            self._missed()
            return True

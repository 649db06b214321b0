"""Who may ask how often: each merchant once recognised, each source address before that.

A source is refused before any work is done for it, and charged for what was not recognised alone: what a
merchant signs costs its address nothing. A merchant is charged only after its signature held, so that nobody
can use up another's rate. Whose address it is the own edge says, in a field that it writes itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiohttp import web

from gateway.access.rate import Rate, Verdict, source_of
from gateway.access.rate_limiter import RateLimiter
from gateway.config import LimitsConfig
from gateway.errors import RateLimited
from services.node.server import CALLER

EDGE = "edge"  # Whoever else calls is of the mesh, and asks for health and counters.
FORWARDED_FOR = "x-forwarded-for"


class Admission:
    """The two limits of one worker.

    Args:
        limits: the rates.
    """

    def __init__(self, limits: LimitsConfig) -> None:
        merchants = Rate("merchant", limits.merchant_per_s, limits.merchant_burst)
        sources = Rate("source", limits.source_per_s, limits.source_burst)
        self._merchants = RateLimiter(merchants, _monotonic_us)
        self._sources = RateLimiter(sources, _monotonic_us)

    @property
    def limiters(self) -> Sequence[RateLimiter]:
        """Both, for whoever tells the other workers."""
        return (self._merchants, self._sources)

    def admit_source(self, request: web.Request) -> str | None:
        """Return whom to charge if nobody is recognised; None for a caller of the mesh.

        Raises:
            RateLimited: too much that nobody signed came from there.
        """
        # The sidecar's word for the caller: any but the edge could have written the field itself.
        if request.get(CALLER) != EDGE:
            return None
        source = source_of(request.headers.getall(FORWARDED_FOR, []))
        verdict = self._sources.look(source)
        if not verdict.admitted:
            raise RateLimited("too many requests that nobody could be recognised by came from here", verdict)
        return source

    def charge_source(self, source: str) -> None:
        """Count a request of which the sender was not recognised."""
        self._sources.count(source)

    def admit_merchant(self, merchant_id: str) -> Verdict:
        """Count a request of a recognised sender.

        Raises:
            RateLimited: the merchant sends more than it may.
        """
        verdict = self._merchants.take(merchant_id)
        if not verdict.admitted:
            raise RateLimited("this merchant sends more requests than its rate allows", verdict)
        return verdict


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000

"""`Prefer: wait=N` for payments: wait until one rests, and show it if it does."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gateway.api.preferences import WAIT_S_MAX, wait_s
from gateway.api.showing import is_at_rest, payment_of
from gateway.api.versions import Versions
from gateway.errors import CellUnavailable
from gateway.store.reads import Reads
from gateway.store.registry import KnownKey
from gateway.store.waiting import Waiting


@dataclass(frozen=True, kw_only=True)
class Resting:
    """Waits for payments.

    Attributes:
        seconds_max: how long anybody may wait; below what the sidecars let a request take.
    """

    waiting: Waiting
    reads: Reads
    versions: Versions
    seconds_max: float = WAIT_S_MAX

    async def wait(self, request: web.Request, merchant_id: str, payment_id: str) -> int:
        """Wait as the request prefers; return the seconds that were granted, 0 if it was not waited."""
        prefer = ",".join(request.headers.getall("Prefer", []))
        seconds = wait_s(prefer, seconds_max=self.seconds_max)
        if not seconds or not await self.waiting.until_rest(merchant_id, payment_id, seconds):
            return 0
        return seconds

    async def shown(self, known: KnownKey, payment_id: str) -> bytes | None:
        """Return the payment as it is shown, if it rests; None, too, while the record is away."""
        try:
            row = await self.reads.payment(known.merchant_id, payment_id)
        except CellUnavailable:
            return None
        if row is None or not is_at_rest(row):
            return None
        return self.versions.render(payment_of(row), known.api_version)


def applied(seconds: int) -> dict[str, str]:
    """Return the header fields that say that it was waited (RFC 7240 §3)."""
    return {"Preference-Applied": f"wait={seconds}"}

"""Signed payments at an even rate through the whole mesh, and what became of each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from signing import SigningError
from tests.mesh.enrolled_merchant import EnrolledMerchant

ACCEPTED: Final = 202


@dataclass(slots=True)
class Load:
    """Payments sent so far.

    Attributes:
        seconds: from the moment a payment was due to its verified receipt, in the order of arrival. Waiting
            behind slower ones counts: that is what a merchant feels.
        failures: what was neither accepted nor answered with a valid receipt; no request is sent again.
    """

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class PaymentLoad:
    """Sends payments until it is told to stop."""

    def __init__(self, merchant: EnrolledMerchant, rate_per_s: float) -> None:
        self._merchant = merchant
        self._every_s = 1 / rate_per_s
        self._stop = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self.load = Load()

    async def run(self) -> None:
        """Send at an even rate, whether or not answers come: an open loop, as merchants are."""
        due = time.monotonic()
        while not self._stop.is_set():
            task = asyncio.create_task(self._pay(due))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            due += self._every_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if self._sending:
            await asyncio.wait(self._sending)

    def stop(self) -> None:
        """Send no more; what is under way is waited for."""
        self._stop.set()

    def take(self) -> Load:
        """Return what was found since the last call, and begin anew."""
        taken, self.load = self.load, Load()
        return taken

    async def _pay(self, due: float) -> None:
        try:
            exchange = await self._merchant.wire.send(self._merchant.sign_payment())
        except (aiohttp.ClientError, OSError, TimeoutError, SigningError) as fault:
            self.load.failures.append(f"{type(fault).__name__}: {fault}")
            return
        if exchange.response.status != ACCEPTED:
            self.load.failures.append(f"{exchange.response.status}: {exchange.response.body[:200]!r}")
            return
        self.load.seconds.append(time.monotonic() - due)

"""A merchant that does not stop paying: signed payments at an even rate, repeated until they are answered.

It sends a request again under the same idempotency key for as long as there is no answer, and some that have
one, too, also at the same moment. A 202 counts after it is on disk.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aiohttp

from compose.demo.wire import Exchange
from signing import SigningError
from tests.faults.client_log import PAYMENTS_PATH, ClientLog, Promise, made_id
from tests.mesh.enrolled_merchant import EnrolledMerchant

ACCEPTED: Final = 202
CONFLICT: Final = 409
UNAVAILABLE: Final = 503
# Longer than any process may be away; a request that has no answer by then is a finding of its own.
ANSWERED_S_MAX: Final = 120.0
# Pauses between tries grow, as those of any client should: a storm would be a fault of its own.
RETRY_S_MIN, RETRY_S_MAX = 0.2, 2.0
# One try: a process that is stopped holds its connection open.
TRY_S_MAX: Final = 6.0
UNDER_WAY_MAX: Final = 64
# Weights. Slow, cut and timed-out answers make outcomes unknown; the bank has moved the money by then. Others
# are decided later, told by callbacks, refused at one bank only, or declined and confirmed all the same.
INSTRUMENTS: Final = {
    "tok_visa_ok": 12, "tok_slow": 2, "tok_timeout_then_success": 1, "tok_reset": 4,
    "tok_declined_insufficient_funds": 1, "tok_pending_then_confirmed": 1, "tok_pending_then_declined": 1,
    "tok_duplicate_callbacks": 1, "tok_callback_first": 1, "tok_unavailable_once": 1,
    "tok_declined_then_confirmed": 1, "tok_technical_at_bank_alpha": 1,
}  # fmt: skip
# Small sums, or the fraud service would leave an instrument of a busy hour to a person.
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 100, 999
PAYOUT_SHARE: Final = 0.1
TWICE_AT_ONCE_SHARE: Final = 0.1
REPEATED_SHARE: Final = 0.2
STORY_SHARE: Final = 0.2  # Each is worth several payments.
AWAY: Final = (aiohttp.ClientError, OSError, TimeoutError, SigningError)


class Load:
    """Sends until it is told to stop.

    Attributes:
        accepted: 202s of payments on disk, repeats not counted.
        tries: kinds of answers and failures of single tries, and how often each came.
        findings: answers that must never come, and requests that were never answered.
        story: tells a payment with a second act instead of a plain one, now and then.
    """

    def __init__(self, merchant: EnrolledMerchant, log: ClientLog, rate_per_s: float, seed: int) -> None:
        self._merchant = merchant
        self._log = log
        self._every_s = 1 / rate_per_s
        self._random = random.Random(f"load {seed}")  # Nobody else draws the same keys.
        self._stop = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.tries: Counter[str] = Counter()
        self.findings: list[str] = []
        self.story: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def run(self) -> None:
        """Send at an even rate; while nothing is answered, as many as a patient merchant would."""
        self._stop.clear()
        due = time.monotonic()
        while not self._stop.is_set():
            if len(self._under_way) < UNDER_WAY_MAX:
                task = asyncio.create_task(self._next())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            due = max(due + self._every_s, time.monotonic())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if self._under_way:
            await asyncio.gather(*self._under_way)

    async def _next(self) -> None:
        if self.story is not None and self._random.random() < STORY_SHARE:
            await self.story()
        else:
            await self._pay()

    def stop(self) -> None:
        """Send no new ones; what is under way is answered first."""
        self._stop.set()

    async def _pay(self) -> None:
        chance = self._random
        kind = "payout" if chance.random() < PAYOUT_SHARE else "collect"
        instrument = chance.choices(list(INSTRUMENTS), weights=list(INSTRUMENTS.values()))[0]
        body = self._merchant.payment_body(
            kind=kind, instrument=instrument, amount=chance.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX)
        )
        key = f"{chance.getrandbits(128):032x}"
        at_once, again = chance.random() < TWICE_AT_ONCE_SHARE, chance.random() < REPEATED_SHARE
        answers = await asyncio.gather(*(self.answered(body, key) for _ in range(2 if at_once else 1)))
        if again:
            answers.append(await self.answered(body, key))
        bodies = {answer.response.body for answer in answers if answer is not None}
        if len(bodies) > 1:
            self.findings.append(f"{len(bodies)} bodies for one key: {sorted(bodies)}")
        if bodies:
            answer = bodies.pop()
            self._keep(Promise(made_id(answer), key, body.decode(), ACCEPTED, answer.decode()))

    async def accepted_at(self, path: str, body: bytes) -> Promise | None:
        """Send under a new key until there is a 202, and keep the promise.

        Returns:
            What was promised; None after a refusal or a finding.
        """
        key = f"{self._random.getrandbits(128):032x}"
        answer = await self.answered(body, key, path)
        if answer is None or answer.response.status != ACCEPTED:
            return None
        # The answer to a repeat tells which request was answered first.
        first = answer.header("idempotency-original-request") or answer.header("request-id")
        return self._keep(
            Promise(
                made_id(answer.response.body) if path == PAYMENTS_PATH else first,
                key,
                body.decode(),
                ACCEPTED,
                answer.response.body.decode(),
                path,
            )
        )

    def _keep(self, promise: Promise) -> Promise:
        self._log.write(promise)
        self.accepted += promise.is_payment
        return promise

    async def answered(self, body: bytes, key: str, path: str = PAYMENTS_PATH) -> Exchange | None:
        """Send, freshly signed each time, until there is a 202; None after a finding.

        What is told a payment may come too late for it: that is an answer, too.
        """
        end, pause_s = time.monotonic() + ANSWERED_S_MAX, RETRY_S_MIN
        expected = (ACCEPTED,) if path == PAYMENTS_PATH else (ACCEPTED, CONFLICT)
        while time.monotonic() < end:
            exchange = await self._try(body, key, path)
            if exchange is not None and exchange.response.status in expected:
                return exchange
            if exchange is not None and exchange.response.status != UNAVAILABLE:
                self.findings.append(f"{exchange.response.status}: {exchange.response.body[:300]!r}")
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_S_MAX)
        self.findings.append(f"no answer within {ANSWERED_S_MAX:.0f} s to the request with the key {key}")
        return None

    async def _try(self, body: bytes, key: str, path: str) -> Exchange | None:
        wire = self._merchant.wire
        try:
            async with asyncio.timeout(TRY_S_MAX):
                exchange = await wire.send(wire.sign(self._merchant.key, "POST", path, body, key))
        except AWAY as fault:
            self.tries[type(fault).__name__] += 1
            return None
        status = exchange.response.status
        self.tries[str(status)] += 1
        if status == UNAVAILABLE and not exchange.header("retry-after"):
            self.findings.append("I7 a 503 that does not say when to come again")
        return exchange

    def figures(self) -> dict[str, Any]:
        """What was sent and what came back."""
        return {"accepted": self.accepted, "tries": dict(sorted(self.tries.items()))}

"""The fraud service and the people who review, as the seed makes them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Literal

from services.node.errors import HopUnknown, HopUnsent
from services.payments.machine.events import Asking, Screened
from tests.simulation.weather import Weather

ANSWER_S = (0.001, 0.03)
NO_ANSWER_S = 2.0
RULES = "simulated@1:" + "0" * 64


class SimFraud:
    """One verdict for each payment, however often it is asked.

    Args:
        shares: Of the verdicts `review` and `reject`; the others pass.
    """

    def __init__(self, seed: int, weather: Weather, shares: tuple[float, float]) -> None:
        self.seed = seed
        self.weather = weather
        self.shares = shares
        self.is_down = False
        self.answered: set[str] = set()  # Payments that it has given a verdict about.
        self.verdicts: dict[str, Literal["pass", "review", "reject"]] = {}

    async def screen(self, askings: Sequence[Asking]) -> Sequence[Screened]:
        """Verdicts, some of which may be missing.

        Raises:
            HopUnsent, HopUnknown: No answer.
        """
        await asyncio.sleep(self.weather.seconds(*ANSWER_S))
        if self.is_down or self.weather.strikes("fraud_unsent"):
            raise HopUnsent("refused")
        found = [
            Screened(
                payment_id=asking.payment_id, verdict=self.verdict(asking.payment_id), rule_pack=RULES,
                inputs_digest="0" * 64,
            )
            for asking in askings
            if not self.weather.strikes("fraud_verdict_missing")
        ]  # fmt: skip
        if self.weather.strikes("fraud_answer_lost"):
            await asyncio.sleep(NO_ANSWER_S)
            raise HopUnknown("no answer")
        self.answered |= {each.payment_id for each in found}
        return found

    def verdict(self, payment_id: str) -> Literal["pass", "review", "reject"]:
        if payment_id not in self.verdicts:
            place = random.Random(f"{self.seed}/{payment_id}").random()
            review, reject = self.shares
            self.verdicts[payment_id] = (
                "review" if place < review else "reject" if place < review + reject else "pass"
            )
        return self.verdicts[payment_id]

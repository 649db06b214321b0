"""What goes wrong, how often, and for how long: chosen by the seed, counted, and over at some time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Weather:
    """The faults of one world.

    Args:
        seed: Chooses everything.
        rates: Kind of fault to its chance at each occasion, while the weather is bad.
    """

    def __init__(self, seed: int, name: str, rates: dict[str, float]) -> None:
        self.chance = random.Random(f"{seed}/{name}")
        self.rates = rates
        self.counts: Counter[str] = Counter()
        self.is_bad = True

    def strikes(self, kind: str) -> bool:
        """Whether a fault of this kind happens here and now."""
        rate = self.rates.get(kind, 0.0) if self.is_bad else 0.0
        if rate and self.chance.random() < rate:
            self.counts[kind] += 1
            return True
        return False

    def seconds(self, least: float, most: float) -> float:
        """A time that something takes."""
        return least + (most - least) * self.chance.random()

    def one_of(self, items: Sequence[Item]) -> Item:
        return items[int(self.chance.random() * len(items))]

"""How much of one worker each bank may take up: calls under way, and calls that wait for a place (pure).

Promise: a bank that is slow or away fills its own places only.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Generic, TypeVar

# One refused connection is a hiccup; so many in a row, with nothing between, is a bank that is away. What is
# driven again goes on probing it, and the first call that leaves makes it eligible again.
UNSENT_IN_A_ROW_MAX = 8

Item = TypeVar("Item")


class Lane(Enum):
    """First calls and overdue ones have places of their own."""

    SEND = "send"
    REDRIVE = "redrive"


class Bulkhead(Generic[Item]):
    """The places of one bank in one lane.

    Attributes:
        running: Calls under way.
        queue: What waits for a place, in order of arrival.
        promised: Payments that a turn under way has chosen this bank for.
    """

    def __init__(self, calls_max: int, queue_max: int) -> None:
        self.calls_max = calls_max
        self.queue_max = queue_max
        self.running = 0
        self.promised = 0
        self.queue: deque[Item] = deque()

    @property
    def room(self) -> int:
        """How many more may be begun or wait; never negative."""
        taken = self.running + len(self.queue) + self.promised
        return max(0, self.calls_max + self.queue_max - taken)


class Bulkheads(Generic[Item]):
    """All banks of one worker."""

    def __init__(self, banks: tuple[str, ...], sends_max: int, queue_max: int, redrives_max: int) -> None:
        self._limits = {Lane.SEND: (sends_max, queue_max), Lane.REDRIVE: (redrives_max, 0)}
        self._places: dict[tuple[str, Lane], Bulkhead[Item]] = {}
        self._unsent = dict.fromkeys(banks, 0)
        self._banks = banks
        for bank in banks:
            for lane in Lane:
                self.of(bank, lane)

    def of(self, bank: str, lane: Lane) -> Bulkhead[Item]:
        """One bank's places; a bank that has left the configuration still has those of its last calls."""
        place = self._places.get((bank, lane))
        if place is None:
            place = self._places[bank, lane] = Bulkhead(*self._limits[lane])
        return place

    def rooms(self) -> dict[str, int]:
        """Room for new payments by bank; a bank that is away has none while another one is there."""
        rooms = {bank: self.of(bank, Lane.SEND).room for bank in self._banks}
        there = {bank: room if self.is_reachable(bank) else 0 for bank, room in rooms.items()}
        return there if any(self.is_reachable(bank) for bank in self._banks) else rooms

    def is_reachable(self, bank: str) -> bool:
        """False while the last calls to a bank, this many in a row, certainly never left."""
        return self._unsent.get(bank, 0) < UNSENT_IN_A_ROW_MAX

    def heard(self, bank: str, *, is_unsent: bool) -> None:
        """A call has ended."""
        self._unsent[bank] = self._unsent.get(bank, 0) + 1 if is_unsent else 0

    def under_way(self) -> int:
        """Calls under way or waiting for a place, of all banks."""
        return sum(place.running + len(place.queue) for place in self._places.values())

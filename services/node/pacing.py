"""How long a loop rests after a turn that was not full, so that the next one has more to do (pure).

What a turn costs, a transaction above all, hardly depends on how much is in it. A loop that takes each item
as it comes spends a processor on a third of the load that it could carry. One that rests in proportion to
the time of its last turn works at most a fixed share of the time, whatever else slows the host; its first
turn after a pause begins at once, and a full one is followed by the next without a rest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A rest for a loop.

    Attributes:
        factor: Rest for each second of work: 3 is a quarter of the time spent on work.
        rest_s_max: No rest is longer; what comes first in it waits for all of it.
        rest_s_min: No rest is shorter.
    """

    factor: float
    rest_s_max: float
    rest_s_min: float = 0.0

    def rest_s(self, worked_s: float) -> float:
        """Return the rest after a turn that took `worked_s` seconds."""
        return min(max(self.rest_s_min, self.factor * worked_s), self.rest_s_max)

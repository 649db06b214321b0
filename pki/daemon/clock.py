"""Whether this machine's wall clock can be signed by: a clock that jumped is not believed for a while. Pure.

A certificate signed while the clock is years ahead is one that peers refuse when it comes back; one signed
while it is behind ends too early, and the record would forbid everything after. So a jump against the steady
clock stops all signing until the clock was left alone for `STABLE_S`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

# What a certificate is backdated by, and what the ledger lets a clock be slow by: less harms nobody.
JUMP_S_MAX: Final = 300.0
# Long enough for NTP to step back what it stepped wrongly, short against half of a leaf's life.
STABLE_S: Final = 600.0


@dataclass(slots=True)
class ClockGuard:
    """Compares the wall clock with a steady one that also counts while the machine sleeps.

    Attributes:
        jumps: how many were seen.
        last_jump_s: size of the last one, seconds; negative if the wall clock went back.
    """

    jumps: int = 0
    last_jump_s: float = 0.0
    _anchor: tuple[datetime, float] | None = field(default=None)
    _stable_at_s: float = field(default=float("-inf"))

    def observe(self, wall: datetime, steady_s: float) -> float | None:
        """Take both clocks' readings of one moment.

        Args:
            wall: UTC.
            steady_s: seconds of a clock that nobody sets.

        Returns:
            The size of the jump that this reading shows, seconds; None for none.
        """
        if self._anchor is None:
            self._anchor = (wall, steady_s)
            return None
        began, began_s = self._anchor
        drift = (wall - began) / timedelta(seconds=1) - (steady_s - began_s)
        if abs(drift) > JUMP_S_MAX:
            self.jumps += 1
            self.last_jump_s = drift
            self._stable_at_s = steady_s + STABLE_S
            self._anchor = (wall, steady_s)
            return drift
        # The anchor moves on only slowly, so that many small steps add up to a jump, and slow drift does not.
        if steady_s - began_s >= STABLE_S:
            self._anchor = (wall, steady_s)
        return None

    def stable(self, steady_s: float) -> bool:
        """Say whether the clock may be signed by."""
        return steady_s >= self._stable_at_s

    def stable_in_s(self, steady_s: float) -> float:
        """Return the seconds until it may be signed by; 0 if it may."""
        return max(0.0, self._stable_at_s - steady_s)

"""A breaker of one bank and operation: closed, open, half open (pure; the time is an argument).

It counts technical failures only: calls that never left or were not answered. A decline is an answer, and a
bank that declines everything is well. It never touches a payment that a bank may already have.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from services.payments.machine.events import AnswerKind

# The last calls, one bit each; a word's width keeps it one small integer.
REMEMBERED = 32
_MASK = (1 << REMEMBERED) - 1
# Half of them failed: the bank does more harm than good.
FAILED_MIN = REMEMBERED // 2
# So many in a row: it is away; waiting for half of 32 would spend a lease each on eleven more payments.
IN_A_ROW = 5
# How long it stays open; doubled with each probe that fails, up to a minute, so that a bank that comes back
# waits no longer than that for its share.
OPEN_S_MIN = 5.0
OPEN_S_MAX = 60.0
# One success may be luck.
SUCCESSES_TO_CLOSE = 3

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
_FAILURES: frozenset[AnswerKind] = frozenset({"unknown", "unsent"})


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """One value; `noted` returns the next.

    Attributes:
        calls: The last calls, newest in the lowest bit, 1 for a failure.
        known: How many of the bits are calls.
        opened_at: Seconds on the caller's clock; None while it is closed.
        open_s: How long it stays open before it is tried again.
        successes: In a row since it was half open.
    """

    calls: int = 0
    known: int = 0
    opened_at: float | None = None
    open_s: float = OPEN_S_MIN
    successes: int = 0

    def state(self, now: float) -> BreakerState:
        """`half_open` lets a few payments through, to see."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if now - self.opened_at >= self.open_s else "open"

    def noted(self, kind: AnswerKind, now: float) -> Breaker:
        """The breaker after one more call has ended."""
        failed = kind in _FAILURES
        if self.opened_at is not None:
            return self._noted_while_open(failed=failed, now=now)
        calls = (self.calls << 1 | failed) & _MASK
        known = min(self.known + 1, REMEMBERED)
        row = (1 << IN_A_ROW) - 1
        if calls & row == row or calls.bit_count() >= FAILED_MIN:
            return Breaker(opened_at=now)
        return Breaker(calls=calls, known=known)

    def _noted_while_open(self, *, failed: bool, now: float) -> Breaker:
        """While it is open, late answers to earlier calls change nothing; half open, each one counts."""
        if self.state(now) == "open":
            return self
        if failed:
            return Breaker(opened_at=now, open_s=min(2 * self.open_s, OPEN_S_MAX))
        if self.successes + 1 >= SUCCESSES_TO_CLOSE:
            return Breaker()
        return Breaker(opened_at=self.opened_at, open_s=self.open_s, successes=self.successes + 1)

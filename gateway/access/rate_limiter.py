"""The buckets of one kind of sender in this worker's memory, and what the other workers must hear of them.

A request is judged here, without asking anybody: that costs no round trip, and goes on while Redis is away.
What was taken is told to Redis in the background, and what comes back is how full the bucket is for all
workers together (`gateway.access.shared_rates`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.access.rate import Rate, Verdict, charge, judge

# 200 bytes each, 4 MB. Beyond it the one that was quiet longest is forgotten, and begins anew with a full
# allowance: whoever has that many addresses is not stopped by a limit for each.
BUCKETS_MAX = 20_000


@dataclass
class _Bucket:
    empty_at_us: int
    untold: int = 0


class RateLimiter:
    """Judges requests by sender.

    Args:
        rate: what each sender may do.
        clock_us: monotonic microseconds.
        buckets_max: how many senders are remembered.
    """

    def __init__(self, rate: Rate, clock_us: Callable[[], int], *, buckets_max: int = BUCKETS_MAX) -> None:
        self.rate = rate
        self._clock_us = clock_us
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._untold: set[str] = set()

    def look(self, sender: str) -> Verdict:
        """Tell whether a request would pass, and take nothing."""
        bucket = self._buckets.get(sender)
        now_us = self._clock_us()
        return judge(self.rate, now_us if bucket is None else bucket.empty_at_us, now_us=now_us)

    def take(self, sender: str) -> Verdict:
        """Let a request pass and count it, or refuse it; what is refused is not counted.

        Returns:
            The verdict on this request; `remaining` is what is left after it.
        """
        before = self.look(sender)
        if not before.admitted:
            return before
        self.count(sender)
        after = self.look(sender)
        return Verdict(self.rate, True, after.remaining, after.wait_us, after.backlog_us)

    def count(self, sender: str) -> None:
        """Count a request that was made."""
        now_us = self._clock_us()
        bucket = self._buckets.setdefault(sender, _Bucket(now_us))
        self._buckets.move_to_end(sender)
        bucket.empty_at_us = charge(self.rate, bucket.empty_at_us, 1, now_us=now_us)
        bucket.untold += 1
        self._untold.add(sender)
        if len(self._buckets) > self._buckets_max:
            forgotten, _ = self._buckets.popitem(last=False)
            self._untold.discard(forgotten)

    def take_untold(self, senders_max: int) -> dict[str, int]:
        """Return what the other workers have not heard: sender to requests, of at most `senders_max`."""
        told: dict[str, int] = {}
        while self._untold and len(told) < senders_max:
            sender = self._untold.pop()
            # Redis may have been away for an hour: a full bucket is all that is remembered of it.
            told[sender] = min(self._buckets[sender].untold, self.rate.burst)
            self._buckets[sender].untold = 0
        return told

    def give_back(self, told: dict[str, int]) -> None:
        """Take back what could not be told."""
        for sender, count in told.items():
            bucket = self._buckets.get(sender)
            if bucket is not None:
                bucket.untold += count
                self._untold.add(sender)

    def hear(self, sender: str, backlog_us: int) -> None:
        """Take over how full a bucket is for all workers together.

        Args:
            sender: whose.
            backlog_us: how long it takes to empty, what was told included, microseconds.
        """
        bucket = self._buckets.get(sender)
        if bucket is not None:
            now_us = self._clock_us()
            # What was taken while the telling was under way is not in it.
            bucket.empty_at_us = charge(self.rate, now_us + backlog_us, bucket.untold, now_us=now_us)

    @property
    def untold(self) -> int:
        """How many senders have something to be told."""
        return len(self._untold)

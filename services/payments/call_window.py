"""The calls of the last minutes to one bank, in buckets: how many failed, how long answers took (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.payments.machine.figures import Figures

BUCKET_S = 10.0
BUCKETS = 30  # Five minutes: long enough for a figure, short enough to forget a fault that is over.
# As if so many calls had gone well before: three faults of four calls are not yet a rate.
BENEFIT_CALLS = 20


@dataclass(slots=True)
class _Bucket:
    number: int
    calls: int = 0
    failed: int = 0
    answered: int = 0
    answered_s: float = 0.0


@dataclass(slots=True)
class CallWindow:
    """Calls of one kind; the time is an argument, seconds on any clock that does not go back."""

    _buckets: list[_Bucket] = field(default_factory=list)

    def note(self, now: float, *, failed: bool, seconds: float) -> None:
        """Take in one call; a failed one has no time of answer."""
        number = int(now // BUCKET_S)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
            self._forget(number)
        bucket = self._buckets[-1]
        bucket.calls += 1
        if failed:
            bucket.failed += 1
        else:
            bucket.answered += 1
            bucket.answered_s += seconds

    def figures(self, now: float) -> Figures:
        """What they came to; the time of an answer is the mean."""
        self._forget(int(now // BUCKET_S))
        calls = sum(bucket.calls for bucket in self._buckets)
        failed = sum(bucket.failed for bucket in self._buckets)
        answered = sum(bucket.answered for bucket in self._buckets)
        answered_s = sum(bucket.answered_s for bucket in self._buckets)
        answer_ms = round(1000 * answered_s / answered) if answered else 0
        return Figures(calls, 1000 * failed // (calls + BENEFIT_CALLS), answer_ms)

    def _forget(self, number: int) -> None:
        while self._buckets and self._buckets[0].number <= number - BUCKETS:
            self._buckets.pop(0)

"""Whether to ask again, and when: exponential backoff with full jitter, within bounds (pure).

Everything that is asked again is safe to ask again: reads, and operations that keep
their idempotency key. Time and chance are arguments.
Source: RFC 9110 §10.2.3 (Retry-After) and §5.6.7 (HTTP-date).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

# The preferred form, the only one that is sent today; the obsolete two are treated as absent.
_IMF_FIXDATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECONDS = re.compile(r"[0-9]{1,9}")
_DOUBLINGS_MAX: Final = 30  # beyond it every ceiling applies; keeps the power small


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of asking again.

    Attributes:
        attempts_max: requests sent for one operation, the first included.
        total_s_max: from the first request to the last pause's end, in seconds.
        first_pause_s: the ceiling of the first pause; it doubles with each attempt.
        pause_s_max: the ceiling of every pause that no Retry-After asked for.
    """

    attempts_max: int = 8
    total_s_max: float = 60.0
    first_pause_s: float = 0.2
    pause_s_max: float = 10.0

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or self.first_pause_s <= 0 or self.pause_s_max <= 0 or self.total_s_max < 0:
            raise ValueError("a retry policy needs one attempt at least, and pauses longer than nothing")


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not ask again.

    Attributes:
        reason: for people.
    """

    reason: str


def decide_retry(
    policy: RetryPolicy,
    *,
    attempt: int,
    elapsed_s: float,
    retryable: bool,
    retry_after_s: float | None,
    chance: float,
) -> Pause | GiveUp:
    """Decide what follows an attempt that brought no result.

    Args:
        policy: the bounds.
        attempt: how many requests were sent, from 1.
        elapsed_s: since the first of them was begun.
        retryable: asking again can help.
        retry_after_s: what the answer asked to wait, if it did; it is waited out in full, and the jitter
            comes on top, so that those who were sent away together do not come back together.
        chance: random, 0 <= chance < 1.
    """
    if not retryable:
        return GiveUp("asking again cannot help")
    if attempt >= policy.attempts_max:
        return GiveUp(f"{attempt} attempts were made")
    doublings = min(attempt - 1, _DOUBLINGS_MAX)
    pause_s = chance * min(policy.pause_s_max, policy.first_pause_s * 2.0**doublings)
    if retry_after_s is not None:
        pause_s += max(0.0, retry_after_s)
    if elapsed_s + pause_s > policy.total_s_max:
        return GiveUp(f"the next attempt would come later than {policy.total_s_max:g} s after the first")
    return Pause(pause_s)


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds to wait; None if the field is absent or of neither form.

    Args:
        value: of `Retry-After`, seconds or an HTTP-date.
        now: seconds since the epoch, UTC; preferably the sender's, from its `Date`.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value) is not None:
        return float(value)
    at = parse_http_date(value)
    return None if at is None else max(0.0, at - now)


def parse_http_date(value: str | None) -> float | None:
    """Return an HTTP-date as seconds since the epoch; None if it is absent or not in the one form."""
    match = None if value is None else _IMF_FIXDATE.fullmatch(value)
    if match is None:
        return None
    day, year, hour, minute, second = (int(match[index]) for index in (1, 3, 4, 5, 6))
    try:
        at = datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return at.timestamp()

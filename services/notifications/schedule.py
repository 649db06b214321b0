"""Decide what follows an attempt: done, again after so many seconds, given up, or the endpoint is gone.

Pure: jitter and time are arguments. The whole schedule spans 75 h 35 m, so that an endpoint may be away
over a weekend. Source: Standard Webhooks 1.0.0, "Deliverability and reliability"; RFC 9110 §10.2.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

# Seconds before the first, second, ... attempt: 0, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
DELAYS_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS_MAX = len(DELAYS_S)
# A fifth either way: deliveries that failed together do not come back together.
JITTER_SHARE = 0.2
# A misconfigured endpoint is often mended within the hour; going on for days would be a retry storm.
REFUSALS_RETRIED_MAX = 3
# A receiver may ask for patience, not for silence until the event is worthless.
RETRY_AFTER_S_MAX = 6 * 3600
# An IMF-fixdate has 29 characters; a longer text is not looked at.
RETRY_AFTER_CHARS_MAX = 64

GONE = 410
_PATIENCE_ASKED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered with this status; `retry_after_s` is what it asked for, not yet clamped."""

    status: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer: `reason` is a short code of ours, never text of the peer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """Acknowledged; nothing follows."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again `after_s` seconds from now; `refused` says that it counts as a refusal by the receiver."""

    after_s: float
    refused: bool


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up; an operator can revive it."""


@dataclass(frozen=True, slots=True)
class EndpointGone:
    """The receiver says that the endpoint will not come back: nothing more is sent to it."""


Attempt: TypeAlias = Answered | Unanswered
Verdict: TypeAlias = Delivered | Retry | Dead | EndpointGone


def decide_next(attempt: Attempt, *, attempts_made: int, refusals_made: int, jitter: float) -> Verdict:
    """Decide what follows one attempt.

    Args:
        attempt: What came of it.
        attempts_made: Attempts so far, this one included (1 or more).
        refusals_made: How many earlier attempts were refused with a 4xx (410 and 429 apart).
        jitter: Evenly distributed in [0, 1).
    """
    status = attempt.status if isinstance(attempt, Answered) else None
    if status is not None and 200 <= status <= 299:  # noqa: PLR2004 - RFC 9110 §15.3
        return Delivered()
    if status == GONE:
        return EndpointGone()
    refused = status is not None and 400 <= status <= 499 and status not in _PATIENCE_ASKED  # noqa: PLR2004 - RFC 9110 §15.5
    if attempts_made >= ATTEMPTS_MAX or (refused and refusals_made >= REFUSALS_RETRIED_MAX):
        return Dead()
    after_s = DELAYS_S[attempts_made] * (1 - JITTER_SHARE + 2 * JITTER_SHARE * jitter)
    if isinstance(attempt, Answered) and attempt.status in _PATIENCE_ASKED:
        # The wish is a least time: a receiver that asks for 0 s does not use up the schedule within a second.
        after_s = max(after_s, _clamp(attempt.retry_after_s))
    return Retry(after_s=after_s, refused=refused)


def parse_retry_after(text: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a Retry-After field asks for; None if it is absent or of neither form.

    Args:
        text: Field value as received.
        now: Time of receipt, UTC.
    """
    if text is None or len(text) > RETRY_AFTER_CHARS_MAX or not text.isascii():
        return None
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None  # OverflowError: a zone such as +99999999999999999999.
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _clamp(wish_s: float | None) -> float:
    if wish_s is None or math.isnan(wish_s):
        return 0.0
    return min(max(wish_s, 0.0), float(RETRY_AFTER_S_MAX))

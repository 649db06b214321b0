"""The limits and times that decisions go by; one value, handed to the core (pure).

Promise: an amount in a currency that nobody has set a limit for always needs the approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes are durations and amounts in minor units; the defaults are the product's.

    Attributes:
        lease: Covers the longest piece of work of one order and the recording of it.
        screening_lease: The same for a question to the fraud service.
        route_retry: How long a payment waits before another look for a bank that may take it.
        review_deadline: A review that nobody decides is rejected then; nothing was sent to a bank.
        second_approver_minor: By currency: from this amount on two different persons must approve.
        refund_review_minor: By currency: customer service's refunds from this amount on need another person's
            approval.
        authorization_life: When a merchant neither captures nor voids, it is voided then.
        dispute_deadline: A dispute that the bank does not end is shown to an operator then, and stays open.
        raise_after: An unknown outcome older than this is shown to an operator, once.
        resend_age_max: Banks keep idempotency keys for 24 hours at least; four hours are left as a margin.
        final_resend_age_max: The same at a bank whose "not found" is final. Until then a crash of ours is the
            likelier reason why it has nothing; from then on it is asked only, and another bank can have the
            payment within a quarter of an hour.
        attempts_max: Banks tried for one payment, after certain refusals only.
        not_found_quiet: "Not found" counts as "not processed" only if said at least `not_founds_min` times
            with this much time between the first and the last, by a bank whose contract says so.
        not_founds_min: The number of these answers.
    """

    lease: timedelta = timedelta(seconds=12)
    screening_lease: timedelta = timedelta(seconds=3)
    route_retry: timedelta = timedelta(seconds=2)
    review_deadline: timedelta = timedelta(hours=24)
    second_approver_minor: Mapping[str, int] = msgspec.field(default_factory=lambda: {"EUR": 1_000_000})
    refund_review_minor: Mapping[str, int] = msgspec.field(default_factory=lambda: {"EUR": 50_000})
    authorization_life: timedelta = timedelta(days=7)
    dispute_deadline: timedelta = timedelta(days=45)
    raise_after: timedelta = timedelta(minutes=15)
    resend_age_max: timedelta = timedelta(hours=20)
    final_resend_age_max: timedelta = timedelta(minutes=1)
    attempts_max: int = 3
    not_found_quiet: timedelta = timedelta(minutes=10)
    not_founds_min: int = 2

    def needs_second_approver(self, amount_minor: int, currency: str) -> bool:
        """Whether one person's approval of a payment is not enough."""
        return amount_minor >= self.second_approver_minor.get(currency, 0)

    def needs_review(self, refunded_minor: int, currency: str) -> bool:
        """Whether a refund that customer service asks for needs another person's approval."""
        return refunded_minor >= self.refund_review_minor.get(currency, 0)


# When to ask again for an unknown outcome: soon at first, then every 12 hours without end. Time alone never
# turns an unknown outcome into a failed one.
INQUIRY_DELAYS: tuple[timedelta, ...] = (
    timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=2),
    timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12),
)  # fmt: skip
# A call that certainly never left is tried again for ever: a bank that refuses connections is not stormed,
# and within 10 s of its return so are we.
UNSENT_DELAY_MIN = timedelta(seconds=2)
UNSENT_DELAY_MAX = timedelta(seconds=8)
# Decline codes after which another bank may be tried: the money certainly did not move, and the reason is the
# bank's.
RETRYABLE_DECLINES = frozenset({"bank_unavailable", "technical", "retry_other_bank"})

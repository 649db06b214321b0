"""What an operator watches of the engine; no label with an unbounded set of values.

Children are kept: looking one up by its labels costs a lock, and each payment is counted several times.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

# From acceptance to each status: a payment is fast, slow, in somebody's review, or forgotten.
AGE_BUCKETS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 900.0, 86_400.0)

ORDERED = Counter("payments_ordered", "Calls begun at banks.", ["bank", "action"])
RECORDED = Counter("payments_recorded", "Answers recorded that changed their attempt.", ["outcome"])
SCREENED = Counter("payments_screened", "Verdicts recorded.", ["verdict"])
SCREENINGS_FAILED = Counter("payments_screenings_failed", "Questions to the fraud service without an answer.")
STALE = Counter("payments_stale_results", "Answers that changed nothing: their lease was lost, or known.")
OUTLIVED = Counter("payments_results_outlived", "Orders and answers that outlived their lease here.")
ALARMS = Counter("payments_integrity_alarms", "Answers that were not believed.", ["bank"])
CONTRADICTIONS = Counter("payments_contradictions", "Words of banks that cannot be true with earlier ones.")
DEFECTS = Counter("payments_defects", "Events that could not be decided or written, set aside.")
UNDER_WAY = Gauge("payments_calls_under_way", "Bank calls under way.", ["bank", "lane"])
BREAKER_OPEN = Gauge("payments_breaker_open", "Whether a breaker is open.", ["bank", "operation"])
DRAINED = Gauge("payments_bank_drained", "Whether an operator keeps new payments away.", ["bank"])
WAITING_RECORDS = Gauge(
    "payments_waiting_records", "Answers and verdicts that wait for their turn.", ["kind"]
)
CREDITS = Counter("payments_credits", "Credits that waited for a window.")
WINDOWS = Counter("payments_windows_posted", "Windows posted; credits by windows is their size.")
AGE = Histogram("payments_age_seconds", "From acceptance to each status.", ["status"], buckets=AGE_BUCKETS_S)
PUBLISHED = Counter("payments_events_published", "Events stored on the bus.")
BREAKS_OPEN = Gauge("payments_settlement_breaks_open", "Breaks in settlement files that nobody has closed.")
CHECK_ROWS = Gauge("payments_check_rows", "Rows that must not be, by check.", ["check"])
REPUBLISHED = Counter("payments_relay_rewinds", "Times the relay found the bus elsewhere than it left it.")


@cache
def counter(family: Counter, *labels: str) -> Counter:
    """One child, kept."""
    return family.labels(*labels)


@cache
def age(status: str) -> Histogram:
    """The ages at which payments reach a status, kept."""
    return AGE.labels(status)


@cache
def under_way(bank: str, lane: str) -> Gauge:
    """The calls of one bank in one lane, kept."""
    return UNDER_WAY.labels(bank, lane)

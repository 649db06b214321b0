"""What an operator watches of the engine; counters only, no label with an unbounded set of values."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CLAIMED = Counter("payments_claimed", "Attempts taken for sending.", ["bank"])
REDRIVEN = Counter("payments_redriven", "Overdue attempts taken over.", ["bank", "action"])
RECORDED = Counter("payments_recorded", "Outcomes recorded.", ["bank", "outcome"])
STALE = Counter("payments_stale_results", "Results that came after their lease was lost.")
ALARMS = Counter("payments_integrity_alarms", "Answers that were not believed.", ["bank"])
UNDER_WAY = Gauge("payments_calls_under_way", "Bank calls under way.", ["bank", "lane"])
BREAKER_OPEN = Gauge("payments_breaker_open", "Whether a breaker is open.", ["bank", "operation"])
DRAINED = Gauge("payments_bank_drained", "Whether an operator keeps new payments away.", ["bank"])
PUBLISHED = Counter("payments_events_published", "Events stored on the bus.")
CHECK_ROWS = Gauge("payments_check_rows", "Rows that must not be, by check.", ["check"])
REPUBLISHED = Counter("payments_relay_rewinds", "Times the relay found the bus elsewhere than it left it.")

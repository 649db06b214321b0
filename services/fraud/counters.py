"""What an operator watches of the screening; counters only, no label with an unbounded set of values."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SCREENED = Counter("fraud_screened", "Payments decided about.", ["verdict"])
REPEATED = Counter("fraud_repeated", "Questions answered with the stored verdict.")
CONTRADICTED = Counter("fraud_contradicted", "Repeated questions that say something else: not answered.")
HELD = Counter("fraud_held", "Requests not answered, so that their payments are held.", ["reason"])
BATCH_S = Histogram(
    "fraud_batch_seconds", "One transaction.", buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)
)
RULES_VERSION = Gauge("fraud_rules_version", "Version of the rules in force.")
RULES_REFUSED = Gauge("fraud_rules_refused", "1 while the file of rules is refused: a person must look.")

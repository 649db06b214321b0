"""What an operator watches of the connector; counters only, no label with an unbounded set of values."""

from __future__ import annotations

from prometheus_client import Counter

CALLBACKS = Counter("banks_callbacks", "Callbacks kept.", ["bank", "outcome", "reason"])
CALLBACKS_NOT_KEPT = Counter("banks_callbacks_not_kept", "Callbacks that the bank has to send again.")

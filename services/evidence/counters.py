"""What an operator watches of the log; counters only, no label with an unbounded set of values."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

APPENDED = Counter("evidence_leaves_appended", "Leaves appended to the log.")
STOPS = Counter("evidence_log_stops", "Times that a record could not become a leaf: a person must look.")
SIZE = Gauge("evidence_log_size", "Leaves under the newest checkpoint that this process signed.")
COSIGNED_SIZE = Gauge("evidence_cosigned_size", "Leaves under the newest cosigned checkpoint.", ["witness"])
WITNESS_FAULTS = Counter("evidence_witness_faults", "Checkpoints not cosigned.", ["witness", "reason"])

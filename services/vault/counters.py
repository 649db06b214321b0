"""What an operator watches of the vault; counters only, no label with an unbounded set of values."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

KEPT = Counter("vault_kept", "Instruments kept, or found kept already.", ["kind", "how"])
REFUSED = Counter("vault_refused", "Instruments that cannot be kept.")
RESOLVED = Counter("vault_resolutions", "Tokens resolved, each in the access journal.", ["outcome"])
SHREDDED = Counter("vault_shredded", "Instruments destroyed.")
UNANSWERED = Counter("vault_unanswered", "Requests that were not answered.", ["reason"])
UNREADABLE = Counter("vault_unreadable", "Seals that did not open: a person must look.")
CELL_KEY = Gauge("vault_cell_key", "Version of the cell key that wraps.")
BATCH_S = Histogram(
    "vault_batch_seconds",
    "One batch.",
    ["what"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2),
)

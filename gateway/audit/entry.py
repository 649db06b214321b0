"""One row of the audit log, and the hash that chains it to the one before (pure).

The database computes the same hash in `audit.hash_of`; this second reading lets anyone check an exported log
without trusting the database, and a test holds the two together. Source: schema/0002_audit.sql.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

GENESIS = hashlib.sha256(b"countermark-audit-v1").digest()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the log says happened; the order of fields is that of `audit.append`.

    Attributes:
        at: when, UTC.
        kind: `refusal` or `summary`.
        code: of the problem; `summary` for a summary.
        key_id: the registered key that the request named; empty in a summary.
        merchant_id: whose key that is. Who really sent the request is what a refusal could not establish.
        request_id: as in the answer.
        method: as received, one of the known ones.
        route: the template, never what was received.
        base_digest: SHA-256 of the signature base, empty if none was built.
        detail: canonical JSON of counts in a summary, else empty.
    """

    at: datetime
    kind: str
    code: str
    key_id: str
    merchant_id: str
    request_id: str
    method: str
    route: str
    base_digest: bytes
    detail: str


def entry_hash(entry: Entry, *, position: int, previous: bytes) -> bytes:
    """Return the 32 bytes that chain this entry to the one before."""
    microseconds = (entry.at - _EPOCH) // timedelta(microseconds=1)
    texts = (entry.kind, entry.code, entry.key_id, entry.merchant_id, entry.request_id)
    fields = [
        previous,
        str(position).encode(),
        str(microseconds).encode(),
        *(text.encode() for text in texts),
        entry.method.encode(),
        entry.route.encode(),
        entry.base_digest,
        entry.detail.encode(),
    ]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(field), field) for field in fields)).digest()

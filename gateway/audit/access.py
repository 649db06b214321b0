"""One row of the access log, the text that its digest is made of, and what a batch of rows says (pure).

The database makes the same text in `audit.text_of`; this second reading lets anyone check a row against the
statement of its batch, which is a leaf of the evidence log. Source: schema/0010_accesses.sql.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from signing.evidence.entry import utc_text


@dataclass(frozen=True, slots=True)
class Access:
    """Who asked what, when, from where, and how it ended; the order of fields is that of the record.

    Attributes:
        request_id: `req_…`, as the answer names it.
        merchant_id: whose key signed.
        key_id: the key; the signature held.
        method: as received.
        route: the template that matched, or `unmatched`.
        status: of the answer.
        at: when the request came, UTC.
        source: the sender's address as `source_of` reads it; empty if nobody said it.
    """

    request_id: str
    merchant_id: str
    key_id: str
    method: str
    route: str
    status: int
    at: datetime
    source: str


def access_digest(access: Access) -> str:
    """Return the SHA-256 of a row's one spelling, hexadecimal: one line of its batch's statement."""
    text = (
        f"countermark-access-v1\nrequest: {access.request_id}\nmerchant: {access.merchant_id}\n"
        f"key-id: {access.key_id}\nmethod: {access.method}\nroute: {access.route}\nstatus: {access.status}\n"
        f"at: {utc_text(access.at)}\nsource: {access.source}\n"
    )
    return hashlib.sha256(text.encode()).hexdigest()


def source_of(forwarded_for: Sequence[str]) -> str:
    """Return the merchant's address out of what the own sidecar wrote into `X-Forwarded-For`.

    Each proxy appends whom it speaks with: our sidecar the edge, before it the edge whoever sent the request.
    What stands further left is the sender's own word, and is not looked at.

    Args:
        forwarded_for: the values of the field in the order received.

    Returns:
        An IPv4 or IPv6 address in its canonical text; "" if two proxies have not spoken.
    """
    hops = ",".join(forwarded_for).rsplit(",", maxsplit=2)
    if len(hops) < 2:  # noqa: PLR2004 - the edge's word and the sidecar's
        return ""
    try:
        address = ipaddress.ip_address(hops[-2].strip())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ""
    return address.compressed

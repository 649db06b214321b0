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
        merchant_id: whose key that is.
        key_id: the key that signed the request, or proved an access token; the signature held.
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
    """Return the merchant's address as the edge saw it.

    Args:
        forwarded_for: the values of `x-forwarded-for` as the own sidecar passed them on. The edge writes
            exactly one address over whatever came in; anything else is nobody's word.

    Returns:
        An IPv4 or IPv6 address in its canonical text; "" if the edge has not spoken.
    """
    if len(forwarded_for) != 1:
        return ""
    try:
        address = ipaddress.ip_address(forwarded_for[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ""
    return address.compressed

"""What members of bodies and parameters of queries mean, where their type's docstring does not say (pure).

A name that several structures share means the same in each of them; what one structure means by a name of its
own stands in the `Attributes:` of its docstring, which comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "account_id": "The account.",
        "action": "What was asked for.",
        "alg": "The algorithm that the key signs with.",
        "amount": "In minor units of the currency.",
        "at": "When it happened.",
        "bank": "The bank's name.",
        "created_at": "When it was accepted here.",
        "currency": "ISO 4217, upper case.",
        "data": "The items.",
        "decline": "Why it was declined; null if it was not.",
        "decline_code": "Of a decline: its code.",
        "details": "What else there is to say; which members there are depends on the type.",
        "has_more": "Whether there is more beyond this page, in its direction.",
        "id": "Its id.",
        "instrument": "The token of the card or account.",
        "key_id": "The RFC 7638 thumbprint of the key.",
        "kind": "`collect` takes money in for the merchant, `payout` sends it out.",
        "last4": "The last four characters of the number.",
        "merchant_id": "The merchant whose key it is.",
        "merchant_reference": "The merchant's own name for it.",
        "object": "What kind of thing this is.",
        "operation": "What the bank is asked to do.",
        "payment_id": "The payment that it belongs to.",
        "reason": "In the words of whoever asked for it.",
        "refund_id": "The refund.",
        "scopes": "What the key may do.",
        "sequence": "The place of the event in its payment's story, from 1.",
        "state": "Where it stands.",
        "status": "Where it stands; further words may come.",
        "subject": "The refund or dispute that it is about; none if it is about the payment itself.",
        "type": "What happened; further words may come.",
        "updated_at": "When it last changed.",
        "url": "The path of the list.",
    }
)
# Of parameters in a query.
QUERY_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "created_gte": "Created at this second or later, in seconds since the epoch.",
        "created_lte": "Created in this second or before, in seconds since the epoch.",
        "ending_before": "The page ends before this item; the item is not in it.",
        "limit": "How many items a page has.",
        "merchant_reference": "With this reference of yours. One with other characters than these cannot be "
        "looked for: a query is signed, and has one spelling.",
        "payment_id": "Of this payment.",
        "starting_after": "The page begins after this item, which is the last of the page before.",
        "status": "In this status now.",
        "type": "Of this type.",
    }
)

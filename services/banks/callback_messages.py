"""What banks tell the banks service by themselves, and what becomes of it in the payments' mailbox.

Promises: unknown fields are refused; what is handed on is spelled out here and nowhere else, since nobody
imports the inside of payments (tests hold it against the decoder there).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from services.banks.messages import AmountMinor, BankReference, Currency, DeclineCode, Identifier

CALLBACKS_PATH = "/v1/callbacks"
# What a bank calls what it tells, and a dispute. Printable ASCII: it ends up in rows and logs.
EventId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_:.-]{1,160}\Z")]
DisputeReference: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,255}\Z")]
What: TypeAlias = Literal[
    "confirmed",
    "declined",
    "bounced",
    "returned",
    "recalled",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
]


class Callback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One thing that a bank tells; told again, it has the same `event_id`.

    Attributes:
        what: `confirmed`, `declined`: of the attempt. `bounced`: a refund came back. `returned`: captured
            money was taken back. `recalled`: asks whether we give it back. The rest is about a dispute.
        attempt_id: What it is about, in our words; amount and currency with it, so that it can be checked.
        end_to_end_id: The payment's id.
        at: When the bank says that it happened, RFC 3339; nothing is decided by it.
    """

    event_id: EventId
    what: What
    attempt_id: Identifier
    end_to_end_id: Identifier
    amount_minor: AmountMinor
    currency: Currency
    bank_reference: BankReference | None = None
    decline_code: DeclineCode | None = None
    dispute_reference: DisputeReference | None = None
    at: Annotated[str, msgspec.Meta(pattern=r"\A[0-9TZ:.+-]{1,40}\Z")]


class BankTold(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """A mail to a payment: a bank's word, with the bank as its certificate proved it."""

    payment_id: str
    bank: str
    what: What
    bank_event_id: str
    attempt_id: str
    amount_minor: int
    currency: str
    bank_reference: str | None = None
    decline_code: str | None = None
    dispute_reference: str | None = None

"""What crosses the hops to the vault.

Promises: the same number of the same merchant has one token until it is shredded, so that keeping it again is
harmless; what is resolved is in the access journal before it is answered; what is shredded is never answered
again. Both sides refuse fields that they do not know. Numbers are `Redacted`: use `encode` and `decoder_of`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from services.node.redacted import Redacted, enc_hook

INSTRUMENTS_PATH: Final = "/v1/instruments"
RESOLUTIONS_PATH: Final = "/v1/resolutions"
# The knee of throughput was measured at batches of 64 to 128.
ITEMS_MAX: Final = 128
# 128 items of at most 300 bytes, with room.
MESSAGE_BYTES_MAX: Final = 64 * 1024
# Part of the contract: a batch takes milliseconds; who has no answer by then asks again.
KEEPING_CALL_S_MAX: Final = 2.0
# Less, because a call to a bank waits for it, within the deadline of the engine's own call.
RESOLUTION_CALL_S_MAX: Final = 0.5

Kind: TypeAlias = Literal["card", "iban"]
Identifier: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,128}\Z")]
Token: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\Atok_[a-z]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card as it is kept. There is no field for a CVC: nobody may keep one (PCI DSS 3.3.1.2).

    Attributes:
        expiry_year: With its century.
    """

    number: Redacted
    expiry_month: int
    expiry_year: int


class Keeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One instrument to keep for a merchant: a card or an IBAN, exactly one of them."""

    merchant_id: Identifier
    card: Card | None = None
    iban: Redacted | None = None


class Display(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What may be shown of an instrument; of a shredded one nothing but that it was.

    Attributes:
        brand: Of a card.
        country: Of an IBAN.
    """

    token: str
    kind: Kind
    created_at: datetime
    brand: str | None = None
    country: str | None = None
    last4: str | None = None
    shredded_at: datetime | None = None


class Invalid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The instrument cannot be kept.

    Attributes:
        member: JSON pointer of what is wrong.
    """

    code: Literal["instrument-invalid"] = "instrument-invalid"
    member: str
    detail: str


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose instrument is asked for, or shredded."""

    merchant_id: Identifier


class Resolution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token to resolve.

    Attributes:
        about: The attempt that it is for, for the journal.
    """

    token: Token
    about: Identifier


class Resolutions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `ITEMS_MAX` tokens."""

    items: Annotated[list[Resolution], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]


class Resolved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a token stands for.

    Attributes:
        outcome: `found` comes with a card or an IBAN. `gone`: there is none, or none any more.
            `unreadable`: it is there and does not open; an operator has to look.
    """

    token: str
    outcome: Literal["found", "gone", "unreadable"]
    card: Card | None = None
    iban: Redacted | None = None


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One for each token asked for, in the same order."""

    results: Annotated[list[Resolved], msgspec.Meta(max_length=ITEMS_MAX)]


_encoder = msgspec.json.Encoder(enc_hook=enc_hook)


def encode(message: msgspec.Struct) -> bytes:
    """Write a message, numbers included: for the hop alone."""
    return _encoder.encode(message)

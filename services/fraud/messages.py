"""What crosses the hop to the fraud service.

Promises: a verdict names its payment; a payment without one in the answer was not decided about, and is asked
about again. A repeated question gets the stored verdict. Both sides refuse fields that they do not know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec

SCREENINGS_PATH = "/v1/screenings"
# The knee of throughput was measured at batches of 64 to 128.
ITEMS_MAX = 128
# 128 items of at most 900 bytes, with room.
MESSAGE_BYTES_MAX = 256 * 1024
# Part of the contract: who has no answer by then asks again later. A batch takes milliseconds.
SCREENING_CALL_S_MAX = 2.0
# As the database bounds it: twelve digits of minor units.
AMOUNT_MINOR_MAX = 999_999_999_999

PaymentKind: TypeAlias = Literal["collect", "payout"]
VerdictName: TypeAlias = Literal["pass", "review", "reject"]
Identifier: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,128}\Z")]
Currency: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]


class Screening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One payment to decide about, as it was accepted; the names are those of the engine's `Asking`.

    Attributes:
        amount_minor: Minor units of `currency`.
        instrument: A token; only its hash is kept.
        accepted_at: With a zone; velocity windows end there.
    """

    payment_id: Identifier
    account_id: Identifier
    merchant_id: Identifier
    kind: PaymentKind
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: Currency
    instrument: Identifier
    accepted_at: Annotated[datetime, msgspec.Meta(tz=True)]


class Screenings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question about up to `ITEMS_MAX` payments."""

    items: Annotated[list[Screening], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was decided about one payment, for ever.

    Attributes:
        rule_pack: `name@version:` and the SHA-256 of the signed rules, hex.
        inputs_digest: SHA-256 of the canonical inputs, hex; the inputs are in the journal.
        reasons: Names of the rules that matched; `cannot-evaluate:` before one that could not be evaluated.
    """

    payment_id: str
    verdict: VerdictName
    rule_pack: str
    inputs_digest: str
    reasons: tuple[str, ...] = ()


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer."""

    verdicts: Annotated[list[Verdict], msgspec.Meta(max_length=ITEMS_MAX)]

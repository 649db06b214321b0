"""What goes to a bank beyond an attempt as the engine sends it: the number that its token stands for.

Between a connector and its bank; the engine never sees it. Numbers are `Redacted`: encode with `enc_hook`.
"""

from __future__ import annotations

import msgspec

from services.banks.messages import Attempt
from services.node.redacted import Redacted


class PutCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card to charge or to pay out to.

    Attributes:
        expiry_year: With its century.
    """

    number: Redacted
    expiry_month: int
    expiry_year: int


class PutAttempt(Attempt, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An attempt as a bank gets it; at most one of the two, and neither where the token is the bank's own."""

    card: PutCard | None = None
    iban: Redacted | None = None

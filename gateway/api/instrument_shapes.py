"""What answers about instruments hold (pure)."""

from __future__ import annotations

from typing import Literal

from gateway.api.shapes import Shape


class CardShown(Shape, frozen=True, kw_only=True):
    """What may be shown of a card.

    Attributes:
        brand: of the card, as its number tells.
    """

    brand: str
    last4: str


class IbanShown(Shape, frozen=True, kw_only=True):
    """What may be shown of an IBAN.

    Attributes:
        country: ISO 3166-1, two letters.
    """

    country: str
    last4: str


class Instrument(Shape, frozen=True, kw_only=True):
    """A card or account whose number the vault keeps; its id is the token that payments take.

    Of a deleted one nothing is left to show.

    Attributes:
        id: the token.
        type: which of the two it is.
        card: null if it is an IBAN, or deleted.
        iban: null if it is a card, or deleted.
        deleted_at: null until it is deleted.
    """

    id: str
    object: Literal["instrument"] = "instrument"
    type: Literal["card", "iban"]
    status: Literal["active", "deleted"]
    card: CardShown | None
    iban: IbanShown | None
    created_at: str
    deleted_at: str | None

"""The body that brings a card or account number, read without ever repeating anything of it (pure).

The digest of every body goes into what is signed and kept. A number has few digits: whoever has a SHA-256 of
it alone finds it by trying (PCI DSS 3.5.1.1). So the body carries a `blind`, 128 bits or more that nobody can
guess, and without one nothing of the request is kept, its digest neither.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Annotated, Any, Final

import msgspec

from gateway.api.parsing import parse_command, parse_json
from gateway.errors import FieldFault, GatewayRefusal, ValidationFailed

ROUTE: Final = "/v1/instruments"
BLIND_BYTES_MIN: Final = 16  # 128 bits: what a signature's nonce has to have, too.
# Below it a blind was typed, not drawn: 16 random bytes have fewer than eight values less than once in 10^9.
BLIND_VALUES_MIN: Final = 8
# Names under which people send what nobody may keep after the authorisation (PCI DSS 3.3.1).
_NEVER_KEPT: Final = frozenset(
    {"cvc", "cvc2", "cvv", "cvv2", "cid", "csc", "security_code", "pin", "pin_block", "track1", "track2"}
)

# base64url without padding, of 16 to 64 bytes.
Blind = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{22,86}\Z")]
Digits = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{13,19}\Z")]
AccountNumber = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}\Z")]
Month = Annotated[int, msgspec.Meta(ge=1, le=12)]
Year = Annotated[int, msgspec.Meta(ge=2000, le=2099)]


class CardOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card to keep. A CVC is refused: there is no field for one.

    Attributes:
        number: 13 to 19 digits, nothing between them.
        expiry_month: from 1.
        expiry_year: four digits.
    """

    number: Digits
    expiry_month: Month
    expiry_year: Year

    def __repr__(self) -> str:
        return "CardOrder(<redacted>)"


class InstrumentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/instruments: a card or an IBAN, exactly one.

    Attributes:
        blind: 16 to 64 random bytes, base64url without padding, drawn for this request alone.
        card: a card's number and expiry.
        iban: in its electronic form, without spaces.
    """

    blind: Blind
    card: CardOrder | None = None
    iban: AccountNumber | None = None

    def __repr__(self) -> str:
        return "InstrumentOrder(<redacted>)"


class NoMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an act that needs no words: an empty object."""


def parse_order(body: bytes) -> InstrumentOrder:
    """Read a body.

    Raises:
        MalformedJSON: not JSON in the strict form.
        ValidationFailed: not this command, or it holds what nobody may keep.
    """
    value = parse_json(body)
    for pointer, members in _places(value):
        if never := sorted(_NEVER_KEPT & set(members)):
            raise ValidationFailed(
                "a CVC, a PIN or track data may not be kept, and must not be sent here: leave it out",
                FieldFault(f"{pointer}/{never[0]}", "nothing: this member must not be sent"),
            )
    if not _is_blind(value.get("blind") if isinstance(value, dict) else None):
        raise ValidationFailed(
            "a body with a number needs a `blind`: 16 to 64 random bytes, base64url without padding; "
            "nothing of this request was kept",
            FieldFault("/blind", "16 to 64 random bytes in base64url"),
        )
    order = parse_command(body, InstrumentOrder)
    if (order.card is None) == (order.iban is None):
        raise ValidationFailed("send a card or an IBAN, one of them", FieldFault("", "either card or iban"))
    return order


def is_blinded(body: bytes) -> bool:
    """Whether the digest of this body tells nothing to whoever tries numbers."""
    try:
        value = parse_json(body)
    except GatewayRefusal:
        return False
    return isinstance(value, dict) and _is_blind(value.get("blind"))


def _places(value: Any) -> list[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        return []
    card = value.get("card")
    return [("", value), *([("/card", card)] if isinstance(card, dict) else [])]


def _is_blind(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        text = msgspec.convert(value, Blind)
        octets = a2b_base64(text.translate(_TO_BASE64) + "=" * (-len(text) % 4), strict_mode=True)
    except (msgspec.ValidationError, ValueError):
        return False
    return len(octets) >= BLIND_BYTES_MIN and len(set(octets)) >= BLIND_VALUES_MIN


_TO_BASE64: Final = str.maketrans("-_", "+/")

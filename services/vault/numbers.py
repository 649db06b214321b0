"""What a card number and an IBAN are, and what may be shown of one (pure).

No fault of this module repeats a digit. Sources: ISO/IEC 7812-1 (length, annex B: the check digit), ISO 13616
(form, length by country as SWIFT's IBAN registry lists them) and ISO/IEC 7064 MOD 97-10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from services.node.redacted import Redacted
from services.vault.errors import InstrumentInvalid

Brand: TypeAlias = Literal[
    "amex", "diners", "discover", "jcb", "maestro", "mastercard", "mir", "unionpay", "visa", "unknown"
]

EXPIRY_YEARS_MAX: Final = 20  # Issuers give cards at most ten years; twice that is no card of anybody's.
LAST_SHOWN: Final = 4  # PCI DSS 3.4.1 would allow the first six as well; nobody here needs them.
_PAN: Final = re.compile(r"[0-9]{13,19}\Z")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}\Z")
_MODULUS: Final = 97
# By range of the first digits, the longest match first. Source: the schemes' own published ranges.
_BRANDS: Final[tuple[tuple[int, int, Brand], ...]] = (
    (622126, 622925, "discover"), (2200, 2204, "mir"), (2221, 2720, "mastercard"), (3528, 3589, "jcb"),
    (6011, 6011, "discover"), (300, 305, "diners"), (644, 649, "discover"), (34, 34, "amex"),
    (36, 36, "diners"), (37, 37, "amex"), (38, 39, "diners"), (50, 50, "maestro"), (51, 55, "mastercard"),
    (56, 58, "maestro"), (62, 62, "unionpay"), (65, 65, "discover"), (67, 67, "maestro"), (4, 4, "visa"),
)  # fmt: skip
_IBAN_TEXT: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 "
    "DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 "
    "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 "
    "MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 "
    "SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
IBAN_LENGTHS: Final[Mapping[str, int]] = MappingProxyType(
    {entry[:2]: int(entry[2:]) for entry in _IBAN_TEXT.split()}
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of an instrument.

    Attributes:
        brand: Of a card.
        country: Of an IBAN, ISO 3166-1.
        last4: The last four characters.
    """

    brand: Brand | None
    country: str | None
    last4: str


def check_card(number: Redacted, expiry_month: int, expiry_year: int, *, now: tuple[int, int]) -> Shown:
    """Return what may be shown of a card that can be kept.

    Args:
        expiry_year: With its century.
        now: Year and month, UTC.

    Raises:
        InstrumentInvalid: It is none; its member says where.
    """
    digits = number.reveal()
    if _PAN.match(digits) is None:
        raise InstrumentInvalid("/card/number", "a card number is 13 to 19 digits, nothing between them")
    if not has_check_digit(digits):
        raise InstrumentInvalid("/card/number", "the check digit of the card number does not fit")
    if not 1 <= expiry_month <= 12:  # noqa: PLR2004 - months
        raise InstrumentInvalid("/card/expiry_month", "a month is 1 to 12")
    if (expiry_year, expiry_month) < now:
        raise InstrumentInvalid("/card/expiry_year", "the card has expired")
    if expiry_year > now[0] + EXPIRY_YEARS_MAX:
        raise InstrumentInvalid("/card/expiry_year", "no card is valid that long: give the year as YYYY")
    return Shown(brand_of(digits), None, digits[-LAST_SHOWN:])


def check_iban(iban: Redacted) -> Shown:
    """Return what may be shown of an IBAN that can be kept.

    Raises:
        InstrumentInvalid: It is none.
    """
    text = iban.reveal()
    if _IBAN.match(text) is None:
        raise InstrumentInvalid("/iban", "an IBAN is capitals and digits in its electronic form, no spaces")
    length = IBAN_LENGTHS.get(text[:2])
    if length is None:
        raise InstrumentInvalid("/iban", "the country has no IBAN")
    if len(text) != length:
        raise InstrumentInvalid("/iban", f"an IBAN of {text[:2]} has {length} characters")
    if not has_iban_check(text):
        raise InstrumentInvalid("/iban", "the check digits of the IBAN do not fit")
    return Shown(None, text[:2], text[-LAST_SHOWN:])


def has_check_digit(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    numbers = [ord(digit) - ord("0") for digit in reversed(digits)]
    doubled = [2 * number - 9 * (number > 4) for number in numbers[1::2]]  # noqa: PLR2004 - 10 and more have two digits
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def has_iban_check(iban: str) -> bool:
    """Whether the two check digits fit: moved behind, letters as 10 to 35, the rest is 1 (MOD 97-10).

    98 and 99 fit where 01 and 00 would: ISO 13616 makes them 02 to 98.
    """
    if not 2 <= int(iban[2:4]) <= 98:  # noqa: PLR2004 - see above
        return False
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % _MODULUS == 1


def brand_of(digits: str) -> Brand:
    """The scheme that a number's first digits belong to."""
    for first, last, brand in _BRANDS:
        width = len(str(first))
        if first <= int(digits[:width]) <= last:
            return brand
    return "unknown"

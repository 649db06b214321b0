"""How many digits a currency has after the point, here and on a rail; amounts from one to the other (pure).

Promise: a conversion is exact or refused. Inside the gateway an amount is an integer of ISO 4217's minor
units; a rail's own table only matters where its messages are written and read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# Fifteen digits before the point hold every amount that the record can.
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,4}))?")

_POWERS = (1, 10, 100, 1_000, 10_000)

# Source: ISO 4217, list one, minor units. What is not listed cannot be moved.
_TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
    "COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR "
    "MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
    "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES "
    "WST XCD XCG YER ZAR ZMW ZWG"
)
_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
ISO_EXPONENTS: Mapping[str, int] = MappingProxyType(
    {
        currency: exponent
        for exponent, currencies in ((2, _TWO), (0, _ZERO), (3, _THREE), (4, _FOUR))
        for currency in currencies.split()
    }
)


class AmountRefused(Exception):
    """An amount cannot be written or read exactly; nothing was sent."""

    code = "amount-refused"


def exponent_of(currency: str, table: Mapping[str, int] = ISO_EXPONENTS) -> int:
    """Digits after the point.

    Raises:
        AmountRefused: The currency is not in the table.
    """
    try:
        return table[currency]
    except KeyError:
        raise AmountRefused(f"{currency} is no currency of this rail; route it elsewhere") from None


def decimal_of(amount_minor: int, currency: str, table: Mapping[str, int] = ISO_EXPONENTS) -> str:
    """Write an amount as a rail writes it: plain digits, with exactly as many after the point as it has.

    Args:
        amount_minor: ISO 4217's minor units, not negative.
        table: The rail's exponents.

    Raises:
        AmountRefused: The rail cannot express it.
    """
    ours, theirs = exponent_of(currency), exponent_of(currency, table)
    if amount_minor < 0:
        raise AmountRefused("an amount is never negative; the operation tells the direction")
    scaled, rest = amount_minor, 0
    if theirs >= ours:
        scaled *= _POWERS[theirs - ours]
    else:
        scaled, rest = divmod(amount_minor, _POWERS[ours - theirs])
    if rest:
        raise AmountRefused(f"the rail takes {theirs} digits of {currency} after the point; use another rail")
    whole, part = divmod(scaled, _POWERS[theirs])
    return f"{whole}.{part:0{theirs}d}" if theirs else str(whole)


def minor_of(decimal: str, currency: str, table: Mapping[str, int] = ISO_EXPONENTS) -> int:
    """Read what `decimal_of` writes, and nothing else: no sign, exponent, space, or other number of digits.

    Raises:
        AmountRefused: It is not an amount of this rail, or has a part of a minor unit.
    """
    ours, theirs = exponent_of(currency), exponent_of(currency, table)
    match = _DECIMAL.fullmatch(decimal)
    if match is None or len(match[2] or "") != theirs:
        raise AmountRefused(f"an amount in {currency} has {theirs} digits after the point on this rail")
    scaled = int(match[1]) * _POWERS[theirs] + int(match[2] or "0")
    if theirs <= ours:
        return scaled * _POWERS[ours - theirs]
    minor, rest = divmod(scaled, _POWERS[theirs - ours])
    if rest:
        raise AmountRefused(f"{currency} has no such part of a minor unit")
    return minor

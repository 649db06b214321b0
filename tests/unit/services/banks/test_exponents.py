"""An amount is converted exactly or refused, in both directions, on every rail."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.card_messages import CARD_EXPONENTS
from services.banks.exponents import ISO_EXPONENTS, AmountRefused, decimal_of, exponent_of, minor_of
from services.banks.messages import AMOUNT_MINOR_MAX

_tables = st.sampled_from([ISO_EXPONENTS, CARD_EXPONENTS])
_currencies = st.sampled_from(sorted(ISO_EXPONENTS))
_amounts = st.integers(0, AMOUNT_MINOR_MAX)


@pytest.mark.parametrize(
    ("amount", "currency", "table", "written"),
    [
        (1999, "EUR", ISO_EXPONENTS, "19.99"),
        (5, "EUR", ISO_EXPONENTS, "0.05"),
        (500, "JPY", ISO_EXPONENTS, "500"),
        (1234, "KWD", ISO_EXPONENTS, "1.234"),
        (12345, "CLF", ISO_EXPONENTS, "1.2345"),
        (0, "EUR", ISO_EXPONENTS, "0.00"),
        (7, "ISK", CARD_EXPONENTS, "7.00"),
        (500, "CLP", CARD_EXPONENTS, "500.00"),
        (12300, "IDR", CARD_EXPONENTS, "123"),
        (AMOUNT_MINOR_MAX, "JPY", ISO_EXPONENTS, "999999999999"),
    ],
)
def test_an_amount_is_written_with_the_digits_of_the_rail(
    amount: int, currency: str, table: Mapping[str, int], written: str
) -> None:
    assert written == decimal_of(amount, currency, table)
    assert amount == minor_of(written, currency, table)


@given(amount=_amounts, currency=_currencies, table=_tables)
def test_what_can_be_written_is_read_as_it_was_and_means_the_same(
    amount: int, currency: str, table: Mapping[str, int]
) -> None:
    try:
        written = decimal_of(amount, currency, table)
    except AmountRefused:
        lost = exponent_of(currency) - exponent_of(currency, table)
        assert lost > 0
        assert amount % 10**lost != 0
        return

    assert amount == minor_of(written, currency, table)
    assert Decimal(written) == Decimal(amount).scaleb(-exponent_of(currency))


@given(text=st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,4})?", fullmatch=True), currency=_currencies, table=_tables)
def test_what_can_be_read_is_written_as_it_was(text: str, currency: str, table: Mapping[str, int]) -> None:
    try:
        amount = minor_of(text, currency, table)
    except AmountRefused:
        return

    assert text == decimal_of(amount, currency, table)


@pytest.mark.parametrize(
    "text",
    ["", "19", "19.9", "19.990", "019.99", "+19.99", "-19.99", "1e3", " 19.99", "19.99\n", "19,99", ".99", "19.",
     "\u0661\u0669.99", "1_9.99", "0x1.00", "NaN", "9" * 16 + ".00"],
)  # fmt: skip
def test_another_form_is_no_amount_in_euro(text: str) -> None:
    with pytest.raises(AmountRefused):
        minor_of(text, "EUR")


def test_a_part_of_a_minor_unit_is_refused_both_ways() -> None:
    with pytest.raises(AmountRefused):
        decimal_of(12_345, "IDR", CARD_EXPONENTS)
    with pytest.raises(AmountRefused):
        minor_of("7.50", "ISK", CARD_EXPONENTS)


@pytest.mark.parametrize("currency", ["XXX", "eur", "", "BTC"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(AmountRefused):
        decimal_of(1, currency)
    with pytest.raises(AmountRefused):
        minor_of("1", currency)


def test_a_negative_amount_is_refused() -> None:
    with pytest.raises(AmountRefused):
        decimal_of(-1, "EUR")

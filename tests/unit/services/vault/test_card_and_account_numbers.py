from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.redacted import Redacted
from services.vault.errors import InstrumentInvalid
from services.vault.numbers import brand_of, check_card, check_iban, has_check_digit
from tests.unit.services.vault.number_samples import EXAMPLES, ibans, pans

NOW = (2026, 11)


def refused(number: str, month: int = 12, year: int = 2030) -> str:
    with pytest.raises(InstrumentInvalid) as raised:
        check_card(Redacted(number), month, year, now=NOW)
    assert number not in str(raised.value)
    return raised.value.member


@given(pans)
def test_a_number_with_its_check_digit_is_a_card_and_shows_four_digits(number: str) -> None:
    shown = check_card(Redacted(number), 12, 2030, now=NOW)

    assert number[-4:] == shown.last4
    assert shown.country is None


@given(pans, st.data())
def test_one_wrong_digit_is_no_card(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))

    assert "/card/number" == refused(number[:place] + other + number[place + 1 :])


@given(pans, st.data())
def test_two_neighbours_swapped_are_no_card_but_for_nine_and_nought(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 2))
    pair = number[place : place + 2]
    swapped = number[:place] + pair[::-1] + number[place + 2 :]

    assert (len(set(pair)) == 1 or set(pair) == {"0", "9"}) == has_check_digit(swapped)


@pytest.mark.parametrize(
    "number",
    ["", "4242", "4" * 20, "4242-4242-4242-4242", " 4242424242424242", "4242424242424242\n",
     "\u0664\u0662" * 8, "\uff14\uff12" * 8],
)  # fmt: skip
def test_what_is_not_thirteen_to_nineteen_plain_digits_is_no_card(number: str) -> None:
    with pytest.raises(InstrumentInvalid, match="13 to 19 digits"):
        check_card(Redacted(number), 12, 2030, now=NOW)


@pytest.mark.parametrize(
    ("month", "year", "member"),
    [(0, 2030, "/card/expiry_month"), (13, 2030, "/card/expiry_month"), (10, 2026, "/card/expiry_year"),
     (12, 2025, "/card/expiry_year"), (1, 2047, "/card/expiry_year"), (12, 30, "/card/expiry_year")],
)  # fmt: skip
def test_an_expiry_is_a_month_that_is_not_over_and_not_far(month: int, year: int, member: str) -> None:
    assert member == refused("4242424242424242", month, year)


def test_a_card_is_good_until_the_end_of_its_month() -> None:
    assert "4242" == check_card(Redacted("4242424242424242"), 11, 2026, now=NOW).last4


@pytest.mark.parametrize(
    ("number", "brand"),
    [("4242424242424242", "visa"), ("5555555555554444", "mastercard"), ("2223003122003222", "mastercard"),
     ("378282246310005", "amex"), ("6011111111111117", "discover"), ("3056930009020004", "diners"),
     ("3566002020360505", "jcb"), ("6200000000000005", "unionpay"), ("6759649826438453", "maestro"),
     ("2200000000000004", "mir"), ("9999999999999995", "unknown")],
)  # fmt: skip
def test_the_first_digits_tell_the_brand(number: str, brand: str) -> None:
    assert brand == brand_of(number)


@given(ibans)
def test_an_iban_of_any_country_shows_country_and_four_characters(iban: str) -> None:
    shown = check_iban(Redacted(iban))

    assert (None, iban[:2], iban[-4:]) == (shown.brand, shown.country, shown.last4)


@pytest.mark.parametrize("iban", EXAMPLES, ids=lambda iban: iban[:2])
def test_the_examples_of_the_registry_are_ibans(iban: str) -> None:
    assert iban[:2] == check_iban(Redacted(iban)).country


@given(ibans, st.data())
def test_one_wrong_character_is_no_iban(iban: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(4, len(iban) - 1))
    kind = "0123456789" if iban[place].isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    other = data.draw(st.sampled_from([each for each in kind if each != iban[place]]))

    with pytest.raises(InstrumentInvalid) as raised:
        check_iban(Redacted(iban[:place] + other + iban[place + 1 :]))
    assert iban not in str(raised.value)


@pytest.mark.parametrize(
    "iban",
    ["", "DE", "de89370400440532013000", "DE89 3704 0044 0532 0130 00", "DE8937040044053201300",
     "DE893704004405320130000", "US89370400440532013000", "DE01370400440532013055",
     "\uff24\uff2589370400440532013000",
     "DE89370400440532013000\n"],
)  # fmt: skip
def test_what_is_not_in_electronic_form_of_a_known_country_is_no_iban(iban: str) -> None:
    with pytest.raises(InstrumentInvalid):
        check_iban(Redacted(iban))

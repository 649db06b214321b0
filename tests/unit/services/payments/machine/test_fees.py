"""A fee is exact, follows the schedule in force, and a price list that contradicts itself is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.fees import FeeSchedule, Key, fee_minor, overlaps, schedule_for
from services.payments.machine.terms import BankTerms, instrument_class_of, terms_of

KEY = Key("collect", "EUR", "eu", "card")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def schedule(**changes: Any) -> FeeSchedule:
    return msgspec.convert({"currency": "EUR", "valid_from": date(2026, 1, 1)} | changes, FeeSchedule)


@pytest.mark.parametrize(
    ("changes", "amount", "fee"),
    [
        ({"fixed_minor": 10, "bps": 20}, 10_000, 30),
        ({"bps": 20}, 249, 0),  # 0.498
        ({"bps": 20}, 250, 1),  # 0.5 is rounded up
        ({"bps": 20}, 749, 1),  # 1.498
        ({"bps": 20}, 750, 2),  # 1.5
        ({"bps": 20, "min_minor": 5}, 250, 5),
        ({"bps": 20, "max_minor": 7}, 1_000_000, 7),
        ({"fixed_minor": 10, "bps": 20, "tiers": [[1_000, 5, 10], [5_000, 0, 5]]}, 999, 12),
        ({"fixed_minor": 10, "bps": 20, "tiers": [[1_000, 5, 10], [5_000, 0, 5]]}, 1_000, 6),
        ({"fixed_minor": 10, "bps": 20, "tiers": [[1_000, 5, 10], [5_000, 0, 5]]}, 5_000, 3),
        ({}, 5_000, 0),
    ],
)
def test_the_fee_of_an_amount(changes: dict[str, Any], amount: int, fee: int) -> None:
    assert fee == fee_minor(schedule(**changes), amount)


@given(amount=st.integers(1, 10**12), fixed=st.integers(0, 10**6), bps=st.integers(0, 2_000))
def test_the_share_is_the_nearest_whole_and_half_goes_up(amount: int, fixed: int, bps: int) -> None:
    off = fee_minor(schedule(fixed_minor=fixed, bps=bps), amount) - fixed - Fraction(amount * bps, 10_000)

    assert Fraction(-1, 2) < off <= Fraction(1, 2)


@given(amounts=st.tuples(st.integers(1, 10**12), st.integers(1, 10**12)), bps=st.integers(0, 2_000))
def test_without_tiers_more_never_costs_less(amounts: tuple[int, int], bps: int) -> None:
    price = schedule(bps=bps, min_minor=3, max_minor=10**9)
    less, more = sorted(amounts)

    assert fee_minor(price, less) <= fee_minor(price, more)


def test_the_schedule_that_names_most_counts() -> None:
    general = schedule(bps=10)
    cards = schedule(bps=20, instrument_classes=["card"])
    cards_here = schedule(bps=30, instrument_classes=["card"], regions=["eu"])
    elsewhere = schedule(bps=40, instrument_classes=["card"], regions=["us"], operations=["collect"])
    dollars = schedule(currency="USD", bps=50, operations=["collect"])
    prices = [general, cards, cards_here, elsewhere, dollars]

    assert cards_here == schedule_for(prices, KEY, NOW)
    assert cards == schedule_for(prices, KEY._replace(region="ch"), NOW)
    assert general == schedule_for(prices, KEY._replace(instrument_class="account"), NOW)
    assert schedule_for(prices, KEY._replace(currency="GBP"), NOW) is None


@pytest.mark.parametrize(
    ("at", "bps"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), None),
        (datetime(2026, 1, 1, tzinfo=UTC), 10),
        (datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC), 10),
        (datetime(2026, 7, 1, tzinfo=UTC), 20),
    ],
)
def test_a_schedule_counts_from_its_first_day_to_the_one_before_its_last(
    at: datetime, bps: int | None
) -> None:
    prices = [
        schedule(bps=10, valid_to=date(2026, 7, 1)),
        schedule(bps=20, valid_from=date(2026, 7, 1)),
    ]
    found = schedule_for(prices, KEY, at)

    assert bps == (None if found is None else found.bps)
    assert [] == overlaps({"first": prices[0], "second": prices[1]})


@pytest.mark.parametrize(
    "changes",
    [
        {"max_minor": 1, "min_minor": 2},
        {"valid_to": date(2026, 1, 1)},
        {"tiers": [[2, 0, 0], [1, 0, 0]]},
        {"tiers": [[1, 0, 0], [1, 0, 1]]},
        {"bps": 2_001},
        {"bps": -1},
        {"fixed_minor": 0.5},
        {"currency": "eur"},
        {"surprise": 1},
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        schedule(**changes)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"fees": {"a": {"bps": 1}, "b": {"bps": 2}}}, "fees a and b are both in force"),
        (
            {"fees": {"a": {"regions": ["eu", "ch"]}, "b": {"instrument_classes": ["card"]}}},
            "fees a and b are both in force",
        ),
        ({"operations": ["authorise"]}, "also capture and void"),
        ({"operations": ["collect"]}, "also refund"),
        ({"currencies": ["USD"], "fees": {"a": {}}}, "fees in EUR"),
        ({"weight": 0}, "weight"),
    ],
)
def test_terms_that_contradict_themselves_are_refused_with_a_sentence(
    terms: dict[str, Any], said: str
) -> None:
    for fee in terms.get("fees", {}).values():
        fee.update({"currency": "EUR", "valid_from": "2026-01-01"})

    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(terms, BankTerms)


def test_terms_of_a_bank_that_is_not_connected_are_a_slip() -> None:
    with pytest.raises(ValueError, match="bank-alhpa"):
        terms_of(["bank-alpha"], {"bank-alhpa": BankTerms()})

    assert {"bank-alpha": BankTerms()} == terms_of(["bank-alpha"], {})


@pytest.mark.parametrize(
    ("instrument", "found"),
    [
        ("tok_visa_ok", "card"),
        ("tok_iban_1", "account"),
        ("tok_slow", "other"),
        ("tok_", "other"),
        ("", "other"),
    ],
)
def test_a_token_tells_its_class(instrument: str, found: str) -> None:
    assert found == instrument_class_of(instrument)

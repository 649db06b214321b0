"""Which figures and prices a choice goes by, and what it says about those that nobody knows."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from typing import Any

import pytest

from services.payments.machine.figures import FINE_CALLS_MIN, Figures, FineKey
from services.payments.machine.routing import EXPLORED_PERMILLE, BankFacts, RoutingTable
from tests.unit.services.payments.machine.test_routing import (
    MANY,
    NAMES,
    NONE,
    NOW,
    OFF_MAX,
    bank,
    chosen,
    payment,
    priced,
)


def foreign(name: str, **facts: Any) -> BankFacts:
    fee = {"currency": "USD", "fixed_minor": 1, "valid_from": date(2026, 1, 1)}
    return bank(name, {"fees": {"all": fee}}, **facts)


def explained(table: RoutingTable) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(table.choose(payment(), NONE).explanation)
    return found


def test_a_price_that_is_not_known_is_told_as_unknown_and_never_the_cheapest() -> None:
    table = RoutingTable([foreign("bank-alpha"), priced("bank-bravo", 900)], NOW)
    found = Counter(chosen(table))

    assert {"bank-alpha": "unknown", "bank-bravo": 900_000} == explained(table)["cost_milli"]
    assert abs(found["bank-alpha"] - MANY * EXPLORED_PERMILLE / 2000) < OFF_MAX / 3


def test_banks_whose_prices_nobody_knows_share_but_for_those_that_fail() -> None:
    failing = foreign("bank-charlie", coarse={"collect": Figures(100, 500, 0)})
    table = RoutingTable([foreign("bank-alpha"), foreign("bank-bravo"), failing], NOW)
    found = Counter(chosen(table))

    assert dict.fromkeys(NAMES, "unknown") == explained(table)["cost_milli"]
    assert abs(found["bank-alpha"] - found["bank-bravo"]) < 2 * OFF_MAX
    assert found["bank-charlie"] < MANY / 20


def test_a_bank_without_a_price_list_costs_nothing_and_that_is_known() -> None:
    assert {"bank-alpha": 0} == explained(RoutingTable([bank("bank-alpha")], NOW))["cost_milli"]
    assert {"bank-alpha": "unknown"} == explained(RoutingTable([foreign("bank-alpha")], NOW))["cost_milli"]


@pytest.mark.parametrize(
    ("calls", "costs", "window"),
    [
        (FINE_CALLS_MIN, 20_000 + 500 * 20 + 500 * 50, "collect card EUR"),
        (FINE_CALLS_MIN - 1, 20_000, "collect"),
    ],
)
def test_the_finer_window_counts_once_it_has_seen_enough(calls: int, costs: int, window: str) -> None:
    fine = {FineKey("collect", "card", "EUR"): Figures(calls, 500, 0)}
    one = priced("bank-alpha", 20, coarse={"collect": Figures(500, 0, 0)}, fine=fine)
    found = explained(RoutingTable([one, bank("bank-bravo", drained=True)], NOW))

    assert ({"bank-alpha": costs}, {"bank-alpha": window}) == (found["cost_milli"], found["window"])


def test_what_other_instruments_and_currencies_met_does_not_count() -> None:
    fine = {
        FineKey("collect", "account", "EUR"): Figures(500, 1000, 0),
        FineKey("collect", "card", "USD"): Figures(500, 1000, 0),
        FineKey("payout", "card", "EUR"): Figures(500, 1000, 0),
    }
    found = explained(RoutingTable([priced("bank-alpha", 20, fine=fine)], NOW))

    assert {"bank-alpha": 20_000} == found["cost_milli"]
    assert "window" not in found

"""Which bank a payment goes to: repeatable, explained, never one that may not have it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.figures import Figures, FineKey
from services.payments.machine.model import Payment
from services.payments.machine.routing import (
    EXPLORED_PERMILLE,
    PROBES_PERMILLE,
    SAME_PERCENT,
    BankFacts,
    RoutingTable,
)
from services.payments.machine.terms import BankTerms

NOW = datetime(2026, 11, 26, tzinfo=UTC)
NAMES = ["bank-alpha", "bank-bravo", "bank-charlie"]
NONE: frozenset[str] = frozenset()
MANY = 4_000
# Five standard deviations of a share of one half of MANY.
OFF_MAX = 5 * (MANY / 4) ** 0.5


def payment(number: int = 0, **changes: Any) -> Payment:
    document = {
        "payment_id": f"pay_eu_{number:026d}", "account_id": "acc_1", "merchant_id": "mer_1",
        "kind": "collect", "capture_method": "automatic", "amount_minor": 10_000, "currency": "EUR",
        "instrument": "tok_visa_ok", "status": "screening", "sequence": 2, "account_version": 1,
        "bank": None, "decline_code": None, "accepted_at": NOW, "due": NOW,
    }  # fmt: skip
    return msgspec.convert(document | changes, Payment)


def bank(name: str, terms: dict[str, Any] | None = None, **facts: Any) -> BankFacts:
    return BankFacts(name=name, terms=msgspec.convert(terms or {}, BankTerms), **facts)


def priced(name: str, fixed_minor: int, **facts: Any) -> BankFacts:
    fee = {"currency": "EUR", "fixed_minor": fixed_minor, "valid_from": date(2026, 1, 1)}
    return bank(name, {"fees": {"all": fee}}, **facts)


def chosen(table: RoutingTable, many: int = MANY) -> list[str | None]:
    return [table.choose(payment(number), NONE).bank for number in range(many)]


_figures = st.builds(Figures, st.integers(0, 500), st.integers(0, 1000), st.integers(0, 4000))
_facts = st.builds(
    BankFacts,
    name=st.just(""),
    terms=st.builds(
        BankTerms,
        weight=st.integers(1, 5),
        operations=st.sampled_from([(), ("payout",), ("collect", "refund")]),
        currencies=st.sampled_from([(), ("EUR",), ("USD",)]),
        instrument_classes=st.sampled_from([(), ("card",), ("account",)]),
    ),
    drained=st.booleans(),
    has_room=st.booleans(),
    breakers=st.dictionaries(
        st.sampled_from(["collect", "payout"]), st.sampled_from(["closed", "open", "half_open"])
    ),
    coarse=st.dictionaries(st.sampled_from(["collect", "payout"]), _figures),
    fine=st.dictionaries(
        st.builds(
            FineKey,
            st.sampled_from(["collect", "payout"]),
            st.sampled_from(["card", "account"]),
            st.sampled_from(["EUR", "USD"]),
        ),
        _figures,
    ),
)
_tables = st.lists(_facts, max_size=4).map(
    lambda banks: [msgspec.structs.replace(b, name=f"bank-{i}") for i, b in enumerate(banks)]
)
_payments = st.builds(
    payment,
    st.integers(0, 10**9),
    kind=st.sampled_from(["collect", "payout"]),
    amount_minor=st.integers(1, 10**12),
    instrument=st.sampled_from(["tok_visa_ok", "tok_iban_1", "tok_slow"]),
)


@given(
    banks=_tables, some=_payments, excluded=st.frozensets(st.sampled_from([f"bank-{i}" for i in range(4)]))
)
def test_a_choice_is_repeatable_permitted_and_explained(
    banks: list[BankFacts], some: Payment, excluded: frozenset[str]
) -> None:
    choice = RoutingTable(banks, NOW).choose(some, excluded)
    operation = "payout" if some.kind == "payout" else "collect"

    def may(one: BankFacts) -> bool:
        terms = one.terms
        kind = {"tok_visa_ok": "card", "tok_iban_1": "account"}.get(some.instrument, "other")
        return (
            one.name not in excluded
            and not one.drained
            and one.has_room
            and one.breakers.get(operation) != "open"  # type: ignore[call-overload]
            and (not terms.operations or operation in terms.operations)
            and (not terms.currencies or "EUR" in terms.currencies)
            and (not terms.instrument_classes or kind in terms.instrument_classes)
        )

    eligible = {one.name for one in banks if may(one)}
    explanation = json.loads(choice.explanation)
    named = {
        *explanation.get("cost_milli", {}),
        *explanation.get("half_open", []),
        *explanation.get("not", {}),
    }

    assert (choice.bank in eligible) if eligible else choice.bank is None
    assert choice == RoutingTable(reversed(banks), NOW).choose(some, excluded)
    assert named == {one.name for one in banks} or explanation["how"] == "probe"
    assert set(explanation.get("not", {})) == {one.name for one in banks} - eligible


def test_banks_that_cost_the_same_share_by_weight() -> None:
    even = Counter(chosen(RoutingTable([bank("bank-alpha"), bank("bank-bravo")], NOW)))
    uneven = Counter(chosen(RoutingTable([bank("bank-alpha", {"weight": 3}), bank("bank-bravo")], NOW)))

    assert abs(even["bank-alpha"] - MANY / 2) < OFF_MAX
    assert abs(uneven["bank-alpha"] - MANY * 3 / 4) < OFF_MAX


@given(leaving=st.sampled_from(NAMES), weights=st.tuples(*[st.integers(1, 4)] * 3))
def test_a_bank_that_leaves_moves_its_own_payments_only(leaving: str, weights: tuple[int, int, int]) -> None:
    banks = [bank(name, {"weight": weight}) for name, weight in zip(NAMES, weights, strict=True)]
    before = chosen(RoutingTable(banks, NOW), 200)
    after = chosen(RoutingTable([one for one in banks if one.name != leaving], NOW), 200)
    drained = [msgspec.structs.replace(one, drained=one.name == leaving) for one in banks]

    assert [was for was in before if was != leaving] == [
        now for was, now in zip(before, after, strict=True) if was != leaving
    ]
    assert after == chosen(RoutingTable(drained, NOW), 200)


def test_a_drained_bank_gets_nothing_and_the_last_one_leaves_none() -> None:
    one = RoutingTable([bank("bank-alpha", drained=True), bank("bank-bravo")], NOW)
    both = RoutingTable([bank("bank-alpha", drained=True), bank("bank-bravo", drained=True)], NOW)

    assert {"bank-bravo"} == set(chosen(one))
    assert {None} == set(chosen(both, 10))
    assert {"bank-alpha": "drained", "bank-bravo": "drained"} == json.loads(
        both.choose(payment(), NONE).explanation
    )["not"]


def test_the_cheapest_gets_all_but_the_tries() -> None:
    found = Counter(chosen(RoutingTable([priced("bank-alpha", 30), priced("bank-bravo", 20)], NOW)))

    # Half of what is tried falls to the cheaper one, too.
    assert abs(found["bank-alpha"] - MANY * EXPLORED_PERMILLE / 2000) < OFF_MAX / 3
    assert found["bank-alpha"] > 0


def test_costs_that_nearly_agree_are_shared() -> None:
    near, far = 1_000 + 10 * SAME_PERCENT, 1_001 + 10 * SAME_PERCENT
    shared = Counter(chosen(RoutingTable([priced("bank-alpha", 1_000), priced("bank-bravo", near)], NOW)))
    split = Counter(chosen(RoutingTable([priced("bank-alpha", 1_000), priced("bank-bravo", far)], NOW)))

    assert abs(shared["bank-bravo"] - MANY / 2) < OFF_MAX
    assert split["bank-bravo"] < MANY / 20


def test_a_bank_that_fails_or_is_slow_costs_more() -> None:
    cheap_and_failing = priced("bank-alpha", 20, coarse={"collect": Figures(100, 500, 0)})
    cheap_and_slow = priced("bank-alpha", 20, coarse={"collect": Figures(100, 0, 4_000)})
    for worse in (cheap_and_failing, cheap_and_slow):
        found = Counter(chosen(RoutingTable([worse, priced("bank-bravo", 22)], NOW)))
        assert found["bank-bravo"] > MANY * 0.9


def test_the_expected_cost_counts_the_next_bank() -> None:
    table = RoutingTable(
        [priced("bank-alpha", 20, coarse={"collect": Figures(100, 100, 0)}), priced("bank-bravo", 30)], NOW
    )
    explanation = json.loads(table.choose(payment(), NONE).explanation)

    # 20 + 10 % of 30 + 10 % of 0.5 % of 10,000; and 30.
    assert {"bank-alpha": 28_000, "bank-bravo": 30_000} == explanation["cost_milli"]
    assert "collect EUR eu card" == explanation["for"]


def test_failures_of_one_operation_do_not_count_for_another() -> None:
    table = RoutingTable([bank("bank-alpha", breakers={"payout": "open"})], NOW)

    assert "bank-alpha" == table.choose(payment(), NONE).bank
    assert table.choose(payment(kind="payout"), NONE).bank is None


def test_a_bank_that_may_be_back_gets_a_few() -> None:
    found = Counter(
        chosen(RoutingTable([bank("bank-alpha", breakers={"collect": "half_open"}), bank("bank-bravo")], NOW))
    )
    alone = RoutingTable([bank("bank-alpha", breakers={"collect": "half_open"})], NOW)

    assert abs(found["bank-alpha"] - MANY * PROBES_PERMILLE / 1000) < OFF_MAX / 2
    assert {"bank-alpha"} == set(chosen(alone, 20))


@pytest.mark.parametrize(
    ("changes", "terms", "reason"),
    [
        ({"kind": "payout"}, {"operations": ["collect", "refund"]}, "no payout"),
        ({"capture_method": "manual"}, {"operations": ["collect", "refund"]}, "no authorise"),
        ({"currency": "USD"}, {"currencies": ["EUR"]}, "no USD"),
        ({}, {"regions": ["us"]}, "no eu"),
        ({"instrument": "tok_iban_1"}, {"instrument_classes": ["card"]}, "no account"),
    ],
)
def test_what_a_bank_does_not_take_it_does_not_get(
    changes: dict[str, Any], terms: dict[str, Any], reason: str
) -> None:
    choice = RoutingTable([bank("bank-alpha", terms)], NOW).choose(payment(**changes), NONE)

    assert choice.bank is None
    assert {"bank-alpha": reason} == json.loads(choice.explanation)["not"]


def test_those_that_refused_it_are_not_asked_again() -> None:
    table = RoutingTable([bank(name) for name in NAMES], NOW)
    for number in range(100):
        first = table.choose(payment(number), NONE).bank
        assert first is not None
        second = table.choose(payment(number), frozenset({first})).bank
        assert second is not None
        last = table.choose(payment(number), frozenset({first, second})).bank
        assert {*NAMES} == {first, second, last}

    assert table.choose(payment(), frozenset(NAMES)).bank is None


def test_only_a_contract_makes_not_found_final() -> None:
    table = RoutingTable([bank("bank-alpha", {"not_found_is_final": True}), bank("bank-bravo")], NOW)

    assert [True, False, False] == [table.is_not_found_final(name) for name in NAMES]


def test_a_retired_bank_gets_nothing_new_and_its_contract_is_known_all_the_same() -> None:
    retired = bank("bank-alpha", {"retired": True, "not_found_is_final": True})
    table = RoutingTable([retired, bank("bank-bravo")], NOW)

    assert {"bank-bravo"} == set(chosen(table, 100))
    assert {"bank-alpha": "retired"} == json.loads(table.choose(payment(), NONE).explanation)["not"]
    assert None is RoutingTable([retired], NOW).choose(payment(), NONE).bank
    assert table.is_not_found_final("bank-alpha")

"""Verdicts: the order of actions, what cannot be evaluated, and that more is never milder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fraud.evaluation import Evaluation, PreparedRules
from services.fraud.inputs import canonical, parse_inputs
from tests.unit.services.fraud.rule_samples import AMOUNT, BURST, DAY, KNOWN, STOLEN, facts, inputs, pack_of

BURST_NAME, DAY_NAME = "instrument/any/count/600", "merchant/any/EUR/86400"
QUIET = {BURST_NAME: 1, DAY_NAME: 100}
ALL = PreparedRules(pack_of(AMOUNT, DAY, BURST, STOLEN, KNOWN))
SEVERITY = {"pass": 0, "review": 1, "reject": 2}


def test_what_no_rule_matches_passes() -> None:
    assert Evaluation("pass", ()) == ALL.evaluate(inputs(QUIET))


@pytest.mark.parametrize(
    ("verdict", "reasons", "changes", "velocity"),
    [
        ("review", ("large",), {"amount_minor": 1001}, QUIET),
        ("pass", (), {"amount_minor": 1000}, QUIET),
        ("reject", ("stolen",), {"instrument": "tok_bad"}, QUIET),
        ("reject", ("burst",), {}, QUIET | {BURST_NAME: 4}),
        ("pass", (), {}, QUIET | {BURST_NAME: 3}),
        ("review", ("day",), {}, QUIET | {DAY_NAME: 5001}),
        ("reject", ("burst", "stolen", "large", "day"), {"amount_minor": 1001, "instrument": "tok_bad"},
         {BURST_NAME: 4, DAY_NAME: 5001}),
        ("pass", ("known",), {"amount_minor": 1001, "instrument": "tok_bad", "merchant_id": "mer_known"}, {}),
    ],
)  # fmt: skip
def test_allow_comes_before_reject_and_reject_before_review(
    verdict: str, reasons: tuple[str, ...], changes: dict[str, Any], velocity: dict[str, int]
) -> None:
    found = ALL.evaluate(inputs(velocity, **changes))

    assert (verdict, reasons) == (found.verdict, found.reasons)


def test_a_currency_without_a_limit_is_for_a_person() -> None:
    found = ALL.evaluate(inputs(QUIET, currency="JPY"))

    assert Evaluation("review", ("cannot-evaluate:large", "cannot-evaluate:day")) == found


def test_a_rule_of_reject_that_cannot_be_evaluated_is_for_a_person() -> None:
    found = PreparedRules(pack_of(BURST)).evaluate(inputs())

    assert Evaluation("review", ("cannot-evaluate:burst",)) == found


def test_a_rule_that_can_be_evaluated_rejects_beside_one_that_cannot() -> None:
    found = PreparedRules(pack_of(BURST, STOLEN)).evaluate(inputs(instrument="tok_bad"))

    assert Evaluation("reject", ("cannot-evaluate:burst", "stolen")) == found


def test_a_rule_of_one_kind_of_payment_leaves_the_other_alone() -> None:
    rules = PreparedRules(pack_of(AMOUNT | {"payment": "payout"}, BURST | {"payment": "payout"}))

    assert Evaluation("pass", ()) == rules.evaluate(inputs(amount_minor=5000))
    assert [] == rules.questions(facts())
    assert "review" == rules.evaluate(inputs(amount_minor=5000, kind="payout")).verdict


def test_who_is_exempt_is_not_counted_against_a_rule() -> None:
    rules = PreparedRules(pack_of(BURST | {"exempt": ["tok_visa_ok"]}))

    assert "pass" == rules.evaluate(inputs({BURST_NAME: 99})).verdict
    assert "reject" == rules.evaluate(inputs({BURST_NAME: 99}, instrument="tok_other")).verdict


_NUMBER = st.integers(min_value=0, max_value=10_000)
_FACTS = st.fixed_dictionaries(
    {
        "amount_minor": st.integers(min_value=1, max_value=3000),
        "currency": st.sampled_from(["EUR", "USD", "JPY"]),
        "instrument": st.sampled_from(["tok_visa_ok", "tok_bad"]),
        "merchant_id": st.sampled_from(["mer_one", "mer_known"]),
        "kind": st.sampled_from(["collect", "payout"]),
    }
)
_VELOCITY = st.fixed_dictionaries({}, optional={BURST_NAME: _NUMBER, DAY_NAME: _NUMBER})


@given(
    changes=_FACTS,
    velocity=_VELOCITY,
    more=st.fixed_dictionaries({}, optional={BURST_NAME: _NUMBER, DAY_NAME: _NUMBER}),
)
def test_more_velocity_is_never_milder(
    changes: dict[str, Any], velocity: dict[str, int], more: dict[str, int]
) -> None:
    higher = {name: number + more.get(name, 0) for name, number in velocity.items()}
    before, after = ALL.evaluate(inputs(velocity, **changes)), ALL.evaluate(inputs(higher, **changes))

    assert SEVERITY[before.verdict] <= SEVERITY[after.verdict]


@given(changes=_FACTS, velocity=_VELOCITY, lost=st.sampled_from([BURST_NAME, DAY_NAME]))
def test_a_number_that_is_not_known_never_makes_a_payment_pass(
    changes: dict[str, Any], velocity: dict[str, int], lost: str
) -> None:
    known = ALL.evaluate(inputs(velocity | {lost: 0}, **changes))
    unknown = ALL.evaluate(inputs({k: v for k, v in velocity.items() if k != lost}, **changes))

    assert SEVERITY[known.verdict] <= SEVERITY[unknown.verdict]


@given(changes=_FACTS, velocity=_VELOCITY)
def test_what_was_kept_leads_to_the_same_verdict(changes: dict[str, Any], velocity: dict[str, int]) -> None:
    given_inputs = inputs(velocity, **changes)
    kept = canonical(given_inputs)

    assert kept == canonical(parse_inputs(kept))
    assert ALL.evaluate(given_inputs) == PreparedRules(ALL.pack).evaluate(parse_inputs(kept))


@given(changes=_FACTS, velocity=_VELOCITY, order=st.permutations([AMOUNT, DAY, BURST, STOLEN, KNOWN]))
def test_the_order_of_the_file_does_not_change_the_verdict(
    changes: dict[str, Any], velocity: dict[str, int], order: list[dict[str, Any]]
) -> None:
    found = PreparedRules(pack_of(*order)).evaluate(inputs(velocity, **changes))
    wanted = ALL.evaluate(inputs(velocity, **changes))

    assert (wanted.verdict, sorted(wanted.reasons)) == (found.verdict, sorted(found.reasons))

"""Which events still can come, once a payment has gone another way."""

from __future__ import annotations

import pytest

from signing.trigger_command import SCENARIOS


@pytest.mark.parametrize(
    ("name", "event_type", "is_overtaken"),
    [
        ("payment.outcome_unknown", "payment.succeeded", True),
        ("payment.outcome_unknown", "payment.failed", True),
        ("payment.outcome_unknown", "payment.submitted", False),
        ("payment.outcome_unknown", "payment.outcome_unknown", False),
        ("refund.outcome_unknown", "payment.succeeded", False),
        ("refund.outcome_unknown", "refund.succeeded", True),
        ("payment.late_success", "payment.failed", False),
    ],
)
def test_only_a_told_outcome_overtakes_an_unknown_one(name: str, event_type: str, is_overtaken: bool) -> None:
    assert is_overtaken == SCENARIOS[name].is_overtaken_by(event_type)


def test_no_scenario_is_overtaken_by_what_it_waits_for() -> None:
    for scenario in SCENARIOS.values():
        assert not scenario.is_overtaken_by(scenario.ends)
        assert not scenario.is_overtaken_by(scenario.acts_after) or "nothing" == scenario.act

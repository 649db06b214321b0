"""The judge of a run with faults is silent about what is right, and about nothing that is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.client_log import Promise
from tests.faults.planted_faults import PlantedFault, planted_faults
from tests.faults.verdicts import Movement, Observation, Recorded, judge


def sound() -> Observation:
    promises = [Promise(f"pay_{n}", f"key_{n}", "{}", 202, f'{{"id":"pay_{n}"}}') for n in range(3)]
    recorded = {
        "pay_0": Recorded("collect", "succeeded", 500, "EUR", 1, 0),
        "pay_1": Recorded("payout", "succeeded", 300, "EUR", 1, 0),
        "pay_2": Recorded("collect", "failed", 700, "EUR", 1, 0),
    }
    return Observation(
        promises=promises,
        recorded=recorded,
        earlier={"pay_2": "failed"},
        movements=[
            Movement("bank-alpha", "pay_0", "collect", 500, "EUR"),
            Movement("bank-bravo", "pay_1", "payout", 300, "EUR"),
        ],
        repeats={promise.payment_id: (202, promise.response_body) for promise in promises},
        proven=frozenset(recorded),
        bundles={"pay_0": ""},
        events={payment_id: frozenset({1, 2}) for payment_id in recorded},
        webhooks={payment_id: frozenset({1, 2}) for payment_id in recorded},
    )


def test_what_is_right_is_not_judged() -> None:
    assert [] == judge(sound())


@pytest.mark.parametrize("planted", planted_faults(), ids=lambda planted: planted.name)
def test_what_is_wrong_is_judged_by_its_invariant(planted: PlantedFault) -> None:
    assert planted.invariant in {violation.invariant for violation in judge(planted.spoil(sound()))}


def test_money_that_was_moved_and_given_back_fits_a_failure() -> None:
    seen = sound()
    late = [
        Movement("bank-alpha", "pay_2", "collect", 700, "EUR"),
        Movement("bank-alpha", "pay_2", "refund", 700, "EUR"),
    ]

    assert [] == judge(replace(seen, movements=[*seen.movements, *late]))
    half = [*seen.movements, *late[:1]]
    assert ["I3"] == [v.invariant for v in judge(replace(seen, movements=half))]


def test_a_movement_of_a_payment_that_nobody_recorded_is_judged() -> None:
    seen = sound()
    stray = [*seen.movements, Movement("bank-alpha", "pay_9", "collect", 1, "EUR")]

    assert ["I3"] == [v.invariant for v in judge(replace(seen, movements=stray))]


def test_a_payout_that_a_bank_made_late_is_left_to_a_person() -> None:
    seen = sound()
    late = [*seen.movements, Movement("bank-alpha", "pay_3", "payout", 900, "EUR")]
    told = Recorded("payout", "failed", 900, "EUR", 1, 0, left_to_operator=True)

    assert [] == judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_3": told}))
    silent = replace(told, left_to_operator=False)
    found = judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_3": silent}))
    assert ["I3"] == [violation.invariant for violation in found]
    collect = replace(told, kind="collect")
    found = judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_3": collect}))
    assert ["I3"] == [violation.invariant for violation in found]

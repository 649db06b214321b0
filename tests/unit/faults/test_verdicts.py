"""The judge of a run with faults is silent about what is right, and about nothing that is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.client_log import Promise
from tests.faults.command_log import Command
from tests.faults.commands import ALICE, BRUNO
from tests.faults.observed import Movement, Observation, Recorded, RecordedRefund
from tests.faults.planted_faults import planted_faults
from tests.faults.planted_second_acts import PlantedFault
from tests.faults.verdicts import judge


def sound() -> Observation:
    promises = [Promise(f"pay_{n}", f"key_{n}", "{}", 202, f'{{"id":"pay_{n}"}}') for n in range(3)]
    recorded = {
        "pay_0": Recorded("collect", "succeeded", 500, "EUR", 1, 0, captured_minor=500),
        "pay_1": Recorded("payout", "succeeded", 300, "EUR", 1, 0),
        "pay_2": Recorded("collect", "failed", 700, "EUR", 1, 0),
    }
    return with_second_acts(
        Observation(
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
    )


LARGE, MUCH = 2_000_000, 60_000


def with_second_acts(seen: Observation) -> Observation:
    """Captured in part, voided, refunded by merchant and service, and approved by one and by two."""
    recorded = {
        "pay_3": Recorded("collect", "succeeded", 900, "EUR", 1, 0, False, "manual", 600, 0),
        "pay_4": Recorded("collect", "canceled", 900, "EUR", 1, 0, False, "manual", 0, 0),
        "pay_5": Recorded("collect", "succeeded", MUCH, "EUR", 1, 0, False, "automatic", MUCH, MUCH),
        "pay_6": Recorded("collect", "succeeded", LARGE, "EUR", 1, 0, False, "automatic", LARGE, 400, True),
        "pay_7": Recorded("collect", "succeeded", 100, "EUR", 1, 0, False, "automatic", 100, 0, True),
    }
    moved = [
        ("pay_3", "authorise", 900, "att_3_1"), ("pay_3", "capture", 600, "att_3_c1"),
        ("pay_4", "authorise", 900, "att_4_1"), ("pay_4", "void", 900, "att_4_v1"),
        ("pay_5", "collect", MUCH, "att_5_1"), ("pay_5", "refund", MUCH, "att_51_r1"),
        ("pay_6", "collect", LARGE, "att_6_1"), ("pay_6", "refund", 400, "att_61_r1"),
        ("pay_7", "collect", 100, "att_7_1"),
    ]  # fmt: skip
    commands = [
        Command("capture", "pay_3", "pay_3", "key", 600, "gateway", "capture/3"),
        Command("void", "pay_3", "pay_3", BRUNO, None, BRUNO, "void/3", "refused: state_conflict"),
        Command("void", "pay_4", "pay_4", "key", None, "gateway", "void/4"),
        Command("refund", "pay_5", "ref_51", ALICE, MUCH, ALICE, "refund/51"),
        Command("approve", "pay_5", "ref_51", BRUNO, None, BRUNO, "review/51"),
        Command("refund", "pay_6", "ref_61", "key", 400, "gateway", "refund/61"),
        Command("approve", "pay_6", "pay_6", ALICE, None, ALICE, "review/6"),
        Command("approve", "pay_6", "pay_6", BRUNO, None, BRUNO, "review/6"),
        Command("approve", "pay_7", "pay_7", ALICE, None, ALICE, "review/7"),
    ]  # fmt: skip
    payments = {**seen.recorded, **recorded}
    return replace(
        seen,
        recorded=payments,
        refunds={
            "ref_51": RecordedRefund("pay_5", "customer_service", MUCH, "succeeded", 1),
            "ref_61": RecordedRefund("pay_6", "user", 400, "succeeded", 1),
        },
        movements=[*seen.movements, *(Movement("bank-alpha", p, o, a, "EUR", i) for p, o, a, i in moved)],
        commands=commands,
        results={(c.source, c.source_id): c.result for c in commands if c.source},
        proven=frozenset(payments),
        events={payment_id: frozenset({1, 2}) for payment_id in payments},
        webhooks={payment_id: frozenset({1, 2}) for payment_id in payments},
    )


def test_what_is_right_is_not_judged() -> None:
    assert [] == judge(sound())


@pytest.mark.parametrize("planted", planted_faults(), ids=lambda planted: planted.name)
def test_what_is_wrong_is_judged_by_its_invariant(planted: PlantedFault) -> None:
    found = judge(planted.spoil(sound()))

    assert [] != [new for new in found if new.invariant == planted.invariant and planted.says in new.what]


def test_money_that_was_moved_and_given_back_fits_a_failure() -> None:
    seen = sound()
    late = [
        Movement("bank-alpha", "pay_2", "collect", 700, "EUR"),
        Movement("bank-alpha", "pay_2", "refund", 700, "EUR", "att_21_r1"),
    ]
    seen = replace(
        seen, refunds={**seen.refunds, "ref_21": RecordedRefund("pay_2", "system", 700, "succeeded", 1)}
    )

    assert [] == judge(replace(seen, movements=[*seen.movements, *late]))
    half = [*seen.movements, *late[:1]]
    found = [(violation.invariant, violation.subject) for violation in judge(replace(seen, movements=half))]
    assert [("I3", "pay_2"), ("I3", "ref_21")] == found


def test_a_movement_of_a_payment_that_nobody_recorded_is_judged() -> None:
    seen = sound()
    stray = [*seen.movements, Movement("bank-alpha", "pay_9", "collect", 1, "EUR")]

    assert ["I3"] == [v.invariant for v in judge(replace(seen, movements=stray))]


def test_a_payout_that_a_bank_made_late_is_left_to_a_person() -> None:
    seen = sound()
    late = [*seen.movements, Movement("bank-alpha", "pay_8", "payout", 900, "EUR")]
    told = Recorded("payout", "failed", 900, "EUR", 1, 0, left_to_operator=True)

    assert [] == judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_8": told}))
    silent = replace(told, left_to_operator=False)
    found = judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_8": silent}))
    assert ["I3"] == [violation.invariant for violation in found]
    collect = replace(told, kind="collect")
    found = judge(replace(seen, movements=late, recorded={**seen.recorded, "pay_8": collect}))
    assert ["I3"] == [violation.invariant for violation in found]

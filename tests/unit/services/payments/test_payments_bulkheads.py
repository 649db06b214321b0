from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.payments.bulkheads import UNSENT_IN_A_ROW_MAX, Bulkheads, Lane
from services.payments.machine.model import Payment
from services.payments.routing_facts import EvenFacts, RoomyRoutes

NOBODY: frozenset[str] = frozenset()


def _bulkheads() -> Bulkheads[str]:
    return Bulkheads(("alpha", "bravo"), sends_max=3, queue_max=2, redrives_max=1)


def _payment(number: int) -> Payment:
    return Payment(
        payment_id=f"pay_eu_{number}", account_id="acc", merchant_id="mer", kind="collect",
        capture_method="automatic", amount_minor=1, currency="EUR", instrument="tok", status="screening",
        sequence=1, account_version=None, bank=None, decline_code=None,
        accepted_at=datetime(2026, 1, 2, tzinfo=UTC), due=datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip


def test_what_runs_what_waits_and_what_is_promised_takes_room() -> None:
    bulkheads = _bulkheads()
    place = bulkheads.of("alpha", Lane.SEND)
    place.running, place.promised = 3, 1
    place.queue.append("waits")

    assert {"alpha": 0, "bravo": 5} == bulkheads.rooms()
    assert 1 == bulkheads.of("alpha", Lane.REDRIVE).room
    assert 4 == bulkheads.under_way()


def test_more_than_there_is_room_for_is_no_negative_room() -> None:
    bulkheads = _bulkheads()
    bulkheads.of("alpha", Lane.SEND).promised = 9

    assert 0 == bulkheads.of("alpha", Lane.SEND).room


def test_a_bank_that_is_away_has_no_room_while_another_is_there() -> None:
    bulkheads = _bulkheads()
    for _ in range(UNSENT_IN_A_ROW_MAX):
        bulkheads.heard("alpha", is_unsent=True)
    one_away = bulkheads.rooms()
    for _ in range(UNSENT_IN_A_ROW_MAX):
        bulkheads.heard("bravo", is_unsent=True)
    both_away = bulkheads.rooms()
    bulkheads.heard("alpha", is_unsent=False)

    assert ({"alpha": 0, "bravo": 5}, {"alpha": 5, "bravo": 5}) == (one_away, both_away)
    assert {"alpha": 5, "bravo": 0} == bulkheads.rooms()


def test_what_one_turn_sends_to_a_bank_counts_within_the_turn() -> None:
    routes = RoomyRoutes(EvenFacts(["alpha", "bravo"]), {"alpha": 2, "bravo": 40})

    chosen = [routes.choose(_payment(number), NOBODY).bank for number in range(40)]

    assert (2, 38) == (chosen.count("alpha"), chosen.count("bravo"))
    assert {"alpha": 2, "bravo": 38} == routes.taken


def test_without_room_anywhere_a_payment_still_has_its_bank() -> None:
    routes = RoomyRoutes(EvenFacts(["alpha", "bravo"]), {"alpha": 0, "bravo": 0})

    assert {"alpha", "bravo"} == {routes.choose(_payment(number), NOBODY).bank for number in range(40)}


def test_a_bank_that_has_refused_is_never_chosen_however_full_the_others_are() -> None:
    routes = RoomyRoutes(EvenFacts(["alpha", "bravo"]), {"alpha": 9, "bravo": 0})

    assert {"bravo"} == {routes.choose(_payment(number), frozenset({"alpha"})).bank for number in range(9)}
    assert routes.choose(_payment(1), frozenset({"alpha", "bravo"})).bank is None


@pytest.mark.parametrize(("bank", "expected"), [("alpha", True), ("bravo", False)])
def test_what_a_banks_not_found_is_worth_is_passed_on(bank: str, expected: bool) -> None:
    routes = RoomyRoutes(EvenFacts(["alpha", "bravo"], frozenset({"alpha"})), {})

    assert expected == routes.is_not_found_final(bank)

"""What a worker's own calls and operators' words make of the banks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.payments.bank_health import PERIOD_S, BankHealth
from services.payments.call_window import BENEFIT_CALLS, BUCKET_S, BUCKETS, CallWindow
from services.payments.machine.breaker import IN_A_ROW, OPEN_S_MIN
from services.payments.machine.terms import BankTerms
from tests.unit.services.payments.machine.test_routing import payment

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NAMES = ["bank-alpha", "bank-bravo"]


@dataclass
class Desk:
    """A worker's view, with hands on its clock and on the record."""

    now: float = 1_000.0
    said: dict[str, bool] = field(default_factory=dict)
    is_away: bool = False

    def __post_init__(self) -> None:
        terms = {name: BankTerms() for name in NAMES}
        self.health = BankHealth(
            terms, self._controls, room_min=32, clock=lambda: self.now, today=lambda: NOW
        )

    async def _controls(self) -> Mapping[str, bool]:
        if self.is_away:
            raise asyncpg.ConnectionDoesNotExistError
        return self.said

    def banks(self, rooms: dict[str, int] | None = None) -> set[str | None]:
        table = self.health.routes(NOW, rooms)
        return {table.choose(payment(number), frozenset()).bank for number in range(200)}


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_drained_bank_gets_nothing_even_while_the_record_is_away(desk: Desk) -> None:
    desk.said = {"bank-alpha": True, "bank-bravo": False, "bank-of-nobody": True}
    before = desk.banks()
    await desk.health.follow()
    drained = desk.banks()
    desk.is_away = True
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await desk.health.follow()

    assert ({*NAMES}, {"bank-bravo"}, {"bank-bravo"}) == (before, drained, desk.banks())


async def test_a_resumed_bank_gets_payments_again(desk: Desk) -> None:
    for is_drained in (True, False):
        desk.said = {"bank-alpha": is_drained}
        await desk.health.follow()

    assert {*NAMES} == desk.banks()


def test_a_bank_that_does_not_answer_is_left_and_tried_again(desk: Desk) -> None:
    for _ in range(IN_A_ROW):
        desk.health.note("bank-alpha", "collect", "unknown", 3.0)
    opened = desk.banks()
    desk.now += OPEN_S_MIN
    half_open = desk.banks()

    assert ({"bank-bravo"}, {*NAMES}) == (opened, half_open)


def test_a_bank_that_declines_everybody_is_well(desk: Desk) -> None:
    for _ in range(500):
        desk.health.note("bank-alpha", "collect", "declined", 0.1, "insufficient_funds")
    desk.now += PERIOD_S

    assert {*NAMES} == desk.banks()
    assert {"collect": 0} == desk.health.routes(NOW).banks[0].failed_permille


def test_declines_that_are_the_banks_own_failure_cost(desk: Desk) -> None:
    for _ in range(80):
        desk.health.note("bank-alpha", "collect", "declined", 0.1, "technical")
    desk.now += PERIOD_S

    assert {"collect": 800} == desk.health.routes(NOW).banks[0].failed_permille
    assert {} == desk.health.routes(NOW).banks[1].failed_permille


def test_a_bank_without_room_gets_no_more(desk: Desk) -> None:
    assert {"bank-bravo"} == desk.banks({"bank-alpha": 31, "bank-bravo": 32})
    assert {None} == desk.banks({})


def test_the_table_is_made_anew_only_when_something_has_changed(desk: Desk) -> None:
    first = desk.health.routes(NOW)
    desk.health.note("bank-alpha", "collect", "confirmed", 0.1)

    assert first is desk.health.routes(NOW)
    assert first is not desk.health.routes(NOW + timedelta(days=1))


def test_a_window_forgets_and_gives_the_benefit_of_the_doubt() -> None:
    window = CallWindow()
    for _ in range(BENEFIT_CALLS):
        window.note(0.0, failed=True, seconds=3.0)
    window.note(BUCKET_S, failed=False, seconds=0.25)
    window.note(BUCKET_S, failed=False, seconds=0.75)

    assert (1000 * BENEFIT_CALLS // (2 * BENEFIT_CALLS + 2), 500) == window.figures(BUCKET_S)
    assert (0, 500) == window.figures(BUCKET_S * BUCKETS)
    assert (0, 0) == window.figures(BUCKET_S * (BUCKETS + 1))

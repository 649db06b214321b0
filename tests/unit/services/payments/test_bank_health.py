"""What a worker's own calls and operators' words make of the banks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Literal

import asyncpg
import msgspec
import pytest

from services.payments.bank_health import FINE_WINDOWS_MAX, PERIOD_S, BankHealth
from services.payments.call_window import BENEFIT_CALLS, BUCKET_S, BUCKETS, CallWindow
from services.payments.machine.breaker import IN_A_ROW, OPEN_S_MIN
from services.payments.machine.events import AnswerKind, Order
from services.payments.machine.figures import Figures
from services.payments.machine.terms import BankTerms
from services.payments.outcomes import heard_as
from tests.unit.services.payments.machine.test_routing import payment

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NAMES = ["bank-alpha", "bank-bravo"]
ORDER = Order(
    attempt_id="att_eu_1_1", epoch=1, payment_id="pay_eu_1", account_id="acc", bank="bank-alpha",
    operation="collect", amount_minor=1999, currency="EUR", instrument="tok_visa_ok",
)  # fmt: skip


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

    def ended(
        self, kind: AnswerKind, code: str | None = None, *, seconds: float = 0.1, **differently: Any
    ) -> None:
        order = msgspec.structs.replace(ORDER, **differently)
        self.health.note(order, heard_as(order, kind, decline_code=code), seconds)

    def refused(self, who: Literal["hop", "connector"]) -> None:
        self.health.note(ORDER, msgspec.structs.replace(heard_as(ORDER, "unsent"), stopped_by=who), 0.1)

    def banks(self, rooms: dict[str, int] | None = None) -> set[str | None]:
        table = self.health.routes(NOW, rooms)
        return {table.choose(payment(number), frozenset()).bank for number in range(200)}


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.health.follow()
    return desk


async def test_before_operators_are_heard_no_bank_gets_a_payment() -> None:
    desk = Desk(is_away=True)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await desk.health.follow()
    unheard = desk.banks()
    desk.is_away = False
    await desk.health.follow()

    assert ({None}, {*NAMES}) == (unheard, desk.banks())


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
        desk.ended("unknown", seconds=3.0)
    opened = desk.banks()
    desk.now += OPEN_S_MIN
    half_open = desk.banks()

    assert ({"bank-bravo"}, {*NAMES}) == (opened, half_open)


def test_a_bank_that_declines_everybody_is_well(desk: Desk) -> None:
    for _ in range(500):
        desk.ended("declined", "insufficient_funds", seconds=0.1)
    desk.now += PERIOD_S

    assert {*NAMES} == desk.banks()
    assert Figures(500, 0, 100) == desk.health.routes(NOW).banks[0].coarse["collect"]


def test_declines_that_are_the_banks_own_failure_cost(desk: Desk) -> None:
    for _ in range(80):
        desk.ended("declined", "technical", seconds=0.1)
    desk.now += PERIOD_S

    assert Figures(80, 800, 0) == desk.health.routes(NOW).banks[0].coarse["collect"]
    assert {} == desk.health.routes(NOW).banks[1].coarse


def test_calls_are_counted_by_instrument_class_and_currency_too(desk: Desk) -> None:
    desk.ended("confirmed")
    desk.ended("unknown", instrument="tok_iban_1")
    desk.ended("unknown", currency="USD")
    desk.now += PERIOD_S
    facts = desk.health.routes(NOW).banks[0]

    assert {"collect": (3, 2000 // (3 + BENEFIT_CALLS), 100)} == facts.coarse
    assert {
        ("collect", "card", "EUR"): (1, 0, 100),
        ("collect", "account", "EUR"): (1, 1000 // (1 + BENEFIT_CALLS), 0),
        ("collect", "card", "USD"): (1, 1000 // (1 + BENEFIT_CALLS), 0),
    } == facts.fine


def test_the_finer_windows_are_bounded_and_what_is_quiet_goes_first(desk: Desk) -> None:
    first, *rest = ("".join(letters) for letters in product("ABCDEFGHIJ", repeat=3))
    desk.ended("confirmed", currency=first)
    for currency in rest[: FINE_WINDOWS_MAX - 1]:
        desk.ended("confirmed", currency=currency)
    desk.ended("confirmed", currency=first)
    desk.ended("confirmed", currency=rest[-1])
    desk.now += PERIOD_S
    known = {key.currency for key in desk.health.routes(NOW).banks[0].fine}

    assert FINE_WINDOWS_MAX == len(known)
    assert {first, rest[-1]} <= known
    assert rest[0] not in known


def test_what_our_own_side_stopped_opens_no_breaker(desk: Desk) -> None:
    for _ in range(3 * IN_A_ROW):
        desk.refused("hop")
        desk.refused("connector")
    desk.now += PERIOD_S

    assert {*NAMES} == desk.banks()
    # Where the connector refuses, sending is of no use; the way to all banks tells none of them apart.
    assert 3 * IN_A_ROW == desk.health.routes(NOW).banks[0].coarse["collect"].calls


def test_a_bank_without_room_gets_no_more(desk: Desk) -> None:
    assert {"bank-bravo"} == desk.banks({"bank-alpha": 31, "bank-bravo": 32})
    assert {None} == desk.banks({})


def test_the_table_is_made_anew_only_when_something_has_changed(desk: Desk) -> None:
    first = desk.health.routes(NOW)
    desk.ended("confirmed", seconds=0.1)

    assert first is desk.health.routes(NOW)
    assert first is not desk.health.routes(NOW + timedelta(days=1))


def test_a_window_forgets_and_gives_the_benefit_of_the_doubt() -> None:
    window = CallWindow()
    for _ in range(BENEFIT_CALLS):
        window.note(0.0, failed=True, seconds=3.0)
    window.note(BUCKET_S, failed=False, seconds=0.25)
    window.note(BUCKET_S, failed=False, seconds=0.75)

    assert (BENEFIT_CALLS + 2, 1000 * BENEFIT_CALLS // (2 * BENEFIT_CALLS + 2), 500) == window.figures(
        BUCKET_S
    )
    assert (2, 0, 500) == window.figures(BUCKET_S * BUCKETS)
    assert (0, 0, 0) == window.figures(BUCKET_S * (BUCKETS + 1))

"""A breaker opens on technical failures alone, and closes again by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.breaker import (
    FAILED_MIN,
    IN_A_ROW,
    OPEN_S_MAX,
    OPEN_S_MIN,
    REMEMBERED,
    SUCCESSES_TO_CLOSE,
    Breaker,
)
from services.payments.machine.events import AnswerKind

_ANSWERS: list[AnswerKind] = ["confirmed", "declined", "pending", "not_found"]
_FAILURES: list[AnswerKind] = ["unknown", "unsent"]


def after(breaker: Breaker, *kinds: AnswerKind, at: float = 0.0) -> Breaker:
    for kind in kinds:
        breaker = breaker.noted(kind, at)
    return breaker


@given(st.lists(st.sampled_from(_ANSWERS)))
def test_whatever_a_bank_answers_it_stays_closed(kinds: list[AnswerKind]) -> None:
    assert "closed" == after(Breaker(), *kinds).state(0)


@given(st.lists(st.sampled_from(_FAILURES), min_size=IN_A_ROW, max_size=IN_A_ROW))
def test_so_many_failures_in_a_row_open_it(kinds: list[AnswerKind]) -> None:
    assert "closed" == after(Breaker(), *kinds[:-1]).state(0)
    assert "open" == after(Breaker(), *kinds).state(0)


def test_half_of_the_last_calls_open_it() -> None:
    alternating: list[AnswerKind] = ["confirmed", "unknown"] * FAILED_MIN

    assert "closed" == after(Breaker(), *alternating[:-1]).state(0)
    assert "open" == after(Breaker(), *alternating).state(0)


def test_old_failures_are_forgotten() -> None:
    few: list[AnswerKind] = ["unknown", "confirmed"] * (FAILED_MIN - 1)
    good: list[AnswerKind] = ["confirmed"] * REMEMBERED

    assert Breaker(known=REMEMBERED) == after(Breaker(), *few, *good)


def test_it_is_half_open_after_a_while_and_closes_after_successes() -> None:
    opened = after(Breaker(), *["unsent"] * IN_A_ROW)
    tried = after(opened, *["confirmed"] * (SUCCESSES_TO_CLOSE - 1), at=OPEN_S_MIN)

    assert ["open", "half_open"] == [opened.state(at) for at in (OPEN_S_MIN - 0.1, OPEN_S_MIN)]
    assert "half_open" == tried.state(OPEN_S_MIN)
    assert Breaker() == after(tried, "declined", at=OPEN_S_MIN)


def test_a_failed_probe_doubles_the_wait_up_to_a_minute() -> None:
    breaker, at, waits = after(Breaker(), *["unsent"] * IN_A_ROW), 0.0, []
    for _ in range(6):
        at += breaker.open_s
        assert "half_open" == breaker.state(at)
        breaker = after(breaker, "unknown", at=at)
        assert "open" == breaker.state(at)
        waits.append(breaker.open_s)

    assert [10.0, 20.0, 40.0, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX] == waits


def test_late_answers_to_earlier_calls_change_nothing_while_it_is_open() -> None:
    opened = after(Breaker(), *["unsent"] * IN_A_ROW)

    assert opened == after(opened, "unknown", "confirmed", "unsent", at=1.0)


@given(st.lists(st.tuples(st.sampled_from(_ANSWERS + _FAILURES), st.floats(0, 100))))
def test_it_is_never_open_for_longer_than_its_most(calls: list[tuple[AnswerKind, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for kind, passed in calls:
        now += passed
        breaker = breaker.noted(kind, now)

    assert breaker.state(now + OPEN_S_MAX) != "open"

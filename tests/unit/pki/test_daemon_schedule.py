"""When the daemon acts: at half of a life give or take a tenth, never too often, never not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.crl import list_is_due
from pki.daemon.clock import JUMP_S_MAX, STABLE_S, ClockGuard
from pki.daemon.schedule import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    LOOK_S_MAX,
    LOOK_S_MIN,
    Attempts,
    backoff_s,
    jitter,
    leaf_is_due,
    leaf_renewal_at,
    list_renewal_at,
    next_look_s,
)
from pki.inventory import LeafRecord
from tests.unit.pki.daemon_certificates import leaf, revocation_list

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
FAR = NOW + timedelta(days=180)
MOMENT = timedelta(seconds=1)
serials = st.integers(min_value=1 << 158, max_value=(1 << 159) - 1)


def due(record: LeafRecord, now: datetime, issuer_end: datetime = FAR, *, jittered: bool = True) -> bool:
    return leaf_is_due(record, issuer_end, now, jittered=jittered)


@given(serials)
def test_a_leaf_is_renewed_at_half_of_its_life_or_up_to_a_tenth_earlier(serial: int) -> None:
    age = (leaf_renewal_at(leaf(NOW, WEEK, serial)) - NOW) / WEEK

    assert 0.45 <= age <= 0.5


@given(serials, st.timedeltas(timedelta(0), WEEK - MOMENT))
def test_it_is_due_from_its_own_moment_on_and_not_before(serial: int, age: timedelta) -> None:
    certificate = leaf(NOW, WEEK, serial)
    record = LeafRecord("gateway", certificate, ())

    assert (NOW + age >= leaf_renewal_at(certificate)) == due(record, NOW + age)


def test_a_fleet_that_was_issued_at_once_is_not_renewed_at_once() -> None:
    places = sorted(jitter((1 << 158) + number) for number in range(1000))
    fifths = [sum(-1 + k * 0.4 <= place < -0.6 + k * 0.4 for place in places) for k in range(5)]

    assert all(150 < count < 250 for count in fifths)
    assert -1 <= places[0] < places[-1] < 1


@pytest.mark.parametrize(
    "record",
    [
        LeafRecord("gateway", None, ("there is no certificate yet",)),
        LeafRecord("gateway", leaf(NOW, WEEK), ("the trust bundle is not the one of now",)),
        LeafRecord("gateway", leaf(NOW - WEEK, WEEK), ()),
        LeafRecord("gateway", leaf(NOW - 2 * WEEK, WEEK), ()),
        LeafRecord("gateway", leaf(NOW + MOMENT, WEEK), ()),
    ],
    ids=["missing", "faulty", "expiring now", "expired", "not valid yet"],
)
@pytest.mark.parametrize("jittered", [True, False])
def test_missing_faulty_and_expired_leaves_are_all_due(record: LeafRecord, jittered: bool) -> None:
    assert due(record, NOW, jittered=jittered)


def test_a_single_pass_renews_what_status_calls_due() -> None:
    record = LeafRecord("gateway", leaf(NOW, WEEK), ())

    assert [False, True] == [due(record, NOW + WEEK / 2 + x, jittered=False) for x in (-MOMENT, MOMENT)]


def test_a_leaf_that_ends_with_its_issuer_is_not_renewed_over_and_over() -> None:
    certificate = leaf(NOW, WEEK)
    record = LeafRecord("gateway", certificate, ())
    end = certificate.not_valid_after_utc
    late = end - MOMENT

    assert (False, True) == (due(record, late, end), due(record, late, end + MOMENT))


@given(st.timedeltas(timedelta(minutes=1), timedelta(days=400)), st.sampled_from(["root-", "intermediate-"]))
def test_a_list_is_signed_anew_exactly_when_it_is_due(life: timedelta, role: str) -> None:
    authority = f"{role}20261125-00000000"
    found = revocation_list(NOW, life)
    at = list_renewal_at(found, authority)

    assert at is not None
    assert (False, True) == (list_is_due(found, authority, at - MOMENT), list_is_due(found, authority, at))


@given(st.lists(st.timedeltas(-WEEK, WEEK)))
def test_the_next_look_is_neither_too_soon_nor_too_late(lefts: list[timedelta]) -> None:
    wait = next_look_s([NOW + left for left in lefts], NOW)
    ahead = [left.total_seconds() for left in lefts if left > timedelta(0)]

    assert LOOK_S_MIN <= wait <= LOOK_S_MAX
    assert all(wait <= max(left, LOOK_S_MIN) for left in ahead)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_what_fails_is_left_alone_for_longer_each_time_up_to_a_bound(failures: int, draw: float) -> None:
    wait = backoff_s(failures, draw)

    assert BACKOFF_S_MIN / 2 <= wait <= BACKOFF_S_MAX
    assert wait <= backoff_s(failures + 1, draw)


def test_what_failed_may_be_tried_again_after_its_time_and_at_once_after_a_success() -> None:
    attempts = Attempts()
    wait = attempts.failed("renew", 100.0, 1.0)

    assert (True, wait) == (attempts.may("lists", 100.0), attempts.next_s(100.0))
    assert [False, True] == [attempts.may("renew", 100.0 + wait + x) for x in (-0.001, 0.001)]
    attempts.succeeded("renew")
    assert (True, None) == (attempts.may("renew", 100.0), attempts.next_s(100.0))
    assert wait == attempts.failed("renew", 200.0, 1.0)


@given(st.floats(JUMP_S_MAX + 1, 1e9), st.booleans())
def test_after_a_jump_nothing_is_signed_until_the_clock_was_left_alone(size: float, back: bool) -> None:
    guard = ClockGuard()
    jump = -min(size, 1e9) if back else size
    guard.observe(NOW, 0.0)
    seen = guard.observe(NOW + timedelta(seconds=60 + jump), 60.0)

    assert seen == pytest.approx(jump, abs=0.01)
    assert [False, True] == [guard.stable(60.0 + STABLE_S + x) for x in (-1, 0)]
    assert (1, seen) == (guard.jumps, guard.last_jump_s)


def test_a_second_jump_begins_the_time_anew() -> None:
    guard = ClockGuard()
    guard.observe(NOW, 0.0)
    guard.observe(NOW + timedelta(hours=1), 1.0)
    guard.observe(NOW + timedelta(seconds=100), 100.0)

    assert (2, False, True) == (guard.jumps, guard.stable(STABLE_S + 99), guard.stable(STABLE_S + 100))


@given(st.lists(st.floats(0.1, 3600), min_size=1, max_size=50), st.floats(-0.05, 0.05))
def test_a_clock_that_is_slewed_or_sleeps_along_is_believed(waits: list[float], slew: float) -> None:
    guard, steady, wall = ClockGuard(), 0.0, NOW
    for wait in waits:
        assert guard.observe(wall, steady) is None
        steady += wait
        wall += timedelta(seconds=wait * (1 + slew))

    assert guard.stable(steady)


def test_many_small_steps_within_a_short_time_are_a_jump() -> None:
    guard = ClockGuard()
    seen = [guard.observe(NOW + timedelta(seconds=step * 101), step * 1.0) for step in range(5)]

    assert [None, None, None, None, 400.0] == seen

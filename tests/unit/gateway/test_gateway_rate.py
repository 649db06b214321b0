from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.rate import (
    DEBT_BURSTS_MAX,
    SECOND_US,
    UNKNOWN_SOURCE,
    Rate,
    charge,
    judge,
    rate_limit_fields,
    source_of,
)

RATES = st.builds(Rate, st.just("merchant"), st.integers(1, 5000), st.integers(1, 5000))
PAUSES_US = st.lists(st.integers(0, 3 * SECOND_US), min_size=1, max_size=300)


def admitted(rate: Rate, moments_us: list[int]) -> list[int]:
    """The moments at which a request passed."""
    bucket, passed = 0, []
    for now_us in moments_us:
        if judge(rate, bucket, now_us=now_us).admitted:
            bucket = charge(rate, bucket, 1, now_us=now_us)
            passed.append(now_us)
    return passed


def moments(pauses_us: list[int]) -> list[int]:
    return [sum(pauses_us[: place + 1]) for place in range(len(pauses_us))]


@given(RATES, PAUSES_US)
def test_in_no_stretch_of_time_pass_more_than_a_burst_and_what_the_rate_adds(
    rate: Rate, pauses_us: list[int]
) -> None:
    passed = admitted(rate, moments(pauses_us))

    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch_us = passed[last] - passed[first]
            assert last - first + 1 <= rate.burst + stretch_us * rate.per_s / SECOND_US


@given(RATES, PAUSES_US)
def test_whoever_keeps_to_the_rate_is_never_refused(rate: Rate, pauses_us: list[int]) -> None:
    slow = moments([pause_us + rate.step_us for pause_us in pauses_us])

    assert slow == admitted(rate, slow)


@given(RATES, st.integers(0, 10**16))
def test_a_burst_passes_at_once_and_not_one_more(rate: Rate, now_us: int) -> None:
    full = charge(rate, 0, rate.burst - 1, now_us=now_us)

    assert judge(rate, full, now_us=now_us).admitted
    assert not judge(rate, charge(rate, full, 1, now_us=now_us), now_us=now_us).admitted


@given(RATES, st.integers(0, 10**13), st.integers(0, 10**7))
def test_what_is_told_about_waiting_and_remaining_is_true(rate: Rate, now_us: int, count: int) -> None:
    bucket = charge(rate, 0, count, now_us=now_us)
    verdict = judge(rate, bucket, now_us=now_us)

    assert judge(rate, bucket, now_us=now_us + verdict.wait_us).admitted
    assert verdict.wait_us == 0 or not judge(rate, bucket, now_us=now_us + verdict.wait_us - 1).admitted
    assert verdict.admitted == (verdict.remaining > 0) == (verdict.wait_us == 0)
    assert judge(rate, bucket, now_us=now_us + verdict.retry_after_s * SECOND_US).admitted
    passed = admitted_after(rate, bucket, now_us)
    assert verdict.remaining == passed


def admitted_after(rate: Rate, bucket: int, now_us: int) -> int:
    passed = 0
    while judge(rate, bucket, now_us=now_us).admitted:
        bucket, passed = charge(rate, bucket, 1, now_us=now_us), passed + 1
    return passed


@given(RATES, st.integers(0, 10**13), st.lists(st.integers(0, 10**6), max_size=20))
def test_no_debt_is_longer_than_its_bound(rate: Rate, now_us: int, counts: list[int]) -> None:
    bucket = 0
    for count in counts:
        bucket = charge(rate, bucket, count, now_us=now_us)

    assert judge(rate, bucket, now_us=now_us).backlog_us <= DEBT_BURSTS_MAX * rate.depth_us


@given(RATES, st.integers(0, 10**13), st.integers(0, 100), st.integers(0, 100))
def test_counting_together_is_counting_one_after_the_other(
    rate: Rate, now_us: int, one: int, other: int
) -> None:
    apart = charge(rate, charge(rate, 0, one, now_us=now_us), other, now_us=now_us)

    assert apart == charge(rate, 0, one + other, now_us=now_us)


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (1, 0), (-1, 1), (1_000_001, 1), (1, 1_000_001)])
def test_a_rate_that_nobody_can_mean_is_refused(per_s: int, burst: int) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        Rate("merchant", per_s, burst)


def test_the_fields_say_policy_and_rest_in_the_drafts_form() -> None:
    rate = Rate("merchant", 200, 400)
    fields = rate_limit_fields(judge(rate, charge(rate, 0, 100, now_us=7), now_us=7))

    assert (("RateLimit-Policy", '"merchant";q=400;w=2'), ("RateLimit", '"merchant";r=300;t=1')) == fields


@given(RATES, st.integers(0, 10**6))
def test_the_fields_are_structured_fields_whatever_the_numbers(rate: Rate, count: int) -> None:
    for _, value in rate_limit_fields(judge(rate, charge(rate, 0, count, now_us=0), now_us=0)):
        assert re.fullmatch(r'"merchant";[qr]=[0-9]{1,15};[wt]=[0-9]{1,15}', value)


@pytest.mark.parametrize(
    ("forwarded_for", "source"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["2001:db8:1:2::1"], "2001:db8:1:2::/64"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        ([], UNKNOWN_SOURCE),
        (["198.51.100.7", "198.51.100.8"], UNKNOWN_SOURCE),
        (["198.51.100.7, 198.51.100.8"], UNKNOWN_SOURCE),
        (["198.51.100.7:80"], UNKNOWN_SOURCE),
        (["merchant.example"], UNKNOWN_SOURCE),
        (["١.2.3.4"], UNKNOWN_SOURCE),
    ],
)
def test_a_source_is_an_address_or_an_ipv6_network(forwarded_for: list[str], source: str) -> None:
    assert source == source_of(forwarded_for)


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_text_is_some_source(forwarded_for: list[str]) -> None:
    assert len(source_of(forwarded_for)) <= len("ffff:ffff:ffff:ffff::/64")

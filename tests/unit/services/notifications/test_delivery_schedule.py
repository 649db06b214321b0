"""What follows an attempt: retries, patience, giving up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.schedule import (
    ATTEMPTS_MAX,
    DELAYS_S,
    RETRY_AFTER_S_MAX,
    Answered,
    Dead,
    Delivered,
    EndpointGone,
    Retry,
    Unanswered,
    decide_next,
    parse_retry_after,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
jitters = st.floats(0, 1, exclude_max=True)
attempts = st.one_of(
    st.builds(Answered, st.integers(100, 599), st.none() | st.floats()),
    st.just(Unanswered("timed-out")),
)


def test_the_whole_schedule_spans_75_hours_and_35_minutes() -> None:
    assert (75 * 60 + 35) * 60 + 5 == sum(DELAYS_S)


@given(st.integers(200, 299), st.integers(1, 50), st.integers(0, 50), jitters)
def test_an_acknowledgement_always_ends_it(status: int, made: int, refusals: int, jitter: float) -> None:
    verdict = decide_next(Answered(status), attempts_made=made, refusals_made=refusals, jitter=jitter)

    assert Delivered() == verdict


@given(attempts, st.integers(1, 50), st.integers(0, 50), jitters)
def test_a_retry_is_never_early_and_never_later_than_a_day_and_a_fifth(
    attempt: Answered | Unanswered, made: int, refusals: int, jitter: float
) -> None:
    verdict = decide_next(attempt, attempts_made=made, refusals_made=refusals, jitter=jitter)

    if isinstance(verdict, Retry):
        assert made < ATTEMPTS_MAX
        assert 0.8 * DELAYS_S[made] <= verdict.after_s <= max(1.2 * DELAYS_S[made], RETRY_AFTER_S_MAX)


@given(attempts, st.integers(ATTEMPTS_MAX, 99), jitters)
def test_after_the_last_attempt_there_is_no_retry(
    attempt: Answered | Unanswered, made: int, jitter: float
) -> None:
    verdict = decide_next(attempt, attempts_made=made, refusals_made=0, jitter=jitter)

    assert not isinstance(verdict, Retry)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 499])
def test_a_refusal_is_retried_three_times(status: int) -> None:
    verdicts = [
        decide_next(Answered(status), attempts_made=n + 1, refusals_made=n, jitter=0.5) for n in range(4)
    ]

    assert [Retry(5.0, True), Retry(300.0, True), Retry(1800.0, True), Dead()] == verdicts  # fmt: skip


@pytest.mark.parametrize("status", [100, 301, 307, 429, 500, 502, 503, 504])
def test_other_failures_use_the_whole_schedule(status: int) -> None:
    for made in range(1, ATTEMPTS_MAX):
        verdict = decide_next(Answered(status), attempts_made=made, refusals_made=9, jitter=0.5)

        assert Retry(float(DELAYS_S[made]), refused=False) == verdict


def test_gone_is_gone() -> None:
    verdict = decide_next(Answered(410), attempts_made=1, refusals_made=0, jitter=0.0)

    assert EndpointGone() == verdict


@pytest.mark.parametrize(("wish", "after_s"), [(0.0, 5.0), (60.0, 60.0), (1e12, 21600.0), (None, 5.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_patience_is_granted_up_to_six_hours(status: int, wish: float | None, after_s: float) -> None:
    verdict = decide_next(Answered(status, wish), attempts_made=1, refusals_made=0, jitter=0.5)

    assert Retry(after_s, refused=False) == verdict


def test_retry_after_of_other_statuses_is_not_looked_at() -> None:
    verdict = decide_next(Answered(500, 9999.0), attempts_made=1, refusals_made=0, jitter=0.5)

    assert Retry(5.0, refused=False) == verdict


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("٣", None),
        ("9" * 65, None),
        ("Thu, 01 Jan 99999999 00:01:00 GMT", None),
    ],
)
def test_retry_after_has_two_forms(text: str | None, seconds: float | None) -> None:
    assert seconds == parse_retry_after(text, now=NOW)


@given(st.text(max_size=80) | st.from_regex(r"[0-9]{1,64}", fullmatch=True))
def test_no_text_of_a_peer_is_a_fault(text: str) -> None:
    wish = parse_retry_after(text, now=NOW)

    assert wish is None or wish >= 0

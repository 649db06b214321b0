from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.retries import (
    GiveUp,
    Pause,
    RetryPolicy,
    decide_retry,
    parse_http_date,
    parse_retry_after,
)

POLICY = RetryPolicy(attempts_max=5, total_s_max=60.0, first_pause_s=0.5, pause_s_max=4.0)
_policies = st.builds(
    RetryPolicy,
    attempts_max=st.integers(1, 50),
    total_s_max=st.floats(0, 1000),
    first_pause_s=st.floats(0.001, 10),
    pause_s_max=st.floats(0.001, 100),
)
_chances = st.floats(0, 1, exclude_max=True)


@given(
    policy=_policies,
    attempt=st.integers(1, 10_000),
    elapsed_s=st.floats(0, 2000),
    retryable=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 10_000),
    chance=_chances,
)
def test_no_decision_breaks_a_bound(
    policy: RetryPolicy,
    attempt: int,
    elapsed_s: float,
    retryable: bool,
    retry_after_s: float | None,
    chance: float,
) -> None:
    decided = decide_retry(
        policy, attempt=attempt, elapsed_s=elapsed_s, retryable=retryable,
        retry_after_s=retry_after_s, chance=chance,
    )  # fmt: skip
    if isinstance(decided, GiveUp):
        assert decided.reason
        return

    assert retryable
    assert attempt < policy.attempts_max
    assert elapsed_s + decided.seconds <= policy.total_s_max
    assert (retry_after_s or 0.0) <= decided.seconds <= (retry_after_s or 0.0) + policy.pause_s_max


@given(_policies, st.lists(_chances, min_size=60, max_size=60), st.floats(0, 5))
def test_whatever_happens_asking_ends_within_attempts_and_time(
    policy: RetryPolicy, chances: list[float], exchange_s: float
) -> None:
    elapsed_s, attempt = exchange_s, 1
    for chance in chances:
        decided = decide_retry(
            policy, attempt=attempt, elapsed_s=elapsed_s, retryable=True, retry_after_s=None, chance=chance
        )
        if isinstance(decided, GiveUp):
            break
        elapsed_s += decided.seconds + exchange_s
        attempt += 1

    assert isinstance(decided, GiveUp)
    assert attempt <= policy.attempts_max
    assert elapsed_s <= max(policy.total_s_max, 0.0) + exchange_s


@pytest.mark.parametrize(("attempt", "ceiling_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)])
def test_the_ceiling_doubles_up_to_its_bound_and_the_jitter_is_full(attempt: int, ceiling_s: float) -> None:
    pauses = [
        decide_retry(
            POLICY, attempt=attempt, elapsed_s=0.0, retryable=True, retry_after_s=None, chance=chance
        )
        for chance in (0.0, 0.5)
    ]

    assert [Pause(0.0), Pause(ceiling_s / 2)] == pauses


def test_retry_after_is_never_undercut_and_jitter_comes_on_top() -> None:
    decided = decide_retry(POLICY, attempt=1, elapsed_s=0.0, retryable=True, retry_after_s=7.0, chance=0.5)
    too_late = decide_retry(POLICY, attempt=1, elapsed_s=54.0, retryable=True, retry_after_s=7.0, chance=0.0)

    assert Pause(7.25) == decided
    assert isinstance(too_late, GiveUp)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("9999999999", None),
        ("٣", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:16:30 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:16:50 GMT", None),
        ("Thu, 31 Feb 1970 00:16:50 GMT", None),
        ("Thu, 01 Jan 0000 00:16:50 GMT", None),
        ("Thu, 01 Jan 1970 24:00:00 GMT", None),
    ],
)
def test_retry_after_has_two_forms_and_everything_else_is_absent(
    value: str | None, expected: float | None
) -> None:
    assert expected == parse_retry_after(value, now=1000.0)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_dates_are_read_as_the_standard_library_reads_them(at: datetime) -> None:
    moment = at.replace(tzinfo=UTC, microsecond=0)
    text = email.utils.format_datetime(moment, usegmt=True)

    assert moment.timestamp() == parse_http_date(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    parsed = parse_retry_after(text, now=0.0)

    assert parsed is None or parsed >= 0


@pytest.mark.parametrize(
    "values", [{"attempts_max": 0}, {"total_s_max": -1.0}, {"first_pause_s": 0.0}, {"pause_s_max": 0.0}],
    ids=str,
)  # fmt: skip
def test_a_policy_without_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="retry policy"):
        RetryPolicy(**values)

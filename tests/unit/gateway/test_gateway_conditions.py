from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.conditions import CONDITION_CHARS_MAX, entity_tag, matches, unchanged_type
from gateway.api.preferences import WAIT_S_MAX, wait_s


@pytest.mark.parametrize(
    "condition", ['"7"', 'W/"7"', '"6", "7"', '"6","7"', ' "7" ', "*", '"7", W/"8"', '"7",']
)
def test_a_condition_that_names_the_tag_matches(condition: str) -> None:
    assert matches(condition, '"7"')


@pytest.mark.parametrize(
    "condition", [None, "", "7", '"77"', '"', '""', '"7', '7"', '"8", "9"', 'w/"7"', '"7" "8"', '"7"x', "**"]
)
def test_any_other_condition_does_not(condition: str | None) -> None:
    assert not matches(condition, '"7"')


def test_a_condition_is_read_up_to_a_length() -> None:
    assert not matches('"7"'.rjust(CONDITION_CHARS_MAX + 1), '"7"')


@given(condition=st.text(max_size=40))
def test_no_condition_breaks_the_reading_of_it(condition: str) -> None:
    assert not matches(condition, '"7"') or "7" in condition or condition.strip() == "*"


@given(tags=st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=5))
def test_a_list_matches_exactly_what_is_in_it(tags: list[int]) -> None:
    condition = ", ".join(entity_tag(tag, None) for tag in tags)

    assert [tag in tags for tag in range(1, 21)] == [
        matches(condition, entity_tag(tag, None)) for tag in range(1, 21)
    ]


def test_an_older_shape_has_a_tag_of_its_own() -> None:
    assert ('"7"', '"7.2026-10-01"') == (entity_tag(7, None), entity_tag(7, "2026-10-01"))
    assert not matches('"7"', entity_tag(7, "2026-10-01"))


def test_what_an_unchanged_payment_is_answered_as_names_its_sequence() -> None:
    assert "application/json; sequence=7" == unchanged_type(7)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5), ("Wait=5", 5), ('wait="5"', 5), ("respond-async, wait=5", 5), ("wait=5;x=1", 5),
        ("wait = 5", 5), ("wait=5, wait=9", 5), ("wait=20", WAIT_S_MAX), ("wait=9999", WAIT_S_MAX),
        (None, 0), ("", 0), ("wait", 0), ("wait=0", 0), ("wait=-1", 0), ("wait=5.5", 0), ("wait=٣", 0),
        ("await=5", 0), ("wait=99999", 0), ("return=minimal", 0), (",,", 0),
    ],
)  # fmt: skip
def test_a_preference_to_wait_is_a_number_of_seconds_up_to_the_most(prefer: str | None, seconds: int) -> None:
    assert seconds == wait_s(prefer)


def test_nobody_waits_longer_than_the_process_may_hold_a_request() -> None:
    assert 3 == wait_s("wait=20", seconds_max=3.9)

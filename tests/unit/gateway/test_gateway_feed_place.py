from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.feed_place import (
    LATE_S_MAX,
    FeedPlace,
    Horizon,
    Mark,
    begin_at,
    parse_place,
    place_after,
)

MOMENTS = st.integers(0, 253_402_300_799_999_999).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
HORIZONS = st.builds(Horizon, xid=st.integers(0, 2**62), at=MOMENTS)
MARKS = st.builds(
    Mark, at=MOMENTS, payment_id=st.from_regex(r"pay_[a-z]{2}_[0-9a-z]{26}", fullmatch=True),
    sequence=st.integers(1, 2**29),
)  # fmt: skip
BEGINNINGS = st.builds(FeedPlace, HORIZONS)
WITHIN = st.builds(FeedPlace, HORIZONS, HORIZONS, MARKS)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@given(BEGINNINGS | WITHIN)
def test_a_place_is_read_as_it_was_written(place: FeedPlace) -> None:
    assert place == parse_place(str(place))
    assert len(str(place)) <= 160


@given(st.text(alphabet="f1.0923456789pay_euz", max_size=80) | st.text(max_size=40))
def test_any_other_text_is_no_place(text: str) -> None:
    place = parse_place(text)

    assert place is None or text == str(place)


@pytest.mark.parametrize(
    "text",
    ["", "f1", "f1.1", "f1.1.2.3", "f1.-1.2", "f1.1.2 ", "f1.1.2\n", "f1.1.253402300800000000", "f1.00.1"],
)
def test_malformed_places(text: str) -> None:
    assert parse_place(text) is None


def rows(count: int) -> list[dict[str, object]]:
    return [{"at": NOW, "payment_id": f"pay_eu_{n}", "sequence": n + 1} for n in range(count)]


def test_a_page_that_ends_its_batch_is_followed_by_the_next_batch() -> None:
    place, end = FeedPlace(Horizon(5, NOW)), Horizon(9, NOW)

    assert FeedPlace(end) == place_after(place, end, rows(3), limit=3) == place_after(place, end, [], limit=3)


def test_a_longer_batch_goes_on_behind_what_was_shown_and_keeps_its_end() -> None:
    place, end = FeedPlace(Horizon(5, NOW)), Horizon(9, NOW)

    following = place_after(place, end, rows(4), limit=3)

    assert FeedPlace(place.begin, end, Mark(NOW, "pay_eu_2", 3)) == following


def test_a_batch_may_have_what_committed_late_and_a_time_is_a_time() -> None:
    assert NOW - timedelta(seconds=LATE_S_MAX) == FeedPlace(Horizon(5, NOW)).oldest
    assert NOW == begin_at(int(NOW.timestamp())).oldest

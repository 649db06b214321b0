from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.entry import GENESIS, Entry, entry_hash
from gateway.audit.tally import (
    KEYS_NAMED_MAX,
    OTHERS,
    ROWS_PER_KEY_PER_WINDOW_MAX,
    ROWS_PER_WINDOW_MAX,
    WINDOW_S,
    Tally,
)

TEXTS = st.text(max_size=6)
ENTRIES = st.builds(
    Entry,
    at=st.datetimes(
        min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001 - hypothesis wants naive bounds
    ),
    kind=TEXTS, code=TEXTS, key_id=TEXTS, merchant_id=TEXTS, request_id=TEXTS, method=TEXTS, route=TEXTS,
    base_digest=st.binary(max_size=6), detail=TEXTS,
)  # fmt: skip


@given(ENTRIES, ENTRIES, st.integers(1, 3), st.integers(1, 3))
def test_rows_share_a_hash_only_if_they_are_the_same_row_in_the_same_place(
    one: Entry, two: Entry, here: int, there: int
) -> None:
    hashes = (
        entry_hash(one, position=here, previous=GENESIS),
        entry_hash(two, position=there, previous=GENESIS),
    )

    assert ((one, here) == (two, there)) == (hashes[0] == hashes[1])


@given(ENTRIES, st.binary(min_size=32, max_size=32))
def test_a_row_commits_to_the_one_before_it(entry: Entry, previous: bytes) -> None:
    same = entry_hash(entry, position=1, previous=GENESIS) == entry_hash(entry, position=1, previous=previous)

    assert (previous == GENESIS) == same


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=400))
def test_every_refusal_of_a_known_key_is_a_row_or_counted_and_rows_are_bounded(
    refusals: list[tuple[str, float]],
) -> None:
    tally, now = Tally(now=0.0), 0.0
    rows: Counter[tuple[str, int]] = Counter()
    total_rows = 0
    for key_id, later in refusals:
        now += later / 100
        if tally.admits_row(key_id, now=now):
            total_rows += 1
            rows[key_id, int(now // (2 * WINDOW_S))] += 1

    summary = json.loads(tally.take_summary() or '{"beyond_bound":{}}')
    assert len(refusals) == total_rows + sum(summary["beyond_bound"].values())
    # Two windows of one length each touch at most three of the fixed ones.
    assert all(count <= 3 * ROWS_PER_KEY_PER_WINDOW_MAX for count in rows.values())


def test_a_key_gets_rows_again_in_the_next_window() -> None:
    tally = Tally(now=0.0)
    first = [tally.admits_row("a", now=1.0) for _ in range(ROWS_PER_KEY_PER_WINDOW_MAX + 1)]

    again = tally.admits_row("a", now=WINDOW_S)

    assert [True] * ROWS_PER_KEY_PER_WINDOW_MAX + [False] == first
    assert again is True


def test_one_key_cannot_use_up_the_rows_of_another() -> None:
    tally = Tally(now=0.0)
    for _ in range(10 * ROWS_PER_KEY_PER_WINDOW_MAX):
        tally.admits_row("loud", now=0.0)

    assert tally.admits_row("quiet", now=0.0) is True


def test_beyond_so_many_keys_they_share_one_line() -> None:
    tally = Tally(now=0.0)
    for number in range(KEYS_NAMED_MAX + 5):
        for _ in range(ROWS_PER_KEY_PER_WINDOW_MAX + 1):
            tally.admits_row(f"key-{number}", now=0.0)

    beyond = json.loads(tally.take_summary() or "{}")["beyond_bound"]
    assert KEYS_NAMED_MAX + 1 == len(beyond)
    # By then the bound over all keys is reached, so that the last five got no row at all.
    assert 5 * (ROWS_PER_KEY_PER_WINDOW_MAX + 1) == beyond[OTHERS]


def test_rows_are_bounded_over_all_keys_and_anew_in_each_window() -> None:
    tally = Tally(now=0.0)
    keys = [f"key-{number}" for number in range(2 * ROWS_PER_WINDOW_MAX)]

    first = sum(tally.admits_row(key, now=0.0) for key in keys)
    second = sum(tally.admits_row(key, now=WINDOW_S) for key in keys)

    assert (ROWS_PER_WINDOW_MAX, ROWS_PER_WINDOW_MAX) == (first, second)


@given(st.lists(st.sampled_from(["key_unknown", "signature_missing"]), min_size=1))
def test_a_summary_that_was_given_back_is_taken_whole_again(codes: list[str]) -> None:
    tally = Tally(now=0.0)
    for code in codes:
        tally.count(code)
    taken = tally.take_summary()
    assert taken is not None
    tally.give_back(taken)

    assert taken == tally.take_summary()
    assert json.loads(taken)["without_known_key"] == dict(Counter(codes))


def test_a_quiet_time_has_no_summary() -> None:
    tally = Tally(now=0.0)
    tally.admits_row("a", now=0.0)

    assert tally.take_summary() is None

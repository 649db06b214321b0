"""Counting in buckets: a batch counts as its payments one by one, and nothing falls out of a window early."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fraud.inputs import Facts, Question, key_of
from services.fraud.velocity import (
    AHEAD_MAX,
    GRAINS_S,
    LATE_MAX,
    Increment,
    Seen,
    Tally,
    ask_of,
    forgotten_before_s,
    is_timely,
)
from tests.unit.services.fraud.rule_samples import NOON, facts

QUESTIONS = (
    Question("instrument", None, None, 600),
    Question("instrument", "payout", "EUR", 86400),
    Question("merchant", "collect", None, 3600),
    Question("merchant", None, "EUR", 604800),
)


class Buckets:
    """What PostgreSQL does with increments and asks, in memory."""

    def __init__(self) -> None:
        self.rows: list[Increment] = []

    def screen(self, batch: Sequence[Facts]) -> list[dict[str, int]]:
        asks = list(dict.fromkeys(ask_of(said, question) for said in batch for question in QUESTIONS))
        sums: dict[tuple[int, str, str], list[int]] = {}
        for index, ask in enumerate(asks):
            for row in self.rows:
                if (row.key, row.grain_s) == (ask.key, ask.grain_s) and row.start_s >= ask.start_s:
                    found = sums.setdefault((index, row.kind, row.currency), [0, 0])
                    found[0] += row.count
                    found[1] += row.sum_minor
        tally = Tally(asks, [Seen(asks[i], kind, currency, *n) for (i, kind, currency), n in sums.items()])
        answers = []
        for said in batch:
            tally.add(said)
            answers.append(tally.answers(said, QUESTIONS))
        self.rows += tally.increments()
        return answers


_PAYMENT = st.builds(
    lambda index, ago_s, amount, kind, currency, instrument: facts(
        f"pay_{index}",
        accepted_at=NOON - timedelta(seconds=ago_s),
        amount_minor=amount,
        kind=kind,
        currency=currency,
        instrument=instrument,
    ),
    st.integers(0, 10**9), st.integers(0, 90_000), st.integers(1, 1000),
    st.sampled_from(["collect", "payout"]), st.sampled_from(["EUR", "USD"]),
    st.sampled_from(["tok_a", "tok_b"]),
)  # fmt: skip


@given(payments=st.lists(_PAYMENT, max_size=12), cut=st.integers(0, 12))
def test_a_batch_sees_what_its_payments_would_have_seen_one_by_one(payments: list[Facts], cut: int) -> None:
    one_by_one, batched = Buckets(), Buckets()
    wanted = [one_by_one.screen([said])[0] for said in payments]

    assert wanted == batched.screen(payments[:cut]) + batched.screen(payments[cut:])


@given(payments=st.lists(_PAYMENT, min_size=1, max_size=12))
def test_every_payment_of_a_window_is_seen(payments: list[Facts]) -> None:
    answers = Buckets().screen(payments)[-1]
    last = payments[-1]
    for question in QUESTIONS:
        inside = [
            said
            for said in payments
            if key_of(said, question.subject) == key_of(last, question.subject)
            and question.payment in (None, said.kind)
            and question.currency in (None, said.currency)
            and last.accepted_at - timedelta(seconds=question.window_s) <= said.accepted_at
        ]
        exact = len(inside) if question.currency is None else sum(said.amount_minor for said in inside)

        assert exact <= answers[question.name]


def test_what_lies_a_bucket_before_the_window_is_not_seen() -> None:
    buckets = Buckets()
    buckets.screen([facts("pay_old", accepted_at=NOON - timedelta(seconds=661))])

    assert 1 == buckets.screen([facts("pay_new")])[0]["instrument/any/count/600"]


@pytest.mark.parametrize("grain_s", GRAINS_S)
def test_no_bucket_of_a_window_that_can_be_asked_for_is_forgotten(grain_s: int) -> None:
    window_s = 3600 if grain_s == 60 else 604800
    oldest = facts(accepted_at=NOON - LATE_MAX)

    assert (
        forgotten_before_s(grain_s, NOON)
        <= ask_of(oldest, Question("merchant", None, None, window_s)).start_s
    )


def test_what_comes_a_day_late_or_from_the_future_cannot_be_counted() -> None:
    assert is_timely(NOON - LATE_MAX, NOON)
    assert not is_timely(NOON - LATE_MAX - timedelta(seconds=1), NOON)
    assert is_timely(NOON + AHEAD_MAX, NOON)
    assert not is_timely(NOON + AHEAD_MAX + timedelta(seconds=1), NOON)

"""Counting within windows, in buckets of a minute and of an hour (pure).

A window of up to an hour is made of minutes, a longer one of hours: at most 61 and 169 rows are read, however
many payments there are. A window begins with the whole bucket that its start falls into and has no end: a
payment that is screened out of turn sees more, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from services.fraud.inputs import Facts, Question, key_of
from services.fraud.rules import HOUR_S, MINUTE_S, WINDOW_S_MAX, Subject

GRAINS_S = (MINUTE_S, HOUR_S)
SUBJECTS: tuple[Subject, ...] = ("instrument", "merchant")
# How late a payment may be screened and still see whole windows; buckets are kept for as long.
LATE_MAX = timedelta(days=1)
# Clocks of one cell differ by milliseconds; one that is a minute ahead would see an emptier window.
AHEAD_MAX = timedelta(minutes=1)

_KeyT = TypeVar("_KeyT")


class Ask(msgspec.Struct, frozen=True):
    """One sum to read: a key's buckets of one grain, from the bucket that begins at `start_s` on."""

    key: bytes
    grain_s: int
    start_s: int


class Seen(msgspec.Struct, frozen=True):
    """A part of the answer to an ask: payments of one kind and currency."""

    ask: Ask
    kind: str
    currency: str
    count: int
    sum_minor: int


class Increment(msgspec.Struct, frozen=True, order=True):
    """What one bucket grows by."""

    key: bytes
    grain_s: int
    start_s: int
    kind: str
    currency: str
    count: int
    sum_minor: int


def is_timely(accepted_at: datetime, now: datetime) -> bool:
    """Whether the windows before `accepted_at` can still, and already, be told."""
    return now - LATE_MAX <= accepted_at <= now + AHEAD_MAX


def forgotten_before_s(grain_s: int, now: datetime) -> int:
    """Buckets of this grain that begin before this second are in no window any more."""
    longest_s = HOUR_S if grain_s == MINUTE_S else WINDOW_S_MAX
    return int((now - LATE_MAX).timestamp()) - longest_s - grain_s


def ask_of(facts: Facts, question: Question) -> Ask:
    """What has to be read to answer a question about a payment."""
    grain_s = MINUTE_S if question.window_s <= HOUR_S else HOUR_S
    start_s = _bucket(int(facts.accepted_at.timestamp()) - question.window_s, grain_s)
    return Ask(key_of(facts, question.subject), grain_s, start_s)


class Tally:
    """The numbers of one batch: what was stored before it, and its own payments one after the other."""

    def __init__(self, asks: Iterable[Ask], stored: Iterable[Seen]) -> None:
        self._numbers: dict[Ask, dict[tuple[str, str], list[int]]] = {ask: {} for ask in asks}
        self._asks_of: dict[bytes, list[Ask]] = {}
        for ask in self._numbers:
            self._asks_of.setdefault(ask.key, []).append(ask)
        for seen in stored:
            self._numbers[seen.ask][seen.kind, seen.currency] = [seen.count, seen.sum_minor]
        self._grown: dict[tuple[bytes, int, int, str, str], list[int]] = {}

    def add(self, facts: Facts) -> None:
        """Count a payment, for itself and for those after it."""
        at_s = int(facts.accepted_at.timestamp())
        for subject in SUBJECTS:
            key = key_of(facts, subject)
            for ask in self._asks_of.get(key, ()):
                if at_s >= ask.start_s:
                    _grow(self._numbers[ask], (facts.kind, facts.currency), facts.amount_minor)
            for grain_s in GRAINS_S:
                bucket = (key, grain_s, _bucket(at_s, grain_s), facts.kind, facts.currency)
                _grow(self._grown, bucket, facts.amount_minor)

    def answers(self, facts: Facts, questions: Sequence[Question]) -> dict[str, int]:
        """The numbers as they are now, by the questions' names."""
        answers = {}
        for question in questions:
            total = 0
            for (kind, currency), (count, sum_minor) in self._numbers[ask_of(facts, question)].items():
                if question.payment in (None, kind) and question.currency in (None, currency):
                    total += count if question.currency is None else sum_minor
            answers[question.name] = total
        return answers

    def increments(self) -> list[Increment]:
        """What the buckets have to grow by, in the order of their keys."""
        return sorted(Increment(*bucket, *grown) for bucket, grown in self._grown.items())


def _bucket(at_s: int, grain_s: int) -> int:
    return at_s - at_s % grain_s


def _grow(numbers: dict[_KeyT, list[int]], key: _KeyT, amount_minor: int) -> None:
    found = numbers.setdefault(key, [0, 0])
    found[0] += 1
    found[1] += amount_minor

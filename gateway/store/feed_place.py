"""Places in a merchant's feed, and what of it comes next (pure).

A feed is read in batches: what was decided between two looks at the record, oldest first. A place is a
batch's beginning; within a batch that is longer than a page, its end and the last event shown, too. Whoever
goes on from the place that an answer names meets each event once, whatever commits late.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# How much older than the moment of its commit an event may say that it is: a transaction is a handful of
# statements, each of which takes 5 s at most, as may a pause between them.
LATE_S_MAX = 60
_NUMBER = "(0|[1-9][0-9]{0,18})"
_PLACE = re.compile(
    rf"f1\.{_NUMBER}\.{_NUMBER}"
    rf"(?:\.{_NUMBER}\.{_NUMBER}\.{_NUMBER}\.(pay_[a-z0-9_]{{1,60}})\.([1-9][0-9]{{0,8}}))?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = 253_402_300_799_999_999  # The last microsecond of the year 9999, which is where datetime ends.


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the record is: transactions below `xid` have been decided; `at` is when that was so."""

    xid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """The last event shown of a batch that is not over."""

    at: datetime
    payment_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class FeedPlace:
    """A place in a feed.

    Attributes:
        begin: of the batch; a transaction of 0 stands for all that there is from that time on.
        end: of the batch, not included; None if it has not been looked at yet.
        mark: None at the batch's beginning.
    """

    begin: Horizon
    end: Horizon | None = None
    mark: Mark | None = None

    @property
    def oldest(self) -> datetime:
        """The time that nothing of the batch is older than."""
        if self.begin.xid == 0:
            return self.begin.at
        return self.begin.at - timedelta(seconds=LATE_S_MAX)

    def __str__(self) -> str:
        text = f"f1.{self.begin.xid}.{_us(self.begin.at)}"
        if self.end is None or self.mark is None:
            return text
        mark = self.mark
        return f"{text}.{self.end.xid}.{_us(self.end.at)}.{_us(mark.at)}.{mark.payment_id}.{mark.sequence}"


def parse_place(text: str) -> FeedPlace | None:
    """Return the place that `str` wrote; None if it did not."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    begin_xid, begin_us, end_xid, end_us, mark_us, payment_id, sequence = match.groups()
    if max(int(us) for us in (begin_us, end_us or "0", mark_us or "0")) > _US_MAX:
        return None
    begin = Horizon(int(begin_xid), _at(begin_us))
    if payment_id is None:
        return FeedPlace(begin)
    end = Horizon(int(end_xid), _at(end_us))
    return FeedPlace(begin, end, Mark(_at(mark_us), payment_id, int(sequence)))


def begin_at(epoch_s: int) -> FeedPlace:
    """Return the place before all that has happened since a time, in seconds since the epoch."""
    return FeedPlace(Horizon(0, _EPOCH + timedelta(seconds=epoch_s)))


def place_after(place: FeedPlace, end: Horizon, rows: Sequence[Any], *, limit: int) -> FeedPlace:
    """Return where to go on after a page.

    Args:
        place: where it begins.
        end: of the batch that it is of, not included.
        rows: up to `limit` + 1 of them, oldest first, with `at`, `payment_id` and `sequence`.
        limit: how many are shown.
    """
    if len(rows) <= limit:
        return FeedPlace(end)
    last = rows[limit - 1]
    return FeedPlace(place.begin, end, Mark(last["at"], last["payment_id"], last["sequence"]))


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _at(us: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(us))

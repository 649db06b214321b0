"""What a bank takes for a payment, exactly, by the schedule that is in force (pure).

The rule of rounding: the share of the amount is rounded to whole minor units, half a unit up; then the fixed
part is added; then the least and the most apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from services.payments.machine.model import Operation

# Hundredths of a percent; a bank that takes more than a fifth of a payment is a slip of the pen.
BPS_MAX = 2_000
_WHOLE_BPS = 10_000
# As large as a payment.
MINOR_MAX = 999_999_999_999
TIERS_MAX = 16

Bps: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=BPS_MAX)]
Minor: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MINOR_MAX)]
Currency: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
Word: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]


class Key(NamedTuple):
    """What a fee, and a route, depends on besides the amount; `region` is the payment's cell."""

    operation: Operation
    currency: str
    region: str
    instrument_class: str


class FeeSchedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of a bank's price list; an empty list of words means any.

    Attributes:
        currency: What is charged and in whose minor units the fee is reckoned.
        bps: Of the amount, in hundredths of a percent.
        max_minor: None where the fee has no upper end.
        tiers: `[from_minor, fixed_minor, bps]`, rising: the last one that begins at or below the amount takes
            the place of `fixed_minor` and `bps`, for the whole amount.
        valid_from, valid_to: Days in UTC; the first counts, the last does not. None: until further notice.
    """

    currency: Currency
    operations: tuple[Operation, ...] = ()
    regions: tuple[Word, ...] = ()
    instrument_classes: tuple[Word, ...] = ()
    fixed_minor: Minor = 0
    bps: Bps = 0
    min_minor: Minor = 0
    max_minor: Minor | None = None
    tiers: Annotated[tuple[tuple[Minor, Minor, Bps], ...], msgspec.Meta(max_length=TIERS_MAX)] = ()
    valid_from: date
    valid_to: date | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, with a sentence that says what to change."""
        if self.max_minor is not None and self.max_minor < self.min_minor:
            raise ValueError("max_minor is below min_minor; exchange them")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to is not after valid_from; the last day does not count")
        starts = [start for start, _, _ in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError("tiers do not rise; sort them by their first number")


def fee_minor(schedule: FeeSchedule, amount_minor: int) -> int:
    """The fee of an amount, in minor units of the schedule's currency."""
    fixed, bps = schedule.fixed_minor, schedule.bps
    if schedule.tiers:
        for start, tier_fixed, tier_bps in schedule.tiers:
            if start > amount_minor:
                break
            fixed, bps = tier_fixed, tier_bps
    fee = fixed + (2 * amount_minor * bps + _WHOLE_BPS) // (2 * _WHOLE_BPS)
    if fee < schedule.min_minor:
        return schedule.min_minor
    if schedule.max_minor is not None and fee > schedule.max_minor:
        return schedule.max_minor
    return fee


def schedule_for(schedules: Iterable[FeeSchedule], key: Key, now: datetime) -> FeeSchedule | None:
    """The schedule in force for a key: of those that match, the one that names most of it.

    Two that name as much are refused before (`overlaps`); without one the bank has told no price.
    """
    today = now.astimezone(UTC).date()
    matching = [s for s in schedules if _matches(s, key) and _is_valid(s, today)]
    return max(matching, key=_selectors, default=None)


def overlaps(schedules: Mapping[str, FeeSchedule]) -> list[str]:
    """Sentences about pairs that could both be in force for one payment and name equally much of it."""
    faults = []
    items = sorted(schedules.items())
    for index, (name, one) in enumerate(items):
        for other_name, other in items[index + 1 :]:
            if _selectors(one) == _selectors(other) and _meet(one, other):
                faults.append(f"fees {name} and {other_name} are both in force for the same payment")
    return faults


def _matches(schedule: FeeSchedule, key: Key) -> bool:
    return (
        schedule.currency == key.currency
        and _takes(schedule.operations, key.operation)
        and _takes(schedule.regions, key.region)
        and _takes(schedule.instrument_classes, key.instrument_class)
    )


def _takes(words: tuple[str, ...], word: str) -> bool:
    return not words or word in words


def _is_valid(schedule: FeeSchedule, today: date) -> bool:
    return schedule.valid_from <= today and (schedule.valid_to is None or today < schedule.valid_to)


def _selectors(schedule: FeeSchedule) -> int:
    return sum(map(bool, (schedule.operations, schedule.regions, schedule.instrument_classes)))


def _meet(one: FeeSchedule, other: FeeSchedule) -> bool:
    """Whether some payment on some day matches both."""
    pairs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (one.operations, other.operations),
        (one.regions, other.regions),
        (one.instrument_classes, other.instrument_classes),
    )
    words_meet = all(not a or not b or set(a) & set(b) for a, b in pairs)
    begins = max(one.valid_from, other.valid_from)
    days_meet = all(s.valid_to is None or begins < s.valid_to for s in (one, other))
    return one.currency == other.currency and words_meet and days_meet

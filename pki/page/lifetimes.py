"""What the plot of lives shows, and where on the axis: lanes, bars, ticks. Pure, without any drawing.

Authorities live for years and leaves for days, so each kind has an axis of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pki.inventory_report import AUTHORITY_ROLES, PAST, InventoryRow
from pki.profiles import INTERMEDIATE, LEAF, PROBE, ROOT
from pki.status import CRITICAL_PERCENT, DUE_PERCENT, Level

# What ended earlier is in the table; on the axis it would make the lives of now too short to read.
LEAF_PAST_SHOWN_MAX = 2 * LEAF.lifetime
# A daemon that renews every few minutes leaves hundreds; strips that lie on one another tell nothing.
LEAVES_BEFORE_MAX = 12
# An axis of no length has no scale.
_SPAN_MIN = timedelta(minutes=1)
# Air at both ends, so that no bar touches the frame.
_MARGIN_FRACTION = 0.015
_RENEW_AFTER = {profile.role: profile.renew_after for profile in (ROOT, INTERMEDIATE, LEAF, PROBE)}
_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 15, 60, 180, 360, 720, 1440, 2 * 1440, 3 * 1440, 7 * 1440, 14 * 1440)
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 36, 60, 120, 600, 1200, 6000, 12000, 60000)
_DAYS_PER_MONTH = 30.44
_MONTHS_PER_YEAR = 12


@dataclass(frozen=True, slots=True)
class Life:
    """One certificate's life: times are UTC; `past` is what no longer does anything."""

    begin: datetime
    end: datetime
    due: datetime
    critical: datetime
    level: Level
    past: bool
    row: InventoryRow


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the plot: a CA, or a workload with its leaf of now and those before it."""

    label: str
    now: Life | None
    before: tuple[Life, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lanes that share an axis."""

    title: str
    lanes: tuple[Lane, ...]
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Scale:
    """Time to place on an axis; whatever lies outside of it is put at its end."""

    begin: datetime
    end: datetime
    left: float
    width: float

    def at(self, instant: datetime) -> float:
        """Return the place of an instant."""
        part = (instant - self.begin) / max(self.end - self.begin, _SPAN_MIN)
        return self.left + self.width * min(1.0, max(0.0, part))


def life_of(row: InventoryRow, now: datetime) -> Life | None:
    """Return a row's life with the marks of its profile; None where its validity is unknown or none."""
    begin, end = row.not_before, row.not_after
    if begin is None or end is None or end <= begin:
        return None
    span = end - begin
    due = begin + min(_RENEW_AFTER[row.role], span * DUE_PERCENT / 100)
    critical = end - span * CRITICAL_PERCENT / 100
    past = row.state in PAST or row.state == "previous"
    level = Level.FINE
    if not past and (now >= critical or now < begin or row.revoked is not None):
        level = Level.CRITICAL
    elif not past and now >= due:
        level = Level.DUE
    return Life(begin, end, due, critical, level, past, row)


def panels(rows: Sequence[InventoryRow], now: datetime) -> tuple[Panel, ...]:
    """Return what to draw: authorities, then workloads; a kind of which nothing is known is left out."""
    lives = [life for row in rows if (life := life_of(row, now)) is not None]
    authorities = [
        Lane(life.row.subject or "unknown", None if life.past else life, (life,) if life.past else ())
        for life in lives
        if life.row.role in AUTHORITY_ROLES
    ]
    found = (
        _panel("Certificate authorities", authorities, None, now),
        _panel("Workloads", _leaf_lanes(lives), now - LEAF_PAST_SHOWN_MAX, now),
    )
    return tuple(panel for panel in found if panel is not None)


def ticks(begin: datetime, end: datetime, count_max: int) -> list[tuple[datetime, str]]:
    """Return at most `count_max` + 1 round instants within an axis, each with its label."""
    span = max(end - begin, _SPAN_MIN)
    for step in _STEPS:
        if span / step <= count_max:
            return _even_ticks(begin, end, step)
    months = span.total_seconds() / timedelta(days=_DAYS_PER_MONTH).total_seconds()
    step_months = next((step for step in _MONTH_STEPS if months / step <= count_max), _MONTH_STEPS[-1])
    return _month_ticks(begin, end, step_months)


def span_words(span: timedelta) -> str:
    """Return a length of time in at most two units, like `5 d 3 h`, `64 d`, `1 min 4 s`."""
    seconds = int(abs(span).total_seconds())
    units = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for place, (unit, length) in enumerate(units):
        if seconds < length:
            continue
        count, rest = divmod(seconds, length)
        # Hours do not matter beside a month of days.
        if place + 1 == len(units) or (unit == "d" and count >= 30):  # noqa: PLR2004 - a month of days
            return f"{count} {unit}"
        below, below_length = units[place + 1]
        return f"{count} {unit} {rest // below_length} {below}" if rest >= below_length else f"{count} {unit}"
    return "0 s"


def _panel(title: str, lanes: Sequence[Lane], earliest: datetime | None, now: datetime) -> Panel | None:
    shown = [life for lane in lanes for life in (*((lane.now,) if lane.now else ()), *lane.before)]
    if not shown:
        return None
    begin = min(now, *(life.begin for life in shown))
    if earliest is not None:
        begin = max(begin, earliest)
    end = max(now, *(life.end for life in shown))
    margin = max(end - begin, _SPAN_MIN) * _MARGIN_FRACTION
    return Panel(title, tuple(lanes), _shifted(begin, -margin), _shifted(end, margin))


def _leaf_lanes(lives: Iterable[Life]) -> list[Lane]:
    lanes: dict[str, list[Life]] = {}
    for life in lives:
        if life.row.role == "leaf":
            lanes.setdefault(life.row.subject or "unknown", []).append(life)
    found = []
    for name, members in sorted(lanes.items()):
        now = next((life for life in members if life.row.state == "current"), None)
        before = sorted(
            (life for life in members if life is not now), key=lambda life: life.end, reverse=True
        )
        # Who has nothing on disk is no workload of now: probes, and those that were removed.
        if any(life.row.place is not None for life in members):
            found.append(Lane(name, now, tuple(before[:LEAVES_BEFORE_MAX])))
    return found


def _even_ticks(begin: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, str]]:
    form = "%d %b" if step >= timedelta(days=1) else "%d %b %H:%M"
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    instant = epoch + -((epoch - begin) // step) * step
    found = []
    while instant <= end:
        found.append((instant, f"{instant:{form}}"))
        instant += step
    return found


def _month_ticks(begin: datetime, end: datetime, step: int) -> list[tuple[datetime, str]]:
    form = "%Y" if step >= _MONTHS_PER_YEAR else "%b %Y"
    first = begin.year * _MONTHS_PER_YEAR + begin.month - 1
    found = []
    for index in range(first - first % step, end.year * _MONTHS_PER_YEAR + end.month, step):
        year, month = divmod(index, _MONTHS_PER_YEAR)
        if year < 1:
            continue
        instant = datetime(year, month + 1, 1, tzinfo=UTC)
        if begin <= instant <= end:
            found.append((instant, f"{instant:{form}}"))
    return found


def _shifted(instant: datetime, span: timedelta) -> datetime:
    try:
        return instant + span
    except OverflowError:
        return instant

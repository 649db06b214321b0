"""Bars lie within their axis, ticks are few and round, and each mark is where its profile says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.inventory_report import InventoryRow
from pki.ledger_history import RevokedEntry
from pki.page.drawing import NARROW, WIDE, Layout, draw
from pki.page.lifetimes import (
    LEAF_PAST_SHOWN_MAX,
    LEAVES_BEFORE_MAX,
    Scale,
    life_of,
    panels,
    span_words,
    ticks,
)
from pki.status import Level

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def row(
    role: str = "leaf",
    state: str = "current",
    begin: timedelta = -DAY,
    life: timedelta = 7 * DAY,
    subject: str = "gateway",
) -> InventoryRow:
    return InventoryRow(role, subject, "", state, "ab", "ca", NOW + begin, NOW + begin + life, place="live/x")


@pytest.mark.parametrize(
    ("role", "days", "due", "critical"),
    [("leaf", 7, 3.5, 5 + 5 / 6), ("intermediate", 180, 90, 150), ("root", 1825, 365, 1825 * 5 / 6)],
)
def test_marks_follow_the_profile(role: str, days: int, due: float, critical: float) -> None:
    life = life_of(row(role, life=days * DAY), NOW)

    assert life is not None
    assert (due, critical) == pytest.approx(
        ((life.due - life.begin) / DAY, (life.critical - life.begin) / DAY)
    )


@pytest.mark.parametrize(
    ("begin", "level"),
    [
        (DAY, Level.CRITICAL),
        (-DAY, Level.FINE),
        (-4 * DAY, Level.DUE),
        (-6 * DAY, Level.CRITICAL),
        (-9 * DAY, Level.CRITICAL),
    ],
)
def test_a_life_is_judged_by_its_age(begin: timedelta, level: Level) -> None:
    life = life_of(row(begin=begin), NOW)

    assert life is not None
    assert level == life.level


def test_a_life_without_dates_is_not_drawn() -> None:
    unknown = InventoryRow("leaf", "gateway", None, "current", None, None, None, None, place="live/x")

    assert None is life_of(unknown, NOW)
    assert () == panels([unknown], NOW)


def test_authorities_and_workloads_have_axes_of_their_own() -> None:
    found = panels([row("root", "trusted", life=1825 * DAY, subject="root-1"), row()], NOW)

    assert ["Certificate authorities", "Workloads"] == [panel.title for panel in found]
    assert found[0].end - found[0].begin > 100 * (found[1].end - found[1].begin)


def test_a_workload_has_one_lane_with_its_leaves_of_before() -> None:
    leaves = [row(), row(state="previous", begin=-4 * DAY), row(state="expired", begin=-9 * DAY)]
    (panel,) = panels(leaves, NOW)

    assert ["gateway"] == [lane.label for lane in panel.lanes]
    assert 2 == len(panel.lanes[0].before)


def test_what_lies_nowhere_on_disk_has_no_lane() -> None:
    probe = InventoryRow("leaf", "probe", "", "not on disk", "ab", "ca", NOW, NOW + DAY)

    assert () == panels([probe], NOW)


def test_the_distant_past_does_not_squeeze_the_present() -> None:
    (panel,) = panels([row(), row(state="expired", begin=-900 * DAY)], NOW)

    assert NOW - panel.begin < LEAF_PAST_SHOWN_MAX + DAY


def test_a_busy_workload_shows_the_latest_of_before() -> None:
    old = [row(state="expired", begin=-9 * DAY + place * timedelta(hours=1)) for place in range(40)]
    (panel,) = panels([row(), *old], NOW)

    assert LEAVES_BEFORE_MAX == len(panel.lanes[0].before)
    assert NOW - 9 * DAY + timedelta(hours=39) == panel.lanes[0].before[0].begin


def test_a_revoked_leaf_is_critical_at_any_age() -> None:
    life = life_of(replace(row(), revoked=RevokedEntry(NOW, "superseded")), NOW)

    assert life is not None
    assert Level.CRITICAL == life.level


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=64), "1 min 4 s"),
        (timedelta(hours=3), "3 h"),
        (timedelta(days=5, hours=3, minutes=9), "5 d 3 h"),
        (timedelta(days=64, hours=3), "64 d"),
        (timedelta(days=365 * 4 + 268), "4 y 268 d"),
        (-timedelta(hours=9, minutes=36), "9 h 36 min"),
    ],
)
def test_a_span_is_said_in_two_units_at_most(span: timedelta, words: str) -> None:
    assert words == span_words(span)


_FIRST, _LAST = datetime(1950, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 - Hypothesis wants them so
_INSTANTS = st.datetimes(_FIRST, _LAST).map(lambda found: found.replace(tzinfo=UTC))
_STATES = st.sampled_from(["current", "previous", "expired", "superseded", "revoked", "not on disk"])


@st.composite
def _rows(draw_one: st.DrawFn) -> InventoryRow:
    role = draw_one(st.sampled_from(["leaf", "root", "intermediate"]))
    state = (
        draw_one(_STATES) if role == "leaf" else draw_one(st.sampled_from(["trusted", "issuing", "retired"]))
    )
    subject = draw_one(st.sampled_from("abc"))
    return InventoryRow(
        role, subject, "", state, "1", "ca", draw_one(_INSTANTS), draw_one(_INSTANTS), place="x"
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_rows(), max_size=8), _INSTANTS, st.sampled_from([WIDE, NARROW]))
def test_whatever_is_drawn_lies_within_the_axis(
    rows: list[InventoryRow], now: datetime, layout: Layout
) -> None:
    for panel in panels(rows, now):
        svg = ET.fromstring(draw(panel, layout, now))
        height = float(svg.attrib["viewBox"].split()[3])
        for shape in svg.iter():
            if shape.tag.endswith("rect"):
                begin, width = float(shape.attrib["x"]), float(shape.attrib["width"])
                assert layout.left - 0.01 <= begin
                assert begin + width <= layout.right + 0.01
                assert width > 0 or "rest" in shape.attrib["class"]
            elif shape.tag.endswith("circle"):
                assert layout.left <= float(shape.attrib["cx"]) <= layout.right
            elif shape.tag.endswith("line"):
                assert 0 <= float(shape.attrib["x1"]) <= float(shape.attrib["x2"]) <= layout.width
                assert 0 <= float(shape.attrib["y1"]) <= float(shape.attrib["y2"]) <= height
            elif shape.tag.endswith("text"):
                assert 0 <= float(shape.attrib["x"]) <= layout.width
                assert 0 <= float(shape.attrib["y"]) <= height


@settings(deadline=None)
@given(_INSTANTS, _INSTANTS, st.integers(2, 12))
def test_ticks_are_few_ordered_and_within_the_axis(one: datetime, other: datetime, count_max: int) -> None:
    begin, end = sorted((one, other))
    found = [instant for instant, _ in ticks(begin, end, count_max)]

    assert sorted(set(found)) == found
    assert all(begin <= instant <= end for instant in found)
    assert len(found) <= count_max + 2


@given(_INSTANTS, _INSTANTS, _INSTANTS)
def test_a_scale_keeps_order_and_bounds(begin: datetime, end: datetime, instant: datetime) -> None:
    begin, end = sorted((begin, end))
    scale = Scale(begin, end, left=10, width=100)

    assert 10 <= scale.at(instant) <= 110
    assert scale.at(min(instant, end)) <= scale.at(end)


def test_the_remaining_life_begins_at_now() -> None:
    (panel,) = panels([row(begin=-2 * DAY)], NOW)
    svg = ET.fromstring(draw(panel, WIDE, NOW))
    place = {shape.attrib.get("class", ""): shape for shape in svg.iter()}
    line, rest, whole = place["now"], place["rest fine"], place["life fine"]

    assert float(line.attrib["x1"]) == float(rest.attrib["x"])
    assert 5 / 7 == pytest.approx(float(rest.attrib["width"]) / float(whole.attrib["width"]), abs=1e-3)

"""The plot of lives as inline SVG: one drawing for wide screens and paper, one for narrow ones. Pure.

Shape says what colour says: a ring where renewal is due, a diamond where it becomes critical, a mark before
each name. Everything in it stands in a table below it, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pki.page.lifetimes import Lane, Life, Panel, Scale, span_words, ticks
from pki.page.markup import Attributes, Markup, element, joined
from pki.status import Level

MARKS = {Level.FINE: "√", Level.DUE: "!", Level.CRITICAL: "×"}
# A bar that is thinner cannot be seen, let alone pointed at.
_BAR_WIDTH_MIN = 1.5
_FOOT_HEIGHT = 12
# A label nearer than this to an end of the axis grows inwards, so that none leaves the drawing.
_LABEL_HALF_WIDTH = 30
_NOW_HALF_WIDTH = 15


@dataclass(frozen=True, slots=True)
class Layout:
    """Lengths in SVG units.

    Attributes:
        name: its class in the style.
        width: of the whole drawing.
        left: where the axis begins.
        right: where it ends.
        head: height above the lanes.
        row: height of a lane.
        bar: where in a lane the bar begins.
        label: where in a lane the words stand.
        ticks_max: labels that fit on the axis.
    """

    name: str
    width: int
    left: int
    right: int
    head: int
    row: int
    bar: int
    label: int
    ticks_max: int


WIDE = Layout("wide", width=1080, left=222, right=884, head=46, row=25, bar=6, label=16, ticks_max=8)
NARROW = Layout("narrow", width=360, left=4, right=356, head=64, row=42, bar=20, label=13, ticks_max=4)
_BAR_HEIGHT = 10
_STRIP_HEIGHT = 2.5
# Renewal at half of a life makes each leaf overlap with the next: two strips keep them apart.
_STRIPS = 2


def draw(panel: Panel, layout: Layout, now: datetime) -> Markup:
    """Return one panel as an SVG element."""
    height = layout.head + len(panel.lanes) * layout.row + _FOOT_HEIGHT
    scale = axis(panel, layout)
    summary = f"{panel.title}: {len(panel.lanes)} lives from {panel.begin:%Y-%m-%d} to {panel.end:%Y-%m-%d}"
    bottom = height - _FOOT_HEIGHT
    lanes = [(layout.head + place * layout.row, lane) for place, lane in enumerate(panel.lanes)]
    return element(
        "svg",
        {
            "class": f"plot {layout.name}",
            "viewBox": f"0 0 {layout.width} {height}",
            "xmlns": "http://www.w3.org/2000/svg",
            "role": "img",
            "aria-label": f"{summary}; the table below holds the same.",
        },
        element("text", {"class": "panel", "x": 4, "y": 14}, panel.title),
        joined(_tick_lines(panel, layout, scale, bottom)),
        joined(_lane(lane, layout, scale, top, now) for top, lane in lanes),
        _now_line(layout, scale, now, bottom),
        joined(_tick_labels(panel, layout, scale)),
        joined(_lane_words(lane, layout, top, now) for top, lane in lanes),
    )


def axis(panel: Panel, layout: Layout) -> Scale:
    """Return where on the drawing each instant of a panel is."""
    return Scale(panel.begin, panel.end, layout.left, layout.right - layout.left)


def extent(life: Life, scale: Scale) -> tuple[float, float]:
    """Return where a life's bar begins and how wide it is; it stays within the axis."""
    begin, end = scale.at(life.begin), scale.at(life.end)
    width = max(_BAR_WIDTH_MIN, end - begin)
    return min(begin, scale.left + scale.width - width), width


def _tick_lines(panel: Panel, layout: Layout, scale: Scale, bottom: float) -> Iterator[Markup]:
    y = layout.head - 4
    yield element(
        "line", {"class": "axis", "x1": scale.left, "x2": scale.left + scale.width, "y1": y, "y2": y}
    )
    for instant, _ in ticks(panel.begin, panel.end, layout.ticks_max):
        x = scale.at(instant)
        yield element("line", {"class": "tick", "x1": x, "x2": x, "y1": y, "y2": bottom})


def _tick_labels(panel: Panel, layout: Layout, scale: Scale) -> Iterator[Markup]:
    # Drawn last and with a halo: the now line may pass through one.
    for instant, label in ticks(panel.begin, panel.end, layout.ticks_max):
        x = scale.at(instant)
        anchor = "middle"
        if x - scale.left < _LABEL_HALF_WIDTH:
            anchor = "start"
        elif scale.left + scale.width - x < _LABEL_HALF_WIDTH:
            anchor = "end"
        place: Attributes = {"class": "label", "x": x, "y": layout.head - 10, "text-anchor": anchor}
        yield element("text", place, label)


def _now_line(layout: Layout, scale: Scale, now: datetime, bottom: float) -> Markup:
    x, top = scale.at(now), layout.head - 42
    centre = min(max(x, scale.left + _NOW_HALF_WIDTH), scale.left + scale.width - _NOW_HALF_WIDTH)
    plate: Attributes = {
        "class": "now-plate",
        "x": centre - _NOW_HALF_WIDTH,
        "y": top,
        "width": 2 * _NOW_HALF_WIDTH,
        "height": 15,
        "rx": 3,
    }
    return joined(
        (
            element("line", {"class": "now", "x1": x, "x2": x, "y1": top + 15, "y2": bottom}),
            element("rect", plate),
            element(
                "text", {"class": "now-label", "x": centre, "y": top + 11, "text-anchor": "middle"}, "now"
            ),
        )
    )


def _lane(lane: Lane, layout: Layout, scale: Scale, top: float, now: datetime) -> Markup:
    below, y = top + layout.row, top + layout.bar
    parts = [element("line", {"class": "lane", "x1": 4, "x2": layout.width - 4, "y1": below, "y2": below})]
    if lane.now is None and len(lane.before) == 1:
        parts.append(_bar(lane.before[0], scale, y, now))
        return element("g", {}, *parts)
    before = sorted((old for old in lane.before if old.end > scale.begin), key=lambda old: old.begin)
    strip_y = y + _BAR_HEIGHT + 1.5
    parts += [
        _strip(old, scale, strip_y + (place % _STRIPS) * (_STRIP_HEIGHT + 0.5))
        for place, old in enumerate(before)
    ]
    if lane.now is not None:
        parts.append(_bar(lane.now, scale, y, now))
    return element("g", {}, *parts)


def _lane_words(lane: Lane, layout: Layout, top: float, now: datetime) -> Markup:
    life = lane.now
    shown = life or (lane.before[0] if lane.before else None)
    level = "past" if life is None else life.level.name.lower()
    mark = "·" if life is None else MARKS[life.level]
    words = "" if shown is None else _left_words(shown, now)
    edge, y = layout.width - 4, top + layout.label
    return joined(
        (
            element("text", {"class": f"mark {level}", "x": 4, "y": y}, mark),
            element("text", {"class": f"name {level}", "x": 18, "y": y}, lane.label),
            element("text", {"class": "left", "x": edge, "y": y, "text-anchor": "end"}, words),
        )
    )


def _bar(life: Life, scale: Scale, y: float, now: datetime) -> Markup:
    x, width = extent(life, scale)
    level = "past" if life.past else life.level.name.lower()
    parts = [
        element("title", {}, _words(life)),
        element(
            "rect", {"class": f"life {level}", "x": x, "y": y, "width": width, "height": _BAR_HEIGHT, "rx": 2}
        ),
    ]
    rest = scale.at(life.end) - max(x, scale.at(now))
    if not life.past and rest > 0:
        begin = max(x, scale.at(now))
        parts.append(
            element(
                "rect",
                {"class": f"rest {level}", "x": begin, "y": y, "width": rest, "height": _BAR_HEIGHT, "rx": 2},
            )
        )
    if not life.past:
        middle = y + _BAR_HEIGHT / 2
        due, critical = scale.at(life.due), scale.at(life.critical)
        parts += [
            element("circle", {"class": "due-mark", "cx": due, "cy": middle, "r": 2.6}),
            element(
                "path",
                {
                    "class": "critical-mark",
                    "d": f"M{critical:.2f} {middle - 3.8:.2f}l3.8 3.8l-3.8 3.8l-3.8 -3.8z",
                },
            ),
        ]
    return element("g", {}, *parts)


def _strip(life: Life, scale: Scale, y: float) -> Markup:
    x, width = extent(life, scale)
    place = {"x": x, "y": y, "width": width, "height": _STRIP_HEIGHT, "rx": 1}
    return element(
        "g",
        {},
        element("title", {}, _words(life)),
        element("rect", {"class": "strip revoked" if life.row.revoked else "strip", **place}),
    )


def _left_words(life: Life, now: datetime) -> str:
    if life.row.state == "retired" or life.row.revoked is not None:
        return "retired" if life.row.revoked is None else "revoked"
    if now < life.begin:
        return f"begins in {span_words(life.begin - now)}"
    if now >= life.end:
        return f"expired {span_words(now - life.end)} ago"
    percent = int(100 * ((life.end - now) / (life.end - life.begin)))
    return f"{span_words(life.end - now)} left · {percent} %"


def _words(life: Life) -> str:
    return (
        f"{life.row.subject or 'unknown'}, {life.row.state}: {life.begin:%Y-%m-%d %H:%M}Z to "
        f"{life.end:%Y-%m-%d %H:%M}Z, serial number {life.row.serial or 'unknown'}"
    )

"""The status reads from the top: groups, one line each, the verdict in numbers, and one next step."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.report import BAR_CELLS, in_groups, life_bar, next_step, print_status, status_counts, status_texts
from pki.status import Level, StatusLine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def line(
    what: str = "gateway",
    level: Level = Level.FINE,
    advice: str = "",
    group: str = "workloads",
    percent: int = 70,
) -> StatusLine:
    return StatusLine(group, what, level, NOW + timedelta(days=percent), percent, advice)


def shown(*lines: StatusLine, plain: bool = False) -> list[str]:
    return [text.plain for text in status_texts(lines, plain=plain)]


def test_groups_are_in_the_order_of_reading_and_strangers_come_last() -> None:
    lines = [
        line(group=group) for group in ("consumers", "guests", "workloads", "revocation lists", "authority")
    ]

    assert ["authority", "revocation lists", "workloads", "consumers", "guests"] == list(in_groups(lines))


def test_a_line_says_mark_what_until_life_and_advice() -> None:
    found = shown(line(level=Level.DUE, advice="due: renew it", percent=30))

    assert "! gateway  until 2026-03-31 12:00Z  ███░░░░░░░  30 %  due: renew it" == found[2]


def test_a_line_without_a_life_has_no_bar() -> None:
    assert "√ head 6" == shown(StatusLine("ledger", "head 6", Level.FINE, None, None, ""))[2]


def test_the_last_two_lines_are_the_verdict_and_the_next_step() -> None:
    found = shown(line(), line("edge", Level.CRITICAL, "expired: renew it"), line("bank", Level.DUE, "due"))

    assert "status  × critical: 1 critical, 1 due, 1 fine" == found[-2]
    assert "next    edge: expired: renew it" == found[-1]


def test_the_next_step_counts_what_waits_behind_it() -> None:
    assert "a: renew (and 2 more like it)" == next_step([line(name, Level.DUE, "renew") for name in "abc"])


def test_when_all_is_fine_the_first_end_is_named_and_no_remark_is_a_deadline() -> None:
    lines = [line("b", percent=60), line("a", percent=50), line("old", advice="retired", percent=1)]

    assert "nothing to do; the first to end is a, 2026-04-20 12:00Z" == next_step(lines)


def test_nothing_at_all_is_fine() -> None:
    assert ["status  √ fine: 0 fine", "next    nothing to do"] == shown()
    assert "0 fine" == status_counts([])


@given(st.integers(-5, 105))
def test_a_bar_has_ten_cells_and_is_empty_only_at_the_end(percent: int) -> None:
    bar = life_bar(percent, plain=True)

    assert BAR_CELLS == len(bar)
    assert (percent <= 0) == ("#" not in bar)


def test_an_old_terminal_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        print_status([line(), line("edge", Level.CRITICAL, "expired")])

    assert b"x edge     until 2026-05-10 12:00Z  #######---  70 %  expired\n" in raw.getvalue()


def test_names_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in "".join(shown(line("a\x1b[2Jb", Level.DUE, "\x1b[31mrun")))

"""What a benchmark reports is what it measured; no figure is measured here."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.bench.__main__ import main
from tests.bench.report import Report, Target
from tests.bench.rotation import planned
from tests.bench.rounds import Contender, ratio, run_rounds

_REPORT = Report(
    benchmark="sample",
    method=("By hand.",),
    columns=("what", "who", "µs"),
    rows=[("sign", "us", "1.5")],
    figures={"sign_us_per_operation": 1.5, "sign_ratio": 0.5},
    targets=(Target("sign_ratio", 0.5), Target("sign_ratio", 0.51), Target("absent_ratio", 0.0001)),
)


def test_a_target_is_missed_below_its_figure_and_where_there_is_no_figure() -> None:
    assert [_REPORT.targets[1], _REPORT.targets[2]] == _REPORT.missed()
    assert ["reached", "MISSED", "MISSED"] == [
        line.split()[0] for line in _REPORT.targets_as_text().splitlines()
    ]


def test_the_object_holds_every_figure_and_target() -> None:
    document = json.loads(_REPORT.as_json())

    assert _REPORT.figures == document["figures"]
    assert [True, False, False] == [target["reached"] for target in document["targets"]]


def test_every_contender_takes_its_turn_in_every_round_and_once_before() -> None:
    turns: list[str] = []
    race = [Contender(name, partial(turns.append, name), 1) for name in "ab"]
    rounds = run_rounds([race], seconds=0)

    assert [rounds, rounds] == [len(contender.turn_ns) for contender in race]
    assert [rounds + 1, rounds + 1] == [turns.count(name) for name in "ab"]
    assert list("ababba") == turns[:6]


def test_a_ratio_is_formed_within_each_round() -> None:
    ours = Contender("ours", lambda: None, 1, [10.0, 100.0, 1000.0] * 5)
    reference = Contender("reference", lambda: None, 1, [9.0, 90.0, 900.0] * 5)

    found = ratio(ours, reference)

    assert (0.9, 0.9, 0.9) == (round(found.low, 9), round(found.median, 9), round(found.high, 9))


def test_help_lists_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])

    assert 0 == leaving.value.code
    assert "\n  signing " in capsys.readouterr().out


def test_a_target_above_its_bound_is_shown_as_out_of_reach_and_not_missed() -> None:
    target = Target("ours_ratio", 3.5, "bare_ratio")

    def report(bare: float) -> Report:
        return Report("b", (), (), [], {"ours_ratio": 2.8, "bare_ratio": bare}, (target,))

    assert ([], [target]) == (report(3.1).missed(), report(3.6).missed())
    assert report(3.1).targets_as_text().startswith("OUT OF REACH")
    assert "bare_ratio is 3.100" in report(3.1).targets_as_text()
    assert report(3.6).targets_as_text().startswith("MISSED")


def test_a_thousand_rotations_hold_intermediates_and_roots() -> None:
    kinds = planned(1000)

    assert (970, 25, 5) == (kinds.count("leaf"), kinds.count("intermediate"), kinds.count("root"))
    assert ["leaf"] * 4 + ["intermediate"] == planned(5)


def test_a_figure_that_must_not_be_exceeded_is_reached_by_equality_and_missed_by_absence() -> None:
    most = Target("failed", 3, at_most=True)

    assert [True, True, False, False] == [most.reached_by(value) for value in (0, 3, 3.1, None)]
    assert [False, True, True, False] == [Target("rate", 3).reached_by(value) for value in (2.9, 3, 9, None)]

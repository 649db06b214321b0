"""What a run with faults found is told to people and to programs alike."""

from __future__ import annotations

import json

from tests.faults.__main__ import facts_of, summary_of
from tests.faults.campaign import Findings


def findings() -> Findings:
    found = Findings(judged=7, checks=1, checkers={"a-cent-too-much": True}, stories={"voided": 2})
    found.deaths.at.update({"gateway.answer_known": 2, "payments.turn_written": 1})
    found.deaths.back_s["gateway.answer_known"] = [1.0, 3.0]
    return found


def test_each_point_has_a_row_and_deaths_that_nobody_timed_are_no_zeros() -> None:
    rows = [line.split() for line in summary_of(findings()).splitlines()]

    assert ["gateway.answer_known", "2", "2.0", "3.0"] == rows[1]
    assert ["payments.turn_written", "1", "-", "-"] == rows[2]


def test_programs_get_the_same_as_json() -> None:
    told = json.loads(facts_of(findings(), seed=5))

    assert (True, 5, 7) == (told["ok"], told["seed"], told["judged"])
    assert {"gateway.answer_known": 2, "payments.turn_written": 1} == told["deaths"]["at"]
    assert {"gateway.answer_known": [1.0, 3.0]} == told["deaths"]["back_s"]

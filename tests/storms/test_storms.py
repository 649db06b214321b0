from __future__ import annotations

import json
from dataclasses import replace

import pytest

from signing import Response
from tests.storms.__main__ import run_storms
from tests.storms.verdict import judge

BODY = b'{"id":"pay_eu_1"}'
FIRST = Response(202, (("Request-Id", "req_eu_1"),), BODY)
REPEAT = Response(
    202,
    (
        ("Request-Id", "req_eu_2"),
        ("Idempotent-Replayed", "true"),
        ("Idempotency-Original-Request", "req_eu_1"),
    ),
    BODY,
)
WAITING = Response(409, (), json.dumps({"code": "idempotency_key_in_progress"}).encode())
ONCE = {"payment": 1}


def test_one_first_answer_its_repeats_and_those_that_wait_are_as_they_must_be() -> None:
    verdict = judge([REPEAT, FIRST, WAITING, REPEAT], ONCE)

    assert ((), 3, 1) == (verdict.faults, verdict.identical, verdict.in_progress)


@pytest.mark.parametrize(
    ("answers", "effects"),
    [
        ([FIRST, REPEAT], {"payment": 2}),
        ([FIRST, REPEAT], {"payment": 0}),
        ([FIRST, FIRST], ONCE),
        ([REPEAT, REPEAT], ONCE),
        ([FIRST, replace(REPEAT, body=b'{"id":"pay_eu_2"}')], ONCE),
        ([FIRST, replace(REPEAT, headers=(("Idempotent-Replayed", "true"),))], ONCE),
        ([FIRST, replace(REPEAT, status=503)], ONCE),
        ([FIRST, Response(409, (), b'{"code":"state_conflict"}')], ONCE),
        ([FIRST, None], ONCE),
        ([WAITING, WAITING], ONCE),
    ],
)
def test_whatever_else_happens_is_a_fault(answers: list[Response | None], effects: dict[str, int]) -> None:
    assert judge(answers, effects).faults


async def test_two_hundred_requests_with_one_key_are_one_payment_and_one_capture_on_two_workers() -> None:
    findings = await run_storms(2, 200, ("killed",), lambda _: None)

    assert [] == findings.faults
    assert (2, 400) == (findings.rounds, findings.requests)
    assert 400 == findings.identical + findings.in_progress

"""The steps of an exchange, driven by arbitrary answers: what must hold whatever a network does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import (
    Answer,
    AnswerNotTrusted,
    ExchangeFailed,
    GatewayRefused,
    GatewayUnreachable,
    IdempotencyKeyInvalid,
    OutcomeUnknown,
    Request,
    Response,
    RetryPolicy,
    UnsignableRequest,
    sign_receipt,
)
from signing.answers import NoAnswer
from signing.calls import Call, act, evidence, item, read
from signing.exchange import Party, Send, Sign, Sleep, StepResult, Surroundings, conduct
from signing.gateway_keys import GatewayKeys
from signing.problem import UNREADABLE, parse_problem
from tests.unit.signing import signing_samples as samples

KEY = "order-2041-attempt-1"
POLICY = RetryPolicy(attempts_max=5, total_s_max=30.0)
Reply = Callable[[Request], Response | NoAnswer]


@dataclass
class World:
    """A world in which nothing takes time but pauses."""

    elapsed_s: float = 0.0
    nonces: int = 0
    sent: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def nonce(self) -> str:
        self.nonces += 1
        return f"{self.nonces:0>24}"

    def run(self, call: Call, replies: list[Reply], policy: RetryPolicy = POLICY) -> Answer:
        surroundings = Surroundings(
            now=lambda: samples.NOW + self.elapsed_s,
            elapsed=lambda: self.elapsed_s,
            chance=lambda: 0.5,
            nonce=self.nonce,
        )
        key = samples.MERCHANT_ED25519
        keys = GatewayKeys([samples.GATEWAY.verifying_key], None)
        steps = conduct(call, Party(samples.ORIGIN, key.key_id, key.alg, keys, policy, surroundings))
        result: StepResult = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            result = None
            match step:
                case Sign(base):
                    result = key.sign(base)
                case Send(request, _):
                    self.sent.append(request)
                    result = (
                        replies.pop(0)(request) if replies else NoAnswer("silence", may_have_arrived=True)
                    )
                case Sleep(seconds):
                    self.pauses.append(seconds)
                    self.elapsed_s += seconds


def signed(status: int, body: bytes, kind: str = "application/json", *more: tuple[str, str]) -> Reply:
    def reply(request: Request) -> Response:
        answer = Response(status, (("Content-Type", kind),), body)
        fields = sign_receipt(samples.parsed(request), answer, samples.GATEWAY, now=samples.NOW)
        return answer.with_headers((*fields, *more))

    return reply


def refusal(status: int, code: str, *, proven: bool = True, retryable: bool = False) -> Reply:
    body = json.dumps({"code": code, "title": "Words", "retryable": retryable}).encode()
    if proven:
        return signed(status, body, "application/problem+json")
    return lambda _: Response(status, (("Content-Type", "application/problem+json"),), body)


def silence(*, arrived: bool = True, lasting: bool = False) -> Reply:
    return lambda _: NoAnswer("silence", may_have_arrived=arrived, lasting=lasting)


OK = signed(202, samples.ANSWER)
_replies = st.lists(
    st.one_of(
        st.just(OK),
        st.builds(silence, arrived=st.booleans(), lasting=st.booleans()),
        st.builds(
            refusal,
            st.sampled_from([400, 401, 403, 409, 422, 429, 500, 502, 503]),
            st.sampled_from(["some_code", "idempotency_key_in_progress", "signature_expired"]),
            proven=st.booleans(),
            retryable=st.booleans(),
        ),
        st.builds(
            lambda status, body: lambda _: Response(status, (), body),
            st.integers(100, 700),
            st.binary(max_size=30),
        ),
    ),
    max_size=8,
)


@given(_replies)
def test_whatever_comes_back_the_promises_hold(replies: list[Reply]) -> None:
    world, call = World(), act("/v1/payments", {"amount": 1}, idempotency_key=KEY)
    given_replies = list(replies)
    error: ExchangeFailed | None = None
    try:
        answer = world.run(call, replies)
    except ExchangeFailed as failed:
        error = failed
    used = (given_replies + [silence()] * POLICY.attempts_max)[: len(world.sent)]

    # One key, one body, a fresh signature each time, and not more often than allowed.
    assert {(f'"{KEY}"', call.body)} == {(samples.header(r, "idempotency-key"), r.body) for r in world.sent}
    assert len(world.sent) == len({samples.header(r, "signature") for r in world.sent}) <= POLICY.attempts_max
    assert sum(world.pauses) <= POLICY.total_s_max
    # A result is the last thing that was sent, and nothing but a proven success is one.
    if error is None:
        assert used[-1] is OK
        assert samples.ANSWER == answer.body
        return
    assert KEY == error.idempotency_key
    assert OK not in used
    # "Nothing was sent" and "refused" are never said while an attempt may have been accepted unseen.
    lost = any(isinstance(got := reply(world.sent[0]), NoAnswer) and got.may_have_arrived for reply in used)
    if isinstance(error, GatewayUnreachable):
        assert not lost
    if isinstance(error, GatewayRefused) and lost:
        assert error.receipt is not None
        assert error.status not in {401, 403, 429, 500, 502, 503}


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([silence(arrived=False)] * 5, GatewayUnreachable),
        ([silence(arrived=False, lasting=True)], GatewayUnreachable),
        ([silence()] * 5, OutcomeUnknown),
        ([silence(arrived=False), silence(), silence(arrived=False, lasting=True)], OutcomeUnknown),
        ([refusal(503, "cell_unavailable", retryable=True)] * 5, OutcomeUnknown),
        ([refusal(500, "internal_error", retryable=True)] * 5, OutcomeUnknown),
        ([refusal(500, "internal_error")], OutcomeUnknown),
        ([refusal(429, "rate_limited")] * 5, GatewayRefused),
        ([refusal(422, "validation_failed", proven=False)], GatewayRefused),
        ([lambda _: Response(200, (), b"")], AnswerNotTrusted),
        ([lambda _: Response(103, (), b"")], AnswerNotTrusted),
    ],
    ids=range(11),
)
def test_each_end_has_its_own_error(replies: list[Reply], error: type[ExchangeFailed]) -> None:
    with pytest.raises(ExchangeFailed) as failed:
        World().run(act("/v1/payments", {}, idempotency_key=KEY), list(replies))

    assert error is type(failed.value)


def test_evidence_that_is_pending_is_waited_for_as_long_as_was_said_and_no_longer() -> None:
    world = World()
    with pytest.raises(GatewayRefused) as refused:
        world.run(evidence("pay_eu_1", wait_s_max=20.0), [refusal(409, "evidence_pending")] * 99)

    assert "evidence_pending" == refused.value.problem_code
    assert 18.0 < sum(world.pauses) <= 20.0
    assert all(pause >= 1.0 for pause in world.pauses)


@pytest.mark.parametrize(
    "text", ["short", "x" * 65, "order 2041 attempt 1", 'order-2041-attempt-1"', "é" * 20]
)
def test_an_idempotency_key_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        act("/v1/payments", {}, idempotency_key=text)


@pytest.mark.parametrize("amount", [19.99, [1.0], {"x": 1.5}, float("nan"), object(), {1, 2}, "\ud800"])
def test_what_is_no_strict_json_is_refused_and_floats_above_all(amount: object) -> None:
    with pytest.raises(UnsignableRequest):
        act("/v1/payments", {"amount": amount}, idempotency_key=KEY)


def test_a_structure_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(UnsignableRequest):
        act("/v1/payments", {"amount": loop}, idempotency_key=KEY)


@pytest.mark.parametrize("text", ["", "a/b", "..", "a%20", "a?b", "x" * 129, "é"])
def test_an_id_that_would_change_the_path_is_refused(text: str) -> None:
    with pytest.raises(UnsignableRequest):
        item("payments", text)


def test_query_parameters_are_sorted_and_plain() -> None:
    assert "/v1/payments?a=1&b=x.y" == read("/v1/payments", {"b": "x.y", "a": 1, "c": None}).path
    for value in ("a b", "a&b", "a=b", "", "é"):
        with pytest.raises(UnsignableRequest):
            read("/v1/payments", {"a": value})


@given(st.binary(max_size=200) | st.from_type(dict).map(lambda d: json.dumps(str(d)).encode()))
def test_no_body_breaks_the_reading_of_a_refusal(body: bytes) -> None:
    problem = parse_problem(Response(400, (), body), now=0.0)

    assert (UNREADABLE, 400, False) == (problem.code, problem.status, problem.retryable)


def test_what_a_refusal_says_is_one_line_of_text() -> None:
    body = json.dumps({"code": "some_code", "detail": "two\nlines\x1b[31m" + "x" * 1000, "errors": [1, {}]})
    problem = parse_problem(Response(400, (), body.encode()), now=0.0)

    assert problem.detail.isprintable()
    assert (500, (("", ""),)) == (len(problem.detail), problem.errors)


def test_an_unchanged_payment_is_believed_if_the_receipt_names_the_sequence_that_is_known() -> None:
    call = read("/v1/payments/pay_eu_1", known_sequence=7)
    world = World()

    answer = world.run(call, [signed(304, b"", "application/json; sequence=7")])

    assert (True, 304, b"") == (answer.unchanged, answer.status, answer.body)
    assert ("If-None-Match", '"7"') in world.sent[0].headers


@pytest.mark.parametrize(
    ("known", "status", "kind"),
    [
        (7, 304, "application/json; sequence=8"),  # somebody changed the condition on its way
        (7, 304, "application/json"),
        (None, 304, "application/json; sequence=7"),  # nobody asked
        (7, 303, "application/json; sequence=7"),
        (7, 200, "application/json; sequence=7"),
    ],
)
def test_an_answer_about_another_condition_is_not_trusted(known: int | None, status: int, kind: str) -> None:
    with pytest.raises(AnswerNotTrusted):
        World().run(read("/v1/payments/pay_eu_1", known_sequence=known), [signed(status, b"", kind)])


def test_a_wish_to_wait_is_sent_and_nothing_else_changes() -> None:
    plain, patient = (
        act("/v1/payments", {}, idempotency_key=KEY),
        act("/v1/payments", {}, idempotency_key=KEY, wait_s=5),
    )

    assert {("Prefer", "wait=5")} == set(patient.headers) - set(plain.headers)
    assert (plain.body, plain.path) == (patient.body, patient.path)

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.errors
import signing.errors
from gateway.api.problems import CATALOGUE_PATH, INTERNAL, PROBLEMS, catalogue, describe
from gateway.errors import (
    CellUnavailable,
    FieldFault,
    GatewayRefusal,
    MethodNotAllowed,
    NotFound,
    ValidationFailed,
)
from signing.errors import RequestRefused, RequestSignatureInvalid, SignatureMalformed


def every_class_below(parent: type[Exception]) -> list[type[Exception]]:
    found = [parent]
    for child in parent.__subclasses__():
        found += every_class_below(child)
    return found


REFUSALS = [
    cls
    for cls in (*every_class_below(GatewayRefusal), *every_class_below(RequestRefused))
    if cls is not GatewayRefusal
]


def body_of(fault: Exception) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(describe(fault, request_id="req_eu_x").body)
    return value


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda cls: cls.__name__)
def test_every_refusal_is_in_the_table(refusal: Any) -> None:
    assert refusal.code in PROBLEMS


def test_every_row_of_the_table_is_some_refusal_or_our_own_failure() -> None:
    codes: set[str] = {cls.code for cls in REFUSALS}  # type: ignore[attr-defined]  # every refusal has a code

    assert set(PROBLEMS) == codes | {INTERNAL}


@pytest.mark.parametrize("refusal", every_class_below(RequestRefused), ids=lambda cls: cls.__name__)
def test_signature_refusals_have_the_status_that_signing_gives_them(refusal: Any) -> None:
    assert refusal.status == PROBLEMS[refusal.code].status


def test_every_gateway_refusal_is_defined_in_its_closed_list() -> None:
    defined = {
        cls
        for cls in vars(gateway.errors).values()
        if isinstance(cls, type) and issubclass(cls, GatewayRefusal)
    }

    assert defined == set(every_class_below(GatewayRefusal))


@given(st.text(min_size=8))
def test_a_bug_says_nothing_about_itself(text: str) -> None:
    problem = describe(RuntimeError("zq" + text), request_id="req_eu_x")

    assert (500, INTERNAL) == (problem.status, problem.code)
    assert json.dumps("zq" + text).encode()[1:-1] not in problem.body


def test_a_refusal_that_nobody_listed_is_our_failure_and_not_described() -> None:
    class Unlisted(GatewayRefusal):
        code = "unlisted_secret"

    problem = describe(Unlisted("in confidence"), request_id="req_eu_x")

    assert 500 == problem.status
    assert b"confidence" not in problem.body
    assert b"unlisted_secret" not in problem.body


def test_only_a_401_shows_the_signature_base_that_the_server_built() -> None:
    base = b'"@method": POST\n"@target-uri": https://pay.example/v1/payments'
    shown = body_of(RequestSignatureInvalid("no", signature_base=base))
    hidden = body_of(SignatureMalformed("no", signature_base=base))

    assert base == base64.b64decode(shown["signature_base"])
    assert base.decode() == shown["signature_base_text"]
    assert "signature_base" not in hidden


def test_a_401_without_a_base_shows_none() -> None:
    assert "signature_base" not in body_of(signing.errors.SignatureMissing("no"))


def test_an_unavailable_cell_says_when_to_come_back_in_header_and_body() -> None:
    problem = describe(CellUnavailable("away"), request_id="req_eu_x")

    assert (("Retry-After", "1"),) == problem.headers
    assert (503, True, 1) == tuple(
        json.loads(problem.body)[name] for name in ("status", "retryable", "retry_after_s")
    )


def test_a_wrong_method_names_the_right_ones() -> None:
    problem = describe(MethodNotAllowed("no", frozenset({"POST", "GET"})), request_id="req_eu_x")

    assert (("Allow", "GET, POST"),) == problem.headers


def test_a_problem_has_the_members_of_its_standard_and_ours() -> None:
    expected = {
        "type": f"{CATALOGUE_PATH}#validation_failed",
        "title": "The body does not fit the operation",
        "status": 422,
        "code": "validation_failed",
        "retryable": False,
        "request_id": "req_eu_x",
        "detail": "wrong",
        "errors": [{"pointer": "/amount", "detail": "an integer"}],
    }

    assert expected == body_of(ValidationFailed("wrong", FieldFault("/amount", "an integer")))


def test_the_catalogue_lists_every_code() -> None:
    listed = [row["code"] for row in json.loads(catalogue())["data"]]

    assert list(PROBLEMS) == listed
    assert NotFound.code in listed

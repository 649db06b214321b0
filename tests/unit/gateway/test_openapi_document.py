from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.operations import Operation, Scope
from gateway.api.problems import PROBLEMS
from gateway.api.routes import add_routes
from gateway.api.surface import OPERATIONS, canonical
from gateway.api.webhook_shapes import delivery_id
from gateway.metrics import Metrics
from gateway.openapi.document import build_document
from gateway.openapi.examples import EXAMPLES
from gateway.openapi.parameters import PATH_PARTS
from gateway.openapi.schemas import documented
from signing import profile

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = "https://pay.countermark.example"
DOCUMENT = build_document([ORIGIN])


def resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found: Any = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][canonical(operation.path)][operation.method.lower()]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def problems_in(operation: Operation) -> dict[str, set[str]]:
    """The codes by status, as a reader of the document finds them."""
    found: dict[str, set[str]] = {}
    for status, response in described(operation)["responses"].items():
        for media_type, content in resolved(response).get("content", {}).items():
            if media_type == "application/problem+json":
                found[status] = set(content["schema"]["allOf"][1]["properties"]["code"]["enum"])
    return found


def every_operation(test: Any) -> Any:
    return pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)(test)


def test_the_document_is_openapi_3_1() -> None:
    assert [] == [str(fault) for fault in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]


def test_every_route_is_in_the_document_and_the_reverse() -> None:
    async def nothing(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    add_routes(app, [(each, nothing) for each in OPERATIONS if each.name != "listProblems"], Metrics())
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical != "/metrics"
    }

    assert routes == {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }


@every_operation
def test_the_document_has_exactly_the_statuses_and_codes_that_are_declared(operation: Operation) -> None:
    declared: dict[str, set[str]] = {}
    for code in operation.all_problems():
        declared.setdefault(str(PROBLEMS[code].status), set()).add(code)
    successes = {str(int(status)) for status in operation.answers} | (
        {"304"} if operation.conditional else set()
    )

    assert declared == problems_in(operation)
    assert declared.keys() | successes == described(operation)["responses"].keys()


@every_operation
def test_a_success_and_a_304_of_what_waits_may_say_how_long(operation: Operation) -> None:
    told = {
        status
        for status, response in described(operation)["responses"].items()
        if "Preference-Applied" in resolved(response).get("headers", {})
    }

    done = {status for status in described(operation)["responses"] if status < "400"}
    assert told == (done if operation.waits else set())


@pytest.mark.parametrize("sequence", range(1, 17))
def test_a_deliverys_id_has_the_form_that_its_path_declares(sequence: int) -> None:
    """It is derived from a digest, so its first character may be any."""
    pattern, _ = PATH_PARTS["delivery_id"]
    found = delivery_id("whe_eu_01m83c4y8r1e5s2g7p3h6d0wqa", "pay_eu_01m83c4y8r1e5s2g7p3h6d0wqa", sequence)

    assert re.search(pattern, found)


@every_operation
def test_an_operation_admits_what_it_declares_and_nothing_else(operation: Operation) -> None:
    admitted = {
        (status, code)
        for status in range(200, 600)
        for code in (None, *PROBLEMS)
        if operation.admits(status, code)
    }

    shown = {(int(status), code) for status, codes in problems_in(operation).items() for code in codes}
    successes = {(int(s), None) for s in described(operation)["responses"] if s not in problems_in(operation)}
    assert shown | successes == admitted


def test_an_operation_cannot_declare_a_problem_that_is_not_in_the_table() -> None:
    with pytest.raises(ValueError, match="misspelt"):
        Operation(
            name="x", method="GET", path="/v1/x", summary="", answers={200: "text/plain"},
            problems=frozenset({"misspelt"}),
        )  # fmt: skip


@every_operation
def test_what_is_signed_needs_the_fields_of_the_signature_and_its_scope(operation: Operation) -> None:
    needed = described(operation)["security"]
    schemes = [] if not operation.signed else ["signature", "signatureInput"]
    if operation.signed and operation.acts:
        schemes.append("contentDigest")

    alternatives = [schemes] * operation.signed + [["accessToken", "proof"]] * operation.admits_tokens

    assert alternatives == [list(each) for each in needed]
    if operation.scope is not None:
        assert [operation.scope.value] == needed[0]["signature"]


@every_operation
def test_what_acts_takes_an_idempotency_key_and_nothing_else_does(operation: Operation) -> None:
    names = [resolved(each)["name"] for each in described(operation).get("parameters", ())]

    assert operation.acts == ("Idempotency-Key" in names)
    assert operation.acts == ("requestBody" in described(operation))
    assert len(set(names)) == len(names)


def test_every_reference_within_the_document_points_at_something() -> None:
    assert [] == [each for each in references(DOCUMENT) if not resolved({"$ref": each})]


def test_no_component_is_there_in_vain() -> None:
    used = set(references(DOCUMENT))
    kinds = ("parameters", "headers", "responses", "schemas")

    there = {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}
    assert set() == {each for each in there - used if not each.startswith("#/components/headers/")}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_each_example_fits_its_schema_and_its_type(kind: type[msgspec.Struct]) -> None:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}", "components": DOCUMENT["components"]}
    example = msgspec.to_builtins(EXAMPLES[kind])

    assert [] == [fault.message for fault in Draft202012Validator(schema).iter_errors(example)]
    assert EXAMPLES[kind] == msgspec.convert(example, kind)


def test_every_body_that_is_shown_has_an_example_that_fits() -> None:
    shown = 0
    for operation in OPERATIONS:
        bodies = [resolved(each) for each in described(operation)["responses"].values()]
        for content in (media for body in bodies for media in body.get("content", {}).items()):
            if content[0].endswith("json") and content[1]["schema"]:
                schema = {**content[1]["schema"], "components": DOCUMENT["components"]}
                Draft202012Validator(schema).validate(content[1]["example"])
                shown += 1

    assert shown > len(OPERATIONS)


def test_an_answer_has_all_of_its_members_and_a_request_only_what_it_needs() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    assert list(schemas["Payment"]["properties"]) == schemas["Payment"]["required"]
    assert ["kind", "amount", "currency", "instrument"] == schemas["PaymentOrder"]["required"]
    assert schemas["PaymentOrder"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Payment"]
    assert ["sequence", "type", "at"] == schemas["PaymentEvent"]["required"]


def test_patterns_are_of_the_dialect_of_json_schema() -> None:
    assert not re.search(r"\\\\[AZ]", json.dumps(DOCUMENT))


def test_docstrings_describe_types_and_their_members() -> None:
    class Documented:
        """What it is,
        in two lines.

        Attributes:
            first: one
                and more.
            second: two.
        """

    assert ("What it is, in two lines.", {"first": "one and more.", "second": "two."}) == documented(
        Documented
    )


def test_the_profile_is_told_in_a_form_for_programs() -> None:
    told = DOCUMENT["components"]["securitySchemes"]["signature"]["x-countermark-signature"]

    assert ["@method", "@target-uri"] == told["covered"]["GET"]
    assert profile.COVERED_ACTING == " ".join(f'"{name}"' for name in told["covered"]["other"])
    assert profile.REQUEST_TAG == told["tag"]


def test_scopes_of_keys_are_those_of_operations() -> None:
    enum = DOCUMENT["components"]["schemas"]["KeyOrder"]["properties"]["scopes"]["anyOf"][0]["items"]["enum"]

    assert {scope.value for scope in Scope} == set(enum)


def printed(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.openapi", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_prints_a_list_the_document_and_the_page() -> None:
    listed, document, page = printed(), printed("--json", "--origin", ORIGIN), printed("--html")

    assert all(operation.path in listed.stdout for operation in OPERATIONS)
    assert json.loads(json.dumps(DOCUMENT)) == json.loads(document.stdout)
    assert page.stdout.startswith("<!DOCTYPE html>")
    assert 2 == printed("--html", "--json").returncode

"""The edge's routes are the declared surface: each operation, in spellings that can be signed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.derive.envoy_edge import forwarded_fields, public_filters, surface_routes
from compose.derive.envoy_replies import STRANGE_PATH, local_replies
from compose.derive.places import Limits
from gateway.api.problems import PROBLEMS
from gateway.api.surface import OPERATIONS
from signing.profile import BODY_BYTES_MAX, TARGET

FORWARD = {"cluster": "gateway"}
ROUTES = surface_routes(OPERATIONS, FORWARD)
PIECES = ["/", "v1", "payments", ".well-known", "..", ".", "%2e", "//", "?", "a=b", "#", "x001", ";", "\\"]


def fits(match: dict[str, Any], method: str, target: str, fields: dict[str, str]) -> bool:
    """What Envoy does with a route's match; expressions match the whole, the path is without the query."""
    path = target.partition("?")[0]
    if "path" in match and match["path"] != path:
        return False
    if "prefix" in match and not path.startswith(match["prefix"]):
        return False
    if "safe_regex" in match and not re.fullmatch(match["safe_regex"]["regex"], path):
        return False
    seen = {**fields, ":method": method, ":path": target}
    return all(field_fits(wanted, seen) for wanted in match.get("headers", []))


def field_fits(wanted: dict[str, Any], seen: dict[str, str]) -> bool:
    value = seen.get(wanted["name"])
    if "present_match" in wanted:
        return bool((value is not None) == wanted["present_match"])
    if value is None:
        return False
    matcher = wanted["string_match"]
    if "exact" in matcher:
        return bool(matcher["exact"] == value)
    return re.fullmatch(matcher["safe_regex"]["regex"], value) is not None


def outcome(method: str, target: str, **fields: str) -> int:
    """The status of the edge's own answer; 0 if the request is forwarded."""
    found = next(route for route in ROUTES if fits(route["match"], method, target, fields))
    return int(found["direct_response"]["status"]) if "direct_response" in found else 0


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_operation_is_let_in_as_it_is_signed(operation: Any) -> None:
    path = re.sub(r"\{[^}]*\}", "x001", operation.path)
    fields = {} if operation.method == "GET" else {"content-type": "application/json"}

    assert 0 == outcome(operation.method, path, **fields)
    assert 0 == outcome(operation.method, f"{path}?a=b", **fields)
    assert 415 == outcome(operation.method, path, **{**fields, "content-encoding": "gzip"})
    assert 405 == outcome("PUT", path, **fields)


@given(st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from(["GET", "POST", "DELETE"]))
def test_what_is_let_in_has_one_spelling(pieces: list[str], method: str) -> None:
    target = "/" + "".join(pieces)
    if outcome(method, target, **{"content-type": "application/json"}) == 0:
        path, mark, query = target.partition("?")
        assert not re.search(r"[%\\;#]|//|/\.\.?(?:/|$)", path)
        assert bool(mark) == bool(query)
        assert path.startswith("/.well-known/") or TARGET.fullmatch(f"https://pay.example{path}")


@given(st.from_regex(TARGET, fullmatch=True))
def test_no_target_that_can_be_signed_is_called_strange(target: str) -> None:
    path = "/" + target.removeprefix("https://").partition("/")[2]

    assert re.fullmatch(STRANGE_PATH, path) is None


def test_where_a_request_came_from_is_written_over() -> None:
    (written,) = forwarded_fields()["request_headers_to_add"]

    assert "x-forwarded-for" == written["header"]["key"]
    assert "OVERWRITE_IF_EXISTS_OR_ADD" == written["append_action"]


def test_limits_are_those_of_the_deployment_and_of_the_profile() -> None:
    rate, whole = (
        each["typed_config"] for each in public_filters(Limits(edge_source_per_s=7, edge_source_burst=9))
    )
    (address,) = rate["descriptors"]

    assert {"max_tokens": 9, "tokens_per_fill": 7, "fill_interval": "1s"} == address["token_bucket"]
    assert BODY_BYTES_MAX == whole["max_request_bytes"] == 64 * 1024


def test_each_answer_of_an_envoy_has_a_code_of_the_catalogue() -> None:
    documents = [mapper["body_format_override"]["json_format"] for mapper in local_replies()["mappers"]]

    assert {document["code"] for document in documents} <= set(PROBLEMS)
    assert {True} == {d["retryable"] for d in documents if d["code"] in ("cell_unavailable", "rate_limited")}

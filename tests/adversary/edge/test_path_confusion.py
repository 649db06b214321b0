"""A path with two spellings: no Envoy rewrites one, and none but the documented spelling comes through."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing.profile import TARGET
from tests.adversary.edge.recording_gateway import Door
from tests.integration.gateway.merchant_requests import ORIGIN

STRANGE = [
    "/v1/./payments", "/v1/../v1/payments", "/v1/x/../payments", "/v1//payments", "//v1/payments",
    "/v1/payments/", "/v1/payments/.", "/v1/payments/..", "/v1/%70ayments", "/v1%2fpayments",
    "/v1%2Fpayments", "/v1/%2e%2e/metrics", "/v1/%2e%2e%2fmetrics", "/v1/%252e%252e/metrics",
    "/v1/..%2fmetrics", "/v1/payments%00", "/v1/payments%0d%0aHost:%20evil", "/v1/..;/metrics",
    "/v1/payments;x=1", "/v1\\payments", "/v1/payments\\..\\..\\metrics", "/v1/payments?",
    "/.well-known/countermark-log/tile/../../../metrics", "/.well-known/countermark-log/tile/..",
    "/.well-known/countermark-log/tile/.hidden", "/.well-known/../metrics",
]  # fmt: skip


@pytest.mark.parametrize("path", STRANGE)
async def test_another_spelling_of_a_path_is_refused_and_says_why(door: Door, path: str) -> None:
    before = len(door.arrived)

    answer = await door.send(f"GET {path}")

    assert [] == door.new(before)
    expected = (404, "not_found") if path.endswith(".hidden") else (400, "target_not_canonical")
    assert expected == (answer.status, json.loads(answer.body)["code"])


NO_PATHS = [
    "/v1/payments#a", "/v1/payments#", "/v1/pay\x00ments", "/v1/p\xe9yments", "/v1/pay ments", "*",
    "v1/payments",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS, ids=ascii)
async def test_what_is_no_path_is_refused(door: Door, path: str) -> None:
    before = len(door.arrived)

    answer = await door.send(f"GET {path}")

    assert 400 == answer.status
    assert [] == door.new(before)


async def test_a_query_reaches_the_gateway_byte_for_byte(door: Door) -> None:
    before = len(door.arrived)

    await door.send("GET /v1/payments?a=%2e%2e%2f&b=//&c=..;d")

    assert ["/v1/payments?a=%2e%2e%2f&b=//&c=..;d"] == [each.target for each in door.new(before)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.sampled_from(
            ["/", "v1", "payments", ".", "..", "%2e", "%2f", "//", ";", "\\", "?", "#", "x", "%00", "metrics"]
        ),
        max_size=8,
    )
)  # fmt: skip
async def test_whatever_comes_through_is_a_target_that_can_be_signed(door: Door, pieces: list[str]) -> None:
    before = len(door.arrived)

    answer = await door.send("GET /" + "".join(pieces))

    through = door.new(before)
    assert (answer.status == 200) == (len(through) == 1)
    for each in through:
        assert TARGET.fullmatch(f"{ORIGIN}{each.target.partition('?')[0]}")

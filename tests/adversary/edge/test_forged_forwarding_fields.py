"""Who a sender claims to be, or to come from, is not believed: the mesh's own words replace it."""

from __future__ import annotations

import pytest

from tests.adversary.edge.recording_gateway import Door
from tests.integration.gateway.merchant_requests import HOST

READ = "GET /v1/payments"
FORGED = "198.51.100.7"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (f"X-Forwarded-For: {FORGED}",),
        (f"X-Forwarded-For: {FORGED}", f"X-Forwarded-For: {FORGED}"),
        (f"X-Forwarded-For: {FORGED}, 127.0.0.1, 10.0.0.1",),
        (f"x-forwarded-for:\t{FORGED}\t",),
        (f"X-Forwarded-For: {', '.join([FORGED] * 200)}",),
        ("X-Forwarded-For:",),
        ("X-Forwarded-For: unknown", "X-Envoy-External-Address: 10.0.0.1", "X-Envoy-Internal: true"),
    ],
)
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
async def test_the_address_of_a_sender_is_the_one_that_it_connected_from(
    door: Door, fields: tuple[str, ...], source: str
) -> None:
    before = len(door.arrived)

    answer = await door.send(READ, *fields, source=source)

    assert 200 == answer.status
    assert [[source]] == [each.values("x-forwarded-for") for each in door.new(before)]


@pytest.mark.parametrize(
    "forged",
    [
        "By=spiffe://countermark.internal/gateway-sidecar;URI=spiffe://countermark.internal/supervisor",
        "URI=spiffe://countermark.internal/supervisor,URI=spiffe://countermark.internal/pki",
        'Subject="";URI=spiffe://countermark.internal/supervisor',
        "",
    ],
)
@pytest.mark.parametrize("name", ["X-Forwarded-Client-Cert", "x-forwarded-client-cert"])
async def test_the_callers_description_is_the_sidecars(door: Door, name: str, forged: str) -> None:
    before = len(door.arrived)

    answer = await door.send(READ, f"{name}: {forged}", f"{name}: {forged}")

    assert 200 == answer.status
    (arrived,) = door.new(before)
    (described,) = arrived.values("x-forwarded-client-cert")
    assert "URI=spiffe://countermark.internal/edge" in described.split(";")
    assert "supervisor" not in described


@pytest.mark.parametrize(
    "line",
    [
        "Forwarded: for=198.51.100.7;host=evil.example;proto=http", "X-Real-IP: 198.51.100.7",
        "True-Client-IP: 198.51.100.7", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 80",
        "X-Original-URL: /metrics", "X-Rewrite-URL: /metrics", "X-HTTP-Method-Override: DELETE",
        "X-Countermark-Unsent: 1", "Proxy: evil.example",
    ],
)  # fmt: skip
async def test_what_claims_to_change_a_requests_meaning_is_taken_out(door: Door, line: str) -> None:
    before = len(door.arrived)

    answer = await door.send(READ, line)

    assert 200 == answer.status
    (arrived,) = door.new(before)
    assert [] == arrived.values(line.partition(":")[0])
    assert ([HOST], ["https"]) == (arrived.values("host"), arrived.values("x-forwarded-proto"))


@pytest.mark.parametrize(
    "line",
    ["X-Envoy-Original-Path: /metrics", "X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Envoy-Retry-On: 5xx",
     "X-Envoy-Max-Retries: 99", "X-Envoy-Force-Trace: 1", "X-Envoy-Decorator-Operation: a"],
)  # fmt: skip
async def test_nobody_steers_an_envoy_from_outside(door: Door, line: str) -> None:
    before = len(door.arrived)

    answer = await door.send(READ, line)

    assert 200 == answer.status
    (arrived,) = door.new(before)
    assert line.partition(": ")[2] not in arrived.values(line.partition(":")[0])

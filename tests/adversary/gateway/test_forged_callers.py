"""Who called, and from where, only the own sidecar may say, and only of the edge is the address believed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.config import LimitsConfig
from tests.adversary.gateway.raw_requests import CALLER
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, get, payment_request
from tests.integration.gateway.second_worker import second_worker

LIMITS = LimitsConfig(source_per_s=1, source_burst=20)
MORE = LIMITS.source_burst + 15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(stack: Gateway) -> AsyncIterator[Gateway]:
    async with second_worker(stack, name="forged-callers", limits=LIMITS) as worker:
        yield worker


def octets(*fields: str, path: str = "/.well-known/countermark-keys") -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.mark.parametrize("peer", ["edge", "payments-sidecar", "gateway"])
@pytest.mark.parametrize(
    "fields", [(f"x-forwarded-client-cert: {CALLER}",), ("X-Forwarded-For: 203.0.113.1",), ()]
)
async def test_whoever_is_not_the_own_sidecar_can_claim_nothing(
    stack: Gateway, peer: str, fields: tuple[str, ...]
) -> None:
    with pytest.raises(OSError):
        await stack.send_raw(octets(*fields), peer=peer)


@pytest.mark.parametrize(
    "fields",
    [
        (f"x-forwarded-client-cert: {CALLER}", f"X-Forwarded-Client-Cert: {CALLER}"),
        (f"x-forwarded-client-cert: {CALLER},{CALLER}",),
        (f"x-forwarded-client-cert: {CALLER};{CALLER}",),
        (f"x-forwarded-client-cert: {CALLER.replace('/edge', '/supervisor')}",),
        (f"x-forwarded-client-cert: {CALLER.replace('/edge', '/edge/..')}",),
        (f"x-forwarded-client-cert: {CALLER.replace('countermark.internal', 'evil.example')}",),
        ("x-forwarded-client-cert: URI=edge",),
        ("x-forwarded-client-cert:",),
        ("x_forwarded_client_cert: " + CALLER,),
        ("X-Forwarded-For: 127.0.0.1",),
    ],
    ids=["two", "chain", "two uris", "other", "dots", "foreign", "bare", "empty", "underscores", "none"],
)
async def test_a_caller_that_is_not_exactly_the_edge_reaches_nothing(
    stack: Gateway, fields: tuple[str, ...]
) -> None:
    answer = await stack.send_raw(octets(*fields))

    assert 403 == answer.status


@pytest.mark.parametrize(
    "value",
    [
        "203.0.113.{n}, 127.0.0.1",
        "203.0.113.{n}, 203.0.113.{n}",
        "203.0.113.{n}:80",
        "[2001:db8::{n}]",
        "x{n}",
    ],
)
async def test_what_the_edge_never_writes_is_no_address(limited: Gateway, value: str) -> None:
    statuses = [
        (
            await limited.send(payment_request().with_headers((("X-Forwarded-For", value.format(n=number)),)))
        ).status
        for number in range(1, MORE + 1)
    ]

    # Each would be another sender, if it were believed; all of them together are one.
    assert 429 == statuses[-1]


async def test_no_other_caller_of_the_mesh_can_charge_an_address(limited: Gateway) -> None:
    victim = (("X-Forwarded-For", "198.51.100.99"),)
    for caller in ("supervisor", "payments", None):
        for _ in range(MORE):
            await limited.send(payment_request().with_headers(victim), caller=caller)
            await limited.send(get("/healthz").with_headers(victim), caller=caller)

    answer = await limited.send(payment_request().with_headers(victim))

    assert 401 == answer.status

"""Requests that nobody can be recognised by, through edge and gateway: one address at a time is told to wait.

The address is the one that the edge saw, whatever else the flood claims; a merchant elsewhere feels nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from dataclasses import replace as changed

import pytest
import pytest_asyncio

from gateway.config import LimitsConfig
from signing import Request, SigningKey
from tests.adversary.gateway.edge_in_front import Edge, running_edge
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, get, payment_request, problem
from tests.integration.gateway.second_worker import second_worker
from tests.raised_limits import RAISED_GATEWAY

# Slow enough that a busy host does not see a bucket fill up again by itself.
LIMITS = LimitsConfig(
    merchant_per_s=RAISED_GATEWAY.merchant_per_s,
    merchant_burst=RAISED_GATEWAY.merchant_burst,
    source_per_s=1,
    source_burst=20,
)
FLOOD = LIMITS.source_burst + 20


@dataclass(frozen=True)
class Front:
    """A worker with small limits, and the Envoys before it."""

    edge: Edge
    stack: Gateway
    merchant: Merchant

    async def send(self, request: Request, source: str) -> tuple[int, str]:
        """Status, and the code of a problem."""
        lines = [f"{request.method} {request.target_uri.removeprefix(ORIGIN)} HTTP/1.1", f"Host: {HOST}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        lines += [f"Content-Length: {len(request.body)}"] if request.body else []
        octets = "\r\n".join([*lines, "", ""]).encode("latin-1") + (request.body or b"")
        answer = await self.edge.send_raw(octets, source=source)
        return answer.status, str(problem(answer).get("code", ""))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def front(stack: Gateway) -> AsyncIterator[Front]:
    async with (
        second_worker(stack, name="flooded-by-strangers", limits=LIMITS) as worker,
        running_edge(worker) as edge,
    ):
        yield Front(edge, stack, await stack.enrol("Elsewhere", "EUR"))


def unsigned(_: Front) -> Request:
    return payment_request()


def of_an_unknown_key(front: Front) -> Request:
    return front.stack.sign(payment_request(), SigningKey.generate("ed25519"))


def altered(front: Front) -> Request:
    return changed(front.stack.sign(payment_request(), front.merchant.key), body=b"{}")


def of_yesterday(front: Front) -> Request:
    return front.stack.sign(get("/v1/payments"), front.merchant.key, now=1_700_000_000)


def claiming_addresses(front: Front) -> Request:
    return unsigned(front).with_headers(
        (("X-Forwarded-For", "203.0.113.1"), ("X-Real-IP", "203.0.113.1"), ("Forwarded", "for=203.0.113.1"))
    )


@pytest.mark.parametrize(
    ("number", "make", "code"),
    [
        (21, unsigned, "signature_missing"),
        (22, of_an_unknown_key, "key_unknown"),
        (23, altered, "digest_mismatch"),
        (24, of_yesterday, "signature_expired"),
        (25, claiming_addresses, "signature_missing"),
    ],
)
async def test_a_flood_from_one_address_is_refused_and_a_merchant_elsewhere_is_served(
    front: Front, number: int, make: Callable[[Front], Request], code: str
) -> None:
    flooder, elsewhere = f"127.0.0.{number}", f"127.0.1.{number}"

    flood = [await front.send(make(front), flooder) for _ in range(FLOOD)]
    honest = front.stack.sign(payment_request(), front.merchant.key)
    served = await front.send(honest, elsewhere)
    stranger = await front.send(unsigned(front), f"127.0.2.{number}")

    assert {(401, code), (429, "rate_limited")} == set(flood)
    assert LIMITS.source_burst <= flood.index((429, "rate_limited")) <= LIMITS.source_burst + 10
    assert 202 == served[0]
    assert (401, "signature_missing") == stranger

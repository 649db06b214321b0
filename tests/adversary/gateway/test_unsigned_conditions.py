"""Header fields that no signature covers, added on the way by somebody else: what they can and cannot do.

They pass the product's two Envoys like any other field. A condition can turn an answer into a 304, whose
receipt says what it is about; a preference can make it late.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from signing import Request, Response
from tests.adversary.gateway.edge_in_front import Edge, running_edge
from tests.adversary.gateway.raw_requests import adding, wire
from tests.adversary.gateway.test_through_the_edge import as_a_merchant
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(stack: Gateway) -> AsyncIterator[Edge]:
    async with running_edge(stack) as running:
        yield running


async def a_read(stack: Gateway) -> Request:
    """A signed read of a fresh payment."""
    accepted = json.loads((await stack.ask(payment_request())).body)
    return stack.sign(get(f"/v1/payments/{accepted['id']}"), (await stack.merchant()).key)


async def with_fields(edge: Edge, request: Request, *fields: str) -> Response:
    """Send a request to which somebody on the way added fields."""
    return await edge.send_raw(as_a_merchant(wire(request, adding(*fields))))


@pytest.mark.parametrize("condition", ['"1"', "*", 'W/"1"', '"7", "1"'])
async def test_a_condition_that_somebody_added_gets_an_answer_that_names_what_was_found(
    stack: Gateway, edge: Edge, condition: str
) -> None:
    request = await a_read(stack)

    answer = await with_fields(edge, request, f"If-None-Match: {condition}")

    receipt = await stack.receipt(request, answer)
    assert (304, 304, b"") == (answer.status, receipt.status, answer.body)
    # The merchant holds another sequence, or none: it can tell that this is no answer to what it asked.
    assert "application/json; sequence=1" == header(answer, "Content-Type")


@pytest.mark.parametrize("condition", ['"0"', "1", '""', "garbage", "\\", '"1', f'"{"1" * 2000}"'])
async def test_any_other_condition_changes_nothing(stack: Gateway, edge: Edge, condition: str) -> None:
    request = await a_read(stack)

    answer = await with_fields(edge, request, f"If-None-Match: {condition}")

    assert (200, '"1"') == (answer.status, header(answer, "ETag"))
    await stack.receipt(request, answer)


async def test_two_conditions_are_either_joined_or_refused_and_never_confuse(
    stack: Gateway, edge: Edge
) -> None:
    request = await a_read(stack)

    answer = await with_fields(edge, request, 'If-None-Match: "9"', 'If-None-Match: "1"')

    assert answer.status in {200, 304, 400}
    if answer.status == 304:
        assert "application/json; sequence=1" == header(answer, "Content-Type")


async def test_a_preference_that_somebody_added_makes_an_answer_late_and_no_other(
    stack: Gateway, edge: Edge
) -> None:
    request = await a_read(stack)

    begun = time.monotonic()
    answer = await with_fields(edge, request, "Prefer: wait=1, return=minimal")

    assert 1.0 <= time.monotonic() - begun
    assert (200, "wait=1") == (answer.status, header(answer, "Preference-Applied"))
    assert "accepted" == json.loads(answer.body)["status"]
    await stack.receipt(request, answer)

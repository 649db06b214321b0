"""Schemathesis asks the running gateway what its own document allows, and much that it does not."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from gateway.api.operations import Operation
from gateway.api.surface import BY_ROUTE, OPERATIONS
from signing import keys_from_jwks
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get
from tests.integration.gateway.probe_requests import SigningAdapter
from tests.integration.gateway.probing import modes_of, probe
from tests.integration.gateway.told_payments import Told, tell_a_story

Document = dict[str, Any]
# What ends the told endpoint comes late; what may revoke the own key is last: nothing is answered afterwards.
LAST = ("deleteWebhookEndpoint", "revokeKey")
ORDER = sorted(OPERATIONS, key=lambda each: LAST.index(each.name) + 1 if each.name in LAST else 0)
# What nothing generated is let through by: a proof of possession, a number with its check digits, a state
# that the told payment is not in, an entry of a log that nobody writes here.
SELDOM_TAKEN = frozenset(
    {
        "cancelPayment", "cancelRefund", "capturePayment", "createInstrument",
        "enableWebhookEndpoint", "exportEvidence", "readCheckpoint", "readTile", "registerKey",
    }
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Probed")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def document(stack: Gateway) -> Document:
    answer = await stack.send(get("/.well-known/countermark-openapi.json"))
    assert answer.status == 200
    document: Document = json.loads(answer.body)
    # Probes sign. Nothing generated is a token with its proof: those have tests of their own.
    for described in (each for path in document["paths"].values() for each in path.values()):
        described["security"] = described["security"][:1]
    return document


@pytest_asyncio.fixture(loop_scope="session")
async def adapter(stack: Gateway, told: Told) -> SigningAdapter:
    published = await stack.send(get("/.well-known/countermark-keys"))
    keys = keys_from_jwks(published.body)
    return SigningAdapter(stack, asyncio.get_running_loop(), told.merchant.key, keys)


def put(document: Document, change: Callable[[dict[str, Any], Document], object]) -> Document:
    """A document that differs in what reading a payment may answer."""
    planted = copy.deepcopy(document)
    change(planted["paths"]["/v1/payments/{payment_id}"]["get"]["responses"], planted)
    return planted


# What is taken out of the document, or put in, is what a gateway would answer without having declared it.
PLANTED: dict[str, Callable[[dict[str, Any], Document], object]] = {
    "UndefinedStatusCode": lambda responses, _: responses.pop("404"),
    "UndefinedContentType": lambda responses, _: responses["200"].update(content={"text/plain": {}}),
    "MissingHeaders": lambda responses, _: responses["200"]["headers"].update(
        Missing={"required": True, "schema": {"type": "string"}}
    ),
    "JsonSchemaError": lambda _, planted: planted["components"]["schemas"]["Payment"].update(maxProperties=3),
    "CustomFailure": lambda responses, _: responses["200"]["headers"].pop("ETag"),  # fields_are_declared
}


@pytest.mark.parametrize("finding", PLANTED)
async def test_a_probe_finds_what_a_document_lacks(
    told: Told, document: Document, adapter: SigningAdapter, finding: str
) -> None:
    read = BY_ROUTE["GET", "/v1/payments/{payment_id}"]
    planted = put(document, PLANTED[finding])

    with pytest.raises(FailureGroup) as found:
        await asyncio.to_thread(probe, planted, read, GenerationMode.POSITIVE, adapter, told.ids)

    kinds = {type(fault).__name__ for fault in found.value.exceptions}
    assert {finding} == kinds, found.value


async def test_a_probe_finds_a_gateway_that_fails(
    stack: Gateway, told: Told, document: Document, adapter: SigningAdapter
) -> None:
    read = BY_ROUTE["GET", "/v1/payments/{payment_id}"]
    await stack.relay.cut()
    try:
        with pytest.raises(FailureGroup) as found:
            await asyncio.to_thread(probe, document, read, GenerationMode.POSITIVE, adapter, told.ids)
    finally:
        await stack.relay.mend()
        await stack.await_ready()

    assert {"ServerError"} == {type(fault).__name__ for fault in found.value.exceptions}
    assert {503} == set(adapter.statuses)


@pytest.mark.parametrize("operation", ORDER, ids=lambda each: each.name)
async def test_no_probe_is_answered_with_what_the_document_lacks(
    stack: Gateway, told: Told, document: Document, adapter: SigningAdapter, operation: Operation
) -> None:
    for mode in modes_of(operation):
        await asyncio.to_thread(probe, document, operation, mode, adapter, told.ids | {"tile": "0/000"})

    assert 0 == await stack.counter("gateway_undeclared_answers_total")
    print(operation.name, adapter.statuses)
    # Whoever is always turned away has found out little.
    assert operation.name in SELDOM_TAKEN or set(operation.answers) & set(adapter.statuses)

"""A delivery is a span of its payment's trace, and its receiver is told which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from services.node import tracing
from services.node.config_file import TracesConfig
from services.node.trace_context import TRACEPARENT, root_span_id_of, trace_id_of, traceparent
from tests.integration.node.collector import collecting
from tests.integration.node.mtls import spiffe
from tests.integration.notifications.stack import Stack, event
from tests.integration.notifications.webhook_receiver import Receiver


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    tracing._queue = None


async def test_the_receiver_is_told_the_span_of_its_delivery(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())
    sent = event(1)
    payment_id = str(sent["payment_id"])
    with collecting(stack.postgres.pki.identity("payments"), spiffe("notifications")) as collector:
        traces = TracesConfig(f"https://127.0.0.1:{collector.port}", spiffe("payments"))
        tracing.set_up_tracing(msgspec.structs.replace(stack.node("notifications"), traces=traces))
        async with stack.running(receiver.address):
            await stack.publish(sent)
            await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
        trace_id = trace_id_of(payment_id)
        (span,) = await asyncio.to_thread(collector.until, trace_id, 1)

    assert traceparent(trace_id, int(span.span_id, 16)) == receiver.seen[0].header(TRACEPARENT)
    assert ("webhook", f"{root_span_id_of(payment_id):016x}") == (span.name, span.parent_id)
    assert 204 == span.attributes["http.response.status_code"]


async def test_while_nobody_is_told_the_receiver_is_not_either(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])

    assert TRACEPARENT not in {name.lower() for name, _ in receiver.seen[0].headers}

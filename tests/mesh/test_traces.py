"""One payment followed from the edge to its webhook: one trace, told over mutual TLS by whoever had it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from compose.derive.configuration import CONFIG_FILE
from compose.derive.process_config import TRACING, process_config
from compose.launcher.layout import write_readable
from compose.launcher.stack import Stack
from compose.mesh import Mesh
from services.node.trace_context import root_span_id_of, span_id_of, trace_id_of
from tests.integration.node.collector import Collector, Span, collecting
from tests.integration.node.load import until
from tests.mesh.enrolled_merchant import EnrolledMerchant

COLLECTOR = "supervisor"  # Any workload with a leaf may collect; this one has no listener of its own.
ONCE = ("edge", "accept", "screen", "bank send", "bank")
BY = {
    "edge": "countermark-edge", "accept": "countermark-gateway", "screen": "countermark-payments",
    "bank send": "countermark-payments", "bank": "countermark-banks", "webhook": "countermark-notifications",
}  # fmt: skip


@asynccontextmanager
async def traced(stack: Stack) -> AsyncIterator[Collector]:
    """The stack with the configuration that `[traces]` in its mesh.toml gives it, and as it was before."""
    admitted = (stack.mesh.spiffe(name) for name in TRACING)
    with collecting(stack.places.identity(COLLECTOR), *admitted) as collector:
        traces = {"url": f"https://127.0.0.1:{collector.port}", "collector": COLLECTOR}
        await configure(stack, replace(stack.mesh, traces=traces))
        try:
            yield collector
        finally:
            await configure(stack, stack.mesh)


async def configure(stack: Stack, mesh: Mesh) -> None:
    """Write the configuration of whoever tells spans anew, and let it be read."""
    before = stack.supervisor.pids()
    for name in TRACING:
        text = process_config(mesh, mesh.services[name], stack.places)
        write_readable(stack.layout.run / name / CONFIG_FILE, text, stack.accounts[name])
        os.kill(before[name], signal.SIGTERM)
    for name in TRACING:
        await until(partial(runs_anew, stack, name, before[name]))


def runs_anew(stack: Stack, name: str, before: int) -> bool:
    return stack.supervisor.pids().get(name, before) != before and stack.supervisor.has_been_ready(name)


async def test_one_trace_follows_a_payment_from_the_edge_to_its_webhook(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    others = (secrets.token_hex(16), secrets.token_hex(8))
    async with traced(stack) as collector:
        request = merchant.sign_payment().with_headers((("traceparent", f"00-{others[0]}-{others[1]}-01"),))
        payment_id = merchant.accepted(await merchant.wire.send(request))
        assert "succeeded" == await merchant.settled(payment_id)
        events = await merchant.inbox.wait_terminal(payment_id)

        def is_whole(found: list[Span]) -> bool:
            names = [span.name for span in found]
            return set(ONCE) <= set(names) and names.count("webhook") >= len(events)

        spans = await asyncio.to_thread(collector.until_seen, trace_id_of(payment_id), is_whole)

    named = {span.name: span for span in spans}
    root = f"{root_span_id_of(payment_id):016x}"
    assert (root, "", (others,)) == (named["edge"].span_id, named["edge"].parent_id, named["edge"].links)
    assert {root} == {span.parent_id for span in spans if span.name not in ("edge", "bank")}
    assert named["bank"].parent_id == named["bank send"].span_id
    attempt_id = str(named["bank send"].attributes["countermark.attempt_id"])
    assert f"{span_id_of('attempt', attempt_id):016x}" == named["bank send"].span_id
    assert [1] * len(ONCE) == [sum(span.name == name for span in spans) for name in ONCE]
    assert BY == {span.name: span.service for span in spans}
    assert {payment_id} == {span.attributes["countermark.payment_id"] for span in spans}
    # The edge's own stamp of when it took the request, then one after the other.
    began = [named[name].began_ns for name in ("edge", "accept", "bank send", "bank")]
    assert began == sorted(set(began))
    assert ["confirmed", 202] == [
        named["bank"].attributes["countermark.outcome"],
        named["accept"].attributes["http.response.status_code"],
    ]


async def test_what_is_told_holds_nothing_that_was_sent(stack: Stack, merchant: EnrolledMerchant) -> None:
    async with traced(stack) as collector:
        request = merchant.sign_payment()
        payment_id = merchant.accepted(await merchant.wire.send(request))
        await asyncio.to_thread(collector.until, trace_id_of(payment_id), len(ONCE))

    sent = (request.body or b"", merchant.key.key_id.encode(), b"tok_", b"-----BEGIN")
    assert not [part for part in sent for body in collector.bodies if part in body]

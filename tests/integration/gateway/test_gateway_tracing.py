"""An accepted payment begins its trace; headers about tracing change nothing else."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import replace

import msgspec

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.config_file import TracesConfig
from services.node.trace_context import root_span_id_of, trace_id_of
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import header, payment_request
from tests.integration.gateway.second_worker import second_worker
from tests.integration.node.collector import collecting

OTHERS_TRACE = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
TRACEPARENT = ("traceparent", f"00-{OTHERS_TRACE[0]}-{OTHERS_TRACE[1]}-01")


async def test_the_edge_and_the_acceptance_are_the_beginning_of_a_payments_trace(stack: Gateway) -> None:
    merchant = await stack.merchant()
    collector_id = spiffe_id("edge", TRUST_DOMAIN_DEFAULT)
    with collecting(
        stack.server.pki.identity("edge"), spiffe_id("gateway", TRUST_DOMAIN_DEFAULT)
    ) as collector:
        traces = TracesConfig(f"https://127.0.0.1:{collector.port}", collector_id)
        traced = replace(stack, config=msgspec.structs.replace(stack.config, traces=traces))
        async with second_worker(traced, name="traced") as worker:
            came = ("X-Request-Start", f"t={time.time() - 0.25:.6f}")
            request = worker.sign(payment_request(), merchant.key).with_headers((TRACEPARENT, came))
            answer = await worker.send(request)
            payment_id = json.loads(answer.body)["id"]
            spans = await asyncio.to_thread(collector.until, trace_id_of(payment_id), 2)

    edge, accept = sorted(spans, key=lambda span: span.name, reverse=True)
    root = f"{root_span_id_of(payment_id):016x}"
    assert ("edge", root, "", (OTHERS_TRACE,)) == (edge.name, edge.span_id, edge.parent_id, edge.links)
    assert ("accept", root, 202) == (
        accept.name, accept.parent_id, accept.attributes["http.response.status_code"]
    )  # fmt: skip
    assert header(answer, "Request-Id") == accept.attributes["countermark.request_id"]
    assert 250_000_000 <= edge.took_ns - accept.took_ns < 1_000_000_000
    sent = request.body or b""
    assert not any(sent in body or merchant.key.key_id.encode() in body for body in collector.bodies)


async def test_a_retry_with_other_tracing_headers_is_a_repeat_and_none_is_evidence(stack: Gateway) -> None:
    merchant = await stack.merchant()
    order = payment_request(key=secrets.token_urlsafe(24))
    others = (("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"), ("tracestate", "a=b"))

    first = await stack.send(stack.sign(order, merchant.key).with_headers((TRACEPARENT,)))
    again = await stack.send(stack.sign(order, merchant.key).with_headers(others))

    assert (first.status, first.body) == (again.status, again.body)
    (record,) = await stack.query(
        "select request_head from evidence.record where subject = $1", json.loads(first.body)["id"]
    )
    assert b"trace" not in record["request_head"].lower()

from __future__ import annotations

import asyncio

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, payment_request

NOTICED_S_MAX = 5.0


async def aborted(stack: Gateway) -> float:
    """How many requests of senders that hung up were counted."""
    page = await stack.refusals_by_code()
    return page.get("sender_gone", 0.0)


async def test_a_sender_that_hangs_up_is_counted_and_is_no_fault_of_ours(stack: Gateway) -> None:
    before, errors = await aborted(stack), stack.log().count('"level":"error"')
    context = client_context(
        stack.server.pki.identity("gateway-sidecar"),
        expect=frozenset({spiffe_id("gateway", TRUST_DOMAIN_DEFAULT)}),
    )
    edge = spiffe_id("edge", TRUST_DOMAIN_DEFAULT)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", stack.config.listen.port, ssl=context)
        head = f"POST /v1/payments HTTP/1.1\r\nHost: {HOST}\r\nx-forwarded-client-cert: URI={edge}\r\n"
        writer.write(f"{head}Content-Length: 5000\r\n\r\n".encode() + b"{")
        await writer.drain()
        writer.transport.abort()

    async with asyncio.timeout(NOTICED_S_MAX):
        while await aborted(stack) < before + 3:  # noqa: ASYNC110 - another process's count
            await asyncio.sleep(0.02)
    merchant = await stack.merchant()
    accepted = await stack.send(stack.sign(payment_request(), merchant.key))

    assert errors == stack.log().count('"level":"error"')
    assert 202 == accepted.status

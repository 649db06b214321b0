"""A running gateway takes new certificates in all that it does, and no merchant notices."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, get, payment_request
from tests.integration.node.generations import renew
from tests.integration.node.load import under_load, until_seen

ROTATIONS = 4


async def identity_of(stack: Gateway) -> dict[str, Any]:
    answer = await stack.send(Request("GET", f"{ORIGIN}/identity", (), None), caller="pki")
    assert 200 == answer.status
    document: dict[str, Any] = json.loads(answer.body)
    return document


def serials_in_use(seen: dict[str, Any]) -> set[str]:
    """Of the listener, of what clients dial with, and of everything that they have open."""
    found = {seen["server"]["serial"]}
    for client in seen["clients"]:
        found |= {client["serial"], *client["serials_open"]}
    return found


async def test_a_gateway_rotates_under_load_without_a_failed_request(stack: Gateway) -> None:
    merchant = await stack.merchant()

    async def pay() -> None:
        answer = await stack.send(stack.sign(payment_request(), merchant.key))
        assert 202 == answer.status, answer.body

    async def read() -> None:
        answer = await stack.send(stack.sign(get("/v1/payments/pay_eu_none"), merchant.key))
        assert 404 == answer.status, answer.body

    async def a_read_is_remembered() -> bool:
        before = await stack.counter("gateway_reads_unremembered_total")
        await read()
        return before == await stack.counter("gateway_reads_unremembered_total")

    async with under_load(pay, read) as meter:
        await meter.until_more(10)
        for _ in range(ROTATIONS):
            await renew(stack.server.pki, "postgres")
            os.kill(stack.server.process_id, signal.SIGHUP)
            await renew(stack.server.pki, "gateway-sidecar")
            serial = await renew(stack.server.pki, "gateway")

            async def is_taken(serial: str = serial) -> bool:
                return {serial} == serials_in_use(await identity_of(stack))

            await until_seen(is_taken)
            await meter.until_more(10)
    seen = await identity_of(stack)

    assert [] == meter.faults
    # The second one hears of revocations.
    assert ["postgres", "postgres", "redis", "vault"] == sorted(client["name"] for client in seen["clients"])
    # Nobody asks the vault here: nothing is paid with an instrument that it keeps.
    assert all(client["open"] >= 1 for client in seen["clients"] if client["name"] != "vault")
    # The cache is in use with the last of these leaves; on a busy host some of its answers came too late.
    await until_seen(a_read_is_remembered)

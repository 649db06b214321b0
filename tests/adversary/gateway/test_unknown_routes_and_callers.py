from __future__ import annotations

import pytest

from signing import Request
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, get, header, payment_request, post


async def test_an_unknown_route_is_not_found_and_the_answer_signed_if_the_request_was(
    stack: Gateway,
) -> None:
    merchant = await stack.merchant()

    await refuse(stack, get("/v1/nothing"), 404, "not_found", rows=0, signed=False)
    signed = stack.sign(post("/v1/nothing", b"{}"), merchant.key)
    await refuse(stack, signed, 404, "not_found", rows=1, signed=True)


async def test_a_wrong_method_is_told_the_right_ones(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = Request("DELETE", f"{ORIGIN}/v1/payments", payment_request().headers, b"{}")

    answer = await refuse(
        stack, stack.sign(request, merchant.key), 405, "method_not_allowed", rows=1, signed=True
    )

    assert header(answer, "Allow") == "GET, POST"


@pytest.mark.parametrize("caller", [None, "payments", "supervisor", "gateway-sidecar"])
async def test_a_caller_other_than_the_edge_reaches_nothing(stack: Gateway, caller: str | None) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    before = await stack.footprint()

    answer = await stack.send(request, caller=caller)

    assert answer.status == 403
    assert before == await stack.footprint()


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
async def test_the_edge_cannot_read_what_is_for_the_supervisor(stack: Gateway, path: str) -> None:
    answer = await stack.send(get(path), caller="edge")

    assert answer.status == 403


@pytest.mark.parametrize("peer", ["edge", "payments-sidecar", "gateway"])
async def test_a_tls_peer_other_than_the_own_sidecar_gets_not_one_byte(stack: Gateway, peer: str) -> None:
    with pytest.raises(OSError):
        await stack.send(get("/.well-known/countermark-keys"), peer=peer)

    good = await stack.send(get("/.well-known/countermark-keys"))
    assert good.status == 200

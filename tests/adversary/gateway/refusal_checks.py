"""What every refusal must be like: its code, nothing left behind but its audit row, and service goes on."""

from __future__ import annotations

from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import header, payment_request, problem

AUDIT = "audit.entry"


async def refuse(
    stack: Gateway, request: Request | bytes, status: int, code: str, *, rows: int, signed: bool
) -> Response:
    """Send a bad request and check all that a refusal promises.

    Args:
        stack: the running product.
        request: what is sent; bytes go out exactly as they are.
        status: the expected status.
        code: the expected code of the problem.
        rows: how many rows the audit log gains: 1 if the request names a registered key, else 0.
        signed: whether the answer must carry a receipt, because the sender was recognised.
    """
    merchant = await stack.merchant()
    before = await stack.footprint()

    answer = await (stack.send_raw(request) if isinstance(request, bytes) else stack.send(request))

    assert (status, code) == (answer.status, problem(answer)["code"]), answer.body
    assert header(answer, "Content-Type") == "application/problem+json"
    assert before | {AUDIT: before[AUDIT] + rows} == await stack.footprint()
    if rows:
        last = (await stack.query(f"select code, request_id from {AUDIT} order by position desc limit 1"))[0]
        assert (code, header(answer, "Request-Id")) == (last["code"], last["request_id"])
    if signed:
        assert isinstance(request, Request)
        await stack.receipt(request, answer)
    else:
        assert header(answer, "Signature") is None
    good = await stack.send(stack.sign(payment_request(), merchant.key))
    assert good.status == 202, "the process must answer the next good request"
    return answer

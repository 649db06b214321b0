"""What every refusal must be like: its code, nothing left behind but its records, and service goes on."""

from __future__ import annotations

from gateway.access.kept_request import refused_body
from signing import Request, Response, parse_request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, header, payment_request, problem

AUDIT, EVIDENCE = "audit.entry", "evidence.record"


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
        signed: whether the answer must carry a receipt, because the signature held; if the key is a
            registered one, too, the whole exchange is kept as evidence.
    """
    merchant = await stack.merchant()
    before = await stack.footprint()

    answer = await (stack.send_raw(request) if isinstance(request, bytes) else stack.send(request))

    assert (status, code) == (answer.status, problem(answer)["code"]), answer.body
    assert header(answer, "Content-Type") == "application/problem+json"
    kept = rows if signed else 0
    left = {AUDIT: before[AUDIT] + rows, EVIDENCE: before[EVIDENCE] + kept}
    assert before | left == await stack.footprint()
    if rows:
        last = (
            await stack.query(
                f"select code, request_id from {AUDIT} where kind = 'refusal' order by position desc limit 1"
            )
        )[0]
        assert (code, header(answer, "Request-Id")) == (last["code"], last["request_id"])
    if signed:
        assert isinstance(request, Request)
        await stack.receipt(request, answer)
        if kept:
            await require_evidence(stack, request, answer, code)
    else:
        assert header(answer, "Signature") is None
    good = await stack.send(stack.sign(payment_request(), merchant.key))
    assert good.status == 202, "the process must answer the next good request"
    return answer


async def require_evidence(stack: Gateway, request: Request, answer: Response, code: str) -> None:
    """The whole exchange is kept: what was said, what was answered, and both signatures."""
    request_id = header(answer, "Request-Id")
    (row,) = await stack.query("select * from evidence.record where subject = $1", request_id)
    signed = parse_request(request, origins=frozenset({ORIGIN}))
    receipt = await stack.receipt(request, answer)

    assert ("refusal", f"refused:{code}") == (row["kind"], row["decision"])
    assert (signed.signature_base, signed.signature) == (row["request_base"], row["request_signature"])
    assert answer.body == row["response_body"]
    assert (receipt.signature_base, receipt.signature) == (row["receipt_base"], row["receipt_signature"])
    # The unit tests of `refused_body` say what is withheld, and why.
    route = request.target_uri.removeprefix(ORIGIN).partition("?")[0]
    # A method that the route has not matches no route.
    matched = (request.method, route) == ("POST", "/v1/payments")
    assert (refused_body(request, route) if matched else None) == row["request_body"]

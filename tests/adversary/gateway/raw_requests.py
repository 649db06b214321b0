"""A signed payment as exact bytes on the wire, each line of which a test may change."""

from __future__ import annotations

from collections.abc import Callable

from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, header, payment_request

CALLER = "By=spiffe://countermark.internal/gateway-sidecar;URI=spiffe://countermark.internal/edge"
Lines = list[str]


def unchanged(lines: Lines) -> Lines:
    return lines


def wire(
    request: Request,
    change: Callable[[Lines], Lines] = unchanged,
    *,
    target: str | None = None,
    host: str = HOST,
    line_end: str = "\r\n",
) -> bytes:
    """Return the bytes of a request, as the sidecar would hand them on.

    Args:
        request: what was signed.
        change: takes the head's lines, request line first, and returns what is sent instead.
        target: stands in the request line instead of the signed target.
        host: the value of Host.
        line_end: ends every line of the head.
    """
    body = request.body or b""
    shown = request.target_uri.removeprefix(ORIGIN) if target is None else target
    lines = [f"{request.method} {shown} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"x-forwarded-client-cert: {CALLER}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    return line_end.join([*change(lines), "", ""]).encode("latin-1") + body


def replacing(name: str, change: Callable[[str], str]) -> Callable[[Lines], Lines]:
    """Change one header line."""
    return lambda lines: [change(line) if line.startswith(f"{name}: ") else line for line in lines]


def adding(*more: str) -> Callable[[Lines], Lines]:
    """Put lines after the others."""
    return lambda lines: [*lines, *more]


async def refuse_as_no_http(stack: Gateway, octets: bytes) -> Response:
    """Send what the HTTP parser itself must refuse: 400, no receipt, no row, not a word of it in the log.

    Such a refusal has no code of ours, because no request was read.
    """
    merchant = await stack.merchant()
    before, logged = await stack.footprint(), len(stack.log())

    answer = await stack.send_raw(octets)

    assert 400 == answer.status, answer
    assert header(answer, "Signature") is None
    assert before == await stack.footprint()
    for secret in ("countermark=", "sha-256=", "order-1", merchant.key.key_id, "Idempotency-Key"):
        assert secret not in stack.log()[logged:]
    good = await stack.send(stack.sign(payment_request(), merchant.key))
    assert 202 == good.status
    return answer

"""Attacks 16, 17 and 19 to 25 through the product's two Envoys: what they change, and what becomes of it.

A proxy may rewrite what carries no meaning, and then the signature still holds over what it says; whatever it
passes on or joins, the gateway refuses. Nothing that is refused leaves anything behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from signing import Request
from tests.adversary.gateway.edge_in_front import Edge, running_edge
from tests.adversary.gateway.raw_requests import CALLER, Lines, adding, replacing, unchanged, wire
from tests.adversary.gateway.refusal_checks import AUDIT
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, header, payment_request, problem

_COVERED = {
    "Content-Type": (415, "unsupported_media"),
    "Content-Digest": (400, "digest_malformed"),
    "Idempotency-Key": (400, "idempotency_key_invalid"),
    "Signature-Input": (400, "signature_malformed"),
    "Signature": (400, "signature_malformed"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(stack: Gateway) -> AsyncIterator[Edge]:
    async with running_edge(stack) as running:
        yield running


def as_a_merchant(octets: bytes) -> bytes:
    """Take out the line that the sidecar adds: a merchant has none."""
    return octets.replace(f"x-forwarded-client-cert: {CALLER}".encode(), b"X-Nothing: 1", 1)


async def signed(stack: Gateway) -> Request:
    return stack.sign(payment_request(), (await stack.merchant()).key)


async def accept(stack: Gateway, edge: Edge, request: Request, octets: bytes) -> None:
    """Send what must be accepted, as what was signed and as nothing else."""
    answer = await edge.send_raw(as_a_merchant(octets))

    assert 202 == answer.status, answer
    # The receipt covers method, target, digest and signature of the very request that was signed.
    await stack.receipt(request, answer)


async def refuse(stack: Gateway, edge: Edge, octets: bytes, status: int, code: str | None) -> None:
    """Send what must be refused; None for a refusal of the proxy itself, which has no code of ours."""
    before = await stack.footprint()

    answer = await edge.send_raw(as_a_merchant(octets))

    assert status == answer.status, answer
    if code is not None:
        assert code == problem(answer)["code"]
    assert header(answer, "Signature") is None
    after = await stack.footprint()
    assert before | {AUDIT: after[AUDIT]} == after


@pytest.mark.parametrize(
    ("change", "target", "line_end"),
    [
        (unchanged, None, "\r\n"),
        (unchanged, None, "\n"),
        (unchanged, f"{ORIGIN}/v1/payments", "\r\n"),
        *((replacing(name, lambda line: line.replace(": ", ":\r\n ", 1)), None, "\r\n") for name in _COVERED),
        (adding(f"x-forwarded-client-cert: {CALLER}"), None, "\r\n"),
        (adding("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http"), None, "\r\n"),
        (adding("X-HTTP-Method-Override: DELETE", "x-envoy-original-path: /v1/keys"), None, "\r\n"),
        (adding("X-A: b\nX-C: d"), None, "\r\n"),
    ],
    ids=[
        "unchanged", "bare line feeds", "absolute form of our origin",
        *(f"folded {name}" for name in _COVERED), "forged caller", "forwarded host",
        "overridden", "a bare line feed",
    ],
)  # fmt: skip
async def test_what_the_proxies_rewrite_without_a_change_of_meaning_is_accepted_as_it_was_signed(
    stack: Gateway, edge: Edge, change: Callable[[Lines], Lines], target: str | None, line_end: str
) -> None:
    request = await signed(stack)

    await accept(stack, edge, request, wire(request, change, target=target, line_end=line_end))


@pytest.mark.parametrize(
    "target",
    [
        "/v1/./payments", "/v1//payments", "/v1/x/../payments", "/v1/../v1/payments", "/v1/%70ayments",
        "/v1/payments?", "/v1/payments;x=1", "/v1/payments/", "/v1/payments%zz", "/v1/payments%00",
        "http://evil.example/v1/payments", "https://evil.example/v1/payments",
        "https://pay.countermark.example:443/v1/payments", "https://pay.countermark.example/v1/./payments",
    ],
)  # fmt: skip
async def test_another_spelling_of_the_target_is_refused_and_says_that_it_is_the_spelling(
    stack: Gateway, edge: Edge, target: str
) -> None:
    # Had an Envoy normalised it, the gateway could not tell: this holds that none does. The edge refuses what
    # is strange in itself, the gateway what is another host's.
    await refuse(stack, edge, wire(await signed(stack), target=target), 400, "target_not_canonical")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1%2Fpayments", 400), ("/v1\\payments", 400), ("//v1/payments", 400), ("/V1/payments", 404),
        ("//evil.example/v1/payments", 400), ("/metrics", 404), ("/healthz", 404), ("/v1/payments#a", 400),
        ("/v1/p\xe9yments", 400), ("*", 400), ("v1/payments", 400), (f"{HOST}:443", 400),
    ],
)  # fmt: skip
async def test_a_target_that_is_no_merchants_ends_at_the_edge(
    stack: Gateway, edge: Edge, target: str, status: int
) -> None:
    await refuse(stack, edge, wire(await signed(stack), target=target), status, None)


async def test_a_query_added_on_the_way_is_refused(stack: Gateway, edge: Edge) -> None:
    octets = wire(await signed(stack), target="/v1/payments?a=1")

    await refuse(stack, edge, octets, 401, "signature_invalid")


@pytest.mark.parametrize("name", _COVERED)
async def test_a_covered_header_that_goes_on_in_the_next_line_is_refused(
    stack: Gateway, edge: Edge, name: str
) -> None:
    octets = wire(await signed(stack), replacing(name, lambda line: f"{line}\r\n more"))

    await refuse(stack, edge, octets, *_COVERED[name])


@pytest.mark.parametrize("name", _COVERED)
@pytest.mark.parametrize("case", [str, str.upper, str.lower])
async def test_a_covered_header_that_occurs_twice_is_refused_whether_joined_or_not(
    stack: Gateway, edge: Edge, name: str, case: Callable[[str], str]
) -> None:
    request = await signed(stack)
    octets = wire(request, adding(f"{case(name)}: {dict(request.headers)[name]}"))
    # Envoy joins two Content-Type with a comma, and passes the others on as they are.
    codes = {"Content-Type": (415, "unsupported_media"), "Idempotency-Key": (400, "idempotency_key_invalid")}

    await refuse(stack, edge, octets, *codes.get(name, (400, "header_duplicated")))


@pytest.mark.parametrize("host", ["evil.example", HOST.upper(), f"{HOST}:443", f"{HOST},evil.example"])
async def test_another_host_is_refused(stack: Gateway, edge: Edge, host: str) -> None:
    await refuse(stack, edge, wire(await signed(stack), host=host), 400, "target_not_canonical")


async def test_a_second_host_is_refused(stack: Gateway, edge: Edge) -> None:
    # Envoy joins the two with a comma.
    octets = wire(await signed(stack), adding("Host: evil.example"))

    await refuse(stack, edge, octets, 400, "target_not_canonical")


@pytest.mark.parametrize(
    "line",
    [
        "X-A: b\x00", "X-A\x00: b", "X-A : b", "X-A", ": b", "@method: GET", '"@method": GET', "X_Under: a",
        "Transfer-Encoding: chunked", "Content-Length: 5",
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_line_that_is_no_header_or_another_length_ends_at_the_edge(
    stack: Gateway, edge: Edge, line: str
) -> None:
    await refuse(stack, edge, wire(await signed(stack), adding(line)), 400, None)


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("TRACE", 405, "method_not_allowed"), ("OPTIONS", 405, "method_not_allowed"),
        # No method of any RFC: the edge's parser does not get as far as the path.
        ("post", 400, "request_refused"), ("Post", 400, "request_refused"), ("FOO", 400, "request_refused"),
    ],
)  # fmt: skip
async def test_another_method_is_refused(
    stack: Gateway, edge: Edge, method: str, status: int, code: str
) -> None:
    octets = wire(await signed(stack)).replace(b"POST", method.encode(), 1)

    await refuse(stack, edge, octets, status, code)


async def test_nobody_gets_a_tunnel(stack: Gateway, edge: Edge) -> None:
    await refuse(stack, edge, wire(await signed(stack)).replace(b"POST", b"CONNECT", 1), 400, None)


async def test_a_second_request_behind_the_first_is_not_smuggled(stack: Gateway, edge: Edge) -> None:
    first, second = await signed(stack), await signed(stack)
    before = await stack.footprint()

    await accept(stack, edge, first, wire(first) + wire(second))

    assert before["payments.payment"] + 1 == (await stack.footprint())["payments.payment"]

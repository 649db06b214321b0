"""Each library's own requests, signed by its adapter, judged by the bytes that arrived."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from signing import (
    ReceiptMissing,
    ReceiptRefused,
    ReceiptSignatureInvalid,
    RedirectRefused,
    UnsignableRequest,
    VerifiedRequest,
    parse_request,
    verify_request,
)
from tests.integration.signing.adapter_senders import (
    ASYNC,
    SENDERS,
    Sender,
    by_aiohttp,
    by_async_httpx,
    by_httpx,
    by_requests,
)
from tests.integration.signing.wire_server import (
    WireServer,
    http,
    parse_raw,
    running_wire_server,
    signed_answer,
)
from tests.unit.signing import signing_samples as samples

KEY = '"order-2041-attempt-1"'
JSON = {"amount": 1999, "currency": "EUR", "note": "Grüße ✓"}
ACTING = {"Idempotency-Key": KEY}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    def accept(raw: bytes) -> bytes:
        return signed_answer(raw, samples.GATEWAY, 202, samples.ANSWER)

    with running_wire_server(tmp_path_factory.mktemp("wire"), accept) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: WireServer) -> None:
    server.received.clear()
    server.script.clear()


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Sender:
    return SENDERS[request.param]


def verified(server: WireServer, raw: bytes) -> VerifiedRequest:
    """Verify the very bytes of the wire as the gateway does."""
    signed = parse_request(parse_raw(raw), origins=frozenset({server.origin}))
    keys = {key.key_id: key.verifying_key for key in samples.MERCHANT_KEYS}
    return verify_request(signed, keys[signed.key_id], now=int(time.time()))


@pytest.mark.parametrize("signer", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
def test_a_json_body_arrives_as_it_was_signed(server: WireServer, send: Sender, signer: Any) -> None:
    got = send(server, "POST", "/v1/payments", json=JSON, headers=ACTING, signer=signer)
    (raw,) = server.received
    claims = verified(server, raw)

    assert (202, samples.ANSWER) == (got.status, got.body)
    assert JSON == json.loads(claims.request.body or b"")
    assert ("POST", "order-2041-attempt-1") == (claims.request.method, claims.idempotency_key)


def test_the_bytes_of_a_body_arrive_as_they_were_given(server: WireServer, send: Sender) -> None:
    body = b'{ "amount":1999,\n "spaces":  true }\n'
    headers = ACTING | {"Content-Type": "application/json"}
    send(server, "POST", "/v1/payments", data=body, headers=headers)
    (raw,) = server.received

    assert body == verified(server, raw).request.body


@pytest.mark.parametrize("target", ["/v1/payments/pay_eu_1", "/v1/payments?limit=5&status=failed"])
def test_a_read_arrives_as_it_was_signed(server: WireServer, send: Sender, target: str) -> None:
    send(server, "GET", target)
    (raw,) = server.received

    assert server.origin + target == verified(server, raw).request.target_uri


def test_query_parameters_that_the_library_writes_are_the_signed_ones(
    server: WireServer, send: Sender
) -> None:
    send(server, "GET", "/v1/payments", params={"limit": "5", "status": "failed"})
    (raw,) = server.received

    assert raw.startswith(b"GET /v1/payments?limit=5&status=failed HTTP/1.1\r\n")
    assert "GET" == verified(server, raw).request.method


def test_an_answer_is_asked_for_unencoded(server: WireServer, send: Sender) -> None:
    send(server, "GET", "/v1/payments/pay_eu_1")
    (request,) = server.requests()

    assert ["identity"] == [value for name, value in request.headers if name.lower() == "accept-encoding"]


def test_each_exchange_has_its_own_nonce(server: WireServer, send: Sender) -> None:
    for _ in range(2):
        send(server, "GET", "/v1/payments/pay_eu_1")

    assert 2 == len({verified(server, raw).nonce for raw in server.received})


@pytest.mark.parametrize(
    ("method", "target", "options"),
    [
        ("GET", "/v1/payments/%2Fay", {}),
        ("GET", "/v1/payments", {"params": {"name": "a b"}}),
        ("GET", "/v2/payments", {}),
        ("POST", "/v1/payments", {"json": JSON}),
        ("POST", "/v1/payments", {"headers": ACTING}),
        ("POST", "/v1/payments", {"json": JSON, "headers": {"Idempotency-Key": "bare-and-unquoted"}}),
        ("POST", "/v1/payments", {"json": JSON, "headers": ACTING | {"Content-Encoding": "gzip"}}),
        ("POST", "/v1/payments", {"data": b"{}", "headers": ACTING | {"Content-Type": "text/plain"}}),
        ("GET", "/v1/payments", {"headers": {"Host": "other.example"}}),
        ("GET", "/v1/payments", {"headers": {"Signature": "countermark=:AA==:"}}),
        ("PURGE", "/v1/payments", {}),
    ],
    ids=str,
)
def test_what_the_gateway_would_refuse_is_not_sent(
    server: WireServer, send: Sender, method: str, target: str, options: dict[str, Any]
) -> None:
    with pytest.raises(UnsignableRequest):
        send(server, method, target, **options)

    assert [] == server.received


def test_a_streamed_body_is_refused(server: WireServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{}"

    async def async_pieces() -> Any:
        yield b"{}"

    headers = ACTING | {"Content-Type": "application/json"}
    for name, sender in SENDERS.items():
        for body in (async_pieces() if name in ASYNC else pieces(),):
            with pytest.raises(UnsignableRequest):
                sender(server, "POST", "/v1/payments", data=body, headers=headers)
            with pytest.raises(UnsignableRequest):
                sender(server, "POST", "/v1/payments", data=body, headers=headers | {"Content-Length": "2"})

    assert [] == server.received


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["/v1/refunds", "https://127.0.0.1:1/v1/payments"])
def test_a_redirect_is_never_followed(server: WireServer, send: Sender, status: int, place: str) -> None:
    server.script.append(lambda _: http(status, (("Location", place),), b""))

    with pytest.raises(RedirectRefused):
        send(server, "POST", "/v1/payments", json=JSON, headers=ACTING, allow_redirects=True)
    assert 1 == len(server.received)


def test_a_receipt_is_verified_and_kept(server: WireServer, send: Sender) -> None:
    keys = {samples.GATEWAY.key_id: samples.GATEWAY.verifying_key}
    got = send(server, "POST", "/v1/payments", json=JSON, headers=ACTING, keys=keys.get)

    assert got.receipt is not None
    assert (samples.GATEWAY.key_id, samples.ANSWER) == (got.receipt.key_id, got.receipt.response.body)


def _tampered(raw: bytes) -> bytes:
    answer = signed_answer(raw, samples.GATEWAY, 202, samples.ANSWER)
    return answer.replace(b"202 Accepted", b"200 OK", 1)


def _unsigned(_: bytes) -> bytes:
    return http(202, (("Content-Type", "application/json"),), samples.ANSWER)


def _encoded(raw: bytes) -> bytes:
    answer = signed_answer(raw, samples.GATEWAY, 202, samples.ANSWER)
    return answer.replace(b"Content-Type:", b"Content-Encoding: identity\r\nContent-Type:", 1)


@pytest.mark.parametrize(
    ("script", "error"),
    [(_tampered, ReceiptSignatureInvalid), (_unsigned, ReceiptMissing), (_encoded, ReceiptRefused)],
)
def test_a_result_that_is_not_provably_the_gateways_is_refused(
    server: WireServer, send: Sender, script: Any, error: type[ReceiptRefused]
) -> None:
    keys = {samples.GATEWAY.key_id: samples.GATEWAY.verifying_key}
    server.script.append(script)

    with pytest.raises(error):
        send(server, "POST", "/v1/payments", json=JSON, headers=ACTING, keys=keys.get)


def test_an_unsigned_refusal_is_let_through_without_a_receipt(server: WireServer, send: Sender) -> None:
    keys = {samples.GATEWAY.key_id: samples.GATEWAY.verifying_key}
    server.script.append(lambda _: http(503, (("Retry-After", "1"),), b""))
    got = send(server, "GET", "/v1/payments/pay_eu_1", keys=keys.get)

    assert (503, None) == (got.status, got.receipt)


class _Remote:
    """A key that has to be awaited."""

    alg = samples.MERCHANT_P256.alg
    key_id = samples.MERCHANT_P256.key_id
    verifying_key = samples.MERCHANT_P256.verifying_key

    async def sign(self, base: bytes, /) -> bytes:
        await asyncio.sleep(0)
        return samples.MERCHANT_P256.sign(base)


def test_a_key_that_is_awaited_signs_in_asynchronous_clients_alone(server: WireServer, send: Sender) -> None:
    if send in (by_requests, by_httpx):
        with pytest.raises(UnsignableRequest):
            send(server, "GET", "/v1/payments/pay_eu_1", signer=_Remote())

        assert [] == server.received
    else:
        send(server, "GET", "/v1/payments/pay_eu_1", signer=_Remote())

        assert samples.MERCHANT_P256.key_id == verified(server, server.received[0]).key_id


def _elsewhere(request: httpx.Request) -> None:
    request.url = request.url.copy_with(path="/v1/refunds")


def _with_another_key(request: httpx.Request) -> None:
    request.headers["Idempotency-Key"] = '"another-idempotency-key"'


def _with_another_host(request: httpx.Request) -> None:
    request.headers["Host"] = "other.example"


def _with_another_method(request: httpx.Request) -> None:
    request.method = "PUT"


@pytest.mark.parametrize("change", [_elsewhere, _with_another_key, _with_another_host, _with_another_method])
def test_a_hook_of_httpx_that_changes_a_signed_request_keeps_it_from_being_sent(
    server: WireServer, change: Callable[[httpx.Request], None]
) -> None:
    async def change_later(request: httpx.Request) -> None:
        change(request)

    for sender, hook in ((by_httpx, change), (by_async_httpx, change_later)):
        with pytest.raises(UnsignableRequest, match="after it was signed"):
            sender(server, "POST", "/v1/payments", json=JSON, headers=ACTING, event_hooks={"request": [hook]})

    assert [] == server.received


@pytest.mark.parametrize(
    "options", [{"chunked": True}, {"compress": "deflate"}], ids=["chunked", "compressed"]
)
def test_aiohttp_sends_no_other_bytes_than_the_signed_ones(
    server: WireServer, options: dict[str, Any]
) -> None:
    with pytest.raises(UnsignableRequest):
        by_aiohttp(server, "POST", "/v1/payments", json=JSON, headers=ACTING, **options)

    assert [] == server.received


def test_a_trace_of_the_callers_own_still_runs(server: WireServer) -> None:
    events: list[str] = []

    async def later(event: str, _: Any) -> None:
        events.append(event)

    by_httpx(server, "GET", "/v1/payments", extensions={"trace": lambda event, _: events.append(event)})
    once = events.count("http11.send_request_headers.started")
    by_async_httpx(server, "GET", "/v1/payments", extensions={"trace": later})

    assert (1, 2) == (once, events.count("http11.send_request_headers.started"))

"""One call for each library: send a request through its adapter, return what came of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import requests

from signing import VerifiedReceipt
from signing.adapters.aiohttp_middleware import AIOHTTPMiddleware
from signing.adapters.httpx_auth import HTTPXAuth
from signing.adapters.requests_auth import RequestsAuth
from tests.integration.signing.wire_server import WireServer
from tests.unit.signing import signing_samples as samples


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    receipt: VerifiedReceipt | None


Sender = Callable[..., Got]


def by_requests(server: WireServer, method: str, target: str, **options: Any) -> Got:
    auth = RequestsAuth(options.pop("signer", samples.MERCHANT_ED25519), keys=options.pop("keys", None))
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(server.cafile)
        answer = session.request(method, server.origin + target, auth=auth, timeout=20, **options)
        return Got(answer.status_code, answer.content, auth.receipt_of(answer))


def _for_httpx(options: dict[str, Any]) -> dict[str, Any]:
    if "data" in options:
        options["content"] = options.pop("data")
    return options


def by_httpx(server: WireServer, method: str, target: str, **options: Any) -> Got:
    auth = HTTPXAuth(options.pop("signer", samples.MERCHANT_ED25519), keys=options.pop("keys", None))
    context = ssl.create_default_context(cafile=str(server.cafile))
    follow = options.pop("allow_redirects", False)
    hooks = options.pop("event_hooks", None)
    with httpx.Client(
        verify=context, auth=auth, trust_env=False, follow_redirects=follow, event_hooks=hooks
    ) as client:
        answer = client.request(method, server.origin + target, **_for_httpx(options))
        return Got(answer.status_code, answer.content, auth.receipt_of(answer))


def by_async_httpx(server: WireServer, method: str, target: str, **options: Any) -> Got:
    auth = HTTPXAuth(options.pop("signer", samples.MERCHANT_ED25519), keys=options.pop("keys", None))
    context = ssl.create_default_context(cafile=str(server.cafile))
    follow = options.pop("allow_redirects", False)

    hooks = options.pop("event_hooks", None)

    async def send() -> Got:
        async with httpx.AsyncClient(
            verify=context, auth=auth, trust_env=False, follow_redirects=follow, event_hooks=hooks
        ) as client:
            answer = await client.request(method, server.origin + target, **_for_httpx(options))
            return Got(answer.status_code, answer.content, auth.receipt_of(answer))

    return asyncio.run(send())


def by_aiohttp(server: WireServer, method: str, target: str, **options: Any) -> Got:
    signer = options.pop("signer", samples.MERCHANT_ED25519)
    middleware = AIOHTTPMiddleware(signer, keys=options.pop("keys", None))
    context = ssl.create_default_context(cafile=str(server.cafile))

    async def send() -> Got:
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as session,
            session.request(method, server.origin + target, **options) as answer,
        ):
            return Got(answer.status, await answer.read(), middleware.receipt_of(answer))

    return asyncio.run(send())


SENDERS: dict[str, Sender] = {
    "requests": by_requests,
    "httpx": by_httpx,
    "httpx-async": by_async_httpx,
    "aiohttp": by_aiohttp,
}
ASYNC = ("httpx-async", "aiohttp")

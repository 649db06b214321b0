"""A merchant's receiver: a real HTTPS server with a certificate of an authority that is not ours."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web

from signing import VerifiedWebhook, VerifyingKey, WebhookSecret, verify_webhook

WAIT_S_MAX = 20.0


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        (value,) = [v for n, v in self.headers if n.lower() == name.lower()]
        return value

    def verify(self, key: VerifyingKey | WebhookSecret) -> VerifiedWebhook:
        return verify_webhook(self.headers, self.body, [key], now=int(time.time()))


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def accept(_: web.Request) -> web.StreamResponse:
    """Acknowledge."""
    return web.Response(status=204)


@dataclass
class Receiver:
    """What came in, and how each further request is answered: first `script` in order, then `answer`."""

    port: int = 0
    seen: list[Received] = field(default_factory=list)
    script: list[Answer] = field(default_factory=list)
    answer: Answer = accept
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/hook") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def wait_for(self, count: int) -> list[Received]:
        """Return what came in as soon as it is `count` requests."""
        async with asyncio.timeout(WAIT_S_MAX), self.changed:
            await self.changed.wait_for(lambda: len(self.seen) >= count)
        return list(self.seen)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path_qs, list(request.headers.items()), await request.read())
        async with self.changed:
            self.seen.append(received)
            self.changed.notify_all()
        answer = self.script.pop(0) if self.script else self.answer
        return await answer(request)


@asynccontextmanager
async def running_receiver(authority: trustme.CA, port: int = 0) -> AsyncIterator[Receiver]:
    """Serve on a port from the kernel, on loopback, or on one that the kernel gave before."""
    receiver = Receiver()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


def write_trust(authority: trustme.CA, folder: Path) -> Path:
    """Write the receiver's authority where a configuration can name it."""
    path = folder / "receivers.pem"
    authority.cert_pem.write_to_path(path)
    return path

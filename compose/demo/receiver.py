"""The merchant's webhook receiver: believes nothing that does not carry the gateway's signature."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from compose.demo.receiver_certificate import CERTIFICATE_FILE, KEY_FILE
from compose.launcher.ports import LOOPBACK
from signing import SigningError, VerifyingKey, verify_webhook

PATH = "/webhooks"
BODY_BYTES_MAX = 64 * 1024  # An event is below 20 KiB.
TERMINAL = ("payment.succeeded", "payment.failed")


class Inbox:
    """Verified events by payment, each once, whatever the number of deliveries."""

    def __init__(self, notify: Callable[[dict[str, Any]], None]) -> None:
        self.events: dict[str, dict[int, dict[str, Any]]] = {}
        self.refused = 0
        self._notify = notify
        self._arrived = asyncio.Condition()

    async def add(self, event: dict[str, Any]) -> None:
        """Keep one verified event."""
        known = self.events.setdefault(event["payment_id"], {})
        if event["sequence"] not in known:
            known[event["sequence"]] = event
            self._notify(event)
        async with self._arrived:
            self._arrived.notify_all()

    async def wait_terminal(self, payment_id: str) -> list[dict[str, Any]]:
        """Wait for the terminal event and all before it; in order of sequence."""

        def complete() -> bool:
            known = self.events.get(payment_id, {})
            last = [n for n, event in known.items() if event["type"] in TERMINAL]
            return bool(last) and set(known) >= set(range(1, last[0] + 1))

        async with self._arrived:
            await self._arrived.wait_for(complete)
        return [event for _, event in sorted(self.events[payment_id].items())]


@asynccontextmanager
async def receive_webhooks(
    folder: Path, port: int, keys: Callable[[], list[VerifyingKey]], inbox: Inbox
) -> AsyncIterator[None]:
    """Listen on the port that the launcher reserved, with the merchant's own certificate."""

    async def accept(request: web.Request) -> web.Response:
        body = await request.read()
        fields = [(k.decode().lower(), v.decode("latin-1")) for k, v in request.raw_headers]
        try:
            verify_webhook(fields, body, keys(), now=int(time.time()))
        except SigningError as refusal:
            inbox.refused += 1
            return web.Response(status=400, text=str(refusal))
        await inbox.add(json.loads(body))
        return web.Response(status=204)

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post(PATH, accept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=context).start()
    try:
        yield
    finally:
        await runner.cleanup()

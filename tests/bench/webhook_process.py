"""A process of many merchants' webhook receiver: believes no event without the gateway's signature.

`python -m tests.bench.webhook_process FOLDER PORT JWKS`: says `ready`; then, for `count`, how many payments'
ends have come, and for the name of a file, having written everything there and begun anew, `told`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
import time
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web

from compose.demo.receiver import BODY_BYTES_MAX, PATH
from compose.demo.receiver_certificate import CERTIFICATE_FILE, KEY_FILE
from compose.launcher.ports import LOOPBACK
from services.node.listener import BACKLOG
from signing import SigningError, VerifyingKey, keys_from_jwks, verify_webhook
from tests.bench.load_order import Arrivals

_ENDS = frozenset({"payment.succeeded", "payment.failed"})


class Receiver:
    """What has come so far.

    Args:
        keys: The gateway's.
    """

    def __init__(self, keys: list[VerifyingKey]) -> None:
        self._keys = keys
        self._ended_s: dict[str, float] = {}
        self._succeeded = 0
        self._deliveries = 0
        self._refused = 0

    async def accept(self, request: web.Request) -> web.Response:
        """Verify one webhook and keep when a payment's end was told first."""
        body = await request.read()
        fields = [(name.decode().lower(), value.decode("latin-1")) for name, value in request.raw_headers]
        try:
            verify_webhook(fields, body, self._keys, now=int(time.time()))
        except SigningError as refusal:
            self._refused += 1
            return web.Response(status=400, text=str(refusal))
        event = json.loads(body)
        self._deliveries += 1
        if event["type"] in _ENDS and event["payment_id"] not in self._ended_s:
            self._ended_s[event["payment_id"]] = time.monotonic()
            self._succeeded += event["type"] == "payment.succeeded"
        return web.Response(status=204)

    @property
    def ended(self) -> int:
        """Of how many payments the end has come."""
        return len(self._ended_s)

    def take(self) -> Arrivals:
        """What has come since the last call."""
        found = Arrivals(self._ended_s, self._succeeded, self._deliveries, self._refused)
        self._ended_s, self._succeeded, self._deliveries, self._refused = {}, 0, 0, 0
        return found


async def main(folder: Path, port: int, jwks: Path) -> None:
    """Receive until standard input ends."""
    receiver = Receiver(list(keys_from_jwks(jwks.read_bytes()).values()))
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post(PATH, receiver.accept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=context, backlog=BACKLOG).start()
    _say("ready")
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "count":
            _say(str(receiver.ended))
        else:
            Path(line).write_bytes(msgspec.json.encode(receiver.take()))
            _say("told")
    await runner.cleanup()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))

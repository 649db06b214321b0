"""A handler that only answers, where the gateway would be: what its mesh costs without its work.

`python -m tests.bench.only_answers HOST PORT IDENTITY SPIFFE_ID`: mutual TLS as the gateway's own listener,
admitting one peer; every POST is read and answered with the size of a true answer.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from pki.tls import server_context
from services.node.listener import BACKLOG

# As long as a true answer and its receipt.
_BODY = b'{"id":"pay_eu_' + b"0" * 26 + b'","object":"payment"' + b" " * 180 + b"}"
_FIELDS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Location": "/v1/payments/pay_eu_" + "0" * 26,
    "Retry-After": "1",
    "Request-Id": "req_eu_" + "0" * 26,
    "Gateway-Version": "2026-10-01",
    "Content-Digest": "sha-256=:" + "0" * 44 + ":",
    "Signature-Input": "countermark=" + "0" * 420,
    "Signature": "countermark=:" + "0" * 88 + ":",
}


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=202, body=_BODY, headers=_FIELDS)


async def main(host: str, port: int, identity: str, admitted: str) -> None:
    """Serve until standard input ends."""
    app = web.Application()
    app.router.add_post("/{anything:.*}", _answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    context = server_context(Path(identity), admit=frozenset({admitted}))
    await web.SockSite(runner, listener, ssl_context=context, backlog=BACKLOG).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))

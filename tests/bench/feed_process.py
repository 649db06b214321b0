"""One process of `feed`: `python -m tests.bench.feed_process ROLE FILE`, told line by line on standard input.

Roles: `relay` publishes, `subscriber` takes events and does nothing, `notifications` delivers webhooks,
`receiver` answers them with 204, `bare` only posts. Each says `ready`; `count` is answered by how many there
were, the name of a file by `told` once everything was written there, `go` (bare) by `done`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import uvloop
from aiohttp import web

from services.node.config_file import NatsConfig, NodeConfig, PostgresConfig
from services.node.listener import BACKLOG
from services.node.logs import set_up_logs
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard
from services.node.subscriber import Subscriber, Subscription
from services.notifications.addresses import parse_allowances
from services.notifications.app import CONNECTIONS_MAX
from services.notifications.consumer import DURABLE, STREAM, subscription
from services.notifications.courier import Courier
from services.notifications.egress import open_egress
from services.notifications.events import Event, parse_message
from services.notifications.sealing import SecretOpener, new_seal_key
from services.notifications.sender import SENDING_MAX, Sender
from services.payments.outlets import outlets_for
from services.payments.relay import Relay
from services.payments.store import Store
from signing import SigningKey

LOOPBACK: Final = "127.0.0.1"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is given.

    Attributes:
        port, certificate, key, trust: Of the receiver, and who believes it.
        posts, body: How many the bare client sends, and what.
    """

    node: NodeConfig
    postgres: PostgresConfig
    nats: NatsConfig
    port: int
    certificate: str
    key: str
    trust: str
    posts: int = 0
    body: bytes = b""


class Seen:
    """What came, and when."""

    def __init__(self) -> None:
        self.at: list[tuple[str, int, float]] = []

    async def take(self, events: Sequence[Event]) -> None:
        """Do nothing with them."""
        now = time.time()
        self.at += [(event.payment_id, event.sequence, now) for event in events]

    async def hook(self, request: web.Request) -> web.Response:
        """Read and acknowledge."""
        await request.read()
        self.at.append(("", 0, time.time()))
        return web.Response(status=204)


@asynccontextmanager
async def relay(options: Options, _: Seen) -> AsyncIterator[None]:
    """The engine's publisher without the engine."""
    [outlet] = outlets_for({STREAM: [DURABLE]})
    async with open_pool(options.node, options.postgres, connections_max=2) as pool:
        task = asyncio.create_task(Relay(options.node, options.nats, Store(pool), outlet).run())
        yield
        await cancel_until_heard([task])


@asynccontextmanager
async def subscriber(options: Options, seen: Seen) -> AsyncIterator[None]:
    """A subscriber that parses, and commits nothing."""
    own = Subscription(STREAM, DURABLE, parse_message, seen.take)
    task = asyncio.create_task(Subscriber(options.node, options.nats, own).run())
    yield
    await cancel_until_heard([task])


@asynccontextmanager
async def notifications(options: Options, _: Seen) -> AsyncIterator[None]:
    """The product's own process, put together as its `app.py` does."""
    allowed = parse_allowances([f"{LOOPBACK}:{options.port}"])
    egress = open_egress(allowed, trust_file=options.trust, connections_max=SENDING_MAX)
    opening = open_pool(options.node, options.postgres, connections_max=CONNECTIONS_MAX, by_index=True)
    async with egress, opening as pool:
        courier = Courier(egress, SigningKey.generate("ed25519"), SecretOpener(new_seal_key()), allowed)
        sender = Sender(pool, courier.attempt)
        taking = Subscriber(options.node, options.nats, subscription(sender.take))
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(taking.run())]
        yield
        await cancel_until_heard(tasks)


@asynccontextmanager
async def receiver(options: Options, seen: Seen) -> AsyncIterator[None]:
    """A hundred endpoints, which are paths of one server."""
    app = web.Application()
    app.router.add_post("/hook/{number}", seen.hook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(options.certificate, options.key)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, options.port))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=context, backlog=BACKLOG).start()
    yield
    await runner.cleanup()


async def post_all(options: Options) -> None:
    """Post so many bodies with as many connections as the product has, and look at the status alone."""
    context = ssl.create_default_context(cafile=options.trust)
    connector = aiohttp.TCPConnector(ssl=context, limit=SENDING_MAX)
    async with aiohttp.ClientSession(connector=connector) as session:
        numbers = iter(range(options.posts))

        async def post() -> None:
            for number in numbers:
                url = f"https://{LOOPBACK}:{options.port}/hook/{number % 100}"
                async with session.post(url, data=options.body) as answer:
                    assert answer.status == 204

        await asyncio.gather(*(post() for _ in range(SENDING_MAX)))


async def main(role: str, options: Options) -> None:
    """Do it until standard input ends."""
    seen = Seen()
    if role == "bare":
        _say("ready")
        while (await asyncio.to_thread(sys.stdin.readline)).strip() == "go":
            await post_all(options)
            _say("done")
        return
    running = {"relay": relay, "subscriber": subscriber, "notifications": notifications, "receiver": receiver}
    async with running[role](options, seen):
        _say("ready")
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if line == "count":
                _say(str(len(seen.at)))
            else:
                Path(line).write_bytes(msgspec.json.encode(seen.at))
                seen.at = []
                _say("told")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    set_up_logs("feed", "error")
    uvloop.run(main(sys.argv[1], msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Options)))

"""The node's listener takes new generations while it serves, and lets no connection become too old."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from pki.tls import client_context
from services.node.config_file import ListenConfig
from services.node.identity import identity_in_force
from services.node.listener import Listener
from services.node.server import serve
from tests.integration.node.generations import alone, both, publish, renew, serial_of
from tests.integration.node.load import under_load, until, until_seen
from tests.integration.node.mtls import Answer, Connection, as_client, connected, node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

AS_EDGE = ("x-forwarded-client-cert", f"URI={spiffe('edge')}")
AS_PKI = ("x-forwarded-client-cert", f"URI={spiffe('pki')}")
ROTATIONS = 20
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run one coroutine on each event loop; processes run on uvloop."""

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(coroutine, timeout=120))

    return runner


@dataclass
class Node:
    """A gateway that answers slowly or at once, with an authority of its own."""

    pki: ThrowAwayPki
    port: int
    folder: Path

    @asynccontextmanager
    async def running(self, *, age_s_max: float = 60.0) -> AsyncIterator[None]:
        async def handle(request: web.Request) -> web.Response:
            await asyncio.sleep(float(request.query.get("s", "0")))
            return web.Response(text="done")

        app = web.Application()
        app.router.add_get("/v1/things", handle)
        listen = ListenConfig(host="127.0.0.1", port=self.port, admit=[spiffe("gateway-sidecar")])
        config = node_config(self.pki, "gateway", self.folder, age_s_max=age_s_max)
        async with serve(app, config, listen, callers={"/v1/things": frozenset({"edge"})}):
            yield

    @property
    def identity(self) -> Path:
        return self.pki.identity("gateway")

    def served(self) -> str:
        return identity_in_force(node_config(self.pki, "gateway", self.folder)).generation.serial

    async def ask_anew(self) -> None:
        async with connected(self.port, as_client(self.pki, "gateway-sidecar")) as connection:
            await ask(connection)

    async def serial_shown(self) -> str:
        async with connected(self.port, as_client(self.pki, "gateway-sidecar")) as connection:
            shown = connection.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
            return f"{int(shown, 16):x}"

    async def until_shown(self, serial: str) -> None:
        async def is_shown() -> bool:
            return serial == await self.serial_shown()

        await until_seen(is_shown)


@dataclass
class KeptAlive:
    """One connection for many requests; dialled again after an answer that said `close`."""

    node: Node
    connection: Connection | None = None
    dialled: int = 0

    async def ask(self) -> None:
        if self.connection is None:
            context = as_client(self.node.pki, "gateway-sidecar")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.node.port, ssl=context, server_hostname="node"
            )
            self.connection = Connection(reader, writer)
            self.dialled += 1
        answer = await ask(self.connection)
        if answer.headers.get("connection") == "close":
            self.connection.writer.transport.abort()
            self.connection = None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.writer.transport.abort()


async def ask(connection: Connection, path: str = "/v1/things") -> Answer:
    answer = await connection.ask(path, AS_EDGE)
    if answer is None or answer.status != 200:
        raise ConnectionError(f"no answer, or another one: {answer}")
    return answer


@pytest.fixture
def node(tmp_path: Path, port: int) -> Node:
    pki = ThrowAwayPki.create(tmp_path / "certs")
    pki.issue("gateway", "gateway-sidecar")
    return Node(pki, port, tmp_path)


def test_twenty_generations_are_taken_under_load_without_a_failed_request(node: Node, run: Run) -> None:
    async def rotate() -> None:
        kept = [KeptAlive(node) for _ in range(2)]
        async with node.running():
            async with under_load(node.ask_anew, kept[0].ask, node.ask_anew, kept[1].ask) as meter:
                for _ in range(ROTATIONS):
                    await node.until_shown(await renew(node.pki, "gateway"))
                    await meter.until_more(8)
            for client in kept:
                client.close()

        assert [] == meter.faults
        assert meter.succeeded >= 8 * ROTATIONS
        assert [1, 1] == [client.dialled for client in kept]

    run(rotate())


def test_swaps_in_a_row_lose_no_connection_that_was_just_accepted(node: Node, run: Run) -> None:
    async def swap() -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="done")

        app = web.Application()
        app.router.add_get("/v1/things", answer)
        identity = identity_in_force(node_config(node.pki, "gateway", node.folder))
        runner = web.AppRunner(app, access_log=None)
        listen = ListenConfig(host="127.0.0.1", port=node.port, admit=[spiffe("gateway-sidecar")])
        listener = Listener(runner, listen, identity)
        await runner.setup()
        await listener.start()
        async with under_load(node.ask_anew, workers=8) as meter:
            while meter.succeeded < 500 and not meter.faults:
                await listener._take(identity.generation)
        await listener.stop()
        await runner.cleanup()

        assert [] == meter.faults

    run(swap())


def test_the_meter_counts_what_fails_when_a_leaf_is_served_that_nobody_trusts(node: Node, run: Run) -> None:
    foreign = ThrowAwayPki.create(node.folder / "foreign")
    foreign.issue("gateway")

    async def rotate() -> None:
        async with node.running(), under_load(node.ask_anew) as meter:
            await meter.until_more(8)
            publish(node.identity, **alone(foreign.identity("gateway")))
            await until(lambda: len(meter.faults) >= 4)

        assert "SSLCertVerificationError" in meter.faults[-1]

    run(rotate())


def test_a_root_that_was_removed_is_refused_by_handshake_and_by_resumption(node: Node, run: Run) -> None:
    after = ThrowAwayPki.create(node.folder / "after")
    after.issue("gateway", "gateway-sidecar")
    expect = frozenset({spiffe("gateway")})

    async def status(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> int:
        return await asyncio.to_thread(blocking_status, node.port, context, session)

    async def rotate() -> None:
        old = publish(
            node.pki.identity("gateway-sidecar"),
            **both(node.pki.identity("gateway-sidecar"), after.identity("gateway-sidecar")),
        )
        remembering = client_context(old, expect=expect)
        new = client_context(after.identity("gateway-sidecar"), expect=expect)
        async with node.running():
            sessions: list[ssl.SSLSession | None] = []
            assert 200 == await asyncio.to_thread(
                blocking_status, node.port, remembering, None, sessions.append
            )
            publish(node.identity, **both(node.identity, after.identity("gateway")))
            await until(lambda: serial_of(node.identity) == node.served())
            publish(node.identity, **alone(after.identity("gateway")))
            await until(lambda: serial_of(node.identity) == node.served())

            assert 0 == await status(remembering)
            if sessions[0] is not None:
                assert 0 == await status(remembering, sessions[0])
            assert 200 == await status(new)

    run(rotate())


def blocking_status(
    port: int,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    keep: Callable[[ssl.SSLSession | None], None] = lambda _: None,
) -> int:
    """Status of one request over a blocking socket, which alone lets a client offer a session; 0: refused."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        wrapped = context.wrap_socket(plain, server_hostname="node", session=session)
        with wrapped:
            try:
                field = f"{AS_EDGE[0]}: {AS_EDGE[1]}"
                wrapped.sendall(f"GET /v1/things HTTP/1.1\r\nhost: node\r\n{field}\r\n\r\n".encode())
                head = wrapped.recv(4096)
            except OSError:
                return 0
            keep(wrapped.session)
    return int(head.split(b" ")[1]) if head else 0


async def test_a_mismatched_pair_leaves_the_old_generation_serving_until_a_good_one_comes(node: Node) -> None:
    stranger = ThrowAwayPki.create(node.folder / "stranger")
    stranger.issue("gateway")
    before = serial_of(node.identity)
    key = (stranger.identity("gateway") / "key.pem").read_bytes()
    async with node.running(), under_load(node.ask_anew) as meter:
        publish(node.identity, key=key)
        await identity_in_force(node_config(node.pki, "gateway", node.folder)).look()
        await meter.until_more(20)

        assert before == await node.serial_shown()
        assert before == node.served()

        await node.until_shown(await renew(node.pki, "gateway"))

    assert [] == meter.faults


async def test_an_idle_connection_is_ended_before_its_age(node: Node) -> None:
    async with (
        node.running(age_s_max=2.0),
        connected(node.port, as_client(node.pki, "gateway-sidecar")) as silent,
        connected(node.port, as_client(node.pki, "gateway-sidecar")) as asked,
    ):
        began = time.monotonic()
        await ask(asked)

        assert await silent.is_ended_by_the_server()
        silent_s = time.monotonic() - began
        assert await asked.is_ended_by_the_server()
        asked_s = time.monotonic() - began

    assert 1.7 < silent_s < 2.0
    assert 1.7 < asked_s < 2.0


async def test_kept_connections_are_replaced_in_time_and_no_answer_is_cut(node: Node) -> None:
    kept = KeptAlive(node)
    async with node.running(age_s_max=2.0):
        async with under_load(kept.ask, workers=1) as meter:
            await until(lambda: kept.dialled >= 4)
        kept.close()

    assert [] == meter.faults


async def test_a_request_that_is_under_way_at_the_age_is_cut(node: Node) -> None:
    async with (
        node.running(age_s_max=1.0),
        connected(node.port, as_client(node.pki, "gateway-sidecar")) as connection,
    ):
        began = time.monotonic()
        answer = await connection.ask("/v1/things?s=3", AS_EDGE)
        age_s = time.monotonic() - began

    assert answer is None
    assert 0.9 < age_s < 1.2

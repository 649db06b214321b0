"""How a listener stops: it says so, takes nothing new, and answers what it has taken."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from services.node import server
from services.node.config_file import ListenConfig
from services.node.server import serve
from tests.integration.node.mtls import Answer, Connection, as_client, connected, node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

AS_EDGE = ("x-forwarded-client-cert", f"By={spiffe('gateway-sidecar')};URI={spiffe('edge')}")
AS_SUPERVISOR = ("x-forwarded-client-cert", f"URI={spiffe('supervisor')}")
CALLERS = {"/v1/things": frozenset({"edge"})}
NOTICE_S = 0.3


@dataclass
class Draining:
    """A listener whose answers wait until the test lets them go."""

    pki: ThrowAwayPki
    port: int
    folder: Path
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    checks: dict[str, str] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self, *, notice_s: float = 0.0) -> None:
        async def handle(_: web.Request) -> web.Response:
            self.taken.set()
            await self.let_go.wait()
            return web.Response(text="done")

        async def now(_: web.Request) -> web.Response:
            return web.Response(text="now")

        app = web.Application()
        app.router.add_get("/v1/things", handle)
        app.router.add_get("/v1/things/now", now)
        listen = ListenConfig(host="127.0.0.1", port=self.port, admit=[spiffe("gateway-sidecar")])
        config = node_config(self.pki, "gateway", self.folder)
        await self._stack.enter_async_context(
            serve(app, config, listen, callers=CALLERS, checks=lambda: self.checks, notice_s=notice_s)
        )

    def begin_to_stop(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._stack.aclose())

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return connected(self.port, as_client(self.pki, "gateway-sidecar"))

    async def ask_anew(self, path: str, *fields: tuple[str, str]) -> Answer | None:
        async with self.connect() as connection:
            return await connection.ask(path, *fields)

    async def until_refused(self) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    async with self.connect():
                        pass
                except ConnectionRefusedError:
                    return


@pytest.fixture
def draining(pki: ThrowAwayPki, port: int, tmp_path: Path) -> Draining:
    return Draining(pki, port, tmp_path)


async def test_what_was_taken_is_answered_and_nothing_new_is_taken(draining: Draining) -> None:
    await draining.start()
    async with draining.connect() as busy:
        asked = asyncio.create_task(busy.ask("/v1/things", AS_EDGE))
        await draining.taken.wait()
        stopping = draining.begin_to_stop()
        await draining.until_refused()
        draining.let_go.set()
        answer = await asked
        ended = await busy.is_ended_by_the_server()
    await stopping

    assert answer is not None
    assert (200, "close", True) == (answer.status, answer.headers["connection"], ended)


async def test_a_request_on_a_kept_connection_is_still_taken_and_its_answer_is_the_last(
    draining: Draining,
) -> None:
    await draining.start()
    async with draining.connect() as kept:
        before = await kept.ask("/v1/things/now", AS_EDGE)
        stopping = draining.begin_to_stop()
        await draining.until_refused()
        after = await kept.ask("/v1/things/now", AS_EDGE)
        ended = await kept.is_ended_by_the_server()
    await stopping

    assert before is not None
    assert after is not None
    assert (None, "close") == tuple(answer.headers.get("connection") for answer in (before, after))
    assert ended


@pytest.mark.parametrize("used", [True, False])
async def test_an_idle_connection_keeps_nobody(
    draining: Draining, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    monkeypatch.setattr(server, "DRAIN_S_MAX", 60.0)  # Far above what this test waits.
    await draining.start()
    async with draining.connect() as idle:
        if used:
            assert await idle.ask("/v1/things/now", AS_EDGE) is not None
        async with asyncio.timeout(10):
            stopping = draining.begin_to_stop()

            assert await idle.is_ended_by_the_server()
            await stopping


async def test_what_never_ends_is_cut_at_the_limit(
    draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN_S_MAX", 0.6)
    await draining.start()
    async with draining.connect() as busy:
        asked = asyncio.create_task(busy.ask("/v1/things", AS_EDGE))
        await draining.taken.wait()
        async with asyncio.timeout(10):
            await draining.begin_to_stop()

        assert await asked is None


async def test_readiness_says_no_before_anything_is_refused(draining: Draining) -> None:
    await draining.start(notice_s=NOTICE_S)
    before = await draining.ask_anew("/healthz/ready", AS_SUPERVISOR)
    stopping = draining.begin_to_stop()
    await asyncio.sleep(0)
    told = await draining.ask_anew("/healthz/ready", AS_SUPERVISOR)
    live = await draining.ask_anew("/healthz/live", AS_SUPERVISOR)
    served = await draining.ask_anew("/v1/things/now", AS_EDGE)
    await stopping

    assert [200, 503, 200, 200] == [answer.status for answer in (before, told, live, served) if answer]
    assert told is not None
    assert "draining" == json.loads(told.body)["status"]


@pytest.mark.parametrize(("found", "status"), [("ok", "ready"), ("away", "degraded")])
async def test_readiness_tells_what_it_was_made_of(draining: Draining, found: str, status: str) -> None:
    draining.checks = {"redis": found}
    await draining.start()

    answer = await draining.ask_anew("/healthz", AS_SUPERVISOR)
    await draining.begin_to_stop()

    assert answer is not None
    assert (200, {"status": status, "checks": {"redis": found}}) == (answer.status, json.loads(answer.body))

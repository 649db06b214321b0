"""Calls between services go on while both sides change their certificates, and connections stay young."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from services.node.client_connections import ClientReport
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig
from services.node.errors import HopUnknown
from services.node.hop_client import HopClient
from services.node.identity import identity_in_force
from services.node.server import serve
from tests.integration.node.generations import alone, both, publish, renew, serial_of
from tests.integration.node.load import Meter, under_load, until
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

ROTATIONS = 6
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run one coroutine on each event loop; processes run on uvloop."""

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(coroutine, timeout=120))

    return runner


@dataclass
class Hop:
    """A caller `payments` and a callee `banks`, without sidecars between them."""

    pki: ThrowAwayPki
    port: int
    folder: Path
    ages_s: list[float] = field(
        default_factory=list
    )  # Of the connection, at each request, as the callee sees.
    _first_seen: dict[object, float] = field(default_factory=dict)

    def config(self, name: str, age_s_max: float) -> NodeConfig:
        return node_config(self.pki, name, self.folder, age_s_max=age_s_max)

    def report(self) -> ClientReport:
        (client,) = identity_in_force(self.config("payments", 0)).clients
        return client.report()

    @asynccontextmanager
    async def running(
        self, *, age_s_max: float = 60.0, callee_age_s_max: float | None = None, timeout_s: float = 5.0
    ) -> AsyncIterator[HopClient]:
        async def handle(request: web.Request) -> web.Response:
            now = time.monotonic()
            self.ages_s.append(now - self._first_seen.setdefault(request.protocol, now))
            await asyncio.sleep(float(request.query.get("s", "0")))
            return web.Response(body=await request.read())

        app = web.Application()
        app.router.add_post("/v1/attempts", handle)
        listen = ListenConfig(host="127.0.0.1", port=self.port, admit=[spiffe("payments")])
        config = self.config("banks", callee_age_s_max or age_s_max)
        callers = {"/v1/attempts": frozenset({"payments"})}
        egress = EgressConfig(url=f"https://127.0.0.1:{self.port}", expect=spiffe("banks"))
        client = HopClient(
            self.config("payments", age_s_max), egress, timeout_s=timeout_s, believes_unsent=False
        )
        async with serve(app, config, listen, callers=callers, behind_sidecar=False):
            await client.start()
            try:
                yield client
            finally:
                await client.close()

    @asynccontextmanager
    async def loaded(self, client: HopClient) -> AsyncIterator[Meter]:
        async def ask() -> None:
            answer = await client.call("POST", "/v1/attempts", b'{"amount":1}')
            assert (200, b'{"amount":1}') == (answer.status, answer.body)

        async with under_load(ask) as meter:
            await meter.until_more(10)
            yield meter


@pytest.fixture
def hop(tmp_path: Path, port: int) -> Hop:
    pki = ThrowAwayPki.create(tmp_path / "certs")
    pki.issue("payments", "banks")
    return Hop(pki, port, tmp_path)


def test_both_sides_rotate_under_load_without_a_failed_call(hop: Hop, run: Run) -> None:
    async def rotate() -> None:
        async with hop.running() as client, hop.loaded(client) as meter:
            for _ in range(ROTATIONS):
                await renew(hop.pki, "banks")
                serial = await renew(hop.pki, "payments")
                await until(lambda serial=serial: list(hop.report().serials_open) == [serial])  # type: ignore[misc]
                await meter.until_more(20)
            seen = hop.report()

        assert [] == meter.faults
        assert ("banks", serial) == (seen.name, seen.serial)
        assert [] == identity_in_force(hop.config("payments", 0)).clients

    run(rotate())


def test_a_root_rotates_in_stages_under_load_without_a_failed_call(hop: Hop, run: Run) -> None:
    after = ThrowAwayPki.create(hop.folder / "after")
    after.issue("payments", "banks")
    names = ("payments", "banks")

    async def rotate() -> None:
        async with hop.running() as client, hop.loaded(client) as meter:
            joined = {name: both(hop.pki.identity(name), after.identity(name)) for name in names}
            for files in (
                joined,  # Both roots are trusted,
                {name: alone(after.identity(name)) | joined[name] for name in names},  # then leaves are new,
                {name: alone(after.identity(name)) for name in names},  # then one root is.
            ):
                for name in names:
                    publish(hop.pki.identity(name), **files[name])
                for name in names:
                    identity, config = hop.pki.identity(name), hop.config(name, 0)
                    await until(lambda i=identity, c=config: _is_in_force(c, i))  # type: ignore[misc]
                serial = serial_of(hop.pki.identity("payments"))
                await until(lambda serial=serial: list(hop.report().serials_open) == [serial])  # type: ignore[misc]
                await meter.until_more(20)

        assert [] == meter.faults

    run(rotate())


def _is_in_force(config: NodeConfig, identity: Path) -> bool:
    return identity_in_force(config).generation.folder == identity.resolve()


async def test_the_meter_counts_what_fails_with_a_leaf_that_the_callee_does_not_trust(hop: Hop) -> None:
    foreign = ThrowAwayPki.create(hop.folder / "foreign")
    foreign.issue("payments")
    files = alone(foreign.identity("payments"))
    async with hop.running() as client, hop.loaded(client) as meter:
        publish(hop.pki.identity("payments"), cert=files["cert"], key=files["key"])
        await until(lambda: len(meter.faults) >= 4)

    assert any("HopUnknown" in fault or "HopUnsent" in fault for fault in meter.faults)


async def test_a_mismatched_pair_leaves_the_client_as_it_is(hop: Hop) -> None:
    foreign = ThrowAwayPki.create(hop.folder / "foreign")
    foreign.issue("payments")
    before = serial_of(hop.pki.identity("payments"))
    async with hop.running() as client, hop.loaded(client) as meter:
        publish(hop.pki.identity("payments"), key=alone(foreign.identity("payments"))["key"])
        await identity_in_force(hop.config("payments", 0)).look()
        await meter.until_more(20)
        seen = hop.report()

    assert [] == meter.faults
    assert (before, [before]) == (seen.serial, list(seen.serials_open))


async def test_connections_under_load_are_left_before_either_side_must_end_them(hop: Hop) -> None:
    oldest_s: list[float] = []
    async with (
        hop.running(age_s_max=2.0, callee_age_s_max=60.0, timeout_s=0.5) as client,
        hop.loaded(client) as meter,
    ):
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 5
        while loop.time() < until_s:
            oldest_s.append(hop.report().oldest_age_s)
            await meter.until_more(1)

    assert [] == meter.faults
    assert 1.0 < max(oldest_s) < 1.6
    assert 1.0 < max(hop.ages_s) < 1.6


async def test_a_server_that_says_close_first_is_left_without_a_failed_call(hop: Hop) -> None:
    async with (
        hop.running(age_s_max=60.0, callee_age_s_max=1.0) as client,
        hop.loaded(client) as meter,
    ):
        seen: set[int] = set()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 4
        while loop.time() < until_s:
            seen.add(round(hop.report().oldest_age_s))
            await meter.until_more(1)

    assert [] == meter.faults
    assert max(seen) <= 1


async def test_a_call_is_finished_on_the_old_certificate_when_a_new_one_comes(hop: Hop) -> None:
    before = serial_of(hop.pki.identity("payments"))
    async with hop.running() as client:
        slow = asyncio.create_task(client.call("POST", "/v1/attempts?s=1.5", b"{}"))
        await until(lambda: hop.report().open == 1)
        serial = await renew(hop.pki, "payments")
        await until(lambda: hop.report().serial == serial)
        quick = await client.call("POST", "/v1/attempts", b"{}")
        during = hop.report().serials_open
        answer = await slow
        await until(lambda: before not in hop.report().serials_open)

    assert (200, 200) == (quick.status, answer.status)
    assert {before: 1, serial: 1} == during


async def test_a_call_that_outlasts_the_age_is_unknown(hop: Hop) -> None:
    async with hop.running(age_s_max=1.0, callee_age_s_max=60.0) as client:
        began = time.monotonic()
        with pytest.raises(HopUnknown):
            await client.call("POST", "/v1/attempts?s=3", b"{}")
        cut_s = time.monotonic() - began
        assert 200 == (await client.call("POST", "/v1/attempts", b"{}")).status

    assert 0.8 < cut_s < 1.2

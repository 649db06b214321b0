"""A call ends in time and reads no more than it may, and still tells truthfully what became of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import idle_s_max
from tests.integration.node.test_hop_client import BODY, IMPATIENCE_S, Callee, Hop, answering
from tests.integration.postgres_server import ThrowAwayPki


@pytest.fixture
def hop(pki: ThrowAwayPki, port: int, tmp_path: Path) -> Hop:
    return Hop(pki, Callee(port), tmp_path)


async def test_unsent_when_the_callee_accepts_and_never_shakes_hands(hop: Hop) -> None:
    accepted = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await hop.callee.over.wait()
        writer.transport.abort()

    async with await asyncio.start_server(stall, "127.0.0.1", hop.callee.port, reuse_port=True):
        assert HopUnsent is await hop.fault(timeout_s=IMPATIENCE_S)
        hop.callee.over.set()

    assert accepted.is_set()


async def test_unknown_when_the_answer_is_larger_than_this_call_allows(hop: Hop) -> None:
    async with hop.callee.running(hop.proving(), answering("200 OK", b"x" * 65)), hop.client() as client:
        assert 65 == len((await client.call("POST", "/v1/attempts", BODY, answer_bytes_max=65)).body)
        with pytest.raises(HopUnknown):
            await client.call("POST", "/v1/attempts", BODY, answer_bytes_max=64)


async def test_what_a_callee_sets_as_a_cookie_is_never_carried_back(hop: Hop) -> None:
    behave = answering("200 OK\r\nset-cookie: whose=yours", b"{}")
    async with hop.callee.running(hop.proving(), behave), hop.client() as client:
        for _ in range(2):
            await client.call("POST", "/v1/attempts", BODY)

    assert [False, False] == [b"cookie" in request.lower() for request in hop.callee.requests]


@pytest.mark.parametrize(
    ("age_s", "is_sidecar", "kept_s"), [(10, True, 0.5), (10, False, 2), (300, True, 2), (300, False, 2)]
)
def test_an_idle_connection_is_left_before_the_other_side_leaves_it(
    age_s: float, is_sidecar: bool, kept_s: float
) -> None:
    assert kept_s == idle_s_max(age_s, is_sidecar=is_sidecar)

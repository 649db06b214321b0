"""Answers to a batch that break off or lie: what came stays true, the rest is unknown, seldom unsent.

The banks service is played by the test, behind its own certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from services.banks.batches import (
    BATCH_ANSWER_BYTES_MAX,
    BATCHES_PATH,
    LINES_TYPE,
    read_batch,
    write_answer,
)
from services.banks.client import BanksClient
from services.banks.messages import AttemptAnswer
from services.node.config_file import ListenConfig, NodeConfig
from services.node.hop_client import UNSENT_HEADER, HopClient
from services.node.server import serve
from tests.integration.banks.bank_parts import Parts, attempt, spiffe
from tests.integration.postgres_server import PostgresServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Half of it is for the handshake.
CALL_S_MAX = 2.0


@asynccontextmanager
async def _client(parts: Parts) -> AsyncIterator[BanksClient]:
    config = NodeConfig(**parts.node("payments"))
    hop = HopClient(config, parts.egress("banks"), timeout_s=CALL_S_MAX, believes_unsent=True)
    await hop.start()
    try:
        yield BanksClient(hop)
    finally:
        await hop.close()


@asynccontextmanager
async def _playing(parts: Parts, handler: Handler) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post(BATCHES_PATH, handler)
    listen = ListenConfig(host="127.0.0.1", port=parts.ports["banks"], admit=[spiffe("payments")])
    callers = {BATCHES_PATH: frozenset({"payments"})}
    config = NodeConfig(**parts.node("banks"))
    async with serve(app, config, listen, callers=callers, behind_sidecar=False):
        yield


async def _outcomes(parts: Parts, handler: Handler, items: int = 3) -> list[str]:
    """What each of so many attempts in one batch came to: an outcome, or the kind of fault."""
    async with _playing(parts, handler), _client(parts) as client:
        return await _sent(client, items)


async def _sent(client: BanksClient, items: int) -> list[str]:
    calls = [client.send(attempt(number)) for number in range(items)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [each.outcome if isinstance(each, AttemptAnswer) else type(each).__name__ for each in found]


def _saying(body: bytes, *, is_cut: bool = False) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert 3 == len(read_batch(await request.read()).items)
        response = web.StreamResponse(headers={"content-type": LINES_TYPE})
        await response.prepare(request)
        await response.write(body)
        if is_cut and request.transport is not None:
            request.transport.close()
        return response

    return handle


def _line(place: int) -> bytes:
    return write_answer(place, AttemptAnswer(f"att_eu_{place}", "pending"))


@pytest.fixture
def alone(tmp_path: Path, postgres: PostgresServer) -> Parts:
    return Parts(tmp_path, postgres, client=None)  # type: ignore[arg-type]  # each test makes its own


@pytest.mark.parametrize(
    ("body", "is_cut"),
    [
        (_line(1), True),
        (_line(1), False),
        (_line(1) + _line(0)[:-1], False),
        (_line(1) + _line(0)[:20], True),
        (_line(1) + b"nonsense\n" + _line(0), False),
        (_line(1) + _line(1) + _line(0), False),
        (_line(1) + _line(3) + _line(0), False),
        (_line(1) + b"\n" + _line(0), False),
        (_line(1) + b" " * BATCH_ANSWER_BYTES_MAX + b"\n" + _line(0), False),
    ],
    ids=["cut", "ended early", "last line without its end", "cut within a line", "a line of nonsense",
         "a second answer", "a place that was not asked", "an empty line", "too much"],
)  # fmt: skip
async def test_what_came_before_a_batch_breaks_stays_true_and_the_rest_is_unknown(
    alone: Parts, body: bytes, is_cut: bool
) -> None:
    assert ["HopUnknown", "pending", "HopUnknown"] == await _outcomes(alone, _saying(body, is_cut=is_cut))


async def test_an_answer_is_there_before_the_others_are(alone: Parts) -> None:
    heard = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(_line(1))
        await heard.wait()
        await response.write(_line(0))
        return response

    async with _playing(alone, handle), _client(alone) as client:
        first, second = (asyncio.create_task(client.send(attempt(number))) for number in range(2))
        assert "pending" == (await second).outcome
        assert not first.done()
        heard.set()
        assert "pending" == (await first).outcome


async def test_what_is_not_answered_in_time_is_unknown(alone: Parts) -> None:
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(_line(2))
        await over.wait()
        return response

    async with _playing(alone, handle), _client(alone) as client:
        assert ["HopUnknown", "HopUnknown", "pending"] == await _sent(client, 3)
        over.set()


@pytest.mark.parametrize("status", [307, 400, 404, 413, 500, 503])
async def test_another_status_than_200_leaves_everything_unknown(alone: Parts, status: int) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, body=_line(0), headers={"location": "https://elsewhere.invalid/"})

    assert ["HopUnknown"] * 3 == await _outcomes(alone, handle)


async def test_only_what_the_next_hop_never_forwarded_is_unsent(alone: Parts) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={UNSENT_HEADER: "1"})

    assert ["HopUnsent"] * 3 == await _outcomes(alone, handle)


async def test_a_service_that_is_not_there_was_sent_nothing(alone: Parts) -> None:
    async with _client(alone) as client:
        assert ["HopUnsent"] * 3 == await _sent(client, 3)


async def test_what_is_given_up_before_it_leaves_never_leaves(alone: Parts) -> None:
    taken: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        taken.extend(item.attempt_id for item in read_batch(await request.read()).items)
        return web.Response(body=_line(0), content_type=LINES_TYPE)

    async with _playing(alone, handle), _client(alone) as client:
        given_up, kept = (asyncio.ensure_future(client.send(attempt(number))) for number in (7, 0))
        asyncio.get_running_loop().call_soon(given_up.cancel)
        assert "pending" == (await kept).outcome
        assert given_up.cancelled()

    assert ["att_eu_0"] == taken

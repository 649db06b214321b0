"""Whoever sends slowly holds a connection for seconds, no worker, and nobody else up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from compose.derive.envoy import HEADERS_S_MAX, REQUEST_S_MAX
from compose.derive.envoy_edge import HANDSHAKE_S_MAX
from tests.adversary.edge.recording_gateway import Door, octets
from tests.adversary.gateway.edge_in_front import read_answer

SENDERS = 100
SLACK_S = 5.0  # A busy host.


async def dribble(writer: asyncio.StreamWriter, rest: AsyncIterator[bytes]) -> None:
    try:
        async for piece in rest:
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


async def fields() -> AsyncIterator[bytes]:
    while True:
        yield b"X-A: b\r\n"
        await asyncio.sleep(0.5)  # the very attack


async def body() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.5)  # the very attack


async def slow_sender(door: Door, head: bytes, rest: AsyncIterator[bytes]) -> tuple[int, float]:
    """Return the answer's status, 0 for none, and after how many seconds it came."""
    reader, writer = await door.edge.connect()
    began = time.monotonic()
    writer.write(head)
    dribbling = asyncio.create_task(dribble(writer, rest))
    try:
        return (await read_answer(reader)).status, time.monotonic() - began
    except ConnectionError:
        return 0, time.monotonic() - began
    finally:
        dribbling.cancel()
        writer.transport.abort()


async def test_slow_headers_end_in_time_and_hold_nobody_else_up(door: Door) -> None:
    head = b"GET /v1/payments HTTP/1.1\r\nHost: slow\r\n"
    before = len(door.arrived)
    slow = [asyncio.create_task(slow_sender(door, head, fields())) for _ in range(SENDERS)]

    others = [await door.send("GET /v1/payments") for _ in range(20)]
    ends = await asyncio.gather(*slow)

    assert {200} == {answer.status for answer in others}
    assert {408} >= {status for status, _ in ends} - {0}
    assert max(after_s for _, after_s in ends) < HEADERS_S_MAX + SLACK_S
    assert len(others) == len(door.new(before))


async def test_a_slow_body_ends_in_time_and_never_reaches_the_gateway(door: Door) -> None:
    before = len(door.arrived)
    head = octets("POST /v1/payments", "Content-Type: application/json", "Content-Length: 1000")

    status, after_s = await slow_sender(door, head, body())

    assert 408 == status
    assert after_s < REQUEST_S_MAX + SLACK_S
    assert [] == door.new(before)


async def test_a_slow_body_is_told_what_to_do(door: Door) -> None:
    reader, writer = await door.edge.connect()
    writer.write(octets("POST /v1/payments", "Content-Type: application/json", "Content-Length: 10"))

    answer = await read_answer(reader)
    writer.transport.abort()

    said = json.loads(answer.body)
    assert (408, "sender_gone", True) == (answer.status, said["code"], said["retryable"])


async def test_a_handshake_that_does_not_begin_is_ended(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.edge.port)
    began = time.monotonic()

    async with asyncio.timeout(HANDSHAKE_S_MAX + SLACK_S):
        ended = await reader.read()

    writer.close()
    assert b"" == ended
    assert time.monotonic() - began > HANDSHAKE_S_MAX / 2

"""Floods below the level of requests: the edge ends the connection, and nobody else feels it.

Source: RFC 9113; CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kin (CONTINUATION),
CVE-2019-9515 (SETTINGS), CVE-2019-9518 (empty frames).
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import struct
from collections.abc import Iterator

import pytest

from tests.adversary.edge.recording_gateway import Door

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
TLS_RECORD_BYTES = 16 * 1024
FRAME_HEADER_BYTES = 9
FRAMES_MAX = 30_000
END_S_MAX = 30.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113 §4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A field that is in no table, without Huffman coding (RFC 7541 §6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


FIELDS = b"".join(
    literal(name, value)
    for name, value in [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/v1/payments"),
        (b":authority", b"pay.countermark.example"),
    ]
)


def rapid_resets() -> Iterator[bytes]:
    for stream in itertools.count(1, 2):
        cancelled = frame(RST_STREAM, 0, stream, struct.pack(">I", 0x8))
        yield frame(HEADERS, END_STREAM | END_HEADERS, stream, FIELDS) + cancelled


def continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, FIELDS)
    for number in itertools.count():
        yield frame(CONTINUATION, 0, 1, literal(b"x-%d" % (number % 1000), b"a" * 100))


def settings() -> Iterator[bytes]:
    # Each wants an answer (RFC 9113 §6.5.3). One at a time that costs no memory, since the answers leave at
    # once; as many as one TLS record holds arrive together, and their answers would pile up.
    while True:
        yield frame(SETTINGS, 0, 0) * (TLS_RECORD_BYTES // FRAME_HEADER_BYTES)


def empty_frames() -> Iterator[bytes]:
    yield frame(HEADERS, END_HEADERS, 1, FIELDS.replace(b"GET", b"PUT"))
    while True:
        yield frame(DATA, 0, 1)


def many_cookies() -> Iterator[bytes]:
    cookies = literal(b"cookie", b"a=b") * 3000
    for stream in itertools.count(1, 2):
        yield frame(HEADERS, END_STREAM, stream, FIELDS + cookies[: 16384 - len(FIELDS)])
        yield frame(CONTINUATION, END_HEADERS, stream, cookies[: 3000 * 12 - 16384])


async def is_ended(door: Door, frames: Iterator[bytes]) -> bool:
    """Send until the edge has had enough; False if it took everything."""
    context = ssl.create_default_context(cafile=str(door.edge.trust))
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", door.edge.port, ssl=context, server_hostname=door.edge.server_name
    )
    reading = asyncio.create_task(reader.read(-1))  # What is not read would stop both sides.
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        for octets in itertools.islice(frames, FRAMES_MAX):
            writer.write(octets)
            await writer.drain()
            if reading.done():
                return True
        async with asyncio.timeout(END_S_MAX):
            await reading
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        reading.cancel()
        writer.transport.abort()
    return True


@pytest.mark.parametrize(
    "flood",
    [rapid_resets, continuations, settings, empty_frames, many_cookies],
    ids=lambda each: each.__name__,
)
async def test_a_flood_of_frames_ends_its_connection_and_nothing_else(door: Door, flood: object) -> None:
    before = len(door.arrived)

    ended = await is_ended(door, flood())  # type: ignore[operator]  # a generator function
    after = await door.send("GET /v1/payments")

    assert ended
    assert 200 == after.status
    # Of thousands of streams that were opened and cancelled, hardly one became work for the gateway.
    assert len(door.new(before)) <= 200


async def test_requests_over_http_2_arrive_like_all_others(door: Door) -> None:
    before = len(door.arrived)
    once = itertools.chain([frame(HEADERS, END_STREAM | END_HEADERS, 1, FIELDS)], empty_frames())

    await is_ended(door, once)

    assert ["/v1/payments"] == [each.target for each in door.new(before)]

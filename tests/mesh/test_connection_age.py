"""Seen from outside: no connection to an Envoy becomes older than the bound, whatever its peer does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from compose.derive.connection_age import phases_of
from compose.launcher.stack import Stack
from pki.tls import client_context

Use = Callable[[asyncio.StreamReader, asyncio.StreamWriter, float], Awaitable[None]]
_GET = b"GET /.well-known/countermark-keys HTTP/1.1\r\nhost: x\r\n\r\n"
_HANGING = (
    b"POST /v1/payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
)
PAUSE_S = 0.05  # Twenty requests a second: one is always near.


async def stay_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: float) -> None:
    await reader.read()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_GET)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    await asyncio.sleep(PAUSE_S)


async def ask_again_and_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: float) -> None:
    while True:
        await ask(reader, writer)


async def hang_when_the_end_is_near(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begins_s: float
) -> None:
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < begins_s:
        await ask(reader, writer)
    writer.write(_HANGING)
    await reader.read()


def context_for(stack: Stack, listener: str) -> ssl.SSLContext:
    """As a merchant to the public listener, as the edge to the gateway's sidecar."""
    if listener == "edge.public":
        return ssl.create_default_context(cafile=str(stack.places.identity("edge") / "trust.pem"))
    return client_context(
        stack.places.identity("edge"), expect=frozenset({stack.mesh.spiffe("gateway-sidecar")})
    )


async def age_reached(stack: Stack, listener: str, use: Use) -> float:
    address, loop = stack.places.addresses[listener], asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=context_for(stack, listener), server_hostname=stack.mesh.dns("edge")
    )
    began = loop.time()
    bound_s = stack.places.connection_age_s_max
    try:
        async with asyncio.timeout(2 * bound_s):
            await use(reader, writer, phases_of(bound_s).begin_s)
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass  # This is how the end looks to whoever was about to read or write.
    finally:
        writer.close()
    return loop.time() - began


@pytest.mark.parametrize("listener", ["edge.public", "gateway.ingress"])
async def test_no_connection_becomes_older_than_the_bound(stack: Stack, listener: str) -> None:
    bound_s = stack.places.connection_age_s_max

    ages = await asyncio.gather(
        *(
            age_reached(stack, listener, u)
            for u in (stay_silent, ask_again_and_again, hang_when_the_end_is_near)
        )
    )

    assert bound_s > max(ages), ages
    assert phases_of(bound_s).begin_s * 0.9 < min(ages), ages
    # The last one hung as long as a request may, so it is the oldest: the bound was tried, not missed.
    assert ages[2] > max(ages[:2]) + 1, ages

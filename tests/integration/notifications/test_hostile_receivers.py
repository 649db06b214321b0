"""Whatever a receiver answers stays the failure of its own delivery, and the next one goes out."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from tests.integration.notifications.stack import Stack, event
from tests.integration.notifications.webhook_receiver import Receiver

_OK = b"HTTP/1.1 200 OK\r\n"
_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"\x00\xff garbage\r\n\r\n",
    "HTTP of another century": b"HTTP/9.9 200 OK\r\n\r\n",
    "a status without a number": b"HTTP/1.1 two-hundred OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status of minus one": b"HTTP/1.1 -200 OK\r\n\r\n",
    "an endless header section": _OK + b"X: " + b"x" * 200_000,
    "a header without a colon": _OK + b"nonsense\r\n\r\n",
    "a header with a NUL": _OK + b"X: a\x00b\r\n\r\n",
    "two lengths": _OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": _OK + b"Content-Length: -1\r\n\r\n",
    "a chunk without a size": _OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "interim answers alone": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5,
    "a change of protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an odd redirect": b"HTTP/1.1 302 Found\r\nLocation: https://[::1\r\nContent-Length: 0\r\n\r\n",
    "an odd Retry-After": b"HTTP/1.1 503 x\r\nRetry-After: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "odd cookies": b'HTTP/1.1 500 x\r\nSet-Cookie: ="";;;\xff\r\nContent-Length: 0\r\n\r\n',
}


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS.keys())
async def test_an_answer_that_is_none_is_a_failed_attempt(
    stack: Stack, receiver: Receiver, merchants_authority: trustme.CA, answer: bytes
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    merchants_authority.issue_cert("127.0.0.1").configure_cert(context)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    hostile = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{hostile.sockets[0].getsockname()[1]}"
    await stack.add_endpoint("hostile", f"https://{address}/")
    await stack.add_endpoint("plain", receiver.url())

    async with hostile, stack.running(receiver.address, address):
        await stack.publish(event(1))
        bad, good = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1, 1])

    assert ("pending", "delivered") == (bad["state"], good["state"])
    assert "unforeseen" != bad["last_error"]


@pytest.mark.parametrize(
    "tail",
    [
        b"Content-Length: 1000000\r\n\r\nshort",
        b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"\r\nno length at all",
    ],
)
async def test_a_good_status_counts_even_if_what_follows_is_broken(
    stack: Stack, merchants_authority: trustme.CA, tail: bytes
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    merchants_authority.issue_cert("127.0.0.1").configure_cert(context)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_OK + tail)
        writer.close()

    receiver = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{receiver.sockets[0].getsockname()[1]}"
    await stack.add_endpoint("one", f"https://{address}/")

    async with receiver, stack.running(address):
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])

    assert ("delivered", 200) == (row["state"], row["last_status"])

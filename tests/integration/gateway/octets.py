"""One request as the very octets that a test wants to send, over a TLS connection of its own."""

from __future__ import annotations

import asyncio
import ssl

from signing import Response


async def ask_with_octets(port: int, context: ssl.SSLContext, octets: bytes) -> Response:
    """Send octets, read until the other side closes, and return what it answered.

    Raises:
        ConnectionResetError: it closed without an answer.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(octets)
        received = await reader.read()
    finally:
        writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    if not status_line:
        raise ConnectionResetError("the gateway closed the connection without an answer")
    pairs = (line.partition(": ") for line in lines)
    return Response(int(status_line.split(" ")[1]), tuple((name, value) for name, _, value in pairs), body)

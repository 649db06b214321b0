"""Connections of a merchant's client that stay open: HTTP/1.1 over TLS, with as little work as possible."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_STATUS: Final = slice(9, 12)  # Behind `HTTP/1.1 `.


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        head: Status line and header fields, with the empty line.
        body: Exactly as long as it was announced.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server ends the connection behind it."""
        return _CLOSES.search(self.head) is not None

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The header fields, names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        pairs = (line.partition(":") for line in lines)
        return tuple((name.lower(), value.strip()) for name, _, value in pairs)


def take_answer(received: bytes) -> tuple[Answer, int] | None:
    """Read one answer off the beginning (pure).

    Returns:
        The answer and how many bytes it took; None as long as it is not whole.

    Raises:
        ValueError: It does not announce its length: no answer of ours is like that.
    """
    head_end = received.find(HEAD_END)
    if head_end < 0:
        return None
    begin = head_end + len(HEAD_END)
    head = bytes(received[:begin])
    length = _LENGTH.search(head)
    if length is None:
        raise ValueError("an answer does not announce its length")
    end = begin + int(length[1])
    if len(received) < end:
        return None
    return Answer(int(head[_STATUS]), head, bytes(received[begin:end])), end


class KeptConnection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, ended: Callable[[KeptConnection], None] = lambda _: None) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._ended = ended
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one by its methods
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received = self._received + data if self._received else data
        try:
            found = take_answer(self._received)
        except ValueError as fault:
            self._fail(fault)
            return
        if found is None:
            return
        answer, taken = found
        self._received = self._received[taken:]
        if answer.is_last:
            self.close()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def connection_lost(self, fault: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.is_open = False
        self._fail(fault or ConnectionResetError("the connection ended"))
        self._ended(self)

    def exchange(self, request: bytes) -> asyncio.Future[Answer]:
        """Send one request; the future has its answer.

        Raises:
            ConnectionError: The connection is not open, or busy.
        """
        if self._transport is None or not self.is_open or self._waiting is not None:
            raise ConnectionError("this connection cannot take a request")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """End it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    def _fail(self, fault: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(fault)


@dataclass(frozen=True, slots=True)
class Dialling:
    """How a server is reached.

    Attributes:
        host: Address.
        server_name: What its certificate is checked against; empty where the SPIFFE id is.
    """

    host: str
    port: int
    context: ssl.SSLContext
    server_name: str

    async def dial(self) -> KeptConnection:
        """Open one connection."""
        _, connection = await asyncio.get_running_loop().create_connection(
            KeptConnection, self.host, self.port, ssl=self.context, server_hostname=self.server_name
        )
        return connection


class Connections:
    """So many open connections; whoever wants one waits until one is free.

    Args:
        dialling: How a connection that has ended is replaced.
    """

    def __init__(self, dialling: Dialling) -> None:
        self._dialling = dialling
        self._free: asyncio.LifoQueue[KeptConnection] = asyncio.LifoQueue()

    async def open(self, number: int) -> None:
        """Open them, a few at a time."""
        for _ in range(number):
            self._free.put_nowait(await self._dialling.dial())

    async def exchange(self, request: bytes) -> Answer:
        """Send one request on a free connection."""
        connection = await self._free.get()
        try:
            if not connection.is_open:
                connection = await self._dialling.dial()
            return await connection.exchange(request)
        finally:
            self._free.put_nowait(connection)

    def close(self) -> None:
        """End all that are free."""
        while not self._free.empty():
            self._free.get_nowait().close()
